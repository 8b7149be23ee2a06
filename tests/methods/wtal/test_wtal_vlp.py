"""VLP: starts as CLIP itself, learns context around words, reads the tower no more often than it must."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from text_tower import random_tower
from torch.testing import assert_close
from wtal_small import DIM, small

from vidlang.core.errors import BadInput
from vidlang.methods.wtal.vlp import TextRows, Vlp, fitting_prompt, in_words, plain_rows, with_context
from vidlang.nn.padding import mask_of
from vidlang.nn.prompt import plan_prompts
from vidlang.nn.seed import seeded

PROMPTS = ["long jump", "swim", "throw a heavy ball"]


def branch(tower, **changes) -> tuple[Vlp, TextRows]:
    config = small(**changes)
    with seeded(0):
        vlp = Vlp(config, DIM, tower.width, clip_scale=100.0).eval()
    return vlp, TextRows(tower, PROMPTS, config)


def rows(length: int, batch: int = 2) -> torch.Tensor:
    return 10 * torch.randn(batch, length, DIM, generator=torch.Generator().manual_seed(length))


def encode(tower, text: str) -> torch.Tensor:
    """CLIP's row of a text, the plain way. returns: [D], of length 1"""
    tokens = tower.tokenize([text])
    return F.normalize(tower.encode_embeddings(tower.embed_tokens(tokens), tower.eot_index(tokens))[0], dim=-1)


@pytest.mark.parametrize("background", [True, False])
def test_an_untrained_branch_is_clip_itself(tower, background):
    vlp, texts = branch(tower, vlp_layers=2, background=background, kd="element")
    x = rows(7)
    words = [*PROMPTS, "background"] if background else PROMPTS
    expected = torch.stack([torch.stack([F.normalize(x, dim=-1) @ encode(tower, word) for word in words], -1)])[0]
    output = vlp(x, mask_of(torch.tensor([7, 4]), 7), texts.of(vlp))
    assert_close(output.logits / 100, expected, atol=1e-6, rtol=0)


def test_templates_are_averaged(tower):
    averaged = plain_rows(tower, ["swim"], ["{}", "a video of {}."])[0]
    expected = F.normalize(encode(tower, "swim") + encode(tower, "a video of swim."), dim=-1)
    assert_close(averaged, expected, atol=1e-6, rtol=0)


def test_padding_changes_nothing_once_the_blocks_have_learned(tower):
    vlp, texts = branch(tower)
    with torch.no_grad():
        for parameter in vlp.blocks.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    alone = vlp(rows(5), mask_of(torch.tensor([5, 5]), 5), texts.of(vlp))
    padded = vlp(torch.cat([rows(5), rows(4)], dim=1), mask_of(torch.tensor([5, 5]), 9), texts.of(vlp))
    assert (alone.features / 10 - F.normalize(rows(5), dim=-1)).abs().max() > 0.01
    assert_close(padded.logits[:, :5], alone.logits, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("positions", [True, False])
def test_order_counts_where_positions_are_on(tower, positions):
    vlp, texts = branch(tower, vlp_positions=positions)
    with torch.no_grad():
        for parameter in vlp.blocks.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    mask = mask_of(torch.tensor([6, 6]), 6)
    forth = vlp(rows(6), mask, texts.of(vlp)).logits
    back = vlp(rows(6).flip(1), mask, texts.of(vlp)).logits.flip(1)
    assert bool((forth - back).abs().max() > 0.01) is positions


def test_learned_vectors_stand_around_the_words():
    tower = random_tower(dim=DIM)
    plan = plan_prompts(tower, ["swim", "throw a ball"], 2, 3)
    context = torch.arange(5.0)[None, :, None].expand(1, 5, tower.width) + 100
    sentences = with_context(plan, context, 2, background=False)[..., 0]  # first number of each embedding
    word = [tower.embed_tokens(tower.tokenize([text]))[0, :, 0] for text in ("swim", "throw a ball")]
    start, end = word[0][0], word[0][2]
    assert_close(sentences[0, :8], torch.tensor([start, 100, 101, word[0][1], 102, 103, 104, end]))
    assert_close(sentences[1], torch.tensor([start, 100, 101, *word[1][1:4], 102, 103, 104, end]))


def test_the_background_has_vectors_of_its_own(tower):
    vlp, texts = branch(tower)
    assert vlp.context.shape == (2, 5, tower.width)
    before = texts.of(vlp).clone()
    with torch.no_grad():
        vlp.context[1] += torch.randn(vlp.context[1].shape, generator=torch.Generator().manual_seed(4))
    after = texts.of(vlp)
    assert_close(after[:-1], before[:-1])
    assert (after[-1] - before[-1]).abs().max() > 0.01


def test_random_text_rows_are_those_of_sentences_with_the_vectors(tower):
    vlp, texts = branch(tower, text_start="random")
    plan = plan_prompts(tower, PROMPTS, 2, 3)
    sentences = with_context(plan, vlp.context[:1], 2, background=False)
    expected = F.normalize(tower.encode_embeddings(sentences, plan.eot_index), dim=-1)
    assert_close(texts.of(vlp)[:-1], expected, atol=1e-6, rtol=0)


def test_plain_text_rows_move_by_what_the_vectors_learn(tower):
    plain, plain_texts = branch(tower)
    random, random_texts = branch(tower, text_start="random")
    start = random_texts.of(random).clone()
    with torch.no_grad():
        for vlp in (plain, random):
            vlp.context += 0.3 * torch.randn(vlp.context.shape, generator=torch.Generator().manual_seed(3))
    moved = random_texts.of(random) - start
    assert moved.abs().max() > 0.01
    assert_close(plain_texts.of(plain) - plain_texts.plain, moved, atol=1e-6, rtol=0)


def test_the_tower_runs_only_where_vectors_changed(tower):
    vlp, texts = branch(tower)
    texts.of(vlp)
    calls = tower.calls
    for _ in range(3):
        texts.of(vlp)
    assert tower.calls == calls
    with torch.no_grad():
        vlp.context += 0.1
    texts.of(vlp)
    assert tower.calls == calls + 1


def test_gradients_reach_the_vectors_and_not_the_tower(tower):
    vlp, texts = branch(tower)
    vlp(rows(4), mask_of(torch.tensor([4, 4]), 4), texts.learned(vlp)).logits.sum().backward()
    assert vlp.context.grad.abs().max() > 0
    assert not any(value.requires_grad for value in tower.state.values())


def test_frozen_prompts_have_no_vectors_and_need_no_tower(tower):
    vlp, texts = branch(tower, freeze_prompts=True)
    calls = tower.calls
    assert vlp.context is None
    assert texts.learned(vlp) is texts.plain
    assert tower.calls == calls


@pytest.mark.parametrize(("value", "scale"), [("clip", 100.0), ("14.3", 14.3), ("learn", 100.0)])
def test_the_scale_is_stored_and_learned_only_if_asked(tower, value, scale):
    vlp, _ = branch(tower, logit_scale=value)
    assert math.exp(vlp.state_dict()["log_scale"]) == pytest.approx(scale, rel=1e-5)
    assert ("log_scale" in dict(vlp.named_parameters())) is (value == "learn")


def test_a_learned_scale_ends_at_a_hundred(tower):
    vlp, texts = branch(tower, logit_scale="learn")
    with torch.no_grad():
        vlp.log_scale += 2
    logits = vlp(rows(4), mask_of(torch.tensor([4, 4]), 4), texts.of(vlp)).logits
    assert logits.abs().max() <= 100.001


def test_rows_of_any_length_are_the_same_to_it(tower):
    vlp, texts = branch(tower)
    mask = mask_of(torch.tensor([4, 4]), 4)
    assert_close(vlp(rows(4) / 37, mask, texts.of(vlp)).logits, vlp(rows(4), mask, texts.of(vlp)).logits)


def test_a_long_name_is_cut_to_fit_beside_the_vectors_and_said_so():
    tower = random_tower(dim=DIM, context=12)
    name = "one two three four five six"
    assert fitting_prompt(tower, name, 5) == "one two three four five"
    texts = TextRows(tower, ["swim", name], small(templates="none"))
    assert texts.notes == (f"the text {name!r} is too long beside the learned vectors, which stand around "
                           "'one two three four five' instead",)  # fmt: skip
    with pytest.raises(BadInput, match="needs 13 positions"):
        TextRows(tower, ["swim"], small(prompt_prefix=5, prompt_postfix=5))


@pytest.mark.parametrize(
    ("name", "words"),
    [("CleanAndJerk", "clean and jerk"), ("dog_walking", "dog walking"), ("Jump", "jump"), ("3x", "3x")],
)
def test_class_names_are_read_in_words(name, words):
    assert in_words(name) == words
