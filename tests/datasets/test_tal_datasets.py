"""THUMOS14 and ActivityNet in every form in which they are passed on; what a manifest cannot hold is named."""

from __future__ import annotations

import io
import json
import os
import pickle

import numpy as np
import pytest

from vidlang.core import BadAnnotation, Segment
from vidlang.core.errors import UnknownName
from vidlang.core.labels import Label, LabelledSegment
from vidlang.datasets import LOCALIZATION_DATASETS, import_dataset, import_localization
from vidlang.datasets.manifest import read_manifest, write_manifest
from vidlang.datasets.object_arrays import read_object_array
from vidlang.datasets.temporal import read_database
from vidlang.datasets.thumos14 import CLASSES, WRONG


def database(path, **videos):
    """video → (subset, [(label, start, end), …])"""
    entries = {
        video: {"subset": subset, "annotations": [{"label": n, "segment": [s, e]} for n, s, e in events]}
        for video, (subset, events) in videos.items()
    }
    path.write_text(json.dumps({"database": entries}))
    return path


def seconds(name, start, end):
    return LabelledSegment(name, Segment(start, end))


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


# -- annotation files ------------------------------------------------------------------------------------------------


def test_times_may_be_texts_and_subsets_become_splits(tmp_path):
    path = database(
        tmp_path / "gt.json",
        a=("Validation", [("Diving", "1.5", "2.25"), ("CliffDiving", "1.5", 2.25)]),
        b=("test", [("Diving", 3, 4)]),
    )
    a, b = import_localization("thumos14", path).labels
    events = seconds("Diving", 1.5, 2.25), seconds("CliffDiving", 1.5, 2.25)
    # THUMOS14 is learned on its validation set
    assert a == Label("a", ("Diving", "CliffDiving"), events, split="train", timed=True)
    assert (b.split, b.segments) == ("test", (seconds("Diving", 3, 4),))
    assert [label.split for label in import_localization("activitynet", path).labels] == ["val", "test"]


def test_a_folder_stands_for_its_file(tmp_path):
    database(tmp_path / "thumos14_gt.json", a=("test", [("Diving", 3, 4)]))
    database(tmp_path / "activity_net.v1-3.min.json", v=("validation", [("Zumba", 3, 4)]))
    assert import_localization("thumos14", tmp_path).labels[0].video_id == "a"
    assert import_localization("activitynet", tmp_path).labels[0].video_id == "v"
    database(tmp_path / "gt.json", c=("test", [("Diving", 3, 4)]))
    assert import_localization("thumos14", tmp_path).labels[0].video_id == "c"


def test_several_files_that_may_be_meant_are_named(tmp_path):
    for name in ("one.json", "two.json"):
        database(tmp_path / name, a=("test", [("Diving", 3, 4)]))
    with pytest.raises(BadAnnotation, match=r"one\.json, two\.json: give one"):
        import_localization("thumos14", tmp_path)


def test_wrong_test_videos_of_thumos14_are_left_out(tmp_path):
    # 1270 is another video than 270
    names = (*WRONG, "video_test_0001270", "video_validation_0000270")
    path = database(tmp_path / "gt.json", **{name: ("test", [("Diving", 3, 4)]) for name in names})
    annotations = import_localization("thumos14", path)
    assert [label.video_id for label in annotations.labels] == list(names[3:])
    assert annotations.notes == (
        "3 test videos with wrong or missing annotation are left out: "
        "video_test_0000270, video_test_0001292, video_test_0001496",
    )
    assert len(import_localization("activitynet", path).labels) == 5


def test_what_a_manifest_cannot_hold_is_left_out_and_named(tmp_path):
    path = database(
        tmp_path / "gt.json",
        bare=("testing", []),
        empty=("training", [("Zumba", 0, 0)]),
        twice=("training", [("Zumba", 1, 2), ("Zumba", 1, 2), ("Zumba", 5, 4)]),
        early=("training", [("Zumba", -0.5, 2)]),
    )
    annotations = import_localization("activitynet", path)
    assert {label.video_id: label.segments for label in annotations.labels} == {
        "empty": (),
        "twice": (seconds("Zumba", 1, 2),),
        "early": (seconds("Zumba", 0, 2),),
    }
    assert [note.split(",")[0] for note in annotations.notes] == [
        "1 videos without annotation are left out",
        "1 segments start before the video and are cut at 0",
        "2 segments without duration are left out",
        "1 segments are annotated twice and kept once",
        "published evaluators count such segments: give the annotation file itself to eval localization",
    ]
    # the file itself keeps every instance, the one that ends before it starts as an empty one
    raw = {label.video_id: label for label in read_database(path)}
    assert [bool(event.segment) for event in raw["twice"].segments] == [True, True, False]
    assert raw["bare"].classes == ()


def test_the_manifest_gives_the_labels_back(tmp_path):
    path = database(
        tmp_path / "gt.json", a=("test", [("Diving", "1.1", 2), ("HighJump", 0, 9)]), b=("training", [("Zumba", 3, 3)])
    )
    labels = list(import_localization("activitynet", path).labels)
    assert read_manifest(io.StringIO(write_manifest(labels))) == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "does not read as JSON"),
        ("[]", "not an object"),
        ("{}", 'no "database"'),
        ('{"database": {"v": []}}', "gt.json, v is no object"),
        ('{"database": {"v": {"subset": "dev"}}}', "no subset 'dev'"),
        ('{"database": {"v": {"annotations": {"a": 1}}}}', "no list"),
        ('{"database": {"v": {"annotations": [{"label": "x"}]}}}', "annotation 1 .*'segment' is missing"),
        ('{"database": {"v": {"annotations": [{"label": "x", "segment": [1]}]}}}', "not enough values"),
        ('{"database": {"v": {"annotations": [{"label": "x", "segment": ["a", 1]}]}}}', "could not convert"),
        ('{"database": {"v": {"annotations": [{"label": "x", "segment": ["nan", 1]}]}}}', "no finite seconds"),
        ('{"database": {"v": {"annotations": [{"label": "", "segment": [0, 1]}]}}}', "not a name"),
        ('{"database": {"v": {"annotations": [{"label": "x", "segment": [NaN, 1]}]}}}', "NaN is not a number"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "gt.json").write_text(text)
    with pytest.raises(BadAnnotation, match=message) as refused:
        import_localization("thumos14", tmp_path)
    assert "\n" not in str(refused.value)


def test_folders_without_annotations_are_refused(tmp_path):
    for name in LOCALIZATION_DATASETS:
        with pytest.raises(BadAnnotation, match="annotation"):
            import_localization(name, tmp_path)
        with pytest.raises(BadAnnotation, match="is not there"):
            import_localization(name, tmp_path / "none")
    with pytest.raises(UnknownName, match="'thumos14'"):
        import_localization("thumos", tmp_path)
    with pytest.raises(UnknownName, match="'activitynet'"):
        import_dataset("activity-net", tmp_path)


# -- text files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def text_files(tmp_path):
    """Folders as the organisers publish them."""
    val, test = tmp_path / "validation" / "annotation", tmp_path / "test" / "annotation"
    val.mkdir(parents=True)
    test.mkdir(parents=True)
    (val / "BaseballPitch_val.txt").write_text("video_validation_0000266  72.8 76.4\n")
    (test / "CliffDiving_test.txt").write_text("video_test_0000004  1.0 2.0\nvideo_test_0000004 7.0\t8.5\n\n")
    (test / "Diving_test.txt").write_text("video_test_0000004  1.0 2.0\nvideo_test_0000270  3.0 4.0\n")
    (test / "Ambiguous_test.txt").write_text("video_test_0000004  5.0 6.0\nvideo_test_0009999  0.0 1.4\n")
    (val / "Ambiguous_val.txt").write_text("video_validation_0000266  0.0 1.5\n")
    (val / "detclasslist.txt").write_text("7 BaseballPitch\n")
    return tmp_path


def test_text_files_give_one_label_per_video(text_files):
    annotations = import_localization("thumos14", text_files)
    pitch, diver = annotations.labels
    assert pitch == Label(
        "video_validation_0000266",
        ("BaseballPitch",),
        (seconds("BaseballPitch", 72.8, 76.4),),
        split="train",
        timed=True,
    )
    assert diver.classes == ("CliffDiving", "Diving") and diver.split == "test"
    assert diver.segments == (
        seconds("CliffDiving", 1, 2),
        seconds("CliffDiving", 7, 8.5),
        seconds("Diving", 1, 2),
    )
    assert any("BasketballDunk_test.txt" in note and "18 missing" in note for note in annotations.notes)


def test_ambiguous_segments_are_no_class(text_files):
    annotations = import_localization("thumos14", text_files)
    assert not any("Ambiguous" in label.classes for label in annotations.labels)
    # of listed videos only
    assert {label.video_id: label.segments for label in annotations.ambiguous} == {
        "video_validation_0000266": (seconds("Ambiguous", 0, 1.5),),
        "video_test_0000004": (seconds("Ambiguous", 5, 6),),
    }


def test_ambiguous_segments_of_a_file_are_beside_it(tmp_path):
    path = database(tmp_path / "thumos.json", a=("test", [("Diving", 3, 4)]))
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "Ambiguous_val.txt").write_text("a 7 8\n")
    (tmp_path / "Ambiguous_test.txt").write_text("a 5 6\n")
    (label,) = import_localization("thumos14", path).ambiguous
    assert (label.split, label.segments) == ("test", (seconds("Ambiguous", 5, 6),))


def test_a_bad_line_is_named(text_files):
    (text_files / "test" / "annotation" / "Diving_test.txt").write_text("video_test_0000004  1.0\n")
    with pytest.raises(BadAnnotation, match=r"Diving_test\.txt, line 1 should be"):
        import_localization("thumos14", text_files)


def test_two_releases_in_one_folder_are_refused(text_files):
    (text_files / "Diving_test.txt").write_text("video_test_0000004  1.0 2.0\n")
    with pytest.raises(BadAnnotation, match="may both be meant"):
        import_localization("thumos14", text_files)


# -- arrays ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def arrays(tmp_path):
    def write(**changes):
        facts = {
            "videoname": np.array([b"video_validation_0000051", b"video_test_0000004", b"video_test_0000006"]),
            "subset": np.array([b"validation", b"test", b"test"]),
            "segments": objects([[[67.5, 75.9], [85.9, 90.6]], [[1.0, 2.0]], []]),
            "labels": objects([["Billiards", "Billiards"], ["Diving"], []]),
            "labels_all": objects([[b"Billiards"], [b"Diving", b"CliffDiving"], []]),
            "duration": np.array([[169.8], [50.0], [60.0]]),
            "classlist": np.array([b"Billiards", b"Diving"]),
        }
        for name, value in {**facts, **changes}.items():
            np.save(tmp_path / f"{name}.npy", value, allow_pickle=True)
        return tmp_path

    return write


def test_arrays_give_labels(arrays):
    annotations = import_localization("thumos14", arrays())
    first, second = annotations.labels
    assert first.segments == (seconds("Billiards", 67.5, 75.9), seconds("Billiards", 85.9, 90.6))
    assert (first.split, second.split) == ("train", "test")
    assert second.classes == ("Diving", "CliffDiving")  # the video's classes, one without times
    assert annotations.notes == ("1 videos without annotation are left out, such as video_test_0000006",)


def test_arrays_of_arrays_and_of_numbers_are_read(arrays):
    folder = arrays(
        videoname=objects([b"a", "b", np.str_("c")]),
        segments=objects([np.array([[67.5, 75.9], [85.9, 90.6]]), [np.array([1, 2])], np.zeros((0, 2))]),
        labels=objects([np.array(["Billiards", "Billiards"]), np.array([b"Diving"]), []]),
    )
    first, second = import_localization("thumos14", folder).labels
    assert first.segments == (seconds("Billiards", 67.5, 75.9), seconds("Billiards", 85.9, 90.6))
    assert (second.video_id, second.segments) == ("b", (seconds("Diving", 1, 2),))


def test_an_array_inside_comes_out_as_numpy_has_it(tmp_path):
    inner = [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.array([[[1.5], [2.5]]]),
        np.array(["ab", "é"]),
        np.array([b"x", b"yz"]),
        np.array([True, False]),
        np.float32(0.5),
    ]
    np.save(tmp_path / "x.npy", objects(inner), allow_pickle=True)
    assert read_object_array(tmp_path / "x.npy") == [item.tolist() for item in inner]


class Tampered:
    """Pickles as an array whose state says what it likes."""

    def __init__(self, shape, fortran):
        self.state = (1, shape, np.dtype("<f8"), fortran, bytes(48))

    def __reduce__(self):
        rebuild, arguments, _ = np.zeros(1).__reduce__()
        return rebuild, arguments, self.state


@pytest.mark.parametrize(
    ("shape", "fortran", "message"),
    [((2, 3), True, "orders an array by columns"), ((7,), False, r"6 items for an array of shape \(7,\)")],
)
def test_an_array_inside_that_would_come_out_wrong_is_refused(tmp_path, shape, fortran, message):
    np.save(tmp_path / "x.npy", objects([Tampered((2, 3), False), 0]), allow_pickle=True)
    assert read_object_array(tmp_path / "x.npy")[0] == [[0.0] * 3] * 2
    np.save(tmp_path / "x.npy", objects([Tampered(shape, fortran), 0]), allow_pickle=True)
    with pytest.raises(BadAnnotation, match=message):
        read_object_array(tmp_path / "x.npy")


def test_arrays_that_do_not_pair_up_are_refused(arrays):
    with pytest.raises(BadAnnotation, match="count different videos"):
        import_localization("thumos14", arrays(subset=np.array([b"test"])))
    with pytest.raises(BadAnnotation, match="2 segments and 1 labels"):
        import_localization("thumos14", arrays(subset=np.array([b"test"] * 3), labels=objects([["x"], ["y"], []])))
    with pytest.raises(BadAnnotation, match="no pair of seconds"):
        import_localization(
            "thumos14", arrays(labels=objects([["x"], ["y"], []]), segments=objects([[[1]], [[1, 2]], []]))
        )


def test_a_pickle_that_runs_something_is_refused_before_it_runs(arrays, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trace"),)

    folder = arrays()
    with (folder / "segments.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (3,)})
        file.write(pickle.dumps(objects([[], Trap(), []])))
    with pytest.raises(BadAnnotation, match="was refused: it asks for"):
        import_localization("thumos14", folder)
    assert not (tmp_path / "trace").exists()


# -- the published files ---------------------------------------------------------------------------------------------


def test_the_published_files_have_what_they_are_known_for(shared_data_dir):
    folder = shared_data_dir / "annotations" / "tal"
    thumos = import_localization("thumos14", folder)
    splits = {split: [x for x in thumos.labels if x.split == split] for split in ("train", "test")}
    assert {split: (len(x), sum(len(y.segments) for y in x)) for split, x in splits.items()} == {
        "train": (200, 3007),
        "test": (210, 3311),
    }
    assert {name for label in thumos.labels for name in label.classes} == set(CLASSES)
    assert sum(len(label.segments) for label in thumos.ambiguous) == 87
    activity = import_localization("activitynet", folder)
    counts = [sum(label.split == split for label in activity.labels) for split in ("train", "val")]
    assert counts == [4819, 2383]
    assert len({name for label in activity.labels for name in label.classes}) == 100
