"""The command as a program starts it: the address comes at once, Ctrl-C ends it well."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import FeatureKey, FeatureRecipe, Features, VideoInfo
from vidlang.store.feature_cache import FeatureCache


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One video of one row in the cache."""
    recipe = FeatureRecipe("mini", "any")
    values, spans = np.ones((1, 4), dtype=np.float32), np.array([[0, 16]])
    info = VideoInfo("fight/a.mp4", 16, 1.0, 16.0, (32, 48))
    features = Features(FeatureKey(info.id, recipe), info, values, spans, spans / 16)
    FeatureCache(tmp_path / "w" / "cache").put(features, identity=None)
    return tmp_path / "w"


def start(workspace: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vidlang", "browse", "--no-open", "--workspace", str(workspace), *options]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=workspace, env={**os.environ, "NO_COLOR": "1"}, **piped)  # type: ignore[call-overload]


def test_a_program_reads_the_address_opens_it_and_stops_it_with_ctrl_c(workspace):
    running = start(workspace, "--json")
    try:
        lines = iter(running.stdout.readline, "")  # no end of file is waited for
        text = ""
        while not text.rstrip().endswith("}"):
            text += next(lines)
        answer = json.loads(text)
        assert answer["schema"] == "vidlang.browse/1" and answer["videos"] == 1
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
        assert "fight/a.mp4" in opener.open(answer["url"], timeout=20).read().decode()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(answer["url"].split("?")[0], timeout=20)
        running.send_signal(signal.SIGINT)
        rest, said = running.communicate(timeout=20)
        assert (running.returncode, rest) == (0, "")
        assert said == "1 video. Ctrl-C stops.\n"
    finally:
        running.kill()


def test_without_json_the_only_line_is_the_address(workspace):
    running = start(workspace, "--quiet")
    try:
        assert running.stdout.readline().startswith("http://127.0.0.1:")
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=20) == ("", "")
        assert running.returncode == 0
    finally:
        running.kill()


def test_what_cannot_be_shown_is_one_line(workspace):
    running = start(workspace, "zebra*")
    out, said = running.communicate(timeout=20)
    assert (running.returncode, out) == (1, "")
    assert said.startswith("Error: No video in ") and said.count("\n") == 1
