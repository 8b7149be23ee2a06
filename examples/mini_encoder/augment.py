"""Strong augmentation of one PIL image: what a camera, a codec or the night does to it."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter


def random_crop(image: Image.Image, rng: np.random.Generator, size: int, least: float = 0.1) -> Image.Image:
    """A square-ish crop of ``least``..1 of the area, resized to size x size, flipped half the time."""
    width, height = image.size
    if rng.random() < 0.35:  # nearly the crop that inference makes: seven eighths of the central square
        side = min(width, height) * rng.uniform(0.82, 0.95)
        box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    else:
        area, aspect = width * height * rng.uniform(least, 1), math.exp(rng.uniform(-0.3, 0.3))
        wide, tall = min(width, math.sqrt(area * aspect)), min(height, math.sqrt(area / aspect))
        left, top = rng.uniform(0, width - wide + 1e-6), rng.uniform(0, height - tall + 1e-6)
        box = (left, top, min(width, left + wide), min(height, top + tall))
    crop = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def smaller(image: Image.Image, scale: float) -> Image.Image:
    """Loses detail: down to ``scale`` of the size and back."""
    width, height = image.size
    small = image.resize((max(8, int(width * scale)), max(8, int(height * scale))), Image.Resampling.BILINEAR)
    return small.resize((width, height), Image.Resampling.BICUBIC)


def night(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Dark, nearly grey and noisy."""
    greyish = ImageEnhance.Color(image).enhance(rng.uniform(0, 0.5))
    dark = ImageEnhance.Brightness(greyish).enhance(rng.uniform(0.15, 0.5))
    noisy = np.asarray(dark, np.float32) + rng.normal(0, rng.uniform(3, 14), (*dark.size[::-1], 1))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def motion_blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The camera, or all that it sees, moves a little while the shutter is open."""
    across, down = rng.normal(0, 1, 2) * max(image.size) / 40
    total = np.zeros((image.height, image.width, 3), np.float32)
    steps = np.linspace(-0.5, 0.5, 5)
    for step in steps:
        moved = image.transform(
            image.size, Image.Transform.AFFINE, (1, 0, across * step, 0, 1, down * step), Image.Resampling.BILINEAR
        )
        total += np.asarray(moved, np.float32)
    return Image.fromarray((total / len(steps)).astype(np.uint8))


def degrade(image: Image.Image, rng: np.random.Generator, strength: float = 1.0) -> Image.Image:
    """Colours, grey, motion and lens blur, small size, night and JPEG, each with a probability times ``strength``."""
    if rng.random() < 0.6 * strength:
        for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhancer(image).enhance(rng.uniform(0.6, 1.4))
    if rng.random() < 0.12 * strength:
        image = image.convert("L").convert("RGB")
    if rng.random() < 0.1 * strength:
        image = motion_blur(image, rng)
    if rng.random() < 0.15 * strength:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.5)))
    if rng.random() < 0.2 * strength:
        image = smaller(image, rng.uniform(0.25, 0.7))
    if rng.random() < 0.1 * strength:
        image = night(image, rng)
    if rng.random() < 0.35 * strength:
        image = jpeg(image, int(rng.integers(15, 80)))
    return image
