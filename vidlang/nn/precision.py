"""Arithmetic as an argument: bfloat16 where it is asked for, float32 where it must be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.nn.fit import State, TrainState

Precision = Literal["float32", "bfloat16"]
SCALER = "scaler/"
"""How the numbers of float16's scaler are called among the weights of a training state."""


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Inside, matrix products run in this precision; weights stay float32.

    float32 enters nothing, so that it works on devices that know no autocast.
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Inside, arithmetic on x's device is float32 again, whatever is asked for outside."""
    return torch.autocast(x.device.type, enabled=False) if torch.is_autocast_enabled(x.device.type) else nullcontext()


def mixed_precision(
    device: torch.device, precision: Literal["float32", "bfloat16", "float16"]
) -> tuple[Callable[[], AbstractContextManager[object]], torch.amp.GradScaler]:
    """What forward passes run in, and what keeps small gradients of float16 from vanishing.

    Raises:
        BadInput: float16 on a device other than CUDA.
    """
    if precision != "float16":
        return partial(arithmetic, device, precision), torch.amp.GradScaler(device.type, enabled=False)
    if device.type != "cuda":
        raise BadInput(f"precision float16 needs a CUDA device, here is {device}. Use bfloat16 or float32.")
    return partial(torch.autocast, device.type, torch.float16), torch.amp.GradScaler(device.type)


def descend(loss: Tensor, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
    """One step of the optimizer, along the gradients of this loss alone; what it does not reach has no gradient."""
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()


def scaler_state(scaler: torch.amp.GradScaler) -> State:
    """Its numbers as tensors; none where it does nothing."""
    return {f"{SCALER}{name}": torch.tensor(value) for name, value in scaler.state_dict().items()}


def without_scaler(state: TrainState, scaler: torch.amp.GradScaler) -> TrainState:
    """The state without the scaler's numbers, which the scaler takes up."""
    numbers = {name[len(SCALER) :]: value.item() for name, value in state.model.items() if name.startswith(SCALER)}
    if numbers and scaler.is_enabled():
        scaler.load_state_dict(numbers)
    return replace(state, model={name: value for name, value in state.model.items() if not name.startswith(SCALER)})
