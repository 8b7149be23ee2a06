"""Rows near blank frames weigh nothing; everything else keeps its weight."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.methods.tca.informative import PLAIN_FROM, TELLING_UP_TO, informative_weights, is_blank, unit

BLANK = np.array([[3.0, 0.0]])


def at_cosine(cosine: float) -> np.ndarray:
    """A row of length 5 at this cosine from the blank one."""
    return 5 * np.array([[cosine, np.sqrt(1 - cosine**2)]])


@pytest.mark.parametrize(("cosine", "weight"), [(1.0, 0.0), (PLAIN_FROM, 0.0), (TELLING_UP_TO, 1.0), (0.1, 1.0)])
def test_the_ends_of_the_scale(cosine, weight):
    assert informative_weights(at_cosine(cosine), BLANK) == pytest.approx([weight], abs=1e-6)


def test_half_way_between_the_ends_is_half_the_weight():
    assert informative_weights(at_cosine((PLAIN_FROM + TELLING_UP_TO) / 2), BLANK) == pytest.approx([0.5], abs=1e-5)


def test_the_nearest_blank_frame_decides():
    blanks = np.concatenate([BLANK, at_cosine(0.0)])
    assert informative_weights(at_cosine(0.0), blanks) == pytest.approx([0.0])


def test_without_blank_frames_every_row_weighs_all():
    assert informative_weights(np.ones((3, 2)), np.empty((0, 2))).tolist() == [1.0, 1.0, 1.0]


def test_a_direction_that_all_images_share_is_no_evidence_of_blankness():
    blank, row = np.array([10.0, 1.0, 0.0]), np.array([10.0, 0.0, 1.0])
    mean = unit(np.array([[10.0, 0.5, 0.5]]))[0]
    assert informative_weights(row[None], blank[None]) == pytest.approx([0.0])
    assert informative_weights(row[None], blank[None], mean) == pytest.approx([1.0])


def test_a_video_of_blank_frames_is_blank_and_one_telling_frame_is_enough():
    assert is_blank(np.array([0.0, 0.1, 0.0]))
    assert not is_blank(np.array([0.0, 1.0, 0.0]))
