"""Two views of every clip of a batch, on any device, from one generator's draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidlang.methods.fame.config import AnyConfig, FameConfig

Clips = NDArray[np.uint8] | Tensor | Sequence[NDArray[np.uint8] | Tensor]
"""uint8 clips of a batch, [3, T, H, W] each and RGB, in one array or, of any sizes, in a list."""


@dataclass(frozen=True, eq=False)
class TwoViews:
    """What MoCo compares, and how much of it was merged."""

    query: Tensor
    """[B, 3, T, S, S] normalised"""
    key: Tensor
    """[B, 3, T, S, S]"""
    merged: int
    """Clips, of both views, that have another clip's background."""
    still: int
    """Clips, of both views, in which nothing moves, so that they stay whole."""
    area: float
    """Mean share of the picture that the masks of moving clips cover; 0 without masks."""


class Views:
    """Makes two views of clips. One object per run, since as published a run has one blur."""

    def __init__(self, config: FameConfig, device: str | torch.device = "cpu") -> None:
        raise NotImplementedError

    def __call__(self, clips: Clips, generator: torch.Generator) -> TwoViews:
        """clips: B items [2, 3, T, H, W] uint8, two windows of each video    generator: on the CPU"""
        raise NotImplementedError


def center_crop(clips: Tensor, size: int) -> Tensor:
    """The middle square. clips: [..., H, W]    returns: [..., size, size]"""
    raise NotImplementedError


def normalise(clips: Tensor) -> Tensor:
    """clips: [B, 3, T, H, W] in 0..1    returns: less ``MEAN``, by ``STD``"""
    raise NotImplementedError


def labelled_views(clips: Clips, config: AnyConfig, generator: torch.Generator, device: torch.device) -> Tensor:
    """Training clips of recognition: crop, flip, grey, colours, normalised. returns: [B, 3, T, S, S]"""
    raise NotImplementedError
