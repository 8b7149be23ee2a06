"""Pictures of videos for pages: stills at moments, what a browser plays, and copies that it does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.video.container import StreamFacts, read_facts
from vidlang.video.files import is_frame_folder
from vidlang.video.reader import VideoReader, open_video
from vidlang.video.writer import write_timed_video

SHORT_SIDE = 240
"""Pixels of the shorter side of stills."""
FRAME_RATE = 25.0
"""Frames per second of a copy where a video does not say its own; for rate control, frames keep their times."""
JUMPING = ("mov", "matroska")
"""FFmpeg's names of containers in which every frame has a time, so that reading can start anywhere."""
PLAYED = {
    "mp4": ("h264", "av1", "vp9"),
    "webm": ("vp8", "vp9", "av1"),
}
"""What browsers play: codecs by container."""
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mp4", ".webm": "webm"}
MIMES = {"mp4": "video/mp4", "webm": "video/webm"}
CODEC_NAMES = {
    "hevc": "H.265",
    "mpeg4": "MPEG-4 Part 2",
    "mpeg1video": "MPEG-1",
    "mpeg2video": "MPEG-2",
    "mjpeg": "Motion JPEG",
    "h264": "H.264",
    "av1": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
}
Frame = NDArray[np.uint8]


def frames_at(
    path: Path, seconds: Sequence[float], short_side: int | None = SHORT_SIDE, frame_rate: float | None = None
) -> list[Frame]:
    """The frame [H, W, 3] that is shown at each of these seconds, in the order asked.

    A time before the start means the first frame, one past the end the last. Containers without a time for every
    frame (AVI, MPEG-PS and TS) are read once, from the start to the last moment asked for.

    frame_rate: frames per second of a folder of frames

    Raises:
        BadVideo: the video does not read.
    """
    with open_video(path, short_side=short_side, frame_rate=frame_rate) as reader:
        times = sorted(set(seconds))
        jumps = is_frame_folder(path) or read_facts(path).container.startswith(JUMPING)
        found = {} if jumps else _in_one_pass(reader, times)
        for time in times:
            if time not in found:
                found[time] = reader.read_from(time, 1).frames[0]
    return [found[time] for time in seconds]


def _in_one_pass(reader: VideoReader, times: Sequence[float]) -> dict[float, Frame]:
    """Frames by the moments at which they are shown; moments past the end have none. times: sorted"""
    found: dict[float, Frame] = {}
    if not times:
        return found

    def wanted(index: int, start: float, end: float) -> bool:
        return end > times[len(found)] + 1e-9

    for batch in reader.read_where(wanted, batch_size=1):
        end = float(batch.seconds[0, 1])
        while len(found) < len(times) and times[len(found)] + 1e-9 < end:
            found[times[len(found)]] = batch.frames[0]
        if len(found) == len(times):
            break
    return found


def why_not_played(path: Path) -> str | None:
    """What keeps browsers from playing a video, in words; None where nothing is known to.

    Raises:
        BadVideo: the file does not read.
    """
    if is_frame_folder(path):
        return "a folder of frames"
    facts = read_facts(path)
    container = CONTAINERS.get(path.suffix.lower())
    codec = CODEC_NAMES.get(facts.codec, facts.codec)
    if container is None:
        return f"{codec} in {path.suffix.lower().lstrip('.').upper() or 'a file without an ending'}"
    if facts.codec not in PLAYED[container]:
        return codec
    return _why_not_h264(facts) if facts.codec == "h264" else None


def _why_not_h264(facts: StreamFacts) -> str | None:
    """Only 8 bits and halved chroma are played everywhere."""
    common = ("yuv420p", "yuvj420p")
    return None if facts.pixel_format in common else f"H.264 with pixels of {facts.pixel_format}"


def mime_of(path: Path) -> str:
    """Of a file that browsers play."""
    return MIMES[CONTAINERS[path.suffix.lower()]]


def browser_copy(path: Path, frame_rate: float | None = None) -> bytes:
    """A video, or a folder of frames, as an H.264 MP4 file: full size, every frame at its time, without sound.

    frame_rate: frames per second of a folder of frames

    Raises:
        BadVideo: the video does not read.
    """
    with tempfile.TemporaryDirectory(prefix="vidlang-") as folder, open_video(path, frame_rate=frame_rate) as reader:
        target = Path(folder) / "copy.mp4"
        write_timed_video(target, _timed(reader), reader.info.frame_rate or FRAME_RATE)
        return target.read_bytes()


def _timed(reader: VideoReader) -> Iterator[tuple[Frame, float]]:
    for batch in reader.read(batch_size=4):
        for frame, (start, _) in zip(batch.frames, batch.seconds, strict=True):
            yield frame, float(start)
