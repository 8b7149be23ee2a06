"""Intervals in seconds, and how rows become them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, order=True)
class Segment:
    """Seconds, half-open ``[start, end)``; ordered by start, then end. An empty segment is falsy."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start) and np.isfinite(self.end)):
            raise ValueError(f"a segment needs finite times, got [{self.start}, {self.end})")
        if self.end < self.start:
            raise ValueError(f"a segment ends before it starts: [{self.start}, {self.end})")

    def __bool__(self) -> bool:
        return self.end > self.start

    @property
    def duration(self) -> float:
        return self.end - self.start

    def overlap(self, other: Segment) -> float:
        """Seconds that both share."""
        return max(0.0, min(self.end, other.end) - max(self.start, other.start))

    def iou(self, other: Segment) -> float:
        """Temporal intersection over union; 0 when both are empty."""
        shared = self.overlap(other)
        union = self.duration + other.duration - shared
        return shared / union if union > 0 else 0.0

    def to_numpy(self) -> NDArray[np.float64]:
        """[2]: start and end in seconds."""
        return np.array([self.start, self.end], dtype=np.float64)

    def to_dict(self) -> dict[str, float]:
        """Ready for JSON."""
        return {"start": float(self.start), "end": float(self.end)}


def merge(segments: Iterable[Segment], gap: float = 0.0) -> list[Segment]:
    """Sorted segments with those joined that overlap or lie at most ``gap`` seconds apart."""
    merged: list[Segment] = []
    for segment in sorted(segments):
        if merged and segment.start <= merged[-1].end + gap:
            merged[-1] = Segment(merged[-1].start, max(merged[-1].end, segment.end))
        else:
            merged.append(segment)
    return merged


def runs(rows: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open index runs of True: ``[F T T F T]`` gives ``[(1, 3), (4, 5)]``."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], np.asarray(rows, dtype=bool), [False])).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def run_segment(seconds: NDArray[np.float64], run: tuple[int, int]) -> Segment:
    """From the start of a run's first row to the end of its last.

    seconds: [T, 2]
    """
    first, last = run
    return Segment(float(seconds[first, 0]), float(seconds[last - 1, 1]))
