"""What a recipe does to pixels before an encoder sees them, the same for videos, single images and blank frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidlang.core import FeatureRecipe

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in brightness, ITU-R BT.601."""


def recoloured(frames: NDArray[np.uint8], recipe: FeatureRecipe) -> NDArray[np.uint8]:
    """Frames as they are, or grey in three equal channels where the recipe says so.

    frames: uint8 [..., 3] RGB    returns: uint8 of the same shape
    """
    if recipe.colour == "keep":
        return frames
    grey = np.rint(frames.astype(np.float32) @ LUMA).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
