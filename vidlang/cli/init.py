"""``vidlang init``: a workspace with its settings file."""

from __future__ import annotations

from typing import Annotated

import typer

from vidlang.cli.options import DeviceOption, EncoderOption, WorkspaceOption
from vidlang.cli.render import say


def command(
    encoder: EncoderOption = None,
    device: DeviceOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a settings file that is there.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Make a workspace (.vidlang) and write its vidlang.toml.

    Every command makes the folder by itself; init is for choosing defaults once.

    [bold]Examples[/bold]

      vidlang init --encoder mini            # works offline, on a CPU

      vidlang init --encoder clip-vit-l14 --device cuda
    """
    from vidlang.workflows.workspace import init

    path = init(workspace, encoder=encoder, device=device, force=force)
    say(f"Wrote {path}. Next: vidlang extract videos/")
