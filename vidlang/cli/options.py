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

from vidlang.core.errors import BadInput

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", help="Folder of cache, models and results.", show_default=".vidlang", metavar="DIR"),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no messages; errors only.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens; show where errors come from.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON on stdout.")]
DeviceOption = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", show_default="auto", metavar="DEVICE")
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        help="Name (vidlang models list), hub id, or folder of a CLIP.", show_default="clip-vit-b16", metavar="NAME"
    ),
]
ManifestOption = Annotated[
    Path | None,
    typer.Option(
        "--manifest", help="CSV of video,label[,start,end][,split] instead of labels by folder.", metavar="CSV"
    ),
]
NormalOption = Annotated[
    str | None, typer.Option("--normal", help="Name of the normal class.", show_default="normal", metavar="NAME")
]


def options_from(config: type, *, leave_out: frozenset[str] = frozenset()) -> list[inspect.Parameter]:
    """One keyword option per field of a config dataclass; None where the user says nothing, so that a preset decides.

    The field's ``metadata["help"]`` is the help text, its default is shown.
    """
    hints = typing.get_type_hints(config)
    parameters = []
    for field in dataclasses.fields(config):
        if field.name in leave_out or not field.metadata.get("help"):
            continue
        kind, is_many = _option_type(hints[field.name])
        if kind is None:
            continue
        text = field.metadata["help"]
        default = field.default if field.default is not dataclasses.MISSING else None
        shown = ",".join(map(str, default)) if is_many and default else default
        option = typer.Option(help=text, show_default=str(shown) if shown is not None else False)
        annotation = Annotated[Union[kind, None], option]  # type: ignore[valid-type]  # noqa: UP007
        parameters.append(
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return parameters


def _option_type(hint: Any) -> tuple[Any, bool]:
    """The type that typer should ask for, and whether it is a comma-separated list. (None, False): not an option."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        kinds = [argument for argument in arguments if argument is not type(None)]
        return _option_type(kinds[0]) if len(kinds) == 1 else (None, False)
    if origin is Literal:
        return Enum("Choice", {str(a): str(a) for a in arguments}, type=str), False
    if origin is tuple:
        return str, True
    return (hint, False) if hint in (int, float, str, bool) else (None, False)


def given(config: type, values: dict[str, Any]) -> dict[str, Any]:
    """The options that the user gave, as values of the config's types."""
    hints = typing.get_type_hints(config)
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, Enum):
            value = value.value
        if typing.get_origin(hints[name]) is tuple:
            kind = typing.get_args(hints[name])[0]
            try:
                value = tuple(kind(part) for part in value.split(",") if part.strip())
            except ValueError as error:
                flag = name.replace("_", "-")
                raise BadInput(f"--{flag} takes {kind.__name__}s separated by commas, got {value!r}.") from error
        changes[name] = value
    return changes


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
