"""XD-Violence: published lists of CLIP features and the temporal annotation of the test videos.

Ids are the names of the original videos without ``.mp4``, such as ``v=38GQ9L2meyE__#1_label_B6-0-0``; the name ends
with the video's classes. Class names are the published codes; `TITLES` says what they mean.

Two things to know of the published files. Spans with classes (``annotations_multiclasses.txt``, behind detection mAP)
and without (``annotations.txt``, behind frame AUC and AP) cover other frames in 5 of 500 videos: 139 frames at the
end of ``v=38GQ9L2meyE__#1_label_B6-0-0`` and single frames between touching segments. `import_folder` takes those
with classes; `with_times` gives the others. And one video, ``Ip.Man.2008__#01-40-37_01-42-07_label_B4-0-0``, has a
segment of a class (B1) that its own name does not list.

Source: Wu et al., ECCV 2020; lists of nwpu-zxr/VadCLIP at f643c91.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vidlang.core.errors import BadAnnotation, UnknownName
from vidlang.core.labels import Label, LabelledSegment
from vidlang.datasets.matching import path_key
from vidlang.datasets.published import (
    check_ground_truth,
    find_files,
    read_ground_truth,
    read_list,
    read_text,
    span_of,
    with_annotations,
)

TITLES = {
    "A": "normal",
    "B1": "fighting",
    "B2": "shooting",
    "B4": "riot",
    "B5": "abuse",
    "B6": "car accident",
    "G": "explosion",
}
"""Class → what it shows."""
CLASSES = tuple(TITLES)
NORMAL = "A"
FILES = {
    "train": ("xd_CLIP_rgb.csv",),
    "test": ("xd_CLIP_rgbtest.csv",),
    "annotations": ("annotations_multiclasses.txt",),
    "segments": ("gt_segment.npy",),
    "classes": ("gt_label.npy",),
}
"""What a file is → its names."""


def classes_of(label: str, at: str) -> tuple[str, ...]:
    """``B2-G-0`` → ("B2", "G"): up to three classes, padded with 0.

    Raises:
        BadAnnotation: no class at all, or one that the data set has not.
    """
    names = tuple(dict.fromkeys(name for name in label.split("-") if name != "0"))
    for name in names:
        if name not in CLASSES:
            raise BadAnnotation(f"{at}: {UnknownName('XD-Violence class', name, CLASSES)}")
    if not names:
        raise BadAnnotation(f"{at}: {label!r} names no class.")
    return names


def read_lists(*, train: Path | None = None, test: Path | None = None) -> list[Label]:
    """Videos of the lists, train before test, in their order.

    Raises:
        BadAnnotation: see `published.read_list`.
    """

    def id_of(path: str) -> str:
        return path.rsplit("/", 1)[-1]

    lists = [(path, split) for path, split in ((train, "train"), (test, "test")) if path is not None]
    return [label for path, split in lists for label in read_list(path, split, id_of, classes_of)]


def read_annotations(path: Path) -> list[Label]:
    """Names, classes and spans of the abnormal test videos.

    A line is ``name class start end class start end …`` (``annotations_multiclasses.txt``).

    Raises:
        BadAnnotation: a line reads otherwise.
    """
    labels = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells, at = line.split(), f"{path.name}, line {number}"
        if not cells:
            continue
        if len(cells) % 3 != 1 or len(cells) < 4:
            raise BadAnnotation(f"{at} should be a name and triples of class, start and end: {line.strip()!r}.")
        triples = [cells[i : i + 3] for i in range(1, len(cells), 3)]
        segments = tuple(
            LabelledSegment(classes_of(name, at)[0], span=span_of(start, end, at)) for name, start, end in triples
        )
        video_id = path_key(cells[0])
        classes = classes_of(video_id.rsplit("_label_", 1)[-1], at)
        labels.append(Label(video_id, classes, segments, split="test", timed=True))
    return labels


def read_times(path: Path) -> dict[str, list[tuple[int, int]]]:
    """Spans without classes: a line is ``name start end start end …`` (``annotations.txt``).

    Raises:
        BadAnnotation: a line reads otherwise.
    """
    spans = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells, at = line.split(), f"{path.name}, line {number}"
        if not cells:
            continue
        if len(cells) % 2 != 1 or len(cells) < 3:
            raise BadAnnotation(f"{at} should be a name and pairs of start and end: {line.strip()!r}.")
        spans[path_key(cells[0])] = [span_of(cells[i], cells[i + 1], at) for i in range(1, len(cells), 2)]
    return spans


def with_times(labels: Iterable[Label], times: Mapping[str, Sequence[tuple[int, int]]]) -> list[Label]:
    """The labels with the spans of ``annotations.txt`` instead: exactly the frames behind the published AUC and AP.

    A video's spans carry its first class, since that file names none.
    """
    return [
        replace(
            label,
            segments=tuple(LabelledSegment(label.classes[0], span=span) for span in times.get(label.video_id, ())),
        )
        for label in labels
    ]


def import_folder(folder: Path) -> list[Label]:
    """Labels of the published lists in a folder: training videos by class, test videos with their spans.

    The training list and the detection truth may be missing; the truth is compared with the annotations.

    Raises:
        BadAnnotation: a file is missing, does not read, or contradicts another.
    """
    files = find_files(folder, FILES, optional=("train", "segments", "classes"))
    test = with_annotations(read_lists(test=files["test"]), read_annotations(files["annotations"]), NORMAL)
    if "segments" in files and "classes" in files:
        truth = read_ground_truth(files["segments"], files["classes"])
        check_ground_truth(test, truth, files["segments"].name, NORMAL)
    return read_lists(train=files.get("train")) + test
