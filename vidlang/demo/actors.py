"""What moves in front of a camera: people, cars, fire, birds. Each is drawn for a time in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidlang.demo.poses import POSES, Pose, figure, jitter, smooth_step, standing, walking
from vidlang.demo.raster import Canvas, Color, Part, add_light, blend, gaussian, limb, paint

CAR_PAINT: list[Color] = [
    (176, 40, 38), (44, 76, 140), (210, 210, 206), (36, 38, 42), (120, 124, 128), (60, 104, 74), (214, 160, 48),
]  # fmt: skip


class Actor(Protocol):
    """Something in the scene; nearer actors (larger ``ground``) are drawn over farther ones."""

    def ground(self, seconds: float) -> float:
        """Ground line in pixels from the top."""

    def draw(self, canvas: Canvas, seconds: float) -> None:
        """Paints surfaces, which the scene's light falls on."""

    def shine(self, canvas: Canvas, seconds: float, dark: float) -> None:
        """Adds light of its own after the scene is lit; ``dark`` is 0 by day and 1 at night."""


def person_height(ground: float, height: int) -> float:
    """Pixels of a grown-up whose feet stand at ``ground`` (fraction of the picture), seen by a raised camera."""
    return (0.25 + 0.5 * (ground - 0.45)) * height


@dataclass(frozen=True)
class Act:
    """What a person does in an interval of seconds instead of walking or standing."""

    style: str
    start: float
    end: float


@dataclass
class Person:
    """Follows a path of (seconds, x, ground) in pixels; legs swing with the distance walked."""

    path: Sequence[tuple[float, float, float]]
    picture_height: int
    colors: tuple[Color, Color, Color, Color]
    """Skin, hair, upper and lower clothes."""
    phase: float
    size: float = 1.0
    """Of a grown-up of average height."""
    facing: int = 1
    """1 looks to the right; while walking the direction of the path decides."""
    acts: Sequence[Act] = ()
    table: NDArray[np.float64] = field(init=False)
    walked: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.table = np.array(self.path, dtype=np.float64)
        steps = np.hypot(*np.diff(self.table[:, 1:], axis=0).T) if len(self.table) > 1 else np.zeros(0)
        self.walked = np.concatenate(([0.0], np.cumsum(steps)))

    def at(self, seconds: float) -> tuple[float, float]:
        times, x, ground = self.table.T
        return float(np.interp(seconds, times, x)), float(np.interp(seconds, times, ground))

    def ground(self, seconds: float) -> float:
        return self.at(seconds)[1]

    def draw(self, canvas: Canvas, seconds: float) -> None:
        if not self.table[0, 0] <= seconds <= self.table[-1, 0]:
            return
        x, ground = self.at(seconds)
        tall = person_height(ground / self.picture_height, self.picture_height) * self.size
        before, after = self.at(seconds - 0.1), self.at(seconds + 0.1)
        speed = float(np.hypot(after[0] - before[0], after[1] - before[1])) / 0.2 / tall
        pose, facing = self.pose(seconds, speed, tall), self.facing
        if abs(after[0] - before[0]) > 0.02 * tall and self.act_at(seconds) is None:
            facing = 1 if after[0] > before[0] else -1
        lying = abs(np.sin(pose.body))
        paint(canvas, [Part(x + pose.body * 0.3 * tall * facing, ground, (0.16 + 0.34 * lying) * tall, 0.045 * tall,
                            (30, 30, 32), 0.0, 0.045 * tall)], 0.35)  # fmt: skip
        paint(canvas, figure(pose, x, ground, tall, facing, self.colors))

    def shine(self, canvas: Canvas, seconds: float, dark: float) -> None:
        """People do not shine."""

    def act_at(self, seconds: float) -> Act | None:
        return next((act for act in self.acts if act.start <= seconds < act.end), None)

    def pose(self, seconds: float, speed: float, tall: float) -> Pose:
        """``speed`` in body heights per second."""
        act = self.act_at(seconds)
        if act is not None:
            return POSES[act.style](seconds - act.start, act.end - seconds, self.phase)
        if speed > 0.12:
            times = self.table[:, 0]
            return walking(float(np.interp(seconds, times, self.walked)) / tall, speed, self.phase)
        return standing(seconds, self.phase)


@dataclass(frozen=True)
class Car:
    """How a car looks."""

    paint: Color
    length: float
    """Pixels."""
    facing: int = 1


def car_parts(car: Car, x: float, ground: float, angle: float) -> list[Part]:
    """A car from the side, turned around the middle of its wheels' ground line."""
    unit = car.length / 100
    dark, glass = (26, 26, 28), (74, 92, 108)
    roof = 0.9 * car.paint[0], 0.9 * car.paint[1], 0.9 * car.paint[2]
    sill = 0.6 * car.paint[0], 0.6 * car.paint[1], 0.6 * car.paint[2]
    # Centre and half sizes in hundredths of the length, y upwards from the ground; colour; corner radius.
    shapes: list[tuple[float, float, float, float, Color, float]] = [
        (-4, 27, 25, 9.5, roof, 7.0),
        (0, 16, 50, 9.5, car.paint, 6.0),
        (0, 9.5, 47, 2.5, sill, 1.0),
        (-15, 27.5, 9.5, 5.5, glass, 2.5),
        (7.5, 27.5, 9.5, 5.5, glass, 2.5),
        (-30, 8, 8.5, 8.5, dark, 8.5), (30, 8, 8.5, 8.5, dark, 8.5),
        (-30, 8, 4, 4, (150, 150, 154), 4), (30, 8, 4, 4, (150, 150, 154), 4),
        (47, 18, 3, 3, (246, 240, 200), 2), (-48, 18, 2.2, 3.2, (190, 30, 26), 1),
    ]  # fmt: skip
    cos, sin = np.cos(angle), np.sin(angle)
    parts = []
    for cx, cy, wide, high, color, corner in shapes:
        px, py = car.facing * cx * unit, -cy * unit
        px, py = float(x + px * cos - py * sin), float(ground + px * sin + py * cos)
        parts.append(Part(px, py, wide * unit, high * unit, color, angle, corner * unit))
    return parts


@dataclass
class Driver:
    """A car along keyframes of (seconds, x, ground, angle) in pixels and radians; unseen before and after."""

    car: Car
    keys: Sequence[tuple[float, float, float, float]]
    lights: bool = True
    table: NDArray[np.float64] = field(init=False)
    glow: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self.table = np.array(self.keys, dtype=np.float64)
        self.glow = gaussian(max(round(0.3 * self.car.length), 2), max(round(0.9 * self.car.length), 2))

    def at(self, seconds: float) -> tuple[float, float, float]:
        times = self.table[:, 0]
        x, ground, angle = (float(np.interp(seconds, times, column)) for column in self.table[:, 1:].T)
        return x, ground, angle

    def seen(self, seconds: float) -> bool:
        return bool(self.table[0, 0] <= seconds <= self.table[-1, 0])

    def ground(self, seconds: float) -> float:
        return self.at(seconds)[1]

    def draw(self, canvas: Canvas, seconds: float) -> None:
        if not self.seen(seconds):
            return
        x, ground, angle = self.at(seconds)
        length = self.car.length
        if x < -length or x > canvas.shape[1] + length:
            return
        paint(canvas, [Part(x, ground, 0.5 * length, 0.035 * length, (24, 24, 26), angle, 0.03 * length)], 0.45)
        paint(canvas, car_parts(self.car, x, ground, angle))

    def shine(self, canvas: Canvas, seconds: float, dark: float) -> None:
        if dark < 0.2 or not self.lights or not self.seen(seconds):
            return
        x, ground, angle = self.at(seconds)
        ahead = x + self.car.facing * 0.85 * self.car.length * np.cos(angle)
        left = round(ahead - self.glow.shape[1] / 2)
        top = round(ground - 0.16 * self.car.length - self.glow.shape[0] / 2)
        add_light(canvas, left, top, (150 * dark, 140 * dark, 105 * dark), self.glow)


@dataclass
class Debris:
    """Splinters thrown from a collision; they lie on the ground until they are swept away."""

    x: float
    y: float
    start: float
    end: float
    scale: float
    """Pixels of a large splinter's flight."""
    random: np.random.Generator
    number: int = 26
    throws: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.throws = self.random.uniform((-1, 0.3, 0.0, 0.5), (1, 1.0, 0.25, 1.0), (self.number, 4))

    def ground(self, seconds: float) -> float:
        return self.y + 0.2

    def draw(self, canvas: Canvas, seconds: float) -> None:
        if not self.start <= seconds < self.end:
            return
        flight = min((seconds - self.start) / 0.7, 1.0)
        height, width = canvas.shape[:2]
        for sideways, up, near, grey in self.throws:
            x = round(self.x + self.scale * sideways * flight)
            y = round(self.y + self.scale * (near * flight - 2.4 * up * flight * (1 - flight)))
            if 0 <= x < width - 2 and 0 <= y < height - 2:
                canvas[y : y + 2, x : x + 2] = 40 + 160 * grey * (up > 0.6)

    def shine(self, canvas: Canvas, seconds: float, dark: float) -> None:
        """Splinters do not shine."""


# Black-body like colours of heat 0 to 1 with their coverage.
HEAT = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
FLAME = np.array([(90, 14, 4), (190, 48, 8), (246, 124, 18), (255, 206, 70), (255, 248, 200)], dtype=np.float64)


@dataclass
class Fire:
    """Flames and smoke from a spot on the ground, growing from ``start`` and out at ``end``.

    ``flames`` 1 is a blaze, 0 only smoke (a smouldering bin, or steam of a wrecked car when ``smoke`` is light).
    """

    x: float
    y: float
    size: float
    """Pixels of a full flame's height."""
    start: float
    end: float
    texture: NDArray[np.float32]
    """Tileable noise [S, S] in [0, 1]."""
    flames: float = 1.0
    smoke: Color = (62, 60, 60)
    foot: float | None = None
    """Ground line of what burns, where the flames start above the ground."""
    glow: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        side = max(round(3.2 * self.size), 4)
        self.glow = gaussian(side, side)

    def ground(self, seconds: float) -> float:
        return (self.y if self.foot is None else self.foot) + 0.5

    def strength(self, seconds: float) -> float:
        if not self.start <= seconds < self.end:
            return 0.0
        whole = self.end - self.start
        growth = smooth_step((seconds - self.start) / (0.3 * whole) + 0.15)
        return growth * smooth_step((self.end - seconds) / (0.12 * whole))

    def _cells(self, high: int, wide: int, rise: float, zoom: float) -> NDArray[np.float32]:
        """Noise [high, wide] that moves upwards by ``rise`` texture rows."""
        side = len(self.texture)
        rows = (np.arange(high) * zoom * 0.6 + rise).astype(np.int64) % side
        columns = (np.arange(wide) * zoom + 0.37 * rise).astype(np.int64) % side
        return self.texture[rows[:, None], columns[None, :]]

    def draw(self, canvas: Canvas, seconds: float) -> None:
        """Smoke; it takes the scene's light."""
        strength = self.strength(seconds)
        if strength <= 0:
            return
        high, wide = round(2.6 * self.size), round(1.8 * self.size)
        up = np.linspace(1, 0, high, dtype=np.float32)[:, None]
        across = np.linspace(-1, 1, wide, dtype=np.float32)[None, :] - 0.25 * up * np.float32(np.sin(0.7 * seconds))
        plume = 1 - (across / (0.25 + 0.6 * up)) ** 2
        noise = self._cells(high, wide, 55 * seconds, 40 / self.size)
        alpha = np.clip(plume, 0, 1) * np.clip(1.7 * noise - 0.15, 0, 1) * np.clip(1.15 - up, 0, 1)
        color = np.array(self.smoke, dtype=np.float32)
        shares = np.float32(strength * (0.75 if self.flames > 0.5 else 0.95)) * alpha
        blend(canvas, round(self.x - wide / 2), round(self.y - high), color, shares)

    def shine(self, canvas: Canvas, seconds: float, dark: float) -> None:
        strength = self.strength(seconds) * self.flames
        if strength <= 0.02:
            return
        flicker = 0.85 + 0.15 * jitter(seconds, 3.0, self.x)
        side = self.glow.shape[0]
        light = strength * flicker * (0.25 + 0.75 * dark)
        corner = round(self.x - side / 2), round(self.y - 0.35 * self.size - side / 2)
        add_light(canvas, *corner, (120 * light, 55 * light, 14 * light), self.glow)
        high, wide = round(1.9 * self.size), round(1.2 * self.size)
        up = np.linspace(1.8, 0, high, dtype=np.float32)[:, None]
        across = np.linspace(-1, 1, wide, dtype=np.float32)[None, :]
        noise = self._cells(high, wide, 95 * seconds, 46 / self.size)
        shape = strength * flicker * (1.45 - across**2 * (0.9 + up)) - 0.25 * np.clip(1 - up / 1.4, 0, 1)
        shape -= 8 * np.clip(0.3 * across**2 - up, 0, 1)  # a round base
        heat = np.clip(shape - up * (0.4 + 1.3 * noise), 0, 1)
        picture = np.stack([np.interp(heat, HEAT, FLAME[:, band]) for band in range(3)], axis=-1).astype(np.float32)
        blend(canvas, round(self.x - wide / 2), round(self.y - high), picture, np.clip(heat * 4, 0, 1))


@dataclass
class Birds:
    """A few birds that cross the upper part of the picture."""

    start: float
    speed: float
    """Pixels a second; the sign is the direction."""
    y: float
    number: int
    width: int

    def ground(self, seconds: float) -> float:
        return 1e9

    def draw(self, canvas: Canvas, seconds: float) -> None:
        since = seconds - self.start
        if since < 0:
            return
        for i in range(self.number):
            x = (0 if self.speed > 0 else self.width) + self.speed * since - 9.0 * i * np.sign(self.speed)
            y = self.y + 3.0 * (i % 3) + 2 * np.sin(2 * since + i)
            flap = 2.2 * np.sin(14 * since + 1.3 * i)
            if -5 < x < self.width + 5:
                color = (40.0, 40.0, 44.0)
                body = (float(x), float(y))
                wings = [(float(x - 3.5), float(y - flap)), (float(x + 3.5), float(y - flap))]
                paint(canvas, [limb(body, wing, 0.8, color) for wing in wings])

    def shine(self, canvas: Canvas, seconds: float, dark: float) -> None:
        """Birds do not shine."""


@dataclass
class Still:
    """A thing that stands there all the time, such as a bin or a crate."""

    parts: Sequence[Part]
    y: float

    def ground(self, seconds: float) -> float:
        return self.y

    def draw(self, canvas: Canvas, seconds: float) -> None:
        paint(canvas, self.parts)

    def shine(self, canvas: Canvas, seconds: float, dark: float) -> None:
        """Things do not shine."""
