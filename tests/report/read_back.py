"""Pictures read back as pixels, and names that are no friends of pictures and pages."""

from __future__ import annotations

import io

import numpy as np

from vidlang.core.segments import Segment

NAMES = ["a$b_c$_{x}^", "$\\frac{", "_hidden", "кадр", "<img onerror=1>", "%d {0}", "\x1b[31mred\n", "x" * 300]


def pixels_of(png: bytes) -> np.ndarray:
    """[H, W, 3] uint8"""
    from matplotlib.image import imread

    return np.round(imread(io.BytesIO(png), format="png")[..., :3] * 255).astype(np.uint8)


def where(picture: np.ndarray, color: str) -> np.ndarray:
    """[H, W] bool, pixels of exactly this colour (#RRGGBB)"""
    return (picture == [int(color[i : i + 2], 16) for i in (1, 3, 5)]).all(-1)


def span(mask: np.ndarray) -> tuple[int, int]:
    """First and last column of a row of pixels."""
    columns = np.flatnonzero(mask)
    return int(columns[0]), int(columns[-1])


def match(query: tuple[float, float], video: tuple[float, float]) -> tuple[Segment, Segment]:
    return Segment(*query), Segment(*video)
