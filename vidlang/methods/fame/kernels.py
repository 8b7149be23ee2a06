"""How much a network's kernels change along time: per layer, how widely their weights spread.

Kernels over time alone (3x1x1, the 17 of R(2+1)D-18) are measured weight by weight. Kernels over space and time (3x3x3
and 7x7x7 of I3D) hold a picture in every tap; there each weight is measured less the mean of its own taps, so that a
picture repeated along time, which sees no motion, spreads 0.

Source: arXiv 2109.15130 compares the weights of supervised, contrastive and FAME training; how it measures them is not
stated, this is our reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadInput

Measured = Literal["weights", "change along time"]

NUM_BINS = 64
NEAR_ZERO = 1e-3


@dataclass(frozen=True, eq=False)
class KernelSpread:
    """The temporal kernels of one layer."""

    layer: str
    """Name of the tensor."""
    shape: tuple[int, ...]
    """[outputs, inputs, T, H, W] of the tensor."""
    measured: Measured
    """Which numbers the rest is about."""
    mean: float
    std: float
    mean_abs: float
    near_zero: float
    """Share of numbers nearer to 0 than a bound."""
    change: float
    """Share of the weights' energy that is change along time: 0 for kernels that repeat one tap, 1 for kernels whose
    taps add up to 0. Comparable between kernels of any shape."""
    histogram: NDArray[np.int64]
    """[bins] counts."""
    edges: NDArray[np.float64]
    """[bins + 1] borders of the bins, symmetric about 0."""


@dataclass(frozen=True, eq=False)
class KernelPair:
    """One layer of two networks, with the same histogram edges."""

    layer: str
    first: KernelSpread
    second: KernelSpread


def temporal_kernels(
    state: Mapping[str, Tensor], *, num_bins: int = NUM_BINS, near_zero: float = NEAR_ZERO
) -> list[KernelSpread]:
    """Every layer of a backbone's weights that looks along time, in the state's order.

    near_zero: bound of ``KernelSpread.near_zero``, in units of weights

    Raises:
        BadInput: no such layer.
    """
    kernels = _kernels(state)
    return [_spread(name, kernel, _reach(kernel), num_bins, near_zero) for name, kernel in kernels.items()]


def compare_kernels(
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    *,
    num_bins: int = NUM_BINS,
    near_zero: float = NEAR_ZERO,
) -> list[KernelPair]:
    """Two states of one architecture, layer by layer.

    Raises:
        BadInput: no such layer, or layers of different names or shapes.
    """
    one, two = _kernels(first), _kernels(second)
    if [(name, kernel.shape) for name, kernel in one.items()] != [(name, kernel.shape) for name, kernel in two.items()]:
        raise BadInput("The two checkpoints are of different networks. Compare two of the same architecture.")
    pairs = []
    for name in one:
        reach = max(_reach(one[name]), _reach(two[name]))
        spreads = (_spread(name, kernels[name], reach, num_bins, near_zero) for kernels in (one, two))
        pairs.append(KernelPair(name, *spreads))
    return pairs


def _kernels(state: Mapping[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    found = {
        name: value.detach().double().cpu().numpy()
        for name, value in state.items()
        if value.ndim == 5 and value.shape[2] > 1
    }
    if not found:
        raise BadInput("These weights have no kernels along time. Give a checkpoint of a video network.")
    return found


def _spread(name: str, kernel: NDArray[np.float64], reach: float, num_bins: int, near_zero: float) -> KernelSpread:
    values, change = _values(kernel), _changes(kernel)
    histogram, edges = np.histogram(values, num_bins, (-reach, reach))
    energy = float(np.square(kernel).sum())
    return KernelSpread(
        layer=name,
        shape=kernel.shape,
        measured="weights" if _over_time_alone(kernel) else "change along time",
        mean=float(values.mean()),
        std=float(values.std()),
        mean_abs=float(np.abs(values).mean()),
        near_zero=float((np.abs(values) < near_zero).mean()),
        change=float(np.square(change).sum()) / energy if energy else 0.0,
        histogram=histogram.astype(np.int64),
        edges=edges,
    )


def _over_time_alone(kernel: NDArray[np.float64]) -> bool:
    return kernel.shape[3:] == (1, 1)


def _changes(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    return kernel - kernel.mean(axis=2, keepdims=True)


def _values(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers that a layer is measured by."""
    return kernel if _over_time_alone(kernel) else _changes(kernel)


def _reach(kernel: NDArray[np.float64]) -> float:
    """Largest distance from 0; 1 where all are 0, so that a histogram has a width."""
    return float(np.abs(_values(kernel)).max()) or 1.0
