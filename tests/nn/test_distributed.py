"""A process alone, and two that belong together. The two are real ones, with gloo on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn

from vidlang.core.errors import BadInput
from vidlang.nn.distributed import current_group, local_rank, process_group, replicated

CPU = torch.device("cpu")


def test_alone_everything_is_ones_own():
    group, x = current_group(), torch.arange(6.0).reshape(2, 3).requires_grad_()
    assert (group.rank, group.size) == (0, 1)
    assert torch.equal(group.gather(x), x)
    assert not group.gather(x).requires_grad
    assert torch.equal(group.broadcast(x), x)
    group.barrier()


def test_without_torchrun_no_processes_are_joined(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    model = nn.Linear(3, 2)
    with process_group(CPU) as group:
        assert group.size == 1
        assert replicated(model, group, CPU) is model
    assert local_rank() == 0


def test_processes_that_cannot_be_joined_are_the_users_affair(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInput, match="torchrun"), process_group(CPU):
        pass
    assert current_group().size == 1


def _work(rank: int, port: int, folder: str) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    found: dict[str, Tensor] = {}
    with process_group(CPU) as group:
        found["who"] = torch.tensor([group.rank, group.size, current_group().size, local_rank()])
        mine = torch.arange(4.0).reshape(2, 2).T + 10 * rank  # not contiguous
        found["gathered"] = group.gather(mine)
        found["from rank 0"] = group.broadcast(mine)
        found["own"] = mine
        group.barrier()
    found["after"] = torch.tensor(current_group().size)
    torch.save(found, Path(folder) / f"{rank}.pt")


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict[str, Tensor]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_work, (port, str(folder)), nprocs=2)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_two_processes_know_each_other(two):
    assert [found["who"].tolist() for found in two] == [[0, 2, 2, 0], [1, 2, 2, 1]]
    assert [int(found["after"]) for found in two] == [1, 1]


def test_gathering_goes_by_rank(two):
    expected = torch.tensor([[0.0, 2.0], [1.0, 3.0], [10.0, 12.0], [11.0, 13.0]])
    assert all(torch.equal(found["gathered"], expected) for found in two)


def test_broadcast_gives_the_first_ones_and_leaves_ones_own(two):
    assert all(torch.equal(found["from rank 0"], two[0]["own"]) for found in two)
    assert torch.equal(two[1]["own"], two[0]["own"] + 10)
