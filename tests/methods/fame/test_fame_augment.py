"""Views: every change against a plainer way to do it, how often each comes, and what is merged with what."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from vidlang.methods.fame.augment import (
    Views,
    blur,
    brighten,
    center_crop,
    change_colours,
    draw_box,
    draw_jitter,
    grey,
    middle_clips,
    normalise,
    random_crops,
    saturate,
    stretch,
    training_clips,
    turn_hue,
)
from vidlang.methods.fame.config import MEAN, STD, preset, recognition
from vidlang.methods.fame.mask import clip_masks
from vidlang.methods.fame.merge import draw_order, merge
from vidlang.methods.fame.options import MaskOptions

CPU = torch.device("cpu")
PLAIN = {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0, "grey": 0.0, "jitter": 0.0, "blur": 0.0}
SIDE = 32


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(height: int = 12, width: int = 10, seed: int = 0) -> np.ndarray:
    """[H, W, 3] random bytes."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def as_clip(bytes_: np.ndarray) -> torch.Tensor:
    """[H, W, 3] → [3, 1, H, W] in 0..1"""
    return torch.from_numpy(bytes_).permute(2, 0, 1)[:, None].float() / 255


def as_picture(clip: torch.Tensor) -> np.ndarray:
    return (clip[:, 0].permute(1, 2, 0) * 255).numpy()


def pairs(batch: int = 4, frames: int = 4, side: int = SIDE, seed: int = 0) -> torch.Tensor:
    """[B, 2, 3, T, S, S] bytes in which everything moves."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (batch, 2, 3, frames, side, side))).byte()


def pixels(views: torch.Tensor) -> torch.Tensor:
    """Undoes the normalisation."""
    return views * torch.tensor(STD).view(3, 1, 1, 1) + torch.tensor(MEAN).view(3, 1, 1, 1)


def config(**changes):
    return preset("small", **{"crop_size": SIDE, "short_side": 0, "num_frames": 4, **PLAIN, **changes})


# colours


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
@pytest.mark.parametrize(
    ("change", "plain"),
    [(brighten, ImageEnhance.Brightness), (stretch, ImageEnhance.Contrast), (saturate, ImageEnhance.Color)],
)
def test_brightness_contrast_and_saturation_are_those_of_pillow(change, plain, factor):
    bytes_ = picture()
    expected = np.asarray(plain(Image.fromarray(bytes_)).enhance(factor), dtype=float)
    np.testing.assert_allclose(as_picture(change(as_clip(bytes_), factor)), expected, atol=1.6)  # Pillow rounds twice


@pytest.mark.parametrize("turn", [-0.1, 0.03, 0.5])
def test_hues_turn_as_in_colorsys(turn):
    bytes_ = picture()
    bytes_[0, :5] = [
        [0, 0, 0],
        [255, 255, 255],
        [90, 90, 90],
        [255, 0, 0],
        [0, 255, 255],
    ]  # no hue; borders of sextants
    expected = []
    for red, green, blue in bytes_.reshape(-1, 3) / 255:
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        expected.append(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value))
    got = as_picture(turn_hue(as_clip(bytes_), turn)).reshape(-1, 3) / 255
    np.testing.assert_allclose(got, expected, atol=2e-6)


def test_a_whole_turn_changes_nothing_and_no_turn_neither():
    clip = as_clip(picture())
    for turn in (0.0, 1.0, -1.0):
        torch.testing.assert_close(turn_hue(clip, turn), clip, atol=2e-6, rtol=0)


def test_grey_is_how_bright_colours_look():
    bytes_ = picture()
    expected = np.asarray(Image.fromarray(bytes_).convert("L"), dtype=float)
    np.testing.assert_allclose(grey(as_clip(bytes_))[0, 0] * 255, expected, atol=0.6)


def test_contrast_is_measured_over_all_frames_of_a_clip():
    dark, bright = torch.full((3, 1, 4, 4), 0.2), torch.full((3, 1, 4, 4), 0.6)
    out = stretch(torch.cat([dark, bright], 1), 0.5)
    assert out[:, 0].unique().tolist() == pytest.approx([0.3])
    assert out[:, 1].unique().tolist() == pytest.approx([0.5])


@pytest.mark.parametrize(("taps", "sd"), [(1, 0.5), (3, 0.1), (5, 2.0), (11, 1.3)])
def test_the_blur_is_a_sum_over_neighbours_with_mirrored_borders(taps, sd):
    plane = np.random.default_rng(0).random((12, 10))
    reach = taps // 2
    padded = np.pad(plane, reach, mode="reflect")
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sd**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2
    expected = np.array([[(padded[i : i + taps, j : j + taps] * weights).sum() for j in range(10)] for i in range(12)])
    clip = torch.from_numpy(plane).float().expand(3, 2, 12, 10)
    np.testing.assert_allclose(blur(clip, taps, sd)[1, 1], expected, atol=1e-6)


def test_a_blur_wider_than_the_picture_is_refused():
    with pytest.raises(ValueError, match="a blur of 11 taps needs more than 5 pixels, got 5"):
        blur(torch.zeros(3, 2, 5, 8), 11, 1.0)


def test_normalised_clips_have_the_published_mean_and_deviation():
    clips = torch.tensor(MEAN).view(1, 3, 1, 1, 1).expand(1, 3, 2, 4, 4)
    assert normalise(clips).abs().max() == 0
    assert normalise(clips + torch.tensor(STD).view(3, 1, 1, 1)).sub(1).abs().max() < 1e-5


# crops


def test_boxes_lie_within_the_picture_and_have_the_shares_and_ratios_asked_for():
    generator = seeded()
    boxes = [draw_box(240, 320, (0.2, 1.0), (3 / 4, 4 / 3), generator) for _ in range(3000)]
    assert all(box.top >= 0 and box.top + box.height <= 240 for box in boxes)
    assert all(box.left >= 0 and box.left + box.width <= 320 for box in boxes)
    shares = np.array([box.height * box.width / (240 * 320) for box in boxes])
    ratios = np.array([box.width / box.height for box in boxes])
    assert 0.195 < shares.min() < 0.22 and shares.max() > 0.95
    assert 0.74 < ratios.min() < 0.77 and 1.30 < ratios.max() < 1.345
    small = shares < 0.5  # those always fit, so their ratio is even on a log scale
    assert np.log(ratios[small]).mean() == pytest.approx(0.0, abs=0.02)
    assert {box.top for box in boxes} >= {0, 1} and max(box.top + box.height for box in boxes) == 240


def test_where_no_crop_fits_the_largest_allowed_one_in_the_middle_is_taken():
    box = draw_box(10, 200, (0.9, 1.0), (3 / 4, 4 / 3), seeded())
    assert (box.top, box.left, box.height, box.width) == (0, 93, 10, 13)
    box = draw_box(200, 10, (0.9, 1.0), (3 / 4, 4 / 3), seeded())
    assert (box.top, box.left, box.height, box.width) == (93, 0, 13, 10)


def plain_bilinear(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixel by pixel: each output's centre among the centres of the input, borders repeated."""
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * plane.shape[0] / height - 0.5, 0), plane.shape[0] - 1)
            x = min(max((j + 0.5) * plane.shape[1] / width - 0.5, 0), plane.shape[1] - 1)
            top, left = int(y), int(x)
            below, right = min(top + 1, plane.shape[0] - 1), min(left + 1, plane.shape[1] - 1)
            dy, dx = y - top, x - left
            upper = plane[top, left] * (1 - dx) + plane[top, right] * dx
            lower = plane[below, left] * (1 - dx) + plane[below, right] * dx
            out[i, j] = upper * (1 - dy) + lower * dy
    return out


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_crop_is_cut_first_and_resized_then(flip):
    clip = np.random.default_rng(0).integers(0, 256, (3, 2, 30, 40)).astype(np.uint8)
    changes = config(crop_scale=(0.3, 0.8), crop_ratio=(0.75, 4 / 3), flip=flip, crop_size=16)
    out = random_crops([clip], changes, seeded(3), CPU)[0]
    box = draw_box(30, 40, (0.3, 0.8), (0.75, 4 / 3), seeded(3))
    cut = clip[2, 1, box.top : box.top + box.height, box.left : box.left + box.width] / 255
    expected = plain_bilinear(cut, 16, 16)
    np.testing.assert_allclose(out[2, 1], expected[:, ::-1] if flip else expected, atol=1e-5)


def test_clips_of_different_sizes_share_a_batch():
    clips = [np.zeros((3, 4, 40, 50), np.uint8), np.zeros((3, 4, 33, 20), np.uint8)]
    assert random_crops(clips, config(), seeded(), CPU).shape == (2, 3, 4, SIDE, SIDE)
    assert middle_clips(clips, config(), CPU).shape == (2, 3, 4, SIDE, SIDE)


def test_the_middle_is_the_middle_and_small_pictures_are_enlarged_first():
    clip = torch.arange(7 * 9).float().view(1, 1, 7, 9)
    assert torch.equal(center_crop(clip, 3)[0, 0], clip[0, 0, 2:5, 3:6])
    grown = center_crop(torch.full((3, 2, 4, 6), 0.25), 8)
    assert grown.shape == (3, 2, 8, 8)
    assert grown.unique().tolist() == [0.25]


def test_other_numbers_than_bytes_are_refused():
    with pytest.raises(ValueError, match=r"clips must be uint8, as the reader gives them, got torch\.float32"):
        Views(config())(pairs().float(), seeded())


# how often


def test_each_change_comes_as_often_as_asked():
    bytes_ = np.random.default_rng(1).integers(0, 256, (3, 2, 8, 8)).astype(np.uint8)
    plain = torch.from_numpy(bytes_).float() / 255
    count = 1200

    def share(changes, is_changed) -> float:
        made = config(crop_size=8, **changes)
        clips = random_crops([bytes_] * count, made, seeded(), CPU)
        change_colours(clips, made, generator=seeded(1))
        return sum(is_changed(clip) for clip in clips) / count

    colourless = lambda clip: float((clip.amax(0) - clip.amin(0)).max()) < 1e-6  # noqa: E731
    assert share({"grey": 0.2}, colourless) == pytest.approx(0.2, abs=0.035)
    assert share({"jitter": 0.8}, lambda clip: not torch.equal(clip, plain)) == pytest.approx(0.8, abs=0.035)
    assert share({"flip": 0.5}, lambda clip: torch.equal(clip, plain.flip(-1))) == pytest.approx(0.5, abs=0.045)
    assert share({}, lambda clip: not torch.equal(clip, plain)) == 0


def test_half_of_the_clips_are_blurred_with_one_deviation_a_run_or_one_each():
    clips = pairs(1).expand(40, 2, 3, 4, SIDE, SIDE)
    sharp = clips[0, 0].float() / 255
    for draw in ("run", "clip"):
        views = Views(config(mask="none", blur_draw=draw, blur=0.5))
        query = pixels(views(clips, seeded(4)).query)
        blurred = [clip for clip in query if not torch.allclose(clip, sharp, atol=1e-4)]
        assert 10 < len(blurred) < 30
        assert all(torch.equal(clip, blurred[0]) for clip in blurred) == (draw == "run")
        if draw == "run":
            torch.testing.assert_close(blurred[0], blur(sharp, 3, views.run_sd), atol=1e-5, rtol=0)


def test_a_runs_deviation_comes_from_its_seed():
    drawn = [Views(config(seed=seed)).run_sd for seed in range(200)]
    assert 0.1 <= min(drawn) < 0.2 and 1.9 < max(drawn) <= 2.0
    assert Views(config(seed=3)).run_sd == drawn[3] != drawn[4]


def test_jitter_draws_within_its_strengths_and_in_every_order():
    draws = [list(draw_jitter(config(), generator)) for generator in [seeded()] for _ in range(600)]
    orders = {tuple(change.__name__ for change, _ in four) for four in draws}
    assert len(orders) == 24
    for change, low, high in ((brighten, 0.6, 1.4), (stretch, 0.6, 1.4), (saturate, 0.6, 1.4), (turn_hue, -0.1, 0.1)):
        amounts = np.array([amount for four in draws for name, amount in four if name is change])
        assert low <= amounts.min() and amounts.max() <= high
        assert amounts.mean() == pytest.approx((low + high) / 2, abs=0.1 * (high - low))
        assert amounts.max() - amounts.min() > 0.97 * (high - low)


def test_what_is_drawn_holds_for_all_frames():
    still = pairs()[:, :, :, :1].expand(4, 2, 3, 4, SIDE, SIDE)
    views = Views(preset("small", crop_size=SIDE, short_side=0, blur=1.0, jitter=1.0, mask="none"))(still, seeded())
    for view in (views.query, views.key):
        assert (view - view[:, :, :1]).abs().max() < 1e-6
    assert not torch.allclose(views.query, views.key)


def test_the_same_draws_give_the_same_views_and_others_do_not():
    made = preset("small", crop_size=SIDE, short_side=0)
    first, again, other = (Views(made)(pairs(), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.query, again.query) and torch.equal(first.key, again.key)
    assert not torch.equal(first.query, other.query)


# foreground and background


def moving_square(batch: int = 4) -> torch.Tensor:
    """[B, 2, 3, T, S, S]: a bright square runs over a random still ground; in the second window it runs back."""
    ground = np.random.default_rng(5).integers(0, 160, (batch, 1, 3, 1, SIDE, SIDE)).astype(np.uint8)
    clips = np.repeat(np.repeat(ground, 2, 1), 4, 3)
    for frame in range(4):
        clips[:, 0, :, frame, 8:20, 4 * frame : 4 * frame + 12] = 250
        clips[:, 1, :, frame, 8:20, 16 - 4 * frame : 28 - 4 * frame] = 250
    return torch.from_numpy(clips)


@pytest.mark.parametrize(
    ("mask", "hue"), [("fame", "reference"), ("fame", "exact"), ("seed", "exact"), ("grid", "exact")]
)
def test_the_query_has_its_own_foreground_and_anothers_background(mask, hue):
    clips = moving_square()
    made = config(mask=mask, hue=hue, beta=0.3)
    views = Views(made)(clips, seeded(7))
    whole = clips[:, 0].float() / 255
    masks = clip_masks(whole, MaskOptions(method=mask, hue=hue, beta=0.3, crop_size=SIDE))
    draws = seeded(7)
    for _ in range(2):
        random_crops(clips[:, 0], made, draws, CPU)
    order = draw_order(4, draws)
    torch.testing.assert_close(pixels(views.query), merge(whole, masks, order), atol=1e-5, rtol=0)
    torch.testing.assert_close(pixels(views.key), clips[:, 1].float() / 255, atol=1e-5, rtol=0)
    assert (views.merged, views.still, views.masked) == (int((order != torch.arange(4)).sum()), 0, 4)
    assert views.area / 4 == pytest.approx(0.5 if mask == "grid" else int(0.3 * SIDE**2) / SIDE**2)


def test_without_mask_nothing_is_merged():
    clips = moving_square()
    views = Views(config(mask="none"))(clips, seeded())
    torch.testing.assert_close(pixels(views.query), clips[:, 0].float() / 255, atol=1e-5, rtol=0)
    assert (views.merged, views.masked) == (0, 0)


def test_both_views_are_merged_where_asked():
    clips = moving_square()
    views = Views(config(views="both"))(clips, seeded(1))
    for view, window in ((views.query, 0), (views.key, 1)):
        assert not torch.allclose(pixels(view), clips[:, window].float() / 255, atol=1e-3)
    assert views.masked == 8


def test_intra_takes_the_background_of_the_same_videos_other_window():
    clips = moving_square()
    views = Views(config(background="intra", mask="seed"))(clips, seeded(1))
    first, second = (clips[:, window].float() / 255 for window in (0, 1))
    got = pixels(views.query)
    from_either = ((got - first).abs() < 1e-5) | ((got - second).abs() < 1e-5)
    assert bool(from_either.all())
    assert not torch.allclose(got, first, atol=1e-3)
    assert views.merged == 4


def test_clips_in_which_nothing_moves_stay_whole_and_are_counted():
    clips = moving_square()
    clips[2] = clips[2, :, :, :1]
    views = Views(config())(clips, seeded(7))
    torch.testing.assert_close(pixels(views.query)[2], clips[2, 0].float() / 255, atol=1e-5, rtol=0)
    assert views.still == 1
    assert views.merged <= 3
    assert views.area / 3 == pytest.approx(0.5)


def test_masks_are_made_before_colours_change():
    """Grey clips would have other masks: the foreground must be the one of the coloured clip."""
    clips = moving_square()
    plain = Views(config(mask="fame"))(clips, seeded(7))
    greyed = Views(config(mask="fame", grey=1.0))(clips, seeded(7))
    expected = torch.stack([grey(clip).expand_as(clip) for clip in pixels(plain.query)])
    torch.testing.assert_close(pixels(greyed.query), expected, atol=1e-5, rtol=0)


# recognition


def test_clips_to_learn_classes_from_are_cropped_and_recoloured_or_the_middle():
    clips = pairs()[:, 0]
    made = recognition("finetune", preset("small", crop_size=16, short_side=0))
    views = training_clips(clips, made, seeded(), CPU)
    assert views.shape == (4, 3, 4, 16, 16)
    middle = recognition("linear", preset("small", crop_size=16, short_side=0), augment="none")
    got = training_clips(clips[:, None], middle, seeded(), CPU)
    torch.testing.assert_close(pixels(got), clips[..., 8:24, 8:24].float() / 255, atol=1e-6, rtol=0)
    torch.testing.assert_close(got, middle_clips(clips, middle, CPU))
    assert not torch.allclose(views, got)
