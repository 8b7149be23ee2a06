"""Attention that goes into a video's vector, beside whole matrices and beside what the vector depends on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tca_plain import encode, softmax
from tca_small import small

from vidlang.core.errors import BadInput
from vidlang.methods.tca import attention as attention_module
from vidlang.methods.tca.attention import attention_received
from vidlang.methods.tca.model import TcaEncoder, new_encoder
from vidlang.nn.seed import seeded

WIDTH = 16


def encoder(num_heads: int = 4, num_layers: int = 2, residual: bool = False) -> TcaEncoder:
    with seeded(0):
        made = TcaEncoder(WIDTH, num_heads, num_layers, feedforward=24, residual=residual).eval()
        for parameter in made.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return made


def rows(number: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(number, WIDTH)).astype(np.float32)


def whole_matrices(made: TcaEncoder, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[L, H, T] from attention matrices that are whole, in float64."""
    num_layers = len(made.transformer_encoder.layers)
    num_heads = made.transformer_encoder.layers[0].self_attn.num_heads
    state, received = made.state_dict(), []
    for layer in range(num_layers):
        inside = encode(state, x, num_heads, layer, weights)
        w = state[f"transformer_encoder.layers.{layer}.self_attn.in_proj_weight"].double().numpy()
        b = state[f"transformer_encoder.layers.{layer}.self_attn.in_proj_bias"].double().numpy()
        query, key, _ = np.split(inside @ w.T + b, 3, axis=1)
        size = WIDTH // num_heads
        parts = [slice(head * size, (head + 1) * size) for head in range(num_heads)]
        matrices = [softmax(query[:, p] @ key[:, p].T / np.sqrt(size) + np.log(weights)) for p in parts]  # [T, T] each
        received.append([weights @ matrix / weights.sum() for matrix in matrices])
    return np.array(received)


@pytest.mark.parametrize("weights", [np.ones(9), np.linspace(0.1, 1, 9)])
def test_it_is_what_whole_matrices_say(weights):
    made = encoder()
    found = attention_received(made, rows(9), weights)
    assert found.shape == (2, 4, 9) and found.dtype == np.float32
    np.testing.assert_allclose(found, whole_matrices(made, rows(9), weights), atol=2e-6)


def test_shares_sum_to_one_and_blocks_change_nothing(monkeypatch):
    found = attention_received(encoder(), rows(23))
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)
    assert (found > 0).all()
    monkeypatch.setattr(attention_module, "SCORES_AT_ONCE", 50)
    np.testing.assert_allclose(attention_received(encoder(), rows(23)), found, atol=1e-6)


def test_another_order_of_rows_is_another_order_of_shares():
    order = np.random.default_rng(2).permutation(12)
    weights = np.linspace(0.2, 1, 12)
    found = attention_received(encoder(), rows(12), weights)
    np.testing.assert_allclose(
        attention_received(encoder(), rows(12)[order], weights[order]), found[..., order], atol=1e-6
    )


def test_equal_rows_share_evenly():
    found = attention_received(encoder(), np.repeat(rows(1), 8, axis=0))
    np.testing.assert_allclose(found, 1 / 8, atol=1e-6)


def test_a_hidden_row_gets_nothing_and_the_others_as_without_it():
    weights = np.array([1.0, 0, 1, 1])
    found = attention_received(encoder(), rows(4), weights)
    assert not found[:, :, 1].any()
    np.testing.assert_allclose(found[:, :, [0, 2, 3]], attention_received(encoder(), rows(4)[[0, 2, 3]]), atol=1e-6)


def test_a_video_of_hidden_rows_is_read_as_if_all_counted():
    np.testing.assert_allclose(
        attention_received(encoder(), rows(4), np.zeros(4)), attention_received(encoder(), rows(4)), atol=1e-6
    )


def test_the_scale_of_a_residual_encoder_does_not_reach_its_attention():
    made = encoder(num_layers=1, residual=True)
    before = attention_received(made, rows(6))
    made.residual_scale.data.fill_(3.0)
    np.testing.assert_array_equal(attention_received(made, rows(6)), before)


def test_the_row_that_gets_attention_is_the_one_that_the_vector_depends_on():
    made = encoder(num_heads=1, num_layers=1)
    attention = made.transformer_encoder.layers[0].self_attn
    attention.in_proj_weight.data[: 2 * WIDTH] = 0
    attention.in_proj_bias.data[:WIDTH] = 1.0  # every query is ones, every key says how large its row's first number is
    attention.in_proj_bias.data[WIDTH : 2 * WIDTH] = 0
    attention.in_proj_weight.data[WIDTH : 2 * WIDTH, 0] = 2.0
    x = np.zeros((5, WIDTH), dtype=np.float32)
    x[3, 0] = 1.0
    # scores are 16 * 2 / sqrt(16) = 8 for row 3 and 0 for the others
    expected = np.exp([0, 0, 0, 8.0, 0])
    np.testing.assert_allclose(attention_received(made, x)[0, 0], expected / expected.sum(), atol=1e-6)


@pytest.mark.parametrize("network", ["netvlad", "gru"])
def test_networks_without_attention_say_so(network):
    with pytest.raises(BadInput, match="belongs to the transformer"):
        attention_received(new_encoder(small(encoder=network), WIDTH), rows(4))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"must be \[T, 16\]"):
        attention_received(encoder(), np.ones((3, 8), dtype=np.float32))
    with pytest.raises(ValueError, match=r"weights must be \[T\] = \(3,\)"):
        attention_received(encoder(), rows(3), np.ones(2))
