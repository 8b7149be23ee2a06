"""Training: it learns, it stops and goes on to the same bits, it keeps the best."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from tca_small import WIDTH, small, small_set, video

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.tca.data import TrainingSet
from vidlang.methods.tca.predict import Embedder, PlainEmbedder
from vidlang.methods.tca.train import Trainer, TrainState, fit, learning_rate
from vidlang.nn.fit import restore


def equal(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


HELD_OUT = [[video(6, seed=50 + i, disturbance=by * (-1) ** i) for i in range(20)] for by in (0.0, 3.0)]


def margin(embedder, originals=HELD_OUT[0], copies=HELD_OUT[1]) -> float:
    """How much nearer a video is to its disturbed copy than to the nearest other copy, on average."""
    first, second = (np.stack([vector for vector, _ in embedder.embed_many(part)]) for part in (originals, copies))
    cosines = first @ second.T
    own = np.diag(cosines).copy()
    np.fill_diagonal(cosines, -1)
    return float((own - cosines.max(1)).mean())


def gap(row) -> float:
    return row["positive_cosine"] - row["hardest_negative"]


@pytest.mark.parametrize("loss", ["infonce", "circle", "triplet"])
def test_a_small_set_is_learned_with_every_loss(loss):
    config = small(loss=loss, epochs=30, dropout=0.0, temporal_edits=False, gamma=32.0, residual=False)
    history = fit(small_set(), config).history
    assert history[-1]["loss"] < 0.9 * history[2]["loss"]  # the bank is full after two epochs
    assert gap(history[-1]) > gap(history[2])


@pytest.mark.parametrize("encoder", ["transformer", "netvlad", "nextvlad", "lstm", "gru"])
def test_a_small_set_is_learned_with_every_encoder(encoder):
    still = {"dropout": 0.0, "vlad_dropout": 0.0, "recurrent_dropout": 0.0}
    config = small(encoder=encoder, epochs=60, temporal_edits=False, batch_size=8, **still)
    videos = small_set()
    trained = Embedder.from_state(fit(videos, config).state, config, WIDTH)
    untrained = Embedder(Trainer(videos, config).encoder)
    pairs = videos.rows[:8], videos.rows[8:16]
    assert margin(trained, *pairs) > margin(untrained, *pairs) + 0.05


def test_training_tells_held_out_videos_better_apart():
    config = small(epochs=40)
    result = fit(small_set(num=24), config)
    assert margin(Embedder.from_state(result.state, config, WIDTH)) > margin(PlainEmbedder()) + 0.04


def test_pairs_made_by_edits_alone_and_no_distractors_are_enough():
    rows = [video(10 + i, seed=i) for i in range(5)]
    config = small(epochs=20, batch_size=8, bank_size=0)
    result = fit(TrainingSet(rows, [(i, i) for i in range(5)]), config)
    assert result.state["residual_scale"] != 0
    assert margin(Embedder.from_state(result.state, config, WIDTH)) > margin(PlainEmbedder()) - 0.05


@pytest.mark.parametrize("name", ["paper", "code"])
def test_published_settings_run(name):
    config = small(name, epochs=2, dropout=0.2)
    result = fit(small_set(), config)
    assert all(np.isfinite(row["loss"]) for row in result.history)
    assert "residual_scale" not in result.state


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    first, again = (fit(small_set(), small()).state for _ in range(2))
    assert equal(first, again)
    assert not equal(first, fit(small_set(), small(seed=1)).state)


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(small_set(), small(dropout=0.5))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("custom", {}),
        ("custom", {"momentum": 0.9, "residual": False}),
        ("code", {"dropout": 0.2}),
        ("custom", {"encoder": "nextvlad"}),
    ],
    ids=str,
)
def test_a_resumed_run_ends_on_the_same_bits(name, changes):
    config = small(name, epochs=4, select_metric="score", bank_size=40, **changes)  # 5 steps; an epoch has 2
    videos = small_set()

    def validate(encoder) -> dict[str, float]:
        return {"score": sum(float(parameter.abs().sum()) for parameter in encoder.parameters()) % 1}

    whole = fit(videos, config, validate=validate)
    stopped = []

    def stop(report) -> None:
        stopped.append(report.train_state)
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(videos, config, validate=validate, on_epoch=stop)
    tensors = {name: value.clone() for name, value in stopped[-1].tensors().items()}
    stored = TrainState.from_parts(tensors, json.loads(json.dumps(stopped[-1].numbers())))
    states = []
    resumed = fit(videos, config, validate=validate, resume=stored, on_epoch=lambda r: states.append(r.train_state))
    assert equal(resumed.last_state, whole.last_state)
    assert equal(resumed.state, whole.state)
    assert list(resumed.history) == list(whole.history)
    assert (resumed.best_epoch, resumed.metrics) == (whole.best_epoch, whole.metrics)
    assert resumed.start_metrics == whole.start_metrics
    assert {"model/queue", "model/queue_ptr", "model/queue_groups"} <= states[-1].tensors().keys()
    assert any(name.startswith("model/encoder_k.") for name in states[-1].tensors())


def test_dropout_differs_between_epochs_and_not_between_runs():
    draws = []
    for epoch in (0, 1, 0):
        with Trainer(small_set(), small()).dropout_of(epoch):
            draws.append(torch.rand(4).tolist())
    assert draws[0] == draws[2] != draws[1]


def test_an_interrupted_epoch_leaves_the_last_finished_one_untouched():
    reports, kept = [], []

    def keep(report) -> None:
        reports.append(report)
        kept.append(copy.deepcopy(report.train_state.tensors()))

    fit(small_set(), small(epochs=3), on_epoch=keep)
    assert equal(reports[0].train_state.tensors(), kept[0])


def test_best_weights_are_those_of_the_highest_metric():
    config = small(epochs=3, select_metric="score", residual=False)
    scores, reports = iter([0.2, 0.9, 0.5]), []
    result = fit(small_set(), config, validate=lambda _: {"score": next(scores)}, on_epoch=reports.append)
    assert result.best_epoch == 2
    assert result.metrics == {"score": 0.9}
    assert [report.is_best for report in reports] == [True, True, False]
    assert equal(result.state, encoder_of(reports[1]))
    assert equal(result.last_state, encoder_of(reports[2]))


def encoder_of(report) -> dict[str, torch.Tensor]:
    """Weights of the encoder in training at the end of an epoch."""
    own, state = "encoder_q.", report.train_state.model
    return {name.removeprefix(own): value for name, value in state.items() if name.startswith(own)}


def test_with_residual_training_never_ends_worse_than_it_began():
    config = small(epochs=2, select_metric="score")
    scores, reports = iter([0.9, 0.2, 0.5]), []
    result = fit(small_set(), config, validate=lambda _: {"score": next(scores)}, on_epoch=reports.append)
    assert (result.best_epoch, result.metrics, result.start_metrics) == (0, {"score": 0.9}, {"score": 0.9})
    assert [report.is_best for report in reports] == [False, False]
    rows = video(7, seed=3)
    ours, plain = (made.embed(rows)[0] for made in (Embedder.from_state(result.state, config, WIDTH), PlainEmbedder()))
    np.testing.assert_allclose(ours, plain, atol=1e-6)


def test_of_equal_validations_the_later_counts_and_undefined_ones_never():
    config = small(epochs=4, select_metric="score", residual=False)
    scores = iter([float("nan"), 1.0, 1.0, float("nan")])
    assert fit(small_set(), config, validate=lambda _: {"score": next(scores)}).best_epoch == 3


def test_validation_sees_the_encoder_at_rest():
    seen = []

    def validate(encoder) -> dict[str, float]:
        seen.append((encoder.training, torch.is_grad_enabled()))
        return {"map": 0.0}

    fit(small_set(), small(epochs=1), validate=validate)
    assert seen == [(False, False)] * 2


def test_without_validation_the_last_weights_are_kept():
    result = fit(small_set(), small())
    assert result.best_epoch == 2
    assert equal(result.state, result.last_state)
    assert result.metrics == result.start_metrics == {}


def test_the_learning_rate_falls_along_half_a_cosine():
    config = small(epochs=4, learning_rate=1.0)
    rates = [learning_rate(config, epoch) for epoch in range(5)]
    assert rates == pytest.approx([1.0, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0.0])
    assert [row["learning_rate"] for row in fit(small_set(), small(epochs=4)).history] == pytest.approx(
        [3e-3 * rate for rate in rates[:4]]
    )
    assert learning_rate(small(schedule="constant"), 1) == 3e-3


def test_one_step_is_adam_with_decay_in_the_gradient():
    """The first step of Adam is the learning rate along the sign of each gradient, decay included."""
    config = small(epochs=1, batch_size=8, residual=False, weight_decay=10.0, dropout=0.0, schedule="constant")
    start = fit(small_set(), small(epochs=1, batch_size=8, residual=False, learning_rate=1e-30)).last_state
    last = fit(small_set(), config).last_state
    name = "transformer_encoder.layers.0.linear1.weight"
    moved, large = last[name] - start[name], start[name].abs() > 0.05
    assert torch.allclose(moved[large], -3e-3 * start[name][large].sign(), atol=1e-6)  # decay outweighs the loss


def test_bfloat16_learns_too():
    config = small(epochs=30, precision="bfloat16", dropout=0.0, temporal_edits=False)
    result = fit(small_set(), config)
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]
    assert all(value.dtype == torch.float32 for value in result.state.values())


def test_wrong_pieces_are_named():
    videos, config = small_set(), small(epochs=1)
    with pytest.raises(BadInput, match=r"no validation metric 'map' here\. Set select_metric to one of: auc, f1"):
        fit(videos, config, validate=lambda _: {"f1": 0.0, "auc": 0.0})
    with pytest.raises(BadInput, match="num_heads must divide the width of the rows, 16; 5 does not"):
        fit(videos, small(num_heads=5))
    with pytest.raises(BadInput, match=r"no longer a number in epoch \d+\. Lower learning_rate"):
        fit(videos, small(learning_rate=1e30, epochs=5))
    with pytest.raises(BadCheckpoint, match="of another model"):
        fit(videos, config, resume=TrainState(1, {"x": torch.zeros(1)}, {}, {}, 1))


def test_moments_go_back_to_the_weights_they_belong_to():
    """Both encoders are in the state, and only one has moments: its weights must come first."""
    trainer = Trainer(small_set(), small())
    trainer.one_epoch()
    state = trainer.state()
    other = Trainer(small_set(), small())
    restore(state, other.bank, other.optimizer)
    for ours, theirs in zip(other.encoder.parameters(), trainer.encoder.parameters(), strict=True):
        assert torch.equal(other.optimizer.state[ours]["exp_avg"], trainer.optimizer.state[theirs]["exp_avg"])
