"""A curve in one line of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*%#"


def sparkline(
    values: Sequence[float] | NDArray[np.floating],
    width: int = 60,
    *,
    low: float = 0.0,
    high: float = 1.0,
    ascii_only: bool = False,
) -> str:
    """``values`` [T] as at most ``width`` characters, from ``low`` (lowest block) to ``high`` (full block).

    Longer curves keep the maximum of each character's share, so that a peak of one snippet stays visible.
    A value that is not finite shows as a space.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1 character, got {width}")
    if not high > low:
        raise ValueError(f"high must be above low, got low {low} and high {high}")
    curve = np.asarray(values, dtype=np.float64)
    if curve.ndim != 1:
        raise ValueError(f"values must be [T], got shape {curve.shape}")
    marks = ASCII if ascii_only else BLOCKS
    return "".join(_mark(share, low, high, marks) for share in np.array_split(curve, max(1, min(width, len(curve)))))


def _mark(share: NDArray[np.float64], low: float, high: float, marks: str) -> str:
    finite = share[np.isfinite(share)]
    if not len(finite):
        return " "
    level = int((finite.max() - low) / (high - low) * len(marks))
    return marks[min(max(level, 0), len(marks) - 1)]
