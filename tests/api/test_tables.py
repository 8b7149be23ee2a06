"""Conversions of results: values known beforehand, and the same rows as the files that the store writes."""

from __future__ import annotations

import builtins
import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

from vidlang.api.results import RetrieveResult
from vidlang.core import (
    Detection,
    Detections,
    FeatureKey,
    FeatureRecipe,
    Features,
    Hit,
    MissingDependency,
    Ranking,
    Rankings,
    Sampling,
    Scores,
    Segment,
    UnknownName,
    VideoInfo,
)
from vidlang.core.tables import html_table, records, stacked
from vidlang.store.rankings import rankings_csv, write_rankings
from vidlang.store.results import detections_csv, scores_csv, write_detections, write_scores

EVIL = "<img src=x onerror=alert(1)>.mp4"
FRAMES = np.array([[0, 16], [16, 30]], dtype=np.int64)
SECONDS = np.array([[0.0, 0.64], [0.64, 1.2]])


def scores(video: str = "a.mp4") -> Scores:
    return Scores(
        VideoInfo(video, 30, 1.2, 25.0, (144, 192)),
        FRAMES,
        SECONDS,
        np.array([0.1, 0.7], dtype=np.float32),
        np.array([[0.9, 0.1], [0.3, 0.7]], dtype=np.float32),
        ("normal", "fire"),
        {"method": "vadclip"},
        {"c": np.array([0.1, 0.7], dtype=np.float32)},
    )


def detections() -> Detections:
    first = Detection("a.mp4", Segment(0.0, 1.5), "fire", 0.25)
    return Detections([first, Detection("b.mp4", Segment(2.0, 3.0), EVIL, 0.5)])


def ranking() -> Ranking:
    both = Hit("b.mp4", 0.5, ((Segment(0.0, 1.0), Segment(5.0, 6.0)), (Segment(2.0, 3.0), Segment(7.0, 8.0))))
    return Ranking("q.mp4", (both, Hit("c.mp4", 0.25)))


def cells(text: str) -> tuple[list[str], list[list[str]]]:
    head, *rows = csv.reader(io.StringIO(text))
    return head, rows


def as_text(table: np.ndarray) -> list[list[str]]:
    """Every cell as the CSV writes it, numbers by value."""
    return [["" if value != value else str(value) for value in row.tolist()] for row in table]


def test_scores_have_the_rows_of_their_csv():
    head, rows = cells(scores_csv([scores()]))
    table = scores().to_numpy()
    assert list(table.dtype.names) == head
    assert [row[0] for row in rows] == table["video"].tolist()
    numbers = np.array([[float(cell) for cell in row[1:]] for row in rows])
    assert np.allclose(numbers, [list(row)[1:] for row in table.tolist()], atol=1e-7)
    assert table["class:fire"].dtype == np.float32


def test_detections_have_the_rows_of_their_csv():
    head, rows = cells(detections_csv(detections()))
    assert list(detections().to_numpy().dtype.names) == head
    assert as_text(detections().to_numpy()) == rows


def test_rankings_have_the_rows_of_their_csv_and_no_times_where_nothing_matches():
    head, rows = cells(rankings_csv([ranking()]))
    table = ranking().to_numpy()
    assert list(table.dtype.names) == head
    assert as_text(table) == rows
    assert table["rank"].tolist() == [1, 1, 2] and np.isnan(table["start"][2])


def test_dicts_are_the_lines_that_the_store_writes(tmp_path):
    write_scores(tmp_path / "scores.jsonl", [scores()])
    assert json.loads((tmp_path / "scores.jsonl").read_text()) == scores().to_dict()
    write_detections(tmp_path / "detections.jsonl", detections())
    lines = (tmp_path / "detections.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == detections().to_dict()
    write_rankings(tmp_path / "rankings.jsonl", Rankings((ranking(),)))
    line = json.loads((tmp_path / "rankings.jsonl").read_text())
    assert {name: value for name, value in line.items() if name != "made_by"} == ranking().to_dict()


def test_float32_scores_are_short_decimals_that_give_them_back():
    values = np.random.default_rng(0).random(500, dtype=np.float32)
    frames = np.stack([np.arange(500), np.arange(1, 501)], axis=1)
    many = Scores(VideoInfo("a", 500, 500.0, 1.0, (1, 1)), frames, frames.astype(float), values)
    assert (np.array(many.to_dict()["anomaly"], dtype=np.float32) == values).all()
    assert scores().to_dict()["anomaly"] == [0.1, 0.7]


def features(values: np.ndarray) -> Features:
    key = FeatureKey("a.mp4", FeatureRecipe("mini", "1", Sampling()))
    return Features(key, VideoInfo("a.mp4", 30, 1.2, 25.0, (144, 192)), values, FRAMES, SECONDS)


def test_features_are_their_rows_and_a_table_has_a_column_a_number():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert features(values).to_numpy() is values
    columns = features(values).columns()
    assert list(columns)[-3:] == ["feature:0", "feature:1", "feature:2"]
    assert np.asarray(columns["feature:1"]).tolist() == [1.0, 4.0]
    assert features(values).to_dict()["values"] == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    with pytest.raises(ValueError, match=r"10 crops; choose one"):
        features(np.zeros((10, 2, 3), dtype=np.float32)).columns()


def test_segments_convert():
    assert Segment(1.0, 2.5).to_numpy().tolist() == [1.0, 2.5]
    assert Segment(1.0, 2.5).to_dict() == {"start": 1.0, "end": 2.5}


def test_empty_results_are_empty_tables_with_their_columns():
    assert Detections().to_numpy().shape == (0,)
    assert Detections().to_numpy().dtype.names == detections().to_numpy().dtype.names
    assert Ranking("q", ()).to_numpy().shape == (0,)
    assert records({}).shape == (0,)


def test_detections_are_a_tuple_and_are_found_by_video():
    assert detections().of("b.mp4") == (detections()[1],)
    assert isinstance(detections().of("nothing"), Detections)


def test_tables_are_stacked_by_column_name_with_nan_where_one_lacks_it():
    joined = stacked([{"a": [1.0], "b": [2.0]}, {"a": [3.0, 4.0], "c": [5.0, 6.0]}])
    assert {name: np.asarray(values).tolist() for name, values in joined.items() if name == "a"} == {"a": [1, 3, 4]}
    assert np.isnan(np.asarray(joined["b"])[1:]).all() and np.isnan(np.asarray(joined["c"])[0])


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"one length, got \{'a': 1, 'b': 2\}"):
        records({"a": [1], "b": [1, 2]})


def test_html_is_text_and_long_tables_are_cut():
    page = detections()._repr_html_()
    assert "<img" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img" not in scores(EVIL)._repr_html_() and "<img" not in Ranking(EVIL, ())._repr_html_()
    long = html_table({"<b>": list(range(25))})
    assert long.count("<tr>") == 1 + 20 and "5 more rows" in long and "<b>" not in long
    assert "2 × 3" in features(np.zeros((2, 3), dtype=np.float32))._repr_html_()


def test_pandas_has_the_same_values():
    pytest.importorskip("pandas", reason="pandas is optional and not installed")
    frame = scores().to_pandas()
    assert frame["start_seconds"].tolist() == [0.0, 0.64] and str(frame["anomaly"].dtype) == "float32"
    assert detections().to_pandas()["label"].tolist() == ["fire", EVIL]
    assert ranking().to_pandas()["video"].tolist() == ["b.mp4", "b.mp4", "c.mp4"]
    assert features(np.ones((2, 3), dtype=np.float32)).to_pandas().shape == (2, 8)


def test_without_pandas_one_line_says_what_to_do(monkeypatch):
    usual = builtins.__import__

    def no_pandas(name, *rest, **options):
        if name == "pandas":
            raise ImportError("No module named 'pandas'")
        return usual(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", no_pandas)
    with pytest.raises(MissingDependency, match="pip install pandas") as told:
        scores().to_pandas()
    assert "\n" not in str(told.value)


def test_one_of_several_results_is_had_by_its_name_or_by_its_place():
    first, again = Ranking("fire", (Hit("a.mp4", 0.5),)), Ranking("fire", ())
    found = RetrieveResult(SimpleNamespace(rankings=(first, again), outcomes=()))  # the same words asked twice
    assert list(found) == [first, again] and len(found) == 2 and found.failed == ()
    assert found["fire"] is first and found[0] is first
    assert found[1] is again and found[-1] is again
    with pytest.raises(UnknownName, match=r"no result called 'fir'\. Did you mean 'fire'"):
        _ = found["fir"]
    with pytest.raises(IndexError):
        _ = found[2]
