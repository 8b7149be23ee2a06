"""Rankings and similarities come back as they were written, and nothing else is taken for them."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import numpy as np
import pytest

from vidlang.core import BadInput, Hit, Ranking, Rankings, Segment, Similarities
from vidlang.store.rankings import (
    rankings_csv,
    read_rankings,
    read_similarities,
    write_rankings,
    write_similarities,
)

MATCH = (Segment(0.0, 2.5), Segment(10.0, 12.5))
RANKINGS = (
    Ranking("q/ü.mp4", (Hit("a.mp4", 0.9, (MATCH, (Segment(3, 4), Segment(20, 21)))), Hit('b "x",\n.mp4', 0.1))),
    Ranking("nothing.mp4", ()),
)


@pytest.mark.parametrize("gallery", [None, ("a.mp4", 'b "x",\n.mp4', "c.mp4"), ()])
def test_rankings_come_back_as_they_were_written(tmp_path, gallery):
    path = tmp_path / "rankings.jsonl"
    rankings = Rankings(RANKINGS if gallery != () else (), gallery, {"method": "tca", "layers": 1})
    write_rankings(path, rankings)
    assert read_rankings(path) == rankings
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(rankings.rankings) + (gallery is not None)


def test_a_similarity_that_is_no_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_rankings(tmp_path / "x.jsonl", Rankings((Ranking("q", (Hit("a", float("nan")),)),)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "vidlang.scores/1"}, "line 1: schema 'vidlang.scores/1' where 'vidlang.rankings/1'"),
        ({"hits": [{"video": "a"}]}, "'similarity' is missing"),
        ({"hits": [{"video": "a", "similarity": "high"}]}, "'high' is not a number"),
        ({"hits": [{"video": 3, "similarity": 1}]}, "3 is not a name"),
        ({"hits": {"a": 1}}, "is not a list"),
        ({"hits": [{"video": "a", "similarity": 1, "segments": [[[2, 1], [0, 1]]]}]}, "ends before it starts"),
        ({"hits": [{"video": "a", "similarity": 1, "segments": [[0, 1]]}]}, "'0' is not a list"),
        ({"hits": [{"video": "a", "similarity": 1}] * 2}, "'a' is there twice"),
        ({"gallery": ["a", "a"]}, "'a' is there twice"),
    ],
)
def test_other_lines_are_refused_by_number(tmp_path, change, message):
    path = tmp_path / "rankings.jsonl"
    line = {"schema": "vidlang.rankings/1", "query": "q", "hits": [], "made_by": {}}
    path.write_text(json.dumps({**line, **change}) + "\n")
    with pytest.raises(BadInput, match=message):
        read_rankings(path)


def test_two_galleries_or_a_query_twice_are_two_files(tmp_path):
    path = tmp_path / "rankings.jsonl"
    write_rankings(path, Rankings((Ranking("q", ()),), ("a",)))
    text = path.read_text()
    path.write_text(text * 2)
    with pytest.raises(BadInput, match="has 2 galleries"):
        read_rankings(path)
    path.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(BadInput, match="the query 'q' is there twice"):
        read_rankings(path)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(BadInput, match="There is no results file"):
        read_rankings(tmp_path / "rankings.jsonl")
    with pytest.raises(BadInput, match="There is no results file"):
        read_similarities(tmp_path / "similarities.npz")


def test_csv_has_a_line_for_each_matched_segment():
    lines = list(csv.reader(io.StringIO(rankings_csv(RANKINGS), newline="")))
    assert lines == [
        ["query", "rank", "video", "similarity", "query_start", "query_end", "start", "end"],
        ["q/ü.mp4", "1", "a.mp4", "0.9", "0.0", "2.5", "10.0", "12.5"],
        ["q/ü.mp4", "1", "a.mp4", "0.9", "3.0", "4.0", "20.0", "21.0"],
        ["q/ü.mp4", "2", 'b "x",\n.mp4', "0.1", "", "", "", ""],
    ]


# -- similarities ----------------------------------------------------------------------------------------------------


@pytest.fixture
def matrix():
    values = np.random.default_rng(1).random((2, 3), dtype=np.float32)
    return Similarities(("q1", "ü/q2.mp4"), ("a", "b", "a much longer name.mp4"), values, {"method": "tca"})


def test_similarities_come_back_bit_for_bit(tmp_path, matrix):
    path = tmp_path / "new" / "similarities.npz"
    write_similarities(path, matrix)
    back = read_similarities(path)
    assert (back.queries, back.ids, back.made_by) == (matrix.queries, matrix.ids, matrix.made_by)
    assert back.values.tobytes() == matrix.values.tobytes()
    assert [file.name for file in path.parent.iterdir()] == ["similarities.npz"]


def test_what_other_programs_write_is_read(tmp_path, matrix):
    path = tmp_path / "similarities.npz"
    values = matrix.values.astype(np.float64)
    np.savez_compressed(path, similarities=values, queries=np.array(matrix.queries), ids=np.array(matrix.ids))
    back = read_similarities(path)
    assert back.values.dtype == np.float32
    assert (back.values == matrix.values).all()
    assert dict(back.made_by) == {}


def test_an_empty_matrix_survives(tmp_path):
    path = tmp_path / "similarities.npz"
    write_similarities(path, Similarities((), (), np.zeros((0, 0), dtype=np.float32)))
    assert read_similarities(path).values.shape == (0, 0)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ids": None}, "no array 'ids'"),
        ({"ids": np.array(["a", "b"])}, r"must be \[Q, M\] = \(1, 2\), got \(1, 1\)"),
        ({"ids": np.array([1])}, r"ids is int64 \(1,\)"),
        ({"queries": np.array("q")}, r"queries is <U1 \(\)"),
        ({"similarities": np.array([[np.nan]])}, "must be finite"),
        ({"similarities": np.array([[1]])}, r"similarities is int64 \(1, 1\)"),
        ({"ids": np.array(["a"], dtype=object)}, "ids is object"),
        ({"made_by": np.array("no JSON")}, "Expecting value"),
    ],
)
def test_archives_of_other_things_are_refused(tmp_path, arrays, message):
    good = {"similarities": np.zeros((1, 1)), "queries": np.array(["q"]), "ids": np.array(["a"])}
    path = tmp_path / "x.npz"
    np.savez(path, **{key: value for key, value in {**good, **arrays}.items() if value is not None})
    with pytest.raises(BadInput, match=message):
        read_similarities(path)


def test_a_header_that_promises_more_than_is_there_takes_no_memory(tmp_path):
    path = tmp_path / "x.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10_000_000, 1_000_000)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("similarities.npy", header.getvalue())
    with pytest.raises(BadInput, match="similarities has fewer bytes"):
        read_similarities(path)


def test_torn_archives_are_refused(tmp_path, matrix):
    path = tmp_path / "similarities.npz"
    write_similarities(path, matrix)
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[:200], whole[: len(whole) // 2] + b"\0" * (len(whole) // 2)):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="is not an archive of similarities"):
            read_similarities(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, matrix):
    path = tmp_path / "similarities.npz"
    write_similarities(path, matrix)
    before = path.read_bytes()
    unwritable = Similarities(matrix.queries, matrix.ids, matrix.values, {"x": object()})
    with pytest.raises(TypeError):
        write_similarities(path, unwritable)
    with pytest.raises(ValueError, match="ends in NUL"):
        write_similarities(path, Similarities(("q\0",), ("a",), np.zeros((1, 1), dtype=np.float32)))
    assert path.read_bytes() == before
