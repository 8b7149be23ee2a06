"""Non-maximum suppression in time: of proposals that overlap, the best stays, the others go or sink. numpy only.

segments: [N, 2] start and end    scores: [N]
All take the highest score first; of equal scores, the first in the input.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Lengths = Literal["true", "pixels"]
"""``true``: end - start. ``pixels``: end - start + 1, as code for images counts, for comparison with numbers made so;
in seconds it lets actions overlap that lie up to a second apart."""
Weight = Literal["gaussian", "linear"]


def overlaps(segment: NDArray[np.float64], segments: NDArray[np.float64], lengths: Lengths = "true") -> NDArray:
    """Temporal intersection over union of one segment with each of the others; 0 where both are empty.

    segment: [2]    segments: [N, 2]    returns: [N]
    """
    if lengths not in get_args(Lengths):
        raise ValueError(f"there are no lengths {lengths!r}: use {' or '.join(get_args(Lengths))}")
    unit = 1.0 if lengths == "pixels" else 0.0
    starts, ends = segments[:, 0], segments[:, 1]
    shared = np.maximum(0.0, np.minimum(ends, segment[1]) - np.maximum(starts, segment[0]) + unit)
    union = (ends - starts + unit) + (segment[1] - segment[0] + unit) - shared
    return np.divide(shared, union, out=np.zeros(len(segments)), where=union > 0)


def hard_nms(
    segments: NDArray[np.float64],
    scores: NDArray[np.float64],
    threshold: float = 0.5,
    *,
    min_score: float = -np.inf,
    most: int | None = None,
    lengths: Lengths = "true",
) -> NDArray[np.int64]:
    """Rows that no better row overlaps by the threshold or more, best first.

    min_score: rows below are dropped    most: rows to return at most    returns: [M] indices

    Source: the usual greedy rule; BaS-Net and ActionFormer drop at equality too.
    """
    segments, scores = _checked(segments, scores)
    left = np.argsort(-scores, kind="stable")
    left = left[scores[left] >= min_score]
    kept: list[int] = []
    while len(left) and (most is None or len(kept) < most):
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[overlaps(segments[best], segments[left], lengths) < threshold]
    return np.array(kept, dtype=np.int64)


def soft_nms(
    segments: NDArray[np.float64],
    scores: NDArray[np.float64],
    weight: Weight = "gaussian",
    *,
    sigma: float = 0.3,
    threshold: float = 0.5,
    min_score: float = 0.001,
    most: int | None = None,
    lengths: Lengths = "true",
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best row, then the best of what its overlaps left of the others, and so on.

    weight: every other row is multiplied by exp(-o^2 / sigma) (``gaussian``), or by 1 - o from ``threshold`` on
        (``linear``; with ``pixels`` lengths only above it)
    min_score: rows are dropped when their score falls below    most: rows to return at most
    returns: [M] indices and [M] scores as they have become, both best first

    A score below 0 would rise when multiplied, so it stays as it is.

    Source: Soft-NMS (Bodla et al., ICCV 2017); in time ActionFormer (true lengths), CO2-Net (pixels).
    """
    if weight not in get_args(Weight):
        raise ValueError(f"there is no weight {weight!r}: use {' or '.join(get_args(Weight))}")
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    segments, scores = _checked(segments, scores)
    left, now = np.arange(len(scores)), scores.copy()
    kept: list[int] = []
    final: list[float] = []
    while most is None or len(kept) < most:
        enough = now >= min_score
        left, now = left[enough], now[enough]
        if not len(left):
            break
        at = int(now.argmax())  # of equal ones the first
        best = left[at]
        kept.append(int(best))
        final.append(float(now[at]))
        left, now = np.delete(left, at), np.delete(now, at)
        o = overlaps(segments[best], segments[left], lengths)
        if weight == "gaussian":
            factor = np.exp(-(o**2) / sigma)
        else:
            factor = np.where(o > threshold if lengths == "pixels" else o >= threshold, 1 - o, 1.0)
        now = np.where(now > 0, now * factor, now)
    return np.array(kept, dtype=np.int64), np.array(final, dtype=np.float64)


def _checked(segments: NDArray, scores: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    segments, scores = np.asarray(segments, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or segments.shape != (len(scores), 2):
        raise ValueError(f"segments must be [N, 2] and scores [N], got {segments.shape} and {scores.shape}")
    if not (np.isfinite(segments).all() and np.isfinite(scores).all()):
        raise ValueError("segments and scores must be finite")
    return segments, scores
