"""What every encoder of this folder offers: the rows of a video in, rows in context and one vector per video out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidlang.nn.padding import mask_of
from vidlang.nn.precision import full_precision


class VideoEncoder(nn.Module):
    """Base of the transformer and the baselines.

    x: [B, T, E] rows, zero-padded at the end    lengths: [B] true numbers of rows, at least 1; more than T: all T count
    weights: [B, T] in [0, 1], how much of a frame each row counts for; None: 1 everywhere

    What stands in the padding never changes an output of an encoder in evaluation mode.

    Differs: the published encoders take (N, C, T), channels before time.
    """

    def __init__(self, width: int, output_dim: int) -> None:
        super().__init__()
        self.width, self.output_dim = width, output_dim

    def forward(self, x: Tensor, lengths: Tensor, weights: Tensor | None = None) -> Tensor:
        """Rows in context. returns: [B, T, E], padding zero"""
        raise NotImplementedError

    def video(self, x: Tensor, lengths: Tensor, weights: Tensor | None = None) -> Tensor:
        """One vector per video, length 1. returns: [B, output_dim]

        Where all weights of a video are 0, its vector is 0 and resembles nothing.
        """
        return self.both(x, lengths, weights)[0]

    def frames(self, x: Tensor, lengths: Tensor, weights: Tensor | None = None) -> list[Tensor]:
        """One vector per real row, length 1. returns: B tensors [t_b, E]"""
        rows = self.both(x, lengths, weights)[1]
        return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]

    def both(self, x: Tensor, lengths: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Video vectors [B, output_dim] and row vectors [B, T, E], each of length 1, padding 0."""
        tokens = self(x, lengths, weights).float()
        mean = pooled(tokens, row_weights(lengths, x.shape[1], weights))
        return F.normalize(mean, dim=-1), F.normalize(tokens, dim=-1)


def row_weights(lengths: Tensor, num_rows: int, weights: Tensor | None) -> Tensor:
    """The weight of every row, 0 in the padding. returns: [B, T] float32

    Raises:
        ValueError: a video has no rows, or weights of another shape or outside [0, 1].
    """
    if bool((lengths < 1).any()):
        raise ValueError(f"every video needs at least one row, got lengths {lengths.tolist()}")
    mask = mask_of(lengths, num_rows)
    if weights is None:
        return mask.float()
    if weights.shape != mask.shape:
        raise ValueError(f"weights must be [B, T] = {tuple(mask.shape)}, got {tuple(weights.shape)}")
    weights = weights.float().masked_fill(~mask, 0)  # padding may hold anything
    if not bool(((weights >= 0) & (weights <= 1)).all()):
        raise ValueError("weights must lie in [0, 1]")
    return weights


def pooled(tokens: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the rows; 0 where there is no weight.

    tokens: [B, T, E]    weights: [B, T]    returns: [B, E]
    """
    total = weights.sum(1, keepdim=True)  # [B, 1]
    with full_precision(tokens):
        return torch.einsum("bt,bte->be", weights, tokens.float()) / torch.where(total > 0, total, 1)


def divisors(number: int) -> str:
    """For messages: the numbers up to 64 that divide it. 12: ``1, 2, 3, 4, 6, 12``"""
    return ", ".join(str(part) for part in range(1, min(number, 64) + 1) if number % part == 0)
