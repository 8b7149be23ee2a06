"""``vidlang eval``: stored results, networks and checkpoints, measured against labels."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from vidlang.cli import eval_background, eval_representation
from vidlang.cli.eval_output import PlotOption, ReportOption, SplitOption, say_files
from vidlang.cli.help import VIDEOS
from vidlang.cli.options import JsonOption, ManifestOption, NormalOption, QuietOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import configure_logging, print_json, print_table, say, say_notes

if TYPE_CHECKING:
    from vidlang.workflows.evaluate_localization import LocalizationReport
    from vidlang.workflows.evaluate_retrieval import RetrievalReport

COUNTING = "How it is counted"

app = typer.Typer(help="Measure stored results, networks and checkpoints against labels.", no_args_is_help=True)


class CountMode(str, Enum):
    clean = "clean"
    reference = "reference"


class LocalizationProtocol(str, Enum):
    thumos14 = "thumos14"
    activitynet = "activitynet"
    snippets = "snippets"


class ApArea(str, Enum):
    interp = "interp"
    hits = "hits"


class OutsideMode(str, Enum):
    wrong = "wrong"
    drop = "drop"


@app.callback()
def top() -> None:
    """Measure stored results, networks and checkpoints against labels."""


@app.command()
def anomaly(
    results: Annotated[
        Path | None,
        typer.Argument(
            help="A scores.jsonl, or the folder that score wrote.", show_default="the newest", metavar="[RESULTS]"
        ),
    ] = None,
    manifest: ManifestOption = None,
    split: SplitOption = None,
    normal: NormalOption = None,
    detection: Annotated[
        CountMode,
        typer.Option(
            help="Detection mAP over: clean, abnormal videos and classes with truth; reference, as the published code.",
            metavar="NAME",
            rich_help_panel=COUNTING,
        ),
    ] = CountMode.clean,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Judge the videos that have both scores and a label; leave out the others.",
            rich_help_panel=VIDEOS,
        ),
    ] = False,
    plot: PlotOption = None,
    report_file: ReportOption = None,
    json: JsonOption = False,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Metrics of anomaly scores: AUC and AP over frames, by class, of videos.

    AUC over the abnormal videos alone and the mAP of detections are given too.
    Truth comes from the manifest, or from folders (videos/<class>/x.mp4) for the video-level AUC alone.

    [bold]Examples[/bold]

      vidlang eval anomaly --manifest labels.csv --report anomaly.html

      vidlang eval anomaly results/scores.jsonl --manifest ucf-crime.csv --detection reference
    """
    from vidlang.workflows.evaluate import evaluate_anomaly
    from vidlang.workflows.evaluate_targets import PictureTargets
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    report = evaluate_anomaly(
        open_workspace(workspace),
        results,
        manifest=manifest,
        split=split,
        normal=normal,
        detection=detection.value,
        allow_missing=allow_missing,
        pictures=PictureTargets(plot, report_file),
    )
    if json:
        print_json(report.to_dict())
        return
    if quiet:
        return
    say(f"{report.num_videos} videos, {report.source}")
    for branch, metrics in report.metrics.items():
        print_table(["metric", "value"], list(metrics.items()), title=branch)
    say_files(report.files)
    say_notes(report.notes)


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
        Path | None,
        typer.Option(
            help="Truth that datasets import wrote.", show_default=False, metavar="JSON", rich_help_panel=VIDEOS
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="CSV of query,video[,label] instead: your own truth.",
            show_default=False,
            metavar="CSV",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    mode: Annotated[
        CountMode,
        typer.Option(
            help="clean: the query is never its own answer; reference: as the published evaluators count.",
            metavar="NAME",
            rich_help_panel=COUNTING,
        ),
    ] = CountMode.clean,
    plot: PlotOption = None,
    report_file: ReportOption = None,
    json: JsonOption = False,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """mAP, micro-AP and recall of rankings.

    Truth is that of CC_WEB_VIDEO, FIVR, EVVE or VCDB, or your own pairs. Videos are matched with the truth by file
    name, whatever their folder and extension.

    [bold]Examples[/bold]

      vidlang eval retrieval --truth fivr-5k.json --mode reference

      vidlang eval retrieval results/similarities.npz --pairs my.csv --plot pr.pdf
    """
    from vidlang.workflows.evaluate_retrieval import evaluate_retrieval
    from vidlang.workflows.evaluate_targets import PictureTargets
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    report = evaluate_retrieval(
        open_workspace(workspace),
        results,
        truth=truth,
        pairs=pairs,
        mode=mode.value,
        pictures=PictureTargets(plot, report_file),
    )
    if json:
        print_json(report.to_dict())
    elif not quiet:
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
    say_files(report.files)
    say_notes(report.notes)


@app.command()
def localization(
    results: Annotated[
        Path | None,
        typer.Argument(
            help="A detections.jsonl, predictions in ActivityNet's JSON format, or the folder that localize wrote.",
            show_default="the newest",
            metavar="[RESULTS]",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            help="CSV of video,label,start,end and more, or an annotation JSON of THUMOS14 or ActivityNet.",
            show_default=False,
            metavar="FILE",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    split: SplitOption = None,
    protocol: Annotated[
        LocalizationProtocol,
        typer.Option(
            help="thumos14: tIoU 0.1 to 0.7; activitynet: 0.5 to 0.95; snippets: as thumos14, times rounded to I3D "
            "snippets and predictions in ambiguous segments left out.",
            metavar="NAME",
            rich_help_panel=COUNTING,
        ),
    ] = LocalizationProtocol.thumos14,
    tiou: Annotated[
        str | None,
        typer.Option(
            help="Thresholds of temporal IoU instead: 0.3,0.5 or first:step:last.",
            show_default="those of the protocol",
            metavar="LIST",
            rich_help_panel=COUNTING,
        ),
    ] = None,
    ap: Annotated[
        ApArea,
        typer.Option(
            "--ap",
            help="interp: interpolated precision; hits: mean precision at the hits.",
            metavar="NAME",
            rich_help_panel=COUNTING,
        ),
    ] = ApArea.interp,
    outside: Annotated[
        OutsideMode,
        typer.Option(
            help="Predictions in other videos than the truth's: wrong, as published evaluators count, or drop.",
            metavar="NAME",
            rich_help_panel=COUNTING,
        ),
    ] = OutsideMode.wrong,
    ambiguous: Annotated[
        Path | None,
        typer.Option(
            help="Ambiguous segments for the protocol snippets: CSV or Ambiguous_test.txt.",
            show_default="beside the manifest",
            metavar="FILE",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    plot: PlotOption = None,
    report_file: ReportOption = None,
    json: JsonOption = False,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """mAP of action segments at thresholds of temporal IoU.

    It is counted by the rules of ActivityNet or THUMOS14. Videos are matched with the truth by file name, whatever
    their folder and extension.

    [bold]Examples[/bold]

      vidlang eval localization --manifest thumos14.csv --plot pictures/

      vidlang eval localization found.json --manifest gt.json --protocol activitynet
    """
    from vidlang.workflows.evaluate_localization import evaluate_localization, thresholds_of
    from vidlang.workflows.evaluate_targets import PictureTargets
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    report = evaluate_localization(
        open_workspace(workspace),
        results,
        manifest=manifest,
        split=split,
        protocol=protocol.value,
        thresholds=None if tiou is None else thresholds_of(tiou),
        area=ap.value,
        ambiguous=ambiguous,
        outside=outside.value,
        pictures=PictureTargets(plot, report_file),
    )
    if json:
        print_json(report.to_dict())
    elif not quiet:
        _show_localization(report)


def _show_localization(report: LocalizationReport) -> None:
    scores = report.scores
    say(f"protocol {scores.protocol}, AP {scores.area}; {report.source}")
    # Four thresholds and long class names fit on a line of 80 columns; --json has all.
    shown = range(0, len(scores.thresholds), -(-len(scores.thresholds) // 4))
    print_table(
        ["class", "true", "found", *(f"@{scores.thresholds[i]:g}" for i in shown), "mean"],
        [
            [name, true, found, *(scores.per_class[i][c] for i in shown), fmean(row[c] for row in scores.per_class)]
            for c, (name, true, found) in enumerate(
                zip(scores.class_names, scores.num_instances, scores.num_predicted, strict=True)
            )
        ],
    )
    averages = [[f"mean of {name}", value] for name, value in scores.averages.items()]
    if not averages and len(scores.thresholds) > 1:
        averages = [["mean of all", scores.average]]
    print_table(
        ["tIoU", "mAP"],
        [[f"{threshold:g}", value] for threshold, value in zip(scores.thresholds, scores.mean, strict=True)] + averages,
    )
    if report.classification is not None:
        say(f"video-level mAP {report.classification.mean_ap:.4f} over {report.classification.num_videos} videos")
    left_out = sum(scores.skipped.values())
    say(
        f"{scores.num_videos} videos, {sum(scores.num_instances)} true segments, {sum(scores.num_predicted)} "
        f"predictions judged, {left_out} left out"
    )
    say_files(report.files)
    say_notes(report.notes)


app.command("representation", no_args_is_help=True)(eval_representation.command)
app.command("background", no_args_is_help=True)(eval_background.command)
