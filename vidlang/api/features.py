"""Features of videos: into the cache, or in memory alone."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from vidlang.api.common import PathLike, Paths, ProgressLike, WorkspaceLike, paths_of, place_of, progress_of
from vidlang.api.results import ExtractResult
from vidlang.core import BadInput, FeatureKey, FeatureRecipe, Features, Progress, VideoInfo
from vidlang.core.features import Borders, Colour, Crops, Dtype, Pick, Precision, Preprocess, RowKind
from vidlang.core.shares import Share
from vidlang.store.feature_cache import FeatureCache
from vidlang.workflows.extract import ExtractOptions, extract_videos, find_inputs
from vidlang.workflows.extract import extract as run
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe
from vidlang.workflows.workspace import open_cache as open_any_cache

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder

logger = logging.getLogger(__name__)


def extract(
    paths: Paths,
    *,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    crops: Crops | None = None,
    preprocess: Preprocess | None = None,
    precision: Precision | None = None,
    dtype: Dtype | None = None,
    reuse_static: float | None = None,
    features: RowKind | None = None,
    borders: Borders | None = None,
    colour: Colour | None = None,
    motion: str | None = None,
    frame_rate: float | None = None,
    overwrite: bool = False,
    batch_size: int = 32,
    batches: Literal["video", "mixed"] | None = None,
    workers: int | None = None,
    shard: str | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    decoders: int | None = None,
    encoders: int | None = None,
    gpus_per_encoder: float | None = None,
    cache: PathLike | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> ExtractResult:
    """Features of videos into the cache; what is there is skipped.

    The result is read video by video: ``for features in extract("videos/")`` keeps one in memory at a time. A video
    that fails is in ``.failed`` with its reason, and the others are kept.

    batches: ``video``: rows follow from the video alone; ``mixed``: batches span videos, last digits vary
    shard: ``"3/64"``: only that share of the videos, by their ids
    engine: with ``"ray"`` also address, decoders, encoders and gpus_per_encoder of a cluster
    cache: a URL, folder or packed file in place of the workspace's cache

    Raises:
        BadInput, UnknownName, EncoderUnavailable: nothing can be extracted at all.
    """
    place, told = place_of(workspace), progress_of(progress)
    changes = RecipeChanges(
        encoder=encoder,
        stride=stride,
        pick=pick,
        fps=fps,
        crops=crops,
        preprocess=preprocess,
        precision=precision,
        dtype=dtype,
        reuse_static=reuse_static,
        features=features,
        borders=borders,
        colour=colour,
        motion=motion,
    )
    recipe = make_recipe(place.settings, changes)
    name, device = encoder or place.settings.encoder, device or place.settings.device
    store = open_any_cache(place, None if cache is None else str(cache))
    share = None if shard is None else Share.parse(shard)
    options = ExtractOptions(
        batch_size, workers, overwrite, frame_rate, None if batches is None else batches == "mixed"
    )
    cluster = (address, decoders, encoders, gpus_per_encoder)
    if engine == "ray":
        from vidlang.workflows.extract_cluster import RayOptions, extract_by_ray

        asked = RayOptions(*cluster)
        report = extract_by_ray(paths_of(paths), store, recipe, name, device, asked, options, told, share=share)
        return ExtractResult(report, store)
    if any(value is not None for value in cluster):
        raise BadInput('address, decoders, encoders and gpus_per_encoder go with engine="ray".')
    load = encoder_loader(name, recipe.precision, device, told, recipe.features)
    return ExtractResult(run(paths_of(paths), store, recipe, load, options, told, share=share), store)


def iter_features(
    paths: Paths,
    *,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    crops: Crops | None = None,
    preprocess: Preprocess | None = None,
    precision: Precision | None = None,
    features: RowKind | None = None,
    borders: Borders | None = None,
    colour: Colour | None = None,
    motion: str | None = None,
    frame_rate: float | None = None,
    batch_size: int = 32,
    skip_failed: bool = False,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> Iterator[Features]:
    """Features of one video after the other, in memory: the cache is neither read nor written.

    skip_failed: go on after a video that does not read, which is then logged

    Raises:
        BadVideo: a video does not read.
        BadInput, UnknownName, EncoderUnavailable: nothing can be extracted at all.
    """
    place, told = place_of(workspace), progress_of(progress)
    changes = RecipeChanges(
        encoder=encoder,
        stride=stride,
        pick=pick,
        fps=fps,
        crops=crops,
        preprocess=preprocess,
        precision=precision,
        features=features,
        borders=borders,
        colour=colour,
        motion=motion,
    )
    recipe = make_recipe(place.settings, changes)
    load = encoder_loader(
        encoder or place.settings.encoder, recipe.precision, device or place.settings.device, told, recipe.features
    )
    videos = find_inputs(paths_of(paths), FeatureCache(place.cache_dir))
    options = ExtractOptions(batch_size=batch_size, frame_rate=frame_rate)
    return in_memory(videos, recipe, load, options, told, skip_failed=skip_failed)


def in_memory(
    videos: Sequence[tuple[str, Path]],
    recipe: FeatureRecipe,
    load: Callable[[], Encoder],
    options: ExtractOptions,
    progress: Progress,
    *,
    skip_failed: bool,
) -> Iterator[Features]:
    """Features of videos given as (id, path); each is forgotten before the next is read.

    Raises:
        VidlangError: what a video failed with, unless ``skip_failed``.
    """
    with tempfile.TemporaryDirectory(prefix="vidlang-") as scratch:
        cache = FeatureCache(Path(scratch))
        for video in videos:
            [outcome] = extract_videos([video], cache, recipe, load, options, progress).outcomes
            if outcome.error is None:
                key = FeatureKey(outcome.video_id, recipe)
                found = cache.get(key)
                cache.remove(key)
                yield found
            elif skip_failed:
                logger.warning("failed: %s", outcome.error)
            else:
                raise outcome.error


def rows_for(
    recipe: FeatureRecipe, features: Features | ArrayLike, seconds: ArrayLike | None, *, any_sampling: bool
) -> Features:
    """Features in memory as what reads ``recipe`` takes them.

    features: or rows [T, D], or [K, T, D] with K crops
    seconds: [T, 2], where they are bare rows; without them each row lasts as the recipe says, or a second
    any_sampling: rows of the same encoder do, as for words; a trained head reads one recipe

    Raises:
        BadInput: features of another recipe.
    """
    if not isinstance(features, Features):
        return _bare_rows(features, seconds, recipe)
    theirs = features.key.recipe
    same_space = all(getattr(recipe, name) == getattr(theirs, name) for name in ("encoder", "revision", "features"))
    if theirs != recipe and not (any_sampling and same_space):
        raise BadInput(
            f"{features.key.video_id} has features of {theirs.name} ({theirs.fingerprint}), but {recipe.name} "
            f"({recipe.fingerprint}) is read here. Extract them so, or train on these."
        )
    return features


def encoder_for(labels: str | Sequence[str] | None, features: Features | ArrayLike) -> str | None:
    """The encoder that made the features, which words are compared with; None: that of the checkpoint or settings."""
    return features.key.recipe.encoder if labels is not None and isinstance(features, Features) else None


def _bare_rows(values: ArrayLike, seconds: ArrayLike | None, recipe: FeatureRecipe) -> Features:
    """Rows without a video, as one that is called ``array``."""
    rows = np.asarray(values)
    rows = rows if rows.dtype == np.float16 else rows.astype(np.float32)
    if rows.ndim not in (2, 3):
        raise ValueError(f"features are [T, D], or [K, T, D] with crops, got shape {rows.shape}")
    num_rows, sampling = rows.shape[-2], recipe.sampling
    edges = np.arange(num_rows + 1, dtype=np.int64)
    frames = np.stack([edges[:-1], edges[1:]], axis=1) * (sampling.stride if sampling.fps is None else 1)
    step = 1.0 if sampling.fps is None else 1 / sampling.fps
    times = np.stack([edges[:-1], edges[1:]], axis=1) * step
    if seconds is not None:
        times = np.asarray(seconds, dtype=np.float64)
    duration = float(times[-1, 1]) if num_rows else 0.0
    last = int(frames[-1, 1]) if num_rows else 0
    video = VideoInfo("array", last, duration, last / duration if duration else 0.0, (0, 0))
    return Features(FeatureKey(video.id, recipe), video, rows, frames, times)


def load_encoder(
    name: str | None = None,
    *,
    device: str | None = None,
    precision: Precision | None = None,
    features: RowKind | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> Encoder:
    """An encoder: ``encode_frames`` takes uint8 [N, H, W, 3] to rows [N, D], ``encode_texts`` words to [C, D].

    name: of the registry, of the hub, or a folder; None: the workspace's

    Raises:
        UnknownName, EncoderUnavailable: no such encoder, or its weights cannot be had here.
        BadInput: a precision that the device does not have.
    """
    settings = place_of(workspace).settings
    load = encoder_loader(
        name or settings.encoder,
        precision or settings.precision,
        device or settings.device,
        progress_of(progress),
        features,
    )
    return load()


def open_cache(workspace: WorkspaceLike = None) -> FeatureCache:
    """The feature cache: ``keys()``, ``get(key)``, ``get_many(keys)``, ``recipes()``."""
    return FeatureCache(place_of(workspace).cache_dir)
