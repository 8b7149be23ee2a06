"""``vidlang diff``: how much moves where and when in videos."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidlang.cli.extract import FpsOption, FrameRateOption, StrideOption
from vidlang.cli.help import ANSWER, RUNNING
from vidlang.cli.options import JsonOption, QuietOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import TerminalProgress, clock, configure_logging, end_if_failed, print_json, print_table, say
from vidlang.core.errors import BadInput
from vidlang.core.words import words_of

if TYPE_CHECKING:
    from vidlang.workflows.diff import DiffReport, KnownMotion

MANY = 20
"""From so many videos on, the terminal shows a table instead of curves."""


def command(
    paths: Annotated[list[str], typer.Argument(help="Videos, folders, or patterns.", metavar="VIDEO...")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="A file (.mp4 or .png of one video; .json, .csv), or a folder.",
            show_default=".vidlang/results/diff/<time>",
            metavar="PATH",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    write: Annotated[
        str,
        typer.Option(
            help="What goes into a folder: some of json, csv, png, mp4.", metavar="A,B,..", rich_help_panel=ANSWER
        ),
    ] = "json,csv,png",
    compensate: Annotated[
        bool,
        typer.Option("--compensate", help="Take the shift of a panning camera off first.", rich_help_panel=RUNNING),
    ] = False,
    size: Annotated[
        int,
        typer.Option(
            min=0,
            help="Compare with the shorter side at so many pixels; 0: full size.",
            metavar="PIXELS",
            rich_help_panel=RUNNING,
        ),
    ] = 360,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Compare so many frames per second.",
            show_default="every frame",
            metavar="RATE",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    hottest: Annotated[
        float,
        typer.Option(help="Grey levels of the lightest colour of the .mp4.", metavar="LEVELS", rich_help_panel=ANSWER),
    ] = 40.0,
    stride: StrideOption = None,
    fps: FpsOption = None,
    frame_rate: FrameRateOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Answer as CSV on stdout.", rich_help_panel=ANSWER)] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """How much moves, where and when: differences between neighbouring frames.

    One number for each snippet of vidlang extract: the mean difference from
    a frame to the next, in grey levels (0 to 255). A .mp4 shows it over every
    frame, a .png over the mean frame, with the curve. score and localize take
    the .json: --motion-prior 1 --motion-file FILE.json

    [bold]Examples[/bold]

      vidlang diff video.mp4 -o heat.mp4

      vidlang diff videos/ -o motion.json --quiet

      vidlang diff drone.mp4 --compensate --write png,mp4 -o drone/
    """
    from vidlang.workflows.diff import DiffOptions, MotionOptions, diff, motion_csv
    from vidlang.workflows.workspace import open_workspace

    if json and csv:
        raise BadInput("--json and --csv are two answers; ask for one of them.")
    configure_logging(verbose)
    options = DiffOptions(
        motion=MotionOptions(size or None, rate, compensate),
        stride=stride,
        fps=fps,
        kinds=words_of(write) or (),
        hottest=hottest,
        out=out,
        frame_rate=frame_rate,
    )
    report = diff(paths, open_workspace(workspace), options, TerminalProgress(quiet))
    if json:
        print_json(report.to_dict())
    elif csv:
        sys.stdout.write(motion_csv(report.videos))
    elif not quiet:
        _show(report)
    end_if_failed(report, quiet)


def _show(report: DiffReport) -> None:
    from vidlang.workflows.diff import terminal_sparkline

    if not report.videos:
        return
    say(report.describe())
    if len(report.videos) > MANY:
        print_table(["video", "duration", "mean", "peak", "at"], [_row(known) for known in report.videos])
    else:
        for known in report.videos:
            video, length, mean, peak, at = _row(known)
            say("")
            say(f"{video}  {length}  mean {mean:.2f}  peak {peak:.2f} at {at}{_camera(known)}")
            say(f"  {terminal_sparkline(known.curve)}")
    say("")
    say(f"Written: {report.out}" if report.out.is_file() else f"Results in {report.out}")


def _row(known: KnownMotion) -> tuple[str, str, float, float, str]:
    curve = known.curve
    peak = int(curve.energy.argmax())
    at = clock(float(curve.seconds[peak, 0]))
    return curve.video.id, clock(curve.video.duration), float(curve.energy.mean()), float(curve.energy[peak]), at


def _camera(known: KnownMotion) -> str:
    """How far the camera moves, where that was looked for."""
    shift = known.curve.shift
    if shift is None:
        return ""
    speed = (shift.astype("float64") ** 2).sum(axis=1) ** 0.5
    return f"  camera up to {float(speed.max()):.1f} pixels a step" if speed.any() else "  the camera stands"
