"""Which frames make which snippet: arithmetic only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vidlang.core.features import Sampling

SAME_MOMENT = 1e-6
"""Snippets. A frame that starts this close before a snippet's start, or its midpoint, starts at it: times such as
7 / 30 s and 14 / 60 s must not differ by their rounding."""

MIDDLE, START, HALF = 0.5, 0.0, 0.5


class SnippetSampler:
    """Told of every frame in order, says which snippet rows the frame counts for.

    By stride: snippet t is the frames ``[16 t, 16 t + 16)``; its middle is frame ``16 t + 8``, its first ``16 t``. An
    incomplete tail is dropped, as in the published features (``frames // 16`` rows). A video shorter than one snippet
    has one row, whose middle is its own middle frame, ``num_frames // 2``.

    By fps: snippet k is ``[k / fps, (k + 1) / fps)`` seconds; its middle is the frame shown at the midpoint, its first
    the one shown at its start; mean takes the frames that start inside, or the one held on where none does. A tail is
    dropped where less than half of it exists; there is at least one row.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._num_frames = 0
        self._end = 0.0
        self._rows_given = 0
        self._frames: list[tuple[int, int]] = []
        self._seconds: list[tuple[float, float]] = []
        self.late: list[tuple[int, tuple[int, ...]]] = []
        """After ``finish``: (frame index, rows) of rows that no frame counted for while it passed. These are the
        middle of a video shorter than one snippet, and a last snippet that ends before its midpoint."""

    def rows_of(self, index: int, start: float, end: float) -> tuple[int, ...]:
        """The rows that this frame counts for; empty: not wanted. A dropped tail may make the last of them void.

        Raises:
            ValueError: a frame is left out.
        """
        if index != self._num_frames:
            raise ValueError(f"frames come in order: expected frame {self._num_frames}, got {index}")
        self._num_frames, self._end = index + 1, end
        rows = self._stride_rows(index, start, end) if self._sampling.fps is None else self._fps_rows(index, start, end)
        if rows:
            self._rows_given = rows[-1] + 1
        return rows

    @property
    def num_sure(self) -> int:
        """Rows that stay whatever comes: the snippets that are complete, or half there by fps."""
        if self._sampling.fps is None:
            return self._num_frames // self._sampling.stride
        return math.floor(self._end * self._sampling.fps + HALF + SAME_MOMENT)

    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """After the last frame: frame spans [T, 2] and seconds [T, 2] of the rows; T is final.

        Raises:
            ValueError: no frame came.
        """
        if not self._num_frames:
            raise ValueError("a video without frames has no snippets")
        num_rows = max(1, self.num_sure)
        if self._sampling.fps is not None:
            self._hold_until(num_rows, self._num_frames - 1)
            self._seconds = [self._fps_seconds(row) for row in range(num_rows)]
        self._find_late_rows(num_rows)
        frames = np.array(self._frames[:num_rows], dtype=np.int64).reshape(-1, 2)
        return frames, np.array(self._seconds[:num_rows], dtype=np.float64).reshape(-1, 2)

    def _stride_rows(self, index: int, start: float, end: float) -> tuple[int, ...]:
        row, place = divmod(index, self._sampling.stride)
        if place == 0:
            self._frames.append((index, index + 1))
            self._seconds.append((start, end))
        else:
            self._frames[row] = (self._frames[row][0], index + 1)
            self._seconds[row] = (self._seconds[row][0], end)
        picked = {"first": 0, "middle": self._sampling.stride // 2, "mean": place}[self._sampling.pick]
        return (row,) if place == picked else ()

    def _fps_rows(self, index: int, start: float, end: float) -> tuple[int, ...]:
        own = self._row_from(start)
        self._hold_until(own, index - 1)
        if own < len(self._frames):
            self._frames[own] = (self._frames[own][0], index + 1)
        else:
            self._frames.append((index, index + 1))
        if self._sampling.pick == "mean":
            return (own, *range(own + 1, self._row_from(end)))
        place = MIDDLE if self._sampling.pick == "middle" else START
        return tuple(range(self._rows_before(start, place), self._rows_before(end, place)))

    def _row_from(self, seconds: float) -> int:
        """The snippet in which a moment lies."""
        assert self._sampling.fps is not None
        return math.floor(seconds * self._sampling.fps + SAME_MOMENT)

    def _rows_before(self, seconds: float, place: float) -> int:
        """How many snippets have their picked moment before this time; ``place`` 0 is their start, 0.5 their middle."""
        assert self._sampling.fps is not None
        return max(0, math.ceil(seconds * self._sampling.fps - place - SAME_MOMENT))

    def _hold_until(self, row: int, index: int) -> None:
        """Snippets in which no frame starts show the frame before them."""
        while len(self._frames) < row:
            self._frames.append((index, index + 1))

    def _fps_seconds(self, row: int) -> tuple[float, float]:
        assert self._sampling.fps is not None
        return row / self._sampling.fps, min((row + 1) / self._sampling.fps, max(self._end, row / self._sampling.fps))

    def _find_late_rows(self, num_rows: int) -> None:
        own_middle = self._num_frames // 2
        if self._sampling.fps is None:
            short = self._num_frames < self._sampling.stride
            if short and self._sampling.pick == "middle":
                self.late = [(own_middle, (0,))]
        elif self._rows_given < num_rows:
            index = own_middle if num_rows == 1 else self._num_frames - 1
            self.late = [(index, tuple(range(self._rows_given, num_rows)))]
