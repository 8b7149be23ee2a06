"""Clips for video networks: windows of consecutive frames, straight from video files.

A window is ``num_frames * step`` consecutive frames of which every ``step``-th is kept; windows start at every frame
that leaves room for a whole one. A video that is shorter than a window has one all the same: its frames at evenly
spaced places, repeated where they do not suffice, never those of another video.

Which frames come is exact. Files whose packets promise one frame each with a time of its own (MP4, MOV, Matroska, WebM)
are entered at the key frame before a window, and every decoded frame is checked against the promise; of H.264, frames
that nobody wants and that no other frame is decoded from are passed over. All others (AVI, MPEG-PS and TS, raw
streams), and files that break the promise, are read from their start to the last frame wanted.

How many frames there are: of the first, as many as packets, which are all read and none decoded; of the others, as many
as decode, since AVI counts packets that show nothing and packets that show two. Only damage makes the first wrong.
Reading across it notices, corrects the number and raises `FramesMissing`, so that other windows can be chosen.

Source: windows as in the published training of FAME (arXiv 2109.15130), which are torchvision's.
Differs: a video shorter than a window takes windows of the next video there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadVideo
from vidlang.core.video import VideoInfo
from vidlang.video.colour import RgbConverter
from vidlang.video.container import StreamFacts, decode, open_container, packets, read_facts
from vidlang.video.files import is_frame_folder
from vidlang.video.frames_reader import FramesSource
from vidlang.video.pyav_reader import JumpFailed, PyavSource, set_threads
from vidlang.video.source import Pixels, RawFrame
from vidlang.video.timeline import Timeline, scan

JUMP_PAYS = 12
"""Frames. Opening a file again and seeking costs about as much as decoding this many."""


@dataclass(frozen=True)
class ClipSampling:
    """Which frames make a clip."""

    num_frames: int = 16
    """Frames of a clip, axis T."""
    step: int = 2
    """One frame in so many is kept."""
    short_side: int | None = 128
    """Pixels of the shorter side of the frames that come, down or up (bicubic); None: as they are."""

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.step < 1 or (self.short_side is not None and self.short_side < 1):
            raise ValueError(f"num_frames, step and short_side must be at least 1, got {self}")

    @property
    def window(self) -> int:
        """Consecutive frames that a clip spans."""
        return self.num_frames * self.step

    def num_windows(self, total_frames: int) -> int:
        """Windows of a video: as many as places where a whole one starts; 1 for a shorter video.

        Raises:
            ValueError: there is no frame.
        """
        if total_frames < 1:
            raise ValueError(f"a video has at least 1 frame, got {total_frames}")
        return max(1, total_frames - self.window + 1)

    def indices(self, start: int, total_frames: int) -> NDArray[np.int64]:
        """Frame indices [T] of the window that starts at a frame.

        >>> ClipSampling(4, 2).indices(3, 100).tolist()
        [3, 5, 7, 9]
        >>> ClipSampling(4, 2).indices(0, 3).tolist()
        [0, 0, 1, 2]

        Raises:
            ValueError: no window starts there.
        """
        num_windows = self.num_windows(total_frames)
        if not 0 <= start < num_windows:
            raise ValueError(f"windows of {total_frames} frames start at 0 to {num_windows - 1}, got {start}")
        steps = np.arange(self.num_frames, dtype=np.int64)
        if total_frames >= self.window:
            return start + steps * self.step
        return steps * (total_frames - 1) // max(self.num_frames - 1, 1)


class FramesMissing(BadVideo):
    """A file has fewer frames that decode than was said."""


class ClipFile:
    """Clips of one video: a file, or a folder of images. Between readings nothing is open. Not for two threads at once.

    num_frames: frames that decode, where the caller knows from before; else they are counted when asked for.
    threads: decoding threads; one, since clips of many videos are read side by side.

    Raises:
        BadVideo: it does not open as a video.
    """

    def __init__(
        self, path: Path, *, video_id: str | None = None, num_frames: int | None = None, threads: int = 1
    ) -> None:
        self._path = path
        self._id = video_id or path.name or path.resolve().name
        self._num_frames = num_frames
        self._images = FramesSource(path, None) if is_frame_folder(path) else None
        self._threads = threads
        self._timeline: Timeline | None = None
        self._skips = True
        if self._images is None:
            self._facts = read_facts(path)
            self._timeline = scan(path, self._facts)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels as shown, before any scaling."""
        return self._images.facts.size if self._images is not None else self._facts.size

    @property
    def num_frames(self) -> int:
        """Frames that decode; see the module on how they are counted.

        Raises:
            BadVideo: none decodes.
        """
        if self._num_frames is None:
            self._num_frames = self._count()
        return self._num_frames

    @property
    def info(self) -> VideoInfo:
        """The facts of the video, with the counted number of frames."""
        facts = self._images.facts if self._images is not None else self._facts
        return VideoInfo(self._id, self.num_frames, facts.duration, facts.frame_rate, self.size)

    def num_windows(self, sampling: ClipSampling) -> int:
        """Windows to choose from, at least 1."""
        return sampling.num_windows(self.num_frames)

    def read(self, starts: Sequence[int] | NDArray[np.int64], sampling: ClipSampling) -> NDArray[np.uint8]:
        """Clips [W, T, h, w, 3] of the windows that start at these frames, in the order asked.

        Raises:
            FramesMissing: fewer frames decode than were counted; ``num_frames`` is right from then on.
            BadVideo: no frame decodes.
            ValueError: no window is asked for, or one starts where none can.
        """
        if not len(starts):
            raise ValueError("at least one window must be asked for, got none")
        indices = np.stack([sampling.indices(int(start), self.num_frames) for start in starts])  # [W, T]
        wanted, places = np.unique(indices, return_inverse=True)
        size = _size(self.size, sampling.short_side)
        pixels = np.empty((len(wanted), *size, 3), dtype=np.uint8)
        for place, frame in enumerate(self._pixels(wanted.tolist(), sampling.short_side)):
            pixels[place] = _resized(frame, size)
        return pixels[places.reshape(indices.shape)]

    def read_chosen(
        self, choose: Callable[[int], Sequence[int] | NDArray[np.int64]], sampling: ClipSampling
    ) -> NDArray[np.uint8]:
        """Clips [W, T, h, w, 3] of the windows that ``choose(number of windows)`` starts.

        It is asked again, with the right number, where reading finds that fewer frames decode than were counted.

        Raises:
            BadVideo: no frame decodes.
        """
        while True:
            try:
                return self.read(choose(self.num_windows(sampling)), sampling)
            except FramesMissing:  # each time the number is smaller, so this ends
                continue

    def _pixels(self, wanted: list[int], short_side: int | None) -> list[Pixels]:
        """The frames of rising indices, at their own size or, where that is larger, with this shorter side."""
        if self._images is not None:
            return self._of_images(wanted, self._images)
        while self._timeline is not None:
            if wanted[-1] >= len(self._timeline):
                raise self._missing(len(self._timeline))
            convert = RgbConverter(self._facts, short_side)
            try:
                return list(_by_jumps(self._path, self._facts, self._timeline, wanted, convert, self._skips))
            except JumpFailed:
                # first without leaving out frames, then without jumps
                if not self._skips:
                    self._timeline = None
                self._skips = False
        return self._in_order(PyavSource(self._path, self._facts, short_side, self._threads), wanted)

    def _of_images(self, wanted: list[int], images: FramesSource) -> list[Pixels]:
        if wanted[-1] >= images.facts.num_frames:
            raise self._missing(images.facts.num_frames)
        return [next(images.frames_from(index)).to_rgb() for index in wanted]

    def _in_order(self, source: PyavSource, wanted: list[int]) -> list[Pixels]:
        found: list[Pixels] = []
        num_frames = 0
        with contextlib.closing(_generator(source.frames())) as frames:
            for frame in frames:
                if num_frames == wanted[len(found)]:
                    found.append(frame.to_rgb())
                    if len(found) == len(wanted):
                        return found
                num_frames += 1
        raise self._missing(num_frames)

    def _missing(self, num_frames: int) -> BadVideo:
        """What to raise where a reading ended too early, after ``num_frames`` frames."""
        if not num_frames:
            return BadVideo(f"No frame of {self._id} decodes.")
        said, self._num_frames = self._num_frames, num_frames
        return FramesMissing(f"{num_frames} frames of {self._id} decode, not {said}: choose its windows again.")

    def _count(self) -> int:
        if self._images is not None:
            return self._images.facts.num_frames
        if self._timeline is not None:
            return len(self._timeline)
        num_frames = sum(1 for _ in PyavSource(self._path, self._facts, None, self._threads).frames())
        if not num_frames:
            raise BadVideo(f"No frame of {self._id} decodes.")
        return num_frames


def uniform_starts(num_windows: int, num_clips: int) -> NDArray[np.int64]:
    """Starts [num_clips] evenly from the first window to the last: ``floor(linspace(0, num_windows - 1, num_clips))``.

    In whole numbers: floating point would put a start that is exactly between two others one frame too early.

    Raises:
        ValueError: either is below 1.
    """
    _check(num_windows, num_clips)
    return np.arange(num_clips, dtype=np.int64) * (num_windows - 1) // max(num_clips - 1, 1)


def random_starts(num_windows: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Random starts [count], all different where there are as many windows, else each window as often as the others.

    Raises:
        ValueError: either is below 1.
    """
    _check(num_windows, count)
    chosen: NDArray[np.int64] = rng.choice(num_windows, size=min(count, num_windows), replace=False)
    return np.resize(chosen, count)


def _check(num_windows: int, num_clips: int) -> None:
    if num_windows < 1 or num_clips < 1:
        raise ValueError(f"there must be at least 1 window and 1 clip, got {num_windows} and {num_clips}")


def _by_jumps(
    path: Path, facts: StreamFacts, timeline: Timeline, wanted: list[int], convert: RgbConverter, skip: bool
) -> Iterator[Pixels]:
    """Frames of rising indices; decoding goes on from one to the next unless a key frame lies well ahead.

    skip: leave out what no wanted frame needs

    Raises:
        JumpFailed: a frame is not the one that the timeline promises.
    """
    needed = frozenset(wanted) if skip else None
    frames: Generator[tuple[int, Any], None, None] | None = None
    place = -1
    try:
        for index in wanted:
            if frames is None or timeline.key_before(index) > place + JUMP_PAYS:
                if frames is not None:
                    frames.close()
                frames = _from_key(path, facts, timeline, timeline.key_before(index), needed)
            for place, frame in frames:
                if place == index:
                    yield convert(frame)
                    break
            else:
                raise JumpFailed
    finally:
        if frames is not None:
            frames.close()


def _from_key(
    path: Path, facts: StreamFacts, timeline: Timeline, key: int, needed: frozenset[int] | None
) -> Generator[tuple[int, Any], None, None]:
    """(Index, decoded frame) from a key frame on.

    needed: of the frames that no other one is decoded from, only these come; None: all frames come

    Raises:
        JumpFailed: a frame is missing, damaged, or another than the timeline promises.
    """
    import av

    passed_over: set[int] = set()
    expected: int | None = None
    with open_container(path) as container:
        stream = container.streams[facts.stream_index]
        set_threads(stream, 1)
        references = H264References.of(stream) if needed is not None and facts.codec == "h264" else None
        try:
            container.seek(int(timeline.stamps[key]), stream=stream, backward=True, any_frame=False)
            for packet in packets(container, stream, []):
                if references is not None and needed is not None and references.none_in(packet):
                    index = _index_of(timeline, packet)
                    if index is not None and index not in needed:
                        passed_over.add(index)
                        continue
                for frame in decode(stream, packet):
                    if expected is None and frame.pts != timeline.stamps[key]:
                        if frame.pts is None or frame.pts > timeline.stamps[key]:
                            raise JumpFailed
                        continue  # from before the key frame: what it is decoded from may be missing
                    expected = _next(key if expected is None else expected, passed_over)
                    if expected == len(timeline) or frame.pts != timeline.stamps[expected] or frame.is_corrupt:
                        raise JumpFailed
                    yield expected, frame
                    expected += 1
        except av.FFmpegError as error:
            raise JumpFailed from error
        if expected is None or _next(expected, passed_over) != len(timeline):
            raise JumpFailed


def _index_of(timeline: Timeline, packet: Any) -> int | None:
    """The frame that a packet shows; None for one that is cut away by an edit list."""
    index = int(np.searchsorted(timeline.stamps, packet.pts)) if packet.pts is not None else len(timeline)
    return index if index < len(timeline) and timeline.stamps[index] == packet.pts else None


def _next(index: int, passed_over: set[int]) -> int:
    while index in passed_over:
        index += 1
    return index


@dataclass(frozen=True)
class H264References:
    """Tells of packets of H.264 whether another frame may be decoded from theirs: each part of a picture says so.

    Source: ITU-T H.264, nal_ref_idc (7.4.1) and, for the length before each part, ISO/IEC 14496-15.
    """

    length_size: int
    """Bytes of the length before each part."""

    @classmethod
    def of(cls, stream: Any) -> H264References | None:
        """None where parts do not have their lengths before them."""
        header = stream.codec_context.extradata
        return cls((header[4] & 3) + 1) if header is not None and len(header) > 6 and header[0] == 1 else None

    def none_in(self, packet: Any) -> bool:
        """True where the packet holds a picture that no other one refers to; False where it is not clear."""
        data = memoryview(packet) if packet is not None else b""
        has_picture, place = False, 0
        while place + self.length_size < len(data):
            length = int.from_bytes(data[place : place + self.length_size], "big")
            place += self.length_size
            if not 0 < length <= len(data) - place:
                return False
            if 1 <= data[place] & 0x1F <= 5:  # a slice of a picture
                if data[place] & 0x60:
                    return False
                has_picture = True
            place += length
        return has_picture and place == len(data)


def _generator(frames: Iterator[RawFrame]) -> Generator[RawFrame, None, None]:
    """Sources are generators, whose closing closes their file."""
    yield from frames


def _size(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """(height, width) with this shorter side, in the same proportion."""
    if short_side is None:
        return size
    height, width = size
    scale = short_side / min(size)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The reader scales down only; small videos are enlarged here."""
    if pixels.shape[:2] == size:
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC))
