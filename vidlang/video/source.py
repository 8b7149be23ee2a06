"""What every decoder hands over: frames in presentation order with their clock, pixels on demand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

NEIGHBOURS_FOR_SPACING = 64
"""How many of the last distances between frames the median looks at; bounded, for videos of any length."""


@dataclass(frozen=True)
class RawFrame:
    """A decoded frame whose conversion to RGB waits until somebody wants it."""

    start: float
    """Seconds after the first frame; never falls from one frame to the next."""
    duration: float
    """Seconds that the stream claims for this frame; 0 where it does not say."""
    to_rgb: Callable[[], Pixels]
    """[H, W, 3]"""


@dataclass(frozen=True)
class TimedFrame:
    """A frame that knows its place and when it ends."""

    index: int
    start: float
    end: float
    to_rgb: Callable[[], Pixels]


@dataclass(frozen=True)
class Facts:
    """What the header and the first frame tell."""

    num_frames: int
    """The header's promise; 0 where it makes none."""
    duration: float
    frame_rate: float
    size: tuple[int, int]
    """(height, width) as handed out: after rotation and scaling."""


class FrameSource(Protocol):
    """One way of reading a video from its start."""

    name: str
    """Decoder and version, such as ``pyav 18.1.0``."""

    @property
    def warnings(self) -> list[str]:
        """What the last reading met."""
        ...

    def frames(self) -> Iterator[RawFrame]:
        """Every frame in order; each call starts again."""
        ...


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Some frames of one video."""

    frames: NDArray[np.uint8]
    """[N, H, W, 3] RGB."""
    indices: NDArray[np.int64]
    """[N] frame indices from 0."""
    seconds: NDArray[np.float64]
    """[N, 2] presentation start and end, half-open."""

    def __len__(self) -> int:
        return len(self.indices)


def timed(frames: Iterable[RawFrame], first: int = 0) -> Iterator[TimedFrame]:
    """Gives each frame its index, counted from ``first``, and its end: the start of the next frame.

    The last frame ends after its own duration or, where the stream does not say, after the median distance of the
    frames before it.
    """
    spacings: deque[float] = deque(maxlen=NEIGHBOURS_FOR_SPACING)
    index = first - 1
    waiting: RawFrame | None = None
    for index, frame in enumerate(frames, start=first):
        if waiting is not None:
            spacings.append(frame.start - waiting.start)
            yield TimedFrame(index - 1, waiting.start, frame.start, waiting.to_rgb)
        waiting = frame
    if waiting is not None:
        length = waiting.duration if waiting.duration > 0 else float(np.median(spacings)) if spacings else 0.0
        yield TimedFrame(index, waiting.start, waiting.start + length, waiting.to_rgb)


def batched(frames: Iterable[TimedFrame], batch_size: int) -> Iterator[FrameBatch]:
    """Converts frames and hands them over ``batch_size`` at a time; the last batch may be smaller."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    chosen: list[TimedFrame] = []
    pixels: list[Pixels] = []
    for frame in frames:
        pixels.append(frame.to_rgb())
        # The closure holds the decoder's own picture: it goes as soon as the pixels are there.
        chosen.append(TimedFrame(frame.index, frame.start, frame.end, _spent))
        if len(chosen) == batch_size:
            yield stack(chosen, pixels)
            chosen, pixels = [], []
    if chosen:
        yield stack(chosen, pixels)


def stack(frames: list[TimedFrame], pixels: list[Pixels]) -> FrameBatch:
    """One batch of frames that are already converted."""
    return FrameBatch(
        frames=np.stack(pixels),
        indices=np.array([frame.index for frame in frames], dtype=np.int64),
        seconds=np.array([(frame.start, frame.end) for frame in frames], dtype=np.float64).reshape(-1, 2),
    )


def _spent() -> Pixels:
    raise AssertionError("these pixels were handed out already")


def scaled_size(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """(height, width) whose shorter side is ``short_side``; never larger than it was.

    >>> scaled_size((360, 640), 224)
    (224, 398)
    """
    height, width = size
    if short_side is None or min(size) <= short_side:
        return size
    scale = short_side / min(size)
    return max(1, round(height * scale)), max(1, round(width * scale))
