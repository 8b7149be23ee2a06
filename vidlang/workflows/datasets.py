"""Published annotations to a manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from vidlang.datasets import import_dataset
from vidlang.datasets.manifest import match_ids, write_manifest
from vidlang.store.atomic import write_text
from vidlang.store.workspace import Workspace
from vidlang.workflows.workspace import open_cache


def import_to_manifest(name: str, folder: Path, out: Path, workspace: Workspace | None) -> tuple[str, list[str]]:
    """Write the manifest; returns one line about it and notes.

    workspace: where given, the labels take the ids of its cached videos, matched by file name.
    """
    labels = import_dataset(name, folder)
    notes = []
    if workspace is not None:
        known = sorted({entry.key.video_id for entry in open_cache(workspace).entries()})
        total = len(labels)
        labels = match_ids(labels, known, allow_missing=True)
        if len(labels) < total:
            notes.append(f"{total - len(labels)} of {total} listed videos are not in the cache and are left out")
    write_text(out, write_manifest(labels))
    splits = Counter(label.split or "no split" for label in labels)
    segments = sum(len(label.segments) for label in labels)
    parts = ", ".join(f"{count} {split}" for split, count in sorted(splits.items()))
    return f"Wrote {out}: {len(labels)} videos ({parts}), {segments} true segments.", notes
