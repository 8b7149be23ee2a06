from __future__ import annotations

import numpy as np
import pytest
from coded_videos import code, indices_of, picture

from vidlang.video.reader import open_video
from vidlang.video.writer import write_timed_video

STARTS = [0.0, 0.04, 0.08, 0.5, 0.54, 1.0, 1.9, 2.0]


def test_frames_are_shown_from_their_own_second_on(tmp_path):
    frames = [(picture(code(index)), start) for index, start in enumerate(STARTS)]
    write_timed_video(tmp_path / "out.mp4", frames, 4.0)
    with open_video(tmp_path / "out.mp4") as reader:
        batch = next(reader.read())
    assert indices_of(batch.frames) == list(range(8))
    assert batch.seconds[:, 0] == pytest.approx(STARTS, abs=1e-4)


def test_two_frames_of_one_moment_both_stay(tmp_path):
    write_timed_video(tmp_path / "out.mp4", [(picture(code(i)), 0.2) for i in range(3)], 25)
    with open_video(tmp_path / "out.mp4") as reader:
        batch = next(reader.read())
    assert indices_of(batch.frames) == [0, 1, 2]
    assert (np.diff(batch.seconds[:, 0]) > 0).all()
