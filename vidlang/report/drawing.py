"""The ground of every picture: colours, fonts, times and files (matplotlib, Agg canvas, no global state)."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidlang.core.segments import Segment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito (2008), told apart under all common colour blindness; black and blue are kept for curves.
CURVE_COLOR = "#0072B2"
THIN_COLORS = ("#56B4E9", "#CC79A7", "#009E73", "#999999")
EVENT_COLORS = ("#D55E00", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8C6D31", "#999999")
CURVE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#000000")
LINE_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
"""Strokes of curves in one panel, so that colour alone tells nothing."""
THRESHOLD_COLOR = "#444444"
TRUTH_COLOR = "#222222"

Color = TypeVar("Color")
Form = Literal["png", "pdf", "svg"]
"""Formats of a picture."""

WIDTH = 10.0
"""Inches."""
DPI = 150
COLUMNS = 1200
"""Curves with more rows are reduced to this many columns; about one per pixel of the axis."""
# The first that has a letter draws it.
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Arabic", "Arial Unicode MS")
TICK_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


@dataclass(frozen=True, eq=False)
class Columns:
    """Rows put together so that each fills at least a pixel; every extreme survives."""

    seconds: NDArray[np.float64]
    """[P, 2] from the first row's start to the last row's end."""
    highest: NDArray[np.float32]
    """[P, ...] maximum of the rows of each column."""
    lowest: NDArray[np.float32]
    """[P, ...] minimum of the rows of each column."""


def reduce_rows(values: NDArray[np.floating], seconds: NDArray[np.float64], num_columns: int = COLUMNS) -> Columns:
    """Maximum and minimum per pixel column; rows are kept as they are while there are at most ``num_columns``.

    values: [T] or [T, C]; seconds: [T, 2] sorted by start.
    """
    if len(values) != len(seconds):
        raise ValueError(f"each row needs one interval, got {len(values)} rows and {len(seconds)} intervals")
    values = np.asarray(values, dtype=np.float32)
    if len(values) <= num_columns:
        return Columns(seconds, values, values)
    begin, end = seconds[0, 0], seconds[:, 1].max()
    column = ((seconds[:, 0] - begin) / max(end - begin, 1e-9) * num_columns).astype(np.int64)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    last = np.append(first[1:], len(values)) - 1
    return Columns(
        np.stack([seconds[first, 0], seconds[last, 1]], axis=1),
        np.maximum.reduceat(values, first, axis=0),
        np.minimum.reduceat(values, first, axis=0),
    )


def stairs(seconds: NDArray[np.float64], values: NDArray[np.floating]) -> tuple[NDArray, NDArray]:
    """A curve that is flat over each row's interval and broken where no row is.

    seconds: [P, 2], values: [P] → x, y, each [3 P] with a NaN at each gap (and no break where rows touch).
    """
    gap = np.append(seconds[1:, 0] - seconds[:-1, 1] > 1e-3, False)
    x = np.stack([seconds[:, 0], seconds[:, 1], seconds[:, 1]], axis=1).ravel()
    y = np.stack([values, values, np.where(gap, np.nan, values)], axis=1).ravel()
    return x, y


def visible(segment: Segment, length: float) -> tuple[float, float]:
    """Start and end, widened around the middle to about two pixels of an axis of ``length`` seconds."""
    least = length * 2 / COLUMNS
    middle = (segment.start + segment.end) / 2
    half = max(segment.duration, least) / 2
    return middle - half, middle + half


def shorten(text: str, limit: int) -> str:
    """``text`` in one line, its middle left out where it is longer than ``limit``; controls become ``?``."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text)
    if len(line) <= limit:
        return line
    head = (limit - 1) // 2
    return f"{line[:head]}…{line[len(line) - (limit - 1 - head) :]}"


def clock(seconds: float, length: float) -> str:
    """Seconds for short videos, m:ss from two minutes, h:mm:ss from an hour of total ``length``."""
    if length < 120:
        return f"{seconds:.10g}"
    minutes, rest = divmod(round(seconds), 60)
    if length < 3600:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def clock_unit(length: float) -> str:
    return "s" if length < 120 else "min:s" if length < 3600 else "h:min:s"


def tick_step(length: float, most: int = 12) -> float:
    """The smallest round step in seconds that gives at most ``most`` ticks."""
    return next((step for step in TICK_STEPS if length / step <= most), max(TICK_STEPS[-1], length / most))


def time_ticks(begin: float, end: float, most: int = 12) -> NDArray[np.float64]:
    """Round seconds from ``begin`` to ``end``, at most about ``most``."""
    step = tick_step(end - begin, most)
    ticks: NDArray[np.float64] = np.arange(np.ceil(begin / step - 1e-9), np.floor(end / step + 1e-9) + 1) * step
    return ticks + 0.0  # 0 has no sign


def colors_by_name(names: Iterable[str], palette: Sequence[Color]) -> dict[str, Color]:
    """A colour for each name, in the order in which they come first."""
    return {name: palette[place % len(palette)] for place, name in enumerate(dict.fromkeys(names))}


def legend_texts(labels: Iterable[str], limit: int) -> list[str]:
    """matplotlib drops labels that start with an underscore, hence the space."""
    return [f" {text}" if text.startswith("_") else text for text in (shorten(label, limit) for label in labels)]


@contextmanager
def picture_style() -> Iterator[None]:
    """Fonts and line widths of one picture; the caller's matplotlib settings are left as they are."""
    import matplotlib
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    settings = {
        "font.family": [name for name in FONTS if name in installed] or ["sans-serif"],
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "text.usetex": False,
        "text.parse_math": False,
        "pdf.fonttype": 42,  # letters stay letters, which journals ask for
        "svg.fonttype": "none",
        "svg.hashsalt": "vidlang",
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A letter that no installed font has is drawn as a box; that is no reason to speak.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def as_png(figure: Figure) -> bytes:
    return as_picture(figure, "png")


def as_picture(figure: Figure, form: str) -> bytes:
    """A PNG file, or a PDF or SVG of lines and letters, which carry no date: equal figures give equal files."""
    undated = {"png": None, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=DPI, facecolor="white", metadata=undated[form])
    return buffer.getvalue()


def tint(color: str, share: float = 0.25) -> tuple[float, ...]:
    """``color`` (#RRGGBB) mixed with white."""
    return tuple(1 - share * (1 - int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
