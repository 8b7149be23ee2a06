"""Motion masks of videos, window by window: frames come one by one, and none is kept but the last. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidlang.methods.fame.options import DEFAULT, MaskOptions


@dataclass(frozen=True, eq=False)
class FrameMask:
    """The mask of one window."""

    mask: NDArray[np.bool_]
    """[H, W] True for foreground; exactly int(beta H W) pixels, none where nothing moves."""
    moves: bool
    energy: float
    """Mean over pixels of ``seed``."""
    seed: NDArray[np.float32]
    """[H, W] frame difference, summed over the three channels of 0..1, mean over pairs of frames."""
    score: NDArray[np.float32]
    """[H, W] in 0..1, what the mask cuts at its top; 0 where nothing moves."""
    area: float
    """Share of pixels that the mask covers."""


class WindowMask:
    """Takes the frames of a window one by one and gives its mask; then starts the next window."""

    def __init__(self, size: tuple[int, int], options: MaskOptions = DEFAULT) -> None:
        """size: height and width of the frames"""
        raise NotImplementedError

    def push(self, frame: NDArray[np.uint8]) -> None:
        """frame: [H, W, 3] RGB"""
        raise NotImplementedError

    def finish(self) -> FrameMask:
        """The mask of the frames since the last call."""
        raise NotImplementedError


def mask_frames(frames: NDArray[np.uint8], options: MaskOptions = DEFAULT) -> FrameMask:
    """The mask of frames that are all there.

    frames: [T, H, W, 3] RGB
    """
    raise NotImplementedError


def merge_frames(frames: NDArray[np.uint8], backgrounds: NDArray[np.uint8], mask: FrameMask) -> NDArray[np.uint8]:
    """Foreground of the frames before the background frames; frames of a window that does not move stay whole.

    frames, backgrounds: [T, H, W, 3]    returns: [T, H, W, 3]
    """
    raise NotImplementedError


def largest(rows: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """The ``count`` largest values of each row; among equals those of the lower index.

    rows: [B, N]    returns: [B, N], exactly ``count`` True in each row
    """
    if count == 0:
        return np.zeros(rows.shape, dtype=np.bool_)
    at = rows.shape[1] - count
    lowest = np.partition(rows, at, axis=1)[:, at : at + 1]
    taken = rows >= lowest
    surplus = np.count_nonzero(taken, axis=1) - count
    for row in np.flatnonzero(surplus):  # more are equal to the lowest than there is room for
        taken[row, np.flatnonzero(rows[row] == lowest[row])[-surplus[row] :]] = False
    return taken
