"""What VadCLIP learns from video labels.

Source: VadCLIP (Wu et al., AAAI 2024), section 3.5; official src/ucf_train.py and src/xd_train.py (CLAS2, CLASM and the
text penalty of the training loops) at f643c91.
Differs: the penalty is divided by the number of abnormal classes where the authors wrote 13 and 6, which is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from vidlang.methods.vadclip.config import VadClipConfig
from vidlang.methods.vadclip.model import VadOutput
from vidlang.nn.mil import topk_mean


@dataclass(frozen=True, eq=False)
class Losses:
    """Parts of the loss of one batch, each a scalar."""

    bce: Tensor
    """C-branch: is the video abnormal?"""
    alignment: Tensor
    """A-branch: which classes does it show?"""
    contrastive: Tensor
    """Normal and class texts shall differ; weighted as it is added."""

    @property
    def total(self) -> Tensor:
        return self.bce + self.alignment + self.contrastive


def vadclip_losses(
    output: VadOutput, text_features: Tensor, labels: Tensor, lengths: Tensor, config: VadClipConfig
) -> Losses:
    """All three parts.

    text_features: [C, D]    labels: [B, C] multi-hot, class 0 normal    lengths: [B] real snippets
    """
    contrastive = contrastive_loss(text_features.float(), config.contrastive == "hinge", config.contrastive_mean)
    return Losses(
        bce=bce_loss(output.logits_c.float(), labels, lengths, config.topk_ratio),
        alignment=alignment_loss(output.logits_a.float(), labels, lengths, config.topk_ratio),
        contrastive=(contrastive * config.contrastive_weight).to(output.logits_c.device),
    )


def bce_loss(logits_c: Tensor, labels: Tensor, lengths: Tensor, topk_ratio: int = 16) -> Tensor:
    """Binary cross-entropy between the mean of a video's highest scores and "it is not normal".

    logits_c: [B, T]    labels: [B, C]    lengths: [B]
    """
    scores = topk_mean(logits_c.sigmoid()[..., None], lengths, topk_ratio)[:, 0]  # [B]
    return F.binary_cross_entropy(scores.clamp(0, 1), 1 - labels[:, 0])


def alignment_loss(logits_a: Tensor, labels: Tensor, lengths: Tensor, topk_ratio: int = 16) -> Tensor:
    """Cross-entropy between a video's classes, each of equal share, and the softmax of its highest class logits.

    logits_a: [B, T, C]    labels: [B, C]    lengths: [B]

    The highest snippets are chosen for each class on its own.
    """
    logits = topk_mean(logits_a, lengths, topk_ratio)  # [B, C]
    shares = labels / labels.sum(1, keepdim=True)
    return -(shares * logits.log_softmax(1)).sum(1).mean()


def contrastive_loss(text_features: Tensor, hinge: bool = False, mean: bool = True) -> Tensor:
    """Cosine between the normal text and each class text, by size or (hinge) only where positive.

    text_features: [C, D], row 0 the normal text    mean: over the classes; else their sum
    """
    units = F.normalize(text_features, dim=-1)
    cosines = units[1:] @ units[0]  # [C - 1]
    penalties = cosines.clamp(min=0) if hinge else cosines.abs()
    return penalties.mean() if mean else penalties.sum()
