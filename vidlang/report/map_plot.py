"""A map of videos or snippets as a picture: points on a plane, coloured by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidlang.report.drawing import CURVE_COLORS, Form, as_picture, picture_style, shorten

MARKERS = "os^DvPX"
"""Shapes: the second lap through the colours has another one, so that no two of the first 56 labels look alike."""
LEGEND_ROWS = 26
"""Labels named beside a picture; the largest."""


@dataclass(frozen=True, eq=False)
class MapPoints:
    """Where videos or snippets lie on a plane."""

    points: NDArray[np.float64]
    """[N, 2]"""
    ids: tuple[str, ...]
    """Video of each point."""
    labels: tuple[str, ...]
    seconds: NDArray[np.float64]
    """[N, 2] which part of the video a point stands for."""
    axes: tuple[str, str]
    """What the axes are, such as ``component 1 (23 % of the variance)``."""
    title: str

    def __post_init__(self) -> None:
        number = len(self.points)
        if self.points.shape != (number, 2) or self.seconds.shape != (number, 2):
            raise ValueError(f"points and seconds are [N, 2], got {self.points.shape} and {self.seconds.shape}")
        if len(self.ids) != number or len(self.labels) != number:
            raise ValueError(f"{number} points need as many ids and labels, got {len(self.ids)} and {len(self.labels)}")

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label once, the most frequent first, equal ones in the order of letters."""
        counts = Counter(self.labels)
        return tuple(sorted(counts, key=lambda name: (-counts[name], name)))


def map_plot(shown: MapPoints, kind: Form = "png") -> bytes:
    """The map as a file: a PNG, or a PDF or SVG whose letters stay letters."""
    classes, counts = shown.classes, Counter(shown.labels)
    labels = np.array(shown.labels, dtype=object)
    size = float(np.clip(3000 / max(len(labels), 1), 6, 42))
    with picture_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9.0, 6.2), layout="constrained")
        axis = figure.subplots()
        for place, name in enumerate(classes):
            points = shown.points[labels == name]
            axis.scatter(
                points[:, 0], points[:, 1], s=size, color=CURVE_COLORS[place % len(CURVE_COLORS)],
                marker=MARKERS[place // len(CURVE_COLORS) % len(MARKERS)], alpha=0.85, linewidths=0.4,
                edgecolors="white", label=f" {shorten(name, 24)} ({counts[name]})",
                rasterized=kind != "png" and len(labels) > 2000,
            )  # fmt: skip
        axis.set_xlabel(shown.axes[0])
        axis.set_ylabel(shown.axes[1])
        axis.grid(color="#E5E5E5", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.margins(0.05)
        handles, names = axis.get_legend_handles_labels()
        rest = len(classes) - LEGEND_ROWS
        title = f"and {rest} more labels" if rest > 0 else None
        figure.legend(
            handles[:LEGEND_ROWS], names[:LEGEND_ROWS], loc="outside right upper", frameon=False, fontsize=8,
            title=title, title_fontsize=7.5, alignment="left",
        )  # fmt: skip
        figure.suptitle(shorten(shown.title, 100), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        return as_picture(figure, kind)


def file_kind(name: str, known: Sequence[str]) -> str | None:
    """The ending of a file's name, if it is one of those known: ``a/b.PNG`` → ``png``."""
    ending = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    return ending if ending in known else None
