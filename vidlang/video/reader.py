"""One interface over the decoders: frames with their index and presentation seconds, always the right ones.

Which decoder reads (``auto``), argued from measurements on files whose frames carry their number:

- some frames of a video, in order: PyAV, which converts only the wanted ones;
- from a moment on: PyAV, which seeks the key frame before and decodes forward where every packet states its time, and
  reads from the start where the container does not (AVI, MPEG-PS, MPEG-TS, raw streams) or where the file is damaged;
- every frame in order at full size: decord where the file is proven to read rightly and short enough for its hunger
  for memory, PyAV elsewhere;
- a folder of images: the images.

The frame index counts the frames that decode from the start of the file. After a jump it counts packets, which is the
same unless packets before it are damaged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np

from vidlang.core.errors import BadVideo, MissingDependency
from vidlang.core.video import VideoInfo
from vidlang.video.decord_reader import decord_version
from vidlang.video.files import (
    IMAGE_EXTENSIONS,
    VIDEO_EXTENSIONS,
    find_videos,
    identify,
    is_frame_folder,
    is_video,
)
from vidlang.video.medium import Decoder, ImageFolder, Medium, VideoFile
from vidlang.video.pyav_reader import JumpFailed
from vidlang.video.source import FrameBatch, TimedFrame, batched, timed

__all__ = [
    "IMAGE_EXTENSIONS",
    "VIDEO_EXTENSIONS",
    "FrameBatch",
    "VideoReader",
    "find_videos",
    "identify",
    "is_video",
    "open_video",
    "probe",
]

SAME_RATE = 0.005
"""Share by which the header's frame rate may differ from the measured one and still be the one to show."""


def probe(path: Path, *, video_id: str | None = None, frame_rate: float | None = None) -> VideoInfo:
    """Header facts and one decoded frame, cheap; ``num_frames`` is the header's estimate, 0 where it makes none.

    Raises:
        BadVideo: the file does not open as a video.
    """
    with open_video(path, video_id=video_id, frame_rate=frame_rate) as reader:
        return reader.info


def open_video(
    path: Path,
    *,
    video_id: str | None = None,
    frame_rate: float | None = None,
    short_side: int | None = None,
    decoder: Decoder = "auto",
    threads: int = 0,
) -> VideoReader:
    """A reader of a video file or a folder of images.

    video_id: what to call it; the file's name by default.
    frame_rate: frames per second of a folder of images, which has no clock of its own (25 by default); files know.
    short_side: bring the shorter side down to this many pixels while converting (bicubic); None or larger: full size.
    decoder: ``auto`` chooses per file and access; ``decord`` insists on it for ``read`` and refuses files that it does
        not read rightly (sparse reading and jumps stay with PyAV); ``pyav`` never uses decord.
    threads: decoding threads, 0 for as many as there are cores.

    Raises:
        BadVideo: it does not open as a video.
        MissingDependency: decord is insisted on but not installed.
    """
    path = Path(path)
    if frame_rate is not None and not 0 < frame_rate < float("inf"):
        raise ValueError(f"frame_rate must be positive and finite, got {frame_rate}")
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side must be at least 1 pixel, got {short_side}")
    if decoder not in ("auto", "pyav", "decord"):
        raise ValueError(f"decoder must be 'auto', 'pyav' or 'decord', got {decoder!r}")
    if decoder == "decord" and decord_version() is None:
        raise MissingDependency("decord is not installed. Run: pip install decord (or read with the decoder 'pyav').")
    name = video_id or path.name or path.resolve().name
    if is_frame_folder(path):
        return VideoReader(name, ImageFolder(path, frame_rate, short_side))
    return VideoReader(name, VideoFile(path, short_side, decoder, threads))


class VideoReader:
    """Frames of one video. Every reading method starts again from the beginning of the file; use one at a time."""

    def __init__(self, video_id: str, medium: Medium) -> None:
        facts = medium.facts
        self._medium = medium
        self.info = VideoInfo(video_id, facts.num_frames, facts.duration, facts.frame_rate, facts.size)
        """Estimates at first; exact after the video was read to its end."""
        self._source = medium.in_order("some")

    @property
    def decoder(self) -> str:
        """What really reads: ``pyav 18.1.0``, ``decord 0.6.0`` or ``frames``."""
        return self._source.name

    @property
    def warnings(self) -> list[str]:
        """What the last reading met, such as damaged packets or a truncated end; complete once it is at its end."""
        return list(self._source.warnings)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing stays open between readings; an unfinished one closes its file when its iterator goes."""

    def read(self, batch_size: int = 32) -> Iterator[FrameBatch]:
        """Every frame in order.

        Raises:
            BadVideo: no frame decodes.
        """
        return batched(self.timed_frames("every"), batch_size)

    def read_where(self, wanted: Callable[[int, float, float], bool], batch_size: int = 32) -> Iterator[FrameBatch]:
        """The frames that ``wanted(index, start, end)`` takes, in order; only these are converted to RGB.

        Raises:
            BadVideo: no frame decodes.
        """
        frames = self.timed_frames("some")
        return batched((frame for frame in frames if wanted(frame.index, frame.start, frame.end)), batch_size)

    def read_at(self, indices: Sequence[int]) -> FrameBatch:
        """Frames by index, in the order asked, repeats allowed: one pass from the start to the last of them.

        Raises:
            BadVideo: the video has fewer frames.
            ValueError: an index is negative, or none is given.
        """
        asked = [int(index) for index in indices]
        if not asked or min(asked) < 0:
            raise ValueError(f"indices must name at least one frame and none below 0, got {asked}")
        wanted = sorted(set(asked))
        with contextlib.closing(self.timed_frames("some")) as frames:
            passing = itertools.islice(frames, wanted[-1] + 1)
            found = next(batched((frame for frame in passing if frame.index in set(wanted)), len(wanted)), None)
        if found is None or len(found) < len(wanted):
            missing = wanted[0 if found is None else len(found)]
            known = f"{self.info.id} has {self.info.num_frames} frames that decode"
            raise BadVideo(f"{known}; frame {missing} was asked for.")
        places = np.searchsorted(found.indices, asked)
        return FrameBatch(found.frames[places], found.indices[places], found.seconds[places])

    def read_from(self, seconds: float, num_frames: int, step: int = 1) -> FrameBatch:
        """A jump: the frame shown at ``seconds`` and every ``step``-th after it, ``num_frames`` in all.

        A time before the start means the first frame, one past the end the last frame. Fewer frames come where the
        video ends before.

        Raises:
            BadVideo: no frame decodes.
            ValueError: ``num_frames`` or ``step`` is below 1, or ``seconds`` is not finite.
        """
        if num_frames < 1 or step < 1 or not np.isfinite(seconds):
            raise ValueError(
                f"expected finite seconds, num_frames and step of at least 1, got {seconds}, {num_frames}, {step}"
            )
        jump = self._medium.jump(seconds)
        if jump is not None:
            first, self._source, frames = jump
            try:
                return _every(timed(frames, first), num_frames, step)
            except JumpFailed:
                self._medium.distrust()
        return _every(_shown_from(self.timed_frames("some"), seconds), num_frames, step)

    def timed_frames(self, access: Literal["every", "some"]) -> Generator[TimedFrame, None, None]:
        """Every frame in order, not yet converted: for this room's own use.

        Raises:
            BadVideo: no frame decodes.
        """
        self._source = self._medium.in_order(access)
        frame: TimedFrame | None = None
        for frame in timed(self._source.frames()):
            yield frame
        if frame is None:
            raise BadVideo(f"No frame of {self.info.id} decodes.")
        self.info = _exact(self.info, frame)


def _shown_from(frames: Iterable[TimedFrame], seconds: float) -> Iterator[TimedFrame]:
    """From the frame shown at a time on; the last frame where the video ends before."""
    last: TimedFrame | None = None
    # 1e-9 s: a start that went through floating point still finds its own frame.
    frames = iter(frames)
    for frame in frames:
        if frame.end > seconds + 1e-9:
            yield frame
            yield from frames
            return
        last = frame
    if last is not None:
        yield last


def _every(frames: Iterable[TimedFrame], num_frames: int, step: int) -> FrameBatch:
    """``num_frames`` frames, each ``step`` after the one before."""
    chosen = itertools.islice(frames, 0, (num_frames - 1) * step + 1, step)
    return next(batched(chosen, num_frames))


def _exact(info: VideoInfo, last: TimedFrame) -> VideoInfo:
    """The facts after the last frame was seen."""
    num_frames = last.index + 1
    rate = num_frames / last.end if last.end > 0 else info.frame_rate
    if info.frame_rate and abs(rate / info.frame_rate - 1) < SAME_RATE:
        rate = info.frame_rate
    return dataclasses.replace(info, num_frames=num_frames, duration=last.end, frame_rate=rate)
