"""Rendered scenes: backgrounds, figures, cars, fire, smoke and shapes; the photos alone show a few hundred places."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 224  # pixels, both sides
Colour = tuple[int, int, int]
Painter = Callable[[ImageDraw.ImageDraw, np.random.Generator], None]


def colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> Colour:
    red, green, blue = rng.integers(low, high, 3)
    return int(red), int(green), int(blue)


def noise_texture(rng: np.random.Generator) -> Image.Image:
    """Coloured noise summed over octaves: clouds, grass or grain, by the random weight of each octave."""
    total = np.zeros((SIZE, SIZE, 3), np.float32)
    for cells in (2, 4, 8, 16, 32, 64, 128):
        grid = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(grid).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        total += np.asarray(layer, np.float32) * rng.random() ** 2 / math.sqrt(cells)
    total = (total - total.min()) / (np.ptp(total) + 1e-6)
    tint = rng.random(3) * 0.6 + 0.4
    return Image.fromarray((total * tint * 255).astype(np.uint8))


def gradient(rng: np.random.Generator) -> Image.Image:
    ends = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(ends).resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def street(rng: np.random.Generator) -> Image.Image:
    """Sky, ground, walls with windows: the layout of an outdoor or indoor camera."""
    image = gradient(rng)
    draw = ImageDraw.Draw(image)
    horizon = int(rng.integers(60, 150))
    draw.rectangle((0, horizon, SIZE, SIZE), fill=colour(rng, 40, 190))
    for _ in range(int(rng.integers(0, 6))):
        left, top = int(rng.integers(-20, SIZE)), int(rng.integers(0, horizon))
        width = int(rng.integers(25, 100))
        draw.rectangle((left, top, left + width, horizon + int(rng.integers(0, 20))), fill=colour(rng, 30, 220))
        pane, step = colour(rng), int(rng.integers(9, 20))
        for x in range(left + 4, left + width - 5, step):
            for y in range(top + 4, horizon - 6, step):
                draw.rectangle((x, y, x + step // 2, y + step // 2), fill=pane)
    for _ in range(int(rng.integers(0, 4))):
        start, end = int(rng.integers(-50, SIZE + 50)), int(rng.integers(-50, SIZE + 50))
        draw.line((start, horizon, end, SIZE), fill=colour(rng, 120, 255), width=int(rng.integers(1, 5)))
    return image


def figure(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, height: float, lean: float, swing: float
) -> None:
    """A person of capsules. ``x, y``: hip, pixels; ``lean``: radians from upright; ``swing``: reach of the limbs."""
    skin, top, trousers = colour(rng, 60, 240), colour(rng), colour(rng, 0, 160)
    width = max(2, int(height * 0.09))
    up = np.array([math.sin(lean), -math.cos(lean)])
    side = np.array([math.cos(lean), math.sin(lean)])
    hip = np.array([x, y])
    neck = hip + up * height * 0.35
    for sign in (-1.0, 1.0):
        knee = hip - up * height * 0.22 + side * sign * swing * height * rng.uniform(0.02, 0.18)
        foot = knee - up * height * 0.23 + side * sign * swing * height * rng.uniform(0.0, 0.15)
        draw.line([tuple(hip), tuple(knee), tuple(foot)], fill=trousers, width=width, joint="curve")
        elbow = neck + side * sign * height * (0.08 + swing * rng.uniform(0.0, 0.15)) - up * height * 0.14
        hand = elbow + side * sign * swing * height * 0.18 + up * height * swing * rng.uniform(-0.15, 0.25)
        draw.line([tuple(neck), tuple(elbow), tuple(hand)], fill=top, width=max(2, width - 1), joint="curve")
    draw.line([tuple(hip), tuple(neck)], fill=top, width=int(width * 1.9))
    head, radius = neck + up * height * 0.1, height * 0.075
    draw.ellipse((head[0] - radius, head[1] - radius, head[0] + radius, head[1] + radius), fill=skin)


def walking(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 4))):
        figure(draw, rng, rng.uniform(20, 204), rng.uniform(90, 170), rng.uniform(50, 130), rng.normal(0, 0.08), 0.4)


def crowd(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(8, 18))):
        figure(draw, rng, rng.uniform(0, SIZE), rng.uniform(70, 190), rng.uniform(35, 80), rng.normal(0, 0.08), 0.4)


def fighting(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    x, y, height = rng.uniform(60, 160), rng.uniform(100, 160), rng.uniform(60, 130)
    for sign in (-1.0, 1.0):
        figure(draw, rng, x - sign * height * rng.uniform(0.08, 0.2), y, height, sign * rng.uniform(0.15, 0.6), 1.3)
    if rng.random() < 0.4:
        figure(draw, rng, x + rng.uniform(-50, 50), y + 20, height, rng.uniform(-1.5, 1.5), 1.2)


def fallen(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    lean = rng.choice([-1.0, 1.0]) * rng.uniform(1.3, 1.8)
    figure(draw, rng, rng.uniform(60, 160), rng.uniform(130, 200), rng.uniform(60, 130), float(lean), 0.5)


def car(draw: ImageDraw.ImageDraw, x: float, y: float, length: float, paint: Colour, glass: Colour) -> None:
    height = length * 0.22
    draw.rounded_rectangle((x, y - height, x + length, y), radius=height * 0.3, fill=paint)
    roof = [
        (x + length * 0.2, y - height),
        (x + length * 0.32, y - height * 1.9),
        (x + length * 0.7, y - height * 1.9),
        (x + length * 0.85, y - height),
    ]
    draw.polygon(roof, fill=glass)
    for share in (0.2, 0.8):
        centre, radius = x + length * share, height * 0.4
        draw.ellipse((centre - radius, y - radius, centre + radius, y + radius), fill=(15, 15, 15))


def cars(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 6))):
        car(draw, rng.uniform(-20, 180), rng.uniform(90, 215), rng.uniform(40, 120), colour(rng), colour(rng, 60, 200))


def crash(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    x, y, length = rng.uniform(10, 60), rng.uniform(120, 200), rng.uniform(70, 110)
    car(draw, x, y, length, colour(rng), colour(rng, 60, 200))
    car(draw, x + length * 0.85, y + rng.uniform(-10, 10), length, colour(rng), colour(rng, 60, 200))
    for _ in range(30):
        px, py = x + length + rng.normal(0, 25), y - 10 + rng.normal(0, 20)
        draw.polygon([(px, py), (px + rng.normal(0, 6), py + 4), (px + 3, py + rng.normal(0, 6))], fill=colour(rng))
    smoke(draw, rng, x + length, y - 30)


def fire(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    x, y, size = rng.uniform(40, 184), rng.uniform(120, 210), rng.uniform(30, 90)
    for shade, share in (((200, 40, 10), 1.0), ((250, 120, 20), 0.7), ((255, 220, 90), 0.4)):
        for _ in range(12):
            cx, width = x + rng.normal(0, size * 0.3 * share), size * share * rng.uniform(0.1, 0.3)
            tip = y - size * share * rng.uniform(0.6, 1.6)
            draw.polygon([(cx - width, y), (cx + rng.normal(0, width), tip), (cx + width, y)], fill=shade)


def smoke(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float | None = None, y: float | None = None) -> None:
    x = rng.uniform(40, 184) if x is None else x
    y = rng.uniform(60, 180) if y is None else y
    for _ in range(40):
        grey, radius = int(rng.integers(90, 220)), rng.uniform(6, 26)
        cx, cy = x + rng.normal(0, 22), y - abs(rng.normal(0, 40))
        draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=(grey, grey, grey))


def shapes(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 10))):
        x, y, size = rng.uniform(0, SIZE), rng.uniform(0, SIZE), rng.uniform(8, 80)
        kind = int(rng.integers(0, 4))
        if kind == 0:
            draw.ellipse((x, y, x + size, y + size * rng.uniform(0.5, 1.5)), fill=colour(rng))
        elif kind == 1:
            draw.rectangle((x, y, x + size, y + size * rng.uniform(0.3, 2)), fill=colour(rng))
        elif kind == 2:
            draw.regular_polygon((x, y, size / 2), int(rng.integers(3, 9)), int(rng.integers(0, 90)), fill=colour(rng))
        else:
            corners = [tuple(rng.uniform(0, SIZE, 2)) for _ in range(4)]
            draw.line(corners, fill=colour(rng), width=int(rng.integers(1, 12)))


def nothing(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """An empty scene."""


# concept of captions.CONCEPTS → what paints it
SCENES: dict[str, Painter] = {
    "person walking": walking, "crowd": crowd, "fight": fighting, "person fallen": fallen, "traffic": cars,
    "crash": crash, "fire": fire, "smoke": smoke, "shapes": shapes, "empty": nothing,
}  # fmt: skip


def render(rng: np.random.Generator, backdrop: Image.Image | None = None) -> tuple[Image.Image, str]:
    """A scene of SIZE x SIZE pixels and its concept, painted over ``backdrop`` (a blurred photo) when one is given."""
    if backdrop is None:
        kinds = (noise_texture, gradient, street, street)
        image = kinds[int(rng.integers(len(kinds)))](rng)
    else:
        image = backdrop.resize((SIZE, SIZE)).filter(ImageFilter.GaussianBlur(rng.uniform(1, 8)))
    concept = list(SCENES)[int(rng.integers(len(SCENES)))]
    SCENES[concept](ImageDraw.Draw(image), rng)
    if concept in ("fire", "smoke", "crash") or rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.8)))
    return image, concept
