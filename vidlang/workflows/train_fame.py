"""Videos without labels to a video network that knows motion: FAME's contrastive training.

A run writes ``results/train/fame/<name>/`` (``runs`` describes it); ``last/`` there holds both networks with heads and
the queue, the registered checkpoint the query network without its head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidlang.core import BadInput, Progress
from vidlang.datasets.manifest import match_ids, read_manifest
from vidlang.methods.fame.config import FameConfig, preset
from vidlang.report.training_curves import Best
from vidlang.store.checkpoints import ClipCheckpoint, ModelRegistry
from vidlang.store.workspace import Workspace
from vidlang.video.files import find_videos
from vidlang.workflows.runs import processes
from vidlang.workflows.video_networks import (
    ARCH_PRESETS,
    CURVES,
    METHOD,
    NUM_WORKERS,
    Network,
    TrainFameReport,
    Video,
    batches_of,
    failures,
    find_network,
    fitted_batches,
    open_run,
    recipe_of,
)

if TYPE_CHECKING:
    from vidlang.methods.fame.train import TrainResult
    from vidlang.nn.distributed import Group

WINDOWS = 2
"""Of a video in a batch: one for each view."""


@dataclass(frozen=True)
class TrainFameOptions:
    """What to train on, and how."""

    preset: str | None = None
    """None: that of the network asked for or given by ``init``, else ``small``."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``FameConfig`` that differ from the preset."""
    manifest: Path | None = None
    """Only its videos, without those of the splits val and test; its labels are not read."""
    init: str | None = None
    """Name, folder or published file of the network to start from; None: fresh weights."""
    name: str | None = None
    resume: bool = False
    num_workers: int | None = None
    device: str = "auto"


def train_fame(
    paths: Sequence[Path],
    workspace: Workspace,
    options: TrainFameOptions | None = None,
    progress: Progress | None = None,
) -> TrainFameReport | None:
    """Train, keep log and state at every epoch, register the network.

    Under ``torchrun`` every process trains on its share; the first writes and reports, the others return None.

    Raises:
        BadInput, BadManifest, BadCheckpoint, UnknownName: nothing can be trained; the message says what to change.
    """
    options = options or TrainFameOptions()
    with processes(options.device, progress) as (group, device, progress):
        start = None if options.init is None else find_network(workspace, options.init)
        config = pretraining_config(options, start)
        videos, notes = unlabelled_videos(paths, options.manifest)
        config, fitted = fitted_batches(config, len(videos), options.changes, group.size)
        notes += [*(start.notes if start else ()), *fitted]
        return _Pretraining(workspace, options, start, config, videos, device, group).train(progress, notes)


def pretraining_config(options: TrainFameOptions, start: Network | None = None) -> FameConfig:
    """The preset that fits the network, with what was asked for.

    Raises:
        BadInput: options contradict each other, or another network is asked for than the one to start from.
        UnknownName: there is no such preset.
    """
    changes = dict(options.changes)
    if start is not None and changes.setdefault("arch", start.config.arch) != start.config.arch:
        raise BadInput(f"--init {start.name} is a {start.config.arch}, not a {changes['arch']}. Leave --arch out.")
    if options.preset is not None:
        return preset(options.preset, **changes)
    return preset(ARCH_PRESETS.get(str(changes.get("arch", "tiny")), "small"), **changes)


def unlabelled_videos(paths: Sequence[Path], manifest: Path | None) -> tuple[list[Video], list[str]]:
    """The videos to train on, and what must be said of them.

    Raises:
        BadInput: there is none.
        BadManifest: the manifest does not read.
    """
    found = find_videos(paths)
    if manifest is None:
        return found, []
    missing: list[str] = []
    labels = match_ids(read_manifest(manifest), [video_id for video_id, _ in found], missing=missing)
    wanted = {label.video_id for label in labels if label.split not in ("val", "test")}
    if not wanted:
        raise BadInput(f"None of the given videos is in {manifest} and not of the splits val and test.")
    notes = [f"{len(missing)} videos of {manifest} are not among the given ones"] if missing else []
    return [video for video in found if video[0] in wanted], notes


@dataclass
class _Pretraining:
    """One training without labels."""

    workspace: Workspace
    options: TrainFameOptions
    start: Network | None
    config: FameConfig
    videos: Sequence[Video]
    device: str
    group: Group

    def train(self, progress: Progress, notes: Sequence[str]) -> TrainFameReport | None:
        from vidlang.methods.fame.train import fit

        run, resume = open_run(self.workspace, self.options.name, self.options.resume, self._facts(), self.group)
        workers = NUM_WORKERS if self.options.num_workers is None else self.options.num_workers
        batches, source = batches_of(self.videos, self.config, WINDOWS, workers, self.group)
        result = fit(
            batches,
            self.config,
            init=self.start.backbone() if self.start else None,
            device=self.device,
            progress=progress,
            on_epoch=(lambda report: run.keep(report.train_state)) if run else None,
            resume=resume,
        )
        if run is None:
            return None
        name = run.path.name
        trained = self._checkpoint(result, name)
        last = replace(trained, state=dict(result.last_state))
        run.keep_last(last, result.history, CURVES["pretrain"], Best(result.best_epoch))
        path = ModelRegistry(self.workspace.models_dir).register(trained, name=name, replace=True)
        run.finish()
        return TrainFameReport(
            checkpoint=str(path),
            folder=run.path,
            kind="pretrain",
            columns=("epoch", "loss", "top-1 of the contrast", "clips merged", "clips/s"),
            table=tuple(_line(row) for row in _some(result.history)),
            summary=self._summary(result),
            notes=tuple(dict.fromkeys([*notes, *result.notes, *failures(source.failed)])),
        )

    def _checkpoint(self, result: TrainResult, name: str) -> ClipCheckpoint:
        return ClipCheckpoint(
            method=METHOD,
            config=self.config.to_dict(),
            recipe=recipe_of(self.config),
            class_names=(),
            state=dict(result.state),
            metrics=dict(result.metrics),
            extra={
                "name": name,
                "kind": "pretrain",
                "started_from": self.start.name if self.start else None,
                "epoch": result.best_epoch,
                "num_train_videos": len(self.videos),
                "num_processes": self.group.size,
            },
        )

    def _facts(self) -> dict[str, Any]:
        """What was asked for."""
        return {
            "kind": "pretrain",
            "config": self.config.to_dict(),
            "started_from": self.start.name if self.start else None,
            "train": [video_id for video_id, _ in self.videos],
        }

    def _summary(self, result: TrainResult) -> tuple[str, ...]:
        config = self.config
        merged = "no merging"
        if config.merges:
            how = {"single": "one view", "both": "both views"}[config.views]
            merged = f"{config.mask} masks, {how} before a background of another "
            merged += "video" if config.background == "inter" else "time"
        processes = f" in {self.group.size} processes" if self.group.size > 1 else ""
        return (
            f"Trained {config.arch} on {len(self.videos)} videos without labels{processes}; {recipe_of(config).name}; "
            f"{merged}",
            f"{len(result.history)} epochs, batches of {config.batch_size}, seed {config.seed}",
        )


def _some(history: Sequence[Mapping[str, float]], most: int = 6) -> list[Mapping[str, float]]:
    """The first epoch, the last one, and a few evenly between."""
    last = len(history) - 1
    places = {round(i * last / (most - 1)) for i in range(most)} if last >= most else range(last + 1)
    return [history[place] for place in sorted(places)]


def _line(row: Mapping[str, float]) -> tuple[object, ...]:
    return (int(row["epoch"]), *(row.get(name) for name in ("loss", "top1", "merged", "clips_per_second")))
