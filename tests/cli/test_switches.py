"""On|off options: a bare one is on, and a word after it that is neither on nor off stays what it is."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from vidlang.cli.options import WithSwitches, given, options_from, with_options


@dataclasses.dataclass(frozen=True)
class Config:
    no_kd: bool = dataclasses.field(default=False, metadata={"help": "leave the distillation out"})
    rounds: int = dataclasses.field(default=3, metadata={"help": "rounds of both steps"})


@dataclasses.dataclass(frozen=True)
class Named:
    kind: Literal["conv", "infonce"] = dataclasses.field(default="conv", metadata={"help": "kind of network"})
    width: int = dataclasses.field(default=3, metadata={"help": "conv: snippets that it spans"})
    scale: int = dataclasses.field(default=3, metadata={"help": "of infonce: what multiplies cosines"})
    graph: bool = dataclasses.field(default=True, metadata={"help": "exp(-distance / e) as it is"})
    rate: float = dataclasses.field(default=0.1, metadata={"help": "rate of a conv and of all others: small"})


def test_help_begins_with_a_capital_unless_it_is_typed_as_it_stands():
    words = {p.name: p.annotation.__metadata__[0].help for p in options_from(Named, "Method")}
    assert words["kind"].startswith("Kind of") and words["rate"].startswith("Rate of a conv")
    assert words["width"].startswith("conv: ") and words["scale"].startswith("of infonce: ")
    assert words["graph"].startswith("exp(-")


@pytest.mark.parametrize(
    ("words", "videos", "changes"),
    [
        ([], [], {}),
        (["--no-kd"], [], {"no_kd": True}),
        (["--no-kd", "on"], [], {"no_kd": True}),
        (["--no-kd", "off"], [], {"no_kd": False}),
        (["--no-kd", "--rounds", "2"], [], {"no_kd": True, "rounds": 2}),
        (["--no-kd", "a.mp4"], ["a.mp4"], {"no_kd": True}),
        (["a.mp4", "--no-kd"], ["a.mp4"], {"no_kd": True}),
    ],
)
def test_a_bare_switch_is_on(words, videos, changes):
    seen: dict[str, Any] = {}
    app = typer.Typer()

    def train(videos: list[str] | None = typer.Argument(None), **values: Any) -> None:
        seen.update(videos=videos or [], changes=given(Config, values))

    app.command(cls=WithSwitches)(with_options(train, options_from(Config, "Method")))
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert seen == {"videos": videos, "changes": changes}
