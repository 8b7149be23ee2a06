"""What ``score`` and ``localize`` found in the videos of a workspace: the newest result of each video, found by place.

Results are read line by line, and of each line only where it lies and its highest score are kept, so that those of a
hundred thousand videos take little memory. A video's own lines are read when it is opened.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, Detection
from vidlang.store.results import DETECTIONS_FILE, EVENTS_FILE, SCORES_FILE, detection_from_dict
from vidlang.store.video_scores import VIDEO_SCORES_FILE

logger = logging.getLogger(__name__)

MOST_DETECTIONS = 60
"""Of a video that are shown, best first: a detector ranks hundreds, most of them with scores near 0."""
_VIDEO = re.compile(rb'"video": (?:\{"id": )?("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Summary:
    """A video's results in a few numbers."""

    peak: float | None = None
    """Highest anomaly score."""
    peak_at: float | None = None
    """Seconds, the middle of its row."""
    num_events: int | None = None
    """Events, or detections where nothing was scored; None where nothing is known."""
    best: Detection | None = None
    """The event or detection with the highest score."""

    @property
    def at(self) -> float | None:
        """Seconds of the moment worth looking at."""
        if self.best is not None:
            return (self.best.segment.start + self.best.segment.end) / 2
        return self.peak_at


@dataclass(frozen=True, eq=False)
class Curve:
    """An anomaly curve."""

    seconds: NDArray[np.float64]
    """[T, 2]"""
    anomaly: NDArray[np.float64]
    """[T] in [0, 1]"""
    threshold: float | None


@dataclass(frozen=True)
class Story:
    """Everything known of one video."""

    curve: Curve | None = None
    events: tuple[Detection, ...] = ()
    detections: tuple[Detection, ...] = ()
    made_by: tuple[str, ...] = ()
    """A line about each result."""


@dataclass
class _Lines:
    """Where the lines of one video lie in a file; written one after the other, they are one span."""

    file: Path
    spans: list[tuple[int, int]] = field(default_factory=list)
    number: int = 0
    best: Detection | None = None

    def add(self, first: int, end: int) -> None:
        if self.spans and self.spans[-1][1] == first:
            self.spans[-1] = (self.spans[-1][0], end)
        else:
            self.spans.append((first, end))
        self.number += 1


class Results:
    """The newest results of each video under some folders."""

    def __init__(self, folder: Path) -> None:
        """folder: a result folder, or one that holds such folders, or ``score/`` and ``localize/`` full of them"""
        self.folder = folder
        self.notes: tuple[str, ...] = ()
        self._signature: object = None
        self._scores: dict[str, tuple[_Lines, Summary]] = {}
        self._events: dict[str, _Lines] = {}
        self._detections: dict[str, _Lines] = {}

    def refresh(self) -> bool:
        """Looks for what is new; returns whether there was something."""
        files = [path for folder in _result_folders(self.folder) for path in _files_of(folder)]
        signature = tuple((path, facts.st_size, facts.st_mtime_ns) for path in files for facts in [path.stat()])
        if signature == self._signature:
            return False
        fresh = Results(self.folder)
        broken: list[str] = []
        for folder in sorted(_result_folders(self.folder), key=_age):
            fresh._take(folder, broken)
        self._scores, self._events, self._detections = fresh._scores, fresh._events, fresh._detections
        self.notes, self._signature = tuple(broken), signature
        return True

    def summary(self, video_id: str) -> Summary:
        """Raises nothing: a video without results has an empty summary."""
        lines, summary = self._scores.get(video_id, (None, Summary()))
        events, detections = self._events.get(video_id), self._detections.get(video_id)
        if lines is not None:
            best = events.best if events else None
            return replace(summary, num_events=events.number if events else 0, best=best)
        if detections is not None:
            return Summary(num_events=detections.number, best=detections.best)
        return Summary()

    def story(self, video_id: str) -> Story:
        """What the results say of one video.

        Raises:
            BadInput: a result changed since it was looked through, or does not read.
        """
        curve, made_by = None, []
        lines, _ = self._scores.get(video_id, (None, None))
        if lines is not None:
            scores = next(_parsed(lines))
            try:
                curve = _curve_of(scores)
            except (KeyError, TypeError, ValueError) as error:
                raise _changed(lines.file) from error
            made_by.append(_made_by(lines.file, scores.get("made_by", {})))
        if video_id in self._detections:
            made_by.append(_made_by(self._detections[video_id].file, {}))
        detections = sorted(_detections_of(self._detections.get(video_id)), key=lambda d: -d.score)[:MOST_DETECTIONS]
        events = sorted(_detections_of(self._events.get(video_id)), key=lambda d: d.segment.start)
        return Story(curve, tuple(events), tuple(detections), tuple(made_by))

    def _take(self, folder: Path, broken: list[str]) -> None:
        """The lines of one result folder; videos that a newer one has are passed over."""
        before = set(self._scores)
        for first, end, line in _lines_of(folder / SCORES_FILE, broken):
            video_id = _quick_id(line)
            if video_id is None or video_id in before:
                continue
            try:
                scores = json.loads(line)
                curve = _curve_of(scores)
                peak = int(curve.anomaly.argmax())
                summary = Summary(float(curve.anomaly[peak]), float(curve.seconds[peak].mean()))
            except (ValueError, KeyError, TypeError) as error:
                broken.append(f"a line of {folder / SCORES_FILE} does not read ({error}); the others are shown")
                continue
            where = _Lines(folder / SCORES_FILE)
            where.add(first, end)
            self._scores[video_id] = (where, summary)
        scored_here = {i for i, (lines, _) in self._scores.items() if lines.file.parent == folder}
        self._take_detections(folder / EVENTS_FILE, self._events, scored_here, broken)
        before = set(self._detections)
        named = {i for _, _, line in _lines_of(folder / VIDEO_SCORES_FILE, []) if (i := _quick_id(line)) is not None}
        for video_id in named - before:  # those in which nothing was found
            self._detections[video_id] = _Lines(folder / DETECTIONS_FILE)
        self._take_detections(folder / DETECTIONS_FILE, self._detections, None, broken, before)

    @staticmethod
    def _take_detections(
        file: Path,
        into: dict[str, _Lines],
        only: set[str] | None,
        broken: list[str],
        but: set[str] | frozenset[str] = frozenset(),
    ) -> None:
        for first, end, line in _lines_of(file, broken):
            try:
                found = detection_from_dict(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                broken.append(f"a line of {file} does not read ({error}); the others are shown")
                continue
            if found.video_id in but or (only is not None and found.video_id not in only):
                continue
            lines = into.setdefault(found.video_id, _Lines(file))
            lines.add(first, end)
            if lines.best is None or found.score > lines.best.score:
                lines.best = found


def check_results(folder: Path) -> None:
    """
    Raises:
        BadInput: the folder is not there, or holds no results of ``score`` or ``localize``.
    """
    if not any(True for one in _result_folders(folder) for _ in _files_of(one)):
        raise BadInput(f"{folder} holds no results of vidlang score or localize. Name the folder that they wrote.")


def _result_folders(folder: Path) -> list[Path]:
    """Those that hold results, in no order."""
    places = [folder, *folder.glob("*"), *folder.glob("score/*"), *folder.glob("localize/*")]
    return [
        place
        for place in dict.fromkeys(places)
        if (place / SCORES_FILE).is_file() or (place / DETECTIONS_FILE).is_file()
    ]


def _files_of(folder: Path) -> list[Path]:
    return [
        folder / name
        for name in (SCORES_FILE, EVENTS_FILE, DETECTIONS_FILE, VIDEO_SCORES_FILE)
        if (folder / name).is_file()
    ]


def _age(folder: Path) -> tuple[float, str]:
    """Newest first."""
    return -max(path.stat().st_mtime for path in _files_of(folder)), folder.name


def _lines_of(file: Path, broken: list[str]) -> Iterator[tuple[int, int, bytes]]:
    """(first byte, byte behind it, line) of lines that are not blank."""
    if not file.is_file():
        return
    try:
        with file.open("rb") as stream:
            first = 0
            for line in stream:
                if line.strip():
                    yield first, first + len(line), line
                first += len(line)
    except OSError as error:
        broken.append(f"{file} cannot be read ({error.strerror or error})")


def _quick_id(line: bytes) -> str | None:
    """The id in a line, without reading the rest of it."""
    found = _VIDEO.search(line[:8192])
    if found is None:
        return None
    try:
        return str(json.loads(found[1]))
    except ValueError:
        return None


def _parsed(lines: _Lines) -> Iterator[dict[str, Any]]:
    try:
        with lines.file.open("rb") as stream:
            for first, end in lines.spans:
                stream.seek(first)
                for line in stream.read(end - first).splitlines():
                    yield dict(json.loads(line))
    except (OSError, ValueError, TypeError) as error:
        raise _changed(lines.file) from error


def _detections_of(lines: _Lines | None) -> list[Detection]:
    if lines is None:
        return []
    try:
        return [detection_from_dict(fields) for fields in _parsed(lines)]
    except (KeyError, TypeError, ValueError) as error:
        raise _changed(lines.file) from error


def _changed(file: Path) -> BadInput:
    return BadInput(f"{file} changed while it was shown, or does not read. Load the page again.")


def _curve_of(fields: dict[str, Any]) -> Curve:
    seconds = np.array(fields["seconds"], dtype=np.float64).reshape(-1, 2)
    anomaly = np.array(fields["anomaly"], dtype=np.float64)
    if not len(anomaly) or anomaly.shape != (len(seconds),) or not np.isfinite(anomaly).all():
        raise ValueError(f"{len(seconds)} rows have {anomaly.shape} scores")
    threshold = fields.get("made_by", {}).get("threshold")
    return Curve(seconds, anomaly.clip(0, 1), float(threshold) if isinstance(threshold, (int, float)) else None)


def _made_by(file: Path, made_by: dict[str, Any]) -> str:
    """``score 20260101-120000: vadclip, checkpoint x, encoder mini``"""
    kind = "localize" if file.name == DETECTIONS_FILE else "score"
    known = {name: made_by.get(name) for name in ("method", "checkpoint", "encoder") if made_by.get(name)}
    said = ", ".join(str(value) if name == "method" else f"{name} {value}" for name, value in known.items())
    return f"{kind} {file.parent.name}" + (f": {said}" if said else "")
