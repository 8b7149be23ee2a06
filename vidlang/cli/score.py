"""``vidlang score``: anomaly scores and events of videos."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidlang.cli import complete
from vidlang.cli.extract import (
    BatchOption,
    CropsOption,
    FpsOption,
    FrameRateOption,
    PickOption,
    PrecisionOption,
    StrideOption,
    WorkersOption,
    recipe_changes,
)
from vidlang.cli.help import ANSWER, VIDEOS
from vidlang.cli.options import DeviceOption, EncoderOption, JsonOption, QuietOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import TerminalProgress, clock, configure_logging, end_if_failed, print_json, print_table, say
from vidlang.core.digits import share
from vidlang.core.words import words_of

if TYPE_CHECKING:
    from vidlang.workflows.score import ScoreReport


class BranchChoice(str, Enum):
    c = "c"
    a = "a"
    fusion = "fusion"


SCORES = "Scores and events"
"""What decides the numbers beside the recipe."""

CheckpointOption = Annotated[
    str | None,
    typer.Option(
        help="Name or folder of a checkpoint.",
        show_default="the newest",
        metavar="NAME",
        rich_help_panel=SCORES,
        autocompletion=complete.checkpoints,
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        help="Zero-shot: what to look for, separated by commas.",
        metavar="WORDS",
        show_default=False,
        rich_help_panel=SCORES,
    ),
]
BranchOption = Annotated[
    BranchChoice | None,
    typer.Option(
        help="c: binary classifier, a: similarity to the class texts, fusion: their mean.",
        show_default="the checkpoint's",
        metavar="NAME",
        rich_help_panel=SCORES,
    ),
]
CropOption = Annotated[
    str,
    typer.Option(help="Which of ten crops to score: 0 (centre) to 9, or mean.", metavar="N", rich_help_panel=SCORES),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split", help="Of the manifest, only this split: train, val or test.", metavar="NAME", rich_help_panel=VIDEOS
    ),
]
CachedOption = Annotated[
    bool,
    typer.Option(
        "--cached",
        help="Arguments are ids (or patterns of ids) of cached videos; opens no video.",
        rich_help_panel=VIDEOS,
    ),
]
PlotOption = Annotated[
    bool,
    typer.Option(
        "--plot/--no-plot", help="Draw a picture (PNG) of each video among the results.", rich_help_panel=ANSWER
    ),
]
PlotToOption = Annotated[
    Path | None,
    typer.Option(
        "--plot-to",
        help="Draw it there instead: a .png, .pdf or .svg file for one video, or a folder.",
        metavar="OUT",
        rich_help_panel=ANSWER,
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="One HTML page of all videos: player, timeline, events with stills, truth of --manifest.",
        metavar="HTML",
        rich_help_panel=ANSWER,
    ),
]
EmbedOption = Annotated[
    bool,
    typer.Option(
        "--embed",
        help="Put the videos into the page (200 MB at most, as H.264 where browsers need it) instead of linking.",
        rich_help_panel=ANSWER,
    ),
]
OverlayOption = Annotated[
    Path | None,
    typer.Option(
        "--overlay",
        help="Videos with the scores drawn in: an .mp4, .mov or .mkv file for one video, or a folder.",
        metavar="OUT",
        rich_help_panel=ANSWER,
    ),
]


def command(
    paths: Annotated[list[str], typer.Argument(help="Videos, folders, or patterns.", metavar="VIDEO...")],
    checkpoint: CheckpointOption = None,
    labels: LabelsOption = None,
    branch: BranchOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Score from which a snippet is part of an event, 0 to 1.",
            show_default="the checkpoint's, or 0.5",
            metavar="X",
            rich_help_panel=SCORES,
        ),
    ] = None,
    min_seconds: Annotated[
        float,
        typer.Option(min=0, help="Leave out shorter events, seconds.", metavar="S", rich_help_panel=SCORES),
    ] = 0.0,
    motion_prior: Annotated[
        float | None,
        typer.Option(
            help="Halve scores where frames differ by so many grey levels; the stiller, the lower (try 2).",
            metavar="LEVELS",
            rich_help_panel=SCORES,
        ),
    ] = None,
    motion: Annotated[
        Path | None,
        typer.Option(
            "--motion-file",
            help="Curves of vidlang diff for --motion-prior, instead of the videos.",
            metavar="FILE.json",
            rich_help_panel=SCORES,
        ),
    ] = None,
    crop: CropOption = "0",
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Score only the videos that this manifest lists; pictures show its truth.",
            metavar="CSV",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    split: SplitOption = None,
    cached: CachedOption = False,
    plot: PlotOption = True,
    plot_to: PlotToOption = None,
    report: ReportOption = None,
    embed: EmbedOption = False,
    overlay: OverlayOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results.",
            show_default=".vidlang/results/score/<time>",
            metavar="DIR",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    crops: CropsOption = None,
    precision: PrecisionOption = None,
    frame_rate: FrameRateOption = None,
    batch_size: BatchOption = 32,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Anomaly scores, classes and events of videos.

    Uses the newest checkpoint of vidlang train vadclip; without one it scores zero-shot from words. Features that are
    missing are extracted first.

    [bold]Examples[/bold]

      vidlang score video.mp4

      vidlang score cameras/ --labels "fighting,fire,a person falling" --report out.html
    """
    from vidlang.workflows.extract import ExtractOptions
    from vidlang.workflows.score import ScoreOptions, score, score_report_dict
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    answer = score(
        paths,
        place,
        ScoreOptions(
            checkpoint=checkpoint,
            labels=words_of(labels),
            branch=branch.value if branch else None,  # type: ignore[arg-type]
            threshold=threshold,
            min_seconds=min_seconds,
            crop=crop,
            plot=plot,
            plot_to=plot_to,
            report=report,
            embed=embed,
            overlay=overlay,
            device=device or place.settings.device,
            out=out,
            manifest=manifest,
            split=split,
            cached=cached,
            motion_prior=motion_prior,
            motion=motion,
        ),
        recipe_changes(encoder=encoder, stride=stride, pick=pick, fps=fps, crops=crops, precision=precision),
        ExtractOptions(batch_size=batch_size, num_workers=workers, frame_rate=frame_rate),
        TerminalProgress(quiet),
    )
    if json:
        print_json(score_report_dict(answer))
    elif not quiet:
        _show(answer, report)
    end_if_failed(answer, quiet, "scored")


MANY = 20
"""From so many videos on, the terminal shows a table of videos instead of every event."""


def _show(report: ScoreReport, page: Path | None) -> None:
    from vidlang.workflows.score import describe, terminal_sparkline

    if not report.scores:
        return
    say(describe(report))
    if len(report.scores) > MANY:
        print_table(
            ["video", "duration", "peak", "at", "events"],
            [
                [s.video.id, clock(s.video.duration), float(s.anomaly.max()), _peak_time(s), len(events)]
                for s, events in zip(report.scores, report.events, strict=True)
            ],
        )
    else:
        for scores, events in zip(report.scores, report.events, strict=True):
            say("")
            say(f"{scores.video.id}  {clock(scores.video.duration)}  peak {float(scores.anomaly.max()):.2f}")
            say(f"  {terminal_sparkline(scores.anomaly)}")
            for event in events:
                span = f"{clock(event.segment.start)} - {clock(event.segment.end)}"
                say(f"  {span:>17}  {event.label}  {event.score:.2f}")
            if not events:
                say(f"  no snippet reaches {share(report.threshold)}")
    say("")
    say(f"Results in {report.folder}" + (f", page in {page}" if page is not None else ""))


def _peak_time(scores: object) -> str:
    row = int(scores.anomaly.argmax())  # type: ignore[attr-defined]
    return clock(float(scores.seconds[row, 0]))  # type: ignore[attr-defined]
