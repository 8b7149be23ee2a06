"""What ``extract`` would do: which videos, how many rows and bytes. Headers are read, no frame is decoded for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from vidlang.core import FeatureKey, FeatureRecipe, VideoInfo, VidlangError
from vidlang.core.shares import Share
from vidlang.encoders.registry import named_encoder
from vidlang.store.feature_cache import FeatureCache
from vidlang.video.reader import probe
from vidlang.workflows.extract import ExtractOptions, check_reuse, find_inputs, is_there
from vidlang.workflows.plan import Plan, PlannedItem


def plan_extract(
    paths: Sequence[Path | str],
    cache: FeatureCache,
    recipe: FeatureRecipe,
    options: ExtractOptions | None = None,
    share: Share | None = None,
) -> Plan:
    """One item per video of the share: skipped, to be extracted with an estimate of its rows, or not readable.

    Raises:
        BadInput: no videos, or a recipe that cannot be.
    """
    options = options or ExtractOptions()
    check_reuse(recipe)
    items, rows, seconds = [], 0, 0.0
    for video_id, path in find_inputs(paths, cache):
        if share is not None and video_id not in share:
            continue
        if not options.overwrite and is_there(cache, FeatureKey(video_id, recipe), path):
            items.append(PlannedItem(video_id, "skip", "already in the cache"))
            continue
        try:
            info = probe(path, video_id=video_id, frame_rate=options.frame_rate)
        except VidlangError as error:
            items.append(PlannedItem(video_id, "fail", str(error)))
            continue
        num_rows = estimated_rows(info, recipe)
        items.append(PlannedItem(video_id, "extract", f"{info.duration:.1f} s, about {num_rows} rows"))
        rows, seconds = rows + num_rows, seconds + info.duration
    counts = {action: sum(item.action == action for item in items) for action in ("extract", "skip", "fail")}
    num_bytes = _bytes_of(recipe, rows)
    size = "" if num_bytes is None else f" and {num_bytes / 1e6:.1f} MB"
    return Plan(
        "extract",
        f"{counts['extract']} videos would be extracted ({seconds:.1f} s, about {rows} rows{size}), {counts['skip']} "
        f"are already there, {counts['fail']} would fail; recipe {recipe.name} ({recipe.fingerprint}).",
        tuple(items),
        {
            "recipe": recipe.to_dict(),
            "fingerprint": recipe.fingerprint,
            **counts,
            "video_seconds": round(seconds, 3),
            "rows": rows,
            "bytes": num_bytes,
        },
    )


def estimated_rows(info: VideoInfo, recipe: FeatureRecipe) -> int:
    """Rows by the header's length, which may be wrong: 33 frames at a stride of 16 are 3 rows."""
    sampling = recipe.sampling
    num_frames = info.num_frames or info.duration * info.frame_rate  # some headers do not count
    exact = info.duration * sampling.fps if sampling.fps is not None else num_frames / sampling.stride
    return max(math.ceil(exact - 1e-6), 1)


def _bytes_of(recipe: FeatureRecipe, rows: int) -> int | None:
    """Of the values; None where the width of a row is known to the weights alone."""
    spec = named_encoder(recipe.encoder)
    if spec is None or recipe.features != spec.features[0]:
        return None
    return rows * recipe.sampling.num_crops * spec.dim * (2 if recipe.dtype == "float16" else 4)
