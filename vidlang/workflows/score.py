"""Videos to anomaly scores: recipe → cache (extract what is missing) → predict → scores, events, picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.core import (
    BadCheckpoint,
    BadInput,
    Detection,
    FeatureKey,
    FeatureRecipe,
    Features,
    Outcome,
    Progress,
    Scores,
    VidlangError,
)
from vidlang.core.digits import share
from vidlang.core.results import BRANCH_TITLES
from vidlang.core.segments import run_segment, runs
from vidlang.report.sparkline import sparkline
from vidlang.store.atomic import write_bytes
from vidlang.store.checkpoints import Checkpoint, ModelRegistry
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.results import detections_csv, scores_csv, write_detections, write_scores
from vidlang.store.workspace import Workspace
from vidlang.workflows.chosen import cached_outcomes, encoder_of, honesty, wanted_videos
from vidlang.workflows.diff import MotionPrior
from vidlang.workflows.extract import ExtractOptions, extract_videos, find_inputs
from vidlang.workflows.looks import Looks
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe
from vidlang.workflows.score_looks import show_scores

if TYPE_CHECKING:
    from torch import Tensor

    from vidlang.encoders.base import Encoder
    from vidlang.methods.vadclip.predict import Prediction

Branch = Literal["c", "a", "fusion"]

UCF_CRIME_PHRASES = (
    "abuse",
    "arrest",
    "arson",
    "assault",
    "burglary",
    "explosion",
    "fighting",
    "road accident",
    "robbery",
    "shooting",
    "shoplifting",
    "stealing",
    "vandalism",
)
"""What zero-shot scoring looks for when the user names nothing: the thirteen classes of UCF-Crime."""


@dataclass(frozen=True)
class ScoreOptions:
    """What to score with and how to read events out of the scores."""

    checkpoint: str | None = None
    """Name or folder of a checkpoint; None: the newest, or zero-shot where there is none."""
    labels: tuple[str, ...] | None = None
    """Zero-shot: what counts as anomalous, in words."""
    branch: Branch | None = None
    """C-branch (binary classifier), A-branch (similarity to class texts), or their mean; None: the checkpoint's own."""
    threshold: float | None = None
    """Score from which a snippet belongs to an event; None: the checkpoint's own, else 0.5."""
    min_seconds: float = 0.0
    """Shorter events are left out."""
    crop: str = "0"
    """Which of ten crops to score where the recipe has ten: ``0`` to ``9``, or ``mean`` of all."""
    plot: bool = True
    plot_to: Path | None = None
    """Where pictures go: a file (.png, .pdf, .svg) for one video, or a folder; None: among the results."""
    report: Path | None = None
    """An HTML page of all videos."""
    embed: bool = False
    """Videos lie in the page instead of being linked."""
    overlay: Path | None = None
    """Videos with their scores drawn in: a file for one video, or a folder."""
    device: str = "auto"
    out: Path | None = None
    """Folder for the results; None: a new one under the workspace's results."""
    manifest: Path | None = None
    """Score only videos that it lists."""
    split: str | None = None
    """Of the manifest, only this split."""
    cached: bool = False
    """The paths are ids, or patterns of ids, of videos in the cache; no video file is opened."""
    motion_prior: float | None = None
    """Grey levels of motion at which a score is halved: what stands still is rarely an anomaly. None: off."""
    motion: Path | None = None
    """Curves that ``vidlang diff`` wrote, in place of the videos themselves."""

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise BadInput(f"--threshold must lie in [0, 1], got {self.threshold}.")
        if self.labels is not None and self.checkpoint is not None:
            raise BadInput("--labels asks for zero-shot scoring, --checkpoint for a trained head; give one of them.")
        if self.crop != "mean" and self.crop not in tuple("0123456789"):
            raise BadInput(f"--crop takes 0 to 9, or mean, got {self.crop!r}.")
        if self.split is not None and self.manifest is None:
            raise BadInput("--split names a part of a manifest; give one with --manifest.")
        if self.labels is not None and not self.labels:
            raise BadInput('--labels needs at least one label, for instance --labels "fighting,fire".')
        self.prior()
        self.looks()

    def looks(self) -> Looks:
        """What people look at beside the files."""
        return Looks(self.plot, self.plot_to, self.report, self.embed, self.overlay, self.cached)

    def prior(self) -> MotionPrior | None:
        """Motion as a prior, where it is asked for."""
        return MotionPrior.of(self.motion_prior, self.motion, self.cached)


@dataclass(frozen=True)
class ScoreReport:
    """Scores and events of every video, and where they were written."""

    scores: tuple[Scores, ...]
    events: tuple[tuple[Detection, ...], ...]
    """One tuple per entry of ``scores``."""
    outcomes: tuple[Outcome, ...]
    """One per video asked for; failed ones have no scores."""
    threshold: float
    made_by: dict[str, Any]
    folder: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    """Videos by id, where they were opened."""
    motion: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """[T] in [0, 1] by id: what scores were multiplied by, where motion is a prior."""

    @property
    def num_failed(self) -> int:
        return sum(outcome.status == "failed" for outcome in self.outcomes)


@dataclass(frozen=True)
class Scorer:
    """A way to turn features into a prediction, and all that must be said about it."""

    recipe: FeatureRecipe
    load_encoder: Callable[[], Encoder]
    predict: Callable[[Features], Prediction]
    class_names: tuple[str, ...]
    branch: Branch
    threshold: float
    made_by: dict[str, Any]


def score(
    paths: Sequence[str | Path],
    workspace: Workspace,
    options: ScoreOptions | None = None,
    recipe_changes: RecipeChanges | None = None,
    extraction: ExtractOptions | None = None,
    progress: Progress | None = None,
) -> ScoreReport:
    """Score every video under ``paths`` and write scores, events and one timeline per video.

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: nothing can be scored at all. A video that fails is
        an outcome, not an exception.
    """
    options, progress = options or ScoreOptions(), progress or Progress()
    cache = FeatureCache(workspace.cache_dir)
    extraction = extraction or ExtractOptions()
    files: dict[str, Path] = {}
    prior = options.prior()
    motion = prior.open(cache, files, extraction.frame_rate) if prior else None
    scorer = make_scorer(workspace, options, recipe_changes or RecipeChanges(), progress)
    if prior is not None:
        scorer = replace(scorer, made_by={**scorer.made_by, **prior.to_dict()})
    if options.crop not in ("0", "mean") and scorer.recipe.sampling.num_crops == 1:
        raise BadInput(f"--crop {options.crop} asks for one of ten crops; features of {scorer.recipe.name} have one.")
    only = wanted_videos(options.manifest, options.split)
    if options.cached:
        outcomes = cached_outcomes(cache, scorer.recipe, [str(path) for path in paths], only)
    else:
        files.update(find_inputs(paths, cache))
        asked = set(files) if only is None else only(list(files))
        options.looks().check({video_id: path for video_id, path in files.items() if video_id in asked})
        extracted = extract_videos(
            list(files.items()),
            cache,
            scorer.recipe,
            scorer.load_encoder,
            extraction,
            progress,
            only=only,
        )
        outcomes = list(extracted.outcomes)
    folder = options.out or workspace.results_dir / "score" / datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S-%f")
    all_scores, all_events = [], []
    weights: dict[str, NDArray[np.float32]] = {}
    with progress.task("score", total=len(outcomes), unit="video") as task:
        for index, outcome in enumerate(outcomes):
            if outcome.status != "failed":
                try:
                    features = cache.get(FeatureKey(outcome.video_id, scorer.recipe))
                    scores = scores_of(features if options.crop == "mean" else features.crop(int(options.crop)), scorer)
                    if motion is not None:
                        weights[outcome.video_id] = motion.of(features)
                        scores = _weighted(scores, weights[outcome.video_id])
                    all_scores.append(scores)
                    all_events.append(find_events(scores, scorer.threshold, options.min_seconds))
                    outcomes[index] = replace(outcome, status="done")
                except VidlangError as error:
                    outcomes[index] = Outcome(outcome.video_id, "failed", error=error)
                    progress.message(f"failed: {error}")
            task.advance()
    report = ScoreReport(
        scores=tuple(all_scores),
        events=tuple(all_events),
        outcomes=tuple(outcomes),
        threshold=scorer.threshold,
        made_by=scorer.made_by,
        folder=folder,
        files=files,
        motion=weights,
    )
    if not report.scores:
        return report
    _write(report)
    return show_scores(report, options, describe(report).partition("\n")[0], extraction.frame_rate, progress)


def find_events(scores: Scores, threshold: float, min_seconds: float = 0.0) -> tuple[Detection, ...]:
    """Runs of rows at or above the threshold, each with its likeliest abnormal class and its peak score.

    The class is the abnormal one with the highest mean probability over the run.
    """
    events = []
    for first, last in runs(scores.anomaly >= threshold):
        segment = run_segment(scores.seconds, (first, last))
        if segment.duration >= min_seconds:
            peak = float(scores.anomaly[first:last].max())
            events.append(Detection(scores.video.id, segment, _class_of(scores, first, last), peak))
    return tuple(events)


def _class_of(scores: Scores, first: int, last: int) -> str:
    if scores.classes is None or len(scores.class_names) < 2:
        return "anomaly"
    return scores.class_names[1 + int(scores.classes[first:last, 1:].mean(axis=0).argmax())]


def scores_of(features: Features, scorer: Scorer) -> Scores:
    """Scores of one video: the scorer's branch as the anomaly curve, the others beside it."""
    prediction = scorer.predict(features)
    branches = {"a": prediction.a_branch}
    if scorer.made_by["method"] == "vadclip":
        branches = {"c": prediction.c_branch, **branches, "fusion": prediction.fusion}
    return Scores(
        video=features.video,
        frames=features.frames,
        seconds=features.seconds,
        anomaly=branches[scorer.branch],
        classes=prediction.classes,
        class_names=scorer.class_names,
        made_by=scorer.made_by,
        branches=branches,
    )


def _weighted(scores: Scores, factors: NDArray[np.float32]) -> Scores:
    """Every anomaly curve times the factors [T]; class probabilities stay."""
    branches = {name: (curve * factors).astype(np.float32) for name, curve in scores.branches.items()}
    return replace(scores, anomaly=(scores.anomaly * factors).astype(np.float32), branches=branches)


def make_scorer(workspace: Workspace, options: ScoreOptions, changes: RecipeChanges, progress: Progress) -> Scorer:
    """What ``options`` ask for: a trained head, or words.

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: there is no such thing, or it does not fit.
    """
    registry = ModelRegistry(workspace.models_dir)
    if options.labels is None and (options.checkpoint is not None or registry.has("vadclip")):
        return _trained(registry.find("vadclip", options.checkpoint), options, changes, progress)
    if options.labels is None:
        progress.message(
            "No trained checkpoint in this workspace (vidlang train vadclip makes one): scoring zero-shot, looking for "
            "the thirteen classes of UCF-Crime. Name your own with --labels."
        )
    return _zero_shot(workspace, options, changes, progress)


def _trained(checkpoint: Checkpoint, options: ScoreOptions, changes: RecipeChanges, progress: Progress) -> Scorer:
    from vidlang.methods.vadclip.config import VadClipConfig
    from vidlang.methods.vadclip.predict import Predictor

    if changes != RecipeChanges():
        raise BadInput(
            f"The checkpoint was trained on {checkpoint.recipe.name} and scores features of that recipe only; leave "
            "--encoder and the sampling options out, or train another one."
        )
    encoder_name = encoder_of(checkpoint)
    load = encoder_loader(encoder_name, checkpoint.recipe.precision, options.device, progress)
    encoder = load()
    recipe, notes = checkpoint.recipe, []
    if recipe.revision.startswith("imported"):
        if not options.cached:
            recipe = replace(recipe, revision=encoder.revision, dtype="float32")
            notes = [f"trained on imported features; this video's are {recipe.sampling.name} of {encoder_name}"]
    elif encoder.revision != recipe.revision:
        raise BadCheckpoint(
            f"The checkpoint {checkpoint.extra.get('name', '')} was trained with {encoder_name} at revision "
            f"{checkpoint.recipe.revision}, but here it is {encoder.revision}. Train again: vidlang train vadclip"
        )
    predictor = Predictor(
        checkpoint.state,
        VadClipConfig.from_dict(dict(checkpoint.config)),
        checkpoint.class_names,
        checkpoint.extra["prompts"],
        encoder.text,
        device=encoder.device,
    )
    branch: Branch = options.branch or checkpoint.extra.get("branch", "c")
    stored = checkpoint.extra.get("thresholds", {}).get(branch, 0.5)
    threshold = stored if options.threshold is None else options.threshold
    return Scorer(
        recipe=recipe,
        load_encoder=load,
        predict=lambda features: predictor.predict(features.values),
        class_names=checkpoint.class_names,
        branch=branch,
        threshold=threshold,
        made_by={
            "method": "vadclip",
            "checkpoint": checkpoint.extra.get("name"),
            "encoder": recipe.encoder,
            "recipe": recipe.to_dict(),
            "branch": branch,
            "threshold": threshold,
            **honesty(encoder_name, *notes),
        },
    )


def _zero_shot(workspace: Workspace, options: ScoreOptions, changes: RecipeChanges, progress: Progress) -> Scorer:
    from vidlang.methods.vadclip.predict import zero_shot

    if options.branch not in (None, "a"):
        raise BadInput("Zero-shot scoring compares with texts, which is the A-branch; leave --branch out.")
    recipe = make_recipe(workspace.settings, changes)
    encoder_name = changes.encoder or workspace.settings.encoder
    load = encoder_loader(encoder_name, recipe.precision, options.device, progress)
    labels = options.labels or UCF_CRIME_PHRASES
    text_features = _class_texts(load(), labels)
    threshold = 0.5 if options.threshold is None else options.threshold
    return Scorer(
        recipe=recipe,
        load_encoder=load,
        predict=lambda features: zero_shot(features.values, text_features, scale=load().logit_scale, balanced=True),
        class_names=("normal", *labels),
        branch="a",
        threshold=threshold,
        made_by={
            "method": "zero-shot",
            "labels": list(labels),
            "encoder": recipe.encoder,
            "recipe": recipe.to_dict(),
            "branch": "a",
            "threshold": threshold,
            **honesty(encoder_name),
        },
    )


NORMAL_PHRASES = (
    "normal",
    "a normal everyday scene",
    "people walking",
    "people standing and talking",
    "an empty street",
    "cars driving on a road",
    "nothing happening",
)
"""What zero-shot scoring takes for normal; their mean is one class, so that no single wording decides."""


def _class_texts(encoder: Encoder, labels: Sequence[str]) -> Tensor:
    """[C, D], class 0 normal: the mean over templates, and over phrases for the normal class."""
    import torch

    from vidlang.methods.vadclip.predict import ZERO_SHOT_TEMPLATES, ensemble

    def encode(phrases: Sequence[str]) -> Tensor:
        texts = [template.format(phrase) for phrase in phrases for template in ZERO_SHOT_TEMPLATES]
        return ensemble(encoder.encode_texts(texts).reshape(len(phrases), len(ZERO_SHOT_TEMPLATES), -1))  # [P, D]

    return torch.cat([ensemble(encode(NORMAL_PHRASES)[None]), encode(labels)])


def _write(report: ScoreReport) -> None:
    """scores.jsonl, scores.csv, events.jsonl, events.csv."""
    report.folder.mkdir(parents=True, exist_ok=True)
    events = [event for group in report.events for event in group]
    write_scores(report.folder / "scores.jsonl", report.scores)
    _write_csv(report.folder / "scores.csv", scores_csv(report.scores))
    write_detections(report.folder / "events.jsonl", events)
    _write_csv(report.folder / "events.csv", detections_csv(events))


def _write_csv(path: Path, text: str) -> None:
    """In UTF-8; bytes of a file name that are not, as escapes."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def describe(report: ScoreReport) -> str:
    """What the numbers are, in a line or two."""
    made_by = report.made_by
    how = (
        f"checkpoint {made_by['checkpoint']}"
        if made_by["method"] == "vadclip"
        else f"zero-shot, looking for {', '.join(made_by['labels'])}"
    )
    how += f"; motion prior {made_by['motion_prior']:g}" if "motion_prior" in made_by else ""
    branch = BRANCH_TITLES[made_by["branch"]]
    line = f"{how}; {branch}; events from {share(report.threshold)}; encoder {made_by['encoder']}"
    return f"{line}\nNote: {made_by['note']}" if made_by.get("note") else line


def terminal_sparkline(anomaly: np.ndarray, width: int = 64) -> str:
    """The curve as one line of characters, from 0 to 1."""
    return sparkline(anomaly, width)


def score_report_dict(report: ScoreReport) -> dict[str, Any]:
    """The report for programs; the rows are in ``scores.jsonl``."""
    return {
        "schema": "vidlang.score/1",
        "made_by": report.made_by,
        "threshold": report.threshold,
        "folder": str(report.folder),
        "videos": [
            {
                "video": scores.video.id,
                "duration": scores.video.duration,
                "peak": float(scores.anomaly.max()),
                "seconds": scores.seconds.tolist(),
                "anomaly": [round(float(value), 6) for value in scores.anomaly],
                "events": [
                    {"start": e.segment.start, "end": e.segment.end, "label": e.label, "score": e.score} for e in events
                ],
            }
            for scores, events in zip(report.scores, report.events, strict=True)
        ],
        "failed": [
            {"video": outcome.video_id, "reason": str(outcome.error)}
            for outcome in report.outcomes
            if outcome.status == "failed"
        ],
    }
