"""Videos of any length in batches of one: pooling down, zero-padding up, and the mask that tells real from padded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadInput


def mask_of(lengths: Tensor, num_rows: int) -> Tensor:
    """True for real rows. lengths: [B]    returns: [B, num_rows] bool"""
    return torch.arange(num_rows, device=lengths.device) < lengths[:, None]


def pool_to_length(values: NDArray[np.floating], length: int) -> NDArray[np.floating]:
    """Mean of ``length`` nearly equal runs of rows; shorter videos stay as they are.

    values: [T, D]    returns: [min(T, length), D]

    5 rows to length 2: edges 0, 2, 5 → rows 0-1 and 2-4.

    Source: VadCLIP, official src/utils/tools.py, uniform_extract.
    """
    if len(values) <= length:
        return values
    edges = np.linspace(0, len(values), length + 1, dtype=np.int64)  # rounds down
    sums = np.add.reduceat(values, edges[:-1], axis=0, dtype=np.float64)
    return (sums / np.diff(edges)[:, None]).astype(np.float32)


def pad_batch(videos: Sequence[NDArray[np.floating]], num_rows: int | None = None) -> tuple[Tensor, Tensor]:
    """Zero-padded float32 batch of videos.

    videos: B arrays [T_b, D]    num_rows: rows of the batch, at least the longest; None takes the longest
    returns: [B, T, D] float32, [B] int64 lengths
    """
    lengths = torch.tensor([len(video) for video in videos])
    num_rows = int(lengths.max()) if num_rows is None else num_rows
    batch = torch.zeros(len(videos), num_rows, videos[0].shape[1])
    for row, video in zip(batch, videos, strict=True):
        row[: len(video)] = torch.from_numpy(np.ascontiguousarray(video))
    return batch, lengths


def check_features(values: NDArray[np.floating], where: str, dim: int | None = None) -> None:
    """Features that a method can read: [T, D] with T at least 1, finite.

    Raises:
        BadInput: no rows, a wrong dimension, or values that are not finite.
    """
    if values.ndim != 2 or values.shape[0] == 0:
        raise BadInput(f"{where} has no feature rows (shape {values.shape}). Extract it again, or leave it out.")
    if dim is not None and values.shape[1] != dim:
        raise BadInput(f"{where} has features of dimension {values.shape[1]}, expected {dim}. Use one encoder for all.")
    if not np.isfinite(values).all():
        raise BadInput(f"{where} has features that are not finite numbers. Extract it again.")
