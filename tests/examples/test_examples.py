"""Every example runs on what it renders and prints what a reader expects."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples"
PRINTED = {
    "extract": [
        r"12 videos, recipe mini/stride16-middle \([0-9a-f]{10}\)",
        r"fire/fire_000\.mp4: 2 rows of \d+ numbers",
    ],
    "score": [r"normal/normal_003\.mp4: highest score 0\.\d\d at \d\.\d-\d\.\d s", r"\d+ events from 0\.40"],
    "retrieve": [
        r"nearest to car crash/car_crash_000\.mp4:",
        r"nearest to a burning fire:",
        r"  0\.\d{3}  .*\.mp4  \d",
    ],
    "localize": [r"fire_00[01]\.mp4 \(3\.0 s\)", r"  \d\.\d-\d\.\d s  (a fire|people \w+)  \d\.\d\d"],
    "diff": [r"falling/falling_001\.mp4  \S+  up to \d+\.\d grey levels", r"pictures and curves in motion"],
    "fame_mask": [r"fire_000\.mp4: \d windows, \d+% of the pixels move", r"over fire_001\.mp4: merged\.mp4, \d+ kB"],
    "index": [r"12 videos, 24 rows of width \d+", r"\d groups of near-duplicates among 12 videos"],
    "evaluate": [r"12 videos", r"A-branch.*: .*video_auc 0?1?\.\d{3}"],
    "watch": [r"\d\.\d s watched, \d+ snippets scored, \d events: end\."],
    "report": [r"fire_000\.mp4: \d events", r"timeline\.png: \d+ kB", r"report\.html: \d+ kB", r"overlay\.mp4: \d+ kB"],
    "notebook": [r"fire_000\.mp4: rows \(6, \d+\), likeness to fire", r"files written: False"],
    "train_vadclip": [r"Trained on \d+ videos", r"car crash/car_crash_000\.mp4: \d+ events by first"],
    "train_tca": [r"12 videos with 24 edited copies", r"registered as copies"],
    "train_wtal": [r"car crash/car_crash_000\.mp4: \d+ segments of car crash, falling, fighting, fire"],
    "train_fame": [r"12 videos", r"registered as motion"],
}
SLOW = {"train_vadclip", "train_tca", "train_wtal", "train_fame"}
ELSEWHERE = {"find_copies", "plot_timeline", "render_scenes", "train_and_score"}
"""Examples with tests of their own."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One for all, so that films are rendered once."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in PRINTED])
def test_an_example_prints_what_a_reader_expects(name, folder, capsys, monkeypatch):
    for variable in ("VIDLANG_WORKSPACE", "VIDLANG_ENCODER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(folder)
    runpy.run_path(str(FOLDER / f"{name}.py"))["main"](folder, [])
    printed = capsys.readouterr().out
    for line in PRINTED[name]:
        assert re.search(line, printed), f"no {line!r} in\n{printed}"


def test_every_example_is_run_by_a_test_is_short_and_is_listed():
    scripts = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    assert set(scripts) == set(PRINTED) | ELSEWHERE
    assert [name for name, text in scripts.items() if len(text.splitlines()) >= 40] == []
    listed = re.findall(
        r"^\| \[(\w+)\.py\]\(\1\.py\) \|", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(scripts)
    for name, text in scripts.items():
        assert f"python examples/{name}.py" in text.splitlines()[0]


def test_an_example_takes_the_videos_that_it_is_given(folder, capsys, monkeypatch):
    monkeypatch.delenv("VIDLANG_WORKSPACE", raising=False)
    main = runpy.run_path(str(FOLDER / "extract.py"))["main"]
    main(folder, [])
    capsys.readouterr()
    main(folder, [str(folder / "videos" / "fire" / "fire_000.mp4")])
    first, row = capsys.readouterr().out.splitlines()
    assert first.startswith("1 videos, recipe") and row.startswith("fire_000.mp4: 2 rows")
