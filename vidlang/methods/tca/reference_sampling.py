"""Which frames and which square of them the published features were made from.

For comparing with published features only: a video's own rows follow the clock of ``video/``, which knows frame rates
that change.

Source: xwen99/temporal_context_aggregation pre_processing/extract_frames.py.
"""

from __future__ import annotations

from vidlang.core.errors import BadVideo

CROP_SIDE = 256
"""Pixels of the stored square; the short side is resized to it beforehand."""
HIGHEST_FPS = 144.0
USUAL_FPS = 25.0
"""What counts where the container states more than HIGHEST_FPS, or nothing."""


def reference_frames(num_frames: int, fps: float | None) -> list[int]:
    """Frame numbers that a video's rows come from, about one a second.

    num_frames: decoded frames    fps: as the container states it, None where it does not

    Frame 0, and every frame whose number counted from 1 is a multiple of the rounded rate; then the last of these once
    more. 100 frames at 25 fps → 0, 24, 49, 74, 99, 99. No frames → no rows.

    Raises:
        BadVideo: a rate that rounds to 0, by which the published code divides.
        ValueError: a negative number of frames.
    """
    if num_frames < 0:
        raise ValueError(f"a video has no {num_frames} frames")
    if fps is None or not fps <= HIGHEST_FPS:  # also where it is not a number
        fps = USUAL_FPS
    step = round(fps)
    if step < 1:
        raise BadVideo(
            f"The published sampling takes no frames at {fps} frames a second. Sample it by seconds instead."
        )
    if num_frames == 0:
        return []
    kept = sorted({0, *range(step - 1, num_frames, step)})
    return [*kept, kept[-1]]


def center_crop_256(height: int, width: int) -> tuple[int, int]:
    """Top and left pixel of the centred square of 256, rounded down; 0 along a side that is no longer.

    Nothing is added to a smaller frame: its crop is what there is of it.
    """
    return max(0, height - CROP_SIDE) // 2, max(0, width - CROP_SIDE) // 2
