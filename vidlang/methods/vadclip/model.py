"""The VadCLIP network. Names of weights are those of the published checkpoints.

Legend: X features [B, T, D], V visual features [B, T, D], t class texts [C, D], a anomaly logits [B, T].

Source: VadCLIP (Wu et al., AAAI 2024), section 3; official src/model.py, src/layers.py at f643c91.
Differs: attention is computed window by window, graphs for the whole batch at once, texts only up to their end token.
The numbers are the same up to float rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidlang.methods.vadclip.config import VadClipConfig
from vidlang.nn.padding import mask_of
from vidlang.nn.precision import full_precision
from vidlang.nn.prompt import PromptPlan
from vidlang.nn.text import TextEncoder

Activation = Callable[[Tensor], Tensor]


class VadOutput(NamedTuple):
    """What the two branches say of each snippet, before sigmoid and softmax."""

    logits_c: Tensor
    """[B, T] C-branch: anomaly."""
    logits_a: Tensor
    """[B, T, C] A-branch: cosine to each class text, divided by the temperature."""


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's non-linearity ``x * sigmoid(1.702 x)``, written so that torch does it in fewer passes."""
    return F.silu(1.702 * x) * (1 / 1.702)


class FeedForward(nn.Module):
    """D → 4D → D."""

    def __init__(self, dim: int, activation: Activation) -> None:
        super().__init__()
        self.c_fc = nn.Linear(dim, 4 * dim)
        self.c_proj = nn.Linear(4 * dim, dim)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.activation(self.c_fc(x)))


class Attention(nn.Module):
    """Multi-head self-attention over each sequence."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * dim, dim)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, allowed: Tensor | None = None) -> Tensor:
        """x: [N, W, D]    allowed: [N, 1 or W, W], True where row i may look at row j; None: everywhere"""
        num, length, _ = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)  # [N, W, 3D]
        query, key, value = qkv.reshape(num, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # 3 x [N, heads, W, d]
        bias = None if allowed is None else allowed[:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)  # [N, heads, W, d]
        return self.out_proj(mixed.transpose(1, 2).reshape(num, length, -1))


def _attendable(allowed: Tensor) -> Tensor:
    """Rows that may look at nothing may look at everything: they are padding, and a softmax over nothing is NaN."""
    return allowed | ~allowed.any(-1, keepdim=True)


class Block(nn.Module):
    """Pre-norm residual block of the local transformer."""

    def __init__(self, dim: int, heads: int, activation: Activation) -> None:
        super().__init__()
        self.attn = Attention(dim, heads)
        self.ln_1 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, activation)
        self.ln_2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, allowed: Tensor | None = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), allowed)
        return x + self.mlp(self.ln_2(x))


class LocalTransformer(nn.Module):
    """Blocks of attention inside windows of time."""

    def __init__(self, dim: int, config: VadClipConfig, activation: Activation) -> None:
        super().__init__()
        self.window, self.overlapping = config.attn_window, config.windows == "overlapping"
        self.resblocks = nn.ModuleList(Block(dim, config.attn_heads, activation) for _ in range(config.attn_layers))

    def forward(self, features: Tensor, positions: Tensor, mask: Tensor | None = None) -> Tensor:
        """features: [B, T, D]    positions: [T, D], added to them    mask: [B, T]; None: padding takes part

        returns: [B, T, D]; with a mask, padding comes out as anything finite.
        """
        if self.overlapping:
            return self._blocks(features + positions, self._sharing_a_window(features, mask))
        return self._side_by_side(features, positions, mask)

    def _blocks(self, x: Tensor, allowed: Tensor | None) -> Tensor:
        for block in self.resblocks:
            x = block(x, allowed)
        return x

    def _sharing_a_window(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """Windows start every half window; a row may look at all that share one with it. returns: [1 or B, T, T]"""
        half = torch.arange(features.shape[1], device=features.device) // max(1, self.window // 2)
        allowed = ((half[:, None] - half[None, :]).abs() <= 1)[None]
        return allowed if mask is None else _attendable(allowed & mask[:, None, :])

    def _side_by_side(self, features: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Windows in a row; snippets left over at the end are a shorter window of their own.

        A window without features holds positions alone and comes out the same for every video, so it is computed once.
        """
        batch, length, dim = features.shape
        window = min(self.window, length)
        missing = -length % window
        x = F.pad(features + positions, (0, 0, 0, missing)).reshape(-1, window, dim)  # [B · windows, W, D]
        keys = mask
        if missing:
            real = features.new_ones(batch, length, dtype=torch.bool) if mask is None else mask
            keys = F.pad(real, (0, missing))
        allowed = None if keys is None else _attendable(keys.reshape(-1, 1, window))
        used = features.any(-1) if mask is None else mask  # [B, T]
        used = F.pad(used, (0, missing)).reshape(-1, window).any(-1)  # [B · windows]
        x = self._blocks(x, allowed) if bool(used.all()) else self._used_windows(x, used, positions, missing, allowed)
        return x.reshape(batch, length + missing, dim)[:, :length]

    def _used_windows(self, x: Tensor, used: Tensor, positions: Tensor, missing: int, allowed: Tensor | None) -> Tensor:
        """Blocks over the windows in use and over one video without features, whose windows stand in for the rest.

        x: [B · windows, W, D]    used: [B · windows]    returns: [B · windows, W, D]
        """
        rows = used.nonzero()[:, 0]
        blank = F.pad(positions, (0, 0, 0, missing)).reshape(-1, *x.shape[1:])  # [windows, W, D]
        if allowed is not None:
            allowed = torch.cat([allowed[rows], allowed[: len(blank)]])
        out = self._blocks(torch.cat([x.index_select(0, rows), blank]), allowed)
        blanks = out[len(rows) :].repeat(len(x) // len(blank), 1, 1)
        return blanks.index_copy(0, rows, out[: len(rows)])


class GraphConvolution(nn.Module):
    """``adjacency @ (x @ weight) + residual(x)``; the residual is a convolution over time where widths differ."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width_in, width_out)))
        self.residual = nn.Conv1d(width_in, width_out, 5, padding=2) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """x: [B, T, I]    adjacency: [B, T, T] or [T, T]    returns: [B, T, O]"""
        mixed = adjacency @ (x @ self.weight)
        if isinstance(self.residual, nn.Identity):
            return mixed + x
        return mixed + self.residual(x.transpose(1, 2)).transpose(1, 2)


class UnusedDistance(nn.Module):
    """Holds ``disAdj.sigma``, which the published checkpoints carry and nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.sigma = nn.Parameter(torch.full((1,), 0.1))


def similarity_graph(x: Tensor, mask: Tensor, threshold: float, drop_unrelated: bool = False) -> Tensor:
    """Softmax over each row of the thresholded cosines between real rows; 0 outside them.

    x: [B, T, D]    mask: [B, T]    returns: [B, T, T]

    drop_unrelated: pairs at or under the threshold get no weight at all, instead of that of similarity 0.
    The threshold is a cliff, so the cosines are float32 even where the rest is bfloat16.
    """
    with full_precision(x):
        return _similarity_graph(x.float(), mask, threshold, drop_unrelated)


def _similarity_graph(x: Tensor, mask: Tensor, threshold: float, drop_unrelated: bool) -> Tensor:
    norm = x.norm(dim=-1)  # [B, T]
    cosine = x @ x.transpose(1, 2) / (norm[:, :, None] * norm[:, None, :] + 1e-20)  # [B, T, T]
    related = cosine > threshold
    if drop_unrelated:
        weights = cosine.masked_fill(~_attendable(related & mask[:, None, :]), -torch.inf)
    else:
        weights = torch.where(related, cosine, 0.0).masked_fill(~_attendable(mask[:, None, :]), -torch.inf)
    return weights.softmax(-1) * (mask[:, :, None] & mask[:, None, :])


def distances(length: int) -> Tensor:
    """|i - j| of all pairs of rows. returns: [length, length]"""
    steps = torch.arange(length, dtype=torch.float32)
    return (steps[:, None] - steps[None, :]).abs()


class VadClip(nn.Module):
    """Both branches over one batch of padded videos."""

    def __init__(self, config: VadClipConfig, dim: int, text_width: int, context_length: int = 77) -> None:
        """dim: D of the features and of the texts    text_width: E of the text tower's token embeddings

        Raises:
            ValueError: D cannot be split into heads or halves.
        """
        super().__init__()
        if dim % config.attn_heads or dim % 2:
            raise ValueError(f"features of dimension {dim} cannot be split into {config.attn_heads} heads and 2 halves")
        self.config, self.dim = config, dim
        self.activation: Activation = quick_gelu if config.activation == "quickgelu" else F.gelu
        self.temporal = LocalTransformer(dim, config, self.activation)
        if config.graph_layers == "code":
            self.gc1, self.gc2 = GraphConvolution(dim, dim // 2), GraphConvolution(dim // 2, dim // 2)
            self.gc3, self.gc4 = GraphConvolution(dim, dim // 2), GraphConvolution(dim // 2, dim // 2)
            self.disAdj = UnusedDistance()
            self.linear = nn.Linear(dim, dim)
        else:
            self.graph = nn.Linear(2 * dim, dim, bias=False)
        self.mlp1 = FeedForward(dim, self.activation)
        self.mlp2 = FeedForward(dim, self.activation)
        self.classifier = nn.Linear(dim, 1)
        self.frame_position_embeddings = nn.Embedding(config.visual_length, dim)
        self.text_prompt_embeddings = nn.Embedding(context_length, text_width)
        nn.init.normal_(self.frame_position_embeddings.weight, std=0.01)
        nn.init.normal_(self.text_prompt_embeddings.weight, std=0.01)
        self.distance: Tensor
        self.register_buffer("distance", distances(config.visual_length), persistent=False)  # [L, L]

    def encode_text(self, text: TextEncoder, plan: PromptPlan) -> Tensor:
        """Class texts with learned context, not normalised. returns: [C, D] on the text tower's device"""
        return text.encode_embeddings(plan.embeddings(self.text_prompt_embeddings.weight), plan.eot_index)

    def encode_video(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Visual features V. features: [B, T, D]    lengths: [B] real rows    returns: [B, T, D]

        With ``padding="masked"`` T may be anything up to visual_length and padded rows change no real row; with "leak"
        padding takes part, so that T is visual_length exactly, as the published model was trained.

        Raises:
            ValueError: T does not fit.
        """
        length, limit = features.shape[1], self.config.visual_length
        if length > limit or (self.config.padding == "leak" and length != limit):
            expected = f"up to {limit}" if self.config.padding == "masked" else str(limit)
            raise ValueError(f"features have {length} rows, expected {expected}")
        real = mask_of(lengths.to(features.device), length)  # [B, T]
        shown = real if self.config.padding == "masked" else None
        x = features.float()
        if self.config.feature_norm:
            x = F.normalize(x, dim=-1) * self.config.feature_norm
        x = self.temporal(x, self.frame_position_embeddings.weight[:length], shown)
        if shown is not None:
            x = x * shown[..., None]
        return self._relate(x, real, shown)

    def _relate(self, x: Tensor, real: Tensor, shown: Tensor | None) -> Tensor:
        """The graph module. x: [B, T, D]    returns: [B, T, D]"""
        config = self.config
        drop = config.similarity_graph == "paper"
        near = similarity_graph(x, real, config.similarity_threshold, drop)  # [B, T, T]
        far = self._distance_graph(x.shape[1], shown)  # [T, T] or [B, T, T]
        if config.graph_layers == "paper":
            return self.activation(self.graph(torch.cat([near @ x, far @ x], dim=-1)))
        first = self.activation(self.gc1(x, near))
        first = self.activation(self.gc2(first, near))  # [B, T, D/2]
        second = self.activation(self.gc3(x, far))
        if shown is not None:
            second = second * shown[..., None]
        second = self.activation(self.gc4(second, far))  # [B, T, D/2]
        return self.linear(torch.cat([first, second], dim=-1))

    def _distance_graph(self, length: int, shown: Tensor | None) -> Tensor:
        distance = self.distance[:length, :length]
        if self.config.distance_graph == "paper":
            if shown is not None:
                distance = distance.masked_fill(~shown[:, None, :], torch.inf)
            return (-distance).softmax(-1)
        return torch.exp(-distance / math.e)

    def forward(self, features: Tensor, lengths: Tensor, text_features: Tensor) -> VadOutput:
        """features: [B, T, D]    lengths: [B]    text_features: [C, D] of ``encode_text``"""
        visual = self.encode_video(features, lengths)
        anomaly = self.classifier(visual + self.mlp2(visual))[..., 0]  # [B, T]
        prompt = self._visual_prompt(visual, anomaly, lengths)  # [B, D]
        texts = self._fuse(text_features.to(visual.device), prompt)  # [B, C, D]
        cosine = _unit(visual) @ _unit(texts).transpose(1, 2)  # [B, T, C]
        return VadOutput(anomaly, cosine / self.config.temperature)

    def _visual_prompt(self, visual: Tensor, anomaly: Tensor, lengths: Tensor) -> Tensor:
        """What the anomalous snippets look like, of length 1. returns: [B, D]"""
        weights = anomaly if self.config.visual_prompt_weights == "raw" else anomaly.sigmoid()
        if self.config.padding == "masked":
            weights = weights * mask_of(lengths.to(weights.device), weights.shape[1])
        return _unit((weights[:, None, :] @ visual)[:, 0])

    def _fuse(self, texts: Tensor, prompt: Tensor) -> Tensor:
        """Class texts as this video would have them. texts: [C, D]    prompt: [B, D]    returns: [B, C, D]"""
        both = texts + prompt[:, None, :]
        return self.mlp1(both) + (both if self.config.text_fusion == "code" else texts)


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)
