from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vidlang.core.errors import BadInput
from vidlang.encoders.preprocess import (
    CLIP_MEAN,
    CLIP_STD,
    PixelRecipe,
    crop_offset,
    preprocess,
    resized_size,
    ten_crop_frame,
)

CLIP = PixelRecipe(224)
PLAIN = PixelRecipe(224, mean=(0, 0, 0), std=(1, 1, 1))
SIZES = [(240, 320), (360, 640), (225, 224), (224, 301), (655, 450), (97, 131), (500, 500), (231, 1023), (1, 1)]


def smooth_frames(height: int, width: int, count: int = 1) -> np.ndarray:
    """Pictures with edges and gradients, which resize more like real ones than noise does."""
    rng = np.random.default_rng(height * 10_000 + width)
    frames = []
    for _ in range(count):
        small = rng.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
        frames.append(np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)))
    return np.stack(frames)


def the_plain_way(frame: np.ndarray, side: int = 224) -> np.ndarray:
    """CLIP's pipeline in plain words, one picture in float32 numpy: the second way of computing."""
    image = Image.fromarray(frame)
    short, long = min(image.size), max(image.size)
    if short != side:
        new_long = int(side * long / short)
        image = image.resize(
            (side, new_long) if image.width <= image.height else (new_long, side), Image.Resampling.BICUBIC
        )
    left, top = round((image.width - side) / 2.0), round((image.height - side) / 2.0)
    pixels = np.asarray(image.crop((left, top, left + side, top + side)), dtype=np.float32) / np.float32(255)
    return ((pixels - np.float32(CLIP_MEAN)) / np.float32(CLIP_STD)).transpose(2, 0, 1)


def test_exact_equals_the_published_tensor(golden_dir: Path):
    photo = np.asarray(Image.open(golden_dir / "clip_preprocess/franz-kafka.jpg").convert("RGB"))
    published = np.load(golden_dir / "clip_preprocess/expected_preprocessed_image.npy")
    assert np.array_equal(preprocess(photo[None], CLIP), published)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_exact_equals_the_plain_way_for_odd_sizes(height: int, width: int):
    frame = smooth_frames(height, width)
    assert np.array_equal(preprocess(frame, CLIP)[0], the_plain_way(frame[0]))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_fast_is_within_a_few_levels_of_exact(height: int, width: int):
    frames = smooth_frames(height, width, 2)
    exact, fast = preprocess(frames, PLAIN) * 255, preprocess(frames, PLAIN, "fast") * 255
    assert (exact - fast).abs().max() <= 3.01
    assert (exact - fast).abs().mean() < 0.02


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_frames_of_the_right_height_are_cropped_only(mode):
    frames = np.random.default_rng(0).integers(0, 256, (2, 224, 300, 3), dtype=np.uint8)
    expected = torch.from_numpy(frames[:, :, 38:262].copy()).permute(0, 3, 1, 2) / 255
    assert torch.equal(preprocess(frames, PLAIN, mode), expected)


def test_the_longer_side_is_cut_and_halves_go_to_even():
    assert resized_size(240, 321, 224) == (224, 299)  # 299.6
    assert resized_size(450, 655, 224) == (224, 326)
    assert resized_size(655, 450, 224) == (326, 224)
    assert [crop_offset(length, 224) for length in (224, 225, 226, 227)] == [0, 0, 1, 2]


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_a_batch_is_its_frames_one_by_one(mode):
    frames = smooth_frames(120, 160, 3)
    batch = preprocess(frames, CLIP, mode)
    assert torch.equal(batch, torch.cat([preprocess(frame[None], CLIP, mode) for frame in frames]))
    assert torch.equal(batch, preprocess(list(frames), CLIP, mode))


def test_a_list_may_mix_sizes():
    frames = [smooth_frames(120, 160)[0], smooth_frames(90, 60)[0], smooth_frames(120, 160)[0]]
    mixed = preprocess(frames, CLIP, "fast")
    assert torch.equal(mixed, torch.cat([preprocess(frame[None], CLIP, "fast") for frame in frames]))


def coded(height: int, width: int) -> np.ndarray:
    """Another colour in each corner and in the middle, each patch a fifth of the picture wide."""
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    h, w = height // 5, width // 5
    frame[2 * h : 3 * h, 2 * w : 3 * w] = 250  # white in the middle
    frame[:h, :w] = (250, 0, 0)
    frame[:h, -w:] = (0, 250, 0)
    frame[-h:, :w] = (0, 0, 250)
    frame[-h:, -w:] = (250, 250, 0)
    return frame


@pytest.mark.parametrize("side", [224, 112])
def test_ten_crops_are_centre_corners_and_their_mirrors(side: int):
    crops = preprocess(coded(360, 640)[None], PixelRecipe(side, (0, 0, 0), (1, 1, 1)), crops="ten") * 255
    assert crops.shape == (10, 3, side, side)
    white, red, green, blue, yellow = [250, 250, 250], [250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]
    middle, last = side // 2, side - 1
    seen = [crop[:, middle, middle].tolist() for crop in (crops[0], crops[5])]
    corners = [(0, 0), (0, last), (last, 0), (last, last)]
    seen += [crops[1 + k][:, row, column].tolist() for k, (row, column) in enumerate(corners)]
    seen += [crops[6 + k][:, row, last - column].tolist() for k, (row, column) in enumerate(corners)]
    assert np.allclose(seen, [white, white, red, green, blue, yellow, red, green, blue, yellow], atol=1e-3)
    assert torch.equal(crops[5:], crops[:5].flip(-1))


def test_ten_crops_of_a_frame_of_the_published_size_are_cut_where_published():
    frame = np.random.default_rng(0).integers(0, 256, (256, 340, 3), dtype=np.uint8)
    crops = preprocess(frame[None], PLAIN, crops="ten")
    cuts = [(16, 58), (0, 0), (0, 116), (32, 0), (32, 116)]
    expected = [frame[top : top + 224, left : left + 224] for top, left in cuts]
    assert np.array_equal(crops[:5].permute(0, 2, 3, 1), np.stack(expected).astype(np.float32) / np.float32(255))


def test_the_ten_crop_frame_grows_in_proportion():
    assert ten_crop_frame(224) == (256, 340)
    assert ten_crop_frame(336) == (384, 510)
    assert ten_crop_frame(112) == (128, 170)


def test_the_crop_index_runs_fastest():
    frames = smooth_frames(256, 340, 2)
    both = preprocess(frames, CLIP, crops="ten")
    assert torch.equal(both[10:], preprocess(frames[1:], CLIP, crops="ten"))


def test_the_ten_crop_resize_is_bilinear_with_half_pixel_centres():
    """Second way: each output pixel looks at (i + 1/2) * scale - 1/2 and blends its two neighbours, as OpenCV does."""
    frame = np.random.default_rng(2).integers(0, 256, (360, 640, 3), dtype=np.uint8)

    def blend(values: np.ndarray, length: int) -> np.ndarray:
        at = np.clip((np.arange(length) + 0.5) * len(values) / length - 0.5, 0, len(values) - 1)
        low = np.minimum(at.astype(int), len(values) - 2)
        share = (at - low).reshape(-1, *[1] * (values.ndim - 1))
        return values[low] * (1 - share) + values[low + 1] * share

    resized = blend(blend(frame.astype(np.float64), 256).swapaxes(0, 1), 340).swapaxes(0, 1)
    top_left = (preprocess(frame[None], PLAIN, crops="ten")[1] * 255).permute(1, 2, 0).numpy()
    assert np.abs(top_left - resized[:224, :224]).max() <= 0.51  # torch places the neighbours in float32


def test_frames_that_cannot_be_written_to_are_fine():
    frames = smooth_frames(120, 160)
    expected = preprocess(frames, CLIP, "fast")
    frames.flags.writeable = False
    assert torch.equal(preprocess(frames, CLIP, "fast"), expected)


def test_nothing_gives_nothing():
    assert preprocess([], CLIP).shape == (0, 3, 224, 224)


@pytest.mark.parametrize(
    "frames", [np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4, 3)), np.zeros((1, 0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(frames: np.ndarray):
    with pytest.raises(ValueError, match=r"frames must be uint8 \[N, H, W, 3\], got"):
        preprocess(frames, CLIP)


def write_config(folder: Path, **config: object) -> Path:
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_without_a_config_means_clips_own_values(tmp_path: Path):
    assert PixelRecipe.from_folder(tmp_path, 224) == PixelRecipe(224, CLIP_MEAN, CLIP_STD)


def test_a_folder_may_say_it_differently(tmp_path: Path):
    config = {"size": 224, "crop_size": {"height": 224, "width": 224}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    assert PixelRecipe.from_folder(write_config(tmp_path, **config), 224) == PixelRecipe(224, (0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    "config",
    [{"size": {"height": 224, "width": 224}}, {"crop_size": 200}, {"resample": 2}, {"size": {"shortest_edge": 200}}],
)
def test_another_preprocessing_than_clips_is_refused(tmp_path: Path, config: dict[str, object]):
    with pytest.raises(BadInput, match="CLIP's is a bicubic resize of the shorter side"):
        PixelRecipe.from_folder(write_config(tmp_path, **config), 224)
