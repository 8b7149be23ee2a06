"""The page of ``score``: anomaly curves, classes, events and truth of videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vidlang.core.results import BRANCH_TITLES, Detection, Scores
from vidlang.core.segments import Segment
from vidlang.report.timeline import top_classes
from vidlang.report.video_story import (
    Bar,
    BarLane,
    Card,
    CurveLane,
    HeatLane,
    Line,
    PageWords,
    Player,
    Story,
    event_colors,
    story_page,
)

MAX_CARDS = 24
"""Of a video; the strongest events."""


@dataclass(frozen=True, eq=False)
class ScoredVideo:
    """One video with all that its part of the page shows."""

    scores: Scores
    events: tuple[Detection, ...]
    threshold: float
    truth: tuple[tuple[str, Segment], ...] = ()
    """(class, seconds)"""
    classes: tuple[str, ...] = ()
    """True classes of the whole video, where they are known."""
    motion: NDArray[np.float32] | None = None
    """[T] in [0, 1]: what every score was multiplied by."""
    stills: tuple[bytes | None, ...] = ()
    """A JPEG for each event that ``carded`` names, in that order, or none at all."""
    player: Player = field(default_factory=Player)


def score_page(videos: Sequence[ScoredVideo], words: PageWords) -> str:
    """The page, in UTF-8."""
    return story_page([_story(video) for video in videos], words)


def carded(events: Sequence[Detection]) -> list[Detection]:
    """The events that have a card: the strongest, in the order of time."""
    strongest = sorted(events, key=lambda event: -event.score)[:MAX_CARDS]
    return sorted(strongest, key=lambda event: event.segment)


def peak_of(event: Detection, scores: Scores) -> float:
    """Seconds at which an event is strongest: the middle of its highest row."""
    inside = (scores.seconds[:, 0] < event.segment.end) & (scores.seconds[:, 1] > event.segment.start)
    row = int(np.where(inside, scores.anomaly, -1.0).argmax())
    return float(scores.seconds[row].mean())


def _story(video: ScoredVideo) -> Story:
    scores = video.scores
    colors = event_colors([event.label for event in video.events])
    chosen = carded(video.events)
    stills = video.stills or (None,) * len(chosen)
    cards = tuple(
        Card(e.segment, e.label, e.score, e.segment.start, colors[e.label], still, peak_of(e, scores))
        for e, still in zip(chosen, stills, strict=True)
    )
    return Story(
        name=scores.video.id,
        duration=scores.video.duration,
        seconds=scores.seconds,
        score=scores.anomaly,
        words=_words(scores),
        lanes=tuple(_lanes(video, colors)),
        cards=cards,
        num_more=len(video.events) - len(cards),
        player=video.player,
        notes=(f"Known to show: {', '.join(video.classes)}.",) if video.classes else (),
    )


def _lanes(video: ScoredVideo, colors: dict[str, int]) -> list[CurveLane | BarLane | HeatLane]:
    scores = video.scores
    branch = str(scores.made_by.get("branch", "anomaly score"))
    others = [(BRANCH_TITLES.get(name, name), curve) for name, curve in scores.branches.items() if name != branch]
    lines = [Line(BRANCH_TITLES.get(branch, branch), scores.anomaly), *(Line(*other) for other in others)]
    shades = tuple((event.segment, colors[event.label]) for event in video.events)
    lanes: list[CurveLane | BarLane | HeatLane] = [
        CurveLane("anomaly score, 0 to 1", tuple(lines), video.threshold, shades)
    ]
    if video.events:
        found = sorted(video.events, key=lambda event: event.score)  # where bars overlap, the strongest is on top
        bars = tuple(Bar(e.segment, f"{e.label} {e.score:.2f}", colors[e.label]) for e in found)
        lanes.append(BarLane("events", bars))
    if video.truth:
        lanes.append(BarLane("truth", tuple(Bar(segment, label, None) for label, segment in video.truth)))
    if video.motion is not None:
        lanes.append(HeatLane("weight by motion", video.motion))
    if scores.classes is not None and scores.classes.shape[1]:
        shown = top_classes(scores.classes) if scores.classes.shape[1] > 1 else [0]
        lanes += [HeatLane(scores.class_names[c], scores.classes[:, c]) for c in shown]
    return lanes


def _words(scores: Scores) -> tuple[str, ...]:
    """The likeliest class of every row."""
    if scores.classes is None or not scores.class_names:
        return ()
    best = scores.classes.argmax(axis=1)
    return tuple(f"{scores.class_names[c]} {scores.classes[t, c]:.2f}" for t, c in enumerate(best))
