from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from vidlang.core import BadInput, BadVideo
from vidlang.video.files import frame_files, natural_order
from vidlang.video.reader import find_videos, identify, is_video


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def ids(*paths) -> list[str]:
    return [video_id for video_id, _ in find_videos(list(paths))]


def test_a_folder_is_searched_to_its_depths(tmp_path):
    touch(
        tmp_path,
        "b.MP4",
        "Abuse/Abuse001.mp4",
        "Abuse/deep/er/x.mkv",
        "notes.txt",
        "Abuse/labels.csv",
        ".hidden/y.mp4",
        "._b.mp4",
    )
    assert ids(tmp_path) == ["Abuse/Abuse001.mp4", "Abuse/deep/er/x.mkv", "b.MP4"]


def test_a_file_has_its_name_whatever_its_ending(tmp_path):
    touch(tmp_path, "a/clip.mp4", "a/recording.dat")
    assert find_videos([tmp_path / "a/clip.mp4"]) == [("clip.mp4", tmp_path / "a/clip.mp4")]
    assert ids(tmp_path / "a/recording.dat") == ["recording.dat"]


def test_each_file_comes_once(tmp_path):
    touch(tmp_path, "a/clip.mp4")
    assert ids(tmp_path, tmp_path / "a/clip.mp4", tmp_path) == ["a/clip.mp4"]


def test_patterns_keep_the_folders_behind_their_wildcards(tmp_path):
    touch(tmp_path, "fight/1.mp4", "normal/1.mp4", "normal/2.avi", "normal/note.txt")
    assert ids(tmp_path / "*" / "*.mp4") == ["fight/1.mp4", "normal/1.mp4"]
    assert ids(tmp_path / "**" / "*") == ["fight/1.mp4", "normal/1.mp4", "normal/2.avi"]
    assert ids(tmp_path / "normal" / "*.avi") == ["2.avi"]
    assert ids(tmp_path / "n*") == ["normal/1.mp4", "normal/2.avi"]


def test_two_files_of_one_name_are_refused(tmp_path):
    touch(tmp_path, "fight/1.mp4", "normal/1.mp4")
    with pytest.raises(BadInput, match=r"fight/1.mp4 and .*normal/1.mp4 would both be called '1.mp4'"):
        find_videos([tmp_path / "fight", tmp_path / "normal"])


def test_nothing_found(tmp_path):
    touch(tmp_path, "empty/notes.txt")
    with pytest.raises(BadInput, match="holds no videos"):
        find_videos([tmp_path / "empty"])
    with pytest.raises(BadInput, match=r"missing\.mp4 does not exist"):
        find_videos([tmp_path / "missing.mp4"])
    with pytest.raises(BadInput, match="holds no videos"):
        find_videos([tmp_path / "*.mp4"])
    with pytest.raises(BadInput, match="No videos were given"):
        find_videos([])


def test_folders_of_images_are_videos(tmp_path):
    touch(tmp_path, "Test/01/000.jpg", "Test/01/001.jpg", "Test/02/000.jpg", "Test/readme.txt")
    assert ids(tmp_path) == ["Test/01", "Test/02"]
    assert ids(tmp_path / "Test/01") == ["01"]


def test_pictures_beside_videos_do_not_make_a_folder_a_video(tmp_path):
    touch(tmp_path, "poster.png", "a.mp4", "sub/thumb.jpg", "sub/b.mp4")
    assert ids(tmp_path) == ["a.mp4", "sub/b.mp4"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_that_leads_back_ends(tmp_path):
    touch(tmp_path, "a/1.mp4")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert ids(tmp_path) == ["a/1.mp4"]


def test_strange_names(tmp_path):
    touch(tmp_path, "a b#1=ü.mp4", "x.y.z.webm", "[cam] 1.mp4")
    assert ids(tmp_path) == sorted(["a b#1=ü.mp4", "x.y.z.webm", "[cam] 1.mp4"])
    assert ids(tmp_path / "[cam] 1.mp4") == ["[cam] 1.mp4"]


def test_is_video(tmp_path):
    touch(tmp_path, "a.mp4", "b.txt", "frames/1.png", "none/1.txt")
    assert is_video(tmp_path / "a.mp4")
    assert not is_video(tmp_path / "b.txt")
    assert is_video(tmp_path / "frames")
    assert not is_video(tmp_path / "none")


def test_numbers_in_names_count_as_numbers(tmp_path):
    touch(tmp_path, "img10.png", "img2.png", "img1.PNG", ".img0.png", "note.txt")
    assert [path.name for path in frame_files(tmp_path)] == ["img1.PNG", "img2.png", "img10.png"]
    assert sorted(["2", "b", "10", "a"], key=natural_order) == ["2", "10", "a", "b"]


def test_the_same_content_is_the_same_file(tmp_path):
    (tmp_path / "a.mp4").write_bytes(bytes(range(256)) * 8000)
    (tmp_path / "b.mp4").write_bytes(bytes(range(256)) * 8000)
    os.utime(tmp_path / "b.mp4", (1, 1))
    first, second = identify(tmp_path / "a.mp4"), identify(tmp_path / "b.mp4")
    assert first.same_content(second)
    assert first.size == 256 * 8000
    assert second.mtime == 1


@pytest.mark.parametrize("place", [0, 950_000, 2_047_999])
@pytest.mark.parametrize("size", [1, 2_048_000])
def test_another_size_or_content_is_another_file(tmp_path, place, size):
    data = bytearray(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8).tobytes())
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    before = identify(path)
    data[min(place, size - 1)] ^= 1
    path.write_bytes(data)
    assert not identify(path).same_content(before)
    path.write_bytes(data + b"x")
    assert not identify(path).same_content(before)


def test_a_folder_of_images_is_known_by_names_sizes_and_some_content(tmp_path):
    for index in range(40):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / f"{index}.bmp")
    before = identify(tmp_path)
    assert before.same_content(identify(tmp_path))
    Image.new("RGB", (8, 8), (99, 0, 0)).save(tmp_path / "39.bmp")
    assert not identify(tmp_path).same_content(before)
    (tmp_path / "39.bmp").rename(tmp_path / "40.bmp")
    assert not identify(tmp_path).same_content(before)


def test_identity_of_what_is_not_there(tmp_path):
    with pytest.raises(BadVideo, match=r"a.mp4 cannot be read \(No such file"):
        identify(tmp_path / "a.mp4")
