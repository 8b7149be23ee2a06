"""``vidlang config``: the settings that hold here, and where each comes from."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vidlang.cli.help import ANSWER
from vidlang.cli.options import JsonOption, NamesOnlyOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import configure_logging, print_json, print_table, say, say_notes


def command(
    key: Annotated[
        str | None, typer.Argument(help="Only the value of this setting.", metavar="KEY", show_default=False)
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="All settings as a page of documentation.", rich_help_panel=ANSWER)
    ] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: NamesOnlyOption = False,
    verbose: VerboseOption = False,
) -> None:
    """The settings that hold here, and where each comes from.

    A flag beats an environment variable (VIDLANG_ENCODER), that beats vidlang.toml of the workspace, and that beats
    the default.

    [bold]Examples[/bold]

      vidlang config

      vidlang config encoder
    """
    from vidlang.workflows.configuration import (
        configuration_dict,
        configuration_page,
        known_settings,
        one_setting,
        unknown_variables,
    )

    configure_logging(verbose)
    if markdown:
        sys.stdout.write(configuration_page())
        return
    settings = known_settings(workspace)
    if key is not None:
        settings = [one_setting(settings, key)]
    notes = unknown_variables()
    if json:
        print_json(configuration_dict(settings, notes))
        return
    if quiet or key is not None:
        for setting in settings:
            say(setting.key if key is None else _shown(setting.value))
        return
    print_table(["setting", "value", "from"], [[s.key, _shown(s.value), s.origin] for s in settings])
    say_notes(notes)


def _shown(value: object) -> str:
    return "" if value is None else str(value)
