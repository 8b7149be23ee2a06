from itertools import pairwise

import numpy as np
import pytest
import torch

from vidlang.core.errors import BadInput
from vidlang.nn.padding import check_features, mask_of, pad_batch, pool_to_length


def test_mask_is_true_for_real_rows():
    assert mask_of(torch.tensor([2, 3]), 3).tolist() == [[True, True, False], [True, True, True]]


def test_pooling_averages_nearly_equal_runs():
    rows = np.array([[0.0], [1.0], [2.0], [3.0], [7.0]], dtype=np.float32)
    assert pool_to_length(rows, 2).tolist() == [[0.5], [4.0]]  # rows 0-1 and 2-4


@pytest.mark.parametrize("num_rows", [33, 63, 64, 257])
def test_pooling_equals_a_loop_over_bins(num_rows):
    rows = np.random.default_rng(0).normal(size=(num_rows, 4)).astype(np.float32)
    edges = [int(np.floor(i * num_rows / 32)) for i in range(33)]
    loop = np.stack([rows[a:b].mean(0) for a, b in pairwise(edges)])
    pooled = pool_to_length(rows, 32)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, loop, atol=1e-6)


def test_short_videos_are_not_touched():
    rows = np.ones((3, 2), dtype=np.float16)
    assert pool_to_length(rows, 3) is rows


def test_batches_are_padded_with_zeros_at_the_end():
    batch, lengths = pad_batch([np.ones((1, 2), np.float16), np.ones((3, 2), np.float32)])
    assert lengths.tolist() == [1, 3]
    assert batch.dtype == torch.float32
    assert batch.sum(-1).tolist() == [[2, 0, 0], [2, 2, 2]]
    assert pad_batch([np.ones((1, 2), np.float32)], num_rows=5)[0].shape == (1, 5, 2)


def test_features_are_checked_by_name():
    with pytest.raises(BadInput, match=r"a.mp4 has no feature rows \(shape \(0, 4\)\)"):
        check_features(np.zeros((0, 4), np.float32), "a.mp4")
    with pytest.raises(BadInput, match=r"a.mp4 has features of dimension 4, expected 8"):
        check_features(np.zeros((1, 4), np.float32), "a.mp4", dim=8)
    with pytest.raises(BadInput, match=r"a.mp4 has features that are not finite"):
        check_features(np.full((1, 4), np.nan, np.float32), "a.mp4")
