"""What one branch teaches the other: snippets it is sure to be foreground or background.

H is int8 [B, T, C]: 1 the snippet shows the class, 0 it does not, -1 undecided or padding.

Source: Ju et al., CVPR 2023 (arXiv 2212.09335), confident pseudo-labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def confident(prob: Tensor, labels: Tensor, mask: Tensor, delta_h: float = 0.3, delta_l: float = 0.1) -> Tensor:
    """H of a teacher's probabilities.

    prob: [B, T, K], K = C, or C + 1 with the background last, which is not read
    labels: [B, C] multi-hot    mask: [B, T]    returns: H [B, T, C], without gradient

    1: the class is one of the video's and p > delta_h. 0: it is not one of them, or p < delta_l. Neither: -1.

    Raises:
        ValueError: shapes do not fit, or delta_l is above delta_h.
    """
    if not delta_l <= delta_h:
        raise ValueError(f"delta_l must be at most delta_h, got {delta_l} and {delta_h}")
    prob, own = _of_classes(prob, labels)
    H = torch.full(prob.shape, -1, dtype=torch.int8, device=prob.device)
    H[own & (prob > delta_h)] = 1
    H[~own | (prob < delta_l)] = 0
    H[~mask] = -1
    return H


def hard(prob: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """H with a decision for every real snippet: its highest column, if that is a class of the video; else background.

    prob: [B, T, K] as in ``confident``    labels: [B, C]    mask: [B, T]    returns: H [B, T, C]

    An ablation of the paper: labels without confidence.
    """
    highest = torch.zeros_like(prob, dtype=torch.bool)
    highest.scatter_(-1, prob.argmax(-1, keepdim=True), True)
    chosen, own = _of_classes(highest, labels)
    return (chosen & own).to(torch.int8).masked_fill(~mask[..., None], -1)


def without_conflicts(teacher: Tensor, student: Tensor) -> Tensor:
    """The teacher's H, undecided where one branch is sure of foreground and the other of background.

    teacher, student: H [B, T, C]    returns: H [B, T, C]

    A conflict concerns the whole snippet: some 1 against zeros alone, in either direction.
    """
    ours, theirs = frame_sets(teacher), frame_sets(student)
    conflict = (ours.foreground & theirs.background) | (ours.background & theirs.foreground)
    return teacher.masked_fill(conflict[..., None], -1)


@dataclass(frozen=True, eq=False)
class FrameSets:
    """Which snippets H calls what, each [B, T] bool."""

    foreground: Tensor
    """Some class is 1."""
    background: Tensor
    """Every class is 0."""

    @property
    def undecided(self) -> Tensor:
        """Neither; padding too."""
        return ~(self.foreground | self.background)


def frame_sets(H: Tensor) -> FrameSets:
    """H: [B, T, C]"""
    return FrameSets((H == 1).any(-1), (H == 0).all(-1))


@dataclass(frozen=True)
class Shares:
    """What H says about the real snippets, in [0, 1]; 0 where there is none."""

    foreground: float
    background: float
    undecided: float


def shares(H: Tensor, mask: Tensor) -> Shares:
    """Shares of the real snippets. H: [B, T, C]    mask: [B, T]"""
    sets, total = frame_sets(H), max(int(mask.sum()), 1)
    return Shares(*(int((mask & part).sum()) / total for part in (sets.foreground, sets.background, sets.undecided)))


def agreement(first: Tensor, second: Tensor, mask: Tensor) -> float | None:
    """Of the real snippets that both call foreground or background, the share with the same classes.

    first, second: H [B, T, C]    mask: [B, T]    returns: in [0, 1]; None where both are sure of no snippet
    """
    both = mask & ~frame_sets(first).undecided & ~frame_sets(second).undecided
    if not bool(both.any()):
        return None
    return float(((first == 1) == (second == 1)).all(-1)[both].double().mean())


def _of_classes(prob: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of the classes [B, T, C], and which of them are the video's [B, 1, C] spread over T."""
    num_videos, num_rows, num_columns = prob.shape
    num_classes = labels.shape[-1]
    if labels.shape[0] != num_videos or num_columns not in (num_classes, num_classes + 1):
        raise ValueError(f"prob must be [B, T, C] or [B, T, C + 1] for labels {tuple(labels.shape)}, got {prob.shape}")
    own = (labels > 0)[:, None].expand(num_videos, num_rows, num_classes)
    return prob.detach()[..., :num_classes], own
