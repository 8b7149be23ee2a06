"""Edited copies: the pass that writes one and knows which of its seconds show which seconds of the source."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidlang.core.errors import BadInput
from vidlang.core.segments import Segment
from vidlang.video.edits.kinds import Clip, Edit, Reencode, Shown, elsewhere
from vidlang.video.reader import open_video
from vidlang.video.source import Pixels
from vidlang.video.writer import write_video

Mapping = tuple[tuple[Segment, Segment], ...]

DEFAULT_CRF = 23
DEFAULT_RATE = 25.0
FASTEST_RATE = 60.0
INSTANT = 0.3
"""A frame of the copy shows what the clock shows at this share of its interval. The start would be an edge, where
rounding decides; so would the middle at doubled speed."""


@dataclass(frozen=True)
class EditedCopy:
    """A copy that was written."""

    path: Path
    edits: tuple[Edit, ...]
    mapping: Mapping
    """Pairs of (seconds of the copy, the seconds of the source that they show), in the copy's order."""
    duration: float
    """Seconds of the copy."""
    frame_rate: float

    def to_dict(self) -> dict[str, Any]:
        """Without the path: what was done, and what shows what."""
        return {
            "edits": describe(self.edits),
            "mapping": [[[a.start, a.end], [b.start, b.end]] for a, b in self.mapping],
            "duration": self.duration,
            "frame_rate": self.frame_rate,
        }


def describe(edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """Kinds and numbers, for JSON."""
    return [edit.to_dict() for edit in edits]


def fingerprint(edits: Sequence[Edit]) -> str:
    """Eight hex digits; the same only for the same edits in the same order."""
    text = json.dumps(describe(edits), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def apply(
    path: Path,
    edits: Sequence[Edit],
    target: Path,
    frame_rate: float | None = None,
    *,
    crf: int = DEFAULT_CRF,
    preset: str = "veryfast",
    short_side: int | None = None,
    image_rate: float | None = None,
    threads: int = 0,
) -> EditedCopy:
    """Writes the edited copy of a video as H.264; edits take place in the order given.

    frame_rate: of the copy; None: the source's average, at most 60.
    crf: how coarsely the copy is coded; the last ``Reencode`` beats it.
    preset: of x264; faster ones make larger files.
    short_side: bring the source's shorter side down to this many pixels before anything else; None: full size.
    image_rate: frames per second of a source that is a folder of images.
    threads: for decoding and for coding; 0: as many as there are cores.

    Raises:
        BadInput: an edit does not fit the video, nothing of it is left, or the copy cannot be written.
        BadVideo: the source, or a video that an edit names, cannot be read.
    """
    path, target = Path(path), Path(target)
    for edit in edits:
        crf = edit.crf if isinstance(edit, Reencode) else crf
    with open_video(path, frame_rate=image_rate, short_side=short_side, threads=threads) as reader:
        known = reader.info.frame_rate
        rate = frame_rate or (min(known, FASTEST_RATE) if known > 0 else DEFAULT_RATE)
        with contextlib.closing(reader.timed_frames("some")) as source:
            frames: Iterator[Shown] = (
                Shown(frame.start, frame.end, Segment(frame.start, frame.end), frame.to_rgb) for frame in source
            )
            for edit in edits:
                frames = edit.edited(frames)
            record = _Record()
            pictures = record.pictures(frames, rate)
            first = next(pictures, None)
            if first is None:
                names = ", ".join(edit.name for edit in edits)
                raise BadInput(f"Nothing of {path} is left after these edits: {names}. Take other times.")
            options = {"crf": str(crf), "preset": preset} | ({"threads": str(threads)} if threads else {})
            write_video(target, itertools.chain([first], pictures), rate, options=options)
    duration = record.num_pictures / rate
    return EditedCopy(target, tuple(edits), record.mapping(duration), duration, rate)


def at_constant_rate(frames: Iterable[Shown], rate: float) -> Iterator[Pixels]:
    """What is shown at times that lie ``1 / rate`` apart; a picture that is shown twice is converted once."""
    number = 0
    for shown in frames:
        pixels: Pixels | None = None
        while (number + INSTANT) / rate < shown.end:
            pixels = shown.pixels() if pixels is None else pixels
            yield pixels
            number += 1


class _Record:
    """What goes by on its way into a file: how many pictures, and which seconds show which.

    As many pieces as there are jumps in time, however many frames.
    """

    SAME = 1e-6
    """Seconds by which two times may differ that were added up in different ways."""

    def __init__(self) -> None:
        self.num_pictures = 0
        self.pieces: list[Shown] = []

    def pictures(self, frames: Iterable[Shown], rate: float) -> Iterator[Pixels]:
        for picture in at_constant_rate(self._watched(frames), rate):
            self.num_pictures += 1
            yield picture

    def _watched(self, frames: Iterable[Shown]) -> Iterator[Shown]:
        for shown in frames:
            if shown.source is not None and shown.end > shown.start:
                self._add(shown)
            yield shown

    def _add(self, shown: Shown) -> None:
        assert shown.source is not None
        if self.pieces:
            last = self.pieces[-1]
            assert last.source is not None
            gaps = shown.start - last.end, shown.source.start - last.source.end
            if max(map(abs, gaps)) < self.SAME:
                whole = Segment(last.source.start, max(last.source.start, shown.source.end))
                self.pieces[-1] = replace(last, end=shown.end, source=whole)
                return
        self.pieces.append(replace(shown, pixels=_no_pixels))

    def mapping(self, duration: float) -> Mapping:
        """Within the copy as it was written, whose last frame may end a little before what it shows does."""
        parts = [piece.part(0.0, duration) for piece in self.pieces if piece.start < duration]
        return tuple((Segment(part.start, part.end), part.source) for part in parts if part.source is not None)


def _no_pixels() -> Pixels:
    raise AssertionError("a piece of the mapping has no picture")


def join(paths: Sequence[Path], target: Path, seconds: float, size: tuple[int, int], frame_rate: float) -> None:
    """Videos one after the other, all at one picture size, the first ``seconds`` of what comes out.

    size: (height, width); pictures of another aspect lose their edges.

    Raises:
        BadInput: they are shorter than ``seconds`` together. BadVideo: one cannot be read.
    """
    frames = _part_to(_one_after_the_other(paths, size), seconds)
    write_video(target, at_constant_rate(frames, frame_rate), frame_rate, options={"preset": "veryfast"})


def _one_after_the_other(paths: Sequence[Path], size: tuple[int, int]) -> Iterator[Shown]:
    start = end = 0.0
    for path in paths:
        for shown in elsewhere(path, size):
            end = start + shown.end
            yield shown.moved(start)
        start = end


def _part_to(frames: Iterator[Shown], seconds: float) -> Iterator[Shown]:
    end = 0.0
    for shown in Clip(0.0, seconds).edited(frames):
        end = shown.end
        yield shown
    if end < seconds - 1e-3:
        raise BadInput(f"The videos last {end:.4g} s together, {seconds:.4g} s are asked for. Give more of them.")
