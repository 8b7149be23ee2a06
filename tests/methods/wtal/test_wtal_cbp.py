"""CBP heads: one interface, and padding that changes nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from wtal_small import small

from vidlang.methods.wtal.cbp import HEADS, Cbp
from vidlang.methods.wtal.layers import Block, sinusoids
from vidlang.nn.padding import mask_of
from vidlang.nn.seed import seeded


def branch(**changes) -> Cbp:
    with seeded(0):
        return Cbp(small(**changes), input_width=6, num_classes=3).eval()


@pytest.fixture(params=HEADS)
def cbp(request) -> Cbp:
    return branch(cbp=request.param)


def rows(length: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, length, 6, generator=torch.Generator().manual_seed(length))


def test_every_head_gives_a_logit_per_column_and_features(cbp):
    output = cbp(rows(7, 2), mask_of(torch.tensor([7, 4]), 7))
    assert output.logits.shape == (2, 7, 4)
    assert output.features.shape == (2, 7, 32)


def test_without_background_there_is_a_column_per_class():
    bare = branch(background=False, kd="bernoulli")
    assert bare(rows(5), mask_of(torch.tensor([5]), 5)).logits.shape == (1, 5, 3)


def test_padding_changes_nothing(cbp):
    alone = cbp(rows(5), mask_of(torch.tensor([5]), 5))
    filled = torch.cat([rows(5), 100 * rows(4)], dim=1)  # even where padding holds numbers
    padded = cbp(filled, mask_of(torch.tensor([5]), 9))
    for one, other in zip(alone, padded, strict=True):
        if one is not None:
            assert_close(other[:, :5], one, atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_weight(cbp):
    output = cbp.train()(rows(6, 2), mask_of(torch.tensor([6, 3]), 6))
    (output.logits.sum() + (0.0 if output.suppressed is None else output.suppressed.sum())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in cbp.parameters())


def test_attention_is_a_prior_of_foreground_against_background():
    conv = branch(cbp="conv")
    output = conv(rows(6), mask_of(torch.tensor([6]), 6))
    plain = conv.head.classify(output.features).softmax(-1)
    attention = output.attention.sigmoid()[..., None]
    weighted = torch.cat([plain[..., :3] * attention, plain[..., 3:] * (1 - attention)], dim=-1)
    assert_close(output.logits.softmax(-1), weighted / weighted.sum(-1, keepdim=True))
    assert_close(output.suppressed, conv.head.classify(output.features * attention))


def test_inputs_are_standardised_by_the_stored_numbers(cbp):
    mask = mask_of(torch.tensor([4]), 4)
    before = cbp(rows(4), mask).logits
    cbp.standardise.mean.fill_(3.0)
    cbp.standardise.deviation.fill_(2.0)
    assert_close(cbp(rows(4) * 2 + 3, mask).logits, before, atol=1e-5, rtol=1e-5)
    assert {"standardise.mean", "standardise.deviation"} <= cbp.state_dict().keys()


def test_the_transformer_knows_the_order_and_the_convolution_its_neighbours():
    mask = mask_of(torch.tensor([9]), 9)
    far = rows(9).clone()
    far[:, 8] += 5  # two convolutions of 3 see two rows to each side
    for name, reaches in (("transformer", True), ("conv", False)):
        head = branch(cbp=name, cbp_layers=2)
        changed = (head(far, mask).logits - head(rows(9), mask).logits)[0, 0].abs().max()
        assert bool(changed > 1e-6) is reaches
    head = branch()
    assert not torch.allclose(head(rows(9).flip(1), mask).logits.flip(1), head(rows(9), mask).logits, atol=1e-4)


def test_an_identity_block_changes_nothing_and_still_learns():
    block = Block(8, 2, identity=True)
    x = torch.randn(2, 5, 8)
    mask = mask_of(torch.tensor([5, 3]), 5)
    assert torch.equal(block(x, mask, sinusoids(5, 8)), x)
    block(x, mask).square().sum().backward()
    assert block.out_proj.weight.grad.abs().max() > 0
    assert block.c_proj.weight.grad.abs().max() > 0


def test_a_block_is_attention_and_mlp_with_residuals():
    with seeded(1):
        block = Block(8, 2)
    x = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(2))
    q, k, v = block.in_proj(block.ln_1(x)).chunk(3, -1)
    heads = [
        ((q[..., h] @ k[..., h].transpose(1, 2)) / 4**0.5).softmax(-1) @ v[..., h] for h in (slice(0, 4), slice(4, 8))
    ]
    y = x + block.out_proj(torch.cat(heads, -1))
    expected = y + block.c_proj(F.gelu(block.c_fc(block.ln_2(y))))
    assert_close(block(x, torch.ones(1, 4, dtype=torch.bool)), expected)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width 8 cannot be split into 3 heads"):
        Block(8, 3)


def test_sinusoids_of_a_longer_video_start_the_same():
    assert torch.equal(sinusoids(12, 6)[:5], sinusoids(5, 6))
    assert_close(sinusoids(3, 6)[:, 0], torch.tensor([0.0, 1.0, 2.0]).sin())
