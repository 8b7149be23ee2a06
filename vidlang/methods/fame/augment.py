"""Two views of every clip of a batch, on any device, from one generator's draws.

Random crop and mirroring; foreground before another background; grey, colours, blur; less the mean, by the standard
deviation. What is drawn holds for all frames of a clip, so that no frame difference comes from it.

Letters: B clips, T frames, H and W pixels of a clip as read, S pixels of its side after the crop.

Source: the published training at 0600c0e: torchvision's random crop and flip, then kornia's augmentations of videos.
Differs: the mean grey of ``contrast`` is the clip's, not each frame's; the four changes of ``jitter`` come in another
order for every clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vidlang.methods.fame.config import MEAN, STD, AnyConfig, FameConfig, RecognitionConfig
from vidlang.methods.fame.mask import ClipMasks, clip_masks
from vidlang.methods.fame.merge import draw_order, merge, merge_with
from vidlang.methods.fame.options import MaskOptions, blur_size

Clips = NDArray[np.uint8] | Tensor | Sequence[NDArray[np.uint8] | Tensor]
"""uint8 clips of a batch, RGB, in one array or, where their sizes differ, in a list."""

Change = Callable[[Tensor, float], Tensor]
"""A change of colours: clip [3, T, H, W] in 0..1, how much → clip."""

GREY = (0.299, 0.587, 0.114)
"""How bright red, green and blue look (ITU-R BT.601)."""
CROP_TRIES = 10
"""Random crops are drawn so often until one lies within the picture."""


@dataclass(frozen=True, eq=False)
class TwoViews:
    """What MoCo compares, and how much of it was merged."""

    query: Tensor
    """[B, 3, T, S, S] normalised"""
    key: Tensor
    """[B, 3, T, S, S]"""
    merged: int = 0
    """Clips, of both views, that have another clip's background."""
    still: int = 0
    """Clips, of both views, in which nothing moves, so that they stay whole."""
    masked: int = 0
    """Clips, of both views, that a mask was asked of."""
    area: float = 0.0
    """Share of the picture that the masks cover, summed over the clips that move."""


class Views:
    """Makes two views of clips. One object per run, since as published a run has one blur."""

    def __init__(self, config: FameConfig, device: str | torch.device = "cpu") -> None:
        self.config, self.device = config, torch.device(device)
        generator = torch.Generator().manual_seed(config.seed)
        self.run_sd = between(config.blur_sd, generator)
        self.mask_options = MaskOptions(
            method="fame" if config.mask == "none" else config.mask,
            hue=config.hue,
            beta=config.beta,
            crop_size=config.crop_size,
        )

    def __call__(self, clips: Clips, generator: torch.Generator) -> TwoViews:
        """clips: B items [2, 3, T, H, W] uint8, two windows of each video    generator: on the CPU"""
        first, second = ([one[view] for one in clips] for view in (0, 1))
        query = random_crops(first, self.config, generator, self.device)
        key = random_crops(second, self.config, generator, self.device)
        counts: list[_Counts] = []
        if self.config.merges:
            plain = query
            query = self._merged(query, key, generator, counts)
            if self.config.views == "both":
                key = self._merged(key, plain, generator, counts)
        for view in (query, key):
            self._change_colours(view, generator)
        return TwoViews(
            normalise(query),
            normalise(key),
            merged=sum(count.merged for count in counts),
            still=sum(count.still for count in counts),
            masked=len(counts) * len(query),
            area=sum(count.area for count in counts),
        )

    def _merged(self, clips: Tensor, others: Tensor, generator: torch.Generator, counts: list[_Counts]) -> Tensor:
        """The clips' foregrounds before backgrounds of each other, or before the other window of the same video."""
        masks = clip_masks(clips, self.mask_options, check=False)  # bytes, cut and resized: in 0..1
        if self.config.background == "intra":
            counts.append(_Counts.of(masks, masks.moves))
            return merge_with(clips, masks, others)
        order = draw_order(len(clips), generator)
        swapped = (order != torch.arange(len(order))).to(masks.moves.device)
        counts.append(_Counts.of(masks, masks.moves & swapped))
        return merge(clips, masks, order.to(clips.device))

    def _change_colours(self, clips: Tensor, generator: torch.Generator) -> None:
        """In place. clips: [B, 3, T, S, S] in 0..1"""
        config = self.config
        change_colours(clips, config, generator)
        taps = blur_size(config.crop_size)
        for clip in clips:
            blurred = chance(config.blur, generator)
            sd = between(config.blur_sd, generator) if config.blur_draw == "clip" else self.run_sd
            if blurred and taps > 1:
                clip.copy_(blur(clip, taps, sd))


@dataclass(frozen=True)
class _Counts:
    """Of the clips of one view."""

    merged: int
    still: int
    area: float

    @classmethod
    def of(cls, masks: ClipMasks, merged: Tensor) -> _Counts:
        areas = masks.mask.flatten(1).float().mean(1)  # [B], 0 where nothing moves
        numbers = torch.stack([merged.sum().float(), (~masks.moves).sum().float(), areas.sum()]).tolist()
        return cls(round(numbers[0]), round(numbers[1]), numbers[2])


def training_clips(clips: Clips, config: RecognitionConfig, generator: torch.Generator, device: torch.device) -> Tensor:
    """Clips that a classifier learns from: as the views, without foregrounds and blur; or the middle of the picture.

    clips: B items [3, T, H, W] or [1, 3, T, H, W] uint8    returns: [B, 3, T, S, S] normalised
    """
    flat = [one[0] if one.ndim == 5 else one for one in clips]
    if config.augment == "none":
        return middle_clips(flat, config, device)
    views = random_crops(flat, config, generator, device)
    change_colours(views, config, generator)
    return normalise(views)


def middle_clips(clips: Clips, config: AnyConfig, device: torch.device) -> Tensor:
    """Clips that a network is tested on. clips: B items [3, T, H, W] uint8    returns: [B, 3, T, S, S] normalised"""
    return normalise(torch.stack([center_crop(as_floats(clip, device), config.crop_size) for clip in clips]))


def as_floats(clip: NDArray[np.uint8] | Tensor, device: torch.device) -> Tensor:
    """Bytes to float32 in 0..1, on the device.

    Raises:
        ValueError: other numbers than bytes.
    """
    tensor = torch.as_tensor(clip)
    if tensor.dtype != torch.uint8:
        raise ValueError(f"clips must be uint8, as the reader gives them, got {tensor.dtype}")
    return tensor.to(device).float().div_(255)


def normalise(clips: Tensor) -> Tensor:
    """Less ``MEAN``, by ``STD``. clips: [B, 3, T, H, W] in 0..1"""
    mean, std = (clips.new_tensor(values).view(3, 1, 1, 1) for values in (MEAN, STD))
    return (clips - mean) / std


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def between(limits: Sequence[float], generator: torch.Generator) -> float:
    """limits: the least and the greatest"""
    return uniform(limits[0], limits[1], generator)


def chance(share: float, generator: torch.Generator) -> bool:
    """True in that share of the draws. Something is drawn in any case, so that no other draw depends on the share."""
    return uniform(0, 1, generator) < share


# crops


@dataclass(frozen=True)
class Box:
    """Pixels of a crop."""

    top: int
    left: int
    height: int
    width: int


def draw_box(
    height: int, width: int, scale: Sequence[float], ratio: Sequence[float], generator: torch.Generator
) -> Box:
    """A crop with a share of the area within ``scale`` and width by height within ``ratio``, even on a log scale.

    Where none of CROP_TRIES fits, the largest in the middle whose ratio is allowed.

    Source: torchvision's RandomResizedCrop, the Inception crop.
    """
    for _ in range(CROP_TRIES):
        area = height * width * between(scale, generator)
        aspect = math.exp(uniform(math.log(ratio[0]), math.log(ratio[1]), generator))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = int(uniform(0, height - h + 1, generator))
            return Box(top, int(uniform(0, width - w + 1, generator)), h, w)
    aspect = min(max(width / height, ratio[0]), ratio[1])
    w, h = min(width, round(height * aspect)), min(height, round(width / aspect))
    return Box((height - h) // 2, (width - w) // 2, h, w)


def random_crops(clips: Clips, config: AnyConfig, generator: torch.Generator, device: torch.device) -> Tensor:
    """Each clip's own random crop brought to the side of the network's input, some mirrored.

    clips: B items [3, T, H, W] uint8    returns: [B, 3, T, S, S] in 0..1
    """
    crops = []
    for clip in clips:
        height, width = clip.shape[-2:]
        box = draw_box(height, width, config.crop_scale, config.crop_ratio, generator)
        mirrored = chance(config.flip, generator)
        rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        crop = resize(as_floats(clip[..., rows, columns], device), config.crop_size, config.crop_size, config.antialias)
        crops.append(crop.flip(-1) if mirrored else crop)
    return torch.stack(crops)


def center_crop(clip: Tensor, size: int) -> Tensor:
    """The middle square; of smaller pictures after their shorter side is brought to ``size``.

    clip: [..., H, W]    returns: [..., size, size]
    """
    height, width = clip.shape[-2:]
    if min(height, width) < size:
        factor = size / min(height, width)
        clip = resize(clip, max(size, round(height * factor)), max(size, round(width * factor)))
        height, width = clip.shape[-2:]
    top, left = round((height - size) / 2), round((width - size) / 2)
    return clip[..., top : top + size, left : left + size]


def resize(clip: Tensor, height: int, width: int, antialias: bool = False) -> Tensor:
    """Bilinear. clip: [3, T, H, W]"""
    return F.interpolate(clip, (height, width), mode="bilinear", align_corners=False, antialias=antialias)


# colours: every function takes clips [3, T, H, W] in 0..1


def change_colours(clips: Tensor, config: AnyConfig, generator: torch.Generator) -> None:
    """In place: some clips lose their colours, some have them changed. clips: [B, 3, T, S, S] in 0..1"""
    for clip in clips:
        if chance(config.grey, generator):
            clip.copy_(grey(clip).expand_as(clip))
        changed = chance(config.jitter, generator)
        for change, amount in draw_jitter(config, generator):
            if changed:
                clip.copy_(change(clip, amount))


def draw_jitter(config: AnyConfig, generator: torch.Generator) -> Iterator[tuple[Change, float]]:
    """The four changes in random order, with what each is to do."""
    amounts: list[tuple[Change, float]] = [
        (change, uniform(1 - strength, 1 + strength, generator))
        for change, strength in (
            (brighten, config.brightness),
            (stretch, config.contrast),
            (saturate, config.saturation),
        )
    ]
    amounts.append((turn_hue, uniform(-config.hue_shift, config.hue_shift, generator)))
    for place in torch.randperm(len(amounts), generator=generator).tolist():
        yield amounts[place]


def grey(clip: Tensor) -> Tensor:
    """returns: [1, T, H, W]"""
    red, green, blue = clip
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue)[None]


def brighten(clip: Tensor, factor: float) -> Tensor:
    return (clip * factor).clamp_(0, 1)


def stretch(clip: Tensor, factor: float) -> Tensor:
    """Contrast: distances from the clip's mean grey grow by the factor."""
    mean = grey(clip).mean()
    return (mean + factor * (clip - mean)).clamp_(0, 1)


def saturate(clip: Tensor, factor: float) -> Tensor:
    """Distances from each pixel's grey grow by the factor."""
    plain = grey(clip)
    return (plain + factor * (clip - plain)).clamp_(0, 1)


def turn_hue(clip: Tensor, turn: float) -> Tensor:
    """Hues turn by this share of the circle; greatest and least channel of every pixel keep their values.

    With h the hue in sixths of the circle, a channel is ``max - (max - min) * clamp(min(k, 4 - k), 0, 1)``, where k is
    h + 5 for red, h + 3 for green and h + 1 for blue, modulo 6.
    """
    red, green, blue = clip
    greatest = clip.amax(0)
    span = greatest - clip.amin(0)
    safe = span.masked_fill(span == 0, 1)
    sixths = torch.where(
        greatest == red,
        (green - blue) / safe,
        torch.where(greatest == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    k = (sixths + clip.new_tensor([5, 3, 1]).view(3, 1, 1, 1) + 6 * turn) % 6
    return greatest - span * torch.minimum(k, 4 - k).clamp_(0, 1)


def blur(clip: Tensor, taps: int, sd: float) -> Tensor:
    """Gaussian blur with so many taps, borders mirrored without repeating the edge. clip: [3, T, H, W]"""
    height, width = clip.shape[-2:]
    return blur_matrix(height, taps, sd).to(clip) @ clip @ blur_matrix(width, taps, sd).to(clip).T


def blur_matrix(size: int, taps: int, sd: float) -> Tensor:
    """[size, size]: row i holds the weights of all pixels in the blurred pixel i, so that a product is a blur.

    Raises:
        ValueError: so many taps reach beyond the mirrored border.
    """
    reach = taps // 2
    if reach >= size:
        raise ValueError(f"a blur of {taps} taps needs more than {reach} pixels, got {size}")
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-(offsets**2) / (2 * sd**2))
    weights /= weights.sum()
    places = torch.arange(size)[:, None] + torch.arange(-reach, reach + 1)  # [size, taps], some outside
    last = size - 1
    places = last - (last - places.abs()).abs()  # -1 → 1, size → size - 2
    return (
        torch.zeros(size, size, dtype=torch.float64).scatter_add_(1, places, weights.expand(size, -1).clone()).float()
    )
