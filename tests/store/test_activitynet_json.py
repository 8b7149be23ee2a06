"""Predictions in ActivityNet's format come back exactly, and what others wrote is read or refused in one line."""

from __future__ import annotations

import json

import pytest

from vidlang.core import BadInput, Detection, Segment
from vidlang.store.activitynet_json import VERSION, read_activitynet, write_activitynet

FOUND = [
    Detection("b/v_2.mp4", Segment(0.1, 1 / 3), "Clean and jerk", 0.1 + 0.2),
    Detection("a", Segment(2.0, 7.25), "跳", -1.5),
    Detection("b/v_2.mp4", Segment(3.0, 3.0), "Diving", 0.0),
]


def saved(tmp_path, results, **more):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"results": results, **more}), encoding="utf-8")
    return path


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "p.json"
    write_activitynet(path, FOUND, video_ids=["empty", "a"], external_data={"used": True, "details": "CLIP"})
    read = read_activitynet(path)
    # by video, in order of the first mention; within a video as given
    assert read.detections == (FOUND[1], FOUND[0], FOUND[2])
    assert read.video_ids == ("empty", "a", "b/v_2.mp4")
    assert (read.version, read.external_data) == (VERSION, {"used": True, "details": "CLIP"})
    again = tmp_path / "again.json"
    write_activitynet(
        again, read.detections, video_ids=read.video_ids, version=read.version, external_data=read.external_data
    )
    assert again.read_bytes() == path.read_bytes()


def test_the_file_is_what_the_challenge_asks_for(tmp_path):
    path = tmp_path / "p.json"
    write_activitynet(path, FOUND[1:2], version="VERSION 1.3")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "version": "VERSION 1.3",
        "external_data": {"used": False},
        "results": {"a": [{"label": "跳", "score": -1.5, "segment": [2.0, 7.25]}]},
    }


def test_a_score_that_is_not_finite_leaves_the_file_as_it_was(tmp_path):
    path = saved(tmp_path, {})
    before = path.read_bytes()
    with pytest.raises(ValueError):
        write_activitynet(path, [Detection("a", Segment(0, 1), "x", float("nan"))])
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_numbers_as_texts_and_missing_keys_are_read(tmp_path):
    path = saved(tmp_path, {"v": [{"label": "x", "score": "0.5", "segment": ["18.6", 24], "more": 1}], "w": None})
    read = read_activitynet(path)
    assert read.detections == (Detection("v", Segment(18.6, 24.0), "x", 0.5),)
    assert (read.video_ids, read.version, read.external_data) == (("v", "w"), "", {})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"label": "x", "segment": [0, 1]}, "'score' is missing"),
        ({"score": 1, "segment": [0, 1]}, "'label' is missing"),
        ({"label": "x", "score": 1, "segment": [5, 1]}, "ends before it starts"),
        ({"label": "x", "score": 1, "segment": [5]}, "not enough values"),
        ({"label": "x", "score": "high", "segment": [0, 1]}, "could not convert"),
        ({"label": "x", "score": "inf", "segment": [0, 1]}, "not a finite number"),
        ({"label": "x", "score": True, "segment": [0, 1]}, "not a number"),
        ({"label": 3, "score": 1, "segment": [0, 1]}, "not a name"),
        ({"label": "x", "score": 10**400, "segment": [0, 1]}, "too large"),
        ("x", "string indices"),
    ],
)
def test_a_bad_entry_is_named_in_one_line(tmp_path, entry, message):
    good = {"label": "x", "score": 1, "segment": [0, 1]}
    with pytest.raises(BadInput, match=message) as refused:
        read_activitynet(saved(tmp_path, {"v": [good, entry]}))
    assert "p.json, v, entry 2" in str(refused.value) and "\n" not in str(refused.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(BadInput, match="give it as --manifest"):
        path = tmp_path / "gt.json"
        path.write_text('{"database": {}}')
        read_activitynet(path)
    for text in ("[]", '{"results": []}', "{", '{"results": {"v": {}}}', '{"results": {"v": [NaN]}}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(BadInput) as refused:
            read_activitynet(path)
        assert "\n" not in str(refused.value)
    with pytest.raises(BadInput, match="There is no file"):
        read_activitynet(tmp_path / "none.json")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="does not read as JSON"):
        read_activitynet(path)


def test_the_recorded_predictions_are_read(golden_dir):
    read = read_activitynet(golden_dir / "wtal" / "thumos_pred.json")
    assert len(read.detections) == 3648
    assert {detection.video_id for detection in read.detections} <= set(read.video_ids)
