"""decord: dense reading in order, and the proof that a file is one that it reads rightly.

decord's random access returns other frames than reading in order for open groups of pictures, HEVC, edit lists, MPEG-4
in AVI, MPEG-PS and TS; its length is an estimate and it ignores the colour matrix and range. No frame that is handed
out comes from its random access: the proof alone uses it, as a witness whose mistakes only make PyAV read instead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.video.container import StreamFacts
from vidlang.video.pyav_reader import MISSING_SECONDS_TOLERATED, PyavSource
from vidlang.video.source import Pixels, RawFrame
from vidlang.video.timeline import Timeline, scan

logger = logging.getLogger(__name__)

Access = Literal["every", "some", "jump"]
"""Every frame in order; some frames in order; from a moment on."""
DecoderName = Literal["pyav", "decord"]

PROVEN_CODECS = frozenset({"h264", "vp9"})
BT601_OR_UNSPECIFIED = frozenset({2, 5, 6})
MEMORY = 256 * 1024 * 1024
"""Bytes that all frames of a video may take together. decord gives memory back late or never: in order and by single
frames it held 700 MB of a 1,394-frame 768 x 432 video, PyAV 160 MB whatever the length."""

MEAN_DIFFERENCE = 1.0
"""Mean absolute difference, 0 to 255, that two decoders' conversions of one frame stay under; another frame of the same
scene may lie closer, which is why the stream's structure is looked at as well."""


def decord_version() -> str | None:
    """None where decord is not installed."""
    if find_spec("decord") is None:
        return None
    for name in ("decord", "eva-decord", "decord2"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown version"


def choose_decoder(path: Path, access: Access, facts: StreamFacts, short_side: int | None = None) -> DecoderName:
    """decord for every frame in order at full size, where the file is proven to read rightly; PyAV for all else."""
    if access != "every":
        return "pyav"
    reason = why_not_decord(path, facts, short_side)
    if reason:
        logger.info("PyAV reads %s: %s", path, reason)
    return "pyav" if reason else "decord"


def why_not_decord(path: Path, facts: StreamFacts, short_side: int | None = None) -> str | None:
    """The first reason against decord; None where nothing speaks against it.

    The cheap facts come first, then the packets, then pictures: first and last frame as decord and PyAV see them.
    """
    reason = _fact_against(facts, short_side)
    if reason:
        return reason
    timeline = scan(path, facts)
    if timeline is None:
        return "its packets do not promise one frame each with a time of its own"
    height, width = facts.size
    if len(timeline) * height * width * 3 > MEMORY:
        return "decord holds on to too many frames of so long a video"
    return _picture_against(path, facts, timeline)


def _fact_against(facts: StreamFacts, short_side: int | None) -> str | None:
    if decord_version() is None:
        return "decord is not installed"
    if short_side is not None and min(facts.size) > short_side:
        return "decord scales bilinearly"
    if facts.codec not in PROVEN_CODECS:
        return f"decord is not proven on {facts.codec}"
    if facts.pixel_format != "yuv420p" or facts.full_range:
        return f"decord is not proven on {facts.pixel_format}{' in full range' if facts.full_range else ''}"
    if facts.matrix not in BT601_OR_UNSPECIFIED:
        return "decord takes every colour matrix for BT.601"
    if facts.rotation:
        return "its display matrix turns it"
    if facts.num_video_streams > 1:
        return "it has several video streams"
    return None


def _picture_against(path: Path, facts: StreamFacts, timeline: Timeline) -> str | None:
    if timeline.num_discarded:
        return "an edit list cuts it"
    if facts.num_frames and facts.num_frames != len(timeline):
        return f"the header promises {facts.num_frames} frames, the packets {len(timeline)}"
    promised = facts.duration - timeline.start(len(timeline) - 1)
    if promised > MISSING_SECONDS_TOLERATED + float(timeline.last_duration * timeline.time_base):
        return "it ends before its header says"
    try:
        ours = _first_and_last(PyavSource(path, facts, threads=1), timeline)
        theirs = _witness(path, len(timeline) - 1)
    except Exception as error:  # decord raises its own kinds, all of them reasons to leave it alone
        return f"its ends do not read ({type(error).__name__})"
    for name, our_frame, their_frame in zip(("first", "last"), ours, theirs, strict=True):
        if our_frame.shape != their_frame.shape or mean_difference(our_frame, their_frame) > MEAN_DIFFERENCE:
            return f"decord shows another {name} frame"
    return None


def _first_and_last(source: PyavSource, timeline: Timeline) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    first = next(source.frames()).to_rgb()
    last = list(source.jump(timeline, len(timeline) - 1))
    return first, last[-1].to_rgb()


def _witness(path: Path, last: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """First frame in order, and what decord's random access believes to be the last one."""
    reader = _open(path)
    first = reader.next().asnumpy()
    return first, reader[last].asnumpy()


def mean_difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def _open(path: Path, threads: int = 0) -> Any:
    import decord

    return decord.VideoReader(str(path.resolve()), ctx=decord.cpu(0), num_threads=threads)


def _ready(pixels: Pixels) -> Callable[[], Pixels]:
    return lambda: pixels


class DecordSource:
    """Every frame in order by ``next()``, with the times of the packets.

    Where decord stops early or fails, PyAV reads on: again from the start, past the frames that were handed out.
    """

    def __init__(self, path: Path, facts: StreamFacts, timeline: Timeline, threads: int = 0) -> None:
        self.name = f"decord {decord_version()}"
        self.warnings: list[str] = []
        self._path, self._facts, self._timeline, self._threads = path, facts, timeline, threads

    def frames(self) -> Iterator[RawFrame]:
        self.warnings = []
        index = 0
        for index, pixels in enumerate(self._pixels(), start=1):
            yield RawFrame(self._timeline.start(index - 1), self._duration(index - 1), _ready(pixels))
        if index < len(self._timeline):
            logger.info("decord ended %s after %d of %d frames: PyAV reads on", self._path, index, len(self._timeline))
            rest = PyavSource(self._path, self._facts, threads=self._threads)
            yield from islice(rest.frames(), index, None)
            self.warnings = rest.warnings
            self.name = rest.name

    def _pixels(self) -> Iterator[NDArray[np.uint8]]:
        """At most as many frames as the packets promise."""
        try:
            reader = _open(self._path, self._threads)
            for _ in range(len(self._timeline)):
                yield reader.next().asnumpy()
        except StopIteration:
            return
        except Exception as error:  # DECORDError and DECORDLimitReachedError share no base but this
            logger.info("decord failed on %s: %s", self._path, error)

    def _duration(self, index: int) -> float:
        ticks = self._timeline.last_duration if index == len(self._timeline) - 1 else 0
        return float(ticks * self._timeline.time_base)
