"""Opening containers with PyAV, and the facts that the header and the first frame tell."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from vidlang.core.errors import BadVideo
from vidlang.video.files import IMAGE_EXTENSIONS

ATTACHED_PICTURE = 0x400
"""AV_DISPOSITION_ATTACHED_PIC: cover art that travels as a video stream."""
DEFAULT_STREAM = 0x1
MAX_BROKEN_READS = 8
"""Failed reads in a row after which the rest of a container is given up."""

LOCAL_FILES_ONLY = {"protocol_whitelist": "file"}
"""A playlist in disguise must not make this room reach for the network."""


@dataclass(frozen=True)
class StreamFacts:
    """The chosen video stream, before any choice of size or decoder."""

    stream_index: int
    container: str
    """FFmpeg's name of the container format, such as ``mov,mp4,m4a,3gp,3g2,mj2``."""
    codec: str
    pixel_format: str
    coded_size: tuple[int, int]
    """(height, width) of decoded frames, before rotation."""
    rotation: int
    """Quarter turns counter-clockwise that bring a decoded frame upright, 0 to 3."""
    matrix: int
    """AVColorSpace of the first frame; 2 is unspecified."""
    full_range: bool
    time_base: Fraction
    frame_rate: float
    """Average; 0 where unknown."""
    num_frames: int
    """The header's promise; 0 where it makes none."""
    duration: float
    """Seconds that the header promises; 0 where it makes no promise."""
    num_video_streams: int
    """Cover art not counted."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) upright."""
        height, width = self.coded_size
        return (width, height) if self.rotation % 2 else (height, width)


def pyav_name() -> str:
    import av

    return f"pyav {av.__version__}"


def check_path(path: Path) -> None:
    """Raises BadVideo with one clear line for what is visibly no video file."""
    if path.is_dir():
        endings = ", ".join(sorted(IMAGE_EXTENSIONS))
        raise BadVideo(f"{path} is a folder without images ({endings}): give a video file or a folder of frames.")
    if not path.exists():
        raise BadVideo(f"{path} does not exist.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise BadVideo(f"{path} cannot be read ({error.strerror or error}).") from error
    if empty:
        raise BadVideo(f"{path} is empty (0 bytes): copy or download it again.")


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """The open container.

    Raises:
        BadVideo: it does not open.
    """
    import av

    check_path(path)
    try:
        # An absolute path: FFmpeg takes a name with a colon for a protocol.
        container = av.open(os.path.abspath(path), options=LOCAL_FILES_ONLY)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        why = "it is damaged, unfinished, or no video"
        raise BadVideo(f"{path} does not open as a video ({reason}): {why}.") from error
    with container:
        yield container


def choose_stream(container: Any, path: Path) -> Any:
    """The video stream to read: never cover art; the default one, then the largest, then the first.

    Raises:
        BadVideo: there is none.
    """
    moving = moving_streams(container)
    readable = [stream for stream in moving if getattr(stream, "codec_context", None) is not None]
    if not readable:
        cover = "only a cover picture" if container.streams.video else "only sound or data"
        what = "a codec that no decoder here reads" if moving else cover
        raise BadVideo(f"{path} has no video stream to read ({what}).")

    def rank(stream: Any) -> tuple[bool, int, int]:
        context = stream.codec_context
        return bool(int(stream.disposition) & DEFAULT_STREAM), context.width * context.height, -stream.index

    return max(readable, key=rank)


def moving_streams(container: Any) -> list[Any]:
    """Video streams that are not cover art."""
    return [stream for stream in container.streams.video if not int(stream.disposition) & ATTACHED_PICTURE]


def packets(container: Any, stream: Any, broken: list[str]) -> Iterator[Any]:
    """Every packet of a stream, then one that flushes the decoder (size 0 or None).

    A container that breaks off ends the stream; its reason is added to ``broken``.
    """
    import av

    failures = 0
    while True:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
            return
        except av.FFmpegError as error:
            failures += 1
            if failures >= MAX_BROKEN_READS:
                broken.append(error.strerror or str(error))
                yield None
                return


def decode(stream: Any, packet: Any) -> list[Any]:
    """The frames that a packet completes; None flushes."""
    frames: list[Any] = stream.codec_context.decode(packet)
    return frames


def read_facts(path: Path) -> StreamFacts:
    """Opens, finds the stream, and decodes one frame, whose word counts more than the header's.

    Raises:
        BadVideo: the file does not open, has no video stream, or not one frame decodes.
    """
    with open_container(path) as container:
        stream = choose_stream(container, path)
        stream.codec_context.thread_count = 1
        frame = _first_frame(container, stream)
        if frame is None:
            raise BadVideo(f"No frame of {path} decodes ({stream.codec_context.name}).")
        return replace(
            facts_of(container.format.name, stream, frame, frame_rate_of(stream)),
            num_frames=int(stream.frames),
            duration=_promised_duration(container, stream),
            num_video_streams=len(moving_streams(container)),
        )


def facts_of(container: str, stream: Any, frame: Any, frame_rate: float) -> StreamFacts:
    """What a stream and one of its frames tell, without what a header promises. container: its format's name"""
    return StreamFacts(
        stream_index=stream.index,
        container=container,
        codec=codec_name(stream),
        pixel_format=frame.format.name,
        coded_size=(frame.height, frame.width),
        rotation=quarter_turns(frame),
        matrix=int(frame.colorspace),
        full_range=is_full_range(frame),
        time_base=Fraction(stream.time_base),
        frame_rate=frame_rate,
        num_frames=0,
        duration=0.0,
        num_video_streams=1,
    )


def frame_rate_of(stream: Any) -> float:
    """The average by the header; 0 where it does not tell."""
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return float(rate) if rate else 0.0


def codec_name(stream: Any) -> str:
    """The codec, whichever decoder reads it: ``av1`` for libdav1d too."""
    codec = stream.codec_context.codec
    return str(getattr(codec, "canonical_name", codec.name))


def _first_frame(container: Any, stream: Any) -> Any:
    import av

    for packet in packets(container, stream, []):
        try:
            frames = decode(stream, packet)
        except av.FFmpegError:
            continue
        if frames:
            return frames[0]
    return None


def _promised_duration(container: Any, stream: Any) -> float:
    if stream.duration:
        return max(0.0, float(stream.duration * stream.time_base))
    if container.duration:
        return max(0.0, container.duration / 1_000_000)
    return 0.0


def quarter_turns(frame: Any) -> int:
    """Counter-clockwise quarter turns of the frame's display matrix, 0 to 3; mirroring is not looked at."""
    angle = frame.rotation
    return round(angle / 90) % 4 if angle and math.isfinite(angle) else 0


def is_full_range(frame: Any) -> bool:
    """True where luma runs from 0 to 255: the frame says so, or its pixel format is one of the old ``yuvj`` ones."""
    return int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
