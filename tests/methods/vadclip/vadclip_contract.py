"""What tests/methods/test_contract.py asks of every method, answered for VadCLIP."""

from __future__ import annotations

import numpy as np
import torch
from text_tower import random_tower
from vadclip_small import small, small_set, video

from vidlang.methods.vadclip.config import VadClipConfig
from vidlang.methods.vadclip.predict import Predictor
from vidlang.methods.vadclip.train import fit

CONFIG = VadClipConfig


def train() -> tuple[float, float, dict[str, torch.Tensor]]:
    """Total loss of the first and of the last epoch on a small set, and the weights."""
    config = small(epochs=25, learning_rate=3e-3)
    result = fit(small_set(config), config, random_tower())
    return result.history[0]["total"], result.history[-1]["total"], result.state


def predict(state: dict[str, torch.Tensor], lengths: list[int]) -> list[np.ndarray]:
    """One array per video of these lengths; all videos share batches."""
    config = small()
    videos = small_set(config)
    predictor = Predictor(state, config, videos.class_names, videos.prompts, random_tower())
    predictions = predictor.predict_many([video(length, seed=length) for length in lengths])
    return [np.column_stack([one.c_branch, one.classes]) for one in predictions]
