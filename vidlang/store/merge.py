"""Shards of a cache come together: entry by entry, checked, and nothing is written over.

An entry that the target has with equal content is skipped, so that a merge that was killed is finished by the same
command; one with other content is refused by name. The sources are only read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from vidlang.core import BadInput, DamagedEntry, Features, MissingFeatures, Progress
from vidlang.store.feature_cache import CacheEntry, FeatureCache


@dataclass(frozen=True)
class Merged:
    """What became of one entry of a source."""

    video_id: str
    """Or, of an entry or a pack that does not read, its path."""
    fingerprint: str
    """Of its recipe; empty where it does not read."""
    source: str
    status: Literal["copied", "equal", "differs", "damaged"]
    detail: str = ""


def merge(
    sources: Sequence[FeatureCache], target: FeatureCache, progress: Progress | None = None, *, dry_run: bool = False
) -> Iterator[Merged]:
    """Copies what ``target`` does not have, one outcome per entry; each entry is whole in the target, or not there.

    A pack of a source that does not open is one outcome in place of its entries.

    dry_run: everything is read and checked, nothing written

    Raises:
        BadInput: the target is a packed file, is one of the sources, or a source has no entries.
    """
    if target.packed:
        raise BadInput(f"{target.root} is a packed file and cannot be written. Merge into a folder, then pack it.")
    listed, packs = [], []
    for source in sources:
        if source.same_place(target):
            raise BadInput(f"{source.root} is both source and target. Name another cache with --into.")
        paths, damaged = source.relative_paths(), source.damaged_packs()
        if not paths and not damaged:
            raise BadInput(f"{source.root} holds no features. Give a cache folder, a workspace, or a packed file.")
        listed.append((source, paths))
        packs += [Merged(str(path), "", str(source.root), "damaged", problem) for path, problem in damaged]
    yield from packs
    planned: dict[PurePosixPath, str] = {}  # a dry run has to know what it would have copied
    with (progress or Progress()).task("merge", total=sum(len(paths) for _, paths in listed), unit="entries") as task:
        for source, paths in listed:
            for path in paths:
                yield _merge_one(source, target, path, planned if dry_run else None)
                task.advance()


def _merge_one(
    source: FeatureCache, target: FeatureCache, path: PurePosixPath, planned: dict[PurePosixPath, str] | None
) -> Merged:
    try:
        features, entry = source.read_whole(path)
    except (DamagedEntry, MissingFeatures) as problem:
        return Merged(str(path), "", str(source.root), "damaged", str(problem))

    def outcome(status: Literal["copied", "equal", "differs"], detail: str = "") -> Merged:
        return Merged(entry.key.video_id, entry.key.recipe.fingerprint, str(source.root), status, detail)

    content = _content(features)
    if planned is not None and path in planned:
        return outcome("equal") if content == planned[path] else outcome("differs", _differs(entry, source, target))
    try:
        there, known = target.read_whole(path)
    except MissingFeatures:
        if planned is None:
            target.take_over(source, path)
        else:
            planned[path] = content
        return outcome("copied")
    except DamagedEntry as problem:
        return outcome("differs", f"what {target.root} has is damaged: {problem}")
    same = content == _content(there) and _same_file(entry, known)
    return outcome("equal") if same else outcome("differs", _differs(entry, source, target))


def _differs(entry: CacheEntry, source: FeatureCache, target: FeatureCache) -> str:
    return (
        f"{entry.key.video_id} ({entry.key.recipe.fingerprint}) has other features in {source.root} than in "
        f"{target.root}. Remove one: vidlang cache rm"
    )


def _content(features: Features) -> str:
    """A hash of the numbers, bit by bit, and of the video's facts."""
    digest = hashlib.blake2b(json.dumps(asdict(features.video)).encode(), digest_size=20)
    for array in (features.values, features.frames, features.seconds):
        digest.update(f"{array.dtype.str}|{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _same_file(one: CacheEntry, other: CacheEntry) -> bool:
    """Made from the same file, as far as both say."""
    return one.identity is None or other.identity is None or one.identity.same_content(other.identity)
