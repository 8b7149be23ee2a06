"""What ``score`` and ``localize`` share: how videos are asked for, their features, a result or a failure of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidlang.core import BadInput, FeatureRecipe, Outcome, Progress, VidlangError
from vidlang.store.atomic import write_bytes
from vidlang.store.feature_cache import FeatureCache
from vidlang.workflows.chosen import cached_outcomes, wanted_videos
from vidlang.workflows.diff import MotionPrior
from vidlang.workflows.extract import ExtractOptions, extract_videos, find_inputs
from vidlang.workflows.looks import Looks

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder


@dataclass(frozen=True)
class AskedOptions:
    """Which videos, and what is written of them."""

    plot: bool = True
    plot_to: Path | None = None
    """Where pictures go: a file (.png, .pdf, .svg) for one video, or a folder; None: among the results."""
    report: Path | None = None
    """An HTML page of all videos."""
    embed: bool = False
    """Videos lie in the page instead of being linked."""
    overlay: Path | None = None
    """Videos with their results drawn in: a file for one video, or a folder."""
    device: str = "auto"
    out: Path | None = None
    """Folder for the results; None: a new one under the workspace's results."""
    manifest: Path | None = None
    """Only videos that it lists."""
    split: str | None = None
    """Of the manifest, only this split."""
    cached: bool = False
    """The paths are ids, or patterns of ids, of videos in the cache; no video file is opened."""
    motion_prior: float | None = None
    """Grey levels of motion at which a score is halved: what stands still is rarely an event. None: off."""
    motion: Path | None = None
    """Curves that ``vidlang diff`` wrote, in place of the videos themselves."""

    def __post_init__(self) -> None:
        if self.split is not None and self.manifest is None:
            raise BadInput("--split names a part of a manifest; give one with --manifest.")
        self.prior()
        self.looks()

    def looks(self) -> Looks:
        """What people look at beside the files."""
        return Looks(self.plot, self.plot_to, self.report, self.embed, self.overlay, self.cached)

    def prior(self) -> MotionPrior | None:
        """Motion as a prior, where it is asked for."""
        return MotionPrior.of(self.motion_prior, self.motion, self.cached)


def asked_features(
    paths: Sequence[str | Path],
    cache: FeatureCache,
    recipe: FeatureRecipe,
    load_encoder: Callable[[], Encoder],
    options: AskedOptions,
    extraction: ExtractOptions,
    files: dict[str, Path],
    progress: Progress,
) -> list[Outcome]:
    """Sees to it that the cache has the features of every video asked for; an outcome for each.

    files: takes the videos that were opened, by id

    Raises:
        BadInput: there is no such video, or what is asked for does not fit them.
    """
    only = wanted_videos(options.manifest, options.split)
    if options.cached:
        return cached_outcomes(cache, recipe, [str(path) for path in paths], only)
    files.update(find_inputs(paths, cache))
    asked = set(files) if only is None else only(list(files))
    options.looks().check({video_id: path for video_id, path in files.items() if video_id in asked})
    extracted = extract_videos(list(files.items()), cache, recipe, load_encoder, extraction, progress, only=only)
    return list(extracted.outcomes)


def each_video(
    verb: str, outcomes: Sequence[Outcome], read: Callable[[str], None], progress: Progress
) -> tuple[Outcome, ...]:
    """Calls ``read`` with the id of every video that has not failed; outcomes say which are done and which are not."""
    after = []
    with progress.task(verb, total=len(outcomes), unit="video") as task:
        for outcome in outcomes:
            after.append(outcome if outcome.status == "failed" else _outcome_of(outcome, read, progress))
            task.advance()
    return tuple(after)


def _outcome_of(outcome: Outcome, read: Callable[[str], None], progress: Progress) -> Outcome:
    try:
        read(outcome.video_id)
    except VidlangError as error:
        progress.message(f"failed: {error}")
        return Outcome(outcome.video_id, "failed", error=error)
    return replace(outcome, status="done")


def failures(outcomes: Iterable[Outcome]) -> list[dict[str, str]]:
    """Videos that failed, and why, for programs."""
    return [{"video": o.video_id, "reason": str(o.error)} for o in outcomes if o.status == "failed"]


def write_csv(path: Path, text: str) -> None:
    """In UTF-8; bytes of a file name that are not, as escapes."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))
