"""Look after the feature cache; published feature files in and out."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vidlang.core import (
    BadInput,
    FeatureKey,
    FeatureRecipe,
    MissingFeatures,
    Outcome,
    Progress,
    UnknownName,
    VidlangError,
)
from vidlang.core.errors import did_you_mean
from vidlang.store.atomic import is_temporary
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.npy import Stamps, compare_rows, find_npy, read_npy_features, read_rows, write_npy_features
from vidlang.store.object_cache import is_url


def find_recipe(cache: FeatureCache, fingerprint: str | None) -> FeatureRecipe | None:
    """The recipe whose fingerprint begins so; None for None."""
    if fingerprint is None:
        return None
    found = [recipe for recipe in cache.recipes() if recipe.fingerprint.startswith(fingerprint.lower())]
    if len(found) != 1:
        raise UnknownName("recipe", fingerprint, [recipe.fingerprint for recipe in cache.recipes()])
    return found[0]


def list_recipes(cache: FeatureCache, fingerprint: str | None = None) -> list[dict[str, Any]]:
    """One row per recipe: how many videos, rows and bytes."""
    wanted = find_recipe(cache, fingerprint)
    rows = []
    for recipe in cache.recipes() if wanted is None else [wanted]:
        entries = list(cache.entries(recipe))
        rows.append(
            {
                "fingerprint": recipe.fingerprint,
                "encoder": recipe.encoder,
                "revision": recipe.revision,
                "sampling": recipe.sampling.name,
                "preprocess": recipe.preprocess,
                "precision": recipe.precision,
                "dtype": recipe.dtype,
                "videos": len(entries),
                "rows": sum(entry.num_snippets for entry in entries),
                "bytes": sum(entry.bytes for entry in entries),
            }
        )
    return rows


def list_entries(cache: FeatureCache, patterns: Sequence[str], fingerprint: str | None = None) -> list[dict[str, Any]]:
    """One row per video that matches."""
    entries = sorted(cache.entries(find_recipe(cache, fingerprint)), key=lambda entry: entry.key.video_id)
    return [
        {
            "video": entry.key.video_id,
            "duration": entry.video.duration,
            "rows": entry.num_snippets,
            "recipe": entry.key.recipe.fingerprint,
            "shape": list(entry.shape),
            "warnings": "; ".join(entry.warnings),
            "made_with": dict(entry.made_with),
        }
        for entry in entries
        if matches(entry.key.video_id, patterns)
    ]


def find_keys(cache: FeatureCache, patterns: Sequence[str], fingerprint: str | None = None) -> list[FeatureKey]:
    """Keys whose video id matches one of the patterns."""
    return [key for key in cache.keys(find_recipe(cache, fingerprint)) if matches(key.video_id, patterns)]


def matches(video_id: str, patterns: Sequence[str]) -> bool:
    """Whether an id is one of these, or fits one of them as a pattern."""
    return any(video_id == pattern or fnmatchcase(video_id, pattern) for pattern in patterns)


def remove(cache: FeatureCache, keys: Sequence[FeatureKey]) -> None:
    """Delete entries."""
    for key in keys:
        cache.remove(key)


def verify_cache(
    cache: FeatureCache, progress: Progress, *, sweep: bool
) -> tuple[int, list[tuple[Path, str]], list[tuple[Path, str]]]:
    """Number of whole entries, (path, problem) of the others, and what killed writers left, which harms nothing."""
    found = cache.verify(progress, sweep=sweep)
    leftovers = [(path, remark) for path, remark in found if is_temporary(path)]
    damaged = [(path, problem) for path, problem in found if not is_temporary(path)]
    paths = {path for path, _ in damaged}
    return sum(entry.path not in paths for entry in cache.entries()), damaged, leftovers


def one_key(cache: FeatureCache, video_id: str, fingerprint: str | None) -> FeatureKey:
    """The one entry of a video.

    Raises:
        MissingFeatures: none. BadInput: several recipes, to be chosen among.
    """
    keys = [key for key in cache.keys(find_recipe(cache, fingerprint)) if key.video_id == video_id]
    if not keys:
        hint = did_you_mean(video_id, {key.video_id for key in cache.keys(find_recipe(cache, fingerprint))})
        raise MissingFeatures(f"{video_id} is not in {cache.root}.{hint} vidlang cache list '*' shows what is.")
    if len(keys) > 1:
        prints = ", ".join(f"{key.recipe.fingerprint} ({key.recipe.name})" for key in keys)
        raise BadInput(f"{video_id} is there in {len(keys)} recipes; choose one with --recipe: {prints}.")
    return keys[0]


def compare_with_npy(
    cache: FeatureCache, video_id: str, file: Path, fingerprint: str | None, crop: int
) -> dict[str, Any]:
    """Cosine of each cached row with the same row of a file."""
    features = cache.get(one_key(cache, video_id, fingerprint))
    rows = read_rows(file)
    try:
        features = features.crop(crop)
        cosines = compare_rows(features.values, rows)
    except ValueError as error:
        raise BadInput(f"{file} cannot be compared with {video_id}: {error}") from error
    return {
        "video": video_id,
        "file": str(file),
        "rows_cached": features.num_snippets,
        "rows_file": len(rows),
        "mean": float(cosines.mean()),
        "min": float(cosines.min()),
        "cosines": [round(float(cosine), 6) for cosine in cosines],
    }


def files_to_import(
    paths: Sequence[Path], flow: Sequence[Path], times: Path | None, video: str | None
) -> dict[str, list[Path]]:
    """Files by the id that their video is kept under.

    Raises:
        BadInput: nothing to import, or ``times`` or ``video`` for several videos.
    """
    groups = find_npy(paths, flow)
    if len(groups) > 1 and (times is not None or video is not None):
        option = "--times" if video is None else "--video"
        raise BadInput(f"{option} is for one video, but {len(groups)} were found. Import them one by one.")
    return groups if video is None else dict(zip([video], groups.values(), strict=True))


def import_npy(
    cache: FeatureCache,
    paths: Sequence[Path],
    encoder: str,
    fps: float | None,
    stride: int | None,
    crop: int | None,
    progress: Progress,
    *,
    flow: Sequence[Path] = (),
    window: int | None = None,
    times: Path | None = None,
    stamps: Stamps | None = None,
    video: str | None = None,
) -> list[Outcome]:
    """Published feature files into the cache, one outcome per video.

    flow: motion rows to join to those of ``paths``    times: milliseconds of the rows, for one video
    video: the id that one video is kept under; None: by the files' names

    Raises:
        BadInput: nothing to import, or ``times`` or ``video`` for several videos.
    """
    outcomes = []
    groups = files_to_import(paths, flow, times, video)
    with progress.task("import", total=len(groups), unit="video") as task:
        for video_id, files in groups.items():
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
                cache.put(features, identity=None)
                outcomes.append(Outcome(video_id, "done"))
            except VidlangError as error:
                outcomes.append(Outcome(video_id, "failed", error=error))
            task.advance()
    return outcomes


def export_npy(
    cache: FeatureCache, out: Path, patterns: Sequence[str], fingerprint: str | None, dtype: str, progress: Progress
) -> int:
    """Files in the published layout under ``out``; returns how many."""
    keys = find_keys(cache, patterns, fingerprint)
    if not keys:
        raise MissingFeatures(
            f"Nothing in {cache.root} matches {' '.join(patterns)}. vidlang cache list shows what is."
        )
    if len({key.recipe for key in keys}) > 1:
        prints = ", ".join(sorted({key.recipe.fingerprint for key in keys}))
        raise BadInput(f"The videos are there in several recipes; choose one with --recipe: {prints}.")
    written = 0
    with progress.task("export", total=len(keys), unit="video") as task:
        for features in cache.get_many(keys):
            written += len(write_npy_features(out, features, dtype=dtype))
            task.advance()
    return written


def pack_cache(
    cache: FeatureCache, target: str, fingerprint: str | None, progress: Progress, shards: int | None = None
) -> tuple[int, str]:
    """Copy into one file, or into so many in a folder; returns the entries and a line that says what was done."""
    path = pack_target(target)
    if shards is not None:
        count = cache.pack_shards(path, shards, find_recipe(cache, fingerprint), progress)
        return count, f"{count} entries packed into {target}, in {shards} shares of the ids"
    count = cache.pack(path, find_recipe(cache, fingerprint), progress)
    return count, f"{count} entries packed into {target}"


def pack_target(target: str) -> Path:
    """Where a pack may be written.

    Raises:
        BadInput: something is there, or the place is no disk.
    """
    if is_url(target):
        raise BadInput(
            f"A packed file is written on a disk, not to {target}. For a store: vidlang cache merge CACHE --into URL"
        )
    path = Path(target)
    if path.exists():
        raise BadInput(f"{path} is there already. Choose another name or delete it first.")
    return path
