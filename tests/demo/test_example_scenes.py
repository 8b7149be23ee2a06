from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "render_scenes.py"


def test_the_example_renders_every_class(tmp_path):
    done = subprocess.run([sys.executable, EXAMPLE, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6 == len(list(tmp_path.rglob("*.mp4")))
    assert done.stdout.count("nothing happens") == 2
