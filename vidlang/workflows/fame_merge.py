"""Two videos into one: what moves in the first over the frames of the second, window by window."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, Progress
from vidlang.methods.fame.options import MaskOptions
from vidlang.methods.fame.windows import merge_frames
from vidlang.store.names import safe_component
from vidlang.store.workspace import Workspace
from vidlang.video.edits import filled
from vidlang.video.reader import VideoReader, open_video, probe
from vidlang.video.writer import write_video
from vidlang.workflows.fame import (
    WINDOW,
    MotionSummary,
    OneVideo,
    WindowFacts,
    check_window,
    masked_windows,
    summary_of,
)
from vidlang.workflows.targets import check_target, results_folder

Pixels = NDArray[np.uint8]

SAME_MOMENT = 1e-9
"""Seconds: a time that went through floating point still finds its own frame."""
BATCH = 8
"""Frames of the background that are read at a time."""


@dataclass(frozen=True)
class MergeOptions:
    """How videos are merged."""

    masks: MaskOptions = field(default_factory=MaskOptions)
    window: int = WINDOW
    """Frames that share a mask."""
    size: int | None = None
    """Pixels that the shorter side is brought down to; None: as it is."""
    intra: bool = False
    """The background is another time of the same video."""
    seed: int = 0
    """Which other time: draws the distance."""
    out: Path | None = None
    frame_rate: float | None = None
    """Frames per second of folders of images, which do not say it themselves."""

    def __post_init__(self) -> None:
        check_window(self.window)

    def to_dict(self) -> dict[str, Any]:
        """What decides the merged frames."""
        masks = self.masks.to_dict()
        plain = {"method": "fame", "mask": masks.pop("method"), **masks, "window": self.window, "size": self.size}
        return {**plain, "background": "intra", "seed": self.seed} if self.intra else {**plain, "background": "inter"}


@dataclass(frozen=True)
class MergeReport:
    """A merged video."""

    summary: MotionSummary
    """Of the foreground."""
    background: str
    file: Path
    made_by: dict[str, Any]
    notes: tuple[str, ...]
    """How the background was made to fit."""

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.fame_merge/1",
            "made_by": self.made_by,
            "file": str(self.file),
            "background": self.background,
            "notes": list(self.notes),
            **self.summary.to_dict(),
        }


def merge_videos(
    foreground: Path,
    background: Path | None,
    workspace: Workspace,
    options: MergeOptions | None = None,
    progress: Progress | None = None,
) -> MergeReport:
    """The moving pixels of one video over another one, or over another time of itself.

    The frame rate and the length are the foreground's; the background runs at its own speed, fills the picture from
    its middle, and starts again where it ends. Where nothing moves, frames stay whole. Sound is not kept.

    Raises:
        BadInput: the videos or the target do not go together.
        BadVideo: one of them does not read.
    """
    options, progress = options or MergeOptions(), progress or Progress()
    other = _other(foreground, background, options)
    target = options.out or _default_target(workspace, foreground, background)
    check_target(target, [foreground, other], [".mp4"])
    with open_video(foreground, short_side=options.size, frame_rate=options.frame_rate) as reader:
        start = _drawn_start(foreground, reader, options) if options.intra else 0.0
        with (
            progress.task("merge", total=1, unit="video") as task,
            OneVideo(task) as told,
            Background(other, start, options) as behind,
        ):
            facts: list[WindowFacts] = []
            merged = _merged(reader, behind, facts, options, told)
            write_video(target, merged, reader.info.frame_rate)
        summary = summary_of(reader, facts, "their frames stay unmerged")
    notes = behind.notes(summary.video.size)
    if options.intra:
        notes = [f"the background is the same video {start:.2f} s later, and its start after its end"]
    return MergeReport(summary, behind.name, target, options.to_dict(), tuple(notes))


class Background:
    """The frame of a video that is shown at a time, filled into another size; after its end it starts again."""

    def __init__(self, path: Path, start: float, options: MergeOptions) -> None:
        """start: seconds of the video to begin at"""
        self.name = path.name or path.resolve().name
        self.num_rounds = 0
        """How often it began, the first time included."""
        self._path, self._start, self._frame_rate = path, start, options.frame_rate
        self._size = probe(path, frame_rate=options.frame_rate).size
        self._target: tuple[int, int] = (0, 0)
        self._frames: Generator[tuple[float, Pixels], None, None] | None = None
        self._end, self._pixels = -math.inf, np.zeros((0, 0, 3), dtype=np.uint8)

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._frames is not None:
            self._frames.close()

    def at(self, seconds: NDArray[np.float64], size: tuple[int, int]) -> Pixels:
        """One frame for each time; times never fall. seconds: [N]    returns: [N, *size, 3]"""
        if self._frames is None:
            self._target, self._frames = size, self._shown()
        return np.stack([self._shown_at(float(moment)) for moment in seconds])

    def notes(self, size: tuple[int, int]) -> list[str]:
        """What was done to make it fit."""
        notes = []
        if self._size != size:
            (height, width), (own_height, own_width) = size, self._size
            notes.append(
                f"the background {own_width}x{own_height} is scaled and cropped around its middle to {width}x{height}"
            )
        if self.num_rounds > 1:
            notes.append(f"the background is shorter and starts again {_times(self.num_rounds - 1)}")
        return notes

    def _shown_at(self, moment: float) -> Pixels:
        assert self._frames is not None
        frame: Pixels | None = None
        while self._end <= moment + SAME_MOMENT:
            self._end, frame = next(self._frames)
        if frame is not None:
            self._pixels = filled(frame, self._target)
        return self._pixels

    def _shown(self) -> Generator[tuple[float, Pixels], None, None]:
        """(end on the merged clock, pixels) of frame after frame, for ever."""
        passed, start = 0.0, self._start
        while True:
            self.num_rounds += 1
            end, num_frames = start, 0
            for end, pixels in self._round(start):
                num_frames += 1
                yield passed + end - start, pixels
            if start == 0 and (num_frames == 1 or end <= 0):  # a picture, or no clock
                yield math.inf, pixels
            passed, start = passed + end - start, 0.0

    def _round(self, start: float) -> Iterator[tuple[float, Pixels]]:
        """(end in seconds, pixels) of the frames from a time to the end."""
        short_side = _covering_side(self._size, self._target)
        with (
            open_video(self._path, short_side=short_side, frame_rate=self._frame_rate) as reader,
            contextlib.closing(_generator(reader, start)) as batches,
        ):
            for batch in batches:
                for frame, (_, end) in zip(batch.frames, batch.seconds, strict=True):
                    yield float(end), frame


def _generator(reader: VideoReader, start: float) -> Generator[Any, None, None]:
    yield from reader.read_where(lambda _index, _start, end: end > start + SAME_MOMENT, BATCH)


def _merged(
    reader: VideoReader, behind: Background, facts: list[WindowFacts], options: MergeOptions, told: OneVideo
) -> Iterator[Pixels]:
    """The frames of the merged video; what is known of each window goes to ``facts``."""
    for window in masked_windows(reader, options.masks, options.window):
        facts.append(window.facts)
        frames = window.batch.frames
        height, width = frames.shape[1:3]
        backgrounds = behind.at(window.batch.seconds[:, 0], (height, width))
        yield from merge_frames(frames, backgrounds, window.found)
        told.passed(window.facts.frames[1], reader.info.num_frames)


def _other(foreground: Path, background: Path | None, options: MergeOptions) -> Path:
    """Where the background comes from."""
    for path in (foreground, *([] if background is None else [background])):
        if not path.exists():
            raise BadInput(f"{path} does not exist (here: {Path.cwd()}).")
    if options.intra:
        if background is not None:
            raise BadInput("--background intra takes the background from the first video; leave the second out.")
        return foreground
    if background is None:
        raise BadInput("Name a second video for the background, or take it from the same one with --background intra.")
    if background.resolve() == foreground.resolve():
        raise BadInput(f"{background} over itself changes nothing. For another time of it: --background intra.")
    return background


def _default_target(workspace: Workspace, foreground: Path, background: Path | None) -> Path:
    names = [path.stem or path.resolve().name for path in (foreground, background or foreground)]
    return results_folder(workspace, "fame-merge") / f"{safe_component('-over-'.join(names))}.mp4"


def _drawn_start(path: Path, reader: VideoReader, options: MergeOptions) -> float:
    """Seconds between a frame and its background: at least a window, and as far from the video's end.

    Raises:
        BadInput: the video is shorter than two windows.
    """
    info = reader.info
    if not info.duration or not info.num_frames:  # the header says nothing
        with open_video(path, short_side=options.size, frame_rate=options.frame_rate) as whole:
            for _ in whole.read_where(lambda *_: False):
                pass
            info = whole.info
    if info.num_frames < 2 * options.window:
        raise BadInput(
            f"{info.id} has {info.num_frames} frames; --background intra needs two windows of {options.window}. "
            "Take a smaller --window or a second video."
        )
    least = options.window * info.duration / info.num_frames
    return float(np.random.default_rng(options.seed).uniform(least, info.duration - least))


def _covering_side(size: tuple[int, int], target: tuple[int, int]) -> int | None:
    """The shorter side at which a picture still covers ``target``; None where it does not have more than that."""
    scale = max(target[0] / size[0], target[1] / size[1])
    return math.ceil(min(size) * scale) if scale < 1 else None


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
