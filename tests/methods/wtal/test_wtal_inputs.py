"""CBP's inputs: rows on another grid, differences in time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from vidlang.core.errors import BadInput
from vidlang.methods.wtal.inputs import align, cbp_rows, differences, rows_per


def spans(*edges: float) -> np.ndarray:
    """Intervals side by side."""
    return np.column_stack([edges[:-1], edges[1:]]).astype(np.float64)


def test_an_interval_gets_the_mean_of_its_rows_by_shared_seconds():
    values = np.array([[0.0], [3.0], [9.0]])
    got = align(values, spans(0, 1, 2, 3), np.array([[0.0, 2.0], [0.5, 2.0], [2.0, 3.0]]))
    assert_allclose(got[:, 0], [1.5, (0 * 0.5 + 3 * 1) / 1.5, 9.0])


def test_the_same_grid_changes_nothing():
    values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    grid = spans(*np.arange(8) * 0.64)
    assert_allclose(align(values, grid, grid), values, rtol=1e-6)


def test_touching_is_not_overlapping():
    assert align(np.array([[1.0], [5.0]]), spans(0, 1, 2), np.array([[1.0, 2.0]]))[0, 0] == 5.0


def test_where_no_row_lies_the_nearest_stands():
    values = np.array([[1.0], [5.0]])
    got = align(values, np.array([[0.0, 1.0], [4.0, 5.0]]), np.array([[1.5, 2.0], [3.0, 3.5], [2.0, 3.0], [9.0, 9.5]]))
    assert got[:, 0].tolist() == [1.0, 5.0, 1.0, 5.0]  # in the very middle the first


def test_overlapping_rows_all_count():
    values = np.array([[0.0], [6.0], [12.0]])
    windows = np.array([[0.0, 2.0], [1.0, 3.0], [2.0, 4.0]])
    assert align(values, windows, np.array([[1.0, 2.0], [0.0, 4.0]]))[:, 0].tolist() == [3.0, 6.0]


def test_many_intervals_are_the_same_as_one_by_one():
    random = np.random.default_rng(3)
    values, grid = random.normal(size=(900, 2)), spans(*np.arange(901) * 0.31)
    asked = spans(*np.arange(1301) * 0.2)
    expected = []
    for start, end in asked:
        shared = np.maximum(0, np.minimum(end, grid[:, 1]) - np.maximum(start, grid[:, 0]))
        expected.append((shared[:, None] * values).sum(0) / shared.sum())
    assert_allclose(align(values, grid, asked), expected, atol=1e-6)


def test_rows_without_intervals_are_a_mistake():
    with pytest.raises(ValueError, match="2 rows need as many intervals"):
        align(np.zeros((2, 1)), spans(0, 1), spans(0, 1))


def test_a_span_is_counted_in_rows_of_the_grid():
    assert rows_per(spans(*np.arange(9) * 0.25), 1.0) == 4
    assert rows_per(spans(0, 5, 10), 1.0) == 1
    assert rows_per(spans(0, 5), 1.0) == 1


@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("length", [1, 3, 9])
def test_differences_are_what_the_formula_says(length, window):
    rows = np.random.default_rng(length).normal(size=(length, 4))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def f(t: int) -> np.ndarray:
        return unit[min(max(t, 0), length - 1)]

    expected = [
        np.concatenate(
            [
                f(t),
                f(t + 1) - f(t - 1),
                np.mean([f(t + i) for i in range(window)], 0) - np.mean([f(t - i) for i in range(1, window + 1)], 0),
            ]
        )
        for t in range(length)
    ]
    assert_allclose(differences(rows, window), expected, atol=1e-6)


def test_a_still_video_has_no_differences():
    assert_allclose(differences(np.tile([3.0, 4.0], (6, 1)), 2)[:, 2:], 0, atol=1e-7)


def test_each_kind_of_input_has_its_columns():
    rows, second = np.ones((5, 4)), np.zeros((5, 3))
    assert cbp_rows("differences", rows, 2, None).shape == (5, 12)
    assert cbp_rows("second", rows, 2, second).shape == (5, 3)
    both = cbp_rows("both", rows, 2, second)
    assert both[0].tolist() == [1, 1, 1, 1, 0, 0, 0]


def test_missing_second_rows_are_named():
    with pytest.raises(BadInput, match="cbp_inputs both reads features of a second encoder, and there are none"):
        cbp_rows("both", np.ones((5, 4)), 2, None)
    with pytest.raises(ValueError, match="on the grid of the 5 CLIP rows, got 4"):
        cbp_rows("second", np.ones((5, 4)), 2, np.ones((4, 3)))
