"""Many dimensions on a plane: principal components and t-SNE, the same for the same vectors and seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidlang.metrics.representation import unit_rows

LEAST_POINTS = 3
"""Fewer points span no plane."""
USUAL_PERPLEXITY = 30.0


@dataclass(frozen=True, eq=False)
class Plane:
    """Points on a plane, and what the way there tells of itself."""

    points: NDArray[np.float64]
    """[N, 2]"""
    explained: tuple[float, float] | None = None
    """PCA: shares of the variance along both axes."""
    perplexity: float | None = None
    """t-SNE: about how many neighbours each point is kept near to."""


def unit_mean(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows [T, D] → the mean [D] of the rows at unit length, itself at unit length (0 where there is no direction)."""
    return unit_rows(unit_rows(rows).mean(axis=0)[None])[0]


def pca_plane(vectors: NDArray[np.floating]) -> Plane:
    """The plane in which vectors [N, D] differ most. Axes point to where the vector's largest weight is positive.

    Raises:
        ValueError: fewer than three vectors, or a value is not finite.
    """
    from sklearn.decomposition import PCA

    values = _checked(vectors)
    with np.errstate(invalid="ignore"):  # equal vectors have no variance to take shares of
        found = PCA(n_components=min(2, values.shape[1]), svd_solver="full").fit(values)
    axes = found.components_  # [1 or 2, D]
    largest = np.abs(axes).argmax(axis=1)
    signs = np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)
    points = found.transform(values) * signs
    shares = [*np.nan_to_num(found.explained_variance_ratio_).tolist(), 0.0]
    if points.shape[1] < 2:
        points = np.concatenate([points, np.zeros((len(points), 1))], axis=1)
    return Plane(points, explained=(float(shares[0]), float(shares[1])))


def tsne_plane(vectors: NDArray[np.floating], *, perplexity: float | None = None, seed: int = 0) -> Plane:
    """A plane that keeps neighbours together, from vectors [N, D]; distances between groups mean little in it.

    perplexity: None: 30, or a third of the other points where these are few

    Raises:
        ValueError: fewer than three vectors, a value is not finite, or the perplexity is not between 1 and N - 1.
    Source: van der Maaten and Hinton: Visualizing data using t-SNE, JMLR 2008; started from the principal components.
    """
    from sklearn.manifold import TSNE

    values = _checked(vectors)
    most = len(values) - 1
    chosen = min(USUAL_PERPLEXITY, max(1.0, most / 3)) if perplexity is None else perplexity
    if not 1 <= chosen <= most:
        raise ValueError(f"perplexity must be from 1 to {most} for {len(values)} points, got {chosen:g}")
    start = pca_plane(values).points
    spread = float(start[:, 0].std())
    start = (start / spread * 1e-4 if spread > 0 else np.zeros_like(start)).astype(np.float32)
    found = TSNE(n_components=2, perplexity=chosen, init=start, learning_rate="auto", random_state=seed)
    return Plane(found.fit_transform(values.astype(np.float32)).astype(np.float64), perplexity=float(chosen))


def nearest_points(vectors: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """[N, K] the nearest others of each of N vectors by cosine, nearest first; K is at most ``count``."""
    unit = unit_rows(vectors).astype(np.float32)
    count = min(count, len(unit) - 1)
    found = np.empty((len(unit), max(count, 0)), dtype=np.int64)
    for first in range(0, len(unit), 1024):
        cosines = unit[first : first + 1024] @ unit.T
        own = np.arange(len(cosines))
        cosines[own, first + own] = -np.inf
        found[first : first + 1024] = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return found


def _checked(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    values = np.asarray(vectors, dtype=np.float64)
    if values.ndim != 2 or len(values) < LEAST_POINTS or not values.shape[1] or not np.isfinite(values).all():
        raise ValueError(f"vectors are finite [N, D] of at least {LEAST_POINTS} rows, got {values.shape}")
    return values
