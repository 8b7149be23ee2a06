"""A network that learns to name actions: fine-tuned as a whole, or its last layer alone.

A run writes ``results/train/fame/<name>/`` (``runs`` describes it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, Label, Progress
from vidlang.methods.fame.config import PRESETS, FameConfig, RecognitionConfig, recognition
from vidlang.metrics.representation import mean_class_accuracy, top_k_accuracy
from vidlang.report.training_curves import Best
from vidlang.store.checkpoints import ClipCheckpoint, ModelRegistry
from vidlang.store.workspace import Workspace
from vidlang.workflows.runs import processes
from vidlang.workflows.video_networks import (
    ARCH_PRESETS,
    CONFIGS,
    CURVES,
    METHOD,
    NUM_WORKERS,
    Kind,
    LabelledVideos,
    Network,
    Said,
    TrainFameReport,
    arithmetic_of,
    ask,
    batches_of,
    failures,
    find_network,
    fitted_batches,
    labelled_videos,
    open_run,
    recipe_of,
    sampling_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from vidlang.methods.fame.predict import Predictor
    from vidlang.methods.fame.train import TrainResult
    from vidlang.nn.distributed import Group


@dataclass(frozen=True)
class RecognizeOptions:
    """What to train, on what, and how to measure."""

    kind: Kind
    checkpoint: str
    """Name, folder or published file of the network to start from; ``random``: fresh weights."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the config that differ."""
    manifest: Path | None = None
    test_fraction: float = 0.2
    name: str | None = None
    resume: bool = False
    num_workers: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        known = {item.name for item in fields(CONFIGS[self.kind])}
        foreign = [name for name in self.changes if name not in known]
        if foreign:
            flags = ", ".join("--" + name.replace("_", "-") for name in foreign)
            raise BadInput(f"{flags} belongs to another kind of training; leave it out with --{self.kind}.")


def recognize_fame(
    paths: Sequence[Path],
    workspace: Workspace,
    options: RecognizeOptions,
    progress: Progress | None = None,
) -> TrainFameReport | None:
    """Fine-tune a network on labelled videos, or one layer on it; measure it on the test videos; register it.

    Under ``torchrun`` every process trains on its share; the first writes and reports, the others return None.

    Raises:
        BadInput, BadManifest, BadCheckpoint, UnknownName: nothing can be trained; the message says what to change.
    """
    with processes(options.device, progress) as (group, device, progress):
        network = find_network(workspace, options.checkpoint)
        config, notes = recognition_config(network, options)
        videos = labelled_videos(paths, options.manifest, test_fraction=options.test_fraction)
        config, fitted = fitted_batches(config, len(videos.train), options.changes, group.size)
        run = _Recognition(workspace, options, network, config, videos, device, group)
        return run.train(progress, (*network.notes, *notes, *videos.notes, *fitted))


def recognition_config(network: Network, options: RecognizeOptions) -> tuple[RecognitionConfig, list[str]]:
    """The options of a training that starts from a network, with what was changed.

    Raises:
        BadInput: another network is asked for than the one that is there.
    """
    arch = str(options.changes.get("arch", network.config.arch))
    if network.state is not None and arch != network.config.arch:
        raise BadInput(f"{network.name} is a {network.config.arch}, not a {arch}. Leave --arch out.")
    shape: FameConfig
    if isinstance(network.config, FameConfig) and arch == network.config.arch:
        shape = network.config
    else:
        shape = PRESETS[ARCH_PRESETS.get(arch, "small")]
        if network.state is not None:
            names = ("num_frames", "step", "crop_size", "short_side")
            shape = replace(shape, **{name: getattr(network.config, name) for name in names})
    config = recognition(options.kind, shape, **options.changes)
    changed = [name for name in ("num_frames", "step", "crop_size") if getattr(config, name) != getattr(shape, name)]
    notes = [f"{network.name} was trained with {name} {getattr(shape, name)}" for name in changed]
    return config, notes if network.state is not None else []


@dataclass
class _Recognition:
    """One training of a classifier."""

    workspace: Workspace
    options: RecognizeOptions
    network: Network
    config: RecognitionConfig
    videos: LabelledVideos
    device: str
    group: Group

    def train(self, progress: Progress, notes: Sequence[str]) -> TrainFameReport | None:
        from vidlang.methods.fame.recognize import fit_classifier

        videos, config = self.videos, self.config
        run, resume = open_run(self.workspace, self.options.name, self.options.resume, self._facts(), self.group)
        batches, source = batches_of(videos.files(videos.train), config, 1, self._workers, self.group)
        result = fit_classifier(
            batches,
            videos.indices(videos.train).tolist(),
            len(videos.class_names),
            config,
            backbone=self.network.backbone(),
            validate=self._validate if videos.validation else None,
            device=self.device,
            progress=progress,
            on_epoch=(lambda report: run.keep(report.train_state)) if run else None,
            resume=resume,
        )
        if run is None:
            return None
        said = self._ask(self._predictor(result.state), videos.test, progress)
        right = videos.indices([videos.test[place] for place in said.places])
        scores = recognition_scores(said.rows, right)
        trained = self._checkpoint(result, run.path.name, scores)
        chosen = Best(result.best_epoch, config.select_metric if videos.validation else None)
        last = replace(trained, state=dict(result.last_state))
        run.keep_last(last, result.history, CURVES["recognize"], chosen)
        path = ModelRegistry(self.workspace.models_dir).register(trained, name=run.path.name, replace=True)
        run.finish()
        return TrainFameReport(
            checkpoint=str(path),
            folder=run.path,
            kind=self.options.kind,
            columns=("what", "top-1", "top-5", "mean per class", "test videos"),
            table=((run.path.name, *scores.values(), len(right)), self._chance(right)),
            summary=self._summary(result),
            notes=tuple(dict.fromkeys([*notes, *result.notes, *failures({**source.failed, **said.failed})])),
        )

    @property
    def _workers(self) -> int:
        return NUM_WORKERS if self.options.num_workers is None else self.options.num_workers

    def _predictor(self, state: Mapping[str, Tensor]) -> Predictor:
        from vidlang.methods.fame.predict import Predictor

        return Predictor.from_state(
            state, self.config, len(self.videos.class_names), self.device, precision=arithmetic_of(self.config)
        )

    def _ask(self, predictor: Predictor, labels: Sequence[Label], progress: Progress) -> Said:
        """Logits [N, C] of videos, each the mean over windows that lie evenly over it."""
        return ask(
            self.videos.files(labels),
            predictor.video_logits,
            sampling_of(self.config),
            self.config.test_clips,
            num_workers=self._workers,
            progress=progress,
            title="test",
        )

    def _validate(self, predictor: Predictor) -> dict[str, float]:
        videos = self.videos
        said = self._ask(predictor, videos.validation, Progress())
        return {"top1": top_k_accuracy(said.rows, videos.indices([videos.validation[i] for i in said.places]), (1,))[1]}

    def _chance(self, right: NDArray[np.int64]) -> tuple[object, ...]:
        """The row of an answer that is always the commonest class of the training."""
        commonest = Counter(self.videos.indices(self.videos.train).tolist()).most_common(1)[0][0]
        num_classes = len(self.videos.class_names)
        return ("always the commonest class", float((right == commonest).mean()), None, 1 / num_classes, len(right))

    def _checkpoint(self, result: TrainResult, name: str, scores: Mapping[str, float | None]) -> ClipCheckpoint:
        return ClipCheckpoint(
            method=METHOD,
            config=self.config.to_dict(),
            recipe=recipe_of(self.config),
            class_names=self.videos.class_names,
            state=dict(result.state),
            metrics={what: value for what, value in scores.items() if value is not None},
            extra={
                "name": name,
                "kind": self.options.kind,
                "started_from": self.network.name,
                "epoch": result.best_epoch,
                "num_train_videos": len(self.videos.train),
            },
        )

    def _facts(self) -> dict[str, Any]:
        """What was asked for."""
        return {
            "kind": self.options.kind,
            "config": self.config.to_dict(),
            "started_from": self.network.name,
            "class_names": list(self.videos.class_names),
            "train": [label.video_id for label in self.videos.train],
            "validation": [label.video_id for label in self.videos.validation],
        }

    def _summary(self, result: TrainResult) -> tuple[str, ...]:
        videos, config = self.videos, self.config
        layers = "the last layer" if self.options.kind == "linear" else "all layers"
        parts = [f"{len(videos.train)} videos of {len(videos.class_names)} classes"]
        parts += [f"validated on {len(videos.validation)}"] if videos.validation else []
        return (
            f"Trained {layers} of {self.network.name} ({config.arch}) on {', '.join(parts)}, tested on "
            f"{config.test_clips} windows of each of {len(videos.test)}",
            f"{recipe_of(config).name.capitalize()}; best epoch {result.best_epoch} of {len(result.history)}, "
            f"seed {config.seed}",
        )


def recognition_scores(logits: NDArray[np.floating[Any]], right: NDArray[np.int64]) -> dict[str, float | None]:
    """Shares of the videos, and the mean over classes; top-5 of five classes or fewer says nothing, so None.

    logits: [N, C]    right: [N] class indices
    """
    top = top_k_accuracy(logits, right, (1, 5) if logits.shape[1] > 5 else (1,))
    return {"top-1": top[1], "top-5": top.get(5), "mean per class": mean_class_accuracy(logits, right)}
