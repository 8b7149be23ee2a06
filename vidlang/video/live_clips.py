"""Clips of a stream: the packets of the last seconds, and those that follow, copied into MP4 files as they are."""

from __future__ import annotations

import logging
import os
import secrets
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

MOST_BYTES = 64 << 20
"""Bytes of packets that are kept for what came before an event, at most."""


@dataclass(frozen=True, eq=False)
class _Kept:
    """A packet and where it lies."""

    seconds: float
    data: bytes
    key: bool
    pts: int | None
    dts: int | None
    duration: int
    time_base: Fraction


class ClipRecorder:
    """Keeps the packets of the last seconds and copies them to files when asked; nothing is decoded or encoded again.

    A clip begins at the last key frame before the wanted moment, where that is kept. Memory holds the packets from that
    key frame on: ``before`` seconds and one distance between key frames, and 64 MiB at most.

    before: seconds    longest: seconds after which a clip is closed
    """

    def __init__(self, before: float, longest: float) -> None:
        self._before, self._longest = before, longest
        self._groups: deque[list[_Kept]] = deque()  # each begins with a key frame
        self._clips: list[_Clip] = []
        self._finished: list[Path] = []
        self._stream: Any = None
        self.num_bytes = self.most_bytes = 0

    def watch(self, stream: Any, packet: Any, seconds: float) -> None:
        """Every packet in order, and the seconds that the stream has come to. A new stream ends all clips."""
        if stream is not self._stream:
            self.close()
            self._groups.clear()
            self.num_bytes, self._stream = 0, stream
        base = Fraction(packet.time_base or stream.time_base)
        kept = _Kept(
            seconds, bytes(packet), bool(packet.is_keyframe), packet.pts, packet.dts, int(packet.duration or 0), base
        )
        self._keep(kept)
        for clip in list(self._clips):
            clip.write(kept)
            if clip.is_broken or seconds >= clip.until or seconds - clip.start > self._longest:
                self._end(clip)

    def begin(self, path: Path, start: float) -> bool:
        """Starts a clip from a moment on, seconds of the stream; False where nothing can be copied."""
        import av

        groups = list(self._groups)
        first = max((i for i, group in enumerate(groups) if group[0].seconds <= start), default=0)
        if not groups:
            return False
        try:
            clip = _Clip(path, self._stream, groups[first][0].seconds)
        except (av.FFmpegError, ValueError, TypeError) as error:
            logger.warning("no clip %s: %s", path, error)
            return False
        for group in groups[first:]:
            for kept in group:
                clip.write(kept)
        self._clips.append(clip)
        return True

    def end(self, path: Path, at: float) -> None:
        """The clip goes on until a moment, seconds of the stream, which may lie ahead."""
        for clip in self._clips:
            if clip.path == path:
                clip.until = at

    def finished(self) -> list[Path]:
        """Files that were completed since the last call."""
        done, self._finished = self._finished, []
        return done

    def close(self) -> None:
        """Ends all clips."""
        for clip in list(self._clips):
            self._end(clip)

    def _keep(self, kept: _Kept) -> None:
        if kept.key:
            self._groups.append([])
        elif not self._groups:  # nothing can begin before a key frame
            return
        self._groups[-1].append(kept)
        self.num_bytes += len(kept.data)
        while len(self._groups) > 1 and (
            self.num_bytes > MOST_BYTES or self._groups[1][0].seconds <= kept.seconds - self._before
        ):
            self._drop()
        if self.num_bytes > MOST_BYTES:
            self._drop()
        self.most_bytes = max(self.most_bytes, self.num_bytes)

    def _drop(self) -> None:
        self.num_bytes -= sum(len(kept.data) for kept in self._groups.popleft())

    def _end(self, clip: _Clip) -> None:
        self._clips.remove(clip)
        if clip.close():
            self._finished.append(clip.path)


class _Clip:
    """One file in the making, beside its final name."""

    def __init__(self, path: Path, template: Any, start: float) -> None:
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.start, self.until = path, start, float("inf")
        self.is_broken = False
        self._beside = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
        self._container = av.open(str(self._beside), "w", format="mp4")
        self._zero: int | None = None
        self._num_written = 0
        try:
            self._stream = self._container.add_stream_from_template(template)
        except BaseException:
            self._container.close()
            self._beside.unlink(missing_ok=True)
            raise

    def write(self, kept: _Kept) -> None:
        """One more packet; those without a time are left out, and what the file cannot hold ends it."""
        import av

        stamp = kept.pts if kept.dts is None else kept.dts
        if self.is_broken or stamp is None:
            return
        self._zero = stamp if self._zero is None else self._zero
        packet = av.Packet(kept.data)
        packet.stream, packet.time_base = self._stream, kept.time_base
        packet.dts = stamp - self._zero
        packet.pts = packet.dts if kept.pts is None else kept.pts - self._zero
        packet.duration, packet.is_keyframe = kept.duration, kept.key
        try:
            self._container.mux(packet)
            self._num_written += 1
        except (av.FFmpegError, ValueError) as error:
            logger.warning("the clip %s breaks off: %s", self.path, error)
            self.is_broken = True

    def close(self) -> bool:
        """Whether there is a file."""
        import av

        try:
            self._container.close()
            if self._num_written:
                os.replace(self._beside, self.path)
        except (av.FFmpegError, OSError) as error:
            logger.warning("the clip %s is lost: %s", self.path, error)
            return False
        finally:
            self._beside.unlink(missing_ok=True)
        return self._num_written > 0
