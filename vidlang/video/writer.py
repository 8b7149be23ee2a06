"""Frames → a video file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadInput

SAME_BYTES = {"x264-params": "mbtree=0"}
"""x264's look-ahead over macroblocks depends on the timing of its threads; without it equal frames give equal files."""
FINEST_FRAME_RATE = 1001 * 60
"""Largest denominator of a frame rate: 29.97 becomes 2997/100, 30000/1001 stays."""
TICKS = 90_000
"""Parts of a second in which frames with times of their own are stamped."""


def write_video(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    frame_rate: float,
    *,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
) -> None:
    """Encodes frames ``[H, W, 3]`` RGB, all of one size; written beside the target, then renamed.

    Odd heights and widths gain one row or column that repeats the edge, where the pixel format halves its chroma. The
    container follows the ending of ``path``. Colours are BT.601, limited range, which readers assume anyway. x264 gives
    equal files for equal frames.

    Raises:
        BadInput: no frame came, or the container or the codec cannot be written.
        ValueError: a frame is not uint8 ``[H, W, 3]``, or not of the first one's size.
    """
    _write(path, ((frame, None) for frame in frames), frame_rate, codec, options, pixel_format)


def write_timed_video(
    path: Path,
    frames: Iterable[tuple[NDArray[np.uint8], float]],
    frame_rate: float,
    *,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
) -> None:
    """As `write_video`, for frames that each know the second from which they are shown: rates that vary stay.

    frames: (pixels [H, W, 3], start in seconds, 0 or more and rising)    frame_rate: the average, for rate control

    Raises:
        BadInput: no frame came, or the container or the codec cannot be written.
        ValueError: a frame is not uint8 ``[H, W, 3]``, or not of the first one's size.
    """
    _write(path, frames, frame_rate, codec, options, pixel_format)


def _write(
    path: Path,
    frames: Iterable[tuple[NDArray[np.uint8], float | None]],
    frame_rate: float,
    codec: str,
    options: Mapping[str, str] | None,
    pixel_format: str,
) -> None:
    import av

    if not 0 < frame_rate < float("inf"):
        raise ValueError(f"frame_rate must be positive and finite, got {frame_rate}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        with _created(beside, path) as container:
            always = SAME_BYTES if codec == "libx264" else {}
            _encode(container, path, frames, frame_rate, codec, {**always, **(options or {})}, pixel_format)
        os.replace(beside, path)
    except (av.FFmpegError, av.codec.codec.UnknownCodecError) as error:
        raise BadInput(f"{path} cannot be written with {codec} ({error}).") from error
    finally:
        beside.unlink(missing_ok=True)


def _created(beside: Path, path: Path) -> Any:
    import av

    try:
        return av.open(str(beside), "w")
    except ValueError as error:
        raise BadInput(f"{path} cannot be written: no container goes by the ending {path.suffix!r}.") from error


def _encode(
    container: Any,
    path: Path,
    frames: Iterable[tuple[NDArray[np.uint8], float | None]],
    frame_rate: float,
    codec: str,
    options: dict[str, str],
    pixel_format: str,
) -> None:
    import av

    stream: Any = None
    shape: tuple[int, ...] = ()
    last = -1
    for frame, start in frames:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or (shape and frame.shape != shape):
            expected = f"uint8 {list(shape) or '[H, W, 3]'}"
            raise ValueError(f"expected frames of {expected}, got {frame.dtype} {list(frame.shape)}")
        shape = frame.shape
        padded = _padded(frame) if "420" in pixel_format else frame
        if stream is None:
            rate = Fraction(frame_rate).limit_denominator(FINEST_FRAME_RATE)
            stream = container.add_stream(codec, rate=rate, options=options)
            stream.height, stream.width, stream.pix_fmt = padded.shape[0], padded.shape[1], pixel_format
            if start is not None:
                stream.codec_context.time_base = Fraction(1, TICKS)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        if start is not None:
            # Two frames in one tick would be one frame.
            last = max(round(start * TICKS), last + 1)
            picture.pts, picture.time_base = last, Fraction(1, TICKS)
        container.mux(stream.encode(picture))
    if stream is None:
        raise BadInput(f"{path} is not written: there are no frames.")
    container.mux(stream.encode(None))


def _padded(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Even height and width."""
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return frame
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
