"""What the commands of ``vidlang eval`` share: options for pictures and pages, and what is said of the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli.help import ANSWER, VIDEOS
from vidlang.cli.render import say

PlotOption = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        help="Pictures: a .png or .pdf with all on one sheet, or a folder for one each.",
        metavar="PATH",
        rich_help_panel=ANSWER,
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="One self-contained .html with tables, pictures and the worst videos.",
        metavar="HTML",
        rich_help_panel=ANSWER,
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option("--split", help="Judge only this split of the manifest.", metavar="NAME", rich_help_panel=VIDEOS),
]


def say_files(files: Sequence[Path]) -> None:
    """Where pictures and the page are."""
    if files:
        say(f"Written: {', '.join(map(str, files))}")
