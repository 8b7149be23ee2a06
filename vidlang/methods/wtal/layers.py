"""Self-attention over snippets that never looks at padding.

Letters: B videos, T snippets, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's non-linearity ``x * sigmoid(1.702 x)``, written so that torch does it in fewer passes."""
    return F.silu(1.702 * x) * (1 / 1.702)


def sinusoids(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Positions of any number of snippets. returns: [length, dim], dim even: sines, then cosines

    Source: Vaswani et al., NeurIPS 2017, section 3.5.
    """
    rates = torch.exp(torch.arange(dim // 2, device=device) * (-math.log(10_000.0) / max(dim // 2 - 1, 1)))
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * rates  # [T, D/2]
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class Block(nn.Module):
    """Pre-norm residual block: ``x + MHA(LN x)``, then ``x + MLP(LN x)`` with an MLP four times as wide.

    ``identity``: both output projections start at 0, so that the untrained block changes nothing.
    """

    def __init__(
        self, dim: int, heads: int, dropout: float = 0.0, activation: Activation = F.gelu, identity: bool = False
    ) -> None:
        """
        Raises:
            ValueError: the width cannot be split into the heads.
        """
        super().__init__()
        if dim % heads:
            raise ValueError(f"rows of width {dim} cannot be split into {heads} heads")
        self.heads, self.activation = heads, activation
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.in_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.c_fc = nn.Linear(dim, 4 * dim)
        self.c_proj = nn.Linear(4 * dim, dim)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.out_proj, self.c_proj) if identity else ():
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, mask: Tensor, positions: Tensor | None = None) -> Tensor:
        """x: [B, T, D]    mask: [B, T], True for real snippets, one per video at least    returns: [B, T, D]

        positions: [T, D], seen by the attention alone, so that an identity block stays one

        Padded rows come out as anything finite.
        """
        x = x + self.dropout(self._attend(self.ln_1(x), mask, positions))
        return x + self.dropout(self.c_proj(self.activation(self.c_fc(self.ln_2(x)))))

    def _attend(self, x: Tensor, mask: Tensor, positions: Tensor | None) -> Tensor:
        batch, length, _ = x.shape
        if positions is not None:
            x = x + positions
        query, key, value = self.in_proj(x).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])  # [B, heads, T, d]
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, length, -1))
