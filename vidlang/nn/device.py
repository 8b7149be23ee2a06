"""Which device to compute on."""

from __future__ import annotations

import torch

from vidlang.core.errors import BadInput


def choose_device(name: str = "auto") -> torch.device:
    """``auto`` (CUDA, then MPS, then CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` → the device.

    Raises:
        BadInput: no such kind of device, or not on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"There is no device {name!r}. Use auto, cpu, cuda, cuda:N or mps.") from error
    if device.type == "cuda":
        _check_cuda(name, device.index)
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise BadInput(f"Device {name!r} is not on this machine. Use --device cpu or --device auto.")
    elif device.type != "cpu":
        raise BadInput(f"There is no device {name!r}. Use auto, cpu, cuda, cuda:N or mps.")
    return device


def _check_cuda(name: str, index: int | None) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise BadInput(
            f"Device {name!r} is not on this machine: torch {torch.__version__} finds no CUDA device. "
            "Use --device cpu or --device auto."
        )
    if index is not None and index >= count:
        raise BadInput(f"Device {name!r} is not on this machine: it has cuda:0 to cuda:{count - 1}.")
