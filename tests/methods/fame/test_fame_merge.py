"""Merged clips are of the foreground inside the mask and of the background outside, to the bit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from vidlang.methods.fame.mask import ClipMasks, clip_masks
from vidlang.methods.fame.merge import draw_order, merge, merge_with
from vidlang.methods.fame.options import MaskOptions

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
import golden_fame as recorded

SIZE = 3, 3, 4, 6, 5


def test_merged_clips_equal_the_recorded_ones(golden_dir):
    rows = list(recorded.SECTIONS["merging"](recorded.Golden(golden_dir / "fame")))
    assert sum(row.num_arrays for row in rows) >= 21
    assert [row for row in rows if not row.holds] == []


def random_clips(dtype, seed=0, size=SIZE):
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.uint8:
        return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    return torch.rand(size, generator=generator).to(dtype)


def random_masks(moves=(True, True, True), seed=2):
    mask = torch.rand(len(moves), *SIZE[3:], generator=torch.Generator().manual_seed(seed)) < 0.4
    moving = torch.tensor(moves)
    return ClipMasks(mask & moving[:, None, None], moving, torch.ones(len(moves)), mask.float())


def plain_merge(clips, masks, backgrounds):
    """Pixel by pixel."""
    out = clips.clone()
    for b in range(len(clips)):
        for y in range(clips.shape[3]):
            for x in range(clips.shape[4]):
                if masks.moves[b] and not masks.mask[b, y, x]:
                    out[b, :, :, y, x] = backgrounds[b, :, :, y, x]
    return out


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_each_pixel_is_of_one_clip_or_the_other(dtype):
    clips, order = random_clips(dtype), torch.tensor([2, 0, 1])
    masks = random_masks((True, False, True))
    expected = plain_merge(clips, masks, clips[order])
    before = clips.clone()
    assert torch.equal(merge(clips, masks, order), expected)
    assert torch.equal(merge_with(clips, masks, clips[order]), expected)
    assert torch.equal(clips, before)
    assert torch.equal(expected[1], clips[1])  # it does not move


def test_normalised_clips_merge_as_exactly():
    clips = (random_clips(torch.float32) - 0.45) / 0.003
    others = random_clips(torch.float32, seed=1) * 1e-6
    masks = random_masks()
    assert torch.equal(merge_with(clips, masks, others), plain_merge(clips, masks, others))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_result_may_have_its_memory_given(dtype):
    clips, order, masks = random_clips(dtype), torch.tensor([1, 2, 0]), random_masks()
    out = torch.full_like(clips, 7)
    assert merge(clips, masks, order, out=out) is out
    assert torch.equal(out, plain_merge(clips, masks, clips[order]))


def test_strided_clips_merge_as_others():
    clips = random_clips(torch.float32).transpose(3, 4).contiguous().transpose(3, 4)
    masks, order = random_masks(), torch.tensor([1, 2, 0])
    assert torch.equal(merge(clips, masks, order), plain_merge(clips, masks, clips[order]))


def test_a_clip_that_draws_itself_stays_whole():
    clips = random_clips(torch.float32)
    assert torch.equal(merge(clips, random_masks(), torch.arange(3)), clips)


@pytest.mark.parametrize(("beta", "background"), [(0.0, True), (1.0, False)])
def test_an_empty_mask_shows_the_other_clip_and_a_full_one_itself(beta, background):
    clips = random_clips(torch.float32)
    order = torch.tensor([1, 2, 0])
    masks = clip_masks(clips, MaskOptions(beta=beta))
    assert torch.equal(merge(clips, masks, order), clips[order] if background else clips)


def test_clips_in_which_nothing_moves_stay_whole():
    clips = random_clips(torch.float32)
    clips[1] = clips[1, :, :1]
    masks = clip_masks(clips)
    merged = merge(clips, masks, torch.tensor([1, 2, 0]))
    assert torch.equal(merged[1], clips[1])
    assert not torch.equal(merged[0], clips[0])


def test_the_order_is_a_permutation_from_the_generator():
    drawn = [draw_order(6, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert drawn[0].sort().values.tolist() == list(range(6))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[0], torch.randperm(6, generator=torch.Generator().manual_seed(0)))


def test_without_fixed_points_no_clip_draws_itself():
    generator = torch.Generator().manual_seed(0)
    own = torch.arange(4)
    free = [draw_order(4, generator) for _ in range(60)]
    assert any((order == own).any() for order in free)
    orders = [draw_order(4, generator, fixed_points=False) for _ in range(60)]
    assert all(order.sort().values.tolist() == [0, 1, 2, 3] for order in orders)
    assert not any((order == own).any() for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 6  # every circle through four clips


def test_a_single_clip_has_no_other_background():
    assert draw_order(1).tolist() == [0]
    with pytest.raises(ValueError, match="a batch of 1 clip has no other background"):
        draw_order(1, fixed_points=False)


def test_what_does_not_fit_is_refused():
    clips, masks = random_clips(torch.float32), random_masks()
    with pytest.raises(ValueError, match="order must name one clip for each of 3"):
        merge(clips, masks, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"backgrounds must be as clips, \(3, 3, 4, 6, 5\) torch.float32"):
        merge_with(clips, masks, clips[:, :, :2])
    with pytest.raises(ValueError, match=r"got .* torch\.uint8"):
        merge_with(clips, masks, random_clips(torch.uint8))
    with pytest.raises(ValueError, match=r"masks of shape \(3, 6, 5\) do not fit clips of shape \(3, 3, 4, 5, 6\)"):
        merge_with(clips.transpose(3, 4), masks, clips.transpose(3, 4))
