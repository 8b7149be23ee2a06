"""Help, versions, and options that come from a method's config."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import unicodedata

import pytest
import typer

from vidlang import __version__
from vidlang.cli.app import app
from vidlang.methods.vadclip.config import PRESETS, VadClipConfig


def commands(group=None, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command line that has a help of its own: groups and what is in them."""
    group = group or typer.main.get_command(app)
    found = [path]
    for name, child in getattr(group, "commands", {}).items():
        found += commands(child, (*path, name))
    return found


ALL = commands()
GROUPS = {(), ("train",), ("eval",), ("cache",), ("models",), ("datasets",), ("index",), ("fame",)}


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def test_the_commands_of_the_plan_are_there():
    expected = {("init",), ("demo",), ("doctor",), ("extract",), ("score",), ("train", "vadclip"), ("eval", "anomaly")}
    expected |= {("eval", "retrieval"), ("eval", "localization"), ("retrieve",), ("localize",)}
    expected |= {("train", "tca"), ("train", "wtal"), ("train", "fame"), ("diff",)}
    expected |= {("eval", "representation"), ("eval", "background")}
    expected |= {("fame", name) for name in ("mask", "merge", "cam", "weights")}
    expected |= {("index", name) for name in ("build", "update", "info", "fit-whitening")}
    expected |= {("cache", name) for name in ("list", "verify", "compare", "import", "export", "pack", "rm")}
    expected |= {("models", name) for name in ("list", "show", "pull", "import", "export")}
    assert expected | {("datasets", "import")} == set(ALL) - GROUPS


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_help_fits_80_columns_and_shows_examples(vidlang, path):
    answer = vidlang(*path, "--help")
    assert answer.code == 0 and answer.err == ""
    assert max(map(width, answer.out.splitlines())) <= 80
    assert "\x1b[" not in answer.out
    if path not in GROUPS:
        assert "Examples" in answer.out
        examples = [line for line in answer.out.splitlines() if line.strip().startswith(" ".join(("vidlang", *path)))]
        assert len(examples) >= 2


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


def test_a_wrong_command_gets_a_suggestion(vidlang):
    answer = vidlang("extrakt", "videos")
    assert answer.code == 2 and "extract" in answer.err
    assert "vadclip" in vidlang("train", "vadcilp").err


def test_the_version_is_printed_and_nothing_heavy_is_loaded():
    code = (
        "import sys; sys.argv = ['vidlang', '--help']\n"
        "from vidlang.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'transformers', 'h5py', 'matplotlib', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    done = subprocess.run([sys.executable, "-m", "vidlang", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"vidlang {__version__}\n", "")
