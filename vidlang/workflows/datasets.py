"""Published annotations to a manifest, or to a truth of retrieval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vidlang.core import BadInput
from vidlang.core.labels import Label
from vidlang.datasets import (
    ACTION_DATASETS,
    DATASETS,
    LOCALIZATION_DATASETS,
    RETRIEVAL_DATASETS,
    import_action,
    import_dataset,
    import_localization,
    import_retrieval,
)
from vidlang.datasets.manifest import match_ids, write_manifest
from vidlang.datasets.retrieval import truth_to_json
from vidlang.store.atomic import write_text
from vidlang.store.workspace import Workspace
from vidlang.workflows.plan import Plan, PlannedItem
from vidlang.workflows.workspace import open_cache

Write = Callable[[Path, str], object]


def import_annotations(
    name: str,
    path: Path,
    out: Path | None,
    workspace: Workspace | None,
    labels: str | None = None,
    split_number: int | None = None,
    *,
    write: Write = write_text,
) -> tuple[str, list[str]]:
    """Write what the data set is for: a manifest of classes (``labels.csv``) or a truth of retrieval (``truth.json``).

    out: None takes that name here    workspace: where given, labels take the ids of its cached videos
    labels: edition of the labels, where a data set has several
    split_number: which split into training and test videos, where a data set has several
    write: takes a path and its text

    Raises:
        BadInput: an option that this data set does not know.
    """
    if split_number is not None and name in (*DATASETS, *LOCALIZATION_DATASETS, *RETRIEVAL_DATASETS):
        raise BadInput(f"--split-number is for ucf101 and hmdb51, {name} has one split of its videos.")
    if name in (*RETRIEVAL_DATASETS, "fivr"):
        if workspace is not None:
            raise BadInput("--match-cache is for manifests; vidlang eval retrieval matches file names by itself.")
        return import_to_truth(name, path, out or Path("truth.json"), labels, write=write)
    if labels is not None:
        raise BadInput(f"{name} has one edition of its labels; only fivr-5k and fivr-200k have several.")
    return import_to_manifest(name, path, out or Path("labels.csv"), workspace, split_number, write=write)


def plan_import(
    name: str,
    path: Path,
    out: Path | None,
    workspace: Workspace | None,
    labels: str | None = None,
    split_number: int | None = None,
) -> Plan:
    """What ``import_annotations`` would write: all is read and checked.

    Raises:
        BadInput, UnknownName, BadAnnotation: as there.
    """
    files: list[PlannedItem] = []

    def note_down(path: Path, text: str) -> None:
        replaced = ", replaces what is there" if path.exists() else ""
        files.append(PlannedItem(str(path), "write", f"{len(text.encode())} bytes{replaced}"))

    summary, notes = import_annotations(name, path, out, workspace, labels, split_number, write=note_down)
    return Plan("datasets import", summary.replace("Wrote ", "would write ", 1), tuple(files), {"notes": notes})


def import_dict(summary: str, notes: Sequence[str]) -> dict[str, Any]:
    """What was written, for programs."""
    return {"schema": "vidlang.datasets_import/1", "summary": summary, "notes": list(notes)}


def import_to_truth(
    name: str, path: Path, out: Path, labels: str | None = None, *, write: Write = write_text
) -> tuple[str, list[str]]:
    """Write the truth; returns one line about it and notes."""
    truth = import_retrieval(name, path, labels=labels)
    write(out, truth_to_json(truth))
    positives = sum(len(ids) for found in truth.relevant.values() for ids in found.values())
    size = (
        f"{len(truth.database)} database videos" if truth.database is not None else "whatever is searched as database"
    )
    notes = []
    if truth.num_database is not None and truth.database is None:
        notes.append(
            f"the file does not list the {truth.num_database} videos of the database: all videos searched are ranked"
        )
    edition = "" if truth.version in ("published", path.name) else f", labels {truth.version}"
    return f"Wrote {out}: {len(truth.queries)} queries, {positives} labelled pairs, {size}{edition}.", notes


def import_to_manifest(
    name: str,
    path: Path,
    out: Path,
    workspace: Workspace | None,
    split_number: int | None = None,
    *,
    write: Write = write_text,
) -> tuple[str, list[str]]:
    """Write the manifest, and ambiguous segments beside it where the data set has them; returns one line and notes.

    workspace: where given, the labels take the ids of its cached videos, matched by file name.
    """
    labels, ambiguous, notes = _read(name, path, split_number)
    if workspace is not None:
        known = sorted({entry.key.video_id for entry in open_cache(workspace).entries()})
        total = len(labels)
        labels = match_ids(labels, known, allow_missing=True)
        ambiguous = match_ids(ambiguous, known, allow_missing=True)
        if len(labels) < total:
            notes.append(f"{total - len(labels)} of {total} listed videos are not in the cache and are left out")
    write(out, write_manifest(labels))
    if ambiguous:
        beside = ambiguous_file(out)
        write(beside, write_manifest(ambiguous))
        count = sum(len(label.segments) for label in ambiguous)
        notes.append(f"{count} ambiguous segments are in {beside}, for eval localization --protocol snippets")
    splits = Counter(label.split or "no split" for label in labels)
    segments = sum(len(label.segments) for label in labels)
    parts = ", ".join(f"{count} {split}" for split, count in sorted(splits.items()))
    return f"Wrote {out}: {len(labels)} videos ({parts}), {segments} true segments.", notes


def ambiguous_file(manifest: Path) -> Path:
    """Where the ambiguous segments of a manifest are: ``labels.csv`` → ``labels.ambiguous.csv``."""
    return manifest.with_name(f"{manifest.stem}.ambiguous.csv")


def _read(name: str, path: Path, split_number: int | None) -> tuple[list[Label], list[Label], list[str]]:
    """Labels, ambiguous segments, notes."""
    if name in ACTION_DATASETS:
        return import_action(name, path, split_number), [], []
    if name not in LOCALIZATION_DATASETS:
        return import_dataset(name, path), [], []
    annotations = import_localization(name, path)
    return list(annotations.labels), list(annotations.ambiguous), list(annotations.notes)
