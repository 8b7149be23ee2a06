"""The frames that stand for each snippet of a video, in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from vidlang.core.features import Sampling
from vidlang.core.video import VideoInfo
from vidlang.video.medium import Decoder
from vidlang.video.reader import VideoReader, open_video
from vidlang.video.sampling import SnippetSampler
from vidlang.video.source import Pixels, TimedFrame

Picked = tuple[Pixels, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class SnippetBatch:
    """Some frames and the snippet rows that each counts for."""

    frames: NDArray[np.uint8]
    """[N, H, W, 3] RGB."""
    rows: list[tuple[int, ...]]
    """N tuples, none empty. With pick ``mean`` a row has several frames, and rows at or past the final T belong to a
    dropped tail: leave them out. With ``middle`` and ``first`` every row below T comes exactly once and no other."""


def open_snippets(
    path: Path,
    sampling: Sampling,
    *,
    video_id: str | None = None,
    frame_rate: float | None = None,
    short_side: int | None = None,
    batch_size: int = 32,
    decoder: Decoder = "auto",
    threads: int = 0,
) -> SnippetStream:
    """Opens a video for one pass over its snippets; options as in ``open_video``.

    Raises:
        BadVideo: it does not open as a video.
    """
    reader = open_video(
        path, video_id=video_id, frame_rate=frame_rate, short_side=short_side, decoder=decoder, threads=threads
    )
    return SnippetStream(reader, sampling, batch_size)


class SnippetStream:
    """Iterate once; afterwards ``info`` is exact and ``frames`` and ``seconds`` say what each row covers."""

    def __init__(self, reader: VideoReader, sampling: Sampling, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._reader, self._sampling, self._batch_size = reader, sampling, batch_size
        self._sampler = SnippetSampler(sampling)
        self._rulers: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None
        self._warnings: list[str] = []

    def __enter__(self) -> SnippetStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    @property
    def info(self) -> VideoInfo:
        """Estimates before the end, exact after it."""
        return self._reader.info

    @property
    def warnings(self) -> list[str]:
        return self._warnings or self._reader.warnings

    @property
    def decoder(self) -> str:
        return self._reader.decoder

    @property
    def frames(self) -> NDArray[np.int64]:
        """[T, 2] half-open spans of frame indices."""
        return self._after_the_end()[0]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """[T, 2] half-open, presentation clock."""
        return self._after_the_end()[1]

    def _after_the_end(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        if self._rulers is None:
            raise ValueError(f"the rows of {self.info.id} are known after the last batch was read")
        return self._rulers

    def __iter__(self) -> Iterator[SnippetBatch]:
        """Batches of ``batch_size`` frames; the last may be smaller.

        Raises:
            BadVideo: no frame decodes.
        """
        waiting: list[Picked] = []
        for picked in self._picked():
            waiting.append(picked)
            if len(waiting) == self._batch_size:
                yield _batch(waiting)
                waiting = []
        if waiting:
            yield _batch(waiting)

    def _picked(self) -> Iterator[Picked]:
        """Frames with their rows. A frame of ``middle`` and ``first`` waits until its snippet is sure to stay."""
        dense = self._sampling.pick == "mean"
        unsure: list[Picked] = []
        last: TimedFrame | None = None
        for frame in self._reader.timed_frames("every" if dense else "some"):
            rows = self._sampler.rows_of(frame.index, frame.start, frame.end)
            if rows:
                unsure.append((frame.to_rgb(), rows))
            while unsure and (dense or unsure[0][1][-1] < self._sampler.num_sure):
                yield unsure.pop(0)
            last = frame
        assert last is not None, "a video without frames ends in an error"
        self._warnings = self._reader.warnings
        self._rulers = self._sampler.finish()
        yield from self._settled(unsure, last)

    def _settled(self, unsure: list[Picked], last: TimedFrame) -> Iterator[Picked]:
        """At the end: what stays of the unsure frames, then rows that still lack their frame."""
        late = {row for _, rows in self._sampler.late for row in rows}
        num_rows = len(self.frames)
        for pixels, rows in unsure:
            kept = tuple(row for row in rows if row < num_rows and row not in late)
            if kept:
                yield pixels, kept
        for index, rows in self._sampler.late:
            yield (last.to_rgb() if index == last.index else self._again(index)), rows

    def _again(self, index: int) -> Pixels:
        """A frame of a video shorter than one snippet, read once more."""
        pixels: Pixels = self._reader.read_at([index]).frames[0]
        return pixels


def _batch(picked: list[Picked]) -> SnippetBatch:
    return SnippetBatch(np.stack([pixels for pixels, _ in picked]), [rows for _, rows in picked])
