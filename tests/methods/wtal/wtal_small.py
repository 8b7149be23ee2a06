"""Small WTAL pieces for tests: videos whose frames look one way to a classifier and another way to CLIP.

Four kinds of frames. ``CORE`` of an action: clear in both views. ``EDGE`` of an action: weak for CBP, clear for CLIP.
``CONTEXT``: background for CBP, action-like for CLIP. ``REST``: background in both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from text_tower import WordTower, random_tower

from vidlang.methods.wtal.config import WtalConfig, preset
from vidlang.methods.wtal.data import LabelledVideo, TrainingSet, training_set
from vidlang.methods.wtal.vlp import TEMPLATES, plain_rows

NAMES = ("jump", "swim", "throw", "climb", "dance", "kick")
DIM, SECOND_DIM = 32, 24
REST, CONTEXT, EDGE, CORE = range(4)


def small(name: str = "robust", **changes: Any) -> WtalConfig:
    """A preset, shrunk."""
    sizes: dict[str, Any] = {
        "cbp_inputs": "second", "cbp_width": 32, "cbp_layers": 1, "cbp_heads": 4, "vlp_layers": 1, "vlp_heads": 4,
        "prompt_prefix": 2, "prompt_postfix": 3, "templates": "none", "num_rows": 40, "batch_size": 8,
        "warmup_steps": 6, "warmup_min_steps": 0, "phase_passes": 1, "phase_min_steps": 0, "min_batches": 2,
        "plateau_epochs": 0, "rounds": 1, "learning_rate": 1e-3,
    }  # fmt: skip
    return preset(name, **{**sizes, **changes})


class ToyVideo(NamedTuple):
    """A video with known frames."""

    video_id: str
    label: int | None
    """Class; None: a normal video."""
    clip: np.ndarray
    """[T, DIM]"""
    second: np.ndarray
    """[T, SECOND_DIM]"""
    kinds: np.ndarray
    """[T] of REST, CONTEXT, EDGE, CORE."""

    @property
    def action(self) -> np.ndarray:
        """[T] bool, the truth."""
        return self.kinds >= EDGE

    @property
    def seconds(self) -> np.ndarray:
        return np.arange(len(self.kinds))[:, None] * 0.5 + np.array([0.0, 0.5])


class Toy:
    """Makes videos of ``num_classes`` actions; text directions are those of a small random tower."""

    def __init__(self, num_classes: int = 3, seed: int = 0) -> None:
        self.tower: WordTower = random_tower(dim=DIM)
        self.names = NAMES[:num_classes]
        self.texts = plain_rows(self.tower, [*self.names, "background"], TEMPLATES["none"]).numpy()  # [C + 1, DIM]
        random = np.random.default_rng(seed)
        # what all pictures share and no text has, so that cosines with texts are small and close together, as in CLIP
        gap = random.normal(size=DIM)
        inside, _ = np.linalg.qr(self.texts.T)
        gap -= inside @ (inside.T @ gap)
        self.gap = 5 * gap / np.linalg.norm(gap)
        self.looks = random.normal(size=(num_classes + 1, SECOND_DIM))  # to CBP
        self.looks /= np.linalg.norm(self.looks, axis=1, keepdims=True)

    def video(self, label: int | None, seed: int, length: int = 40) -> ToyVideo:
        """One or two actions with edges, and some context, anywhere in the video."""
        random = np.random.default_rng(1000 + seed)
        kinds = np.full(length, REST)
        if label is not None:
            for _ in range(random.integers(1, 3)):
                start, core = random.integers(0, max(1, length - 12)), random.integers(2, 5)
                edge = random.integers(2, 4)
                kinds[start : start + 2 * edge + core] = EDGE
                kinds[start + edge : start + edge + core] = CORE
                behind = start + 2 * edge + core
                kinds[behind : behind + 4] = np.maximum(kinds[behind : behind + 4], CONTEXT)
        strong = np.array([0.0, 0.0, 0.55, 1.0])[kinds][:, None]  # to CBP
        clear = np.array([0.0, 0.6, 0.85, 1.0])[kinds][:, None]  # to CLIP
        c = 0 if label is None else label
        second = (
            strong * self.looks[c] + (1 - strong) * self.looks[-1] + 0.12 * random.normal(size=(length, SECOND_DIM))
        )
        clip = (
            self.gap + clear * self.texts[c] + (1 - clear) * self.texts[-1] + 0.06 * random.normal(size=(length, DIM))
        )
        return ToyVideo(f"v{seed}.mp4", label, 10 * clip.astype(np.float32), second.astype(np.float32), kinds)

    def videos(self, per_class: int, first_seed: int = 0, normal: bool = False) -> list[ToyVideo]:
        """So many of each class, and as many normal ones."""
        labels = [*range(len(self.names)), *([None] if normal else [])] * per_class
        return [self.video(label, first_seed + i, 25 + (7 * i) % 16) for i, label in enumerate(labels)]

    def training_set(self, videos: list[ToyVideo], config: WtalConfig) -> TrainingSet:
        return training_set(map(self.labelled, videos), self.names, config)

    def labelled(self, video: ToyVideo) -> LabelledVideo:
        classes = [] if video.label is None else [self.names[video.label]]
        return LabelledVideo(video.video_id, video.clip, video.seconds, classes, (video.second, video.seconds))


def small_set(config: WtalConfig, per_class: int = 4, num_classes: int = 3) -> tuple[TrainingSet, WordTower]:
    """A few toy videos of each class, and their text tower."""
    toy = Toy(num_classes)
    return toy.training_set(toy.videos(per_class), config), toy.tower


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """The same names and the same bits."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
