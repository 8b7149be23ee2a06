"""``vidlang demo``: the main job, end to end, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli.options import QuietOption, VerboseOption
from vidlang.cli.render import TerminalProgress, configure_logging, print_table, say


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for videos, workspace and pictures.")] = Path(
        "vidlang-demo"
    ),
    videos_per_class: Annotated[int, typer.Option(min=4, help="Short videos of each class to render.")] = 14,
    seed: Annotated[int, typer.Option(help="Start of all randomness.")] = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Render a small labelled street-camera collection and run the whole road on it.

    Renders videos, then does what these four commands do, with the bundled encoder and without network:
    extract, train vadclip, score, eval anomaly. The scores are of a small rendered world; they show that everything
    works, not how good it is on yours.

    [bold]Examples[/bold]

      vidlang demo

      vidlang demo --out /tmp/demo --videos-per-class 20
    """
    from vidlang.workflows.demo import run_demo

    configure_logging(verbose)
    for step in run_demo(out, videos_per_class=videos_per_class, seed=seed, progress=TerminalProgress(quiet)):
        say(f"\n$ {step.command}")
        for line in step.lines:
            say(line)
        if step.rows:
            print_table(step.columns, step.rows)
