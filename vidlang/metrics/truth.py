"""True events laid over scored rows.

A score is constant over its row, so a row needs no more than two pieces: the part that true events cover and the part
that they leave. Each piece is weighted by its length on the ruler of the truth (frames or seconds). A weighted metric
over these pieces equals the plain metric over every single frame, without the sixteenfold arrays.

Rules:

- Truth in frames: a row owns the frames of its span, a frame is true if it lies in a true span. Frames that no row owns
  (the dropped tail of a video) do not count, and a true span beyond them is lost, as in the published evaluations.
- Truth in seconds: a row owns its interval on the presentation clock; a piece weighs its exact duration.
- Where one set mixes both rulers, everything is measured in seconds, and frame indices become seconds by the two rulers
  of the rows themselves, linearly inside a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.core.labels import Label, LabelledSegment

Ruler = Literal["frames", "seconds"]


@dataclass(frozen=True, eq=False)
class Pieces:
    """Parts of rows, each wholly true or wholly false, P of them."""

    rows: NDArray[np.int64]
    """[P] row index."""
    truth: NDArray[np.bool_]
    """[P]"""
    weights: NDArray[np.float64]
    """[P] frames or seconds, positive."""


def ruler_of(labels: Iterable[Label]) -> Ruler:
    """``frames`` if no true event is given in seconds, else ``seconds``."""
    in_seconds = any(event.segment is not None for label in labels for event in label.segments)
    return "seconds" if in_seconds else "frames"


def bounds(
    event: LabelledSegment, ruler: Ruler, frames: NDArray[np.int64], seconds: NDArray[np.float64]
) -> tuple[float, float]:
    """Start and end of a true event on the asked ruler of its video's rows.

    frames: [T, 2]    seconds: [T, 2]

    Raises:
        ValueError: an event in seconds is asked for in frames.
    """
    if ruler == "frames":
        if event.span is None:
            raise ValueError(f"the true event {event} is in seconds; measure its set with ruler='seconds'")
        return float(event.span[0]), float(event.span[1])
    if event.segment is not None:
        return event.segment.start, event.segment.end
    assert event.span is not None
    start, end = np.interp(event.span, np.append(frames[:, 0], frames[-1, 1]), np.append(seconds[:, 0], seconds[-1, 1]))
    return float(start), float(end)


def union(events: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Disjoint sorted intervals that cover the same points."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(events):
        if end <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def cut_rows(intervals: NDArray[np.float64], events: Sequence[tuple[float, float]]) -> Pieces:
    """Rows cut into what the events cover and what they leave.

    intervals: [T, 2] rows on one ruler    events: on the same ruler, may overlap

    Example: rows [0, 16) and [16, 32), event [8, 20) → row 0 has 8 true and 8 false frames, row 1 has 4 and 12.
    """
    starts, ends = np.asarray(intervals, dtype=np.float64).reshape(-1, 2).T
    lengths = ends - starts
    edges = np.array(union(events), dtype=np.float64).reshape(-1)
    if len(edges):
        # Covered length up to each edge: grows inside an event, stays between events.
        covered_at = np.cumsum(np.concatenate(([0.0], np.diff(edges) * (np.arange(len(edges) - 1) % 2 == 0))))
        covered = np.interp(ends, edges, covered_at) - np.interp(starts, edges, covered_at)
    else:
        covered = np.zeros(len(lengths))
    # What rounding leaves of a wholly covered row is not a piece.
    covered = np.where(covered > lengths * (1 - 1e-9), lengths, np.where(covered < lengths * 1e-9, 0.0, covered))
    rows = np.repeat(np.arange(len(lengths), dtype=np.int64), 2)
    truth = np.tile(np.array([False, True]), len(lengths))
    weights = np.stack([lengths - covered, covered], axis=1).reshape(-1)
    kept = weights > 0
    return Pieces(rows[kept], truth[kept], weights[kept])


def frames_of_truth(
    events: Sequence[LabelledSegment],
    frames: NDArray[np.int64],
    seconds: NDArray[np.float64],
    num_frames: int | None = None,
) -> NDArray[np.uint8]:
    """1 for each frame inside a true event, 0 elsewhere; the long form of ``cut_rows``, for people and for checks.

    frames: [T, 2]    seconds: [T, 2]    num_frames: default the end of the last row    returns: [num_frames]

    An event in seconds holds a frame whose middle it holds; what lies beyond ``num_frames`` is lost.
    """
    count = int(frames[-1, 1]) if num_frames is None else num_frames
    truth = np.zeros(count, dtype=np.uint8)
    knots = np.append(seconds[:, 0], seconds[-1, 1]), np.append(frames[:, 0], frames[-1, 1]).astype(np.float64)
    for event in events:
        if event.span is not None:
            first, last = event.span
        else:
            assert event.segment is not None
            start, end = np.interp((event.segment.start, event.segment.end), *knots)
            first, last = int(np.ceil(start - 0.5)), int(np.ceil(end - 0.5))
        truth[first:last] = 1
    return truth
