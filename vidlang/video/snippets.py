"""The frames that stand for each snippet of a video, and masks of what moves in it, in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidlang.core.features import Sampling
from vidlang.core.video import VideoInfo
from vidlang.video.medium import Decoder
from vidlang.video.reader import VideoReader, open_video
from vidlang.video.sampling import SAME_MOMENT, SnippetSampler
from vidlang.video.source import Pixels, TimedFrame, scaled_size

Mask = NDArray[np.bool_]
"""[h, w] True where something moves."""


class Window(Protocol):
    """Finds what moves in the frames of one snippet after the other."""

    def push(self, frame: Pixels) -> None:
        """The next frame of the snippet, [h, w, 3]."""
        ...

    def finish(self) -> Mask | None:
        """The mask of the frames since the last call; None where nothing moves. The next snippet starts."""
        ...


@dataclass(frozen=True)
class MotionWatch:
    """Every frame of a video is shown to a window, small. This costs the conversion of every frame, not of the picked
    ones alone, and holds one picture at a time."""

    short_side: int
    """Pixels."""
    open_window: Callable[[tuple[int, int]], Window]
    """Takes (height, width) of the small frames."""


@dataclass(frozen=True, eq=False)
class Picked:
    """A frame and the snippet rows that it stands for."""

    pixels: Pixels
    rows: tuple[int, ...]
    mask: Mask | None = None


@dataclass(frozen=True, eq=False)
class SnippetBatch:
    """Some frames and the snippet rows that each counts for."""

    frames: NDArray[np.uint8]
    """[N, H, W, 3] RGB."""
    rows: list[tuple[int, ...]]
    """N tuples, none empty. With pick ``mean`` a row has several frames, and rows at or past the final T belong to a
    dropped tail: leave them out. With ``middle`` and ``first`` every row below T comes exactly once and no other."""
    masks: list[Mask | None] = field(default_factory=list)
    """N masks of what moves in the snippet of each frame, None where nothing does; empty where nobody watches."""


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
    watch: MotionWatch | None = None,
) -> SnippetStream:
    """Opens a video for one pass over its snippets; options as in ``open_video``.

    watch: finds what moves in each snippet; with pick ``middle`` and ``first`` only

    Raises:
        BadVideo: it does not open as a video.
    """
    reader = open_video(
        path, video_id=video_id, frame_rate=frame_rate, short_side=short_side, decoder=decoder, threads=threads
    )
    return SnippetStream(reader, sampling, batch_size, watch)


class SnippetStream:
    """Iterate once; afterwards ``info`` is exact and ``frames`` and ``seconds`` say what each row covers."""

    def __init__(
        self, reader: VideoReader, sampling: Sampling, batch_size: int = 32, watch: MotionWatch | None = None
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if watch is not None and sampling.pick == "mean":
            raise ValueError("motion is watched in snippets that one frame stands for, got pick 'mean'")
        self._reader, self._sampling, self._batch_size = reader, sampling, batch_size
        self._sampler = SnippetSampler(sampling)
        self._watcher = None if watch is None else _Watcher(watch, sampling)
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
        for picked in self._masked():
            waiting.append(picked)
            if len(waiting) == self._batch_size:
                yield self._batch(waiting)
                waiting = []
        if waiting:
            yield self._batch(waiting)

    def _batch(self, picked: list[Picked]) -> SnippetBatch:
        masks = [one.mask for one in picked] if self._watcher is not None else []
        return SnippetBatch(np.stack([one.pixels for one in picked]), [one.rows for one in picked], masks)

    def _masked(self) -> Iterator[Picked]:
        """The picked frames with the masks of their snippets, each once its snippet was seen to its end."""
        if self._watcher is None:
            yield from self._picked()
            return
        waiting: list[Picked] = []
        for picked in self._picked():
            waiting.append(picked)
            while waiting and waiting[0].rows[-1] < self._watcher.num_done:
                yield from self._watcher.masked(waiting.pop(0))
        self._watcher.close()
        for picked in waiting:
            yield from self._watcher.masked(picked)

    def _picked(self) -> Iterator[Picked]:
        """Frames with their rows. A frame of ``middle`` and ``first`` waits until its snippet is sure to stay."""
        dense = self._sampling.pick == "mean"
        unsure: list[Picked] = []
        last: TimedFrame | None = None
        for frame in self._reader.timed_frames("every" if dense else "some"):
            rows = self._sampler.rows_of(frame.index, frame.start, frame.end)
            pixels = frame.to_rgb() if rows or self._watcher is not None else None
            if self._watcher is not None and pixels is not None:
                self._watcher.take(frame, pixels)
            if rows and pixels is not None:
                unsure.append(Picked(pixels, rows))
            while unsure and (dense or unsure[0].rows[-1] < self._sampler.num_sure):
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
        for picked in unsure:
            kept = tuple(row for row in picked.rows if row < num_rows and row not in late)
            if kept:
                yield Picked(picked.pixels, kept)
        for index, rows in self._sampler.late:
            yield Picked(last.to_rgb() if index == last.index else self._again(index), rows)

    def _again(self, index: int) -> Pixels:
        """A frame of a video shorter than one snippet, read once more."""
        pixels: Pixels = self._reader.read_at([index]).frames[0]
        return pixels


class _Watcher:
    """Shows every frame to the window of the snippet that it lies in, and keeps masks until their frames ask."""

    def __init__(self, watch: MotionWatch, sampling: Sampling) -> None:
        self._watch, self._sampling = watch, sampling
        self._window: Window | None = None
        self._masks: dict[int, Mask] = {}
        self.num_done = 0
        """Snippets that no further frame lies in."""

    def take(self, frame: TimedFrame, pixels: Pixels) -> None:
        row = self._row(frame)
        if row > self.num_done:
            self.close()
            self.num_done = row
        height, width = scaled_size((pixels.shape[0], pixels.shape[1]), self._watch.short_side)
        if self._window is None:
            self._window = self._watch.open_window((height, width))
        self._window.push(_shrunk(pixels, height, width))

    def close(self) -> None:
        """No further frame of the snippet at hand comes."""
        if self._window is None:
            return
        mask = self._window.finish()
        if mask is not None:
            self._masks[self.num_done] = mask

    def masked(self, picked: Picked) -> Iterator[Picked]:
        """The same frame once for each of its rows that has a mask, and once for all that have none."""
        still = []
        for row in picked.rows:
            mask = self._masks.pop(row, None)
            if mask is None:
                still.append(row)
            else:
                yield Picked(picked.pixels, (row,), mask)
        if still:
            yield Picked(picked.pixels, tuple(still))

    def _row(self, frame: TimedFrame) -> int:
        if self._sampling.fps is None:
            return frame.index // self._sampling.stride
        return math.floor(frame.start * self._sampling.fps + SAME_MOMENT)


def _shrunk(pixels: Pixels, height: int, width: int) -> Pixels:
    """[H, W, 3] → [height, width, 3], each pixel the mean of those it stands for, which averages noise out."""
    if pixels.shape[:2] == (height, width):
        return pixels
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))
