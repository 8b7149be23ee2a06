"""Similarity matrices, read back pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from read_back import NAMES, match, pixels_of, span, where

from vidlang.report.similarity import PATH_COLOR, similarity_plot


def rows(count: int, step: float = 0.64) -> np.ndarray:
    return np.arange(count)[:, None] * step + np.array([0.0, step])


def test_matches_are_drawn_over_the_matrix_from_their_start_to_their_end():
    similarity = np.random.default_rng(0).random((40, 80))
    seconds = rows(40, 1.0), rows(80, 1.0)
    bare = pixels_of(similarity_plot(similarity, *seconds, []))
    assert not where(bare, PATH_COLOR).any()
    drawn = pixels_of(similarity_plot(similarity, *seconds, [match((10, 30), (40, 60))]))
    line = where(drawn, PATH_COLOR)
    matrix = (drawn != 255).any(-1)
    left, right = span(matrix[: drawn.shape[0] // 2].mean(0) > 0.9)
    first, last = span(line.any(0))
    # 40 to 60 of 80 seconds; ``right`` may be the end of the colour bar, not far behind the matrix
    assert 0.4 < (first - left) / (right - left) < 0.52
    assert (last - first) / (right - left) == pytest.approx(0.25, abs=0.03)
    down = np.flatnonzero(line.any(1))
    columns = [span(line[row])[0] for row in (down[5], down[-5])]
    assert columns[0] < columns[1]  # both clocks run on: from the upper left to the lower right


def test_one_alike_pair_of_frames_survives_ten_hours():
    similarity = np.zeros((2, 36_000), dtype=np.float32)
    similarity[:, 20_000] = 1.0
    picture = pixels_of(similarity_plot(similarity, rows(2, 1.0), rows(36_000, 1.0), []))
    yellow = where(picture, "#FEE838") | where(picture, "#FDE737") | where(picture, "#FEE837")
    columns = np.flatnonzero(yellow[: picture.shape[0] // 2].any(0))
    assert len(columns) and abs(columns[0] / picture.shape[1] - 20 / 36) < 0.1


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (300, 2), (1500, 1200)])
def test_any_shape_gives_a_picture(shape):
    picture = pixels_of(similarity_plot(np.zeros(shape), rows(shape[0]), rows(shape[1]), []))
    assert picture.shape[1] == 1500 and 350 < picture.shape[0] < 1500


def test_an_image_beside_a_video_gives_a_picture():
    picture = similarity_plot(np.ones((1, 5)), np.zeros((1, 2)), rows(5), [match((0, 0), (0, 3))])
    assert pixels_of(picture).shape[1] == 1500


def test_a_matrix_of_other_rows_is_refused():
    with pytest.raises(ValueError, match=r"must be \[n, m\] = \(3, 4\)"):
        similarity_plot(np.zeros((4, 3)), rows(3), rows(4), [])
    with pytest.raises(ValueError, match="at least one row"):
        similarity_plot(np.zeros((0, 3)), rows(0), rows(3), [])


@pytest.mark.parametrize("name", NAMES)
def test_names_are_letters_beside_a_matrix(name, recwarn):
    seconds = np.array([[0.0, 1.0]])
    similarity_plot(np.ones((1, 1)), seconds, seconds, [], query_name=name, gallery_name=name, note=name)
    assert not [str(warning.message) for warning in recwarn]


@pytest.mark.parametrize(("kind", "begin"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_kind_of_file_is_the_one_asked_for_and_has_no_date(kind, begin):
    files = [similarity_plot(np.eye(4), rows(4), rows(4), [match((0, 2), (0, 2))], kind=kind) for _ in range(2)]
    assert files[0].startswith(begin) and files[0] == files[1]
