"""``vidlang doctor``: what is installed, what works, what is missing and how to get it."""

from __future__ import annotations

from vidlang.cli.options import JsonOption, WorkspaceOption
from vidlang.cli.render import print_json, print_table, say


def command(workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """What is installed, which decoders, devices and encoders work here, and what to do about the rest.

    [bold]Examples[/bold]

      vidlang doctor

      vidlang doctor --json
    """
    from vidlang.workflows.doctor import examine

    checks = examine(workspace)
    if json:
        rows = [{"what": c.what, "state": c.state, "found": c.found, "remedy": c.remedy} for c in checks]
        print_json({"schema": "vidlang.doctor/1", "checks": rows})
        return
    print_table(["what", "state", "found"], [[c.what, c.state, c.found] for c in checks])
    for check in checks:
        if check.remedy:
            say(f"{check.what}: {check.remedy}")
