"""Small VadCLIP pieces for tests: configs of 12 snippets, random videos whose abnormal snippets point one way."""

from __future__ import annotations

from typing import Any

import numpy as np

from vidlang.methods.vadclip.config import VadClipConfig, preset
from vidlang.methods.vadclip.data import TrainingSet, training_set

CLASSES = ("Normal", "Fighting", "CarAccident")


def small(name: str = "custom", **changes: Any) -> VadClipConfig:
    """A preset, shrunk."""
    sizes: dict[str, Any] = {
        "visual_length": 12, "attn_window": 4, "attn_heads": 2, "prompt_prefix": 2, "prompt_postfix": 3,
        "batch_size": 4, "epochs": 2, "learning_rate": 1e-3, "lr_milestones": (), "validate_every": 0,
        "min_batches": 0, "join": 0,
    }  # fmt: skip
    return preset(name, **{**sizes, **changes})


def video(length: int, dim: int = 32, seed: int = 0, event: int | None = None) -> np.ndarray:
    """[length, dim] random rows; with an event, the middle rows point along that axis."""
    rows = np.random.default_rng(seed).normal(size=(length, dim)).astype(np.float32)
    if event is not None:
        rows[length // 3 : length // 3 + 2, event] += 8
    return rows


def small_set(config: VadClipConfig, num: int = 12, dim: int = 32) -> TrainingSet:
    """``num`` videos of 3 to 20 snippets; a third each normal, fights and accidents."""
    videos = [
        (f"v{i}.mp4", video(3 + i * 17 % 18, dim, seed=i, event=(None, 0, 1)[i % 3]), [CLASSES[i % 3]])
        for i in range(num)
    ]
    return training_set(videos, CLASSES, config)
