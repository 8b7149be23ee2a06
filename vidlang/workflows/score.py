"""Videos to anomaly scores: recipe → cache (extract what is missing) → predict → scores, events, picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
)
from vidlang.core.digits import share
from vidlang.core.results import BRANCH_TITLES
from vidlang.core.segments import run_segment, runs
from vidlang.report.sparkline import sparkline
from vidlang.store.checkpoints import Checkpoint, ModelRegistry
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.results import EVENTS_FILE, SCORES_FILE, detections_csv, scores_csv, write_detections, write_scores
from vidlang.store.workspace import Workspace
from vidlang.workflows.asked_videos import AskedOptions, asked_features, each_video, failures, write_csv
from vidlang.workflows.chosen import encoder_of, honesty
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe
from vidlang.workflows.score_looks import show_scores
from vidlang.workflows.targets import results_folder

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
class ScoreOptions(AskedOptions):
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

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise BadInput(f"--threshold must lie in [0, 1], got {self.threshold}.")
        if self.labels is not None and self.checkpoint is not None:
            raise BadInput("--labels asks for zero-shot scoring, --checkpoint for a trained head; give one of them.")
        if self.crop != "mean" and self.crop not in tuple("0123456789"):
            raise BadInput(f"--crop takes 0 to 9, or mean, got {self.crop!r}.")
        if self.labels is not None and not self.labels:
            raise BadInput('--labels needs at least one label, for instance --labels "fighting,fire".')
        super().__post_init__()


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
    motion = prior.open(cache, files) if prior else None
    scorer = make_scorer(workspace, options, recipe_changes or RecipeChanges(), progress)
    if prior is not None:
        scorer = replace(scorer, made_by={**scorer.made_by, **prior.to_dict()})
    if options.crop not in ("0", "mean") and scorer.recipe.sampling.num_crops == 1:
        raise BadInput(f"--crop {options.crop} asks for one of ten crops; features of {scorer.recipe.name} have one.")
    found = asked_features(paths, cache, scorer.recipe, scorer.load_encoder, options, extraction, files, progress)
    all_scores: list[Scores] = []
    weights: dict[str, NDArray[np.float32]] = {}

    def score_one(video_id: str) -> None:
        features = cache.get(FeatureKey(video_id, scorer.recipe))
        scores = scores_of(features if options.crop == "mean" else features.crop(int(options.crop)), scorer)
        if motion is not None:
            weights[video_id] = motion.of(features)
            scores = _weighted(scores, weights[video_id])
        all_scores.append(scores)

    outcomes = each_video("score", found, score_one, progress)
    report = ScoreReport(
        scores=tuple(all_scores),
        events=tuple(find_events(scores, scorer.threshold, options.min_seconds) for scores in all_scores),
        outcomes=outcomes,
        threshold=scorer.threshold,
        made_by=scorer.made_by,
        folder=options.out or results_folder(workspace, "score"),
        files=files,
        motion=weights,
    )
    if not report.scores:
        return report
    _write(report)
    return show_scores(report, options, describe(report).partition("\n")[0], progress)


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
    write_scores(report.folder / SCORES_FILE, report.scores)
    write_csv(report.folder / "scores.csv", scores_csv(report.scores))
    write_detections(report.folder / EVENTS_FILE, events)
    write_csv(report.folder / "events.csv", detections_csv(events))


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
        "failed": failures(report.outcomes),
    }
