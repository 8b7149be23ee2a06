"""Self-made positives: edited copies of videos, of which only the features stay.

Each video gets copies with edits drawn by chance (``video.edits``). A copy is written into a temporary folder, goes
through the normal extraction, and lies in the cache as ``<video id>/copy<number>-<hash of its edits>``, with the
identity of the video that it was made from and, in ``made_with``, what was done to it and which of its seconds show
which of the video's. A small group of copies at a time: the encoder gets full batches and the disk holds few files.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidlang.core import (
    BadInput,
    FeatureKey,
    FeatureRecipe,
    FileIdentity,
    Outcome,
    Progress,
    Segment,
    VidlangError,
)
from vidlang.core.progress import Task
from vidlang.engines.local import Finished, LocalEngine, Produced
from vidlang.store.feature_cache import CacheEntry, FeatureCache
from vidlang.video.edits import Edit, EditedCopy, Mapping, Strength, apply, describe, fingerprint, random_edits
from vidlang.video.reader import identify, open_video
from vidlang.workflows.extract import ExtractOptions, default_workers, extract_videos

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder

logger = logging.getLogger(__name__)

GROUP = 16
"""Copies that lie on the disk at a time."""
SHORT_SIDE = 288
"""Pixels that the shorter side of a copy starts from; encoders look at fewer, and larger pictures take longer."""


@dataclass(frozen=True)
class CopiesReport:
    """What became of each video's copies."""

    recipe: FeatureRecipe
    outcomes: tuple[Outcome, ...]
    """One per video: done where copies were made, skipped where all were there, failed where one could not be made."""
    num_made: int
    num_there: int
    """Copies that an earlier call had made."""
    wall_seconds: float

    @property
    def num_failed(self) -> int:
        """Videos with a copy that could not be made."""
        return sum(outcome.status == "failed" for outcome in self.outcomes)

    def lines(self) -> list[str]:
        """The report for people."""
        failed = f", {self.num_failed} of {len(self.outcomes)} videos failed" if self.num_failed else ""
        return [
            f"{self.num_made} copies made, {self.num_there} already there{failed}; {self.wall_seconds:.1f} s",
            f"Recipe {self.recipe.name} ({self.recipe.fingerprint})",
        ]

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.copies/1",
            "recipe": self.recipe.to_dict(),
            "fingerprint": self.recipe.fingerprint,
            "wall_seconds": self.wall_seconds,
            "made": self.num_made,
            "already_there": self.num_there,
            "videos": [
                {"video": o.video_id, "status": o.status, "detail": str(o.error) if o.error else o.detail}
                for o in self.outcomes
            ],
        }


@dataclass(frozen=True)
class _Job:
    """One copy to be made."""

    video_id: str
    path: Path
    identity: FileIdentity
    number: int
    edits: tuple[Edit, ...]

    @property
    def copy_id(self) -> str:
        return f"{self.video_id}/copy{self.number}-{fingerprint(self.edits)}"


@dataclass
class _Tally:
    """What became of one video's copies so far."""

    made: int = 0
    there: int = 0
    error: VidlangError | None = None

    def outcome(self, video_id: str) -> Outcome:
        if self.error is not None:
            return Outcome(video_id, "failed", error=self.error)
        if self.made:
            return Outcome(video_id, "done", f"{self.made} copies made")
        return Outcome(video_id, "skipped", "already in the cache")


@dataclass
class _Run:
    """One call: what to do and how far it is."""

    cache: FeatureCache
    originals: FeatureCache
    recipe: FeatureRecipe
    load_encoder: Callable[[], Encoder]
    options: ExtractOptions
    progress: Progress
    task: Task
    seed: int
    strength: Strength
    short_side: int
    tallies: dict[str, _Tally] = field(default_factory=dict)

    @property
    def drawn_by(self) -> dict[str, str]:
        """What decides the edits, beside the content and the number, as ``made_with`` says it."""
        return {"seed": str(self.seed), "strength": self.strength, "short_side": str(self.short_side)}

    def fail(self, video_id: str, error: Exception) -> None:
        """The first failure of a video is its outcome; each is told."""
        told = _as_vidlang_error(video_id, error)
        tally = self.tallies[video_id]
        tally.error = tally.error or told
        self.progress.message(f"failed: {told}")


def make_copies(
    videos: Sequence[tuple[str, Path]],
    num_copies: int,
    seed: int,
    recipe: FeatureRecipe,
    load_encoder: Callable[[], Encoder],
    cache: FeatureCache,
    options: ExtractOptions | None = None,
    progress: Progress | None = None,
    *,
    strength: Strength = "mild",
    short_side: int = SHORT_SIDE,
    originals: FeatureCache | None = None,
) -> CopiesReport:
    """Features of ``num_copies`` edited copies of each video, given as (id, path), into the cache.

    The edits follow from the seed, the copy's number and the content of the file. Copies that the cache holds, made
    from the same content with the same seed, strength, size and recipe, are left alone, so that interrupted work goes
    on where it stopped; copies of another content under the same id are removed. A video that fails is one outcome and
    the others go on. ``load_encoder`` is called only if something has to be encoded.

    options: how to run; ``overwrite`` makes every copy again.
    originals: where features of the videos themselves may lie, by the same recipe: these know how long a video really
        is, which is read from the video otherwise. None: ``cache``.

    Raises:
        BadInput: the cache is a packed file.
    """
    if num_copies < 1:
        raise ValueError(f"num_copies must be at least 1, got {num_copies}")
    if cache.packed:
        raise BadInput(f"{cache.root} is a packed file and takes no copies. Work with a cache folder.")
    progress = progress or Progress()
    started = time.perf_counter()
    with progress.task("copies", total=len(videos) * num_copies, unit="copy") as task:
        loaded = functools.cache(load_encoder)
        run = _Run(
            cache,
            originals or cache,
            recipe,
            loaded,
            options or ExtractOptions(),
            progress,
            task,
            seed,
            strength,
            short_side,
        )
        jobs = _jobs(run, videos, num_copies)
        while group := list(itertools.islice(jobs, GROUP)):
            with tempfile.TemporaryDirectory(prefix="vidlang-copies-") as folder:
                _make(run, group, Path(folder))
    return CopiesReport(
        recipe=recipe,
        outcomes=tuple(run.tallies[video_id].outcome(video_id) for video_id, _ in videos),
        num_made=sum(tally.made for tally in run.tallies.values()),
        num_there=sum(tally.there for tally in run.tallies.values()),
        wall_seconds=time.perf_counter() - started,
    )


def copies_of(cache: FeatureCache, recipe: FeatureRecipe) -> dict[str, list[FeatureKey]]:
    """The copies of each video by one recipe, in the order of their numbers; videos without copies are not named."""
    found: dict[str, list[CacheEntry]] = {}
    for entry in cache.entries(recipe):
        if "copy_of" in entry.made_with:
            found.setdefault(entry.made_with["copy_of"], []).append(entry)
    return {
        video_id: [entry.key for entry in sorted(entries, key=lambda e: (int(e.made_with["copy"]), e.key.video_id))]
        for video_id, entries in sorted(found.items())
    }


def mapping_of(entry: CacheEntry) -> Mapping:
    """Pairs of (seconds of a copy, the seconds of its video that they show).

    Raises:
        BadInput: the entry is not that of a copy.
    """
    if "mapping" not in entry.made_with:
        raise BadInput(f"{entry.key.video_id} is not an edited copy: nothing is known of what it shows.")
    return tuple((Segment(*here), Segment(*there)) for here, there in json.loads(entry.made_with["mapping"]))


# -- what has to be made ---------------------------------------------------------------------------------------------


def _jobs(run: _Run, videos: Sequence[tuple[str, Path]], num_copies: int) -> Iterator[_Job]:
    """Copies that are not there, video by video; each video is looked at when its turn comes."""
    known: dict[str, list[CacheEntry]] = {}
    for entry in run.cache.entries(run.recipe):
        if "copy_of" in entry.made_with:
            known.setdefault(entry.made_with["copy_of"], []).append(entry)
    for video_id, path in videos:
        tally = run.tallies[video_id] = _Tally()
        try:
            identity = identify(path)
            there = _numbers_there(run, known.get(video_id, []), identity)
            wanted = [number for number in range(num_copies) if number not in there]
            duration = _duration(run, video_id, path, identity) if wanted else 0.0
        except VidlangError as error:
            run.fail(video_id, error)
            run.task.advance(num_copies)
            continue
        tally.there = num_copies - len(wanted)
        run.task.advance(tally.there)
        for number in wanted:
            chance = (run.seed, number, int(identity.digest[:16], 16))
            yield _Job(video_id, path, identity, number, random_edits(chance, duration, strength=run.strength))


def _numbers_there(run: _Run, copies: Sequence[CacheEntry], identity: FileIdentity) -> set[int]:
    """Numbers of the copies that need not be made; those of another content are removed."""
    there = set()
    for entry in copies:
        if entry.identity is None or not entry.identity.same_content(identity):
            run.cache.remove(entry.key)
        elif not run.options.overwrite and run.drawn_by.items() <= entry.made_with.items():
            there.add(int(entry.made_with["copy"]))
    return there


def _duration(run: _Run, video_id: str, path: Path, identity: FileIdentity) -> float:
    """Exact seconds, as headers may promise more: from the video's own features, or by reading it to its end.

    Raises:
        BadVideo: no frame decodes.
    """
    key = FeatureKey(video_id, run.recipe)
    if run.originals.is_fresh(key, identity):
        duration = run.originals.entry(key).video.duration
    else:
        with open_video(path, video_id=video_id, frame_rate=run.options.frame_rate) as reader:
            for _ in reader.timed_frames("some"):
                pass
            duration = reader.info.duration
    if duration <= 0:
        raise BadInput(f"{video_id} has no duration, so nothing of it can be cut or shown at another speed.")
    return duration


# -- making them -----------------------------------------------------------------------------------------------------


def _make(run: _Run, group: Sequence[_Job], folder: Path) -> None:
    """One group: edited files, their features, and those into the cache with what is known of them."""
    copies: dict[str, tuple[_Job, EditedCopy]] = {}
    for job, copy in _written(run, group, folder):
        copies[job.copy_id] = (job, copy)
    scratch = FeatureCache(folder / "cache")
    paths = [(copy_id, copy.path) for copy_id, (_, copy) in copies.items()]
    options = ExtractOptions(batch_size=run.options.batch_size, num_workers=run.options.num_workers)
    report = extract_videos(paths, scratch, run.recipe, run.load_encoder, options) if paths else None
    for outcome in report.outcomes if report else ():
        job, copy = copies[outcome.video_id]
        try:
            if outcome.error is not None:
                raise outcome.error
            _keep(run, scratch, job, copy)
            run.tallies[job.video_id].made += 1
        except VidlangError as error:
            run.fail(job.video_id, error)
    run.task.advance(len(group))


def _written(run: _Run, group: Sequence[_Job], folder: Path) -> Iterator[tuple[_Job, EditedCopy]]:
    """Copies as their files are done, written in worker threads."""

    def write(job: _Job) -> Iterator[EditedCopy]:
        target = folder / f"{group.index(job)}.mp4"
        yield apply(
            job.path,
            job.edits,
            target,
            preset="ultrafast",  # files that live for seconds may be large
            short_side=run.short_side,
            image_rate=run.options.frame_rate,
            threads=1,
        )

    engine = LocalEngine(run.options.num_workers or default_workers("cpu"))
    for event in engine.stream(group, write):
        if isinstance(event, Produced):
            yield event.job, event.item
        elif isinstance(event, Finished) and event.error is not None:
            run.fail(event.job.video_id, event.error)


def _keep(run: _Run, scratch: FeatureCache, job: _Job, copy: EditedCopy) -> None:
    key = FeatureKey(job.copy_id, run.recipe)
    entry = scratch.entry(key)
    facts = {
        "copy_of": job.video_id,
        "copy": str(job.number),
        **run.drawn_by,
        "edits": json.dumps(describe(copy.edits)),
        "mapping": json.dumps(copy.to_dict()["mapping"]),
    }
    made_with = {**entry.made_with, **facts}
    run.cache.put(scratch.get(key), identity=job.identity, made_with=made_with, warnings=entry.warnings)


def _as_vidlang_error(video_id: str, error: Exception) -> VidlangError:
    if isinstance(error, VidlangError):
        return error
    logger.info("unexpected failure of a copy of %s", video_id, exc_info=error)
    wrapped = VidlangError(f"{video_id} failed unexpectedly ({type(error).__name__}: {error}). --verbose shows where.")
    wrapped.__cause__ = error
    return wrapped
