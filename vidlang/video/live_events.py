"""What a stream tells: its frames, and what happens between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vidlang.video.source import Pixels


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """A decoded frame that knows its place and when it ends."""

    index: int
    """Counted from the last ``Gap``."""
    start: float
    """Seconds since the start of the stream."""
    end: float
    arrived: float
    """Seconds since the epoch when it came here."""
    lag: float
    """Seconds that it waited here before it was decoded."""
    to_rgb: Callable[[], Pixels]


@dataclass(frozen=True)
class Opened:
    """A source, or the next file of a folder, opened."""

    name: str
    size: tuple[int, int]
    """(height, width) in pixels; (0, 0) where only frames tell."""
    codec: str
    frame_rate: float


@dataclass(frozen=True)
class Gap:
    """Frames are missing before the next one. Those before it are all handed out."""

    reason: str
    """``lost`` or ``dropped``."""
    detail: str = ""
    num_dropped: int = 0
    """Frames that were dropped because nobody kept up; packets, which mostly are frames."""


@dataclass(frozen=True)
class Waiting:
    """The source does not come; the next attempt follows."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class Skipped:
    """A file of a folder that cannot be read."""

    name: str
    reason: str


@dataclass(frozen=True)
class Ended:
    """No frame follows."""

    reason: str
    """``end``, or ``gave up``."""
    detail: str = ""


@dataclass(frozen=True)
class Tick:
    """Nothing came for a moment."""


LiveEvent = LiveFrame | Opened | Gap | Waiting | Skipped | Ended | Tick
