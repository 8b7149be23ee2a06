import pytest
import torch
from text_tower import random_tower
from torch.testing import assert_close

from vidlang.core.errors import BadInput
from vidlang.nn.prompt import plan_prompts


def test_sentences_are_start_learned_words_learned_end():
    tower = random_tower()
    plan = plan_prompts(tower, ["robbery", "car accident"], prefix=2, postfix=1)
    assert plan.learned.int().tolist() == [[0, 1, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1, 0]]
    assert plan.eot_index.tolist() == [5, 6]
    table = torch.arange(40.0)[:, None].expand(40, tower.width)
    sentences = plan.embeddings(table)
    words = tower.embed_tokens(tower.tokenize(["robbery", "car accident"]))
    assert_close(sentences[0, [1, 2, 4], 0], torch.tensor([1.0, 2.0, 4.0]))  # rows by absolute position
    assert_close(sentences[1, [0, 3, 4, 6]], words[1, [0, 1, 2, 3]])
    assert_close(sentences[0, [0, 3, 5]], words[0, [0, 1, 2]])


def test_cutting_behind_the_end_changes_nothing():
    tower = random_tower(layers=2)
    plan = plan_prompts(tower, ["robbery", "car accident"], prefix=2, postfix=1)
    table = torch.randn(40, tower.width)
    cut = tower.encode_embeddings(plan.embeddings(table), plan.eot_index)
    whole = torch.cat([plan.embeddings(table), table[7:].expand(2, -1, -1)], dim=1)  # all 40 positions
    whole[0, 6] = table[6]
    assert_close(cut, tower.encode_embeddings(whole, plan.eot_index), atol=1e-5, rtol=1e-5)


def test_prompts_that_do_not_fit_are_named():
    tower = random_tower()
    with pytest.raises(BadInput, match="'a very long story' needs 41 positions with its 20 \\+ 15 learned ones"):
        plan_prompts(tower, ["a very long story"], prefix=20, postfix=15)
    with pytest.raises(BadInput, match="the prompt '' has no words"):
        plan_prompts(tower, ["fight", ""], prefix=2, postfix=1)


def test_the_plan_itself_carries_no_gradient():
    plan = plan_prompts(random_tower(), ["robbery"], prefix=2, postfix=1)
    assert not plan.words.requires_grad
