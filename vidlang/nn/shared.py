"""A batch that many processes share: each computes its rows, all have the results of all, as if one had computed them.

Every process holds the whole batch and sees the whole loss, so a loss that compares videos, counts them or draws among
them is the one of a single process, whatever the number of processes. Gradients flow through one's own rows alone;
``distributed.replicated`` adds them up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vidlang.nn.distributed import Group

Parts = Sequence[Tensor | None]


def share_of(num_rows: int, rank: int, size: int) -> slice:
    """Rows of a process: runs of nearly equal length, by rank. 5 rows for 2 processes: 0-1 and 2-4."""
    return slice(rank * num_rows // size, (rank + 1) * num_rows // size)


def shared(compute: Callable[..., Parts], group: Group, *tensors: Tensor) -> tuple[Tensor | None, ...]:
    """``compute`` of all rows, of which this process computes its share.

    compute: tensors [n, …] → tensors [n, …], row by row; dropout in it draws as for all rows
    tensors: [B, …] each, the same ones in every process    returns: what compute gives for B rows

    The gradient that reaches this process's rows is multiplied by the number of processes, so that the mean over the
    processes (``replicated``) is the gradient of one process with all rows.
    """
    if group.size == 1:
        return tuple(compute(*tensors))
    total = len(tensors[0])
    own = share_of(total, group.rank, group.size)
    if own.start == own.stop:  # fewer rows than processes: its results count for nothing
        own = slice(0, 1)
    with _OwnRowsOfDropout(own, total):
        parts = compute(*(tensor[own] for tensor in tensors))
    return tuple(None if part is None else _Gathered.apply(part, group, total) for part in parts)  # type: ignore[no-untyped-call]


class _Gathered(torch.autograd.Function):
    """Everyone's rows; backward gives this process's rows their gradient, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, group: Group, total: int) -> Tensor:
        shares = [share_of(total, rank, group.size) for rank in range(group.size)]
        longest = max(share.stop - share.start for share in shares)
        padded = own.new_zeros(longest, *own.shape[1:])
        padded[: len(own)] = own
        ctx.share, ctx.size, ctx.num_own = shares[group.rank], group.size, len(own)
        everyone = group.gather(padded).unflatten(0, (group.size, longest))
        return torch.cat([rows[: share.stop - share.start] for rows, share in zip(everyone, shares, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        own = gradient[ctx.share] * ctx.size
        if len(own) < ctx.num_own:
            own = gradient.new_zeros(ctx.num_own, *gradient.shape[1:])
        return own, None, None


class _OwnRowsOfDropout(TorchFunctionMode):
    """Inside, dropout draws for all rows of the batch and applies what falls on this process's.

    The first axis must run over the batch, or over parts of its rows, those of one row side by side.
    """

    def __init__(self, own: slice, total: int) -> None:
        super().__init__()
        self.own, self.total = own, total

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.dropout:
            return self._dropout(*args, **kwargs)
        if func is F.scaled_dot_product_attention and kwargs.get("dropout_p"):
            return self._attention(*args, **kwargs)
        return func(*args, **kwargs)

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        return x * self._kept(x, p) if training and p else x

    def _attention(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0
    ) -> Tensor:
        """query: [B, H, Q, d]    key, value: [B, H, K, d]    attn_mask: added to the scores"""
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5  # [B, H, Q, K]
        weights = (scores if attn_mask is None else scores + attn_mask).softmax(-1)
        return (weights * self._kept(weights, dropout_p)).to(value.dtype) @ value

    def _kept(self, x: Tensor, p: float) -> Tensor:
        """0 or 1 / (1 - p), as dropout over all rows would draw them in this layout of memory. returns: like x"""
        parts = len(x) // (self.own.stop - self.own.start)  # rows of x for a row of the batch
        shape = (self.total * parts, *x.shape[1:])
        order = sorted(range(x.ndim), key=x.stride, reverse=True)
        ones = x.new_ones([shape[axis] for axis in order]).permute([order.index(axis) for axis in range(x.ndim)])
        return F.dropout(ones, p)[self.own.start * parts : self.own.stop * parts]
