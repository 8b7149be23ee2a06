"""How well features tell actions apart: by a classifier, by a linear probe, by nearest neighbours.

A video's vector is the mean over its clips, each at unit length (`video_vectors`). Similarity is the cosine. Shares are
fractions of 1. Of equal logits the lower class comes first, of equal similarities the earlier video of the gallery.

Source: Ding et al.: Motion-aware contrastive video representation learning via foreground-background merging, CVPR 2022
(FAME), and the protocol of recognition and retrieval that it follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidlang.core.errors import BadInput

Center = Literal["none", "own", "gallery"]
RECALL_AT = (1, 5, 10, 20, 50)
STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)
BLOCK = 512
"""Queries that are compared with the gallery at a time."""
NEVER = np.iinfo(np.int64).max
"""The rank of what is not in the gallery."""
EPSILON = 1e-12
"""Length below which a vector has no direction; its similarities are 0."""


def top_k_accuracy(logits: ArrayLike, labels: ArrayLike, ks: Sequence[int] = (1, 5)) -> dict[int, float]:
    """Share of the videos whose class is among the k highest logits.

    logits: [N, C], or anything that ranks classes    labels: [N] class indices

    Raises:
        ValueError: shapes do not fit, a label is no class, or a logit is no number.
    """
    ranks = _ranks(*_scored(logits, labels))
    return _share_within(ranks, ks)


def mean_class_accuracy(logits: ArrayLike, labels: ArrayLike) -> float:
    """Accuracy within each class that occurs, averaged over these classes.

    logits: [N, C]    labels: [N]

    Raises:
        ValueError: as `top_k_accuracy`.
    """
    values, truth = _scored(logits, labels)
    right = _ranks(values, truth) == 0
    return float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))


def video_vectors(clips: ArrayLike) -> NDArray[np.float64]:
    """Clip features [N, K, D] → video vectors [N, D]: each clip at unit length, then the mean.

    Raises:
        ValueError: no such array, or a value is not finite.
    """
    values = np.asarray(clips, dtype=np.float64)
    if values.ndim != 3 or not values.shape[1] or not np.isfinite(values).all():
        raise ValueError(f"clip features are finite [N, K, D] with at least one clip, got {values.shape}")
    vectors: NDArray[np.float64] = unit_rows(values).mean(axis=1)
    return vectors


def retrieval_recall(
    gallery: ArrayLike,
    gallery_labels: ArrayLike,
    query: ArrayLike,
    query_labels: ArrayLike,
    ks: Sequence[int] = RECALL_AT,
    *,
    center: Center = "none",
) -> dict[int, float]:
    """Share of the queries with a video of their class among the k nearest of the gallery.

    gallery: [G, D] video vectors    query: [Q, D]    labels: [G], [Q], any values that can be compared
    center: what is taken from the vectors before they get unit length: nothing; ``own``, from each set its own mean,
        as the published numbers do, so that a query's ranking depends on the other queries; ``gallery``, from both the
        mean of the gallery

    A query whose class the gallery does not have is a miss.

    Raises:
        ValueError: shapes do not fit, a value is not finite, or there is no such center.
    Source: published retrieval of FAME: dot products of centred unit vectors.
    """
    if center not in get_args(Center):
        raise ValueError(f"center must be one of {', '.join(get_args(Center))}, got {center!r}")
    there, there_labels = _labelled(gallery, gallery_labels, "gallery")
    asked, asked_labels = _labelled(query, query_labels, "query")
    if there.shape[1] != asked.shape[1]:
        raise ValueError(f"gallery vectors have {there.shape[1]} dimensions, query vectors {asked.shape[1]}")
    if center != "none":
        asked = asked - (asked if center == "own" else there).mean(axis=0)
        there = there - there.mean(axis=0)
    return _share_within(_ranks_of_neighbours(unit_rows(asked), asked_labels, unit_rows(there), there_labels), ks)


def _ranks_of_neighbours(
    query: NDArray[np.float64], labels: NDArray[Any], gallery: NDArray[np.float64], gallery_labels: NDArray[Any]
) -> NDArray[np.int64]:
    """[Q] rank from 0 of the first gallery video of the query's class; `NEVER` where there is none."""
    ranks = np.full(len(query), NEVER, dtype=np.int64)
    for first in range(0, len(query), BLOCK):
        block = slice(first, first + BLOCK)
        similarities = query[block] @ gallery.T
        same = labels[block, None] == gallery_labels[None]
        best = np.where(same, similarities, -np.inf).argmax(axis=1)
        found = same[np.arange(len(best)), best]
        ranks[block][found] = _ranks(similarities, best)[found]
    return ranks


def _ranks(values: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N] rank from 0 of the value at a place [N] within its row of values [N, C]; equal ones before it come first."""
    chosen = values[np.arange(len(values)), places][:, None]
    earlier = np.arange(values.shape[1])[None] < places[:, None]
    ranks: NDArray[np.int64] = ((values > chosen) | ((values == chosen) & earlier)).sum(axis=1)
    return ranks


def _share_within(ranks: NDArray[np.int64], ks: Sequence[int]) -> dict[int, float]:
    if min(ks, default=0) < 1:
        raise ValueError(f"ks must be at least 1 each, got {list(ks)}")
    return {int(k): float((ranks < k).mean()) for k in ks}


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What a linear probe says of the test videos."""

    logits: NDArray[np.float64]
    """[M, C]; minus infinity for a class without training video."""
    strength: float
    """The chosen inverse regularisation (``C`` of scikit-learn)."""
    fold_accuracy: dict[float, float]
    """Inverse regularisation → accuracy over the folds of the training videos; empty where none was to choose."""


def linear_probe(
    train: ArrayLike,
    train_labels: ArrayLike,
    test: ArrayLike,
    *,
    num_classes: int | None = None,
    strengths: Sequence[float] = STRENGTHS,
    num_folds: int = 3,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> ProbeResult:
    """Logistic regression on vectors of unit length, its regularisation chosen on the training videos alone.

    train: [N, D]    train_labels: [N] class indices    test: [M, D]
    num_classes: C; by default up to the highest label
    strengths: inverse regularisations to choose from by accuracy over stratified folds; of equal ones the smallest
    num_folds: folds at most; fewer where a class has fewer videos, but not below 2
    groups: [N] videos of one group (cut from one recording) are never on both sides of a fold

    Raises:
        BadInput: the training videos have fewer than two classes.
        ValueError: shapes do not fit, a value is not finite, or there is no strength.
    """
    from sklearn.linear_model import LogisticRegression

    features, labels = _labelled(train, train_labels, "train")
    asked = _vectors(test, "test")
    if features.shape[1] != asked.shape[1]:
        raise ValueError(f"train vectors have {features.shape[1]} dimensions, test vectors {asked.shape[1]}")
    if not strengths or min(strengths) <= 0:
        raise ValueError(f"strengths must be positive, at least one, got {list(strengths)}")
    classes = np.unique(labels)
    if len(classes) < 2:
        raise BadInput(f"A linear probe needs at least two classes; all training videos are of class {classes[0]}.")
    highest = int(classes[-1]) + 1 if num_classes is None else num_classes
    if not np.issubdtype(labels.dtype, np.integer) or classes[0] < 0 or classes[-1] >= highest:
        raise ValueError(f"train_labels must be class indices below {highest}, got {classes[0]} to {classes[-1]}")
    features = unit_rows(features)
    strengths = sorted(strengths)
    accuracy: dict[float, float] = {}
    if len(strengths) > 1:
        folds = _folds(features, labels, num_folds, groups, seed)
        accuracy = {strength: _fold_accuracy(features, labels, folds, strength) for strength in strengths}
    # max keeps the first of equal ones: the strongest regularisation
    strength = max(strengths, key=lambda one: accuracy.get(one, 0.0))
    model = LogisticRegression(C=strength, max_iter=2000).fit(features, labels)
    logits = np.full((len(asked), highest), -np.inf)
    logits[:, classes] = _decisions(model, unit_rows(asked))
    return ProbeResult(logits, strength, accuracy)


def _folds(
    features: NDArray[np.float64], labels: NDArray[Any], num_folds: int, groups: ArrayLike | None, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(Rows to learn, rows to judge) of each fold."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    smallest = int(np.unique(labels, return_counts=True)[1].min())
    num_folds = max(2, min(num_folds, smallest))
    if groups is None:
        if smallest < 2:
            rows = np.random.default_rng(seed).permutation(len(labels))
            return [(np.setdiff1d(rows, part), part) for part in np.array_split(rows, num_folds)]
        return list(StratifiedKFold(num_folds, shuffle=True, random_state=seed).split(features, labels))
    of_group = _labels(groups, len(labels), "groups")
    num_folds = min(num_folds, len(np.unique(of_group)))
    if num_folds < 2:
        raise ValueError("groups must be at least two, or no fold can be judged without them")
    grouped = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    return list(grouped.split(features, labels, of_group))


def _fold_accuracy(
    features: NDArray[np.float64],
    labels: NDArray[Any],
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    strength: float,
) -> float:
    """Share of all training videos that a model of the other folds names rightly."""
    from sklearn.linear_model import LogisticRegression

    right = 0
    for learned, judged in folds:
        if len(np.unique(labels[learned])) < 2 or not len(judged):
            continue
        model = LogisticRegression(C=strength, max_iter=2000).fit(features[learned], labels[learned])
        right += int((model.predict(features[judged]) == labels[judged]).sum())
    return right / len(labels)


def _decisions(model: Any, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """[M, classes of the model]"""
    values: NDArray[np.float64] = model.decision_function(features)
    # of two classes scikit-learn gives the difference alone
    return np.stack([-values / 2, values / 2], axis=1) if values.ndim == 1 else values


@dataclass(frozen=True)
class Attributed:
    """Vectors with two attributes each, such as the motion and the background of merged clips."""

    vectors: ArrayLike
    """[G, D]"""
    a: ArrayLike
    """[G]"""
    b: ArrayLike
    """[G]"""


@dataclass(frozen=True)
class NeighbourShares:
    """What the nearest neighbours of some vectors have in common with them."""

    a: float
    """Share of the vectors whose nearest neighbour has the same attribute a."""
    b: float
    chance_a: float
    """The same for a neighbour drawn at random."""
    chance_b: float
    prefers_a: float
    """Share of the vectors to which the nearest one of the same a and another b is nearer than the nearest one of the
    same b and another a; equally near counts half. Over the vectors that have both; nan where none has. 0.5 where
    vectors say nothing and both have as many candidates."""
    num_compared: int
    """Vectors that ``prefers_a`` is over."""


def neighbours_by(
    features: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    gallery: Attributed | None = None,
) -> NeighbourShares:
    """Whether nearest neighbours go by one attribute or by another: by the motion of clips, or by their background.

    features: [N, D]    a, b: [N] attributes
    groups: [N] vectors of one group are no neighbours of each other (views of one clip); only without gallery
    gallery: where neighbours are looked for; by default among the others

    Raises:
        ValueError: shapes do not fit, a value is not finite, or a vector has nobody to be compared with.
    """
    vectors, of_a = _labelled(features, a, "features")
    of_b = _labels(b, len(vectors), "b")
    there, there_a, there_b = vectors, of_a, of_b
    allowed = ~np.eye(len(vectors), dtype=np.bool_)
    if gallery is not None:
        if groups is not None:
            raise ValueError("groups are for neighbours among the vectors themselves, got a gallery too")
        there, there_a = _labelled(gallery.vectors, gallery.a, "gallery")
        there_b = _labels(gallery.b, len(there), "gallery b")
        allowed = np.ones((len(vectors), len(there)), dtype=np.bool_)
    elif groups is not None:
        of_group = _labels(groups, len(vectors), "groups")
        allowed = of_group[:, None] != of_group[None]
    if vectors.shape[1] != there.shape[1]:
        raise ValueError(f"features have {vectors.shape[1]} dimensions, the gallery {there.shape[1]}")
    if not allowed.any(axis=1).all():
        raise ValueError("each vector needs at least one other to be compared with")
    same_a, same_b = of_a[:, None] == there_a[None], of_b[:, None] == there_b[None]
    similarities = np.where(allowed, unit_rows(vectors) @ unit_rows(there).T, -np.inf)
    rows, nearest = np.arange(len(vectors)), similarities.argmax(axis=1)
    prefers, num_compared = _preference(similarities, allowed & same_a & ~same_b, allowed & same_b & ~same_a)
    return NeighbourShares(
        a=float(same_a[rows, nearest].mean()),
        b=float(same_b[rows, nearest].mean()),
        chance_a=float(((same_a & allowed).sum(axis=1) / allowed.sum(axis=1)).mean()),
        chance_b=float(((same_b & allowed).sum(axis=1) / allowed.sum(axis=1)).mean()),
        prefers_a=prefers,
        num_compared=num_compared,
    )


def _preference(
    similarities: NDArray[np.float64], only_a: NDArray[np.bool_], only_b: NDArray[np.bool_]
) -> tuple[float, int]:
    """Share of rows whose nearest of the first kind is nearer than that of the second, and the rows that have both."""
    both = only_a.any(axis=1) & only_b.any(axis=1)
    if not both.any():
        return float("nan"), 0
    by_a = np.where(only_a, similarities, -np.inf).max(axis=1)[both]
    by_b = np.where(only_b, similarities, -np.inf).max(axis=1)[both]
    return float(np.where(by_a == by_b, 0.5, by_a > by_b).mean()), int(both.sum())


def unit_rows(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """At length 1 over the last axis; one that has no direction becomes 0."""
    vectors = np.asarray(rows, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(lengths > EPSILON, vectors / np.maximum(lengths, EPSILON), 0.0)


def _vectors(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"{name} vectors are finite [N, D] with at least one row, got {array.shape}")
    return array


def _labels(values: ArrayLike, count: int, name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.shape != (count,):
        raise ValueError(f"{name} must have one label per vector, [{count}], got {list(array.shape)}")
    return array


def _labelled(values: ArrayLike, labels: ArrayLike, name: str) -> tuple[NDArray[np.float64], NDArray[Any]]:
    array = _vectors(values, name)
    return array, _labels(labels, len(array), f"{name} labels")


def _scored(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if values.ndim != 2 or truth.shape != values.shape[:1] or not len(values):
        raise ValueError(f"logits [N, C] and labels [N] of at least one video, got {values.shape} and {truth.shape}")
    if np.isnan(values).any():
        raise ValueError(f"logits are numbers, got nan for video {int(np.isnan(values).any(axis=1).argmax())}")
    if not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0 or truth.max() >= values.shape[1]:
        raise ValueError(f"labels must be class indices below {values.shape[1]}, got {truth.min()} to {truth.max()}")
    return values, truth.astype(np.int64)
