"""``vidlang eval``: metrics from stored results and labels; no model is loaded."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli.options import JsonOption, ManifestOption, NormalOption, WorkspaceOption
from vidlang.cli.render import print_json, print_table, say, warn

app = typer.Typer(help="Metrics from stored results and labels; no model is loaded.", no_args_is_help=True)


class DetectionMode(str, Enum):
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
