"""Measurements as pictures for papers: ROC and precision-recall curves, bars by class, confusion, as PNG or PDF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.report.drawing import (
    CURVE_COLORS,
    LINE_STYLES,
    THRESHOLD_COLOR,
    TRUTH_COLOR,
    as_picture,
    legend_texts,
    picture_style,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["png", "pdf"]

MOST_POINTS = 3000
"""Points of a drawn curve; about as many as a printed page can show."""
MOST_LINES = 7
"""Curves with a colour of their own; others are thin and grey."""
REST_COLOR = "#B5B5B5"
PANEL_WIDTH, PANEL_HEIGHT = 4.8, 3.7
"""Inches."""
BAR, CELL = 0.24, 0.34
"""Inches of one bar with its gap, and of one field of a matrix."""
SMALLEST_BARS = 2.4
MOST_BARS, MOST_FIELDS = 40, 25
NAME_LETTERS = 22


@dataclass(frozen=True, eq=False)
class Line:
    """One curve."""

    name: str
    x: NDArray[np.floating]
    """[P] rising"""
    y: NDArray[np.floating]
    """[P]"""


@dataclass(frozen=True, eq=False)
class Lines:
    """Curves in one panel."""

    key: str
    """Name of its file."""
    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    base: Line | None = None
    """What chance reaches."""
    drawn: Literal["lines", "steps", "points", "marked"] = "lines"
    """steps: a value holds from the point before up to its own; marked: lines with a mark at every point."""
    x_range: tuple[float, float] | None = (0.0, 1.0)
    y_range: tuple[float, float] | None = (0.0, 1.0)
    x_ticks: tuple[float, ...] | None = None
    log_x: bool = False


@dataclass(frozen=True, eq=False)
class Bars:
    """One value a class, with how many there are."""

    key: str
    title: str
    value_label: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    counts: tuple[int, ...] | None = None
    count_word: str = ""
    """What is counted: ``videos``."""
    base: tuple[str, float] | None = None
    """Name and place of a line across all bars."""
    value_range: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Matrix:
    """Counts by true and said class; colours are shares of each row."""

    key: str
    title: str
    rows: tuple[str, ...]
    """True classes."""
    columns: tuple[str, ...]
    """Classes that were said."""
    counts: NDArray[np.integer]
    """[R, C]"""
    row_label: str = "true class"
    column_label: str = "class found"


Panel = Lines | Bars | Matrix


def panel_picture(panel: Panel, kind: Kind = "png") -> bytes:
    """One panel as a file."""
    return _picture([panel], kind, None)


def sheet_picture(panels: Sequence[Panel], kind: Kind = "png", title: str | None = None) -> bytes:
    """All panels on one sheet, two in a row.

    Raises:
        ValueError: there is no panel.
    """
    return _picture(panels, kind, title)


def describe(panel: Panel) -> str:
    """The panel in words, for who does not see it."""
    if isinstance(panel, Lines):
        return f"{panel.title}: {panel.y_label} over {panel.x_label}; " + "; ".join(line.name for line in panel.lines)
    if isinstance(panel, Bars):
        values = (f"{name} {value:.3f}" for name, value in zip(panel.names, panel.values, strict=True))
        return f"{panel.title}: {panel.value_label}; " + "; ".join(values)
    said = {name: column for column, name in enumerate(panel.columns)}
    right = sum(int(panel.counts[row, said[name]]) for row, name in enumerate(panel.rows) if name in said)
    return f"{panel.title}: {right} of {int(panel.counts.sum())} on the diagonal"


def thinned(line: Line, most: int = MOST_POINTS) -> Line:
    """The curve with at most about so many points, spread evenly along its length; ends stay."""
    if len(line.x) <= most:
        return line
    steps = np.abs(np.diff(line.x)) / max(np.ptp(line.x), 1e-12) + np.abs(np.diff(line.y)) / max(np.ptp(line.y), 1e-12)
    place = np.concatenate([[0.0], np.cumsum(steps)])
    cell = np.minimum((place / max(place[-1], 1e-12) * (most - 2)).astype(np.int64), most - 3)
    kept = np.append(np.flatnonzero(np.diff(cell, prepend=-1)), len(place) - 1)
    return Line(line.name, line.x[kept], line.y[kept])


def _picture(panels: Sequence[Panel], kind: Kind, title: str | None) -> bytes:
    if not panels:
        raise ValueError("a picture needs at least one panel")
    columns = min(len(panels), 2)
    rows = [panels[first : first + columns] for first in range(0, len(panels), columns)]
    sizes = [[_size(panel) for panel in row] for row in rows]
    widths = [max(row[column][0] for row in sizes if column < len(row)) for column in range(columns)]
    heights = [max(height for _, height in row) for row in sizes]
    with picture_style():
        from matplotlib.figure import Figure

        top = 0.35 if title else 0.0
        figure = Figure(figsize=(sum(widths), sum(heights) + top), layout="constrained")
        # Each panel has a figure of its own, so that long names of one take no room from the others.
        parts: Any = figure.subfigures(len(rows), columns, squeeze=False, width_ratios=widths, height_ratios=heights)
        for part, panel in zip(parts.ravel(), panels, strict=False):
            _draw(part.subplots(), panel)
        if title:
            figure.suptitle(shorten(title, 110), fontsize=11, fontweight="bold")
        return as_picture(figure, kind)


def _size(panel: Panel) -> tuple[float, float]:
    """Width and height in inches."""
    if isinstance(panel, Bars):
        return PANEL_WIDTH, max(SMALLEST_BARS, 1.3 + BAR * min(len(panel.names), MOST_BARS))
    if isinstance(panel, Matrix):
        rows, columns = min(len(panel.rows), MOST_FIELDS), min(len(panel.columns), MOST_FIELDS)
        return max(PANEL_WIDTH, 2.2 + CELL * columns), max(PANEL_HEIGHT, 1.9 + CELL * rows)
    return PANEL_WIDTH, PANEL_HEIGHT


def _draw(axis: Axes, panel: Panel) -> None:
    if isinstance(panel, Lines):
        _draw_lines(axis, panel)
    elif isinstance(panel, Bars):
        _draw_bars(axis, panel)
    else:
        _draw_matrix(axis, panel)
    axis.set_title(shorten(panel.title, 60), fontsize=10, fontweight="bold", loc="left")


def _draw_lines(axis: Axes, panel: Lines) -> None:
    styles: dict[str, Any] = {
        "lines": {},
        "steps": {"drawstyle": "steps-pre"},
        "points": {"linestyle": "", "marker": "o", "markersize": 3.5, "alpha": 0.75},
        "marked": {"marker": "o", "markersize": 3.5},
    }
    handles, names = [], []
    for place, line in enumerate(panel.lines):
        shown = thinned(line)
        style = {"linestyle": LINE_STYLES[place % len(LINE_STYLES)], "linewidth": 1.5, **styles[panel.drawn]}
        if place < MOST_LINES:
            handles += axis.plot(shown.x, shown.y, color=CURVE_COLORS[place], zorder=3, **style)
            names.append(line.name)
        else:
            faint = axis.plot(shown.x, shown.y, **{**style, "color": REST_COLOR, "linewidth": 0.7, "linestyle": "-"})
            if place == MOST_LINES:
                handles += faint
                names.append(f"{len(panel.lines) - MOST_LINES} more")
    if panel.base is not None:
        base: dict[str, Any] = {"color": THRESHOLD_COLOR, "linewidth": 1.0, "linestyle": (0, (2, 2)), "zorder": 2}
        handles += axis.plot(panel.base.x, panel.base.y, **base)
        names.append(panel.base.name)
    if panel.log_x:
        axis.set_xscale("log")
    if panel.x_ticks is not None:
        axis.set_xticks(panel.x_ticks, [f"{tick:g}" for tick in panel.x_ticks])
        axis.set_xticks([], minor=True)
    for limits, set_limits in ((panel.x_range, axis.set_xlim), (panel.y_range, axis.set_ylim)):
        if limits is not None:
            slack = 0.015 * (limits[1] - limits[0])
            set_limits(limits[0] - slack, limits[1] + slack)
    axis.set_xlabel(panel.x_label)
    axis.set_ylabel(panel.y_label)
    axis.grid(color="#E2E2E2", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.legend(
        handles, legend_texts(names, 44), fontsize=8, loc="best", frameon=True, framealpha=0.85, edgecolor="none"
    )


def _draw_bars(axis: Axes, panel: Bars) -> None:
    """The first bars where there are too many, and a line that says so."""
    names, values = panel.names[:MOST_BARS], panel.values[:MOST_BARS]
    places = np.arange(len(names))
    axis.barh(places, values, height=0.68, color=CURVE_COLORS[0], zorder=3)
    low, high = panel.value_range
    for place, value in zip(places, values, strict=True):
        inside = value - low > 0.85 * (high - low)
        axis.annotate(
            f"{value:.3f}", (value, place), xytext=(-3 if inside else 3, 0), textcoords="offset points", va="center",
            ha="right" if inside else "left", fontsize=7.5, color="white" if inside else TRUTH_COLOR, zorder=6,
            bbox={"boxstyle": "square,pad=0.1", "linewidth": 0, "facecolor": CURVE_COLORS[0] if inside else "white"},
        )  # fmt: skip
    counts = panel.counts or ()
    ticks = [shorten(name, NAME_LETTERS) for name in names]
    if counts:
        ticks = [f"{tick} ({count})" for tick, count in zip(ticks, counts, strict=False)]
    axis.set_yticks(places, ticks, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(low, high)
    counted = f"; in brackets: {panel.count_word}" if counts and panel.count_word else ""
    left_out = f"; {len(panel.names) - MOST_BARS} more not shown" if len(panel.names) > MOST_BARS else ""
    axis.set_xlabel(f"{panel.value_label}{counted}{left_out}", fontsize=8.5)
    if panel.base is not None:
        line = axis.axvline(panel.base[1], color=THRESHOLD_COLOR, linewidth=1.2, linestyle=(0, (2, 2)), zorder=5)
        axis.legend([line], legend_texts([panel.base[0]], 30), fontsize=8, loc="lower right",
                    bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1, frameon=False)  # fmt: skip
    axis.grid(axis="x", color="#E2E2E2", linewidth=0.6)
    axis.set_axisbelow(True)


def _draw_matrix(axis: Axes, panel: Matrix) -> None:
    rows, columns = panel.rows[:MOST_FIELDS], panel.columns[:MOST_FIELDS]
    counts = np.asarray(panel.counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = shares[: len(rows), : len(columns)]
    mesh = axis.imshow(shown, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for row in range(len(rows)):
        for column in range(len(columns)):
            if counts[row, column]:
                light = shown[row, column] > 0.55
                axis.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7.5,
                          color="black" if light else "white")  # fmt: skip
    axis.set_xticks(np.arange(len(columns)), [shorten(name, NAME_LETTERS) for name in columns], fontsize=7.5)
    axis.tick_params(axis="x", rotation=45)
    for label in axis.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    totals = counts.sum(axis=1)
    named = [f"{shorten(name, NAME_LETTERS)} ({total})" for name, total in zip(rows, totals, strict=False)]
    axis.set_yticks(np.arange(len(rows)), named, fontsize=7.5)
    left_out = max(len(panel.rows), len(panel.columns)) - MOST_FIELDS
    axis.set_xlabel(panel.column_label + (f" ({left_out} more not shown)" if left_out > 0 else ""), fontsize=8.5)
    axis.set_ylabel(f"{panel.row_label} (number)", fontsize=8.5)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    bar = axis.figure.colorbar(mesh, ax=axis, fraction=0.046, pad=0.02, ticks=[0, 0.5, 1])
    bar.set_label("share of the row", fontsize=8)
    bar.ax.tick_params(labelsize=7.5)
    bar.outline.set_visible(False)  # type: ignore[operator]
