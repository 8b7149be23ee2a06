"""Frames that show nothing: what an encoder makes of them tells which rows of a video cannot identify it.

Black and white frames, fades, plain colours, film grain on them, and title cards look alike in every video, so two
videos that share them share nothing. Their features are found by looking at such frames through the same encoder, which
works for any encoder and needs no pixels of the videos themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

LEVELS = (0, 4, 8, 16, 32, 64, 128, 192, 235, 255)
COLOURS = ((0, 0, 128), (128, 0, 0), (0, 96, 0), (20, 20, 60), (180, 170, 140), (0, 0, 255), (255, 0, 0), (0, 177, 64))
GRAIN = (3.0, 10.0)
"""Standard deviation of the noise on plain frames, grey levels."""
CARDS = (((0, 0, 0), (255, 255, 255)), ((255, 255, 255), (0, 0, 0)), ((16, 16, 16), (200, 200, 200)),
         ((20, 20, 60), (240, 220, 120)), ((128, 0, 0), (255, 255, 255)))  # fmt: skip
"""Ground and letters of title cards."""
TEXTS = (
    "THE END",
    "Chapter One\nThe Journey",
    "directed by\nJane Example\nand John Example",
    "CAST\nA. Someone\nB. Another\nC. Third\nD. Fourth\nE. Fifth",
    "Please subscribe\nand share",
    "A very long title that fills\nthe whole width of the card\nand goes on for a while\nuntil it ends",
)


def blank_frames(side: int) -> NDArray[np.uint8]:
    """Plain frames, grain, gradients and title cards; the same ones at every call.

    side: pixels    returns: uint8 [N, side, side, 3] RGB
    """
    random = np.random.default_rng(0)
    plain = [np.full((side, side, 3), colour, dtype=np.float64) for colour in [(v, v, v) for v in LEVELS] + [*COLOURS]]
    grainy = [frame + random.normal(0, sigma, (side, side, 1)) for frame in plain for sigma in GRAIN]
    grainy += [frame + _coarse_grain(side, sigma, random) for frame in plain[: len(LEVELS)] for sigma in GRAIN]
    frames = [np.clip(frame, 0, 255).astype(np.uint8) for frame in [*plain, *grainy, *_gradients(side)]]
    return np.stack(frames + [_card(side, text, *colours) for colours in CARDS for text in TEXTS])


def _coarse_grain(side: int, sigma: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Coloured noise of a camera in the dark whose frames are smaller than the encoder's."""
    small = random.normal(0, sigma, (max(1, side // 2), max(1, side // 2), 3)).astype(np.float32)
    planes = [Image.fromarray(small[..., colour]).resize((side, side), Image.Resampling.BICUBIC) for colour in range(3)]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1).astype(np.float64)


def _gradients(side: int) -> list[NDArray[np.float64]]:
    """From dark to bright, down and to the middle, as studio backgrounds and fades show them."""
    down = np.linspace(0, 1, side)[:, None] * np.ones((1, side))
    across = np.linspace(-1, 1, side)
    middle = np.clip(1 - np.hypot(across[:, None], across[None]), 0, 1)
    pairs = [(0, 255), (0, 90), (120, 255)]
    return [
        (low + (high - low) * shape)[..., None] * np.ones(3)
        for shape in (down, down[::-1], middle)
        for low, high in pairs
    ]


def _card(side: int, text: str, ground: tuple[int, int, int], letters: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Centred text, drawn at a size that fills about two thirds of the width."""
    image = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(image)
    longest = max(len(line) for line in text.splitlines())
    font = ImageFont.load_default(size=max(6.0, min(side / 8, 1.3 * side / longest)))
    draw.multiline_text((side / 2, side / 2), text, fill=letters, font=font, anchor="mm", align="center")
    return np.asarray(image)
