"""From which score on a row belongs to an event."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidlang.core.labels import Label
from vidlang.core.results import Scores
from vidlang.metrics.truth import bounds, cut_rows, ruler_of


def best_threshold(scores: Sequence[Scores], truth: Sequence[Label], branch: str, normal: str) -> float:
    """The score that separates best: over rows where times of events are known, else over videos' peaks.

    Best is the largest share of true rows found minus share of normal rows alarmed (Youden's J). Where classes hardly
    separate, F1 would call everything an event; this does not. The answer lies half-way between two neighbouring
    scores, so that it does not hang on one of them; 0.5 where nothing can be separated.
    """
    by_id = {label.video_id: label for label in truth}
    values, true, weights = [], [], []
    for item in scores:
        label, curve = by_id[item.video.id], item.branches[branch]
        abnormal = normal not in label.classes
        if label.timed or (label.segments and abnormal):
            ruler = ruler_of([label])
            events = [e for e in label.segments if e.label != normal]
            rows = (item.frames if ruler == "frames" else item.seconds).astype(np.float64)
            pieces = cut_rows(rows, [bounds(event, ruler, item.frames, item.seconds) for event in events])
            values.append(curve[pieces.rows])
            true.append(pieces.truth)
            weights.append(pieces.weights / max(float(pieces.weights.sum()), 1e-9))
        else:
            values.append(curve.max(keepdims=True))
            true.append(np.array([abnormal]))
            weights.append(np.ones(1))
    return _best_separation(np.concatenate(values), np.concatenate(true), np.concatenate(weights))


def _best_separation(values: NDArray[np.floating], truth: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    order = np.argsort(-values, kind="stable")
    values, truth, weights = values[order], truth[order], weights[order]
    true_total, false_total = weights[truth].sum(), weights[~truth].sum()
    if true_total <= 0 or false_total <= 0:
        return 0.5
    found = np.cumsum(np.where(truth, weights, 0.0)) / true_total
    alarms = np.cumsum(np.where(truth, 0.0, weights)) / false_total
    last_of_ties = np.append(values[1:] < values[:-1], True)
    best = int(np.argmax(np.where(last_of_ties, found - alarms, -1.0)))
    below = float(values[best + 1]) if best + 1 < len(values) else 0.0
    return (float(values[best]) + below) / 2
