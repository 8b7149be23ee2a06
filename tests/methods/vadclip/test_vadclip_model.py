"""The network against plain loops, and what padding may and may not do."""

from __future__ import annotations

import plain_vadclip
import pytest
import torch
from torch.testing import assert_close
from vadclip_small import small

from vidlang.methods.vadclip.model import LocalTransformer, VadClip, quick_gelu, similarity_graph
from vidlang.nn.padding import mask_of
from vidlang.nn.prompt import plan_prompts

ANY_PRESET = ("custom", "ucf-crime", "xd-violence", "ucf-crime-paper", "xd-violence-paper")


def model_of(config, seed: int = 0) -> VadClip:
    """Random weights everywhere, so that a forgotten bias or gain shows."""
    torch.manual_seed(seed)
    model = VadClip(config, dim=32, text_width=64, context_length=40).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn_like(parameter)
            elif "embeddings" in name:
                parameter *= 30
    return model


def batch(lengths: list[int], num_rows: int, seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    related = torch.randn(1, 1, 32) + 0.5 * torch.randn(len(lengths), num_rows, 32)  # some cosines above 0.7
    return related * mask_of(torch.tensor(lengths), num_rows)[..., None]


@pytest.mark.parametrize("name", ["ucf-crime", "xd-violence"])
def test_forward_equals_plain_loops(name):
    config = small(name)
    model, lengths, texts = model_of(config), [12, 5, 1], torch.randn(3, 32)
    features = batch(lengths, 12)
    with torch.no_grad():
        output = model(features, torch.tensor(lengths), texts)
        for b, length in enumerate(lengths):
            state = model.state_dict()
            plain = plain_vadclip.forward(state, features[b], length, texts, config.attn_layers, 2, 4)
            assert_close(output.logits_c[b], plain[0], atol=1e-4, rtol=1e-4)
            assert_close(output.logits_a[b], plain[1], atol=1e-4, rtol=1e-4)


def test_whole_videos_need_no_mask_to_agree_with_plain_loops():
    config = small("custom", similarity_graph="code", distance_graph="code", feature_norm=0.0)
    model, texts, features = model_of(config), torch.randn(4, 32), batch([12], 12)
    with torch.no_grad():
        output = model(features, torch.tensor([12]), texts)
        plain = plain_vadclip.forward(model.state_dict(), features[0], 12, texts, config.attn_layers, 2, 4)
    assert_close(output.logits_a[0], plain[1], atol=1e-4, rtol=1e-4)


def windows_of(length: int, window: int, **changes) -> tuple[LocalTransformer, torch.Tensor]:
    """One layer of windowed attention and random positions, to be left out by adding them to the features."""
    torch.manual_seed(0)
    config = small(attn_window=window, attn_layers=1, **changes)
    return LocalTransformer(16, config, quick_gelu), torch.randn(length, 16)


@pytest.mark.parametrize(("length", "window"), [(12, 4), (11, 4), (3, 8), (7, 1)])
def test_windows_equal_the_whole_matrix_with_a_mask(length, window):
    transformer, positions = windows_of(length, window)
    features = torch.randn(2, length, 16)
    ours = transformer(features, positions)
    state = {f"t.{name}": value for name, value in transformer.resblocks[0].state_dict().items()}
    for b in range(2):
        x = features[b] + positions
        y = plain_vadclip.layer_norm(x, state, "t.ln_1")
        x = x + plain_vadclip.attention(y, state, "t.attn", heads=2, window=window)
        x = x + plain_vadclip.feed_forward(plain_vadclip.layer_norm(x, state, "t.ln_2"), state, "t.mlp")
        assert_close(ours[b], x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [12, 11])
def test_windows_without_features_are_computed_once_and_come_out_right(length):
    transformer, positions = windows_of(length, 4)
    seen = []
    transformer.resblocks[0].register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    features = torch.randn(5, length, 16)
    features[1:, 3:] = 0  # one window in use, two blank ones
    together = transformer(features, positions)
    assert seen == [3 + 4 + 3]  # windows of the first video, of the others, and the blank ones
    for b in range(5):
        whole = features[b : b + 1] + positions
        assert_close(together[b : b + 1], transformer(whole, torch.zeros_like(positions)), atol=1e-5, rtol=1e-5)


def test_blank_windows_teach_the_positions_as_if_computed_for_each_video():
    transformer, positions = windows_of(12, 4)
    features = torch.randn(3, 12, 16)
    features[1:, 3:] = 0
    gradients = []
    for shared in (True, False):
        table = positions.clone().requires_grad_()
        if shared:
            out = transformer(features, table)
        else:
            out = transformer._blocks((features + table).reshape(9, 4, 16), None).reshape(3, 12, 16)
        out.pow(2).sum().backward()
        gradients.append(table.grad)
    assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)


def test_overlapping_windows_reach_half_a_window_further():
    transformer, positions = windows_of(12, 4, windows="overlapping")
    x = torch.randn(1, 12, 16, requires_grad=True)
    transformer(x, positions)[0, 5].pow(2).sum().backward()  # windows 2-5 and 4-7 hold row 5
    reached = x.grad[0].abs().sum(-1) > 0
    assert reached.nonzero().flatten().tolist() == [2, 3, 4, 5, 6, 7]


def test_similarity_graph_equals_loops_over_pairs():
    x = batch([9, 4], 9) + 0.1
    graph = similarity_graph(x, mask_of(torch.tensor([9, 4]), 9), 0.7)
    assert (graph[0] > 0).all()
    for ours, row, length in zip(graph, x, (9, 4), strict=True):
        assert_close(ours, plain_vadclip.similarity(row, length), atol=1e-6, rtol=1e-5)


def test_paper_similarity_graph_gives_unrelated_snippets_no_weight():
    x = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]])
    graph = similarity_graph(x, torch.ones(1, 3, dtype=torch.bool), 0.7, drop_unrelated=True)
    assert_close(graph[0, 2], torch.tensor([0.0, 0.0, 1.0]))
    assert graph[0, 0, 2] == 0


def test_paper_distance_graph_is_a_softmax_over_real_rows():
    model = model_of(small("ucf-crime-paper"))
    rows = model._distance_graph(5, mask_of(torch.tensor([3]), 5))[0]
    expected = torch.exp(-torch.tensor([0.0, 1.0, 2.0]))
    assert_close(rows[0], torch.cat([expected / expected.sum(), torch.zeros(2)]))


@pytest.mark.parametrize("name", ["custom", "ucf-crime-paper", "xd-violence-paper"])
def test_masked_padding_changes_nothing(name):
    model, texts = model_of(small(name, padding="masked")), torch.randn(3, 32)
    short = batch([5, 3], 5)
    lengths = torch.tensor([5, 3])
    padded = torch.cat([short, 100 * torch.randn(2, 6, 32)], dim=1)  # whatever stands in the padding
    padded[1, 3:5] = 7.0
    with torch.no_grad():
        alone, together = model(short, lengths, texts), model(padded, lengths, texts)
    for b, length in enumerate((5, 3)):
        assert_close(together.logits_c[b, :length], alone.logits_c[b, :length], atol=1e-5, rtol=1e-4)
        assert_close(together.logits_a[b, :length], alone.logits_a[b, :length], atol=1e-4, rtol=1e-4)


def test_published_padding_takes_part():
    model, texts, features = model_of(small("ucf-crime")), torch.randn(3, 32), batch([5], 12)
    changed = features.clone()
    changed[0, 9] = 1.0
    with torch.no_grad():
        before, after = (model(x, torch.tensor([5]), texts) for x in (features, changed))
    assert (before.logits_a[0, :5] - after.logits_a[0, :5]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ANY_PRESET)
def test_batch_mates_do_not_matter(name):
    config = small(name)
    model, texts, features = model_of(config), torch.randn(3, 32), batch([12, 5, 1], 12)
    with torch.no_grad():
        together = model(features, torch.tensor([12, 5, 1]), texts)
        alone = model(features[1:2], torch.tensor([5]), texts)
    assert_close(together.logits_a[1, :5], alone.logits_a[0, :5], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ANY_PRESET)
@pytest.mark.parametrize("window", [4, 5, 64])
def test_every_length_and_window_gives_numbers(name, window):
    config = small(name, attn_window=window)
    model = model_of(config)
    lengths = torch.tensor([1, 2, 11, 12])
    output = model(batch(lengths.tolist(), 12), lengths, torch.randn(2, 32))
    assert output.logits_c.shape == (4, 12)
    assert output.logits_a.shape == (4, 12, 2)
    output.logits_a.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


def test_the_scale_of_an_encoder_does_not_matter_unless_published():
    texts, features, lengths = torch.randn(3, 32), batch([5], 12), torch.tensor([5])
    for name, alike in (("custom", True), ("ucf-crime", False)):
        model = model_of(small(name))
        with torch.no_grad():
            first, second = (model(scale * features, lengths, texts).logits_c for scale in (1, 0.01))
        assert torch.allclose(first, second, atol=1e-4) == alike


def test_published_models_refuse_a_batch_that_is_not_padded():
    with pytest.raises(ValueError, match="5 rows, expected 12"):
        model_of(small("ucf-crime")).encode_video(torch.randn(1, 5, 32), torch.tensor([5]))
    with pytest.raises(ValueError, match="13 rows, expected up to 12"):
        model_of(small("custom")).encode_video(torch.randn(1, 13, 32), torch.tensor([13]))


def test_dimension_that_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match="dimension 33"):
        VadClip(small(), dim=33, text_width=64)


def test_gradient_reaches_the_prompt_rows_in_use_and_no_other(tower):
    config = small("ucf-crime")  # 2 before, 3 behind
    model = model_of(config)
    plan = plan_prompts(tower, ["normal", "car accident"], 2, 3)
    model.encode_text(tower, plan).pow(2).sum().backward()
    reached = model.text_prompt_embeddings.weight.grad.abs().sum(-1) > 0
    # start 0, learned 1-2, word 3, learned 4-6, end 7; with two words learned 5-7, end 8
    assert reached.nonzero().flatten().tolist() == [1, 2, 4, 5, 6, 7]


def test_unused_sigma_is_kept_and_gets_no_gradient():
    model = model_of(small("ucf-crime"))
    model(batch([12], 12), torch.tensor([12]), torch.randn(2, 32)).logits_a.sum().backward()
    assert model.disAdj.sigma.grad is None
    assert "disAdj.sigma" in model.state_dict()
    assert not any("distance" in name for name in model.state_dict())
