"""The encoder: what it computes, what padding, weights and length do to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tca_golden import largest_difference, needs_golden, tensors, weights
from tca_plain import encode, unit

from vidlang.core.errors import BadInput
from vidlang.methods.tca import model as model_module
from vidlang.methods.tca.config import preset
from vidlang.methods.tca.model import TcaEncoder, new_encoder
from vidlang.nn.seed import seeded


def encoder(width=16, num_heads=4, num_layers=1, residual=False, seed=0, **changes) -> TcaEncoder:
    """Random weights everywhere, biases and norms included, so that none of them can be forgotten unnoticed."""
    with seeded(seed):
        made = TcaEncoder(width, num_heads, num_layers, feedforward=24, residual=residual, **changes).eval()
        for parameter in made.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return made


def rows_of(*lengths, width=16, seed=1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(lengths), max(lengths), width, generator=generator)
    for row, length in zip(x, lengths, strict=True):
        row[length:] = 0
    return x, torch.tensor(lengths)


@needs_golden
def test_recorded_outputs_are_reached():
    recorded, made = tensors("encoder"), TcaEncoder(32, 8).eval()
    made.load_state_dict(weights("encoder"))
    x, lengths = recorded["x"].transpose(1, 2), recorded["lengths"].long()
    with torch.no_grad():
        assert largest_difference(made(x, lengths), recorded["tokens_masked"]) < 1e-5
        assert largest_difference(made.video(x, lengths), recorded["video"]) < 1e-5
        assert largest_difference(torch.cat(made.frames(x, lengths)), recorded["frames_flat"]) < 1e-5
        garbage = recorded["x_garbage_padding"].transpose(1, 2)
        assert torch.equal(made(garbage, lengths), made(x, lengths))


@pytest.mark.parametrize(("num_heads", "num_layers", "width"), [(4, 1, 16), (1, 3, 10), (5, 2, 20)])
def test_it_computes_what_plain_loops_compute(num_heads, num_layers, width):
    made = encoder(width, num_heads, num_layers)
    x, lengths = rows_of(7, 3, 1, width=width)
    tokens, videos, frames = made(x, lengths), made.video(x, lengths), made.frames(x, lengths)
    for index, length in enumerate(lengths.tolist()):
        expected = encode(made.state_dict(), x[index, :length].numpy(), num_heads, num_layers)
        np.testing.assert_allclose(tokens[index, :length].detach(), expected, atol=2e-5)
        np.testing.assert_allclose(videos[index].detach(), unit(expected.mean(0)), atol=1e-5)
        np.testing.assert_allclose(frames[index].detach(), unit(expected), atol=1e-5)


def test_it_agrees_with_torchs_own_encoder_and_shares_its_names():
    layer = torch.nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)
    theirs = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    made = TcaEncoder(16, 4, 2, 24).eval()
    made.load_state_dict({f"transformer_encoder.{name}": value for name, value in theirs.state_dict().items()})
    x, lengths = rows_of(6, 6)
    torch.testing.assert_close(made(x, lengths), theirs(x), atol=1e-5, rtol=1e-5)


def test_weights_have_the_published_names_and_number():
    state = TcaEncoder(64, 8, 2).state_dict()
    parts = ["self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight"]
    parts += ["self_attn.out_proj.bias", "linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]
    parts += ["norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"]
    assert set(state) == {f"transformer_encoder.layers.{layer}.{part}" for layer in (0, 1) for part in parts}
    for width, count in ((1024, 8_399_872), (768, 5_513_984), (512, 3_152_384)):
        assert sum(parameter.numel() for parameter in TcaEncoder(width).parameters()) == count


@pytest.mark.parametrize("filling", [7.0, float("nan"), float("inf")])
def test_what_stands_in_the_padding_changes_no_bit(filling):
    made = encoder()
    x, lengths = rows_of(9, 4, 1)
    dirty = x.clone()
    dirty[1, 4:], dirty[2, 1:] = filling, filling
    assert torch.equal(made(dirty, lengths), made(x, lengths))
    assert torch.equal(made.video(dirty, lengths), made.video(x, lengths))
    assert not made(x, lengths)[1, 4:].any()


def test_the_amount_of_padding_hardly_changes_anything():
    made = encoder()
    x, lengths = rows_of(5)
    padded = torch.cat([x, torch.zeros(1, 8, 16)], dim=1)
    torch.testing.assert_close(made.video(padded, lengths), made.video(x, lengths), atol=1e-6, rtol=0)


def test_a_length_beyond_the_window_means_that_all_rows_count():
    made = encoder()
    x, _ = rows_of(6)
    assert torch.equal(made.video(x, torch.tensor([20])), made.video(x, torch.tensor([6])))
    assert made.frames(x, torch.tensor([20]))[0].shape == (6, 16)


def test_the_order_of_rows_does_not_matter_to_the_video():
    made = encoder()
    x, lengths = rows_of(6)
    torch.testing.assert_close(made.video(x.flip(1), lengths), made.video(x, lengths), atol=1e-6, rtol=0)
    torch.testing.assert_close(made(x.flip(1), lengths).flip(1), made(x, lengths), atol=1e-5, rtol=0)


def test_rows_of_no_weight_might_as_well_not_be_there():
    made = encoder(num_layers=2)
    x, lengths = rows_of(5)
    blank = torch.randn(1, 3, 16)
    mixed = torch.cat([blank[:, :2], x, blank[:, 2:]], dim=1)
    seen = torch.tensor([[0.0, 0, 1, 1, 1, 1, 1, 0]])
    torch.testing.assert_close(made(mixed, lengths + 3, seen)[:, 2:7], made(x, lengths), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.video(mixed, lengths + 3, seen), made.video(x, lengths), atol=1e-6, rtol=0)


def test_two_rows_of_half_weight_are_one_row():
    made = encoder()
    x, lengths = rows_of(4)
    doubled, seen = x.repeat_interleave(2, dim=1), torch.full((1, 8), 0.5)
    torch.testing.assert_close(made.video(doubled, lengths * 2, seen), made.video(x, lengths), atol=1e-6, rtol=0)


def test_weights_in_between_follow_the_plain_way():
    made = encoder()
    x, lengths = rows_of(4)
    seen = np.array([1.0, 0.3, 0.05, 0.7])
    expected = encode(made.state_dict(), x[0].numpy(), 4, weights=seen)
    tokens = made(x, lengths, torch.from_numpy(seen)[None])
    np.testing.assert_allclose(tokens[0].detach(), expected, atol=1e-5)
    video = made.video(x, lengths, torch.from_numpy(seen)[None])
    np.testing.assert_allclose(video[0].detach(), unit(seen @ expected), atol=1e-5)


def test_a_video_without_any_weight_has_the_vector_0_and_harms_no_other():
    made = encoder()
    x, lengths = rows_of(5, 5)
    seen = torch.tensor([[0.0] * 5, [1.0] * 5])
    video = made.video(x, lengths, seen)
    assert not video[0].any()
    torch.testing.assert_close(video[1:], made.video(x[1:], lengths[1:]), atol=1e-6, rtol=0)
    assert all(frames.isfinite().all() for frames in made.frames(x, lengths, seen))


def test_attention_in_blocks_is_the_same_attention(monkeypatch):
    made = encoder()
    x, lengths = rows_of(11, 6)
    whole = made(x, lengths)
    monkeypatch.setattr(model_module, "SCORES_AT_ONCE", 2 * 11 * 3)  # blocks of 3 queries
    torch.testing.assert_close(made(x, lengths), whole, atol=1e-6, rtol=0)


def test_an_untrained_residual_encoder_is_the_mean_of_its_rows():
    made = TcaEncoder(16, 4, residual=True).eval()
    x, lengths = rows_of(5, 2)
    assert set(made.state_dict()) - set(TcaEncoder(16, 4).state_dict()) == {"residual_scale"}
    assert torch.equal(made(x, lengths), x)
    expected = torch.nn.functional.normalize(torch.stack([x[0].mean(0), x[1, :2].mean(0)]), dim=-1)
    torch.testing.assert_close(made.video(x, lengths), expected, atol=1e-6, rtol=0)


def test_the_residual_adds_its_share_of_the_layers():
    made, bare = encoder(residual=True), encoder()
    bare.load_state_dict({name: value for name, value in made.state_dict().items() if name != "residual_scale"})
    made.residual_scale.data.fill_(0.25)
    x, lengths = rows_of(6, 3)
    torch.testing.assert_close(made(x, lengths), x + 0.25 * bare(x, lengths), atol=1e-6, rtol=0)
    made.video(x, lengths).sum().backward()
    assert made.residual_scale.grad.abs() > 0


def test_dropout_works_in_training_only():
    made = encoder(dropout=0.5)
    x, lengths = rows_of(6)
    assert torch.equal(made(x, lengths), made(x, lengths))
    made.train()
    assert not torch.equal(made(x, lengths), made(x, lengths))


def test_wrong_shapes_are_named():
    with pytest.raises(BadInput, match=r"num_heads must divide the width of the rows, 20; 8 does not\. Use 1, 2, 4, 5"):
        new_encoder(preset("custom"), 20)
    made = encoder()
    x, _ = rows_of(4, 4)
    with pytest.raises(ValueError, match=r"at least one row, got lengths \[4, 0\]"):
        made(x, torch.tensor([4, 0]))
    with pytest.raises(ValueError, match=r"weights must be \[B, T\] = \(2, 4\), got \(2, 3\)"):
        made(x, torch.tensor([4, 4]), torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"weights must lie in \[0, 1\]"):
        made(x, torch.tensor([4, 4]), torch.full((2, 4), 1.5))


@pytest.mark.parametrize("name", ["transformer", "netvlad", "nextvlad", "lstm", "gru"])
def test_the_config_makes_every_encoder(name):
    config = preset("custom", encoder=name, feedforward=24, output_dim=0 if name == "transformer" else 24)
    made = new_encoder(config, 16).eval()
    x, lengths = rows_of(5, 2)
    assert made.video(x, lengths).shape == (2, made.output_dim)
    assert made.output_dim == (16 if name == "transformer" else 24)
    assert [len(rows) for rows in made.frames(x, lengths)] == [5, 2]
