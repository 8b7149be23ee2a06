"""From rows to vectors and scaled rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tca_plain import encode, unit
from tca_small import WIDTH, small, video

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.tca import predict as predict_module
from vidlang.methods.tca.model import new_encoder
from vidlang.methods.tca.predict import Embedder, PlainEmbedder
from vidlang.nn.seed import seeded


def state_of(config, seed=0, width=WIDTH):
    with seeded(seed):
        encoder = new_encoder(config, width)
    if config.residual and config.encoder == "transformer":
        encoder.residual_scale.data.fill_(0.3)
    return encoder.state_dict()


def embedder_of(**changes) -> Embedder:
    config = small(**changes)
    return Embedder.from_state(state_of(config), config, WIDTH)


@pytest.fixture(params=["plain", "transformer", "residual", "netvlad", "nextvlad", "lstm", "gru"])
def embedder(request):
    if request.param == "plain":
        return PlainEmbedder()
    if request.param in ("transformer", "residual"):
        return embedder_of(residual=request.param == "residual")
    return embedder_of(encoder=request.param)


WEIGHTS = np.array([1.0, 0.5, 0.0, 1.0, 0.2])


def test_the_vector_has_length_1_and_each_row_its_weight(embedder):
    vector, rows = embedder.embed(video(5), WEIGHTS)
    assert vector.shape == (16,)
    assert vector.dtype == rows.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), WEIGHTS, atol=1e-6)


def test_it_is_the_encoder_by_plain_loops():
    config = small(residual=False)
    state = state_of(config)
    rows, weights = video(4), np.array([1.0, 0.3, 0.6, 1.0])
    vector, scaled = Embedder.from_state(state, config, WIDTH).embed(rows, weights)
    tokens = encode(state, rows, config.num_heads, weights=weights)
    np.testing.assert_allclose(vector, unit(weights @ tokens), atol=1e-5)
    np.testing.assert_allclose(scaled, weights[:, None] * unit(tokens), atol=1e-5)


def test_plain_is_the_weighted_mean():
    rows = video(5)
    vector, scaled = PlainEmbedder(WIDTH).embed(rows, WEIGHTS)
    np.testing.assert_allclose(vector, unit((WEIGHTS[:, None] * rows).sum(0)), atol=1e-6)
    np.testing.assert_allclose(scaled, WEIGHTS[:, None] * rows, atol=1e-6)


def test_an_untrained_residual_encoder_embeds_as_plain_does():
    config = small()
    with seeded(0):
        state = new_encoder(config, WIDTH).state_dict()
    for ours, plain in zip(
        Embedder.from_state(state, config, WIDTH).embed(video(5), WEIGHTS),
        PlainEmbedder().embed(video(5), WEIGHTS),
        strict=True,
    ):
        np.testing.assert_allclose(ours, plain, atol=1e-6)


@pytest.mark.parametrize("made", ["plain", "transformer"])
def test_frames_of_no_weight_change_neither_vector_nor_other_rows(made):
    embedder = PlainEmbedder() if made == "plain" else embedder_of(residual=False)
    rows, blank = video(5, seed=1), video(3, seed=2)
    vector, scaled = embedder.embed(np.concatenate([blank, rows]), np.array([0.0] * 3 + [1.0] * 5))
    alone, alone_scaled = embedder.embed(rows)
    np.testing.assert_allclose(vector, alone, atol=1e-6)
    np.testing.assert_allclose(scaled[3:], alone_scaled, atol=1e-6)
    assert not scaled[:3].any()


def test_a_video_without_weight_resembles_nothing(embedder):
    if isinstance(embedder, PlainEmbedder) or not hasattr(embedder.encoder, "bn2"):
        vector, rows = embedder.embed(video(5), np.zeros(5))
        assert not vector.any()
        assert not rows.any()


def test_many_videos_are_the_same_as_one_by_one(embedder, monkeypatch):
    monkeypatch.setattr(predict_module, "ROWS_AT_ONCE", 20)
    videos = [video(length, seed=length) for length in (5, 30, 1, 8, 3, 12)]
    weights = [WEIGHTS, None, None, np.linspace(0, 1, 8), None, None]
    many = embedder.embed_many(videos, weights)
    for (vector, rows), one, weight in zip(many, videos, weights, strict=True):
        expected_vector, expected_rows = embedder.embed(one, weight)
        np.testing.assert_allclose(vector, expected_vector, atol=1e-5)
        np.testing.assert_allclose(rows, expected_rows, atol=1e-5)


def test_batches_hold_a_bounded_number_of_rows_and_every_video_once(monkeypatch):
    monkeypatch.setattr(predict_module, "ROWS_AT_ONCE", 20)
    lengths = [5, 30, 1, 8, 3, 12, 19, 20, 21]
    batches = list(predict_module._batches(lengths))
    assert sorted(index for batch in batches for index in batch) == list(range(9))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 20 for batch in batches)
    assert len(batches) < 9


def test_no_videos_are_no_embeddings(embedder):
    assert embedder.embed_many([]) == []


def test_a_very_long_video_is_read_whole_in_little_memory():
    """Its last row has a say in the first: rows far apart see each other."""
    embedder = embedder_of(residual=False, num_heads=1)
    rows = video(10_000, seed=1)
    changed = rows.copy()
    changed[-3000:] = -changed[-3000:]
    first, second = (embedder.embed(part)[1][0] for part in (rows, changed))
    assert np.abs(first - second).max() > 1e-3


def test_the_caller_keeps_an_encoder_in_training():
    config = small()
    with seeded(0):
        encoder = new_encoder(config, WIDTH)
    embedder = Embedder(encoder)
    before = embedder.embed(video(4))[0]
    encoder.residual_scale.data.fill_(1.0)
    assert not np.allclose(embedder.embed(video(4))[0], before)


def test_wrong_rows_and_weights_are_refused(embedder):
    with pytest.raises(BadInput, match="has no feature rows"):
        embedder.embed(np.zeros((0, WIDTH), dtype=np.float32))
    with pytest.raises(BadInput, match="not finite"):
        embedder.embed(np.full((2, WIDTH), np.nan, dtype=np.float32))
    with pytest.raises(BadInput, match="weights outside 0 to 1"):
        embedder.embed(video(2), np.array([0.5, 1.5]))
    with pytest.raises(ValueError, match=r"weights must be \[T\] = \(2,\), got \(3,\)"):
        embedder.embed(video(2), np.ones(3))
    if embedder.width is not None:
        with pytest.raises(BadInput, match="features of dimension 5, expected 16"):
            embedder.embed(video(2, width=5))


def test_weights_of_another_encoder_are_refused():
    config = small()
    with pytest.raises(BadCheckpoint, match=r"rows of width 16: .* expected"):
        Embedder.from_state(state_of(config, width=32), config, WIDTH)
    with pytest.raises(BadCheckpoint, match="residual_scale is missing"):
        Embedder.from_state(state_of(small(residual=False)), config, WIDTH)
    with pytest.raises(BadCheckpoint, match="nothing of that name"):
        Embedder.from_state(state_of(config), small(residual=False), WIDTH)


def test_published_weights_load_under_their_names():
    config = small("code", num_heads=8)
    state = {
        f"transformer_encoder.layers.0.{name}": value
        for name, value in torch.nn.TransformerEncoderLayer(WIDTH, 8, 32).state_dict().items()
    }
    assert Embedder.from_state(state, config, WIDTH).embed(video(3))[0].shape == (WIDTH,)
