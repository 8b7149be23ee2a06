"""Training from pairs of videos that show the same thing.

Under torch.distributed every process holds all videos and computes its share of each step's; keys are gathered, so that
bank, loss and weights are those of one process with the same ``batch_size``.

Source: published train.py.
Differs: draws depend on seed and epoch alone, so a run that was stopped goes on to the same bits (the
published negatives are drawn without a seed); epochs may be validated and the best one kept.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.core.progress import Progress
from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.tca.data import TrainingSet, epoch_batches, epoch_random
from vidlang.methods.tca.loss import contrastive_loss
from vidlang.methods.tca.memory_bank import Compared, MemoryBank
from vidlang.methods.tca.model import new_encoder
from vidlang.methods.tca.video_encoder import VideoEncoder
from vidlang.nn.distributed import current_group, replicated
from vidlang.nn.fit import (
    BestWeights,
    EpochReport,
    TrainResult,
    TrainState,
    copy_optimizer,
    copy_state,
    restore,
    set_rate,
)
from vidlang.nn.precision import descend, mixed_precision, scaler_state, without_scaler
from vidlang.nn.seed import seeded

logger = logging.getLogger(__name__)

Validate = Callable[[VideoEncoder], Mapping[str, float]]
"""Metrics of the encoder as it is; it is in evaluation mode and no gradients are kept."""


@dataclass(frozen=True, eq=False)
class TcaResult(TrainResult):
    """A finished training. ``best_epoch`` is 0 where none was better than the rows as they are (with ``residual``)."""

    start_metrics: Mapping[str, float]
    """Before training, with ``residual``: those of the rows as they are. Empty else."""


def fit(
    videos: TrainingSet,
    config: TcaConfig,
    *,
    validate: Validate | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    resume: TrainState | None = None,
) -> TcaResult:
    """Trains on pairs and keeps the best and the last weights of the encoder.

    Losses of an epoch: loss, positive_cosine, hardest_negative (the highest cosine of an anchor with a key).

    on_epoch gets each finished epoch; the last one it got is all that an interrupted run needs to go on (``resume``).

    Under torch.distributed every process calls this with the same arguments; ``validate`` is called in process 0 alone.

    Raises:
        BadInput: the videos do not fit each other or the config, the precision does not run on the device, several
            processes are to share a network whose batch-norm or recurrence compares all videos, or training diverges.
        BadCheckpoint: ``resume`` is of another model.
    """
    run = Trainer(videos, config, validate, device)
    if resume is not None:
        run.go_on(resume)
    with (progress or Progress()).task("training", total=config.epochs, unit="epochs") as task:
        task.advance(run.epoch)
        while run.epoch < config.epochs:
            report = run.one_epoch()
            task.note(**report.losses, **report.metrics)
            task.advance(1)
            if on_epoch is not None:
                on_epoch(report)
    return run.result()


class Trainer:
    """The moving parts of one training: encoders and bank, optimizer, what is best. ``fit`` drives it by epochs."""

    def __init__(
        self,
        videos: TrainingSet,
        config: TcaConfig,
        validate: Validate | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.videos, self.config, self.validate = videos, config, validate
        self.device, self.group = torch.device(device), current_group()
        if self.group.size > 1 and config.encoder != "transformer":
            raise BadInput(
                f"The encoder {config.encoder} trains in one process: it looks at all videos of a step at once. "
                "Start it without torchrun, or take the transformer."
            )
        with seeded(config.seed):
            encoder = new_encoder(config, videos.width)
        draws = torch.Generator().manual_seed(config.seed % 2**63)
        self.bank = MemoryBank(encoder, config, draws, self.group).to(self.device)
        self.replica = replicated(self.bank, self.group, self.device)
        self.encoder = self.bank.encoder_q
        self.arithmetic, self.scaler = mixed_precision(self.device, config.precision)
        self.optimizer = torch.optim.Adam(
            self.encoder.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.epoch = 0
        self.best = BestWeights()
        self.history: tuple[Mapping[str, float], ...] = ()
        self.start_metrics: Mapping[str, float] = {}
        if config.residual and config.encoder == "transformer":
            self.start_metrics = self.validated()

    def go_on(self, state: TrainState) -> None:
        restore(without_scaler(state, self.scaler), self.bank, self.optimizer)
        self.epoch, self.history = state.epoch, state.history
        self.best = BestWeights.of(state)

    def one_epoch(self) -> EpochReport:
        started = time.monotonic()
        config = self.config
        rate = learning_rate(config, self.epoch)
        set_rate(self.optimizer, rate)
        random = epoch_random(config.seed, self.epoch)
        batches = epoch_batches(len(self.videos), config, random)
        sums = np.zeros(3)
        with self.dropout_of(self.epoch):
            for pair_indices in batches:
                sums += self.step(pair_indices, random)
        self.epoch += 1
        means = dict(zip(("loss", "positive_cosine", "hardest_negative"), (sums / len(batches)).tolist(), strict=True))
        return self.finish(rate, means, self.validated(), time.monotonic() - started)

    def step(self, pair_indices: Sequence[int], random: np.random.Generator) -> tuple[float, float, float]:
        """One batch: cosines, loss, gradients, Adam. returns: loss, mean positive cosine, mean hardest negative"""
        batch = self.videos.batch(pair_indices, self.config, random).to(self.device)
        self.bank.train()  # dropout is at work in the key encoder too, as published
        with self.arithmetic():
            compared = self.replica(batch)
        loss = contrastive_loss(compared.cosines, self.config, compared.ignored)
        descend(loss, self.optimizer, self.scaler)
        value, positive, hardest = torch.stack([loss.detach(), *_closeness(compared)]).tolist()
        if not math.isfinite(value):
            raise BadInput(f"The loss is no longer a number in epoch {self.epoch + 1}. Lower learning_rate.")
        return value, positive, hardest

    def dropout_of(self, epoch: int) -> AbstractContextManager[None]:
        """Inside, dropout draws what this epoch's are; the caller's random state is as it was afterwards."""
        return seeded((self.config.seed * 1_000_003 + epoch) % 2**63, self.device)

    def validated(self) -> Mapping[str, float]:
        """Metrics of the weights as they are, kept if they are the best; nothing where nothing validates."""
        if self.validate is None:
            return {}
        self.bank.eval()
        with torch.no_grad():
            validate = self.validate
            metrics = self.group.from_first(lambda: dict(validate(self.encoder)))
        self.best = self.best.or_those_of(self.encoder, self.epoch, metrics, self.config.select_metric)
        return metrics

    def finish(
        self, rate: float, losses: Mapping[str, float], metrics: Mapping[str, float], seconds: float
    ) -> EpochReport:
        """Closes the epoch: what is best, and the state to go on from."""
        if self.validate is None:
            self.best = BestWeights(copy_state(self.encoder), self.epoch)
        row = {"epoch": self.epoch, "learning_rate": rate, **losses, **metrics}
        self.history = (*self.history, row)
        logger.info("epoch %d of %d: %s", self.epoch, self.config.epochs, row)
        return EpochReport(
            epoch=self.epoch,
            num_epochs=self.config.epochs,
            learning_rate=rate,
            losses=losses,
            metrics=metrics,
            is_best=self.best.epoch == self.epoch,
            seconds=seconds,
            train_state=self.state(),
        )

    def state(self) -> TrainState:
        """Both encoders, bank, pointer, moments, best weights: all that the rest of the run depends on."""
        best = self.best
        return TrainState(
            epoch=self.epoch,
            model=copy_state(self.bank) | scaler_state(self.scaler),
            optimizer=copy_optimizer(self.optimizer, self.bank),
            best=best.state,
            best_epoch=best.epoch,
            best_metrics=best.metrics,
            history=self.history,
        )

    def result(self) -> TcaResult:
        last = copy_state(self.encoder)
        best: dict[str, Tensor] = self.best.state or last
        return TcaResult(best, last, self.best.metrics, self.best.epoch, self.history, self.start_metrics)


def learning_rate(config: TcaConfig, epoch: int) -> float:
    """Learning rate of an epoch counted from 0."""
    if config.schedule == "constant":
        return config.learning_rate
    return config.learning_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2


def _closeness(compared: Compared) -> tuple[Tensor, Tensor]:
    """Mean cosine of the anchors with their positives, and with the nearest key that they are told from."""
    cosines = compared.cosines.detach()
    others = cosines[:, 1:]
    if compared.ignored is not None:
        others = others.masked_fill(compared.ignored, -1)
    return cosines[:, 0].mean(), others.max(1).values.mean()
