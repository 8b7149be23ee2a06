"""What the shell offers after Tab, without torch, h5py or a look into any file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from vidlang.cli.app import app, only_with
from vidlang.workflows.known_names import cached_ids, checkpoint_names, dataset_names, recipe_fingerprints

SCRIPT = (
    "import sys\nsys.argv = ['vidlang']\nfrom vidlang.cli.app import main\n"
    "try:\n    main()\nexcept SystemExit:\n    pass\n"
    "heavy = sorted({'torch', 'transformers', 'matplotlib', 'h5py', 'av', 'jinja2'} & set(sys.modules))\n"
    "sys.stderr.write('HEAVY=' + ','.join(heavy))\n"
)


@pytest.fixture
def workspace(tmp_path) -> Path:
    """Only names: the files are empty, so that nobody can have opened them."""
    root = tmp_path / ".vidlang"
    for recipe, video in (("stride16-middle-0123456789", "fight/a b.mp4"), ("stride8-first-abcdef0123", "fight/c.mp4")):
        file = root / "cache" / "mini" / recipe / f"{video}.h5"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (root / "cache" / "mini" / "stride16-middle-0123456789" / "what%3F.mp4.h5").touch()
    (root / "cache" / "mini" / "stride16-middle-0123456789" / ".vidlang-x.h5").touch()
    (root / "cache" / "mini" / "stride16-middle-0123456789" / f"{'x' * 160}~{'0' * 32}.h5").touch()
    for name in ("vadclip/street", "tca/street", "tca/night"):
        (root / "models" / name).mkdir(parents=True)
    return root


def test_names_are_found_by_listing_folders(workspace):
    assert cached_ids(workspace) == ["fight/a b.mp4", "fight/c.mp4", "what?.mp4"]
    assert checkpoint_names(workspace) == ["night", "street"]
    assert recipe_fingerprints(workspace) == ["0123456789", "abcdef0123"]
    assert cached_ids(workspace / "nowhere") == checkpoint_names(workspace / "nowhere") == []
    assert {"ucf-crime", "thumos14", "ucf101", "evve"} <= set(dataset_names())


def complete(shell: str, line: str, folder: Path) -> tuple[list[str], str]:
    """(what the shell is given for a line whose last word is not finished, what was loaded)"""
    words = line.split(" ")
    variables = {
        "_VIDLANG_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    if shell == "bash":
        del variables["_TYPER_COMPLETE_ARGS"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=600,
    )
    return done.stdout.split("\n"), done.stderr


@pytest.mark.parametrize(
    ("shell", "line", "offered"),
    [
        ("bash", "vidlang models show st", "street"),
        ("zsh", "vidlang extract --encoder mi", "mini"),
        ("fish", "vidlang schema detec", "detections"),
    ],
)
def test_every_shell_is_answered_and_nothing_heavy_is_loaded(workspace, shell, line, offered):
    answer, loaded = complete(shell, line, workspace.parent)
    assert offered in " ".join(answer) and loaded == "HEAVY="


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_every_shell(shell):
    from typer.completion import get_completion_script

    script = get_completion_script(prog_name="vidlang", complete_var="_VIDLANG_COMPLETE", shell=shell)
    assert "_VIDLANG_COMPLETE" in script and "vidlang" in script


def test_only_the_command_that_is_asked_for_is_built():
    def names(words: list[str]) -> set[str]:
        return set(typer.main.get_command(only_with(words)).commands)  # type: ignore[attr-defined]

    everything = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert names(["extract", "videos/"]) == {"extract"} and names(["cache", "list"]) == {"cache"}
    assert names(["--help"]) == names([]) == names(["extrakt"]) == everything
