from __future__ import annotations

import pytest
import torch

from vidlang.core.errors import BadInput
from vidlang.nn.device import choose_device


def without_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_auto_takes_the_best_there_is(monkeypatch: pytest.MonkeyPatch):
    without_accelerators(monkeypatch)
    assert choose_device() == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("mps")
    with_gpus(monkeypatch, 1)
    assert choose_device("auto") == torch.device("cuda")


def test_a_named_device_is_taken(monkeypatch: pytest.MonkeyPatch):
    with_gpus(monkeypatch, 2)
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_an_absent_device_is_refused(monkeypatch: pytest.MonkeyPatch, name: str):
    without_accelerators(monkeypatch)
    with pytest.raises(BadInput, match=rf"Device '{name}' is not on this machine.*Use --device cpu or --device auto\."):
        choose_device(name)


def test_a_gpu_too_many_is_refused(monkeypatch: pytest.MonkeyPatch):
    with_gpus(monkeypatch, 2)
    with pytest.raises(BadInput, match="it has cuda:0 to cuda:1"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "meta", "cuda:x"])
def test_nonsense_is_refused(name: str):
    with pytest.raises(BadInput, match="Use auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)
