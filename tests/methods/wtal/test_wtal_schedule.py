"""Warm-up and rounds: which epoch belongs to what, read off the log."""

from __future__ import annotations

import pytest
from wtal_small import small

from vidlang.methods.wtal.schedule import Phase, Schedule, phase_losses


def schedule(steps_per_pass: int = 2, steps_per_epoch: int = 2, **changes) -> Schedule:
    return Schedule(small(**changes), steps_per_pass, steps_per_epoch)


@pytest.mark.parametrize(("steps", "expected"), [("BF", "B1 F1 B2 F2"), ("B", "B1 B2"), ("F", "F1 F2")])
def test_rounds_follow_the_warm_up(steps, expected):
    phases = schedule(steps=steps, rounds=2).phases()
    assert phases[0] == Phase(0, "warm-up")
    assert " ".join(f"{phase.step}{phase.round}" for phase in phases[1:]) == expected


def test_no_rounds_are_the_warm_up_alone():
    assert schedule(rounds=0).phases() == [Phase(0, "warm-up")]


@pytest.mark.parametrize(
    ("steps", "passes", "least", "epochs"),
    [(1500, 100, 300, 150), (1500, 1000, 300, 750), (40, 100, 0, 20), (40, 100, 300, 150), (41, 100, 0, 21)],
)
def test_the_smaller_limit_of_the_warm_up_counts_but_never_under_its_least(steps, passes, least, epochs):
    plan = schedule(warmup_steps=steps, warmup_passes=passes, warmup_min_steps=least)
    # 2 steps per pass: 100 passes are 200 steps
    assert plan.longest(Phase(0, "warm-up")) == epochs


def test_a_phase_lasts_its_passes_or_its_least_steps():
    assert schedule(phase_passes=20, phase_min_steps=0).longest(Phase(1, "B")) == 20
    assert schedule(phase_passes=20, phase_min_steps=100).longest(Phase(1, "B")) == 50
    assert schedule(phase_passes=20, phase_min_steps=100, steps_per_epoch=10).longest(Phase(1, "F")) == 10


def test_the_log_says_where_a_training_stands():
    plan = schedule(rounds=1)
    history = [{"loss": 3.0}, {"loss": 2.0, "phase_end": 1}, {"loss": 5.0}]
    assert plan.at([]) == Phase(0, "warm-up")
    assert plan.at(history) == Phase(1, "B")
    assert phase_losses(history) == [5.0]
    over = [*history, {"loss": 1.0, "phase_end": 1}, {"loss": 1.0, "phase_end": 1}]
    assert plan.at(over) is None
    assert plan.at([{"loss": 3.0, "phase_end": 1, "stopped": 1}]) is None


def test_a_warm_up_ends_where_its_loss_stays():
    plan = schedule(warmup_steps=1000, plateau_epochs=3, plateau_gain=0.1)
    warm_up = Phase(0, "warm-up")
    assert not plan.ends(warm_up, [1.0, 0.8, 0.6, 0.5])
    assert not plan.ends(warm_up, [1.0, 0.5, 0.6, 0.4, 0.6])  # 0.4 is 20 % better than 0.5
    assert plan.ends(warm_up, [1.0, 0.5, 0.49, 0.48, 0.47])  # 6 % are not 10
    assert not schedule(warmup_steps=1000, plateau_epochs=0).ends(warm_up, [1.0] * 20)
    assert not schedule(warmup_steps=1000, warmup_min_steps=50, plateau_epochs=3).ends(warm_up, [1.0] * 20)
    assert not schedule(phase_passes=50, plateau_epochs=3).ends(Phase(1, "B"), [1.0] * 20)
