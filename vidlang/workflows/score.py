"""Videos to anomaly scores: recipe → cache (extract what is missing) → predict → scores, events, picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

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
    Segment,
    VidlangError,
)
from vidlang.core.segments import run_segment, runs
from vidlang.encoders.registry import find_encoder
from vidlang.report.timeline import timeline_png
from vidlang.store.atomic import write_bytes, write_text
from vidlang.store.checkpoints import Checkpoint, ModelRegistry
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.results import detections_csv, scores_csv, write_detections, write_scores
from vidlang.store.workspace import Workspace
from vidlang.video.reader import find_videos
from vidlang.workflows.extract import ExtractOptions, extract_videos
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe

if TYPE_CHECKING:
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
    crop: int = 0
    """Which of ten crops to score where the recipe has ten."""
    plot: bool = True
    device: str = "auto"
    out: Path | None = None
    """Folder for the results; None: a new one under the workspace's results."""

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise BadInput(f"--threshold must lie in [0, 1], got {self.threshold}.")
        if self.labels is not None and self.checkpoint is not None:
            raise BadInput("--labels asks for zero-shot scoring, --checkpoint for a trained head; give one of them.")
        if self.labels is not None and not self.labels:
            raise BadInput('--labels needs at least one label, for instance --labels "fighting,fire".')


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

    @property
    def num_failed(self) -> int:
        return sum(outcome.status == "failed" for outcome in self.outcomes)


@dataclass(frozen=True)
class _Scorer:
    """A way to turn features into a prediction, and all that must be said about it."""

    recipe: FeatureRecipe
    encoder_name: str
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
    videos = find_videos([Path(path) for path in paths])
    cache = FeatureCache(workspace.cache_dir)
    scorer = _make_scorer(workspace, options, recipe_changes or RecipeChanges(), progress)
    extracted = extract_videos(
        videos,
        cache,
        scorer.recipe,
        encoder_loader(scorer.encoder_name, scorer.recipe, options.device),
        extraction or ExtractOptions(),
        progress,
    )
    outcomes = {outcome.video_id: outcome for outcome in extracted.outcomes}
    folder = options.out or workspace.results_dir / "score" / datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S-%f")
    all_scores, all_events = [], []
    with progress.task("score", total=len(videos), unit="video") as task:
        for video_id, _ in videos:
            if outcomes[video_id].status != "failed":
                try:
                    features = cache.get(FeatureKey(video_id, scorer.recipe)).crop(options.crop)
                    scores = _scores_of(features, scorer)
                    all_scores.append(scores)
                    all_events.append(find_events(scores, scorer.threshold, options.min_seconds))
                    outcomes[video_id] = replace(outcomes[video_id], status="done")
                except VidlangError as error:
                    outcomes[video_id] = Outcome(video_id, "failed", error=error)
            task.advance()
    report = ScoreReport(
        scores=tuple(all_scores),
        events=tuple(all_events),
        outcomes=tuple(outcomes[video_id] for video_id, _ in videos),
        threshold=scorer.threshold,
        made_by=scorer.made_by,
        folder=folder,
    )
    if report.scores:
        _write(report, options.plot, progress)
    return report


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


def _scores_of(features: Features, scorer: _Scorer) -> Scores:
    prediction = scorer.predict(features)
    branches = {"c": prediction.c_branch, "a": prediction.a_branch}
    branches = {name: curve for name, curve in branches.items() if curve is not None}
    if len(branches) == 2:
        branches["fusion"] = ((branches["c"] + branches["a"]) / 2).astype(np.float32)
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


def _make_scorer(workspace: Workspace, options: ScoreOptions, changes: RecipeChanges, progress: Progress) -> _Scorer:
    registry = ModelRegistry(workspace.models_dir)
    if options.labels is None and (options.checkpoint is not None or registry.has("vadclip")):
        return _trained(registry.find("vadclip", options.checkpoint), options, changes)
    if options.labels is None:
        progress.message(
            "No trained checkpoint in this workspace (vidlang train vadclip makes one): scoring zero-shot, looking for "
            "the thirteen classes of UCF-Crime. Name your own with --labels."
        )
    return _zero_shot(workspace, options, changes)


def _trained(checkpoint: Checkpoint, options: ScoreOptions, changes: RecipeChanges) -> _Scorer:
    from vidlang.encoders.clip import load_encoder
    from vidlang.methods.vadclip.predict import Predictor

    if changes != RecipeChanges():
        raise BadInput(
            f"The checkpoint was trained on {checkpoint.recipe.name} and scores features of that recipe only; leave "
            "--encoder and the sampling options out, or train another one."
        )
    encoder_name = encoder_of(checkpoint)
    encoder = load_encoder(encoder_name, device=options.device)
    if encoder.revision != checkpoint.recipe.revision:
        raise BadCheckpoint(
            f"The checkpoint {checkpoint.extra.get('name', '')} was trained with {encoder_name} at revision "
            f"{checkpoint.recipe.revision}, but here it is {encoder.revision}. Train again: vidlang train vadclip"
        )
    predictor = Predictor.from_checkpoint(
        checkpoint.state,
        checkpoint.config,
        checkpoint.class_names,
        checkpoint.extra["prompts"],
        encoder.text,
        device=str(encoder.device),
    )
    branch: Branch = options.branch or checkpoint.extra.get("branch", "c")
    stored = checkpoint.extra.get("thresholds", {}).get(branch, 0.5)
    threshold = stored if options.threshold is None else options.threshold
    return _Scorer(
        recipe=checkpoint.recipe,
        encoder_name=encoder_name,
        predict=lambda features: predictor.predict(features.values),
        class_names=checkpoint.class_names,
        branch=branch,
        threshold=threshold,
        made_by={
            "method": "vadclip",
            "checkpoint": checkpoint.extra.get("name"),
            "encoder": checkpoint.recipe.encoder,
            "recipe": checkpoint.recipe.to_dict(),
            "branch": branch,
            "threshold": threshold,
            **_honesty(encoder_name),
        },
    )


def _zero_shot(workspace: Workspace, options: ScoreOptions, changes: RecipeChanges) -> _Scorer:
    from vidlang.encoders.clip import load_encoder
    from vidlang.methods.vadclip.predict import zero_shot, zero_shot_prompts

    if options.branch not in (None, "a"):
        raise BadInput("Zero-shot scoring compares with texts, which is the A-branch; leave --branch out.")
    recipe = make_recipe(workspace.settings, changes)
    encoder_name = changes.encoder or workspace.settings.encoder
    encoder = load_encoder(encoder_name, device=options.device)
    labels = options.labels or UCF_CRIME_PHRASES
    prompts = zero_shot_prompts(labels)
    text_features = [encoder.encode_texts(group).cpu().numpy() for group in prompts]
    threshold = 0.5 if options.threshold is None else options.threshold
    return _Scorer(
        recipe=recipe,
        encoder_name=encoder_name,
        predict=lambda features: zero_shot(features.values, text_features),
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
            **_honesty(encoder_name),
        },
    )


def encoder_of(checkpoint: Checkpoint) -> str:
    """The name or path that loads the encoder which a checkpoint was trained with."""
    return str(checkpoint.extra.get("encoder", checkpoint.recipe.encoder))


def _honesty(encoder_name: str) -> dict[str, str]:
    """What must be said with every result of a weak encoder."""
    spec = find_encoder(encoder_name)
    return {"note": f"made with the bundled encoder 'mini': {spec.note}"} if spec and spec.name == "mini" else {}


def _write(report: ScoreReport, plot: bool, progress: Progress) -> None:
    """scores.jsonl, scores.csv, events.jsonl, events.csv, and one picture per video."""
    report.folder.mkdir(parents=True, exist_ok=True)
    events = [event for group in report.events for event in group]
    write_scores(report.folder / "scores.jsonl", report.scores)
    write_text(report.folder / "scores.csv", scores_csv(report.scores))
    write_detections(report.folder / "events.jsonl", events)
    write_text(report.folder / "events.csv", detections_csv(events))
    if not plot:
        return
    with progress.task("draw", total=len(report.scores), unit="picture") as task:
        for scores, found in zip(report.scores, report.events, strict=True):
            picture = timeline_png(scores, events=found, threshold=report.threshold)
            write_bytes(picture_path(report.folder, scores.video.id), picture)
            task.advance()


def picture_path(folder: Path, video_id: str) -> Path:
    """Where the timeline of a video lies: ``fight/x.mp4`` → ``fight__x.mp4.png``."""
    return folder / (video_id.replace("/", "__") + ".png")


def truth_segments(label_segments: Sequence[Any]) -> list[Segment]:
    """Those true segments that are given in seconds."""
    return [item.segment for item in label_segments if item.segment is not None]
