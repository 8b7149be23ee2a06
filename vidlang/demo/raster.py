"""Soft-edged shapes on a float canvas [H, W, 3] (RGB, 0 to 255), painted in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.float32]
Color = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """A rotated box with round corners; a disc and a limb are boxes whose corners are as round as they can be."""

    x: float
    y: float
    half_width: float
    half_height: float
    color: Color
    angle: float = 0.0
    """Radians, clockwise on screen."""
    corner: float = 0.0


def limb(start: tuple[float, float], end: tuple[float, float], radius: float, color: Color) -> Part:
    """A thick line with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    return Part(*middle, float(np.hypot(dx, dy)) / 2 + radius, radius, color, float(np.arctan2(dy, dx)), radius)


def disc(x: float, y: float, radius: float, color: Color) -> Part:
    return Part(x, y, radius, radius, color, 0.0, radius)


def paint(canvas: Canvas, parts: Sequence[Part], opacity: float = 1.0) -> None:
    """Paints parts in order, later ones over earlier ones, with edges one pixel soft.

    All parts share one bounding box, so this is made for parts of one thing: signed distance [P, h, w] to each
    rounded box, coverage from distance, colour of the last part that covers a pixel.
    """
    if not parts:
        return
    table = np.array(
        [(p.x, p.y, p.half_width, p.half_height, np.cos(p.angle), np.sin(p.angle), p.corner) for p in parts],
        dtype=np.float32,
    )
    colors = np.array([p.color for p in parts], dtype=np.float32)
    x, y, half_width, half_height, cos, sin, corner = table.T
    reach_x = np.abs(half_width * cos) + np.abs(half_height * sin) + 1
    reach_y = np.abs(half_width * sin) + np.abs(half_height * cos) + 1
    height, width = canvas.shape[:2]
    left, right = max(int((x - reach_x).min()), 0), min(int((x + reach_x).max()) + 1, width)
    top, bottom = max(int((y - reach_y).min()), 0), min(int((y + reach_y).max()) + 1, height)
    if left >= right or top >= bottom:
        return

    def column(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values[:, None, None]

    dx = (np.arange(left, right, dtype=np.float32) + 0.5)[None, None, :] - column(x)
    dy = (np.arange(top, bottom, dtype=np.float32) + 0.5)[None, :, None] - column(y)
    # in place: the arrays are small, and fresh memory for each step takes as long as the step
    u = dx * column(cos) + dy * column(sin)
    v = dy * column(cos) - dx * column(sin)
    np.abs(u, out=u)
    np.abs(v, out=v)
    u -= column(half_width - corner)
    v -= column(half_height - corner)
    distance = np.minimum(np.maximum(u, v), 0)
    np.maximum(u, 0, out=u)
    np.maximum(v, 0, out=v)
    u *= u
    v *= v
    u += v
    distance += np.sqrt(u, out=u)
    cover = np.subtract(column(0.5 + corner), distance, out=distance)
    np.minimum(cover, 1, out=cover)
    winner = len(parts) - 1 - cover[::-1].argmax(axis=0)  # the last of those that cover it most
    alpha = (np.maximum(cover.max(axis=0), 0) * opacity)[..., None]
    area = canvas[top:bottom, left:right]
    area += alpha * (colors[winner] - area)


def blend(canvas: Canvas, left: int, top: int, color: NDArray[np.float32], alpha: NDArray[np.float32]) -> None:
    """Mixes a picture [h, w, 3] (or one colour [3]) into the canvas with coverage alpha [h, w].

    What lies outside the canvas is cut off.
    """
    box = _overlap(canvas, left, top, alpha.shape)
    if box is not None:
        there, here = box
        area = canvas[there]
        area += alpha[here][..., None] * ((color[here] if color.ndim == 3 else color) - area)


def add_light(canvas: Canvas, left: int, top: int, color: Color, amount: NDArray[np.float32]) -> None:
    """Adds coloured light of strength amount [h, w]; what lies outside is cut."""
    box = _overlap(canvas, left, top, amount.shape)
    if box is not None:
        there, here = box
        canvas[there] += amount[here][..., None] * np.array(color, dtype=np.float32)


def _overlap(
    canvas: Canvas, left: int, top: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Slices of the canvas and of the picture where both are."""
    height, width = canvas.shape[:2]
    x0, x1 = max(left, 0), min(left + shape[1], width)
    y0, y1 = max(top, 0), min(top + shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return None
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def fill(canvas: Canvas, corners: Sequence[tuple[float, float]], color: Color) -> None:
    """A convex polygon; corners (x, y) clockwise on screen, as fractions of the picture's width and height."""
    height, width = canvas.shape[:2]
    x = (np.arange(width, dtype=np.float32) + 0.5)[None, :]
    y = (np.arange(height, dtype=np.float32) + 0.5)[:, None]
    points = [(cx * width, cy * height) for cx, cy in corners]
    distance = np.full((height, width), 1e9, dtype=np.float32)
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        length = max(float(np.hypot(bx - ax, by - ay)), 1e-6)
        distance = np.minimum(distance, ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / length)
    alpha = np.clip(distance + 0.5, 0, 1)[..., None]
    canvas += alpha * (np.array(color, dtype=np.float32) - canvas)


def gaussian(height: int, width: int) -> NDArray[np.float32]:
    """A soft spot [height, width], 1 in the middle and near 0 at the rim."""
    y = np.linspace(-2.2, 2.2, max(height, 1), dtype=np.float32)[:, None]
    x = np.linspace(-2.2, 2.2, max(width, 1), dtype=np.float32)[None, :]
    return np.exp(-(x * x + y * y))


def cloud_texture(random: np.random.Generator, size: int = 128) -> NDArray[np.float32]:
    """Tileable smooth noise [size, size] in [0, 1]: random grids of four scales, each smoothed and added."""
    total = np.zeros((size, size), dtype=np.float32)
    for cells, weight in ((4, 1.0), (8, 0.7), (16, 0.5), (32, 0.3)):
        grid = random.random((cells, cells)).astype(np.float32)
        layer = np.kron(grid, np.ones((size // cells, size // cells), dtype=np.float32))
        for axis in (0, 1):
            for _ in range(2):
                step = size // cells // 2
                layer = np.mean([np.roll(layer, shift, axis) for shift in range(-step, step)], axis=0)
        total += weight * layer
    return (total - total.min()) / max(float(np.ptp(total)), 1e-6)
