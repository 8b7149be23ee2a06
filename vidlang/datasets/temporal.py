"""What the annotations of temporal localization have in common: labels with times, ambiguous times, and notes.

An annotation file (ActivityNet's JSON form, which THUMOS14 is passed on in as well)::

    {"database": {video: {"subset": str, "duration": seconds,
                          "annotations": [{"label": str, "segment": [start, end]}, …]}}}

Times may be texts. Names of subsets vary; each data set says which split they mean.

A manifest says each true segment once, and a video has a class. `fit_for_manifest` names what it cannot take over. To
judge by every instance as published evaluators do, evaluation reads the annotation file itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from vidlang.core.errors import BadAnnotation
from vidlang.core.labels import Label, LabelledSegment
from vidlang.core.segments import Segment
from vidlang.datasets.published import read_text

AMBIGUOUS = "Ambiguous"
"""The label of segments where annotators did not agree."""
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Subset → split, where a data set means nothing else by it."""


@dataclass(frozen=True)
class TemporalAnnotations:
    """A data set's videos, and what people should know of them."""

    labels: tuple[Label, ...]
    ambiguous: tuple[Label, ...] = ()
    """Videos with segments called "Ambiguous"; apart from the labels, since that is no class to learn."""
    notes: tuple[str, ...] = ()


def read_database(path: Path, splits: Mapping[str, str] = SPLITS) -> list[Label]:
    """Every video of an annotation file with every segment, in the order of the file.

    splits: name of a subset in lower case → split

    A segment that ends before it starts is kept as an empty one at its start: nothing overlaps it, but it counts.

    Raises:
        BadAnnotation: the file does not read; names the video.
    """
    database = _load(path).get("database")
    if not isinstance(database, dict) or not database:
        raise BadAnnotation(f'{path} has no "database" of videos: get the annotation file again.')
    return [_label(video_id, entry, splits, f"{path.name}, {video_id}") for video_id, entry in database.items()]


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        detail = " ".join(str(error).split())[:120]
        raise BadAnnotation(f"{path} does not read as JSON ({detail}): get the file again.") from error
    if not isinstance(content, dict):
        raise BadAnnotation(f"{path} holds {type(content).__name__}, not an object with a database.")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _label(video_id: str, entry: Any, splits: Mapping[str, str], at: str) -> Label:
    if not isinstance(entry, dict) or not isinstance(entry.get("subset", ""), str):
        raise BadAnnotation(f"{at} is no object with a subset and annotations.")
    subset = entry.get("subset", "")
    if subset and subset.casefold() not in splits:
        raise BadAnnotation(f"{at}: there is no subset {subset!r}. Known: {', '.join(splits)}.")
    annotations = entry.get("annotations") or []
    if not isinstance(annotations, list):
        raise BadAnnotation(f"{at}: annotations are no list.")
    events = tuple(_event(one, f"{at}, annotation {number}") for number, one in enumerate(annotations, 1))
    classes = tuple(dict.fromkeys(event.label for event in events))
    return Label(video_id, classes, events, split=splits.get(subset.casefold()), timed=True)


def _event(annotation: Any, at: str) -> LabelledSegment:
    try:
        start, end = annotation["segment"]
        name = annotation["label"]
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"label {name!r} is not a name")
        return LabelledSegment(name.strip(), segment_of(start, end))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        detail = f"{error} is missing" if isinstance(error, KeyError) else error
        raise BadAnnotation(f"{at} is no label with a segment in seconds ({detail}).") from error


def segment_of(start: Any, end: Any) -> Segment:
    """Two numbers, or texts of numbers, as seconds.

    Raises:
        ValueError: no finite numbers.
    """
    if any(isinstance(value, bool) or not isinstance(value, (int, float, str)) for value in (start, end)):
        raise ValueError(f"{start!r} to {end!r} are no seconds")
    first, last = float(start), float(end)
    if not (math.isfinite(first) and math.isfinite(last)):
        raise ValueError(f"{start!r} to {end!r} are no finite seconds")
    return Segment(first, max(first, last))


def read_segments(path: Path, name: str) -> list[Label]:
    """The segments of one class: lines of ``video start end``, whatever the white space between them.

    Raises:
        BadAnnotation: a line reads otherwise.
    """
    events: dict[str, list[LabelledSegment]] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells, at = line.split(), f"{path.name}, line {number}"
        if not cells:
            continue
        if len(cells) != 3:
            raise BadAnnotation(f"{at} should be a video, a start and an end: {line.strip()!r}.")
        try:
            segment = segment_of(cells[1], cells[2])
        except ValueError as error:
            raise BadAnnotation(f"{at}: {error}.") from error
        events.setdefault(cells[0], []).append(LabelledSegment(name, segment))
    return [Label(video, (name,), tuple(found), timed=True) for video, found in events.items()]


def merge_labels(labels: Iterable[Label]) -> list[Label]:
    """One label per video, in order of the first mention; classes and segments add up.

    Raises:
        BadAnnotation: a video is in two splits.
    """
    merged: dict[str, Label] = {}
    for label in labels:
        before = merged.setdefault(label.video_id, label)
        if before is label:
            continue
        if before.split != label.split:
            raise BadAnnotation(f"{label.video_id} is in the splits {before.split} and {label.split}.")
        classes = tuple(dict.fromkeys((*before.classes, *label.classes)))
        merged[label.video_id] = replace(before, classes=classes, segments=before.segments + label.segments)
    return list(merged.values())


def fit_for_manifest(labels: Iterable[Label]) -> tuple[list[Label], list[str]]:
    """The labels that a manifest can hold, and notes on what was changed.

    Left out are videos without annotation, empty segments (their class stays), and repetitions of a segment. A start
    before 0 becomes 0.
    """
    fitting, bare, num_empty, num_twice, num_early = [], [], 0, 0, 0
    for label in labels:
        if not label.classes:
            bare.append(label.video_id)
            continue
        events: dict[LabelledSegment, None] = {}
        for event in label.segments:
            assert event.segment is not None
            clipped = Segment(max(event.segment.start, 0.0), max(event.segment.end, 0.0))
            num_early += clipped != event.segment
            if not clipped:
                num_empty += 1
            elif (kept := LabelledSegment(event.label, clipped)) in events:
                num_twice += 1
            else:
                events[kept] = None
        fitting.append(replace(label, segments=tuple(events), timed=bool(events)))
    notes = []
    if bare:
        notes.append(f"{len(bare)} videos without annotation are left out, such as {bare[0]}")
    if num_early:
        notes.append(f"{num_early} segments start before the video and are cut at 0")
    if num_empty:
        notes.append(f"{num_empty} segments without duration are left out, their classes stay")
    if num_twice:
        notes.append(f"{num_twice} segments are annotated twice and kept once")
    if num_empty or num_twice:
        notes.append("published evaluators count such segments: give the annotation file itself to eval localization")
    return fitting, notes


def read_ambiguous(path: Path) -> list[Label]:
    """Ambiguous segments: lines of ``video start end``, as in ``Ambiguous_test.txt``.

    Raises:
        BadAnnotation: a line reads otherwise.
    """
    return read_segments(path, AMBIGUOUS)


def find_database(path: Path, hint: str) -> Path | None:
    """The annotation file: itself, or the one in a folder: ``gt.json``, else the JSON with ``hint`` in its name, else
    the only JSON.

    Raises:
        BadAnnotation: the path is missing, or several files may be meant.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise BadAnnotation(f"{path} is not there: give the annotation file, or the folder that holds it.")
    if (path / "gt.json").is_file():
        return path / "gt.json"
    found = sorted(path.glob("*.json"))
    named = [file for file in found if hint in file.name.casefold().replace("_", "").replace("-", "")]
    candidates = named or found
    if len(candidates) > 1:
        names = ", ".join(file.name for file in candidates[:4])
        raise BadAnnotation(f"{path} holds {names}: give one of these files.")
    return candidates[0] if candidates else None
