"""Snippets of a stream while it goes on: the same rows as ``snippets.open_snippets``, in constant memory."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from vidlang.core.features import Sampling
from vidlang.video.live_events import LiveFrame
from vidlang.video.sampling import SAME_MOMENT, SnippetSampler
from vidlang.video.snippets import Picked

REMEMBERED = 4096
"""Rows whose rulers are kept, far more than are ever open at a time."""
EARLY = 64
"""First frames that are kept until it is sure that the stream is longer than one snippet, at most."""


@dataclass(frozen=True)
class LiveSnippet:
    """A row that is complete."""

    row: int
    """Counted from the start of the run."""
    frames: tuple[int, int]
    """Half-open, counted from the start of the stream."""
    seconds: tuple[float, float]
    """Half-open, since the start of the stream."""
    arrived: tuple[float, float]
    """Seconds since the epoch when its first and its last frame came."""


class _Recent(list[Any]):
    """A list that forgets what is long past: as long as all that was appended, but only the end is there."""

    def __init__(self) -> None:
        super().__init__()
        self._end: deque[Any] = deque(maxlen=REMEMBERED)
        self._length = 0

    def append(self, item: Any) -> None:
        self._end.append(item)
        self._length += 1

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        return self._end[index - self._length + len(self._end)]

    def __setitem__(self, index: Any, item: Any) -> None:
        self._end[index - self._length + len(self._end)] = item


class _LiveSampler(SnippetSampler):
    """Tells of every row once it is complete, and forgets it after a while."""

    def __init__(self, sampling: Sampling) -> None:
        super().__init__(sampling)
        self._frames, self._seconds = _Recent(), _Recent()

    @property
    def num_complete(self) -> int:
        """Rows that no further frame lies in."""
        if self._sampling.fps is None:
            return self._num_frames // self._sampling.stride
        return math.floor(self._end * self._sampling.fps + SAME_MOMENT)

    def place_of(self, index: int, start: float) -> int:
        """The row in which a frame starts."""
        return index // self._sampling.stride if self._sampling.fps is None else self._row_from(start)

    def rulers(self, row: int) -> tuple[tuple[int, int], tuple[float, float]]:
        """Frames and seconds of a complete row, or of the last one at the end."""
        if self._sampling.fps is None:
            return self._frames[row], self._seconds[row]
        self._hold_until(row + 1, self._num_frames - 1)
        return self._frames[row], self._fps_seconds(row)

    def finish_live(self) -> int:
        """After the last frame: the number of rows; ``late`` then names those that still lack their frame."""
        num_rows = max(1, self.num_sure)
        self._find_late_rows(num_rows)
        return num_rows


class LiveSnippets:
    """Told of the frames of one run in order, picks those that stand for snippets.

    Picked frames come out once their rows are sure to stay, and rows once they are complete; a frame of pick ``mean``
    comes at once, and those of rows that never complete are to be left out. A stream shorter than one snippet gives one
    row, as files do.

    first_frame: the number of the run's first frame in the stream
    """

    def __init__(self, sampling: Sampling, first_frame: int = 0) -> None:
        self._sampling, self._first_frame = sampling, first_frame
        self._sampler = _LiveSampler(sampling)
        self._base: float | None = None
        self._unsure: list[Picked] = []
        self._early: list[tuple[int, LiveFrame]] = []
        self._last: LiveFrame | None = None
        self._arrivals: dict[int, tuple[float, float]] = {}
        self._num_told = 0

    @property
    def num_frames(self) -> int:
        return 0 if self._last is None else self._last.index + 1

    def push(self, frame: LiveFrame, *, wanted: bool = True) -> tuple[list[Picked], list[LiveSnippet]]:
        """The next frame. ``wanted`` False: its rows go on without it."""
        self._base = frame.start if self._base is None else self._base
        start, end = frame.start - self._base, frame.end - self._base
        self._note_arrival(self._sampler.place_of(frame.index, start), frame.arrived)
        rows = self._sampler.rows_of(frame.index, start, end)
        self._last = frame
        self._keep_early(frame)
        if rows and wanted:
            self._unsure.append(Picked(frame.to_rgb(), rows))
        return self._sure(), self._complete(self._sampler.num_complete)

    def finish(self) -> tuple[list[Picked], list[LiveSnippet]]:
        """After the last frame of the run."""
        if self._last is None:
            return [], []
        num_rows = self._sampler.finish_live()
        late = {row for _, rows in self._sampler.late for row in rows}
        picked = []
        for one in self._unsure:
            kept = tuple(row for row in one.rows if row < num_rows and row not in late)
            if kept:
                picked.append(Picked(one.pixels, kept))
        for index, rows in self._sampler.late:
            picked.append(Picked(self._frame(index).to_rgb(), rows))
        self._unsure = []
        return picked, self._complete(num_rows)

    def _sure(self) -> list[Picked]:
        sure: list[Picked] = []
        while self._unsure and (self._sampling.pick == "mean" or self._unsure[0].rows[-1] < self._sampler.num_sure):
            sure.append(self._unsure.pop(0))
        return sure

    def _complete(self, num_rows: int) -> list[LiveSnippet]:
        done = []
        assert self._base is not None and self._last is not None
        while self._num_told < num_rows:
            row, self._num_told = self._num_told, self._num_told + 1
            (first, last), (start, end) = self._sampler.rulers(row)
            arrived = self._arrivals.pop(row, (self._last.arrived, self._last.arrived))
            frames = (self._first_frame + first, self._first_frame + last)
            done.append(LiveSnippet(row, frames, (self._base + start, self._base + end), arrived))
        return done

    def _note_arrival(self, row: int, arrived: float) -> None:
        first, _ = self._arrivals.get(row, (arrived, arrived))
        self._arrivals[row] = (first, arrived)

    def _keep_early(self, frame: LiveFrame) -> None:
        """The middle frame of a stream shorter than one snippet is known at its end only."""
        if self._sampler.num_sure:
            self._early = []
        elif len(self._early) < EARLY and self._sampling.pick == "middle":
            self._early.append((frame.index, frame))

    def _frame(self, index: int) -> LiveFrame:
        assert self._last is not None
        if index == self._last.index or not self._early:
            return self._last
        return min(self._early, key=lambda known: abs(known[0] - index))[1]
