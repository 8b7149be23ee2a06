"""Letter boxes and pillar boxes: the bars of one colour around a picture, which every frame of a video shares.

A bar reaches from an edge of the frame to a straight, sharp line along the picture, and has one colour, any, in all of
its pixels at all times. A dark scene is none: it moves, or fades into the picture without a line. What is cut off shows
nothing, but for a logo or a subtitle on the bar.

A blank wall that is overexposed evenly, up to a straight line, passes for a bar: it shows as little.

Not found: bars of a blurred copy of the picture, bars with a pattern, and turned pictures. Bars that come and go within
a video are the work of ``shot_borders``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vidlang.video.source import Pixels

TOLERANCE, MOST_TOLERANCE, CONTRAST = 10, 30, 6
"""Grey levels around a bar's colour, in any channel: noise of compression, and less than a wall's shading. Where the
picture has more contrast, a sixth of its median, but no more than 30."""
CLEAN = 0.9
"""Share of a bar's pixels that have its colour; the others are a logo or a subtitle."""
CLEAN_LINE = 0.95
"""The same share along the line beside the picture."""
BUSY_LINE = 0.55
"""Share of the line on the other side that some frame fills with another colour."""
LEAST_BLUR, BLUR = 8, 0.01
"""Pixels, and share of a side, over which compression and scaling may smear the line between them."""
MOST, LEAST = 0.45, 0.01
"""Share of a side that one bar takes."""
LEAST_AREA = 0.2
"""Share of the frame that must remain."""
ACTIVE = 0.1
"""A place along the line whose own line across has no larger share of other colours seems to belong to a bar on one of
the other two sides."""
PLACES_ACROSS = 256
"""Places along a line that are looked at."""


@dataclass(frozen=True)
class Borders:
    """Pixels to cut off each side of frames of ``size``."""

    size: tuple[int, int]
    """(height, width)"""
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return any((self.top, self.bottom, self.left, self.right))

    def __str__(self) -> str:
        """``60 px top, 60 px bottom of 480 x 360``, width first."""
        sides = ", ".join(f"{getattr(self, side)} px {side}" for side in ("top", "bottom", "left", "right"))
        kept = ", ".join(part for part in sides.split(", ") if not part.startswith("0 "))
        return f"{kept or 'nothing'} of {self.size[1]} x {self.size[0]}"

    def crop(self, frames: Pixels) -> Pixels:
        """The picture alone, a view. frames: [..., H, W, 3] of any size; a line that the scale cuts is cut off."""
        height, width = frames.shape[-3:-1]
        down, across = height / self.size[0], width / self.size[1]
        # 1e-6: at a scale of 1 nothing is rounded.
        top, left = (
            min(int(np.ceil(cut * scale - 1e-6)), side - 1)
            for cut, scale, side in ((self.top, down, height), (self.left, across, width))
        )
        end, right = (
            int(np.floor((side - cut) * scale + 1e-6))
            for side, cut, scale in ((self.size[0], self.bottom, down), (self.size[1], self.right, across))
        )
        return frames[..., top : max(end, top + 1), left : max(right, left + 1), :]


def borders_of(frames: Iterable[Pixels]) -> Borders:
    """The bars that all of these frames share. frames: at least one, [H, W, 3] of one size

    Raises:
        ValueError: there is no frame.
    """
    low = high = None
    for frame in frames:
        if low is None or high is None:
            low, high = frame.copy(), frame.copy()
        else:
            np.minimum(low, frame, out=low)
            np.maximum(high, frame, out=high)
    if low is None or high is None:
        raise ValueError("borders are looked for in at least one frame, got none")
    height, width = low.shape[:2]
    top = left = 0
    bottom, right = height, width
    # Bars on all four sides hide each other's lines. The first pass guesses which places along a line belong to bars
    # across; the second looks along all that the first left over.
    for guess in (True, False):
        rows = slice(top, bottom)
        left, right = _bars(low[rows].swapaxes(0, 1), high[rows].swapaxes(0, 1), guess)
        columns = slice(left, right)
        top, bottom = _bars(low[:, columns], high[:, columns], guess)
    if (bottom - top) * (right - left) < LEAST_AREA * height * width:
        return Borders((height, width))
    return Borders((height, width), top, height - bottom, left, width - right)


def _bars(low: Pixels, high: Pixels, guess: bool) -> tuple[int, int]:
    """First row of the picture and the row after its last. low, high: [L, M, 3] extremes over time"""
    every = -(-low.shape[1] // PLACES_ACROSS)
    low, high = low[:, ::every], high[:, ::every]
    return _bar(low, high, guess), len(low) - _bar(low[::-1], high[::-1], guess)


def _bar(low: Pixels, high: Pixels, guess: bool) -> int:
    """Rows of the bar at the start; 0 where there is none. guess: leave out what seems to be bars across"""
    length = len(low)
    least, most = max(2, round(LEAST * length)), int(MOST * length)
    blur = max(LEAST_BLUR, round(BLUR * length))
    colour = np.median(np.concatenate([low[:least].reshape(-1, 3), high[:least].reshape(-1, 3)]), axis=0)
    # int16: differences of bytes wrap around.
    colour = colour.astype(np.int16)
    away = np.maximum(high.astype(np.int16) - colour, colour - low.astype(np.int16)).max(axis=-1)  # [L, M]
    active = (away > TOLERANCE).mean(axis=0) > ACTIVE
    if not active.any():
        return 0
    if guess:
        away = away[:, active]
    # Compression smears the picture's contrast onto the bar. A dark scene that brightens away from the edge takes many
    # lines from one level to its double, a bar at most a few.
    level = float(np.median(away[away > TOLERANCE])) / CONTRAST
    level = min(max(level, TOLERANCE), MOST_TOLERANCE)
    share = (away > level).mean(axis=1)  # [L]
    busy = np.flatnonzero((away > 2 * level).mean(axis=1) >= BUSY_LINE)
    rows = np.arange(least, most + 1)
    clean = rows[(np.cumsum(share)[rows - 1] / rows <= 1 - CLEAN) & (share[rows - 1] <= 1 - CLEAN_LINE)]
    for row in clean[::-1]:
        place = np.searchsorted(busy, row)
        if place < len(busy) and busy[place] < row + blur:
            return min(int(busy[place]), most)
    return 0
