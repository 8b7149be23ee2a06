"""What the published lists and ground truth of UCF-Crime and XD-Violence have in common.

A list is a CSV file with the columns ``path`` and ``label``; ten crops of one video are ten lines,
``…/Abuse/Abuse028_x264__0.npy`` to ``__9.npy``. Ground truth for detection is a pair of ``.npy`` files with one entry
per video of the test list: its segments in frames and their classes. Annotated frames are used as they stand: from 0,
half-open.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vidlang.core.errors import BadAnnotation
from vidlang.core.labels import Label, LabelledSegment
from vidlang.datasets.matching import group_key
from vidlang.datasets.object_arrays import read_object_array

NORMAL_IN_GROUND_TRUTH = "A"
"""What the published detection truth of both data sets calls a normal video."""


def read_text(path: Path) -> str:
    """Raises: BadAnnotation if the file cannot be read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadAnnotation(f"{path} cannot be read ({error}).") from error


def read_list(
    path: Path, split: str, id_of: Callable[[str], str], classes_of: Callable[[str, str], tuple[str, ...]]
) -> list[Label]:
    """The videos of a list in its order, each once, however many crops it has.

    id_of: path of a feature file without crop number and extension → video id
    classes_of: label and place (for messages) → classes

    Raises:
        BadAnnotation: wrong columns, or crops of one video with different labels.
    """
    reader = csv.DictReader(read_text(path).splitlines())
    if not {"path", "label"} <= set(reader.fieldnames or ()):
        raise BadAnnotation(f"{path} should have the columns path and label, it has {reader.fieldnames}.")
    labels: dict[str, Label] = {}
    for row in reader:
        at = f"{path.name}, line {reader.line_num}"
        if not row["path"] or not row["label"]:
            raise BadAnnotation(f"{at} has no path or no label.")
        video_id = id_of(group_key(row["path"].replace("\\", "/")))
        label = Label(video_id, classes_of(row["label"].strip(), at), split=split)
        if labels.setdefault(video_id, label) != label:
            raise BadAnnotation(f"{at}: {video_id} is {row['label']!r} here and {labels[video_id].classes} above.")
    return list(labels.values())


def span_of(start: str, end: str, at: str) -> tuple[int, int]:
    """Two numbers of an annotation line as a frame span.

    Raises:
        BadAnnotation: no whole numbers, or out of order.
    """
    try:
        span = int(start), int(end)
    except ValueError as error:
        raise BadAnnotation(f"{at}: {start!r} to {end!r} is no pair of frame numbers.") from error
    if not 0 <= span[0] <= span[1]:
        raise BadAnnotation(f"{at}: frames {span[0]} to {span[1]} are not in order.")
    return span


def with_annotations(labels: Iterable[Label], annotations: Iterable[Label], normal: str) -> list[Label]:
    """Test labels with the segments annotated under their names.

    annotations: `Label`s whose ids are names without folder

    Raises:
        BadAnnotation: an abnormal video has no annotation, or an annotation no video.
    """
    labels, by_name = list(labels), {label.video_id: label for label in annotations}
    names = {label.video_id.rsplit("/", 1)[-1] for label in labels}
    lost = [name for name in by_name if name not in names]
    if lost:
        raise BadAnnotation(f"{len(lost)} annotated videos are in no list, the first is {lost[0]}.")
    out = []
    for label in labels:
        found = by_name.get(label.video_id.rsplit("/", 1)[-1])
        if found is None and label.classes != (normal,):
            raise BadAnnotation(f"{label.video_id} is {'|'.join(label.classes)} in the list but has no annotation.")
        out.append(replace(label, segments=found.segments if found else (), timed=True))
    return out


def read_ground_truth(segments: Path, classes: Path) -> list[tuple[LabelledSegment, ...]]:
    """The published detection truth, one entry per video of the test list.

    Raises:
        BadAnnotation: the two files do not belong together or hold something else.
    """
    spans, names = read_object_array(segments), read_object_array(classes)
    if len(spans) != len(names):
        raise BadAnnotation(f"{segments.name} has {len(spans)} videos, {classes.name} {len(names)}: they are no pair.")
    out = []
    for number, (pairs, labels) in enumerate(zip(spans, names, strict=True)):
        at = f"{segments.name}, video {number}"
        if not (isinstance(pairs, list) and isinstance(labels, list) and len(pairs) == len(labels)):
            raise BadAnnotation(f"{at}: segments and classes do not pair up.")
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise BadAnnotation(f"{at}: a segment is not a pair of frame numbers.")
        out.append(
            tuple(
                LabelledSegment(str(name), span=span_of(str(pair[0]), str(pair[1]), at))
                for pair, name in zip(pairs, labels, strict=True)
            )
        )
    return out


def check_ground_truth(
    labels: Sequence[Label], truth: Sequence[tuple[LabelledSegment, ...]], where: str, normal: str
) -> None:
    """The annotations say what the published detection truth says, video by video in the order of the test list.

    A normal video is one segment called "A" over its whole length there, and has no segment here.

    Raises:
        BadAnnotation: names the first video that differs.
    """
    if len(labels) != len(truth):
        raise BadAnnotation(f"{where} has {len(truth)} videos, the test list {len(labels)}: they are no pair.")
    for label, published in zip(labels, truth, strict=True):
        if label.classes == (normal,):
            same = [event.label for event in published] == [NORMAL_IN_GROUND_TRUTH] and not label.segments
        else:
            same = sorted(map(_key, label.segments)) == sorted(map(_key, published))
        if not same:
            raise BadAnnotation(f"{where} and the annotations disagree on {label.video_id}: get both from one release.")


def _key(event: LabelledSegment) -> tuple[str, tuple[int, int]]:
    assert event.span is not None
    return event.label, event.span


def find_files(folder: Path, wanted: Mapping[str, Sequence[str]], optional: Iterable[str] = ()) -> dict[str, Path]:
    """Known files in a folder or below it.

    wanted: role → the names that such a file may have, most usual first

    Raises:
        BadAnnotation: the folder is missing, or a file that is not ``optional`` is, by all its names.
    """
    if not folder.is_dir():
        raise BadAnnotation(f"{folder} is no folder: give the one that holds the published files.")
    found: dict[str, Path] = {}
    for role, names in wanted.items():
        path = next((p for name in names for p in [folder / name, *sorted(folder.rglob(name))] if p.is_file()), None)
        if path is not None:
            found[role] = path
    missing = [" or ".join(names) for role, names in wanted.items() if role not in found and role not in set(optional)]
    if missing:
        raise BadAnnotation(f"{folder} lacks {', '.join(missing)}: they are in the published list folder.")
    return found
