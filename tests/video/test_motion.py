"""Motion is where frames differ, in grey levels, whatever the frame rate."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.video.motion import motion_energy
from vidlang.video.writer import write_video

LOSSLESS = {"codec": "ffv1", "pixel_format": "bgr0"}
SECONDS = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])


def flicker(path, rate: float):
    """One second still, one second of 40 grey levels up and down each eighth of a second, one second still."""

    def level(t: float) -> int:
        return 100 + 40 * (int(t * 8 + 1e-6) % 2) if 1.0 <= t + 1e-6 < 2.0 else 100

    frames = [np.full((64, 96, 3), level(i / rate), np.uint8) for i in range(round(3 * rate))]
    write_video(path, frames, rate, **LOSSLESS)
    return path


@pytest.mark.parametrize("rate", [8.0, 16.0, 24.0])
def test_only_the_second_that_changes_has_energy(tmp_path, rate):
    still, moving, after = motion_energy(flicker(tmp_path / "a.mkv", rate), SECONDS)
    assert still == 0
    assert moving == pytest.approx(35, abs=5.5)  # 7 of the 8 comparisons differ by 40
    assert after == pytest.approx(5, abs=5.5)  # the step back at its start


def test_a_still_video_and_a_single_frame_do_not_move(tmp_path):
    write_video(tmp_path / "still.mkv", [np.full((64, 96, 3), 90, np.uint8)] * 30, 10.0, **LOSSLESS)
    assert motion_energy(tmp_path / "still.mkv", SECONDS).tolist() == [0, 0, 0]
    write_video(tmp_path / "one.mkv", [np.full((64, 96, 3), 90, np.uint8)], 10.0, **LOSSLESS)
    assert motion_energy(tmp_path / "one.mkv", SECONDS[:1]).tolist() == [0]


def test_an_interval_between_two_comparisons_takes_the_nearest(tmp_path):
    path = flicker(tmp_path / "a.mkv", 8.0)
    inside, outside = motion_energy(path, np.array([[1.51, 1.52], [0.51, 0.52]]))
    assert (inside, outside) == (40, 0)
