"""Rows that attend to motion: the right patches, by head and by plain arithmetic, and the plain row at weight 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from vidlang.core.errors import BadInput
from vidlang.encoders.clip import ClipEncoder, load_encoder
from vidlang.encoders.motion_pooling import FLOOR, patch_weights
from vidlang.encoders.preprocess import PixelRecipe, preprocess

PIXELS = PixelRecipe(32)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ClipEncoder:
    encoder = load_encoder(str(folder), device="cpu")
    assert isinstance(encoder, ClipEncoder)
    return encoder


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 40, 56, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights() -> torch.Tensor:
    weights = np.random.default_rng(1).uniform(size=(5, 4, 4)).astype(np.float32)
    weights[:, 1] = 0
    return torch.from_numpy(weights)


def by_hand(encoder: ClipEncoder, pixels: torch.Tensor, weights: torch.Tensor) -> np.ndarray:
    """The tower layer by layer; the class token's attention times the weights, divided by its sum. No logarithm."""
    vision = encoder.tower.vision
    share = torch.ones(len(pixels), 17, 17)
    share[:, 0, 1:] = weights.flatten(1).clamp(min=FLOOR)
    with torch.inference_mode():
        tokens = vision.pre_layrnorm(vision.embeddings(pixels))
        for layer in vision.encoder.layers:
            attention, x = layer.self_attn, layer.layer_norm1(tokens)
            heads = attention.num_heads
            query, key, value = (
                projection(x).unflatten(-1, (heads, -1)).transpose(1, 2)
                for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            looks = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1) * share[:, None]
            seen = (looks / looks.sum(dim=-1, keepdim=True)) @ value
            tokens = tokens + attention.out_proj(seen.transpose(1, 2).flatten(2))
            tokens = tokens + layer.mlp(layer.layer_norm2(tokens))
        return encoder.tower.projection(vision.post_layernorm(tokens[:, 0])).numpy()


def test_rows_are_those_of_a_tower_written_out(encoder, frames, weights):
    pixels = encoder.preprocess(frames)
    rows = encoder.encode_pixels(pixels, weights=weights)
    assert_allclose(rows, by_hand(encoder, pixels, weights), atol=2e-5)
    assert np.abs(rows - encoder.encode_pixels(pixels)).max() > 1e-2


def test_weight_one_everywhere_is_the_plain_row(encoder, frames):
    pixels = encoder.preprocess(frames)
    plain = encoder.encode_pixels(pixels)
    assert_allclose(encoder.encode_pixels(pixels, weights=torch.ones(5, 4, 4)), plain, atol=5e-6)


def test_in_one_layer_a_patch_without_weight_hardly_counts(encoder, frames):
    """With one layer nothing but the class token's own attention carries a patch into the row."""
    pixels = encoder.preprocess(frames)
    other = pixels.clone()
    other[:, :, 8:16] = torch.randn(other[:, :, 8:16].shape, generator=torch.Generator().manual_seed(0))
    half = torch.ones(5, 4, 4)
    half[:, 1] = 0
    layers = encoder.tower.vision.encoder.layers
    encoder.tower.vision.encoder.layers = layers[:1]
    try:
        far = np.abs(encoder.encode_pixels(pixels) - encoder.encode_pixels(other)).max()
        near = np.abs(encoder.encode_pixels(pixels, weights=half) - encoder.encode_pixels(other, weights=half)).max()
    finally:
        encoder.tower.vision.encoder.layers = layers
    assert near < 0.1 * far


def test_batches_hardly_matter_and_nothing_is_left_hanging(encoder, frames, weights):
    pixels = encoder.preprocess(frames)
    rows = encoder.encode_pixels(pixels, weights=weights)
    assert_allclose(encoder.encode_pixels(pixels, 2, weights), rows, atol=5e-6)
    assert not any(layer.self_attn._forward_pre_hooks for layer in encoder.tower.vision.encoder.layers)


def test_bfloat16_stays_close(encoder, folder, frames, weights):
    half = load_encoder(str(folder), device="cpu", precision="bfloat16")
    near = half.encode_pixels(half.preprocess(frames), weights=weights)
    rows = encoder.encode_pixels(encoder.preprocess(frames), weights=weights)
    cosines = (near * rows).sum(axis=1) / np.linalg.norm(near, axis=1) / np.linalg.norm(rows, axis=1)
    assert 0.999 < cosines.min() < 0.9999999


def test_weights_of_another_shape_and_encoders_without_patches_are_refused(encoder, folder, frames):
    pixels = encoder.preprocess(frames)
    with pytest.raises(ValueError, match=r"weights must be \[5, 4, 4\], got \[5, 7, 7\]"):
        encoder.encode_pixels(pixels, weights=torch.ones(5, 7, 7))
    regions = load_encoder(str(folder), device="cpu", features="regions")
    assert (encoder.patch_grid, regions.patch_grid) == (4, None)
    with pytest.raises(BadInput, match=r"tiny-clip has no patches that motion could weigh \(regions rows\)\. Take"):
        regions.encode_pixels(pixels, weights=torch.ones(5, 4, 4))


def test_the_bundled_encoder_has_seven_by_seven_patches():
    encoder = load_encoder("mini", device="cpu")
    assert encoder.patch_grid == 7 == encoder.image_size // 32


def test_a_weight_is_the_share_of_the_patch_that_moves():
    mask = np.zeros((4, 4), dtype=bool)
    mask[1, 2] = mask[0, 0] = mask[0, 1] = True
    found = patch_weights(mask, (64, 64), PIXELS, 2)
    assert found.tolist() == [[[0.5, 0.25], [0.0, 0.0]]]
    thirds = patch_weights(mask[:3, :3], (64, 64), PIXELS, 2)[0]  # patches of 1.5 x 1.5 pixels
    # all of (0, 0) and half of (0, 1); half of (0, 1) and the upper half of (1, 2), whose lower half is below
    assert_allclose(thirds, np.array([[1 + 0.5, 0.5 + 0.5], [0, 0.5]]) / 2.25, rtol=1e-6)


def test_the_crop_sees_the_middle_of_a_wide_frame():
    """64 x 128 shrinks to 32 x 64, of which columns 16 to 48 are seen: the middle half of the mask."""
    mask = np.zeros((8, 16), dtype=bool)
    mask[:, :5] = True
    assert patch_weights(mask, (64, 128), PIXELS, 4)[0].tolist() == [[0.5, 0, 0, 0]] * 4
    tall = patch_weights(mask.T.copy(), (128, 64), PIXELS, 4)[0]
    assert tall.tolist() == [[0.5] * 4, [0] * 4, [0] * 4, [0] * 4]


def test_nothing_that_moves_in_the_crop_is_weight_one_everywhere():
    mask = np.zeros((8, 16), dtype=bool)
    assert (patch_weights(mask, (64, 128), PIXELS, 4) == 1).all()
    mask[:, 0] = True  # beside the crop
    assert (patch_weights(mask, (64, 128), PIXELS, 4) == 1).all()


@pytest.mark.parametrize("crops", ["center", "ten"])
def test_weights_lie_where_the_preprocessed_picture_shows_it(crops):
    """A frame that is white where the mask is: the brightness of each patch is its weight."""
    mask = np.zeros((256, 340), dtype=bool)
    mask[40:150, 30:200] = True
    frame = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    shown = preprocess(frame[None], PixelRecipe(224, (0, 0, 0), (1, 1, 1)), crops=crops)  # [K, 3, 224, 224]
    expected = torch.nn.functional.avg_pool2d(shown[:, :1], 32)[:, 0]
    found = patch_weights(mask, (256, 340), PixelRecipe(224), 7, crops)
    assert found.shape == (10 if crops == "ten" else 1, 7, 7)
    assert_allclose(found, expected, atol=0.03)
