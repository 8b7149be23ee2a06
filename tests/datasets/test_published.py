"""Published lists and annotations of UCF-Crime and XD-Violence: small ones of the same form, and the real ones."""

from __future__ import annotations

import json
from collections import Counter
from io import StringIO

import numpy as np
import pytest

from vidlang.core import BadAnnotation, LabelledSegment, UnknownName
from vidlang.datasets import DATASETS, import_dataset, ucf_crime, xd_violence
from vidlang.datasets.manifest import class_names, read_manifest, write_manifest
from vidlang.datasets.matching import match_ids
from vidlang.datasets.published import read_ground_truth, with_annotations

UCF_TEST = """path,label
/home/who/Abuse/Abuse028_x264__5.npy,Abuse
/home/who/Burglary/Burglary017_x264__5.npy,Burglary
/home/who/Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264__5.npy,Normal
"""
UCF_ANNOTATIONS = """Burglary017_x264  Burglary  60  200  300  620  \r
Abuse028_x264  Abuse  165  240  -1  -1  \r
Normal_Videos_003_x264  Normal  -1  -1  -1  -1  \r
"""
XD_TEST = """path,label
/x/Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6__0.npy,G-B2-B6
/x/v=xyz__#1_label_A__0.npy,A
"""
XD_ANNOTATIONS = "Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6.mp4 B2 157 180 G 185 244 B2 250 282\n"


@pytest.fixture
def ucf(tmp_path):
    (tmp_path / "ucf_CLIP_rgbtest.csv").write_text(UCF_TEST)
    (tmp_path / "Temporal_Anomaly_Annotation.txt").write_text(UCF_ANNOTATIONS)
    return tmp_path


@pytest.fixture
def xd(tmp_path):
    (tmp_path / "xd_CLIP_rgbtest.csv").write_text(XD_TEST)
    (tmp_path / "annotations_multiclasses.txt").write_text(XD_ANNOTATIONS)
    return tmp_path


def save_truth(folder, segments, classes, names=("gt_segment_ucf.npy", "gt_label_ucf.npy")):
    for name, items in zip(names, (segments, classes), strict=True):
        array = np.empty(len(items), dtype=object)
        array[:] = items
        np.save(folder / name, array, allow_pickle=True)


def spans(label):
    return [(event.label, event.span) for event in label.segments]


def test_a_ucf_crime_list_and_its_annotations_become_labels(ucf):
    abuse, burglary, normal = import_dataset("ucf-crime", ucf)
    assert abuse.video_id == "Abuse/Abuse028_x264"
    assert spans(abuse) == [("Abuse", (165, 240))]
    assert spans(burglary) == [("Burglary", (60, 200)), ("Burglary", (300, 620))]
    assert (normal.classes, normal.segments, normal.split, normal.timed) == (("Normal",), (), "test", True)


def test_ten_crops_are_one_video(ucf):
    lines = [f"D:\\features\\Arson\\Arson001_x264__{crop}.npy,Arson" for crop in range(10)]
    (ucf / "ucf_CLIP_rgb.csv").write_text("\n".join(["path,label", *lines]))
    first = import_dataset("ucf-crime", ucf)[0]
    assert (first.video_id, first.split, first.timed) == ("Arson/Arson001_x264", "train", False)
    assert len(import_dataset("ucf-crime", ucf)) == 4


def test_an_xd_violence_list_and_its_annotations_become_labels(xd):
    abnormal, normal = import_dataset("xd-violence", xd)
    assert abnormal.video_id == "Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6"
    assert abnormal.classes == ("G", "B2", "B6")
    assert spans(abnormal) == [("B2", (157, 180)), ("G", (185, 244)), ("B2", (250, 282))]
    assert (normal.video_id, normal.classes) == ("v=xyz__#1_label_A", ("A",))


def test_detection_truth_that_agrees_is_accepted(ucf):
    save_truth(
        ucf, [[["165", "240"]], [["60", "200"], ["300", "620"]], [[0, 560]]], [["Abuse"], ["Burglary"] * 2, ["A"]]
    )
    assert len(import_dataset("ucf-crime", ucf)) == 3


@pytest.mark.parametrize(
    ("segments", "classes", "message"),
    [
        (
            [[["1", "2"]], [["60", "200"], ["300", "620"]], [[0, 5]]],
            [["Abuse"], ["Burglary"] * 2, ["A"]],
            "Abuse/Abuse0",
        ),
        ([[["165", "240"]], [[0, 9]], [[0, 5]]], [["Abuse"], ["A"], ["A"]], "disagree on Burglary/Burglary017_x264"),
        ([[["165", "240"]]], [["Abuse"]], "has 1 videos, the test list 3"),
        ([[["165", "240"]]], [["Abuse"], ["A"]], "1 videos, gt_label_ucf.npy 2"),
        ([[["165", "240"]], [], []], [["Abuse", "A"], [], []], "video 0: segments and classes do not pair up"),
        ([[["165"]], [], []], [["Abuse"], [], []], "video 0: a segment is not a pair"),
    ],
)
def test_detection_truth_that_disagrees_names_the_video(ucf, segments, classes, message):
    save_truth(ucf, segments, classes)
    with pytest.raises(BadAnnotation, match=message):
        import_dataset("ucf-crime", ucf)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(BadAnnotation, match=r"lacks ucf_CLIP_rgbtest\.csv, Temporal_Anomaly_Annotation\.txt or "):
        import_dataset("ucf-crime", tmp_path)
    with pytest.raises(BadAnnotation, match="is no folder"):
        import_dataset("ucf-crime", tmp_path / "none")


def test_files_below_the_folder_are_found(ucf):
    (ucf / "list").mkdir()
    (ucf / "ucf_CLIP_rgbtest.csv").rename(ucf / "list" / "ucf_CLIP_rgbtest.csv")
    assert len(import_dataset("ucf-crime", ucf)) == 3


def test_an_unknown_data_set_is_named():
    with pytest.raises(UnknownName, match=r"called 'ucf_crime'\. Did you mean 'ucf-crime'\?"):
        import_dataset("ucf_crime", None)
    assert set(DATASETS) == {"ucf-crime", "xd-violence"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Temporal_Anomaly_Annotation.txt", "Abuse028_x264  Abuse  165  240\n", "line 1 should be a name"),
        ("Temporal_Anomaly_Annotation.txt", "Abuse028_x264  Abuse  240  165  -1  -1\n", "frames 240 to 165 are not in"),
        ("Temporal_Anomaly_Annotation.txt", "Abuse028_x264  Abuse  a  b  -1  -1\n", "'a' to 'b' is no pair"),
        ("Temporal_Anomaly_Annotation.txt", "Abuse028_x264  Abbuse  1  2  -1  -1\n", "Did you mean 'Abuse'"),
        ("Temporal_Anomaly_Annotation.txt", "Abuse999_x264  Abuse  1  2  -1  -1\n", "the first is Abuse999_x264"),
        (
            "Temporal_Anomaly_Annotation.txt",
            "Abuse028_x264  Abuse  1  2  -1  -1\n",
            "Burglary017_x264 .* no annotation",
        ),
        ("ucf_CLIP_rgbtest.csv", "video,label\na,Abuse\n", "should have the columns path and label"),
        ("ucf_CLIP_rgbtest.csv", "path,label\na/b__0.npy,Abuse\na/b__1.npy,Arson\n", "line 3: a/b is 'Arson' here"),
        ("ucf_CLIP_rgbtest.csv", "path,label\na/b__0.npy,\n", "line 2 has no path or no label"),
    ],
)
def test_lines_that_do_not_read_are_named(ucf, name, text, message):
    (ucf / name).write_text(text)
    with pytest.raises(BadAnnotation, match=message):
        import_dataset("ucf-crime", ucf)


@pytest.mark.parametrize(
    "line", ["v=a_label_B1 B1 3\n", "v=a_label_B1\n", "v=a_label_B1 B9 1 2\n", "v=a_label_0 B1 1 2\n"]
)
def test_xd_violence_lines_that_do_not_read_are_named(xd, line):
    (xd / "annotations_multiclasses.txt").write_text(line)
    with pytest.raises(BadAnnotation, match="line 1"):
        import_dataset("xd-violence", xd)


def test_labels_meet_the_users_own_files(ucf):
    known = ["Abuse/Abuse028_x264.mp4", "normal/Normal_Videos_003_x264.mp4", "Burglary017_x264"]
    assert {label.video_id for label in match_ids(import_dataset("ucf-crime", ucf), known)} == set(known)


# The published files themselves


def test_label_rows_equal_the_published_ones(golden_dir):
    golden = json.loads((golden_dir / "vadclip" / "labels.json").read_text())
    for name, module in (("ucf", ucf_crime), ("xd", xd_violence)):
        for text, row in zip(golden[f"{name}_labels"], golden[f"{name}_matrix"], strict=True):
            if any(row):
                classes = module.classes_of(text, "here")
                assert [float(c in classes) for c in module.CLASSES] == row
            else:
                # A row of zeros makes the published loss NaN, so such a label is refused.
                with pytest.raises(BadAnnotation):
                    module.classes_of(text, "here")


@pytest.mark.parametrize("name", ["ucf", "xd"])
def test_truth_equals_what_the_published_scripts_build(golden_dir, tmp_path, name):
    golden = json.loads((golden_dir / "vadclip" / "gtbuild.json").read_text())
    module = {"ucf": ucf_crime, "xd": xd_violence}[name]
    videos = golden[f"{name}_videos"]
    lines = golden["ucf_annotation_lines" if name == "ucf" else "xd_multiclass_lines"]
    (tmp_path / "list.csv").write_text(
        "path,label\n"
        + "".join(f"/x/y/{v['name']}__0.npy,{v.get('label') or v['name'].split('_label_')[1]}\n" for v in videos)
    )
    (tmp_path / "annotations.txt").write_text("\n".join(lines))
    labels = with_annotations(
        module.read_lists(test=tmp_path / "list.csv"),
        module.read_annotations(tmp_path / "annotations.txt"),
        module.NORMAL,
    )
    built = [
        (LabelledSegment("A", span=(0, v["snippets"] * 16)),) if x.classes == (module.NORMAL,) else x.segments
        for x, v in zip(labels, videos, strict=True)
    ]
    assert [[list(event.span) for event in truth] for truth in built] == golden[f"seg_{name}"]
    assert [[event.label for event in truth] for truth in built] == golden[f"lab_{name}"]
    frames = np.concatenate([frame_truth(x.segments, v["snippets"] * 16) for x, v in zip(labels, videos, strict=True)])
    assert np.array_equal(frames, np.load(golden_dir / "vadclip" / "gtbuild.npz")[f"gt_{name}"])


def frame_truth(events: tuple[LabelledSegment, ...], num_frames: int) -> np.ndarray:
    truth = np.zeros(num_frames, dtype=np.float32)
    for event in events:
        truth[slice(*event.span)] = 1
    return truth


UCF_COUNTS = {
    "A": 150, "Shooting": 25, "Shoplifting": 25, "RoadAccidents": 23, "Explosion": 22, "Burglary": 15, "Arson": 10,
    "Vandalism": 8, "Stealing": 7, "Arrest": 5, "Fighting": 5, "Robbery": 5, "Assault": 4, "Abuse": 2,
}  # fmt: skip
XD_COUNTS = {"B6": 494, "A": 300, "B1": 245, "B2": 214, "B4": 154, "G": 150, "B5": 15}


@pytest.mark.parametrize(
    ("name", "files", "counts"),
    [
        ("ucf-crime", ("gt_segment_ucf.npy", "gt_label_ucf.npy"), UCF_COUNTS),
        ("xd-violence", ("gt_segment.npy", "gt_label.npy"), XD_COUNTS),
    ],
)
def test_the_published_files_have_the_known_numbers(shared_data_dir, name, files, counts):
    folder = shared_data_dir / "annotations" / "vadclip"
    labels = import_dataset(name, folder)  # compares the two sources of segments video by video
    truth = read_ground_truth(*(folder / file for file in files))
    assert Counter(event.label for video in truth for event in video) == counts
    test = [label for label in labels if label.split == "test"]
    abnormal = {key: count for key, count in counts.items() if key != "A"}
    assert Counter(event.label for label in test for event in label.segments) == abnormal
    assert sum(not label.segments for label in test) == counts["A"]
    if name == "ucf-crime":
        assert Counter(label.split for label in labels) == {"train": 1610, "test": 290}
        assert class_names(labels) == ucf_crime.CLASSES
    else:
        assert len(test) == 800
        assert class_names(labels, normal="A") == xd_violence.CLASSES


def test_a_published_set_survives_its_manifest(shared_data_dir):
    labels = import_dataset("ucf-crime", shared_data_dir / "annotations" / "vadclip")
    back = read_manifest(StringIO(write_manifest(labels)))
    assert [(x.video_id, x.classes, x.segments, x.split) for x in back] == [
        (x.video_id, x.classes, x.segments, x.split) for x in labels
    ]


def test_spans_with_and_without_classes_differ_in_five_videos(shared_data_dir):
    folder = shared_data_dir / "annotations" / "vadclip"
    labels = xd_violence.read_annotations(folder / "annotations_multiclasses.txt")
    timed = xd_violence.with_times(labels, xd_violence.read_times(folder / "annotations.txt"))
    differing = {
        one.video_id: int(np.sum(frame_truth(one.segments, 20_000) != frame_truth(other.segments, 20_000)))
        for one, other in zip(labels, timed, strict=True)
    }
    assert sorted(count for count in differing.values() if count) == [1, 1, 1, 1, 139]
    assert differing["v=38GQ9L2meyE__#1_label_B6-0-0"] == 139
