"""Motion masks of videos, window by window: frames come one by one, and none is kept but the last. No torch.

The chain is that of ``mask.py``, one picture at a time. Differences and colours of bytes are summed as whole numbers,
which is exact in any order; memory depends on the size of a frame alone.

Source: FAME (Ding et al., CVPR 2022, arXiv 2109.15130), section 3.2; constants and details as in the published code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.methods.fame.options import (
    BACKGROUND_SHARE,
    DEFAULT,
    EPS,
    FOREGROUND_SHARE,
    GAUSS_SHARE,
    GRID,
    GRID_CELLS,
    LEVELS,
    NUM_COLOURS,
    TINY,
    Hue,
    MaskOptions,
    gaussian_taps,
)

Picture = NDArray[np.float32]
"""[H, W]"""
_BLOCK = 32
"""Rows that are blurred at once; the matrix of a blur is 0 but for few columns beside them."""


@dataclass(frozen=True, eq=False)
class FrameMask:
    """The mask of one window."""

    mask: NDArray[np.bool_]
    """[H, W] True for foreground: int(beta H W) pixels, none where nothing moves."""
    moves: bool
    """False where no pixel differs between any two frames."""
    energy: float
    """Mean of ``seed`` over pixels."""
    seed: Picture
    """[H, W] absolute frame difference, summed over the three channels of 0..1, mean over pairs of frames."""
    score: Picture
    """[H, W] in 0..1, what the mask is cut from; 0 where nothing moves."""

    @property
    def area(self) -> float:
        """Share of the pixels that the mask covers."""
        return float(self.mask.mean())


class WindowMask:
    """Takes the frames of a window one by one and gives its mask; then it is ready for the next window."""

    def __init__(self, size: tuple[int, int], options: MaskOptions = DEFAULT) -> None:
        """size: height and width of the frames

        Raises:
            ValueError: frames are too small for the blur.
        """
        self.size, self.options = size, options
        taps = gaussian_taps(options.blur_size(*size)).astype(np.float64)
        self._blurs = _blur_matrix(size[0], taps), _blur_matrix(size[1], taps)
        self._reach = len(taps) // 2
        self._frame, self._previous, self._work = np.empty((3, *size, 3), dtype=np.int16)
        self._difference, self._colour = _ByteSum((*size, 3)), _ByteSum((*size, 3))
        self.num_frames = 0
        """Of the window so far."""

    def push(self, frame: NDArray[np.uint8]) -> None:
        """frame: [H, W, 3] RGB; it is not kept

        Raises:
            ValueError: it has another size or type.
        """
        if frame.shape != (*self.size, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"a frame must be uint8 [{self.size[0]}, {self.size[1]}, 3], got {frame.dtype} {frame.shape}"
            )
        self._frame, self._previous = self._previous, self._frame
        np.copyto(self._frame, frame)
        if self.num_frames:
            difference = np.subtract(self._frame, self._previous, out=self._work)
            self._difference.add(np.abs(difference, out=difference))
        self._colour.add(self._frame)
        self.num_frames += 1

    def finish(self) -> FrameMask:
        """The mask of the frames since the last call.

        Raises:
            ValueError: they are fewer than two.
        """
        if self.num_frames < 2:
            raise ValueError(f"a motion mask needs at least 2 frames of a window, got {self.num_frames}")
        differences, colours = self._difference.take(), self._colour.take()
        seed = _mean(differences @ np.ones(3, dtype=np.float32), self.num_frames - 1)
        picture = _mean(np.ascontiguousarray(colours.transpose(2, 0, 1)), self.num_frames)  # [3, H, W]
        self.num_frames = 0
        energy = float(seed.mean())
        if not energy:
            return FrameMask(np.zeros(self.size, dtype=np.bool_), False, energy, seed, np.zeros_like(seed))
        mask, score = self._cut(seed, picture)
        return FrameMask(mask, True, energy, seed, score)

    def _cut(self, seed: Picture, picture: NDArray[np.float32]) -> tuple[NDArray[np.bool_], Picture]:
        """The mask and what it is cut from, by the method of the options."""
        method, count = self.options.method, self.options.covered(*self.size)
        if method == "grid":
            return _grid(seed)
        if method == "seed" and self.options.raw:
            return _top(seed, count), _scale(seed)
        if method == "gauss":
            score = gauss_window(*self.size)
        else:
            score = self._smooth_and_scale(seed)
            if method == "fame":
                codes = _colour_codes(picture, self.options.hue)
                score = self._smooth_and_scale(_posterior(codes, score))
        return _top(score, count), score

    def _smooth_and_scale(self, picture: Picture) -> Picture:
        rows, columns = self._blurs
        smooth = _blur_rows(columns, self._reach, _blur_rows(rows, self._reach, picture.astype(np.float64)).T).T
        return _scale(smooth.astype(np.float32))


def mask_frames(frames: NDArray[np.uint8], options: MaskOptions = DEFAULT) -> FrameMask:
    """The mask of frames that are all there.

    frames: [T, H, W, 3] RGB

    Raises:
        ValueError: frames have another shape or type, or are fewer than two.
    """
    if frames.ndim != 4:
        raise ValueError(f"frames must be [T, H, W, 3], got {frames.shape}")
    window = WindowMask((frames.shape[1], frames.shape[2]), options)
    for frame in frames:
        window.push(frame)
    return window.finish()


def merge_frames(
    frames: NDArray[np.uint8], backgrounds: NDArray[np.uint8], mask: FrameMask, *, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Foreground of the frames before the background frames; frames of a window that does not move stay as they are.

    frames, backgrounds: [T, H, W, 3], or one frame of each [H, W, 3]
    out: memory for the result, other than ``frames``    returns: as frames

    Raises:
        ValueError: sizes or types do not fit.
    """
    if frames.shape != backgrounds.shape or frames.shape[-3:] != (*mask.mask.shape, 3):
        raise ValueError(
            f"frames {frames.shape}, backgrounds {backgrounds.shape} and the mask {mask.mask.shape} differ in size"
        )
    if frames.dtype != np.uint8 or backgrounds.dtype != np.uint8:
        raise ValueError(f"frames and backgrounds must be uint8, got {frames.dtype} and {backgrounds.dtype}")
    merged = np.empty_like(frames) if out is None else out
    if not mask.moves:
        np.copyto(merged, frames)
        return merged
    kept = np.repeat(mask.mask.view(np.uint8) * np.uint8(255), 3, axis=1).reshape(frames.shape[-3:])
    np.bitwise_xor(frames, backgrounds, out=merged)  # background ^ ((frame ^ background) & mask)
    np.bitwise_and(merged, kept, out=merged)
    return np.bitwise_xor(merged, backgrounds, out=merged)


def largest(rows: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """The ``count`` largest values of each row; among equals those of the lower index.

    rows: [B, N]    returns: [B, N], exactly ``count`` True in each row
    """
    if count == 0:
        return np.zeros(rows.shape, dtype=np.bool_)
    at = rows.shape[1] - count
    lowest = np.partition(rows, at, axis=1)[:, at : at + 1]
    taken = rows >= lowest
    if np.count_nonzero(taken) == count * len(rows):
        return taken
    surplus = np.count_nonzero(taken, axis=1) - count
    for row in np.flatnonzero(surplus):  # more are equal to the lowest than there is room for
        taken[row, np.flatnonzero(rows[row] == lowest[row])[-surplus[row] :]] = False
    return taken


def gauss_window(height: int, width: int) -> Picture:
    """A centred Gaussian of peak 1, its deviation a quarter of either side.

    returns: [H, W]
    """
    rows, columns = (
        np.exp(-(((np.arange(side) - (side - 1) / 2) / (side * GAUSS_SHARE)) ** 2) / 2) for side in (height, width)
    )
    return np.outer(rows, columns).astype(np.float32)


def cell_of(length: int) -> NDArray[np.int64]:
    """Index of the grid's cell that each of ``length`` pixels lies in; cell i starts at i * length // 4."""
    edges = [i * length // GRID for i in range(1, GRID)]
    return np.searchsorted(edges, np.arange(length), side="right")


# -- steps of the chain ------------------------------------------------------------------------------------------------


class _ByteSum:
    """Sum of arrays with values of bytes: 16 bits a number, which are carried over before they are full."""

    FULL = (2**16 - 1) // 255

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._near = np.zeros(shape, dtype=np.uint16)
        self._far: NDArray[np.uint32] | None = None
        self._room = self.FULL

    def add(self, values: NDArray[np.int16]) -> None:
        if not self._room:
            self._far, self._room = self._total().astype(np.uint32), self.FULL
            self._near[:] = 0
        np.add(self._near, values.view(np.uint16), out=self._near)
        self._room -= 1

    def take(self) -> NDArray[np.float32]:
        """The sum, which then starts anew."""
        total = self._total().astype(np.float32)
        self._near[:] = 0
        self._far, self._room = None, self.FULL
        return total

    def _total(self) -> NDArray[Any]:
        return self._near if self._far is None else self._far + self._near


def _mean(total: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Of ``count`` sums of bytes, in units of 0..1; in place. Rounded twice, as tensors of bytes are."""
    total /= count
    total /= 255
    return total


def _blur_matrix(length: int, taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """[length, length]: row i holds the weights of pixel i's neighbours, mirrored at the borders without the edge."""
    sources = np.pad(np.arange(length), len(taps) // 2, mode="reflect")
    matrix = np.zeros((length, length))
    for offset, tap in enumerate(taps):
        np.add.at(matrix, (np.arange(length), sources[offset : offset + length]), tap)
    return matrix


def _blur_rows(matrix: NDArray[np.float64], reach: int, picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """matrix @ picture, without the parts of the matrix that are 0.

    In float64, so that pixels with equal surroundings stay equal when cut to float32, wherever they lie.
    """
    blurred = np.empty_like(picture)
    for start in range(0, len(picture), _BLOCK):
        stop, first = start + _BLOCK, max(start - reach, 0)
        near = slice(first, stop + reach)
        blurred[start:stop] = matrix[start:stop, near] @ picture[near]
    return blurred


def _scale(picture: Picture) -> Picture:
    picture = picture - picture.min()
    return picture / (picture.max() + np.float32(EPS))


def _top(picture: Picture, count: int) -> NDArray[np.bool_]:
    return largest(picture.reshape(1, -1), count).reshape(picture.shape)


def _grid(seed: Picture) -> tuple[NDArray[np.bool_], Picture]:
    rows, columns = cell_of(seed.shape[0]), cell_of(seed.shape[1])
    sums = (np.arange(GRID)[:, None] == rows).astype(np.float32) @ seed @ (columns[:, None] == np.arange(GRID))
    at = np.ix_(rows, columns)
    return _top(sums, GRID_CELLS)[at], _scale(sums)[at]


def _colour_codes(picture: NDArray[np.float32], hue: Hue) -> NDArray[np.int64]:
    """picture: [3, H, W] RGB in 0..1    returns: [H, W]"""
    red, green, blue = picture
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    divisor = np.maximum(spread, np.float32(TINY))
    rc, gc, bc = value - picture  # 0 where the channel is the largest
    angle, green, red = gc - rc, rc - bc, bc - gc
    angle += 4 * divisor
    green += 2 * divisor
    from_red, from_green = rc == 0, gc == 0
    # sums of products, of which one factor is 1: choosing pixel by pixel is slower
    red *= from_red
    green *= from_green & ~from_red
    angle *= ~(from_red | from_green)
    angle += green
    angle += red
    angle /= divisor
    angle /= 6
    angle -= np.floor(angle)
    angle *= 2 * math.pi
    if hue == "reference":
        angle *= 2 * math.pi
    saturation = spread / (value + np.float32(EPS))
    a, b = np.cos(angle), np.sin(angle)
    for part in (a, b):
        part *= saturation
        part += 1
        part /= 2
    codes = _level(a)
    codes += (_level(b) - 1) * LEVELS
    codes += (_level(value) - 1) * LEVELS**2
    return codes.astype(np.int64)


def _level(share: Picture) -> Picture:
    """0..1 → 1..10, half to even; in place."""
    share *= LEVELS - 1
    share += 1
    return np.rint(share, out=share)


def _posterior(codes: NDArray[np.int64], seed: Picture) -> Picture:
    """seed: [H, W] scaled    returns: [H, W]"""
    foreground = _histogram(codes, _top(seed, int(FOREGROUND_SHARE * seed.size)))
    background = _histogram(codes, ~_top(seed, seed.size - int(BACKGROUND_SHARE * seed.size)))
    background += 1
    foreground /= foreground.sum() + np.float32(EPS)
    background /= background.sum() + np.float32(EPS)
    return (foreground / (foreground + background))[codes]


def _histogram(codes: NDArray[np.int64], sample: NDArray[np.bool_]) -> NDArray[np.float32]:
    counts = np.bincount((codes * sample).ravel(), minlength=NUM_COLOURS).astype(np.float32)
    counts[0] = 0  # pixels outside the sample
    return counts
