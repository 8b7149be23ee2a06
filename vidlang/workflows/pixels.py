"""What a recipe does to pixels before an encoder sees them, the same for videos, single images and blank frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidlang.core import FeatureRecipe
from vidlang.core.features import Motion
from vidlang.methods.fame.options import MaskOptions
from vidlang.methods.fame.windows import WindowMask
from vidlang.video.snippets import Mask, MotionWatch
from vidlang.video.source import scaled_size

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in brightness, ITU-R BT.601."""
MOTION_SIDE = 112
"""Pixels of the shorter side that motion is found at, as in the published training."""
BLUR_SIDE = 14
"""Pixels of the shorter side that are left of what stands still: places and colours, no shapes."""


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


def motion_watch(motion: Motion) -> MotionWatch | None:
    """How to watch the frames of every snippet for what moves; None where the recipe does not ask."""
    if motion.use == "none":
        return None
    options = MaskOptions(method=motion.method, hue=motion.hue, beta=motion.beta)
    return MotionWatch(MOTION_SIDE, lambda size: _SnippetWindow(size, options))


class _SnippetWindow:
    """Masks of snippets by frame differences; a snippet of one frame does not move."""

    def __init__(self, size: tuple[int, int], options: MaskOptions) -> None:
        self._size, self._options = size, options
        self._window = WindowMask(size, options)

    def push(self, frame: NDArray[np.uint8]) -> None:
        self._window.push(frame)

    def finish(self) -> Mask | None:
        if self._window.num_frames < 2:
            self._window = WindowMask(self._size, self._options)
            return None
        found = self._window.finish()
        return found.mask if found.moves else None


def still_blurred(frames: NDArray[np.uint8], masks: Sequence[Mask | None]) -> NDArray[np.uint8]:
    """Frames in which what stands still is a strong blur of itself; whole where there is no mask.

    frames: [N, H, W, 3]    masks: N masks [h, w] of any size    returns: [N, H, W, 3]
    """
    return np.stack(
        [frame if mask is None else _still_blurred(frame, mask) for frame, mask in zip(frames, masks, strict=True)]
    )


def _still_blurred(frame: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    import torch
    from torch.nn import functional as F

    size = (frame.shape[0], frame.shape[1])
    picture = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()  # [1, 3, H, W]
    blur = F.interpolate(F.interpolate(picture, scaled_size(size, BLUR_SIDE), mode="area"), size, mode="bilinear")
    moving = F.interpolate(torch.from_numpy(mask)[None, None].float(), size, mode="bilinear")
    mixed = torch.lerp(blur, picture, moving)[0].round_().clamp_(0, 255).to(torch.uint8)
    return np.ascontiguousarray(mixed.permute(1, 2, 0).numpy())
