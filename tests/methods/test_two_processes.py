"""Two processes that share every batch end where one process ends: same draws, losses, weights, up to rounding.

The two are real ones, with gloo on this machine; they are started once for all methods.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp

sys.path += [str(Path(__file__).parent / method) for method in ("tca", "vadclip", "wtal")]
import tca_small
import vadclip_small
import wtal_small
from text_tower import random_tower

from vidlang.core.errors import BadInput
from vidlang.methods.tca.train import fit as fit_tca
from vidlang.methods.vadclip.data import StoredVideo, streamed_set
from vidlang.methods.vadclip.train import fit as fit_vadclip
from vidlang.methods.wtal.train import fit as fit_wtal
from vidlang.nn.distributed import process_group
from vidlang.nn.fit import TrainState

TOLERANCE = 1e-5
"""Between losses and weights of one process and of two: both round, in another order."""


def tca(**changes: Any) -> Callable[..., Any]:
    config = tca_small.small(**{"epochs": 4, "batch_size": 5, "bank_size": 40, **changes})
    videos = tca_small.small_set(9)

    def validate(encoder: Any) -> dict[str, float]:
        return {"map": sum(float(p.abs().sum()) for p in encoder.parameters())}

    return lambda **given: fit_tca(videos, config, validate=validate, **given)


def vadclip(**changes: Any) -> Callable[..., Any]:
    config = vadclip_small.small(**{"epochs": 4, "batch_size": 5, "join": 2, "lr_milestones": (2,), **changes})
    return lambda **given: fit_vadclip(vadclip_small.small_set(config, 13), config, random_tower(), **given)


def vadclip_streamed() -> Callable[..., Any]:
    config = vadclip_small.small(epochs=2, batch_size=5, join=2)
    rows = [vadclip_small.video(5 + i % 4, seed=i, event=(None, 0, 1)[i % 3]) for i in range(13)]
    names = [[vadclip_small.CLASSES[i % 3]] for i in range(13)]
    stored = [StoredVideo(f"{i}", rows[i].shape, partial(rows.__getitem__, i), names[i]) for i in range(13)]
    videos = streamed_set(stored, vadclip_small.CLASSES, config, most_rows=30)
    return lambda **given: fit_vadclip(videos, config, random_tower(), **given)


def wtal(**changes: Any) -> Callable[..., Any]:
    config = wtal_small.small(**{"batch_size": 7, "warmup_steps": 4, "keep_cls": True, "fb_max_pairs": 20, **changes})
    videos, tower = wtal_small.small_set(config, per_class=3)
    return lambda **given: fit_wtal(videos, config, tower, **given)


TRAININGS: dict[str, Callable[[], Callable[..., Any]]] = {
    "tca": tca,
    "tca, as published": lambda: tca(name="code", batch_size=4, num_negatives=16, bank_size=64, momentum=0.5),
    "tca, triplet": lambda: tca(loss="triplet"),
    "vadclip": vadclip,
    "vadclip, as published": lambda: vadclip(name="ucf-crime", batch_size=3, join=0),
    "vadclip, streamed": vadclip_streamed,
    "vadclip, a batch of one": lambda: vadclip(batch_size=1, epochs=1),
    "wtal": wtal,
    "wtal, convolutions": lambda: wtal(cbp="conv", kd="element", fb_scope="video"),
}
RESUMED = ("tca", "vadclip", "wtal")


def _work(rank: int, port: int, folder: str) -> None:
    """One of two processes: all trainings, one after the other."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with process_group(torch.device("cpu")):
        for name, make in TRAININGS.items():
            found[name] = facts_of(make())
        try:
            tca(encoder="gru")()
        except BadInput as error:
            found["refused"] = str(error)
    torch.save(found, Path(folder) / f"{rank}.pt")


def facts_of(training: Callable[..., Any]) -> dict[str, Any]:
    """Log and weights of a training, and its state after two epochs."""
    states: list[TrainState] = []
    result = training(on_epoch=lambda report: states.append(report.train_state))
    half = states[min(1, len(states) - 1)]
    return {
        "history": [dict(row) for row in result.history],
        "best": (result.best_epoch, dict(result.state)),
        "last": dict(states[-1].tensors()),
        "half": (half.tensors(), half.numbers()),
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_work, (port, str(folder)), nprocs=2)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert len(found["history"]) == len(expected["history"])
    for mine, theirs in zip(found["history"], expected["history"], strict=True):
        assert mine == pytest.approx(theirs, abs=TOLERANCE, rel=TOLERANCE)
    assert found["best"][0] == expected["best"][0]
    for mine, theirs in ((found["best"][1], expected["best"][1]), (found["last"], expected["last"])):
        assert mine.keys() == theirs.keys()
        for name in mine:
            pair = (without_key_bias(name, weights[name]) for weights in (mine, theirs))
            torch.testing.assert_close(*pair, atol=TOLERANCE, rtol=TOLERANCE, msg=name)


def without_key_bias(name: str, value: torch.Tensor) -> torch.Tensor:
    """A bias of attention's keys shifts all scores of a softmax alike: its gradient is 0 but for rounding, which Adam
    scales up to whole steps."""
    if "in_proj" not in name or "bias" not in name or not value.ndim:
        return value
    query, _, rest = value.chunk(3)
    return torch.cat([query, rest])


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_end_where_one_does(two, name):
    expected = facts_of(TRAININGS[name]())
    assert_same(two[0][name], expected)


@pytest.mark.parametrize("name", TRAININGS)
def test_both_processes_have_the_same_bits(two, name):
    first, second = (found[name] for found in two)
    assert first["history"] == second["history"]
    assert all(torch.equal(value, second["last"][key]) for key, value in first["last"].items())


@pytest.mark.parametrize("name", RESUMED)
def test_one_process_goes_on_where_two_stopped(two, name):
    alone = facts_of(TRAININGS[name]())
    half = TrainState.from_parts(*two[0][name]["half"])
    assert 0 < half.epoch < len(alone["history"])
    states: list[TrainState] = []
    result = TRAININGS[name]()(resume=half, on_epoch=lambda report: states.append(report.train_state))
    assert_same(
        {
            "history": [dict(row) for row in result.history],
            "best": (result.best_epoch, dict(result.state)),
            "last": states[-1].tensors(),
        },
        alone,
    )


def test_networks_that_compare_all_videos_of_a_step_are_not_shared(two):
    assert all("gru trains in one process" in found["refused"] for found in two)
