"""Batches of clips of many videos, for training a video network."""

from __future__ import annotations

import functools
import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadVideo
from vidlang.engines.prefetch import prefetched
from vidlang.video.clips import ClipFile, ClipSampling, random_starts

logger = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]

MAX_KEPT = 20_000
"""Videos whose packet tables (some kilobytes each) stay in memory, so that they are not read again in every epoch."""


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """Clips of some videos."""

    clips: Pixels | list[Pixels]
    """B items [V, 3, T, h, w], V windows of each video; one array, or a list where the videos' sizes differ."""
    indices: NDArray[np.int64]
    """[B] places of the videos in the list given."""


class ClipSource:
    """Random windows of videos in batches; seed and epoch alone decide the order and, of whole files, the windows.

    batch_size: videos per batch of this process
    windows: clips of each video, of different windows where it has as many
    num_workers: threads that read; 0 reads in the caller's thread
    shard: (rank, processes); every epoch's videos are dealt out evenly, as many to each, none to two

    Frames come whole, at their own proportion: random crops want all of them, and a square cut from the middle would
    take a quarter of a 4:3 picture away. So the sizes within a batch may differ.

    A video that cannot be read is named in ``failed`` and once in the log, and left out from then on; no other video
    takes its place, so that an epoch may have a batch less than `num_batches`.

    Raises:
        ValueError: numbers that make no batches.
    """

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
        rank, num_shards = shard
        if batch_size < 1 or windows < 1 or num_workers < 0 or not 0 <= rank < num_shards:
            given = f"batch_size {batch_size}, windows {windows}, num_workers {num_workers}, shard {shard}"
            raise ValueError(f"expected positive sizes and a rank below the number of shards, got {given}")
        self.failed: dict[str, str] = {}
        """Videos that cannot be read: id → why."""
        self._videos, self._sampling, self._shard = list(videos), sampling, shard
        self._batch_size, self._windows, self._seed, self._num_workers = batch_size, windows, seed, num_workers
        self._files: dict[int, ClipFile] = {}
        self._num_frames: dict[int, int] = {}
        """Of the videos that are not kept."""
        self._left_out: set[int] = set()

    @property
    def num_batches(self) -> int:
        """Batches of an epoch where every video reads."""
        return len(self._videos) // self._shard[1] // self._batch_size

    def epoch(self, epoch: int) -> Generator[ClipBatch, None, None]:
        """The batches of one epoch, each video at most once; the last incomplete one is dropped, as published.

        Closing the generator stops the reading.
        """
        produce = functools.partial(self._read, epoch)
        # as many clips ahead as the next batch needs, so that it is ready when this one has been learned
        ahead = max(2 * self._num_workers, self._batch_size)
        with closing(prefetched(self._order(epoch), produce, self._num_workers, ahead)) as coming:
            clips: list[Pixels] = []
            indices: list[int] = []
            for index, result in coming:
                if isinstance(result, BadVideo):
                    self._leave_out(index, result)
                    continue
                clips.append(result)
                indices.append(index)
                if len(clips) == self._batch_size:
                    yield _batch(clips, indices)
                    clips, indices = [], []

    def _order(self, epoch: int) -> list[int]:
        """This process's videos, shuffled."""
        rank, num_shards = self._shard
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._videos))
        share = order[: len(order) // num_shards * num_shards][rank::num_shards]
        return [index for index in share.tolist() if index not in self._left_out]

    def _read(self, epoch: int, index: int) -> tuple[int, Pixels | BadVideo]:
        """Place, and clips [V, 3, T, h, w] or why there are none. Runs in a worker."""
        video_id, path = self._videos[index]
        # places from 1: numpy takes (seed, epoch, 0) for the (seed, epoch) of the order
        rng = np.random.default_rng((self._seed, epoch, index + 1))
        try:
            file = self._files.get(index) or ClipFile(path, video_id=video_id, num_frames=self._num_frames.get(index))
            clips = file.read_chosen(lambda count: random_starts(count, self._windows, rng), self._sampling)
        except BadVideo as error:
            return index, error
        if index in self._files or len(self._files) < MAX_KEPT:
            self._files[index] = file
        else:
            self._num_frames[index] = file.num_frames
        return index, np.ascontiguousarray(clips.transpose(0, 4, 1, 2, 3))

    def _leave_out(self, index: int, error: BadVideo) -> None:
        self._left_out.add(index)
        self.failed[self._videos[index][0]] = str(error)
        logger.warning("%s is left out: %s", self._videos[index][0], error)


def _batch(clips: list[Pixels], indices: list[int]) -> ClipBatch:
    one_size = len({clip.shape for clip in clips}) == 1
    return ClipBatch(np.stack(clips) if one_size else clips, np.array(indices, dtype=np.int64))
