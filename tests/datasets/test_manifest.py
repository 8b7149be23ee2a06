"""Manifests: what a line means, what each mistake says, and how videos are divided."""

from __future__ import annotations

from io import StringIO

import pytest

from vidlang.core import BadManifest, Label, LabelledSegment, Segment
from vidlang.datasets.manifest import (
    check_lengths,
    class_names,
    labels_from_folders,
    read_manifest,
    split_by_video,
    write_manifest,
)


def read(text, **options):
    return read_manifest(StringIO(text), **options)


def label(video_id, *classes, **facts):
    return Label(video_id, classes, **facts)


def test_a_header_names_the_columns_in_any_order():
    text = "split,label,video,end,start\ntrain,fight,a.mp4,4,1.5\ntest,normal,b.mp4,,\n"
    assert read(text) == [
        Label("a.mp4", ("fight",), (LabelledSegment("fight", Segment(1.5, 4)),), split="train", timed=True),
        Label("b.mp4", ("normal",), split="test"),
    ]


def test_without_a_header_columns_go_by_position():
    assert read("a.mp4,fight,1,2\nb.mp4,normal\n") == [
        Label("a.mp4", ("fight",), (LabelledSegment("fight", Segment(1, 2)),), timed=True),
        label("b.mp4", "normal"),
    ]


def test_lines_of_one_video_add_up():
    (only,) = read("video,label,start_frame,end_frame\na,fight,5,9\na,fire,20,30\na,fight,40,44\n")
    assert only.classes == ("fight", "fire")
    assert [(event.label, event.span) for event in only.segments] == [
        ("fight", (5, 9)),
        ("fire", (20, 30)),
        ("fight", (40, 44)),
    ]


def test_a_bar_joins_several_labels():
    (only,) = read("video,label,start,end\na,fight|fire,1,2\n")
    assert only.classes == ("fight", "fire")
    assert [event.label for event in only.segments] == ["fight", "fire"]


def test_equal_lines_count_once():
    assert len(read("video,label,start,end\na,fight,1,2\na,fight,1,2\n")[0].segments) == 1


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffvideo,label\na.mp4,fight\n",
        "video,label\r\na.mp4,fight\r\n",
        "video;label\na.mp4;fight\n",
        "video\tlabel\na.mp4\tfight\n",
        "Video, Label\n./a.mp4, fight\n",
        'video,label\n\n"a.mp4","fight",\n',
    ],
    ids=["byte order mark", "windows line ends", "semicolons", "tabs", "spaces and capitals", "blank line and quotes"],
)
def test_what_spreadsheets_write_is_read(text):
    assert read(text) == [label("a.mp4", "fight")]


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes("\ufeffvideo,label\nstraße/ä.mp4,fight\n".encode())
    assert read_manifest(path) == [label("straße/ä.mp4", "fight")]


def test_backslashes_become_slashes():
    assert read("fight\\a.mp4,fight\n")[0].video_id == "fight/a.mp4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no video"),
        ("video,label\n", "lists no video"),
        ("video,lable\na,b\n", "line 1: 'lable' is no column .* Did you mean 'label'"),
        ("path,label\na,b\n", "line 1: 'path' is no column .* Did you mean 'video'"),
        ("file,class\na,b\n", "line 1: 'file' is no column .* Did you mean 'video'"),
        ("label,start\nb,1\n", "line 1: the header has no column 'video'"),
        ("video,label,label\na,b,c\n", "line 1: the column 'label' is there twice"),
        ("video,label\na,\n", "line 2 has an empty label"),
        ("video,label\na,fight|\n", "line 2 has an empty label"),
        ("video,label\n,fight\n", "line 2 names no video"),
        ("video,label\n/data/a.mp4,fight\n", "line 2: '/data/a.mp4' is an absolute path"),
        ("video,label\nC:\\data\\a.mp4,fight\n", "is an absolute path"),
        ("video,label\na.mp4,fight,1,2\n", "line 2 has 4 cells for the columns video,label"),
        ("a,fight,3,2\n", r"line 1: the segment ends before it starts \(3 to 2\)"),
        ("a,fight,3,3\n", "line 1: the segment is empty"),
        ("a,fight,-1,3\n", "line 1: start is -1"),
        ("a,fight,3,\n", "line 1 gives half a segment: end is empty"),
        ("a,fight,x,3\n", "line 1: start is 'x', a number is expected"),
        ("a,fight,nan,3\n", "a finite number is expected"),
        ("video,label,start_frame,end_frame\na,fight,1.5,3\n", "line 2: start_frame is 1.5, a whole number"),
        ("video,label,start,end,start_frame,end_frame\na,f,1,2,16,32\n", "line 2 gives a segment in seconds and in fr"),
        ("video,label,split\na,fight,trian\n", "line 2: there is no split 'trian'. Did you mean 'train'"),
        ("video,label,split\na,fight,validation\n", "Did you mean 'val'"),
        ("video,label,split\na,f,train\na,f,test\n", "line 3: a is in split 'test' here and in 'train' at .*line 2"),
        ("video,label,num_frames\na,f,10\na,f,12\n", "line 3: a has 12 frames here and 10 at .*line 2"),
        ("video,label,num_frames\na,f,0\n", "line 2: num_frames is 0"),
        ('video,label\n"a,fight\nb,fight\n', "is not CSV .* check its quotes"),
        ("a,normal\na,fight\n", r"line 2: a is 'fight' \(.*line 2\) and 'normal' \(.*line 1\)"),
        ("a,Fight,1,2\nb,normal\na,Normal\n", "line 3: a is 'Fight' .* and 'Normal'"),
    ],
)
def test_each_mistake_is_one_line_that_says_where(text, message):
    with pytest.raises(BadManifest, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_segment_in_frames_is_refused():
    with pytest.raises(BadManifest, match=r"ends at 4096.0 s but the video lasts 68.3 s: were frame numbers given"):
        read("v.mp4,fight,0,4096\n", durations={"v.mp4": 68.3})


def test_a_segment_may_round_up_to_the_next_second():
    assert read("v.mp4,fight,0,69\n", durations={"v.mp4": 68.3})


def test_frames_beyond_a_known_length_are_refused():
    with pytest.raises(BadManifest, match="ends at frame 200 but the video has 100 frames"):
        check_lengths([Label("v", ("f",), (LabelledSegment("f", span=(0, 200)),), num_frames=100)])


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(BadManifest, match=r"There is no manifest .*none\.csv"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("a.mp4,schläge\n".encode("latin-1"))
    with pytest.raises(BadManifest, match=r"latin\.csv is not UTF-8"):
        read_manifest(tmp_path / "latin.csv")


def test_what_is_written_is_read_back(tmp_path):
    labels = [
        Label(
            'odd, "name" #1.mp4',
            ("fire", "fight"),
            (LabelledSegment("fight", Segment(0.1, 1 / 3)), LabelledSegment("fire", Segment(2, 3))),
            split="train",
            timed=True,
        ),
        Label("b.mp4", ("fight",), (LabelledSegment("fight", span=(3, 7)),), timed=True, num_frames=20),
        Label("c.mp4", ("normal",), split="val"),
        Label("d.mp4", ("fight", "fire")),
    ]
    assert read(write_manifest(labels)) == labels
    write_manifest(labels, tmp_path / "labels.csv")
    assert read_manifest(tmp_path / "labels.csv") == labels


def test_a_manifest_has_no_more_columns_than_it_needs():
    assert write_manifest([label("a.mp4", "fight")]) == "video,label\na.mp4,fight\n"


def test_folders_are_classes():
    assert labels_from_folders(["fight/a.mp4", "fight/day2/b.mp4", "normal/c.mp4"]) == [
        label("fight/a.mp4", "fight"),
        label("fight/day2/b.mp4", "fight"),
        label("normal/c.mp4", "normal"),
    ]


def test_folders_of_splits_hold_folders_of_classes():
    assert labels_from_folders(["train/fight/a.mp4", "Test/normal/b.mp4"]) == [
        label("train/fight/a.mp4", "fight", split="train"),
        label("Test/normal/b.mp4", "normal", split="test"),
    ]


def test_a_video_beside_the_folders_has_no_class():
    with pytest.raises(BadManifest, match=r"Nothing names the class of loose\.mp4: move"):
        labels_from_folders(["fight/a.mp4", "loose.mp4"])
    assert labels_from_folders(["fight/a.mp4", "loose.mp4"], allow_unlabelled=True) == [label("fight/a.mp4", "fight")]


def test_the_normal_class_comes_first():
    labels = [label("a", "theft"), label("b", "Normal"), label("c", "Arson", "fight")]
    assert class_names(labels) == ("Normal", "Arson", "fight", "theft")
    assert class_names(labels, normal="normal")[0] == "Normal"
    assert class_names(labels, normal="theft") == ("theft", "Arson", "fight", "Normal")


@pytest.mark.parametrize(
    ("classes", "normal", "message"),
    [
        (["calm", "fight"], None, r"No class is called 'normal'. Classes: calm, fight. .*--normal NAME"),
        (["calm", "fight"], "clam", r"no class 'clam' .* Did you mean 'calm'\? Classes: calm, fight"),
        (["Normal", "normal"], None, "differ only in case"),
    ],
)
def test_an_unclear_normal_class_is_refused(classes, normal, message):
    with pytest.raises(BadManifest, match=message):
        class_names([label("v", name) for name in classes], normal)


def test_a_split_holds_out_a_part_of_every_class():
    labels = [label(f"{name}/{n}.mp4", name) for name, count in (("normal", 20), ("fight", 10)) for n in range(count)]
    rest, held = split_by_video(labels, 0.3, seed=1)
    assert sorted(x.video_id for x in rest + held) == sorted(x.video_id for x in labels)
    assert [sum(x.classes == (name,) for x in held) for name in ("normal", "fight")] == [6, 3]


def test_a_split_depends_on_the_seed_and_not_on_the_order():
    labels = [label(f"{n}.mp4", "normal") for n in range(40)]
    held = {x.video_id for x in split_by_video(labels, 0.5, seed=3)[1]}
    assert {x.video_id for x in split_by_video(labels[::-1], 0.5, seed=3)[1]} == held
    assert {x.video_id for x in split_by_video(labels, 0.5, seed=4)[1]} != held


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_both_parts_have_each_class_that_has_two_videos(fraction):
    labels = [label("a1", "a"), label("a2", "a"), label("b1", "b"), label("b2", "b"), label("c1", "c")]
    rest, held = split_by_video(labels, fraction, seed=0)
    assert {x.classes[0] for x in rest} == {"a", "b", "c"}
    assert {x.classes[0] for x in held} == {"a", "b"}


def test_crops_of_one_video_stay_together():
    labels = [label(f"fight/v{n}__{crop}", "fight") for n in range(6) for crop in range(10)]
    rest, held = split_by_video(labels, 0.5, seed=0)
    names = [{x.video_id.split("__")[0] for x in part} for part in (rest, held)]
    assert len(names[0]) == len(names[1]) == 3
    assert not names[0] & names[1]


def test_a_group_of_ones_own_stays_together():
    labels = [label(f"camera{n % 5}-{n}.mp4", "normal") for n in range(50)]
    rest, held = split_by_video(labels, 0.4, seed=0, group_of=lambda video_id: video_id.split("-")[0])
    assert len(held) == 20
    assert not {x.video_id[:7] for x in rest} & {x.video_id[:7] for x in held}


def test_a_fraction_of_one_is_refused():
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.0"):
        split_by_video([label("a", "normal")], 1.0, seed=0)
