"""Does an anomaly checkpoint look at what happens, or at where? Clips before other clips' backgrounds, scored again.

What moves in each labelled clip (``methods.fame``) is laid over the frames of another clip, drawn by a seed, and the
merged clip goes through the same extraction and the same checkpoint. Backgrounds come from clips of the same class, of
another abnormal class, and from the other side of normal and abnormal, each told apart from the others. Beside them
stands each clip that was only written again: what coding alone changes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, Label, Outcome, Progress, Scores, VidlangError
from vidlang.datasets.manifest import class_names as classes_of
from vidlang.datasets.manifest import match_ids, read_manifest, write_manifest
from vidlang.methods.fame.options import MaskOptions
from vidlang.metrics.anomaly import frame_auc
from vidlang.store.atomic import write_text
from vidlang.store.checkpoints import ModelRegistry
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.names import safe_component
from vidlang.store.workspace import Workspace
from vidlang.video.reader import open_video
from vidlang.video.source import Pixels
from vidlang.video.writer import write_video
from vidlang.workflows.evaluate import folder_labels
from vidlang.workflows.evaluate_targets import PictureTargets
from vidlang.workflows.extract import ExtractOptions, find_inputs
from vidlang.workflows.fame_merge import MergeOptions, merge_videos
from vidlang.workflows.score import ScoreOptions, ScoreReport, score

KINDS = {
    "rewritten": "own, written again",
    "same": "same class",
    "other": "other abnormal",
    "across": "across, both ways",
}
"""What is done to a clip → whose background it has, as the report says it."""
LEAST_FOR_RANKS = 3


@dataclass(frozen=True)
class BackgroundOptions:
    """What to score with, and how backgrounds are swapped."""

    checkpoint: str | None = None
    """Name or folder; None: the newest."""
    manifest: Path | None = None
    """Labels; None: labels by folder."""
    split: str | None = None
    """Of the manifest, only this split."""
    normal: str | None = None
    """Name of the normal class; None: ``normal``."""
    masks: MaskOptions = field(default_factory=MaskOptions)
    size: int = 256
    """Pixels of the shorter side of merged clips: more than encoders look at."""
    limit: int | None = None
    """Clips of each class, drawn by the seed; None: all."""
    seed: int = 0
    keep: Path | None = None
    """Empty folder for the merged clips; None: they are deleted."""
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.split is not None and self.manifest is None:
            raise BadInput("--split names a part of a manifest; give one with --manifest.")
        if self.limit is not None and self.limit < 1:
            raise BadInput(f"--limit takes a number of clips from 1 on, got {self.limit}.")
        if self.keep is not None and self.keep.exists() and (not self.keep.is_dir() or any(self.keep.iterdir())):
            raise BadInput(f"--keep {self.keep} is not an empty folder. Name one that is empty or not there yet.")


@dataclass(frozen=True)
class Swap:
    """One clip, one change, and its scores: the highest of any snippet."""

    video: str
    kind: str
    """A key of ``KINDS``."""
    background: str | None
    abnormal: bool
    before: float
    after: float
    moves: bool
    """False where nothing moves, so that the clip was left whole."""


@dataclass(frozen=True)
class BackgroundRow:
    """How scores of some clips change."""

    name: str
    num_clips: int
    mean_change: float
    """Mean of the absolute changes."""
    mean_shift: float
    """Mean of the changes with their sign."""
    flips: float
    """Share of clips that cross the checkpoint's threshold."""
    auc_before: float | None
    """None where all are normal, or all abnormal."""
    auc_after: float | None
    rank_correlation: float | None
    """Of scores before and after (Spearman); None for fewer than three clips or equal scores."""


@dataclass(frozen=True)
class BackgroundReport:
    """How much the scores of a checkpoint hang on the background."""

    rows: tuple[BackgroundRow, ...]
    swaps: tuple[Swap, ...]
    threshold: float
    made_by: dict[str, Any]
    """Of the scores."""
    masks: MaskOptions
    failed: tuple[Outcome, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()
    """Pictures and the page, where they were asked for."""

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.eval_background/1",
            "made_by": self.made_by,
            "threshold": self.threshold,
            "masks": self.masks.to_dict(),
            "rows": [dict(vars(row)) for row in self.rows],
            "clips": [dict(vars(swap)) for swap in self.swaps],
            "failed": [{"video": o.video_id, "reason": str(o.error)} for o in self.failed],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Clip:
    """A labelled clip."""

    video_id: str
    path: Path
    label: str
    abnormal: bool


@dataclass(frozen=True)
class _Plan:
    """One merged clip to make."""

    clip: _Clip
    kind: str
    background: _Clip | None

    def file_name(self, number: int) -> str:
        """Unique by its number, readable by its names."""
        names = [Path(clip.video_id).stem for clip in (self.clip, self.background) if clip is not None]
        return safe_component(f"{number:04}-{'-over-'.join(names)}") + ".mp4"


def evaluate_background(
    paths: Sequence[str | Path],
    workspace: Workspace,
    options: BackgroundOptions | None = None,
    extraction: ExtractOptions | None = None,
    progress: Progress | None = None,
    pictures: PictureTargets | None = None,
) -> BackgroundReport:
    """Score labelled clips as they are and before other backgrounds, and compare.

    paths: videos or folders; none: the folder of the manifest

    Merged clips and their features lie in a temporary folder; the features of the clips themselves go into the cache.

    Raises:
        BadInput, BadManifest, BadCheckpoint, UnknownName: nothing can be compared. A clip that fails is an outcome.
    """
    options, progress = options or BackgroundOptions(), progress or Progress()
    extraction = extraction or ExtractOptions()
    checkpoint = str(ModelRegistry(workspace.models_dir).folder("vadclip", options.checkpoint))
    notes: list[str] = []
    places = _places(paths, options)
    clips = _drawn(_clips(places, workspace, options, notes), options)
    with tempfile.TemporaryDirectory(prefix="vidlang-background-") as temporary:
        scratch = _Scratch(Path(temporary), workspace, checkpoint, options, extraction, progress)
        before = scratch.score_clips(places, clips)
        failed = {o.video_id: o for o in before.outcomes if o.status == "failed"}
        plans = _plans([clip for clip in clips if clip.video_id not in failed], options.seed, notes)
        merged = scratch.merge(plans, failed)
        after = scratch.score_merged()
    swaps = _swaps(merged, _peaks(before.scores), _peaks(after.scores))
    broken = [outcome for outcome in after.outcomes if outcome.status == "failed"]
    still = sorted({swap.video for swap in swaps if not swap.moves})
    if still:
        notes.append(f"nothing moves in {len(still)} clips, which stay whole and are not counted, such as {still[0]}")
    if before.made_by.get("note"):
        notes.append(str(before.made_by["note"]))
    report = BackgroundReport(
        rows=tuple(_rows(swaps, before.threshold)),
        swaps=tuple(swaps),
        threshold=before.threshold,
        made_by=before.made_by,
        masks=options.masks,
        failed=(*failed.values(), *broken),
        notes=tuple(notes),
    )
    if not pictures:
        return report
    from vidlang.workflows.evaluate_views_networks import background_view

    return replace(report, files=pictures.write(background_view(report, KINDS)))


# -- which clips, which backgrounds ----------------------------------------------------------------------------------


def _places(paths: Sequence[str | Path], options: BackgroundOptions) -> Sequence[str | Path]:
    """Where videos are looked for."""
    if paths:
        return paths
    if options.manifest is None:
        raise BadInput("Name labelled videos: a folder of class folders, or --manifest labels.csv.")
    return [options.manifest.parent]


def _clips(
    places: Sequence[str | Path], workspace: Workspace, options: BackgroundOptions, notes: list[str]
) -> list[_Clip]:
    """The labelled clips, by id."""
    found = dict(find_inputs(places, FeatureCache(workspace.cache_dir)))
    labels = _labels(list(found), options, notes)
    normal = classes_of(labels, options.normal)[0]
    clips = [
        _Clip(label.video_id, found[label.video_id], label.classes[0], normal not in label.classes)
        for label in sorted(labels, key=lambda label: label.video_id)
    ]
    if len(clips) < 2:
        raise BadInput(f"Backgrounds are swapped between clips; there is {len(clips)} with a label. Name more videos.")
    return clips


def _labels(ids: Sequence[str], options: BackgroundOptions, notes: list[str]) -> list[Label]:
    if options.manifest is None:
        labels, bare = folder_labels(ids)
        if bare:
            notes.append(f"{len(bare)} videos lie in no class folder and are left out, such as {bare[0]}")
        return labels
    wanted = [label for label in read_manifest(options.manifest) if options.split in (None, label.split)]
    missing: list[str] = []
    labels = match_ids(wanted, ids, missing=missing)
    if not labels:
        raise BadInput(f"None of the {len(ids)} videos found is in {options.manifest}. Name their folder.")
    if missing:
        notes.append(f"{len(missing)} videos of {options.manifest} are not there, such as {missing[0]}")
    return labels


def _drawn(clips: list[_Clip], options: BackgroundOptions) -> list[_Clip]:
    """At most ``limit`` clips of each class, by the seed."""
    if options.limit is None:
        return clips
    random = np.random.default_rng(options.seed)
    kept: set[str] = set()
    for label in sorted({clip.label for clip in clips}):
        ids = [clip.video_id for clip in clips if clip.label == label]
        kept.update(random.permutation(ids)[: options.limit].tolist())
    return [clip for clip in clips if clip.video_id in kept]


def _plans(clips: Sequence[_Clip], seed: int, notes: list[str]) -> list[_Plan]:
    """Every clip written again, and once before a background of each kind that there is."""
    random = np.random.default_rng(seed)
    plans = []
    alone = []
    for clip in clips:
        plans.append(_Plan(clip, "rewritten", None))
        others = [other for other in clips if other is not clip]
        fitting = {
            "same": [o for o in others if o.label == clip.label],
            "other": [o for o in others if o.label != clip.label and o.abnormal and clip.abnormal],
            "across": [o for o in others if o.abnormal != clip.abnormal],
        }
        alone += [clip.label] * (not fitting["same"])
        plans += [_Plan(clip, kind, pool[int(random.integers(len(pool)))]) for kind, pool in fitting.items() if pool]
    if alone:
        notes.append(f"{len(alone)} clips are alone in their class and get no background of it, such as {alone[0]}")
    return plans


# -- making and scoring ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scratch:
    """The temporary folder: merged clips, their features, results that nobody asked for."""

    root: Path
    workspace: Workspace
    checkpoint: str
    options: BackgroundOptions
    extraction: ExtractOptions
    progress: Progress

    @property
    def merged(self) -> Path:
        return self.options.keep or self.root / "merged"

    def score_clips(self, places: Sequence[str | Path], clips: Sequence[_Clip]) -> ScoreReport:
        """As they are, with their features in the cache."""
        manifest = self.root / "clips.csv"
        write_text(manifest, write_manifest([Label(clip.video_id, ("clip",)) for clip in clips]))
        return self._score(places, self.workspace, manifest)

    def score_merged(self) -> ScoreReport:
        """Features of merged clips lie beside them and go with them."""
        return self._score([self.merged], Workspace(self.root / "workspace", self.workspace.settings), None)

    def _score(self, places: Sequence[str | Path], workspace: Workspace, manifest: Path | None) -> ScoreReport:
        options = ScoreOptions(
            checkpoint=self.checkpoint,
            plot=False,
            device=self.options.device,
            out=self.root / "results",
            manifest=manifest,
        )
        return score(places, workspace, options, None, self.extraction, self.progress)

    def merge(self, plans: Sequence[_Plan], failed: dict[str, Outcome]) -> dict[str, tuple[_Plan, bool]]:
        """Id of each merged clip → its plan, and whether anything moves."""
        made: dict[str, tuple[_Plan, bool]] = {}
        with self.progress.task("merge", total=len(plans), unit="clip") as task:
            for number, plan in enumerate(plans):
                target = self.merged / plan.kind / plan.file_name(number)
                try:
                    moves = self._write(plan, target)
                    made[f"{plan.kind}/{target.name}"] = plan, moves
                except VidlangError as error:
                    failed[plan.clip.video_id] = Outcome(plan.clip.video_id, "failed", error=error)
                    self.progress.message(f"failed: {error}")
                task.advance()
        if not made:
            first = next(iter(failed.values()), None)
            raise BadInput(f"No clip could be merged{f': {first.error}' if first else '.'}")
        return made

    def _write(self, plan: _Plan, target: Path) -> bool:
        """Whether anything moves in the clip."""
        size, frame_rate = self.options.size, self.extraction.frame_rate
        if plan.background is None:
            with open_video(plan.clip.path, short_side=size, frame_rate=frame_rate) as reader:
                rate = reader.info.frame_rate
                frames: Iterator[Pixels] = (frame for batch in reader.read(8) for frame in batch.frames)
                write_video(target, frames, rate)
            return True
        options = MergeOptions(masks=self.options.masks, size=size, out=target, frame_rate=frame_rate)
        target.parent.mkdir(parents=True, exist_ok=True)
        summary = merge_videos(plan.clip.path, plan.background.path, self.workspace, options).summary
        return summary.num_still < len(summary.windows)


# -- comparing -------------------------------------------------------------------------------------------------------


def _peaks(scores: Sequence[Scores]) -> dict[str, float]:
    """The highest score of each video."""
    return {item.video.id: float(item.anomaly.max()) for item in scores}


def _swaps(merged: dict[str, tuple[_Plan, bool]], before: dict[str, float], after: dict[str, float]) -> list[Swap]:
    return [
        Swap(
            plan.clip.video_id,
            plan.kind,
            None if plan.background is None else plan.background.video_id,
            plan.clip.abnormal,
            before[plan.clip.video_id],
            after[merged_id],
            moves,
        )
        for merged_id, (plan, moves) in merged.items()
        if merged_id in after
    ]


def _rows(swaps: Sequence[Swap], threshold: float) -> list[BackgroundRow]:
    """One row for each kind; the kind across normal and abnormal in its two directions too."""
    rows = []
    for kind, name in KINDS.items():
        chosen = [swap for swap in swaps if swap.kind == kind and swap.moves]
        parts = [(name, chosen)]
        if kind == "across":
            parts.append(("normal on abnormal", [swap for swap in chosen if not swap.abnormal]))
            parts.append(("abnormal on normal", [swap for swap in chosen if swap.abnormal]))
        rows += [_row(title, part, threshold) for title, part in parts if part]
    return rows


def _row(name: str, swaps: Sequence[Swap], threshold: float) -> BackgroundRow:
    before, after = (np.array([getattr(swap, when) for swap in swaps]) for when in ("before", "after"))
    abnormal = np.array([swap.abnormal for swap in swaps])
    both = bool(abnormal.any() and not abnormal.all())
    change = after - before
    return BackgroundRow(
        name=name,
        num_clips=len(swaps),
        mean_change=float(np.abs(change).mean()),
        mean_shift=float(change.mean()),
        flips=float(((before >= threshold) != (after >= threshold)).mean()),
        auc_before=frame_auc(abnormal, before) if both else None,
        auc_after=frame_auc(abnormal, after) if both else None,
        rank_correlation=rank_correlation(before, after),
    )


def rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Spearman's: the correlation of ranks, equal values sharing their mean rank. one, other: [N]

    returns: -1..1; None for fewer than three values, or where all of one are equal
    """
    ranks = np.stack([_ranks(one), _ranks(other)])
    if len(one) < LEAST_FOR_RANKS or (np.ptp(ranks, axis=1) == 0).any():
        return None
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    return float(centred[0] @ centred[1] / np.sqrt((centred**2).sum(axis=1).prod()))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[group])
