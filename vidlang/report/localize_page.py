"""The page of ``localize``: the curve of each action, its segments, and true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vidlang.core.results import Detection
from vidlang.core.segments import Segment
from vidlang.core.video import VideoInfo
from vidlang.report.actions import classes_to_show
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


@dataclass(frozen=True, eq=False)
class LocalizedStory:
    """One video with all that its part of the page shows."""

    video: VideoInfo
    seconds: NDArray[np.float64]
    """[T, 2]"""
    curve: NDArray[np.float32]
    """[T, C] probabilities."""
    class_names: tuple[str, ...]
    detections: tuple[Detection, ...]
    """Those that people are shown, best first."""
    num_more: int = 0
    """Detections that are left to the files."""
    truth: tuple[tuple[str, Segment], ...] = ()
    """(class, seconds)"""
    classes: tuple[str, ...] = ()
    """True classes of the whole video, where they are known."""
    motion: NDArray[np.float32] | None = None
    """[T] in [0, 1]: what every probability was multiplied by."""
    stills: tuple[bytes | None, ...] = ()
    """A JPEG for each detection, or none at all."""
    player: Player = field(default_factory=Player)


def localize_page(videos: Sequence[LocalizedStory], words: PageWords) -> str:
    """The page, in UTF-8."""
    return story_page([_story(video) for video in videos], words)


def _story(video: LocalizedStory) -> Story:
    named = [*(d.label for d in video.detections), *(label for label, _ in video.truth)]
    shown = classes_to_show(video.curve, video.class_names, set(named))
    colors = event_colors([video.class_names[c] for c in shown])
    stills = video.stills or (None,) * len(video.detections)
    cards = tuple(
        Card(d.segment, d.label, d.score, d.segment.start, colors.get(d.label, 1), still, middle(d))
        for d, still in zip(video.detections, stills, strict=True)
    )
    best = video.curve.argmax(axis=1)
    return Story(
        name=video.video.id,
        duration=video.video.duration,
        seconds=video.seconds,
        score=video.curve.max(axis=1),
        words=tuple(video.class_names[c] for c in best),
        lanes=tuple(lane for c in shown for lane in _lanes(video, c, colors)) + _motion(video),
        cards=cards,
        num_more=video.num_more,
        player=video.player,
        notes=(f"Known to show: {', '.join(video.classes)}.",) if video.classes else (),
    )


def middle(detection: Detection) -> float:
    """Seconds at which the still of a detection is taken."""
    return (detection.segment.start + detection.segment.end) / 2


def _lanes(video: LocalizedStory, c: int, colors: dict[str, int]) -> list[CurveLane | BarLane | HeatLane]:
    name = video.class_names[c]
    mine = sorted((d for d in video.detections if d.label == name), key=lambda d: d.score)
    color = colors[name]
    shades = tuple((d.segment, color) for d in mine)
    lanes: list[CurveLane | BarLane | HeatLane] = [
        CurveLane(name, (Line(name, video.curve[:, c]),), None, shades, color, small=True)
    ]
    if mine:
        lanes.append(BarLane("found", tuple(Bar(d.segment, f"{d.score:.2f}", color) for d in mine)))
    true = tuple(Bar(segment, label, None) for label, segment in video.truth if label == name)
    return [*lanes, BarLane("truth", true)] if true else lanes


def _motion(video: LocalizedStory) -> tuple[HeatLane, ...]:
    return () if video.motion is None else (HeatLane("weight by motion", video.motion),)
