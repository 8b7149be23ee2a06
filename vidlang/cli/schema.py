"""``vidlang schema``: the JSON Schemas of answers and result files."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vidlang.cli import complete
from vidlang.cli.help import ANSWER
from vidlang.cli.options import JsonOption
from vidlang.cli.render import print_json, print_table


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Such as scores, score or vidlang.score/1.",
            metavar="NAME",
            show_default=False,
            autocompletion=complete.schemas,
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="All schemas as a page of documentation.", rich_help_panel=ANSWER)
    ] = False,
    json: JsonOption = False,
) -> None:
    """The JSON Schema of an answer or result file; without a name, the list of them.

    Every JSON object of vidlang names its schema and version in the field schema.

    [bold]Examples[/bold]

      vidlang schema

      vidlang schema scores
    """
    from json import dumps

    from vidlang.core.schemas import SCHEMAS, SOURCES, find_schema
    from vidlang.core.schemas.page import schemas_page

    if markdown:
        sys.stdout.write(schemas_page())
    elif name is not None:
        sys.stdout.write(dumps(find_schema(name), indent=2, ensure_ascii=False) + "\n")
    elif json:
        known = [{"name": n, "id": s["$id"], "of": SOURCES[n], "says": s["description"]} for n, s in SCHEMAS.items()]
        print_json({"schema": "vidlang.schemas/1", "schemas": known})
    else:
        print_table(["schema", "of"], [[n, SOURCES[n]] for n in SCHEMAS])
