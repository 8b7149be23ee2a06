"""Training: each branch learns what the other knows; it stops and goes on to the same bits; it keeps good weights."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from text_tower import random_tower
from wtal_small import Toy, equal, small, small_set

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.wtal.data import Batch, training_set
from vidlang.methods.wtal.predict import Predictor
from vidlang.methods.wtal.pseudo_labels import confident, hard
from vidlang.methods.wtal.train import Trainer, fit
from vidlang.nn.fit import TrainState
from vidlang.nn.padding import mask_of


def quality(curves, videos, branch: str) -> dict[str, float]:
    """Of frames called foreground at .5, over all videos: IoU of foreground and background, recall of foreground."""
    called = np.concatenate([c.of(branch)[0][:, v.label] > 0.5 for c, v in zip(curves, videos, strict=True)])
    truth = np.concatenate([video.action for video in videos])
    return {
        "iou": (called & truth).sum() / (called | truth).sum(),
        "background_iou": (~called & ~truth).sum() / (~called | ~truth).sum(),
        "recall": (called & truth).sum() / truth.sum(),
    }


@pytest.fixture(scope="module")
def alternation():
    """Quality on unseen videos at the end of each phase of one round, by branch."""
    toy = Toy(3)
    seen, unseen = toy.videos(9), toy.videos(6, first_seed=5000)
    config = small(
        warmup_steps=120, phase_passes=1, phase_min_steps=40, min_batches=10, batch_size=16, learning_rate=5e-4
    )
    measured = []

    def validate(predictor) -> dict[str, float]:
        curves = predictor.predict_many([(video.clip, video.second) for video in unseen])
        measured.append({branch: quality(curves, unseen, branch) for branch in ("cbp", "vlp")})
        return {"map": measured[-1]["cbp"]["iou"]}

    result = fit(toy.training_set(seen, config), config, toy.tower, validate=validate)
    return measured, result


def test_after_a_b_step_clip_calls_less_background_an_action(alternation):
    (warm, b, _), _ = alternation
    assert b["vlp"]["background_iou"] > warm["vlp"]["background_iou"] + 0.02
    assert b["vlp"]["iou"] > warm["vlp"]["iou"]
    assert b["cbp"] == warm["cbp"]  # the teacher stays as it is


def test_after_an_f_step_the_classifier_finds_more_of_an_action(alternation):
    (warm, b, f), _ = alternation
    assert f["cbp"]["recall"] > warm["cbp"]["recall"] + 0.15
    assert f["cbp"]["iou"] > warm["cbp"]["iou"] + 0.15
    assert f["cbp"]["iou"] > f["vlp"]["iou"]  # and knows the background that it knew before
    assert f["vlp"] == b["vlp"]


def test_the_log_of_a_phase_says_what_the_branches_are_sure_of(alternation):
    _, result = alternation
    warm, b, f = result.phases
    for row in (warm, b, f):
        for branch in ("cbp", "vlp"):
            parts = [row[f"{part}_{branch}"] for part in ("foreground", "background", "undecided")]
            assert sum(parts) == pytest.approx(1)
        assert 0 < row["agreement"] <= 1
    assert [(row["round"], row["phase"]) for row in (warm, b, f)] == [(0, 0), (1, 1), (1, 2)]
    assert f["foreground_cbp"] > b["foreground_cbp"] == warm["foreground_cbp"]
    assert result.best_epoch == f["epoch"]
    assert [row["kd"] for row in result.history if row["round"] == 0] == [0] * (warm["epoch"])


@pytest.mark.parametrize("cbp", ["transformer", "conv"])
def test_video_labels_alone_are_learned_by_every_head(cbp):
    config = small(cbp=cbp, rounds=0, warmup_steps=80, learning_rate=3e-3)
    videos, tower = small_set(config)
    history = fit(videos, config, tower).history
    assert history[-1]["cls"] < 0.3 * history[0]["cls"]


@pytest.mark.parametrize("cbp", ["transformer", "conv"])
def test_one_class_and_normal_videos_are_enough(cbp):
    toy = Toy(1)
    config = small(cbp=cbp, rounds=0, warmup_steps=100, learning_rate=3e-3)
    videos = toy.videos(8, normal=True)
    predictors = []
    fit(toy.training_set(videos, config), config, toy.tower, validate=lambda p: predictors.append(p) or {"map": 0.0})
    fight, normal = (predictors[0].predict(video.clip, video.second).cbp[:, 0] for video in videos[:2])
    assert fight.max() > 0.5 > normal.max()


def test_labels_without_signal_never_start_a_training(tower):
    config = small()
    videos, _ = small_set(config, num_classes=2)
    alike = replace(videos, labels=np.ones_like(videos.labels))
    with pytest.raises(BadInput, match="All videos have the same classes, such as 'jump'"):
        fit(alike, config, tower)
    single = replace(videos, labels=videos.labels[:, :1] * 0 + 1, class_names=("jump",), prompts=("jump",))
    with pytest.raises(BadInput, match="Add normal videos"):
        fit(single, config, tower)


# What a student learns from: every option of the losses, with and without anything to learn from.


def batch_of(H: torch.Tensor | None, trainer: Trainer) -> Batch:
    """Two videos of 6 and 4 snippets of classes 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    clip, second = trainer.model.dim, trainer.model.input_width
    mask = mask_of(torch.tensor([6, 4]), 6)
    rows = [torch.randn(2, 6, width, generator=generator) for width in (clip, second)]
    return Batch(rows[0], rows[1], mask, torch.eye(3)[:2], H)


def trainer_of(**changes) -> Trainer:
    config = small(**changes)
    videos, tower = small_set(config)
    return Trainer(videos, config, tower)


EMPTY = {
    "nothing": torch.full((2, 6, 3), -1, dtype=torch.int8),
    "background": torch.zeros(2, 6, 3, dtype=torch.int8),
    "foreground": torch.tensor([[[1, 0, 0]] * 6, [[0, 1, 0]] * 6], dtype=torch.int8),
}


@pytest.mark.parametrize("sets", EMPTY)
@pytest.mark.parametrize(
    "changes",
    [
        {}, {"kd": "bernoulli"}, {"kd": "element"}, {"kd_frames": "side"}, {"kd_frames": "all"}, {"keep_cls": False},
        {"no_kd": True}, {"no_fb": True}, {"fb_scope": "video", "fb_reduction": "sum"}, {"cbp": "conv"},
        {"background": False, "kd": "bernoulli"}, {"mil_labels": "multihot"}, {"logit_scale": "learn"},
        {"freeze_prompts": True}, {"precision": "bfloat16"},
    ],
    ids=str,
)  # fmt: skip
def test_losses_and_weights_stay_finite_whatever_is_missing(changes, sets):
    trainer = trainer_of(**changes)
    H = EMPTY[sets].masked_fill(~mask_of(torch.tensor([6, 4]), 6)[..., None], -1)
    for step in ("B", "F"):
        losses = trainer.step(step, batch_of(H, trainer), torch.Generator().manual_seed(0))
        assert all(part.isfinite() for part in losses)
    assert all(value.isfinite().all() for value in trainer.model.state_dict().values())


def test_dropout_is_at_work_in_the_student_and_in_nobody_who_judges():
    trainer = trainer_of(input_dropout=0.5)
    seen = []
    trainer.model.cbp.register_forward_hook(lambda branch, *_: seen.append(branch.training))
    trainer.step("warm-up", batch_of(None, trainer), torch.Generator())
    trainer.judge()
    trainer.step("F", batch_of(EMPTY["background"], trainer), torch.Generator())
    assert (seen[0], set(seen[1:-1]), seen[-1]) == (True, {False}, True)


def test_inputs_are_standardised_by_the_training_videos():
    trainer = trainer_of()
    rows = np.concatenate([trainer.videos.cbp(index) for index in range(len(trainer.videos))])
    standard = trainer.model.cbp.standardise(torch.from_numpy(rows))
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std(0, correction=0), 1, atol=1e-4)


def test_only_the_student_moves():
    trainer = trainer_of()
    before = copy.deepcopy(trainer.model.state_dict())
    for step, student in (("warm-up", "cbp."), ("B", "vlp."), ("F", "cbp.")):
        H = None if step == "warm-up" else EMPTY["foreground"]
        trainer.step(step, batch_of(H, trainer), torch.Generator().manual_seed(0))
        after = trainer.model.state_dict()
        moved = {name for name in after if not torch.equal(after[name], before[name])}
        assert moved
        assert all(name.startswith(student) for name in moved)
        before = copy.deepcopy(after)


def test_the_loss_is_the_weighted_sum_of_what_is_asked_for():
    for changes, parts in (({}, "cls kd fb"), ({"no_kd": True}, "cls fb"), ({"no_fb": True}, "cls kd"),
                           ({"keep_cls": False}, "kd fb"), ({"no_kd": True, "no_fb": True}, "cls")):  # fmt: skip
        trainer = trainer_of(fb_weight=0.5, **changes)
        H = EMPTY["foreground"].clone()
        H[:, 2:] = 0
        losses = trainer.step("F", batch_of(H, trainer), torch.Generator().manual_seed(0))
        assert {name for name in ("cls", "kd", "fb") if getattr(losses, name) != 0} == set(parts.split())
        cls, kd, fb, total = (part.item() for part in losses)
        assert total == pytest.approx(cls + kd + 0.5 * fb)


def test_the_label_loss_is_zero_where_labels_are_met():
    for labels in ("l1", "multihot"):
        trainer = trainer_of(mil_labels=labels)
        logits = torch.full((2, 6, 4), -30.0)
        logits[0, :, [0, 3]] = 5.0  # class 0 and background
        logits[1, :, [1, 3]] = 5.0
        batch = batch_of(None, trainer)
        output = trainer.model.cbp(batch.cbp_rows, batch.mask)._replace(logits=logits)
        assert trainer.label_loss(output, batch) == pytest.approx(0, abs=1e-5)
        assert trainer.label_loss(output._replace(logits=logits.flip(2)), batch) > 10


def test_a_phase_teaches_what_the_teacher_is_sure_of_and_the_student_does_not_deny():
    trainer = trainer_of()
    trainer.judge()
    for step, teacher, student in (("B", "cbp", "vlp"), ("F", "vlp", "cbp")):
        for index, (taught, judged) in enumerate(zip(trainer.taught(step), trainer.judgements, strict=True)):
            curves = trainer.predictor.predict(trainer.videos.vlp(index), trainer.videos.cbp(index))
            labels = torch.from_numpy(trainer.videos.labels[index])[None]
            mask = torch.ones(1, len(curves.cbp), dtype=torch.bool)
            sure = {
                name: confident(torch.from_numpy(curves.of(name)[0])[None], labels, mask, 0.5, 0.1)[0]
                for name in ("cbp", "vlp")
            }
            assert torch.equal(judged.sure[teacher], sure[teacher])
            for row, one, other in zip(taught, sure[teacher], sure[student], strict=True):
                denied = ((one == 1).any() and (other == 0).all()) or ((one == 0).all() and (other == 1).any())
                assert torch.equal(row, torch.full_like(one, -1) if denied else one)


def test_conflicts_may_be_kept_and_hard_labels_leave_nothing_undecided():
    keep = trainer_of(conflicts="keep")
    keep.judge()
    assert all(torch.equal(a, b.sure["vlp"]) for a, b in zip(keep.taught("F"), keep.judgements, strict=True))
    every = trainer_of(kd_frames="all")
    every.judge()
    for index, taught in enumerate(every.taught("F")):
        assert (taught >= 0).all()
        curve = every.predictor.predict(every.videos.vlp(index), every.videos.cbp(index)).vlp
        whole = torch.from_numpy(np.column_stack([curve, 1 - curve.sum(1)]))[None]
        mask = torch.ones(1, len(curve), dtype=torch.bool)
        assert torch.equal(taught, hard(whole, torch.from_numpy(every.videos.labels[index])[None], mask)[0])


@pytest.mark.parametrize(("steps", "phases"), [("B", [0, 1, 1]), ("F", [0, 2, 2]), ("BF", [0, 1, 2, 1, 2])])
def test_steps_are_taken_as_asked(steps, phases):
    config = small(steps=steps, rounds=2, warmup_steps=2, min_batches=1, stop_growth=0.0)
    videos, tower = small_set(config)
    assert [row["phase"] for row in fit(videos, config, tower).phases] == phases


@pytest.mark.parametrize("name", ["robust", "paper"])
def test_a_resumed_run_ends_on_the_same_bits(name):
    config = small(name, warmup_steps=6, phase_passes=3, num_rows=20, select_metric="score", stop_growth=0.0)
    videos, tower = small_set(config)

    def validate(predictor) -> dict[str, float]:
        return {"score": -float(predictor.predict(videos.vlp(0), videos.cbp(0)).cbp.sum())}

    whole = fit(videos, config, tower, validate=validate)
    assert len(whole.history) == 9
    for last in (2, 4, 5, 6):  # in the warm-up, in B, in B's last epoch but one, and where F begins
        stopped = []

        def stop(report, last=last, stopped=stopped) -> None:
            stopped.append(report.train_state)
            if report.epoch == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(videos, config, tower, validate=validate, on_epoch=stop)
        tensors = {key: value.clone() for key, value in stopped[-1].tensors().items()}
        stored = TrainState.from_parts(tensors, json.loads(json.dumps(stopped[-1].numbers())))
        resumed = fit(videos, config, random_tower(dim=videos.dim), validate=validate, resume=stored)
        assert equal(resumed.last_state, whole.last_state)
        assert equal(resumed.state, whole.state)
        assert list(resumed.history) == list(whole.history)
        assert resumed.best_epoch == whole.best_epoch


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    config = small()
    videos, tower = small_set(config)
    first, again = (fit(videos, config, tower).last_state for _ in range(2))
    assert equal(first, again)
    assert not equal(first, fit(videos, small(seed=1), tower).last_state)


def test_training_leaves_the_callers_random_state_alone():
    config = small(warmup_steps=2, min_batches=1)
    videos, tower = small_set(config)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(videos, config, tower)
    assert torch.equal(torch.rand(3), expected)


def test_the_tower_stays_frozen_and_runs_only_where_vectors_learn():
    config = small(warmup_steps=4, phase_passes=4)
    videos, tower = small_set(config)
    before = {name: value.clone() for name, value in tower.state.items()}
    calls = []
    fit(videos, config, tower, on_epoch=lambda report: calls.append((report.step, tower.calls)))
    assert equal(before, tower.state)
    by_step = {step: [count for name, count in calls if name == step] for step in ("warm-up", "B", "F")}
    assert by_step["B"][1] - by_step["B"][0] == 2  # one per gradient step
    assert len(set(by_step["F"])) == 1


def drifting(share: dict[int, float]):
    """A trainer class whose CBP is sure of so much foreground at the end of each phase."""

    def measured(self) -> dict[str, float]:
        phase = sum(bool(row.get("phase_end")) for row in self.history)
        return {"foreground_cbp": share[phase], "foreground_vlp": 0.3}

    return measured


@pytest.mark.parametrize(
    ("against", "stops_after"),
    [("cbp", 2), ("both", 4)],  # 0.35 > 1.5 * 0.2, and 0.5 > 1.5 * 0.3
)
def test_a_training_that_drifts_ends_and_keeps_the_weights_from_before(monkeypatch, against, stops_after):
    monkeypatch.setattr(Trainer, "measured", drifting({0: 0.2, 1: 0.2, 2: 0.35, 3: 0.35, 4: 0.5, 5: 0.5, 6: 0.5}))
    config = small(rounds=3, warmup_steps=2, min_batches=1, stop_against=against)
    videos, tower = small_set(config)
    reports = []
    result = fit(videos, config, tower, on_epoch=reports.append)
    ends = [report for report in reports if report.ends_phase]
    assert len(ends) == stops_after + 1
    assert result.best_epoch == ends[-2].epoch
    assert equal(result.state, {k: v for k, v in ends[-2].train_state.model.items() if k != "pseudo_labels"})
    assert not equal(result.state, result.last_state)
    assert "since CBP drifts" in result.notes[-1]
    assert f"the weights kept are of epoch {ends[-2].epoch}" in result.notes[-1]


def test_a_drift_that_is_allowed_goes_on(monkeypatch):
    monkeypatch.setattr(Trainer, "measured", drifting(dict(enumerate([0.1, 0.1, 0.9]))))
    config = small(warmup_steps=2, min_batches=1, stop_growth=0.0)
    videos, tower = small_set(config)
    result = fit(videos, config, tower)
    assert result.best_epoch == len(result.history)
    assert not any("drifts" in note for note in result.notes)


def test_best_weights_are_those_of_the_phase_with_the_highest_metric():
    config = small(rounds=1, select_metric="score")
    videos, tower = small_set(config)
    scores, reports = iter([math.nan, 0.9, 0.5]), []
    result = fit(videos, config, tower, validate=lambda _: {"score": next(scores)}, on_epoch=reports.append)
    ends = [report for report in reports if report.ends_phase]
    assert result.best_epoch == ends[1].epoch
    assert result.metrics == {"score": 0.9}
    assert [report.is_best for report in ends] == [True, True, False]
    assert equal(result.last_state, ends[2].train_state.model)


def test_an_interrupted_epoch_leaves_the_last_finished_one_untouched():
    config = small(warmup_steps=2, min_batches=1)
    videos, tower = small_set(config)
    reports, kept = [], []

    def keep(report) -> None:
        reports.append(report)
        kept.append(copy.deepcopy(report.train_state.tensors()))

    fit(videos, config, tower, on_epoch=keep)
    assert equal(reports[0].train_state.tensors(), kept[0])


def test_a_training_state_predicts_what_the_model_does_at_that_moment():
    config = small(warmup_steps=2, min_batches=1)
    videos, tower = small_set(config)
    reports = []
    result = fit(videos, config, tower, on_epoch=reports.append)
    rows = videos.vlp(0), videos.cbp(0)
    for state in (reports[-2].train_state.model, reports[-1].train_state.model, result.last_state):
        curves = Predictor.from_state(state, config, videos.class_names, videos.prompts, tower).predict(*rows)
        assert np.isfinite(curves.cbp).all()
    assert "pseudo_labels" in reports[-2].train_state.model
    assert equal(reports[-1].train_state.model, result.last_state)


def test_half_precision_features_train_as_their_float32_copies_do():
    config = small(cbp_inputs="differences", warmup_steps=2, min_batches=1)
    toy = Toy(2)
    videos = [toy.labelled(video) for video in toy.videos(3)]
    half = [video._replace(rows=video.rows.astype(np.float16)) for video in videos]
    whole = [video._replace(rows=video.rows.astype(np.float32)) for video in half]
    first, second = (fit(training_set(some, toy.names, config), config, toy.tower).state for some in (half, whole))
    assert equal(first, second)


def test_notes_of_data_and_texts_are_handed_on():
    config = small(warmup_steps=2, min_batches=1)
    videos, tower = small_set(config, per_class=2)
    assert fit(videos, config, tower).notes == videos.notes
    fitting = " ".join(["word"] * 35)  # 37 positions of 40, without the learned ones
    notes = fit(replace(videos, prompts=(fitting, *videos.prompts[1:])), config, tower).notes
    assert any("is too long beside the learned vectors" in note for note in notes)


def test_wrong_pieces_are_named(tower):
    config = small(select_metric="map", warmup_steps=2, min_batches=1)
    videos, right = small_set(config)
    with pytest.raises(BadInput, match=r"no validation metric 'map' here\. Set select_metric to one of: ap, f1"):
        fit(videos, config, right, validate=lambda _: {"f1": 0.0, "ap": 0.0})
    with pytest.raises(BadInput, match="dimension 32, the text encoder's space has 16"):
        fit(videos, config, random_tower(dim=16))
    with pytest.raises(BadInput, match=r"no longer a number in epoch \d+\. Lower learning_rate"):
        fit(videos, small(learning_rate=1e30), right)
    with pytest.raises(BadCheckpoint, match="of another model"):
        fit(videos, config, right, resume=TrainState(1, {"x": torch.zeros(1)}, {}, {}, 1))
    reports = []
    fit(videos, config, right, on_epoch=reports.append)
    taught = next(report.train_state for report in reports if "pseudo_labels" in report.train_state.model)
    fewer = Toy(3).training_set(Toy(3).videos(3), config)
    with pytest.raises(BadCheckpoint, match="of other videos"):
        fit(fewer, config, right, resume=taught)
