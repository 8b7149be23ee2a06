"""How much moves in a video, by the differences of frames that follow one another.

Energy is measured in grey levels: the absolute difference of two frames, 0 to 255, averaged over the three colour
channels, over pixels, and over the steps from one frame to the next. FAME's seed, which sums over channels of values
in 0 to 1, is a map of it times 3 / 255.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadInput
from vidlang.core.features import Sampling
from vidlang.core.video import VideoInfo
from vidlang.video.reader import VideoReader, open_video
from vidlang.video.sampling import SnippetSampler
from vidlang.video.shift import SMALLEST_SIDE, STILL, Pixels, Shift, ShiftFinder, difference

SIDE = 64
"""Pixels of the shorter side that ``motion_energy`` compares frames at: noise of single pixels averages out."""
RATE = 8.0
"""Frames per second that it compares, so that the measure does not depend on the frame rate."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
PART = 64
"""Frames that one map of energy is of at most: they wait for it. So many differences also fit into 16 bits."""


@dataclass(frozen=True)
class MotionOptions:
    """Which frames are compared, and how."""

    short_side: int | None = 360
    """Pixels that the shorter side is brought down to; None: full size. Noise of pixels averages out in small ones."""
    rate: float | None = None
    """Frames per second that are compared; None: every frame."""
    compensate: bool = False
    """Take the shift of the whole picture off first, for cameras that pan."""

    def __post_init__(self) -> None:
        if self.short_side is not None and self.short_side < SMALLEST_SIDE:
            raise BadInput(f"Frames are compared at {SMALLEST_SIDE} pixels or more, got {self.short_side}.")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise BadInput(f"The rate of comparisons must be positive, got {self.rate:g}.")


@dataclass(frozen=True, eq=False)
class MotionCurve:
    """Energy of one video over time, on both rulers of its snippets."""

    video: VideoInfo
    frames: NDArray[np.int64]
    """[T, 2] half-open spans."""
    seconds: NDArray[np.float64]
    """[T, 2] half-open."""
    energy: NDArray[np.float32]
    """[T] grey levels: the mean over the steps between frames of one snippet. A snippet of one frame has the step that
    leads to it."""
    shift: NDArray[np.float32] | None = None
    """[T, 2] how far the picture goes down and right per step, pixels of the compared frames; None: not looked for."""
    compared_size: tuple[int, int] = (0, 0)
    """(height, width) at which frames were compared."""


@dataclass(frozen=True, eq=False)
class Step:
    """What differs between a frame and the one before."""

    difference: Pixels
    """[h, w, 3] grey levels."""
    size: tuple[int, int]
    """(height, width) of the frame."""
    place: tuple[slice, slice]
    """Rows and columns of the frame that were compared."""
    shift: Shift
    energy: float
    """Grey levels."""


class Steps:
    """Told of frames in order, compares each with the one before; remembers that one frame and nothing else."""

    def __init__(self, compensate: bool = False) -> None:
        self._finder = ShiftFinder() if compensate else None
        self._before: Pixels | None = None

    def push(self, frame: Pixels) -> Step | None:
        """None for the first frame.

        frame: [H, W, 3]

        Raises:
            ValueError: it is not uint8, or not of the size of the frame before.
        """
        before, self._before = self._before, frame
        if frame.dtype != np.uint8 or frame.ndim != 3 or (before is not None and before.shape != frame.shape):
            expected = "[H, W, 3]" if before is None else list(before.shape)
            raise ValueError(f"expected frames of uint8 {expected}, got {frame.dtype} {list(frame.shape)}")
        shift = STILL if self._finder is None else self._finder.push(frame)
        if before is None:
            return None
        differs, place = difference(before, frame, shift)
        wide = np.uint32 if differs.size < 2**24 else np.uint64  # 2 ** 24 * 255 just fits into 32 bits
        return Step(differs, before.shape[:2], place, shift, float(differs.sum(dtype=wide)) / differs.size)


class EnergyMap:
    """Sums of differences, pixel by pixel. A pixel is averaged over the steps in which it was compared."""

    def __init__(self, size: tuple[int, ...]) -> None:
        self._sums = np.zeros((*size, 3), dtype=np.uint16)
        self._counts = np.zeros(size, dtype=np.uint16)
        self._waiting = 0
        self._total = np.zeros(size, dtype=np.float64)
        self._compared = np.zeros(size, dtype=np.int64)

    def add(self, step: Step) -> None:
        part = self._sums[step.place]
        np.add(part, step.difference, out=part)
        self._counts[step.place] += 1
        self._waiting += 1
        if self._waiting == PART:
            self._settle()

    def add_map(self, other: EnergyMap) -> None:
        """What another map of the same size has summed up."""
        other._settle()
        self._total += other._total
        self._compared += other._compared

    def mean(self) -> NDArray[np.float32]:
        """[H, W] grey levels per channel and step; 0 where nothing was compared."""
        self._settle()
        means: NDArray[np.float32] = (self._total / np.maximum(self._compared, 1) / 3).astype(np.float32)
        return means

    def _settle(self) -> None:
        if self._waiting:
            self._total += self._sums[..., 0].astype(np.uint32) + self._sums[..., 1] + self._sums[..., 2]
            self._compared += self._counts
            self._sums[...], self._counts[...], self._waiting = 0, 0, 0


@dataclass(frozen=True, eq=False)
class MotionPart:
    """Frames of one snippet and where they differ."""

    frames: list[Pixels]
    """At most 64 frames ``[H, W, 3]``; none where they are not kept."""
    energy: NDArray[np.float32]
    """[H, W] grey levels."""
    last: int
    """Frames of the video up to the end of this part."""


def open_motion(
    path: Path,
    sampling: Sampling,
    options: MotionOptions | None = None,
    *,
    video_id: str | None = None,
    frame_rate: float | None = None,
    keep_frames: bool = False,
) -> MotionStream:
    """Opens a video for one pass over its differences, snippet by snippet as ``open_snippets`` cuts them.

    frame_rate: of a folder of images    keep_frames: hand every frame over with its map, for drawing

    Raises:
        BadVideo: it does not open as a video.
    """
    options = options or MotionOptions()
    reader = open_video(path, video_id=video_id, frame_rate=frame_rate, short_side=options.short_side)
    return MotionStream(reader, sampling, options, keep_frames)


class MotionStream:
    """Iterate once; afterwards ``curve``, ``energy`` and ``background`` are there.

    Memory holds some maps of the size of a frame and a few numbers per snippet, however long the video is.
    """

    def __init__(self, reader: VideoReader, sampling: Sampling, options: MotionOptions, keep_frames: bool) -> None:
        self._reader, self._options, self._keep_frames = reader, options, keep_frames
        self._sampler = SnippetSampler(Sampling(sampling.stride, "mean", sampling.fps))
        self._rows: dict[int, NDArray[np.float64]] = {}  # row → sums of energy, shift down, shift right; count of steps
        self._curve: MotionCurve | None = None
        self._whole: EnergyMap | None = None
        self._scene: _MeanFrame | None = None
        self._shown: NDArray[np.float32] | None = None

    def __enter__(self) -> MotionStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    @property
    def info(self) -> VideoInfo:
        """Estimates before the end, exact after it."""
        return self._reader.info

    @property
    def warnings(self) -> list[str]:
        return self._reader.warnings

    @property
    def curve(self) -> MotionCurve:
        if self._curve is None:
            raise ValueError(f"the curve of {self.info.id} is known after the last part was read")
        return self._curve

    @property
    def energy(self) -> NDArray[np.float32]:
        """[H, W] grey levels: the mean over the steps of the whole video."""
        if self._whole is None:
            raise ValueError(f"the energy of {self.info.id} is known after its frames were read")
        return self._whole.mean()

    @property
    def background(self) -> Pixels:
        """[H, W] brightness of the mean frame."""
        if self._scene is None:
            raise ValueError(f"the mean frame of {self.info.id} is known after its frames were read")
        return self._scene.brightness()

    def __iter__(self) -> Iterator[MotionPart]:
        """Parts in order. A snippet of more than 64 frames comes in several.

        Raises:
            BadVideo: no frame decodes.
        """
        steps, few = Steps(self._options.compensate), _Few(self._options.rate)
        part: _Part | None = None
        for timed in self._reader.timed_frames("every" if self._options.rate is None else "some"):
            row = self._sampler.rows_of(timed.index, timed.start, timed.end)[0]
            if part is None or row != part.row or part.num_frames == PART:
                if part is not None:
                    yield self._close(part)
                part = _Part(row, begins=part is None or row != part.row)
            part.num_frames, part.last = part.num_frames + 1, timed.index + 1
            compared = few.takes(timed.start)
            if compared or self._keep_frames:
                frame = timed.to_rgb()
                self._take(frame, part, steps if compared else None)
        assert part is not None, "a video without frames ends in an error"
        yield self._close(part)
        self._curve = self._finish()

    def _take(self, frame: Pixels, part: _Part, steps: Steps | None) -> None:
        """steps: None for a frame that is only shown."""
        if self._keep_frames:
            part.frames.append(frame)
        if steps is None:
            return
        if self._whole is None or self._scene is None:
            self._whole, self._scene = EnergyMap(frame.shape[:2]), _MeanFrame(frame.shape[:2])
        self._scene.add(frame)
        part.add(steps.push(frame))

    def _close(self, part: _Part) -> MotionPart:
        """The part's map, where nothing was compared in it that of the part before; and its sums to the curve."""
        part.settle()
        if part.map is not None and self._whole is not None:
            self._whole.add_map(part.map)
            self._shown = part.map.mean()
            self._rows[part.row] = self._rows.get(part.row, np.zeros(4)) + part.sums
        if self._shown is None:
            return MotionPart(part.frames, np.zeros(self.info.size, dtype=np.float32), part.last)
        return MotionPart(part.frames, self._shown, part.last)

    def _finish(self) -> MotionCurve:
        """A snippet without a step of its own, such as one that holds the frame before, has the nearest one's."""
        frames, seconds = self._sampler.finish()
        rows = np.array(sorted(self._rows), dtype=np.float64)
        size = self.info.size
        if not len(rows):
            none = np.zeros((len(frames), 3))
            return self._curve_of(frames, seconds, none, size)
        sums = np.array([self._rows[int(row)] for row in rows])
        means = (sums[:, :3] / sums[:, 3:])[_nearest(rows, np.arange(len(frames), dtype=np.float64))]
        return self._curve_of(frames, seconds, means, size)

    def _curve_of(
        self,
        frames: NDArray[np.int64],
        seconds: NDArray[np.float64],
        means: NDArray[np.float64],
        size: tuple[int, int],
    ) -> MotionCurve:
        shift = means[:, 1:].astype(np.float32) if self._options.compensate else None
        return MotionCurve(self.info, frames, seconds, means[:, 0].astype(np.float32), shift, size)


class _Part:
    """What is summed up on the way to the next map."""

    def __init__(self, row: int, begins: bool) -> None:
        self.row, self.num_frames, self.last = row, 0, 0
        self.frames: list[Pixels] = []
        self.map: EnergyMap | None = None
        self.sums = np.zeros(4)
        self._begins = begins
        self._lead: Step | None = None

    def add(self, step: Step | None) -> None:
        """The step to the first frame of a snippet comes from the snippet before, and counts only if it is alone."""
        if self._begins:
            self._begins, self._lead = False, step
        elif step is not None:
            self._count(step)

    def settle(self) -> None:
        """No more steps come."""
        if self.map is None and self._lead is not None:
            self._count(self._lead)

    def _count(self, step: Step) -> None:
        if self.map is None:
            self.map = EnergyMap(step.size)
        self.map.add(step)
        self.sums += (step.energy, step.shift.down, step.shift.right, 1)


class _MeanFrame:
    """Sum of frames."""

    def __init__(self, size: tuple[int, ...]) -> None:
        self._sums = np.zeros((*size, 3), dtype=np.uint16)
        self._total = np.zeros((*size, 3), dtype=np.float64)
        self._waiting = self._count = 0

    def add(self, frame: Pixels) -> None:
        np.add(self._sums, frame, out=self._sums)
        self._waiting, self._count = self._waiting + 1, self._count + 1
        if self._waiting == PART:
            self._settle()

    def brightness(self) -> Pixels:
        """[H, W]"""
        self._settle()
        mean = (self._total / max(self._count, 1)).astype(np.float32)
        return np.rint(mean @ LUMA).astype(np.uint8)

    def _settle(self) -> None:
        self._total += self._sums
        self._sums[...], self._waiting = 0, 0


class _Few:
    """Takes so many frames per second, the first one always; every frame where the rate is None."""

    def __init__(self, rate: float | None) -> None:
        self._apart, self._taken = (0.0 if rate is None else 1 / rate), -math.inf

    def takes(self, seconds: float) -> bool:
        if self._apart and seconds - self._taken < self._apart - 1e-6:
            return False
        self._taken = seconds
        return True


def motion_energy(path: Path, seconds: NDArray[np.float64], *, frame_rate: float | None = None) -> NDArray[np.float32]:
    """Mean absolute difference of brightness between frames an eighth of a second apart, for each interval.

    seconds: [T, 2] intervals    frame_rate: of a folder of images    returns: [T] grey levels, 0 to 255

    An interval in which no two frames are compared gets the value of the comparison nearest to its middle; a video of
    one frame does not move.

    Raises:
        BadVideo: it does not open, or no frame decodes.
    """
    times, energies, few = [], [], _Few(RATE)
    before: NDArray[np.float32] | None = None
    with open_video(path, short_side=SIDE, frame_rate=frame_rate) as reader:
        for batch in reader.read_where(lambda _index, start, _end: few.takes(start)):
            for frame, (start, _) in zip(batch.frames, batch.seconds, strict=True):
                luma = frame.astype(np.float32) @ LUMA
                if before is not None:
                    energies.append(float(np.abs(luma - before).mean()))
                    times.append(float(start))
                before = luma
    if not energies:
        return np.zeros(len(seconds), dtype=np.float32)
    at, energy = np.array(times), np.array(energies)
    first, last = np.searchsorted(at, seconds[:, 0]), np.searchsorted(at, seconds[:, 1])
    sums = np.concatenate([[0.0], energy.cumsum()])
    means = (sums[last] - sums[first]) / np.maximum(last - first, 1)
    return np.where(last > first, means, energy[_nearest(at, seconds.mean(axis=1))]).astype(np.float32)


def energy_at(curve: MotionCurve, seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """A curve on other intervals: the mean over what they share with its snippets, by seconds.

    seconds: [T, 2]    returns: [T] grey levels; an interval that shares nothing has the value nearest to its middle
    """
    edges = np.maximum.accumulate(curve.seconds.ravel())  # snippet, gap, snippet, …
    lengths = np.diff(edges)
    inside = (np.arange(len(lengths)) % 2 == 0).astype(np.float64)
    covered = np.concatenate([[0.0], (lengths * inside).cumsum()])
    summed = np.concatenate([[0.0], (lengths * inside * np.repeat(curve.energy, 2)[:-1]).cumsum()])

    def between(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(seconds[:, 1], edges, sums) - np.interp(seconds[:, 0], edges, sums)

    shared = between(covered)
    nearest = curve.energy[_nearest(curve.seconds.mean(axis=1), seconds.mean(axis=1))]
    means = between(summed) / np.maximum(shared, 1e-12)
    return np.where(shared > 1e-9, means, nearest).astype(np.float32)


def _nearest(places: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each wanted place the index of the nearest one, the first of two as near.

    places: [N] rising, N at least 1    wanted: [T]
    """
    after = np.clip(np.searchsorted(places, wanted), 0, len(places) - 1)
    before = np.maximum(after - 1, 0)
    chosen: NDArray[np.int64] = np.where(wanted - places[before] <= places[after] - wanted, before, after)
    return chosen
