"""How much a frame row says about its video: nothing for black, plain and title frames.

Such frames look alike in all videos, so that one shared black second would make two videos alike. The published system
has no guard against it. Suppressing them helps more than a better aggregator (VVS, AAAI 2024, does it by training).
Here no training is needed: a row that is as near to the encoder's row of some blank frame as blank frames are to each
other weighs nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PLAIN_FROM = 0.95
"""Cosine to a blank frame at or above which a row weighs nothing."""
TELLING_UP_TO = 0.80
"""Cosine at or under which it weighs all; between the two its weight falls along a straight line."""
LEAST_TOTAL = 0.5
"""Sum of weights under which a video shows nothing but blank frames."""


def informative_weights(
    rows: NDArray[np.floating], blanks: NDArray[np.floating], mean: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """Weight of every row: 1 for a frame that shows something, 0 for one that could be of any video.

    rows: [T, D] as the encoder gave them    blanks: [N, D] rows of blank frames by the same encoder
    mean: [D] direction that all images share, taken away from both sides first    returns: [T] in [0, 1]
    """
    if not len(blanks):
        return np.ones(len(rows), dtype=np.float32)
    nearest = (unit(rows, mean) @ unit(blanks, mean).T).max(axis=1)
    weights = np.clip((PLAIN_FROM - nearest) / (PLAIN_FROM - TELLING_UP_TO), 0.0, 1.0)
    return weights.astype(np.float32)


def is_blank(weights: NDArray[np.floating]) -> bool:
    """Whether a video shows nothing that could identify it."""
    return float(weights.sum()) < LEAST_TOTAL


def unit(rows: NDArray[np.floating], mean: NDArray[np.floating] | None = None) -> NDArray[np.float32]:
    """Rows of length 1, after ``mean`` is subtracted. Rows of zeros stay zeros.

    rows: [T, D]    mean: [D] of rows of length 1    returns: [T, D]
    """
    unit_rows = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    if mean is None:
        return unit_rows.astype(np.float32)
    centred = unit_rows - mean
    return (centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-12)).astype(np.float32)
