"""How far the whole picture moved from one frame to the next, and what differs besides.

A camera that pans shifts everything. Phase correlation of small grey pictures finds the shift coarsely, however large
it is; least squares on larger ones finds it to a fraction of a pixel, and there pixels that move on their own count
little. Cameras that turn or zoom are not modelled: what they change stays in the difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Grey = NDArray[np.float32]

COARSE_SIDE, FINE_SIDE = 64, 128
"""Pixels that the shorter side of the two grey pictures has at least, where the frame has them."""
SMALLEST_SIDE = 16
"""Pixels. In a smaller frame no shift is looked for."""
LARGEST_SHARE = 0.25
"""Of height or width: a larger shift leaves too little picture to tell it by."""
LEAST_GAIN = 0.15
"""Share of the difference that a shift has to explain before it is believed."""
CELLS, LEAST_CELLS, LEAST_SIDES = 4, 6, 3
"""The picture in 4 x 4 cells. A shift has to explain the difference in so many of them, and along so many of the four
sides: one figure in front of a plain wall moves too, and only a camera moves what is all around."""
CLIPPED = 24.0
"""Grey levels from which a difference counts no more: where things move on their own."""
NOISE = 0.5
"""Grey levels that a cell has to differ by to say anything."""
WHOLE = 0.06
"""Pixels. A shift this near to whole pixels is one, and needs no interpolation."""
ROUNDS, ENOUGH = 5, 0.01
"""Most rounds of least squares, and the step in pixels after which there is no other."""


@dataclass(frozen=True)
class Shift:
    """Where the picture went from one frame to the next: what was at ``(y, x)`` is at ``(y + down, x + right)``."""

    down: float
    """Pixels."""
    right: float
    """Pixels."""
    gain: float = 0.0
    """In [0, 1]: share of the difference that goes away with the shift; how sure it is."""

    @property
    def is_still(self) -> bool:
        return self.down == 0 and self.right == 0


STILL = Shift(0.0, 0.0)


class ShiftFinder:
    """Told of frames in order, says how far the picture went since the frame before."""

    def __init__(self) -> None:
        self._before: _Pyramid | None = None

    def push(self, frame: Pixels) -> Shift:
        """The shift since the last frame; ``STILL`` for the first one and where no shift explains the pair better.

        frame: [H, W, 3], all of one size
        """
        before, after = self._before, _Pyramid.of(frame)
        self._before = after
        return STILL if before is None or after is None else _find(before, after)


def difference(before: Pixels, after: Pixels, shift: Shift = STILL) -> tuple[Pixels, tuple[slice, slice]]:
    """Absolute difference of two frames once the first one is moved by a shift.

    before, after: [H, W, 3]    returns: [h, w, 3] grey levels, and the rows and columns of ``after`` that they are of:
    what comes into view at the borders has nothing to be compared with
    """
    moved, seen, place = _moved(before, after, shift.down, shift.right)
    return np.maximum(moved, seen) - np.minimum(moved, seen), place


@dataclass(frozen=True, eq=False)
class _Pyramid:
    """Two grey pictures of a frame, of the smaller one its spectrum."""

    spectrum: NDArray[Any]
    coarse_size: tuple[int, int]
    coarse_factor: int
    """Pixels of the frame, along a side, behind one of the coarse picture."""
    fine: Grey
    fine_factor: int

    @classmethod
    def of(cls, frame: Pixels) -> _Pyramid | None:
        """None for a frame that is too small."""
        side = min(frame.shape[:2])
        if side < SMALLEST_SIDE:
            return None
        fine_factor = max(1, side // FINE_SIDE)
        fine = _reduced(frame[..., 1], fine_factor)  # green: most of the brightness, and nothing to convert
        times = max(1, min(fine.shape) // COARSE_SIDE)
        coarse = _reduced(fine, times)
        window = np.outer(np.hanning(coarse.shape[0]), np.hanning(coarse.shape[1])).astype(np.float32)
        spectrum = np.fft.rfft2((coarse - coarse.mean()) * window)
        return cls(spectrum, (coarse.shape[0], coarse.shape[1]), fine_factor * times, _smooth(fine), fine_factor)


def _find(before: _Pyramid, after: _Pyramid) -> Shift:
    """The first candidate that explains enough of the difference; ``STILL`` where none does."""
    factor, scale = before.fine_factor, before.coarse_factor / before.fine_factor
    coarse = _phase_correlation(before, after)
    for row, column in dict.fromkeys([coarse, (0.0, 0.0)]):
        down, right = _refined(before.fine, after.fine, row * scale, column * scale)
        gain = _gain(before.fine, after.fine, down, right)
        if gain:
            found = Shift(_snapped(down * factor), _snapped(right * factor), gain)
            return STILL if found.is_still else found
    return STILL


def _phase_correlation(before: _Pyramid, after: _Pyramid) -> tuple[float, float]:
    """The shift in pixels of the coarse pictures, whole ones."""
    cross = after.spectrum * before.spectrum.conj()
    size = np.abs(cross)
    # frequencies in which there is next to nothing are noise, and would count as much as the others
    peaks = np.fft.irfft2(cross / (size + 0.1 * size.mean() + 1e-6), s=before.coarse_size)
    row, column = np.unravel_index(int(peaks.argmax()), peaks.shape)
    height, width = before.coarse_size
    return (float((row + height // 2) % height - height // 2), float((column + width // 2) % width - width // 2))


def _refined(before: Grey, after: Grey, down: float, right: float) -> tuple[float, float]:
    """The shift near a first guess with the least squared difference, large differences counting little.

    Source: Lucas and Kanade, "An iterative image registration technique", 1981; weights of Geman and McClure.
    """
    for _ in range(ROUNDS):
        if not _is_possible(before, down, right):
            break
        moved, seen, _ = _moved(before, after, down, right)
        mean = (moved + seen) / 2
        slope_y = ((mean[2:, 1:-1] - mean[:-2, 1:-1]) / 2)[::2]  # every other row says enough
        slope_x = ((mean[1:-1, 2:] - mean[1:-1, :-2]) / 2)[::2]
        rest = (seen - moved)[1:-1:2, 1:-1]
        usual = 2 * float(np.median(np.abs(rest[:, ::2]))) + NOISE
        weight = 1 / (1 + (rest / usual) ** 2) ** 2
        weighted_y, weighted_x = weight * slope_y, weight * slope_x
        mixed = _dot(weighted_y, slope_x)
        matrix = np.array([[_dot(weighted_y, slope_y), mixed], [mixed, _dot(weighted_x, slope_x)]])
        matrix += np.eye(2) * (1e-6 * np.trace(matrix) + 1e-9)  # a plain picture, or stripes: no step along them
        step_y, step_x = -np.linalg.solve(matrix, [_dot(weighted_y, rest), _dot(weighted_x, rest)])
        length = math.hypot(step_y, step_x)
        shorter = min(1.0, 2.0 / max(length, 1e-9))
        down, right = down + float(step_y) * shorter, right + float(step_x) * shorter
        if length < ENOUGH:
            break
    return down, right


def _gain(before: Grey, after: Grey, down: float, right: float) -> float:
    """Share of the difference that a shift explains; 0 where it does not explain enough, or not all over the picture.

    Both differences are of the part of the picture that is seen before and after.
    """
    if not _is_possible(before, down, right):
        return 0.0
    moved, seen, place = _moved(before, after, down, right)
    with_it, without = _cells(moved, seen), _cells(before[place], seen)
    better = (with_it < (1 - LEAST_GAIN) * without) & (without > NOISE)
    sides = sum(bool(side.any()) for side in (better[0], better[-1], better[:, 0], better[:, -1]))
    gain = 1 - float(with_it.mean()) / max(float(without.mean()), 1e-9)
    all_over = better.sum() >= LEAST_CELLS and sides >= LEAST_SIDES
    return gain if gain >= LEAST_GAIN and all_over else 0.0


def _is_possible(picture: Grey, down: float, right: float) -> bool:
    height, width = picture.shape
    return abs(down) <= LARGEST_SHARE * height and abs(right) <= LARGEST_SHARE * width


def _cells(one: Grey, other: Grey) -> NDArray[np.float32]:
    """[4, 4] mean differences, each pixel's clipped."""
    rest = np.minimum(np.abs(one - other), CLIPPED)
    rows, columns = (np.linspace(0, side, CELLS + 1).astype(int) for side in rest.shape)
    sums = np.add.reduceat(np.add.reduceat(rest, rows[:-1], axis=0), columns[:-1], axis=1)
    cells: NDArray[np.float32] = sums / np.outer(np.diff(rows), np.diff(columns))
    return cells


def _moved(
    before: NDArray[Any], after: NDArray[Any], down: float, right: float
) -> tuple[NDArray[Any], NDArray[Any], tuple[slice, slice]]:
    """``before`` moved, ``after``, both where both are seen, and where that is in ``after``."""
    rows, moved = _along(before, down, 0)
    columns, moved = _along(moved, right, 1)
    return moved, after[rows, columns], (rows, columns)


def _along(picture: NDArray[Any], shift: float, axis: int) -> tuple[slice, NDArray[Any]]:
    """The picture moved along one axis, with linear interpolation, and which of the pixels it then covers."""
    length, whole = picture.shape[axis], math.floor(shift)
    part = shift - whole
    first, last = max(0, whole + (part > 0)), min(length, length + whole)
    near = _part(picture, axis, first - whole, last - whole)
    if part == 0:
        return slice(first, last), near
    far = _part(picture, axis, first - whole - 1, last - whole - 1)
    if picture.dtype == np.uint8:
        share = round(256 * part)
        mixed = near * np.uint16(256 - share) + far * np.uint16(share) + np.uint16(128)  # 255 * 256 + 128 still fits
        return slice(first, last), np.right_shift(mixed, 8).astype(np.uint8)
    return slice(first, last), near + np.float32(part) * (far - near)


def _part(picture: NDArray[Any], axis: int, first: int, last: int) -> NDArray[Any]:
    return picture[first:last] if axis == 0 else picture[:, first:last]


def _reduced(picture: NDArray[Any], factor: int) -> Grey:
    """Means of blocks of ``factor`` by ``factor`` pixels; what is left over at two edges is left out."""
    if factor == 1:
        return picture.astype(np.float32)
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    blocks = np.ascontiguousarray(picture[: height * factor, : width * factor]).reshape(height, factor, -1)
    rows = blocks.sum(axis=1, dtype=np.float32)
    means: Grey = np.zeros((height, width), dtype=np.float32)
    for place in range(factor):  # a sum along the last, short axis takes three times as long
        means += rows[:, place::factor]
    return means / np.float32(factor**2)


def _smooth(picture: Grey) -> Grey:
    """Means over three by three pixels with weights 1, 2, 1: slopes are then true over more than a pixel."""
    edged = np.pad(picture, 1, mode="edge")
    rows = edged[:-2] + 2 * edged[1:-1] + edged[2:]
    smooth: Grey = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16
    return smooth


def _dot(one: Grey, other: Grey) -> float:
    return float(np.vdot(one, other))


def _snapped(shift: float) -> float:
    return float(round(shift)) if abs(shift - round(shift)) < WHOLE else shift
