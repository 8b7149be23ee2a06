"""What the verbs of motion masks share: videos in windows with one mask each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np

from vidlang.core import BadInput, BadVideo, VideoInfo
from vidlang.core.progress import Task
from vidlang.methods.fame.options import MaskOptions
from vidlang.methods.fame.windows import FrameMask, WindowMask
from vidlang.video.reader import FrameBatch, VideoReader

WINDOW = 16
"""Frames that share a mask, as in the published training."""
GREY_LEVELS = 255 / 3
"""From differences summed over three channels of 0 to 1 to grey levels of a channel."""


@dataclass(frozen=True)
class WindowFacts:
    """What is known of one window of a video."""

    frames: tuple[int, int]
    """Half-open."""
    seconds: tuple[float, float]
    area: float
    """Share of the pixels that the mask takes."""
    energy: float
    """Mean difference of frames that follow one another, in grey levels: mean over pixels and channels."""
    moves: bool
    """False where no pixel changes: the mask is empty then."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "frames": list(self.frames),
            "seconds": [round(second, 4) for second in self.seconds],
            "area": round(self.area, 6),
            "energy": round(self.energy, 6),
            "moves": self.moves,
        }


@dataclass(frozen=True, eq=False)
class MaskedWindow:
    """The frames of one window, and their mask."""

    batch: FrameBatch
    found: FrameMask
    facts: WindowFacts


@dataclass(frozen=True)
class MotionSummary:
    """The windows of one video."""

    video: VideoInfo
    windows: tuple[WindowFacts, ...]
    warnings: tuple[str, ...]

    @property
    def area(self) -> float:
        """Mean over the frames."""
        return self._mean([window.area for window in self.windows])

    @property
    def energy(self) -> float:
        """Grey levels, mean over the frames."""
        return self._mean([window.energy for window in self.windows])

    @property
    def num_still(self) -> int:
        """Windows in which nothing moves."""
        return sum(not window.moves for window in self.windows)

    def to_dict(self) -> dict[str, Any]:
        return {
            "video": self.video.id,
            "size": list(self.video.size),
            "frame_rate": self.video.frame_rate,
            "duration": self.video.duration,
            "area": round(self.area, 6),
            "energy": round(self.energy, 6),
            "windows": [window.to_dict() for window in self.windows],
            "warnings": list(self.warnings),
        }

    def _mean(self, values: Sequence[float]) -> float:
        return float(np.average(values, weights=[end - start for start, end in (w.frames for w in self.windows)]))


def masked_windows(reader: VideoReader, options: MaskOptions, window: int = WINDOW) -> Iterator[MaskedWindow]:
    """One mask for every ``window`` frames, in order; no more than two windows are in memory.

    Raises:
        BadVideo: no frame decodes, or only one.
        BadInput: the frames are too small for the blur of ``options``.
    """
    check_window(window)
    _check_blur(reader.info, options)
    masker: WindowMask | None = None
    for batch in windows_of(reader, window):
        if masker is None:
            height, width = batch.frames.shape[1:3]
            masker = WindowMask((height, width), options)
        for frame in batch.frames:
            masker.push(frame)
        yield _masked(batch, masker.finish())


def windows_of(reader: VideoReader, window: int) -> Iterator[FrameBatch]:
    """A video's frames, ``window`` at a time; a last one that would stand alone joins the window before.

    Raises:
        BadVideo: no frame decodes, or only one.
    """
    held: FrameBatch | None = None
    for batch in reader.read(window):
        if held is not None and len(batch) == 1:
            batch = _joined(held, batch)
        elif held is not None:
            yield held
        held = batch
    assert held is not None, "a reader gives at least one frame"
    if len(held) == 1:
        raise BadVideo(f"{reader.info.id} has one frame; motion is told by two or more. Give a video.")
    yield held


def summary_of(
    reader: VideoReader, windows: Sequence[WindowFacts], still: str = "their masks are empty"
) -> MotionSummary:
    """After the last window: the facts of the video, and what must be said of it.

    still: what becomes of windows in which nothing moves
    """
    summary = MotionSummary(reader.info, tuple(windows), tuple(reader.warnings))
    if not summary.num_still:
        return summary
    said = f"no motion in {summary.num_still} of {len(windows)} windows; {still}"
    return replace(summary, warnings=(*summary.warnings, said))


class OneVideo:
    """Tells a task, whose unit is a video, how much of one has passed; at the end all of it, also where it failed."""

    def __init__(self, task: Task) -> None:
        self._task, self._told = task, 0.0

    def __enter__(self) -> OneVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.passed(1, 1)

    def passed(self, frames: int, num_frames: int) -> None:
        """num_frames: of the video, 0 where its header does not say"""
        share = min(frames / num_frames, 1.0) if num_frames else 0.0
        self._task.advance(share - self._told)
        self._told = share


def check_window(window: int) -> None:
    """Raises BadInput for a window in which nothing can move."""
    if window < 2:
        raise BadInput(f"A window needs at least 2 frames, got {window}. Try --window 16.")


def _check_blur(info: VideoInfo, options: MaskOptions) -> None:
    height, width = info.size
    try:
        options.blur_size(height, width)
    except ValueError as error:
        raise BadInput(f"{info.id} cannot be masked: {error}.") from error


def _masked(batch: FrameBatch, found: FrameMask) -> MaskedWindow:
    facts = WindowFacts(
        frames=(int(batch.indices[0]), int(batch.indices[-1]) + 1),
        seconds=(float(batch.seconds[0, 0]), float(batch.seconds[-1, 1])),
        area=float(found.mask.mean()),
        energy=found.energy * GREY_LEVELS,
        moves=found.moves,
    )
    return MaskedWindow(batch, found, facts)


def _joined(first: FrameBatch, second: FrameBatch) -> FrameBatch:
    return FrameBatch(
        np.concatenate([first.frames, second.frames]),
        np.concatenate([first.indices, second.indices]),
        np.concatenate([first.seconds, second.seconds]),
    )
