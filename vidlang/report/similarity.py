"""The similarity matrix of two videos as a picture, with the passages that match."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidlang.report.drawing import WIDTH, as_picture, clock, clock_unit, picture_style, shorten, time_ticks
from vidlang.report.matches import Segments

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PATH_COLOR = "#D55E00"
MATRIX_CELLS = 1000
"""Larger matrices are reduced to about this many cells a side, which is about one per pixel."""


def similarity_plot(
    similarity: NDArray[np.floating],
    query_seconds: NDArray[np.float64],
    gallery_seconds: NDArray[np.float64],
    matches: Segments,
    *,
    query_name: str = "query",
    gallery_name: str = "video",
    threshold: float | None = None,
    note: str = "",
    kind: str = "png",
) -> bytes:
    """The similarity of every query row to every row of the other video, and the matched segments as lines over it.

    similarity: [n, m]    query_seconds: [n, 2]    gallery_seconds: [m, 2] start and end of each row, sorted
    threshold: similarity that a matched frame reaches    note: a line below    kind: ``png``, ``pdf`` or ``svg``

    Raises:
        ValueError: the matrix is not one cell for each pair of rows.
    """
    num_query, num_gallery = len(query_seconds), len(gallery_seconds)
    if similarity.shape != (num_query, num_gallery) or not similarity.size:
        raise ValueError(
            f"similarity must be [n, m] = {num_query, num_gallery}, at least one row each, got {similarity.shape}"
        )
    cells, y = _reduced(np.asarray(similarity, dtype=np.float32), query_seconds)
    cells, x = _reduced(cells.T, gallery_seconds)
    spans = float(y[-1] - y[0]), float(x[-1] - x[0])
    height = float(np.clip(1.2 + (WIDTH - 2.2) * spans[0] / max(spans[1], 1e-9), 2.6, 9.0))
    with picture_style():
        from matplotlib import patheffects
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axis = figure.subplots()
        low, high = float(np.quantile(cells, 0.02)), float(cells.max())
        mesh = axis.pcolormesh(x, y, cells.T, vmin=low, vmax=max(high, low + 1e-3), cmap="cividis", rasterized=True)
        casing = [patheffects.withStroke(linewidth=4.5, foreground="white")]
        for mine, theirs in matches:
            axis.plot(
                [theirs.start, theirs.end], [mine.start, mine.end], color=PATH_COLOR, linewidth=2.2,
                solid_capstyle="round", path_effects=casing,
            )  # fmt: skip
        axis.set_xlim(x[0], x[-1])
        axis.set_ylim(y[-1], y[0])  # both videos begin in the upper left corner
        _second_axes(axis, spans, query_name, gallery_name)
        bar = figure.colorbar(mesh, ax=axis, location="right", pad=0.02, fraction=0.03, aspect=30)
        bar.set_label("similarity of rows (cosine, blank frames weigh less)", fontsize=8)
        if threshold is not None and low < threshold < high:
            bar.ax.axhline(threshold, color="black", linewidth=1.6)
            bar.ax.annotate(
                "match", (0, threshold), xytext=(-2, 0), textcoords="offset points", fontsize=7, ha="right",
                va="center", rotation=90, annotation_clip=False,
            )  # fmt: skip
        bar.ax.tick_params(labelsize=7.5)
        bar.outline.set_visible(False)
        drawn = f"{len(matches)} matching passage{'' if len(matches) == 1 else 's'}"
        axis.set_title(f"{drawn} (orange)" if matches else "no matching passage", fontsize=8.5, loc="left")
        if note:
            figure.supxlabel(shorten(note, 150), fontsize=7, color="0.4", x=0.01, ha="left")
        return as_picture(figure, kind)


def _second_axes(axis: Axes, spans: tuple[float, float], query_name: str, gallery_name: str) -> None:
    for side, name, span, most in ((axis.yaxis, query_name, spans[0], 8), (axis.xaxis, gallery_name, spans[1], 12)):
        low, high = sorted(side.get_view_interval())
        ticks = time_ticks(low, high, most)
        side.set_ticks(ticks, [clock(tick, span) for tick in ticks], fontsize=8)
        side.set_label_text(f"{shorten(name, 40)} ({clock_unit(span)})", fontsize=8.5)


def _reduced(values: NDArray[np.float32], seconds: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Neighbouring rows put together where there are too many, the maximum of each kept; and the edges in seconds.

    values: [n, ...]    seconds: [n, 2]    returns: [r, ...], [r + 1]
    """
    first = np.arange(0, len(values), max(1, -(-len(values) // MATRIX_CELLS)))
    edges = np.append(seconds[first, 0], seconds[-1, 1])
    if edges[-1] <= edges[0]:
        edges = np.linspace(edges[0], edges[0] + 1, len(edges))  # an image has no duration
    return np.maximum.reduceat(values, first, axis=0), np.maximum.accumulate(edges)
