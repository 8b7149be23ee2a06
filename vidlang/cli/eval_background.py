"""``vidlang eval background``: how much the scores of a checkpoint hang on the background."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidlang.cli import complete
from vidlang.cli.eval_output import PlotOption, ReportOption, SplitOption, say_files
from vidlang.cli.extract import BatchOption, FrameRateOption, WorkersOption
from vidlang.cli.help import RUNNING, VIDEOS
from vidlang.cli.options import (
    DeviceOption,
    JsonOption,
    ManifestOption,
    NormalOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
)
from vidlang.cli.render import TerminalProgress, configure_logging, print_json, print_table, say, say_notes, warn
from vidlang.core.digits import share

if TYPE_CHECKING:
    from vidlang.workflows.evaluate_background import BackgroundReport


MERGING = "Merged clips"


class MethodChoice(str, Enum):
    fame = "fame"
    seed = "seed"
    grid = "grid"
    gauss = "gauss"


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="Videos, folders, or patterns.", show_default="the manifest's folder", metavar="VIDEO..."),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Name or folder of a VadCLIP checkpoint.",
            show_default="the newest",
            metavar="NAME",
            rich_help_panel=RUNNING,
            autocompletion=complete.checkpoints,
        ),
    ] = None,
    manifest: ManifestOption = None,
    split: SplitOption = None,
    normal: NormalOption = None,
    method: Annotated[
        MethodChoice,
        typer.Option(
            help="What is kept of a clip: fame, the colours of what moves; seed, what moves; grid; gauss.",
            metavar="NAME",
            rich_help_panel=MERGING,
        ),
    ] = MethodChoice.fame,
    beta: Annotated[
        float,
        typer.Option(
            help="Share of the picture, 0 to 1, that is kept of the clip.", metavar="X", rich_help_panel=MERGING
        ),
    ] = 0.5,
    size: Annotated[
        int,
        typer.Option(
            min=32, help="Pixels of the shorter side of merged clips.", metavar="PIXELS", rich_help_panel=MERGING
        ),
    ] = 256,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Clips of each class, drawn at random.", show_default="all", metavar="N", rich_help_panel=VIDEOS
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Draws clips and their backgrounds.", metavar="N", rich_help_panel=MERGING)
    ] = 0,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="Empty folder for the merged clips.",
            show_default="they are deleted",
            metavar="DIR",
            rich_help_panel=MERGING,
        ),
    ] = None,
    frame_rate: FrameRateOption = None,
    batch_size: BatchOption = 32,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    plot: PlotOption = None,
    report_file: ReportOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """How much the scores of a checkpoint hang on the background.

    What moves in a labelled clip is laid over another clip: of the same class, of another abnormal class, and across
    normal and abnormal, each in a row of its own. Compare them with the clips that were only written again.

    [bold]Examples[/bold]

      vidlang eval background videos/

      vidlang eval background --manifest labels.csv --limit 50 --plot swaps.png
    """
    from vidlang.methods.fame.options import MaskOptions
    from vidlang.workflows.evaluate_background import BackgroundOptions, evaluate_background
    from vidlang.workflows.evaluate_targets import PictureTargets
    from vidlang.workflows.extract import ExtractOptions
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    pictures = PictureTargets(plot, report_file)
    place = open_workspace(workspace)
    report = evaluate_background(
        paths or [],
        place,
        BackgroundOptions(
            checkpoint=checkpoint,
            manifest=manifest,
            split=split,
            normal=normal,
            masks=MaskOptions(method=method.value, beta=beta),  # type: ignore[arg-type]
            size=size,
            limit=limit,
            seed=seed,
            keep=keep,
            device=device or place.settings.device,
        ),
        ExtractOptions(batch_size=batch_size, num_workers=workers, frame_rate=frame_rate),
        TerminalProgress(quiet),
        pictures,
    )
    if json:
        print_json(report.to_dict())
    elif not quiet:
        _show(report)
    if report.failed:
        warn(f"{len(report.failed)} clips failed; the others are compared.")
        raise typer.Exit(1)


def _show(report: BackgroundReport) -> None:
    made_by = report.made_by
    masks = f"{report.masks.method}, beta {report.masks.beta:g}"
    say(f"checkpoint {made_by.get('checkpoint')}, encoder {made_by.get('encoder')}; masks {masks}")
    print_table(
        ["background", "clips", "change", "shift", "flips", "AUC", "after", "ranks"],
        [
            [
                row.name,
                row.num_clips,
                _short(row.mean_change),
                _short(row.mean_shift),
                f"{row.flips:.0%}",
                _short(row.auc_before),
                _short(row.auc_after),
                _short(row.rank_correlation),
            ]
            for row in report.rows
        ],
    )
    say("change, shift: mean absolute and signed difference of clips' highest scores")
    say(f"flips: across the threshold {share(report.threshold)}; AUC as they are, after; Spearman's ranks")
    say_files(report.files)
    say_notes(report.notes)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
