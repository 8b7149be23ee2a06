"""The page of videos with what was found in them: player, timeline, events as cards, and how all of it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core.segments import Segment
from vidlang.report.drawing import colors_by_name, reduce_rows, tick_step, time_ticks
from vidlang.report.video_story_template import TEMPLATE
from vidlang.report.web import clock, render_page

COLUMNS = 800
"""Curves with more rows keep the maximum of each of so many columns."""
MAX_TICKS = 6
"""Fit a phone."""
EVENT_COLORS = (1, 4, 2, 3, 5, 6)
"""Places in the palette; 0 is for curves."""
EAGER = 12
"""Pages with more videos let the browser read each when it is played."""
DASHES = ("6 3", "2 2", "8 2 2 2", "12 4")
"""Strokes of curves beside the main one, so that colour alone tells nothing."""


@dataclass(frozen=True, eq=False)
class Line:
    """A curve; the first of a lane is the thick one."""

    name: str
    values: NDArray[np.floating]
    """[T] in [0, 1]"""


@dataclass(frozen=True, eq=False)
class CurveLane:
    """Curves over time, with the shades of events behind and a threshold across."""

    name: str
    lines: tuple[Line, ...]
    threshold: float | None = None
    shades: tuple[tuple[Segment, int], ...] = ()
    """(seconds, place in the palette)"""
    color: int = 0
    small: bool = False


@dataclass(frozen=True, eq=False)
class HeatLane:
    """Values as strengths of one colour."""

    name: str
    values: NDArray[np.floating]
    """[T] in [0, 1]"""


@dataclass(frozen=True)
class Bar:
    """An event, or a true one."""

    segment: Segment
    text: str
    color: int | None
    """Place in the palette; None is the ink."""

    @property
    def paint(self) -> str:
        """The page's variable."""
        return "--fg" if self.color is None else f"--c{self.color}"


@dataclass(frozen=True)
class BarLane:
    """Events as bars with their names in them."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Card:
    """An event to go to."""

    segment: Segment
    label: str
    score: float
    seek: float
    """Seconds to which its button goes."""
    color: int = 1
    still: bytes | None = None
    """JPEG"""
    still_at: float = 0.0


@dataclass(frozen=True)
class Player:
    """The video of a story, or why there is none."""

    source: str | None = None
    says: str = ""
    """What takes the player's place, or stands under it."""


@dataclass(frozen=True, eq=False)
class Story:
    """One video, and what was found in it."""

    name: str
    duration: float
    """Seconds."""
    seconds: NDArray[np.float64]
    """[T, 2] rows of all curves."""
    score: NDArray[np.floating]
    """[T] in [0, 1]: what the readout tells, and whose peak the list of videos shows."""
    words: tuple[str, ...] = ()
    """T texts, such as the likeliest class, or none."""
    lanes: tuple[CurveLane | HeatLane | BarLane, ...] = ()
    cards: tuple[Card, ...] = ()
    num_more: int = 0
    """Events that have no card."""
    player: Player = field(default_factory=Player)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.score) or len(self.score) != len(self.seconds):
            raise ValueError(f"a story needs one score a row, got {len(self.score)} for {len(self.seconds)} rows")
        if self.words and len(self.words) != len(self.score):
            raise ValueError(f"words must name the {len(self.score)} rows, got {len(self.words)}")

    @property
    def begin(self) -> float:
        return min(0.0, float(self.seconds[0, 0]))

    @property
    def end(self) -> float:
        return max(float(self.seconds[:, 1].max()), self.duration, self.begin + 1e-3)

    @property
    def peak(self) -> float:
        return float(self.score.max())

    @property
    def peak_at(self) -> float:
        """Seconds."""
        return float(self.seconds[int(self.score.argmax()), 0])


@dataclass(frozen=True)
class PageWords:
    """What the page says around its stories."""

    title: str
    lead: str
    score_name: str = "score"
    event_name: str = "event"
    card_score_name: str = ""
    """What the number on a card is, where that is not the score."""
    notes: tuple[str, ...] = ()
    limits: str = ""
    """What the encoder cannot do, on a click."""
    facts: Sequence[tuple[str, object]] = ()
    """How the results were made, as (name, value)."""
    failed: Sequence[tuple[str, str]] = ()
    """(video, reason)"""


def story_page(stories: Sequence[Story], words: PageWords) -> str:
    """The page, the video with the highest score first. Names, labels and reasons are text, never markup."""
    ordered = sorted(stories, key=lambda story: -story.peak)
    return render_page(
        TEMPLATE,
        title=words.title,
        words=words,
        stories=[(story, _drawn(story, words.event_name)) for story in ordered],
        preload="metadata" if len(ordered) <= EAGER else "none",
        readouts=[_readout(story) for story in ordered],
    )


def event_colors(labels: Sequence[str]) -> dict[str, int]:
    """A place in the palette for each label, in the order in which they come first."""
    return colors_by_name(labels, EVENT_COLORS)


def _drawn(story: Story, event_name: str) -> dict[str, Any]:
    """Lanes and ticks in per mille of the timeline's width."""
    step = tick_step(story.end - story.begin, MAX_TICKS)
    ticks = time_ticks(story.begin, story.end, MAX_TICKS)
    return {
        "lanes": [_lane(lane, story) for lane in story.lanes],
        "ticks": [(_share(float(t), story) / 10, _tick(float(t), step)) for t in ticks],
        "label": _summary(story, event_name),
    }


def _tick(seconds: float, step: float) -> str:
    """``75.0`` → ``1:15``, with tenths where ticks are closer than a second."""
    text = clock(seconds + 1e-6)
    return text.removesuffix(".0") if step >= 1 else text


def _summary(story: Story, event_name: str) -> str:
    """What the timeline shows, for people who do not see it."""
    found = len(story.cards) + story.num_more
    events = f"{found} {event_name}{'' if found == 1 else 's'}"
    return f"Timeline of {story.name}: highest score {story.peak:.2f} at {clock(story.peak_at)}, {events}"


def _lane(lane: CurveLane | HeatLane | BarLane, story: Story) -> dict[str, Any]:
    if isinstance(lane, BarLane):
        bars = [(*_extent(bar.segment, story), bar) for bar in lane.bars]
        return {"kind": "bars", "name": lane.name, "bars": bars}
    if isinstance(lane, HeatLane):
        columns = reduce_rows(lane.values, story.seconds, COLUMNS)
        cells = [
            (*_extent(Segment(float(a), float(b)), story), round(float(value), 3))
            for (a, b), value in zip(columns.seconds, columns.highest, strict=True)
            if value >= 0.005
        ]
        return {"kind": "heat", "name": lane.name, "cells": cells, "peak": float(np.max(lane.values))}
    shades = [(*_extent(segment, story), color) for segment, color in lane.shades]
    lines = [
        {"name": line.name, "path": _path(line.values, story), "dash": DASHES[(i - 1) % len(DASHES)] if i else ""}
        | {"color": (0, 5, 3, 2, 6)[i % 5] if i else lane.color}
        for i, line in enumerate(lane.lines)
    ]
    return {
        "kind": "curve",
        "name": lane.name,
        "lines": lines,
        "area": _area(lane.lines[0].values, story),
        "shades": shades,
        "threshold": lane.threshold,
        "small": lane.small,
    }


def _share(seconds: float, story: Story) -> float:
    """0 at the beginning, 1000 at the end."""
    return round(1000 * min(1.0, max(0.0, (seconds - story.begin) / (story.end - story.begin))), 2)


def _extent(segment: Segment, story: Story) -> tuple[float, float]:
    """Start and width in per mille."""
    start = _share(segment.start, story)
    return start, round(_share(segment.end, story) - start, 2)


def _path(values: NDArray[np.floating], story: Story) -> str:
    """Flat over each row, broken where no row is; 0 is at 100, 1 at 0."""
    columns = reduce_rows(values, story.seconds, COLUMNS)
    steps, before = [], None
    for (start, end), value in zip(columns.seconds, columns.highest, strict=True):
        x, y = _share(float(start), story), round(100 * (1 - float(value)), 1)
        steps.append(f"V{y:g}" if before is not None and start - before <= 1e-3 else f"M{x:g} {y:g}")
        steps.append(f"H{_share(float(end), story):g}")
        before = float(end)
    return "".join(steps)


def _area(values: NDArray[np.floating], story: Story) -> str:
    """What lies under the curve."""
    columns = reduce_rows(values, story.seconds, COLUMNS)
    parts = []
    for (start, end), value in zip(columns.seconds, columns.highest, strict=True):
        y = round(100 * (1 - float(value)), 1)
        parts.append(f"M{_share(float(start), story):g} 100V{y:g}H{_share(float(end), story):g}V100Z")
    return "".join(parts)


def _readout(story: Story) -> dict[str, Any]:
    """Rows by their seconds, for the line that tells what the curve says at the cursor."""
    columns = reduce_rows(story.score, story.seconds, COLUMNS)
    words = list(story.words) if len(columns.highest) == len(story.words) else []
    return {
        "from": [round(float(start), 3) for start in columns.seconds[:, 0]],
        "to": [round(float(end), 3) for end in columns.seconds[:, 1]],
        "score": [round(float(value), 3) for value in columns.highest],
        "words": words,
    }
