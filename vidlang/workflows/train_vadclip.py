"""Labels and cached features to a trained VadCLIP checkpoint.

A run writes ``results/train/vadclip/<name>/`` (``runs`` describes it); the best epoch goes into the model registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vidlang.core import (
    BadInput,
    BadManifest,
    FeatureKey,
    FeatureRecipe,
    Features,
    Label,
    Progress,
    Scores,
)
from vidlang.core.digits import share
from vidlang.datasets.manifest import class_names as classes_of
from vidlang.datasets.manifest import split_by_video
from vidlang.methods.base import TextEncoder
from vidlang.methods.vadclip.config import PRESET_PROMPTS, VadClipConfig, preset
from vidlang.metrics.anomaly import measure
from vidlang.metrics.threshold import best_threshold
from vidlang.report.training_curves import Best, CurvePanel
from vidlang.store.checkpoints import Checkpoint, ModelRegistry
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Workspace
from vidlang.workflows.chosen import labels_to_learn
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, loadable_name, make_recipe, recipe_in_cache
from vidlang.workflows.runs import Again, RunFolder, choose_name, memory_for_rows, processes, runs_folder

if TYPE_CHECKING:
    from vidlang.methods.vadclip.data import TrainingSet
    from vidlang.methods.vadclip.model import VadClip
    from vidlang.methods.vadclip.predict import Predictor
    from vidlang.nn.distributed import Group

BRANCHES = ("c", "a", "fusion")
JUDGED_AT_ONCE = 64
"""Videos that are measured together."""


@dataclass(frozen=True)
class TrainOptions:
    """What to train on, and how to choose."""

    preset: str = "custom"
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``VadClipConfig`` that differ from the preset."""
    manifest: Path | None = None
    normal: str | None = None
    val_fraction: float = 0.2
    """Share of the training videos held out to choose the epoch, where the manifest has no split ``val``."""
    select_on: Literal["val", "test"] = "val"
    num_seeds: int = 1
    name: str | None = None
    resume: bool = False
    memory: int | None = None
    """Bytes of features in memory; where all are more, they are read as they are needed. None: a 16th of the machine's
    memory."""
    device: str = "auto"


@dataclass(frozen=True)
class TrainReport:
    """What was trained and what it reaches on the videos it was chosen by."""

    checkpoint: str
    folder: Path
    columns: tuple[str, ...]
    """One per seed, and mean and spread where there are several."""
    metrics: tuple[dict[str, float], ...]
    """One per seed."""
    measured_on: str
    summary: tuple[str, ...]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        return list(self.summary)

    def rows(self) -> list[list[object]]:
        """Metric, a value per seed, then mean and standard deviation of several."""
        rows: list[list[object]] = []
        for name in self.metrics[0]:
            values = [metrics.get(name, float("nan")) for metrics in self.metrics]
            spread = [float(np.mean(values)), float(np.std(values, ddof=1))] if len(values) > 1 else []
            rows.append([name, *values, *spread])
        return rows

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "vidlang.train/1",
            "checkpoint": self.checkpoint,
            "folder": str(self.folder),
            "measured_on": self.measured_on,
            "metrics": [dict(metrics) for metrics in self.metrics],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Decided:
    """Everything that is decided before the first step."""

    recipe: FeatureRecipe
    config: VadClipConfig
    class_names: tuple[str, ...]
    prompts: dict[str, str]
    train: tuple[Label, ...]
    validation: tuple[Label, ...]
    measured_on: str
    notes: tuple[str, ...]


def train_vadclip(
    workspace: Workspace,
    options: TrainOptions | None = None,
    recipe_changes: RecipeChanges | None = None,
    progress: Progress | None = None,
) -> TrainReport:
    """Train, keep log and state at every epoch, register the best epoch.

    Under ``torchrun`` the processes share every batch; the first writes, and all return its report.

    Raises:
        BadInput, BadManifest, MissingFeatures, UnknownName: nothing can be trained; the message says what to change.
    """
    options = options or TrainOptions()
    with processes(options.device, progress) as (group, device, progress):
        options = replace(options, device=device)
        return _train(workspace, options, recipe_changes or RecipeChanges(), progress, group)


def _train(
    workspace: Workspace, options: TrainOptions, changes: RecipeChanges, progress: Progress, group: Group
) -> TrainReport:
    cache = FeatureCache(workspace.cache_dir)
    recipe = recipe_in_cache(cache, make_recipe(workspace.settings, changes), changes != RecipeChanges(), progress)
    plan = decide(cache, recipe, options)
    encoder_name = loadable_name(workspace.settings, recipe, changes.encoder)
    encoder = encoder_loader(encoder_name, "float32", options.device, progress)()
    text, device = encoder.text, str(encoder.device)
    check_heads(plan.config, text.dim, encoder_name)
    name = group.from_first(lambda: choose_run(workspace, options))
    reports = []
    for index in range(options.num_seeds):
        config = replace(plan.config, seed=plan.config.seed + index)
        run_name = name if options.num_seeds == 1 else f"{name}-seed{config.seed}"
        run = _Run(workspace, replace(plan, config=config), run_name, encoder_name, options, cache, text, device, group)
        reports += run.train(progress)
    return group.from_first(lambda: _report(plan, options, encoder_name, reports))


def _report(plan: Decided, options: TrainOptions, encoder_name: str, reports: Sequence[_Trained]) -> TrainReport:
    """Of all seeds."""
    best = max(reports, key=lambda report: report.selected)
    if options.num_seeds > 1:  # the newest checkpoint is the default one, so the best is registered last
        best.register()
    columns = tuple(f"seed {plan.config.seed + index}" for index in range(options.num_seeds))
    return TrainReport(
        checkpoint=best.registered_as,
        folder=best.folder,
        columns=(*columns, "mean", "std") if len(reports) > 1 else columns,
        metrics=tuple(report.metrics for report in reports),
        measured_on=plan.measured_on,
        summary=(_summary(plan, encoder_name), *(report.line for report in reports)),
        notes=plan.notes,
    )


def decide(cache: FeatureCache, recipe: FeatureRecipe, options: TrainOptions) -> Decided:
    """Labels, classes, split and config."""
    known = sorted(entry.key.video_id for entry in cache.entries(recipe))
    notes: list[str] = []
    labels = labels_to_learn(options.manifest, known, notes)
    config = preset(options.preset, **options.changes)
    published = PRESET_PROMPTS.get(options.preset)
    if published is None:
        names = classes_of(labels, options.normal)
        prompts: dict[str, str] = {}
    else:
        names, prompts = tuple(published), dict(published)
    if len(names) < 2:
        raise BadManifest(
            f"All videos are labelled {names[0]!r}. Training needs normal videos and at least one abnormal class."
        )
    test = [label for label in labels if label.split == "test"]
    train = [label for label in labels if label.split not in ("val", "test")]
    validation = [label for label in labels if label.split == "val"]
    measured_on = "validation"
    if options.select_on == "test":
        if not test:
            raise BadInput("--select-on test needs videos of the split 'test' in the manifest.")
        validation, measured_on = test, "test, selected on it"
        notes.append(
            "the epoch is chosen on the test set: for reproducing published numbers, not for reporting new ones"
        )
    elif not validation and options.val_fraction > 0:
        train, validation = split_by_video(train, options.val_fraction, config.seed)
    if not train:
        raise BadInput("No video is left to train on: all are of the splits val and test.")
    if validation and len({names[0] in label.classes for label in validation}) < 2:
        notes.append("the validation videos are all normal or all abnormal, so the last epoch is kept")
        validation = []
    if not validation:
        measured_on = "training videos"
    return Decided(recipe, config, names, prompts, tuple(train), tuple(validation), measured_on, tuple(notes))


def check_heads(config: VadClipConfig, dim: int, encoder_name: str) -> None:
    """
    Raises:
        BadInput: the attention heads do not share the dimension of the features evenly.
    """
    if dim % config.attn_heads:
        raise BadInput(f"--attn-heads {config.attn_heads} does not divide {dim}, the dimension of {encoder_name}.")


def choose_run(workspace: Workspace, options: TrainOptions) -> str:
    """
    Raises:
        BadInput: the name is taken, there is nothing to resume, or several runs should be.
    """
    if options.resume and options.num_seeds > 1:
        raise BadInput("--resume goes on with one run; leave --seeds out and give its --name.")
    return choose_name(workspace, "vadclip", options.name, options.resume)


def _summary(plan: Decided, encoder_name: str) -> str:
    def counts(labels: Sequence[Label]) -> str:
        abnormal = sum(plan.class_names[0] not in label.classes for label in labels)
        return f"{len(labels)} videos ({len(labels) - abnormal} normal, {abnormal} abnormal)"

    validation = f", validated on {counts(plan.validation)}" if plan.validation else ""
    return (
        f"Trained on {counts(plan.train)}{validation}; classes {', '.join(plan.class_names)}; "
        f"features {plan.recipe.sampling.name} of {encoder_name}."
    )


@dataclass
class _Trained:
    """One finished run."""

    name: str
    folder: Path
    metrics: dict[str, float]
    selected: float
    line: str
    register: Callable[[], Path]
    registered_as: str


@dataclass
class _Run:
    """One seed of a training."""

    workspace: Workspace
    plan: Decided
    name: str
    encoder_name: str
    options: TrainOptions
    cache: FeatureCache
    text: TextEncoder
    device: str
    group: Group

    @property
    def folder(self) -> Path:
        return runs_folder(self.workspace, "vadclip") / self.name

    def train(self, progress: Progress) -> list[_Trained]:
        """The finished run, in the first process; nothing in the others."""
        from vidlang.methods.vadclip.predict import Predictor
        from vidlang.methods.vadclip.train import fit

        plan = self.plan
        videos, fits = self._videos()
        truth = list(plan.validation or plan.train)
        again = Again(lambda: (self._features(label).crop(0) for label in truth))
        judged = list(again) if fits else again
        run = RunFolder(self.folder, self._facts())
        # what cannot start leaves no run behind
        resume = self.group.from_first(lambda: run.open(resume=self.options.resume))

        def validate(model: VadClip) -> dict[str, float]:
            predictor = Predictor.from_model(model, plan.class_names, videos.prompts, self.text)
            return self._metrics(self._scores(predictor, judged), truth)

        result = fit(
            videos,
            plan.config,
            self.text,
            validate=validate if plan.validation else None,
            device=self.device,
            progress=progress,
            on_epoch=(lambda report: run.keep(report.train_state)) if self.group.rank == 0 else None,
            resume=resume,
        )
        if self.group.rank:
            return []
        predictor = Predictor(
            result.state, plan.config, plan.class_names, videos.prompts, self.text, device=self.device
        )
        scores = self._scores(predictor, judged)
        metrics = self._metrics(scores, truth)
        branch, thresholds = self._choose(metrics, scores, truth)
        best = self._checkpoint(result.state, videos.prompts, metrics, branch, thresholds, result.best_epoch)
        last = self._checkpoint(result.last_state, videos.prompts, {}, branch, thresholds, plan.config.epochs)
        selected_on = DRAWN_AS.get(plan.config.select_metric, plan.config.select_metric)
        chosen = Best(result.best_epoch, selected_on if plan.validation else None)
        run.keep_last(last, result.history, PANELS, chosen)
        registry = ModelRegistry(self.workspace.models_dir)

        def register() -> Path:
            return registry.register(best, name=self.name, replace=True)

        path = register()
        run.finish()
        selected = metrics.get(f"auc_{branch}", 0.0)
        line = (
            f"{self.name}: best epoch {result.best_epoch} of {plan.config.epochs}, seed {plan.config.seed}, "
            f"{branch}-branch, event threshold {share(thresholds[branch])}"
        )
        return [_Trained(self.name, self.folder, metrics, selected, line, register, str(path))]

    def _videos(self) -> tuple[TrainingSet, bool]:
        """What is learned from, and whether memory holds it: else it is read as it is needed."""
        from vidlang.methods.vadclip.data import StoredVideo, streamed_set, training_set

        plan, read = self.plan, lambda label: self._features(label).values
        shapes = [self.cache.entry(FeatureKey(label.video_id, plan.recipe)).shape for label in plan.train]
        width, longest = shapes[0][-1], plan.config.visual_length
        num_rows = sum((s[0] if len(s) == 3 else 1) * min(s[-2], longest) for s in shapes)
        most_rows = memory_for_rows(self.options.memory) // (4 * width)
        if num_rows <= most_rows:
            samples = ((label.video_id, read(label), label.classes) for label in plan.train)
            return training_set(samples, plan.class_names, plan.config, plan.prompts), True
        stored = [
            StoredVideo(label.video_id, shape, partial(read, label), label.classes)
            for label, shape in zip(plan.train, shapes, strict=True)
        ]
        return streamed_set(stored, plan.class_names, plan.config, max(1, most_rows), plan.prompts), False

    def _facts(self) -> dict[str, Any]:
        """What was asked for."""
        return {
            "preset": self.options.preset,
            "config": self.plan.config.to_dict(),
            "recipe": self.plan.recipe.to_dict(),
            "encoder": self.encoder_name,
            "class_names": list(self.plan.class_names),
            "train": [label.video_id for label in self.plan.train],
            "validation": [label.video_id for label in self.plan.validation],
        }

    def _features(self, label: Label) -> Features:
        return self.cache.get(FeatureKey(label.video_id, self.plan.recipe))

    def _scores(self, predictor: Predictor, judged: Iterable[Features]) -> list[Scores]:
        """Scores of the judged videos, every branch."""
        coming, scores = iter(judged), list[Scores]()
        while some := list(islice(coming, JUDGED_AT_ONCE)):
            scores += self._scores_of(predictor, some)
        return scores

    def _scores_of(self, predictor: Predictor, judged: Sequence[Features]) -> list[Scores]:
        names = self.plan.class_names
        predictions = predictor.predict_many([features.values for features in judged])
        return [
            Scores(
                video=features.video,
                frames=features.frames,
                seconds=features.seconds,
                anomaly=prediction.c_branch,
                classes=prediction.classes,
                class_names=names,
                made_by={"branch": "c"},
                branches={
                    "c": prediction.c_branch,
                    "a": prediction.a_branch,
                    "fusion": prediction.fusion,
                },
            )
            for features, prediction in zip(judged, predictions, strict=True)
        ]

    def _metrics(self, scores: Sequence[Scores], truth: Sequence[Label]) -> dict[str, float]:
        """``auc_*`` and ``ap_*`` per branch: over frames where times are known, else over videos.

        ``auc`` without a branch is the one that training selects on by default: the fusion's.
        """
        metrics: dict[str, float] = {}
        for branch in BRANCHES:
            found = measure(
                scores,
                truth,
                normal=self.plan.class_names[0],
                branch=branch,
                per_class=False,
                detection=(),
                allow_missing=True,
            ).metrics
            for name, source in (("auc", ("frame_auc", "video_auc")), ("ap", ("frame_ap",))):
                value = next((found[key] for key in source if key in found), None)
                if value is not None:
                    metrics[f"{name}_{branch}"] = value
            if "video_auc" in found:
                metrics[f"video_auc_{branch}"] = found["video_auc"]
        if "auc_fusion" in metrics:
            metrics["auc"] = metrics["auc_fusion"]
        return metrics

    def _choose(
        self, metrics: Mapping[str, float], scores: Sequence[Scores], truth: Sequence[Label]
    ) -> tuple[str, dict[str, float]]:
        """The branch to score with, and each branch's event threshold.

        The published presets name their branch (UCF-Crime: C, XD-Violence: A); elsewhere the best on validation, the
        fusion where it is not beaten.
        """
        if self.options.preset.startswith(("ucf", "xd")):
            branch = "c" if self.options.preset.startswith("ucf") else "a"
        else:
            branch = max(BRANCHES, key=lambda name: (metrics.get(f"auc_{name}", 0.0), name == "fusion"))
        normal = self.plan.class_names[0]
        return branch, {name: best_threshold(scores, truth, name, normal) for name in BRANCHES}

    def _checkpoint(
        self,
        state: Mapping[str, Any],
        prompts: Sequence[str],
        metrics: Mapping[str, float],
        branch: str,
        thresholds: Mapping[str, float],
        epoch: int,
    ) -> Checkpoint:
        return Checkpoint(
            method="vadclip",
            config=self.plan.config.to_dict(),
            recipe=self.plan.recipe,
            class_names=self.plan.class_names,
            state=dict(state),
            metrics=dict(metrics),
            extra={
                "name": self.name,
                "preset": self.options.preset,
                "encoder": self.encoder_name,
                "prompts": list(prompts),
                "branch": branch,
                "thresholds": dict(thresholds),
                "epoch": epoch,
                "measured_on": self.plan.measured_on,
                "num_train_videos": len(self.plan.train),
            },
        )


PANELS = (
    CurvePanel(
        "loss",
        {
            "total": "total",
            "bce": "binary (C-branch)",
            "alignment": "alignment (A-branch)",
            "contrastive": "class texts",
        },
    ),
    CurvePanel(
        "validation AUC [0, 1]",
        {"auc_c": "C-branch", "auc_a": "A-branch", "auc_fusion": "mean of both"},
    ),
    CurvePanel(
        "validation AP [0, 1]",
        {"ap_c": "C-branch", "ap_a": "A-branch", "ap_fusion": "mean of both"},
    ),
)
"""Lines of the log as the picture wants them."""
DRAWN_AS = {"auc": "auc_fusion", "ap": "ap_fusion"}
"""Metrics that are in the log under two names."""
