"""Many processes as one: what training asks of the others, with a stand-in where there are none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vidlang.core.errors import BadInput
from vidlang.nn.device import choose_device

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=1)
"""The others wait so long for the first one, which may have videos to encode. A process that dies ends them at once."""
PATIENCE = 10.0
"""Seconds that a process waits before it says why it ends, so that an error of all is said once: by the first one."""


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

    def barrier(self) -> None:
        """Returns when all have come here."""

    def from_first(self, make: Callable[[], T]) -> T:
        """What rank 0 makes; the others do not call ``make``. It must survive pickling."""


class OneProcess:
    """The group of a process that is alone."""

    rank, size = 0, 1

    def gather(self, tensor: Tensor) -> Tensor:
        return tensor.detach()

    def broadcast(self, tensor: Tensor) -> Tensor:
        return tensor

    def barrier(self) -> None:
        return None

    def from_first(self, make: Callable[[], T]) -> T:
        return make()


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

    def barrier(self) -> None:
        dist.barrier()

    def from_first(self, make: Callable[[], T]) -> T:
        box = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]


def current_group() -> Group:
    """torch.distributed's processes where it runs; this process alone where it does not."""
    return TorchGroup() if dist.is_available() and dist.is_initialized() else OneProcess()


def local_rank() -> int:
    """Number of this process on its machine, as ``torchrun`` says it: which GPU it takes. 0 without ``torchrun``."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def own_device(name: str) -> torch.device:
    """Where this process computes; under ``torchrun`` each takes the GPU of its number.

    Raises:
        BadInput: no such device, or not on this machine.
    """
    device = choose_device(name)
    if device.type != "cuda" or device.index is not None or "LOCAL_RANK" not in os.environ:
        return device
    own = choose_device(f"cuda:{local_rank()}")
    torch.cuda.set_device(own)  # a barrier of nccl runs on the current device
    return own


@contextmanager
def first_alone(group: Group) -> Iterator[None]:
    """The block runs in the first process, and in the others when the first is through: they find what it made."""
    if group.rank:
        group.barrier()
    yield
    if not group.rank:
        group.barrier()


@contextmanager
def process_group(device: torch.device) -> Iterator[Group]:
    """Inside, processes that ``torchrun`` started belong together; a process that was started alone stays alone.

    device: where this process computes; decides between nccl and gloo

    A process that fails ends all: ``torchrun`` stops the others, which have no word of their own to say.

    Raises:
        BadInput: ``torchrun``'s variables are there but the processes do not find each other, or one is lost.
    """
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if alone or (dist.is_available() and dist.is_initialized()):
        yield current_group()
        return
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise BadInput(
            f"The processes of torchrun cannot be joined ({error}). Start them again with torchrun."
        ) from error
    group = TorchGroup()
    try:
        yield group
    except Exception as error:
        lost = _is_lost(error)
        if group.rank or lost:
            time.sleep(PATIENCE)
        if device.type != "cuda":  # nccl may wait for the others here
            with suppress(RuntimeError):
                dist.destroy_process_group()
        if lost:
            raise BadInput(
                "Another process of this training has ended; what it says above or in its log is the reason."
            ) from error
        raise
    dist.destroy_process_group()


def _is_lost(error: Exception) -> bool:
    """Whether a call to the others failed because one of them is no longer there."""
    if isinstance(error, dist.DistError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and ("Connection" in said or "gloo" in said or "NCCL" in said)


def replicated(model: nn.Module, group: Group, device: torch.device, *, some_unused: bool = False) -> nn.Module:
    """The model itself in one process; in many, a wrapper whose backward pass takes the mean of all gradients.

    some_unused: steps need not use all weights; those that no process uses keep no gradient
    Only the wrapper is to be called; weights and state are still read from the model.
    """
    if group.size == 1:
        return model
    if device.type != "cuda":
        return nn.parallel.DistributedDataParallel(model, find_unused_parameters=some_unused)
    index = torch.cuda.current_device() if device.index is None else device.index
    return nn.parallel.DistributedDataParallel(model, device_ids=[index], find_unused_parameters=some_unused)
