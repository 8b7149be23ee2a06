"""The ``vidlang`` command: its sub-commands, and the one place where errors become a line and an exit code.

Exit codes: 0 if every video succeeded, 1 if any failed or the work could not be done, 2 for usage, 130 if interrupted.
"""

from __future__ import annotations

import ctypes
import io
import os
import sys
from typing import Annotated

import typer

from vidlang import __version__
from vidlang.cli import (
    cache,
    datasets,
    demo,
    diff,
    doctor,
    evaluate,
    extract,
    fame,
    index,
    init,
    localize,
    models,
    retrieve,
    score,
    train,
)
from vidlang.cli.options import WithSwitches
from vidlang.cli.render import warn
from vidlang.core.errors import BadInput, UnknownName, VidlangError

INTERRUPTED = 130
MALLOPT_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h

app = typer.Typer(
    name="vidlang",
    help="Video in, language-aligned understanding out: extract features, train, score anomalies, retrieve videos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Start: vidlang extract videos/ · vidlang train vadclip · vidlang score video.mp4",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"vidlang {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Video in, language-aligned understanding out: extract features, train, score anomalies, retrieve videos."""


app.command("init", rich_help_panel="Start")(init.command)
app.command("demo", rich_help_panel="Start")(demo.command)
app.command("doctor", rich_help_panel="Start")(doctor.command)
app.command("extract", rich_help_panel="Work", no_args_is_help=True)(extract.command)
app.add_typer(train.app, name="train", rich_help_panel="Work")
app.command("score", rich_help_panel="Work", no_args_is_help=True)(score.command)
app.command("localize", rich_help_panel="Work", no_args_is_help=True, cls=WithSwitches)(localize.command)
app.command("diff", rich_help_panel="Work", no_args_is_help=True)(diff.command)
app.add_typer(fame.app, name="fame", rich_help_panel="Work")
app.command("retrieve", rich_help_panel="Work", no_args_is_help=True)(retrieve.command)
app.add_typer(evaluate.app, name="eval", rich_help_panel="Work")
app.add_typer(cache.app, name="cache", rich_help_panel="Keep")
app.add_typer(index.app, name="index", rich_help_panel="Keep")
app.add_typer(models.app, name="models", rich_help_panel="Keep")
app.add_typer(datasets.app, name="datasets", rich_help_panel="Keep")


def main() -> None:
    """Entry point of the console script."""
    # Idle OpenMP threads sleep instead of spinning, which would take the cores from decoding and from other programs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _give_memory_back()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal has not is shown as an escape
            stream.reconfigure(errors="backslashreplace")
    code = _exit_code()
    if code == INTERRUPTED:
        warn("Interrupted. What was finished is kept; the same command goes on from there.")
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _give_memory_back() -> None:
    """Buffers from 1 MiB on go back to the system when they are freed, where the C library is glibc.

    By itself it raises that limit to 32 MiB as it goes. Batches of frames are made in one thread and freed in another,
    and then its heaps grow by 8 MiB per minute of video.
    """
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).mallopt(MALLOPT_MMAP_THRESHOLD, 1 << 20)
    except (AttributeError, OSError):  # another C library
        return


def _exit_code() -> int:
    verbose = "--verbose" in sys.argv or "-v" in sys.argv
    try:
        app()
    except SystemExit as leaving:  # how typer ends, with 130 after Ctrl-C
        return leaving.code if isinstance(leaving.code, int) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except (VidlangError, OSError) as error:
        if verbose:
            raise
        warn(f"Error: {error if isinstance(error, VidlangError) else _machine_trouble(error)}")
        return 2 if isinstance(error, (BadInput, UnknownName)) else 1
    return 0


def _machine_trouble(error: OSError) -> str:
    """A full disk, a folder that may not be written, too many open files."""
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}. Make room or give access, or choose another place; --verbose shows more."
