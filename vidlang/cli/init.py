"""``vidlang init``: a workspace with its settings file."""

from __future__ import annotations

from typing import Annotated

import typer

from vidlang.cli.help import RUNNING
from vidlang.cli.options import (
    DeviceOption,
    EncoderOption,
    JsonOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
)
from vidlang.cli.render import configure_logging, print_json, say


def command(
    encoder: EncoderOption = None,
    device: DeviceOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a settings file that is there.", rich_help_panel=RUNNING)
    ] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a workspace (.vidlang) and write its vidlang.toml.

    Every command makes the folder by itself; init is for choosing defaults once.

    [bold]Examples[/bold]

      vidlang init --encoder mini            # works offline, on a CPU

      vidlang init --encoder clip-vit-l14 --device cuda
    """
    from vidlang.workflows.workspace import init

    configure_logging(verbose)
    path = init(workspace, encoder=encoder, device=device, force=force)
    if json:
        print_json({"schema": "vidlang.init/1", "file": str(path)})
    elif not quiet:
        say(f"Wrote {path}. Next: vidlang extract videos/")
