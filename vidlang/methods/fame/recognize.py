"""Naming actions: a trained network fine-tuned, or one layer on it while it is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vidlang.core.progress import Progress
from vidlang.methods.fame.augment import Clips
from vidlang.methods.fame.config import RecognitionConfig
from vidlang.methods.fame.train import EpochReport, TrainResult
from vidlang.nn.fit import TrainState

if TYPE_CHECKING:
    from vidlang.methods.fame.predict import Predictor


class LabelledBatch(Protocol):
    """One window of each of some videos."""

    @property
    def clips(self) -> Clips:
        """B items uint8 RGB, [3, T, H, W] or [1, 3, T, H, W]."""

    @property
    def indices(self) -> NDArray[np.int64]:
        """[B] places of the videos in the caller's list."""


def fit_classifier(
    source: Callable[[int], Iterable[LabelledBatch]],
    labels: Sequence[int],
    num_classes: int,
    config: RecognitionConfig,
    *,
    backbone: Mapping[str, torch.Tensor] | None = None,
    validate: Callable[[Predictor], Mapping[str, float]] | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    resume: TrainState | None = None,
) -> TrainResult:
    """Trains a network to name the classes of clips; with ``LinearConfig`` its last layer alone.

    labels: class of every video, by its place in the caller's list    backbone: weights without head; None: random
    """
    raise NotImplementedError
