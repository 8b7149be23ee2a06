"""Letter boxes and pillar boxes that come and go: found anew where the picture around them changes.

A clip that keeps its bars inside a film without bars has them for some frames only. Frames are taken in order and
gathered into runs that share their bars; a run ends at a frame that fills the bars, or that has wider ones of its own.
Copies of a video give the same runs, since they show the same frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidlang.video.borders import Borders, borders_of

Frames = NDArray[np.uint8]
Sides = NDArray[np.int64]
"""[4] top, bottom, left, right, pixels of the whole frame."""

LOOKED_AT = 160
"""Pixels of the shorter side that bars are looked for in: larger frames are thinned, so that bars are known to a few
pixels, and looking costs less than decoding."""
SAME = 0.02
"""Share of a side by which bars of one run may differ."""
LEAST_RUN = 2
"""Frames that must share bars before they are cut off, where there are more frames."""


@dataclass
class _Seen:
    """Frames that share their bars: their extremes, the bars, and how many they are."""

    low: Frames
    high: Frames
    bars: Sides
    length: int = 1

    @classmethod
    def of(cls, thin: Frames, step: int) -> _Seen:
        return cls(thin, thin, _sides(borders_of([thin]), step))

    def with_frame(self, thin: Frames, step: int) -> _Seen:
        """These frames and one more."""
        low, high = np.minimum(self.low, thin), np.maximum(self.high, thin)
        bars = np.minimum(self.bars, _sides(borders_of((low, high)), step))
        return _Seen(low, high, bars, self.length + 1)


@dataclass
class _Run:
    """Neighbouring frames of a batch that share their bars."""

    first: int
    last: int
    seen: _Seen


class ShotBorders:
    """Cuts bars off the frames of one video, batch by batch, in order."""

    def __init__(self) -> None:
        self._seen: _Seen | None = None
        self._wider: _Seen | None = None
        """The last frames of the run, where their own bars are wider than the run's."""
        self._num_frames = 0
        self.num_cropped = 0
        """Frames that lost bars so far."""
        self.widest: Borders | None = None
        """The widest bars cut off so far."""

    def crop(self, frames: Frames) -> list[Frames]:
        """Each frame without its bars. frames: [N, H, W, 3]    returns: N views [h, w, 3], of one size in each run"""
        height, width = frames.shape[1:3]
        step = max(1, min(height, width) // LOOKED_AT)
        tolerance = SAME * np.array([height, height, width, width])
        runs: list[_Run] = []
        for number, frame in enumerate(frames):
            back = self._take(np.ascontiguousarray(frame[::step, ::step]), step, tolerance)
            assert self._seen is not None
            if back == 0 and runs:
                runs[-1].last, runs[-1].seen = number + 1, self._seen
                continue
            first = max(number + 1 - back, 0) if back else 0
            while runs and runs[-1].first >= first:
                runs.pop()
            if runs:
                runs[-1].last = first
            runs.append(_Run(first, number + 1, self._seen))
        self._num_frames += len(frames)
        return [picture for run in runs for picture in self._cut(frames, run)]

    def _take(self, thin: Frames, step: int, tolerance: NDArray[np.float64]) -> int:
        """Puts one frame into the run; returns 0, or of how many last frames another run consists.

        A frame with wider bars of its own may only be dark at the edge, so it takes two of them to begin a run.
        """
        own, seen, wider = _Seen.of(thin, step), self._seen, self._wider
        self._wider = None
        if seen is None or seen.low.shape != thin.shape:
            self._seen = own
            return 1
        joint = seen.with_frame(thin, step)
        if (joint.bars < seen.bars - tolerance).any():
            self._seen = own
            return 1
        self._seen = joint
        if (own.bars > joint.bars + tolerance).any():
            self._wider = own if wider is None else wider.with_frame(thin, step)
            if self._wider.length >= LEAST_RUN and (self._wider.bars > joint.bars + tolerance).any():
                self._seen, self._wider = self._wider, None
                return self._seen.length
        return 0

    def _cut(self, frames: Frames, run: _Run) -> list[Frames]:
        alone = self._num_frames == 1  # one frame is all there is to look at
        pictures = frames[run.first : run.last]
        if not run.seen.bars.any() or (run.seen.length < LEAST_RUN and not alone):
            return list(pictures)
        top, bottom, left, right = (int(side) for side in run.seen.bars)
        borders = Borders((int(frames.shape[1]), int(frames.shape[2])), top, bottom, left, right)
        self.num_cropped += len(pictures)
        if self.widest is None or run.seen.bars.sum() > _sides(self.widest, 1).sum():
            self.widest = borders
        return list(borders.crop(pictures))


def _sides(borders: Borders, step: int) -> Sides:
    return np.array([borders.top, borders.bottom, borders.left, borders.right], dtype=np.int64) * step
