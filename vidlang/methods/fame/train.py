"""Self-supervised training: MoCo on two views of every clip, one of them before another background.

Source: the published training at 0600c0e.
Differs: what is drawn depends on seed, epoch and process alone, so a run that was stopped goes on to the same bits; one
process needs no torch.distributed; clips in which nothing moves stay whole and are counted.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.core.progress import Progress
from vidlang.methods.fame.augment import Clips, Views
from vidlang.methods.fame.backbones import Backbone, build_backbone
from vidlang.methods.fame.config import FameConfig
from vidlang.methods.fame.moco import MoCo
from vidlang.methods.fame.predict import load_weights, without_head
from vidlang.methods.fame.schedule import RateSchedule
from vidlang.nn.distributed import current_group, replicated
from vidlang.nn.fit import State, TrainState, copy_optimizer, copy_state, restore, set_rate
from vidlang.nn.precision import descend, mixed_precision, scaler_state, without_scaler
from vidlang.nn.seed import epoch_generator, seeded

logger = logging.getLogger(__name__)

PASS_STRIDE = 1_000_003
"""Between the epochs that a source is asked for in one epoch of several passes."""
MANY_STILL = 0.1
"""Share of clips without motion from which a note says so."""


class ClipBatch(Protocol):
    """Two windows of each of some videos."""

    @property
    def clips(self) -> Clips:
        """B items [2, 3, T, H, W] uint8 RGB; one array, or a list where sizes differ."""

    @property
    def indices(self) -> NDArray[np.int64]:
        """[B] places of the videos in the caller's list."""


Source = Callable[[int], Iterable[ClipBatch]]
"""Epoch, counted from 0 → its batches, all of one size, the same ones whenever asked: seed, epoch and rank decide."""


@dataclass(frozen=True, eq=False)
class EpochReport:
    """One finished epoch, for a log line and for going on from here."""

    epoch: int
    """Counted from 1."""
    num_epochs: int
    row: Mapping[str, float]
    """What the log says of it."""
    is_best: bool
    """The best weights so far are of this epoch; where nothing validates, always."""
    train_state: TrainState


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A finished training."""

    state: State
    """Weights of the network: without head after pretraining, with its classes after learning to name actions."""
    last_state: State
    """After pretraining all of MoCo: both networks with heads, queue, pointer; else the weights of the last epoch."""
    metrics: Mapping[str, float]
    """Of the best epoch."""
    best_epoch: int
    """Counted from 1; the last one where nothing validates."""
    history: tuple[Mapping[str, float], ...]
    """One row per epoch."""
    notes: tuple[str, ...] = ()


def new_moco(config: FameConfig, init: Mapping[str, Tensor] | None = None) -> MoCo:
    """Both networks and the queue at the start, from the config's seed.

    init: weights up to the pooled features to start from

    Raises:
        BadCheckpoint: these weights are of another network.
    """

    def make() -> Backbone:
        network = build_backbone(config.arch, head="embed", embed_dim=config.dim)
        if init is not None:
            load_weights(network, init, with_head=False)
        return network

    with seeded(config.seed):
        return MoCo(
            make,
            queue_size=config.queue_size,
            dim=config.dim,
            momentum=config.key_momentum,
            temperature=config.temperature,
        )


def fit(
    source: Source,
    config: FameConfig,
    *,
    init: Mapping[str, Tensor] | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    resume: TrainState | None = None,
) -> TrainResult:
    """Trains a video network without labels.

    init: weights up to the pooled features to start from
    on_epoch gets each finished epoch; the last one it got is all that an interrupted run needs to go on (``resume``).

    Under torch.distributed every process calls this with its own share of every batch; ``on_epoch`` is called in
    process 0 alone, whose result counts (statistics of batch norm are each process's own).

    Raises:
        BadInput: the source gives no batch, the precision does not run on the device, or training diverges; the last
            finished epoch is still good.
        BadCheckpoint: ``init`` or ``resume`` is of another network.
    """
    run = Trainer(source, config, init, device)
    if resume is not None:
        run.go_on(resume)
    with (progress or Progress()).task("training", total=config.epochs, unit="epochs") as task:
        task.advance(run.epoch)
        while run.epoch < config.epochs:
            row = run.one_epoch()
            task.note(loss=row["loss"], top1=row["top1"])
            task.advance(1)
            if on_epoch is not None and run.group.rank == 0:
                on_epoch(EpochReport(run.epoch, config.epochs, row, True, run.state()))
    return run.result()


class Trainer:
    """The moving parts of one training. ``fit`` drives it epoch by epoch."""

    def __init__(
        self,
        source: Source,
        config: FameConfig,
        init: Mapping[str, Tensor] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.source, self.config, self.device = source, config, torch.device(device)
        self.group = current_group()
        self.moco = new_moco(config, init).to(self.device)
        self.replica = replicated(self.moco, self.group, self.device)
        self.views = Views(config, self.device)
        self.optimizer = torch.optim.SGD(
            self.moco.parameters(),
            lr=config.learning_rate,
            momentum=config.sgd_momentum,
            weight_decay=config.weight_decay,
        )
        self.arithmetic, self.scaler = mixed_precision(self.device, config.precision)
        self.schedule = RateSchedule(
            config.learning_rate,
            config.epochs,
            config.schedule,
            config.lr_milestones if config.schedule == "steps" else (),
            config.lr_gamma,
        )
        self.epoch = 0
        self.history: tuple[Mapping[str, float], ...] = ()

    def go_on(self, state: TrainState) -> None:
        restore(without_scaler(state, self.scaler), self.moco, self.optimizer)
        self.epoch, self.history = state.epoch, state.history

    def one_epoch(self) -> Mapping[str, float]:
        """Steps through an epoch. returns: its row of the log"""
        started = time.monotonic()
        rate = self.schedule.rate(self.epoch)
        set_rate(self.optimizer, rate)
        generator = epoch_generator(self.config.seed + 7919 * self.group.rank, self.epoch)
        sums = np.zeros(len(_COUNTS))
        self.moco.train()
        for batch in passes(self.source, self.epoch, self.config.min_batches):
            sums += self.step(batch, generator)
        self.epoch += 1
        row = {"epoch": self.epoch, "learning_rate": rate, **self._means(sums, time.monotonic() - started)}
        self.history = (*self.history, row)
        logger.info("epoch %d of %d: %s", self.epoch, self.config.epochs, row)
        return row

    def step(self, batch: ClipBatch, generator: torch.Generator) -> NDArray[np.float64]:
        """One batch: views, loss, gradients, SGD. returns: what ``_COUNTS`` names"""
        with torch.no_grad():
            views = self.views(batch.clips, generator)
        with self.arithmetic():
            done = self.replica(views.query, views.key, generator)
        descend(done.loss, self.optimizer, self.scaler)
        loss = checked_loss(done.loss, self.epoch + 1)
        clips = len(views.query)
        return np.array(
            [clips, loss * clips, done.accuracy() * clips, views.merged, views.still, views.masked, views.area]
        )

    def _means(self, sums: NDArray[np.float64], seconds: float) -> dict[str, float]:
        """Of the sums of all processes."""
        mine = torch.tensor(sums[None], dtype=torch.float32, device=self.device)
        total = dict(zip(_COUNTS, self.group.gather(mine).double().sum(0).tolist(), strict=True))
        moving = total["masked"] - total["still"]
        row = {
            "loss": total["loss"] / total["clips"],
            "top1": total["top1"] / total["clips"],
            "clips_per_second": 2 * total["clips"] / max(seconds, 1e-9),  # two windows of every video
        }
        if total["masked"]:
            row["merged"] = total["merged"] / total["masked"]
            row["still"] = total["still"] / total["masked"]
            row["area"] = total["area"] / moving if moving else 0.0
        return row

    def state(self) -> TrainState:
        """Both networks, queue, moments, log: all that the rest of the run depends on."""
        return TrainState(
            epoch=self.epoch,
            model=copy_state(self.moco) | scaler_state(self.scaler),
            optimizer=copy_optimizer(self.optimizer, self.moco),
            best={},
            best_epoch=self.epoch,
            history=self.history,
        )

    def result(self) -> TrainResult:
        last: Mapping[str, float] = self.history[-1] if self.history else {}
        return TrainResult(
            state=without_head(copy_state(self.moco.encoder_q)),
            last_state=copy_state(self.moco),
            metrics={name: last[name] for name in ("loss", "top1") if name in last},
            best_epoch=self.epoch,
            history=self.history,
            notes=self._notes(),
        )

    def _notes(self) -> tuple[str, ...]:
        still = [row["still"] for row in self.history if "still" in row]
        share = sum(still) / len(still) if still else 0.0
        if share < MANY_STILL:
            return ()
        return (f"nothing moves in {share:.0%} of the clips, which therefore kept their background",)


_COUNTS = ("clips", "loss", "top1", "merged", "still", "masked", "area")
"""What a step counts: sums over its clips."""


def passes(source: Source, epoch: int, min_batches: int) -> Iterator[ClipBatch]:
    """Batches of an epoch: the source's, then more passes over it until there are enough.

    Raises:
        BadInput: the source gives none.
    """
    done = 0
    for number in count():
        before = done
        for batch in source(epoch + number * PASS_STRIDE):
            yield batch
            done += 1
        if done == before:
            raise BadInput("The videos do not fill one batch. Lower --batch-size, or give more videos.")
        if done >= min_batches:
            return


def checked_loss(loss: Tensor, epoch: int) -> float:
    """
    Raises:
        BadInput: it is not a number any more.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise BadInput(
            f"The loss is no longer a number in epoch {epoch}. Lower learning_rate; the epochs before it are kept, and "
            "--resume goes on from the last of them."
        )
    return value
