"""Video-level labels and cached features to a trained WTAL checkpoint.

Times of actions are read for measuring alone: on validation videos to choose the phase, on test videos at the end, and
on training videos to log how good the pseudo-labels are, which nothing depends on.

A run writes ``results/train/wtal/<name>/`` (``runs`` describes it).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidlang.core import (
    BadInput,
    BadManifest,
    Detection,
    FeatureKey,
    FeatureRecipe,
    Features,
    Label,
    MissingFeatures,
    Progress,
)
from vidlang.datasets.manifest import split_by_video
from vidlang.methods.wtal.config import WtalConfig, preset
from vidlang.methods.wtal.proposals import ProposalOptions, proposal_options
from vidlang.metrics.localization import FrameIou, Undecided, evaluate, frame_iou, mean_frame_iou, true_rows
from vidlang.report.training_curves import Best, CurvePanel
from vidlang.store.atomic import write_text
from vidlang.store.checkpoints import Checkpoint, ModelRegistry, save_checkpoint
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Workspace
from vidlang.workflows.chosen import labels_to_learn
from vidlang.workflows.localize import SecondFeatures, curves_of, detections_of
from vidlang.workflows.recipe import (
    RecipeChanges,
    check_has_text,
    encoder_loader,
    loadable_name,
    make_recipe,
    recipe_in_cache,
)
from vidlang.workflows.runs import RunFolder, choose_name, processes, runs_folder

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder
    from vidlang.methods.wtal.predict import Predictor, ZeroShotPredictor
    from vidlang.methods.wtal.train import WtalEpochReport, WtalResult
    from vidlang.nn.distributed import Group
    from vidlang.nn.fit import TrainState

ABLATIONS: dict[str, dict[str, Any]] = {
    "CBP only": {"rounds": 0},
    "B only": {"steps": "B"},
    "F only": {"steps": "F"},
    "B+F": {"steps": "BF"},
    "B+F, no L_kd": {"no_kd": True},
    "B+F, hard": {"kd_frames": "all"},
    "B+F, no L_fb": {"no_fb": True},
    "B+F, no gap": {"delta_high": 0.3, "delta_low": 0.3},
}
"""The paper's ablations, as changes of the config. ``hard`` labels decide every snippet, sure or not; ``no gap`` has
one threshold for foreground and background, in the middle of the two."""
FULL = "B+F"
"""The variant that is registered."""
UNDECIDED: tuple[Undecided, ...] = ("drop", "wrong")
TABLE = (0.1, 0.3, 0.5, 0.7)
"""tIoU of the columns that people see; the average is over .1 to .7."""


@dataclass(frozen=True)
class TrainWtalOptions:
    """What to train on, and how to choose."""

    preset: str = "robust"
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``WtalConfig`` that differ from the preset."""
    manifest: Path | None = None
    normal: str | None = None
    """Name of the class that stands for no action; default the class called "normal", where there is one."""
    second: str | None = None
    """Encoder of the second features in the cache, such as ``i3d``; needed where CBP reads them."""
    val_fraction: float = 0.0
    """Share of the training videos with times that choose the phase, where the manifest has no split ``val``."""
    proposals: str = "robust"
    weight: float = 0.5
    ablation: bool = False
    """Train every variant of the paper's ablation and compare them; the full method is registered."""
    name: str | None = None
    resume: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.ablation and self.resume:
            raise BadInput("--ablation trains several variants from the start; leave --resume out.")


@dataclass(frozen=True)
class TrainWtalReport:
    """What was trained, and what it reaches on videos with known times."""

    checkpoint: str
    folder: Path
    measured_on: str
    columns: tuple[str, ...]
    table: tuple[tuple[object, ...], ...]
    """Variant and branch, mAP at tIoU, average, frame IoU."""
    summary: tuple[str, ...]
    notes: tuple[str, ...]
    pseudo_labels: tuple[Mapping[str, object], ...] = ()
    """Per phase and branch, how well what it was sure of agrees with the times, where training videos have any."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "vidlang.train_wtal/1",
            "checkpoint": self.checkpoint,
            "folder": str(self.folder),
            "measured_on": self.measured_on,
            "table": [dict(zip(self.columns, row, strict=True)) for row in self.table],
            "pseudo_labels": [dict(row) for row in self.pseudo_labels],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Decided:
    """Everything that is decided before the first step."""

    recipe: FeatureRecipe
    second: FeatureRecipe | None
    config: WtalConfig
    class_names: tuple[str, ...]
    train: tuple[Label, ...]
    validation: tuple[Label, ...]
    test: tuple[Label, ...]
    normal: str | None
    notes: tuple[str, ...]


def train_wtal(
    workspace: Workspace,
    options: TrainWtalOptions | None = None,
    changes: RecipeChanges | None = None,
    progress: Progress | None = None,
) -> TrainWtalReport:
    """Train, keep log and state at every epoch, register the best phase.

    Under ``torchrun`` the processes share every batch; the first writes, and all return its report.

    Raises:
        BadInput, BadManifest, MissingFeatures, UnknownName: nothing can be trained; the message says what to change.
    """
    options = options or TrainWtalOptions()
    with processes(options.device, progress) as (group, device, progress):
        options = replace(options, device=device)
        return _train(workspace, options, changes or RecipeChanges(), progress, group)


def _train(
    workspace: Workspace, options: TrainWtalOptions, changes: RecipeChanges, progress: Progress, group: Group
) -> TrainWtalReport:
    cache = FeatureCache(workspace.cache_dir)
    recipe = recipe_of_run(workspace, cache, options, changes, progress)
    check_has_text(recipe, "vidlang train wtal")
    plan = decide(cache, recipe, options)
    encoder_name = loadable_name(workspace.settings, recipe, changes.encoder)
    encoder = encoder_loader(encoder_name, "float32", options.device, progress, recipe.features)()
    name = group.from_first(lambda: choose_name(workspace, "wtal", options.name, options.resume))
    ids = [label.video_id for label in (*plan.train, *plan.validation, *plan.test)]
    second = SecondFeatures.beside(ids, cache, plan.second) if plan.second else None
    run = _Run(workspace, cache, plan, options, encoder, encoder_name, name, second, group)
    if not options.ablation:
        return run.train(progress)
    parts = []
    for number, (title, variant) in enumerate(ABLATIONS.items()):
        config = preset(options.preset, **{**options.changes, **variant})
        wanted = None if title == FULL else f"{name}-{number}"
        own = name if wanted is None else group.from_first(partial(choose_name, workspace, "wtal", wanted, False))
        parts.append(replace(run, plan=replace(plan, config=config), name=own, title=title))
    reports = {}
    for number, part in enumerate(parts):
        progress.message(f"Ablation {number + 1} of {len(parts)}: {part.title}")
        reports[part.title] = part.train(progress)
        for other in parts[number + 1 :]:  # variants differ in what comes after the warm-up
            other.warm = part.warm
    full = reports[FULL]
    zero = [row for row in full.table if str(row[0]).startswith("zero-shot")]
    rows = [row for title in ABLATIONS for row in reports[title].table if not str(row[0]).startswith("zero-shot")]
    of_warm_up = reports[next(iter(ABLATIONS))].pseudo_labels
    return replace(full, table=tuple([*zero, *rows]), pseudo_labels=(*of_warm_up, *full.pseudo_labels))


def recipe_of_run(
    workspace: Workspace, cache: FeatureCache, options: TrainWtalOptions, changes: RecipeChanges, progress: Progress
) -> FeatureRecipe:
    """Which of the cached rows are learned from.

    Raises:
        MissingFeatures: there are none, or several kinds and none is named.
    """
    second_rows = [recipe for recipe in cache.recipes() if options.second and recipe.encoder == options.second]
    wanted = make_recipe(workspace.settings, changes)
    return recipe_in_cache(cache, wanted, changes != RecipeChanges(), progress, second_rows)


def decide(cache: FeatureCache, recipe: FeatureRecipe, options: TrainWtalOptions) -> Decided:
    """Labels, classes, split and config."""
    known = sorted(key.video_id for key in cache.keys(recipe))
    notes: list[str] = []
    labels = labels_to_learn(options.manifest, known, notes)
    found = {name for label in labels for name in label.classes}
    normal = options.normal or next((name for name in sorted(found) if name.casefold() == "normal"), None)
    if options.normal is not None and normal not in found:
        raise BadManifest(f"No video is labelled {normal!r}. Classes: {', '.join(sorted(found))}.")
    names = tuple(sorted(found - {normal}, key=str.casefold))
    if not names:
        raise BadManifest("There is no class of action: every video is labelled as normal.")
    test = _in_seconds([label for label in labels if label.split == "test"], notes)
    validation = _in_seconds([label for label in labels if label.split == "val"], notes)
    train = [label for label in labels if label.split not in ("val", "test")]
    if not validation and options.val_fraction > 0:
        train, validation = split_by_video(train, options.val_fraction, int(options.changes.get("seed", 0)))
        validation = _in_seconds(validation, notes)
    if validation and not any(label.segments for label in validation):
        notes.append("the validation videos have no times, so the last good phase is kept")
        validation = []
    if not train:
        raise BadInput("No video is left to train on: all are of the splits val and test.")
    config = preset(options.preset, **options.changes)
    second = None
    if config.reads_second:
        second = _second_recipe(cache, options.second)
    elif options.second is not None:
        raise BadInput("--second names features that CBP does not read; add --cbp-inputs second or both.")
    return Decided(recipe, second, config, names, tuple(train), tuple(validation), tuple(test), normal, tuple(notes))


def _in_seconds(labels: list[Label], notes: list[str]) -> list[Label]:
    """Labels to measure on; without any times where some are in frames, which do not compare with seconds."""
    counted = [label for label in labels if any(event.segment is None for event in label.segments)]
    if not counted:
        return labels
    notes.append(
        f"times of {counted[0].video_id} are in frames, so nothing is measured on the {len(labels)} videos held out "
        "with it: give start and end in seconds"
    )
    return [replace(label, segments=(), timed=False) for label in labels]


def _second_recipe(cache: FeatureCache, name: str | None) -> FeatureRecipe:
    if name is None:
        raise BadInput("CBP reads a second encoder's features; say which: --second i3d (or another in the cache).")
    recipes = [recipe for recipe in cache.recipes() if recipe.encoder == name]
    if len(recipes) != 1:
        known = ", ".join(sorted({recipe.encoder for recipe in cache.recipes()}))
        what = "no features" if not recipes else "several kinds of features"
        raise MissingFeatures(f"The cache has {what} of {name!r}. It has: {known}.")
    return recipes[0]


@dataclass
class _Run:
    """One training."""

    workspace: Workspace
    cache: FeatureCache
    plan: Decided
    options: TrainWtalOptions
    encoder: Encoder
    encoder_name: str
    name: str
    second: SecondFeatures | None
    group: Group
    title: str = ""
    """Variant of an ablation."""
    warm: TrainState | None = None
    """The end of a warm-up that another variant made."""

    def train(self, progress: Progress) -> TrainWtalReport:
        from vidlang.methods.wtal.data import LabelledVideo, training_set
        from vidlang.methods.wtal.train import fit

        plan = self.plan
        videos = training_set(
            (
                LabelledVideo(
                    label.video_id,
                    features.values,
                    features.seconds,
                    tuple(name for name in label.classes if name != plan.normal),
                    self._second(label),
                )
                for label in plan.train
                for features in (self._features(label),)
            ),
            plan.class_names,
            plan.config,
        )
        run = RunFolder(runs_folder(self.workspace, "wtal") / self.name, self._facts())
        resume = self.group.from_first(lambda: run.open(resume=self.options.resume))
        quality = PseudoLabelLog(run.path / "pseudo_labels.jsonl", resume.epoch if resume else 0)

        def on_epoch(report: WtalEpochReport) -> None:
            if self.group.rank == 0:
                quality.add(report, self._agreement(report.pseudo_labels))  # first: what is kept has its line
                run.keep(report.train_state)
            if report.step == "warm-up" and report.ends_phase:
                self.warm = report.train_state

        result = fit(
            videos,
            plan.config,
            self.encoder.text,
            clip_scale=self.encoder.logit_scale,
            validate=(lambda model: {"map": self._measure(model, "cbp", plan.validation)[0][-1]})
            if plan.validation
            else None,
            device=str(self.encoder.device),
            progress=progress,
            on_epoch=on_epoch,
            resume=resume,
            warm=self.warm,
        )
        return self.group.from_first(lambda: self._report(run, result, videos.prompts, quality, progress))

    def _report(
        self, run: RunFolder, result: WtalResult, prompts: Sequence[str], quality: PseudoLabelLog, progress: Progress
    ) -> TrainWtalReport:
        """Measures and registers what was trained."""
        from vidlang.methods.wtal.predict import Predictor

        plan = self.plan
        trained = Predictor.from_state(
            result.state, plan.config, plan.class_names, prompts, self.encoder.text, self.encoder.device
        )
        judged = [label for label in plan.test or plan.validation if label.segments or label.classes]
        table = self._table(trained, judged, progress) if any(label.segments for label in judged) else ()
        best = self._checkpoint(result, result.state, prompts, table)
        chosen = Best(result.best_epoch, plan.config.select_metric if plan.validation else None)
        run.keep_last(self._checkpoint(result, result.last_state, prompts, ()), result.history, PANELS, chosen)
        if self.title in ("", FULL):
            path = ModelRegistry(self.workspace.models_dir).register(best, name=self.name, replace=True)
        else:
            path = save_checkpoint(run.path / "best", best)
        run.finish()
        return TrainWtalReport(
            checkpoint=str(path),
            folder=run.path,
            measured_on="test" if plan.test else "validation",
            columns=("what", *(f"mAP@{threshold}" for threshold in TABLE), "average .1-.7", "fg IoU", "bg IoU"),
            table=table,
            summary=self._summary(result),
            notes=(*plan.notes, *dict.fromkeys(result.notes)),
            pseudo_labels=tuple(quality.rows),
        )

    def _agreement(self, pseudo_labels: Mapping[str, Sequence[np.ndarray]]) -> dict[str, dict[str, FrameIou]]:
        """Branch → treatment of undecided rows → IoU with the times of the training videos that have them all."""
        timed = _in_seconds(list(self.plan.train), [])
        truths = {
            index: true_rows(label, self._features(label).seconds, self.plan.class_names)
            for index, label in enumerate(timed if pseudo_labels else ())
            if label.segments
        }
        return {
            branch: {
                undecided: mean_frame_iou(frame_iou(H[index], truth, undecided) for index, truth in truths.items())
                for undecided in UNDECIDED
            }
            for branch, H in pseudo_labels.items()
            if truths
        }

    def _features(self, label: Label) -> Features:
        return self.cache.get(FeatureKey(label.video_id, self.plan.recipe)).crop(0)

    def _second(self, label: Label) -> tuple[np.ndarray, np.ndarray] | None:
        if self.second is None:
            return None
        other = self.second.get(label.video_id)
        return other.values, other.seconds

    def _table(self, trained: Predictor, judged: Sequence[Label], progress: Progress) -> tuple[tuple[object, ...], ...]:
        """Zero-shot, then each branch of the trained model and both together."""
        from vidlang.methods.wtal.predict import ZeroShotPredictor

        zero = ZeroShotPredictor(
            self.plan.config, self.plan.class_names, self.encoder.text, clip_scale=self.encoder.logit_scale
        )
        rows: list[tuple[object, ...]] = []
        asked = [("zero-shot VLP", zero, "vlp")]
        prefix = f"{self.title}: " if self.title else ""
        asked += [(f"{prefix}{branch}", trained, branch) for branch in ("cbp", "vlp", "average")]  # type: ignore[misc]
        with progress.task("measure", total=len(asked), unit="branch") as task:
            for title, predictor, branch in asked:
                values, iou = self._measure(predictor, branch, judged)
                rows.append((title, *values, iou.foreground, iou.background))
                task.advance()
        return tuple(rows)

    def _measure(
        self, predictor: Predictor | ZeroShotPredictor, branch: str, judged: Sequence[Label]
    ) -> tuple[list[float], FrameIou]:
        """mAP at the thresholds of the table and on average, and the IoU of the likeliest class of each row."""
        reading: ProposalOptions = proposal_options(self.options.proposals)
        detections: list[Detection] = []
        ious = []
        for label in judged:
            features = self._features(label)
            curves = curves_of(features, predictor, self.plan.config, self.second)
            curve, score = curves.of(branch, self.options.weight)  # type: ignore[arg-type]
            detections += detections_of(features, curve, score, self.plan.class_names, reading)
            rows = _likeliest(curve, self.plan.config.background)
            ious.append(frame_iou(rows, true_rows(label, features.seconds, self.plan.class_names)))
        scores = evaluate(detections, judged)
        at = dict(zip(scores.thresholds, scores.mean, strict=True))
        average = scores.averages.get("0.1:0.7", scores.average)
        return [*(at[threshold] for threshold in TABLE), average], mean_frame_iou(ious)

    def _checkpoint(
        self, result: WtalResult, state: Mapping[str, Any], prompts: Sequence[str], table: Sequence[Sequence[object]]
    ) -> Checkpoint:
        metrics = {str(row[0]): float(row[5]) for row in table}  # type: ignore[arg-type]
        second = self.plan.second
        return Checkpoint(
            method="wtal",
            config=self.plan.config.to_dict(),
            recipe=self.plan.recipe,
            class_names=self.plan.class_names,
            state=dict(state),
            metrics=metrics,
            extra={
                "name": self.name,
                "preset": self.options.preset,
                "encoder": self.encoder_name,
                "prompts": list(prompts),
                "second": second.to_dict() if second else None,
                "epoch": result.best_epoch,
                "num_train_videos": len(self.plan.train),
            },
        )

    def _facts(self) -> dict[str, Any]:
        """What was asked for."""
        plan = self.plan
        return {
            "preset": self.options.preset,
            "config": plan.config.to_dict(),
            "recipe": plan.recipe.to_dict(),
            "second": plan.second.to_dict() if plan.second else None,
            "encoder": self.encoder_name,
            "class_names": list(plan.class_names),
            "train": [label.video_id for label in plan.train],
            "validation": [label.video_id for label in plan.validation],
        }

    def _summary(self, result: WtalResult) -> tuple[str, ...]:
        plan = self.plan
        parts = [f"{len(plan.train)} videos"]
        parts += [f"validated on {len(plan.validation)}"] if plan.validation else []
        parts += [f"tested on {len(plan.test)}"] if plan.test else []
        return (
            f"Trained on {', '.join(parts)}; classes {', '.join(plan.class_names)}; features {plan.recipe.name}",
            f"{self.name}: best epoch {result.best_epoch} of {len(result.history)}, seed {plan.config.seed}",
        )


class PseudoLabelLog:
    """``pseudo_labels.jsonl`` of a run: how well what a branch was sure of agrees with the times. No training reads it.

    One line per phase and branch: epoch, round, step, branch, and the IoU of foreground and background rows, once
    without the undecided rows (``drop``) and once with them as missed (``wrong``).
    """

    def __init__(self, path: Path, epoch: int) -> None:
        """epoch: finished ones of a resumed run; what was written after them is dropped"""
        self.path, self.rows = path, list[dict[str, object]]()
        if epoch and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            self.rows = [row for row in map(json.loads, lines) if row["epoch"] <= epoch]

    def add(self, report: WtalEpochReport, agreement: Mapping[str, Mapping[str, FrameIou]]) -> None:
        """Writes nothing where there is nothing to compare with."""
        for branch, by_treatment in agreement.items():
            shares = {
                f"{side}_{undecided}": getattr(iou, side)
                for undecided, iou in by_treatment.items()
                for side in ("foreground", "background")
            }
            phase = {"epoch": report.epoch, "round": report.round, "step": report.step, "branch": branch}
            self.rows.append({**phase, **shares})
        if agreement:
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))


def _likeliest(curve: np.ndarray, background: bool) -> np.ndarray:
    """[T, C] 1 where a class is the likeliest, and likelier than background; 0 elsewhere."""
    rows = np.zeros(curve.shape, dtype=np.int8)
    best = curve.argmax(axis=1)
    peak = curve.max(axis=1)
    nothing = 1 - curve.sum(axis=1) if background else np.full(len(curve), 0.5)
    rows[np.arange(len(curve)), best] = peak > nothing
    return rows


PANELS = (
    CurvePanel("loss", {"loss": "total", "cls": "classification", "kd": "distillation", "fb": "foreground-background"}),
    CurvePanel("validation mAP [0, 1]", {"map": "mean over tIoU 0.1 to 0.7, CBP"}),
    CurvePanel(
        "share of the rows",
        {
            **{
                f"{kind}_{branch}": f"{kind} by {branch.upper()}"
                for branch in ("cbp", "vlp")
                for kind in ("foreground", "background", "undecided")
            },
            "agreement": "both branches agree",
        },
    ),
)
"""Lines of the log as the picture wants them; what is measured at the end of phases has a point there."""
