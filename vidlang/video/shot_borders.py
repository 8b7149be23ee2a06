"""Letter boxes and pillar boxes that come and go: found anew where the picture around them changes.

A clip that keeps its bars inside a film without bars has them for some frames only. Frames are taken in order and
gathered into runs that share their bars; a run ends at a frame that fills the bars, or that has wider ones of its own.
Copies of a video give the same runs, since they show the same frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidlang.video.borders import Borders, borders_of

Frames = NDArray[np.uint8]

LOOKED_AT = 160
"""Pixels of the shorter side that bars are looked for in; larger frames are thinned, so bars are known to a few pixels."""
SAME = 0.02
"""Share of a side by which bars of one run may differ."""
LEAST_RUN = 2
"""Frames that must share bars before they are cut off; a video of one frame is taken as it is seen."""


class ShotBorders:
    """Cuts bars off the frames of one video, batch by batch, in order."""

    def __init__(self) -> None:
        self._low: Frames | None = None
        self._high: Frames | None = None
        self._bars = np.zeros(4, dtype=np.int64)
        self._length = 0
        self.most: tuple[int, Borders] = (0, Borders((0, 0)))
        """How many frames lost bars, and the widest bars cut."""

    def crop(self, frames: Frames) -> list[Frames]:
        """Each frame without its bars. frames: [N, H, W, 3]    returns: N views [h, w, 3], of a size per run"""
        runs: list[tuple[int, int, NDArray[np.int64], int]] = []  # first, last, bars, frames of the run so far
        size = (int(frames.shape[1]), int(frames.shape[2]))
        step = max(1, min(size) // LOOKED_AT)
        tolerance = np.array([SAME * size[0]] * 2 + [SAME * size[1]] * 2)
        for number, frame in enumerate(frames):
            thin = np.ascontiguousarray(frame[::step, ::step])
            own = _sides(borders_of([thin]), step)
            joint = self._joined(thin)
            bars = own if joint is None else _sides(borders_of(joint), step)
            goes_on = self._low is not None and (
                (bars >= self._bars - tolerance).all() and (own <= np.maximum(self._bars, 0) + tolerance).all()
            )
            if goes_on and joint is not None:
                self._low, self._high = joint
                self._bars, self._length = np.minimum(self._bars, bars), self._length + 1
            else:
                self._low, self._high = thin.copy(), thin.copy()
                self._bars, self._length = own, 1
            if goes_on and runs:
                runs[-1] = (runs[-1][0], number + 1, self._bars, self._length)
            else:
                runs.append((number, number + 1, self._bars, self._length))
        return [picture for run in runs for picture in self._cut(frames, size, *run)]

    def _joined(self, thin: Frames) -> tuple[Frames, Frames] | None:
        """The extremes of the run with one frame more; None where there is no run, or one of another size."""
        if self._low is None or self._high is None or self._low.shape != thin.shape:
            return None
        return np.minimum(self._low, thin), np.maximum(self._high, thin)

    def _cut(
        self, frames: Frames, size: tuple[int, int], first: int, last: int, bars: NDArray[np.int64], length: int
    ) -> Sequence[Frames]:
        if length < LEAST_RUN or not bars.any():
            return list(frames[first:last])
        top, bottom, left, right = (int(value) for value in bars)
        borders = Borders(size, top, bottom, left, right)
        widest = borders if top + bottom + left + right > _total(self.most[1]) else self.most[1]
        self.most = (self.most[0] + last - first, widest)
        return list(borders.crop(frames[first:last]))


def _sides(borders: Borders, step: int) -> NDArray[np.int64]:
    """Top, bottom, left, right in pixels of the whole frame."""
    return np.array([borders.top, borders.bottom, borders.left, borders.right], dtype=np.int64) * step


def _total(borders: Borders) -> int:
    return borders.top + borders.bottom + borders.left + borders.right
