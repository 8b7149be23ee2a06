"""PCA whitening of feature rows: every direction gets the same spread, so that cosines tell unlike frames apart.

Letters: N rows, D feature width, k components. Rows come in as float32, sums are float64, and what is kept is float32,
so that a whitening read from its file gives the numbers it gave before.

File (``.npz``, the published layout): ``U`` (D, k) unit columns, ``lams`` (k,) variances, ``mu`` (D, 1) mean, ``Utmu``
(k, 1) the mean in components. U is not divided by the deviations. Where nothing is projected, k is 0.

Source: TCA (Shao et al., WACV 2021), section 3.1; xwen99/temporal_context_aggregation pre_processing/pca.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadInput

Kind = Literal["none", "center", "whiten"]
"""Rows as they are; less their mean; less their mean, projected and divided by each component's deviation."""
Order = Literal["descending", "published"]

LEAST_VARIANCE = 1e-9
"""Smaller variances count as this."""
EPSILON = 1e-12
"""Rows shorter than this stay shorter than 1."""
_BLOCK = 8192  # rows that are float64 at one time


@dataclass(frozen=True, eq=False)
class Whitening:
    """What takes rows to whitened rows of length 1."""

    mu: NDArray[np.float32]
    """[D], the mean of the training rows."""
    components: NDArray[np.float32]
    """[D, k], unit columns; k is 0 where nothing is projected."""
    variances: NDArray[np.float32]
    """[k], of the training rows along each component."""
    kind: Kind

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind is one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        width, count = self.components.shape
        if self.mu.shape != (width,) or self.variances.shape != (count,):
            raise ValueError(
                f"mu {self.mu.shape} and variances {self.variances.shape} do not fit components {width, count}"
            )
        if (self.kind == "whiten") != (count > 0):
            raise ValueError(f"{self.kind!r} does not go with {count} components")

    @property
    def width_in(self) -> int:
        """D"""
        return self.components.shape[0]

    @property
    def width_out(self) -> int:
        """k, or D where nothing is projected."""
        return self.components.shape[1] or self.width_in

    def apply(self, rows: NDArray[np.floating], *, divide: bool = True) -> NDArray[np.float32]:
        """Rows centred, projected, divided by the deviations and brought to length 1.

        rows: [N, D]    divide: False leaves the variances as they are (plain PCA)    returns: [N, k]

        Raises:
            BadInput: rows of another width.
        """
        rows = np.asarray(rows)
        if rows.ndim != 2 or rows.shape[1] != self.width_in:
            raise BadInput(
                f"This whitening is for rows of width {self.width_in}, but got shape {rows.shape}. "
                "Use the encoder it was fitted with, or fit it again."
            )
        matrix = self.components.astype(np.float64)
        if divide:
            matrix = matrix / np.sqrt(self.variances, dtype=np.float64)
        done = np.empty((len(rows), self.width_out), dtype=np.float32)
        for first in range(0, len(rows), _BLOCK):
            block = rows[first : first + _BLOCK] - self.mu.astype(np.float64)
            block = block @ matrix if self.kind == "whiten" else block
            lengths = np.linalg.norm(block, axis=1, keepdims=True)
            done[first : first + _BLOCK] = block / np.maximum(lengths, EPSILON)
        return done

    def to_npz_arrays(self) -> dict[str, NDArray[np.float32]]:
        """``U``, ``lams``, ``mu`` and ``Utmu`` in the published shapes."""
        projected = self.components.astype(np.float64).T @ self.mu.astype(np.float64)
        return {
            "U": self.components,
            "lams": self.variances,
            "mu": self.mu[:, None],
            "Utmu": projected.astype(np.float32)[:, None],
        }

    @classmethod
    def from_npz_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Whitening:
        """The published arrays. Without components: ``none`` where the mean is 0 too, else ``center``.

        Raises:
            BadInput: an array is missing, of another shape, or holds what no whitening holds.
        """
        names = ("U", "lams", "mu", "Utmu")
        if missing := [name for name in names if name not in arrays]:
            raise BadInput(f"This is no whitening file: it lacks {', '.join(missing)}. It needs {', '.join(names)}.")
        basis, variances, mean, projected = (np.asarray(arrays[name]) for name in names)
        if any(array.dtype.kind not in "fiu" for array in (basis, variances, mean, projected)):
            raise BadInput("The whitening file holds values that are not numbers. Fit it again.")
        if basis.ndim != 2 or not basis.shape[0]:
            raise BadInput(f"U of a whitening file is (D, k), this one is {basis.shape}. Fit it again.")
        width, count = basis.shape
        for name, expected in (("lams", (count,)), ("mu", (width, 1)), ("Utmu", (count, 1))):
            if (shape := np.shape(arrays[name])) != expected:
                raise BadInput(
                    f"{name} of the whitening file is {shape}, but U {basis.shape} asks for {expected}. Fit it again."
                )
        if not all(np.isfinite(array).all() for array in (basis, variances, mean)) or (variances <= 0).any():
            raise BadInput("The whitening file holds values that are not finite, or variances of 0. Fit it again.")
        kind: Kind = "whiten" if count else "center" if mean.any() else "none"
        return cls(mean[:, 0].astype(np.float32), basis.astype(np.float32), variances.astype(np.float32), kind)


class WhiteningFit:
    """Mean and covariance of rows that come block by block; holds one [D, D] matrix, never the rows.

    Source: Chan, Golub & LeVeque 1979, for joining the sums of two sets.
    """

    def __init__(self) -> None:
        self.num_rows = 0
        self._mean = np.zeros(0)  # [D]
        self._scatter = np.zeros((0, 0))  # [D, D] sum of (x - mean)(x - mean)'

    def update(self, block: NDArray[np.floating]) -> None:
        """Takes in rows [n, D].

        Raises:
            ValueError: rows of another width, or not finite.
        """
        block = _checked(block)
        if not self.num_rows and len(block):
            self._mean = np.zeros(block.shape[1])
            self._scatter = np.zeros((block.shape[1], block.shape[1]))
        for first in range(0, len(block), _BLOCK):
            part = block[first : first + _BLOCK].astype(np.float64)
            if part.shape[1] != len(self._mean):
                raise ValueError(f"rows of width {part.shape[1]} follow rows of width {len(self._mean)}")
            mean = part.mean(axis=0)
            part -= mean
            apart = mean - self._mean
            total = self.num_rows + len(part)
            self._scatter += part.T @ part + np.outer(apart, apart) * (self.num_rows * len(part) / total)
            self._mean += apart * (len(part) / total)
            self.num_rows = total

    def finish(
        self, num_components: int | None = None, kind: Kind = "whiten", order: Order = "descending"
    ) -> Whitening:
        """The whitening of all rows so far; see ``fit``.

        Raises:
            BadInput: too few rows for so many components.
        """
        if kind != "whiten":
            return _unprojected(self.num_rows, self._mean, kind)
        _check_count(self.num_rows, num_components, len(self._mean), order)
        variances, basis = np.linalg.eigh(self._scatter / (self.num_rows - 1))
        return _chosen(self._mean, basis, variances, min(self.num_rows, len(self._mean)), num_components, order)


def fit(
    rows: NDArray[np.floating],
    num_components: int | None = None,
    kind: Kind = "whiten",
    order: Order = "descending",
) -> Whitening:
    """Principal components of rows and the variance along each, covariance over N - 1.

    rows: [N, D]    num_components: k; None keeps every direction in which the rows vary

    ``order="descending"``: the k largest variances, largest first. ``order="published"``: so too where k is smaller
    than both N and D; otherwise all min(N, D) components, smallest first. Fewer rows than D are decomposed by their
    [N, N] Gram matrix: the same subspace in less time.

    Raises:
        BadInput: too few rows for so many components, or rows that do not vary.
        ValueError: rows that are no finite matrix.
    """
    rows = _checked(rows)
    if kind != "whiten" or len(rows) >= rows.shape[1]:
        sums = WhiteningFit()
        sums.update(rows)
        return sums.finish(num_components, kind, order)
    _check_count(len(rows), num_components, rows.shape[1], order)
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = rows - mean
    variances, weights = np.linalg.eigh(centred @ centred.T / (len(rows) - 1))  # [N], [N, N]
    # Divided as published, so a direction of no variance gives a column near 0 and no arbitrary unit vector.
    basis = centred.T @ weights / np.sqrt(np.maximum(variances, LEAST_VARIANCE) * (len(rows) - 1))  # [D, N]
    return _chosen(mean, basis, variances, len(rows), num_components, order)


def fit_within_groups(
    groups: Iterable[NDArray[np.floating]], mean: NDArray[np.floating], shrinkage: float = 0.01
) -> Whitening:
    """Whitening by how vectors differ that show the same: directions that edits change count little, others much.

    groups: arrays [n, D] of vectors that show the same, n at least 2    mean: [D] taken away from every row
    shrinkage: share of the mean variance that every direction has at least, for directions that no pair moves

    Source: within-class covariance normalisation (Hatch, Kajarekar & Stolcke, Interspeech 2006); learned whitening of
    image retrieval (Mikolajczyk & Matas, ICCV 2007; Radenovic et al., TPAMI 2019) begins with the same step.

    Raises:
        BadInput: there is no group of two, or no pair differs.
    """
    scatter, count = np.zeros((len(mean), len(mean))), 0
    for group in groups:
        vectors = _checked(group).astype(np.float64)
        if len(vectors) < 2:
            continue
        vectors = vectors - vectors.mean(axis=0)
        scatter, count = scatter + vectors.T @ vectors, count + len(vectors) - 1
    if not count or not scatter.any():
        raise BadInput("Whitening by pairs needs videos that show the same and differ. Give pairs, or choose 'auto'.")
    covariance = scatter / count
    level = shrinkage * float(np.trace(covariance)) / len(mean)
    variances, basis = np.linalg.eigh(covariance + level * np.eye(len(mean)))
    return Whitening(
        np.asarray(mean, dtype=np.float32),
        np.ascontiguousarray(_one_sign(basis[:, ::-1]), dtype=np.float32),
        np.maximum(variances[::-1], LEAST_VARIANCE).astype(np.float32),
        "whiten",
    )


def _chosen(
    mean: NDArray[np.float64],
    basis: NDArray[np.float64],
    variances: NDArray[np.float64],
    num_real: int,
    num_components: int | None,
    order: Order,
) -> Whitening:
    """Components from ascending variances; the last ``num_real`` of them, min(N, D), can be published ones."""
    basis, variances = basis[:, -num_real:], variances[-num_real:]
    if order == "descending" or (num_components is not None and num_components < num_real):
        count = int((variances > LEAST_VARIANCE).sum()) if num_components is None else num_components
        basis, variances = basis[:, ::-1][:, :count], variances[::-1][:count]
    if not len(variances):
        raise BadInput("The rows do not vary, so there is nothing to whiten. Give rows of several videos.")
    return Whitening(
        mean.astype(np.float32),
        np.ascontiguousarray(_one_sign(basis), dtype=np.float32),
        np.maximum(variances, LEAST_VARIANCE).astype(np.float32),
        "whiten",
    )


def _one_sign(basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns turned so that the largest entry is positive: the sign of a component is free, a choice is repeatable."""
    largest = np.take_along_axis(basis, np.abs(basis).argmax(axis=0)[None], axis=0)
    return basis * np.where(largest < 0, -1.0, 1.0)


def _unprojected(num_rows: int, mean: NDArray[np.float64], kind: Kind) -> Whitening:
    if not num_rows:
        raise BadInput("There are no rows to take the mean of. Give at least one video with features.")
    mean = mean if kind == "center" else np.zeros_like(mean)
    empty = np.zeros((len(mean), 0), dtype=np.float32)
    return Whitening(mean.astype(np.float32), empty, empty[0], kind)


def _checked(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    rows = np.asarray(rows)
    if rows.ndim != 2:
        raise ValueError(f"rows are a matrix [N, D], got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("rows hold values that are not finite")
    return rows


def _check_count(num_rows: int, num_components: int | None, width: int, order: Order) -> None:
    if order not in get_args(Order):
        raise ValueError(f"order is one of {', '.join(get_args(Order))}, got {order!r}")
    if num_rows < 2:
        raise BadInput(f"Whitening needs at least 2 rows, got {num_rows}. Give more videos, or choose 'center'.")
    most = min(num_rows - 1, width)
    if num_components is None or (order == "published" and num_components > 0):
        return
    if not 1 <= num_components <= most:
        raise BadInput(
            f"{num_rows} rows of width {width} have 1 to {most} components, {num_components} were asked for. "
            "Ask for fewer, or give more videos."
        )
