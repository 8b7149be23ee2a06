"""Motion masks and activation maps as pictures: over single frames as pixels, over a video's windows as PNG bytes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidlang.report.drawing import WIDTH, as_png, clock, picture_style, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in brightness, ITU-R BT.601."""
GROUND = 0.4
"""Brightness left to what does not move."""
OUTLINE = (255, 176, 0)
"""RGB of the edge between what moves and the ground."""
PIXELS_PER_OUTLINE = 240
"""Pixels of the shorter side for each pixel of the outline's width."""
HEAT = "inferno"
"""matplotlib's map for energies and activations: even to the eye, also to colour-blind people's."""
HEAT_SHARE = 0.65
"""Share of the colours over the grey frame at the highest value."""
MAX_ROWS = 6
"""Windows of a contact sheet."""
SHEET_PIXELS = 480
"""Longer side of a picture in a sheet; larger ones are thinned to about that."""
LABELS, TOP, GAP = 1.55, 0.62, 0.06
"""Inches of the facts at the left, of the heading, and between pictures."""
NOTE_COLOR = "#666666"

Pixels = NDArray[np.uint8]


def over_mask(frame: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """The moving pixels in their colours, outlined, over a ground that is grey and dark.

    frame: [H, W, 3]    mask: [H, W], True where it moves    returns: [H, W, 3]
    """
    ground = (_grey(frame) * GROUND).astype(np.uint8)
    shown = np.where(mask[..., None], frame, ground[..., None])
    shown[outline(mask, max(1, min(mask.shape) // PIXELS_PER_OUTLINE))] = OUTLINE
    return shown


def black_and_white(mask: NDArray[np.bool_]) -> Pixels:
    """White where it moves. mask: [H, W]    returns: [H, W, 3]"""
    return np.repeat(np.where(mask, np.uint8(255), np.uint8(0))[..., None], 3, axis=2)


def outline(mask: NDArray[np.bool_], width: int = 1) -> NDArray[np.bool_]:
    """The pixels of a mask that are at most ``width`` steps up, down, left or right from a pixel outside of it.

    The border of the picture is no edge.
    """
    inner = mask.copy()
    for _ in range(width):
        grown = ~inner
        left, right, up, down = grown[:, 1:], grown[:, :-1], grown[1:], grown[:-1]
        inner[:, :-1] &= ~left
        inner[:, 1:] &= ~right
        inner[:-1] &= ~up
        inner[1:] &= ~down
    return mask & ~inner


def over_map(frame: Pixels, activation: NDArray[np.floating]) -> Pixels:
    """Colours of an activation map over the grey frame, the stronger the more of them.

    frame: [H, W, 3]    activation: [H, W] from 0 to 1    returns: [H, W, 3]
    """
    share = (HEAT_SHARE * np.clip(activation, 0, 1))[..., None]
    return (_grey(frame)[..., None] * (1 - share) + heat(activation, 1.0) * share).astype(np.uint8)


def heat(values: NDArray[np.floating], highest: float) -> Pixels:
    """Colours from black (0) to light yellow (``highest`` and above). values: [H, W]    returns: [H, W, 3]"""
    scaled = np.clip(values / highest if highest > 0 else np.zeros_like(values), 0, 1)
    colours: Pixels = _heat_table()[np.rint(scaled * 255).astype(np.uint8)]
    return colours


class SheetRow(NamedTuple):
    """One window of a contact sheet."""

    start: float
    end: float
    """Seconds."""
    frame: Pixels
    """[H, W, 3], the frame in its middle."""
    heat: NDArray[np.floating]
    """[H, W], what is coloured: grey levels of motion, or an activation."""
    shown: Pixels
    """[H, W, 3], the frame with the mask or the map over it."""
    facts: tuple[str, ...] = ()
    """Short lines beside the pictures."""


def sheet_png(
    title: str, columns: tuple[str, str, str], rows: Sequence[SheetRow], *, length: float, scale: str = ""
) -> bytes:
    """A row per window: its frame, its heat and its overlay; the heat's colours mean the same in every row.

    columns: what stands above the three    length: seconds of the whole video    scale: unit of the heat

    At most MAX_ROWS rows are drawn.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one window, got none")
    drawn = rows[:MAX_ROWS]
    highest = max(float(row.heat.max()) for row in drawn)
    height, width = drawn[0].frame.shape[:2]
    cell = (WIDTH - LABELS - 3 * GAP) / 3
    row_height = min(cell * height / width, 4.0)
    with picture_style():
        from matplotlib.figure import Figure

        total = TOP + len(drawn) * (row_height + GAP)
        figure = Figure(figsize=(WIDTH, total))
        figure.text(GAP / WIDTH, 1 - 0.16 / total, shorten(title, 100), va="center", fontsize=10.5, fontweight="bold")
        for column, name in enumerate(columns):
            left = LABELS + column * (cell + GAP)
            unit = f": black 0, yellow {highest:.3g} {scale}" if column == 1 and scale else ""
            figure.text(left / WIDTH, 1 - (TOP - 0.1) / total, f"{name}{unit}", va="bottom", fontsize=8)
        for place, row in enumerate(drawn):
            bottom = total - TOP - (place + 1) * row_height - place * GAP
            _facts(figure.add_axes((GAP / WIDTH, bottom / total, LABELS / WIDTH, row_height / total)), row, length)
            for column, picture in enumerate((row.frame, heat(_thin(row.heat), highest), row.shown)):
                left = LABELS + column * (cell + GAP)
                axis = figure.add_axes((left / WIDTH, bottom / total, cell / WIDTH, row_height / total))
                axis.imshow(_thin(picture), interpolation="antialiased")
                axis.set_axis_off()
        return as_png(figure)


def _facts(axis: Axes, row: SheetRow, length: float) -> None:
    axis.set_axis_off()
    seconds = f"{row.start:.2f} - {row.end:.2f} s" if length < 120 else f"{clock(row.start, length)}"
    axis.text(0, 1, seconds, va="top", fontsize=8.5, fontweight="bold", transform=axis.transAxes)
    offset = (0, -14)
    axis.annotate(
        "\n".join(row.facts), (0, 1), xycoords="axes fraction", xytext=offset, textcoords="offset points", va="top",
        fontsize=8, color=NOTE_COLOR, linespacing=1.35,
    )  # fmt: skip


def _thin(picture: NDArray) -> NDArray:
    step = max(1, max(picture.shape[:2]) // SHEET_PIXELS)
    return picture[::step, ::step]


def _grey(frame: Pixels) -> NDArray[np.float32]:
    grey: NDArray[np.float32] = frame @ LUMA
    return grey


@functools.cache
def _heat_table() -> Pixels:
    """[256, 3]"""
    from matplotlib import colormaps

    return np.rint(colormaps[HEAT](np.arange(256))[:, :3] * 255).astype(np.uint8)
