"""``vidlang watch``: scores and events of a stream while it goes on."""

from __future__ import annotations

import contextlib
import json as json_module
import os
import signal
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from vidlang.cli.extract import (
    BatchOption,
    CropsOption,
    FpsOption,
    PickOption,
    PrecisionOption,
    StrideOption,
    recipe_changes,
)
from vidlang.cli.help import ANSWER
from vidlang.cli.options import DeviceOption, EncoderOption, QuietOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import TerminalProgress, configure_logging, warn
from vidlang.cli.score import SCORES, BranchOption, CheckpointOption, CropOption, LabelsOption
from vidlang.core.errors import BadInput
from vidlang.core.words import words_of

READING = "Reading the stream"
INTERRUPTED, TERMINATED = "interrupted", "terminated"
SIGINT_CODE = 130


class OnLag(str, Enum):
    drop = "drop"
    wait = "wait"


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="Address (rtsp, http, udp, …), camera number or /dev/video0, file, FIFO, folder that a recorder "
            "writes to, or - for stdin.",
            metavar="SOURCE",
        ),
    ],
    labels: LabelsOption = None,
    checkpoint: CheckpointOption = None,
    branch: BranchOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Score from which an event begins.",
            show_default="the checkpoint's, or 0.5",
            metavar="X",
            rich_help_panel=SCORES,
        ),
    ] = None,
    end_threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Score under which it ends.",
            show_default="--threshold",
            metavar="X",
            rich_help_panel=SCORES,
        ),
    ] = None,
    min_seconds: Annotated[
        float,
        typer.Option(
            min=0, help="Tell of events that last so long, seconds.", metavar="SECONDS", rich_help_panel=SCORES
        ),
    ] = 0.0,
    merge_gap: Annotated[
        float,
        typer.Option(
            min=0, help="Low scores for so many seconds end no event.", metavar="SECONDS", rich_help_panel=SCORES
        ),
    ] = 0.0,
    delay: Annotated[
        float,
        typer.Option(
            min=0,
            help="A score waits so many seconds at most after its snippet, computing not counted.",
            metavar="SECONDS",
            rich_help_panel=SCORES,
        ),
    ] = 4.0,
    context: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds behind a snippet that a checkpoint sees before its score is told.",
            show_default="half of --delay",
            metavar="SECONDS",
            rich_help_panel=SCORES,
        ),
    ] = None,
    crop: CropOption = "0",
    on_lag: Annotated[
        OnLag | None,
        typer.Option(
            help="What cannot be kept up with: drop frames, or let the sender wait.",
            show_default="drop for cameras and addresses, wait for others",
            metavar="NAME",
            rich_help_panel=READING,
        ),
    ] = None,
    max_lag: Annotated[
        float,
        typer.Option(help="Drop when frames have waited so many seconds.", metavar="SECONDS", rich_help_panel=READING),
    ] = 5.0,
    timeout: Annotated[
        float,
        typer.Option(
            help="A connection without data for so many seconds is lost.", metavar="SECONDS", rich_help_panel=READING
        ),
    ] = 10.0,
    give_up: Annotated[
        float | None,
        typer.Option(
            help="End, with exit code 1, after so many seconds without a frame.",
            show_default="never",
            metavar="SECONDS",
            rich_help_panel=READING,
        ),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="End after so many seconds.", show_default="never", metavar="SECONDS", rich_help_panel=READING
        ),
    ] = None,
    real_time: Annotated[
        bool, typer.Option("--real-time", help="Read a file as fast as it plays.", rich_help_panel=READING)
    ] = False,
    from_start: Annotated[
        bool,
        typer.Option("--from-start", help="Of a folder, read what is there already too.", rich_help_panel=READING),
    ] = False,
    settle: Annotated[
        float,
        typer.Option(
            help="A folder's newest file is complete when it has not grown for so many seconds.",
            metavar="SECONDS",
            rich_help_panel=READING,
        ),
    ] = 5.0,
    ffmpeg: Annotated[
        list[str] | None,
        typer.Option(
            help="Option for FFmpeg, such as rtsp_transport=udp; may be repeated.",
            metavar="KEY=VALUE",
            show_default=False,
            rich_help_panel=READING,
        ),
    ] = None,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    crops: CropsOption = None,
    precision: PrecisionOption = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="A line for every snippet, not for events alone.", rich_help_panel=ANSWER)
    ] = False,
    status: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds between two lines about how it goes; 0: none.",
            metavar="SECONDS",
            rich_help_panel=ANSWER,
        ),
    ] = 60.0,
    save_clips: Annotated[
        Path | None,
        typer.Option(help="Folder for an MP4 of every event.", metavar="DIR", rich_help_panel=ANSWER),
    ] = None,
    before: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds of video before an event, and after it.",
            metavar="SECONDS",
            rich_help_panel=ANSWER,
        ),
    ] = 5.0,
    longest_clip: Annotated[
        float,
        typer.Option(
            help="An event that goes on has no more video after so many seconds.",
            metavar="SECONDS",
            rich_help_panel=ANSWER,
        ),
    ] = 300.0,
    json: Annotated[
        bool,
        typer.Option("--json", help="JSON Lines on stdout, which is always so.", rich_help_panel=ANSWER),
    ] = False,
    batch_size: BatchOption = 32,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Scores and events of a stream while it goes on, as JSON Lines.

    The scores of vidlang score, in constant memory and with a bounded delay. A source that breaks off is opened again.
    Ends with SIGTERM (exit code 0) or Ctrl-C; an open event is closed first.

    [bold]Examples[/bold]

      vidlang watch rtsp://user:password@camera/stream --labels "fighting,fire"

      vidlang watch recordings/ --checkpoint shop --save-clips events/ --delay 10
    """
    from vidlang.workflows.score import ScoreOptions
    from vidlang.workflows.watch import LiveOptions, WatchOptions, watch
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    options = WatchOptions(
        score=ScoreOptions(
            checkpoint=checkpoint,
            labels=words_of(labels),
            branch=branch.value if branch else None,  # type: ignore[arg-type]
            threshold=threshold,
            min_seconds=min_seconds,
            crop=crop,
            device=device or place.settings.device,
        ),
        live=LiveOptions(
            on_lag=on_lag.value if on_lag else None,  # type: ignore[arg-type]
            max_lag=max_lag,
            timeout=timeout,
            give_up=give_up,
            real_time=real_time,
            from_start=from_start,
            settle=settle,
            ffmpeg=_pairs(ffmpeg or []),
        ),
        delay=delay,
        context=context,
        batch_size=batch_size,
        end_threshold=end_threshold,
        merge_gap=merge_gap,
        scores=scores,
        status=status,
        clips=save_clips,
        before=before,
        longest_clip=longest_clip,
        max_seconds=max_seconds,
    )
    changes = recipe_changes(encoder=encoder, stride=stride, pick=pick, fps=fps, crops=crops, precision=precision)
    try:
        with _signals() as told:
            report = watch(
                source,
                place,
                options,
                changes,
                emit=_print_line,
                stop=lambda: told[0] if told else None,
                progress=TerminalProgress(quiet),
            )
    except KeyboardInterrupt as again:  # a second one, before the open event was closed
        raise SystemExit(SIGINT_CODE) from again
    except BrokenPipeError:  # who reads our lines has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if not quiet:
        warn(report.line())
    if report.reason == INTERRUPTED:
        raise SystemExit(SIGINT_CODE)  # not typer's: there is nothing that the same command would go on from


def _print_line(line: dict[str, Any]) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(json_module.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _signals() -> Iterator[list[str]]:
    """What signals have asked for so far. A second Ctrl-C ends at once."""
    told: list[str] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if told and number == signal.SIGINT:
            raise KeyboardInterrupt
        told.append(INTERRUPTED if number == signal.SIGINT else TERMINATED)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in texts)
    wrong = [text for text in texts if "=" not in text]
    if wrong:
        raise BadInput(f"--ffmpeg takes KEY=VALUE, such as rtsp_transport=udp, got {wrong[0]!r}.")
    return pairs
