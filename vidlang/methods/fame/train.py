"""Self-supervised training: MoCo on two views of every clip, one of them before another background."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vidlang.core.progress import Progress
from vidlang.methods.fame.augment import Clips
from vidlang.methods.fame.config import FameConfig
from vidlang.nn.fit import State, TrainState


class ClipBatch(Protocol):
    """Two windows of each of some videos."""

    @property
    def clips(self) -> Clips:
        """B items [2, 3, T, H, W] uint8 RGB; one array, or a list where sizes differ."""

    @property
    def indices(self) -> NDArray[np.int64]:
        """[B] places of the videos in the caller's list."""


Source = Callable[[int], Iterable[ClipBatch]]
"""Epoch, counted from 0 → its batches, the same ones whenever asked: seed, epoch and rank decide them."""


@dataclass(frozen=True, eq=False)
class EpochReport:
    """One finished epoch, for a log line and for going on from here."""

    epoch: int
    """Counted from 1."""
    num_epochs: int
    row: Mapping[str, float]
    """epoch, learning_rate, loss, top1 (share of clips whose own key wins), merged, still, area, clips_per_second."""
    train_state: TrainState


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A finished training."""

    state: State
    """The query network without its head: what recognition, retrieval and activation maps take."""
    last_state: State
    """All of MoCo: both networks with heads, the queue and its pointer."""
    metrics: Mapping[str, float]
    """Of the last epoch: loss and top1."""
    best_epoch: int
    """The last one: nothing validates."""
    history: tuple[Mapping[str, float], ...]
    notes: tuple[str, ...]


def fit(
    source: Source,
    config: FameConfig,
    *,
    init: Mapping[str, torch.Tensor] | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    resume: TrainState | None = None,
) -> TrainResult:
    """Trains a video network without labels.

    init: weights of a network without head to start from

    Under torch.distributed every process calls this with its own share of each batch; all return the same weights.
    """
    raise NotImplementedError
