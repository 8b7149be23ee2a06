"""Naming actions: a trained network fine-tuned, or one layer on it while all else is frozen.

Source: the published fine-tuning and linear probe at 0600c0e.
Differs: in the linear probe every network is frozen (I3D learned along there), and training clips are normalised as
test clips are (they were not); which epoch is best is asked of the caller's validation videos (the test videos there).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vidlang.core.errors import BadInput
from vidlang.core.progress import Progress
from vidlang.methods.fame.augment import Clips, training_clips
from vidlang.methods.fame.backbones import Backbone, build_backbone
from vidlang.methods.fame.config import LinearConfig, RecognitionConfig
from vidlang.methods.fame.predict import Predictor, class_logits, has_unit_features, load_weights
from vidlang.methods.fame.schedule import RateSchedule
from vidlang.methods.fame.train import EpochReport, TrainResult, checked_loss, passes
from vidlang.nn.distributed import current_group, replicated
from vidlang.nn.fit import BestWeights, TrainState, copy_optimizer, copy_state, restore, set_rate
from vidlang.nn.precision import descend, mixed_precision, scaler_state, without_scaler
from vidlang.nn.seed import epoch_generator, seeded

logger = logging.getLogger(__name__)

Validate = Callable[[Predictor], Mapping[str, float]]
"""Metrics of the network as it is."""


class LabelledBatch(Protocol):
    """One window of each of some videos."""

    @property
    def clips(self) -> Clips:
        """B items uint8 RGB, [3, T, H, W] or [1, 3, T, H, W]."""

    @property
    def indices(self) -> NDArray[np.int64]:
        """[B] places of the videos in the caller's list."""


LabelledSource = Callable[[int], Iterable[LabelledBatch]]
"""Epoch, counted from 0 → its batches, the same ones whenever asked."""


def new_classifier(
    config: RecognitionConfig, num_classes: int, backbone: Mapping[str, Tensor] | None = None
) -> Backbone:
    """A network with a fresh last layer, from the config's seed.

    backbone: weights up to the pooled features; None: fresh ones

    Raises:
        BadCheckpoint: these weights are of another network.
    """
    with seeded(config.seed):
        network = build_backbone(config.arch, head="classes", num_classes=num_classes, dropout=config.dropout)
    if backbone is not None:
        load_weights(network, backbone, with_head=False)
    return network


def fit_classifier(
    source: LabelledSource,
    labels: Sequence[int],
    num_classes: int,
    config: RecognitionConfig,
    *,
    backbone: Mapping[str, Tensor] | None = None,
    validate: Validate | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    resume: TrainState | None = None,
) -> TrainResult:
    """Trains a network to name the classes of clips; with ``LinearConfig`` its last layer alone.

    labels: class of every video, by its place in the caller's list
    backbone: weights up to the pooled features; None: fresh ones
    on_epoch, resume, processes: as in ``train.fit``; every process validates for itself

    Raises:
        BadInput: fewer than two classes, the source gives no batch, or training diverges.
        BadCheckpoint: ``backbone`` or ``resume`` is of another network.
        ValueError: a label is no class.
    """
    run = ClassTrainer(source, labels, num_classes, config, backbone, validate, device)
    if resume is not None:
        run.go_on(resume)
    with (progress or Progress()).task("training", total=config.epochs, unit="epochs") as task:
        task.advance(run.epoch)
        while run.epoch < config.epochs:
            row = run.one_epoch()
            task.note(**{name: value for name, value in row.items() if name not in ("epoch", "learning_rate")})
            task.advance(1)
            if on_epoch is not None and run.group.rank == 0:
                on_epoch(EpochReport(run.epoch, config.epochs, row, run.best.epoch == run.epoch, run.state()))
    return run.result()


class Classifier(nn.Module):
    """A network as recognition trains it: whole, or frozen up to the pooled features."""

    def __init__(self, network: Backbone, config: RecognitionConfig) -> None:
        super().__init__()
        self.network, self.frozen, self.unit = network, config.frozen, has_unit_features(config)
        if self.frozen:
            network.requires_grad_(False)
            network.fc.requires_grad_(True)

    def train(self, mode: bool = True) -> Classifier:
        """A frozen network stays in evaluation mode, so that its batch norm does not learn either."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
            self.network.dropout.train(mode)
        return self

    def forward(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, S, S], or the pooled features of such [B, D]    returns: [B, C]"""
        return class_logits(self.network, self.features(clips) if clips.ndim == 5 else clips, self.unit)

    def features(self, clips: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.network.features(clips)


class ClassTrainer:
    """The moving parts of one training. ``fit_classifier`` drives it epoch by epoch."""

    def __init__(
        self,
        source: LabelledSource,
        labels: Sequence[int],
        num_classes: int,
        config: RecognitionConfig,
        backbone: Mapping[str, Tensor] | None = None,
        validate: Validate | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if num_classes < 2:
            raise BadInput(f"Naming actions needs at least two classes, here is {num_classes}. Label more videos.")
        self.labels = torch.as_tensor(np.asarray(labels, dtype=np.int64))
        if len(self.labels) == 0 or int(self.labels.min()) < 0 or int(self.labels.max()) >= num_classes:
            raise ValueError(f"labels must be classes 0 to {num_classes - 1}, got {sorted(set(labels))}")
        self.source, self.config, self.validate, self.device = source, config, validate, torch.device(device)
        self.group = current_group()
        self.network = new_classifier(config, num_classes, backbone).to(self.device)
        self.classifier = Classifier(self.network, config)
        self.replica = replicated(self.classifier, self.group, self.device)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=config.learning_rate,
            momentum=config.sgd_momentum,
            weight_decay=config.weight_decay,
        )
        self.arithmetic, self.scaler = mixed_precision(self.device, config.precision)
        self.schedule = RateSchedule(
            config.learning_rate, config.epochs, "steps", config.lr_milestones, config.lr_gamma
        )
        self.kept: tuple[Tensor, Tensor] | None = None
        self.epoch = 0
        self.best = BestWeights()
        self.history: tuple[Mapping[str, float], ...] = ()

    def go_on(self, state: TrainState) -> None:
        restore(without_scaler(state, self.scaler), self.network, self.optimizer)
        self.epoch, self.history = state.epoch, state.history
        self.best = BestWeights.of(state)

    def one_epoch(self) -> Mapping[str, float]:
        """Steps through an epoch and validates. returns: its row of the log"""
        started = time.monotonic()
        rate = self.schedule.rate(self.epoch)
        set_rate(self.optimizer, rate)
        self.classifier.train()
        sums = torch.zeros(1, 3, dtype=torch.float64)  # clips, loss, right ones
        generator = epoch_generator(self.config.seed + 7919 * self.group.rank, self.epoch)
        with seeded(int(torch.randint(2**62, (), generator=generator)), self.device):  # dropout
            for inputs, truth in self._batches(generator):
                sums += self.step(inputs, truth)
        clips, loss, right = self.group.gather(sums.float().to(self.device)).double().sum(0).tolist()
        seconds = max(time.monotonic() - started, 1e-9)
        self.epoch += 1
        row = {
            "epoch": self.epoch,
            "learning_rate": rate,
            "loss": loss / clips,
            "train_top1": right / clips,
            "clips_per_second": clips / seconds,
            **self._validated(),
        }
        self.history = (*self.history, row)
        logger.info("epoch %d of %d: %s", self.epoch, self.config.epochs, row)
        return row

    def _batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """What the classifier reads, clips or kept features, and the classes."""
        if not (isinstance(self.config, LinearConfig) and self.config.keep_features):
            for batch in passes(self.source, self.epoch, self.config.min_batches):
                yield self._clips(batch, generator), self._truth(batch)
            return
        if self.kept is None:
            self.kept = self._features(generator)
        features, truth = self.kept
        order = torch.randperm(len(truth), generator=generator).to(self.device)
        for places in order.split(max(1, self.config.batch_size // self.group.size)):
            yield features[places], truth[places]

    @torch.no_grad()
    def _features(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pooled features of the first epoch's clips, and the classes."""
        features, truth = [], []
        for batch in passes(self.source, 0, 1):
            with self.arithmetic():
                features.append(self.classifier.features(self._clips(batch, generator)).float())
            truth.append(self._truth(batch))
        return torch.cat(features), torch.cat(truth)

    def _clips(self, batch: LabelledBatch, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            return training_clips(batch.clips, self.config, generator, self.device)

    def _truth(self, batch: LabelledBatch) -> Tensor:
        return self.labels[torch.as_tensor(batch.indices)].to(self.device)

    def step(self, inputs: Tensor, truth: Tensor) -> Tensor:
        """One batch: loss, gradients, SGD. returns: [1, 3] clips, their summed loss, how many are right"""
        with self.arithmetic():
            logits = cast(Tensor, self.replica(inputs))
        loss = F.cross_entropy(logits.float(), truth)
        descend(loss, self.optimizer, self.scaler)
        value = checked_loss(loss, self.epoch + 1)
        right = int((logits.detach().argmax(1) == truth).sum())
        return torch.tensor([[len(truth), value * len(truth), right]], dtype=torch.float64)

    def _validated(self) -> Mapping[str, float]:
        """Metrics of the weights as they are, kept if they are the best."""
        if self.validate is None:
            return {}
        with torch.no_grad():
            metrics = dict(self.validate(Predictor(self.network, self.config, self.device)))
        self.best = self.best.or_those_of(self.network, self.epoch, metrics, self.config.select_metric)
        return metrics

    def state(self) -> TrainState:
        """The network, moments, best weights, log: all that the rest of the run depends on."""
        return TrainState(
            epoch=self.epoch,
            model=copy_state(self.network) | scaler_state(self.scaler),
            optimizer=copy_optimizer(self.optimizer, self.network),
            best=self.best.state,
            best_epoch=self.best.epoch,
            best_metrics=self.best.metrics,
            history=self.history,
        )

    def result(self) -> TrainResult:
        last = copy_state(self.network)
        return TrainResult(
            state=self.best.state or last,
            last_state=last,
            metrics=self.best.metrics,
            best_epoch=self.best.epoch or self.epoch,
            history=self.history,
        )
