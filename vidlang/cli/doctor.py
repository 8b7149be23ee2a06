"""``vidlang doctor``: what is installed, what works, what is missing and how to get it."""

from __future__ import annotations

from typing import Annotated

import typer

from vidlang.cli.help import COMMON
from vidlang.cli.options import JsonOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import configure_logging, print_json, print_table, say


def command(
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only what is missing, and its remedy.", rich_help_panel=COMMON)
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """What is installed, which decoders, devices and encoders work here, and what to do about the rest.

    [bold]Examples[/bold]

      vidlang doctor

      vidlang doctor --json
    """
    from vidlang.workflows.doctor import examine

    configure_logging(verbose)
    checks = examine(workspace)
    if json:
        rows = [{"what": c.what, "state": c.state, "found": c.found, "remedy": c.remedy} for c in checks]
        print_json({"schema": "vidlang.doctor/1", "checks": rows})
        return
    if not quiet:
        print_table(["what", "state", "found"], [[c.what, c.state, c.found] for c in checks])
    for check in checks:
        if check.remedy:
            say(f"{check.what}: {check.remedy}")
