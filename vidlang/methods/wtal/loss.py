"""What both branches learn from: video labels, the other branch's sure snippets, foreground against background.

Legend: B videos, T snippets, C classes, K columns of logits (C, or C + 1 with the background last), H pseudo-labels
(1 foreground, 0 background, -1 undecided or padding; ``pseudo_labels.confident``), mask True for real snippets.
Every loss is finite, and zero with a gradient of zero, where nothing is left to learn from. Half precision is computed
in float32.

Source: Ju et al., CVPR 2023 (arXiv 2212.09335), L_cls, L_kd, L_fb. No code is published.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Kind = Literal["categorical", "bernoulli", "element"]
Frames = Literal["both", "foreground", "background"]
Activation = Literal["softmax", "sigmoid"]
Scope = Literal["batch", "video"]
Reduction = Literal["mean", "sum", "none"]

LEAST_PROBABILITY = 1e-6
"""1 - p of a softmax over a single class, which is 0 whatever the logit."""


def video_logits(logits: Tensor, mask: Tensor, r: float) -> Tensor:
    """Mean of each video's highest logits, per class.

    logits: [B, T, K]    mask: [B, T]    returns: [B, K]

    k is ``floor(length / r)`` of the real snippets, at least 1; padding never takes part.

    Raises:
        ValueError: a video has no real snippet, or r is below 1.
    Differs: the paper pools probabilities. A softmax of numbers in [0, 1] is nearly flat and cannot fit a label, so
        logits are pooled, as in public code of the field.
    """
    if not r >= 1:
        raise ValueError(f"r must be at least 1, got {r}")
    lengths = mask.sum(1)
    if bool((lengths < 1).any()):
        raise ValueError(f"every video needs at least one snippet, got lengths {lengths.tolist()}")
    logits = _full_precision(logits)
    counts = (lengths / r).floor().long().clamp(min=1)  # [B]
    highest = logits.masked_fill(~mask[..., None], -torch.inf).topk(int(counts.max()), dim=1).values  # [B, k, K]
    chosen = torch.arange(highest.shape[1], device=mask.device) < counts[:, None]  # [B, k]
    return highest.masked_fill(~chosen[..., None], 0.0).sum(1) / counts[:, None]


def video_probability(logits: Tensor, mask: Tensor, r: float) -> Tensor:
    """Softmax over the columns of the video's logits. logits: [B, T, K]    mask: [B, T]    returns: [B, K]"""
    return video_logits(logits, mask, r).softmax(-1)


def mil_loss(logits: Tensor, mask: Tensor, labels: Tensor, r: float, normalise: bool = True) -> Tensor:
    """Cross-entropy between a video's labels and the softmax of its highest logits: L_cls.

    logits: [B, T, K]    mask: [B, T]    labels: [B, K] multi-hot    returns: [B]
    normalise: labels of a video sum to 1; else each is 1

    A video without labels costs 0.

    Raises:
        ValueError: as ``video_logits``.
    """
    log_p = video_logits(logits, mask, r).log_softmax(-1)  # [B, K]
    labels = labels.to(log_p)
    if normalise:
        labels = labels / labels.sum(1, keepdim=True).clamp(min=1)
    return -(labels * log_p).sum(1)


def distillation(
    kind: Kind, logits: Tensor, H: Tensor, mask: Tensor, frames: Frames = "both", activation: Activation = "softmax"
) -> Tensor:
    """How far the student's probabilities are from the teacher's confident snippets: L_kd, a scalar.

    kind: ``categorical``: KL between the snippet's classes of equal share, or the background, and a softmax over
        C + 1 columns; mean over sure snippets.
        ``bernoulli``: one yes or no per class; summed over classes, mean over sure snippets.
        ``element``: the same; mean over the sure entries of each class, summed over classes.
    logits: [B, T, C], or [B, T, C + 1] with the background last    H: [B, T, C]    mask: [B, T]
    frames: only snippets with some 1 (``foreground``), or of zeros alone (``background``)
    activation: where p of ``bernoulli`` and ``element`` comes from

    A snippet is sure if none of its entries is -1. Nothing is sure: the loss is 0 and keeps its graph.

    Raises:
        ValueError: shapes do not fit, or the kind or frames are unknown.
    Source: section 3 of the paper, L_kd. Its categorical KL over C classes is 0 for every background snippet
        (0 log 0), so background would never be taught; ``bernoulli`` and the column for the background are the two
        readings that teach it.
    """
    num_classes = H.shape[-1]
    if H.shape[:2] != logits.shape[:2] or logits.shape[-1] not in (num_classes, num_classes + 1):
        raise ValueError(f"logits must be [B, T, C] or [B, T, C + 1] for H {tuple(H.shape)}, got {tuple(logits.shape)}")
    if kind not in ("categorical", "bernoulli", "element"):
        raise ValueError(f"there is no distillation {kind!r}: use categorical, bernoulli or element")
    sure = (H >= 0).any(-1) if kind == "element" else (H >= 0).all(-1)
    rows = mask & sure & _of_side(H, frames)  # [B, T]
    logits, H = _full_precision(logits[rows]), H[rows]  # [O, K], [O, C]: padding is out before any arithmetic
    if kind == "categorical":
        return _categorical(logits, H)
    log_p, log_not = log_probabilities(logits, activation)
    log_p, log_not = log_p[:, :num_classes], log_not[:, :num_classes]
    costs = torch.where(H == 1, -log_p, -log_not).masked_fill(H < 0, 0.0)  # [O, C]
    if kind == "bernoulli":
        return costs.sum() / max(len(costs), 1)
    return (costs.sum(0) / (H >= 0).sum(0).clamp(min=1)).sum()


def log_probabilities(logits: Tensor, activation: Activation = "softmax") -> tuple[Tensor, Tensor]:
    """log p and log(1 - p) without cancellation, however far apart the logits are.

    logits: [..., K]    returns: two of the same shape

    Differs: p is not clipped, since a clipped p has no gradient where it is most wrong; only the 1 - p of a softmax
        over one class, always 0, counts as 1e-6.
    """
    if activation == "sigmoid":
        return F.logsigmoid(logits), F.logsigmoid(-logits)
    log_p = logits.log_softmax(-1)
    if logits.shape[-1] == 1:
        return log_p, torch.full_like(log_p, math.log(LEAST_PROBABILITY))
    # Only the highest p can be near 1: its 1 - p is the sum of the others. All others are at most 1/2.
    top = logits.argmax(-1, keepdim=True)
    rest = logits.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True) - logits.logsumexp(-1, keepdim=True)
    return log_p, torch.log1p(-log_p.exp().scatter(-1, top, 0.0)).scatter(-1, top, rest)


def contrast(
    features: Tensor,
    H: Tensor,
    *,
    tau: float = 0.07,
    scope: Scope = "batch",
    reduction: Reduction = "mean",
    include_self: bool = False,
    max_pairs: int | None = 512,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Snippets of one action lie near each other and far from the background: L_fb.

    features: [B, T, D] of any length    H: [B, T, C]    returns: a scalar; ``none``: [anchors], in order of video,
        snippet, class
    tau: cosines are divided by it
    scope: positives and negatives of the whole batch, or of the anchor's video
    include_self: an anchor is its own positive
    max_pairs: anchors, positives of a class and negatives at most, drawn at random; None: no limit
    generator: of the draw; None: the global one

    An anchor is an entry of 1 in H, its positives the other 1s of that class, its negatives the snippets of zeros
    alone; it costs -log(P / (P + N)) with P and N sums of exp(cosine / tau). Anchors without positive or negative are
    left out. Sums over a draw are scaled up to the whole, so that the limit changes the loss by chance alone.
    No more than ``2 * max_pairs**2`` cosines are held, instead of ``(B * T)**2``.

    Raises:
        ValueError: shapes do not fit, tau is not positive, or max_pairs is below 1.
    Source: the paper, L_fb.
    Differs: the paper counts the anchor among its positives and sums over anchors. With tau .07 the anchor alone
        outweighs everything (e^14), so nothing is learned; a sum grows with the video and drowns L_kd.
    """
    if features.shape[:2] != H.shape[:2]:
        raise ValueError(f"features must be [B, T, D] for H {tuple(H.shape)}, got {tuple(features.shape)}")
    if not tau > 0 or (max_pairs is not None and max_pairs < 1):
        raise ValueError(f"tau must be positive and max_pairs at least 1, got {tau} and {max_pairs}")
    num_videos, num_rows, num_classes = H.shape
    entries = (H == 1).nonzero()  # [N, 3] of video, row, class
    negatives = (H == 0).all(-1).nonzero()  # [M, 2] of video, row
    video, frame = entries[:, 0], entries[:, 0] * num_rows + entries[:, 1]  # [N]
    # Anchors of one group share their positives, those of one pool their negatives.
    in_batch = scope == "batch"
    group = entries[:, 2] if in_batch else video * num_classes + entries[:, 2]
    pool = torch.zeros_like(video) if in_batch else video
    negative_pool = torch.zeros_like(negatives[:, 0]) if in_batch else negatives[:, 0]
    negative_frame = negatives[:, 0] * num_rows + negatives[:, 1]
    num_positives = group.bincount()[group] - (0 if include_self else 1)  # [N]
    num_negatives = negative_pool.bincount(minlength=num_videos)[pool]  # [N]
    anchors = ((num_positives > 0) & (num_negatives > 0)).nonzero()[:, 0]
    drawn = _draw(anchors, max_pairs, generator)

    flat = features.flatten(0, 1)
    losses = [_full_precision(flat[:0]).sum(1)]
    places = [drawn[:0]]
    draws: dict[int, Tensor] = {}
    parts = []
    for key in group[drawn].unique():
        members = drawn[group[drawn] == key]
        of_pool = int(pool[members[0]])
        if of_pool not in draws:
            draws[of_pool] = _draw(negative_frame[negative_pool == of_pool], max_pairs, generator)
        # Two positives at least: one of them is not the anchor.
        positives = _draw(frame[group == key], None if max_pairs is None else max(max_pairs, 2), generator)
        parts.append((members, positives, draws[of_pool]))
    # Gathered once: each gather from the whole batch costs a gradient as large as the batch.
    needed = [frame[drawn], *(part[1] for part in parts), *draws.values()]
    frames = torch.cat(needed).unique()
    vectors = F.normalize(_full_precision(flat[frames]), dim=-1)
    for members, positives, others in parts:
        own = frame[members]
        a, p, n = (vectors[torch.searchsorted(frames, ids)] for ids in (own, positives, others))
        own_group = group[members[0]]
        same = own[:, None] == positives  # [A, P]
        num_others = int((group == own_group).sum()) - 1
        seen = (~same).sum(1, keepdim=True).clamp(min=1)
        near = (a @ p.T / tau + (num_others / seen).log()).masked_fill(same, -torch.inf)
        if include_self:
            near = torch.cat([near, (a * a).sum(1, keepdim=True) / tau], dim=1)
        far = a @ n.T / tau + math.log(int(num_negatives[members[0]]) / len(others))
        losses.append(F.softplus(far.logsumexp(1) - near.logsumexp(1)))  # -log(P / (P + N)) = log(1 + N / P)
        places.append(members)
    each = torch.cat(losses)[torch.cat(places).argsort()]
    if reduction == "none":
        return each
    mean = each.sum() / max(len(each), 1)
    return mean if reduction == "mean" else mean * len(anchors)


def _categorical(logits: Tensor, H: Tensor) -> Tensor:
    """logits: [O, C + 1]    H: [O, C] of 0 and 1"""
    if logits.shape[-1] != H.shape[-1] + 1:
        raise ValueError(f"categorical distillation needs {H.shape[-1]} + 1 columns, got {logits.shape[-1]}")
    target = torch.cat([H == 1, (H == 0).all(-1, keepdim=True)], dim=-1).to(logits)
    target = target / target.sum(-1, keepdim=True)
    return (torch.xlogy(target, target) - target * logits.log_softmax(-1)).sum() / max(len(logits), 1)


def _of_side(H: Tensor, frames: Frames) -> Tensor:
    """Snippets that may teach. returns: [B, T]"""
    if frames == "foreground":
        return (H == 1).any(-1)
    if frames == "background":
        return (H == 0).all(-1)
    if frames != "both":
        raise ValueError(f"there are no frames {frames!r}: use both, foreground or background")
    return torch.ones_like(H[..., :1], dtype=torch.bool).all(-1)


def _draw(items: Tensor, most: int | None, generator: torch.Generator | None) -> Tensor:
    """At most so many of the items, in their order; each subset is as likely as any other. items: [N]"""
    if most is None or len(items) <= most:
        return items
    device = "cpu" if generator is None else generator.device
    chosen = torch.randperm(len(items), generator=generator, device=device)[:most]
    return items[chosen.sort().values.to(items.device)]


def _full_precision(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
