"""Videos to features: paths → snippets → preprocessed pixels → rows → cache.

Decoding and preprocessing run in worker threads, encoding in the caller's thread, in batches that span videos, so that
a hundred short clips keep an encoder as busy as one long film.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidlang import __version__
from vidlang.core import (
    BadInput,
    BadVideo,
    FeatureKey,
    FeatureRecipe,
    Features,
    FileIdentity,
    Outcome,
    Progress,
    Sampling,
    VideoInfo,
    VidlangError,
)
from vidlang.core.progress import Task
from vidlang.engines.local import Finished, LocalEngine, Produced
from vidlang.store.feature_cache import FeatureCache
from vidlang.video.reader import find_videos, identify
from vidlang.video.shot_borders import ShotBorders
from vidlang.video.snippets import SnippetBatch, open_snippets
from vidlang.video.static import StaticScene
from vidlang.workflows.pixels import Pictures, motion_watch, recoloured, still_blurred

if TYPE_CHECKING:
    from torch import Tensor

    from vidlang.encoders.base import Encoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractOptions:
    """How to run; nothing here changes a number of the features (the recipe does)."""

    batch_size: int = 32
    """Pixels tensors per encoder call."""
    num_workers: int | None = None
    """Videos decoded at a time; None: by the number of cores."""
    overwrite: bool = False
    """Extract again what is there."""
    frame_rate: float | None = None
    """Frames per second of folders of images, which do not say it themselves."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.num_workers is not None and self.num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, got {self.num_workers}")
        if self.frame_rate is not None and not 0 < self.frame_rate < float("inf"):
            raise BadInput(f"The frame rate of images must be positive, got {self.frame_rate:g}.")


@dataclass(frozen=True)
class ExtractReport:
    """What became of each video, and how fast it went."""

    recipe: FeatureRecipe
    outcomes: tuple[Outcome, ...]
    num_images: int
    """Images that went through the encoder."""
    num_reused: int
    """Rows taken from the row before because nothing moved (``reuse_static``)."""
    reuse_cosines: tuple[float, ...]
    """Cosines between reused rows and their own features, on a sample of them."""
    wall_seconds: float
    num_still: int = 0
    """Rows of snippets in which nothing moves, where the recipe attends to motion: they are the plain rows."""

    @property
    def num_failed(self) -> int:
        return sum(outcome.status == "failed" for outcome in self.outcomes)

    def lines(self) -> list[str]:
        """The report for people."""
        counts = {s: sum(o.status == s for o in self.outcomes) for s in ("done", "skipped", "failed")}
        speed = f", {self.num_images / self.wall_seconds:.1f} images/s" if self.num_images else ""
        lines = [
            f"{counts['done']} extracted, {counts['skipped']} already there, {counts['failed']} failed; "
            f"{self.wall_seconds:.1f} s{speed}",
            f"Recipe {self.recipe.name} ({self.recipe.fingerprint})",
        ]
        if self.num_still:
            lines.append(f"{self.num_still} rows are the plain ones: nothing moves in their snippets")
        if self.num_reused:
            share = self.num_reused / (self.num_reused + self.num_images)
            lines.append(f"{self.num_reused} rows ({share:.0%}) repeat the row before, where nothing moved")
            if self.reuse_cosines:
                mean, low = float(np.mean(self.reuse_cosines)), min(self.reuse_cosines)
                checked = len(self.reuse_cosines)
                lines.append(
                    f"Cosine to their own features, on {checked} checked rows: mean {mean:.4f}, lowest {low:.4f}"
                )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.extract/1",
            "recipe": self.recipe.to_dict(),
            "fingerprint": self.recipe.fingerprint,
            "wall_seconds": self.wall_seconds,
            "images": self.num_images,
            "rows_reused": self.num_reused,
            "rows_without_motion": self.num_still,
            "videos": [
                {"video": o.video_id, "status": o.status, "detail": str(o.error) if o.error else o.detail}
                for o in self.outcomes
            ],
        }


@dataclass(frozen=True)
class _Job:
    video_id: str
    path: Path


@dataclass(frozen=True)
class _Pixels:
    """One batch of a video on its way to the encoder."""

    pixels: Tensor  # [N * K, 3, S, S], crop index fastest
    rows: tuple[tuple[int, ...], ...]  # the snippet rows that each of the N frames counts for
    share: float  # how much of the video was read, by the header's length; for the progress bar
    reused: tuple[tuple[int, int], ...] = ()  # (row, row that it repeats)
    checks: tuple[tuple[int, int], ...] = ()  # (position in pixels, row it would have repeated): encoded to compare
    weights: Tensor | None = None  # [N * K, g, g] of the patches, where the encoder attends to motion


@dataclass(frozen=True)
class _End:
    """The facts that are known once a video was read to its end."""

    info: VideoInfo
    frames: np.ndarray
    seconds: np.ndarray
    identity: FileIdentity
    decoder: str
    warnings: tuple[str, ...]
    num_still: int = 0  # rows of snippets in which nothing moves


def extract(
    paths: Sequence[Path | str],
    cache: FeatureCache,
    recipe: FeatureRecipe,
    load_encoder: Callable[[], Encoder],
    options: ExtractOptions | None = None,
    progress: Progress | None = None,
) -> ExtractReport:
    """Features of every video under ``paths`` into the cache.

    What the cache holds from the same recipe and the same file content is skipped; a video that fails is one outcome
    and the others go on. ``load_encoder`` is called only if something has to be encoded.
    """
    return extract_videos(find_inputs(paths, cache), cache, recipe, load_encoder, options or ExtractOptions(), progress)


def find_inputs(paths: Sequence[Path | str], cache: FeatureCache) -> list[tuple[str, Path]]:
    """(id, path) of every video under ``paths``, without the pictures among the results of the cache's workspace.

    Raises:
        BadInput: there is none, two share an id, or a path is empty.
    """
    if not all(map(str, paths)):
        raise BadInput("One of the paths is empty. Name videos or folders; the current folder is '.'.")
    results = (cache.root.parent / "results").resolve()
    found = find_videos([Path(path) for path in paths])
    return [(video_id, path) for video_id, path in found if not path.resolve().is_relative_to(results)]


def extract_videos(
    videos: Sequence[tuple[str, Path]],
    cache: FeatureCache,
    recipe: FeatureRecipe,
    load_encoder: Callable[[], Encoder],
    options: ExtractOptions,
    progress: Progress | None = None,
    only: Callable[[Sequence[str]], set[str]] | None = None,
) -> ExtractReport:
    """As ``extract``, for videos given as (id, path).

    only: takes all ids and returns those that are wanted; None: all.
    """
    check_reuse(recipe)
    progress = progress or Progress()
    if only is not None:
        wanted = only([video_id for video_id, _ in videos])
        videos = [(video_id, path) for video_id, path in videos if video_id in wanted]
    started = time.perf_counter()
    outcomes: dict[str, Outcome] = {}
    jobs = []
    for video_id, path in videos:
        if not options.overwrite and _is_there(cache, FeatureKey(video_id, recipe), path):
            outcomes[video_id] = Outcome(video_id, "skipped", "already in the cache")
        else:
            jobs.append(_Job(video_id, path))
    encoder = load_encoder() if jobs else None
    if encoder is not None and encoder.features != recipe.features:
        raise BadInput(
            f"{recipe.name} asks for {recipe.features} rows, but this command takes {encoder.features} rows of "
            f'{encoder.name}. Set features = "{encoder.features}" in vidlang.toml, or take another encoder.'
        )
    if encoder is not None and recipe.motion.use == "pool" and encoder.patch_grid is None:
        raise BadInput(f"--motion pool needs an encoder with patches, which {encoder.name} is not. Take --motion mask.")
    run = _Run(cache, recipe, encoder, options)
    if jobs:
        with progress.task("extract", total=len(jobs), unit="video") as task:
            for outcome in run.outcomes(jobs, task):
                outcomes[outcome.video_id] = outcome
                if outcome.detail and outcome.status == "done":
                    progress.message(f"{outcome.video_id}: {outcome.detail}")
                if outcome.error is not None:
                    progress.message(f"failed: {outcome.error}")
    return ExtractReport(
        recipe=recipe,
        outcomes=tuple(outcomes[video_id] for video_id, _ in videos),
        num_images=run.num_images,
        num_reused=run.num_reused,
        reuse_cosines=tuple(run.reuse_cosines),
        wall_seconds=time.perf_counter() - started,
        num_still=run.num_still,
    )


def check_reuse(recipe: FeatureRecipe) -> None:
    """
    Raises:
        BadInput: rows are to be repeated that are not those of one frame.
    """
    if recipe.reuse_static is not None and recipe.sampling.pick == "mean":
        raise BadInput("--reuse-static repeats rows of single frames, so it goes with --pick middle or first only.")


def _is_there(cache: FeatureCache, key: FeatureKey, path: Path) -> bool:
    """Whether the cache has features of this very content. False for an unreadable file: its own job says why."""
    try:
        return key in cache and cache.is_fresh(key, identify(path))
    except BadVideo:
        return False


class _Accumulator:
    """Rows of one video as they come back from the encoder, in any order.

    Sums and counts, so that ``mean`` of all frames and one frame per snippet are the same code.
    """

    def __init__(self) -> None:
        self.sums: dict[int, np.ndarray] = {}  # row → [K, D]
        self.counts: dict[int, int] = {}
        self.repeats: dict[int, int] = {}  # row → the row it repeats
        self.end: _End | None = None
        self.num_waiting = 0  # frames handed to the encoder that did not come back

    def add(self, rows: tuple[int, ...], feature: np.ndarray) -> None:
        for row in rows:
            if row in self.sums:
                self.sums[row] = self.sums[row] + feature
            else:
                self.sums[row] = feature
            self.counts[row] = self.counts.get(row, 0) + 1

    def origin(self, row: int) -> int:
        while row in self.repeats:
            row = self.repeats[row]
        return row

    def values(self, num_rows: int) -> np.ndarray:
        """[K, T, D]"""
        origins = [self.origin(row) for row in range(num_rows)]
        return np.stack([self.sums[row] / self.counts[row] for row in origins], axis=1)


@dataclass
class _Pending:
    """Frames of several videos that wait for a full batch."""

    pixels: list[Tensor] = field(default_factory=list)
    weights: list[Tensor | None] = field(default_factory=list)  # of the patches; None: the plain row
    owners: list[tuple[str, tuple[int, ...], int | None]] = field(default_factory=list)
    # one owner per frame: video id, rows, and for a check of reuse the row that it would have repeated


class _Run:
    """One extraction: feeds the encoder and puts each video into the cache when its last row is there."""

    def __init__(
        self, cache: FeatureCache, recipe: FeatureRecipe, encoder: Encoder | None, options: ExtractOptions
    ) -> None:
        self.cache = cache
        self.recipe = recipe
        self.encoder = encoder
        self.options = options
        self.num_crops = recipe.sampling.num_crops
        self.pending = _Pending()
        self.videos: dict[str, _Accumulator] = {}
        self.many_videos = False
        self.num_images = 0
        self.num_reused = 0
        self.num_still = 0
        self.reuse_cosines: list[float] = []

    def outcomes(self, jobs: Sequence[_Job], task: Task) -> Iterator[Outcome]:
        """One outcome per job, as they are done."""
        assert self.encoder is not None
        self.many_videos = len(jobs) > 1
        engine = LocalEngine(self.options.num_workers or default_workers(self.encoder.device), queue_size=6)
        started = time.perf_counter()
        shares: dict[str, float] = {}
        for event in engine.stream(jobs, self._read):
            video_id = event.job.video_id
            share = event.item.share if isinstance(event, Produced) and isinstance(event.item, _Pixels) else None
            if isinstance(event, Finished):
                share = 1.0
            if share is not None:
                task.advance(max(share - shares.get(video_id, 0.0), 0.0))
                shares[video_id] = max(share, shares.get(video_id, 0.0))
            if isinstance(event, Finished):
                if event.error is not None:
                    self._forget(video_id)
                    yield Outcome(video_id, "failed", error=_as_vidlang_error(video_id, event.error))
            elif isinstance(event.item, _End):
                self.videos.setdefault(video_id, _Accumulator()).end = event.item
                self.num_still += event.item.num_still
                yield from self._complete()
            else:
                self._take(video_id, event.item)
                while len(self.pending.owners) >= self.options.batch_size:
                    self._encode(self.options.batch_size)
                    task.note(images_per_second=self.num_images / (time.perf_counter() - started))
                yield from self._complete()
        while self.pending.owners:
            self._encode(self.options.batch_size)
        yield from self._complete()

    def _read(self, job: _Job) -> Iterator[_Pixels | _End]:
        """In a worker thread: decode, choose, preprocess."""
        encoder = self.encoder
        assert encoder is not None
        identity = identify(job.path)
        fast = self.recipe.preprocess == "fast" and self.recipe.sampling.crops == "center"
        reuse = StaticScene(self.recipe.reuse_static) if self.recipe.reuse_static is not None else None
        threads = 1 if self.many_videos else 0  # several videos keep the cores busy with less overhead than one
        borders = ShotBorders() if self.recipe.borders == "crop" else None
        # of a picture inside bars more than the shorter side may be needed, so frames with bars come at full size
        short_side = encoder.pixels.shorter_side if fast and borders is None else None
        num_still = 0
        with open_snippets(
            job.path,
            self.recipe.sampling,
            video_id=job.video_id,
            frame_rate=self.options.frame_rate,
            short_side=short_side,
            batch_size=max(1, self.options.batch_size // self.num_crops),
            threads=threads,
            watch=motion_watch(self.recipe.motion),
        ) as stream:
            for batch in stream:
                rows = [tuple(r) for r in batch.rows]
                pictures: Pictures = borders.crop(batch.frames) if borders else batch.frames
                if self.recipe.motion.use == "mask":
                    pictures = still_blurred(batch.frames, batch.masks)
                weights = self._weights(batch) if self.recipe.motion.use == "pool" else None
                num_still += sum(len(r) for r, mask in zip(rows, batch.masks, strict=False) if mask is None)
                frames = recoloured(pictures, self.recipe)
                keep, reused, checks = reuse.sort_out(frames, rows) if reuse else (list(range(len(rows))), [], [])
                chosen = frames if len(keep) == len(rows) else [frames[index] for index in keep]
                if len(keep):
                    pixels = encoder.preprocess(chosen, mode=self.recipe.preprocess, crops=self.recipe.sampling.crops)
                    share = _share_read(stream.info, self.recipe.sampling, rows)
                    yield _Pixels(pixels, tuple(rows[i] for i in keep), share, tuple(reused), tuple(checks), weights)
                elif reused:
                    yield _Pixels(_no_pixels(), (), _share_read(stream.info, self.recipe.sampling, rows), tuple(reused))
            cropped = []
            if borders is not None and borders.widest is not None:
                cropped = [f"borders cropped from {borders.num_cropped} frames: up to {borders.widest}"]
            still = [f"nothing moves in {num_still} of {len(stream.frames)} snippets: plain rows"] if num_still else []
            warnings = (*stream.warnings, *cropped, *still)
            yield _End(stream.info, stream.frames, stream.seconds, identity, stream.decoder, warnings, num_still)

    def _weights(self, batch: SnippetBatch) -> Tensor:
        """[N * K, g, g] of the patches of every crop; ones where nothing moves."""
        import torch

        from vidlang.encoders.motion_pooling import patch_weights

        encoder, crops = self.encoder, self.recipe.sampling.crops
        assert encoder is not None and encoder.patch_grid is not None, "extract_videos has checked it"
        grid, size = encoder.patch_grid, (batch.frames.shape[1], batch.frames.shape[2])
        plain = np.ones((self.num_crops, grid, grid), dtype=np.float32)
        found = [plain if m is None else patch_weights(m, size, encoder.pixels, grid, crops) for m in batch.masks]
        return torch.from_numpy(np.concatenate(found))

    def _take(self, video_id: str, item: _Pixels) -> None:
        video = self.videos.setdefault(video_id, _Accumulator())
        video.repeats.update(dict(item.reused))
        self.num_reused += len(item.reused)
        checks = dict(item.checks)
        for position, rows in enumerate(item.rows):
            first = position * self.num_crops
            self.pending.pixels.append(item.pixels[first : first + self.num_crops])
            self.pending.weights.append(None if item.weights is None else item.weights[first : first + self.num_crops])
            self.pending.owners.append((video_id, rows, checks.get(position)))
            video.num_waiting += 1

    def _encode(self, batch_size: int) -> None:
        """The first ``batch_size`` waiting frames through the encoder, and each row to its video."""
        import torch

        assert self.encoder is not None
        pixels, self.pending.pixels = self.pending.pixels[:batch_size], self.pending.pixels[batch_size:]
        weights, self.pending.weights = self.pending.weights[:batch_size], self.pending.weights[batch_size:]
        owners, self.pending.owners = self.pending.owners[:batch_size], self.pending.owners[batch_size:]
        weighed = [weight for weight in weights if weight is not None]  # all of a recipe have some, or none has
        if weighed:
            encoded = self.encoder.encode_pixels(torch.cat(pixels), weights=torch.cat(weighed))
        else:
            encoded = self.encoder.encode_pixels(torch.cat(pixels))
        self.num_images += len(encoded)
        features = encoded.reshape(len(owners), self.num_crops, -1)  # [N, K, D]
        for (video_id, rows, compared_with), feature in zip(owners, features, strict=True):
            video = self.videos.get(video_id)
            if video is None:  # the video failed in the meantime
                continue
            video.num_waiting -= 1
            video.add(rows, feature)
            if compared_with is not None:
                origin = video.origin(compared_with)
                if origin in video.sums:
                    self.reuse_cosines.append(_cosine(feature[0], video.sums[origin][0]))

    def _complete(self) -> Iterator[Outcome]:
        """Put every video into the cache whose end is known and whose frames are all back."""
        ready = [name for name, video in self.videos.items() if video.end is not None and video.num_waiting == 0]
        for video_id in ready:
            video = self.videos.pop(video_id)
            assert video.end is not None
            try:
                yield self._put(video_id, video, video.end)
            except VidlangError as error:
                yield Outcome(video_id, "failed", error=error)

    def _put(self, video_id: str, video: _Accumulator, end: _End) -> Outcome:
        values = video.values(len(end.frames))  # [K, T, D]
        if not np.isfinite(values).all():
            raise VidlangError(f"{video_id}: the encoder gave values that are not finite. Try --precision float32.")
        values = values if self.num_crops > 1 else values[0]
        features = Features(
            key=FeatureKey(video_id, self.recipe),
            video=end.info,
            values=values.astype(self.recipe.dtype),
            frames=end.frames,
            seconds=end.seconds,
        )
        made_with = {"vidlang": __version__, "decoder": end.decoder}
        self.cache.put(features, identity=end.identity, made_with=made_with, warnings=end.warnings)
        return Outcome(video_id, "done", "; ".join(end.warnings))

    def _forget(self, video_id: str) -> None:
        self.videos.pop(video_id, None)
        pending, self.pending = self.pending, _Pending()
        for pixels, weights, owner in zip(pending.pixels, pending.weights, pending.owners, strict=True):
            if owner[0] != video_id:
                self.pending.pixels.append(pixels)
                self.pending.weights.append(weights)
                self.pending.owners.append(owner)


def _share_read(info: VideoInfo, sampling: Sampling, rows: Sequence[tuple[int, ...]]) -> float:
    """Share of a video behind its last row so far; an estimate in [0, 0.99], since headers only estimate."""
    last = max((row for group in rows for row in group), default=0) + 1
    expected = info.duration * sampling.fps if sampling.fps is not None else info.num_frames / sampling.stride
    return min(last / expected, 0.99) if expected > 0 else 0.0


def default_workers(device: object) -> int:
    """Videos decoded at a time: on a CPU the encoder wants the cores, on a GPU decoding is what limits."""
    cores = os.cpu_count() or 1
    return max(1, min(8, cores if "cpu" not in str(device) else (cores + 1) // 2))


def _as_vidlang_error(video_id: str, error: Exception) -> VidlangError:
    if isinstance(error, VidlangError):
        return error
    logger.info("unexpected failure of %s", video_id, exc_info=error)
    wrapped = VidlangError(f"{video_id} failed unexpectedly ({type(error).__name__}: {error}). --verbose shows where.")
    wrapped.__cause__ = error
    return wrapped


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def _no_pixels() -> Tensor:
    import torch

    return torch.empty(0)
