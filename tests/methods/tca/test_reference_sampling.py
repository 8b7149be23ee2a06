"""Published sampling: small cases counted by hand, and the recorded ones."""

from __future__ import annotations

import pytest
from tca_golden import needs_golden, results

from vidlang.core.errors import BadVideo
from vidlang.methods.tca.reference_sampling import center_crop_256, reference_frames


@pytest.mark.parametrize(
    ("num_frames", "fps", "expected"),
    [
        (100, 25.0, [0, 24, 49, 74, 99, 99]),
        (1, 25.0, [0, 0]),
        (0, 25.0, []),
        (3, 1.0, [0, 1, 2, 2]),
        (7, 2.5, [0, 1, 3, 5, 5]),  # 2.5 rounds to the even 2
        (9, 3.5, [0, 3, 7, 7]),
        (50, 240.0, [0, 24, 49, 49]),  # above 144 counts as 25
        (150, 144.0, [0, 143, 143]),
        (50, None, [0, 24, 49, 49]),
        (50, float("nan"), [0, 24, 49, 49]),
    ],
)
def test_frames_are_those_of_the_published_rule(num_frames, fps, expected):
    assert reference_frames(num_frames, fps) == expected


@pytest.mark.parametrize("fps", [1.0, 12.5, 23.976, 25.0, 29.97, 59.94, 144.0, 145.0])
@pytest.mark.parametrize("num_frames", [1, 24, 25, 26, 300])
def test_the_rule_equals_counting_frame_by_frame(num_frames, fps):
    rate = 25 if fps > 144 else fps
    kept = [number for number in range(num_frames) if number == 0 or (number + 1) % round(rate) == 0]
    assert reference_frames(num_frames, fps) == kept + kept[-1:]


@pytest.mark.parametrize("fps", [0.0, 0.4, 0.5, -1.0])
def test_a_rate_that_rounds_to_nothing_is_refused(fps):
    with pytest.raises(BadVideo, match="takes no frames"):
        reference_frames(10, fps)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="-1 frames"):
        reference_frames(-1, 25.0)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(256, 341, (0, 42)), (455, 256, (99, 0)), (256, 256, (0, 0)), (257, 300, (0, 22)), (100, 258, (0, 1))],
)
def test_the_square_is_centred_and_rounded_down(height, width, expected):
    assert center_crop_256(height, width) == expected


@needs_golden
def test_recorded_frames_and_crops_are_reached():
    recorded = results()
    for case in recorded["frame_sampling"]:
        assert reference_frames(case["n_frames"], case["fps"]) == case["indices"]
    for case in recorded["center_crop_256"]:
        assert center_crop_256(case["h"], case["w"]) == (case["top"], case["left"])
