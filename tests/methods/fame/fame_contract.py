"""What tests/methods/test_contract.py asks of every method, answered for FAME; and the small set of its tests.

FAME reads pixels, not features: the length of a video is its number of clips, a prediction their features and mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from vidlang.methods.fame.config import FameConfig, RecognitionConfig, preset, recognition
from vidlang.methods.fame.predict import Predictor
from vidlang.methods.fame.recognize import fit_classifier
from vidlang.methods.fame.train import fit

CONFIG = FameConfig
SIDE, FRAMES = 32, 4
CLASSES = [index % 4 for index in range(16)]
"""Class of every video: which way its square runs."""


@dataclass(frozen=True)
class Batch:
    """Windows of some videos."""

    clips: np.ndarray
    indices: np.ndarray


def small(**changes) -> FameConfig:
    """Options under which a few steps take a second."""
    quick = {"num_frames": FRAMES, "crop_size": SIDE, "short_side": 0, "batch_size": 8, "queue_size": 8, "epochs": 2}
    return preset("small", **{**quick, "min_batches": 1, **changes})


def plain(**changes) -> FameConfig:
    """The same without changes of colour and with large crops, so that it is quickly learned."""
    mild = {"crop_scale": (0.8, 1.0), "grey": 0.0, "jitter": 0.0, "blur": 0.0}
    return small(**{**mild, **changes})


def tuning(kind: Literal["finetune", "linear"] = "finetune", **changes) -> RecognitionConfig:
    """Recognition on the network of ``plain``."""
    quick = {"epochs": 25, "learning_rate": 0.1, "lr_milestones": (), "augment": "none", "dropout": 0.0}
    return recognition(kind, plain(), **{**quick, **changes})


def video(index: int, num_windows: int = 2, seed: int = 0) -> np.ndarray:
    """[V, 3, T, H, W]: a square of the video's own pattern and colour that runs over a still ground."""
    rng = np.random.default_rng((index, 7))
    ground = rng.integers(0, 120, (3, SIDE // 8, SIDE // 8)).repeat(8, 1).repeat(8, 2)
    square = rng.integers(60, 256, (3, 4, 4)).repeat(5, 1).repeat(5, 2)
    clips = np.broadcast_to(ground[None, :, None], (num_windows, 3, FRAMES, SIDE, SIDE)).copy()
    starts = np.random.default_rng((index, seed, 8)).integers(0, SIDE - 20, (num_windows, 2))
    steps = (index // 2 % 2 * 2, index % 2 * 2)
    for window, (top, left) in enumerate(starts):
        for frame in range(FRAMES):
            y, x = top + steps[0] * frame // 2, left + (steps[1] + 1) * frame
            clips[window, :, frame, y : y + 20, x : x + 20] = square[:, : SIDE - y, : SIDE - x]
    return clips.astype(np.uint8)


def source_of(num_videos: int = 16, batch_size: int = 8, num_windows: int = 2) -> Callable[[int], Iterator[Batch]]:
    """Every epoch the videos in the same order, with other windows."""

    def source(epoch: int) -> Iterator[Batch]:
        for start in range(0, num_videos - batch_size + 1, batch_size):
            indices = np.arange(start, start + batch_size)
            yield Batch(np.stack([video(int(i), num_windows, seed=epoch) for i in indices]), indices)

    return source


def train() -> tuple[float, float, dict[str, torch.Tensor]]:
    """Loss of the first and of the last epoch of naming four classes, after some pretraining, and the weights."""
    pretrained = fit(source_of(8), plain(epochs=1))
    tuned = fit_classifier(source_of(8, num_windows=1), CLASSES, 4, tuning(), backbone=pretrained.state)
    return tuned.history[0]["loss"], tuned.history[-1]["loss"], tuned.state


def predict(state: dict[str, torch.Tensor], lengths: list[int]) -> list[np.ndarray]:
    """One array per video of so many clips: features, logits, and the means of both."""
    predictor = Predictor.from_state(state, tuning(), num_classes=4)
    clips = [np.random.default_rng(length).integers(0, 256, (length, FRAMES, 40, 50, 3)) for length in lengths]
    rows = []
    for one in clips:
        read = one.astype(np.uint8)
        parts = predictor.features(read), predictor.logits(read)
        means = predictor.video_feature(read), predictor.video_logits(read)
        rows.append(np.concatenate([part.ravel() for part in (*parts, *means)]))
    return rows
