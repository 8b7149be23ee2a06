"""``vidlang datasets``: published annotations to a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli.options import WorkspaceOption
from vidlang.cli.render import say, warn

app = typer.Typer(help="Published annotations and lists to a manifest.", no_args_is_help=True)


@app.callback()
def top() -> None:
    """Published annotations and lists to a manifest."""


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(help="ucf-crime or xd-violence.", metavar="NAME")],
    folder: Annotated[Path, typer.Argument(help="Folder with the published files.", metavar="FOLDER")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Manifest to write.", metavar="CSV")] = Path("labels.csv"),
    match_cache: Annotated[
        bool, typer.Option("--match-cache", help="Use the ids of the cached videos, matched by file name.")
    ] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Write a manifest (video,label,start_frame,end_frame,split) from published annotation files.

    [bold]Examples[/bold]

      vidlang datasets import ucf-crime VadCLIP/list/ -o ucf-crime.csv

      vidlang datasets import xd-violence annotations/ -o xd.csv --match-cache
    """
    from vidlang.workflows.datasets import import_to_manifest
    from vidlang.workflows.workspace import open_workspace

    summary, notes = import_to_manifest(name, folder, out, open_workspace(workspace) if match_cache else None)
    say(summary)
    for note in notes:
        warn(f"Note: {note}")
