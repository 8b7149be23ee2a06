"""Pieces of a training loop that can stop after any epoch and go on to the same bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vidlang.core.errors import BadCheckpoint, BadInput

State = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class TrainState:
    """Everything that the rest of a run depends on. Shuffles come from seed and epoch, so no random state is in it.

    ``tensors()`` and ``numbers()`` are its two halves for a file; ``from_parts`` puts them together.
    """

    epoch: int
    """Finished epochs."""
    model: State
    optimizer: State
    """``<parameter>/<moment>`` → tensor."""
    best: State
    """Weights of the best validation; the last ones where nothing validates."""
    best_epoch: int
    """Epoch of ``best``, counted from 1; 0 before there is one."""
    best_metrics: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = ()
    """One row per finished epoch."""

    def tensors(self) -> State:
        """All tensors in one flat dict: ``model/…``, ``optimizer/…``, ``best/…``."""
        halves = {"model": self.model, "optimizer": self.optimizer, "best": self.best}
        return {f"{half}/{name}": value for half, state in halves.items() for name, value in state.items()}

    def numbers(self) -> dict[str, Any]:
        """The rest, ready for JSON."""
        return {
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_metrics": dict(self.best_metrics),
            "history": [dict(row) for row in self.history],
        }

    @classmethod
    def from_parts(cls, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> TrainState:
        """The state whose halves were stored.

        Raises:
            BadCheckpoint: a part is missing.
        """
        halves: dict[str, State] = {"model": {}, "optimizer": {}, "best": {}}
        try:
            for name, value in tensors.items():
                half, rest = name.split("/", 1)
                halves[half][rest] = value
            return cls(
                epoch=int(numbers["epoch"]),
                best_epoch=int(numbers["best_epoch"]),
                best_metrics=dict(numbers["best_metrics"]),
                history=tuple(numbers["history"]),
                **halves,
            )
        except (KeyError, ValueError) as error:
            message = f"The stored training state cannot be read ({error}). Start the training anew."
            raise BadCheckpoint(message) from error


@dataclass(frozen=True, eq=False)
class BestWeights:
    """The best weights so far."""

    state: State = field(default_factory=dict)
    epoch: int = 0
    """Counted from 1; 0 before there are any."""
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, state: TrainState) -> BestWeights:
        return cls(dict(state.best), state.best_epoch, state.best_metrics)

    def or_those_of(self, model: nn.Module, epoch: int, metrics: Mapping[str, float], name: str) -> BestWeights:
        """The model's weights, unless these here have a higher metric of that name: of equally good ones the later.

        A metric that is undefined, such as the AUC of one kind of video, is the worst.

        Raises:
            BadInput: it is not among the metrics.
        """
        if name not in metrics:
            known = ", ".join(sorted(metrics))
            raise BadInput(f"There is no validation metric {name!r} here. Set select_metric to one of: {known}.")
        if self.state and _rank(metrics[name]) < _rank(self.metrics[name]):
            return self
        return BestWeights(copy_state(model), epoch, metrics)


@dataclass(frozen=True, eq=False)
class EpochReport:
    """One finished epoch, for a log line and for going on from here."""

    epoch: int
    """Counted from 1."""
    num_epochs: int
    """Epochs of the whole training, if nothing ends it early."""
    learning_rate: float
    losses: Mapping[str, float]
    """Means over the batches."""
    metrics: Mapping[str, float]
    """Of the last validation in this epoch; empty where nothing validates."""
    is_best: bool
    """The best weights so far are of this epoch."""
    seconds: float
    train_state: TrainState


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A finished training."""

    state: State
    """Weights of the best epoch; of the last one where nothing validates."""
    last_state: State
    metrics: Mapping[str, float]
    """Of the best epoch."""
    best_epoch: int
    """Counted from 1."""
    history: tuple[Mapping[str, float], ...]
    """One row per epoch: epoch, learning_rate, losses, metrics."""


def _rank(metric: float) -> float:
    return -math.inf if math.isnan(metric) else metric


def copy_state(model: nn.Module) -> State:
    """The weights as they are at this moment, on the CPU."""
    return {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}


def copy_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module) -> State:
    """The optimizer's moments by parameter name, on the CPU."""
    return {
        f"{name}/{moment}": value.detach().to("cpu", copy=True)
        for name, parameter in model.named_parameters()
        for moment, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore(state: TrainState, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Puts weights and moments back.

    The optimizer holds the model's parameters in one group, in the model's order.

    Raises:
        BadCheckpoint: the state is of another model.
    """
    moments: dict[int, dict[str, Tensor]] = {}
    names = [name for name, _ in model.named_parameters()]
    try:
        model.load_state_dict(state.model)
        for key, value in state.optimizer.items():
            name, moment = key.rsplit("/", 1)
            moments.setdefault(names.index(name), {})[moment] = value.clone()
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, ValueError) as error:
        raise BadCheckpoint("The stored training state is of another model. Start the training anew.") from error


def multi_step_rate(start: float, epoch: int, milestones: Sequence[int], gamma: float) -> float:
    """Learning rate of an epoch counted from 0: ``start`` times ``gamma`` for every milestone that was reached."""
    return start * gamma ** sum(epoch >= milestone for milestone in milestones)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
