"""The newest results of each video, found by place: which folder counts, and what is said of a video."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import BadInput, Detection, Scores, Segment, VideoInfo
from vidlang.store.results import write_detections, write_scores
from vidlang.store.video_scores import write_video_scores
from vidlang.workflows.browse_results import Results, Summary, check_results


def scores_of(video_id: str, *anomaly: float, threshold: float = 0.5) -> Scores:
    """One row a second."""
    edges = np.arange(len(anomaly) + 1)
    spans = np.stack([edges[:-1], edges[1:]], axis=1)
    info = VideoInfo(video_id, len(anomaly), float(len(anomaly)), 1.0, (32, 48))
    made_by = {"method": "zero-shot", "encoder": "mini", "threshold": threshold}
    curve = np.array(anomaly, dtype=np.float32)
    return Scores(info, spans.astype(np.int64), spans.astype(np.float64), curve, made_by=made_by)


def event(video_id: str, start: float, end: float, score: float, label: str = "fight") -> Detection:
    return Detection(video_id, Segment(start, end), label, score)


def write(folder: Path, scores: list[Scores], events: list[Detection], age: float = 0.0) -> Path:
    """As ``vidlang score`` does. age: seconds"""
    folder.mkdir(parents=True)
    write_scores(folder / "scores.jsonl", scores)
    write_detections(folder / "events.jsonl", events)
    return grown_old(folder, age)


def grown_old(folder: Path, age: float) -> Path:
    for file in folder.iterdir():
        os.utime(file, (1e9 - age, 1e9 - age))
    return folder


def read(folder: Path) -> Results:
    results = Results(folder)
    assert results.refresh()
    return results


def test_a_video_that_was_scored_says_its_peak_and_its_best_event(tmp_path):
    events = [event("a.mp4", 0, 1, 0.6), event("a.mp4", 2, 4, 0.9, "fire")]
    write(tmp_path / "score" / "one", [scores_of("a.mp4", 0.6, 0.1, 0.8, 0.9), scores_of("b.mp4", 0.1)], events)
    results = read(tmp_path)
    summary = results.summary("a.mp4")
    assert summary.peak == pytest.approx(0.9) and summary.peak_at == 3.5
    assert (summary.num_events, summary.best, summary.at) == (2, events[1], 3.0)
    quiet = results.summary("b.mp4")
    assert quiet.num_events == 0 and quiet.best is None and quiet.at == 0.5
    assert results.summary("never.mp4") == Summary()
    story = results.story("a.mp4")
    assert story.curve.anomaly.tolist() == pytest.approx([0.6, 0.1, 0.8, 0.9])
    assert story.curve.seconds.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]] and story.curve.threshold == 0.5
    assert story.events == tuple(events) and story.detections == ()
    assert story.made_by == ("score one: zero-shot, encoder mini",)


def test_of_each_video_the_newest_result_counts_with_its_own_events(tmp_path):
    old = [scores_of("a.mp4", 0.9), scores_of("b.mp4", 0.8)]
    write(tmp_path / "score" / "z-old", old, [event("a.mp4", 0, 1, 0.9), event("b.mp4", 0, 1, 0.8)], age=100)
    write(tmp_path / "score" / "a-new", [scores_of("a.mp4", 0.2)], [])
    results = read(tmp_path)
    assert results.summary("a.mp4").peak == pytest.approx(0.2) and results.summary("a.mp4").num_events == 0
    assert results.summary("b.mp4").peak == pytest.approx(0.8) and results.summary("b.mp4").num_events == 1
    assert results.story("a.mp4").events == ()


def test_actions_stand_beside_scores_best_first(tmp_path):
    folder = tmp_path / "localize" / "one"
    folder.mkdir(parents=True)
    found = [event("a.mp4", 1, 2, 0.3, "jump"), event("b.mp4", 0, 1, 0.2), event("a.mp4", 4, 6, 0.7, "run")]
    write_detections(folder / "detections.jsonl", found)  # lines of a.mp4 on both sides of another's
    write_video_scores(folder / "videos.jsonl", {"a.mp4": {"run": 1.0}, "b.mp4": {}, "none.mp4": {}})
    results = read(tmp_path)
    assert results.summary("a.mp4") == Summary(num_events=2, best=found[2])
    assert results.summary("none.mp4") == Summary(num_events=0)
    assert [d.label for d in results.story("a.mp4").detections] == ["run", "jump"]
    assert results.story("a.mp4").curve is None


def test_results_of_one_folder_or_of_one_full_of_them(tmp_path):
    folder = write(tmp_path / "mine" / "today", [scores_of("a.mp4", 0.4)], [])
    for place in (folder, folder.parent):
        assert read(place).summary("a.mp4").peak == pytest.approx(0.4)
        check_results(place)
    with pytest.raises(BadInput, match="holds no results of vidlang score or localize"):
        check_results(tmp_path)


def test_what_does_not_read_is_said_and_the_rest_is_shown(tmp_path):
    folder = write(tmp_path / "score" / "one", [scores_of("a.mp4", 0.4), scores_of("b.mp4", 0.5)], [])
    file = folder / "scores.jsonl"
    first, second = file.read_text().splitlines()
    nan = json.dumps({**json.loads(first), "anomaly": [float("nan")]})
    file.write_text(f"{nan}\n\nnot json\n{second}\n")
    results = read(tmp_path)
    assert results.summary("b.mp4").peak == pytest.approx(0.5)
    assert results.summary("a.mp4") == Summary()
    assert len(results.notes) == 1 and "does not read" in results.notes[0]


def test_a_result_that_is_gone_when_its_video_is_opened_is_one_line(tmp_path):
    folder = write(tmp_path / "score" / "one", [scores_of("a.mp4", 0.4)], [])
    results = read(tmp_path)
    (folder / "scores.jsonl").unlink()
    with pytest.raises(BadInput, match="Load the page again"):
        results.story("a.mp4")


def test_nothing_is_read_again_until_something_is_new(tmp_path):
    write(tmp_path / "score" / "one", [scores_of("a.mp4", 0.4)], [], age=100)
    results = read(tmp_path)
    assert not results.refresh()
    write(tmp_path / "score" / "two", [scores_of("a.mp4", 0.6)], [])
    assert results.refresh() and results.summary("a.mp4").peak == pytest.approx(0.6)


def test_names_with_quotes_and_signs_are_found(tmp_path):
    name = 'a"b\\c/é\n<x>.mp4'.replace("\\", "")
    write(tmp_path / "score" / "one", [scores_of(name, 0.4)], [event(name, 0, 1, 0.5)])
    results = read(tmp_path)
    assert results.summary(name).peak == pytest.approx(0.4) and len(results.story(name).events) == 1
