"""Video-level scores come back exactly; other files are refused in one line."""

from __future__ import annotations

import json

import pytest

from vidlang.core import BadInput
from vidlang.store.video_scores import read_video_scores, write_video_scores

SCORES = {"b/ä.mp4": {"run": 1 / 3, "jump": -2.0}, "a": {}}


def test_what_is_written_is_read(tmp_path):
    write_video_scores(tmp_path / "videos.jsonl", SCORES)
    read = read_video_scores(tmp_path / "videos.jsonl")
    assert read == SCORES and list(read) == list(SCORES)


def test_a_score_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        write_video_scores(tmp_path / "videos.jsonl", {"a": {"run": float("inf")}})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": {"run": "1"}}, "'1' of 'run' is not a number"),
        ({"scores": {"run": True}}, "True of 'run' is not a number"),
        ({"scores": []}, "no object"),
        ({"video": 3}, "not an id"),
        ({"schema": "other/1"}, "schema 'other/1'"),
    ],
)
def test_a_bad_line_is_named(tmp_path, changes, message):
    line = {"schema": "vidlang.video_scores/1", "video": "a", "scores": {}}
    path = tmp_path / "videos.jsonl"
    path.write_text(json.dumps(line | {"video": "b"}) + "\n" + json.dumps(line | changes) + "\n")
    with pytest.raises(BadInput, match=message) as refused:
        read_video_scores(path)
    assert "line 2" in str(refused.value) and "\n" not in str(refused.value)


def test_a_video_twice_is_refused(tmp_path):
    path = tmp_path / "videos.jsonl"
    write_video_scores(path, SCORES)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(BadInput, match=r"lists b/ä\.mp4 twice"):
        read_video_scores(path)
