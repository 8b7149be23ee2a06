"""``vidlang demo``: all four roads, end to end, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidlang.cli.help import ANSWER, RUNNING
from vidlang.cli.options import DryRunOption, JsonOption, QuietOption, VerboseOption
from vidlang.cli.render import TerminalProgress, configure_logging, print_json, print_table, say, show_plan

if TYPE_CHECKING:
    from vidlang.workflows.demo_folder import Step


def command(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for videos, workspace, results and the page.",
            metavar="DIR",
            rich_help_panel=ANSWER,
        ),
    ] = Path("vidlang-demo"),
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Fewer and shorter videos, few passes: all runs, nothing gets good.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    videos_per_class: Annotated[
        int | None,
        typer.Option(
            min=4,
            help="Short videos of each kind of event to render.",
            show_default="14; quick: 4",
            metavar="N",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Start of all randomness.", metavar="N", rich_help_panel=RUNNING)
    ] = 0,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Render a small labelled street-camera collection and run all four roads on it.

    Anomalies, retrieval, actions in time and motion, with the bundled encoder
    and without network; each beside the truth, chance and motion energy. The
    world is drawn and the encoder weak: it shows that everything works, not
    how good it is on your videos. Ctrl-C and the same command again go on.

    [bold]Examples[/bold]

      vidlang demo

      vidlang demo --quick --out /tmp/demo
    """
    from vidlang.workflows.demo import PAGE, demo_dict, honest_words, plan_demo, run_demo
    from vidlang.workflows.demo_folder import DemoOptions

    configure_logging(verbose)
    options = DemoOptions(seed, videos_per_class, quick, processes=None)
    if dry_run:
        show_plan(plan_demo(out, options), json=json, quiet=quiet)
        return
    steps = run_demo(out, options, TerminalProgress(quiet))
    if json:
        print_json(demo_dict(out, list(steps)))
        return
    for number, step in enumerate(steps):
        if number == 0:
            for word in honest_words():
                say(word)
            say(f"Commands are as you would type them inside {out}.")
        _show(step)
    say("")
    for word in honest_words():
        say(word)
    say(f"Page with all pictures: {out / PAGE}")


def _show(step: Step) -> None:
    say("")
    say(f"== {step.title}" + (" (finished earlier)" if step.earlier else f" ({step.cpu_seconds:.1f} CPU s)"))
    for command in step.commands:
        say(f"$ {command}")
    for line in step.lines:
        say(line)
    for table in step.tables:
        print_table(table.columns, table.rows, title=table.title)
