"""Curves: full length, long videos in windows, both branches together, and without any training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from wtal_small import DIM, NAMES, SECOND_DIM, Toy, small

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.wtal.model import new_model
from vidlang.methods.wtal.predict import Curves, Predictor, ZeroShotPredictor, windows
from vidlang.methods.wtal.vlp import TextRows


def predictor(tower, **changes) -> Predictor:
    """Untrained, but with blocks that do something."""
    config = small(**changes)
    model = new_model(config, tower, SECOND_DIM, 3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.vlp.blocks.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return Predictor(model.eval(), TextRows(tower, NAMES[:3], config), NAMES[:3])


def rows(length: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng([length, seed])
    return random.normal(size=(length, DIM)), random.normal(size=(length, SECOND_DIM))


@pytest.mark.parametrize("cbp", ["transformer", "conv"])
def test_curves_are_probabilities_at_full_length(tower, cbp):
    curves = predictor(tower, cbp=cbp).predict(*rows(77))
    assert curves.cbp.shape == curves.vlp.shape == (77, 3)
    assert curves.video_score_cbp.shape == curves.video_score_vlp.shape == (3,)
    for values in (curves.cbp, curves.vlp):
        assert values.min() >= 0
        assert values.sum(1).min() < 0.9  # the rest is background
        assert values.sum(1).max() < 1 + 1e-5


def test_without_background_rows_sum_to_one(tower):
    curves = predictor(tower, background=False, kd="bernoulli").predict(*rows(9))
    assert_allclose(curves.cbp.sum(1), 1, rtol=1e-5)
    assert_allclose(curves.video_score_vlp.sum(), 1, rtol=1e-5)


def test_curves_are_the_softmax_of_the_branches(tower):
    model = predictor(tower)
    clip, second = rows(11)
    mask = torch.ones(1, 11, dtype=torch.bool)
    with torch.no_grad():
        logits = model.model.cbp(torch.tensor(second, dtype=torch.float32)[None], mask).logits[0]
    curves = model.predict(clip, second)
    assert_allclose(curves.cbp, logits.softmax(-1)[:, :3], atol=1e-6)
    highest = logits.sort(0, descending=True).values[:1].mean(0)  # 11 // 8 = 1 snippet
    assert_allclose(curves.video_score_cbp, highest.softmax(-1)[:3], atol=1e-6)


@pytest.mark.parametrize(
    ("length", "expected"),
    [(3, [(0, 3)]), (4, [(0, 4)]), (5, [(0, 4), (1, 5)]), (10, [(0, 4), (2, 6), (4, 8), (6, 10)])],
)
def test_windows_cover_a_long_video_and_end_with_it(length, expected):
    assert windows(length, 4) == expected


def test_a_long_video_is_the_mean_of_its_windows(tower):
    model = predictor(tower, num_rows=3)  # windows of 12
    clip, second = rows(20)
    with torch.no_grad():
        whole = np.zeros((20, 4))
        count = np.zeros((20, 1))
        for start, end in ((0, 12), (6, 18), (8, 20)):
            part = torch.tensor(second[start:end], dtype=torch.float32)[None]
            whole[start:end] += model.model.cbp(part, torch.ones(1, 12, dtype=torch.bool)).logits[0].numpy()
            count[start:end] += 1
    expected = torch.from_numpy(whole / count).softmax(-1)[:, :3]
    assert_allclose(model.predict(clip, second).cbp, expected, atol=1e-6)


def test_videos_together_are_as_alone(tower):
    model = predictor(tower, num_rows=5)
    videos = [rows(length) for length in (31, 1, 8, 20, 8)]
    for together, one in zip(model.predict_many(videos), videos, strict=True):
        alone = model.predict(*one)
        assert_allclose(together.cbp, alone.cbp, atol=1e-5)
        assert_allclose(together.vlp, alone.vlp, atol=1e-4)


def test_branches_are_mixed_by_weight():
    curves = Curves(
        *(np.full(shape, value, np.float32) for shape, value in (((2, 1), 1), ((2, 1), 0), (1, 0.8), (1, 0.4)))
    )
    assert_array_equal(curves.of()[0], curves.cbp)
    assert_array_equal(curves.of("vlp")[1], curves.video_score_vlp)
    assert_allclose(curves.of("average")[0], 0.5)
    assert_allclose(curves.of("weighted", 0.75)[0], 0.75)
    assert_allclose(curves.of("weighted", 0.75)[1], 0.7)
    with pytest.raises(BadInput, match=r"no branch 'both'\. Use one of: cbp, vlp, average, weighted"):
        curves.of("both")
    with pytest.raises(BadInput, match="must be in 0 to 1, got 2"):
        curves.of("weighted", 2)


def test_zero_shot_is_the_untrained_branch(tower):
    config = small()
    model = new_model(config, tower, SECOND_DIM, 3, clip_scale=50.0)
    clip, second = rows(17)
    untrained = Predictor(model, TextRows(tower, NAMES[:3], config), NAMES[:3]).predict(clip, second)
    zero = ZeroShotPredictor(config, NAMES[:3], tower, clip_scale=50.0).predict(clip)
    assert_allclose(zero.vlp, untrained.vlp, atol=1e-5)
    assert_allclose(zero.video_score_vlp, untrained.video_score_vlp, atol=1e-5)
    assert_array_equal(zero.cbp, zero.vlp)


def test_zero_shot_finds_actions_that_look_like_their_names():
    toy = Toy(3)
    video = toy.video(1, seed=4)
    curve = ZeroShotPredictor(small(), toy.names, toy.tower).predict(video.clip).vlp[:, 1]
    assert curve[video.action].min() > 0.5 > curve[video.kinds == 0].max()


def test_zero_shot_of_one_class_needs_the_background(tower):
    ZeroShotPredictor(small(), ["jump"], tower).predict(rows(3)[0])
    with pytest.raises(BadInput, match="One class alone is everywhere without the background column"):
        ZeroShotPredictor(small("paper"), ["jump"], tower)
    with pytest.raises(BadInput, match="each named once"):
        ZeroShotPredictor(small(), [], tower)


def test_bfloat16_is_close(tower):
    config = small()
    state = new_model(config, tower, SECOND_DIM, 3).state_dict()
    names = NAMES[:3]
    fine, coarse = (
        Predictor.from_state(state, config, names, names, tower, precision=precision).predict(*rows(9))
        for precision in ("float32", "bfloat16")
    )
    assert_allclose(coarse.cbp, fine.cbp, atol=0.02)
    assert_allclose(coarse.vlp, fine.vlp, atol=0.02)


def test_wrong_pieces_are_named(tower):
    model = predictor(tower)
    clip, second = rows(5)
    with pytest.raises(BadInput, match=r"video 1 of 1 \(CBP\) has features of dimension 3, expected 24"):
        model.predict(clip, second[:, :3])
    with pytest.raises(BadInput, match=r"\(VLP\) has no feature rows"):
        model.predict(clip[:0], second[:0])
    with pytest.raises(ValueError, match="5 rows for VLP and 4 for CBP"):
        model.predict(clip, second[:4])
    state = model.model.state_dict()
    with pytest.raises(BadCheckpoint, match="do not fit this model, its 2 classes or text encoder: cbp"):
        Predictor.from_state(state, small(), NAMES[:2], NAMES[:2], tower)
    with pytest.raises(BadCheckpoint, match="not of a WTAL model"):
        Predictor.from_state({}, small(), NAMES[:2], NAMES[:2], tower)
    with pytest.raises(ValueError, match="each class needs one prompt"):
        Predictor.from_state(state, small(), NAMES[:3], NAMES[:2], tower)
