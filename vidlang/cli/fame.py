"""``vidlang fame``: what moves in videos, apart from where it happens; and what networks that learned so look at."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidlang.cli import complete
from vidlang.cli.extract import FrameRateOption
from vidlang.cli.help import ANSWER, RUNNING
from vidlang.cli.options import (
    DeviceOption,
    JsonOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
    given,
    options_from,
    with_options,
)
from vidlang.cli.render import TerminalProgress, configure_logging, end_if_failed, print_json, print_table, say
from vidlang.core.digits import counted
from vidlang.core.words import words_of
from vidlang.methods.fame.options import MaskOptions

if TYPE_CHECKING:
    from vidlang.workflows.fame_mask import MaskReport
    from vidlang.workflows.fame_merge import MergeReport
    from vidlang.workflows.fame_networks import WeightsReport

TITLE = "What moves, apart from where it happens: masks, merging, networks."
app = typer.Typer(help=TITLE, no_args_is_help=True)


class Source(str, Enum):
    inter = "inter"
    intra = "intra"


WindowOption = Annotated[
    int, typer.Option(min=2, help="Frames that share one mask.", metavar="N", rich_help_panel=RUNNING)
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        min=8,
        help="Bring the shorter side down to so many pixels.",
        show_default="as it is",
        metavar="PIXELS",
        rich_help_panel=RUNNING,
    ),
]
CheckpointOption = Annotated[
    str | None,
    typer.Option(
        help="Name, folder, or published file of a network.",
        show_default="the newest of train fame",
        metavar="NAME",
        autocompletion=complete.checkpoints,
        rich_help_panel=RUNNING,
    ),
]


@app.callback()
def top() -> None:
    """What moves, apart from where it happens: masks, merging, networks."""


def mask(
    paths: Annotated[list[str], typer.Argument(help="Videos, folders, or patterns.", metavar="VIDEO...")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="A file (.mp4, .npz or .png) for one video, or a folder.",
            show_default=".vidlang/results/fame-mask/<time>",
            metavar="PATH",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    write: Annotated[
        str,
        typer.Option(help="What goes into a folder: some of mp4, npz, png.", metavar="A,B,..", rich_help_panel=ANSWER),
    ] = "mp4,png",
    plain: Annotated[
        bool, typer.Option("--plain", help="The .mp4 shows the mask alone, in black and white.", rich_help_panel=ANSWER)
    ] = False,
    window: WindowOption = 16,
    size: SizeOption = None,
    frame_rate: FrameRateOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **changes: Any,
) -> None:
    """Which pixels move: one mask for every 16 frames.

    A .mp4 shows the video with its ground dark and grey, a .npz holds the
    masks, a .png shows the windows that move most. Where nothing moves, the
    mask is empty and a warning says so.

    [bold]Examples[/bold]

      vidlang fame mask video.mp4 -o mask.mp4

      vidlang fame mask videos/ --method seed --beta 0.2 --write npz -o masks/
    """
    from vidlang.workflows.fame_mask import MaskVideoOptions, mask_videos
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    options = MaskVideoOptions(
        masks=MaskOptions(**given(MaskOptions, changes)),
        window=window,
        size=size,
        plain=plain,
        kinds=words_of(write) or (),
        out=out,
        frame_rate=frame_rate,
    )
    report = mask_videos(paths, open_workspace(workspace), options, TerminalProgress(quiet))
    if json:
        print_json(report.to_dict())
    elif not quiet:
        _show_masks(report)
    end_if_failed(report, quiet)


def _show_masks(report: MaskReport) -> None:
    if not report.videos:
        return
    print_table(
        ["video", "windows", "no motion", "motion (grey levels)", "area"],
        [[v.video.id, len(v.windows), v.num_still, round(v.energy, 3), round(v.area, 4)] for v in report.videos],
    )
    for video in report.videos:
        for warning in video.warnings:
            say(f"Note: {video.video.id}: {warning}")
    if len(report.files) == 1:
        say(f"Written: {', '.join(map(str, report.files[0]))}")
    else:
        say(f"Results in {report.files[0][0].parent}")


def merge(
    foreground: Annotated[Path, typer.Argument(help="The video whose moving pixels stay.", metavar="FG")],
    background: Annotated[
        Path | None, typer.Argument(help="The video that is seen behind them.", metavar="BG", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The video to write.",
            show_default=".vidlang/results/fame-merge/<time>/",
            metavar="FILE.mp4",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    source: Annotated[
        Source,
        typer.Option(
            "--background",
            help="inter: another video; intra: another time of FG.",
            metavar="NAME",
            rich_help_panel=RUNNING,
        ),
    ] = Source.inter,
    seed: Annotated[
        int, typer.Option(help="intra: draws how far away that time is.", metavar="N", rich_help_panel=RUNNING)
    ] = 0,
    window: WindowOption = 16,
    size: SizeOption = None,
    frame_rate: FrameRateOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **changes: Any,
) -> None:
    """What moves in one video over the frames of another.

    Frame rate and length are FG's. BG runs at its own speed, is scaled and
    cropped to FG's size, and starts again where it ends. Where nothing moves,
    FG's frames stay whole. Sound is not kept.

    [bold]Examples[/bold]

      vidlang fame merge walking.mp4 beach.mp4 -o merged.mp4

      vidlang fame merge walking.mp4 --background intra --seed 3 -o merged.mp4
    """
    from vidlang.workflows.fame_merge import MergeOptions, merge_videos
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    options = MergeOptions(
        masks=MaskOptions(**given(MaskOptions, changes)),
        window=window,
        size=size,
        intra=source is Source.intra,
        seed=seed,
        out=out,
        frame_rate=frame_rate,
    )
    report = merge_videos(foreground, background, open_workspace(workspace), options, TerminalProgress(quiet))
    if json:
        print_json(report.to_dict())
    elif not quiet:
        _show_merged(report)


def _show_merged(report: MergeReport) -> None:
    summary = report.summary
    moving = len(summary.windows) - summary.num_still
    say(
        f"{summary.video.id} over {report.background}: {moving} of {len(summary.windows)} windows merged; "
        f"motion {summary.energy:.3f} grey levels, area {summary.area:.1%}"
    )
    for note in (*report.notes, *summary.warnings):
        say(f"Note: {note}")
    say(f"Written: {report.file}")


def cam(
    video: Annotated[Path, typer.Argument(help="The video.", metavar="VIDEO")],
    checkpoint: CheckpointOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="A .mp4, or a .png of six moments.",
            show_default=".vidlang/results/fame-cam/<time>/",
            metavar="FILE",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    size: SizeOption = None,
    frame_rate: FrameRateOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Where a trained video network looks: its activation over the frames.

    The last feature map, mean over channels, whatever the class. Each clip goes
    from 0 at its least to 1 at its largest: strengths of clips do not compare.

    [bold]Examples[/bold]

      vidlang fame cam video.mp4 -o cam.mp4

      vidlang fame cam video.mp4 --checkpoint pretrained.pth.tar -o cam.png
    """
    from vidlang.workflows.fame_networks import show_activations
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    report = show_activations(
        video,
        place,
        checkpoint,
        out=out,
        size=size,
        frame_rate=frame_rate,
        device=device or place.settings.device,
        progress=TerminalProgress(quiet),
    )
    if json:
        print_json(report.to_dict())
    elif not quiet:
        clips, made_by = counted(len(report.windows), "clip"), report.made_by
        say(f"{report.video.id}: {clips} seen by {made_by['checkpoint']} ({made_by['arch']})")
        for note in report.notes:
            say(f"Note: {note}")
        say(f"Written: {report.file}")


def weights(
    checkpoint: Annotated[
        str, typer.Argument(help="Name, folder, published file, or random (fresh weights).", metavar="CHECKPOINT")
    ],
    other: Annotated[
        str | None, typer.Argument(help="Another one, shown beside it.", metavar="OTHER", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the spreads (PNG).", metavar="FILE.png", rich_help_panel=ANSWER)
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """How widely the kernels of a video network spread along time.

    Wide kernels see changes; narrow ones, or such as repeat a tap, see pictures.
    change is the share of a kernel's energy that differs from tap to tap.

    [bold]Examples[/bold]

      vidlang fame weights mine --plot kernels.png

      vidlang fame weights mine random
    """
    from vidlang.workflows.fame_networks import measure_kernels
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    report = measure_kernels(open_workspace(workspace), checkpoint, other, plot=plot)
    if json:
        print_json(report.to_dict())
    elif not quiet:
        _show_kernels(report)


def _show_kernels(report: WeightsReport) -> None:
    say(f"{report.arch}: {' against '.join(report.networks)}; measured: {report.layers[0][0].measured}")
    if len(report.networks) == 1:
        columns = ["layer", "std", "mean |w|", "near 0", "change"]
        rows = [[s.layer, s.std, s.mean_abs, f"{s.near_zero:.1%}", s.change] for (s,) in report.layers]
    else:
        columns = ["layer", "std", "std of other", "ratio", "change", "of other"]
        rows = [[a.layer, a.std, b.std, a.std / b.std if b.std else None, a.change, b.change] for a, b in report.layers]
    print_table(columns, rows)
    for note in report.notes:
        say(f"Note: {note}")
    if report.plot is not None:
        say(f"Written: {report.plot}")


MASK_PANEL = options_from(MaskOptions, "Mask")
app.command("mask", no_args_is_help=True)(with_options(mask, MASK_PANEL))
app.command("merge", no_args_is_help=True)(with_options(merge, MASK_PANEL))
app.command("cam", no_args_is_help=True)(cam)
app.command("weights", no_args_is_help=True)(weights)
