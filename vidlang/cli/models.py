"""``vidlang models``: encoders and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli.options import JsonOption, WorkspaceOption
from vidlang.cli.render import TerminalProgress, print_json, print_table, say

app = typer.Typer(help="Encoders and trained checkpoints: list, show, pull, import, export.", no_args_is_help=True)


@app.callback()
def top() -> None:
    """Encoders and trained checkpoints: list, show, pull, import, export."""


@app.command("list")
def list_(workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Encoders by name, and the checkpoints of this workspace.

    [bold]Examples[/bold]

      vidlang models list

      vidlang models list --json
    """
    from vidlang.workflows.models import list_models
    from vidlang.workflows.workspace import open_workspace

    encoders, checkpoints = list_models(open_workspace(workspace))
    if json:
        print_json({"schema": "vidlang.models/1", "encoders": encoders, "checkpoints": checkpoints})
        return
    print_table(
        ["encoder", "D", "pixels", "here", "note"],
        [[e["name"], e["dim"], e["image_size"], "yes" if e["available"] else "no", e["note"]] for e in encoders],
    )
    if checkpoints:
        print_table(
            ["checkpoint", "method", "classes", "features"],
            [[c["name"], c["method"], len(c["class_names"]), c["features"]] for c in checkpoints],
        )
    else:
        say("No checkpoints yet. vidlang train vadclip makes one.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Encoder, or checkpoint by name or folder.", metavar="NAME")],
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Everything known about one encoder or checkpoint.

    [bold]Examples[/bold]

      vidlang models show mini

      vidlang models show 20260101-120000 --json
    """
    from vidlang.workflows.models import show_model
    from vidlang.workflows.workspace import open_workspace

    facts, card = show_model(open_workspace(workspace), name)
    if json:
        print_json({"schema": "vidlang.model/1", **facts})
        return
    print_table(["", ""], [[key, _shown(value)] for key, value in facts.items()])
    if card:
        say(card)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="Encoder name or hub id (org/name@revision).", metavar="NAME")],
) -> None:
    """Download an encoder into the Hugging Face cache (the only command that downloads).

    [bold]Examples[/bold]

      vidlang models pull clip-vit-b16

      vidlang models pull laion/CLIP-ViT-B-32-laion2B-s34B-b79K
    """
    from vidlang.workflows.models import pull_model

    say(f"{name} is in {pull_model(name)}")


@app.command("import")
def import_(
    method: Annotated[str, typer.Argument(help="Method of the checkpoint: vadclip.", metavar="METHOD")],
    file: Annotated[Path, typer.Argument(help="Published file, such as model_ucf.pth.", metavar="FILE")],
    preset: Annotated[str, typer.Option(help="What it was trained as: ucf-crime or xd-violence.", metavar="NAME")],
    encoder: Annotated[str, typer.Option(help="The CLIP that it was trained on.", metavar="NAME")] = "clip-vit-b16",
    stride: Annotated[int, typer.Option(min=1, help="Frames per snippet of its features.")] = 16,
    name: Annotated[str | None, typer.Option(help="Name in the registry.", show_default="time")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """A published checkpoint into the registry; the file is read as plain tensors, nothing in it runs.

    [bold]Examples[/bold]

      vidlang models import vadclip model_ucf.pth --preset ucf-crime

      vidlang models import vadclip checkpoint.pth --preset xd-violence --name xd-official
    """
    from vidlang.workflows.models import import_checkpoint
    from vidlang.workflows.workspace import open_workspace

    folder, facts = import_checkpoint(open_workspace(workspace), method, file, preset, encoder, stride, name)
    say(f"{facts}. Registered as {folder}")


@app.command()
def export(
    method: Annotated[str, typer.Argument(help="Method of the checkpoint: vadclip.", metavar="METHOD")],
    file: Annotated[Path, typer.Argument(help="File to write, in the published layout (.pth).", metavar="FILE")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Name or folder.", show_default="the newest", metavar="NAME")
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help="Encoder whose weights go into the file, or a published .pth to take them from.",
            show_default="the checkpoint's own",
            metavar="NAME",
        ),
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """A checkpoint in the published layout (own weights and the CLIP under clipmodel.*).

    [bold]Examples[/bold]

      vidlang models export vadclip model_ucf.pth

      vidlang models export vadclip out.pth --clip model_ucf.pth
    """
    from vidlang.workflows.models import export_checkpoint
    from vidlang.workflows.workspace import open_workspace

    say(export_checkpoint(open_workspace(workspace), method, file, checkpoint, clip, TerminalProgress()))
