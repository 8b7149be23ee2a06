"""Small videos whose every frame carries its own number, as black and white blocks that survive compression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

HEIGHT, WIDTH = 48, 80
BLOCK = 16
NUM_BITS = (HEIGHT // BLOCK) * (WIDTH // BLOCK)
NUM_FRAMES = 60
RATE = 25


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """[height, width, 3]: bit b of the number is block b, row by row."""
    bits = (number >> np.arange(NUM_BITS)) & 1
    blocks = bits.reshape(HEIGHT // BLOCK, WIDTH // BLOCK) * 170 + 40
    rows = np.arange(height) * (HEIGHT // BLOCK) // height
    columns = np.arange(width) * (WIDTH // BLOCK) // width
    grey = blocks[rows][:, columns].astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def number_of(frame: np.ndarray) -> int:
    """The number that a picture carries, at any size."""
    rows, columns = HEIGHT // BLOCK, WIDTH // BLOCK
    height, width = frame.shape[0] / rows, frame.shape[1] / columns
    number = 0
    for bit in range(NUM_BITS):
        row, column = divmod(bit, columns)
        middle = frame[
            int((row + 0.3) * height) : int((row + 0.7) * height) + 1,
            int((column + 0.3) * width) : int((column + 0.7) * width) + 1,
        ]
        number |= int(middle.mean() > 125) << bit
    return number


def numbers_of(frames: Iterable[np.ndarray]) -> list[int]:
    return [number_of(frame) for frame in frames]


def code(index: int) -> int:
    """Neighbouring frames differ in many bits, so that a half-right picture is a wrong number."""
    return (index * 12347 + 5) % (1 << NUM_BITS)


CODES = {code(index): index for index in [*range(NUM_FRAMES), *range(500, 500 + NUM_FRAMES)]}


def indices_of(frames: Iterable[np.ndarray]) -> list[int]:
    """The frames' own indices; -1 for a picture that is none of ours."""
    return [CODES.get(number, -1) for number in numbers_of(frames)]


def encode(
    path: Path,
    codec: str,
    options: dict[str, str] | None = None,
    *,
    num_frames: int = NUM_FRAMES,
    first: int = 0,
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (HEIGHT, WIDTH),
    stamps: Sequence[int] | None = None,
    container_format: str | None = None,
    container_options: dict[str, str] | None = None,
    prepare: Callable[[Any], None] = lambda stream: None,
) -> Path:
    """Encodes frames ``first``, ``first + 1``, ...; ``stamps`` are milliseconds for a variable frame rate."""
    with av.open(str(path), "w", format=container_format, options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=RATE, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *size, pixel_format
        prepare(stream)
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(code(first + index), *size), format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


X264 = {"g": "12", "bf": "2", "preset": "veryfast"}


def x264(open_gop: bool = False, **more: str) -> dict[str, str]:
    return {**X264, "x264-params": f"scenecut=0:keyint=12:open-gop={int(open_gop)}:threads=1", **more}


X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=12:bframes=3:open-gop=1:pools=1:frame-threads=1"}


def vfr_stamps() -> list[int]:
    """Milliseconds: uneven steps, and one frame held for two seconds."""
    steps = np.array([20, 60, 40, 33, 100] * (NUM_FRAMES // 5))
    steps[29] = 2000
    return [0, *np.cumsum(steps)[:-1].tolist()]


def edit_list(path: Path) -> Path:
    """Cut at frame 17 without re-encoding: the packets from the key frame 12 on stay, the first five are not shown."""
    whole = encode(path.with_name("whole.mp4"), "libx264", x264())
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        step = int(1 / (stream.average_rate * stream.time_base))
        packets = [packet for packet in source.demux(stream) if packet.size]
        first = next(place for place, packet in enumerate(packets) if packet.is_keyframe and packet.pts >= 12 * step)
        for packet in packets[first:]:
            packet.pts, packet.dts = packet.pts - 17 * step, packet.dts - 17 * step
            packet.stream = copy
            target.mux(packet)
    return path


def turned(path: Path, degrees: int) -> Path:
    """With a display matrix that turns the picture counter-clockwise."""

    def prepare(stream: Any) -> None:
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a display matrix")
        stream.set_display_rotation(degrees)

    return encode(path, "libx264", x264(), prepare=prepare)


def packed_b_frames(path: Path) -> Path:
    """The way of old Xvid and DivX: a P and a B frame in one packet, then a packet that only says "as above"."""
    plain = encode(path.with_name("plain.avi"), "mpeg4", {"g": "12", "bf": "1", "b_strategy": "0", "qscale": "3"})
    as_above = b"\x00\x00\x01\xb6\x50\x17\x7f"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        coded = [bytes(packet) for packet in source.demux(stream) if packet.size]
        packed = [b"\x00\x00\x01\xb2DivX503b1393p" + coded[0]]
        for data in coded[1:]:
            is_b = data[data.index(b"\x00\x00\x01\xb6") + 4] >> 6 == 2
            if is_b:
                packed[-1] += data
            packed.append(as_above if is_b else data)
        for place, data in enumerate(packed):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.dts, packet.pts = copy, Fraction(1, RATE), place, place
            target.mux(packet)
    return path


def joined(path: Path, second_size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """Two recordings end to end: frames 0 to 29, then 30 to 59 by a clock that begins again."""
    half = NUM_FRAMES // 2
    parts = [
        encode(path.with_name("part0.ts"), "libx264", x264(), num_frames=half),
        encode(path.with_name("part1.ts"), "libx264", x264(), num_frames=half, first=half, size=second_size),
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def with_cover(path: Path) -> Path:
    """A cover picture before the video, and a smaller second video after it."""
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=RATE)
        cover.height, cover.width, cover.pix_fmt = 480, 640, "yuvj420p"
        cover.disposition = 0x400
        videos = [container.add_stream("libx264", rate=RATE, options=x264()) for _ in range(2)]
        for scale, video in zip((2, 1), videos, strict=True):
            video.height, video.width, video.pix_fmt = HEIGHT * scale, WIDTH * scale, "yuv420p"
        blank = av.VideoFrame.from_ndarray(np.zeros((480, 640, 3), np.uint8), format="rgb24")
        container.mux(cover.encode(blank.reformat(format="yuvj420p")))
        container.mux(cover.encode(None))
        for index in range(NUM_FRAMES):
            for video, start in zip(videos, (0, 500), strict=True):
                pixels = picture(code(start + index), video.height, video.width)
                container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        for video in videos:
            container.mux(video.encode(None))
    return path


def packet_places(path: Path) -> list[tuple[int, int, bool]]:
    """(position in the file, size, key) of every video packet, in the order of the file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [(packet.pos, packet.size, packet.is_keyframe) for packet in container.demux(stream) if packet.size]


def damage(path: Path, source: Path, number: int) -> Path:
    """A copy with one packet overwritten."""
    data = bytearray(source.read_bytes())
    position, size, _ = packet_places(source)[number]
    data[position : position + size] = bytes([0xFF]) * size
    path.write_bytes(data)
    return path


def plain_decode(path: Path, stream_index: int | None = None) -> list[np.ndarray]:
    """The independent way: one thread, in order, every frame, FFmpeg's own conversion; errors are passed over."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0] if stream_index is None else container.streams[stream_index]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                continue
            frames += [frame.to_ndarray(format="rgb24") for frame in decoded]
    return frames


def write_file(path: Path, kind: str) -> Path:
    """One of the files of ``KINDS``."""
    return KINDS[kind][1](path)


# kind → (ending, maker)
KINDS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "h264-closed": (".mp4", lambda p: encode(p, "libx264", x264())),
    "h264-open": (".mp4", lambda p: encode(p, "libx264", x264(open_gop=True))),
    "h264-no-b": (".mp4", lambda p: encode(p, "libx264", x264(bf="0"))),
    "h264-vfr": (".mp4", lambda p: encode(p, "libx264", x264(), stamps=vfr_stamps())),
    "h264-mkv-open": (".mkv", lambda p: encode(p, "libx264", x264(open_gop=True))),
    "h264-mov": (".mov", lambda p: encode(p, "libx264", x264())),
    "h264-flv": (".flv", lambda p: encode(p, "libx264", x264())),
    "h264-refresh": (".mp4", lambda p: encode(p, "libx264", {"x264-params": "intra-refresh=1:keyint=12:threads=1"})),
    "h264-10bit": (".mp4", lambda p: encode(p, "libx264", x264(), pixel_format="yuv420p10le")),
    "h264-fragmented": (
        ".mp4",
        lambda p: encode(p, "libx264", x264(), container_options={"movflags": "frag_keyframe+empty_moov"}),
    ),
    "h264-ts": (".ts", lambda p: encode(p, "libx264", x264(open_gop=True))),
    "h264-avi": (".avi", lambda p: encode(p, "libx264", x264())),
    "h264-raw": (".264", lambda p: encode(p, "libx264", x264(), container_format="h264")),
    "edit-list": (".mp4", edit_list),
    "hevc": (".mp4", lambda p: encode(p, "libx265", X265)),
    "hevc-mkv": (".mkv", lambda p: encode(p, "libx265", X265)),
    "hevc-10bit": (".mp4", lambda p: encode(p, "libx265", X265, pixel_format="yuv420p10le")),
    "mpeg4-avi": (".avi", lambda p: encode(p, "mpeg4", {"g": "12", "bf": "2", "qscale": "3"})),
    "mpeg4-avi-no-b": (".avi", lambda p: encode(p, "mpeg4", {"g": "12", "bf": "0", "qscale": "3"})),
    "mpeg4-avi-packed": (".avi", packed_b_frames),
    "mpeg4-mp4": (".mp4", lambda p: encode(p, "mpeg4", {"g": "12", "bf": "2"})),
    "mpeg2-ps": (".mpg", lambda p: encode(p, "mpeg2video", {"g": "12", "bf": "2"}, container_format="vob")),
    "mpeg2-ts": (".ts", lambda p: encode(p, "mpeg2video", {"g": "12", "bf": "2"})),
    "mpeg1-ps": (".mpg", lambda p: encode(p, "mpeg1video", {"g": "12", "bf": "2"}, container_format="mpeg")),
    "vp8": (".webm", lambda p: encode(p, "libvpx", {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "16"})),
    "vp9": (".webm", lambda p: encode(p, "libvpx-vp9", {"g": "12", "deadline": "realtime", "cpu-used": "8"})),
    "vp9-alt-ref": (".webm", lambda p: encode(p, "libvpx-vp9", {"g": "30", "auto-alt-ref": "1", "cpu-used": "5"})),
    "vp9-odd": (".webm", lambda p: encode(p, "libvpx-vp9", {"g": "12", "cpu-used": "8"}, size=(51, 83))),
    "av1": (".mkv", lambda p: encode(p, "libsvtav1", {"g": "12", "preset": "6", "crf": "5"}, size=(96, 160))),
    "av1-mp4": (".mp4", lambda p: encode(p, "libsvtav1", {"g": "12", "preset": "6", "crf": "5"}, size=(96, 160))),
    "mjpeg": (".avi", lambda p: encode(p, "mjpeg", {"qscale": "3"}, pixel_format="yuvj420p")),
    "prores": (".mov", lambda p: encode(p, "prores_ks", {}, pixel_format="yuv422p10le")),
    "ffv1-odd": (".mkv", lambda p: encode(p, "ffv1", {}, pixel_format="yuv444p", size=(51, 83))),
    "ffv1-alpha": (".mkv", lambda p: encode(p, "ffv1", {}, pixel_format="bgra")),
    "turned-90": (".mp4", lambda p: turned(p, 90)),
    "turned-180": (".mp4", lambda p: turned(p, 180)),
    "turned-270": (".mp4", lambda p: turned(p, -90)),
    "clock-restarts": (".ts", joined),
    "size-changes": (".ts", lambda p: joined(p, second_size=(96, 160))),
    "cover": (".mp4", with_cover),
    "short": (".mp4", lambda p: encode(p, "libx264", x264(), num_frames=5)),
    "one-frame": (".mp4", lambda p: encode(p, "libx264", x264(), num_frames=1)),
}
"""Every kind of file that must read rightly."""

FIRST_FRAME = {"edit-list": 17}
LENGTH = {"edit-list": NUM_FRAMES - 17, "short": 5, "one-frame": 1}


def expected_indices(kind: str) -> list[int]:
    """The numbers that the frames of a kind carry, in order."""
    first = FIRST_FRAME.get(kind, 0)
    return list(range(first, first + LENGTH.get(kind, NUM_FRAMES)))


def upright(frame: np.ndarray, kind: str) -> np.ndarray:
    """A plainly decoded frame of a turned file as players show it."""
    turns = {"turned-90": 1, "turned-180": 2, "turned-270": 3}.get(kind, 0)
    return np.rot90(frame, turns)
