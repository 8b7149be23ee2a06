"""Recognition: what learns and what stays frozen, the best and the last weights, exact resume; features and logits."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from fame_contract import CLASSES, FRAMES, SIDE, Batch, plain, source_of, tuning, video

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.fame.augment import middle_clips
from vidlang.methods.fame.backbones import build_backbone
from vidlang.methods.fame.predict import Predictor, channels_first, load_weights, without_head
from vidlang.methods.fame.recognize import ClassTrainer, fit_classifier, new_classifier
from vidlang.methods.fame.train import TrainState
from vidlang.nn.seed import seeded

WINDOWS = source_of(8, num_windows=1)


def equal(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def changed(before, after) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def without_times(history) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "clips_per_second"} for row in history]


def fresh(arch: str = "tiny", seed: int = 0) -> dict[str, torch.Tensor]:
    with seeded(seed):
        return without_head(build_backbone(arch).state_dict())


def test_fine_tuning_learns_the_classes_of_a_small_set():
    config = tuning(epochs=60, learning_rate=0.05)
    result = fit_classifier(WINDOWS, CLASSES, 4, config, backbone=fresh())
    assert result.history[-1]["loss"] < 0.1 * result.history[0]["loss"]
    assert result.history[-1]["train_top1"] == 1.0
    predictor = Predictor.from_state(result.state, config, num_classes=4)
    named = [int(predictor.video_logits(torch.from_numpy(video(i, 2, seed=200))).argmax()) for i in range(8)]
    assert np.mean(np.array(named) == CLASSES[:8]) > 0.7
    assert all(name.startswith("fc.") or name in changed(fresh(), result.state) for name in result.state)


@pytest.mark.parametrize("arch", ["tiny", "i3d"])
def test_a_linear_probe_moves_nothing_but_the_last_layer(arch):
    """I3D too, which the published probe leaves learning; and no statistics of batch norm."""
    config = tuning("linear", arch=arch, epochs=1, learning_rate=1.0, batch_size=4, weight_decay=0.1)
    backbone = fresh(arch)

    def source(epoch):
        clips = np.stack([video(i, 1)[0] for i in range(4)])
        yield Batch(clips, np.arange(4))

    start = new_classifier(config, 4, backbone).state_dict()
    result = fit_classifier(source, CLASSES, 4, config, backbone=backbone)
    assert changed(start, result.state) == {"fc.weight", "fc.bias"}
    assert equal(without_head(result.state), backbone)


def test_a_linear_probe_is_logistic_regression_on_unit_features():
    config = tuning("linear", epochs=2, learning_rate=3.0, unit_length=True, lr_milestones=(1,))
    backbone = fresh()
    result = fit_classifier(WINDOWS, CLASSES, 4, config, backbone=backbone)

    network = new_classifier(config, 4, backbone).eval()
    weight, bias = network.fc.weight.detach().clone(), network.fc.bias.detach().clone()
    moments = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for epoch, rate in ((0, 3.0), (1, 0.3)):
        batch = next(iter(WINDOWS(epoch)))
        with torch.no_grad():
            x = network.features(middle_clips([clip[0] for clip in batch.clips], config, torch.device("cpu")))
        x = x / x.norm(dim=1, keepdim=True)
        error = (x @ weight.T + bias).softmax(1) - torch.eye(4)[[CLASSES[i] for i in batch.indices]]
        for moment, gradient in zip(moments, (error.T @ x / len(x), error.mean(0)), strict=True):
            moment.mul_(0.9).add_(gradient)
        weight, bias = weight - rate * moments[0], bias - rate * moments[1]
    torch.testing.assert_close(result.state["fc.weight"], weight, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.state["fc.bias"], bias, atol=1e-5, rtol=1e-4)


def test_kept_features_are_those_of_the_first_epoch_and_learn_the_same_classes():
    asked = []

    def source(epoch):
        asked.append(epoch)
        return WINDOWS(epoch)

    config = tuning("linear", epochs=40, keep_features=True, learning_rate=3.0)
    result = fit_classifier(source, CLASSES, 4, config, backbone=fresh())
    assert asked == [0]
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    predictor = Predictor.from_state(result.state, config, num_classes=4)
    logits = np.stack([predictor.logits(batch.clips[i]) for batch in WINDOWS(0) for i in range(8)])[:, 0]
    expected = -torch.log_softmax(torch.from_numpy(logits), 1)[range(8), CLASSES[:8]].mean()
    assert result.history[-1]["loss"] == pytest.approx(float(expected), abs=0.05)  # before and after the last step


@pytest.mark.parametrize("kind", ["finetune", "linear"])
def test_a_resumed_run_ends_on_the_same_bits(kind):
    config = tuning(kind, epochs=3, augment="published", dropout=0.5, lr_milestones=(1,), learning_rate=0.1)
    scores = {1: 0.2, 2: 0.9, 3: 0.5}
    counted = []

    def validate(predictor) -> dict[str, float]:
        assert not predictor.network.features(torch.zeros(1, 3, FRAMES, SIDE, SIDE)).requires_grad
        counted.append(1)
        return {"top1": scores[len(counted)]}

    whole = fit_classifier(WINDOWS, CLASSES, 4, config, backbone=fresh(), validate=validate)
    stopped = []

    def stop(report) -> None:
        stopped.append(report)
        if report.epoch == 2:
            raise KeyboardInterrupt

    counted.clear()
    with pytest.raises(KeyboardInterrupt):
        fit_classifier(WINDOWS, CLASSES, 4, config, backbone=fresh(), validate=validate, on_epoch=stop)
    assert [report.is_best for report in stopped] == [True, True]
    state = stopped[-1].train_state
    stored = TrainState.from_parts(state.tensors(), json.loads(json.dumps(state.numbers())))
    resumed = fit_classifier(WINDOWS, CLASSES, 4, config, backbone=fresh(), validate=validate, resume=stored)
    assert equal(resumed.last_state, whole.last_state)
    assert equal(resumed.state, whole.state)
    assert equal(whole.state, state.model)  # the best epoch is the second
    assert not equal(whole.state, whole.last_state)
    assert (whole.best_epoch, dict(whole.metrics)) == (2, {"top1": 0.9})
    assert without_times(resumed.history) == without_times(whole.history)


def test_dropout_takes_part_and_leaves_the_callers_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again = (
        fit_classifier(WINDOWS, CLASSES, 4, tuning(epochs=1, dropout=0.7), backbone=fresh()).state for _ in range(2)
    )
    assert torch.equal(torch.rand(3), expected)
    assert equal(first, again)
    assert not equal(first, fit_classifier(WINDOWS, CLASSES, 4, tuning(epochs=1), backbone=fresh()).state)


def test_rates_fall_at_the_milestones():
    config = tuning("linear", epochs=4, lr_milestones=(1, 3), learning_rate=1.0, keep_features=True)
    rates = [row["learning_rate"] for row in fit_classifier(WINDOWS, CLASSES, 4, config, backbone=fresh()).history]
    assert rates == pytest.approx([1.0, 0.1, 0.1, 0.01])


def test_wrong_pieces_are_named():
    with pytest.raises(BadInput, match="at least two classes, here is 1"):
        fit_classifier(WINDOWS, CLASSES, 1, tuning())
    with pytest.raises(ValueError, match=r"labels must be classes 0 to 2, got \[0, 1, 2, 3\]"):
        fit_classifier(WINDOWS, CLASSES, 3, tuning())
    with pytest.raises(BadInput, match=r"no validation metric 'top1' here\. Set select_metric to one of: ap, top5"):
        config = tuning("linear", epochs=1)
        fit_classifier(WINDOWS, CLASSES, 4, config, validate=lambda _: {"top5": 0.0, "ap": 0.0})
    with pytest.raises(BadCheckpoint, match="of another model"):
        ClassTrainer(WINDOWS, CLASSES, 4, tuning()).go_on(TrainState(1, {"x": torch.zeros(1)}, {}, {}, 1))
    with pytest.raises(BadInput, match="no longer a number in epoch"):
        fit_classifier(WINDOWS, CLASSES, 4, tuning(learning_rate=1e30), backbone=fresh())


# prediction


def clips_of(count: int, height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, FRAMES, height, width, 3)).astype(np.uint8)


def test_features_are_the_pooled_maps_of_the_middle_at_unit_length():
    predictor = Predictor.from_state(fresh(), plain())
    clips = clips_of(3)
    features = predictor.features(clips)
    assert features.shape == (3, predictor.dim)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    means = predictor.maps(clips).mean((2, 3, 4)).numpy()
    np.testing.assert_allclose(features, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(predictor.video_feature(clips), features.mean(0), atol=1e-7)
    np.testing.assert_array_equal(features, predictor.features(clips[:, :, 4:36, 9:41]))  # the middle 32 pixels
    other = predictor.features(channels_first(clips))
    np.testing.assert_array_equal(features, other)


def test_the_number_of_clips_at_once_changes_nothing():
    clips = clips_of(5)
    whole, by_two = (Predictor.from_state(fresh(), plain()) for _ in range(2))
    by_two.batch_clips = 2
    np.testing.assert_allclose(by_two.features(clips), whole.features(clips), atol=1e-6)


def test_logits_of_a_video_are_the_mean_over_its_clips():
    config = tuning()
    network = new_classifier(config, 4, fresh())
    predictor = Predictor.from_state(network.state_dict(), config, num_classes=4)
    clips = clips_of(3)
    squares = middle_clips(channels_first(clips), config, torch.device("cpu"))
    expected = network.eval()(squares).detach().numpy()
    np.testing.assert_allclose(predictor.logits(clips), expected, atol=1e-5)
    np.testing.assert_allclose(predictor.video_logits(clips), expected.mean(0), atol=1e-5)


def test_a_probe_on_unit_features_is_asked_with_unit_features():
    network = new_classifier(tuning("linear"), 4, fresh())
    unit, raw = (
        Predictor.from_state(network.state_dict(), tuning("linear", unit_length=unit), num_classes=4)
        for unit in (True, False)
    )
    clips = clips_of(2)
    weight, bias = (network.fc.state_dict()[name].numpy() for name in ("weight", "bias"))
    np.testing.assert_allclose(unit.logits(clips), unit.features(clips) @ weight.T + bias, atol=1e-5)
    assert not np.allclose(raw.logits(clips), unit.logits(clips), atol=1e-5)


def test_bfloat16_differs_little():
    exact, rough = (Predictor.from_state(fresh(), plain(), precision=kind) for kind in ("float32", "bfloat16"))
    clips = clips_of(2)
    assert (exact.features(clips) * rough.features(clips)).sum(1).min() > 0.999
    assert not np.array_equal(exact.features(clips), rough.features(clips))


def test_what_cannot_be_predicted_is_said():
    predictor = Predictor.from_state(fresh(), plain())
    with pytest.raises(BadInput, match="knows no classes"):
        predictor.logits(clips_of(1))
    with pytest.raises(BadInput, match="There is no clip to look at"):
        predictor.features(clips_of(1)[:0])
    with pytest.raises(ValueError, match=r"clips must be \[N, T, H, W, 3\] or \[N, 3, T, H, W\], got \(4, 40, 50, 3\)"):
        predictor.features(clips_of(1)[0])
    with pytest.raises(BadCheckpoint, match=r"not the weights of such a tiny: .* missing"):
        Predictor.from_state(fresh("r2plus1d_18"), plain())
    with pytest.raises(BadCheckpoint, match=r"fc\.weight is \(4, 192\), expected \(5, 192\)"):
        Predictor.from_state(new_classifier(tuning(), 4).state_dict(), tuning(), num_classes=5)


def test_a_head_stays_out_where_only_features_are_asked():
    state = new_classifier(tuning(), 4, fresh()).state_dict()
    network = build_backbone("tiny", head="embed")
    load_weights(network, state, with_head=False)
    assert equal(without_head(network.state_dict()), fresh())
