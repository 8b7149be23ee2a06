"""``vidlang models``: encoders and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli import complete
from vidlang.cli.help import ANSWER, COMMON, NUMBERS, RUNNING, SAMPLING
from vidlang.cli.options import JsonOption, NamesOnlyOption, QuietOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import TerminalProgress, configure_logging, print_json, print_table, say

app = typer.Typer(help="Encoders and trained checkpoints: list, show, pull, import, export.", no_args_is_help=True)


@app.callback()
def top() -> None:
    """Encoders and trained checkpoints: list, show, pull, import, export."""


@app.command("list")
def list_(
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: NamesOnlyOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Encoders by name, and the checkpoints of this workspace.

    [bold]Examples[/bold]

      vidlang models list

      vidlang models list --json
    """
    from vidlang.workflows.models import list_models
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    encoders, checkpoints = list_models(open_workspace(workspace))
    if json:
        print_json({"schema": "vidlang.models/1", "encoders": encoders, "checkpoints": checkpoints})
        return
    if quiet:
        for model in [*encoders, *checkpoints]:
            say(model["name"])
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
    name: Annotated[
        str,
        typer.Argument(
            help="Encoder, or checkpoint by name or folder.", metavar="NAME", autocompletion=complete.models
        ),
    ],
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="The facts without the model card.", rich_help_panel=COMMON)
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """Everything known about one encoder or checkpoint.

    [bold]Examples[/bold]

      vidlang models show mini

      vidlang models show 20260101-120000 --json
    """
    from vidlang.workflows.models import show_model
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    facts, card = show_model(open_workspace(workspace), name)
    if json:
        print_json({"schema": "vidlang.model/1", **facts})
        return
    print_table(["", ""], [[key, _shown(value)] for key, value in facts.items()])
    if card and not quiet:
        say(card)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


@app.command()
def pull(
    name: Annotated[
        str,
        typer.Argument(
            help="Encoder name or hub id (org/name@revision).", metavar="NAME", autocompletion=complete.encoders
        ),
    ],
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Download an encoder into the Hugging Face cache (the only command that downloads).

    [bold]Examples[/bold]

      vidlang models pull clip-vit-b16

      vidlang models pull laion/CLIP-ViT-B-32-laion2B-s34B-b79K
    """
    from vidlang.workflows.models import pull_model

    configure_logging(verbose)
    folder = pull_model(name)
    if json:
        print_json({"schema": "vidlang.models.pull/1", "encoder": name, "folder": str(folder)})
    elif not quiet:
        say(f"{name} is in {folder}")


@app.command("import")
def import_(
    method: Annotated[str, typer.Argument(help="Method of the checkpoint: vadclip.", metavar="METHOD")],
    file: Annotated[Path, typer.Argument(help="Published file, such as model_ucf.pth.", metavar="FILE")],
    preset: Annotated[
        str,
        typer.Option(help="What it was trained as: ucf-crime or xd-violence.", metavar="NAME", rich_help_panel=RUNNING),
    ],
    encoder: Annotated[
        str,
        typer.Option(
            help="The CLIP that it was trained on.",
            metavar="NAME",
            rich_help_panel=NUMBERS,
            autocompletion=complete.encoders,
        ),
    ] = "clip-vit-b16",
    stride: Annotated[
        int, typer.Option(min=1, help="Frames per snippet of its features.", metavar="N", rich_help_panel=SAMPLING)
    ] = 16,
    name: Annotated[
        str | None,
        typer.Option(help="Name in the registry.", show_default="time", metavar="NAME", rich_help_panel=ANSWER),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """A published checkpoint into the registry; the file is read as plain tensors, nothing in it runs.

    [bold]Examples[/bold]

      vidlang models import vadclip model_ucf.pth --preset ucf-crime

      vidlang models import vadclip checkpoint.pth --preset xd-violence --name xd-official
    """
    from vidlang.workflows.models import import_checkpoint
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    folder, facts = import_checkpoint(open_workspace(workspace), method, file, preset, encoder, stride, name)
    if json:
        print_json({"schema": "vidlang.models.import/1", "summary": facts, "folder": str(folder)})
    elif not quiet:
        say(f"{facts}. Registered as {folder}")


@app.command()
def export(
    method: Annotated[str, typer.Argument(help="Method of the checkpoint: vadclip.", metavar="METHOD")],
    file: Annotated[Path, typer.Argument(help="File to write, in the published layout (.pth).", metavar="FILE")],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Name or folder.",
            show_default="the newest",
            metavar="NAME",
            rich_help_panel=RUNNING,
            autocompletion=complete.checkpoints,
        ),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help="Encoder whose weights go into the file, or a published .pth to take them from.",
            show_default="the checkpoint's own",
            metavar="NAME",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """A checkpoint in the published layout (own weights and the CLIP under clipmodel.*).

    [bold]Examples[/bold]

      vidlang models export vadclip model_ucf.pth

      vidlang models export vadclip out.pth --clip model_ucf.pth
    """
    from vidlang.workflows.models import export_checkpoint
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    summary = export_checkpoint(open_workspace(workspace), method, file, checkpoint, clip, TerminalProgress(quiet))
    if json:
        print_json({"schema": "vidlang.models.export/1", "summary": summary, "file": str(file)})
    elif not quiet:
        say(summary)
