"""Bars are cut off the frames that have them, whole shots at a time, in one pass."""

from __future__ import annotations

import numpy as np
import pytest
from test_borders import HEIGHT, WIDTH, boxed, scene

from vidlang.video.shot_borders import ShotBorders

DRAWN = (16, 16, 0, 24)
PICTURE = (HEIGHT - 32, WIDTH - 24)
FULL = (HEIGHT, WIDTH)


def sizes(frames: list[np.ndarray], batch: int = 32) -> list[tuple[int, ...]]:
    """(height, width) of each frame after cropping, given batch by batch."""
    shots = ShotBorders()
    batches = [np.stack(frames[start : start + batch]) for start in range(0, len(frames), batch)]
    return [picture.shape[:2] for pictures in map(shots.crop, batches) for picture in pictures]


@pytest.mark.parametrize("batch", [5, 12, 32])
def test_a_clip_with_bars_inside_a_film_without_loses_them(batch):
    frames = [scene(i) for i in range(10)] + [boxed(i, *DRAWN) for i in range(10)] + [scene(i) for i in range(10, 20)]
    assert sizes(frames, batch) == [FULL] * 10 + [PICTURE] * 10 + [FULL] * 10


def test_all_frames_of_a_film_with_bars_lose_the_same():
    shots = ShotBorders()
    cropped = shots.crop(np.stack([boxed(i, *DRAWN) for i in range(20)]))
    assert {frame.shape[:2] for frame in cropped} == {PICTURE}
    assert shots.num_cropped == 20
    assert str(shots.widest) == "16 px top, 16 px bottom, 24 px right of 160 x 120"


def test_the_pixels_that_stay_are_those_inside_the_bars():
    frames = np.stack([boxed(i, *DRAWN) for i in range(4)])
    for frame, cropped in zip(frames, ShotBorders().crop(frames), strict=True):
        assert np.array_equal(cropped, frame[16:-16, :-24])


def test_a_dark_frame_inside_the_bars_keeps_them():
    """A frame that is dark all over has no line to see; its neighbours know."""
    frames = [boxed(i, *DRAWN) for i in range(10)]
    frames[4] = np.zeros_like(frames[4])
    assert sizes(frames) == [PICTURE] * 10


def test_one_frame_that_is_dark_at_the_edge_does_not_widen_the_bars():
    frames = [boxed(i, *DRAWN) for i in range(10)]
    frames[6] = boxed(6, 30, 16, 0, 24)
    assert sizes(frames) == [PICTURE] * 10


def test_bars_that_grow_are_followed_from_their_first_frame():
    frames = [boxed(i, 10, 10, 0, 0) for i in range(6)] + [boxed(i, 30, 30, 0, 0) for i in range(6, 12)]
    assert sizes(frames) == [(HEIGHT - 20, WIDTH)] * 6 + [(HEIGHT - 60, WIDTH)] * 6


def test_a_single_image_loses_its_bars_and_a_single_frame_of_a_film_keeps_them():
    assert sizes([boxed(0, *DRAWN)]) == [PICTURE]
    assert sizes([scene(0), boxed(1, *DRAWN), scene(2)]) == [FULL] * 3


def test_a_full_picture_is_left_as_it_is():
    shots = ShotBorders()
    assert {frame.shape[:2] for frame in shots.crop(np.stack([scene(i) for i in range(8)]))} == {FULL}
    assert shots.widest is None


def test_large_frames_are_cropped_to_a_few_pixels():
    """They are looked at thinned: 8 pixels stand for one."""
    frames = [boxed(i, *DRAWN).repeat(12, 0).repeat(12, 1) for i in range(4)]
    for height, width in sizes(frames):
        assert PICTURE[0] * 12 - 32 <= height <= PICTURE[0] * 12 + 16
        assert PICTURE[1] * 12 - 16 <= width <= PICTURE[1] * 12 + 8
