"""``vidlang datasets``: published annotations to a manifest or to a truth of retrieval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli import complete
from vidlang.cli.help import ANSWER, VIDEOS
from vidlang.cli.options import DryRunOption, JsonOption, QuietOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import configure_logging, print_json, say, say_notes, show_plan

app = typer.Typer(help="Published annotations to a manifest or a truth.", no_args_is_help=True)


@app.callback()
def top() -> None:
    """Published annotations to a manifest or a truth."""


@app.command("import")
def import_(
    name: Annotated[
        str,
        typer.Argument(
            help="ucf-crime, xd-violence, thumos14, activitynet, ucf101, hmdb51, kinetics, cc-web, fivr-5k, fivr-200k, "
            "evve, vcdb, or pairs.",
            metavar="NAME",
            autocompletion=complete.datasets,
        ),
    ],
    path: Annotated[Path, typer.Argument(help="The published file, or the folder that holds it.", metavar="PATH")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File to write.",
            show_default="labels.csv or truth.json",
            metavar="FILE",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="FIVR: edition of the labels, dns-2021 or official.",
            show_default=False,
            metavar="EDITION",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    split_number: Annotated[
        int | None,
        typer.Option(
            help="UCF101, HMDB51: which split, 1 to 3.",
            min=1,
            max=3,
            show_default="1",
            metavar="N",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    match_cache: Annotated[
        bool,
        typer.Option(
            "--match-cache", help="Use the ids of the cached videos, matched by file name.", rich_help_panel=VIDEOS
        ),
    ] = False,
    dry_run: DryRunOption = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a manifest (video,label,times,split), or for sets of video retrieval a truth (JSON).

    THUMOS14 and ActivityNet are read from the annotation JSON, from THUMOS14's text files, or from W-TALC's .npy files.
    UCF101 and HMDB51 are read from their lists of a split, Kinetics from class folders or from its CSV lists.
    Retrieval sets are read from JSON or the published pickle; pairs from a CSV. Code in pickles is never run.

    [bold]Examples[/bold]

      vidlang datasets import ucf-crime VadCLIP/list/ -o ucf-crime.csv

      vidlang datasets import xd-violence annotations/ -o xd.csv --match-cache

      vidlang datasets import thumos14 gt.json -o thumos14.csv

      vidlang datasets import ucf101 ucfTrainTestlist/ -o ucf101.csv --split-number 2

      vidlang datasets import fivr-5k fivr.pickle -o fivr-5k.json
    """
    from vidlang.workflows.datasets import import_annotations, import_dict, plan_import
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    cache = open_workspace(workspace) if match_cache else None
    if dry_run:
        show_plan(plan_import(name, path, out, cache, labels, split_number), json=json, quiet=quiet)
        return
    summary, notes = import_annotations(name, path, out, cache, labels, split_number)
    if json:
        print_json(import_dict(summary, notes))
    elif not quiet:
        say(summary)
    say_notes(notes, quiet)
