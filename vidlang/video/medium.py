"""A video file or a folder of images: which source reads it for which access."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

from vidlang.core.errors import BadVideo
from vidlang.video.container import StreamFacts, read_facts
from vidlang.video.decord_reader import DecordSource, choose_decoder, why_not_decord
from vidlang.video.frames_reader import FramesSource
from vidlang.video.pyav_reader import PyavSource
from vidlang.video.source import Facts, FrameSource, RawFrame, scaled_size
from vidlang.video.timeline import Timeline, scan

Decoder = Literal["auto", "pyav", "decord"]


class Medium(Protocol):
    """What a reader asks of either."""

    @property
    def facts(self) -> Facts: ...

    def in_order(self, access: Literal["every", "some"]) -> FrameSource:
        """The source for reading from the start."""
        ...

    def jump(self, seconds: float) -> tuple[int, FrameSource, Iterator[RawFrame]] | None:
        """Index of the frame shown at a time, and the frames from it on; None where only reading in order is right."""
        ...

    def distrust(self) -> None:
        """A jump went wrong: no more of them."""
        ...


class VideoFile:
    """A file that FFmpeg opens."""

    def __init__(self, path: Path, short_side: int | None, decoder: Decoder, threads: int) -> None:
        self._path, self._short_side, self._decoder, self._threads = path, short_side, decoder, threads
        self._stream: StreamFacts = read_facts(path)
        self._jumps = True

    @property
    def facts(self) -> Facts:
        stream = self._stream
        num_frames = stream.num_frames or round(stream.duration * stream.frame_rate)
        duration = stream.duration or (num_frames / stream.frame_rate if stream.frame_rate else 0.0)
        return Facts(num_frames, duration, stream.frame_rate, scaled_size(stream.size, self._short_side))

    def in_order(self, access: Literal["every", "some"]) -> FrameSource:
        if access == "every" and self._decord_reads:
            assert self._timeline is not None, "only files with a timeline are proven for decord"
            return DecordSource(self._path, self._stream, self._timeline, self._threads)
        return self._pyav()

    def jump(self, seconds: float) -> tuple[int, FrameSource, Iterator[RawFrame]] | None:
        if not self._jumps or self._timeline is None:
            return None
        first, source = self._timeline.frame_at(seconds), self._pyav()
        return first, source, source.jump(self._timeline, first)

    def distrust(self) -> None:
        self._jumps = False

    def _pyav(self) -> PyavSource:
        return PyavSource(self._path, self._stream, self._short_side, self._threads)

    @functools.cached_property
    def _timeline(self) -> Timeline | None:
        return scan(self._path, self._stream)

    @functools.cached_property
    def _decord_reads(self) -> bool:
        """Whether dense reading goes to decord; proven once per reader.

        Raises:
            BadVideo: decord is insisted on for a file that it does not read rightly.
        """
        if self._decoder == "pyav":
            return False
        if self._decoder == "auto":
            return choose_decoder(self._path, "every", self._stream, self._short_side) == "decord"
        reason = why_not_decord(self._path, self._stream, self._short_side)
        if reason:
            raise BadVideo(f"decord does not read {self._path} rightly ({reason}): use the decoder 'auto'.")
        return True


class ImageFolder:
    """A folder whose images are the frames."""

    def __init__(self, folder: Path, frame_rate: float | None, short_side: int | None) -> None:
        self._source = FramesSource(folder, frame_rate, short_side)

    @property
    def facts(self) -> Facts:
        return self._source.facts

    def in_order(self, access: Literal["every", "some"]) -> FrameSource:
        return self._source

    def jump(self, seconds: float) -> tuple[int, FrameSource, Iterator[RawFrame]] | None:
        first = self._source.index_at(seconds)
        return first, self._source, self._source.frames_from(first)

    def distrust(self) -> None:
        """Images cannot be jumped to wrongly."""
