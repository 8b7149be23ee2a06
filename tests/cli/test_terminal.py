"""Colour, bars and width: what a pipe gets, and what a terminal gets."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")

ESCAPE = "\x1b["
COLOUR = re.compile(r"\x1b\[[0-9;]*[34]\d")


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "TERM": "xterm-256color", **changes}


def piped(folder: Path, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidlang", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment(**changes), timeout=6000)


def on_a_terminal(folder: Path, *words: str, **changes: str) -> str:
    """What a terminal of 80 columns shows, stdout and stderr together."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vidlang", *words],
        stdout=theirs,
        stderr=theirs,
        stdin=theirs,
        cwd=folder,
        env=environment(COLUMNS="80", **changes),
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        shown += part
    process.wait(timeout=600)
    os.close(ours)
    return shown.decode()


def test_a_pipe_gets_neither_colour_nor_bar(tmp_path, film):
    film(tmp_path / "a.mp4")
    words = ("diff", "a.mp4", "--write", "json", "-o", "curves")
    done = piped(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert ESCAPE not in done.stdout + done.stderr and "\r" not in done.stdout + done.stderr
    assert "a.mp4" in done.stdout and done.stderr == ""
    assert "1/1 video" in on_a_terminal(tmp_path, *words)  # the bar


def test_colour_is_for_terminals_unless_somebody_says_otherwise(tmp_path):
    assert ESCAPE not in piped(tmp_path, "config", "--help").stdout
    assert ESCAPE in piped(tmp_path, "config", "--help", FORCE_COLOR="1").stdout
    assert COLOUR.search(on_a_terminal(tmp_path, "config", "--help"))
    without = on_a_terminal(tmp_path, "config", "--help", NO_COLOR="1")  # bold is no colour
    assert "vidlang config" in without and not COLOUR.search(without)


def test_a_narrow_place_is_respected(tmp_path):
    for columns in ("60", "80"):
        lines = piped(tmp_path, "extract", "--help", COLUMNS=columns).stdout.splitlines()
        assert max(map(len, lines)) <= int(columns)
    assert max(map(len, piped(tmp_path, "extract", "--help", COLUMNS="200").stdout.splitlines())) <= 100


def test_errors_are_one_line_also_on_a_terminal(tmp_path):
    shown = on_a_terminal(tmp_path, "extract", "x.mp4", "--encoder", "mimi", NO_COLOR="1")
    assert "Did you mean 'mini'?" in " ".join(shown.split()) and "Traceback" not in shown and "╭" not in shown
