"""``vidlang eval background``: how much the scores of a checkpoint hang on the background."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidlang.cli.extract import BatchOption, FrameRateOption, WorkersOption
from vidlang.cli.options import (
    DeviceOption,
    JsonOption,
    ManifestOption,
    NormalOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
)
from vidlang.cli.render import TerminalProgress, configure_logging, print_json, print_table, say, warn

if TYPE_CHECKING:
    from vidlang.workflows.evaluate_background import BackgroundReport


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
        typer.Option(help="Name or folder of a VadCLIP checkpoint.", show_default="the newest", metavar="NAME"),
    ] = None,
    manifest: ManifestOption = None,
    split: Annotated[str | None, typer.Option(help="Only this split of the manifest.", metavar="NAME")] = None,
    normal: NormalOption = None,
    method: Annotated[
        MethodChoice,
        typer.Option(
            help="What is kept of a clip: fame, the colours of what moves; seed, what moves; grid; gauss.",
            metavar="NAME",
        ),
    ] = MethodChoice.fame,
    beta: Annotated[float, typer.Option(help="Share of the picture that is kept of the clip.", metavar="X")] = 0.5,
    size: Annotated[
        int, typer.Option(min=32, help="Pixels of the shorter side of merged clips.", metavar="PIXELS")
    ] = 256,
    limit: Annotated[
        int | None, typer.Option(help="Clips of each class, drawn at random.", show_default="all", metavar="N")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws clips and their backgrounds.", metavar="N")] = 0,
    keep: Annotated[
        Path | None,
        typer.Option(help="Empty folder for the merged clips.", show_default="they are deleted", metavar="DIR"),
    ] = None,
    frame_rate: FrameRateOption = None,
    batch_size: BatchOption = 32,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Scores of labelled clips before other clips' backgrounds: does a checkpoint look at what happens, or where?

    What moves in a clip is laid over another clip: of the same class, of
    another abnormal class, and across normal and abnormal, each in a row of
    its own. Compare them with the clips that were only written again.

    [bold]Examples[/bold]

      vidlang eval background videos/

      vidlang eval background --manifest labels.csv --split test --limit 50
    """
    from vidlang.methods.fame.options import MaskOptions
    from vidlang.workflows.evaluate_background import BackgroundOptions, evaluate_background
    from vidlang.workflows.extract import ExtractOptions
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
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
    )
    if json:
        print_json(report.to_dict())
    else:
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
    say(f"flips: across the threshold {report.threshold:.2f}; AUC as they are, after; Spearman's ranks")
    for note in report.notes:
        warn(f"Note: {note}")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
