"""Frames of a stream as they come, on a clock that never falls, through losses and reconnections.

A thread takes packets from the network, so that nothing is lost while somebody computes; the caller's thread decodes.
What waits between them is bounded: beyond it a live source loses packets up to the next key frame, which is counted,
and any other sender waits.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidlang.core.errors import BadVideo
from vidlang.video.colour import RgbConverter
from vidlang.video.container import choose_stream, codec_name, decode, facts_of, frame_rate_of
from vidlang.video.live_clock import LiveClock, Pace
from vidlang.video.live_events import Ended, Gap, LiveEvent, LiveFrame, Opened, Skipped, Tick, Waiting
from vidlang.video.live_queue import Close, Packet, PacketQueue, Session
from vidlang.video.live_sources import (
    POLL,
    GrowingFolder,
    LiveOptions,
    LiveSource,
    SourceLost,
    growing_files,
    open_source,
    reason_of,
)
from vidlang.video.source import NEIGHBOURS_FOR_SPACING, Pixels

LONGEST_WAIT = 30.0
"""Seconds between two attempts to connect, at most; the first waits are 1, 2, 4, … seconds."""
JITTER = 0.2
"""Share by which a wait varies, so that many watchers of one recorder do not come at once."""
WITHOUT_KEY = 300
"""Packets after which a stream that shows no key frame is decoded all the same."""

PacketWatch = Callable[[Any, Any, float], None]
"""Takes the stream, the packet, and the seconds that the stream has come to."""


@dataclass
class Counts:
    """What a reader has met so far."""

    frames: int = 0
    dropped: int = 0
    """Frames dropped because nobody kept up."""
    damaged: int = 0
    """Packets that did not decode, and frames that decoded with errors."""
    losses: int = 0
    """Connections that broke, or would not come about after one did."""


@dataclass(eq=False)
class _Held:
    """The last frame, which waits until the next one tells when it ends."""

    start: float
    duration: float
    arrived: float
    lag: float
    to_rgb: Callable[[], Pixels]


@dataclass
class _Run:
    """Frames since the last gap."""

    index: int = 0
    held: _Held | None = None
    spacings: deque[float] = field(default_factory=lambda: deque(maxlen=NEIGHBOURS_FOR_SPACING))


class LiveReader:
    """Iterate once: frames and what happens between them, in order; a ``Tick`` where nothing happens.

    watch_packets: is shown every packet before it is decoded, for keeping clips.
    """

    def __init__(
        self, source: LiveSource, options: LiveOptions | None = None, *, short_side: int | None = None,
        watch_packets: PacketWatch | None = None, seed: int | None = None,
    ) -> None:  # fmt: skip
        self.source, self._options = source, options or LiveOptions()
        self._short_side, self._watch_packets = short_side, watch_packets
        drops = self._options.drops(source)
        self._queue = PacketQueue(2 * self._options.max_lag if drops else None)
        self._stop = threading.Event()
        self._random = random.Random(seed)
        self.counts = Counts()
        self.seconds = 0.0
        """Where the stream has come to: the end of the last frame handed out."""
        self._run = _Run()
        self._clock: LiveClock | None = None
        self._session: Session | None = None
        self._last_moment: float | None = None
        self._num_without_key = 0
        self._num_read = 0  # packets, by the thread
        self._whole_file = False
        self._thread = threading.Thread(target=self._read_all, name="vidlang-live", daemon=True)

    @property
    def backlog(self) -> dict[str, int]:
        """What waits to be decoded, and the most that ever did."""
        queue = self._queue
        return {
            "packets": queue.num_packets,
            "bytes": queue.num_bytes,
            "most_packets": queue.most_packets,
            "most_bytes": queue.most_bytes,
        }

    def __enter__(self) -> LiveReader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops the thread. One that waits for a dead connection ends by itself after ``timeout``."""
        self._stop.set()
        self._queue.stop()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def __iter__(self) -> Iterator[LiveEvent]:
        """
        Raises:
            BadVideo: a file that is no video.
        """
        while True:
            item = self._queue.get(POLL)
            if item is None:
                if not self._thread.is_alive() and self._queue.get(0) is None:
                    return
                yield Tick()
            elif isinstance(item, Packet):
                yield from self._decoded(item)
            elif isinstance(item, Session):
                self._begin(item)
                yield item.opened
            elif isinstance(item, Close):
                yield from self._end(item)
            else:
                if isinstance(item, Gap):
                    yield from self._interrupted()
                    self.counts.dropped += item.num_dropped
                yield item
                if isinstance(item, Ended):
                    return

    # -- the caller's thread: decoding -------------------------------------------------------------------------------

    def _begin(self, session: Session) -> None:
        self._session, self._clock, self._num_without_key = session, None, 0
        context = session.stream.codec_context
        context.thread_type = "SLICE"  # frame threads hold frames back
        if not session.continues:
            self._run = _Run()

    def _decoded(self, item: Packet) -> Iterator[LiveFrame]:
        import av

        session = self._session
        assert session is not None, "packets come after their session"
        if self._waits_for_key(item):
            return
        if self._watch_packets is not None:
            self._watch_packets(session.stream, item.packet, self.seconds)
        try:
            frames = decode(session.stream, item.packet)
        except av.FFmpegError:
            self.counts.damaged += 1
            return
        for frame in frames:
            yield from self._timed(frame, item)

    def _waits_for_key(self, item: Packet) -> bool:
        """Who joins a stream in its middle cannot decode what refers to frames before."""
        if self.source.kind in ("file", "folder") or self._num_without_key < 0:
            return False
        self._num_without_key += 1
        if item.key or self._num_without_key > WITHOUT_KEY:
            self._num_without_key = -1
            return False
        return True

    def _timed(self, frame: Any, item: Packet) -> Iterator[LiveFrame]:
        session, run = self._session, self._run
        assert session is not None
        if session.facts is None:
            session.facts = facts_of(session.container, session.stream, frame, session.opened.frame_rate)
            session.convert = RgbConverter(session.facts, self._short_side)
        if self._clock is None:
            self._clock = LiveClock(session.facts, self._offset(session, item), is_live=self.source.comes_back)
        stamp = frame.dts if session.container == "avi" else frame.pts
        start = self._clock.seconds(stamp, item.moment)
        duration = float((frame.duration or 0) * session.facts.time_base)
        self.counts.frames += 1
        self.counts.damaged += int(frame.is_corrupt)
        if run.held is not None:
            run.spacings.append(start - run.held.start)
            yield self._handed(run.held, start)
        run.held = _Held(start, duration, item.arrived, time.monotonic() - item.moment, _converted(session, frame))
        self._last_moment = item.moment

    def _offset(self, session: Session, item: Packet) -> float:
        """Where the first frame of a session lies: 0, or the end of the file before, or as much later as it came."""
        if self._last_moment is None:
            return 0.0
        if session.continues and self._run.held is not None:
            return self._end_of(self._run.held)
        return self.seconds + max(0.0, item.moment - self._last_moment)

    def _handed(self, held: _Held, end: float) -> LiveFrame:
        index = self._run.index
        self._run.index, self.seconds = index + 1, end
        return LiveFrame(index, held.start, end, held.arrived, held.lag, held.to_rgb)

    def _end_of(self, held: _Held) -> float:
        spacing = float(np.median(self._run.spacings)) if self._run.spacings else 0.0
        return held.start + (held.duration if held.duration > 0 else spacing)

    def _interrupted(self) -> Iterator[LiveFrame]:
        """The frames that are still inside, before a gap."""
        if self._session is not None:
            yield from self._flushed(self._session)
            self._session.stream.codec_context.flush_buffers()
        if self._run.held is not None:
            yield self._handed(self._run.held, self._end_of(self._run.held))
        self._run = _Run()

    def _flushed(self, session: Session) -> Iterator[LiveFrame]:
        import av

        try:
            frames = decode(session.stream, None)
        except (av.EOFError, av.FFmpegError):
            return
        held, moment = self._run.held, self._last_moment
        moment, arrived = moment or time.monotonic(), time.time() if held is None else held.arrived
        for frame in frames:
            yield from self._timed(frame, Packet(None, False, 0, arrived, moment))

    def _end(self, item: Close) -> Iterator[LiveEvent]:
        session = item.session
        yield from self._flushed(session)
        goes_on = self.source.kind == "folder"
        if not goes_on and self._run.held is not None:
            yield self._handed(self._run.held, self._end_of(self._run.held))
        self._session = None
        session.close()
        if not item.ends and not goes_on:
            self.counts.losses += 1
            self._run = _Run()
            yield Gap("lost", item.reason)

    # -- the thread: packets -----------------------------------------------------------------------------------------

    def _read_all(self) -> None:
        try:
            if self.source.kind == "folder":
                self._read_folder()
            elif self.source.comes_back:
                self._read_again_and_again()
            else:
                self._read_once(None, ends=True)
                self._queue.put(Ended("end"))
        except (BadVideo, SourceLost) as error:
            self._queue.put(Ended("failed", str(error)))
        except Exception as error:  # the caller's thread must hear of it
            self._queue.put(
                Ended("failed", f"{type(error).__name__}: {reason_of(error, self.source, self._options.timeout)}")
            )

    def _read_folder(self) -> None:
        options = self._options
        folder = GrowingFolder(Path(self.source.address), from_start=options.from_start, settle=options.settle)
        last = time.monotonic()
        for path in growing_files(folder, self._stop.wait):
            if self._stop.is_set():
                return
            if path is not None:
                try:
                    self._read_once(path, ends=False)
                    last = time.monotonic()
                except BadVideo as error:
                    self._queue.put(Skipped(path.name, str(error)))
            elif options.give_up is not None and time.monotonic() - last > options.give_up:
                self._queue.put(Ended("gave up", f"no new file for {options.give_up:g} s"))
                return

    def _read_again_and_again(self) -> None:
        wait, last = 1.0, time.monotonic()
        while not self._stop.is_set():
            before = self._num_read
            try:
                reason = self._read_once(None, ends=False)
            except SourceLost as error:
                reason = str(error)
            if self._whole_file:
                self._queue.put(Ended("end"))
                return
            if self._num_read > before:
                wait, last = 1.0, time.monotonic()
            give_up = self._options.give_up
            left = float("inf") if give_up is None else give_up - (time.monotonic() - last)
            if left <= 0:
                self._queue.put(Ended("gave up", f"nothing for {give_up:g} s: {reason}"))
                return
            pause = min(wait * self._random.uniform(1 - JITTER, 1 + JITTER), left)
            self._queue.put(Waiting(round(pause, 2), reason))
            self._stop.wait(pause)
            # who writes to a FIFO waits for us, so that nobody is troubled by asking often
            wait = 1.0 if self.source.kind == "fifo" else min(2 * wait, LONGEST_WAIT)

    def _read_once(self, path: Path | None, *, ends: bool) -> str:
        """One session; returns why it ended.

        Raises:
            SourceLost, BadVideo: it did not begin.
        """
        import av

        container, close = open_source(self.source, self._options, path, self._stop.is_set)
        name = self.source.name if path is None else path.name
        try:
            stream = choose_stream(container, Path(name))
        except BadVideo as error:
            close()
            raise (SourceLost if self.source.comes_back else BadVideo)(str(error)) from error
        size = (stream.codec_context.height, stream.codec_context.width)
        opened = Opened(name, size, codec_name(stream), frame_rate_of(stream))
        session = Session(stream, close, opened, container.format.name, continues=self.source.kind == "folder")
        self._queue.put(session)
        pace = Pace() if self._options.real_time and path is None and self.source.kind == "file" else None
        reason = "ended"
        try:
            for packet in container.demux(stream):
                if self._stop.is_set():
                    break
                if packet.size == 0:
                    continue
                self._num_read += 1
                if pace is not None and packet.dts is not None:
                    self._stop.wait(pace.wait(float(packet.dts * stream.time_base)))
                key, size_of = bool(packet.is_keyframe), int(packet.size)
                self._queue.put(Packet(packet, key, size_of, time.time(), time.monotonic()))
            else:
                self._whole_file = self._is_whole_file(container)
        except (av.FFmpegError, OSError) as error:
            reason = reason_of(error, self.source, self._options.timeout)
        self._queue.put(Close(session, reason, ends=ends or self._whole_file))
        return reason

    def _is_whole_file(self, container: Any) -> bool:
        """Whether an address that ended is a file on a server and not a stream that broke."""
        if self.source.kind != "address" or not self.source.address.startswith("http"):
            return False
        return bool(container.duration) and container.format.name not in ("mpegts", "hls", "flv")


def _converted(session: Session, frame: Any) -> Callable[[], Pixels]:
    convert = session.convert
    assert convert is not None, "the first frame of a session has made it"
    return lambda: convert(frame)
