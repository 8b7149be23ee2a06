"""Small films of a light square that moves over a ground of one colour, and trainings that take a moment."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vidlang.video.writer import write_video

SIZE = (40, 48)
COLOURS = {"red": (170, 40, 40), "blue": (40, 40, 170)}
SMALL = {
    "num_frames": 4, "step": 1, "crop_size": 32, "short_side": 36, "batch_size": 4, "queue_size": 8, "epochs": 2,
    "min_batches": 1,
}  # fmt: skip
"""A training without labels."""
NAMING = {
    "augment": "none", "epochs": 6, "min_batches": 2, "batch_size": 4, "test_clips": 2, "lr_milestones": (5,),
}  # fmt: skip
"""Fine-tuning and the linear probe."""


def moving_film(path: Path, colour: str = "red", seed: int = 0, num_frames: int = 12) -> Path:
    """A square crosses; its way and the grain of the ground come from the seed."""
    random = np.random.default_rng(seed)
    ground = np.array(COLOURS[colour]) + random.integers(-15, 16, (*SIZE, 1))
    top, step = int(random.integers(4, 24)), int(random.integers(1, 4))
    frames = []
    for index in range(num_frames):
        frame = np.clip(ground, 0, 255).astype(np.uint8)
        frame[top : top + 12, index * step % 36 : index * step % 36 + 12] = 230
        frames.append(frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames, 25.0, options={"preset": "ultrafast", "crf": "10"})
    return path


def collection(folder: Path, per_colour: int = 4) -> Path:
    """``red/0.mp4`` … ``blue/3.mp4``"""
    for place, colour in enumerate(COLOURS):
        for number in range(per_colour):
            moving_film(folder / colour / f"{number}.mp4", colour, seed=10 * place + number)
    return folder


def manifest(path: Path, per_colour: int = 4, tests: Iterable[int] = (3,), values: Iterable[int] = ()) -> Path:
    """Labels of ``collection``."""
    lines = ["video,label,split"]
    for colour in COLOURS:
        for number in range(per_colour):
            split = "test" if number in tests else "val" if number in values else "train"
            lines.append(f"{colour}/{number}.mp4,{colour},{split}")
    path.write_text("\n".join(lines) + "\n")
    return path
