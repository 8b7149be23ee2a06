"""The encoder: transformer layers over the rows of a video, with the published names of weights.

Source: TCA (Shao et al., WACV 2021), section 3.2; published model.py, class TCA, whose layers are PyTorch's transformer
encoder layer with its defaults: normalisation after each part, ReLU, no position code, no normalisation at the end, no
projection before or after. So the order of the rows does not matter to a video's vector.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidlang.core.errors import BadInput
from vidlang.methods.tca.baselines import Gru, Lstm, NetVlad, NextVlad
from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.tca.video_encoder import VideoEncoder, divisors, row_weights

SCORES_AT_ONCE = 2**22
"""Attention scores per head that are computed together, so that memory grows with the length and not its square."""


class TcaEncoder(VideoEncoder):
    """Transformer encoder over rows [B, T, E]. See VideoEncoder for the doors.

    A row's weight is the share of a frame that the others see of it: 0 hides it from them, and a video with hidden rows
    gives the other rows the same outputs as a video without these rows.

    residual: outputs are x + residual_scale * layers(x), and the scale starts at 0. Layers with random weights take
        good rows apart (each ends in a normalisation that forgets how a row compares with those of other videos), and
        few videos are not enough to put them together again.

    Differs: layers start from draws of their own (published: copies of one draw; there is one layer by default).
    """

    def __init__(
        self,
        width: int,
        num_heads: int = 8,
        num_layers: int = 1,
        feedforward: int = 2048,
        dropout: float = 0.1,
        residual: bool = False,
    ) -> None:
        """
        Raises:
            BadInput: the heads do not divide the width.
        """
        super().__init__(width, width)
        if width % num_heads:
            raise BadInput(
                f"num_heads must divide the width of the rows, {width}; {num_heads} does not. Use {divisors(width)}."
            )
        self.transformer_encoder = _Layers(width, num_heads, num_layers, feedforward, dropout)
        self.residual_scale = nn.Parameter(torch.zeros(())) if residual else None

    def forward(self, x: Tensor, lengths: Tensor, weights: Tensor | None = None) -> Tensor:
        seen = row_weights(lengths, x.shape[1], weights)  # [B, T]
        padding = (torch.arange(x.shape[1], device=x.device) >= lengths[:, None])[..., None]  # [B, T, 1]
        x = x.masked_fill(padding, 0)
        y = self.transformer_encoder(x, _attention_bias(seen, ~padding[..., 0]))
        if self.residual_scale is not None:
            y = x + self.residual_scale * y
        return y.masked_fill(padding, 0)


def _attention_bias(seen: Tensor, mask: Tensor) -> Tensor | None:
    """log of the weights, to be added to attention scores; None where all are 1.

    seen: [B, T] weights    mask: [B, T], True for real rows    returns: [B, 1, 1, T]

    softmax(s + log w) is proportional to w * exp(s): a row of weight 0.5 counts as half a row.
    """
    if bool((seen == 1).all()):
        return None
    hidden = (seen > 0).sum(1, keepdim=True) == 0  # [B, 1] no row counts: they see each other as if all did
    return torch.where(hidden, mask.float(), seen).log()[:, None, None]


class _Layers(nn.Module):
    """Holds the published name ``layers``."""

    def __init__(self, width: int, num_heads: int, num_layers: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, num_heads, feedforward, dropout) for _ in range(num_layers))

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, bias)
        return x


class _Layer(nn.Module):
    """Attention and feed-forward part, each with a residual and a layer-norm behind it."""

    def __init__(self, width: int, num_heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(width, num_heads, dropout)
        self.linear1 = nn.Linear(width, feedforward)
        self.linear2 = nn.Linear(feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        x = self.norm1(x + self.dropout(self.self_attn(x, bias)))
        inner = self.dropout(F.relu(self.linear1(x)))
        return self.norm2(x + self.dropout(self.linear2(inner)))


class _SelfAttention(nn.Module):
    """Multi-head self-attention; rows of in_proj are those of queries, keys and values."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x: [B, T, E]    bias: [B, 1, 1, T] added to the scores, or None    returns: [B, T, E]"""
        num_videos, num_rows, width = x.shape
        joint = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        heads = joint.view(num_videos, num_rows, 3, self.num_heads, width // self.num_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each [B, H, T, E / H]
        bias = None if bias is None else bias.to(query.dtype)
        dropout = self.dropout if self.training else 0.0
        block = max(1, SCORES_AT_ONCE // (num_videos * num_rows))
        parts = [
            F.scaled_dot_product_attention(part, key, value, attn_mask=bias, dropout_p=dropout)
            for part in query.split(block, dim=2)
        ]
        context = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)  # [B, H, T, E / H]
        return self.out_proj(context.transpose(1, 2).reshape(num_videos, num_rows, width))


def new_encoder(config: TcaConfig, width: int) -> VideoEncoder:
    """An untrained encoder of rows [T, width], as the config says.

    Raises:
        BadInput: the config does not fit the width.
    """
    if config.encoder == "transformer":
        return TcaEncoder(
            width, config.num_heads, config.num_layers, config.feedforward, config.dropout, config.residual
        )
    output_dim = config.output_dim or width
    if config.encoder in ("lstm", "gru"):
        recurrent = Lstm if config.encoder == "lstm" else Gru
        return recurrent(width, output_dim, config.recurrent_layers, config.recurrent_dropout)
    reduction, dropout = config.gating_reduction, config.vlad_dropout
    if config.encoder == "netvlad":
        return NetVlad(width, config.clusters, output_dim, reduction, dropout)
    return NextVlad(
        width,
        config.clusters,
        output_dim,
        reduction,
        dropout,
        groups=config.vlad_groups,
        expansion=config.vlad_expansion,
    )
