"""Training: it learns, it stops and goes on to the same bits, it keeps the best."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from text_tower import random_tower
from vadclip_small import small, small_set, video

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.vadclip.data import training_set
from vidlang.methods.vadclip.predict import Predictor
from vidlang.methods.vadclip.train import TrainState, fit, new_model


def equal(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["custom", "ucf-crime", "xd-violence-paper"])
def test_a_small_set_is_learned(tower, name):
    config = small(name, epochs=40, learning_rate=3e-3)
    videos = small_set(config)
    result = fit(videos, config, tower)
    first, last = result.history[0]["total"], result.history[-1]["total"]
    assert last < 0.3 * first
    predictor = Predictor(result.state, config, videos.class_names, videos.prompts, tower)
    normal, fight = predictor.predict(video(12, seed=9)), predictor.predict(video(11, seed=10, event=0))  # of the set
    assert fight.c_branch.max() > 0.5 > normal.c_branch.max()
    assert fight.classes[fight.a_branch.argmax()].argmax() == 1


def test_two_classes_are_enough(tower):
    config = small(epochs=20, learning_rate=3e-3)
    rows = [(f"{i}", video(6, seed=i, event=3 if i % 2 else None), [("calm", "alarm")[i % 2]]) for i in range(8)]
    result = fit(training_set(rows, ["calm", "alarm"], config), config, tower)
    assert result.history[-1]["total"] < 0.3 * result.history[0]["total"]


def test_several_labels_at_once_are_learned(tower):
    config = small(epochs=25, learning_rate=3e-3, multi_label=True)
    both = video(8, seed=5, event=0)
    both[2, 1] += 8
    rows = [("n", video(8, seed=1), ["Normal"]), ("b", both, ["Fighting", "CarAccident"])]
    videos = training_set(rows, ("Normal", "Fighting", "CarAccident"), config)
    result = fit(videos, config, tower)
    classes = Predictor(result.state, config, videos.class_names, videos.prompts, tower).predict(both).classes
    assert result.history[-1]["alignment"] < 0.6  # two equal classes cannot cost less than log(2) / 2 per video
    assert classes[:, 1].max() > 0.3
    assert classes[:, 2].max() > 0.3


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tower):
    config = small(epochs=1)
    first, again = (fit(small_set(config), config, tower).state for _ in range(2))
    other = fit(small_set(config), small(epochs=1, seed=1), tower).state
    assert equal(first, again)
    assert not equal(first, other)


def test_training_leaves_the_callers_random_state_alone(tower):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(small_set(small()), small(epochs=1), tower)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["custom", "ucf-crime"])
def test_a_resumed_run_ends_on_the_same_bits(tower, name):
    config = small(name, epochs=4, lr_milestones=(2,), select_metric="score")
    videos = small_set(config)

    def validate(model) -> dict[str, float]:
        return {"score": -float(model.classifier.weight.norm())}

    whole = fit(videos, config, tower, validate=validate)
    stopped = []

    def stop(report) -> None:
        stopped.append(report.train_state)
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(videos, config, tower, validate=validate, on_epoch=stop)
    tensors = {name: value.clone() for name, value in stopped[-1].tensors().items()}
    stored = TrainState.from_parts(tensors, json.loads(json.dumps(stopped[-1].numbers())))
    resumed = fit(videos, config, tower, validate=validate, resume=stored)
    assert equal(resumed.last_state, whole.last_state)
    assert equal(resumed.state, whole.state)
    assert list(resumed.history) == list(whole.history)
    assert resumed.best_epoch == whole.best_epoch


def test_an_interrupted_epoch_leaves_the_last_finished_one_untouched(tower):
    config = small(epochs=3)
    videos, reports, kept = small_set(config), [], []

    def keep(report) -> None:
        reports.append(report)
        kept.append(copy.deepcopy(report.train_state.tensors()))

    fit(videos, config, tower, on_epoch=keep)
    assert equal(reports[0].train_state.tensors(), kept[0])


def test_best_weights_are_those_of_the_highest_metric(tower):
    config = small(epochs=3, select_metric="score")
    scores = iter([0.2, 0.9, 0.5])
    reports = []
    result = fit(small_set(config), config, tower, validate=lambda _: {"score": next(scores)}, on_epoch=reports.append)
    assert result.best_epoch == 2
    assert result.metrics == {"score": 0.9}
    assert [report.is_best for report in reports] == [True, True, False]
    assert equal(result.state, reports[1].train_state.model)
    assert equal(result.last_state, reports[2].train_state.model)


def test_of_equal_validations_the_later_counts_and_undefined_ones_never(tower):
    config = small(epochs=4, select_metric="score")
    scores = iter([float("nan"), 1.0, 1.0, float("nan")])
    assert fit(small_set(config), config, tower, validate=lambda _: {"score": next(scores)}).best_epoch == 3


def test_published_training_goes_back_to_the_best_at_each_epoch_end(tower):
    config = small("ucf-crime", epochs=2, select_metric="score")
    scores, reports = iter([0.9, 0.1]), []
    fit(small_set(config), config, tower, validate=lambda _: {"score": next(scores)}, on_epoch=reports.append)
    assert equal(reports[1].train_state.model, reports[0].train_state.model)


def test_validation_every_few_batches_runs_after_them(tower):
    config = small(epochs=1, batch_size=1, validate_every=2, select_metric="score")
    calls = []
    fit(small_set(config), config, tower, validate=lambda _: calls.append(1) or {"score": len(calls)})
    assert len(calls) == 3  # 8 steps, 0 to 7: after 2, 4 and 6


def test_without_validation_the_last_weights_are_kept(tower):
    result = fit(small_set(small()), small(), tower)
    assert result.best_epoch == 2
    assert equal(result.state, result.last_state)


def test_learning_rate_falls_at_its_milestones(tower):
    config = small(epochs=3, lr_milestones=(1, 2), learning_rate=1e-3)
    rates = [row["learning_rate"] for row in fit(small_set(config), config, tower).history]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-5])


def test_the_tower_stays_frozen_and_runs_once_per_batch(tower):
    before = {name: value.clone() for name, value in tower.state.items()}
    config = small(epochs=1)
    fit(small_set(config), config, tower)
    assert equal(before, tower.state)
    assert tower.calls == 2  # 8 abnormal videos, 4 per batch


def test_bfloat16_learns_too(tower):
    config = small(epochs=25, learning_rate=3e-3, precision="bfloat16")
    result = fit(small_set(config), config, tower)
    assert result.history[-1]["total"] < 0.4 * result.history[0]["total"]
    assert all(value.dtype == torch.float32 for value in result.state.values())


def test_wrong_pieces_are_named(tower):
    config = small(select_metric="auc", epochs=1)
    videos = small_set(config)
    with pytest.raises(BadInput, match=r"no validation metric 'auc' here\. Set select_metric to one of: ap, f1"):
        fit(videos, config, tower, validate=lambda _: {"f1": 0.0, "ap": 0.0})
    with pytest.raises(BadInput, match="dimension 32, the text encoder's space has 16"):
        fit(videos, config, random_tower(dim=16))
    with pytest.raises(BadInput, match=r"no longer a number in epoch 1\. Lower learning_rate"):
        wild = small(learning_rate=1e30, epochs=1, batch_size=1)
        fit(videos, wild, tower)
    other = fit(videos, config, tower)
    state = TrainState(1, {"x": torch.zeros(1)}, {}, other.state, 1)
    with pytest.raises(BadCheckpoint, match="of another model"):
        fit(videos, config, tower, resume=state)
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        TrainState.from_parts({"model/x": torch.zeros(1)}, {"epoch": 1})


def test_a_new_model_has_the_published_spread(tower):
    model = new_model(small(), tower)
    assert model.frame_position_embeddings.weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert model.disAdj.sigma.item() == pytest.approx(0.1)
    assert np.all(model.temporal.resblocks[0].attn.in_proj_bias.detach().numpy() == 0)
