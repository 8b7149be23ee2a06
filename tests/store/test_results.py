"""Scores and detections come back exactly; bad lines are named."""

import csv
import io
import json

import numpy as np
import pytest

from vidlang.core import BadInput, Detection, Scores, Segment, VideoInfo
from vidlang.store.results import (
    detections_csv,
    read_detections,
    read_scores,
    scores_csv,
    write_detections,
    write_scores,
)

NAMES = ("normal", "anomaly, with comma")


def some_scores(video_id="a.mp4", num_rows=4, *, classes=True):
    rng = np.random.default_rng(num_rows)
    edges = np.arange(num_rows + 1)
    return Scores(
        video=VideoInfo(video_id, num_rows * 16, num_rows * 0.64, 25.0, (240, 320)),
        frames=np.stack([edges[:-1] * 16, edges[1:] * 16], 1).astype(np.int64),
        seconds=np.stack([edges[:-1], edges[1:]], 1) / 3,
        anomaly=rng.random(num_rows, dtype=np.float32),
        classes=rng.random((num_rows, 2), dtype=np.float32) if classes else None,
        class_names=NAMES if classes else (),
        made_by={"method": "vadclip", "branch": "c"},
        branches={"a": rng.random(num_rows, dtype=np.float32)},
    )


def assert_same(one, other):
    assert one.video == other.video and one.class_names == other.class_names and one.made_by == other.made_by
    for name in ("frames", "seconds", "anomaly", "classes"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b))
    assert all(np.array_equal(one.branches[name], other.branches[name]) for name in one.branches)


def test_scores_come_back_exactly(tmp_path):
    path = tmp_path / "scores.jsonl"
    written = [some_scores(), some_scores("<b>.mp4", 1, classes=False), some_scores("日本.mp4", 0)]
    write_scores(path, written)
    for one, other in zip(written, read_scores(path), strict=True):
        assert_same(one, other)


def test_every_kind_of_float32_survives(tmp_path):
    bits = np.random.default_rng(0).integers(0, 0x3F800000, 20_000, dtype=np.uint32)  # all floats in [0, 1)
    values = np.concatenate([bits.view(np.float32), np.float32([0, 1e-45, 1.17549435e-38, 0.1, 1])])
    rulers = np.stack([np.arange(len(values)), np.arange(1, len(values) + 1)], 1)
    scores = Scores(some_scores().video, rulers, rulers.astype(float), values)
    write_scores(tmp_path / "s.jsonl", [scores])
    assert np.array_equal(read_scores(tmp_path / "s.jsonl")[0].anomaly, values)


def test_numbers_are_short_and_lines_name_their_schema(tmp_path):
    scores = some_scores(num_rows=1)
    write_scores(tmp_path / "s.jsonl", [Scores(scores.video, scores.frames, scores.seconds, np.float32([0.1]))])
    line = json.loads((tmp_path / "s.jsonl").read_text())
    assert line["schema"] == "vidlang.scores/1" and line["anomaly"] == [0.1]


def test_not_a_number_is_refused_both_ways(tmp_path):
    path = tmp_path / "s.jsonl"
    scores = some_scores()
    scores.classes[0, 0] = np.nan
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_scores(path, [scores])
    assert not path.exists()
    write_scores(path, [some_scores()])
    path.write_text(path.read_text().replace('"duration": 2.56', '"duration": NaN'))
    with pytest.raises(BadInput, match=r"line 1 .*NaN is not a number"):
        read_scores(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not a line of vidlang.scores/1"),
        ("[]", "line 2: schema None"),
        ('{"schema": "vidlang.scores/9"}', "line 2: schema 'vidlang.scores/9'"),
        ('{"schema": "vidlang.scores/1"}', "line 2 .*missing"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "s.jsonl"
    write_scores(path, [some_scores()])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(BadInput, match=message):
        read_scores(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"no results file .*none\.jsonl"):
        read_scores(tmp_path / "none.jsonl")


def test_csv_has_a_row_per_snippet_and_a_column_per_branch_and_class():
    rows = list(csv.reader(io.StringIO(scores_csv([some_scores('a"b,c.mp4', 2), some_scores("=1+1.mp4", 1)]))))
    assert rows[0] == [
        "video", "start_seconds", "end_seconds", "first_frame", "last_frame_exclusive", "anomaly",
        "branch:a", "class:normal", "class:anomaly, with comma",
    ]  # fmt: skip
    assert [row[0] for row in rows[1:]] == ['a"b,c.mp4', 'a"b,c.mp4', "=1+1.mp4"]
    assert [float(cell) for cell in rows[2][1:5]] == [1 / 3, 2 / 3, 16, 32]
    assert np.float32(rows[1][5]) == some_scores(num_rows=2).anomaly[0]


def test_a_video_without_classes_has_empty_cells():
    rows = list(csv.reader(io.StringIO(scores_csv([some_scores(num_rows=1), some_scores(num_rows=1, classes=False)]))))
    assert rows[1][-1] != "" and rows[2][-2:] == ["", ""]


def test_detections_come_back_exactly(tmp_path):
    written = [
        Detection("a.mp4", Segment(0.1, 1 / 3), "fight", 0.7),
        Detection("b.mp4", Segment(2.0, 2.0), "a,b", 1e-9),
    ]
    write_detections(tmp_path / "d.jsonl", written)
    assert read_detections(tmp_path / "d.jsonl") == written
    rows = list(csv.reader(io.StringIO(detections_csv(written))))
    assert rows[0] == ["video", "start", "end", "label", "score"]
    assert rows[2] == ["b.mp4", "2.0", "2.0", "a,b", "1e-09"]


def test_no_detections_is_an_empty_file(tmp_path):
    write_detections(tmp_path / "d.jsonl", [])
    assert read_detections(tmp_path / "d.jsonl") == []
