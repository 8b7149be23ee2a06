"""Region rows of CLIP: the right layers, the right places, one pass, and the same row whatever it is batched with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers.models.clip.modeling_clip import CLIPModel

from vidlang.core.errors import BadInput
from vidlang.encoders.clip import ClipEncoder, load_encoder
from vidlang.encoders.regions import depths_of, patch_map, pooled_stages

WIDTH = 48


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ClipEncoder:
    encoder = load_encoder(str(folder), device="cpu", features="regions")
    assert isinstance(encoder, ClipEncoder)
    return encoder


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 40, 56, 3), dtype=np.uint8)


def test_depths_are_the_ends_of_the_quarters():
    assert depths_of(12) == (3, 6, 9, 12)
    assert depths_of(24) == (6, 12, 18, 24)
    assert depths_of(32) == (8, 16, 24, 32)
    assert depths_of(6) == (2, 3, 5, 6)
    assert depths_of(1) == (1, 1, 1, 1)


def test_a_patch_lies_in_the_map_where_it_lies_in_the_picture():
    tokens = torch.zeros(1, 1 + 9, 2)
    tokens[0, 0] = 100  # the class token
    tokens[0, 1 + 3 * 1 + 2, 0] = 7  # second row, third column of patches
    expected = torch.zeros(1, 2, 3, 3)
    expected[0, 0, 1, 2] = 7
    assert torch.equal(patch_map(tokens), expected)


def test_rows_are_regions_of_what_each_depth_hands_to_the_next_layer(encoder, model: CLIPModel, frames):
    """Second way: every hidden state at once. Two layers: quarters end after layers 1, 1, 2, 2."""
    pixels = encoder.preprocess(frames)
    tower = model.vision_model
    with torch.inference_mode():
        states = tower(pixel_values=pixels, output_hidden_states=True).hidden_states
        first = tower.encoder.layers[1].layer_norm1(states[1])
        second = tower.post_layernorm(states[2])
        maps = [patch_map(state) for state in (first, first, second, second)]
        expected = pooled_stages(maps)
    rows = encoder.encode_pixels(pixels)
    assert rows.shape == (7, 4 * WIDTH) and rows.dtype == np.float32 and encoder.dim == 4 * WIDTH
    assert_allclose(rows, expected, atol=1e-5)


def test_each_depth_is_a_block_of_length_one(encoder, frames):
    blocks = encoder.encode_frames(frames).reshape(7, 4, WIDTH)
    assert_allclose(np.linalg.norm(blocks, axis=2), 1, atol=1e-5)


def test_one_pass_of_the_tower_and_nothing_left_hanging_on_it(encoder, frames):
    passes = []
    watch = encoder.tower.vision.embeddings.register_forward_hook(lambda *_: passes.append(1))
    encoder.encode_frames(frames, batch_size=7)
    watch.remove()
    assert len(passes) == 1
    assert not any(layer._forward_hooks for layer in encoder.tower.vision.encoder.layers)


def test_batches_hardly_matter_and_ten_crops_come_crop_first(encoder, frames):
    rows = encoder.encode_frames(frames, batch_size=7)
    assert_allclose(encoder.encode_frames(frames, batch_size=2), rows, atol=5e-6)
    ten = encoder.encode_frames(frames, crops="ten", batch_size=32)
    assert ten.shape == (10, 7, 4 * WIDTH)
    assert_allclose(ten[:, 4], encoder.encode_pixels(encoder.preprocess(frames[4:5], crops="ten")), atol=5e-6)
    assert encoder.encode_frames(frames[:0]).shape == (0, 4 * WIDTH)


def test_bfloat16_stays_close(encoder, folder: Path, frames):
    half = load_encoder(str(folder), device="cpu", precision="bfloat16", features="regions").encode_frames(frames)
    full = encoder.encode_frames(frames)
    assert half.dtype == np.float32
    assert 0.999 < ((half * full).sum(axis=1) / 4).min() < 0.9999999  # rows have length 2


def test_rows_of_regions_have_no_words(encoder, folder: Path):
    with pytest.raises(BadInput, match=r"tiny-clip by regions cannot be compared with texts\. Take --features pooled"):
        encoder.encode_texts(["cat"])
    assert load_encoder(str(folder), device="cpu").features == "pooled"


def test_the_bundled_encoder_makes_regions_of_maps_of_four_sizes():
    encoder = load_encoder("mini", device="cpu", features="regions")
    rows = encoder.encode_frames(np.random.default_rng(1).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8))
    assert rows.shape == (2, 24 + 32 + 96 + 320) and np.isfinite(rows).all()
    assert_allclose(np.linalg.norm(rows, axis=1), 2, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_gives_the_same_rows(encoder, folder: Path, frames, precision):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    there = load_encoder(str(folder), device="cuda", precision=precision, features="regions").encode_frames(frames)
    assert ((there * encoder.encode_frames(frames)).sum(axis=1) / 4).min() > 0.999
