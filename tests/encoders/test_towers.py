"""A convolutional image side: rows by transformers' own model, by head, and by a plain loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.mobilenet_v2.configuration_mobilenet_v2 import MobileNetV2Config
from transformers.models.vision_text_dual_encoder.configuration_vision_text_dual_encoder import (
    VisionTextDualEncoderConfig,
)
from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import VisionTextDualEncoderModel

from vidlang.core.errors import BadInput
from vidlang.encoders.clip import ClipEncoder, load_encoder
from vidlang.encoders.motion_pooling import FLOOR
from vidlang.encoders.towers import ConvolutionalTower
from vidlang.encoders.weights import load_both_towers, load_dual, locate
from vidlang.nn.region_pooling import rmac

SIDE, GRID, DIM = 128, 4, 12


@pytest.fixture(scope="module", params=[True, False], ids=["tensorflow's padding", "even padding"])
def dual(request, tiny_tokenizer) -> VisionTextDualEncoderModel:
    """Random weights, and statistics of normalisation that change every channel."""
    torch.manual_seed(0)
    end = tiny_tokenizer.eos_token_id
    text = CLIPTextConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, projection_dim=DIM, bos_token_id=tiny_tokenizer.bos_token_id, eos_token_id=end,
        pad_token_id=end,
    )  # fmt: skip
    vision = MobileNetV2Config(image_size=SIDE, depth_multiplier=0.35, tf_padding=request.param, hidden_size=1280)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=DIM)
    model = VisionTextDualEncoderModel(config).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.4)
            nn.init.normal_(module.bias, 0.0, 0.3)
            nn.init.normal_(module.running_mean, 0.0, 0.2)
            nn.init.uniform_(module.running_var, 0.2, 1.0)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    nn.init.normal_(model.visual_projection.weight, 0.0, 0.05)
    return model


@pytest.fixture(scope="module")
def dual_folder(dual, tiny_tokenizer, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dual") / "two-towers"
    dual.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(dual_folder: Path) -> ClipEncoder:
    encoder = load_encoder(str(dual_folder), device="cpu")
    assert isinstance(encoder, ClipEncoder)
    return encoder


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def last_map(dual: VisionTextDualEncoderModel, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return dual.vision_model(pixel_values=pixels).last_hidden_state


def test_rows_are_those_of_the_whole_model(encoder, dual, pixels):
    with torch.inference_mode():
        expected = dual.get_image_features(pixel_values=pixels).pooler_output
    assert (encoder.dim, encoder.image_size, encoder.patch_grid) == (DIM, SIDE, GRID)
    assert expected.std() > 1e-3
    assert_allclose(encoder.encode_pixels(pixels), expected.numpy(), atol=1e-4 * float(expected.abs().max()))


def test_texts_are_those_of_the_whole_model(encoder, dual, tiny_tokenizer):
    tokens = tiny_tokenizer(["a car", "a red car"], return_tensors="pt", padding=True)
    with torch.inference_mode():
        expected = dual.get_text_features(**tokens).pooler_output
    assert_allclose(encoder.encode_texts(["a car", "a red car"]).numpy(), expected.numpy(), atol=1e-5)


def test_equal_weights_give_the_plain_row(encoder, pixels):
    plain = encoder.encode_pixels(pixels)
    weighted = encoder.encode_pixels(pixels, weights=torch.full((3, GRID, GRID), 0.5))
    assert_allclose(weighted, plain, atol=1e-5 * np.abs(plain).max())


def test_weights_are_those_of_a_plain_mean_over_positions(encoder, dual, pixels):
    weights = torch.zeros(3, GRID, GRID)
    weights[:, 1, 2] = 1.0
    maps = last_map(dual, pixels)
    rest = (maps.sum((2, 3)) - maps[:, :, 1, 2]) * FLOOR
    mean = (maps[:, :, 1, 2] + rest) / (1 + (GRID * GRID - 1) * FLOOR)
    expected = mean @ dual.visual_projection.weight.T.detach()
    actual = encoder.encode_pixels(pixels, weights=weights)
    assert_allclose(actual, expected.numpy(), atol=1e-4 * float(expected.abs().max()))


def test_region_rows_are_of_the_last_map_of_each_size(dual, dual_folder, pixels):
    encoder = load_encoder(str(dual_folder), device="cpu", features="regions")
    outputs = []
    hooks = [
        layer.register_forward_hook(lambda _m, _i, output: outputs.append(output)) for layer in dual.vision_model.layer
    ]
    last_map(dual, pixels)
    for hook in hooks:
        hook.remove()
    last_of_size = {output.shape[-1]: output for output in outputs}  # later ones win
    sides = [SIDE // 4, SIDE // 8, SIDE // 16, SIDE // 32]
    expected = torch.cat([rmac(last_of_size[side]) for side in sides], dim=1)
    actual = encoder.encode_pixels(pixels)
    assert actual.shape == (3, encoder.dim) == tuple(expected.shape)
    assert_allclose(actual, expected.numpy(), atol=1e-4)
    assert_allclose(np.linalg.norm(actual, axis=1), 2.0, rtol=1e-5)


def test_folding_leaves_no_normalisation(dual_folder):
    encoder = load_encoder(str(dual_folder), device="cpu")
    assert isinstance(encoder.tower, ConvolutionalTower)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in encoder.tower.vision.modules())


def test_padding_is_transformers_own_for_odd_sides_too(dual, dual_folder):
    pixels = torch.randn(2, 3, 99, 130, generator=torch.Generator().manual_seed(2))
    tower = ConvolutionalTower(load_dual(locate(str(dual_folder))))
    with torch.inference_mode():
        expected = dual.vision_model(pixel_values=pixels).last_hidden_state
        actual = tower.last_map(pixels)
    assert_allclose(actual.numpy(), expected.numpy(), atol=1e-4 * float(expected.abs().max()))


def test_another_pair_of_towers_is_refused(dual_folder, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    for path in dual_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["model_type"] = "vit"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=r"pairs towers of type 'vit' and 'clip_text_model'"):
        load_encoder(str(folder), device="cpu")


def test_published_files_have_no_place_for_it(dual_folder):
    with pytest.raises(BadInput, match="convolutional network"):
        load_both_towers(locate(str(dual_folder)))
