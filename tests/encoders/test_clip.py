from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers.models.clip.modeling_clip import CLIPModel

from vidlang.core.errors import BadInput
from vidlang.encoders.clip import ClipEncoder, load_encoder
from vidlang.encoders.registry import folder_digest


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ClipEncoder:
    return load_encoder(str(folder), device="cpu")


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 40, 56, 3), dtype=np.uint8)


def test_a_folder_is_an_encoder_and_its_content_is_its_revision(encoder: ClipEncoder, folder: Path):
    assert encoder.name == "local:tiny-clip"
    assert encoder.revision == folder_digest(folder)
    assert (encoder.dim, encoder.image_size, encoder.precision, encoder.device.type) == (24, 32, "float32", "cpu")


def test_rows_are_those_of_the_whole_model(encoder: ClipEncoder, model: CLIPModel, frames: np.ndarray):
    pixels = encoder.preprocess(frames)
    with torch.inference_mode():
        output = model.get_image_features(pixels)
    expected = getattr(output, "pooler_output", output)  # a tensor before transformers 5
    assert_allclose(encoder.encode_pixels(pixels), expected, atol=1e-6)


def test_texts_are_those_of_the_whole_model(encoder: ClipEncoder, model: CLIPModel):
    tokens = encoder.text.tokenize(["cat", "a dog at"])
    with torch.inference_mode():
        output = model.get_text_features(tokens)
    expected = getattr(output, "pooler_output", output)
    rows = encoder.encode_texts(["cat", "a dog at"])
    assert rows.dtype == torch.float32 and not rows.is_inference()
    assert_allclose(rows, expected, atol=1e-5)


def test_the_text_tower_is_loaded_on_first_use_only(folder: Path, frames: np.ndarray, tmp_path: Path):
    copy = tmp_path / "no-tokenizer"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("tokenizer*"))
    assert load_encoder(str(copy), device="cpu").encode_frames(frames).shape == (7, 24)


def test_equal_input_gives_equal_rows_and_batches_hardly_matter(encoder: ClipEncoder, frames: np.ndarray):
    rows = encoder.encode_frames(frames, batch_size=7)
    assert np.array_equal(rows, encoder.encode_frames(frames, batch_size=7))
    assert_allclose(encoder.encode_frames(frames, batch_size=2), rows, atol=5e-6)


def test_a_list_of_frames_of_many_sizes_keeps_its_order(encoder: ClipEncoder, frames: np.ndarray):
    other = np.random.default_rng(1).integers(0, 256, (50, 33, 3), dtype=np.uint8)
    rows = encoder.encode_frames([frames[0], frames[1], other, frames[2]])
    assert_allclose(rows[[0, 1, 3]], encoder.encode_frames(frames[:3]), atol=5e-6)
    assert_allclose(rows[2], encoder.encode_frames(other[None])[0], atol=5e-6)


def test_ten_crops_come_crop_first(encoder: ClipEncoder, frames: np.ndarray):
    rows = encoder.encode_frames(frames, crops="ten", batch_size=32)
    assert rows.shape == (10, 7, 24)
    pixels = encoder.preprocess(frames[4:5], crops="ten")
    assert_allclose(rows[:, 4], encoder.encode_pixels(pixels), atol=5e-6)


def test_nothing_gives_no_rows(encoder: ClipEncoder):
    none = np.empty((0, 40, 56, 3), dtype=np.uint8)
    assert encoder.encode_frames(none).shape == (0, 24)
    assert encoder.encode_frames(none, crops="ten").shape == (10, 0, 24)
    assert encoder.encode_texts([]).shape == (0, 24)


def test_bfloat16_stays_close(folder: Path, encoder: ClipEncoder, frames: np.ndarray):
    half = load_encoder(str(folder), device="cpu", precision="bfloat16").encode_frames(frames)
    full = encoder.encode_frames(frames)
    assert half.dtype == np.float32
    cosines = (half * full).sum(1) / np.linalg.norm(half, axis=1) / np.linalg.norm(full, axis=1)
    assert 0.999 < cosines.min() < 0.9999999


def test_float16_needs_cuda(folder: Path):
    with pytest.raises(BadInput, match="float16 needs a CUDA device, this is cpu"):
        load_encoder(str(folder), device="cpu", precision="float16")


def test_pixels_of_another_size_are_refused(encoder: ClipEncoder):
    with pytest.raises(ValueError, match=r"must be \[N, 3, 32, 32\], got \[1, 3, 40, 40\]"):
        encoder.encode_pixels(torch.zeros(1, 3, 40, 40))


def test_loading_leaves_the_random_state_and_the_logging_of_others_alone(folder: Path):
    from transformers.utils import logging as their_logging

    before, level = torch.random.get_rng_state(), their_logging.get_verbosity()
    load_encoder(str(folder), device="cpu").encode_texts(["cat"])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert their_logging.get_verbosity() == level and their_logging.is_progress_bar_enabled()


def test_mean_and_deviation_come_from_the_folder(folder: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = {
        "crop_size": 32,
        "size": {"shortest_edge": 36},
        "resample": 3,
        "image_mean": [0, 0, 0],
        "image_std": [1, 1, 1],
    }
    (copy / "preprocessor_config.json").write_text(json.dumps(config))
    pixels = load_encoder(str(copy), device="cpu").preprocess(np.full((1, 72, 90, 3), 51, dtype=np.uint8))
    assert pixels.shape == (1, 3, 32, 32)
    assert_allclose(pixels, 0.2)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_gives_the_same_rows(folder: Path, encoder: ClipEncoder, frames: np.ndarray, precision):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    there = load_encoder(str(folder), device="cuda", precision=precision).encode_frames(frames)
    here = encoder.encode_frames(frames)
    cosines = (there * here).sum(1) / np.linalg.norm(there, axis=1) / np.linalg.norm(here, axis=1)
    assert cosines.min() > 0.999
