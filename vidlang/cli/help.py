"""How ``--help`` looks: one quiet column of options, one of what they mean, grouped by panels, as wide as the terminal.

Typer's own table gives types and ranges a column each, which leaves half of 80 columns for the words.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

from typer.core import TyperCommand, TyperGroup

LEFT_WIDTH = 28
"""Columns of option and metavar; a longer one has its help on the next line."""
MAX_WIDTH = 100
"""Wider lines are hard to read, however wide the terminal."""

ANSWER = "Answer"
VIDEOS = "Which videos"
SAMPLING = "Sampling (part of the recipe)"
NUMBERS = "Numbers (part of the recipe)"
RUNNING = "Running"
COMMON = "Common"
LAST_PANELS = (ANSWER, RUNNING, COMMON)
"""What every command has stands below what it alone has, in this order."""
OTHER = "Options"
UNBROKEN = "\N{NO-BREAK SPACE}"


class Command(TyperCommand):
    """A command with this help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        print_help(self, ctx)


class Group(TyperGroup):
    """A group of commands with this help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        print_help(self, ctx)


def print_help(command: Any, ctx: Any) -> None:
    """The help of a command or group on stdout."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    width = min(console.width, MAX_WIDTH)
    console.print(Text.assemble(("Usage: ", "bold"), _usage(command, ctx)), width=width)
    for text in _description(command.help or "", width):
        console.print(Text.from_markup(text, emoji=False), soft_wrap=True)
    for panels in (_command_panels(command, ctx), _parameter_panels(command, ctx)):
        left_width = min(LEFT_WIDTH, max((len(left) for _, rows in panels for left, *_ in rows), default=0) + 4)
        for title, rows in panels:
            console.print(Text(f"\n{title}", style="bold"))
            for left, help_text, note in rows:
                console.print(_row(left, help_text, note, left_width, width), soft_wrap=True)
    if command.epilog:
        console.print(Text("\n" + textwrap.fill(command.epilog, width - 1)), soft_wrap=True)


def _usage(command: Any, ctx: Any) -> str:
    arguments = [_metavar(p) if p.required else f"[{_metavar(p)}]" for p in _arguments(command)]
    if hasattr(command, "commands"):
        arguments = ["COMMAND", "..."]
    return " ".join([ctx.command_path, "[OPTIONS]", *arguments])


def _description(text: str, width: int) -> Iterable[str]:
    """Lines with markup: paragraphs are filled, indented ones (examples) stay as they are, under one another."""
    before_indented = False
    for paragraph in inspect.cleandoc(text).partition("\f")[0].split("\n\n"):
        indented = paragraph.startswith(" ")
        if not paragraph.strip():
            continue
        if not (indented and before_indented):
            yield ""
        if indented:
            yield from (_command_line(line, width - 3) for line in paragraph.replace("[", r"\[").split("\n"))
        else:
            yield _fill_markup(paragraph, width - 1)
        before_indented = indented or paragraph.startswith("[bold]Examples")


def _command_line(line: str, width: int) -> str:
    """As a shell takes it where it is too long for one line: a backslash at the end, the rest further in."""
    wrapped = textwrap.wrap(
        line, width, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )
    return " \\\n".join(wrapped)


def _fill_markup(paragraph: str, width: int) -> str:
    """Filled as if the few tags of rich took no room; a tag never holds a space."""
    tags = re.findall(r"\[/?bold\]", paragraph)
    if not tags:
        return _fill(" ".join(paragraph.split()), width).replace("[", r"\[")
    return paragraph


def _fill(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_on_hyphens=False)


Row = tuple[str, str, str]  # what is typed, what it means, defaults and the like


def _arguments(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "argument" and not getattr(p, "hidden", False)]


def _parameter_panels(command: Any, ctx: Any) -> list[tuple[str, list[Row]]]:
    """Arguments, then panels of options in the order of their first option, what all commands share last."""
    panels: dict[str, list[Row]] = {}
    for param in _arguments(command):
        panels.setdefault("Arguments", []).append((_metavar(param), param.help or "", _note(param)))
    for param in command.get_params(ctx):
        if param.param_type_name == "argument" or getattr(param, "hidden", False):
            continue
        panel = COMMON if "--help" in param.opts else getattr(param, "rich_help_panel", None) or OTHER
        panels.setdefault(panel, []).append((_option(param), getattr(param, "help", "") or "", _note(param)))
    first = [name for name in panels if name not in LAST_PANELS]
    return [(name, panels[name]) for name in [*first, *(n for n in LAST_PANELS if n in panels)]]


def _command_panels(command: Any, ctx: Any) -> list[tuple[str, list[Row]]]:
    panels: dict[str, list[Row]] = {}
    for name in getattr(command, "commands", {}):
        child = command.get_command(ctx, name)
        if child is None or child.hidden:
            continue
        summary = inspect.cleandoc(child.short_help or child.help or "").split("\n\n")[0]
        panels.setdefault(getattr(child, "rich_help_panel", None) or "Commands", []).append((name, summary, ""))
    return list(panels.items())


def _option(param: Any) -> str:
    """``--out, -o FILE``, ``--plot / --no-plot``."""
    names = sorted(param.opts, key=lambda name: not name.startswith("--"))
    text = ", ".join(names)
    if param.secondary_opts:
        text += f" / {', '.join(param.secondary_opts)}"
    return text if getattr(param, "is_flag", False) else f"{text} {_metavar(param)}"


def _metavar(param: Any) -> str:
    metavar = param.metavar or ("NAME" if choices_of(param) else param.name.upper().replace("_", "-"))
    if param.param_type_name == "argument":
        metavar = metavar.strip("[]") if not metavar.endswith("...") else metavar[:-3].strip("[]") + "..."
        if param.nargs != 1 and not metavar.endswith("..."):
            metavar += "..."
    return str(metavar)


def choices_of(param: Any) -> tuple[str, ...]:
    """The words that an option or argument takes, where it takes no others."""
    kind = getattr(param, "type_descriptor", None) or param.type  # typer's own type, or that of the click below it
    return tuple(str(c.value) if isinstance(c, Enum) else str(c) for c in getattr(kind, "choices", None) or ())


def _note(param: Any) -> str:
    """Choices that the help does not name, and the default."""
    notes = []
    choices = choices_of(param)
    missing = [choice for choice in choices if choice not in (getattr(param, "help", "") or "")]
    if missing and param.metavar != "on|off":
        notes.append(f"one of {', '.join(choices)}")
    default = _default(param)
    if default:
        notes.append(f"default: {default}")
    elif param.required and param.param_type_name == "option":
        notes.append("required")
    return f"[{'; '.join(notes)}]" if notes else ""


def _default(param: Any) -> str:
    shown, default = getattr(param, "show_default", None), param.default
    if isinstance(shown, str):
        return shown
    if shown is False or default is None or callable(default) or type(default).__name__ == "Sentinel":
        return ""
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, bool):
        if not param.secondary_opts:
            return ""
        return str((param.opts if default else param.secondary_opts)[0]).lstrip("-")
    if isinstance(default, Sequence) and not isinstance(default, str):
        return ", ".join(map(str, default))
    return str(default)


def _row(left: str, help_text: str, note: str, left_width: int, width: int) -> Any:
    from rich.text import Text

    right = max(width - left_width - 1, 20)
    words = [*help_text.split(), note.replace(" ", UNBROKEN) if len(note) < right else note]
    lines = _fill(" ".join(filter(None, words)), right).replace(UNBROKEN, " ").split("\n")
    row = Text(f"  {left}".ljust(left_width), style="cyan")
    if len(left) + 4 > left_width:
        row.append("\n" + " " * left_width)
    row.append(f"\n{' ' * left_width}".join(lines), style="default")
    return row


def dress(app: Any) -> None:
    """This help for every command of a ``typer.Typer`` and of the groups in it."""
    app.info.cls = Group
    for known in app.registered_commands:
        if known.cls is None or not issubclass(known.cls, Command):
            known.cls = Command
    for group in app.registered_groups:
        group.cls = Group
        dress(group.typer_instance)
