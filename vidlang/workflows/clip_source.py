"""Batches of clips of many videos, for training a video network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.video.clips import ClipSampling


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """Clips of some videos."""

    clips: NDArray[np.uint8]
    """[B, V, 3, T, S, S], V windows of each video."""
    indices: NDArray[np.int64]
    """[B] places of the videos in the list given."""


class ClipSource:
    """Random windows of videos in batches, in an order that seed and epoch decide.

    shard: (rank, number of processes); each takes its own part of every epoch.
    """

    failed: dict[str, str]
    """Videos that cannot be used: id → why."""

    def __init__(
        self,
        videos: Sequence[tuple[str, Path]],
        sampling: ClipSampling,
        *,
        batch_size: int,
        windows: int = 2,
        seed: int = 0,
        num_workers: int = 2,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        raise NotImplementedError

    def epoch(self, epoch: int) -> Iterator[ClipBatch]:
        """The batches of one epoch; the last incomplete one is dropped."""
        raise NotImplementedError
