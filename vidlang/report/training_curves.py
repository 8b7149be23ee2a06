"""How a training went, as one picture: losses, what was measured, and the learning rate by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidlang.report.drawing import (
    CURVE_COLORS,
    LINE_STYLES,
    THRESHOLD_COLOR,
    as_png,
    legend_texts,
    picture_style,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_WIDTH, HEIGHT = 4.4, 3.6
"""Inches."""
ROW = 3
"""Panels in a row at most."""
MARKED_EPOCHS = 30
"""Up to so many epochs each has a mark of its own."""
RATE = "learning_rate"


@dataclass(frozen=True)
class CurvePanel:
    """Curves that share a scale."""

    label: str
    """What is measured, with its unit: the panel's vertical axis."""
    names: Mapping[str, str]
    """Key in the log → name for people; a key that no epoch has is not drawn."""


@dataclass(frozen=True)
class Best:
    """The epoch whose weights are kept."""

    epoch: float
    metric: str | None = None
    """Key in the log of what chose it; None: nothing did, and it is the last one."""

    def says(self, panels: Sequence[CurvePanel]) -> str:
        """Why it is kept, in words."""
        kept = f"epoch {self.epoch:g} is kept"
        if self.metric is None:
            return f"{kept}, the last"
        panel = next((panel for panel in panels if self.metric in panel.names), None)
        name = self.metric if panel is None else f"{panel.label.partition(' [')[0]}, {panel.names[self.metric]}"
        return f"{kept}, best by {name}"


def curves_png(
    history: Sequence[Mapping[str, Any]],
    panels: Sequence[CurvePanel],
    *,
    best: Best | None = None,
    title: str = "training",
) -> bytes:
    """The panels that have a number, the learning rate where it is in the log, and the kept epoch.

    history: one mapping an epoch; without ``epoch`` the records count from 1

    Raises:
        ValueError: no epoch has a number for any panel.
    """
    epochs = np.array([float(record.get("epoch", place)) for place, record in enumerate(history, start=1)])
    found = [(panel, series_of(history, panel)) for panel in panels]
    drawn = [(panel, curves) for panel, curves in found if curves]
    if not drawn:
        raise ValueError(f"no epoch has one of {[name for panel in panels for name in panel.names]}: nothing to draw")
    rate = CurvePanel("learning rate", {RATE: "learning rate"})
    if rates := series_of(history, rate):
        drawn.append((rate, rates))
    columns = 2 if len(drawn) == 4 else min(len(drawn), ROW)
    rows = -(-len(drawn) // columns)
    with picture_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(PANEL_WIDTH * columns, HEIGHT * rows + 0.4), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, (panel, curves) in zip(grid, drawn, strict=False):
            _draw(axis, panel, epochs, curves, best)
        for axis in grid[len(drawn) :]:
            axis.set_axis_off()
        kept = f"; {best.says(panels)}" if best else ""
        figure.suptitle(shorten(f"{title}{kept}", 45 * columns), fontsize=10.5, fontweight="bold")
        return as_png(figure)


def series_of(history: Sequence[Mapping[str, Any]], panel: CurvePanel) -> dict[str, NDArray[np.float64]]:
    """Key → one value an epoch, NaN where it was not measured. Keys that never were are left out."""
    found = {}
    for key in panel.names:
        values = np.array([_number(record.get(key)) for record in history], dtype=np.float64)
        if np.isfinite(values).any():
            found[key] = values
    return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) else np.nan


def _draw(
    axis: Axes, panel: CurvePanel, epochs: NDArray[np.float64], curves: Mapping[str, NDArray], best: Best | None
) -> None:
    from matplotlib.ticker import MaxNLocator

    handles, labels = [], []
    marker = "o" if len(epochs) <= MARKED_EPOCHS else None
    for place, (key, values) in enumerate(curves.items()):
        known = np.isfinite(values)
        color = CURVE_COLORS[place % len(CURVE_COLORS)]
        style: Any = LINE_STYLES[place % len(LINE_STYLES)]
        handles += axis.plot(epochs[known], values[known], color=color, linestyle=style, marker=marker, markersize=3)
        labels.append(panel.names[key])
        if best is not None and key == best.metric:
            here = values[epochs == best.epoch]
            if len(here) and np.isfinite(here[-1]):
                (star,) = axis.plot(
                    [best.epoch], here[-1:], color=color, marker="*", markersize=13, markeredgecolor="black",
                    markeredgewidth=0.6, linestyle="", zorder=5,
                )  # fmt: skip
                handles.append(star)
                labels.append(f"best: {here[-1]:.4g}")
    if best is not None:
        axis.axvline(best.epoch, color=THRESHOLD_COLOR, linewidth=1.0, linestyle=":", zorder=0)
    axis.set_xlabel("epoch")
    axis.set_ylabel(panel.label)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(color="#E5E5E5", linewidth=0.6)
    axis.set_axisbelow(True)
    if RATE in panel.names:
        axis.set_ylim(bottom=0)
        axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    else:
        axis.legend(handles, legend_texts(labels, 36), fontsize=7.5, frameon=True, framealpha=0.85, edgecolor="none")
