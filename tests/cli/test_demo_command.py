"""``vidlang demo`` as users type it; the steps are stand-ins."""

from __future__ import annotations

import pytest

from vidlang.workflows import demo as demo_module
from vidlang.workflows.demo_folder import Step, Table


@pytest.fixture(autouse=True)
def _steps(monkeypatch):
    table = Table.of("against chance", ("by", "mAP"), [("TCA", 0.25), ("chance", 0.5)])
    steps = {
        "one": lambda demo: Step("Render", lines=("84 videos [bold]",)),
        "two": lambda demo: Step("Retrieve", ("vidlang retrieve copies",), tables=(table,)),
    }
    monkeypatch.setattr(demo_module, "STEPS", steps)


def test_it_shows_each_step_and_says_what_the_numbers_are_worth(vidlang, tmp_path):
    answer = vidlang("demo", "--quiet", "-o", "out")
    assert answer.code == 0 and answer.err == ""
    order = ["drawn by a small program", "== Render", "84 videos [bold]", "== Retrieve", "$ vidlang retrieve copies"]
    order += ["against chance", "TCA", "0.2500", "chance", "0.5000", "drawn by a small program", "index.html"]
    at = 0
    for words in order:
        at = answer.out.index(words, at) + len(words)
    assert "mini" in answer.out and (tmp_path / "out" / "index.html").is_file()


def test_the_same_command_again_goes_on(vidlang):
    vidlang("demo", "-o", "out")
    answer = vidlang("demo", "-o", "out")
    assert answer.code == 0 and answer.out.count("(finished earlier)") == 2


@pytest.mark.parametrize("other", [["--seed", "1"], ["--quick"], ["--videos-per-class", "9"]])
def test_another_demo_in_the_same_folder_is_refused_in_one_line(vidlang, other):
    vidlang("demo", "-o", "out")
    answer = vidlang("demo", "-o", "out", *other)
    assert answer.code == 2 and answer.err.count("\n") == 1
    assert other[0] in answer.err and "--out" in answer.err


def test_a_folder_with_other_files_is_refused(vidlang, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    answer = vidlang("demo", "-o", "out")
    assert answer.code == 2 and "holds other files" in answer.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_ctrl_c_says_how_to_go_on(vidlang, monkeypatch):
    def interrupted(demo):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_module, "STEPS", {**demo_module.STEPS, "two": interrupted})
    answer = vidlang("demo", "-o", "out")
    assert answer.code == 130 and "== Render" in answer.out
    assert "the same command goes on" in answer.err
