"""Pictures that nobody filmed: station logos and title cards, the same for the same seed and words."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.video.source import Pixels

LETTERS = "ABCDEFGHKLMNPRSTVXZ"
FINER = 4
"""Logos are drawn so many times larger and shrunk, which softens their edges."""


@functools.lru_cache(maxsize=32)
def logo(side: int, seed: int) -> NDArray[np.float32]:
    """A coloured badge (disc, box or triangle, with or without a ring) that carries two letters.

    returns: [side, side, 4], red, green and blue in 0 to 255 and coverage in 0 to 1
    """
    from PIL import Image, ImageDraw

    random = np.random.default_rng(seed)
    large = side * FINER
    picture = Image.new("RGBA", (large, large))
    draw = ImageDraw.Draw(picture)
    ground, ring = (tuple(random.integers(30, 226, 3).tolist()) for _ in range(2))
    rim = large * 0.03
    box = (rim, rim, large - rim, large - rim)
    width = int(large * random.uniform(0.04, 0.1)) if random.random() < 0.5 else 0
    shape = random.choice(["disc", "box", "triangle"])
    if shape == "disc":
        draw.ellipse(box, fill=ground, outline=ring, width=width)
    elif shape == "box":
        draw.rounded_rectangle(box, radius=large * 0.15, fill=ground, outline=ring, width=width)
    else:
        draw.polygon([(large / 2, rim), (large - rim, large - rim), (rim, large - rim)], fill=ground)
    letters = "".join(random.choice(list(LETTERS), 2))
    light = (250, 250, 250) if sum(ground) < 420 else (15, 15, 15)
    draw.text((large / 2, large * 0.58), letters, fill=light, font=_font(large * 0.4), anchor="mm")
    small = np.array(picture.resize((side, side), Image.Resampling.LANCZOS), dtype=np.float32)
    small[..., 3] /= 255
    return small


@functools.lru_cache(maxsize=8)
def title_card(size: tuple[int, int], title: str, colour: tuple[int, int, int]) -> Pixels:
    """One line of words in the middle of a plain picture; no words: the plain picture.

    size: (height, width)    returns: [H, W, 3]
    """
    from PIL import Image, ImageDraw

    height, width = size
    picture = Image.new("RGB", (width, height), colour)
    if title:
        draw = ImageDraw.Draw(picture)
        letter = min(height * 0.15, width * 1.5 / len(title))
        light = (245, 245, 245) if sum(colour) < 420 else (10, 10, 10)
        draw.text((width / 2, height / 2), title, fill=light, font=_font(letter), anchor="mm")
    return np.array(picture)


def _font(size: float) -> Any:
    """Pillow's own font, so that the same picture comes out on every machine."""
    from PIL import ImageFont

    return ImageFont.load_default(max(6.0, size))
