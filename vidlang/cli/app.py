"""The ``vidlang`` command: its sub-commands, and the one place where errors become a line and an exit code.

Exit codes: 0 if every video succeeded, 1 if any failed or the work could not be done, 2 for usage, 130 if interrupted.
They also stand in the help of ``vidlang``.
"""

from __future__ import annotations

import copy
import ctypes
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from vidlang import __version__
from vidlang.cli import (
    browse,
    cache,
    config,
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
    plan,
    retrieve,
    schema,
    score,
    train,
    watch,
)
from vidlang.cli.help import choices_of, dress
from vidlang.cli.options import WithSwitches
from vidlang.cli.render import warn
from vidlang.core.errors import BadInput, UnknownName, VidlangError, did_you_mean

INTERRUPTED = 130
UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")
"""Of typer, which has it under no name of its own that all versions share."""
MALLOPT_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h

app = typer.Typer(
    name="vidlang",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
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
    """Video in, language-aligned understanding out: extract features, train, score anomalies, retrieve videos.

    [bold]Examples[/bold]

      vidlang extract videos/

      vidlang train vadclip

      vidlang score video.mp4

    Exit codes: 0 all went well, 1 a video failed or the work could not be done, 2 wrong usage, 130 interrupted.
    """


app.command("init", rich_help_panel="Start")(init.command)
app.command("demo", rich_help_panel="Start")(demo.command)
app.command("doctor", rich_help_panel="Start")(doctor.command)
app.command("config", rich_help_panel="Start")(config.command)
app.command("extract", rich_help_panel="Work", no_args_is_help=True)(extract.command)
app.command("plan", rich_help_panel="Work", no_args_is_help=True)(plan.command)
app.add_typer(train.app, name="train", rich_help_panel="Work")
app.command("score", rich_help_panel="Work", no_args_is_help=True)(score.command)
app.command("localize", rich_help_panel="Work", no_args_is_help=True, cls=WithSwitches)(localize.command)
app.command("watch", rich_help_panel="Work", no_args_is_help=True)(watch.command)
app.command("diff", rich_help_panel="Work", no_args_is_help=True)(diff.command)
app.add_typer(fame.app, name="fame", rich_help_panel="Work")
app.command("retrieve", rich_help_panel="Work", no_args_is_help=True)(retrieve.command)
app.command("browse", rich_help_panel="Work")(browse.command)
app.add_typer(evaluate.app, name="eval", rich_help_panel="Work")
app.add_typer(cache.app, name="cache", rich_help_panel="Keep")
app.add_typer(index.app, name="index", rich_help_panel="Keep")
app.add_typer(models.app, name="models", rich_help_panel="Keep")
app.add_typer(datasets.app, name="datasets", rich_help_panel="Keep")
app.command("schema", rich_help_panel="Keep")(schema.command)
dress(app)


def main() -> None:
    """Entry point of the console script."""
    # Idle OpenMP threads sleep instead of spinning, which would take the cores from decoding and from other programs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _give_memory_back()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal has not is shown as an escape
            stream.reconfigure(errors="backslashreplace")
    code = _exit_code()
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


def only_with(words: Sequence[str]) -> typer.Typer:
    """The app with the one command that the words name, or whole: typer takes long to build what is not asked for."""
    name = next((word for word in words if not word.startswith("-")), None)
    commands = [known for known in app.registered_commands if known.name == name]
    groups = [known for known in app.registered_groups if known.name == name]
    if not commands and not groups:
        return app
    small = copy.copy(app)
    small.registered_commands, small.registered_groups = commands, groups
    return small


def _words() -> list[str]:
    """What stands behind ``vidlang``; where a shell asks for completions, what stands before the cursor."""
    if "_VIDLANG_COMPLETE" not in os.environ:
        return sys.argv[1:]
    line = os.environ.get("_TYPER_COMPLETE_ARGS", "").split() or os.environ.get("COMP_WORDS", "").split()
    return line[1:-1]  # the last word is not finished


def _exit_code() -> int:
    verbose = "--verbose" in sys.argv or "-v" in sys.argv
    try:
        # not standalone, so that errors come here and not in a box
        code = only_with(_words())(prog_name="vidlang", standalone_mode=False)
    except SystemExit as leaving:  # how completion ends, and a stream that was told to
        return leaving.code if isinstance(leaving.code, int) else 1
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except UsageError as error:
        if text := _usage_trouble(error):
            warn(text)
        return 2
    except (VidlangError, OSError) as error:
        if verbose:
            raise
        warn(f"Error: {error if isinstance(error, VidlangError) else _machine_trouble(error)}")
        return 2 if isinstance(error, (BadInput, UnknownName)) else 1
    if code == INTERRUPTED:  # typer makes this of Ctrl-C
        warn("Interrupted. What was finished is kept; the same command goes on from there.")
    return code if isinstance(code, int) else 0


def _usage_trouble(error: Any) -> str:
    """One line: what is wrong with the words of the command, what may be meant, which help to read.

    Empty where the help was printed instead.
    """
    near = getattr(error, "possibilities", None)
    text = " ".join(str(error.message if near else error.format_message()).split()).rstrip(".")
    text = text.replace("Value error, ", "")  # which some versions of typer put before what is wrong
    context = getattr(error, "ctx", None)
    if not text:
        return ""
    if near:
        text += f". Did you mean {near[0]}?"
    else:
        text += _near_choice(error) or ("" if text.endswith("?") else ".")
    return f"Error: {text} See: {context.command_path if context else 'vidlang'} --help"


def _near_choice(error: Any) -> str:
    """``. Did you mean 'middle'?`` where a word is close to one that the option takes."""
    param, said = getattr(error, "param", None), re.search(r"'(.+?)' is not one of", str(error.message))
    near = did_you_mean(said[1], choices_of(param)) if param is not None and said else ""
    return f".{near}" if near else ""


def _machine_trouble(error: OSError) -> str:
    """A full disk, a folder that may not be written, too many open files."""
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}. Make room or give access, or choose another place; --verbose shows more."
