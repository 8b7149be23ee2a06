"""Small TCA pieces for tests: little videos whose copies differ by a disturbance that training can learn to ignore."""

from __future__ import annotations

from typing import Any

import numpy as np

from vidlang.methods.tca.config import TcaConfig, preset
from vidlang.methods.tca.data import TrainingSet

WIDTH = 16


def small(name: str = "custom", **changes: Any) -> TcaConfig:
    """A preset, shrunk."""
    sizes: dict[str, Any] = {
        "num_heads": 4, "feedforward": 32, "window": 8, "batch_size": 4, "num_negatives": 2, "bank_size": 32,
        "epochs": 2, "learning_rate": 3e-3, "min_batches": 0, "num_clusters": 4, "output_dim": 16,
    }  # fmt: skip
    return preset(name, **{**sizes, **changes})


def video(length: int, seed: int = 0, disturbance: float = 0.0, width: int = WIDTH) -> np.ndarray:
    """[length, width] unit rows around a direction of their own; a disturbance pulls all along the last axis."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=width) + 0.3 * random.normal(size=(length, width))
    rows[:, -1] += disturbance
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def small_set(num: int = 8, **changes: Any) -> TrainingSet:
    """``num`` videos of 3 to 12 rows, a disturbed copy of each, and as many others."""
    originals = [video(3 + i * 7 % 10, seed=i) for i in range(num)]
    copies = [video(3 + i * 7 % 10, seed=i, disturbance=3.0 * (-1) ** i) for i in range(num)]
    others = [video(5, seed=100 + i, disturbance=3.0 * (-1) ** i) for i in range(num)]
    given: dict[str, Any] = {"pairs": [(i, num + i) for i in range(num)], "distractors": range(2 * num, 3 * num)}
    return TrainingSet([*originals, *copies, *others], **{**given, **changes})
