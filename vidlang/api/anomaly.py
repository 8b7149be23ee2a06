"""Anomaly scores: of videos, of features, of one video after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from numpy.typing import ArrayLike

from vidlang.api.common import (
    PathLike,
    Paths,
    ProgressLike,
    WorkspaceLike,
    name_of,
    path_of,
    paths_of,
    place_of,
    progress_of,
)
from vidlang.api.features import encoder_for, in_memory, rows_for
from vidlang.api.results import ScoreResult
from vidlang.core import Detections, FeatureRecipe, Features, Progress, Scores
from vidlang.core.features import Crops, Pick, Precision
from vidlang.core.words import words_of
from vidlang.store.feature_cache import FeatureCache
from vidlang.workflows.extract import ExtractOptions, find_inputs
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.score import ScoreOptions, find_events, make_scorer, scores_of
from vidlang.workflows.score import Scorer as LoadedScorer
from vidlang.workflows.score import score as run

Branch = Literal["c", "a", "fusion"]


def score(
    paths: Paths,
    *,
    checkpoint: PathLike | None = None,
    labels: str | Sequence[str] | None = None,
    branch: Branch | None = None,
    threshold: float | None = None,
    min_seconds: float = 0.0,
    motion_prior: float | None = None,
    motion_file: PathLike | None = None,
    manifest: PathLike | None = None,
    split: str | None = None,
    plot: bool = True,
    plot_to: PathLike | None = None,
    report: PathLike | None = None,
    embed: bool = False,
    overlay: PathLike | None = None,
    out: PathLike | None = None,
    cached: bool = False,
    crop: str = "0",
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    crops: Crops | None = None,
    precision: Precision | None = None,
    frame_rate: float | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> ScoreResult:
    """Anomaly scores, classes and events of videos, which are also written to a folder of results.

    Uses the newest checkpoint of ``train("vadclip")``; without one, or with ``labels``, it scores zero-shot from words.
    Features that are missing are extracted first. A video that fails is in ``.failed`` with its reason.

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: nothing can be scored at all.
    """
    place = place_of(workspace)
    options = ScoreOptions(
        checkpoint=name_of(checkpoint),
        labels=words_of(labels),
        branch=branch,
        threshold=threshold,
        min_seconds=min_seconds,
        crop=crop,
        plot=plot,
        plot_to=path_of(plot_to),
        report=path_of(report),
        embed=embed,
        overlay=path_of(overlay),
        device=device or place.settings.device,
        out=path_of(out),
        manifest=path_of(manifest),
        split=split,
        cached=cached,
        motion_prior=motion_prior,
        motion=path_of(motion_file),
    )
    changes = RecipeChanges(encoder=encoder, stride=stride, pick=pick, fps=fps, crops=crops, precision=precision)
    extraction = ExtractOptions(batch_size=batch_size, num_workers=workers, frame_rate=frame_rate)
    return ScoreResult(run(paths_of(paths), place, options, changes, extraction, progress_of(progress)))


@dataclass(frozen=True, eq=False)
class Scorer:
    """A checkpoint, or words, ready to score features in memory."""

    scorer: LoadedScorer = field(repr=False)
    cache: FeatureCache = field(repr=False)
    progress: Progress = field(repr=False)

    @property
    def recipe(self) -> FeatureRecipe:
        """Of the features that it reads."""
        return self.scorer.recipe

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.scorer.class_names

    @property
    def threshold(self) -> float:
        return self.scorer.threshold

    @property
    def made_by(self) -> dict[str, Any]:
        """Method, checkpoint or words, encoder, recipe, branch."""
        return self.scorer.made_by

    def score(self, features: Features | ArrayLike, seconds: ArrayLike | None = None) -> Scores:
        """Scores of one video.

        features: of ``extract`` or the cache, or rows [T, D], or [K, T, D] with K crops, whose scores are averaged
        seconds: [T, 2], where ``features`` are bare rows; without them each row lasts as the recipe says, or a second

        Raises:
            BadInput: features of another recipe than this scorer reads.
        """
        features = rows_for(self.recipe, features, seconds, any_sampling=self.made_by["method"] == "zero-shot")
        made_by = {**self.made_by, "recipe": features.key.recipe.to_dict()}
        return replace(scores_of(features, self.scorer), made_by=made_by)

    def events(self, scores: Scores, threshold: float | None = None, min_seconds: float = 0.0) -> Detections:
        """Runs of snippets at or above the threshold (None: that of the scorer), each with its likeliest class."""
        return Detections(find_events(scores, self.threshold if threshold is None else threshold, min_seconds))

    def stream(
        self, paths: Paths, *, frame_rate: float | None = None, batch_size: int = 32, skip_failed: bool = False
    ) -> Iterator[Scores]:
        """Scores of one video after the other; nothing is kept in memory or on the disk.

        skip_failed: go on after a video that does not read, which is then logged

        Raises:
            BadVideo: a video does not read.
        """
        videos = find_inputs(paths_of(paths), self.cache)
        options = ExtractOptions(batch_size=batch_size, frame_rate=frame_rate)
        load = self.scorer.load_encoder
        for features in in_memory(videos, self.recipe, load, options, self.progress, skip_failed=skip_failed):
            yield self.score(features)


def load_scorer(
    checkpoint: PathLike | None = None,
    *,
    labels: str | Sequence[str] | None = None,
    branch: Branch | None = None,
    threshold: float | None = None,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    crops: Crops | None = None,
    precision: Precision | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> Scorer:
    """What ``score`` scores with, loaded once.

    checkpoint: name or folder; None: the newest, or zero-shot from ``labels``

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: there is no such thing, or it does not fit.
    """
    place, told = place_of(workspace), progress_of(progress)
    options = ScoreOptions(
        checkpoint=name_of(checkpoint),
        labels=words_of(labels),
        branch=branch,
        threshold=threshold,
        device=device or place.settings.device,
    )
    changes = RecipeChanges(encoder=encoder, stride=stride, pick=pick, fps=fps, crops=crops, precision=precision)
    return Scorer(make_scorer(place, options, changes, told), FeatureCache(place.cache_dir), told)


def score_features(
    features: Features | ArrayLike,
    checkpoint: PathLike | Scorer | None = None,
    *,
    seconds: ArrayLike | None = None,
    labels: str | Sequence[str] | None = None,
    branch: Branch | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
) -> Scores:
    """Scores of features in memory: no video is opened and nothing is written.

    features, seconds: as ``Scorer.score`` takes them
    checkpoint: name or folder, or a scorer that is loaded already; None: the newest, or zero-shot from ``labels``

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: there is no such thing, or it does not fit.
    """
    if isinstance(checkpoint, Scorer):
        return checkpoint.score(features, seconds)
    encoder = encoder_for(labels, features)
    scorer = load_scorer(checkpoint, labels=labels, branch=branch, encoder=encoder, device=device, workspace=workspace)
    return scorer.score(features, seconds)
