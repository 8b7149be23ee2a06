"""Retrieval metrics: by head, a plainer second way, and the recorded numbers of the published evaluators."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vidlang.core import BadInput, Hit, Ranking, Rankings, RetrievalTruth, Similarities
from vidlang.metrics.retrieval import (
    average_precision,
    evaluate,
    micro_average_precision,
    trapezoid_average_precision,
)


def truth_of(relevant, dataset="pairs", **more):
    """query → ids, or query → label → ids."""
    labelled = {
        query: {
            label: frozenset(ids) for label, ids in (found if isinstance(found, dict) else {"match": found}).items()
        }
        for query, found in relevant.items()
    }
    return RetrievalTruth(dataset, "test", tuple(relevant), labelled, **more)


def matrix(rows, ids):
    return Similarities(tuple(rows), tuple(ids), np.array(list(rows.values()), dtype=np.float32))


def rankings(found, gallery=None):
    """query → ids, best first; similarities fall from 1."""
    lists = [
        Ranking(query, tuple(Hit(video, 1 - place / 100) for place, video in enumerate(ids)))
        for query, ids in found.items()
    ]
    return Rankings(tuple(lists), None if gallery is None else tuple(gallery))


# -- one list --------------------------------------------------------------------------------------------------------


def test_positives_at_1_3_and_4_of_4():
    # precision 1/1, 2/3, 3/4; the fourth positive was not found
    assert average_precision([1, 3, 4], 4) == pytest.approx((1 + 2 / 3 + 3 / 4) / 4)


def test_a_perfect_list_scores_one():
    assert average_precision([1, 2, 3], 3) == trapezoid_average_precision([1, 2, 3], 3) == 1


def test_trapezoids_take_the_mean_of_before_and_at_each_positive():
    # rank 2: before it 0 of 1, at it 1 of 2 → 1/4; rank 4: before 1 of 3, at it 2 of 4 → 5/12
    assert trapezoid_average_precision([2, 4], 2) == pytest.approx((1 / 4 + 5 / 12) / 2)
    # the first rank has nothing before it, which counts as precision 1
    assert trapezoid_average_precision([1], 2) == pytest.approx(1 / 2)


def test_nothing_found_scores_zero():
    assert average_precision([], 3) == trapezoid_average_precision([], 3) == 0


@pytest.mark.parametrize("ranks", [[0, 1], [2, 1], [1, 1], [1, 2, 3]])
def test_ranks_that_cannot_be_are_refused(ranks):
    with pytest.raises(ValueError, match="ranks must"):
        average_precision(ranks, 2)
    with pytest.raises(ValueError, match="ranks must"):
        trapezoid_average_precision(ranks, 2)


def test_micro_ap_by_head_with_a_tie():
    # .9 positive: 1/1; .5 twice, one of them positive: 2 of 3 for it; the third positive is not there
    value = micro_average_precision([True, False, True, False], [0.9, 0.5, 0.5, 0.1], num_positives=3)
    assert value == pytest.approx((1 + 2 / 3) / 3)


def test_micro_ap_equals_the_one_of_scikit_learn():
    random = np.random.default_rng(3)
    truth, values = random.random(400) < 0.1, np.round(random.normal(size=400), 1)  # many ties
    assert micro_average_precision(truth, values) == pytest.approx(average_precision_score(truth, values))


def test_micro_ap_without_a_positive_is_refused():
    with pytest.raises(ValueError, match="num_positives is 0"):
        micro_average_precision([False], [0.3])
    with pytest.raises(ValueError, match="one length"):
        micro_average_precision([True, False], [0.3])


# -- any truth -------------------------------------------------------------------------------------------------------


def test_a_perfect_matrix_scores_one_everywhere():
    truth = truth_of({"a": ["x"], "b": ["y", "z"]})
    found = evaluate(truth, matrix({"a": [0.9, 0.1, 0.1], "b": [0.2, 0.8, 0.7]}, "xyz")).task("all")
    assert (found.mean_ap, found.micro_ap, dict(found.recall)) == (1, 1, {1: 1, 5: 1, 10: 1, 100: 1})
    assert (found.num_positives, found.num_found) == (3, 3)


def test_micro_ap_asks_that_queries_are_comparable():
    # both rankings are perfect, but b's best similarity lies below a's distractor
    truth = truth_of({"a": ["x"], "b": ["y"]})
    found = evaluate(truth, matrix({"a": [0.9, 0.8], "b": [0.1, 0.3]}, "xy")).task("all")
    assert found.mean_ap == 1
    assert found.micro_ap == pytest.approx((1 + 2 / 3) / 2)


def test_recall_counts_queries_with_a_positive_among_the_first():
    ids = [f"v{i:02d}" for i in range(20)]
    found = evaluate(
        truth_of({"a": ["v00"], "b": ["v03", "v19"], "c": ["v07"], "d": ["v15"]}),
        rankings(dict.fromkeys("abcd", ids), ids),
    ).task("all")
    assert dict(found.recall) == {1: 1 / 4, 5: 2 / 4, 10: 3 / 4, 100: 1}


def test_ties_keep_the_order_of_the_gallery():
    truth = truth_of({"q": ["y"]})
    for ids, rank in (("yxz", 1), ("xyz", 2), ("xzy", 3)):
        assert evaluate(truth, matrix({"q": [0.5, 0.5, 0.5]}, ids)).task("all").mean_ap == pytest.approx(1 / rank)


def test_matrix_and_complete_rankings_say_the_same():
    random = np.random.default_rng(5)
    ids = [f"v{i}" for i in range(30)]
    values = np.round(random.random((4, 30)), 1).astype(np.float32)
    truth = truth_of({f"q{i}": {"near": ids[i : i + 4], "far": ids[20 + i : 23 + i]} for i in range(4)})
    full = Similarities(truth.queries, tuple(ids), values)
    lists = Rankings(
        tuple(
            Ranking(query, tuple(Hit(ids[i], float(row[i])) for i in np.argsort(-row, kind="stable")))
            for query, row in zip(truth.queries, values, strict=True)
        ),
        tuple(ids),
    )
    one, other = evaluate(truth, full), evaluate(truth, lists)
    assert one == other
    assert [task.name for task in one.tasks] == ["all", "near", "far"]


def test_the_plain_way_gives_the_same_map_and_micro_ap():
    random = np.random.default_rng(7)
    ids = [f"v{i}" for i in range(40)]
    values = random.random((5, 40)).astype(np.float32)
    relevant = {f"q{i}": [ids[j] for j in random.choice(40, 6, replace=False)] for i in range(5)}
    found = evaluate(truth_of(relevant), Similarities(tuple(relevant), tuple(ids), values)).task("all")
    flags = np.array([[video in set(relevant[query]) for video in ids] for query in relevant])
    means = [average_precision_score(flags[i], values[i]) for i in range(5)]
    assert found.mean_ap == pytest.approx(np.mean(means))
    assert found.micro_ap == pytest.approx(average_precision_score(flags.ravel(), values.ravel()))


def test_the_query_is_neither_ranked_nor_its_own_positive():
    truth = truth_of({"q": ["q", "x"]})
    found = evaluate(truth, matrix({"q": [1.0, 0.9, 0.1]}, "qxy")).task("all")
    assert (found.mean_ap, found.num_positives) == (1, 1)


def test_a_positive_that_was_not_searched_does_not_count():
    found = evaluate(truth_of({"q": ["x", "lost"]}), matrix({"q": [0.9, 0.1]}, "xy"))
    assert (found.task("all").mean_ap, found.task("all").num_positives) == (1, 1)
    assert found.coverage.positives == 0.5


def test_a_positive_below_the_end_of_a_ranking_counts_as_not_found():
    truth = truth_of({"q": ["x", "y"]})
    found = evaluate(truth, rankings({"q": ["x"]}, "xyz"))
    assert (found.task("all").mean_ap, found.task("all").micro_ap) == (0.5, 0.5)
    assert (found.task("all").num_positives, found.task("all").num_found) == (2, 1)
    assert "positives beyond the end of a ranking count as not found" in found.notes


def test_without_a_gallery_every_labelled_positive_counts():
    found = evaluate(truth_of({"q": ["x", "lost"]}), rankings({"q": ["x", "y"]}))
    assert found.task("all").mean_ap == 0.5
    assert (found.coverage.positives, found.coverage.database) == (None, None)


def test_a_query_without_positives_is_skipped_and_named():
    found = evaluate(truth_of({"q": ["x"], "lonely": []}), matrix({"q": [0.9], "lonely": [0.8]}, "x"))
    assert (found.task("all").mean_ap, found.task("all").skipped) == (1, ("lonely",))
    assert any("lonely" in note for note in found.notes)


def test_false_hits_of_a_query_without_positives_lower_micro_ap_alone():
    truth = truth_of({"q": ["x"], "lonely": []})
    found = evaluate(truth, matrix({"q": [0.8, 0.1], "lonely": [0.9, 0.7]}, "xy")).task("all")
    assert (found.mean_ap, found.micro_ap) == (1, 0.5)


def test_without_any_positive_there_is_no_value():
    task = evaluate(truth_of({"q": []}), matrix({"q": [0.9]}, "x")).task("all")
    assert (task.mean_ap, task.micro_ap, dict(task.recall)) == (None, None, {})


def test_a_listed_database_decides_what_is_ranked():
    truth = truth_of({"q": ["y"]}, database=("x", "y"))
    found = evaluate(truth, matrix({"q": [0.9, 0.8, 0.7]}, ["stranger", "y", "x"]))
    assert found.task("all").mean_ap == 1
    assert found.coverage.database == 1
    assert any("1 videos of the gallery are not in the database" in note for note in found.notes)


def test_results_of_other_queries_are_left_out():
    found = evaluate(truth_of({"q": ["x"]}), matrix({"q": [0.9, 0.1], "other": [0.1, 0.9]}, "xy"))
    assert (found.task("all").mean_ap, found.num_queries) == (1, 1)
    assert any("such as other" in note for note in found.notes)
    with pytest.raises(BadInput, match="no query of the truth"):
        evaluate(truth_of({"q": ["x"]}), matrix({"other": [0.9]}, "x"))


def test_the_mean_of_a_group_is_over_its_queries():
    truth = truth_of({"a": ["x"], "b": ["y"], "c": ["x"]}, groups={"a": "one", "b": "one", "c": "two"})
    groups = evaluate(truth, matrix({"a": [0.9, 0.1], "b": [0.9, 0.1], "c": [0.9, 0.1]}, "xy")).task("all").groups
    assert dict(groups) == {"one": pytest.approx(0.75), "two": 1}


# -- what published evaluators do ------------------------------------------------------------------------------------


def test_vcdb_counts_the_query_as_a_positive_that_cannot_be_found():
    truth = truth_of({"q": ["x"]}, "vcdb")
    found = matrix({"q": [0.9, 0.1]}, "xy")
    assert evaluate(truth, found, "reference").task("copies").mean_ap == 0.5
    assert evaluate(truth, found, "clean").task("copies").mean_ap == 1


def test_fivr_counts_a_query_in_its_own_list():
    truth = truth_of({"q": {"ND": ["x"], "IS": ["q", "y"]}}, "fivr-5k")
    found = matrix({"q": [0.9, 0.8, 0.1]}, "xyz")
    perfect = evaluate(truth, found, "reference")
    assert perfect.task("DSVR").mean_ap == perfect.task("CSVR").mean_ap == 1
    assert perfect.task("ISVR").mean_ap == pytest.approx(2 / 3)
    assert evaluate(truth, found, "clean").task("ISVR").mean_ap == 1


def test_fivr_tasks_add_labels_and_audio_has_its_own():
    truth = truth_of({"q": {"ND": ["a"], "DS": ["b"], "CS": ["c"], "IS": ["d"], "DA": ["e"]}}, "fivr-200k")
    found = evaluate(truth, matrix({"q": [0.1, 0.2, 0.3, 0.4, 0.5]}, "abcde"))
    counted = {task.name: (task.num_positives, task.mean_ap) for task in found.tasks}
    assert counted == {
        "DSVR": (2, pytest.approx((1 / 4 + 2 / 5) / 2)),
        "CSVR": (3, pytest.approx((1 / 3 + 2 / 4 + 3 / 5) / 3)),
        "ISVR": (4, pytest.approx((1 / 2 + 2 / 3 + 3 / 4 + 4 / 5) / 4)),
        "DAVR": (1, 1),
    }


def test_cc_web_ranks_by_variant():
    truth = truth_of(
        {"q": {"E": ["q"], "S": ["s", "dropped"], "X": ["x"]}}, "cc-web", excluded={"q": frozenset({"dropped"})}
    )
    ids = ["q", "stranger", "x", "s", "dropped"]
    found = matrix({"q": [1.0, 0.9, 0.8, 0.7, 0.6]}, ids)
    reference = {task.name: task.mean_ap for task in evaluate(truth, found, "reference").tasks}
    assert reference == {
        "cc": pytest.approx((1 + 2 / 3 + 3 / 4) / 3),  # q x s dropped
        "cc*": pytest.approx((1 + 2 / 4 + 3 / 5) / 3),  # q stranger x s dropped
        "cc_c": pytest.approx((1 + 2 / 3) / 2),  # q x s
        "cc_c*": pytest.approx((1 + 2 / 4) / 2),  # q stranger x s
    }
    clean = {task.name: task.mean_ap for task in evaluate(truth, found, "clean").tasks}
    assert clean == {
        "cc": pytest.approx((1 / 2 + 2 / 3) / 2),
        "cc*": pytest.approx((1 / 3 + 2 / 4) / 2),
        "cc_c": pytest.approx(1 / 2),
        "cc_c*": pytest.approx(1 / 3),
    }


def test_cc_web_counts_a_positive_without_a_name_and_clean_does_not():
    truth = truth_of({"q": {"E": ["q"], "S": ["s", "#2005"]}}, "cc-web")
    found = matrix({"q": [1.0, 0.9, 0.1]}, ["q", "s", "x"])
    assert evaluate(truth, found, "reference").task("cc").mean_ap == pytest.approx(2 / 3)
    assert evaluate(truth, found, "clean").task("cc").mean_ap == 1


def test_evve_takes_trapezoids_and_a_query_without_positives_scores_zero_in_the_reference():
    truth = truth_of({"a": ["x", "y"], "b": []}, "evve", groups={"a": "party", "b": "party"})
    found = matrix({"a": [0.9, 0.7, 0.8], "b": [0.9, 0.8, 0.7]}, "xyz")
    expected = trapezoid_average_precision([1, 3], 2)
    assert evaluate(truth, found, "clean").task("events").mean_ap == pytest.approx(expected)
    reference = evaluate(truth, found, "reference").task("events")
    assert reference.mean_ap == pytest.approx(expected / 2)
    assert dict(reference.groups) == {"party": pytest.approx(expected / 2)}


def test_evve_divides_by_all_queries_of_an_event_where_the_gallery_is_not_known():
    truth = truth_of({"a": ["x"], "b": ["x"]}, "evve", groups={"a": "party", "b": "party"})
    reference = evaluate(truth, rankings({"a": "x"}), "reference").task("events")
    assert (reference.mean_ap, dict(reference.groups)) == (1, {"party": 0.5})
    assert dict(evaluate(truth, rankings({"a": "x"}), "clean").task("events").groups) == {"party": 1}


# -- how much of the data set ----------------------------------------------------------------------------------------


def hundred(searched):
    """A FIVR-5K of 100 database videos of which the first ones were searched."""
    ids = [f"v{i:03d}" for i in range(100)]
    truth = truth_of({"q": {"ND": ids[:1]}}, "fivr-5k", database=tuple(ids))
    return evaluate(truth, matrix({"q": np.linspace(1, 0, searched)}, ids[:searched]))


def test_99_percent_are_comparable_and_98_are_not():
    assert hundred(99).comparable is True
    less = hundred(98)
    assert (less.comparable, less.coverage.database) == (False, 0.98)
    assert "not comparable with published figures: only 98.0 % of the database" in less.notes


def test_a_users_own_pairs_have_no_published_figures():
    found = evaluate(truth_of({"q": ["x"], "lost": ["x"]}), matrix({"q": [0.9]}, "x"))
    assert found.comparable is None
    assert found.coverage.queries == 0.5
    assert found.notes == ("1 queries of the truth have no results and are left out, such as lost",)


def test_a_share_just_below_is_not_rounded_up():
    ids = tuple(f"v{i:05d}" for i in range(10_000))
    truth = truth_of({"q": {"ND": ids[:1]}}, "fivr-5k", database=ids)
    found = evaluate(truth, matrix({"q": np.linspace(1, 0, 9_899)}, ids[:9_899]))
    assert any("only 98.9 % of the database" in note for note in found.notes)


def test_rankings_that_end_early_are_not_comparable():
    ids = [f"v{i}" for i in range(10)]
    truth = truth_of({"q": {"ND": ids[:1]}}, "fivr-5k", database=tuple(ids))
    whole = rankings({"q": ids}, ids)
    assert evaluate(truth, whole).comparable is True
    short = evaluate(truth, rankings({"q": ids[:4]}, ids))
    assert short.comparable is False
    assert any("the rankings end after 4 hits" in note for note in short.notes)


def test_a_ranking_without_the_query_itself_is_whole():
    truth = truth_of({"q": {"ND": ["x"]}}, "fivr-5k", database=("q", "x", "y"))
    assert evaluate(truth, rankings({"q": "xy"}, "qxy")).comparable is True


def test_labels_outside_the_database_do_not_lower_the_coverage():
    truth = truth_of({"q": {"ND": ["v0", "elsewhere"]}}, "fivr-5k", database=("v0",))
    assert evaluate(truth, matrix({"q": [0.9]}, ["v0"])).coverage.positives == 1


# -- recorded numbers ------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(golden_dir):
    folder = golden_dir / "tca"
    if not (folder / "results.json").is_file():
        pytest.skip("needs the recorded numbers of TCA")
    return json.loads((folder / "results.json").read_text())["eval"]


def similarities_of(golden_dir, name, rounded=False, queries=None):
    arrays = np.load(golden_dir / "tca" / f"eval_{name}.npz", allow_pickle=False)
    values = np.round(arrays["sim"], 1) if rounded else arrays["sim"]
    names = arrays["queries"].tolist()[:queries]
    return Similarities(tuple(names), tuple(arrays["ids"].tolist()), values[:queries])


def annotation_of(golden_dir, name):
    return json.loads((golden_dir / "tca" / f"eval_{name}_annotation.json").read_text())


def exactly(value):
    return pytest.approx(value, abs=1e-9, rel=0)


CC_WEB = {"plain_all": "cc", "star_all": "cc*", "plain_clean": "cc_c", "star_clean": "cc_c*"}


@pytest.mark.parametrize("case", ["full", "missing_last_two_queries", "ties_round1"])
def test_cc_web_equals_the_recorded_numbers(golden_dir, recorded, case):
    facts = annotation_of(golden_dir, "cc_web")
    name = {index: video for video, index in facts["id_to_index"].items()}
    relevant = {}
    for query, labels in zip(facts["queries"], facts["ground_truth"], strict=True):
        relevant[query] = {label: [] for label in labels.values()}
        for index, label in labels.items():
            relevant[query][label].append(name.get(int(index), f"#{index}"))
    dropped = [frozenset(name.get(i, f"#{i}") for i in indices) for indices in facts["excluded"]]
    truth = truth_of(relevant, "cc-web", excluded=dict(zip(facts["queries"], dropped, strict=True)))
    queries = -2 if case == "missing_last_two_queries" else None
    results = similarities_of(golden_dir, "cc_web", case == "ties_round1", queries)
    found = evaluate(truth, results, "reference")
    for key, value in recorded["cc_web"][case].items():
        assert found.task(CC_WEB[key]).mean_ap == exactly(value), key
    if case == "full":
        for key, values in recorded["cc_web"]["per_query"].items():
            assert list(found.task(CC_WEB[key]).per_query.values()) == exactly(values), key


@pytest.mark.parametrize("split", ["5k", "200k"])
def test_fivr_equals_the_recorded_numbers(golden_dir, recorded, split):
    results = similarities_of(golden_dir, f"fivr_{split}")
    labels = annotation_of(golden_dir, "fivr")["annotation"]
    relevant = {
        query: {label: ids for label, ids in labels[query].items() if label != "DA"} for query in results.queries
    }
    found = evaluate(truth_of(relevant, f"fivr-{split}"), results, "reference")
    for task in ("DSVR", "CSVR", "ISVR"):
        assert found.task(task).mean_ap == exactly(recorded["fivr"][split][task]["mAP"])
        assert list(found.task(task).per_query.values()) == exactly(recorded["fivr"][split][task]["per_query"])


@pytest.mark.parametrize("case", ["restricted", "all_db_none"])
def test_evve_equals_the_recorded_numbers(golden_dir, recorded, case):
    facts = annotation_of(golden_dir, "evve")
    event = {query: name for name, parts in facts["events"].items() for query in parts["queries"]}
    relevant = {query: facts["events"][event[query]]["positives"] for query in facts["queries"]}
    truth = truth_of(relevant, "evve", groups=event, database=tuple(facts["database"]))
    full = similarities_of(golden_dir, "evve")
    unknown = Rankings(
        tuple(
            Ranking(query, tuple(Hit(video, float(value)) for video, value in zip(full.ids, row, strict=True)))
            for query, row in zip(full.queries, full.values, strict=True)
        )
    )
    task = evaluate(truth, full if case == "restricted" else unknown, "reference").task("events")
    numbers = recorded["evve"][case]
    assert task.mean_ap == exactly(numbers["overall"])
    assert list(task.per_query.values()) == exactly(numbers["per_query"])
    assert dict(task.groups) == {name: exactly(value) for name, value in numbers["per_event"].items()}


@pytest.mark.parametrize(("mode", "case"), [("reference", "asshipped"), ("clean", "query_removed_from_positives")])
def test_vcdb_equals_the_recorded_numbers(golden_dir, recorded, mode, case):
    lists = annotation_of(golden_dir, "vcdb")["positives_including_query"]
    truth = truth_of({query: [video for video in ids if video != query] for query, ids in lists.items()}, "vcdb")
    results = similarities_of(golden_dir, "vcdb")
    task = evaluate(truth, results, mode).task("copies")
    assert task.mean_ap == exactly(recorded["vcdb"][case]["mAP"])
    assert [task.per_query[query] for query in results.queries] == exactly(recorded["vcdb"][case]["per_query"])


# -- values ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused_where_it_is_made():
    with pytest.raises(ValueError, match=r"must be \[Q, M\] = \(1, 2\), got \(1, 1\)"):
        matrix({"q": [0.5]}, "xy")
    with pytest.raises(ValueError, match="finite"):
        matrix({"q": [0.5, np.nan]}, "xy")
    with pytest.raises(ValueError, match="'x' is there twice"):
        matrix({"q": [0.5, 0.4]}, "xx")
    with pytest.raises(ValueError, match="must be float32, got float64"):
        Similarities(("q",), ("x",), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="hit of q 'x' is there twice"):
        rankings({"q": "xx"})
    with pytest.raises(ValueError, match="not in the gallery"):
        rankings({"q": "xy"}, "x")
    with pytest.raises(ValueError, match="which is no query"):
        truth_of({"q": ["x"]}, groups={"other": "event"})
    with pytest.raises(ValueError, match="at least one query"):
        truth_of({})
    with pytest.raises(ValueError, match="num_database is 3, the database has 2"):
        truth_of({"q": ["x"]}, database=("x", "y"), num_database=3)
