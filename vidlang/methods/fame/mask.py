"""The motion mask: pixels of a clip whose colours are those of what moved. One function per step of the chain.

Letters: B clips, T frames, H W pixels. Pictures are [B, H, W] or [B, 3, H, W], one per clip.

Source: FAME (Ding et al., CVPR 2022, arXiv 2109.15130), section 3.2; constants and details as in the published code.
Differs: equal values at a cut are taken by a rule (``top``), and a clip in which nothing moves has an empty mask, where
the published code lets the sort decide which of the equal pixels it takes. The hue is read rightly unless asked
otherwise (``colour_codes``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidlang.methods.fame.options import (
    BACKGROUND_SHARE,
    DEFAULT,
    EPS,
    FOREGROUND_SHARE,
    LEVELS,
    NUM_COLOURS,
    TINY,
    Hue,
    MaskOptions,
    gaussian_taps,
)
from vidlang.methods.fame.variants import gauss_window, grid_mask
from vidlang.methods.fame.windows import largest

_IN_CACHE = 2**17
"""Numbers that are read at once on a CPU: half a megabyte, and as much for their differences."""
BITS_OF_ONE = int(np.float32(1).view(np.uint32))
ROUNDING = 1e-4
"""How far values of a clip may lie outside 0..1: resizing and colour jitter round."""


@dataclass(frozen=True, eq=False)
class ClipMasks:
    """One mask per clip, shared by all its frames."""

    mask: Tensor
    """[B, H, W] bool, True for foreground: int(beta H W) pixels of a clip that moves, none of one that does not."""
    moves: Tensor
    """[B] bool, False where no pixel differs between any two frames."""
    energy: Tensor
    """[B] mean over pixels of the frame difference, summed over the three channels of 0..1."""
    score: Tensor
    """[B, H, W] in 0..1, what the mask is cut from; 0 where nothing moves."""


@torch.no_grad()
def clip_masks(clips: Tensor, options: MaskOptions = DEFAULT, *, check: bool = True) -> ClipMasks:
    """The motion masks of clips.

    clips: [B, 3, T, H, W] RGB, float in 0..1 or uint8    check: look at the values of float clips; on a GPU this waits
    for the device once

    Bytes are summed as whole numbers, which is exact in any order; as floats, ``clips / 255``, they give the same mask
    but for pixels whose colour lies on the border of two bins.

    Raises:
        ValueError: clips have another shape or other values, fewer than two frames, or are smaller than the blur.
    """
    _check_shape(clips)
    height, width = clips.shape[-2:]
    size = options.blur_size(height, width)
    if check and clips.is_floating_point():
        _check_values(clips)
    seed, picture = _read(clips)
    moves = seed.amax((1, 2)) > 0
    mask, score = _cut_and_score(seed, picture, size, options)
    still = ~moves[:, None, None]
    return ClipMasks(mask.masked_fill_(still, False), moves, seed.mean((1, 2)), score.masked_fill_(still, 0.0))


def _cut_and_score(seed: Tensor, picture: Tensor, size: int, options: MaskOptions) -> tuple[Tensor, Tensor]:
    """Mask [B, H, W] and what it is cut from, scaled to 0..1, by the method of the options."""
    height, width = seed.shape[1:]
    count = options.covered(height, width)
    if options.method == "grid":
        mask, sums = grid_mask(seed)
        return mask, scale(sums)
    if options.method == "gauss":
        window = gauss_window(height, width, seed.device).expand_as(seed)
        return top(window, count), window.clone()
    if options.method == "seed":
        return (top(seed, count), scale(seed)) if options.raw else _cut(smooth_and_scale(seed, size), count)
    samples = sample_pixels(smooth_and_scale(seed, size))
    codes = colour_codes(to_hsv(picture), options.hue)
    return _cut(smooth_and_scale(posterior(codes, samples), size), count)


def _cut(score: Tensor, count: int) -> tuple[Tensor, Tensor]:
    return top(score, count), score


# -- reading clips -----------------------------------------------------------------------------------------------------


def seed_energy(clips: Tensor, *, work: Tensor | None = None) -> Tensor:
    """How much each pixel changes: absolute frame difference, summed over channels, mean over pairs of frames.

    clips: [B, 3, T, H, W] float    work: [B, 3, T - 1, H, W] memory to write differences to
    returns: [B, H, W], in 0..3 for clips in 0..1
    """
    differences = torch.sub(clips[:, :, 1:], clips[:, :, :-1], out=work).abs_()
    return differences.sum((1, 2)).div_(clips.shape[2] - 1)


def mean_picture(clips: Tensor) -> Tensor:
    """[B, 3, T, H, W] float → mean over time [B, 3, H, W]."""
    return clips.mean(2)


def _read(clips: Tensor) -> tuple[Tensor, Tensor]:
    """Seed energy [B, H, W] and mean picture [B, 3, H, W], in units of 0..1."""
    batch, _, _, height, width = clips.shape
    seed = torch.empty(batch, height, width, device=clips.device)
    picture = torch.empty(batch, 3, height, width, device=clips.device)
    work = torch.empty(0, 0, 0, 0, 0)
    for some, rows in _parts(clips):
        values = clips[some, :, :, rows].float()
        if work.shape[3] < values.shape[3]:  # of the first strip, the tallest: fresh memory is slow at its first use
            work = torch.empty_like(values[:, :, 1:])
        seed[some, rows] = seed_energy(values, work=work[:, :, :, : values.shape[3]])
        picture[some, :, rows] = mean_picture(values)
    return (seed, picture) if clips.is_floating_point() else (seed.div_(255), picture.div_(255))


def _parts(clips: Tensor) -> Iterator[tuple[slice, slice]]:
    """Clips and rows to read at once: on a GPU all, on a CPU so few rows of a clip that every step finds them in its
    cache, which is twice as fast."""
    batch, _, frames, height, width = clips.shape
    if clips.device.type != "cpu":
        yield slice(batch), slice(height)
        return
    step = max(1, _IN_CACHE // (3 * frames * width))
    for clip in range(batch):
        for row in range(0, height, step):
            yield slice(clip, clip + 1), slice(row, row + step)


def _check_shape(clips: Tensor) -> None:
    if clips.ndim != 5 or clips.shape[1] != 3 or not len(clips):
        raise ValueError(f"clips must be [B, 3, T, H, W] with B at least 1, got {tuple(clips.shape)}")
    if clips.shape[2] < 2:
        raise ValueError(f"a motion mask needs at least 2 frames of a clip, got {clips.shape[2]}")
    if not clips.is_floating_point() and clips.dtype != torch.uint8:
        raise ValueError(f"clips must be float in 0..1 or uint8, got {clips.dtype}")


def _check_values(clips: Tensor) -> None:
    """Clips are float."""
    for clip in clips.detach().split(1 if clips.device.type == "cpu" else len(clips)):
        if _surely_in_range(clip):
            continue
        low, high = float(clip.amin()), float(clip.amax())
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # what is no number fails too
            raise ValueError(
                "clips must be RGB in 0..1 before mean and standard deviation are taken off (or uint8 from 0 to 255), "
                f"got values from {low:.4g} to {high:.4g}"
            )


def _surely_in_range(values: Tensor) -> bool:
    """Whether all values are in 0..1, by half the passes: read as whole numbers, the bits of what is negative, larger
    or no number exceed those of 1. Float32 on a CPU alone; of anything else nothing is sure."""
    if values.device.type != "cpu" or values.dtype != torch.float32:
        return False
    return int(values.numpy().view(np.uint32).max()) <= BITS_OF_ONE


# -- blur and scale ----------------------------------------------------------------------------------------------------


def smooth(pictures: Tensor, size: int) -> Tensor:
    """Gaussian blur of ``size`` taps with sd size / 3; beyond the border pictures are mirrored, the edge not repeated.

    pictures: [B, H, W]    returns: [B, H, W]
    """
    taps, half = gaussian_taps(size).tolist(), size // 2
    for dim, border in ((2, (half, half, 0, 0)), (1, (0, 0, half, half))):
        padded = F.pad(pictures[:, None], border, mode="reflect")[:, 0]
        # tap by tap: a convolution of one channel is slower, and on a GPU may round to fewer digits
        length = pictures.shape[dim]
        pictures = padded.narrow(dim, 0, length) * taps[0]
        for start in range(1, size):
            pictures.add_(padded.narrow(dim, start, length), alpha=taps[start])
    return pictures


def scale(pictures: Tensor) -> Tensor:
    """Each picture [H, W] of [B, H, W] stretched to 0..1; a flat one is 0."""
    pictures = pictures - pictures.amin((1, 2), keepdim=True)
    return pictures.div_(pictures.amax((1, 2), keepdim=True) + EPS)


def smooth_and_scale(pictures: Tensor, size: int) -> Tensor:
    """[B, H, W] → [B, H, W] in 0..1"""
    return scale(smooth(pictures, size))


# -- samples -----------------------------------------------------------------------------------------------------------


class Samples(NamedTuple):
    """Pixels that surely moved and that surely did not, each [B, H, W] bool. No pixel is in both."""

    foreground: Tensor
    background: Tensor


def sample_pixels(seed: Tensor) -> Samples:
    """The half of the pixels that moved most and the tenth that moved least.

    seed: [B, H, W], scaled seed energy

    Both are ends of one order: most energy first, among equals the lower index first. So where much is still, equal
    pixels never count on both sides.
    """
    pixels = seed[0].numel()
    foreground = top(seed, int(FOREGROUND_SHARE * pixels))
    return Samples(foreground, top(seed, pixels - int(BACKGROUND_SHARE * pixels)).logical_not_())


def top(values: Tensor, count: int) -> Tensor:
    """The ``count`` largest values of each picture; among equals those of the lower index (row by row).

    values: [B, H, W]    returns: [B, H, W] bool, exactly ``count`` True in each picture
    """
    rows = values.reshape(len(values), -1)  # [B, H W]
    if values.device.type == "cpu":  # numpy finds a rank several times faster
        return torch.from_numpy(largest(rows.numpy(), count)).view(values.shape)
    return _largest(rows, count).view(values.shape)


def _largest(rows: Tensor, count: int) -> Tensor:
    """``windows.largest`` on any device, without waiting for it. rows: [B, N]"""
    if count == 0:
        return torch.zeros_like(rows, dtype=torch.bool)
    lowest = rows.kthvalue(rows.shape[1] - count + 1, dim=1, keepdim=True).values
    above, level = rows > lowest, rows == lowest
    first = level.cumsum(1) <= count - above.sum(1, keepdim=True)
    return above | (level & first)


# -- colours -----------------------------------------------------------------------------------------------------------


class Hsv(NamedTuple):
    """Pictures by hue, saturation and value, each [B, H, W]."""

    hue: Tensor
    """In radians, 0..2 pi."""
    saturation: Tensor
    value: Tensor


def to_hsv(pictures: Tensor) -> Hsv:
    """RGB in 0..1 [B, 3, H, W] → HSV; on ties of the largest channel red goes before green before blue."""
    value = pictures.amax(1)
    spread = value - pictures.amin(1)
    divisor = spread.clamp_min(TINY)
    rc, gc, bc = (value[:, None] - pictures).unbind(1)  # 0 where the channel is the largest
    hue, green, red = gc - rc, rc - bc, bc - gc
    hue.add_(divisor, alpha=4)
    green.add_(divisor, alpha=2)
    # weights of 0 and 1 choose exactly, and without a branch for each pixel
    hue.lerp_(green, gc.eq_(0)).lerp_(red, rc.eq_(0))
    hue.div_(divisor).div_(6)
    hue.sub_(hue.floor()).mul_(2 * math.pi)
    return Hsv(hue, spread.div_(value + EPS), value)


def colour_codes(hsv: Hsv, hue: Hue = "exact") -> Tensor:
    """The colour bin of each pixel: 10 levels of S cos H, of S sin H and of V.

    returns: [B, H, W] int32 in 1..999

    ``reference`` takes the angle times 2 pi, as the published code does, which takes the hue for a share of the circle
    though it is in radians: colours far from each other share bins, and the circle breaks at red.
    """
    angle = hsv.hue * (2 * math.pi) if hue == "reference" else hsv.hue
    a = _level(angle.cos().mul_(hsv.saturation).add_(1).div_(2))
    b = _level(angle.sin().mul_(hsv.saturation).add_(1).div_(2))
    c = _level(hsv.value.clone())
    return a.add_(b.sub_(1), alpha=LEVELS).add_(c.sub_(1), alpha=LEVELS**2).int()


def _level(share: Tensor) -> Tensor:
    """0..1 → 1..10, half to even; in place."""
    return share.mul_(LEVELS - 1).add_(1).round_()


def colour_histogram(codes: Tensor, sample: Tensor) -> Tensor:
    """How often each colour is in the sample.

    codes: [B, H, W] int32    sample: [B, H, W] bool    returns: [B, 1000] int64, colour 0 never
    """
    return _count(_bins(codes), sample)


def posterior(codes: Tensor, samples: Samples) -> Tensor:
    """Probability that a pixel of that colour is foreground; both grounds are equally likely beforehand.

    codes: [B, H, W] int32    returns: [B, H, W] in 0..1

    Only the background starts every colour at one pixel, so a colour that never moved has probability 0.
    """
    bins = _bins(codes)
    foreground = _count(bins, samples.foreground).float()
    background = _count(bins, samples.background).float().add_(1)
    foreground /= foreground.sum(1, keepdim=True) + EPS
    background /= background.sum(1, keepdim=True) + EPS
    of_colour = foreground.div_(background.add_(foreground))  # [B, 1000]
    return of_colour.view(-1).index_select(0, bins.view(-1)).view(codes.shape)


def _bins(codes: Tensor) -> Tensor:
    """Index of each pixel's colour in one table of all clips, [B, H, W] int32."""
    return codes + torch.arange(len(codes), dtype=torch.int32, device=codes.device)[:, None, None] * NUM_COLOURS


def _count(bins: Tensor, sample: Tensor) -> Tensor:
    """Pixels of the sample in each bin, [B, 1000] int64."""
    # all other pixels fall into bin 0, which no colour has
    counts = torch.bincount((bins * sample).view(-1), minlength=len(bins) * NUM_COLOURS)
    counts[0] = 0
    return counts.view(-1, NUM_COLOURS)
