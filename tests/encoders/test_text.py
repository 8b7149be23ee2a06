from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from transformers import AutoTokenizer
from transformers.models.clip.modeling_clip import CLIPModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from vidlang.core.errors import BadInput
from vidlang.encoders.openai_layout import clip_from_openai
from vidlang.encoders.text import TextTower


@pytest.fixture(scope="module")
def tower(model: CLIPModel, tiny_tokenizer: CLIPTokenizer) -> TextTower:
    return TextTower(model, tiny_tokenizer)


@pytest.fixture(scope="module", params=["ucf", "xd"])
def published(request: pytest.FixtureRequest, golden_dir: Path, shared_models_dir: Path):
    """The CLIP of the recorded numbers with OpenAI's tokenizer, its state, facts and arrays."""
    files = golden_dir / "vadclip"
    state = {key: torch.from_numpy(value) for key, value in np.load(files / f"{request.param}_state.npz").items()}
    tokenizer = AutoTokenizer.from_pretrained(shared_models_dir / "clip_tokenizer", local_files_only=True)
    facts = json.loads((files / f"{request.param}_meta.json").read_text())
    return (
        TextTower(clip_from_openai(state), tokenizer),
        state,
        facts,
        dict(np.load(files / f"{request.param}_case.npz")),
    )


def with_prompts(tower: TextTower, tokens: torch.Tensor, table: torch.Tensor, before: int, after: int):
    """Start, learned rows, words, learned rows, end: section 4 of the method's description, one text at a time."""
    words, ends = tower.embed_tokens(tokens), tower.eot_index(tokens).tolist()
    sequence = table.repeat(len(tokens), 1, 1)
    for row, end in enumerate(ends):
        sequence[row, 0] = words[row, 0]
        sequence[row, before + 1 : before + end] = words[row, 1:end]
        sequence[row, before + end + after] = words[row, end]
    return sequence, torch.tensor(ends) + before + after


def test_a_sentence_has_openais_tokens(published):
    tower = published[0]
    tokens = tower.tokenize(["a photo of a cat"])
    assert tokens.shape == (1, 77)
    assert tokens[0, :7].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert not tokens[0, 7:].any()


def test_class_names_have_the_published_tokens(published):
    tower, _, facts, case = published
    assert np.array_equal(tower.tokenize(facts["prompt_text"]), case["tokens"])


def test_prompted_texts_are_those_of_the_published_code(published):
    tower, state, facts, case = published
    config = facts["config"]
    tokens = tower.tokenize(facts["prompt_text"])
    table = state["text_prompt_embeddings.weight"]
    sequence, ends = with_prompts(tower, tokens, table, config["prompt_prefix"], config["prompt_postfix"])
    with torch.inference_mode():
        rows = tower.encode_embeddings(sequence, ends)
    assert_close(rows, torch.from_numpy(case["text_features"]), atol=1e-5, rtol=0)  # 2e-6 found, 1e-4 allowed


def test_what_lies_behind_the_furthest_end_changes_nothing(published):
    """The second way computes all 77 positions: one more text ends at the last of them."""
    tower, state, facts, _ = published
    table = state["text_prompt_embeddings.weight"]
    sequence, ends = with_prompts(tower, tower.tokenize(facts["prompt_text"]), table, 10, 10)
    with torch.inference_mode():
        cut = tower.encode_embeddings(sequence, ends)
        whole = tower.encode_embeddings(torch.cat([sequence, sequence[:1]]), torch.cat([ends, torch.tensor([76])]))
        short = tower.encode_embeddings(sequence[:, : int(ends.max()) + 1], ends)
    assert_close(cut, whole[:-1], atol=2e-6 * float(cut.abs().max().clamp(min=1)), rtol=0)
    assert torch.equal(cut, short)


def test_plain_texts_are_those_of_transformers(tower: TextTower, model: CLIPModel):
    tokens = tower.tokenize(["cat", "the dog sat at a mat"])
    with torch.inference_mode():
        output = model.get_text_features(tokens)
        rows = tower.encode_tokens(tokens)
    assert_close(rows, getattr(output, "pooler_output", output), atol=1e-5, rtol=0)


def test_the_first_end_counts_where_padding_repeats_it(tower: TextTower):
    end = tower.tokenize(["a"])[0, 2]
    tokens = torch.tensor([[53, 1, end, end, end], [53, 1, 2, 3, end]])
    assert tower.eot_index(tokens).tolist() == [2, 4]


def test_a_row_without_an_end_is_refused(tower: TextTower):
    with pytest.raises(ValueError, match="each row of tokens needs an end token"):
        tower.eot_index(torch.zeros(1, 5, dtype=torch.int64))


def test_a_long_text_is_cut_and_keeps_its_end(tower: TextTower, caplog: pytest.LogCaptureFixture):
    tokens = tower.tokenize(["a b c d e f g h i j k l m n o p q r s t u v w x y z"])
    assert tokens.shape == (1, 20)
    assert tower.eot_index(tokens).tolist() == [19]
    assert "only the first 20 tokens" in caplog.text


def test_gradients_reach_the_embeddings_and_not_the_weights(tower: TextTower, model: CLIPModel):
    tokens = tower.tokenize(["cat", "a dog"])
    embeddings = tower.embed_tokens(tokens).requires_grad_()
    tower.encode_embeddings(embeddings, tower.eot_index(tokens)).square().sum().backward()
    assert embeddings.grad is not None
    end = int(tower.eot_index(tokens)[0])
    assert embeddings.grad[0, : end + 1].abs().sum(-1).min() > 0
    assert not embeddings.grad[0, end + 1 :].any()
    assert all(parameter.grad is None for parameter in model.text_model.parameters())


def test_no_texts_give_no_rows(tower: TextTower):
    tokens = tower.tokenize([])
    assert tokens.shape == (0, 20)
    assert tower.encode_tokens(tokens).shape == (0, 24)


def test_shapes_that_do_not_fit_are_refused(tower: TextTower):
    with pytest.raises(ValueError, match=r"expected embeddings \[C, at most 20, 32\] .* got \[1, 21, 32\]"):
        tower.encode_embeddings(torch.zeros(1, 21, 32), torch.tensor([3]))
    with pytest.raises(ValueError, match="an end position lies outside the sequence of 5"):
        tower.encode_embeddings(torch.zeros(1, 5, 32), torch.tensor([5]))


def test_a_tokenizer_of_another_kind_is_refused(model: CLIPModel):
    class Bare:
        eos_token_id = 54

        def __call__(self, texts: list[str]) -> dict[str, list[list[int]]]:
            return {"input_ids": [[1, 2, 3] for _ in texts]}

    with pytest.raises(BadInput, match="puts no end token after 'cat'"):
        TextTower(model, Bare()).tokenize(["cat"])
