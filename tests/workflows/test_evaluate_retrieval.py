"""Stored results and a truth to metrics: by head, through every form of the results, under names that differ."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vidlang.core import BadAnnotation, BadInput, Hit, Ranking, Rankings, RetrievalTruth, Similarities
from vidlang.datasets.retrieval import truth_to_json
from vidlang.store.rankings import write_rankings, write_similarities
from vidlang.workflows.datasets import import_annotations
from vidlang.workflows.evaluate_retrieval import evaluate_retrieval, find_retrieval

IDS = ("films/whole.mp4", "films/other.mp4", "films/third.avi")
VALUES = {"cut.mp4": [0.9, 0.2, 0.1], "new/trailer.mp4": [0.8, 0.7, 0.1]}


@pytest.fixture
def matrix():
    return Similarities(tuple(VALUES), IDS, np.array(list(VALUES.values()), dtype=np.float32), {"method": "tca"})


@pytest.fixture
def folder(workspace):
    return workspace.results_dir / "retrieve" / "20260101-000000"


@pytest.fixture
def pairs(tmp_path):
    def write(text: str = "query,video\ncut,whole\ntrailer,other\n"):
        path = tmp_path / "pairs.csv"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def truth(tmp_path):
    def write(value: RetrievalTruth):
        path = tmp_path / "truth.json"
        path.write_text(truth_to_json(value), encoding="utf-8")
        return path

    return write


def test_names_without_folder_and_extension_find_the_videos(workspace, folder, matrix, pairs):
    write_similarities(folder / "similarities.npz", matrix)
    report = evaluate_retrieval(workspace, pairs=pairs())
    task = report.scores.task("all")
    assert (task.mean_ap, dict(task.recall)) == (pytest.approx((1 + 1 / 2) / 2), {1: 0.5, 5: 1, 10: 1, 100: 1})
    # .9 true, .8 false, .7 true
    assert task.micro_ap == pytest.approx((1 + 2 / 3) / 2)
    assert report.source == str(folder / "similarities.npz")


def test_a_query_of_the_gallery_is_not_its_own_answer_under_another_name(workspace, folder, pairs):
    values = np.array([[1.0, 0.9, 0.1]], dtype=np.float32)
    write_similarities(
        folder / "similarities.npz", Similarities(("cut.mp4",), ("ads/cut.mp4", "w.mp4", "x.mp4"), values)
    )
    report = evaluate_retrieval(workspace, pairs=pairs("cut,w\n"))
    assert report.scores.task("all").mean_ap == 1


def test_rankings_and_their_matrix_give_the_same_numbers(workspace, folder, matrix, pairs):
    lists = tuple(
        Ranking(query, tuple(Hit(IDS[i], row[i]) for i in np.argsort(-np.array(row)))) for query, row in VALUES.items()
    )
    write_rankings(folder / "rankings.jsonl", Rankings(lists, IDS))
    from_rankings = evaluate_retrieval(workspace, pairs=pairs()).scores
    write_similarities(folder / "similarities.npz", matrix)
    assert from_rankings == evaluate_retrieval(workspace, pairs=pairs()).scores


def test_a_ranking_without_gallery_says_what_is_not_known(workspace, folder, pairs):
    write_rankings(folder / "rankings.jsonl", Rankings((Ranking("cut.mp4", (Hit(IDS[1], 0.9), Hit(IDS[0], 0.8))),)))
    report = evaluate_retrieval(workspace, pairs=pairs())
    assert report.scores.task("all").mean_ap == 0.5
    facts = report.to_dict()
    assert (facts["gallery"], facts["coverage"]) == (None, {"queries": 0.5, "positives": None, "database": None})


def test_two_videos_of_one_name_are_an_error_that_names_both(workspace, folder, pairs):
    values = np.zeros((1, 2), dtype=np.float32)
    write_similarities(folder / "similarities.npz", Similarities(("cut.mp4",), ("a/whole.mp4", "b/whole.avi"), values))
    with pytest.raises(BadInput, match=r"whole of the truth may be a/whole\.mp4 or b/whole\.avi"):
        evaluate_retrieval(workspace, pairs=pairs())


def test_a_share_of_a_published_set_is_not_comparable(workspace, folder, truth):
    ids = tuple(f"v{i}" for i in range(4))
    stored = truth(RetrievalTruth("fivr-5k", "dns-2021", ("q",), {"q": {"ND": frozenset(ids[:1])}}, ids))
    values = np.array([[0.9, 0.8, 0.7]], dtype=np.float32)
    write_similarities(
        folder / "similarities.npz", Similarities(("q.mp4",), tuple(f"x/{i}.mp4" for i in ids[:3]), values)
    )
    report = evaluate_retrieval(workspace, truth=stored, mode="reference")
    assert report.scores.comparable is False
    assert "not comparable with published figures: only 75.0 % of the database" in report.notes


def test_the_report_for_programs_is_json(workspace, folder, matrix, pairs):
    write_similarities(folder / "similarities.npz", matrix)
    facts = json.loads(json.dumps(evaluate_retrieval(workspace, pairs=pairs()).to_dict(), allow_nan=False))
    assert facts["schema"] == "vidlang.eval_retrieval/1"
    assert (facts["dataset"], facts["mode"], facts["queries"], facts["gallery"]) == ("pairs", "clean", 2, 3)
    assert facts["tasks"]["all"]["per_query"] == {"cut": 1.0, "trailer": 0.5}
    assert facts["comparable"] is None


def test_what_made_the_results_is_said_again(workspace, folder, pairs):
    values = np.array([[0.5]], dtype=np.float32)
    write_similarities(
        folder / "similarities.npz", Similarities(("cut",), ("whole",), values, {"note": "weak encoder"})
    )
    report = evaluate_retrieval(workspace, pairs=pairs())
    assert "weak encoder" in report.notes
    assert report.made_by == {"note": "weak encoder"}


def test_results_are_the_newest_or_the_given(workspace, folder, matrix, tmp_path):
    with pytest.raises(BadInput, match=r"No retrieval in .* Run: vidlang retrieve"):
        find_retrieval(workspace, None)
    write_rankings(folder / "rankings.jsonl", Rankings(()))
    (folder.parent / "20260301-000000").mkdir()  # an interrupted run
    assert find_retrieval(workspace, None) == folder / "rankings.jsonl"
    later = folder.parent / "20260201-000000" / "rankings.jsonl"
    write_rankings(later, Rankings(()))
    assert find_retrieval(workspace, None) == later
    write_similarities(folder / "similarities.npz", matrix)
    assert find_retrieval(workspace, folder) == folder / "similarities.npz"
    assert find_retrieval(workspace, folder / "rankings.jsonl") == folder / "rankings.jsonl"
    with pytest.raises(BadInput, match="is not there"):
        find_retrieval(workspace, tmp_path / "none.npz")
    with pytest.raises(BadInput, match=r"holds neither a similarities\.npz nor"):
        find_retrieval(workspace, tmp_path)


def test_the_truth_is_given_once_and_reads(workspace, folder, matrix, pairs, tmp_path):
    write_similarities(folder / "similarities.npz", matrix)
    with pytest.raises(BadInput, match="Give the truth in one way"):
        evaluate_retrieval(workspace)
    with pytest.raises(BadInput, match="Give the truth in one way"):
        evaluate_retrieval(workspace, truth=pairs(), pairs=pairs())
    with pytest.raises(BadAnnotation, match=r"pairs\.csv is not a vidlang\.retrieval_truth/1"):
        evaluate_retrieval(workspace, truth=pairs())
    with pytest.raises(BadInput, match="no query of the truth"):
        evaluate_retrieval(workspace, pairs=pairs("stranger,whole\n"))


def test_an_import_writes_what_the_data_set_is_for(workspace, pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line, notes = import_annotations("pairs", pairs(), None, None)
    assert line == "Wrote truth.json: 2 queries, 2 labelled pairs, whatever is searched as database."
    assert notes == []
    assert json.loads((tmp_path / "truth.json").read_text())["dataset"] == "pairs"
    with pytest.raises(BadInput, match="import fivr-5k or fivr-200k"):
        import_annotations("fivr", tmp_path, None, None)
    with pytest.raises(BadInput, match="--match-cache is for manifests"):
        import_annotations("pairs", pairs(), None, workspace)
    with pytest.raises(BadInput, match="ucf-crime has one edition"):
        import_annotations("ucf-crime", tmp_path, None, None, "official")


@pytest.mark.parametrize("name", ["cc_web", "fivr_5k", "evve", "vcdb"])
def test_recorded_similarities_and_published_annotations_give_the_recorded_numbers(
    workspace, golden_dir, shared_data_dir, tmp_path, name
):
    annotations, recorded = shared_data_dir / "annotations" / "retrieval", golden_dir / "tca" / "results.json"
    if not annotations.is_dir() or not recorded.is_file():
        pytest.skip("needs the annotations of retrieval sets and the recorded numbers of TCA")
    arrays = np.load(golden_dir / "tca" / f"eval_{name}.npz", allow_pickle=False)
    ids = tuple(f"videos/{video[:1]}/{video}.flv" for video in arrays["ids"].tolist())
    queries = tuple(f"{query}.mp4" for query in arrays["queries"].tolist())
    write_similarities(tmp_path / "similarities.npz", Similarities(queries, ids, arrays["sim"]))
    dataset = name.replace("_", "-")
    import_annotations(dataset, annotations, tmp_path / "truth.json", None)
    mode = "clean" if name == "vcdb" else "reference"
    report = evaluate_retrieval(workspace, tmp_path, truth=tmp_path / "truth.json", mode=mode)
    found = {task.name: task.mean_ap for task in report.scores.tasks}
    numbers = json.loads(recorded.read_text())["eval"]
    expected = {
        "cc_web": dict(zip(("cc", "cc*", "cc_c", "cc_c*"), numbers["cc_web"]["full"].values(), strict=True)),
        "fivr_5k": {task: numbers["fivr"]["5k"][task]["mAP"] for task in ("DSVR", "CSVR", "ISVR")},
        "evve": {"events": numbers["evve"]["restricted"]["overall"]},
        "vcdb": {"copies": numbers["vcdb"]["query_removed_from_positives"]["mAP"]},
    }[name]
    assert found == pytest.approx(expected, abs=1e-9, rel=0)
    assert report.scores.comparable is False
