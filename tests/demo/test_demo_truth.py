"""The pixels of an event, known from the same life without it."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.core.segments import Segment
from vidlang.demo.scenes import Event, VideoPlan, render
from vidlang.demo.truth import event_frames, event_pixels

FIRE = Event("fire", Segment(1.0, 2.0))


@pytest.fixture
def plan() -> VideoPlan:
    return VideoPlan("corridor", "day", (FIRE,), 3.0, seed=8, frame_rate=5, size=(72, 96))


def test_wanted_frames_are_those_of_the_whole_video(plan):
    whole, some = list(render(plan)), list(render(plan, {2, 7}))
    assert len(whole) == 15 and len(some) == 2
    assert np.array_equal(some[0], whole[2]) and np.array_equal(some[1], whole[7])


def test_event_pixels_are_where_the_fire_burns(plan):
    masks = list(event_pixels(plan, FIRE))
    assert event_frames(plan, FIRE) == range(5, 10) and len(masks) == 5
    for frame, mask in list(zip(render(plan, event_frames(plan, FIRE)), masks, strict=True))[1:]:  # the first lights it
        red, _, blue = np.moveaxis(frame.astype(int), 2, 0)
        flame = (red > 200) & (red - blue > 100)  # nothing else is as red and light
        assert mask.shape == (72, 96) and mask.dtype == np.bool_
        assert flame.sum() > 400 and mask[flame].mean() > 0.95 and mask.mean() < 0.4


def test_noise_and_passers_by_are_not_of_the_event():
    """Long before it burns, the bin stands there in both films or in neither; the life around is the same."""
    early = Event("fire", Segment(0.0, 1.0))
    plan = VideoPlan("street", "night", (Event("fire", Segment(4.0, 5.5)),), 6.0, seed=5, frame_rate=5, size=(72, 96))
    before = np.mean(list(event_pixels(plan, early)))
    during = np.mean(list(event_pixels(plan, plan.events[0])))
    assert before < 0.3 * during
