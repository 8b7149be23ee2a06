"""What tests/methods/test_contract.py asks of every method, answered for TCA."""

from __future__ import annotations

import numpy as np
import torch
from tca_small import WIDTH, small, small_set, video

from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.tca.predict import Embedder
from vidlang.methods.tca.train import fit

CONFIG = TcaConfig


def train() -> tuple[float, float, dict[str, torch.Tensor]]:
    """Loss of the first and of the last epoch on a small set, and the weights."""
    config = small(epochs=60, learning_rate=3e-3, temporal_edits=False, dropout=0.0)
    result = fit(small_set(), config)
    return result.history[0]["loss"], result.history[-1]["loss"], result.state


def predict(state: dict[str, torch.Tensor], lengths: list[int]) -> list[np.ndarray]:
    """One array per video of these lengths; all videos share batches."""
    embedder = Embedder.from_state(state, small(), WIDTH)
    done = embedder.embed_many([video(length, seed=length) for length in lengths])
    return [np.concatenate([vector[None], rows]) for vector, rows in done]
