"""``vidlang eval``: metrics from stored results and labels; no model is loaded."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidlang.cli.options import JsonOption, ManifestOption, NormalOption, WorkspaceOption
from vidlang.cli.render import print_json, print_table, say, warn

if TYPE_CHECKING:
    from vidlang.workflows.evaluate_retrieval import RetrievalReport

app = typer.Typer(help="Metrics from stored results and labels; no model is loaded.", no_args_is_help=True)


class DetectionMode(str, Enum):
    clean = "clean"
    reference = "reference"


class CountMode(str, Enum):
    clean = "clean"
    reference = "reference"


@app.callback()
def top() -> None:
    """Metrics from stored results and labels; no model is loaded."""


@app.command()
def anomaly(
    results: Annotated[
        Path | None,
        typer.Argument(
            help="A scores.jsonl, or the folder that score wrote.", show_default="the newest", metavar="[RESULTS]"
        ),
    ] = None,
    manifest: ManifestOption = None,
    split: Annotated[str | None, typer.Option(help="Judge only this split of the manifest.", metavar="NAME")] = None,
    normal: NormalOption = None,
    detection: Annotated[
        DetectionMode,
        typer.Option(help="clean: abnormal videos and classes with truth; reference: as the published code counts."),
    ] = DetectionMode.clean,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Judge the videos that have both scores and a label.")
    ] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Frame AUC, AP, AUC on abnormal videos, per class, video AUC, detection mAP.

    Truth comes from the manifest, or from folders (videos/<class>/x.mp4) for the video-level AUC alone.

    [bold]Examples[/bold]

      vidlang eval anomaly --manifest labels.csv --split test

      vidlang eval anomaly results/scores.jsonl --manifest ucf-crime.csv --detection reference
    """
    from vidlang.workflows.evaluate import evaluate_anomaly
    from vidlang.workflows.workspace import open_workspace

    report = evaluate_anomaly(
        open_workspace(workspace),
        results,
        manifest=manifest,
        split=split,
        normal=normal,
        detection=detection.value,
        allow_missing=allow_missing,
    )
    if json:
        print_json(report.to_dict())
        return
    say(f"{report.num_videos} videos, {report.source}")
    for branch, metrics in report.metrics.items():
        print_table(["metric", "value"], list(metrics.items()), title=branch)
    for note in report.notes:
        warn(f"Note: {note}")


@app.command()
def retrieval(
    results: Annotated[
        Path | None,
        typer.Argument(
            help="A rankings.jsonl or similarities.npz, or the folder that retrieve wrote.",
            show_default="the newest",
            metavar="[RESULTS]",
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Truth that datasets import wrote.", show_default=False, metavar="JSON")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="CSV of query,video\\[,label] instead: your own truth.", show_default=False, metavar="CSV"),
    ] = None,
    mode: Annotated[
        CountMode,
        typer.Option(help="clean: the query is never its own answer; reference: as the published evaluators count."),
    ] = CountMode.clean,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """mAP, micro-AP and recall of rankings: CC_WEB_VIDEO, FIVR, EVVE, VCDB, or your own pairs.

    Videos are matched with the truth by file name, whatever their folder and extension.

    [bold]Examples[/bold]

      vidlang eval retrieval --truth fivr-5k.json --mode reference

      vidlang eval retrieval results/similarities.npz --pairs pairs.csv --json
    """
    from vidlang.workflows.evaluate_retrieval import evaluate_retrieval
    from vidlang.workflows.workspace import open_workspace

    report = evaluate_retrieval(open_workspace(workspace), results, truth=truth, pairs=pairs, mode=mode.value)
    if json:
        print_json(report.to_dict())
    else:
        _show_retrieval(report)


def _show_retrieval(report: RetrievalReport) -> None:
    scores = report.scores
    say(f"{scores.dataset}, labels {scores.version}, counted {scores.mode}; {report.source}")
    ks = list(next((task.recall for task in scores.tasks if task.recall), {}))
    print_table(
        ["task", "mAP", "micro-AP", *(f"R@{k}" for k in ks), "positives"],
        [
            [task.name, task.mean_ap, task.micro_ap, *(task.recall.get(k) for k in ks), task.num_positives]
            for task in scores.tasks
        ],
    )
    for task in scores.tasks:
        if task.groups:
            print_table([f"group of {task.name}", "mAP"], list(task.groups.items()))
    searched = "not said how many" if scores.num_gallery is None else scores.num_gallery
    say(f"{scores.num_queries} queries, {searched} videos searched")
    for line in scores.coverage.lines():
        say(f"coverage of {line}")
    for note in report.notes:
        warn(f"Note: {note}")
