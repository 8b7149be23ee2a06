"""Options that several commands share, and options built from a method's config dataclass."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import typer

from vidlang.cli import complete
from vidlang.cli.help import ANSWER, COMMON, NUMBERS, RUNNING, VIDEOS, Command
from vidlang.core.errors import BadInput

SWITCH = "on|off"

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        help="Folder of cache, models and results.",
        show_default=".vidlang",
        metavar="DIR",
        rich_help_panel=COMMON,
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, no messages; errors only.", rich_help_panel=COMMON)
]
NamesOnlyOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Names only, one a line, and no messages.", rich_help_panel=COMMON)
]
VerboseOption = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Log what happens; show where errors come from.", rich_help_panel=COMMON),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Answer as JSON on stdout (vidlang schema).", rich_help_panel=ANSWER)
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be done and write nothing.", rich_help_panel=RUNNING),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        help="auto, cpu, cuda, cuda:1 or mps.",
        show_default="auto",
        metavar="DEVICE",
        rich_help_panel=COMMON,
        autocompletion=complete.devices,
    ),
]
CacheUrlOption = Annotated[
    str | None,
    typer.Option(
        "--cache",
        help="Another cache: a folder, a packed file, or a URL such as s3://bucket/prefix.",
        show_default="the workspace's",
        metavar="PLACE",
        rich_help_panel=COMMON,
    ),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        help="Name (vidlang models list), hub id, or folder of a CLIP.",
        show_default="clip-vit-b16",
        metavar="NAME",
        rich_help_panel=NUMBERS,
        autocompletion=complete.encoders,
    ),
]
ManifestOption = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        help="CSV of video,label[,start,end][,split] instead of labels by folder.",
        metavar="CSV",
        rich_help_panel=VIDEOS,
    ),
]
NormalOption = Annotated[
    str | None,
    typer.Option(
        "--normal",
        help="Name of the normal class.",
        show_default="normal",
        metavar="NAME",
        rich_help_panel=VIDEOS,
    ),
]


def options_from(config: type, panel: str) -> list[inspect.Parameter]:
    """One keyword option per field of a config dataclass; None where the user says nothing, so that a preset decides.

    The field's ``metadata["help"]`` is the help text; choices and default stand behind it. Metavars are short, since a
    wide second column leaves no room for the help in a terminal of 80 columns.
    """
    hints = typing.get_type_hints(config)
    forms = {field.name: _Form.of(hints[field.name]) for field in dataclasses.fields(config)}
    typed = {choice for form in forms.values() if form is not None for choice in form.choices}
    parameters = []
    for field in dataclasses.fields(config):
        help_text, form = field.metadata.get("help"), forms[field.name]
        if not help_text or form is None:
            continue
        text = _sentence(help_text, typed)
        choices = f" One of {', '.join(form.choices)}." if form.choices else ""
        option = typer.Option(
            help=f"{text.rstrip('.')}.{choices}",
            metavar=form.metavar,
            show_default=form.show(field.default) or False,
            rich_help_panel=panel,
        )
        annotation = Annotated[Union[form.kind, None], option]  # type: ignore[name-defined]  # noqa: UP007
        parameters.append(
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return parameters


def _sentence(text: str, typed: set[str]) -> str:
    """With a capital, unless it begins with what is typed as it stands: ``fame: …``, ``cbp conv: …``, ``exp(…) …``."""
    words = text.partition(":")[0].split() if ":" in text else []
    as_typed = "(" in text.split()[0] or (len(words) <= 2 and bool(typed.intersection(words)))
    return text if as_typed else text[0].upper() + text[1:]


@dataclasses.dataclass(frozen=True)
class _Form:
    """How a config field is written on the command line."""

    kind: Any
    """What typer asks for."""
    metavar: str
    choices: tuple[str, ...] = ()
    many: type | None = None
    """Type of the parts of a comma-separated list."""

    @classmethod
    def of(cls, hint: Any) -> _Form | None:
        """None for a type that has no form here."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (Union, types.UnionType):
            kinds = [argument for argument in arguments if argument is not type(None)]
            return cls.of(kinds[0]) if len(kinds) == 1 else None
        if origin is Literal:
            names = tuple(str(argument) for argument in arguments)
            return cls(Enum("Choice", {name: name for name in names}, type=str), "NAME", names)
        if origin is tuple:
            return cls(str, "A,B,..", many=arguments[0])
        if hint is bool:  # one word after the option, so that there is no second column of --no-options
            return cls(Enum("Switch", {"on": "on", "off": "off"}, type=str), SWITCH)
        simple = {int: "N", float: "X", str: "TEXT"}
        return cls(hint, simple[hint]) if hint in simple else None

    def show(self, default: Any) -> str:
        if default is dataclasses.MISSING or default is None:
            return ""
        if isinstance(default, bool):
            return "on" if default else "off"
        return ",".join(map(str, default)) if self.many else str(default)


def given(config: type, values: dict[str, Any]) -> dict[str, Any]:
    """The options that the user gave, as values of the config's types."""
    hints = typing.get_type_hints(config)
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        value = value.value if isinstance(value, Enum) else value
        form = _Form.of(hints[name])
        if hints[name] is bool:
            value = value == "on"
        elif form is not None and form.many is not None:
            try:
                value = tuple(form.many(part) for part in value.split(",") if part.strip())
            except ValueError as error:
                flag = name.replace("_", "-")
                raise BadInput(f"--{flag} takes {form.many.__name__}s separated by commas, got {value!r}.") from error
        changes[name] = value
    return changes


class WithSwitches(Command):
    """A command whose on|off options may stand alone: ``--no-kd`` is ``--no-kd on``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        switches = {name for param in self.params if param.metavar == SWITCH for name in param.opts}  # type: ignore[attr-defined]
        said: list[str] = []
        for place, word in enumerate(args):
            said.append(word)
            if word in switches and args[place + 1 : place + 2] not in (["on"], ["off"]):
                said.append("on")
        return super().parse_args(ctx, said)


def parameters(**options: tuple[Any, Any]) -> list[inspect.Parameter]:
    """Options by name, each as (annotation, default), which several commands take by ``with_options``."""
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]


def with_options(function: Callable[..., None], extra: list[inspect.Parameter]) -> Callable[..., None]:
    """``function`` with its ``**changes`` replaced by the options in ``extra``, for typer to read."""
    signature = inspect.signature(function, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {p.name for p in own}
    parameters = own + [p for p in extra if p.name not in taken]

    def command(**values: Any) -> None:
        function(**values)

    command.__name__ = function.__name__
    command.__doc__ = function.__doc__
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    )
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command
