"""The command as users type it, in this process: what it printed, and its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from vidlang.video.writer import write_video


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def vidlang(monkeypatch, capsys, tmp_path) -> Callable[..., Answer]:
    """Runs ``vidlang ARGUMENTS`` in an empty folder, piped, 80 columns wide."""
    from vidlang.cli.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "VIDLANG_WORKSPACE", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["vidlang", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return Answer(int(left.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def film() -> Callable[..., Path]:
    """Writes a short film in which a light square crosses a dark place."""

    def write(path: Path, num_frames: int = 34, shade: int = 60) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = []
        for index in range(num_frames):
            frame = np.full((64, 96, 3), shade, dtype=np.uint8)
            frame[20:40, index : index + 20] = 220
            frames.append(frame)
        write_video(path, frames, 25.0, options={"preset": "ultrafast"})
        return path

    return write
