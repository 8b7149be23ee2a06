"""Planes that are known by head, and what holds for every plane."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.metrics.projection import nearest_points, pca_plane, tsne_plane, unit_mean


def blobs(seed: int = 0) -> np.ndarray:
    """[40, 12]: two far groups of twenty."""
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(size=(20, 12)) + 9, random.normal(size=(20, 12)) - 9])


def test_a_rectangle_in_a_plane_is_laid_out_as_it_is():
    corners = np.array([[0.0, 0], [4, 0], [4, 1], [0, 1]])
    axes = np.array([[0, 0.6, 0.8], [1.0, 0, 0]])  # where its sides point in space
    plane = pca_plane(corners @ axes + 5)
    np.testing.assert_allclose(plane.points, corners - [2, 0.5], atol=1e-12)
    # variances along the sides are 4 and 1/4
    assert plane.explained == pytest.approx((16 / 17, 1 / 17))


def test_axes_are_those_of_the_covariance_matrix():
    vectors = np.random.default_rng(3).normal(size=(30, 7)) * np.arange(1, 8)
    plane = pca_plane(vectors)
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    expected = (vectors - vectors.mean(0)) @ axes[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(plane.points), np.abs(expected), atol=1e-9)
    assert plane.explained == pytest.approx(tuple(values[::-1][:2] / values.sum()))


def test_signs_do_not_depend_on_the_order_of_the_vectors():
    vectors = np.random.default_rng(4).normal(size=(25, 6))
    order = np.random.default_rng(5).permutation(25)
    np.testing.assert_allclose(pca_plane(vectors[order]).points, pca_plane(vectors).points[order], atol=1e-9)


def test_equal_vectors_lie_on_one_point_and_explain_nothing():
    plane = pca_plane(np.ones((5, 4)))
    assert not plane.points.any() and plane.explained == (0.0, 0.0)


def test_vectors_of_one_number_lie_on_a_line():
    plane = pca_plane(np.array([[1.0], [2], [6]]))
    np.testing.assert_allclose(plane.points, [[-2, 0], [-1, 0], [3, 0]])
    assert plane.explained == pytest.approx((1, 0))


def test_tsne_keeps_groups_apart_and_repeats_itself():
    plane = tsne_plane(blobs(), seed=1)
    assert plane.perplexity == 13 and plane.explained is None
    first, second = plane.points[:20], plane.points[20:]
    apart = np.linalg.norm(first.mean(0) - second.mean(0))
    assert apart > 2 * max(part.std(axis=0).max() for part in (first, second))
    np.testing.assert_array_equal(tsne_plane(blobs(), seed=1).points, plane.points)


def test_three_points_are_enough_for_either_way():
    vectors = np.eye(3)
    assert tsne_plane(vectors).perplexity == 1 and np.isfinite(tsne_plane(vectors).points).all()
    sides = np.linalg.norm(pca_plane(vectors).points - np.roll(pca_plane(vectors).points, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, np.sqrt(2))


@pytest.mark.parametrize("vectors", [np.eye(2), np.full((4, 2), np.nan), np.zeros(5), np.zeros((4, 0))])
def test_what_spans_no_plane_is_refused(vectors):
    with pytest.raises(ValueError, match="at least 3 rows"):
        pca_plane(vectors)
    with pytest.raises(ValueError, match="at least 3 rows"):
        tsne_plane(vectors)


@pytest.mark.parametrize("perplexity", [0.5, 40])
def test_a_perplexity_out_of_reach_is_refused(perplexity):
    with pytest.raises(ValueError, match=f"from 1 to 39 for 40 points, got {perplexity:g}"):
        tsne_plane(blobs(), perplexity=perplexity)


def test_the_nearest_are_those_at_the_smallest_angle():
    angles = np.radians([0, 10, 25, 90])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([[1], [50], [2], [3]])
    assert nearest_points(vectors, 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert nearest_points(vectors, 9).shape == (4, 3)


def test_neighbours_of_many_points_are_found_block_by_block():
    vectors = np.random.default_rng(0).normal(size=(1100, 3))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T - 2 * np.eye(1100)
    assert (nearest_points(vectors, 1)[:, 0] == cosines.argmax(1)).all()


def test_a_videos_vector_forgets_how_long_its_rows_are():
    rows = np.array([[3.0, 0], [0, 0.1]])
    np.testing.assert_allclose(unit_mean(rows), np.sqrt([0.5, 0.5]))
    assert not unit_mean(np.zeros((2, 3))).any()
