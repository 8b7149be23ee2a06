"""Pretraining: one step by hand, it stops and goes on to the same bits, it knows videos again, it says what it did."""

from __future__ import annotations

import json
import math
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as multiprocessing
from fame_contract import SIDE, Batch, plain, small, source_of, video

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.fame.augment import Views
from vidlang.methods.fame.config import preset
from vidlang.methods.fame.predict import Predictor, without_head
from vidlang.methods.fame.train import TrainState, fit, new_moco, passes, scaler_state, without_scaler
from vidlang.nn.seed import epoch_generator


def equal(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def without_times(history) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "clips_per_second"} for row in history]


def test_a_step_is_moco_on_the_views_and_sgd():
    config = plain(epochs=1, learning_rate=0.05, weight_decay=0.01)
    batch = next(source_of()(0))
    reports = []
    result = fit(lambda epoch: [batch], config, on_epoch=reports.append)

    moco = new_moco(config)
    generator = epoch_generator(config.seed, 0)
    views = Views(config)(batch.clips, generator)
    done = moco(views.query, views.key, generator)
    done.loss.backward()
    for name, before in moco.encoder_q.named_parameters():
        expected = before - 0.05 * (before.grad + 0.01 * before)
        torch.testing.assert_close(result.last_state[f"encoder_q.{name}"], expected.detach(), atol=1e-6, rtol=1e-5)
    assert torch.equal(result.last_state["queue"], moco.queue)
    row = reports[0].row
    assert row["loss"] == pytest.approx(done.loss.item(), rel=1e-5)
    assert row["top1"] == pytest.approx(done.accuracy())
    assert row["merged"] == views.merged / 8
    assert row["area"] == pytest.approx(int(0.5 * SIDE**2) / SIDE**2)
    assert (row["still"], row["epoch"], row["learning_rate"]) == (0.0, 1, 0.05)


@pytest.mark.parametrize(
    "changes",
    [{}, {"views": "both", "background": "intra", "mask": "seed", "schedule": "steps", "lr_milestones": (2,)}],
    ids=["published", "both-intra-steps"],
)
def test_a_resumed_run_ends_on_the_same_bits(changes):
    config = small(epochs=3, queue_size=32, **changes)
    whole = fit(source_of(), config)
    stopped = []

    def stop(report) -> None:
        stopped.append(report.train_state)
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(source_of(), config, on_epoch=stop)
    tensors = {name: value.clone() for name, value in stopped[-1].tensors().items()}
    stored = TrainState.from_parts(tensors, json.loads(json.dumps(stopped[-1].numbers())))
    resumed = fit(source_of(), config, resume=stored)
    assert equal(resumed.last_state, whole.last_state)
    assert equal(resumed.state, whole.state)
    assert without_times(resumed.history) == without_times(whole.history)
    assert int(whole.last_state["queue_ptr"]) == 3 * 2 * 2 * 8 % 32  # epochs, steps, keys of both halves


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    first, again, other = (fit(source_of(8), small(epochs=1, seed=seed)).state for seed in (0, 0, 1))
    assert equal(first, again)
    assert not equal(first, other)


def test_with_fame_off_the_run_starts_from_the_same_weights():
    assert equal(new_moco(small()).state_dict(), new_moco(small(mask="none")).state_dict())
    rows = [fit(source_of(8), small(epochs=1, mask=mask)).history[0] for mask in ("fame", "none")]
    assert rows[0]["loss"] != rows[1]["loss"]
    assert "merged" in rows[0] and "merged" not in rows[1]


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(source_of(8), small(epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_an_epochs_state_stays_as_it_was():
    reports, kept = [], []

    def keep(report) -> None:
        reports.append(report)
        kept.append({name: value.clone() for name, value in report.train_state.tensors().items()})

    fit(source_of(8), small(epochs=2), on_epoch=keep)
    assert equal(reports[0].train_state.tensors(), kept[0])
    assert not equal(kept[0], kept[1])


def test_learning_rate_follows_half_a_cosine_by_epoch():
    rates = [row["learning_rate"] for row in fit(source_of(8), small(epochs=4, learning_rate=0.02)).history]
    assert rates == pytest.approx([0.01 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)])


def known_again(state, config, num_videos: int) -> float:
    """Mean cross entropy of finding a video's other window among those of all videos; both are unseen in training."""
    predictor = Predictor.from_state(state, config)
    features = np.stack([predictor.features(torch.from_numpy(video(i, 2, seed=99))) for i in range(num_videos)])
    similar = torch.from_numpy(features[:, 0] @ features[:, 1].T) / 0.1
    return float(torch.nn.functional.cross_entropy(similar, torch.arange(num_videos)))


def test_trained_features_know_a_video_again_in_other_windows():
    config = plain(epochs=25, queue_size=16, mask="none")
    untrained = without_head(new_moco(config).encoder_q.state_dict())
    trained = fit(source_of(16), config)
    assert known_again(untrained, config, 16) > 2.7  # of log(16) = 2.77: as good as blind
    assert known_again(trained.state, config, 16) < 2.5


def test_few_videos_are_passed_over_several_times_with_other_windows():
    asked = []

    def source(epoch):
        asked.append(epoch)
        yield from ["a", "b", "c"]

    assert list(passes(source, 5, min_batches=7)) == ["a", "b", "c"] * 3
    assert asked[0] == 5
    assert len(set(asked)) == 3
    assert list(passes(source, 0, min_batches=1)) == ["a", "b", "c"]
    with pytest.raises(BadInput, match="do not fill one batch"):
        fit(lambda epoch: [], small())


def test_training_that_diverges_ends_and_the_last_good_epoch_is_kept(monkeypatch):
    reports = []

    def report(done) -> None:
        reports.append(done)
        monkeypatch.setattr("torch.optim.SGD.step", ruin)

    def ruin(optimizer) -> None:
        with torch.no_grad():
            for parameter in optimizer.param_groups[0]["params"]:
                parameter.fill_(math.nan)

    with pytest.raises(BadInput, match=r"The loss is no longer a number in epoch 2\. Lower learning_rate"):
        fit(source_of(), small(epochs=3), on_epoch=report)
    assert [done.epoch for done in reports] == [1]
    assert all(bool(value.isfinite().all()) for value in reports[0].train_state.tensors().values())


def test_weights_to_start_from_go_into_both_networks():
    config = small(epochs=1)
    init = without_head(new_moco(small(seed=9)).encoder_q.state_dict())
    moco = new_moco(config, init)
    for encoder in (moco.encoder_q, moco.encoder_k):
        assert equal(without_head(encoder.state_dict()), init)
    fresh = new_moco(config)
    assert torch.equal(moco.encoder_q.state_dict()["fc.2.weight"], fresh.encoder_q.state_dict()["fc.2.weight"])
    with pytest.raises(BadCheckpoint, match=r"not the weights of such a tiny: .* missing"):
        fit(source_of(8), config, init={"x": torch.zeros(1)})


def test_a_state_of_another_network_is_refused():
    state = TrainState(1, {"x": torch.zeros(1)}, {}, {}, 1)
    with pytest.raises(BadCheckpoint, match="of another model"):
        fit(source_of(8), small(), resume=state)


def test_bfloat16_trains_float32_weights_and_float16_needs_a_gpu():
    result = fit(source_of(8), small(epochs=1, precision="bfloat16"))
    assert all(value.dtype == torch.float32 for name, value in result.state.items() if "num_batches" not in name)
    assert math.isfinite(result.history[0]["loss"])
    with pytest.raises(BadInput, match="precision float16 needs a CUDA device, here is cpu"):
        fit(source_of(8), small(precision="float16"))


def test_float16s_scale_survives_in_the_state_and_stays_out_of_the_weights():
    before, after = (torch.amp.GradScaler("cpu", init_scale=scale) for scale in (256.0, 8.0))
    weights = {"queue": torch.ones(2)}
    state = TrainState(1, weights | scaler_state(before), {}, {}, 1)
    stored = TrainState.from_parts(state.tensors(), json.loads(json.dumps(state.numbers())))
    assert equal(without_scaler(stored, after).model, weights)
    assert after.state_dict() == before.state_dict()
    off = torch.amp.GradScaler("cpu", enabled=False)
    assert scaler_state(off) == {}
    assert equal(without_scaler(stored, off).model, weights)


def test_clips_without_motion_are_said():
    def still(epoch):
        clips = np.stack([video(i) for i in range(8)])
        clips[:3] = clips[:3, :, :, :1]
        yield Batch(clips, np.arange(8))

    result = fit(still, small(epochs=1))
    assert result.history[0]["still"] == 3 / 8
    assert result.notes == ("nothing moves in 38% of the clips, which therefore kept their background",)
    assert fit(source_of(8), small(epochs=1)).notes == ()


def test_the_query_network_comes_back_without_its_head():
    result = fit(source_of(8), small(epochs=1))
    assert equal(
        {f"encoder_q.{name}": value for name, value in result.state.items()},
        {
            name: value
            for name, value in result.last_state.items()
            if name.startswith("encoder_q.") and not name.startswith("encoder_q.fc")
        },
    )
    assert {"queue", "queue_ptr", "encoder_q.fc.0.weight", "encoder_k.fc.2.bias"} <= result.last_state.keys()
    assert result.best_epoch == 1 and result.metrics.keys() == {"loss", "top1"}


def of_two(rank: int, folder: str) -> None:
    """One of two processes: its half of every batch."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    reports: list[int] = []
    half = partial(_half, rank)
    result = fit(half, small(epochs=2), on_epoch=lambda report: reports.append(report.epoch))
    torch.save({"state": result.last_state, "loss": result.history[-1]["loss"], "reports": reports}, f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


def _half(rank: int, epoch: int):
    for batch in source_of(16)(epoch):
        yield Batch(batch.clips[4 * rank : 4 * rank + 4], batch.indices[4 * rank : 4 * rank + 4])


@pytest.mark.slow  # two more processes load torch
def test_two_processes_train_one_network(tmp_path):
    multiprocessing.spawn(of_two, (os.fspath(tmp_path),), nprocs=2)
    first, second = (torch.load(Path(tmp_path) / str(rank), weights_only=True) for rank in (0, 1))
    for name, value in first["state"].items():
        if "running" not in name:  # statistics of batch norm are each process's own
            assert torch.equal(value, second["state"][name]), name
    assert first["loss"] == second["loss"]
    assert (first["reports"], second["reports"]) == ([1, 2], [])


def test_the_presets_make_networks_of_the_published_size():
    with torch.device("meta"):
        moco = new_moco(preset("ucf101"))
    assert moco.queue.shape == (128, 2048)
    assert moco.encoder_q.state_dict()["fc.2.weight"].shape == (128, 512)
