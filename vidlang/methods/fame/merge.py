"""Foreground of one clip before the background of another."""

from __future__ import annotations

import torch
from torch import Tensor

from vidlang.methods.fame.mask import ClipMasks


def draw_order(batch: int, generator: torch.Generator | None = None, *, fixed_points: bool = True) -> Tensor:
    """Whose background each clip of a batch gets: a random permutation [B]."""
    raise NotImplementedError


def merge(clips: Tensor, masks: ClipMasks, order: Tensor, out: Tensor | None = None) -> Tensor:
    """Each clip's foreground before the background of the clip that ``order`` names.

    clips: [B, 3, T, H, W]    order: [B]    returns: as clips
    """
    raise NotImplementedError


def merge_with(clips: Tensor, masks: ClipMasks, backgrounds: Tensor, out: Tensor | None = None) -> Tensor:
    """Each clip's foreground before its own row of ``backgrounds``.

    clips, backgrounds: [B, 3, T, H, W]    returns: as clips
    """
    raise NotImplementedError
