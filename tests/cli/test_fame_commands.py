"""``fame mask | merge | cam | weights`` as users type them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vidlang.video.reader import open_video
from vidlang.video.writer import write_video


def one_line(answer, code: int, *words: str) -> None:
    lines = answer.err.strip().splitlines()
    assert answer.code == code and answer.out == "" and len(lines) == 1, answer
    assert all(word in lines[0] for word in words), lines[0]


def joined(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def two(film, tmp_path):
    """Two short films, a dark and a light one."""
    return film(tmp_path / "v" / "a.mp4", 20), film(tmp_path / "v" / "b.mp4", 36, shade=200)


# -- mask ------------------------------------------------------------------------------------------------------------


def test_mask_without_a_place_writes_video_and_sheet_into_the_results(vidlang, two, tmp_path):
    answer = vidlang("fame", "mask", "v/a.mp4")
    assert answer.code == 0 and answer.err == "", answer
    [folder] = (tmp_path / ".vidlang" / "results" / "fame-mask").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["a.mp4.mp4", "a.mp4.png", "masks.json"]
    assert "a.mp4" in answer.out and "Written:" in answer.out
    with open_video(folder / "a.mp4.mp4") as reader:
        assert sum(len(batch) for batch in reader.read()) == 20 and reader.info.size == (64, 96)


def test_mask_of_many_videos_as_json(vidlang, two, tmp_path):
    answer = vidlang("fame", "mask", "v", "--write", "npz", "-o", "out", "--beta", "0.3", "--method", "seed", "--json")
    assert answer.code == 0, answer.err
    fields = json.loads(answer.out)
    assert fields["schema"] == "vidlang.fame_mask/1"
    assert (fields["made_by"]["mask"], fields["made_by"]["beta"], fields["made_by"]["hue"]) == ("seed", 0.3, "exact")
    assert [video["video"] for video in fields["videos"]] == ["a.mp4", "b.mp4"]
    for video, spans in zip(fields["videos"], ([[0, 16], [16, 20]], [[0, 16], [16, 32], [32, 36]]), strict=True):
        assert [window["frames"] for window in video["windows"]] == spans
        for window in video["windows"]:
            assert window["moves"] and window["energy"] > 0
            assert window["area"] == pytest.approx(int(0.3 * 64 * 96) / (64 * 96), abs=1e-6)
    with np.load(tmp_path / "out" / "b.mp4.npz") as found:
        assert found["masks"].shape == (3, 64, 96)


def test_a_film_without_motion_is_said_to_have_none(vidlang, tmp_path):
    frame = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    write_video(
        tmp_path / "still.mp4", [frame] * 40, 25.0, options={"qp": "0", "preset": "ultrafast"}, pixel_format="yuv444p"
    )
    answer = vidlang("fame", "mask", "still.mp4", "-o", "m.png")
    assert answer.code == 0 and "no motion in 3 of 3 windows; their masks are empty" in joined(answer.out)
    answer = vidlang("fame", "mask", "still.mp4", "-o", "m.npz", "--json")
    [video] = json.loads(answer.out)["videos"]
    assert video["area"] == 0 and video["warnings"] == ["no motion in 3 of 3 windows; their masks are empty"]


def test_mistakes_of_mask_are_one_line(vidlang, two, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 48)).save(tmp_path / "picture.png")
    film = two[0]
    write_video(tmp_path / "one.mp4", [np.zeros((48, 64, 3), dtype=np.uint8)], 25.0)
    (tmp_path / "words.mp4").write_text("no film")
    before = film.read_bytes()
    one_line(vidlang("fame", "mask", "picture.png", "-o", "m.mp4"), 1, "picture.png", "one frame")
    one_line(vidlang("fame", "mask", "one.mp4", "-o", "m.mp4"), 1, "one.mp4 has one frame")
    one_line(vidlang("fame", "mask", "words.mp4", "-o", "m.mp4"), 1, "words.mp4")
    one_line(vidlang("fame", "mask", "none.mp4", "-o", "m.mp4"), 2, "none.mp4 does not exist")
    one_line(vidlang("fame", "mask", film, "-o", film), 2, "is the video itself")
    one_line(vidlang("fame", "mask", film, "-o", "m.avi"), 2, ".avi", ".mp4, .npz, .png")
    one_line(vidlang("fame", "mask", "v", "-o", "m.mp4"), 2, "one file", "2 videos")
    one_line(vidlang("fame", "mask", film, "--beta", "2"), 2, "beta", "from 0 to 1")
    one_line(vidlang("fame", "mask", film, "--write", "gif"), 2, "--write", "mp4, npz, png")
    one_line(vidlang("fame", "mask", film, "--crop-size", "5000", "-o", "m.png"), 2, "too small for a blur")
    assert film.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".m", "m."))]


def test_one_of_several_videos_fails(vidlang, two, tmp_path):
    (tmp_path / "v" / "c.mp4").write_text("no film")
    answer = vidlang("fame", "mask", "v", "--write", "png", "-o", "out")
    assert answer.code == 1 and "1 of 3 videos failed" in answer.err and "c.mp4" in answer.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4.png", "b.mp4.png", "masks.json"]
    quiet = vidlang("fame", "mask", "v", "--write", "png", "-o", "out", "--quiet")
    assert quiet.code == 1 and quiet.out == "" and len(quiet.err.splitlines()) == 2


# -- merge -----------------------------------------------------------------------------------------------------------


def test_merge_keeps_the_length_of_the_first_and_the_colours_of_the_second(vidlang, two, tmp_path):
    front, back = two
    answer = vidlang("fame", "merge", front, back, "-o", "m.mp4", "--method", "seed", "--beta", "0.2")
    assert answer.code == 0 and answer.err == "", answer
    assert "a.mp4 over b.mp4: 2 of 2 windows merged" in joined(answer.out) and "Written: m.mp4" in answer.out
    with open_video(tmp_path / "m.mp4") as reader:
        frames = np.concatenate([batch.frames for batch in reader.read()])
    assert len(frames) == 20 and frames[:, 50:].mean() == pytest.approx(200, abs=4)  # below the square b's ground
    again = vidlang("fame", "merge", back, front, "-o", "n.mp4", "--json")
    fields = json.loads(again.out)
    assert fields["schema"] == "vidlang.fame_merge/1" and fields["video"] == "b.mp4" and fields["background"] == "a.mp4"
    assert fields["notes"] == ["the background is shorter and starts again once"] and len(fields["windows"]) == 3


def test_merge_with_itself_at_another_time(vidlang, two):
    answer = vidlang("fame", "merge", two[1], "--background", "intra", "--seed", "4", "-o", "m.mp4", "--json")
    fields = json.loads(answer.out)
    assert answer.code == 0 and fields["made_by"]["background"] == "intra" and fields["made_by"]["seed"] == 4
    assert "the same video" in fields["notes"][0]


def test_mistakes_of_merge_are_one_line(vidlang, two):
    front, back = two
    one_line(vidlang("fame", "merge", front, "-o", "m.mp4"), 2, "second video", "--background intra")
    one_line(vidlang("fame", "merge", front, back, "-o", front), 2, "is the video itself")
    one_line(vidlang("fame", "merge", front, back, "-o", back), 2, "is the video itself")
    one_line(vidlang("fame", "merge", front, back, "-o", "m.png"), 2, "what can be written is .mp4")
    one_line(vidlang("fame", "merge", front, "none.mp4", "-o", "m.mp4"), 2, "none.mp4 does not exist")
    one_line(vidlang("fame", "merge", front, back, "--background", "intra", "-o", "m.mp4"), 2, "leave the second out")
    one_line(vidlang("fame", "merge", front, "--background", "intra", "-o", "m.mp4"), 2, "two windows of 16")
    assert vidlang("fame", "merge", front, back, "--window", "1").code == 2


# -- networks --------------------------------------------------------------------------------------------------------


def test_cam_of_a_fresh_network(vidlang, two, tmp_path):
    answer = vidlang("fame", "cam", two[0], "--checkpoint", "random", "-o", "cam.mp4")
    assert answer.code == 0, answer.err
    assert "a.mp4: 2 clips seen by random (tiny)" in answer.out and "Written: cam.mp4" in answer.out
    with open_video(tmp_path / "cam.mp4") as reader:
        assert sum(len(batch) for batch in reader.read()) == 20
    one_line(vidlang("fame", "cam", two[0], "-o", "cam.mp4"), 1, "no fame checkpoint", "vidlang train fame")
    one_line(vidlang("fame", "cam", two[0], "--checkpoint", "mine", "-o", "cam.mp4"), 2, "'mine'")
    one_line(vidlang("fame", "cam", "none.mp4", "--checkpoint", "random"), 2, "none.mp4 does not exist")


def test_weights_as_table_picture_and_json(vidlang, tmp_path):
    answer = vidlang("fame", "weights", "random", "random", "--plot", "k.png")
    assert answer.code == 0 and "random against random" in answer.out and (tmp_path / "k.png").is_file()
    rows = [line.split() for line in answer.out.splitlines() if ".weight" in line]
    assert rows and all(row[1] == row[2] and row[3] == "1.0000" for row in rows)  # the same seed gives the same weights
    fields = json.loads(vidlang("fame", "weights", "random", "--json").out)
    assert fields["schema"] == "vidlang.fame_weights/1" and len(fields["layers"]) == len(rows)
    (tmp_path / "words.pth").write_text("no weights")
    one_line(vidlang("fame", "weights", "words.pth"), 1, "words.pth")
    one_line(vidlang("fame", "weights", "nothing"), 2, "'nothing'")
    one_line(vidlang("fame", "weights", "random", "--plot", "k.svg"), 2, ".png")
