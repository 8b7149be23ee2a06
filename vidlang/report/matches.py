"""A retrieval as PNG bytes: matched seconds of a query and its hits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from vidlang.core.segments import Segment
from vidlang.report.drawing import (
    CURVE_COLORS,
    WIDTH,
    as_png,
    clock,
    clock_unit,
    picture_style,
    shorten,
    time_ticks,
    visible,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Segments = Sequence[tuple[Segment, Segment]]
"""Pairs of a segment of the query and the segment of the other video that shows the same."""

MAX_HITS = 10
LABELS = 2.75
"""Inches at the left for names."""
RIGHT = 0.3
"""Inches at the right, for half of the last time."""
TOP, QUERY_ROW, HIT_ROW, BOTTOM = 0.32, 0.62, 0.88, 0.1
"""Inches of the heading, of the query's bar with its times, of a hit, and of the lower margin."""
LOW_ROW = 0.5
"""Inches of query and hits where the query has no seconds."""
NOTE = 0.24
"""Inches of a line below the hits."""
NAME_LETTERS = 30
BAR_COLOR = "#DDDDDD"
FAINT_COLOR = "#EDEDED"
TEXT_COLOR = "#222222"
NOTE_COLOR = "#666666"


class DrawnHit(NamedTuple):
    """One hit as the picture needs it; any tuple of these four will do."""

    name: str
    similarity: float
    duration: float
    """Seconds."""
    segments: Segments


def matches_png(
    query_name: str,
    query_duration: float,
    hits: Sequence[DrawnHit | tuple[str, float, float, Segments]],
    *,
    title: str | None = None,
) -> bytes:
    """The query's bar on top and the best hits below it, each on a time axis of its own as wide as the query's.

    query_duration: seconds; 0 for images and texts, which have no bar

    Above each hit the query's bar is repeated, faint, and matched segments are joined between the two; their colours
    tell the matches of one hit apart. At most MAX_HITS hits are drawn, a line says how many are not.
    """
    drawn = [DrawnHit(*hit) for hit in hits[:MAX_HITS]]
    ends = [mine.end for hit in drawn for mine, _ in hit.segments]
    length = max([query_duration, *ends])
    note = _note(len(hits))
    query_row, hit_row = (QUERY_ROW, HIT_ROW) if length > 0 else (LOW_ROW, LOW_ROW)
    with picture_style():
        panels = _Panels(TOP + query_row + hit_row * len(drawn) + (NOTE if note else 0.0) + BOTTOM)
        heading = panels.add(TOP, times=False)
        heading.text(
            0, 0.35, shorten(title if title is not None else "matched seconds", 100), transform=heading.transAxes,
            fontsize=10.5, fontweight="bold", va="center",
        )  # fmt: skip
        _draw_query(panels.add(query_row), query_name, length)
        for number, hit in enumerate(drawn, 1):
            _draw_hit(panels.add(hit_row), number, hit, length)
        if note:
            line = panels.add(NOTE, times=False)
            line.text(0, 0.4, note, transform=line.transAxes, fontsize=8, color=NOTE_COLOR, va="center")
        return as_png(panels.figure)


def _note(num_hits: int) -> str:
    if not num_hits:
        return "no hits"
    return f"and {num_hits - MAX_HITS} more hits" if num_hits > MAX_HITS else ""


class _Panels:
    """Axes below one another, as high as they are asked for in inches; names stand left of them."""

    def __init__(self, height: float) -> None:
        from matplotlib.figure import Figure

        self.figure: Figure = Figure(figsize=(WIDTH, height))
        self.height, self.used = height, 0.0

    def add(self, inches: float, *, times: bool = True) -> Axes:
        """times: leaves room for a row of times at the lower end"""
        below = 0.2 if times else 0.0
        self.used += inches
        place = (
            LABELS / WIDTH,
            (self.height - self.used + below) / self.height,
            (WIDTH - LABELS - RIGHT) / WIDTH,
            (inches - below) / self.height,
        )
        axis = self.figure.add_axes(place if times else (0.15 / WIDTH, place[1], 1 - 0.3 / WIDTH, place[3]))
        axis.spines[:].set_visible(False)
        axis.set_yticks([])
        axis.set_xticks([])
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_facecolor("none")
        return axis


def _draw_query(axis: Axes, name: str, length: float) -> None:
    _label(axis, shorten(name, NAME_LETTERS), "query" + (f", {_lasts(length)}" if length > 0 else ""), 0.5)
    if length > 0:
        axis.axhspan(0.05, 0.62, color=BAR_COLOR, linewidth=0)
        _times(axis, length)
        axis.text(1, 0.7, f"time ({clock_unit(length)})", ha="right", va="bottom", fontsize=7.5, color=NOTE_COLOR)


def _draw_hit(axis: Axes, number: int, hit: DrawnHit, query_length: float) -> None:
    """The query, faint, along the upper edge; the hit along the lower one; matches between them."""
    length = max([hit.duration, *(theirs.end for _, theirs in hit.segments)])
    text = f"{number}. {shorten(hit.name, NAME_LETTERS - 3)}"
    _label(axis, text, f"similarity {hit.similarity:.3f}" + (f", {_lasts(length)}" if length > 0 else ""), 0.38)
    if length <= 0:
        return
    upper, lower = (0.78, 0.9), (0.05, 0.36 if query_length > 0 else 0.75)
    if query_length > 0:
        axis.axhspan(*upper, color=FAINT_COLOR, linewidth=0)
    axis.axhspan(*lower, color=BAR_COLOR, linewidth=0)
    _times(axis, length)
    # The longest first: a short match inside or across it stays visible.
    order = sorted(range(len(hit.segments)), key=lambda place: -hit.segments[place][1].duration)
    for place in order:
        mine, theirs = hit.segments[place]
        color = CURVE_COLORS[place % len(CURVE_COLORS)]
        left, right = _shares(theirs, length)
        axis.fill_between([left, right], *lower, color=color, linewidth=0, zorder=3)
        if query_length > 0 and mine:
            first, last = _shares(mine, query_length)
            axis.fill_between([first, last], *upper, color=color, linewidth=0, zorder=3)
            corners = [(first, upper[0]), (last, upper[0]), (right, lower[1]), (left, lower[1])]
            axis.fill(*zip(*corners, strict=True), color=color, alpha=0.25, linewidth=0.8, zorder=2)
    if not hit.segments:
        axis.text(
            0.5,
            0.57 if query_length > 0 else 0.4,
            "no matching seconds",
            ha="center",
            va="center",
            fontsize=8,
            color=NOTE_COLOR,
        )


def _label(axis: Axes, name: str, facts: str, middle: float) -> None:
    """Name and facts at the left edge of the picture. middle: share of the axis' height"""
    for text, up, size, color in ((name, 1.5, 9, TEXT_COLOR), (facts, -10.5, 8, NOTE_COLOR)):
        axis.annotate(
            text, (0, middle), xytext=(-(LABELS - 0.15) * 72, up), textcoords="offset points", fontsize=size,
            color=color, annotation_clip=False,
        )  # fmt: skip


def _lasts(length: float) -> str:
    return f"{length:.3g} s" if length < 120 else clock(length, length)


def _shares(segment: Segment, length: float) -> tuple[float, float]:
    """Where a segment lies on an axis of ``length`` seconds, from 0 to 1 and wide enough to be seen."""
    start, end = visible(segment, length)
    width = min(end - start, length)
    start = min(max(start, 0.0), length - width)
    return start / length, (start + width) / length


def _times(axis: Axes, length: float) -> None:
    ticks = time_ticks(0.0, length, most=8)
    axis.set_xticks(ticks / length, [clock(tick, length) for tick in ticks], fontsize=7.5)
    axis.tick_params(axis="x", length=2.5, pad=1.5, color=NOTE_COLOR, labelcolor=NOTE_COLOR)
