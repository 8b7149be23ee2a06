"""Measured networks as tables and pictures: what features are worth, and what backgrounds change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vidlang.core.digits import share
from vidlang.report.evaluation_page import Evaluation, VideoSection, WorstTable, named_videos
from vidlang.report.evaluation_plots import Bars, Line, Lines, Matrix, Panel
from vidlang.report.web import PageTable
from vidlang.workflows.evaluate_views import WORST, how_many
from vidlang.workflows.page_parts import in_words, made_by_facts

if TYPE_CHECKING:
    from vidlang.workflows.evaluate_background import BackgroundReport
    from vidlang.workflows.evaluate_representation import RepresentationReport, Row


def representation_view(report: RepresentationReport) -> Evaluation:
    """Recognition, retrieval and confusion by the features of a network."""
    columns, rows = report.table()
    panels: list[Panel] = []
    named = [row for row in report.rows if row.recognition.get("top-1") is not None]
    if named:
        commonest = report.protocol["commonest_class"]
        assert isinstance(commonest, float)
        panels.append(
            Bars("accuracy", "Recognition", "top-1 accuracy", tuple(_name(row) for row in named),
                 tuple(float(row.recognition["top-1"] or 0.0) for row in named),
                 tuple(row.num_test for row in named), "test videos",
                 (f"commonest class {commonest:.3f}", commonest))
        )  # fmt: skip
    recall = {row.what: row.recall for row in report.rows}
    lines = []
    for what, shares in recall.items():
        known = {k: share for k, share in shares.items() if share is not None}
        if known:
            lines.append(Line(what, np.array(list(known), dtype=np.float64), np.array(list(known.values()))))
    if lines:
        ticks = tuple(float(k) for k in max((line.x for line in lines), key=len))
        panels.append(
            Lines("recall_at_k", "Retrieval of the same class", "k nearest training videos", "share of test videos",
                  tuple(lines), drawn="marked", x_range=None, x_ticks=ticks, log_x=True)
        )  # fmt: skip
    classes = report.protocol["classes"]
    assert isinstance(classes, list)
    shown = next((row for row in report.rows if row.confusion is not None), None)
    if shown is not None and shown.confusion is not None:
        title = f"Classes, {_name(shown)}"
        panels.append(Matrix("confusion", title, tuple(classes), tuple(classes), shown.confusion))
    facts = [(name.replace("_", " "), in_words(value)) for name, value in report.protocol.items()]
    return Evaluation(
        title="Features of a video network, measured",
        facts=(("checkpoint", report.checkpoint), *facts),
        tables=(PageTable("Shares of the test videos", columns, tuple(rows)),),
        panels=tuple(panels),
        notes=report.notes,
    )


def _name(row: Row) -> str:
    return f"{row.what}, {row.recognised_by}"


def background_view(report: BackgroundReport, kinds: dict[str, str]) -> Evaluation:
    """How scores change with the background.

    kinds: key of a swap → its name
    """
    rows = report.rows
    names, counts = tuple(row.name for row in rows), tuple(row.num_clips for row in rows)
    panels: list[Panel] = [
        Bars("change", "Change of the highest score", "mean absolute change", names,
             tuple(row.mean_change for row in rows), counts, "clips"),
        Bars("flips", f"Clips that cross {share(report.threshold)}", "share of the clips", names,
             tuple(row.flips for row in rows), counts, "clips"),
    ]  # fmt: skip
    points = []
    for kind, name in kinds.items():
        moved = [swap for swap in report.swaps if swap.kind == kind and swap.moves]
        if moved:
            before, after = (np.array([getattr(swap, when) for swap in moved]) for when in ("before", "after"))
            points.append(Line(name, before, after))
    ends = np.array([0.0, 1.0])
    panels.append(
        Lines("before_after", "Highest score of each clip", "as it is", "before another background", tuple(points),
              Line("no change", ends, ends), "points")
    )  # fmt: skip
    most = sorted((swap for swap in report.swaps if swap.moves), key=lambda swap: -abs(swap.after - swap.before))
    worst = (
        WorstTable(
            "Largest changes",
            f"Clips whose highest score changes most{how_many(len(most))}.",
            ("clip", "background", "of", "as it is", "after"),
            tuple(
                (swap.video, kinds[swap.kind], swap.background or "itself", swap.before, swap.after)
                for swap in most[:WORST]
            ),
        ),
    )
    columns = ("background", "clips", "change", "shift", "flips", "AUC", "AUC after", "rank correlation")
    table = PageTable(
        "Scores before other backgrounds",
        columns,
        tuple(
            (r.name, r.num_clips, r.mean_change, r.mean_shift, r.flips, r.auc_before, r.auc_after, r.rank_correlation)
            for r in rows
        ),
    )
    masks = report.masks
    return Evaluation(
        title="Scores and backgrounds, measured",
        facts=(*made_by_facts(report.made_by, with_note=False), ("masks", f"{masks.method}, beta {masks.beta:g}")),
        tables=(table,),
        panels=tuple(panels),
        worst=worst,
        videos=tuple(
            VideoSection(video_id, tuple(
                (kinds[swap.kind], f"{swap.before:.3f} becomes {swap.after:.3f}")
                for swap in report.swaps
                if swap.video == video_id
            ))
            for video_id in named_videos(worst)
        ),
        notes=report.notes,
    )  # fmt: skip
