"""One video has many names: lists, feature files and folders."""

from __future__ import annotations

import pytest

from vidlang.core import BadManifest, Label
from vidlang.datasets.matching import group_key, match_ids


def matched(labelled, known, **options):
    return [label.video_id for label in match_ids([Label(i, ("x",)) for i in labelled], known, **options)]


def test_extension_and_crop_number_are_no_part_of_a_name():
    assert group_key("Abuse/Abuse028_x264__5.npy") == group_key("Abuse/Abuse028_x264.mp4") == "Abuse/Abuse028_x264"
    assert group_key("Bad.Boys.1995__#01-11-55_label_B2-0-0") == "Bad.Boys.1995__#01-11-55_label_B2-0-0"
    assert group_key("cam__3.mp4") == "cam__3"


@pytest.mark.parametrize("known", ["Abuse/A1_x264", "Abuse/A1_x264.mp4", "ucf/Abuse/A1_x264.avi", "A1_x264__5.npy"])
def test_a_label_finds_its_video(known):
    assert matched(["Abuse/A1_x264"], [known, "Abuse/A10_x264.mp4", "A1_x264_b.mp4"]) == [known]


def test_names_are_never_compared_by_substring():
    with pytest.raises(BadManifest, match="1 of 1 labelled videos are not there: Abuse02"):
        matched(["Abuse02"], ["Abuse028.mp4", "xAbuse02.mp4"])


def test_missing_videos_can_be_collected():
    missing: list[str] = []
    assert matched(["a", "b"], ["b.mp4"], missing=missing) == ["b.mp4"]
    assert missing == ["a"]
    assert matched(["a", "b"], ["b.mp4"], allow_missing=True) == ["b.mp4"]


def test_two_videos_of_one_name_are_ambiguous():
    with pytest.raises(BadManifest, match=r"a may be x/a\.mp4 or y/a\.mp4"):
        matched(["a"], ["x/a.mp4", "y/a.mp4"])


def test_two_labels_of_one_name_need_their_folders():
    assert matched(["x/a", "y/a"], ["y/a.mp4", "x/a.mp4"]) == ["x/a.mp4", "y/a.mp4"]
    with pytest.raises(BadManifest, match=r"x/a and y/a have one name, so a\.mp4 may be either"):
        matched(["x/a", "y/a"], ["a.mp4"])


def test_numbered_cameras_stay_apart():
    assert matched(["cam__3", "cam__4"], ["cam__3.mp4", "cam__4.mp4"]) == ["cam__3.mp4", "cam__4.mp4"]
