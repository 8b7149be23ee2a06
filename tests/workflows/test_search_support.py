"""A match counts as far as it spreads over the rows of the other video."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vidlang.workflows.search import Searcher, SearchOptions, _support


def rows(number: int, seed: int) -> torch.Tensor:
    return nn.functional.normalize(torch.randn(number, 32, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_a_still_video_that_looks_like_one_frame_has_hardly_any_support():
    moving = rows(30, 1)
    still = moving[[4]].repeat(24, 1) + 0.05 * rows(24, 2)
    ours, theirs = _support(moving @ nn.functional.normalize(still, dim=1).T)
    assert ours == pytest.approx(3 / 24)  # one of the query's rows for all 24, at most three times the speed
    assert theirs < 1 or ours < theirs


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_copy_at_up_to_three_times_the_speed_has_all(step):
    video = rows(30, 3)
    assert _support(video @ video[::step].T) == (1.0, 1.0)
    assert _support(video[::step] @ video.T) == (1.0, 1.0)


def test_a_copy_of_a_still_video_has_all():
    still = rows(1, 4).repeat(20, 1)
    assert _support(still @ still.T) == (1.0, 1.0)


def test_blank_rows_neither_need_support_nor_give_it():
    video = rows(10, 5)
    with_black = torch.cat([video, torch.zeros(30, 32)])
    assert _support(video @ with_black.T) == (1.0, 1.0)
    assert _support(with_black @ video.T) == (1.0, 1.0)


def test_a_video_without_any_telling_row_has_none():
    assert _support(torch.zeros(3, 4)) == (0.0, 0.0)


class Few:
    """A gallery of seven videos, of which nothing but the number is asked."""

    def __len__(self) -> int:
        return 7


@pytest.mark.parametrize(("cell", "threshold"), [(0.1, 0.6), (0.8, 0.8), (0.99, 0.95)])
def test_a_gallery_of_few_videos_may_be_copies_so_the_pair_itself_says_what_a_match_is(cell, threshold):
    searcher = Searcher(Few(), SearchOptions())  # type: ignore[arg-type]
    assert searcher.clear_match == 0.6
    assert searcher.match_threshold(np.full((20, 20), cell, dtype=np.float32)) == pytest.approx(threshold)
