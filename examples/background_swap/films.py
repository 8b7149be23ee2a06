"""Films of a known motion in front of known real footage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, BadVideo
from vidlang.demo.actors import Act, Person, person_height
from vidlang.demo.scenes import CLOTHES, HAIR, SKIN, TROUSERS
from vidlang.video.clips import ClipFile, ClipSampling
from vidlang.video.files import find_videos

Film = NDArray[np.uint8]
"""[N, H, W, 3], RGB."""

MOTIONS = ("walk", "run", "exercise", "fight", "ball", "crouch")
FRAME_RATE = 25.0
NUM_FRAMES = 40
"""Of a film: 1.6 seconds."""
CROUCH_SECONDS = 1.6
SPEED = {"walk": 0.8, "run": 2.3}
"""Body heights a second."""
NOISE = 2.0
"""Grey levels that the rendered frames get, since a person without any noise would be known by that."""


@dataclass(frozen=True, eq=False)
class Footage:
    """The middle square of some real footage."""

    name: str
    frames: Film

    def from_frame(self, start: int, length: int) -> Film:
        """So many frames from there on; at its ends the footage turns and runs the other way."""
        last = len(self.frames) - 1
        places = np.arange(start, start + length) % (2 * last) if last else np.zeros(length, dtype=np.int64)
        return self.frames[np.where(places > last, 2 * last - places, places)]


def read_footage(folder: Path, side: int, most_frames: int = 150) -> list[Footage]:
    """Every video of a folder, in the order of its name; those that do not read are left out."""
    footage = []
    for name, path in find_videos([folder]):
        try:
            file = ClipFile(path, video_id=name)
            sampling = ClipSampling(num_frames=min(file.num_frames, most_frames), step=1, short_side=side)
            [frames] = file.read([0], sampling)
        except BadVideo:
            continue
        top, left = ((size - side) // 2 for size in frames.shape[1:3])
        footage.append(Footage(name, np.ascontiguousarray(frames[:, top : top + side, left : left + side])))
    return footage


def split_footage(footage: Sequence[Footage], num_tests: int) -> tuple[list[Footage], list[Footage]]:
    """Places to train and places to test, of every folder its first and its last files.

    Neighbours in a folder may come from one recording, so a tenth of each folder lies between, unused, and the tests
    are spread over what is last.

    Raises:
        BadInput: there are too few places for one grid of tests.
    """
    folders: dict[str, list[Footage]] = {}
    for part in footage:
        folders.setdefault(part.name.rpartition("/")[0], []).append(part)
    train: list[Footage] = []
    rest: list[Footage] = []
    for parts in folders.values():
        train += parts[: round(0.6 * len(parts))]
        rest += parts[round(0.7 * len(parts)) :]
    if len(rest) < len(MOTIONS) or not train:
        raise BadInput(
            f"{len(footage)} videos read, of which {len(train)} train and {len(rest)} test; {len(MOTIONS)} places to "
            "test are needed: give about 20 videos of different places."
        )
    chosen = np.linspace(0, len(rest) - 1, min(num_tests, len(rest))).round().astype(int)
    return train, [rest[place] for place in chosen]


def film(motion: str, footage: Footage, random: np.random.Generator, length: int = NUM_FRAMES) -> Film:
    """Somebody who moves so in front of the footage. Clothes, size, place and time are random, the motion is not."""
    side = footage.frames.shape[1]
    ground = float(random.uniform(0.88, 0.97)) * side
    person = performer(motion, side, ground, random)
    start, gain = float(random.uniform(1, 4)), float(random.uniform(0.75, 1.15))
    behind = footage.from_frame(int(random.integers(len(footage.frames))), length)
    frames = np.empty_like(behind)
    for index in range(length):
        canvas = behind[index].astype(np.float32) / gain
        person.draw(canvas, start + index / FRAME_RATE)
        canvas = canvas * gain + random.normal(0, NOISE, (side, side, 1))
        frames[index] = np.clip(canvas, 0, 255).round()
    return frames


def performer(motion: str, side: int, ground: float, random: np.random.Generator) -> Person:
    """A person of random looks who keeps up one motion for 10 seconds."""

    def some(colors: list[tuple[float, float, float]]) -> tuple[float, float, float]:
        return colors[int(random.integers(len(colors)))]

    size = float(random.uniform(1.25, 1.6))
    facing, seconds = int(random.choice((-1, 1))), 10.0
    acts: list[Act] = []
    if motion in SPEED:
        speed = SPEED[motion] * size * person_height(ground / side, side)
        path = there_and_back(speed, side, ground, seconds, facing)
    else:
        x = float(random.uniform(0.35, 0.65)) * side
        path = [(0.0, x, ground), (seconds, x, ground)]
        length = CROUCH_SECONDS if motion == "crouch" else seconds
        acts = [Act(motion, start, start + length) for start in np.arange(0.0, seconds, length)]
    colors = some(SKIN), some(HAIR), some(CLOTHES), some(TROUSERS)
    return Person(path, side, colors, float(random.uniform(0, 6.28)), size, facing, acts)


def there_and_back(
    speed: float, side: int, ground: float, seconds: float, facing: int
) -> list[tuple[float, float, float]]:
    """(seconds, x, ground) between both edges, at ``speed`` pixels a second."""
    edges = [0.1 * side, 0.9 * side][::facing]
    takes = 0.8 * side / speed
    return [(turn * takes, edges[turn % 2], ground) for turn in range(int(seconds / takes) + 2)]
