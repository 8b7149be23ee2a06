"""The pages of ``vidlang browse``: a list of videos, answers of a search, one video with its timeline.

Addresses come ready in the values; everything else is text. Scripts hold no values, so that their hashes stay the same.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from vidlang.core import Detection, Segment
from vidlang.report.browse_templates import ANSWER, LIST, MESSAGE, PIECES, VIDEO
from vidlang.report.web import render_page

CURVE_POINTS = 1200
"""A curve of more rows is drawn by the highest of each so many parts, so that no peak is lost."""

MOST_CARDS = 12
"""Actions of a video with a picture each; the others are a list that opens."""


@dataclass(frozen=True)
class Card:
    """A video in a list."""

    name: str
    href: str
    """Where it opens, at the moment that the picture shows."""
    picture: str
    seconds: float
    """Of the moment that the picture shows."""
    duration: float
    label: str = ""
    recipes: tuple[str, ...] = ()
    result: str = ""
    """Highest score, or best event, in words."""
    share: float | None = None
    """The highest score in [0, 1], as a bar."""
    num_events: int | None = None
    similar_href: str = ""
    similarity: float | None = None
    moments: tuple[tuple[Segment, str], ...] = ()
    """(seconds that match, address that opens there)"""


@dataclass(frozen=True)
class Choice:
    """One of a list to choose from."""

    value: str
    text: str
    chosen: bool


@dataclass(frozen=True)
class ListView:
    """One page of the list."""

    cards: Sequence[Card]
    num_found: int
    num_all: int
    number: int
    """Of this page, from 1."""
    num_pages: int
    words: str
    labels: Sequence[Choice]
    recipes: Sequence[Choice]
    orders: Sequence[Choice]
    only_events: bool
    pages: Sequence[tuple[str, str]]
    """(text, address) of other pages."""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class AnswerView:
    """What a search found."""

    asked: str
    """In words."""
    text: str
    """What stands in the search box."""
    cards: Sequence[Card]
    note: str
    """How it was compared."""
    trouble: str = ""
    """Why there is no answer."""
    query: Card | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class EventView:
    """An event of a video."""

    event: Detection
    picture: str
    similar_href: str


@dataclass(frozen=True)
class CurveView:
    """An anomaly curve."""

    seconds: Sequence[tuple[float, float]]
    scores: Sequence[float]
    threshold: float | None = None


@dataclass(frozen=True)
class VideoView:
    """One video."""

    name: str
    duration: float
    facts: Sequence[tuple[str, str]]
    source: str = ""
    """Address of the file; empty where no player can show it."""
    kind: str = ""
    """Its media type."""
    why_no_player: str = ""
    stills: bool = True
    """Frames can be shown."""
    still_address: str = ""
    """Address of a frame, to which the seconds are added."""
    similar_href: str = ""
    frame_href: str = ""
    """Address of frames like one of this video, to which the seconds are added."""
    moments: Sequence[tuple[float, str]] = ()
    """(seconds, address of the still)"""
    curve: CurveView | None = None
    events: Sequence[EventView] = ()
    detections: Sequence[EventView] = ()
    truth: Sequence[tuple[str, Segment]] = ()
    made_by: Sequence[str] = ()
    """A line about each result shown."""
    neighbours: tuple[str, str] = field(default=("", ""))
    """Addresses of the video before and after, in the order of names."""


def list_page(view: ListView) -> str:
    """A page of the list, with what filters and sorts it."""
    return render_page(PIECES + LIST, title="Videos of the cache", text="", view=view)


def answer_page(view: AnswerView) -> str:
    """What a search found, best first."""
    return render_page(PIECES + ANSWER, title=view.asked, text=view.text, view=view)


def video_page(view: VideoView) -> str:
    """A video with its player, timeline and events."""
    drawn = {
        "line": curve_points(view.curve, view.duration) if view.curve else "",
        "rows": _timeline_rows(view),
        "shown": MOST_CARDS,
        "span": max(view.duration, 0.001),
    }
    return render_page(PIECES + VIDEO, title=view.name, text="", view=view, **drawn)


def message_page(title: str, message: str) -> str:
    """A line and the way back."""
    return render_page(PIECES + MESSAGE, title=title, text="", message=message)


def page_policy(page: str) -> str:
    """The Content-Security-Policy to send with a page: its own scripts alone, and nothing from anywhere else.

    Raises:
        ValueError: the page names no scripts.
    """
    own = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    scripts = re.search(r"script-src ([^;]*);", html.unescape(own[1])) if own else None
    if scripts is None:
        raise ValueError("the page has no Content-Security-Policy of its own")
    return (
        f"default-src 'none'; script-src {scripts[1]}; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def curve_points(curve: CurveView, duration: float) -> str:
    """The curve as points of an SVG line: x from 0 to 1000 over the duration, y from 100 (score 0) to 0 (score 1).

    A row is a step from its start to its end. Of very many rows each point is the highest of its neighbours.
    """
    rows = list(zip(curve.seconds, curve.scores, strict=True))
    step = -(-len(rows) // CURVE_POINTS) if rows else 1
    points = []
    for first in range(0, len(rows), step):
        group = rows[first : first + step]
        y = 100 - 100 * max(score for _, score in group)
        for x in (group[0][0][0], group[-1][0][1]):
            points.append(f"{1000 * min(x / max(duration, 0.001), 1):.1f},{y:.1f}")
    return " ".join(points)


@dataclass(frozen=True)
class _Row:
    name: str
    colour: str
    bars: Sequence[tuple[float, float, float]]
    """(x, width, opacity) of 1000."""


def _timeline_rows(view: VideoView) -> list[_Row]:
    """What lies under the curve: events, detections by class, truth."""
    rows = [_Row("events", "--c1", _bars([e.event for e in view.events], view.duration))] if view.events else []
    classes = list(dict.fromkeys(e.event.label for e in view.detections))
    for number, name in enumerate(classes[:8]):
        found = [e.event for e in view.detections if e.event.label == name]
        rows.append(_Row(name, f"--c{(2, 3, 4, 5, 6, 0, 1, 7)[number]}", _bars(found, view.duration)))
    if view.truth:
        truth = [Detection("", segment, label, 1.0) for label, segment in view.truth]
        rows.append(_Row("truth", "--c0", _bars(truth, view.duration)))
    return rows


def _bars(events: Sequence[Detection], duration: float) -> list[tuple[float, float, float]]:
    scale = 1000 / max(duration, 0.001)
    highest = max((event.score for event in events), default=1.0) or 1.0
    return [
        (
            event.segment.start * scale,
            max((event.segment.end - event.segment.start) * scale, 2.0),
            0.35 + 0.65 * min(max(event.score / highest, 0.0), 1.0),
        )
        for event in events
    ]
