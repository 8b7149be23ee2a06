"""The contrastive losses, as functions of cosines.

cosines: [B, 1 + K], column 0 of each anchor with its positive, the others with what it is told from.
ignored: [B, K] bool, True where a column is not to be told from (it shows the same thing, or is empty); None: nowhere.
Each loss is a mean over the anchors.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidlang.methods.tca.config import TcaConfig


def cosines_of(anchors: Tensor, positives: Tensor, others: Tensor) -> Tensor:
    """Cosines of vectors of any length. anchors, positives: [B, E]    others: [K, E]    returns: [B, 1 + K]"""
    anchors, positives, others = (F.normalize(vectors, dim=-1) for vectors in (anchors, positives, others))
    return torch.cat([(anchors * positives).sum(1, keepdim=True), anchors @ others.T], dim=1)


def infonce(cosines: Tensor, temperature: float = 0.07, ignored: Tensor | None = None) -> Tensor:
    """-log(e^{s_p / t} / (e^{s_p / t} + sum_j e^{s_j / t})).

    Its gradient weighs each negative by its share of the sum: easy ones hardly count.

    Source: TCA, equation 5; published train.py, the line that is commented out there.
    Differs: the paper prints the first term of the denominator without the temperature, a slip.
    """
    return _told_from_column_0(cosines / temperature, ignored)


def circle(cosines: Tensor, gamma: float = 256.0, margin: float = 0.25, ignored: Tensor | None = None) -> Tensor:
    """Softmax loss of gamma * a * (s - d): pairs far from their optimum weigh more.

    a = [1 + m - s]+ and d = 1 - m for the positive, a = [s + m]+ and d = m for the others; a has no gradient.

    Source: TCA, equation 7; Circle loss (Sun et al., CVPR 2020).
    """
    positive = torch.zeros_like(cosines, dtype=torch.bool)
    positive[:, 0] = True
    return _told_from_column_0(_circle_logits(cosines, positive, gamma, margin), ignored)


def circle_as_shipped(
    cosines: Tensor, gamma: float = 256.0, margin: float = 0.25, ignored: Tensor | None = None
) -> Tensor:
    """What the published code computes: the form of the positive is in the first row instead of the first column.

    For comparison with weights trained so; ``circle`` is the loss of the paper.

    Source: published loss.py, class CircleLoss.
    """
    positive = torch.zeros_like(cosines, dtype=torch.bool)
    positive[0] = True
    return _told_from_column_0(_circle_logits(cosines, positive, gamma, margin), ignored)


def triplet(cosines: Tensor, margin: float = 0.25, ignored: Tensor | None = None) -> Tensor:
    """Mean of [margin - s_p + s_j]+ over all pairs of an anchor and another.

    Source: TCA, section 4.3, a baseline there. It is not in the published code.
    """
    hinges = (margin - cosines[:, :1] + cosines[:, 1:]).clamp(min=0)  # [B, K]
    if ignored is None:
        return hinges.mean()
    hinges = hinges.masked_fill(ignored, 0)
    return hinges.sum() / (~ignored).sum().clamp(min=1)


def contrastive_loss(cosines: Tensor, config: TcaConfig, ignored: Tensor | None = None) -> Tensor:
    """The loss that the config names."""
    if config.loss == "infonce":
        return infonce(cosines, config.temperature, ignored)
    if config.loss == "circle":
        return circle(cosines, config.gamma, config.margin, ignored)
    if config.loss == "circle-as-shipped":
        return circle_as_shipped(cosines, config.gamma, config.margin, ignored)
    return triplet(cosines, config.margin, ignored)


def _circle_logits(cosines: Tensor, positive: Tensor, gamma: float, margin: float) -> Tensor:
    constant = cosines.detach()
    weight = torch.where(positive, 1 + margin - constant, constant + margin).clamp(min=0)
    optimum = torch.where(positive, 1 - margin, margin)
    return gamma * weight * (cosines - optimum)


def _told_from_column_0(logits: Tensor, ignored: Tensor | None) -> Tensor:
    if ignored is not None:
        logits = torch.cat([logits[:, :1], logits[:, 1:].masked_fill(ignored, -torch.inf)], dim=1)
    target = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits, target)
