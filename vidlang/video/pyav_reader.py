"""PyAV: reads everything in order, converts only what is wanted, and jumps by presentation time."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidlang.video.clock import Clock
from vidlang.video.colour import RgbConverter
from vidlang.video.container import StreamFacts, decode, open_container, packets, pyav_name
from vidlang.video.source import RawFrame
from vidlang.video.timeline import Timeline

logger = logging.getLogger(__name__)

MISSING_FRAMES_TOLERATED = 2
"""Headers of AVI and others promise a frame or two more than there are; that is no truncation."""
MISSING_SECONDS_TOLERATED = 1.0


THREADED_CODECS = frozenset({"h264", "hevc", "av1", "vp9", "prores", "ffv1"})
THREADED_CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm", "mpegts", "flv"})
"""Where several threads decode: every packet is one frame with a time, so that a swallowed frame is noticed. Others,
such as MPEG-4 in AVI, are light work for one thread."""

TAIL = 64
"""Packets; more than the frames that threads (16) and reordering (16) can hold back."""


class _DamageMet(Exception):
    """Something did not decode while several threads were at work."""


@dataclass
class Losses:
    """What a reading met that should not be."""

    packets: int = 0
    frames: int = 0
    position: float = 0.0
    """Seconds read so far."""
    first_seconds: float = 0.0
    last_stamps: deque[int | None] = field(default_factory=lambda: deque(maxlen=TAIL))
    """Presentation stamps of the last packets that were decoded."""
    discarded: int = 0
    """Packets that an edit list cuts away."""
    broke_off: str = ""

    def add(self, *, packets: int = 0, frames: int = 0) -> None:
        if not self.packets and not self.frames:
            self.first_seconds = self.position
        self.packets += packets
        self.frames += frames


class PyavSource:
    """Every frame of one stream in presentation order.

    Several threads decode until something fails. Beside a damaged packet, and without a word at the end of the file,
    frame threads swallow frames that are whole: the file is then read again from its start by one thread, past the
    frames that were handed out already.
    """

    def __init__(self, path: Path, facts: StreamFacts, short_side: int | None = None, threads: int = 0) -> None:
        self.name = pyav_name()
        self.warnings: list[str] = []
        self._path, self._facts, self._threads = path, facts, threads if may_use_threads(facts) else 1
        self._convert = RgbConverter(facts, short_side)

    def frames(self) -> Iterator[RawFrame]:
        self.warnings = []
        handed_out = 0
        try:
            for frame in self._read(self._threads, Losses(), stop_at_damage=self._threads != 1):
                yield frame
                handed_out += 1
            return
        except _DamageMet:
            logger.info("damage in %s after %d frames: reading again with one thread", self._path, handed_out)
        yield from itertools.islice(self._read(1, Losses(), stop_at_damage=False), handed_out, None)

    def _read(self, threads: int, losses: Losses, *, stop_at_damage: bool) -> Iterator[RawFrame]:
        clock = Clock(self._facts.time_base, self._facts.frame_rate)
        # AVI has no presentation times; frames leave the decoder in the order of the stamps of their packets.
        stamp_name = "dts" if self._facts.container == "avi" else "pts"
        num_frames = 0
        with open_container(self._path) as container:
            stream = container.streams[self._facts.stream_index]
            set_threads(stream, threads)
            frames = self._decoded(container, stream, losses, stop_at_damage)
            for frame in _guarded(frames, losses) if stop_at_damage else frames:
                start = clock.seconds(getattr(frame, stamp_name))
                duration = float((frame.duration or 0) * self._facts.time_base)
                num_frames, losses.position = num_frames + 1, start + duration
                losses.add(frames=int(frame.is_corrupt))
                yield self._raw(frame, start, duration)
        self.warnings = self._describe(losses, num_frames)

    def _decoded(self, container: Any, stream: Any, losses: Losses, stop_at_damage: bool) -> Iterator[Any]:
        import av

        broken: list[str] = []
        for packet in packets(container, stream, broken):
            if packet is not None and packet.is_discard:
                losses.discarded += 1
            elif packet is not None and packet.size:
                losses.last_stamps.append(packet.pts)
            try:
                frames = decode(stream, packet)
            except av.EOFError:
                continue  # the decoder was flushed already
            except av.FFmpegError as error:
                if stop_at_damage:
                    raise _DamageMet from error
                losses.add(packets=1)
                continue
            yield from frames
        losses.broke_off = broken[0] if broken else ""

    def _raw(self, frame: Any, start: float, duration: float) -> RawFrame:
        return RawFrame(start, duration, lambda: self._convert(frame))

    def _describe(self, losses: Losses, num_frames: int) -> list[str]:
        lines, end = [], losses.position
        if losses.packets:
            lines.append(f"{_count(losses.packets, 'damaged packet')} skipped near {losses.first_seconds:.1f} s")
        if losses.frames:
            lines.append(f"{_count(losses.frames, 'frame')} decoded with errors near {losses.first_seconds:.1f} s")
        promised = self._facts.num_frames - losses.discarded
        if promised > num_frames + MISSING_FRAMES_TOLERATED:
            what = "" if losses.packets else "truncated: "
            lines.append(f"{what}the header promises {promised} frames, {num_frames} decode")
        elif losses.broke_off:
            lines.append(f"truncated: the file breaks off at {end:.1f} s ({losses.broke_off})")
        elif not self._facts.num_frames and self._facts.duration > end + MISSING_SECONDS_TOLERATED:
            lines.append(f"truncated: the header promises {self._facts.duration:.1f} s, the frames end at {end:.1f} s")
        return lines

    def jump(self, timeline: Timeline, first: int) -> Iterator[RawFrame]:
        """The frames from index ``first`` on, decoded from the key frame before.

        Raises:
            JumpFailed: a frame after the key frame is not the next one of the timeline; read from the start instead.
        """
        import av

        key = timeline.key_before(first)
        with open_container(self._path) as container:
            stream = container.streams[self._facts.stream_index]
            set_threads(stream, 1)  # more would decode far past a short clip
            expected: int | None = None
            try:
                container.seek(int(timeline.stamps[key]), stream=stream, backward=True, any_frame=False)
                for packet in packets(container, stream, []):
                    for frame in decode(stream, packet):
                        if expected is None:
                            expected = _entry(timeline, frame.pts, key)
                            if expected is None:
                                continue
                        if expected == len(timeline) or frame.pts != timeline.stamps[expected] or frame.is_corrupt:
                            raise JumpFailed
                        if expected >= first:
                            yield self._timed_by(timeline, frame, expected)
                        expected += 1
            except av.FFmpegError as error:
                raise JumpFailed from error
            if expected != len(timeline):
                raise JumpFailed

    def _timed_by(self, timeline: Timeline, frame: Any, index: int) -> RawFrame:
        duration = float((frame.duration or 0) * self._facts.time_base)
        return self._raw(frame, timeline.start(index), duration)


class JumpFailed(Exception):
    """The frames after a jump are not those that the timeline promises."""


def _entry(timeline: Timeline, stamp: int | None, key: int) -> int | None:
    """The index of the first frame after a jump; None for frames from before a key frame, which may lack references.

    Raises:
        JumpFailed: decoding began after the wanted key frame.
    """
    if stamp is None or stamp > timeline.stamps[key]:
        raise JumpFailed
    return key if stamp == timeline.stamps[key] else None


def _guarded(frames: Iterable[Any], losses: Losses) -> Iterator[Any]:
    """The same frames while they are whole; at the end, every one of the last packets must have shown its frame.

    Raises:
        _DamageMet: one is damaged or missing.
    """
    shown: deque[int | None] = deque(maxlen=2 * TAIL)  # packets come in decoding order: the tails differ at their edge
    for frame in frames:
        if frame.is_corrupt:  # what conceals the damage depends on the number of threads
            raise _DamageMet
        shown.append(frame.pts)
        yield frame
    if not set(losses.last_stamps) <= set(shown):
        raise _DamageMet


def may_use_threads(facts: StreamFacts) -> bool:
    """Whether a frame that threads swallow would be noticed."""
    return facts.codec in THREADED_CODECS and bool(THREADED_CONTAINERS & set(facts.container.split(",")))


def set_threads(stream: Any, threads: int) -> None:
    """0: as many as there are cores, by frame and by slice."""
    stream.thread_type = "NONE" if threads == 1 else "AUTO"
    stream.codec_context.thread_count = threads


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")
