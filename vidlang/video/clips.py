"""Clips for video networks: windows of consecutive frames, straight from video files.

A window is ``num_frames * step`` consecutive frames of which every ``step``-th is kept; windows start at every frame
that leaves room for a whole one. A video that is shorter than a window has one all the same: its frames at evenly
spaced places, repeated where they do not suffice, never those of another video.

Which frames come is exact. Files whose packets promise one frame each with a time of its own (MP4, MOV, Matroska, WebM)
are entered at the key frame before a window, and every decoded frame is checked against the promise. All others (AVI,
MPEG-PS and TS, raw streams), and files that break the promise, are read from their start to the last frame wanted.

The number of frames is that of the packets for the first, which are all read and none decoded, and that of the decoded
frames for the others: AVI counts packets that show nothing and packets that show two. A damaged file has fewer frames
than packets. Reading notices that, corrects ``num_frames`` and says so by `FramesMissing`, so that the caller can choose
its windows again.

Source: windows as in the published training of FAME (arXiv 2109.15130), which takes torchvision's.
Differs: a video shorter than a window takes the next video's windows there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadVideo


@dataclass(frozen=True)
class ClipSampling:
    """Which frames make a clip."""

    num_frames: int = 16
    """Frames of a clip, axis T."""
    step: int = 2
    """One frame in so many is kept."""
    short_side: int | None = 128
    """Pixels of the shorter side of the frames that come, down or up (bicubic); None: as they are."""

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.step < 1 or (self.short_side is not None and self.short_side < 1):
            raise ValueError(f"num_frames, step and short_side must be at least 1, got {self}")

    @property
    def window(self) -> int:
        """Consecutive frames that a clip spans."""
        return self.num_frames * self.step

    def num_windows(self, total_frames: int) -> int:
        """Windows of a video: one for each place where a whole one starts, and one for a shorter video.

        Raises:
            ValueError: there is no frame.
        """
        raise NotImplementedError

    def indices(self, start: int, total_frames: int) -> NDArray[np.int64]:
        """Frame indices [T] of the window that starts at a frame.

        >>> ClipSampling(4, 2).indices(3, 100).tolist()
        [3, 5, 7, 9]
        >>> ClipSampling(4, 2).indices(0, 3).tolist()
        [0, 0, 1, 2]

        Raises:
            ValueError: no window starts there.
        """
        raise NotImplementedError


class FramesMissing(BadVideo):
    """A file has fewer frames that decode than its packets promise."""


class ClipFile:
    """Clips of one video: a file, or a folder of images. Not for two threads at once.

    num_frames: frames that decode, where the caller knows them from before; else they are counted when asked for.
    threads: decoding threads; one, since clips of many videos are read side by side.

    Raises:
        BadVideo: it does not open as a video.
    """

    def __init__(
        self, path: Path, *, video_id: str | None = None, num_frames: int | None = None, threads: int = 1
    ) -> None:
        raise NotImplementedError

    @property
    def num_frames(self) -> int:
        """Frames that decode."""
        raise NotImplementedError

    def num_windows(self, sampling: ClipSampling) -> int:
        """Windows to choose from, at least 1."""
        return sampling.num_windows(self.num_frames)

    def read(self, starts: Sequence[int], sampling: ClipSampling) -> NDArray[np.uint8]:
        """Clips [W, T, h, w, 3] of the windows that start at these frames, in the order asked.

        Raises:
            FramesMissing: fewer frames decode than were counted; ``num_frames`` is right from then on.
            BadVideo: no frame decodes.
            ValueError: no window is asked for, or one starts where none can.
        """
        raise NotImplementedError


def count_frames(path: Path) -> int:
    """The number of frames that decode.

    Raises:
        BadVideo: it does not open as a video, or no frame decodes.
    """
    return ClipFile(path).num_frames


def uniform_starts(num_windows: int, num_clips: int) -> NDArray[np.int64]:
    """Starts [num_clips] evenly from the first window to the last: ``floor(linspace(0, num_windows - 1, num_clips))``.

    Raises:
        ValueError: either is below 1.
    """
    raise NotImplementedError


def random_starts(num_windows: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Random starts [count], all different where there are as many windows, else each window as often as the others.

    Raises:
        ValueError: either is below 1.
    """
    raise NotImplementedError
