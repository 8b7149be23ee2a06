"""How well features tell actions apart: by a classifier, by a linear probe, by nearest neighbours.

Vectors of videos are means over clips of unit vectors (`video_vectors`). Shares are fractions of 1. Of equal logits the
lower class comes first, of equal similarities the earlier video of the gallery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Center = Literal["none", "own", "gallery"]
RECALL_AT = (1, 5, 10, 20, 50)


def top_k_accuracy(logits: ArrayLike, labels: ArrayLike, ks: Sequence[int] = (1, 5)) -> dict[int, float]:
    """Share of the videos whose class is among the k highest logits.

    logits: [N, C]    labels: [N] class indices
    """
    raise NotImplementedError


def mean_class_accuracy(logits: ArrayLike, labels: ArrayLike) -> float:
    """Accuracy within each class that occurs, averaged over these classes."""
    raise NotImplementedError


def video_vectors(clips: ArrayLike) -> NDArray[np.float64]:
    """Clip features [N, K, D] → video vectors [N, D]: each clip at unit length, then the mean."""
    raise NotImplementedError


def retrieval_recall(
    gallery: ArrayLike,
    gallery_labels: ArrayLike,
    query: ArrayLike,
    query_labels: ArrayLike,
    ks: Sequence[int] = RECALL_AT,
    *,
    center: Center = "none",
) -> dict[int, float]:
    """Share of the queries with a video of their class among the k nearest of the gallery, by cosine.

    gallery: [G, D]    query: [Q, D]    labels: [G], [Q]
    """
    raise NotImplementedError


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What a linear probe says of the test videos."""

    logits: NDArray[np.float64]
    """[M, C]"""
    strength: float
    """Chosen inverse regularisation (``C`` of scikit-learn)."""


def linear_probe(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    *,
    num_classes: int | None = None,
    strengths: Sequence[float] = (0.01, 0.1, 1.0, 10.0, 100.0),
    num_folds: int = 5,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> ProbeResult:
    """Logistic regression on unit vectors; its regularisation is chosen by stratified folds of the training videos."""
    raise NotImplementedError


@dataclass(frozen=True)
class NeighbourShares:
    """What nearest neighbours share."""

    a: float
    b: float
    chance_a: float
    chance_b: float
    prefers_a: float


def neighbours_by(
    features: ArrayLike, a: ArrayLike, b: ArrayLike, *, groups: ArrayLike | None = None
) -> NeighbourShares:
    """Share of the vectors whose nearest neighbour has the same attribute ``a`` (a motion), or ``b`` (a background)."""
    raise NotImplementedError
