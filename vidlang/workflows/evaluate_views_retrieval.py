"""Measured rankings as tables and pictures: precision and recall, recall at k, and the queries that went worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vidlang.metrics.retrieval import RetrievalScores, TaskScores
from vidlang.report.evaluation_page import Evaluation, VideoSection, WorstTable, named_videos
from vidlang.report.evaluation_plots import Bars, Line, Lines, Panel
from vidlang.report.web import PageTable
from vidlang.workflows.evaluate_views import WORST, how_many
from vidlang.workflows.page_parts import made_by_facts


def retrieval_view(
    scores: RetrievalScores,
    made_by: dict[str, Any],
    *,
    facts: Sequence[tuple[str, object]],
    notes: Sequence[str],
) -> Evaluation:
    """What is shown of rankings."""
    worst = tuple(table for task in scores.tasks if (table := _worst(task)) is not None)
    return Evaluation(
        title="Retrieval, measured",
        facts=(*facts, *made_by_facts(made_by, with_note=False)),
        tables=tuple(_tables(scores)),
        panels=tuple(_panels(scores.tasks)),
        worst=worst,
        videos=tuple(_sections(named_videos(worst), scores.tasks)),
        notes=tuple(notes),
    )


def _tables(scores: RetrievalScores) -> list[PageTable]:
    ks = list(next((task.recall for task in scores.tasks if task.recall), {}))
    columns = ("task", "mAP", "micro-AP", *(f"recall@{k}" for k in ks), "positives", "ranked")
    rows = [
        (t.name, t.mean_ap, t.micro_ap, *(t.recall.get(k) for k in ks), t.num_positives, t.num_found)
        for t in scores.tasks
    ]
    coverage = scores.coverage
    shares = (("queries", coverage.queries), ("positives", coverage.positives), ("database", coverage.database))
    return [
        PageTable("Tasks", columns, tuple(rows)),
        *(
            PageTable(f"mAP by group, {t.name}", ("group", "mAP"), tuple(t.groups.items()))
            for t in scores.tasks
            if t.groups
        ),
        PageTable("How much of the data set took part", ("part", "share"), shares),
    ]


def _panels(tasks: Sequence[TaskScores]) -> list[Panel]:
    panels: list[Panel] = []
    curves = [
        Line(f"{task.name}, micro-AP {task.micro_ap:.3f}", *task.pairs_curve)
        for task in tasks
        if task.pairs_curve is not None and task.micro_ap is not None
    ]
    if curves:
        title = "Precision and recall over all pairs"
        panels.append(Lines("precision_recall", title, "recall", "precision", tuple(curves), drawn="steps"))
    recall = [
        Line(f"{task.name}, recall@1 {next(iter(task.recall.values())):.3f}",
             np.array(list(task.recall), dtype=np.float64), np.array(list(task.recall.values())))
        for task in tasks
        if task.recall
    ]  # fmt: skip
    if recall:
        ticks = tuple(float(k) for k in recall[0].x)
        panels.append(
            Lines("recall_at_k", "Queries with a positive among the first k", "k", "share of the queries",
                  tuple(recall), drawn="marked", x_range=None, x_ticks=ticks, log_x=True)
        )  # fmt: skip
    named = [(task, task.mean_ap) for task in tasks if task.mean_ap is not None]
    if named:
        counts = tuple(len(task.per_query) for task, _ in named)
        values = tuple(value for _, value in named)
        names = tuple(task.name for task, _ in named)
        panels.append(Bars("map_by_task", "mAP by task", "mAP over queries", names, values, counts, "queries"))
    for task in tasks:
        if task.groups:
            panels.append(
                Bars(f"map_by_group_{len(panels)}", f"mAP by group, {task.name}", "mAP over queries",
                     tuple(task.groups), tuple(task.groups.values()))
            )  # fmt: skip
    return panels


def _worst(task: TaskScores) -> WorstTable | None:
    if not task.per_query or len(set(task.per_query.values())) < 2:
        return None
    lowest = sorted(task.per_query.items(), key=lambda item: item[1])
    shown = tuple((query, value) for query, value in lowest[:WORST])
    says = f"Queries by their average precision, the lowest first{how_many(len(lowest))}."
    return WorstTable(f"Worst queries, {task.name}", says, ("query", "average precision"), shown)


def _sections(ids: Sequence[str], tasks: Sequence[TaskScores]) -> list[VideoSection]:
    """A query with its average precision in every task."""
    return [
        VideoSection(
            query, tuple((f"AP, {task.name}", task.per_query[query]) for task in tasks if query in task.per_query)
        )
        for query in ids
    ]
