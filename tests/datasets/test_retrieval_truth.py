"""Truths of retrieval: published files as JSON and as pickles, one's own pairs, and names that differ."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import BadAnnotation, BadInput, RetrievalTruth, Similarities, UnknownName
from vidlang.datasets.plain_pickle import load_plain
from vidlang.datasets.retrieval import (
    import_retrieval,
    match_names,
    read_pairs,
    read_truth,
    truth_from_json,
    truth_to_json,
)
from vidlang.metrics.retrieval import evaluate

# Two queries each, in the shape of the published pickles.
CC_WEB = {
    "queries": ["1_1_Y", "2_1_Y"],
    "vid2index": {"1_1_Y": 1, "1_2_G": 2, "2_1_Y": 3},
    "index": ["1_1_Y", "", "2_1_Y"],
    "ground_truth": [{1: "E", 2: "X"}, {3: "E", 2005: "S"}],
    "excluded": [set(), {2}],
}
FIVR = {
    "annotation": {
        "q1": {"ND": ["a"], "DS": ["b"], "IS": ["q1"], "DA": ["ND", "DS"]},
        "q2": {"CS": ["c"], "DA": ["a"]},
        "q3": {"DS": ["b"]},
    },
    "5k": {"queries": ["q2", "q1"], "database": {"a", "b"}},
    "200k": {"queries": ["q1", "q2", "q3"], "database": ["c", "a", "b"]},
}
EVVE = {
    "annotation": {"party": ({"q1", "q2"}, {"a", "b"}, set()), "storm": ({"q3"}, {"c"}, set())},
    "queries": ["q1", "q2", "q3"],
    "database": ["a", "b", "c", "d"],
}
VCDB = {
    "index": ["a", "b", "c", "distractor"],
    "video_pairs": [
        {"videos": ["a", "b"], "overlap": [0.5, np.float64(0.25)]},
        {"videos": ["b", "c"], "overlap": [1, 2]},
    ],
    "negs": ["distractor"],
}


@pytest.fixture
def saved(tmp_path):
    def write(content, name="x.pickle", protocol=4) -> Path:
        path = tmp_path / name
        if ".json" in name:
            text = json.dumps(content).encode()
            path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        else:
            path.write_bytes(pickle.dumps(content, protocol=protocol))
        return path

    return write


# -- the published files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_cc_web_by_name_with_a_number_where_there_is_none(saved, protocol):
    truth = import_retrieval("cc-web", saved(CC_WEB, protocol=protocol))
    assert truth == RetrievalTruth(
        "cc-web",
        "published",
        ("1_1_Y", "2_1_Y"),
        {
            "1_1_Y": {"E": frozenset({"1_1_Y"}), "X": frozenset({"1_2_G"})},
            "2_1_Y": {"E": frozenset({"2_1_Y"}), "S": frozenset({"#2005"})},
        },
        ("1_1_Y", "1_2_G", "2_1_Y"),
        excluded={"1_1_Y": frozenset(), "2_1_Y": frozenset({"1_2_G"})},
    )


def test_cc_web_as_other_evaluators_ship_it(saved):
    other = {key: value for key, value in CC_WEB.items() if key != "vid2index"} | {"index": CC_WEB["vid2index"]}
    assert import_retrieval("cc-web", saved(other)) == import_retrieval("cc-web", saved(CC_WEB))


def test_fivr_splits_have_their_queries_and_database(saved):
    path = saved(FIVR)
    small, large = import_retrieval("fivr-5k", path), import_retrieval("fivr-200k", path)
    assert (small.queries, small.database) == (("q2", "q1"), ("a", "b"))
    assert (large.queries, large.database) == (("q1", "q2", "q3"), ("c", "a", "b"))
    assert small.positives("q1") == {"a", "b", "q1"}
    assert small.version == "other"


def test_fivr_names_of_labels_are_no_audio_duplicates(saved):
    truth = import_retrieval("fivr-200k", saved(FIVR))
    assert "DA" not in truth.relevant["q1"]
    assert truth.positives("q2", ("DA",)) == {"a"}


def test_fivr_official_annotation_with_and_without_its_list_of_ids(saved, tmp_path):
    path = saved(FIVR["annotation"], "annotation.json")
    truth = import_retrieval("fivr-200k", path)
    assert (truth.queries, truth.database, truth.num_database) == (("q1", "q2", "q3"), None, 225_960)
    (tmp_path / "youtube_ids.txt").write_text("c\na\n\nb\n")
    truth = import_retrieval("fivr-200k", tmp_path)
    assert (truth.database, truth.num_database) == (("c", "a", "b"), None)
    with pytest.raises(BadAnnotation, match="the split '5k' should be there"):
        import_retrieval("fivr-5k", path)


def test_fivr_editions_are_chosen_by_name(saved):
    both = {
        "annotation": {"q1": {"ND": ["new"]}},
        "annotation_dns_2021": {"q1": {"ND": ["old"]}},
        "splits": {"5k": {"queries": ["q1"], "database": ["old", "new"]}},
    }
    path = saved(both, "fivr.json.gz")
    assert import_retrieval("fivr-5k", path).positives("q1") == {"old"}
    assert import_retrieval("fivr-5k", path, labels="official").positives("q1") == {"new"}
    with pytest.raises(BadInput, match="no edition 'oficial'"):
        import_retrieval("fivr-5k", path, labels="oficial")
    with pytest.raises(BadInput, match="holds one edition"):
        import_retrieval("fivr-5k", saved(FIVR), labels="official")
    with pytest.raises(BadInput, match="cc-web has one edition"):
        import_retrieval("cc-web", saved(CC_WEB), labels="official")


def test_evve_positives_are_those_of_the_event(saved):
    truth = import_retrieval("evve", saved(EVVE))
    assert truth.queries == ("q1", "q2", "q3")
    assert truth.positives("q2") == {"a", "b"}
    assert dict(truth.groups) == {"q1": "party", "q2": "party", "q3": "storm"}
    as_json = {
        "events": {n: {"queries": sorted(q), "positives": sorted(p)} for n, (q, p, _) in EVVE["annotation"].items()},
        "queries": EVVE["queries"],
        "database": EVVE["database"],
    }
    assert import_retrieval("evve", saved(as_json, "evve.json")) == truth


def test_vcdb_pairs_go_both_ways_and_distractors_are_no_queries(saved):
    truth = import_retrieval("vcdb", saved(VCDB))
    assert truth.queries == ("a", "b", "c")
    assert truth.database == ("a", "b", "c", "distractor")
    assert [truth.positives(query) for query in truth.queries] == [{"b"}, {"a", "c"}, {"b"}]


def test_vcdb_core_alone_leaves_the_database_open(saved):
    core = {"core": ["a", "b", "c"], "video_pairs": [["a", "b", 0.5, 0.25], ["b", "c", 1, 2]]}
    truth = import_retrieval("vcdb", saved(core, "vcdb_core.json"))
    assert (truth.queries, truth.database, truth.num_database) == (("a", "b", "c"), None, 100_310)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cc-web", {**CC_WEB, "ground_truth": CC_WEB["ground_truth"][:1]}, "one entry for each of the 2 queries"),
        ("cc-web", {**CC_WEB, "vid2index": {"a": "one"}}, "'vid2index' should be whole numbers, not 'one'"),
        ("cc-web", {**CC_WEB, "ground_truth": [{1: "Exact"}, {3: "E"}]}, "labels of one letter, not 'Exact'"),
        ("cc-web", {**CC_WEB, "queries": ["1_1_Y", "1_1_Y"]}, "contradicts itself .*'1_1_Y' is there twice"),
        ("cc-web", FIVR, "'queries' should be there .*another data set"),
        ("fivr-5k", {**FIVR, "annotation": {"q1": {"XX": ["a"]}}}, "label 'XX' of q1 should be one of ND"),
        ("fivr-5k", {**FIVR, "5k": {"queries": ["q9"], "database": ["a"]}}, "query q9 of 5k has no labels"),
        ("fivr-5k", {**FIVR, "annotation": {"q1": {"ND": [3]}}}, "video ids, not '3'"),
        ("fivr-5k", {**FIVR, "annotation": {"q1": {"ND": "abc"}}}, "ND of q1 should be a list"),
        ("evve", {**EVVE, "queries": ["q1"]}, "'queries' should be those of the events"),
        ("evve", {**EVVE, "annotation": {"e": ({"q1"}, set()), "f": ({"q1"}, set())}}, "a query of 'e' and of 'f'"),
        ("evve", {**EVVE, "annotation": {"e": 3}}, "event 'e' should be queries and positives"),
        ("vcdb", {**VCDB, "video_pairs": [{"videos": ["a", "z"]}]}, "z is in a pair but not in the list"),
        ("vcdb", {**VCDB, "video_pairs": [7]}, "'video_pairs' should be pairs of videos"),
        ("vcdb", ["a"], "the file should be a table"),
    ],
)
def test_what_contradicts_the_format_is_named(saved, name, content, message):
    with pytest.raises(BadAnnotation, match=message):
        import_retrieval(name, saved(content))


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(BadAnnotation, match=r"none\.json cannot be read"):
        import_retrieval("evve", tmp_path / "none.json")
    with pytest.raises(BadAnnotation, match=r"holds no evve\.json and no evve\.pickle"):
        import_retrieval("evve", tmp_path)
    for content, message in ((b"\x1f\x8b torn", "cannot be read"), (b"{", "is not JSON"), (b"", "was refused")):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(BadAnnotation, match=message):
            import_retrieval("evve", tmp_path / "x")
    (tmp_path / "x").write_bytes(b'{"a":' + b"[" * 100_000)
    with pytest.raises(BadAnnotation, match="is not JSON"):
        import_retrieval("evve", tmp_path / "x")


def test_a_zipped_bomb_is_refused(tmp_path):
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(b"{" + b" " * (65 * 2**20)))
    with pytest.raises(BadAnnotation, match="more than 64 MiB"):
        import_retrieval("evve", tmp_path / "x.json.gz")


def test_names_that_are_no_data_set_are_refused(tmp_path):
    with pytest.raises(BadInput, match="import fivr-5k or fivr-200k"):
        import_retrieval("fivr", tmp_path)
    with pytest.raises(UnknownName, match="Did you mean 'cc-web'"):
        import_retrieval("cc-wep", tmp_path)


@pytest.fixture
def published(shared_data_dir):
    folder = shared_data_dir / "annotations" / "retrieval"
    if not folder.is_dir():
        pytest.skip("needs the annotations of retrieval sets")
    return folder


@pytest.mark.parametrize(
    ("name", "labels", "queries", "database", "positives"),
    [
        ("cc-web", None, 24, 13_115, 3_789),
        ("fivr-5k", None, 50, 5_000, 1_945),
        ("fivr-200k", None, 100, None, 12_403),
        ("fivr-200k", "official", 100, None, 12_363),
        ("evve", None, 620, 2_373, None),
        ("vcdb", None, 528, None, 2 * 5_612),
    ],
)
def test_published_sets_have_their_published_sizes(published, name, labels, queries, database, positives):
    truth = import_retrieval(name, published, labels=labels)
    assert len(truth.queries) == queries
    assert (truth.database and len(truth.database)) == database
    counted = {"cc-web": "ESLMV", "fivr-5k": ("ND", "DS", "CS", "IS"), "fivr-200k": ("ND", "DS", "CS", "IS")}.get(name)
    found = [truth.positives(query, counted) for query in truth.queries]
    if name == "fivr-5k":
        known = {*truth.database, *truth.queries}
        found = [ids & known for ids in found]
    if name == "evve":
        assert len(frozenset().union(*found)) == 1_252
        assert len(set(truth.groups.values())) == 13
    else:
        assert sum(map(len, found)) == positives
    if name.startswith("fivr"):
        assert truth.version == (labels or "dns-2021")
    assert truth_from_json(truth_to_json(truth)) == truth


@pytest.mark.parametrize(
    ("name", "task", "labels", "ceiling"), [("cc-web", "cc*", "ESLMV", 0.99974), ("vcdb", "copies", None, 0.93052)]
)
def test_a_perfect_ranking_reaches_the_ceiling_of_the_published_evaluator(published, name, task, labels, ceiling):
    truth = import_retrieval(name, published)
    ids = truth.database or truth.queries
    answers = [truth.positives(query, labels) | {query} for query in truth.queries]
    values = [[float(video in found) for video in ids] for found in answers]
    perfect = Similarities(truth.queries, ids, np.array(values, dtype=np.float32))
    assert evaluate(truth, perfect, "reference").task(task).mean_ap == pytest.approx(ceiling, abs=5e-6)
    assert evaluate(truth, perfect, "clean").task(task).mean_ap == 1


# -- pickles of strangers --------------------------------------------------------------------------------------------


class Runs:
    """A pickle of this calls ``function`` when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [os.mkdir, eval, Path.touch, getattr, bytearray], ids=lambda f: f.__name__)
def test_a_pickle_that_runs_something_is_refused_before_it_runs(tmp_path, function):
    trace = tmp_path / "trace"
    arguments = {
        os.mkdir: (str(trace),),
        eval: (f"__import__('os').mkdir({str(trace)!r})",),
        Path.touch: (trace,),
        getattr: ("", "format"),
        bytearray: (3,),
    }[function]
    path = tmp_path / "trap.pickle"
    path.write_bytes(pickle.dumps({**EVVE, "database": Runs(function, *arguments)}))
    with pytest.raises(
        BadAnnotation, match=r"trap\.pickle is not a pickle of plain values and was refused: it asks for"
    ):
        import_retrieval("evve", path)
    assert not trace.exists()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_plain_values_and_single_numbers_are_read_as_they_were(protocol):
    values = {"a": [1, 2.5, None, True, (3, "ü")], "b": {"x", "y"}, "c": frozenset({1}), 4: b"raw"}
    assert load_plain(pickle.dumps(values, protocol=protocol), "x") == values
    numbers = [np.float64(0.1), np.float32(0.5), np.int64(-7), np.uint8(200), np.bool_(True), np.str_("ü")]
    back = load_plain(pickle.dumps(numbers, protocol=protocol), "x")
    assert back == [0.1, 0.5, -7, 200, True, "ü"]
    assert {type(value) for value in back} <= {float, int, bool, str}


def test_numbers_of_a_big_endian_machine_are_read():
    little = pickle.dumps(np.float64(1.5), protocol=4)
    raw = struct.pack("<d", 1.5)
    assert raw in little
    assert b"<" in little
    assert load_plain(little.replace(raw, raw[::-1]).replace(b"<", b">"), "x") == 1.5


def test_arrays_are_not_plain():
    with pytest.raises(BadAnnotation, match="was refused: it asks for numpy"):
        load_plain(pickle.dumps([np.zeros(3)]), "x")


def test_a_pickle_of_python_2_is_read():
    # what cPickle of Python 2 writes for {'videos': set(['ab'])} at protocol 2
    data = b"\x80\x02}q\x01U\x06videosq\x02c__builtin__\nset\nq\x03]q\x04U\x02abq\x05a\x85q\x06Rq\x07s."
    assert load_plain(data, "x") == {"videos": {"ab"}}


def test_a_table_of_kept_values_as_large_as_the_memory_is_refused():
    data = b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b"."
    with pytest.raises(BadAnnotation, match="it numbers a value 2147483647"):
        load_plain(data, "x")


def test_one_long_list_said_many_times_is_refused(saved):
    ids = [f"v{i}" for i in range(10_000)]
    path = saved({**FIVR, "annotation": {f"q{i}": {"ND": ids} for i in range(1_000)}})
    assert path.stat().st_size < 2**20
    with pytest.raises(BadAnnotation, match="names more than 5,000,000 videos"):
        import_retrieval("fivr-5k", path)


def test_changing_a_stand_in_changes_nothing_for_the_next_pickle():
    # numpy.dtype, then a state that would replace its methods
    data = b"\x80\x02cnumpy\ndtype\n}U\x0c__setstate__U\x04nonesb."
    with pytest.raises(BadAnnotation):
        load_plain(data + b"", "x")
    assert load_plain(pickle.dumps(np.float64(0.5)), "x") == 0.5


# -- pairs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path):
    def write(text: str) -> RetrievalTruth:
        path = tmp_path / "pairs.csv"
        path.write_text(text, encoding="utf-8")
        return read_pairs(path)

    return write


def test_pairs_with_and_without_header_labels_and_answers(pairs):
    truth = pairs("query,video,label\nq.mp4,a.mp4,copy\nq.mp4,b.mp4,\n\nalone.mp4,,\n")
    assert truth.queries == ("q.mp4", "alone.mp4")
    assert truth.relevant == {
        "q.mp4": {"copy": frozenset({"a.mp4"}), "match": frozenset({"b.mp4"})},
        "alone.mp4": {},
    }
    assert pairs("q.mp4;a.mp4\n").relevant == {"q.mp4": {"match": frozenset({"a.mp4"})}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q,a\n,b\n", r"pairs\.csv, line 2 should be query,video"),
        ("q,a,copy,0.5\n", r"line 1 should be query,video"),
        ("query,video\n", "lists no pair"),
        ('q,"a\n', "is not CSV"),
    ],
)
def test_lines_that_are_no_pair_are_named(pairs, text, message):
    with pytest.raises(BadAnnotation, match=message):
        pairs(text)


# -- JSON ------------------------------------------------------------------------------------------------------------


def test_a_truth_survives_its_json(tmp_path, saved):
    for name, content in (("cc-web", CC_WEB), ("fivr-5k", FIVR), ("evve", EVVE), ("vcdb", VCDB)):
        truth = import_retrieval(name, saved(content))
        path = tmp_path / "truth.json"
        path.write_text(truth_to_json(truth), encoding="utf-8")
        assert read_truth(path) == truth


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "vidlang.retrieval_truth/2"}, "schema 'vidlang.retrieval_truth/2' where"),
        ({"queries": "q1"}, "'q1' is no list of names"),
        ({"queries": []}, "at least one query"),
        ({"relevant": {"other": {}}}, "names 'other', which is no query"),
        ({"relevant": ["q"]}, "has no attribute"),
        ({"database": [1]}, "1 is no name"),
        ({"num_database": -1}, "num_database is -1"),
        ({"version": None}, "None is no name"),
    ],
)
def test_other_json_is_refused(change, message):
    good = json.loads(truth_to_json(RetrievalTruth("pairs", "mine", ("q",), {"q": {"match": frozenset({"a"})}})))
    with pytest.raises(BadAnnotation, match=message):
        truth_from_json(json.dumps({**good, **change}))


def test_a_truth_without_queries_or_of_another_sort_is_refused(tmp_path):
    for text, message in (
        ("[]", "schema None"),
        ("no", "is not a vidlang"),
        ('{"schema": "vidlang.retrieval_truth/1"}', "'dataset' is missing"),
    ):
        with pytest.raises(BadAnnotation, match=message):
            truth_from_json(text)
    with pytest.raises(BadAnnotation, match="cannot be read"):
        read_truth(tmp_path / "none.json")


# -- names -----------------------------------------------------------------------------------------------------------


def test_folders_and_extensions_do_not_hide_a_video():
    known = ["1/1_1_Y.flv", "1/1_10_Y.flv", "mine/holiday.mp4"]
    assert match_names(["1_1_Y", "1_10_Y", "absent"], known) == {"1/1_1_Y.flv": "1_1_Y", "1/1_10_Y.flv": "1_10_Y"}


def test_youtube_ids_that_look_like_a_crop_stay_whole():
    assert match_names(["abcdefgh__5", "abcdefgh"], ["abcdefgh__5.mp4"]) == {"abcdefgh__5.mp4": "abcdefgh__5"}


def test_the_strictest_way_decides():
    assert match_names(["a/x.mp4"], ["b/x.mp4", "a/x.mp4"]) == {"a/x.mp4": "a/x.mp4"}
    assert match_names(["a/x"], ["b/x.mp4", "a/x.mp4"]) == {"a/x.mp4": "a/x"}
    assert match_names(iter(["x"]), iter(["b/x.mp4"])) == {"b/x.mp4": "x"}


def test_what_may_be_either_is_an_error_that_names_both():
    with pytest.raises(BadInput, match=r"x of the truth may be a/x\.mp4 or b/x\.avi"):
        match_names(["x"], ["a/x.mp4", "b/x.avi"])
    with pytest.raises(BadInput, match=r"a/x\.mp4 and b/x\.mp4 of the truth have one name, so other/x\.mp4"):
        match_names(["a/x.mp4", "b/x.mp4"], ["other/x.mp4"])
    with pytest.raises(BadInput, match=r"x\.avi and x\.mp4 of the truth both fit x\.mp4|both fit"):
        match_names(["x.avi", "x.mp4"], ["x.mp4"])
