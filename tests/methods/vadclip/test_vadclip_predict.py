"""Prediction: any length, any company, bounded memory, and no training at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from text_tower import random_tower
from vadclip_small import CLASSES, small, video

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.vadclip.predict import Predictor, ensemble, zero_shot
from vidlang.methods.vadclip.train import new_model

PROMPTS = ("normal", "fighting", "car accident")
EVERY_PRESET = ("custom", "ucf-crime", "xd-violence", "ucf-crime-paper", "xd-violence-paper")


def predictor_of(config, tower=None) -> Predictor:
    tower = tower or random_tower()
    random = torch.Generator().manual_seed(0)
    state = {
        name: value + 0.05 * torch.randn(value.shape, generator=random)
        for name, value in new_model(config, tower).state_dict().items()
    }
    return Predictor(state, config, CLASSES, PROMPTS, tower)


@pytest.mark.parametrize("name", EVERY_PRESET)
@pytest.mark.parametrize("length", [1, 2, 11, 12, 13, 24, 40])
def test_every_length_gets_one_score_per_snippet(name, length):
    result = predictor_of(small(name)).predict(video(length))
    assert result.c_branch.shape == result.a_branch.shape == result.fusion.shape == (length,)
    assert result.classes.shape == (length, 3)
    for scores in (result.c_branch, result.a_branch, result.fusion, result.classes):
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert scores.min() >= 0
        assert scores.max() <= 1
    assert_allclose(result.classes.sum(1), 1, atol=1e-5)
    assert_allclose(result.a_branch, 1 - result.classes[:, 0], atol=1e-6)
    if length > 1:
        assert np.ptp(result.c_branch) > 0.001


@pytest.mark.parametrize("name", EVERY_PRESET)
def test_scores_do_not_depend_on_company(name):
    predictor = predictor_of(small(name))
    videos = [video(n, seed=n) for n in (1, 30, 5, 12)]
    together = predictor.predict_many(videos, batch_chunks=3)
    for one, many in zip((predictor.predict(v) for v in videos), together, strict=True):
        assert_allclose(one.c_branch, many.c_branch, atol=1e-5)
        assert_allclose(one.classes, many.classes, atol=1e-5)


def test_published_pieces_are_scored_one_by_one():
    predictor, rows = predictor_of(small("ucf-crime")), video(29)
    whole = predictor.predict(rows)
    pieces = [predictor.predict(part) for part in (rows[:12], rows[12:24], rows[24:])]
    assert_allclose(whole.classes, np.concatenate([piece.classes for piece in pieces]), atol=1e-5)


def test_the_rest_of_a_long_video_keeps_the_rows_before_it_as_company():
    predictor, rows = predictor_of(small("custom")), video(14)
    whole = predictor.predict(rows)
    assert_allclose(whole.classes[12:], predictor.predict(rows[2:]).classes[-2:], atol=1e-5)


def test_texts_are_encoded_once():
    tower = random_tower()
    predictor = predictor_of(small(), tower)
    predictor.predict_many([video(30), video(5)])
    predictor.predict(video(3))
    assert tower.calls == 1


def test_crops_are_averaged():
    predictor = predictor_of(small())
    crops = np.stack([video(5, seed=k) for k in range(3)])
    mean = np.mean([predictor.predict(crop).classes for crop in crops], axis=0)
    assert_allclose(predictor.predict(crops).classes, mean, atol=1e-6)


def test_sixteen_bit_features_are_read():
    predictor, rows = predictor_of(small()), video(5).astype(np.float16)
    assert_allclose(predictor.predict(rows).c_branch, predictor.predict(rows.astype(np.float32)).c_branch)


def test_bfloat16_scores_are_near():
    predictor, rows = predictor_of(small()), video(30)
    exact = predictor.predict(rows)
    predictor.precision = "bfloat16"
    near = predictor.predict(rows)
    assert near.c_branch.dtype == near.classes.dtype == np.float32
    assert 0 < np.abs(near.c_branch - exact.c_branch).max() < 0.05
    assert np.abs(near.classes - exact.classes).max() < 0.1


def test_a_day_of_video_passes_in_batches():
    predictor, largest = predictor_of(small(attn_layers=0)), []
    predictor.model.register_forward_hook(lambda _, given, __: largest.append(given[0].numel()))
    assert predictor.predict(video(60_000)).c_branch.shape == (60_000,)
    assert max(largest) <= 16 * 12 * 32


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((0, 32), np.float32), "no feature rows"),
        (np.zeros((3, 16), np.float32), "dimension 16, expected 32"),
        (np.full((3, 32), np.inf, np.float32), "not finite"),
        (np.zeros((0, 3, 32), np.float32), "no crops"),
    ],
)
def test_features_that_do_not_fit_are_named(values, message):
    with pytest.raises(BadInput, match=message):
        predictor_of(small()).predict(values)


def test_weights_that_do_not_fit_are_named():
    config, tower = small(), random_tower()
    state = new_model(config, tower).state_dict()
    with pytest.raises(BadCheckpoint, match=r"frame_position_embeddings.weight is \(12, 32\), expected \(6, 32\)"):
        Predictor(state, small(visual_length=6), CLASSES, PROMPTS, tower)
    with pytest.raises(BadCheckpoint, match="do not fit this model or text encoder"):
        Predictor(state, config, CLASSES, PROMPTS, random_tower(dim=16))
    with pytest.raises(ValueError, match="3 classes and 2 prompts"):
        Predictor(state, config, CLASSES, PROMPTS[:2], tower)


def test_zero_shot_scores_from_angles():
    texts = torch.tensor([[1.0, 0.0], [0.0, 2.0]])  # normal to the right, event upwards
    rows = np.array([[5.0, 0.0], [0.0, 0.1], [1.0, 1.0]], dtype=np.float32)
    result = zero_shot(rows, texts, scale=10)
    assert_allclose(result.a_branch, [1 / (1 + np.exp(10)), 1 / (1 + np.exp(-10)), 0.5], atol=1e-6)
    assert_allclose(result.c_branch, result.a_branch)


def test_zero_shot_needs_rows_of_the_texts_space():
    with pytest.raises(BadInput, match="dimension 3, expected 2"):
        zero_shot(np.zeros((1, 3), np.float32), torch.eye(2))
    with pytest.raises(ValueError, match="two classes or more"):
        zero_shot(np.zeros((1, 2), np.float32), torch.ones(1, 2))


def test_ensemble_is_the_mean_direction_of_the_sentences():
    sentences = torch.tensor([[[3.0, 0.0], [0.0, 5.0]]])
    assert_allclose(ensemble(sentences), [[0.5, 0.5]])


def test_naming_more_anomalies_leaves_an_undecided_snippet_undecided():
    snippet = np.eye(4, dtype=np.float32)[:1]  # as far from every text as from the others
    texts = np.eye(4, dtype=np.float32)[1:]
    many = np.concatenate([texts[:1], np.repeat(texts[1:], 5, axis=0)])
    for text_features in (texts, many):
        assert zero_shot(snippet, text_features, balanced=True).a_branch[0] == pytest.approx(0.5)
    assert zero_shot(snippet, many).a_branch[0] == pytest.approx(10 / 11)
