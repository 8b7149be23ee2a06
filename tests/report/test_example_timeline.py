from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plot_timeline.py"


def test_the_example_draws_a_picture(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLE, tmp_path / "out.png"], capture_output=True, encoding="utf-8", timeout=120,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "█" in done.stdout and (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
