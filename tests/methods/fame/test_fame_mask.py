"""Motion masks equal the recorded ones stage by stage and a plain loop over pixels; what cannot be masked says so."""

from __future__ import annotations

import math
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from vidlang.core.errors import BadInput
from vidlang.methods.fame.mask import (
    Hsv,
    Samples,
    _largest,
    clip_masks,
    colour_codes,
    colour_histogram,
    posterior,
    sample_pixels,
    scale,
    seed_energy,
    smooth,
    to_hsv,
    top,
)
from vidlang.methods.fame.options import MaskOptions, blur_size, gaussian_taps
from vidlang.methods.fame.variants import gauss_window, grid_mask, grid_sums

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
import golden_fame as recorded


@pytest.fixture(scope="module")
def golden(golden_dir):
    return recorded.Golden(golden_dir / "fame")


@pytest.mark.parametrize(
    ("section", "least"),
    [("seed", 14), ("colours", 20), ("samples", 40), ("scores", 18), ("masks", 100), ("end_to_end", 130)],
)
def test_masks_equal_the_recorded_ones(golden, section, least):
    rows = list(recorded.SECTIONS[section](golden))
    assert sum(row.num_arrays for row in rows) >= least
    assert [row for row in rows if not row.holds] == []


def test_variants_equal_the_recorded_ones(golden):
    rows = list(recorded.SECTIONS["variants"](golden))
    assert sum(row.num_arrays for row in rows) >= 80
    assert [row for row in rows if not row.holds] == []


def test_the_mask_covers_the_moving_square_of_recorded_clips(golden):
    case = next(c for c in golden.cases if c.name == "square_noise_112")
    truth = case.tensor("true_union")
    for hue in ("exact", "reference"):
        mask = clip_masks(case.clips, MaskOptions(hue=hue)).mask
        found = (mask & truth).flatten(1).sum(1) / truth.flatten(1).sum(1)
        assert found.min() > 0.9, hue


# -- small clips that are always there


def moving_clips(batch=2, frames=5, height=20, width=24, seed=0):
    """A textured square before a textured ground, moving a pixel a frame, with noise; [B, 3, T, H, W] bytes."""
    generator = torch.Generator().manual_seed(seed)
    ground = torch.randint(40, 200, (batch, 3, 1, height, width), generator=generator)
    square = torch.randint(0, 256, (batch, 3, 8, 8), generator=generator)
    clips = ground.repeat(1, 1, frames, 1, 1)
    for t in range(frames):
        clips[:, :, t, 5 : 5 + 8, 3 + t : 3 + t + 8] = square
    noise = torch.randint(-3, 4, clips.shape, generator=generator)
    return (clips + noise).clamp(0, 255).to(torch.uint8)


def plain_mask(clip, options):
    """One clip by loops over pixels, in double precision. clip: [3, T, H, W] in 0..1; returns the score and the mask"""
    _, frames, height, width = clip.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    values = clip.double().tolist()
    seed, picture = {}, {}
    for y, x in pixels:
        steps = [sum(abs(values[c][t + 1][y][x] - values[c][t][y][x]) for c in range(3)) for t in range(frames - 1)]
        seed[y, x] = sum(steps) / len(steps)
        picture[y, x] = [sum(values[c][t][y][x] for t in range(frames)) / frames for c in range(3)]
    seed = plain_smooth_and_scale(seed, height, width, options)
    order = sorted(pixels, key=lambda at: -seed[at])
    foreground, background = order[: int(0.5 * len(pixels))], order[len(pixels) - int(0.1 * len(pixels)) :]
    codes = {at: plain_code(*picture[at], options.hue) for at in pixels}
    moving, still = Counter(codes[at] for at in foreground), Counter(codes[at] for at in background)
    found = {}
    for at, code in codes.items():
        of_foreground = moving[code] / len(foreground)
        of_background = (still[code] + 1) / (len(background) + 1000)
        found[at] = of_foreground / (of_foreground + of_background)
    score = plain_smooth_and_scale(found, height, width, options)
    chosen = set(sorted(pixels, key=lambda at: -score[at])[: int(options.beta * len(pixels))])
    shape = (height, width)
    return (
        torch.tensor([score[at] for at in pixels]).view(shape),
        torch.tensor([at in chosen for at in pixels]).view(shape),
    )


def plain_smooth_and_scale(picture, height, width, options):
    size = int(0.1 * (options.crop_size or min(height, width))) // 2 * 2 + 1
    half = size // 2
    weights = [math.exp(-(d**2) / (2 * (size / 3) ** 2)) for d in range(-half, half + 1)]

    def mirrored(i, length):
        return -i if i < 0 else 2 * (length - 1) - i if i >= length else i

    blurred = {}
    for y, x in picture:
        blurred[y, x] = sum(
            weights[dy + half]
            * weights[dx + half]
            * picture[mirrored(y + dy, height), mirrored(x + dx, width)]
            / sum(weights) ** 2
            for dy in range(-half, half + 1)
            for dx in range(-half, half + 1)
        )
    low, high = min(blurred.values()), max(blurred.values())
    return {at: (value - low) / (high - low + 1e-8) for at, value in blurred.items()}


def plain_code(red, green, blue, hue):
    value = max(red, green, blue)
    spread = value - min(red, green, blue)
    angle = 0.0
    if spread:
        if red == value:
            sextant = (green - blue) / spread
        elif green == value:
            sextant = 2 + (blue - red) / spread
        else:
            sextant = 4 + (red - green) / spread
        angle = sextant / 6 % 1 * 2 * math.pi
    if hue == "reference":
        angle *= 2 * math.pi
    saturation = spread / (value + 1e-8)
    parts = (saturation * math.cos(angle) + 1) / 2, (saturation * math.sin(angle) + 1) / 2, value
    a, b, c = (round(9 * part + 1) for part in parts)  # half to even
    return a + 10 * (b - 1) + 100 * (c - 1)


@pytest.mark.parametrize("hue", ["exact", "reference"])
@pytest.mark.parametrize("crop_size", [None, 56])
def test_masks_equal_those_of_a_loop_over_pixels(hue, crop_size):
    clips = moving_clips().float() / 256
    clips += (
        torch.rand(clips.shape, generator=torch.Generator().manual_seed(1)) / 300
    )  # no colour on the border of a bin
    options = MaskOptions(hue=hue, crop_size=crop_size, beta=0.3)
    found = clip_masks(clips, options)
    for b, clip in enumerate(clips):
        score, mask = plain_mask(clip, options)
        assert_close(found.score[b], score.float(), atol=1e-5, rtol=0)
        assert torch.equal(found.mask[b], mask)
    assert found.moves.tolist() == [True, True]


# -- stages by hand


def test_seed_energy_by_hand():
    clip = torch.zeros(1, 3, 3, 1, 2)
    clip[0, 0, 1, 0, 0] = 0.5  # red goes up and down again: .5 + .5 over two steps
    clip[0, 1, 2, 0, 0] = 0.25  # green goes up once
    assert_close(seed_energy(clip), torch.tensor([[[0.625, 0.0]]]))


def test_blur_keeps_a_flat_picture_and_mirrors_without_the_edge():
    flat = torch.full((1, 6, 7), 0.3)
    assert_close(smooth(flat, 5), flat)
    line = torch.zeros(1, 1, 5)
    line[0, 0, 1] = 1.0
    taps = torch.from_numpy(gaussian_taps(3))
    # pixel 0 sees pixel 1 on both of its sides
    assert_close(smooth(line.expand(1, 3, 5), 3)[0, 1], torch.tensor([2 * taps[0], taps[1], taps[0], 0.0, 0.0]))


@pytest.mark.parametrize(("crop", "taps"), [(16, 1), (32, 3), (56, 5), (112, 11), (128, 13), (224, 23), (256, 25)])
def test_width_of_the_blur(crop, taps):
    assert blur_size(crop) == taps
    assert gaussian_taps(taps).sum() == pytest.approx(1, abs=1e-6)
    assert MaskOptions(crop_size=crop).blur_size(300, 400) == taps
    assert MaskOptions().blur_size(crop, 999) == taps


def test_scale_stretches_each_picture_and_leaves_a_flat_one_at_zero():
    pictures = torch.tensor([[[1.0, 3.0, 2.0]], [[4.0, 4.0, 4.0]]])
    assert_close(scale(pictures), torch.tensor([[[0.0, 1.0, 0.5]], [[0.0, 0.0, 0.0]]]))


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1.0, 0.0, 0.0), (0.0, 1.0, 1.0)),
        ((0.0, 0.5, 0.0), (2 * math.pi / 3, 1.0, 0.5)),
        ((0.0, 0.0, 1.0), (4 * math.pi / 3, 1.0, 1.0)),
        ((0.5, 0.5, 0.25), (math.pi / 3, 0.5, 0.5)),  # red and green tie: red's sextant
        ((0.25, 0.5, 0.5), (math.pi, 0.5, 0.5)),  # green and blue tie: green's sextant
        ((0.5, 0.25, 0.5), (5 * math.pi / 3, 0.5, 0.5)),  # red and blue tie: red's, from below
        ((0.3, 0.3, 0.3), (0.0, 0.0, 0.3)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ],
)
def test_hue_saturation_and_value_by_hand(rgb, expected):
    hsv = to_hsv(torch.tensor(rgb).view(1, 3, 1, 1))
    assert_close(torch.stack(hsv).flatten(), torch.tensor(expected), atol=1e-6, rtol=0)


def test_colour_bins_by_hand():
    def codes(hue, saturation, value, reading):
        hsv = Hsv(*(torch.tensor([[[part]]]) for part in (hue, saturation, value)))
        return colour_codes(hsv, reading).item()

    assert codes(0.0, 1.0, 1.0, "exact") == 10 + 10 * 5 + 100 * 9  # cos 1 → 10, sin 0 → 5.5 → 6
    assert codes(math.pi - 0.2, 1.0, 0.0, "exact") == 1 + 10 * 5  # cos -.98 → 1.1 → 1, sin .2 → 6.4 → 6
    assert codes(1.0, 0.0, 0.5, "exact") == 6 + 10 * 5 + 100 * 5  # grey; V 5.5 → 6
    # a radian read as a turn comes back to where it began
    assert codes(1.0, 1.0, 1.0, "reference") == codes(0.0, 1.0, 1.0, "exact")
    assert codes(0.45, 1.0, 1.0, "reference") == codes(0.9 * math.pi, 1.0, 1.0, "exact")


def test_grey_pixels_have_one_colour_per_level():
    grey = torch.linspace(0, 1, 50).view(1, 1, 1, 50).expand(1, 3, 1, 50)
    for hue in ("exact", "reference"):
        codes = colour_codes(to_hsv(grey), hue)
        assert ((codes - 1) % 100).unique().tolist() == [5 + 10 * 5]


def test_the_posterior_by_hand():
    codes = torch.tensor([[[7, 7, 8, 9]]], dtype=torch.int32)
    samples = Samples(torch.tensor([[[True, True, True, False]]]), torch.tensor([[[False, False, False, True]]]))
    histogram = colour_histogram(codes, samples.foreground)[0]
    assert (histogram[7], histogram[8], histogram.sum()) == (2, 1, 3)
    # P(7|F) = 2/3, P(8|F) = 1/3, P(9|F) = 0; P(.|B) = 1/1001 but for 9, 2/1001
    two, one = (2 / 3) / (2 / 3 + 1 / 1001), (1 / 3) / (1 / 3 + 1 / 1001)
    assert_close(posterior(codes, samples), torch.tensor([[[two, two, one, 0.0]]]))


def test_clips_of_a_batch_have_their_own_colours():
    clips = moving_clips(batch=3).float() / 255
    together = clip_masks(clips)
    for b in range(3):
        assert torch.equal(together.mask[b], clip_masks(clips[b : b + 1]).mask[0])
        assert_close(together.energy[b], clip_masks(clips[b : b + 1]).energy[0])


# -- cuts and ties


def test_equal_values_are_taken_by_index():
    values = torch.tensor([[[1.0, 2.0, 1.0], [1.0, 0.0, 1.0]]])
    assert top(values, 3)[0].int().tolist() == [[1, 1, 1], [0, 0, 0]]
    assert top(values, 4)[0].int().tolist() == [[1, 1, 1], [1, 0, 0]]
    assert top(values, 0).sum() == 0
    assert top(values, 6).all()


@pytest.mark.parametrize("count", [0, 1, 7, 30, 49, 60])
def test_the_rule_is_the_same_on_every_device(count):
    rows = torch.randint(0, 6, (4, 60), generator=torch.Generator().manual_seed(0)).float()
    taken = _largest(rows, count)
    assert taken.sum(1).tolist() == [count] * 4
    assert torch.equal(taken, top(rows[:, None], count)[:, 0])


def test_samples_never_share_a_pixel_even_where_most_is_still():
    seed = torch.zeros(1, 10, 10)
    seed[0, 0, :3] = torch.tensor([0.5, 1.0, 0.7])
    samples = sample_pixels(seed)
    assert (samples.foreground.sum(), samples.background.sum()) == (50, 10)
    assert not (samples.foreground & samples.background).any()
    assert samples.foreground[0, :5].all()  # the three that move, and the first of those that tie
    assert samples.background[0, 9].all()


@pytest.mark.parametrize("method", ["fame", "seed", "gauss"])
@pytest.mark.parametrize("beta", [0.0, 0.1, 0.3, 0.7, 1.0])
def test_exactly_beta_of_the_pixels_is_covered(method, beta):
    found = clip_masks(moving_clips(height=21, width=23), MaskOptions(method=method, beta=beta))
    assert found.mask.flatten(1).sum(1).tolist() == [int(beta * 21 * 23)] * 2


@pytest.mark.parametrize("method", ["fame", "seed", "grid", "gauss"])
def test_without_motion_there_is_no_mask(method):
    clips = moving_clips(batch=3)
    clips[1] = clips[1, :, :1]
    found = clip_masks(clips, MaskOptions(method=method))
    assert found.moves.tolist() == [True, False, True]
    assert not found.mask[1].any()
    assert not found.score[1].any()
    assert found.energy[1] == 0
    assert found.mask[0].any()


# -- variants


def test_seed_masks_by_hand():
    clips = torch.zeros(1, 3, 2, 4, 4)
    clips[0, :, 1, 2, 1] = 0.5
    found = clip_masks(clips, MaskOptions(method="seed", beta=1 / 16))
    assert found.mask[0].nonzero().tolist() == [[2, 1]]
    assert found.energy[0] == pytest.approx(1.5 / 16)
    raw = clip_masks(clips, MaskOptions(method="seed", raw=True, beta=2 / 16))
    assert raw.mask[0].nonzero().tolist() == [[0, 0], [2, 1]]  # the second is one of many that tie


def test_raw_and_blurred_seeds_differ():
    clips = moving_clips(height=40, width=40)
    raw, blurred = (clip_masks(clips, MaskOptions(method="seed", raw=raw)).mask for raw in (True, False))
    assert (raw != blurred).float().mean() > 0.02


def test_the_grid_covers_the_8_cells_that_moved_most():
    seed = torch.zeros(1, 10, 9)
    seed[0, 9, 8] = 5.0  # the last cell; all others tie at 0, so the first seven follow
    mask, sums = grid_mask(seed)
    assert_close(grid_sums(seed)[0, 3, 3], torch.tensor(5.0))
    assert mask[0, 7:, 6:].all()  # rows 10 * 3 // 4 and on, columns 9 * 3 // 4 and on
    assert mask[0, :2].all()  # row of cells 0: rows 0 and 1
    assert mask[0, 2:5, :6].all()  # row of cells 1: its first three
    assert not mask[0, 5:7].any()
    assert not mask[0, 2:5, 6:].any()
    assert sums[0, 9, 8] == 5
    assert (
        clip_masks(moving_clips(height=20, width=24), MaskOptions(method="grid", beta=0.1)).mask.float().mean() == 0.5
    )


def test_the_gaussian_is_in_the_middle_whatever_moves():
    window = gauss_window(21, 31)
    assert window[10, 15] == 1
    assert_close(window, window.flip(0, 1))
    # an eighth from the middle is half a deviation
    assert_close(gauss_window(9, 81)[4, 40 + 10], torch.tensor(math.exp(-((10 / (81 / 4)) ** 2) / 2)))
    clips = moving_clips(height=21, width=31)
    mask = clip_masks(clips, MaskOptions(method="gauss", beta=0.2)).mask
    assert torch.equal(mask[0], mask[1])
    assert mask[0, 10, 15]
    assert not mask[0, 0].any()


# -- inputs


def test_bytes_give_the_masks_of_floats():
    clips = moving_clips(batch=4, height=32, width=32)
    for method in ("fame", "seed", "grid"):
        options = MaskOptions(method=method)
        whole, floats = clip_masks(clips, options), clip_masks(clips.float() / 255, options)
        assert (whole.mask != floats.mask).float().mean() < 0.01
        assert_close(whole.energy, floats.energy)


def test_clips_may_be_strided_and_are_left_alone():
    clips = (moving_clips().float() / 255).transpose(3, 4).contiguous().transpose(3, 4)
    before = clips.clone()
    found = clip_masks(clips)
    assert torch.equal(clips, before)
    assert torch.equal(found.mask, clip_masks(before.contiguous()).mask)


def test_large_clips_are_read_in_strips_with_the_same_mask():
    clips = moving_clips(batch=1, frames=3, height=150, width=200).float() / 255  # two strips
    assert_close(clip_masks(clips).energy, seed_energy(clips).mean((1, 2)))
    assert torch.equal(clip_masks(clips, MaskOptions(method="seed", raw=True)).mask, top(seed_energy(clips), 15000))


def test_mixed_precision_around_it_changes_no_mask():
    clips = moving_clips(height=40, width=40).float() / 255
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = clip_masks(clips)
    assert torch.equal(inside.score, clip_masks(clips).score)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_clips_of_other_precisions_are_masked_too(dtype):
    clips = moving_clips(height=40, width=40).float() / 255
    options = MaskOptions(method="seed")
    assert (clip_masks(clips.to(dtype), options).mask != clip_masks(clips, options).mask).float().mean() < 0.01


def test_no_gradient_runs_through_masks():
    clips = (moving_clips().float() / 255).requires_grad_()
    assert not clip_masks(clips).score.requires_grad


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.5, -0.5, 255.0])
@pytest.mark.parametrize("method", ["fame", "grid"])
def test_values_outside_of_0_to_1_are_refused(value, method):
    clips = moving_clips().float() / 255
    clips[1, 2, 3, 19, 23] = value
    with pytest.raises(ValueError, match=r"RGB in 0\.\.1 before mean and standard deviation"):
        clip_masks(clips, MaskOptions(method=method))


def test_normalised_clips_are_refused():
    clips = (moving_clips().float() / 255 - 0.45) / 0.225
    with pytest.raises(ValueError, match="got values from -2"):
        clip_masks(clips)


def test_rounding_around_0_and_1_is_allowed():
    clips = moving_clips().float() / 255
    clips[0, 0, 0, 0, 0], clips[0, 0, 0, 0, 1] = -1e-6, 1 + 1e-6
    assert clip_masks(clips).moves.all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 1, 20, 20), "at least 2 frames of a clip, got 1"),
        ((2, 1, 5, 20, 20), r"\[B, 3, T, H, W\]"),
        ((3, 5, 20, 20), r"\[B, 3, T, H, W\]"),
        ((0, 3, 5, 20, 20), "B at least 1"),
    ],
)
def test_shapes_that_cannot_be_masked_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        clip_masks(torch.zeros(shape))


def test_whole_numbers_other_than_bytes_are_refused():
    with pytest.raises(ValueError, match=r"uint8, got torch\.int64"):
        clip_masks(torch.zeros(1, 3, 4, 20, 20, dtype=torch.int64))


def test_clips_smaller_than_the_blur_are_refused():
    clips = moving_clips(height=20, width=24).float() / 255
    with pytest.raises(ValueError, match=r"20x24 pixels are too small for a blur of 41 taps, .* more than 20 a side"):
        clip_masks(clips, MaskOptions(crop_size=410))
    assert clip_masks(clips, MaskOptions(crop_size=390)).moves.all()  # 39 taps reach 19 pixels


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": -0.1}, "from 0 to 1, got -0.1"),
        ({"beta": 1.1}, "from 0 to 1, got 1.1"),
        ({"beta": math.nan}, "from 0 to 1, got nan"),
        ({"method": "colour"}, "method must be one of fame, seed, grid, gauss, got 'colour'"),
        ({"hue": "right"}, "hue must be one of exact, reference, got 'right'"),
        ({"crop_size": 0}, "crop_size must be at least 1 pixel, got 0"),
        ({"raw": True}, "raw is an option of the mask seed, the mask here is fame"),
    ],
)
def test_options_that_make_no_mask_are_refused(changes, message):
    with pytest.raises(BadInput, match=message):
        MaskOptions(**changes)


def test_options_are_plain_values():
    options = MaskOptions(method="seed", beta=0.3, raw=True)
    assert MaskOptions(**options.to_dict()) == options
