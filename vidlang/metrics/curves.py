"""Points of the curves behind areas, and tables of what was taken for what.

The area under each curve is the metric of the same data: by trapezoids for ROC, by steps for precision and recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidlang.metrics.anomaly import validate


@dataclass(frozen=True, eq=False)
class Points:
    """A curve with rising x, P points."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def trapezoid_area(self) -> float:
        """Area under straight lines from point to point."""
        return float((np.diff(self.x) * (self.y[1:] + self.y[:-1]) / 2).sum())

    def step_area(self) -> float:
        """Area where each value holds from the point before up to its own."""
        return float((np.diff(self.x) * self.y[1:]).sum())


def roc_points(truth: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> Points:
    """False positive rate against true positive rate, from (0, 0) to (1, 1).

    truth: [N] bool    scores: [N]    weights: [N] frames or seconds per entry

    Raises:
        ValueError: only one kind of truth, or wrong shapes.
    """
    from sklearn.metrics import roc_curve

    validate(truth, scores, weights)
    false, true, _ = roc_curve(np.asarray(truth), np.asarray(scores), sample_weight=weights)
    return Points(false, true)


def precision_recall_points(truth: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> Points:
    """Recall against precision, one step for equal scores, not interpolated; the first point repeats at recall 0.

    truth: [N] bool    scores: [N]    weights: [N] frames or seconds per entry

    Raises:
        ValueError: only one kind of truth, or wrong shapes.
    """
    from sklearn.metrics import precision_recall_curve

    validate(truth, scores, weights)
    precision, recall, _ = precision_recall_curve(
        np.asarray(truth), np.asarray(scores), sample_weight=weights, drop_intermediate=True
    )
    recall, precision = recall[::-1], precision[::-1]
    return Points(recall, np.concatenate([precision[1:2], precision[1:]]))


def base_rate(truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Share of what is true: the precision of guessing."""
    return float(
        np.average(np.asarray(truth, dtype=np.float64), weights=None if weights is None else np.asarray(weights))
    )


def ranking_points(hits: ArrayLike, num_true: int, *, interpolated: bool) -> Points:
    """Recall against precision at the hits of one ranking; what is never found is not on the curve.

    hits: [N] bool, by falling score    interpolated: the highest precision at that recall or later
    """
    found = np.asarray(hits, dtype=bool)
    precision = np.cumsum(found) / np.arange(1, len(found) + 1)
    if interpolated:
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    at_hits = precision[found]
    recall = np.arange(len(at_hits) + 1) / num_true
    return Points(recall, np.concatenate([at_hits[:1] if len(at_hits) else [0.0], at_hits]))


def confusion(
    true: Sequence[str], said: Sequence[str], rows: Sequence[str], columns: Sequence[str]
) -> NDArray[np.int64]:
    """How often each true class was taken for each class. returns: [R, C]"""
    row, column = {name: i for i, name in enumerate(rows)}, {name: i for i, name in enumerate(columns)}
    counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
    for one, other in zip(true, said, strict=True):
        counts[row[one], column[other]] += 1
    return counts


def class_of_video(
    curve: NDArray[np.floating], classes: NDArray[np.floating], class_names: Sequence[str], threshold: float
) -> str:
    """What a video is taken for: normal (class 0) where no row reaches the threshold, else the abnormal class with the
    highest mean probability over the rows that do.

    curve: [T]    classes: [T, C]
    """
    rows = curve >= threshold
    if not rows.any() or len(class_names) < 2:
        return class_names[0]
    return class_names[1 + int(classes[rows, 1:].mean(axis=0).argmax())]
