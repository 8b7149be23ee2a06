"""The demo's third road: WTAL finds start and end of each event, having been told only which videos have one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidlang.core import Label, Scores
from vidlang.demo.scenes import EVENTS
from vidlang.metrics.localization import evaluate
from vidlang.store.results import SCORES_FILE, read_scores
from vidlang.workflows.chosen import picture_path
from vidlang.workflows.demo_anomaly import curves_of, options_text
from vidlang.workflows.demo_baselines import guesses, localization_row, motion_peaks
from vidlang.workflows.demo_folder import NAME, Demo, Step, Table
from vidlang.workflows.evaluate_localization import evaluate_localization
from vidlang.workflows.localize import Branch, LocalizeOptions, localize
from vidlang.workflows.train_wtal import TrainWtalOptions, train_wtal

BRANCHES: tuple[Branch, ...] = ("cbp", "vlp")
DRAWN: Branch = "cbp"
"""Whose curves are drawn."""
AT = (0.3, 0.5, 0.7)
"""tIoU of the columns."""


def train_actions(demo: Demo) -> Step:
    """From the class of each training video; its times are read for the log alone."""
    changes = {**demo.extent.wtal, "seed": demo.options.seed}
    options = TrainWtalOptions(manifest=demo.manifest, changes=changes, name=NAME, resume=demo.goes_on("wtal"))
    report = train_wtal(demo.workspace, options, progress=demo.progress)
    return Step(
        "Train WTAL",
        (f"vidlang train wtal --manifest labels.csv --name {NAME}{options_text(changes)}",),
        (*report.summary, *report.notes),
        (Table.of(f"measured on {report.measured_on} videos", report.columns, report.table),),
        (curves_of(demo, "wtal"),),
    )


def locate(demo: Demo) -> Step:
    """Segments in the test videos against their times."""
    reports, judged = {}, {}
    for branch in BRANCHES:
        folder = _folder(demo, branch)
        options = LocalizeOptions(
            manifest=demo.manifest, split="test", checkpoint=NAME, branch=branch, plot=branch == DRAWN, out=folder
        )
        reports[branch] = localize([demo.videos], demo.workspace, options, progress=demo.progress)
        judged[branch] = evaluate_localization(demo.workspace, folder, manifest=demo.manifest, split="test").scores
    labels = demo.labels("test")
    ids = {label.video_id for label in labels}
    scores = [item for item in read_scores(demo.results("score") / SCORES_FILE) if item.video.id in ids]
    rows = [localization_row(f"WTAL, branch {branch}", [found], AT) for branch, found in judged.items()]
    rows += _rivals(demo, scores, labels)
    shown = [next(label.video_id for label in labels if label.classes == (name,)) for name in EVENTS]
    return Step(
        "Localize events",
        tuple(command for branch in BRANCHES for command in _commands(branch)),
        (
            *reports[DRAWN].describe(),
            f"{judged[DRAWN].num_videos} test videos, {sum(judged[DRAWN].num_instances)} true events; a segment counts "
            "where it overlaps one of its class by the tIoU of the column.",
            "motion peak: the run of snippets around the strongest motion of a video, given every class alike.",
        ),
        (Table.of("mAP of segments", ("segments by", *(f"mAP@{at}" for at in AT), "mean .1-.7"), rows),),
        tuple(
            demo.picture(
                picture_path(_folder(demo, DRAWN), video_id), f"Curves, found segments and true ones of {video_id}"
            )
            for video_id in shown
        ),
    )


def _folder(demo: Demo, branch: Branch) -> Path:
    return demo.results(f"localize-{branch}")


def _commands(branch: Branch) -> tuple[str, str]:
    """What a user types for a branch."""
    flags = f" --branch {branch}" + " --no-plot" * (branch != DRAWN)
    folder = f"results/localize-{branch}"
    return (
        f"vidlang localize videos --manifest labels.csv --split test --checkpoint {NAME}{flags} --out {folder}",
        f"vidlang eval localization {folder} --manifest labels.csv --split test",
    )


def _rivals(demo: Demo, scores: Sequence[Scores], labels: Sequence[Label]) -> list[tuple[object, ...]]:
    """Rows of motion peaks and of chance."""
    paths = {item.video.id: demo.videos / item.video.id for item in scores}
    peaks = evaluate(motion_peaks(scores, paths, EVENTS), labels)
    durations = {item.video.id: item.video.duration for item in scores}
    return [
        localization_row("motion peak", [peaks], AT),
        localization_row("chance (random)", guesses(durations, labels, EVENTS, demo.options.seed), AT),
    ]
