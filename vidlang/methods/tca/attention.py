"""Which rows of a video the transformer looks at: the attention that goes into the video's vector."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.methods.tca.model import SCORES_AT_ONCE, TcaEncoder, _SelfAttention
from vidlang.methods.tca.video_encoder import VideoEncoder


@torch.no_grad()
def attention_received(
    encoder: VideoEncoder, rows: NDArray[np.floating], weights: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """Share of attention that each row gets from the rows that make up the video's vector.

    rows: [T, E] as the encoder takes them    weights: [T] in [0, 1]; None: 1 everywhere
    returns: [L, H, T] float32, layers, heads, rows; each [l, h] sums to 1

    The vector is the mean of the last layer's rows by their weights, so the rows that look count by their weights too.
    1 / T is an even share.

    Raises:
        BadInput: the encoder is no transformer, so that nothing attends.
        ValueError: rows or weights of another shape.
    Source: TCA (Shao et al., WACV 2021), figure of the average attention weights over example videos.
    """
    if not isinstance(encoder, TcaEncoder):
        raise BadInput(
            f"Attention belongs to the transformer, and this checkpoint's network is {type(encoder).__name__}. "
            "Name another checkpoint: vidlang models list shows them."
        )
    device = next(encoder.parameters()).device
    x = torch.as_tensor(rows, dtype=torch.float32, device=device)
    if x.ndim != 2 or not len(x) or x.shape[1] != encoder.width:
        raise ValueError(f"rows must be [T, {encoder.width}] with T of at least 1, got {tuple(x.shape)}")
    seen = torch.ones(len(x), device=device) if weights is None else torch.as_tensor(weights, device=device).float()
    if seen.shape != (len(x),):
        raise ValueError(f"weights must be [T] = ({len(x)},), got {tuple(seen.shape)}")
    hidden = not bool((seen > 0).any())  # no row counts: they see each other as if all did
    seen = torch.ones_like(seen) if hidden else seen
    bias = None if bool((seen == 1).all()) else seen.log()[None, None, None]  # as TcaEncoder adds it
    encoder.eval()
    received = []
    x = x[None]  # [1, T, E]
    for layer in encoder.transformer_encoder.layers:
        query, key = _queries_and_keys(layer.self_attn, x[0])  # type: ignore[arg-type]
        received.append(_received(query, key, bias, seen / seen.sum()))
        x = layer(x, bias)
    return np.asarray(torch.stack(received).float().cpu().numpy())


def _queries_and_keys(attention: _SelfAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """x: [T, E]    returns: [H, T, E / H] each"""
    width, num_heads = x.shape[1], attention.num_heads
    joint = F.linear(x, attention.in_proj_weight[: 2 * width], attention.in_proj_bias[: 2 * width])
    query, key = joint.view(len(x), 2, num_heads, width // num_heads).permute(1, 2, 0, 3)
    return query, key


def _received(query: Tensor, key: Tensor, bias: Tensor | None, looking: Tensor) -> Tensor:
    """Columns of the attention matrix, averaged over its rows by ``looking``; the matrix is never whole in memory.

    query, key: [H, T, E / H]    bias: [1, 1, 1, T] or None    looking: [T], sums to 1    returns: [H, T]
    """
    num_heads, num_rows, width = query.shape
    total = torch.zeros(num_heads, num_rows, device=query.device)
    step = max(1, SCORES_AT_ONCE // num_rows)
    for first in range(0, num_rows, step):
        part = slice(first, first + step)
        scores = query[:, part] @ key.transpose(1, 2) / width**0.5  # [H, rows of the part, T]
        if bias is not None:
            scores = scores + bias[0]
        total += torch.einsum("hqt,q->ht", scores.softmax(dim=-1), looking[part])
    return total
