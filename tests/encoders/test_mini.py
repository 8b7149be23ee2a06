"""The bundled encoder: it loads from its folder alone, behaves as a CLIP, and knows real pictures."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import AutoImageProcessor, AutoTokenizer
from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import VisionTextDualEncoderModel

FOLDER = Path(str(files("vidlang") / "encoders" / "mini"))
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def model() -> VisionTextDualEncoderModel:
    return VisionTextDualEncoderModel.from_pretrained(
        FOLDER, local_files_only=True, use_safetensors=True, dtype=torch.float32
    ).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)


def text_features(model: VisionTextDualEncoderModel, tokenizer, texts: list[str], **padding) -> torch.Tensor:
    with torch.inference_mode():
        return model.get_text_features(**tokenizer(texts, return_tensors="pt", **padding)).pooler_output


def image_features(model: VisionTextDualEncoderModel, images: list[Image.Image]) -> torch.Tensor:
    processor = AutoImageProcessor.from_pretrained(FOLDER, local_files_only=True)
    with torch.inference_mode():
        return model.get_image_features(**processor(images, return_tensors="pt")).pooler_output


def test_weights_are_one_safetensors_file_of_at_most_15_megabytes():
    binaries = [p for p in FOLDER.iterdir() if p.suffix not in (".json", ".md", ".txt", ".py")]
    assert [p.name for p in binaries if not p.name.startswith("__")] == ["model.safetensors"]
    assert (FOLDER / "model.safetensors").stat().st_size <= 15 * MEGABYTE


def multiplications(model: VisionTextDualEncoderModel) -> int:
    """Of the image tower's convolutions for one picture."""
    counts: list[int] = []

    def count(layer: nn.Conv2d, _inputs: object, output: torch.Tensor) -> None:
        counts.append(output[0].numel() * layer.weight[0].numel())

    layers = [layer for layer in model.vision_model.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    side = model.config.vision_config.image_size
    with torch.inference_mode():
        model.vision_model(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def test_config_promises_room_for_a_prompt_and_little_work_for_an_image(model):
    assert model.config.text_config.max_position_embeddings == 77
    vit_b16 = 12 * (197 * 12 * 768**2 + 2 * 197**2 * 768) + 196 * 768**2  # layers, attention, patches
    assert multiplications(model) * 50 < vit_b16


def test_special_ids_are_the_same_everywhere(model, tokenizer):
    text = model.config.text_config
    assert (text.bos_token_id, text.eos_token_id) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert text.pad_token_id == tokenizer.pad_token_id == tokenizer.eos_token_id
    assert text.eos_token_id != 2  # 2 makes transformers pool at the largest id instead of the first end
    assert len(tokenizer) == text.vocab_size


@pytest.mark.parametrize(
    "text",
    ["", "A person fell down!", "日本語の文", "naïve café, 12:30", "🔥🚗 ❤️", "\0\u200d\ufffd", "العربية", "a" * 500],
)
def test_any_text_has_known_ids_between_start_and_end(tokenizer, text):
    ids = tokenizer(text).input_ids
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
    assert tokenizer.unk_token_id not in ids[1:-1]
    assert max(ids) < len(tokenizer)


def test_every_character_of_ascii_survives_the_round_trip(tokenizer):
    text = "".join(chr(code) for code in range(33, 127)).lower()
    decoded = tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True)
    assert decoded.replace(" ", "") == text


def test_words_survive_the_round_trip_in_lower_case(tokenizer):
    ids = tokenizer("Two People  fighting near a zebra crossing in Xyzzyville").input_ids
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    assert decoded == "two people fighting near a zebra crossing in xyzzyville"


def test_common_words_are_single_tokens(tokenizer):
    for word in ("person", "fighting", "explosion", "car", "surveillance"):
        assert len(tokenizer(word).input_ids) == 3


def test_long_text_is_cut_to_the_context_with_its_end_kept(tokenizer):
    ids = tokenizer("fire " * 200, truncation=True).input_ids
    assert len(ids) == 77 and ids[-1] == tokenizer.eos_token_id


def test_padding_does_not_change_the_text_feature(model, tokenizer):
    texts = ["a car", "people fighting in front of a shop at night"]
    alone = torch.cat([text_features(model, tokenizer, [text]) for text in texts])
    padded = text_features(model, tokenizer, texts, padding="max_length", max_length=77)
    torch.testing.assert_close(padded, alone, atol=1e-4, rtol=1e-4)


def test_tokens_after_the_first_end_do_not_matter(model, tokenizer):
    ids = tokenizer(["a car"], padding="max_length", max_length=20, return_tensors="pt").input_ids
    changed = ids.clone()
    changed[0, 8:] = torch.arange(12) + 300
    with torch.inference_mode():
        expected, actual = (model.get_text_features(input_ids=i).pooler_output for i in (ids, changed))
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_images_and_texts_meet_in_one_space(model, tokenizer):
    noise = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    images = image_features(model, [Image.fromarray(noise), Image.new("RGB", (64, 64), "red")])
    texts = text_features(model, tokenizer, ["a red square", "noise"], padding=True)
    for vectors in (images, texts):
        assert vectors.shape == (2, model.config.projection_dim)
        assert torch.isfinite(vectors).all() and (vectors.norm(dim=-1) > 1e-3).all()
    assert not torch.allclose(images[0], images[1], atol=1e-3)


def test_preprocessing_ends_at_the_size_of_the_image_tower(model):
    processor = AutoImageProcessor.from_pretrained(FOLDER, local_files_only=True)
    pixels = processor(Image.new("RGB", (321, 123)), return_tensors="pt")["pixel_values"]
    size = model.config.vision_config.image_size
    assert pixels.shape == (1, 3, size, size)
