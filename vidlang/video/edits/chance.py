"""Edits drawn by chance, as people who copy videos choose them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vidlang.video.edits.kinds import (
    BlackBars,
    Blur,
    Brightness,
    Clip,
    Colour,
    Contrast,
    Corner,
    Crop,
    CutOut,
    Edit,
    Flip,
    Grey,
    HideIn,
    Intro,
    Logo,
    Noise,
    Reencode,
    Resize,
    Sepia,
    Speed,
    check_choice,
    even,
)

Strength = Literal["mild", "strong"]


@dataclass(frozen=True)
class _Ranges:
    """(lowest, highest) of each number; shares of a duration where times are meant."""

    crf: tuple[int, int]
    short_side: tuple[int, int]
    crop: tuple[float, float]
    logo: tuple[float, float]
    bars: tuple[float, float]
    light: tuple[float, float]
    """How far gain and contrast are from 1: logarithm to base 2, up or down."""
    blur: tuple[float, float]
    noise: tuple[float, float]
    speed: tuple[float, float]
    """Logarithm to base 2, up or down."""
    cut: tuple[float, float]
    clip: tuple[float, float]
    before: tuple[float, float]


RANGES: dict[str, _Ranges] = {
    "mild": _Ranges(
        crf=(28, 34),
        short_side=(200, 320),
        crop=(0.8, 0.95),
        logo=(0.12, 0.25),
        bars=(0.08, 0.2),
        light=(0.15, 0.4),
        blur=(0.5, 1.2),
        noise=(3, 8),
        speed=(0.1, 0.4),
        cut=(0.1, 0.25),
        clip=(0.6, 0.85),
        before=(0.05, 0.2),
    ),
    "strong": _Ranges(
        crf=(34, 42),
        short_side=(112, 200),
        crop=(0.55, 0.8),
        logo=(0.25, 0.5),
        bars=(0.2, 0.4),
        light=(0.4, 0.9),
        blur=(1.2, 3.0),
        noise=(8, 20),
        speed=(0.4, 1.0),
        cut=(0.25, 0.5),
        clip=(0.3, 0.6),
        before=(0.2, 0.6),
    ),
}

# How often each kind comes, in the order in which a copier works: cut, picture, overlay, frame, what is put before,
# coding. Re-encodes, other sizes, logos and bars are what collections of near-duplicates hold most; then come cuts,
# colours, intros and excerpts.
KINDS: tuple[tuple[str, float], ...] = (
    ("time", 3.0),
    ("window", 2.0),
    ("colour", 2.0),
    ("quality", 2.0),
    ("logo", 2.0),
    ("bars", 2.0),
    ("around", 2.0),
    ("coding", 2.0),
)


def random_edits(
    seed: int | Sequence[int],
    duration: float,
    *,
    strength: Strength = "mild",
    hosts: Sequence[Path] = (),
) -> tuple[Edit, ...]:
    """Two to four edits of different kinds for a video of ``duration`` seconds; the same for the same seed.

    hosts: videos that a copy may be hidden in, or that may begin it; without any, intros are cards.
    """
    if not 0 < duration < float("inf"):
        raise ValueError(f"duration must be positive and finite, got {duration}")
    check_choice("strength", strength, tuple(RANGES))
    draw = _Draw(np.random.default_rng(seed), RANGES[strength], duration, hosts)
    weights = np.array([weight for _, weight in KINDS])
    number = int(draw.random.integers(2, 5))
    chosen = sorted(draw.random.choice(len(KINDS), number, replace=False, p=weights / weights.sum()).tolist())
    return tuple(getattr(draw, KINDS[index][0])() for index in chosen)


@dataclass(frozen=True)
class _Draw:
    """One edit of each kind. Numbers are rounded, so that names and hashes say all of them."""

    random: np.random.Generator
    ranges: _Ranges
    duration: float
    hosts: Sequence[Path]

    def time(self) -> Edit:
        """A cut inside, an excerpt, or another speed."""
        kind = self.one_of("cut", "clip", "speed")
        if kind == "speed":
            return Speed(self.factor(self.ranges.speed))
        length = self.duration * self.uniform(self.ranges.cut if kind == "cut" else self.ranges.clip)
        # A cut leaves a tenth of the video at both ends: one at an end would be an excerpt.
        rim = 0.1 * self.duration if kind == "cut" else 0.0
        start = self.uniform((rim, self.duration - rim - length))
        times = round(start, 3), round(start + length, 3)
        if times[1] <= times[0]:  # a video of a few milliseconds
            return Speed(0.5)
        return CutOut(*times) if kind == "cut" else Clip(*times)

    def window(self) -> Edit:
        if self.random.random() < 0.4:
            return Flip()
        place = (0.5, 0.5) if self.random.random() < 0.5 else (self.uniform((0, 1)), self.uniform((0, 1)))
        return Crop(self.uniform(self.ranges.crop), place)

    def colour(self) -> Edit:
        kind = self.one_of("brightness", "contrast", "grey", "sepia")
        gain = self.factor(self.ranges.light)
        if kind == "brightness":
            return Brightness(gain, self.uniform((-20, 20)))
        return {"contrast": Contrast(gain), "grey": Grey(), "sepia": Sepia()}[kind]

    def quality(self) -> Edit:
        kind = self.one_of("blur", "noise", "size")
        if kind == "blur":
            return Blur(self.uniform(self.ranges.blur))
        if kind == "noise":
            return Noise(self.uniform(self.ranges.noise), self.seed())
        return Resize(even(self.uniform(self.ranges.short_side)))

    def logo(self) -> Edit:
        corner: Corner = self.one_of("top-left", "top-right", "bottom-left", "bottom-right")
        return Logo(corner, self.uniform(self.ranges.logo), self.uniform((0.6, 1.0)), self.seed())

    def bars(self) -> Edit:
        colour: Colour = (0, 0, 0) if self.random.random() < 0.8 else self.shade(0, 256)
        return BlackBars(self.uniform(self.ranges.bars), self.one_of("letterbox", "pillarbox"), colour)

    def around(self) -> Edit:
        """Something before it, or before and after."""
        seconds = round(max(self.duration * self.uniform(self.ranges.before), 0.1), 2)
        if not self.hosts or self.random.random() < 0.3:
            title = self.one_of("", "PART TWO", "BEST MOMENTS", "Watch till the end")
            return Intro(seconds, None, title, (0, 0, 0) if self.random.random() < 0.5 else self.shade(0, 120))
        host = Path(self.hosts[int(self.random.integers(len(self.hosts)))])
        if self.random.random() < 0.5:
            return Intro(seconds, host)
        # As much of the host before and after as fits into ``before`` of the ranges: a host of any length serves.
        return HideIn(host, seconds / 2, seconds)

    def coding(self) -> Edit:
        return Reencode(int(self.random.integers(self.ranges.crf[0], self.ranges.crf[1] + 1)))

    def uniform(self, bounds: tuple[float, float]) -> float:
        return round(float(self.random.uniform(*bounds)), 3)

    def factor(self, octaves: tuple[float, float]) -> float:
        """Above or below 1 by so many doublings."""
        return round(float(2 ** (self.uniform(octaves) * self.one_of(-1, 1))), 3)

    def one_of(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def seed(self) -> int:
        return int(self.random.integers(1 << 31))

    def shade(self, low: int, high: int) -> Colour:
        red, green, blue = self.random.integers(low, high, 3).tolist()
        return red, green, blue
