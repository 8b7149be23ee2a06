"""Many processes as one: what training asks of the others, with a stand-in where there are none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vidlang.core.errors import BadInput


class Group(Protocol):
    """The processes that train together. Every call but ``rank`` and ``size`` must be made by all of them."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def size(self) -> int:
        """How many processes there are."""

    def gather(self, tensor: Tensor) -> Tensor:
        """Everyone's tensor, along the first axis, by rank. No gradient. tensor: [n, …], the same shape everywhere
        returns: [size * n, …]"""

    def broadcast(self, tensor: Tensor) -> Tensor:
        """The tensor of rank 0; the others give one of its shape and type."""

    def mean(self, tensor: Tensor) -> Tensor:
        """Mean over the processes, element by element. No gradient."""

    def barrier(self) -> None:
        """Returns when all have come here."""


class OneProcess:
    """The group of a process that is alone."""

    rank, size = 0, 1

    def gather(self, tensor: Tensor) -> Tensor:
        return tensor.detach()

    def broadcast(self, tensor: Tensor) -> Tensor:
        return tensor

    def mean(self, tensor: Tensor) -> Tensor:
        return tensor.detach()

    def barrier(self) -> None:
        return None


class TorchGroup:
    """The default group of torch.distributed. Tensors lie where its backend wants them: on the GPU for nccl."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def gather(self, tensor: Tensor) -> Tensor:
        mine = tensor.detach().contiguous()
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine)
        return torch.cat(parts)

    def broadcast(self, tensor: Tensor) -> Tensor:
        shared = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.broadcast(shared, src=0)
        return shared

    def mean(self, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total / self.size

    def barrier(self) -> None:
        dist.barrier()


def current_group() -> Group:
    """torch.distributed's processes where it runs; this process alone where it does not."""
    return TorchGroup() if dist.is_available() and dist.is_initialized() else OneProcess()


def local_rank() -> int:
    """Number of this process on its machine, as ``torchrun`` says it: which GPU it takes. 0 without ``torchrun``."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def process_group(device: torch.device) -> Iterator[Group]:
    """Inside, processes that ``torchrun`` started belong together; a process that was started alone stays alone.

    device: where this process computes; decides between nccl and gloo

    Raises:
        BadInput: ``torchrun``'s variables are there but the processes do not find each other.
    """
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if alone or (dist.is_available() and dist.is_initialized()):
        yield current_group()
        return
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise BadInput(
            f"The processes of torchrun cannot be joined ({error}). Start them again with torchrun."
        ) from error
    try:
        yield TorchGroup()
    finally:
        dist.destroy_process_group()


def replicated(model: nn.Module, group: Group, device: torch.device) -> nn.Module:
    """The model itself in one process; in many, a wrapper whose backward pass takes the mean of all gradients.

    Only the wrapper is to be called; weights and state are still read from the model.
    """
    if group.size == 1:
        return model
    if device.type != "cuda":
        return nn.parallel.DistributedDataParallel(model)
    index = torch.cuda.current_device() if device.index is None else device.index
    return nn.parallel.DistributedDataParallel(model, device_ids=[index])
