"""Help, versions, and options that come from a method's config: every command is walked."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
import unicodedata
from typing import Any

import pytest
import typer

from vidlang import __version__
from vidlang.cli.app import app
from vidlang.cli.help import ANSWER, COMMON
from vidlang.methods.vadclip.config import PRESETS, VadClipConfig

ROOT: Any = typer.main.get_command(app)


def commands(group: Any = ROOT, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command line that has a help of its own: groups and what is in them."""
    found = {path: group}
    for name, child in getattr(group, "commands", {}).items():
        found |= commands(child, (*path, name))
    return found


ALL = commands()
GROUPS = {path for path, command in ALL.items() if hasattr(command, "commands")}
LEAVES = sorted(set(ALL) - GROUPS)
FEW = 6
"""So many options of its own a command may leave in one panel."""

WITHOUT: dict[tuple[str, ...], set[str]] = {
    ("schema",): {"--quiet", "--verbose"},  # prints a document that is JSON or Markdown in any case
}
"""What a command does not take, each with its reason."""


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def examples(path: tuple[str, ...]) -> list[str]:
    """The command lines below the word Examples, as they stand in the docstring."""
    after = (ALL[path].help or "").partition("[bold]Examples[/bold]")[2]
    lines = [line.strip() for line in after.splitlines() if line.startswith(" ")]
    return [line for line in lines if line.startswith(" ".join(("vidlang", *path)))]


def options(path: tuple[str, ...]) -> list[Any]:
    shown = [p for p in ALL[path].params if p.param_type_name == "option" and not getattr(p, "hidden", False)]
    return [p for p in shown if "--help" not in p.opts]


def test_the_commands_of_the_plan_are_there():
    expected = {("init",), ("demo",), ("doctor",), ("config",), ("schema",), ("extract",), ("score",)}
    expected |= {("retrieve",), ("localize",), ("diff",), ("datasets", "import")}
    expected |= {("train", name) for name in ("vadclip", "tca", "wtal", "fame")}
    expected |= {("eval", name) for name in ("anomaly", "retrieval", "localization", "representation", "background")}
    expected |= {("fame", name) for name in ("mask", "merge", "cam", "weights")}
    expected |= {("index", name) for name in ("build", "update", "info", "fit-whitening")}
    expected |= {("cache", name) for name in ("list", "verify", "compare", "import", "export", "pack", "rm")}
    expected |= {("models", name) for name in ("list", "show", "pull", "import", "export")}
    assert expected <= set(LEAVES)


@pytest.mark.parametrize("path", sorted(ALL), ids=" ".join)
def test_every_help_fits_80_columns_and_begins_with_a_summary(vidlang, path):
    answer = vidlang(*path, "--help")
    assert answer.code == 0 and answer.err == ""
    assert "\x1b[" not in answer.out
    usage, empty, summary, *rest = answer.out.splitlines()
    assert max(map(width, answer.out.splitlines())) <= 80
    assert usage.startswith(" ".join(("Usage: vidlang", *path))) and empty == "" and len(summary) > 10
    for command in getattr(ALL[path], "commands", {}):
        assert any(line.split()[:1] == [command] for line in rest), f"{command} is not listed"


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_examples_of_every_help_are_command_lines_that_parse(vidlang, path):
    found = examples(path)
    assert len(found) >= 2
    shown = re.sub(r" \\\n +", " ", vidlang(*path, "--help").out)  # as a shell reads it
    for line in found:
        assert line in shown
        words = shlex.split(line, comments=True)[1 + len(path) :]
        with ALL[path].make_context(path[-1], words) as context:
            assert not context.args


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_option_says_what_it_does_and_sits_in_a_panel(path):
    for param in options(path):
        assert param.help and param.help.strip().endswith((".", ")")), f"{param.opts} has no sentence of help"
    own = [p for p in options(path) if getattr(p, "rich_help_panel", None) not in (COMMON, ANSWER)]
    loose = [p.opts[0] for p in own if not getattr(p, "rich_help_panel", None)]
    assert not loose or len(own) <= FEW, f"without rich_help_panel: {loose}"


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_argument_is_explained(path):
    arguments = [p for p in ALL[path].params if p.param_type_name == "argument" and not getattr(p, "hidden", False)]
    for param in arguments:
        assert param.help and param.metavar, param.name


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_takes_quiet_verbose_and_json(path):
    names = {name for param in options(path) for name in param.opts}
    assert {"--quiet", "--verbose", "--json"} - names == WITHOUT.get(path, set())


def test_defaults_and_choices_stand_once_behind_the_words(vidlang):
    shown = " ".join(vidlang("extract", "--help").out.split())
    assert "Frames per snippet. [default: 16]" in shown
    assert "[default: float32]" in shown and "default: (" not in shown
    assert not re.search(r"<\w+>", shown.replace("<time>", "")), "types in angle brackets are noise"


@pytest.mark.parametrize("path", sorted(GROUPS), ids=" ".join)
def test_a_group_alone_shows_its_help(vidlang, path):
    answer = vidlang(*path)
    assert "Usage: " in answer.out + answer.err and answer.code in (0, 2)


def test_every_option_of_vadclip_is_an_option_of_train(vidlang):
    shown = vidlang("train", "vadclip", "--help").out
    for field in dataclasses.fields(VadClipConfig):
        assert f"--{field.name.replace('_', '-')}" in shown
    for name in PRESETS:
        assert name in shown
    assert "0.07" in shown  # the default of --temperature


def test_a_wrong_value_of_an_option_is_usage(vidlang):
    assert vidlang("train", "vadclip", "--padding", "zero").code == 2
    assert vidlang("train", "vadclip", "--epochs", "many").code == 2
    answer = vidlang("train", "vadclip", "--lr-milestones", "3,x")
    assert answer.code == 2 and "--lr-milestones takes ints separated by commas, got '3,x'" in answer.err
    assert vidlang("extract").code == 2
    assert vidlang("extract", "x", "--stride", "0").code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["extrakt", "videos"], "Did you mean 'extract'?"),
        (["train", "vadcilp"], "Did you mean 'vadclip'?"),
        (["cache", "lst"], "Did you mean 'list'"),
        (["extract", "x", "--strid", "3"], "Did you mean --stride?"),
        (["extract", "x", "--pick", "midle"], "Did you mean 'middle'?"),
        (["config", "devise"], "Did you mean 'device'?"),
        (["schema", "scors"], "Did you mean 'scores'?"),
        (["extract", "x.mp4", "--encoder", "mimi"], "Did you mean 'mini'?"),
    ],
)
def test_a_wrong_word_gets_a_suggestion_in_one_line(vidlang, words, said):
    answer = vidlang(*words)
    assert answer.code == 2 and answer.out == ""
    assert len(answer.err.splitlines()) == 1 and said in answer.err, answer.err


def test_wrong_usage_names_the_help_to_read(vidlang):
    assert vidlang("extract", "x", "--stride", "many").err.endswith("See: vidlang extract --help\n")
    assert "FILE" in vidlang("cache", "pack", "--quiet").err


def test_the_version_is_printed_and_nothing_heavy_is_loaded():
    code = (
        "import sys; sys.argv = ['vidlang', '--help']\n"
        "from vidlang.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'transformers', 'h5py', 'matplotlib', 'av', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    done = subprocess.run([sys.executable, "-m", "vidlang", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"vidlang {__version__}\n", "")
