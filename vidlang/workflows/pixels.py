"""What a recipe does to pixels before an encoder sees them, the same for videos, single images and blank frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidlang.core import FeatureRecipe

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in brightness, ITU-R BT.601."""


Pictures = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
"""[N, H, W, 3] RGB, or N arrays [H, W, 3] of any sizes."""


def recoloured(frames: Pictures, recipe: FeatureRecipe) -> Pictures:
    """Frames as they are, or grey in three equal channels where the recipe says so. returns: of the same shape"""
    if recipe.colour == "keep":
        return frames
    return _grey(frames) if isinstance(frames, np.ndarray) else [_grey(frame) for frame in frames]


def _grey(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = np.rint(frames.astype(np.float32) @ LUMA).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
