"""Scores over time as the bytes of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core.digits import share
from vidlang.core.results import BRANCH_TITLES, Detection, Scores
from vidlang.core.segments import Segment
from vidlang.report.drawing import (
    CURVE_COLOR,
    EVENT_COLORS,
    THIN_COLORS,
    THRESHOLD_COLOR,
    TRUTH_COLOR,
    WIDTH,
    Form,
    as_picture,
    clock,
    clock_unit,
    colors_by_name,
    legend_texts,
    picture_style,
    reduce_rows,
    shorten,
    stairs,
    time_ticks,
    tint,
    visible,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CLASSES = 8
MAX_LANES = 4


def top_classes(classes: NDArray[np.floating], limit: int = MAX_CLASSES) -> list[int]:
    """Indices of the abnormal classes with the highest peaks, highest first, then the normal class (index 0).

    classes: [T, C]
    """
    peaks = classes.max(axis=0)
    abnormal = sorted(range(1, classes.shape[1]), key=lambda index: (-peaks[index], index))
    return [*abnormal[: limit - 1], 0]


@dataclass(frozen=True)
class EventMark:
    """Where an event is drawn."""

    start: float
    end: float
    """Seconds, at least a visible width apart."""
    color: str
    text: str
    """Class and peak, or empty where there is no room for a text."""
    score: float
    text_at: float
    """Seconds of the text's centre."""
    lane: int


def place_events(
    events: Sequence[Detection], begin: float, end: float, *, characters: int = 150, max_lanes: int = MAX_LANES
) -> list[EventMark]:
    """Each event with its colour, and a text in the first lane where it covers no other; the strongest choose first.

    ``characters`` is how many letters the axis is wide. Events that find no lane keep their shading without a text.
    """
    length = max(end - begin, 1e-9)
    color = colors_by_name((event.label for event in events), EVENT_COLORS)
    taken: list[list[tuple[float, float]]] = [[] for _ in range(max_lanes)]
    marks = []
    for event in sorted(events, key=lambda event: (-event.score, event.segment)):
        start, stop = visible(event.segment, length)
        text = f"{shorten(event.label, 28)} {event.score:.2f}"
        half = (len(text) + 2) / characters * length / 2
        centre = min(max((start + stop) / 2, begin + half), max(end - half, begin + half))
        free = [i for i, lane in enumerate(taken) if all(centre + half <= a or b <= centre - half for a, b in lane)]
        if free:
            taken[free[0]].append((centre - half, centre + half))
        lane = free[0] if free else -1
        marks.append(EventMark(start, stop, color[event.label], text if free else "", event.score, centre, lane))
    return sorted(marks, key=lambda mark: mark.start)


def timeline_png(
    scores: Scores,
    *,
    events: Sequence[Detection] = (),
    truth: Sequence[Segment] = (),
    threshold: float | None = None,
    title: str | None = None,
    note: str = "",
    form: Form = "png",
) -> bytes:
    """Anomaly score over time, events, ground truth and class probabilities of one video.

    note: one line above the curve, such as what the encoder cannot do    returns: a PNG file, or another ``form``

    Events are shaded and carry class and peak; ``truth`` is a dark bar under the axis. Long videos keep the
    maximum of every pixel column, so that no peak disappears; the light band below shows the column's minimum.
    """
    if not len(scores.anomaly):
        raise ValueError(f"a timeline needs at least one snippet ({scores.video.id})")
    begin = min(0.0, float(scores.seconds[0, 0]))
    end = max(float(scores.seconds[:, 1].max()), scores.video.duration, begin + 1e-3)
    marks = place_events(events, begin, end)
    shown = top_classes(scores.classes) if scores.classes is not None and scores.classes.shape[1] else []

    with picture_style():
        figure, axes = _panels(marks, bool(truth), len(shown))
        heading = shorten(title if title is not None else scores.video.id, 90)
        handles, labels = _draw_curves(axes["score"], scores, threshold)
        _draw_header(axes.pop("header"), heading, *_with_shades(handles, labels, marks), note)
        _draw_events(axes["score"], axes.get("events"), marks)
        if truth:
            _draw_truth(axes["truth"], truth, end - begin)
        if shown and scores.classes is not None:
            _draw_classes(figure, axes["classes"], scores, shown)
        _time_axis(list(axes.values()), begin, end)
        return as_picture(figure, form)


def _panels(marks: Sequence[EventMark], has_truth: bool, num_classes: int) -> tuple[Figure, dict[str, Axes]]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    lanes = 1 + max((mark.lane for mark in marks), default=-1)
    heights = {"header": 0.42, "events": 0.19 * lanes, "score": 2.3}
    heights |= {"truth": 0.17 if has_truth else 0.0, "classes": 0.21 * num_classes + 0.08 if num_classes else 0.0}
    heights = {name: height for name, height in heights.items() if height}
    layout = ConstrainedLayoutEngine(h_pad=0.025, hspace=0.0, w_pad=0.06)
    figure = Figure(figsize=(WIDTH, sum(heights.values()) + 0.85), layout=layout)
    grid = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=list(heights.values()))
    return figure, dict(zip(heights, grid[:, 0], strict=True))


def _draw_curves(axis: Axes, scores: Scores, threshold: float | None) -> tuple[list[Any], list[str]]:
    """The chosen curve thick, other branches thin; returns handles and labels for the legend."""
    chosen = str(scores.made_by.get("branch", "anomaly score"))
    handles: list[Any] = []
    labels: list[str] = []
    others = {name: curve for name, curve in scores.branches.items() if name != chosen}
    for i, (name, curve) in enumerate(others.items()):
        columns = reduce_rows(curve, scores.seconds)
        x, y = stairs(columns.seconds, columns.highest)
        handles += axis.plot(x, y, color=THIN_COLORS[i % len(THIN_COLORS)], linewidth=0.8, zorder=3)
        labels.append(BRANCH_TITLES.get(name, name))
    columns = reduce_rows(scores.anomaly, scores.seconds)
    x, y = stairs(columns.seconds, columns.highest)
    reduced = len(columns.highest) < len(scores.anomaly)
    if reduced:
        _, low = stairs(columns.seconds, columns.lowest)
        axis.fill_between(x, low, y, color=CURVE_COLOR, alpha=0.25, linewidth=0, zorder=2)
    handles[:0] = axis.plot(x, y, color=CURVE_COLOR, linewidth=1.0 if reduced else 1.6, zorder=4, solid_capstyle="butt")
    title = BRANCH_TITLES.get(chosen, chosen)
    labels[:0] = [f"{title}, chosen" if others else title]
    if threshold is not None:
        handles.append(axis.axhline(threshold, color=THRESHOLD_COLOR, linewidth=1.0, linestyle=(0, (5, 3)), zorder=3))
        labels.append(f"threshold {share(threshold)}")
    axis.set_ylim(-0.02, 1.02)
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axis.set_ylabel("anomaly score [0, 1]")
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.6, zorder=0)
    axis.set_axisbelow(True)
    return handles, labels


def _with_shades(
    handles: Sequence[Any], labels: Sequence[str], marks: Sequence[EventMark]
) -> tuple[list[Any], list[str]]:
    """The legend of curves, and what is shaded, in the colour of the first event."""
    from matplotlib.patches import Patch

    if not marks:
        return list(handles), list(labels)
    shade = Patch(facecolor=tint(marks[0].color), edgecolor=marks[0].color, linewidth=0.8)
    return [*handles, shade], [*labels, "event"]


def _draw_header(axis: Axes, heading: str, handles: Sequence[Any], labels: Sequence[str], note: str = "") -> None:
    """Title, note and legend, a row each; all start where the curves do."""
    axis.set_axis_off()
    if note:
        said = axis.text(
            0, 0.48, shorten(note, 150), transform=axis.transAxes, ha="left", va="center", fontsize=6.5, color="0.4"
        )
        said.set_in_layout(False)
    text = axis.text(0, 1, heading, transform=axis.transAxes, ha="left", va="top", fontsize=10.5, fontweight="bold")
    legend = axis.legend(
        handles, legend_texts(labels, 32), loc="lower left", bbox_to_anchor=(0, -0.1), borderaxespad=0, borderpad=0,
        ncols=len(labels), frameon=False, fontsize=8, columnspacing=1.2,
    )  # fmt: skip
    for artist in (text, legend):
        artist.set_in_layout(False)


def _draw_events(axis: Axes, strip: Axes | None, marks: Sequence[EventMark]) -> None:
    # Opaque tints, the strongest event last: where events overlap, colours stay those of the legend.
    for mark in sorted(marks, key=lambda mark: mark.score):
        axis.axvspan(mark.start, mark.end, color=tint(mark.color), linewidth=0, zorder=-2)
        axis.axvspan(mark.start, mark.end, ymin=0.975, color=mark.color, linewidth=0, zorder=5)
    if strip is None:
        return
    strip.set_ylim(-0.5, max(mark.lane for mark in marks) + 0.5)
    strip.set_axis_off()
    for mark in marks:
        if mark.text:
            strip.plot([(mark.start + mark.end) / 2] * 2, [-0.5, mark.lane - 0.4], color=mark.color, linewidth=0.7)
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": mark.color, "linewidth": 0.9}
            strip.text(mark.text_at, mark.lane, mark.text, ha="center", va="center", fontsize=7.5, bbox=box)


def _draw_truth(axis: Axes, truth: Sequence[Segment], length: float) -> None:
    for segment in truth:
        start, stop = visible(segment, length)
        axis.axvspan(start, stop, color=TRUTH_COLOR, linewidth=0)
    axis.set_ylim(0, 1)
    axis.set_yticks([0.5], ["ground truth"], fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.set_facecolor("#EEEEEE")
    axis.spines[:].set_visible(False)


def _draw_classes(figure: Figure, axis: Axes, scores: Scores, shown: Sequence[int]) -> None:
    assert scores.classes is not None
    columns = reduce_rows(scores.classes[:, list(shown)], scores.seconds)
    # Each row's interval is a cell and so is the gap after it (empty, of no width where rows touch).
    edges = np.maximum.accumulate(columns.seconds.ravel())
    cells = np.full((len(shown), len(edges) - 1), np.nan, dtype=np.float32)
    cells[:, ::2] = columns.highest.T
    mesh = axis.pcolormesh(edges, np.arange(len(shown) + 1), cells, vmin=0, vmax=1, cmap="cividis", rasterized=True)
    axis.invert_yaxis()
    names = [shorten(scores.class_names[index], 24) for index in shown]
    axis.set_yticks(np.arange(len(shown)) + 0.5, names, fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(mesh, ax=axis, location="right", pad=0.01, fraction=0.012, aspect=8, ticks=[0, 0.5, 1])
    bar.set_label("probability", fontsize=7.5)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)


def _time_axis(axes: Sequence[Axes], begin: float, end: float) -> None:
    length, ticks = end - begin, time_ticks(begin, end)
    for axis in axes:
        axis.set_xlim(begin, end)
        axis.tick_params(axis="x", bottom=False, labelbottom=False)
    axes[-1].set_xticks(ticks, [clock(tick, length) for tick in ticks])
    axes[-1].tick_params(axis="x", bottom=True, labelbottom=True)
    axes[-1].set_xlabel(f"time ({clock_unit(length)})")
