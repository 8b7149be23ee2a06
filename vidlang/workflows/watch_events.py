"""Events of a stream while it goes on: rows of scores in, beginnings and ends out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput
from vidlang.video.live_snippets import LiveSnippet

SAME_MOMENT = 1e-6
"""Seconds."""


@dataclass(frozen=True, eq=False)
class ScoredRow:
    """A snippet and what is said of it."""

    snippet: LiveSnippet
    anomaly: float
    """In [0, 1]."""
    classes: NDArray[np.float32] | None
    """[C] probabilities, class 0 normal."""


@dataclass(frozen=True)
class EventRules:
    """What makes an event of scores."""

    threshold: float
    """Score from which an event begins."""
    end_threshold: float | None = None
    """Score under which it ends; None: ``threshold``."""
    min_seconds: float = 0.0
    """Shorter events are not told of; longer ones once they have lasted so long."""
    merge_gap: float = 0.0
    """Seconds of low scores that do not end an event."""

    def __post_init__(self) -> None:
        if self.end_threshold is not None and not 0 <= self.end_threshold <= self.threshold:
            raise BadInput(
                f"--end-threshold lies between 0 and the threshold {self.threshold:g}, got {self.end_threshold:g}."
            )
        if self.min_seconds < 0 or self.merge_gap < 0:
            raise BadInput(f"Seconds cannot be negative, got {min(self.min_seconds, self.merge_gap):g}.")

    @property
    def low(self) -> float:
        return self.threshold if self.end_threshold is None else self.end_threshold


@dataclass(frozen=True)
class EventChange:
    """An event began or ended."""

    kind: Literal["event_start", "event_end"]
    number: int
    """From 1."""
    seconds: tuple[float, float]
    """Since the start of the stream, half-open; of a beginning, so far."""
    arrived: tuple[float, float]
    """Seconds since the epoch when its first and its last frame came."""
    label: str
    score: float
    """The highest so far."""
    reason: str = ""
    """Of an end: ``below``, ``lost``, ``end``, ``interrupted`` or another word for why watching ended."""


class _Open:
    """An event that goes on."""

    def __init__(self, row: ScoredRow) -> None:
        self.first = self.last = row.snippet
        self.peak, self.number = row.anomaly, 0  # 0: not told of
        self.sums: Any = 0.0
        self.add(row)

    def add(self, row: ScoredRow) -> None:
        self.last, self.peak = row.snippet, max(self.peak, row.anomaly)
        if row.classes is not None:
            self.sums = self.sums + row.classes.astype(np.float64)

    @property
    def duration(self) -> float:
        return self.last.seconds[1] - self.first.seconds[0]


class EventTracker:
    """Told of rows in order. Without merging and with one threshold, the events are those of ``score.find_events``.

    class_names: class 0 normal; the event has the abnormal class with the highest mean probability
    """

    def __init__(self, rules: EventRules, class_names: Sequence[str]) -> None:
        self._rules, self._class_names = rules, tuple(class_names)
        self._open: _Open | None = None
        self.num_events = 0

    def push(self, row: ScoredRow) -> list[EventChange]:
        """What a row begins and ends."""
        changes = []
        if row.anomaly >= (self._rules.threshold if self._open is None else self._rules.low):
            if self._open is None:
                self._open = _Open(row)
            else:
                self._open.add(row)
            if self._open.number == 0 and self._open.duration >= self._rules.min_seconds:
                self.num_events += 1
                self._open.number = self.num_events
                changes.append(self._change("event_start", self._open))
        elif self._open is not None:
            low_for = row.snippet.seconds[1] - self._open.last.seconds[1]
            if low_for > self._rules.merge_gap + SAME_MOMENT:
                changes += self.close("below")
        return changes

    def close(self, reason: str) -> list[EventChange]:
        """Ends the event that is open, if it was told of."""
        event, self._open = self._open, None
        return [] if event is None or event.number == 0 else [self._change("event_end", event, reason)]

    def _change(self, kind: Literal["event_start", "event_end"], event: _Open, reason: str = "") -> EventChange:
        return EventChange(
            kind,
            event.number,
            (event.first.seconds[0], event.last.seconds[1]),
            (event.first.arrived[0], event.last.arrived[1]),
            self._label(event),
            event.peak,
            reason,
        )

    def _label(self, event: _Open) -> str:
        if len(self._class_names) < 2 or np.ndim(event.sums) == 0:
            return "anomaly"
        return self._class_names[1 + int(np.argmax(event.sums[1:]))]
