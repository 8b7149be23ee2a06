"""A video with its scores, events and truth drawn into it: read once in order, painted, written; constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vidlang.core import Progress
from vidlang.core.progress import Task
from vidlang.report.overlay import OverlayLayers, OverlayPainter
from vidlang.video.reader import VideoReader, open_video
from vidlang.video.source import Pixels
from vidlang.video.writer import write_timed_video
from vidlang.workflows.targets import check_target

ENDINGS = (".mp4", ".mov", ".mkv")
FRAME_RATE = 25.0
"""Frames per second where a video does not say its own; for rate control, frames keep their times."""
FRAMES_AT_ONCE = 4


def write_overlay(
    video: Path,
    out: Path,
    layers: OverlayLayers,
    *,
    progress: Progress | None = None,
    frame_rate: float | None = None,
) -> None:
    """Writes ``video`` (a file or a folder of frames) with the layers on it as H.264, without sound.

    Every frame keeps its time, also where the rate varies; turned videos are written upright; odd sides gain one row
    or column. The file appears when it is whole.

    frame_rate: frames per second of a folder of frames

    Raises:
        BadVideo: the video does not read.
        BadInput: ``out`` is no file for a video, or is the video itself.
    """
    check_target(out, [video], ENDINGS)
    progress = progress or Progress()
    with open_video(video, frame_rate=frame_rate) as reader:
        total = reader.info.num_frames or None
        with progress.task(f"overlay {out.name}", total=total, unit="frame") as task:
            frames = _painted(reader, layers, task)
            write_timed_video(out, frames, reader.info.frame_rate or FRAME_RATE)


def _painted(reader: VideoReader, layers: OverlayLayers, task: Task) -> Iterator[tuple[Pixels, float]]:
    """Frames and the seconds from which they are shown."""
    painter: OverlayPainter | None = None
    for batch in reader.read(FRAMES_AT_ONCE):
        for frame, (start, end) in zip(batch.frames, batch.seconds, strict=True):
            painter = painter or OverlayPainter(layers, frame.shape[:2])
            yield painter.paint(frame, (start + end) / 2), float(start)
        task.advance(len(batch))
