"""Arithmetic as an argument: bfloat16 where it is asked for, float32 where it must be."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Inside, matrix products run in this precision; weights stay float32.

    float32 enters nothing, so that it works on devices that know no autocast.
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Inside, arithmetic on x's device is float32 again, whatever is asked for outside."""
    return torch.autocast(x.device.type, enabled=False) if torch.is_autocast_enabled(x.device.type) else nullcontext()
