"""The motion mask of clips: pixels whose colours are those of what moved."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vidlang.methods.fame.options import DEFAULT, MaskOptions


@dataclass(frozen=True, eq=False)
class ClipMasks:
    """One mask per clip, shared by all its frames."""

    mask: Tensor
    """[B, H, W] bool, True for foreground: int(beta H W) pixels of a clip that moves, none of one that does not."""
    moves: Tensor
    """[B] bool, False where no pixel differs between any two frames."""
    energy: Tensor
    """[B] mean over pixels of the frame difference, summed over the three channels of 0..1."""
    score: Tensor
    """[B, H, W] in 0..1, what the mask cuts at its top; 0 where nothing moves."""


def clip_masks(clips: Tensor, options: MaskOptions = DEFAULT, *, check: bool = True) -> ClipMasks:
    """The motion masks of clips.

    clips: [B, 3, T, H, W] RGB, float in 0..1 or uint8
    """
    raise NotImplementedError
