"""Measured action segments as tables and pictures: mAP over tIoU, precision and recall by class, what was mistaken."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from vidlang.core import Detection, Label
from vidlang.metrics.curves import confusion, ranking_points
from vidlang.metrics.localization import (
    ClassRanking,
    FoundInstance,
    LocalizationScores,
    class_rankings,
    found_instances,
)
from vidlang.report.evaluation_page import Evaluation, Moment, VideoSection, WorstTable, named_videos
from vidlang.report.evaluation_plots import Bars, Line, Lines, Matrix, Panel
from vidlang.report.web import PageTable
from vidlang.workflows.evaluate_views import WORST, how_many

PREFERRED = 0.5
"""The tIoU at which single predictions are called right or wrong, where it was measured."""
NOTHING = "(nothing found)"


def localization_view(
    scores: LocalizationScores,
    predictions: Sequence[Detection],
    labels: Sequence[Label],
    ambiguous: Sequence[Label],
    *,
    facts: Sequence[tuple[str, object]],
    notes: Sequence[str],
) -> Evaluation:
    """What is shown of predicted segments; rankings are those of the metrics."""
    place = min(range(len(scores.thresholds)), key=lambda i: abs(scores.thresholds[i] - PREFERRED))
    threshold = scores.thresholds[place]
    rankings = class_rankings(
        predictions, labels, threshold, protocol=scores.protocol, ambiguous=ambiguous, outside=scores.outside
    )
    instances = found_instances(predictions, labels, threshold)
    worst = _worst(rankings, instances, threshold)
    return Evaluation(
        title="Action segments, measured",
        facts=tuple(facts),
        tables=tuple(_tables(scores)),
        panels=(
            _map_lines(scores),
            _class_bars(scores, place),
            _curves(scores, rankings, place),
            _confusion(scores, instances, threshold),
        ),
        worst=worst,
        videos=tuple(_sections(named_videos(worst), labels, predictions)),
        notes=tuple(notes),
    )


def _tables(scores: LocalizationScores) -> list[PageTable]:
    at = [f"@{threshold:g}" for threshold in scores.thresholds]
    rows = [("mAP", sum(scores.num_instances), sum(scores.num_predicted), *scores.mean, scores.average)]
    rows += [
        (name, true, found, *(row[c] for row in scores.per_class), fmean(row[c] for row in scores.per_class))
        for c, (name, true, found) in enumerate(
            zip(scores.class_names, scores.num_instances, scores.num_predicted, strict=True)
        )
    ]
    tables = [PageTable("Average precision by class and tIoU", ("class", "true", "found", *at, "mean"), tuple(rows))]
    if scores.averages:
        tables.append(PageTable("Means of mAP", ("tIoU", "mAP"), tuple(scores.averages.items())))
    return tables


def _map_lines(scores: LocalizationScores) -> Panel:
    line = Line(f"mAP, mean {scores.average:.3f}", np.array(scores.thresholds), np.array(scores.mean))
    ends = (min(scores.thresholds), max(scores.thresholds))
    return Lines(
        "map_over_tiou", f"mAP over tIoU, {scores.protocol}", "temporal IoU", "mAP over classes", (line,),
        drawn="marked", x_range=ends if ends[0] < ends[1] else None, x_ticks=tuple(scores.thresholds),
    )  # fmt: skip


def _class_bars(scores: LocalizationScores, place: int) -> Panel:
    mean = scores.mean[place]
    return Bars(
        "ap_by_class", "Average precision by class", f"AP at tIoU {scores.thresholds[place]:g}", scores.class_names,
        scores.per_class[place], scores.num_instances, "true segments", (f"mAP {mean:.3f}", mean),
    )  # fmt: skip


def _curves(scores: LocalizationScores, rankings: dict[str, ClassRanking], place: int) -> Panel:
    """The classes with the most true segments first; they get the colours."""
    lines = []
    for c in sorted(range(len(scores.class_names)), key=lambda c: -scores.num_instances[c]):
        name = scores.class_names[c]
        ranking = rankings[name]
        points = ranking_points(ranking.hits, ranking.num_true, interpolated=scores.area == "interp")
        lines.append(Line(f"{name}, AP {scores.per_class[place][c]:.3f}", points.x, points.y))
    title = f"Precision and recall at tIoU {scores.thresholds[place]:g}"
    return Lines("precision_recall", title, "recall", "precision", tuple(lines), drawn="steps")


def _confusion(scores: LocalizationScores, instances: Sequence[FoundInstance], threshold: float) -> Panel:
    said = [NOTHING if one.best is None else one.best.label for one in instances]
    true = [one.label for one in instances]
    strange = sorted(set(said) - set(scores.class_names) - {NOTHING})
    columns = (*scores.class_names, *strange, NOTHING)
    counts = confusion(true, said, scores.class_names, columns)
    return Matrix(
        "confusion", f"Strongest prediction at tIoU {threshold:g}", scores.class_names, columns, counts,
        row_label="true segment", column_label="class of the strongest prediction",
    )  # fmt: skip


class _Alarm(NamedTuple):
    rank: int
    found: Detection


def _worst(
    rankings: dict[str, ClassRanking], instances: Sequence[FoundInstance], threshold: float
) -> tuple[WorstTable, WorstTable]:
    alarms = [
        _Alarm(rank, found)
        for ranking in rankings.values()
        for rank, (found, hit) in enumerate(zip(ranking.predictions, ranking.hits, strict=True), start=1)
        if not hit
    ]
    # Scores of classes need not compare, ranks within the class do.
    alarms.sort(key=lambda alarm: (alarm.rank, -alarm.found.score))
    missed = [one for one in instances if one.best is None or one.best.label != one.label]
    missed.sort(key=lambda one: -one.segment.duration)
    return (
        WorstTable(
            "False alarms",
            f"Predictions that take no true segment at tIoU {threshold:g}, by their place in the ranking of their "
            f"class{how_many(len(alarms))}.",
            ("video", "class", "place", "score", "from", "to"),
            tuple(
                (f.video_id, f.label, rank, float(f.score), Moment(f.segment.start), Moment(f.segment.end))
                for rank, f in alarms[:WORST]
            ),
        ),
        WorstTable(
            "Missed",
            f"True segments on which nothing of their class reaches tIoU {threshold:g} as the strongest, the longest "
            f"first{how_many(len(missed))}.",
            ("video", "class", "taken for", "from", "to"),
            tuple(
                (m.video_id, m.label, NOTHING if m.best is None else m.best.label, Moment(m.segment.start),
                 Moment(m.segment.end))
                for m in missed[:WORST]
            ),
        ),
    )  # fmt: skip


def _sections(ids: Sequence[str], labels: Sequence[Label], predictions: Sequence[Detection]) -> list[VideoSection]:
    by_id = {label.video_id: label for label in labels}
    found: dict[str, int] = {}
    for prediction in predictions:
        found[prediction.video_id] = found.get(prediction.video_id, 0) + 1
    sections = []
    for video_id in ids:
        label = by_id.get(video_id)
        facts: list[tuple[str, object]] = [
            ("classes", "not in the truth" if label is None else ", ".join(label.classes)),
            ("true segments", 0 if label is None else len(label.segments)),
            ("predictions", found.get(video_id, 0)),
        ]
        sections.append(VideoSection(video_id, tuple(facts)))
    return sections
