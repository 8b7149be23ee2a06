"""What ``cache rm``, ``cache pack`` and ``cache import`` would do; the checks are theirs, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidlang.core import BadInput, VidlangError
from vidlang.store.feature_cache import CacheEntry, FeatureCache
from vidlang.store.npy import Stamps, read_npy_features
from vidlang.workflows.cache import files_to_import, find_keys, find_recipe, pack_target
from vidlang.workflows.plan import Plan, PlannedItem


def plan_rm(cache: FeatureCache, patterns: Sequence[str], fingerprint: str | None) -> Plan:
    """The entries that match, and what they take on the disk."""
    entries = [cache.entry(key) for key in find_keys(cache, patterns, fingerprint)]
    return _of_entries("cache rm", "delete", f"{_many(len(entries))} would be deleted.", entries)


def plan_pack(cache: FeatureCache, target: str, fingerprint: str | None) -> Plan:
    """The entries that go into the file.

    Raises:
        BadInput: the file is there already or cannot be there, or there is nothing to pack.
    """
    pack_target(target)
    entries = list(cache.entries(find_recipe(cache, fingerprint)))
    if not entries:
        raise BadInput(f"{cache.root} holds no features to pack. Run: vidlang cache list")
    return _of_entries("cache pack", "pack", f"{_many(len(entries))} would be packed into {target}.", entries)


def plan_import(
    cache: FeatureCache,
    paths: Sequence[Path],
    encoder: str,
    fps: float | None,
    stride: int | None,
    crop: int | None,
    *,
    flow: Sequence[Path] = (),
    window: int | None = None,
    times: Path | None = None,
    stamps: Stamps | None = None,
    video: str | None = None,
) -> Plan:
    """As ``workflows.cache.import_npy`` up to the writing: every file is read.

    Raises:
        BadInput: nothing to import, or ``times`` or ``video`` for several videos.
    """
    items, num_bytes = [], 0
    for video_id, files in files_to_import(paths, flow, times, video).items():
        try:
            features = read_npy_features(
                video_id,
                files,
                encoder=encoder,
                frame_rate=fps,
                stride=stride,
                window=window,
                crop=crop,
                times=times,
                stamps=stamps,
            )
        except VidlangError as error:
            items.append(PlannedItem(video_id, "fail", str(error)))
            continue
        replaced = ", replaces what is there" if features.key in cache else ""
        shape = " x ".join(map(str, features.values.shape))
        items.append(PlannedItem(video_id, "import", f"{shape} values{replaced}"))
        num_bytes += features.values.nbytes
    good = sum(item.action == "import" for item in items)
    return Plan(
        "cache import",
        f"{good} videos would be imported, {len(items) - good} would fail.",
        tuple(items),
        {"videos": good, "bytes": num_bytes},
    )


def _of_entries(command: str, action: str, summary: str, entries: Sequence[CacheEntry]) -> Plan:
    return Plan(
        command,
        summary,
        tuple(
            PlannedItem(e.key.video_id, action, f"{e.num_snippets} rows, {e.key.recipe.fingerprint}") for e in entries
        ),
        {"entries": len(entries), "bytes": sum(entry.bytes for entry in entries)},
    )


def _many(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
