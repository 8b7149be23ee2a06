"""What tests/methods/test_contract.py asks of every method, answered for WTAL."""

from __future__ import annotations

import numpy as np
import torch
from text_tower import random_tower
from wtal_small import DIM, NAMES, SECOND_DIM, small, small_set

from vidlang.methods.wtal.config import WtalConfig
from vidlang.methods.wtal.predict import Predictor
from vidlang.methods.wtal.train import fit

CONFIG = WtalConfig


def train() -> tuple[float, float, dict[str, torch.Tensor]]:
    """Loss on the video labels of the first and of the last epoch on a small set, and the weights."""
    config = small(warmup_steps=80, warmup_passes=100, phase_passes=5, learning_rate=3e-3)
    videos, tower = small_set(config)
    result = fit(videos, config, tower)
    return result.history[0]["cls"], result.history[-1]["cls"], result.state


def predict(state: dict[str, torch.Tensor], lengths: list[int]) -> list[np.ndarray]:
    """One array per video of these lengths; all videos share batches."""
    predictor = Predictor.from_state(state, small(), NAMES[:3], NAMES[:3], random_tower(dim=DIM))
    rows = [np.random.default_rng(length).normal(size=(length, DIM + SECOND_DIM)) for length in lengths]
    curves = predictor.predict_many([(one[:, :DIM], one[:, DIM:]) for one in rows])
    return [np.concatenate([one.cbp, one.vlp, one.video_score_cbp[None], one.video_score_vlp[None]]) for one in curves]
