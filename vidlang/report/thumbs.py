"""Small pictures of frames for pages."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

QUALITY = 80
"""Of JPEG; a thumbnail of 240 pixels is then about 10 kB."""


def thumbnail(frame: NDArray[np.uint8], width: int = 240) -> bytes:
    """A JPEG file of ``frame`` [H, W, 3], at most ``width`` pixels wide, in the frame's proportions.

    Raises:
        ValueError: the frame is not uint8 [H, W, 3], or has no pixels, or ``width`` is not positive.
    """
    from PIL import Image

    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(f"expected a frame of uint8 [H, W, 3], got {frame.dtype} {list(frame.shape)}")
    if width < 1:
        raise ValueError(f"width must be at least 1 pixel, got {width}")
    height, full = frame.shape[:2]
    picture = Image.fromarray(np.ascontiguousarray(frame))
    if full > width:
        picture = picture.resize((width, max(1, round(height * width / full))), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
