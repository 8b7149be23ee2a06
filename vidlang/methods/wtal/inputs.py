"""What CBP reads: differences of CLIP's rows in time, or a second encoder's rows brought onto CLIP's grid.

Letters: T snippets, D dimension of CLIP's rows, T2 and D2 those of a second encoder.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadInput

Array = NDArray[np.floating]
INTERVALS_AT_ONCE = 512
"""Intervals that are compared with all rows of a second encoder together."""


def align(values: Array, seconds2: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows on another grid of time: the mean of the rows that overlap each interval, weighted by the shared seconds.

    values: [T2, D2]    seconds2: [T2, 2]    seconds: [T, 2], half-open    returns: [T, D2]

    An interval that no row overlaps gets the row whose middle is nearest to its own; of equally near ones the first.

    rows of [0, 1) [1, 2) [2, 3) at [0.5, 2) → a third of row 0 and two thirds of row 1

    Raises:
        ValueError: rows and intervals are not as many, or there are none.
    """
    if len(values) != len(seconds2) or not len(values):
        raise ValueError(f"{len(values)} rows need as many intervals and one at least, got {len(seconds2)}")
    middle2 = seconds2.mean(1)
    parts = [np.zeros((0, values.shape[1]), dtype=np.float32)]
    for first in range(0, len(seconds), INTERVALS_AT_ONCE):
        part = seconds[first : first + INTERVALS_AT_ONCE]
        shared = np.minimum(part[:, None, 1], seconds2[None, :, 1]) - np.maximum(part[:, None, 0], seconds2[None, :, 0])
        shared = np.maximum(shared, 0)  # [t, T2] seconds
        alone = np.flatnonzero(shared.sum(1) <= 0)
        shared[alone, np.abs(part[alone].mean(1)[:, None] - middle2).argmin(1)] = 1
        parts.append((shared / shared.sum(1, keepdims=True) @ values.astype(np.float64)).astype(np.float32))
    return np.concatenate(parts)


def rows_per(seconds: NDArray[np.float64], span: float) -> int:
    """Rows that a span of seconds covers on this grid, one at least. seconds: [T, 2]"""
    if len(seconds) < 2:
        return 1
    step = float(np.median(np.diff(seconds[:, 0])))
    return max(1, round(span / step)) if step > 0 else 1


def differences(rows: Array, window: int) -> NDArray[np.float32]:
    """Appearance and two speeds of change: ``[f(t); f(t+1) - f(t-1); mean after - mean before]``.

    rows: [T, D]    window: rows k of each mean: after is f(t) … f(t+k-1), before is f(t-k) … f(t-1)
    returns: [T, 3D]

    f are the rows at length 1; before the first and behind the last row stand copies of them.

    The difference blocks stand in for the optical flow that the paper's I3D features have. They are several times
    smaller than f, so they are worth something only after standardisation.
    """
    unit = rows.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    padded = np.pad(unit, ((window, window), (0, 0)), mode="edge")  # row t lies at t + window
    sums = np.concatenate([np.zeros((1, unit.shape[1])), padded.cumsum(0)])
    means = (sums[window:] - sums[:-window]) / window  # row i: mean of padded i … i + window - 1
    count = len(unit)
    change = means[window : window + count] - means[:count]
    step = padded[window + 1 : window + 1 + count] - padded[window - 1 : window - 1 + count]
    return np.concatenate([unit, step, change], axis=1).astype(np.float32)


def cbp_rows(kind: str, rows: Array, window: int, second: Array | None) -> NDArray[np.float32]:
    """CBP's input by the name of ``WtalConfig.cbp_inputs``.

    rows: [T, D] of CLIP    window: see ``differences``    second: [T, D2] on the same grid, or None
    returns: [T, 3D], [T, D2] or [T, D + D2]

    Raises:
        BadInput: a second encoder's rows are asked for and are not there.
    """
    if kind == "differences":
        return differences(rows, window)
    if second is None:
        raise BadInput(
            f"cbp_inputs {kind} reads features of a second encoder, and there are none. "
            "Import or extract them, or set cbp_inputs to differences."
        )
    if len(second) != len(rows):
        raise ValueError(f"second rows must be on the grid of the {len(rows)} CLIP rows, got {len(second)}")
    parts = [second] if kind == "second" else [rows, second]
    return np.concatenate([part.astype(np.float32) for part in parts], axis=1)
