"""Pooled maps whose regions can be counted, and the recorded ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from vidlang.nn.region_pooling import concatenate, imac, rmac

SIDES = [(56, 56), (28, 28), (14, 14), (7, 7), (40, 64), (5, 8), (9, 9), (4, 4), (4, 30), (16, 16), (24, 24)]


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def plain_rmac(feature_map: np.ndarray) -> np.ndarray:
    """One frame [C, H, W], region by region."""
    positions = np.apply_along_axis(unit, 0, feature_map.astype(np.float64))
    height, width = feature_map.shape[1:]
    step = int(min(height, width) * 2 / 7)
    side = int(step + step / 2)
    total = np.zeros(len(feature_map))
    for top in range(0, height - side + 1, step):
        for left in range(0, width - side + 1, step):
            total += unit(positions[:, top : top + side, left : left + side].max((1, 2)))
    return unit(total)


@pytest.mark.parametrize("side", SIDES, ids=str)
def test_regions_equal_the_plain_loops(side):
    maps = torch.rand(2, 5, *side)
    expected = np.stack([plain_rmac(one) for one in maps.numpy()])
    assert_close(rmac(maps), torch.from_numpy(expected).float(), atol=1e-5, rtol=0)


def test_imac_is_the_strongest_normalised_response():
    maps = torch.zeros(1, 2, 1, 3)
    maps[0, :, 0, 0] = torch.tensor([3.0, 4.0])  # .6 .8
    maps[0, :, 0, 1] = torch.tensor([100.0, 0.0])  # 1 0, however bright
    assert_close(imac(maps), torch.tensor([[1.0, 0.8]]) / (1.64**0.5))


def test_a_spot_counts_once_per_region_that_sees_it():
    maps = torch.zeros(1, 3, 7, 7)
    maps[0, 0] = 1e-3  # a floor, so that no region is empty
    maps[0, 1, 0, 0] = 1.0  # the corner: one region of 3 x 3 sees it
    maps[0, 2, 2, 2] = 1.0  # where four regions overlap
    pooled = rmac(maps)[0]
    assert pooled[2] > 3 * pooled[1]


@pytest.mark.parametrize("pool", [imac, rmac])
def test_brightness_of_a_frame_does_not_matter(pool):
    maps = torch.rand(3, 6, 9, 11)
    assert_close(pool(maps * torch.tensor([0.01, 1.0, 50.0])[:, None, None, None]), pool(maps))


@pytest.mark.parametrize("pool", [imac, rmac])
def test_frames_do_not_see_each_other(pool):
    maps = torch.rand(4, 6, 7, 7)
    assert_close(torch.cat([pool(one[None]) for one in maps]), pool(maps))
    assert pool(maps[:0]).shape == (0, 6)


def test_an_empty_map_gives_zeros():
    assert (concatenate([torch.zeros(2, 3, 7, 7)], rmac) == 0).all()


@pytest.mark.parametrize("pool", [imac, rmac])
def test_layers_stand_side_by_side_with_length_one_each(pool):
    maps = [torch.rand(2, channels, side, side) for channels, side in ((8, 28), (16, 14), (32, 7), (4, 5))]
    rows = concatenate(maps, pool)
    assert rows.shape == (2, 60)
    assert_close(rows.norm(dim=1), torch.full((2,), 2.0))
    assert_close(rows[:, 8:24], pool(maps[1]))


@pytest.mark.parametrize("side", [(3, 3), (3, 50), (50, 1)])
def test_maps_too_small_for_a_region_are_refused(side):
    with pytest.raises(ValueError, match=f"4 positions on each side, got {side[0]} x {side[1]}"):
        rmac(torch.rand(1, 2, *side))
    assert imac(torch.rand(1, 2, *side)).shape == (1, 2)


def test_what_is_no_batch_of_maps_is_refused():
    with pytest.raises(ValueError, match=r"\[N, C, H, W\]"):
        rmac(torch.rand(2, 7, 7))
    with pytest.raises(ValueError, match="no feature map"):
        concatenate([], imac)
    with pytest.raises(ValueError, match=r"got \[2, 3\]"):
        concatenate([torch.rand(2, 4, 7, 7), torch.rand(3, 4, 7, 7)], imac)


@pytest.mark.parametrize("name", ["imac", "rmac"])
def test_recorded_rows_are_reached(golden_dir, name):
    path = golden_dir / "tca" / "region_pooling.npz"
    if not path.is_file():
        pytest.skip("needs golden/tca/region_pooling.npz")
    stored = np.load(path, allow_pickle=False)
    cases = sorted({key.split("_")[0] for key in stored.files})
    assert cases
    for case in cases:
        layers = sorted(key for key in stored.files if key.startswith(f"{case}_layer"))
        rows = concatenate([torch.from_numpy(stored[key]) for key in layers], {"imac": imac, "rmac": rmac}[name])
        assert_close(rows, torch.from_numpy(stored[f"{case}_{name}"]), atol=1e-5, rtol=0)
