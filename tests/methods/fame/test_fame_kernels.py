"""Spread of temporal kernels: which layers, which numbers, and what they are for kernels drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidlang.core.errors import BadInput
from vidlang.methods.fame.backbones import build_backbone
from vidlang.methods.fame.kernels import compare_kernels, temporal_kernels
from vidlang.nn.seed import seeded


def state_of(arch: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        shapes = build_backbone(arch).state_dict()
    return {name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in shapes.items()}


def time_kernel(*taps: float) -> torch.Tensor:
    """[1, 1, T, 1, 1]"""
    return torch.tensor(taps).reshape(1, 1, -1, 1, 1)


def test_r2plus1d_has_seventeen():
    layers = [spread.layer for spread in temporal_kernels(state_of("r2plus1d_18"))]
    assert layers[0] == "stem.3.weight"
    blocks = [f"layer{s}.{b}.conv{c}.0.3.weight" for s in (1, 2, 3, 4) for b in (0, 1) for c in (1, 2)]
    assert layers[1:] == blocks


def test_i3d_has_its_first_and_two_of_every_mixture():
    spreads = temporal_kernels(state_of("i3d"), num_bins=2)
    assert [spread.shape[2:] for spread in spreads] == [(7, 7, 7)] + [(3, 3, 3)] * 19
    assert {spread.measured for spread in spreads} == {"change along time"}


def test_tiny_has_one_a_stage():
    with seeded(0):
        spreads = temporal_kernels(build_backbone("tiny").state_dict())
    assert [spread.layer for spread in spreads] == [
        f"{stage}.time.0.weight" for stage in ("stem", "layer1", "layer2", "layer3")
    ]
    assert {spread.measured for spread in spreads} == {"weights"}
    for spread in spreads:
        assert spread.std == pytest.approx((2 / (3 * spread.shape[0])) ** 0.5, rel=0.05)  # as they are drawn
        assert spread.change == pytest.approx(2 / 3, abs=0.03)  # three independent taps less their mean


def test_numbers_of_a_kernel_by_hand():
    (spread,) = temporal_kernels({"a.weight": time_kernel(-1.0, 0.0, 4.0)}, num_bins=4)
    assert (spread.layer, spread.shape) == ("a.weight", (1, 1, 3, 1, 1))
    assert spread.mean == pytest.approx(1.0)
    assert spread.std == pytest.approx((14 / 3) ** 0.5)
    assert spread.mean_abs == pytest.approx(5 / 3)
    assert spread.near_zero == pytest.approx(1 / 3)
    assert spread.change == pytest.approx(14 / 17)
    assert spread.histogram.tolist() == [0, 1, 1, 1]
    assert spread.edges.tolist() == [-4, -2, 0, 2, 4]


@pytest.mark.parametrize(
    ("kernel", "change"), [(time_kernel(2, 2, 2), 0.0), (time_kernel(-1, 0, 1), 1.0), (time_kernel(0, 0, 0), 0.0)]
)
def test_change_is_0_for_repeated_taps_and_1_for_differences(kernel, change):
    assert temporal_kernels({"a": kernel})[0].change == pytest.approx(change, abs=1e-12)


def test_a_picture_repeated_along_time_spreads_nothing():
    picture = torch.randn(2, 3, 1, 3, 3)
    (still,) = temporal_kernels({"a": picture.expand(-1, -1, 3, -1, -1)})
    assert (still.std, still.near_zero) == (pytest.approx(0.0, abs=1e-7), 1.0)
    moving = torch.cat([-picture, 0 * picture, picture], 2)
    (spread,) = temporal_kernels({"a": moving})
    assert spread.std == pytest.approx(float(moving.std(unbiased=False)))


def test_larger_weights_spread_wider_but_change_no_more():
    kernel = torch.randn(8, 4, 3, 1, 1)
    (small,), (large,) = temporal_kernels({"a": kernel}), temporal_kernels({"a": 2 * kernel})
    assert large.std == pytest.approx(2 * small.std)
    assert large.mean_abs == pytest.approx(2 * small.mean_abs)
    assert large.change == pytest.approx(small.change)
    assert np.array_equal(large.histogram, small.histogram)


def test_side_by_side_the_bins_are_the_same():
    kernel = torch.randn(8, 4, 3, 1, 1)
    (pair,) = compare_kernels({"a": kernel}, {"a": 3 * kernel})
    assert np.array_equal(pair.first.edges, pair.second.edges)
    assert pair.first.histogram.sum() == pair.second.histogram.sum() == 96
    assert pair.first.histogram.max() > pair.second.histogram.max()
    assert pair.second.std == pytest.approx(3 * pair.first.std)


def test_wrong_asks_are_refused():
    with pytest.raises(BadInput, match="no kernels along time"):
        temporal_kernels({"fc.weight": torch.ones(3, 4), "conv.weight": torch.ones(3, 4, 1, 3, 3)})
    with pytest.raises(BadInput, match="different networks"):
        compare_kernels(state_of("tiny"), state_of("i3d"))
