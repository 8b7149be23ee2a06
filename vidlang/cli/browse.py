"""``vidlang browse``: look at the cache in a browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli import complete
from vidlang.cli.help import RUNNING, VIDEOS
from vidlang.cli.options import DeviceOption, JsonOption, ManifestOption, QuietOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import TerminalProgress, configure_logging, print_json, say, warn
from vidlang.core.digits import counted

SPLIT_HELP = "Only videos of this split of the manifest: train, val or test."


def command(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ids of cached videos, or patterns such as 'fight/*'.",
            show_default="all",
            metavar="[PATTERN]...",
            autocompletion=complete.cached_videos,
        ),
    ] = None,
    videos: Annotated[
        list[Path] | None,
        typer.Option(
            "--videos",
            help="Folder that was given to vidlang extract, for the player and stills; may be given several times.",
            show_default="here, beside the workspace, and folders there",
            metavar="DIR",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Only features of this recipe, by the fingerprint that vidlang cache list shows.",
            metavar="HEX",
            rich_help_panel=VIDEOS,
            autocompletion=complete.recipes,
        ),
    ] = None,
    manifest: ManifestOption = None,
    split: Annotated[
        str | None, typer.Option("--split", help=SPLIT_HELP, metavar="NAME", rich_help_panel=VIDEOS)
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            help="Folder that vidlang score or localize wrote, or one full of them.",
            show_default="the newest of each video in the workspace",
            metavar="DIR",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            help="Port on this machine; 0: a free one.",
            metavar="N",
            rich_help_panel=RUNNING,
        ),
    ] = 0,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address and open no browser.", rich_help_panel=RUNNING)
    ] = False,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Look at the cached videos in a browser: list, search, play at an event.

    The pages are served on this machine alone, to whoever has the address that is printed. They show the newest scores
    and actions of each video, search by words, by a video or by a frame, and change nothing. Ctrl-C stops.

    [bold]Examples[/bold]

      vidlang browse

      vidlang browse 'fight/*' --videos videos/ --no-open
    """
    from vidlang.workflows.browse import BrowseOptions, browse
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    options = BrowseOptions(
        patterns=tuple(patterns or ()),
        recipe=recipe,
        manifest=manifest,
        split=split,
        videos=tuple(videos or ()),
        results=results,
        port=port,
        device=device or place.settings.device,
    )
    # Ctrl-C is how this ends well, from the moment on at which the address is out
    with browse(place, options, TerminalProgress(quiet)) as server, suppress(KeyboardInterrupt):
        if json:
            print_json(server.to_dict())
        else:
            say(server.url)
        sys.stdout.flush()  # a program that started this waits for the address
        if not quiet:
            warn(f"{counted(server.num_videos, 'video')}. Ctrl-C stops.")
        if not no_open and _has_screen():
            webbrowser.open(server.ticket())
        server.serve()


def _has_screen() -> bool:
    """Whether a browser can show itself; a text browser would take the terminal."""
    if sys.platform.startswith(("win", "darwin")):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
