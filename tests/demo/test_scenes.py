from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from vidlang.core.segments import Segment
from vidlang.demo.places import LIGHTS, PLACES
from vidlang.demo.scenes import (
    EVENTS,
    KINDS,
    Event,
    VideoPlan,
    plan_camera,
    plan_video,
    render,
    render_collection,
    render_files,
    render_video,
)
from vidlang.video.reader import open_video

SMALL = (72, 96)


def frames_of(plan: VideoPlan) -> np.ndarray:
    return np.stack(list(render(plan)))


def test_the_same_seed_gives_the_same_frames():
    first, again, other = (
        list(islice(render_video("fighting", seed=seed, size=SMALL), 6)) for seed in (3, 3, 4)
    )  # fmt: skip
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_have_the_planned_number_and_size(kind):
    plan = plan_video(kind, seed=1, seconds=3, frame_rate=10, size=(73, 95))
    frames = frames_of(plan)
    assert frames.shape == (30, 73, 95, 3) and frames.dtype == np.uint8 and plan.num_frames == 30


def test_segments_lie_inside_and_on_frames():
    for kind in EVENTS:
        for seed in range(30):
            plan = plan_video(kind, seed=seed)
            (labelled,) = plan.label("v.mp4").segments
            assert labelled.label == kind and labelled.segment is not None
            assert 0 < labelled.segment.start < labelled.segment.end <= plan.seconds
            assert 1.4 < labelled.segment.duration <= 4.04
            edges = np.array([labelled.segment.start, labelled.segment.end]) * plan.frame_rate
            assert edges == pytest.approx(np.round(edges), abs=1e-6)


def test_places_and_lights_can_be_chosen():
    plans = [plan_video(kind, seed=s, places=("square", "street"), lights=("dusk",)) for kind in KINDS for s in (0, 1)]
    assert {plan.place for plan in plans} == {"square", "street"} and {plan.light for plan in plans} == {"dusk"}
    assert all(plan.place == "street" for plan in plans if plan.events and plan.events[0].kind == "car crash")


def test_normal_videos_carry_no_segment():
    label = plan_video("normal", seed=5).label("normal/v.mp4", "test")
    assert label.classes == ("normal",) and label.segments == () and label.timed and label.split == "test"


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_changes_the_picture_while_it_lasts(kind):
    """The same life without the event is the second way to know what the event adds."""
    when = Segment(2.0, 4.0)
    place, size = "corridor" if kind == "fire" else "street", SMALL
    quiet = VideoPlan(place, "day", (), 6.0, seed=8, frame_rate=5, size=size)
    loud = VideoPlan(place, "day", (Event(kind, when),), 6.0, seed=8, frame_rate=5, size=size)
    added = np.abs(frames_of(loud).astype(int) - frames_of(quiet)).mean(axis=(1, 2, 3))
    assert added[11:20].min() > 0.5
    if kind == "fire":
        assert max(added[:9].mean(), added[21:].mean()) < 0.3 * added[11:20].mean()


def test_fire_glows_only_while_it_burns():
    plan = VideoPlan("corridor", "night", (Event("fire", Segment(1.0, 3.0)),), 4.0, seed=2, frame_rate=10, size=SMALL)
    frames = frames_of(plan).astype(int)
    bright_orange = ((frames[..., 0] > 170) & (frames[..., 0] - frames[..., 2] > 110)).sum(axis=(1, 2))
    assert bright_orange[13:27].mean() > 10 * max(bright_orange[:9].mean(), bright_orange[32:].mean(), 1)


def test_a_motion_threshold_does_not_tell_abnormal_from_normal():
    def motion(kind: str, seed: int) -> float:
        frames = frames_of(plan_video(kind, seed=seed, seconds=6, frame_rate=8, size=SMALL)).astype(np.float32)
        return float(np.abs(np.diff(frames.mean(axis=-1), axis=0)).mean())

    normal = [motion("normal", seed) for seed in range(12)]
    abnormal = [motion(kind, seed) for kind in EVENTS for seed in range(4)]
    auc = np.mean([(a > n) + 0.5 * (a == n) for a in abnormal for n in normal])
    assert 0.2 < auc < 0.8


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("light", LIGHTS)
def test_places_and_lights_look_different(place, light):
    frame = next(render(VideoPlan(place, light, (), 3.0, seed=1, size=SMALL)))
    night = next(render(VideoPlan(place, "night", (), 3.0, seed=1, size=SMALL)))
    assert frame.std() > 10
    assert light == "night" or frame.mean() > 1.05 * night.mean()


def test_a_camera_video_holds_its_events_in_order():
    plan = plan_camera(("fire", "fighting", "fire"), seed=4, seconds=60)
    segments = [event.segment for event in plan.events]
    assert [event.kind for event in plan.events] == ["fire", "fighting", "fire"]
    assert all(a.end < b.start for a, b in pairwise(segments)) and segments[-1].end < 60
    label = plan.label("camera.mp4")
    assert label.classes == ("fire", "fighting") and len(label.segments) == 3


def test_long_videos_are_rendered_one_frame_at_a_time():
    frames = render(plan_camera(seed=0, seconds=36_000, size=(24, 32)))
    assert next(iter(frames)).shape == (24, 32, 3)


def test_a_collection_is_written_by_class_and_read_back(tmp_path):
    labels = render_collection(
        tmp_path, seed=2, videos_per_class=1, normal_videos=3, seconds=3, frame_rate=10, size=SMALL
    )  # fmt: skip
    assert [label.video_id for label in labels] == [
        "normal/normal_000.mp4", "normal/normal_001.mp4", "normal/normal_002.mp4", "fighting/fighting_000.mp4",
        "falling/falling_000.mp4", "car crash/car_crash_000.mp4", "fire/fire_000.mp4",
    ]  # fmt: skip
    assert [label.split for label in labels[:3]] == ["train", "train", "test"]
    for label in labels:
        with open_video(tmp_path / label.video_id) as video:
            assert sum(len(batch.indices) for batch in video.read()) == label.num_frames == 30


def test_an_interrupted_collection_goes_on(tmp_path):
    arguments = {"videos_per_class": 1, "normal_videos": 1, "seconds": 3, "frame_rate": 4, "size": (24, 32)}
    labels = render_collection(tmp_path, **arguments)
    kept, lost = tmp_path / labels[0].video_id, tmp_path / labels[1].video_id
    kept.write_bytes(b"kept")
    lost.unlink()
    assert render_collection(tmp_path, **arguments) == labels
    assert kept.read_bytes() == b"kept" and lost.stat().st_size > 100


def test_a_file_shows_the_plan_whose_truth_is_known(tmp_path):
    plan = plan_camera(("falling",), seconds=7, frame_rate=4, size=(24, 32))
    render_files({tmp_path / "camera.mp4": plan})
    label = plan.label("camera.mp4")
    assert label.video_id == "camera.mp4" and label.segments[0].segment == plan.events[0].segment
    with open_video(tmp_path / "camera.mp4") as video:
        assert sum(len(batch.indices) for batch in video.read()) == plan.num_frames == 28


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(ValueError, match="a kind is one of normal, fighting"):
        plan_video("flood")
    with pytest.raises(ValueError, match="at least 3 seconds"):
        plan_video("fire", seconds=1)
    with pytest.raises(ValueError, match="car crash needs a fitting place"):
        plan_video("car crash", places=("square", "corridor"))
    with pytest.raises(ValueError, match="needs a street or a parking lot, got 'corridor'"):
        VideoPlan("corridor", "day", (Event("car crash", Segment(1, 3)),), 5.0, 0)
    with pytest.raises(ValueError, match="outside the video"):
        VideoPlan("street", "day", (Event("fire", Segment(3, 6)),), 5.0, 0)
    with pytest.raises(ValueError, match="at least 1 second"):
        VideoPlan("street", "day", (Event("fire", Segment(3, 3.5)),), 5.0, 0)
    with pytest.raises(ValueError, match="each event needs 6 seconds"):
        plan_camera(seconds=10)
    with pytest.raises(ValueError, match="a place is one of street"):
        next(render(VideoPlan("moon", "day", (), 3.0, 0)))
