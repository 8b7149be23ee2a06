"""THUMOS14, temporal localization: the published text files, the JSON form, or W-TALC's arrays.

Text files   one per class and subset, ``BaseballPitch_val.txt``, lines of ``video  start  end`` in seconds, in the
             folders that the organisers publish
JSON         ``gt.json`` as in `temporal`, with times as texts
Arrays       ``videoname.npy`` and others, see `wtalc`

THUMOS14 is learned on its validation set, since its training set is trimmed: validation becomes the split ``train``.
Three test videos have wrong or missing annotation and are left out, as published evaluations do. Ambiguous segments
(``Ambiguous_test.txt`` beside the annotations) stay apart from the labels: they are no class.

Source: Jiang et al.: THUMOS challenge 2014.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from vidlang.core.errors import BadAnnotation
from vidlang.core.labels import Label
from vidlang.datasets.temporal import (
    TemporalAnnotations,
    find_database,
    fit_for_manifest,
    merge_labels,
    read_ambiguous,
    read_database,
    read_segments,
)
from vidlang.datasets.wtalc import holds_arrays, read_arrays

CLASSES = (
    "BaseballPitch", "BasketballDunk", "Billiards", "CleanAndJerk", "CliffDiving", "CricketBowling", "CricketShot",
    "Diving", "FrisbeeCatch", "GolfSwing", "HammerThrow", "HighJump", "JavelinThrow", "LongJump", "PoleVault",
    "Shotput", "SoccerPenalty", "TennisSwing", "ThrowDiscus", "VolleyballSpiking",
)  # fmt: skip
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "train",
    "validation": "train",
    "test": "test",
    "testing": "test",
}
WRONG = ("video_test_0000270", "video_test_0001292", "video_test_0001496")
"""Test videos whose annotation is wrong or missing."""


def import_annotations(path: Path) -> TemporalAnnotations:
    """Labels and ambiguous segments from an annotation file or from a folder in any of the three forms.

    Raises:
        BadAnnotation: nothing of the kind is there, or it does not read.
    """
    labels, notes = _read(path)
    wrong = [label.video_id for label in labels if label.video_id in WRONG]
    labels = [label for label in labels if label.video_id not in WRONG]
    if wrong:
        notes.append(f"{len(wrong)} test videos with wrong or missing annotation are left out: {', '.join(wrong)}")
    fitting, more = fit_for_manifest(labels)
    return TemporalAnnotations(tuple(fitting), tuple(_ambiguous(path, fitting)), (*notes, *more))


def _read(path: Path) -> tuple[list[Label], list[str]]:
    if holds_arrays(path):
        return read_arrays(path, SPLITS), []
    files = _class_files(path)
    if files:
        return _read_class_files(files)
    file = find_database(path, "thumos14")
    if file is None:
        raise BadAnnotation(
            f"{path} holds no annotation of THUMOS14: neither gt.json, nor BaseballPitch_val.txt and others, nor "
            "videoname.npy and segments.npy. Give the folder or file of the annotations."
        )
    return read_database(file, SPLITS), []


def _class_files(path: Path) -> dict[tuple[str, str], Path]:
    """(Subset, class) → its text file, in the folder or below it."""
    if not path.is_dir():
        return {}
    wanted = {f"{name}_{subset}.txt": (subset, name) for subset in ("val", "test") for name in CLASSES}
    found: dict[tuple[str, str], Path] = {}
    for file in sorted(path.rglob("*_*.txt")):
        if file.name in wanted:
            other = found.setdefault(wanted[file.name], file)
            if other != file:
                raise BadAnnotation(f"{other} and {file} may both be meant: give the folder of one release.")
    return {key: found[key] for key in wanted.values() if key in found}


def _read_class_files(files: dict[tuple[str, str], Path]) -> tuple[list[Label], list[str]]:
    labels = [
        replace(label, split=SPLITS[subset])
        for (subset, name), file in files.items()
        for label in read_segments(file, name)
    ]
    notes = []
    for subset in ("val", "test"):
        there = {name for part, name in files if part == subset}
        missing = [name for name in CLASSES if name not in there]
        if len(missing) == len(CLASSES):
            notes.append(f"no files of the {subset} subset ({CLASSES[0]}_{subset}.txt and others)")
        elif missing:
            notes.append(f"no {', '.join(f'{name}_{subset}.txt' for name in missing[:3])}, {len(missing)} missing")
    return merge_labels(labels), notes


def _ambiguous(path: Path, labels: Iterable[Label]) -> list[Label]:
    """Ambiguous segments of the listed videos, from files beside the annotation file, or in the folder or below it."""
    names = [f"Ambiguous_{subset}.txt" for subset in ("val", "test")]
    found = [sorted(path.rglob(name)) if path.is_dir() else list(path.parent.glob(name)) for name in names]
    files = [paths[0] for paths in found if paths]
    splits = {label.video_id: label.split for label in labels}
    unclear = merge_labels(label for file in files for label in read_ambiguous(file))
    return [replace(label, split=splits[label.video_id]) for label in unclear if label.video_id in splits]
