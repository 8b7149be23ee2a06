"""A CLIP of two layers with random weights, saved the way people save theirs: a folder that works as an encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers.models.clip.configuration_clip import CLIPConfig
from transformers.models.clip.modeling_clip import CLIPModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
START, END = "<|startoftext|>", "<|endoftext|>"


def make_tokenizer() -> CLIPTokenizer:
    """Every letter is a token, and one merge makes "at" a token too."""
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "at</w>", START, END]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[("a", "t</w>")])


def make_config(image_size: int = 32) -> CLIPConfig:
    tokenizer = make_tokenizer()
    tower = {"num_hidden_layers": 2, "projection_dim": 24, "hidden_act": "quick_gelu"}
    return CLIPConfig(
        projection_dim=24,
        text_config={
            **tower,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 2,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 20,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            **tower,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_attention_heads": 3,
            "patch_size": 8,
            "image_size": image_size,
        },
    )


@pytest.fixture(scope="session")
def tiny_tokenizer() -> CLIPTokenizer:
    return make_tokenizer()


@pytest.fixture(scope="session")
def model() -> CLIPModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(make_config())
        # Weights as large as trained ones, so that a forgotten layer or position shows.
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture(scope="session")
def folder(model: CLIPModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local folder that works as an encoder."""
    folder = tmp_path_factory.mktemp("encoders") / "tiny-clip"
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder
