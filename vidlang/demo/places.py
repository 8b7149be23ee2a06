"""Where a camera hangs: a still background, where people walk and cars drive, and the light."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vidlang.demo.actors import CAR_PAINT, Car, car_parts, person_height
from vidlang.demo.raster import Canvas, Color, Part, disc, fill, limb, paint

PLACES = ("street", "parking lot", "corridor", "square")
LIGHTS = ("day", "dusk", "night")


@dataclass(frozen=True, eq=False)
class Place:
    """A background with the facts that actors need; lengths are fractions of the picture's height unless said."""

    name: str
    background: Canvas
    """[H, W, 3], evenly lit."""
    walks: tuple[tuple[float, float], ...]
    """Bands of ground (top, bottom) on which people walk."""
    lanes: tuple[tuple[float, int], ...] = ()
    """Ground line and direction (1: to the right) of each lane."""
    left: float = -0.1
    right: float = 1.1
    """Where people enter and leave, as fractions of the width."""
    lamps: tuple[tuple[float, float], ...] = ((0.25, 0.6), (0.75, 0.6))
    """Centres of the pools of light at night, as fractions of width and height."""


@dataclass(frozen=True, eq=False)
class Light:
    """What multiplies the scene."""

    name: str
    steady: Canvas
    """[H, W, 3]"""
    flickering: Canvas | None = None
    """[H, W, 3] added with a gain that changes from frame to frame; None: no lamp flickers."""
    noise: float = 3.0
    """Standard deviation of the camera's noise in grey levels."""
    gains: tuple[float, float, float, float] = field(default=(7.3, 2.1, 11.7, 0.0))
    """Frequencies (Hz) and phase of the flicker."""

    def at(self, seconds: float) -> Canvas:
        if self.flickering is None:
            return self.steady
        a, b, c, phase = self.gains
        wave = np.sin(a * seconds + phase) + np.sin(b * 6.3 * seconds) + np.sin(c * 3.1 * seconds + 2 * phase)
        return self.steady + self.flickering * np.float32(0.15 if wave > 0.6 else 1.0)


def make_place(name: str, size: tuple[int, int], random: np.random.Generator) -> Place:
    """A place with colours and details of its own.

    Raises:
        ValueError: for a name that is not in ``PLACES``.
    """
    makers = {"street": _street, "parking lot": _parking_lot, "corridor": _corridor, "square": _square}
    if name not in makers:
        raise ValueError(f"a place is one of {', '.join(PLACES)}, got {name!r}")
    canvas = np.zeros((*size, 3), dtype=np.float32)
    place = makers[name](canvas, random)
    canvas += random.normal(0, 4, size).astype(np.float32)[..., None]
    np.clip(canvas, 0, 255, out=canvas)
    return place


def make_light(name: str, place: Place, random: np.random.Generator, *, flicker: bool = False) -> Light:
    """Day, dusk or night over a place. Corridors have lamps at all hours."""
    size = place.background.shape[:2]
    ambient: dict[str, Color] = {"day": (1.0, 1.0, 0.98), "dusk": (0.72, 0.58, 0.58), "night": (0.30, 0.33, 0.44)}
    if name not in ambient:
        raise ValueError(f"a light is one of {', '.join(LIGHTS)}, got {name!r}")
    lamp_gain = {"day": 0.0, "dusk": 0.25, "night": 0.6}[name]
    if place.name == "corridor":
        ambient |= {"night": (0.42, 0.42, 0.46)}
        lamp_gain = 0.12 + 0.5 * lamp_gain
    gain = random.uniform(0.85, 1.05)
    steady = np.ones((*size, 3), dtype=np.float32) * np.array(ambient[name], dtype=np.float32) * np.float32(gain)
    pools = [_pool(size, x, y) * np.float32(max(lamp_gain, 0.18 * flicker)) for x, y in place.lamps]
    warm = np.array((1.0, 0.86, 0.62), dtype=np.float32)
    flickering = pools.pop(int(random.integers(len(pools))))[..., None] * warm if flicker else None
    for pool in pools:
        steady += pool[..., None] * warm
    noise = random.uniform(2.0, 4.5) if name == "day" else random.uniform(3.0, 7.0)
    return Light(name, steady, flickering, noise, (7.3, 2.1, 11.7, random.uniform(0, 6)))


def _pool(size: tuple[int, int], x: float, y: float) -> NDArray[np.float32]:
    height, width = size
    down = (np.arange(height, dtype=np.float32) / height - y) / 0.3
    across = (np.arange(width, dtype=np.float32) / width - x) / 0.19
    return np.exp(-(down[:, None] ** 2 + across[None, :] ** 2))


def _rectangle(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
    fill(canvas, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color)


def _shade(color: Color, gain: float) -> Color:
    return color[0] * gain, color[1] * gain, color[2] * gain


def _some(random: np.random.Generator, colors: list[Color]) -> Color:
    return _shade(colors[int(random.integers(len(colors)))], float(random.uniform(0.88, 1.12)))


WALLS: list[Color] = [(168, 140, 118), (150, 150, 152), (186, 172, 148), (140, 104, 90), (128, 140, 150)]
ASPHALT: list[Color] = [(84, 85, 88), (98, 96, 94), (74, 76, 82)]
PAVING: list[Color] = [(150, 147, 140), (164, 156, 146), (138, 138, 142)]


def _facade(canvas: Canvas, random: np.random.Generator, bottom: float) -> None:
    """Houses side by side with rows of windows, shops in the ground floor."""
    x = 0.0
    while x < 1:
        wide = float(random.uniform(0.22, 0.4))
        wall = _some(random, WALLS)
        _rectangle(canvas, x, 0, x + wide, bottom, wall)
        columns = int(random.integers(2, 5))
        for row in np.arange(0.03, bottom - 0.14, 0.13):
            for column in range(columns):
                wx = x + wide * (column + 0.25) / columns
                _rectangle(canvas, wx, row, wx + wide * 0.5 / columns, row + 0.08, (62, 72, 86))
        if bottom > 0.2:
            shop = _some(random, [(70, 80, 92), (96, 84, 70), (60, 66, 66)])
            _rectangle(canvas, x + 0.03 * wide, bottom - 0.13, x + 0.97 * wide, bottom, shop)
            sign = _some(random, [(170, 60, 50), (60, 110, 150), (190, 150, 60), (70, 130, 90)])
            _rectangle(canvas, x + 0.03 * wide, bottom - 0.15, x + 0.97 * wide, bottom - 0.115, sign)
        x += wide


def _street(canvas: Canvas, random: np.random.Generator) -> Place:
    road, paving = _some(random, ASPHALT), _some(random, PAVING)
    _facade(canvas, random, 0.42)
    _rectangle(canvas, 0, 0.42, 1, 0.53, paving)
    _rectangle(canvas, 0, 0.53, 1, 0.84, road)
    _rectangle(canvas, 0, 0.525, 1, 0.54, _shade(paving, 0.75))
    for x in np.arange(random.uniform(-0.1, 0), 1.0, 0.16):
        _rectangle(canvas, x, 0.662, x + 0.08, 0.674, (200, 200, 196))
    _rectangle(canvas, 0, 0.84, 1, 1, _shade(paving, 1.05))
    _rectangle(canvas, 0, 0.835, 1, 0.855, _shade(paving, 0.75))
    for x in (random.uniform(0.1, 0.3), random.uniform(0.65, 0.9)):
        _lamp_post(canvas, float(x), 0.5)
    return Place("street", canvas, ((0.47, 0.52), (0.88, 0.98)), ((0.65, -1), (0.79, 1)))


def _parking_lot(canvas: Canvas, random: np.random.Generator) -> Place:
    ground = _some(random, ASPHALT)
    _rectangle(canvas, 0, 0, 1, 1, ground)
    _rectangle(canvas, 0, 0, 1, 0.22, _some(random, WALLS))
    _rectangle(canvas, 0, 0.22, 1, 0.3, _some(random, [(86, 112, 70), (120, 120, 116)]))
    height, width = canvas.shape[:2]
    for i, x in enumerate(np.linspace(0.02, 0.98, 5)):
        fill(canvas, [(x, 0.32), (x + 0.012, 0.32), (x + 0.022, 0.56), (x + 0.004, 0.56)], (196, 196, 190))
        if i < 4 and random.random() < 0.7:
            parked = Car(CAR_PAINT[int(random.integers(len(CAR_PAINT)))], 0.23 * width, 1 if i % 2 else -1)
            paint(canvas, car_parts(parked, (x + 0.125) * width, 0.5 * height, 0.0))
    _rectangle(canvas, 0, 0.575, 1, 0.585, (190, 188, 120))
    _rectangle(canvas, 0, 0.87, 1, 0.88, (196, 196, 190))
    return Place("parking lot", canvas, ((0.6, 0.66), (0.86, 0.98)), ((0.79, 1),), lamps=((0.15, 0.5), (0.8, 0.7)))


def _corridor(canvas: Canvas, random: np.random.Generator) -> Place:
    wall, floor = _some(random, [(190, 186, 174), (168, 180, 186), (186, 176, 160)]), _some(random, PAVING)
    x0, x1, top, bottom = 0.34, 0.66, 0.14, 0.44
    _rectangle(canvas, 0, 0, 1, 1, _shade(wall, 1.1))
    fill(canvas, [(0, 0), (x0, top), (x0, bottom), (0, 0.86)], wall)
    fill(canvas, [(x1, top), (1, 0), (1, 0.86), (x1, bottom)], _shade(wall, 0.92))
    fill(canvas, [(x0, bottom), (x1, bottom), (1, 0.86), (1, 1), (0, 1), (0, 0.86)], floor)
    _rectangle(canvas, x0, top, x1, bottom, _shade(wall, 0.8))
    _rectangle(canvas, 0.45, top + 0.07, 0.55, bottom, (92, 84, 76))
    for depth in (0.5, 0.57, 0.67, 0.8, 0.95):
        left = x0 * max(0.0, 1 - (depth - bottom) / (0.86 - bottom))
        _rectangle(canvas, left, depth, 1 - left, depth + 0.006, _shade(floor, 0.82))
    door = _some(random, [(110, 82, 60), (84, 98, 112), (100, 110, 92)])
    fill(canvas, [(0.06, 0.22), (0.16, 0.24), (0.16, 0.66), (0.06, 0.775)], door)
    fill(canvas, [(0.82, 0.25), (0.92, 0.22), (0.92, 0.76), (0.82, 0.645)], door)
    for depth in (0.02, 0.08):
        half = 0.06 + 0.05 / (1 + 20 * depth)
        _rectangle(canvas, 0.5 - half, depth, 0.5 + half, depth + 0.03, (250, 250, 246))
    return Place("corridor", canvas, ((0.62, 0.95),), left=0.08, right=0.92, lamps=((0.5, 0.3), (0.5, 0.85)))


def _square(canvas: Canvas, random: np.random.Generator) -> Place:
    paving = _some(random, PAVING)
    _rectangle(canvas, 0, 0, 1, 1, paving)
    _facade(canvas, random, 0.3)
    for y in (0.36, 0.43, 0.52, 0.63, 0.77, 0.93):
        _rectangle(canvas, 0, y, 1, y + 0.006, _shade(paving, 0.86))
    for x in np.linspace(-0.9, 1.9, 15):
        far = 0.5 + (x - 0.5) * 0.45
        fill(canvas, [(far, 0.3), (far + 0.004, 0.3), (x + 0.008, 1), (x, 1)], _shade(paving, 0.88))
    height, width = canvas.shape[:2]
    for x in (random.uniform(0.05, 0.25), random.uniform(0.75, 0.95)):
        trunk = limb((x * width, 0.3 * height), (x * width, 0.44 * height), 0.012 * height, (82, 64, 48))
        crown = [
            disc((x + random.uniform(-0.06, 0.06)) * width, random.uniform(0.1, 0.26) * height, 0.09 * height, green)
            for green in ((62, 98, 52), (74, 112, 60), (54, 88, 48), (82, 118, 62))
        ]
        paint(canvas, [trunk, *crown])
    bench = float(random.uniform(0.35, 0.6))
    paint(canvas, [Part((bench + 0.05) * width, dy * height, 0.07 * width, 1.6, (112, 78, 50)) for dy in (0.37, 0.4)])
    return Place("square", canvas, ((0.5, 0.62), (0.7, 0.97)))


def _lamp_post(canvas: Canvas, x: float, foot: float) -> None:
    height, width = canvas.shape[:2]
    high = foot * height - 1.7 * person_height(foot, height)
    post = limb((x * width, foot * height), (x * width, high), 0.007 * height, (58, 60, 62))
    paint(canvas, [post, disc(x * width, high, 0.018 * height, (226, 220, 196))])
