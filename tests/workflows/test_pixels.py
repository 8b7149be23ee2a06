"""What a recipe does to pixels."""

from __future__ import annotations

import numpy as np

from vidlang.core import FeatureRecipe
from vidlang.workflows.pixels import recoloured

FRAMES = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 10, 10]]]], dtype=np.uint8)


def test_grey_is_the_brightness_of_television_in_three_equal_channels():
    grey = recoloured(FRAMES, FeatureRecipe("mini", "abc", colour="grey"))
    assert grey[0, 0].tolist() == [[76] * 3, [150] * 3, [29] * 3, [10] * 3]  # .299, .587 and .114 of 255


def test_colours_stay_unless_asked_for():
    assert recoloured(FRAMES, FeatureRecipe("mini", "abc")) is FRAMES


def test_grey_frames_do_not_change_when_they_are_made_grey_again():
    grey = recoloured(FRAMES, FeatureRecipe("mini", "abc", colour="grey"))
    assert np.array_equal(recoloured(grey, FeatureRecipe("mini", "abc", colour="grey")), grey)
