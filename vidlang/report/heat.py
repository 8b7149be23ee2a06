"""Energy of motion as pictures: over every frame of a video as pixels, over the mean frame and in time as a PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidlang.report.drawing import (
    CURVE_COLOR,
    THIN_COLORS,
    WIDTH,
    as_png,
    clock,
    clock_unit,
    picture_style,
    reduce_rows,
    shorten,
    stairs,
    time_ticks,
)
from vidlang.report.masks import HEAT, LUMA, heat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Pixels = NDArray[np.uint8]

HOTTEST = 40.0
"""Grey levels of the lightest colour in videos, the same in every video, so that they can be compared."""
MOST_COLOUR = 0.9
"""Share of the colour where it covers most; the rest is the grey frame."""
NONE_BELOW, FULL_AT = 0.1, 0.5
"""Shares of the scale from which a colour covers anything, and that much: noise leaves the frame as it is."""
TICKS = (2, 5, 10, 20, 40, 80, 160, 255)
"""Grey levels named on the scale under a video, as far as it goes."""
STRIP_HEIGHT, STRIP_DPI = 28, 100
SMALLEST_STRIP, FULL_STRIP = 200, 480
"""Pixels of width from which there is room for a scale, and for its unit and more than two of its numbers."""
COVERED = 0.995
"""Share of pixels that the colours of a still picture tell apart; the hottest few are all of the last colour."""
LEAST_SCALE = 1.0
"""Grey levels that a still picture's scale has at least: noise alone is not drawn as if it were motion."""
TALLEST = 4.2
"""Inches of the pictures at most."""


def heat_frames(
    frames: Sequence[Pixels], energy: NDArray[np.floating], *, hottest: float = HOTTEST, strip: Pixels | None = None
) -> Iterator[Pixels]:
    """The colours of one map of energy over some frames in grey, and the scale below each.

    frames: N of [H, W, 3]    energy: [H, W] grey levels    strip: what ``scale_strip`` drew    yields: [H', W, 3]

    Colours follow the square root of energy, so that weak motion shows beside strong one.
    """
    scaled = np.sqrt(np.clip(energy, 0, hottest) / hottest)
    share = (256 * _cover(scaled)).astype(np.uint16)[..., None]
    coloured = heat(scaled, 1.0) * share  # of 256 parts
    rest = np.uint16(256) - share[..., 0]
    for frame in frames:
        grey = (frame @ LUMA).astype(np.uint16) * rest
        picture = ((coloured + grey[..., None]) >> 8).astype(np.uint8)
        yield picture if strip is None else np.concatenate([picture, strip])


def scale_strip(width: int, *, hottest: float = HOTTEST) -> Pixels | None:
    """What the colours of a video mean, in one line: [28, width, 3]; None where the video is too narrow for it."""
    if width < SMALLEST_STRIP:
        return None
    with picture_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width / STRIP_DPI, STRIP_HEIGHT / STRIP_DPI), dpi=STRIP_DPI, facecolor="black")
        canvas = FigureCanvasAgg(figure)
        bar = figure.add_axes((0.02, 0.62, 0.96, 0.3))
        bar.imshow(np.linspace(0, 1, 256)[None], cmap=HEAT, aspect="auto", extent=(0, 1, 0, 1))
        bar.set_yticks([])
        bar.spines[:].set_visible(False)
        full = width >= FULL_STRIP
        named = [tick for tick in TICKS if tick < hottest] + [hottest]
        shown = named if full else named[-2:]
        places = [float(np.sqrt(tick / hottest)) for tick in shown]
        bar.set_xticks(places, [f"{tick:g}" for tick in shown], fontsize=6, color="white")
        bar.get_xticklabels()[-1].set_horizontalalignment("right")
        bar.tick_params(axis="x", length=0, pad=1)
        bar.text(
            0,
            -0.35,
            "0 grey levels a step" if full else "0",
            fontsize=6,
            color="white",
            ha="left",
            va="top",
            transform=bar.transAxes,
        )
        canvas.draw()
        drawn = np.asarray(canvas.buffer_rgba())[:STRIP_HEIGHT, :width, :3]
    strip = np.zeros((STRIP_HEIGHT, width, 3), dtype=np.uint8)
    strip[: drawn.shape[0], : drawn.shape[1]] = drawn
    return strip


def motion_png(
    name: str,
    background: Pixels,
    energy: NDArray[np.floating],
    seconds: NDArray[np.float64],
    curve: NDArray[np.floating],
    *,
    shift: NDArray[np.floating] | None = None,
    note: str = "",
) -> bytes:
    """The mean frame, the energy of the whole video over it with its scale, and the curve below.

    background: [H, W] brightness    energy: [H, W] grey levels    seconds: [T, 2]    curve: [T] grey levels
    shift: [T, 2] pixels per step, drawn as speed    returns: a PNG file
    """
    with picture_style():
        from matplotlib.figure import Figure

        height, width = background.shape
        tall = min(TALLEST, (WIDTH - 1.6) / 2 * height / width)
        moved = shift is not None and bool(np.any(shift))
        figure = Figure(figsize=(WIDTH, tall + 2.4 + 0.9 * moved), layout="constrained")
        figure.suptitle(shorten(name, 90), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        pictures, curves = figure.subfigures(2, 1, squeeze=False, height_ratios=[tall + 0.35, 2.05 + 0.9 * moved])[:, 0]
        _draw_pictures(pictures, background, energy)
        axes = curves.subplots(1 + moved, 1, sharex=True, squeeze=False, height_ratios=[2, 1][: 1 + moved])[:, 0]
        _draw_curve(axes[0], seconds, curve, CURVE_COLOR, "energy\n(grey levels a step)")
        if moved and shift is not None:
            _draw_curve(axes[1], seconds, np.hypot(*shift.T), THIN_COLORS[2], "camera\n(pixels a step)")
        _time_axis(axes[-1], float(seconds[0, 0]), float(seconds[-1, 1]))
        if note:
            figure.text(0.99, 0.995, shorten(note, 100), ha="right", va="top", fontsize=7, color="0.4")
        return as_png(figure)


def _cover(scaled: NDArray[np.floating]) -> NDArray[np.floating]:
    """Share of the colour over the grey frame, for shares of the scale."""
    covered: NDArray[np.floating] = MOST_COLOUR * np.clip((scaled - NONE_BELOW) / (FULL_AT - NONE_BELOW), 0, 1)
    return covered


def _draw_pictures(figure: Any, background: Pixels, energy: NDArray[np.floating]) -> None:
    """The mean frame, and the same under the colours of energy."""
    plain, hot = figure.subplots(1, 2)
    top = max(float(np.quantile(energy, COVERED)), LEAST_SCALE)
    for axis, title in ((plain, "mean frame"), (hot, "energy over it")):
        axis.imshow(background, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=8.5, loc="left")
        axis.set_axis_off()
    colours = hot.imshow(energy, cmap=HEAT, vmin=0, vmax=top, alpha=_cover(energy / top))
    bar = figure.colorbar(_opaque(colours), ax=[plain, hot], fraction=0.025, pad=0.01, extend="max", aspect=25)
    bar.set_label("grey levels a step", fontsize=8)
    bar.ax.tick_params(labelsize=7.5)


def _opaque(colours: Any) -> Any:
    """The colours of an image without its transparency, for the bar beside it."""
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(norm=colours.norm, cmap=colours.cmap)


def _draw_curve(
    axis: Axes, seconds: NDArray[np.float64], values: NDArray[np.floating], colour: str, title: str
) -> None:
    columns = reduce_rows(values, seconds)
    x, y = stairs(columns.seconds, columns.highest)
    _, low = stairs(columns.seconds, columns.lowest)
    reduced = len(columns.highest) < len(values)
    axis.fill_between(x, low if reduced else np.zeros_like(y), y, color=colour, alpha=0.25, linewidth=0)
    axis.plot(x, y, color=colour, linewidth=1.2)
    axis.set_ylim(0, max(float(np.max(values)) * 1.08, 1e-3))
    axis.set_ylabel(title, fontsize=8)
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)


def _time_axis(axis: Axes, begin: float, end: float) -> None:
    length = max(end - begin, 1e-3)
    ticks = time_ticks(begin, begin + length)
    axis.set_xlim(begin, begin + length)
    axis.set_xticks(ticks, [clock(tick, length) for tick in ticks])
    axis.set_xlabel(f"time ({clock_unit(length)})")
