"""Attention over time as a picture: how much each snippet goes into a video's vector, and frames below it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidlang.report.drawing import (
    CURVE_COLORS,
    THRESHOLD_COLOR,
    WIDTH,
    as_picture,
    clock,
    clock_unit,
    picture_style,
    reduce_rows,
    shorten,
    stairs,
    time_ticks,
)

PANEL = 1.7
"""Inches of a layer's curves."""


def attention_plot(
    name: str,
    seconds: NDArray[np.float64],
    attention: NDArray[np.floating],
    frames: Sequence[NDArray[np.uint8]] = (),
    *,
    weights: NDArray[np.floating] | None = None,
    note: str = "",
    kind: str = "png",
) -> bytes:
    """One panel a layer: each head thin, their mean thick, in times of an even share; frames below.

    seconds: [T, 2]    attention: [L, H, T], each [l, h] sums to 1    weights: [T] in [0, 1], shaded where low
    frames: [H, W, 3] each, spread evenly over the video    kind: ``png``, ``pdf`` or ``svg``

    Raises:
        ValueError: attention is not [L, H, T] with an interval for each row.
    """
    if attention.ndim != 3 or attention.shape[2] != len(seconds) or not attention.size:
        raise ValueError(f"attention must be [L, H, T] with T = {len(seconds)}, got {attention.shape}")
    num_layers, num_heads, num_rows = attention.shape
    times = attention * num_rows  # 1: an even share
    begin, end = float(seconds[0, 0]), max(float(seconds[-1, 1]), float(seconds[0, 0]) + 1e-3)
    strip = _strip_height(frames)
    with picture_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, 0.75 + PANEL * num_layers + strip), layout="constrained")
        heights = [PANEL] * num_layers + ([strip] if strip else [])
        axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        for layer, axis in enumerate(axes[:num_layers]):
            for head in range(num_heads):
                columns = reduce_rows(times[layer, head], seconds)
                label = f"heads ({num_heads})" if head == 0 and num_heads > 1 else None
                axis.plot(*stairs(columns.seconds, columns.highest), color="#999999", linewidth=0.6, label=label)
            columns = reduce_rows(times[layer].mean(axis=0), seconds)
            axis.plot(
                *stairs(columns.seconds, columns.highest), color=CURVE_COLORS[0], linewidth=1.8, label="mean of heads"
            )
            axis.axhline(1, color=THRESHOLD_COLOR, linewidth=1.0, linestyle=(0, (5, 3)), label="even share")
            if weights is not None and (weights < 0.5).any():
                _shade(axis, seconds, weights)
            axis.set_xlim(begin, end)
            low, high = float(times[layer].min()), float(times[layer].max())
            room = 0.08 * max(high - low, 1e-6)  # the paper's figure stretches its colours as well
            axis.set_ylim(min(low, 1) - room, max(high, 1) + room)
            axis.ticklabel_format(axis="y", useOffset=False)
            axis.set_ylabel(f"layer {layer + 1}: attention\n(times an even share)", fontsize=8)
            if layer == 0:
                axis.legend(loc="upper right", fontsize=7.5, frameon=True, framealpha=0.85, edgecolor="none", ncols=4)
        ticks = time_ticks(begin, end)
        for axis in axes[:num_layers]:
            axis.set_xticks(ticks, [clock(tick, end) for tick in ticks])
        axes[num_layers - 1].set_xlabel(f"time ({clock_unit(end)})")
        if strip:
            _draw_frames(axes[-1], frames)
        figure.suptitle(shorten(name, 90), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        if note:
            figure.text(0.99, 0.995, shorten(note, 90), ha="right", va="top", fontsize=6.5, color="0.4")
        return as_picture(figure, kind)


def _strip_height(frames: Sequence[NDArray[np.uint8]]) -> float:
    """Inches of a row of frames as wide as the picture, about."""
    if not frames:
        return 0.0
    height, width = frames[0].shape[:2]
    return float(np.clip((WIDTH - 1.0) / len(frames) * height / width, 0.4, 2.5))


def _shade(axis: object, seconds: NDArray[np.float64], weights: NDArray[np.floating]) -> None:
    """Marks what counts little, such as blank frames."""
    low = np.flatnonzero(weights < 0.5)
    for number, row in enumerate(low.tolist()):
        label = "counts little (blank)" if number == 0 else None
        axis.axvspan(*seconds[row], color="#DDDDDD", linewidth=0, zorder=0, label=label)  # type: ignore[attr-defined]


def _draw_frames(axis: object, frames: Sequence[NDArray[np.uint8]]) -> None:
    """Each frame in its share of the time axis, as large as its proportions allow."""
    axis.set_axis_off()  # type: ignore[attr-defined]
    for place, frame in enumerate(frames):
        inner = axis.inset_axes((place / len(frames) + 0.002, 0, 1 / len(frames) - 0.004, 1))  # type: ignore[attr-defined]
        inner.imshow(frame, interpolation="antialiased")
        inner.set_axis_off()
