"""Stored rankings or similarities and a truth to metrics. No model, no features, no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidlang.core import BadInput, Hit, Ranking, Rankings, RetrievalTruth, Similarities
from vidlang.datasets.retrieval import match_names, read_pairs, read_truth
from vidlang.metrics.retrieval import Mode, RetrievalScores, TaskScores, evaluate
from vidlang.store.rankings import RANKINGS_FILE, SIMILARITIES_FILE, read_rankings, read_similarities
from vidlang.store.workspace import Workspace
from vidlang.workflows.evaluate_targets import PictureTargets


@dataclass(frozen=True)
class RetrievalReport:
    """Metrics of one set of results."""

    scores: RetrievalScores
    source: str
    """The file of results."""
    made_by: dict[str, Any]
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()
    """Pictures and the page, where they were asked for."""

    def to_dict(self) -> dict[str, Any]:
        scores, coverage = self.scores, self.scores.coverage
        return {
            "schema": "vidlang.eval_retrieval/1",
            "dataset": scores.dataset,
            "labels": scores.version,
            "mode": scores.mode,
            "source": self.source,
            "made_by": self.made_by,
            "queries": scores.num_queries,
            "gallery": scores.num_gallery,
            "coverage": {
                "queries": coverage.queries,
                "positives": coverage.positives,
                "database": coverage.database,
            },
            "comparable": scores.comparable,
            "tasks": {task.name: _task_dict(task) for task in scores.tasks},
            "notes": list(self.notes),
        }


def _task_dict(task: TaskScores) -> dict[str, Any]:
    return {
        "mAP": task.mean_ap,
        "micro_AP": task.micro_ap,
        "recall": {str(k): share for k, share in task.recall.items()},
        "positives": task.num_positives,
        "found": task.num_found,
        "skipped": list(task.skipped),
        "groups": dict(task.groups),
        "per_query": dict(task.per_query),
    }


def evaluate_retrieval(
    workspace: Workspace,
    results: Path | None = None,
    *,
    truth: Path | None = None,
    pairs: Path | None = None,
    mode: Mode = "clean",
    pictures: PictureTargets | None = None,
) -> RetrievalReport:
    """Metrics of stored results; videos are matched with the truth by file name where the paths differ.

    results: a ``similarities.npz``, a ``rankings.jsonl``, or a folder with one; None: the newest in the workspace
    truth: what ``datasets import`` wrote    pairs: a CSV of query,video[,label] instead

    Raises:
        BadInput: no results, not exactly one truth, a name that fits several videos, or no query in common.
        BadAnnotation: the truth does not read.
    """
    if (truth is None) == (pairs is None):
        raise BadInput("Give the truth in one way: --truth truth.json (vidlang datasets import) or --pairs pairs.csv.")
    asked = read_truth(truth) if truth is not None else read_pairs(pairs) if pairs is not None else None
    assert asked is not None
    path = find_retrieval(workspace, results)
    found = read_similarities(path) if path.suffix == ".npz" else read_rankings(path)
    scores = evaluate(asked, under_truth_names(found, asked), mode)
    made_by = dict(found.made_by)
    notes = scores.notes + ((str(made_by["note"]),) if made_by.get("note") else ())
    files: tuple[Path, ...] = ()
    if pictures:
        from vidlang.workflows.evaluate_views_retrieval import retrieval_view

        facts = [
            ("results", str(path)),
            ("truth", f"{truth or pairs}: {scores.dataset}, labels {scores.version}"),
            ("counted", scores.mode),
            ("queries", scores.num_queries),
            ("videos searched", scores.num_gallery),
        ]
        files = pictures.write(retrieval_view(scores, made_by, facts=facts, notes=notes))
    return RetrievalReport(scores, str(path), made_by, notes, files)


def under_truth_names(results: Similarities | Rankings, truth: RetrievalTruth) -> Similarities | Rankings:
    """The same results under the ids of the truth: ``1/1_1_Y.flv`` becomes ``1_1_Y``. Other ids stay as they are.

    Raises:
        BadInput: a name of the truth fits several videos, or the other way round.
    """
    if isinstance(results, Similarities):
        queries, gallery = list(results.queries), list(results.ids)
    else:
        queries = [ranking.query for ranking in results.rankings]
        hits = (hit.video_id for ranking in results.rankings for hit in ranking.hits)
        gallery = list(dict.fromkeys(hits)) if results.gallery is None else list(results.gallery)
    asked = match_names(truth.queries, queries)
    named = match_names(truth.names(), gallery)

    def video(video_id: str) -> str:
        return named.get(video_id, video_id)

    if isinstance(results, Similarities):
        return replace(
            results,
            queries=tuple(asked.get(query, query) for query in queries),
            ids=tuple(map(video, gallery)),
        )
    rankings = tuple(
        Ranking(
            asked.get(ranking.query, ranking.query),
            tuple(Hit(video(hit.video_id), hit.similarity, hit.segments) for hit in ranking.hits),
        )
        for ranking in results.rankings
    )
    searched = None if results.gallery is None else tuple(map(video, results.gallery))
    return Rankings(rankings, searched, results.made_by)


def find_retrieval(workspace: Workspace, results: Path | None) -> Path:
    """The file of results: given, inside a given folder, or the newest in the workspace. Where a folder has both, the
    similarities: they say more.
    """
    if results is not None:
        if not results.is_dir():
            if not results.is_file():
                raise BadInput(
                    f"{results} is not there. vidlang retrieve writes a {RANKINGS_FILE}; give it or its folder."
                )
            return results
        found = _inside(results)
        if found is None:
            raise BadInput(f"{results} holds neither a {SIMILARITIES_FILE} nor a {RANKINGS_FILE}.")
        return found
    stored = sorted((workspace.results_dir / "retrieve").glob("*/"), reverse=True)
    newest = next((path for folder in stored if (path := _inside(folder)) is not None), None)
    if newest is None:
        raise BadInput(f"No retrieval in {workspace.results_dir}. Run: vidlang retrieve QUERY")
    return newest


def _inside(folder: Path) -> Path | None:
    return next((folder / name for name in (SIMILARITIES_FILE, RANKINGS_FILE) if (folder / name).is_file()), None)
