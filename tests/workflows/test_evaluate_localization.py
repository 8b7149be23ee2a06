"""Stored segments and a truth to mAP: through every form of both, under names that differ, and as recorded."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from vidlang.core import BadInput, Detection, Segment
from vidlang.datasets.manifest import read_manifest
from vidlang.store.activitynet_json import write_activitynet
from vidlang.store.results import write_detections
from vidlang.store.video_scores import write_video_scores
from vidlang.workflows.datasets import import_annotations
from vidlang.workflows.evaluate_localization import evaluate_localization, find_localization, thresholds_of

CSV = """video,label,start,end,split
a,jump,0,10,test
a,run,20,30,test
b,jump,2,4,test
c,jump,0,10,train
"""
FOUND = [
    Detection("films/a.mp4", Segment(0.0, 10.0), "jump", 0.9),
    Detection("films/a.mp4", Segment(20.0, 30.0), "run", 0.8),
    Detection("b", Segment(2.0, 4.0), "jump", 0.7),
]


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(CSV)
    return path


@pytest.fixture
def folder(workspace):
    return workspace.results_dir / "localize" / "20260101-000000"


@pytest.mark.parametrize("name", ["detections.jsonl", "events.jsonl", "detections.json"])
def test_every_form_of_results_is_found_under_other_names(workspace, folder, manifest, name):
    (write_activitynet if name.endswith(".json") else write_detections)(folder / name, FOUND)
    reports = [
        evaluate_localization(workspace, given, manifest=manifest, split="test")
        for given in (None, folder, folder / name)
    ]
    for report in reports:
        assert set(report.scores.mean) == {1.0} and report.notes == ()
        assert report.source == str(folder / name)


def test_the_newest_results_are_taken(workspace, folder):
    for stamp in ("20260101-000000", "20260202-000000"):
        write_detections(folder.parent / stamp / "detections.jsonl", FOUND)
    (folder.parent / "20260303-000000").mkdir()  # stopped before it wrote
    assert find_localization(workspace, None).parent.name == "20260202-000000"


def test_a_split_judges_its_videos_alone(workspace, folder, manifest):
    write_detections(folder / "detections.jsonl", [*FOUND, Detection("c", Segment(50.0, 60.0), "jump", 1.0)])
    wrong = evaluate_localization(workspace, manifest=manifest, split="test")
    assert wrong.scores.num_outside == 1 and wrong.scores.mean[0] < 1
    dropped = evaluate_localization(workspace, manifest=manifest, split="test", outside="drop")
    assert dropped.scores.mean[0] == 1
    assert dropped.notes == ("1 prediction in videos outside the truth left out",)
    assert evaluate_localization(workspace, manifest=manifest).scores.num_videos == 3
    with pytest.raises(BadInput, match=r"no video of the split 'val'. It has: test, train"):
        evaluate_localization(workspace, manifest=manifest, split="val")


def test_an_annotation_file_is_a_truth(workspace, folder, tmp_path):
    entries = {
        "a": {"subset": "Validation", "annotations": [{"label": "jump", "segment": ["0", "10"]}] * 2},
        "b": {"subset": "training", "annotations": []},
    }
    (tmp_path / "gt.json").write_text(json.dumps({"database": entries}))
    write_detections(folder / "detections.jsonl", [Detection("v_a.mp4", Segment(0.0, 10.0), "jump", 0.9)])
    report = evaluate_localization(
        workspace, manifest=tmp_path / "gt.json", split="validation", protocol="activitynet", area="hits"
    )
    # files of ActivityNet begin with v_; an instance that is annotated twice counts twice
    assert report.scores.num_instances == (2,)
    assert report.scores.average == 0.5


def test_ambiguous_segments_are_found_beside_the_manifest(workspace, folder, manifest, tmp_path):
    unclear = Detection("films/a.mp4", Segment(40.0, 45.0), "jump", 1.0)
    write_detections(folder / "detections.jsonl", [unclear, *FOUND])
    asked = {"manifest": manifest, "split": "test"}
    without = evaluate_localization(workspace, **asked, protocol="snippets")
    assert without.ambiguous is None and "no labels.ambiguous.csv beside the manifest" in without.notes[0]
    (tmp_path / "Ambiguous_test.txt").write_text("a  44.0 60.0\n")
    text = evaluate_localization(workspace, **asked, protocol="snippets")
    (tmp_path / "labels.ambiguous.csv").write_text("video,label,start,end\na,Ambiguous,39,41\n")
    table = evaluate_localization(workspace, **asked, protocol="snippets")
    for report, name in ((text, "Ambiguous_test.txt"), (table, "labels.ambiguous.csv")):
        assert report.ambiguous == str(tmp_path / name)
        assert report.scores.skipped["ambiguous"] == 1 and set(report.scores.mean) == {1.0}
    (tmp_path / "none.txt").write_text("a 60 61\n")
    elsewhere = evaluate_localization(workspace, **asked, protocol="snippets", ambiguous=tmp_path / "none.txt")
    assert elsewhere.scores.skipped["ambiguous"] == 0
    assert evaluate_localization(workspace, **asked).scores.mean == without.scores.mean
    with pytest.raises(BadInput, match="--ambiguous is for --protocol snippets"):
        evaluate_localization(workspace, **asked, ambiguous=tmp_path / "none.txt")


def test_mistakes_say_what_to_do(workspace, manifest, tmp_path):
    with pytest.raises(BadInput, match="Run: vidlang localize"):
        evaluate_localization(workspace, manifest=manifest)
    with pytest.raises(BadInput, match="give --manifest"):
        evaluate_localization(workspace)
    with pytest.raises(BadInput, match="is not there"):
        evaluate_localization(workspace, tmp_path / "none", manifest=manifest)
    with pytest.raises(BadInput, match=r"holds none of detections\.jsonl"):
        evaluate_localization(workspace, tmp_path, manifest=manifest)


def test_two_files_of_one_name_are_not_guessed(workspace, folder, manifest):
    twice = [Detection(video, Segment(0.0, 1.0), "jump", 0.5) for video in ("x/a.mp4", "y/a.mp4")]
    write_detections(folder / "detections.jsonl", twice)
    with pytest.raises(BadInput, match=r"x/a\.mp4 or y/a\.mp4"):
        evaluate_localization(workspace, manifest=manifest)


def test_the_answer_for_programs_says_what_was_counted(workspace, folder, manifest):
    write_detections(folder / "detections.jsonl", [*FOUND, Detection("b", Segment(0.0, 1.0), "fly", 0.5)])
    answer = evaluate_localization(workspace, manifest=manifest, split="test", thresholds=(0.5, 0.75)).to_dict()
    assert json.loads(json.dumps(answer)) == answer
    assert answer["schema"] == "vidlang.eval_localization/1"
    assert (answer["protocol"], answer["ap"], answer["split"]) == ("thumos14", "interp", "test")
    assert answer["mAP"] == {"0.5": 1.0, "0.75": 1.0} and answer["averages"] == {}
    assert answer["per_class"]["jump"] == {"instances": 2, "predictions": 2, "ap": {"0.5": 1.0, "0.75": 1.0}}
    assert answer["predictions"]["left_out"] == {"unknown_label": 1, "outside": 0, "ambiguous": 0}
    assert (answer["videos"], answer["instances"], answer["predictions"]["judged"]) == (2, 3, 3)


def test_video_level_scores_beside_the_results_are_judged(workspace, folder, manifest):
    write_detections(folder / "detections.jsonl", FOUND)
    assert evaluate_localization(workspace, manifest=manifest).classification is None
    scores = {
        "films/a.mp4": {"jump": 0.2, "run": 0.9, "fly": 1.0},
        "b": {"jump": 0.8, "run": 0.5, "fly": 0.0},
        "c.mp4": {"jump": 0.1, "run": 0.95, "fly": 0.0},
        "other": {"jump": 1.0},
    }
    write_video_scores(folder / "videos.jsonl", scores)
    report = evaluate_localization(workspace, manifest=manifest)
    # jump in all three; run in a alone, second of three
    assert report.classification is not None and report.classification.per_class == {"jump": 1.0, "run": 0.5}
    assert report.to_dict()["video_classification"] == {
        "mAP": 0.75, "per_class": {"jump": 1.0, "run": 0.5}, "videos": 3,
    }  # fmt: skip
    write_video_scores(folder / "videos.jsonl", {"a": {"jump": 0.5}})
    report = evaluate_localization(workspace, manifest=manifest)
    assert "video-level mAP: 2 of 3 videos have no scores" in report.notes
    assert "video-level mAP: classes without scores left out: run" in report.notes
    write_video_scores(folder / "videos.jsonl", {"z": {"jump": 0.5}})
    report = evaluate_localization(workspace, manifest=manifest)
    assert report.classification is None and "scores no class" in report.notes[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", (0.5,)),
        ("0.3, 0.7,", (0.3, 0.7)),
        ("0.1:0.1:0.7", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
        (".5:.05:.95", (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)),
        ("0.5,0.5:0.25:1", (0.5, 0.75, 1.0)),
    ],
)
def test_thresholds_are_decimal(text, expected):
    assert thresholds_of(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "0", "1.5", "-0.1", "nan", "0.5:0:0.9", "0.9:0.1:0.5", "0.1:0.7", "0:1e-9:1"]
)
def test_thresholds_that_cannot_be_are_refused(text):
    with pytest.raises(BadInput, match="--tiou takes"):
        thresholds_of(text)


# -- import and recorded numbers -------------------------------------------------------------------------------------


def test_the_import_writes_ambiguous_segments_beside_the_manifest(tmp_path):
    entries = {"v": {"subset": "test", "annotations": [{"label": "Diving", "segment": ["1", "2"]}]}}
    (tmp_path / "gt.json").write_text(json.dumps({"database": entries}))
    (tmp_path / "Ambiguous_test.txt").write_text("v  5.0 6.5\n")
    summary, notes = import_annotations("thumos14", tmp_path, tmp_path / "t.csv", None)
    assert "1 videos (1 test), 1 true segments" in summary
    assert notes == [
        f"1 ambiguous segments are in {tmp_path / 't.ambiguous.csv'}, for eval localization --protocol snippets"
    ]
    assert (tmp_path / "t.ambiguous.csv").read_text() == "video,label,start,end,split\nv,Ambiguous,5.0,6.5,test\n"
    assert (tmp_path / "t.csv").read_text() == "video,label,start,end,split\nv,Diving,1.0,2.0,test\n"
    with pytest.raises(BadInput, match="one edition"):
        import_annotations("thumos14", tmp_path, None, None, labels="official")


def test_the_import_takes_the_ids_of_cached_videos(workspace, tmp_path, monkeypatch):
    entries = {v: {"subset": "test", "annotations": [{"label": "Diving", "segment": [1, 2]}]} for v in ("v", "w")}
    (tmp_path / "gt.json").write_text(json.dumps({"database": entries}))
    (tmp_path / "Ambiguous_test.txt").write_text("v 5 6\nw 5 6\n")
    cached = SimpleNamespace(entries=lambda: [SimpleNamespace(key=SimpleNamespace(video_id="films/v.mp4"))])
    monkeypatch.setattr("vidlang.workflows.datasets.open_cache", lambda workspace: cached)
    _, notes = import_annotations("thumos14", tmp_path, tmp_path / "t.csv", workspace)
    assert "1 of 2 listed videos are not in the cache and are left out" in notes
    for path in (tmp_path / "t.csv", tmp_path / "t.ambiguous.csv"):
        assert [label.video_id for label in read_manifest(path)] == ["films/v.mp4"]


@pytest.mark.parametrize(("protocol", "name"), [("thumos14", "thumos"), ("activitynet", "anet")])
def test_recorded_map_from_the_files_as_they_are(workspace, golden_dir, protocol, name):
    golden = golden_dir / "wtal"
    expected = json.loads((golden / "eval_expected.json").read_text())["expected"][name]
    report = evaluate_localization(
        workspace,
        golden / "eval_pred.json",
        manifest=golden / "eval_gt.json",
        split="test",
        protocol=protocol,
        thresholds=expected["tiou"],
    )
    assert list(report.scores.mean) == pytest.approx(expected["map"], abs=1e-9)


def test_recorded_map_through_the_import(workspace, golden_dir, tmp_path):
    golden = golden_dir / "wtal"
    expected = json.loads((golden / "thumos_expected.json").read_text())
    import_annotations("thumos14", golden / "thumos_gt.json", tmp_path / "labels.csv", None)
    report = evaluate_localization(
        workspace, golden / "thumos_pred.json", manifest=tmp_path / "labels.csv", split="test",
        thresholds=expected["tiou"],
    )  # fmt: skip
    assert list(report.scores.mean) == pytest.approx(expected["map"], abs=1e-9)
    assert list(report.scores.class_names) == expected["classes"]
