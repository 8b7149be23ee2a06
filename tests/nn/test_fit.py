import json

import pytest
import torch
from torch import nn

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.nn.fit import BestWeights, TrainState, copy_optimizer, copy_state, multi_step_rate, restore, set_rate
from vidlang.nn.seed import epoch_generator, seeded


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        optimizer.zero_grad()
        model(torch.randn(4, 3, generator=epoch_generator(0, step))).pow(2).mean().backward()
        optimizer.step()


def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
    with seeded(1):
        model = nn.Linear(3, 2)
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def test_restored_moments_continue_to_the_same_bits():
    model, optimizer = fresh()
    steps(model, optimizer, 0, 3)
    state = TrainState(1, copy_state(model), copy_optimizer(optimizer, model), {}, 0)
    steps(model, optimizer, 3, 6)
    other, other_optimizer = fresh()
    stored = TrainState.from_parts(state.tensors(), json.loads(json.dumps(state.numbers())))
    restore(stored, other, other_optimizer)
    steps(other, other_optimizer, 3, 6)
    assert torch.equal(other.weight, model.weight)


def test_a_state_of_another_model_is_refused():
    model, optimizer = fresh()
    steps(model, optimizer, 0, 1)
    state = TrainState(1, copy_state(model), copy_optimizer(optimizer, model), {}, 0)
    with pytest.raises(BadCheckpoint, match="of another model"):
        restore(state, nn.Linear(4, 2), optimizer)


def test_copies_do_not_follow_the_model():
    model, optimizer = fresh()
    before = copy_state(model)
    steps(model, optimizer, 0, 1)
    assert not torch.equal(before["weight"], model.weight)


def test_the_best_are_the_last_of_the_highest_and_undefined_is_lowest():
    values = [float("nan"), 0.5, float("nan"), 0.5, 0.4]
    best, chosen = BestWeights(), []
    for epoch, value in enumerate(values, start=1):
        model = nn.Linear(1, 1)
        nn.init.constant_(model.weight, epoch)
        best = best.or_those_of(model, epoch, {"map": value}, "map")
        chosen.append((best.epoch, float(best.state["weight"])))
    assert chosen == [(1, 1), (2, 2), (2, 2), (4, 4), (4, 4)]
    assert best.metrics == {"map": 0.5}


def test_a_metric_that_nobody_measures_is_named_with_those_that_are():
    with pytest.raises(BadInput, match=r"no validation metric 'auc' here. Set select_metric to one of: ap, map\.$"):
        BestWeights().or_those_of(nn.Linear(1, 1), 1, {"map": 0.1, "ap": 0.2}, "auc")


def test_rate_falls_at_each_milestone():
    rates = [multi_step_rate(1.0, epoch, (2, 3), 0.1) for epoch in range(5)]
    assert rates == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    _, optimizer = fresh()
    set_rate(optimizer, 0.5)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_seeded_leaves_the_outside_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(9):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(9):
        assert torch.equal(torch.rand(2), inside)
