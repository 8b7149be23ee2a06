"""Videos to features: paths → snippets → preprocessed pixels → rows → cache.

Where reading and encoding run is the engine's business (``engines``): in threads of this machine, or on a cluster. Here
rows come together again, and each video goes into the cache when its last row is there.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidlang import __version__
from vidlang.core import (
    BadInput,
    BadVideo,
    DamagedEntry,
    FeatureKey,
    FeatureRecipe,
    Features,
    MissingFeatures,
    Outcome,
    Progress,
    VidlangError,
)
from vidlang.core.progress import Task
from vidlang.core.shares import Share
from vidlang.engines.base import Again, Engine, Event, Finished, Stage
from vidlang.engines.local import LocalEngine
from vidlang.store.feature_cache import FeatureCache
from vidlang.video.reader import find_videos, identify
from vidlang.workflows.extract_reading import EncodingStage, Job, PixelWork, Reader, Rows, VideoEnd
from vidlang.workflows.recipe import check_same_rows

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder

logger = logging.getLogger(__name__)

MIXED_PARTS = 8
"""Parts that are encoded together where batches span videos."""


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
    mixed: bool | None = None
    """Batches span videos: short videos keep a GPU busy, and rows differ in the last digit from run to run (1e-7 of
    their length). None: on a GPU. Otherwise the rows of a video follow from it alone."""

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
class Elsewhere:
    """An engine that runs in other processes, and what loads the encoder there."""

    engine: Engine
    load_stage: Callable[[int, int], Callable[[], Stage]]
    """(crops, images per call) → what the engine carries to where the encoder is."""
    mixed: Callable[[], bool] = lambda: False
    """What ``ExtractOptions.mixed`` of None means there; asked once there is something to do."""


def extract(
    paths: Sequence[Path | str],
    cache: FeatureCache,
    recipe: FeatureRecipe,
    load_encoder: Callable[[], Encoder],
    options: ExtractOptions | None = None,
    progress: Progress | None = None,
    *,
    share: Share | None = None,
    elsewhere: Elsewhere | None = None,
) -> ExtractReport:
    """Features of every video under ``paths`` into the cache.

    share: of the videos, by their ids; None: all
    elsewhere: where the work runs; None: in this process

    What the cache holds from the same recipe and the same file content is skipped; a video that fails is one outcome
    and the others go on. ``load_encoder`` is called only if something has to be encoded; where the work runs elsewhere,
    only its pixels are asked of it.
    """
    videos = [video for video in find_inputs(paths, cache) if share is None or video[0] in share]
    return extract_videos(
        videos, cache, recipe, load_encoder, options or ExtractOptions(), progress, elsewhere=elsewhere
    )


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
    elsewhere: Elsewhere | None = None,
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
        if not options.overwrite and is_there(cache, FeatureKey(video_id, recipe), path):
            outcomes[video_id] = Outcome(video_id, "skipped", "already in the cache")
        else:
            jobs.append(Job(video_id, path))
    encoder = load_encoder() if jobs else None
    if encoder is not None:
        check_same_rows(recipe, encoder)
    if encoder is not None and recipe.motion.use == "pool" and encoder.patch_grid is None:
        raise BadInput(f"--motion pool needs an encoder with patches, which {encoder.name} is not. Take --motion mask.")
    run = _Run(cache, recipe)
    if encoder is not None:
        events = _events(jobs, recipe, encoder, options, elsewhere)
        with progress.task("extract", total=len(jobs), unit="video") as task, closing(events):
            for outcome in run.outcomes(events, task):
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


def is_there(cache: FeatureCache, key: FeatureKey, path: Path) -> bool:
    """Whether the cache has features of this very content. False for an unreadable file: its own job says why.

    A file that has no entry is not opened, and an entry is read once.
    """
    try:
        made_from = cache.entry(key).identity
        return made_from is not None and made_from.same_content(identify(path))
    except (MissingFeatures, DamagedEntry, BadVideo):
        return False


def _events(
    jobs: Sequence[Job], recipe: FeatureRecipe, encoder: Encoder, options: ExtractOptions, elsewhere: Elsewhere | None
) -> Generator[Event[Job], None, None]:
    """What the engine gives, with ``Rows`` and ``VideoEnd`` as results."""
    threads = 1 if len(jobs) > 1 else 0  # several videos keep the cores busy with less overhead than one
    num_crops = recipe.sampling.num_crops
    if elsewhere is None:
        engine: Engine = LocalEngine(options.num_workers or default_workers(encoder.device), queue_size=6)
        reader = Reader(encoder, recipe, options.batch_size, options.frame_rate, threads)
        mixed = "cpu" not in str(encoder.device) if options.mixed is None else options.mixed
        stage = EncodingStage(encoder, num_crops, options.batch_size)
        yield from engine.run(jobs, reader, lambda: stage, MIXED_PARTS if mixed else 1)
    else:
        jobs = [replace(job, path=job.path.absolute()) for job in jobs]  # workers stand in other folders
        pixels = PixelWork(encoder.pixels, encoder.patch_grid)
        reader = Reader(pixels, recipe, options.batch_size, options.frame_rate, threads=1)
        mixed = elsewhere.mixed() if options.mixed is None else options.mixed
        load_stage = elsewhere.load_stage(num_crops, options.batch_size)
        yield from elsewhere.engine.run(jobs, reader, load_stage, MIXED_PARTS if mixed else 1)


class _Accumulator:
    """Rows of one video as they come back from the encoder.

    Sums and counts, so that ``mean`` of all frames and one frame per snippet are the same code.
    """

    def __init__(self) -> None:
        self.sums: dict[int, np.ndarray] = {}  # row → [K, D]
        self.counts: dict[int, int] = {}
        self.repeats: dict[int, int] = {}  # row → the row it repeats

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


class _Run:
    """One extraction: puts each video into the cache when its last row is there, and counts."""

    def __init__(self, cache: FeatureCache, recipe: FeatureRecipe) -> None:
        self.cache = cache
        self.recipe = recipe
        self.videos: dict[str, _Accumulator] = {}
        self.num_images = 0
        self.num_reused = 0
        self.num_still = 0
        self.reuse_cosines: list[float] = []

    def outcomes(self, events: Iterator[Event[Job]], task: Task) -> Iterator[Outcome]:
        """One outcome per job, as they are done."""
        started = time.perf_counter()
        shares: dict[str, float] = {}

        def advance(video_id: str, share: float) -> None:
            task.advance(max(share - shares.get(video_id, 0.0), 0.0))
            shares[video_id] = max(share, shares.get(video_id, 0.0))

        for event in events:
            video_id = event.job.video_id
            if isinstance(event, Again):
                self.videos.pop(video_id, None)
            elif isinstance(event, Finished):
                advance(video_id, 1.0)
                if event.error is not None:
                    self.videos.pop(video_id, None)
                    yield Outcome(video_id, "failed", error=_as_vidlang_error(video_id, event.error))
            elif isinstance(event.item, VideoEnd):
                self.num_still += event.item.num_still
                yield self._kept(event.job, event.item)
            else:
                advance(video_id, event.item.part.share)
                self._take(video_id, event.item)
                task.note(images_per_second=self.num_images / (time.perf_counter() - started))

    def _take(self, video_id: str, item: Rows) -> None:
        video, part = self.videos.setdefault(video_id, _Accumulator()), item.part
        video.repeats.update(dict(part.reused))
        self.num_reused += len(part.reused)
        self.num_images += len(part.rows) * self.recipe.sampling.num_crops
        checks = dict(part.checks)
        for position, (rows, feature) in enumerate(zip(part.rows, item.features, strict=True)):
            video.add(rows, feature)
            if position in checks:
                origin = video.origin(checks[position])
                if origin in video.sums:
                    self.reuse_cosines.append(_cosine(feature[0], video.sums[origin][0]))

    def _kept(self, job: Job, end: VideoEnd) -> Outcome:
        try:
            return self._put(job, self.videos.pop(job.video_id, _Accumulator()), end)
        except VidlangError as error:
            return Outcome(job.video_id, "failed", error=error)

    def _put(self, job: Job, video: _Accumulator, end: VideoEnd) -> Outcome:
        values, num_crops = video.values(len(end.frames)), self.recipe.sampling.num_crops  # [K, T, D]
        if not np.isfinite(values).all():
            raise VidlangError(f"{job.video_id}: the encoder gave values that are not finite. Try --precision float32.")
        features = Features(
            key=FeatureKey(job.video_id, self.recipe),
            video=end.info,
            values=(values if num_crops > 1 else values[0]).astype(self.recipe.dtype),
            frames=end.frames,
            seconds=end.seconds,
        )
        made_with = {"vidlang": __version__, "decoder": end.decoder, "file": str(job.path.resolve())}
        self.cache.put(features, identity=end.identity, made_with=made_with, warnings=end.warnings)
        return Outcome(job.video_id, "done", "; ".join(end.warnings))


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
