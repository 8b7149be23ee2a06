"""How widely a network's temporal kernels spread, layer by layer, as PNG bytes; one network or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidlang.report.drawing import CURVE_COLORS, WIDTH, as_png, picture_style, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 5
"""Histograms in a row."""
TOP, ROW = 2.6, 1.15
"""Inches of the panel of spreads, and of a row of histograms."""
SHOWN_STDS = 4.0
"""Histograms end so many standard deviations from 0, the wider network's."""
NAME_LETTERS = 26


class DrawnLayer(NamedTuple):
    """One layer as the picture needs it: a value for each network."""

    name: str
    stds: tuple[float, ...]
    histograms: tuple[NDArray[np.integer], ...]
    """[bins] each."""
    edges: NDArray[np.floating]
    """[bins + 1], the same for all."""


def kernels_png(networks: Sequence[str], layers: Sequence[DrawnLayer], *, title: str) -> bytes:
    """The standard deviation of every layer on top, its histogram below.

    networks: one name or two    layers: from the input to the output
    """
    if not layers or any(len(layer.stds) != len(networks) for layer in layers):
        raise ValueError(f"each of at least one layer needs {len(networks)} networks, got {layers}")
    num_rows = -(-len(layers) // COLUMNS)
    with picture_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, TOP + ROW * num_rows + 0.3), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=[TOP, ROW * num_rows + 0.3])
        upper, lower = parts
        upper.suptitle(shorten(title, 110), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        _draw_spreads(upper.subplots(), networks, layers)
        axes = lower.subplots(num_rows, COLUMNS, squeeze=False).ravel()
        for place, (axis, layer, name) in enumerate(zip(axes, layers, _short_names(layers), strict=False)):
            _draw_histogram(axis, layer, f"{place + 1}. {shorten(name, NAME_LETTERS)}")
        for axis in axes[len(layers) :]:
            axis.set_axis_off()
        lower.supxlabel("value (0 in the middle); height: share of the values", fontsize=8)
        return as_png(figure)


def _draw_spreads(axis: Axes, networks: Sequence[str], layers: Sequence[DrawnLayer]) -> None:
    places = np.arange(len(layers))
    for index, name in enumerate(networks):
        axis.plot(
            places, [layer.stds[index] for layer in layers], marker="o", markersize=4, linewidth=1.2,
            color=CURVE_COLORS[index], label=f" {shorten(name, 40)}",
        )  # fmt: skip
    axis.set_xticks(places, [str(place + 1) for place in places], fontsize=8)
    axis.set_xlabel("layer, from the input on", fontsize=8)
    axis.set_ylabel("standard deviation", fontsize=8)
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.legend(frameon=False, fontsize=8, loc="best")


def _short_names(layers: Sequence[DrawnLayer]) -> list[str]:
    """Names without the last parts, between dots, that all of them share."""
    parts = [layer.name.split(".") for layer in layers]
    shared = 0
    while all(len(own) > shared + 1 for own in parts) and len({own[-1 - shared] for own in parts}) == 1:
        shared += 1
    return [".".join(own[: len(own) - shared]) for own in parts]


def _draw_histogram(axis: Axes, layer: DrawnLayer, title: str) -> None:
    edges = layer.edges
    for index, counts in enumerate(layer.histograms):
        share = counts / max(int(counts.sum()), 1)
        color = CURVE_COLORS[index]
        axis.stairs(share, edges, fill=True, color=color, alpha=0.2)
        axis.stairs(share, edges, color=color, linewidth=1.0)
    reach = min(SHOWN_STDS * max(layer.stds) or float(edges[-1]), float(edges[-1]))
    axis.set_xlim(-reach, reach)
    axis.set_xticks([-reach, 0, reach], [f"{-reach:.2g}", "0", f"{reach:.2g}"], fontsize=6.5)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_title(title, fontsize=7, pad=2)
