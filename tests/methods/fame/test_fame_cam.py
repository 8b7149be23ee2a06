"""Activation maps: in 0 to 1, where the activity is, when it is."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from vidlang.methods.fame.cam import activation_map


def one_hot(moment: int = 1, row: int = 2, column: int = 0) -> torch.Tensor:
    maps = torch.zeros(1, 3, 4, 4, 4)
    maps[0, 1, moment, row, column] = 6.0
    return maps


def test_the_active_cell_is_the_brightest_place():
    shown = activation_map(one_hot(), num_frames=16, size=(32, 64))
    assert shown.shape == (1, 16, 32, 64)
    frame, row, column = (int(place[0]) for place in (shown[0] == shown.max()).nonzero(as_tuple=True))
    assert (frame // 4, row // 8, column // 16) == (1, 2, 0)
    assert float(shown[0, :, :16].max()) < 0.5  # two cells away


def test_at_the_size_of_the_map_it_is_the_mean_over_channels_from_0_to_1():
    maps = torch.randn(3, 5, 2, 3, 4)
    shown = activation_map(maps, num_frames=2, size=(3, 4))
    for clip, expected in zip(shown, maps.clamp(min=0).mean(1), strict=True):
        assert_close(clip, (expected - expected.min()) / (expected.max() - expected.min()))


def test_values_stay_between_0_and_1_at_any_size():
    shown = activation_map(torch.randn(2, 5, 2, 7, 7) * 100, num_frames=11, size=(30, 41))
    assert float(shown.min()) >= 0
    assert float(shown.max()) <= 1


def test_time_is_linear_between_moments():
    maps = torch.zeros(1, 1, 2, 1, 2)
    maps[0, 0, 1, 0, 1] = 1.0
    shown = activation_map(maps, num_frames=8, size=(1, 2))[0, :, 0, 1]
    assert_close(shown, torch.tensor([0, 0, 1 / 8, 3 / 8, 5 / 8, 7 / 8, 1, 1]))


def test_the_mean_over_time_is_the_same_in_all_frames():
    shown = activation_map(one_hot(), num_frames=5, size=(8, 8), over_time="mean")
    assert torch.equal(shown, shown[:, :1].expand_as(shown))
    assert float(shown.max()) > 0.5


def test_clips_do_not_see_each_other_and_loudness_does_not_count():
    quiet, loud = torch.rand(1, 2, 2, 4, 4), torch.rand(1, 2, 2, 4, 4) * 50
    both = activation_map(torch.cat([quiet, loud]), 4, (8, 8))
    assert_close(both[:1], activation_map(quiet, 4, (8, 8)))
    assert_close(activation_map(quiet * 3, 4, (8, 8)), activation_map(quiet, 4, (8, 8)))


@pytest.mark.parametrize("value", [0.0, -2.0, 5.0])
def test_a_flat_map_shows_nothing(value):
    assert int(activation_map(torch.full((1, 2, 2, 3, 3), value), 4, (6, 6)).count_nonzero()) == 0


def test_wrong_asks_are_refused():
    with pytest.raises(ValueError, match=r"\[B, C, T', H', W'\], got \(2, 3\)"):
        activation_map(torch.zeros(2, 3), 4, (8, 8))
    with pytest.raises(ValueError, match="one frame"):
        activation_map(torch.zeros(1, 2, 2, 3, 3), 0, (8, 8))
