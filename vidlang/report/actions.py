"""A picture of actions in time: the probability of each class over a video, and the segments that were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidlang.core.results import Detection
from vidlang.core.segments import Segment
from vidlang.report.drawing import Form, as_picture, clock, clock_unit, picture_style, reduce_rows, shorten, time_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_CLASSES = 8
"""Classes with a row; those with the highest peak."""
LEAST_PEAK = 0.05
"""A class that never rises above it, and of which no segment is shown or known, has no row."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Okabe and Ito's palette, told apart by colour-blind people."""
BARS = 5
"""Segments of a class that have a bar, the best ones."""


def actions_png(
    name: str,
    seconds: NDArray[np.float64],
    curve: NDArray[np.floating],
    class_names: Sequence[str],
    detections: Sequence[Detection],
    *,
    truth: Sequence[tuple[str, Segment]] = (),
    note: str = "",
    form: Form = "png",
) -> bytes:
    """One row per class: its curve from 0 to 1 with its segments shaded and as bars under it, true ones as lines above.

    seconds: [T, 2]    curve: [T, C]    truth: (class, segment)    returns: a PNG file, or another ``form``
    """
    from matplotlib.figure import Figure

    named = {detection.label for detection in detections} | {label for label, _ in truth}
    shown = classes_to_show(curve, class_names, named)
    length = float(seconds[-1, 1])
    begin = float(seconds[0, 0])
    with picture_style():
        figure = Figure(figsize=(10.0, 1.2 + 0.95 * len(shown)), dpi=150, layout="constrained")
        axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        figure.suptitle(shorten(name, 80), x=0.01, ha="left", fontweight="bold")
        for place, (axis, c) in enumerate(zip(axes, shown, strict=True)):
            colour = COLOURS[place % len(COLOURS)]
            columns = reduce_rows(curve[:, [c]], seconds)
            x = np.concatenate([columns.seconds[:, 0], columns.seconds[-1:, 1]])
            y = columns.highest[:, 0]
            axis.fill_between(x, np.append(y, y[-1]), step="post", color=colour, alpha=0.25, linewidth=0)
            axis.step(x, np.append(y, y[-1]), where="post", color=colour, linewidth=1.2)
            mine = [detection for detection in detections if detection.label == class_names[c]][:BARS]
            for rank, detection in enumerate(mine):
                width = max(detection.segment.duration, (length - begin) / 400)
                start = detection.segment.start
                axis.fill_between([start, start + width], 0, 1, color=colour, alpha=0.1, linewidth=0)
                axis.barh(-0.16, width, left=start, height=0.16, color=colour, alpha=0.9 - 0.15 * rank)
                if rank < 2:
                    axis.text(start + width / 2, -0.42, f"{detection.score:.2f}", ha="center", va="center", fontsize=7)
            for label, segment in truth:
                if label == class_names[c]:
                    axis.plot([segment.start, segment.end], [1.08, 1.08], color="black", linewidth=2.5)
            axis.set_ylim(-0.58, 1.15)
            axis.set_yticks([0, 1])
            axis.set_ylabel(shorten(class_names[c], 18), rotation=0, ha="right", va="center")
            axis.set_xlim(begin, length)
        ticks = time_ticks(begin, length)
        axes[-1].set_xticks(ticks, [clock(tick, length) for tick in ticks])
        peaks = curve.max(axis=0)
        low = sum(name not in named and peak <= LEAST_PEAK for name, peak in zip(class_names, peaks, strict=True))
        remarks = [f"{low} more under {LEAST_PEAK:g}"] if 0 < low < len(class_names) else []
        axes[-1].set_xlabel(", ".join([f"time ({clock_unit(length)})", *remarks]))
        _draw_legend(figure, bool(detections), bool(truth))
        if note:
            figure.text(0.99, 0.995, shorten(note, 110), ha="right", va="top", fontsize=6.5, color="0.4")
        return as_picture(figure, form)


def _draw_legend(figure: Figure, has_segments: bool, has_truth: bool) -> None:
    """What curve, bar and line mean; their colours are those of the classes."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Line2D | Patch] = [Line2D([], [], color="0.4", linewidth=1.2, label="probability, 0 to 1")]
    if has_segments:
        handles.append(Patch(color="0.4", label="segment found, with its confidence"))
    if has_truth:
        handles.append(Line2D([], [], color="black", linewidth=2.5, label="truth"))
    figure.legend(handles=handles, loc="outside lower right", ncols=len(handles), frameon=False, fontsize=7.5)


def classes_to_show(curve: NDArray[np.floating], class_names: Sequence[str], named: set[str]) -> list[int]:
    """Classes with a row, at least one: those that are named, then those that rise above ``LEAST_PEAK``, highest first.

    curve: [T, C]    named: classes of which a segment is shown or known
    """
    peaks = curve.max(axis=0)
    order = sorted(range(len(class_names)), key=lambda c: (class_names[c] not in named, -float(peaks[c]), c))
    rising = [c for c in order if class_names[c] in named or peaks[c] > LEAST_PEAK]
    return (rising or order[:1])[:MAX_CLASSES]
