"""Near-duplicates of rendered videos: the same for the same seed, and of known seconds."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.demo.copies import plan_copies, plan_excerpt, render_copies
from vidlang.demo.scenes import plan_video, render
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "videos" / "normal" / "normal_000.mp4"
    write_video(path, render(plan_video("normal", seed=3, seconds=3, size=(72, 96))), 25.0, options={"crf": "10"})
    return path


def test_each_video_has_a_mild_and_a_strong_copy_that_the_seed_decides():
    names = ["normal/normal_000.mp4", "fire/fire_001.mp4"]
    copies, again, other = plan_copies(names, 8.0), plan_copies(names, 8.0), plan_copies(names, 8.0, seed=1)
    assert [copy.name for copy in copies] == [
        "normal_000_mild.mp4", "normal_000_strong.mp4", "fire_001_mild.mp4", "fire_001_strong.mp4",
    ]  # fmt: skip
    assert [copy.original for copy in copies] == [names[0]] * 2 + [names[1]] * 2
    assert copies == again and copies != other
    assert len({copy.edits for copy in copies}) == 4 and all(2 <= len(copy.edits) <= 4 for copy in copies)
    assert all(edit.name in copy.says() for copy in copies for edit in copy.edits)


def test_an_excerpt_shows_the_seconds_that_it_was_cut_from(original, tmp_path):
    excerpt = plan_excerpt("camera.mp4", 1.0, 2.2)
    (path,) = render_copies([excerpt], {"camera.mp4": original}, tmp_path / "copies")
    assert path.name == "camera_excerpt.mp4"
    with open_video(path) as copy, open_video(original) as source:
        shown = copy.read_at([10]).frames[0]
        frames = np.concatenate([batch.frames for batch in source.read(32)])
    assert copy.info.num_frames == 30 and frames.shape[1:3] == (72, 96)
    inner, wanted = shown[shown.shape[0] // 2 - 20 :][:40, :60].astype(int), frames[:, 16:56, :60].astype(int)
    distance = np.abs(wanted - inner).mean(axis=(1, 2, 3))
    assert abs(int(distance.argmin()) - 35) <= 1


def test_the_same_plan_gives_the_same_file(tmp_path):
    """Twice in one process, with other things in memory: encoders have been seen to differ."""
    from vidlang.demo.scenes import CODING

    frames, contents = list(render(plan_video("fire", seed=3, seconds=3, places=("square",))))[:40], []
    for number in range(4):
        clutter = [bytes(1000 + 7919 * number * index) for index in range(20)]
        write_video(tmp_path / "x.mp4", frames, 25.0, options=CODING)
        contents.append((tmp_path / "x.mp4").read_bytes())
        assert len(clutter) == 20
    assert len(set(contents)) == 1


def test_a_copy_that_is_there_is_left_alone(original, tmp_path):
    copies = plan_copies(["normal/normal_000.mp4"], 3.0)
    folder = tmp_path / "copies"
    folder.mkdir()
    (folder / copies[0].name).write_bytes(b"made before")
    made = render_copies(copies, {"normal/normal_000.mp4": original}, folder)
    assert made[0].read_bytes() == b"made before"
    with open_video(made[1]) as reader:
        assert reader.info.num_frames > 10
