"""CBP, the classification branch: any network from features to one logit per snippet and class fits in here.

Letters: B videos, T snippets, Din input width, D width inside, C classes, K columns (C, and the background last where
it is on).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidlang.methods.wtal.config import WtalConfig
from vidlang.methods.wtal.layers import Block, sinusoids


class CbpOutput(NamedTuple):
    """What CBP says of each snippet, before the softmax over columns. Padded rows hold anything finite."""

    logits: Tensor
    """[B, T, K]"""
    features: Tensor
    """[B, T, D] what the contrast of foreground and background compares."""
    attention: Tensor | None = None
    """[B, T] logit that anything happens; None where the head has no attention."""
    suppressed: Tensor | None = None
    """[B, T, K] logits of the snippets weighted by attention, in which a video shows its classes and no background."""


class Standardise(nn.Module):
    """Every column has mean 0 and deviation 1 over the training videos. The numbers are part of the weights."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


class TransformerHead(nn.Module):
    """Projection, blocks of self-attention, linear classifier.

    Source: Ju et al., CVPR 2023, section 3.2 (self-attention, layer norm, MLP).
    Differs: width, depth, heads and dropout are ours, since the paper gives none; positions are sinusoids, since test
    videos are longer than training windows.
    """

    def __init__(self, config: WtalConfig, input_width: int, num_columns: int) -> None:
        super().__init__()
        width = config.cbp_width
        self.project = nn.Linear(input_width, width)
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.blocks = nn.ModuleList(
            Block(width, config.cbp_heads, config.cbp_dropout) for _ in range(config.cbp_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Linear(width, num_columns)

    def forward(self, x: Tensor, mask: Tensor) -> CbpOutput:
        """x: [B, T, Din]    mask: [B, T]"""
        x = self.input_dropout(self.project(x))
        x = x + sinusoids(x.shape[1], x.shape[2], x.device)
        for block in self.blocks:
            x = block(x, mask)
        features = self.norm(x)
        return CbpOutput(self.classify(features), features)


class ConvHead(nn.Module):
    """Convolutions over time, an attention that tells foreground, and a classifier with a background column.

    The attention a (a logit) is a prior on the columns: log sigmoid(a) is added to the classes, log sigmoid(-a) to the
    background. The classifier reads the features once as they are and once weighted by sigmoid(a), where the video
    must show its classes without background; that is what teaches the attention.

    Source: BaS-Net (Lee et al., AAAI 2020), base and suppression branch.
    Differs: BaS-Net's two branches are two sets of scores, of which one is read at test time; here the prior makes them
    one probability per column, as pseudo-labels need.
    """

    def __init__(self, config: WtalConfig, input_width: int, num_columns: int) -> None:
        super().__init__()
        width, pad = config.cbp_width, config.kernel // 2
        layers = [nn.Conv1d(input_width, width, config.kernel, padding=pad)]
        layers += [nn.Conv1d(width, width, config.kernel, padding=pad) for _ in range(config.cbp_layers - 1)]
        self.convolutions = nn.ModuleList(layers)
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.attend = nn.Sequential(nn.Linear(width, width // 2), nn.LeakyReLU(0.2), nn.Linear(width // 2, 1))
        self.classify = nn.Linear(width, num_columns)

    def forward(self, x: Tensor, mask: Tensor) -> CbpOutput:
        """x: [B, T, Din]    mask: [B, T]"""
        real = mask[:, None, :].to(x.dtype)  # [B, 1, T]
        x = x.transpose(1, 2)  # [B, Din, T]
        for convolution in self.convolutions:
            x = F.relu(convolution(x * real))  # padding is 0 at every layer, as beyond the ends of a video
        features = self.input_dropout(x.transpose(1, 2))  # [B, T, D]
        attention = self.attend(features)  # [B, T, 1]
        prior = F.logsigmoid(torch.cat([attention, -attention], dim=-1))  # [B, T, 2] foreground, background
        logits = self.classify(features)
        prior = torch.cat([prior[..., :1].expand_as(logits[..., :-1]), prior[..., 1:]], dim=-1)
        suppressed = self.classify(features * attention.sigmoid())
        return CbpOutput(logits + prior, features, attention[..., 0], suppressed)


HEADS: dict[str, Callable[[WtalConfig, int, int], nn.Module]] = {"transformer": TransformerHead, "conv": ConvHead}
"""Name of ``WtalConfig.cbp`` → head, made from config, input width and number of columns."""


class Cbp(nn.Module):
    """The branch: standardised inputs, then the head that the config names."""

    def __init__(self, config: WtalConfig, input_width: int, num_classes: int) -> None:
        super().__init__()
        self.standardise = Standardise(input_width)
        self.head = HEADS[config.cbp](config, input_width, num_classes + config.background)

    def forward(self, x: Tensor, mask: Tensor) -> CbpOutput:
        """x: [B, T, Din]    mask: [B, T], True for real snippets, one per video at least"""
        return self.head(self.standardise(x), mask)
