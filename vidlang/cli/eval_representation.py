"""``vidlang eval representation``: what the features of a video network are worth."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli import complete
from vidlang.cli.eval_output import PlotOption, ReportOption, say_files
from vidlang.cli.extract import WorkersOption
from vidlang.cli.help import RUNNING, VIDEOS
from vidlang.cli.options import (
    DeviceOption,
    EncoderOption,
    JsonOption,
    ManifestOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
)
from vidlang.cli.render import TerminalProgress, configure_logging, print_json, print_table, say, say_notes

COUNTING = "How it is counted"


class CenterChoice(str, Enum):
    none = "none"
    own = "own"
    gallery = "gallery"


def command(
    videos: Annotated[
        list[Path],
        typer.Argument(help="Videos, folders of videos, or patterns.", metavar="VIDEO...", show_default=False),
    ],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Network: name, folder or published file; random: fresh weights alone.",
            show_default="the newest",
            metavar="NAME",
            rich_help_panel=RUNNING,
            autocompletion=complete.checkpoints,
        ),
    ] = None,
    manifest: ManifestOption = None,
    test_fraction: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Share of the videos to test on, where none is of the split test.",
            metavar="X",
            rich_help_panel=VIDEOS,
        ),
    ] = 0.2,
    center: Annotated[
        CenterChoice,
        typer.Option(
            help="Mean taken from the vectors before retrieval: none, own (of each split, published), or gallery.",
            metavar="NAME",
            rich_help_panel=COUNTING,
        ),
    ] = CenterChoice.none,
    short_side: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Shorter side of the frames before the centre crop; 0: as they are (published).",
            show_default="as in the training",
            metavar="PIXELS",
            rich_help_panel=COUNTING,
        ),
    ] = None,
    clips: Annotated[
        int, typer.Option(min=1, help="Windows of each video.", metavar="N", rich_help_panel=COUNTING)
    ] = 10,
    encoder: EncoderOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    plot: PlotOption = None,
    report_file: ReportOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Recognition and retrieval by the features of a video network.

    In the same table: fresh weights, and CLIP features of --encoder where the cache has them. Training videos are the
    gallery, test videos the queries; labels come from folders or the manifest. Classes are named by the checkpoint
    (own), if it knows them, and by a linear probe on the frozen features.

    [bold]Examples[/bold]

      vidlang eval representation videos/ --report features.html

      vidlang eval representation UCF-101/ --manifest ucf101.csv --checkpoint mine --center own --json
    """
    from vidlang.workflows.evaluate_representation import RepresentationOptions, evaluate_representation
    from vidlang.workflows.evaluate_targets import PictureTargets
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    pictures = PictureTargets(plot, report_file)
    place = open_workspace(workspace)
    report = evaluate_representation(
        videos,
        place,
        RepresentationOptions(
            checkpoint=checkpoint,
            manifest=manifest,
            test_fraction=test_fraction,
            center=center.value,
            short_side=short_side,
            num_clips=clips,
            encoder=encoder,
            num_workers=workers,
            device=device or place.settings.device,
        ),
        TerminalProgress(quiet or json),
        pictures,
    )
    if json:
        print_json(report.to_dict())
        return
    if quiet:
        return
    for line in report.summary:
        say(line)
    print_table(*report.table())
    say_files(report.files)
    say_notes(report.notes)
