"""The folder of a training: its name, what it remembers, and what resuming asks for."""

from __future__ import annotations

import json

import pytest
import torch

from vidlang.core import BadInput
from vidlang.nn.fit import TrainState
from vidlang.workflows.runs import RunFolder, choose_name, runs_folder


def state(epoch: int) -> TrainState:
    return TrainState(
        epoch=epoch,
        model={"weight": torch.full((2,), float(epoch))},
        optimizer={},
        best={"weight": torch.zeros(2)},
        best_epoch=epoch,
        best_metrics={"map": 0.5},
        history=tuple({"epoch": float(number), "loss": 1.0} for number in range(1, epoch + 1)),
    )


@pytest.fixture
def start(workspace):
    def call(name: str, resume: bool = False, **facts) -> tuple[RunFolder, TrainState | None]:
        run = RunFolder(runs_folder(workspace, "tca") / name, {"seed": 0, "sizes": (1, 2), **facts})
        return run, run.open(resume=resume)

    return call


def test_a_name_that_is_free_is_taken_and_a_taken_one_refused(workspace, start):
    assert choose_name(workspace, "tca", "first", resume=False) == "first"
    start("first")
    with pytest.raises(BadInput, match="a run called 'first' already"):
        choose_name(workspace, "tca", "first", resume=False)
    assert choose_name(workspace, "vadclip", "first", resume=False) == "first"
    assert len(choose_name(workspace, "tca", None, resume=False)) > 10
    with pytest.raises(BadInput):
        choose_name(workspace, "tca", "../elsewhere", resume=False)


def test_the_newest_unfinished_run_is_resumed(workspace, start):
    with pytest.raises(BadInput, match="no unfinished run"):
        choose_name(workspace, "tca", None, resume=True)
    for name in ("1", "2", "3"):
        start(name)
    start("3")[0].finish()
    assert choose_name(workspace, "tca", None, resume=True) == "2"
    assert choose_name(workspace, "tca", "1", resume=True) == "1"
    assert choose_name(workspace, "tca", "3", resume=True) == "3"  # by name also a finished one
    with pytest.raises(BadInput, match="no run called '4' to resume"):
        choose_name(workspace, "tca", "4", resume=True)


def test_a_run_of_which_nothing_reads_is_no_unfinished_one(workspace, start):
    start("1")
    run, _ = start("2")
    (run.path / "run.json").write_text('{"fini')
    assert choose_name(workspace, "tca", None, resume=True) == "1"
    with pytest.raises(BadInput, match=r"run\.json"):
        start("2", resume=True)


def test_a_resumed_run_gets_the_state_that_was_kept(start):
    run, found = start("a")
    assert found is None and json.loads((run.path / "run.json").read_text())["finished"] is False
    run.keep(state(1))
    run.keep(state(2))
    again, found = start("a", resume=True)
    assert found is not None and found.epoch == 2 and found.history == state(2).history
    torch.testing.assert_close(found.model["weight"], torch.full((2,), 2.0))
    rows = [json.loads(line) for line in (again.path / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2] and {row["schema"] for row in rows} == {"vidlang.train.log/1"}
    again.finish()
    assert json.loads((run.path / "run.json").read_text())["finished"] is True


def test_a_run_that_ended_in_its_first_epoch_begins_anew(start):
    start("a")
    assert start("a", resume=True)[1] is None


def test_a_run_is_resumed_as_it_was_started_or_not_at_all(start):
    start("a")[0].keep(state(1))
    with pytest.raises(BadInput, match="started with another seed, videos"):
        start("a", resume=True, seed=1, videos=["x.mp4"])
    assert start("a", resume=True)[1] is not None
