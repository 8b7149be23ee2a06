"""``vidlang diff`` as users type it, and what score and localize take of it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from vidlang.core import BadInput
from vidlang.video.reader import open_video
from vidlang.workflows.diff import MotionPrior

LABELS = ("--labels", "a square moves,nothing", "--no-plot")


def one_line(answer, code: int, *words: str) -> None:
    assert answer.code == code, (answer.out, answer.err)
    assert answer.out == "" and len(answer.err.strip().splitlines()) == 1
    assert all(word in answer.err for word in words), answer.err


@pytest.fixture
def videos(film, tmp_path) -> Path:
    film(tmp_path / "v" / "a.mp4", 70)
    film(tmp_path / "v" / "b.mp4", 34, shade=100)
    return tmp_path / "v"


def test_curves_are_shown_and_results_are_named(vidlang, videos):
    answer = vidlang("diff", "v", "--write", "json")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == "motion in grey levels a step: every frame at 360 pixels or less; snippets of 16 frames"
    assert lines[2].startswith("a.mp4  0:02.8  mean ") and " peak " in lines[2] and "█" in lines[3]
    assert lines[5].startswith("b.mp4") and lines[-1].startswith("Results in .vidlang/results/diff/")
    assert [path.name for path in Path(lines[-1].removeprefix("Results in ")).iterdir()] == ["motion.json"]
    answer = vidlang("diff", "v/a.mp4", "--write", "json", "--compensate", "--rate", "5", "--size", "0", "--fps", "2")
    assert "5 frames a second at full size, the camera's shift taken off; 2 snippets a second" in answer.out
    assert "the camera stands" in answer.out


@pytest.mark.parametrize("name", ["m.json", "m.csv", "m.png", "m.mp4"])
def test_the_ending_says_what_is_written(vidlang, videos, tmp_path, name):
    answer = vidlang("diff", "v/a.mp4", "-o", name)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == f"Written: {name}"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "v") == [name]
    if name == "m.mp4":
        with open_video(tmp_path / name) as reader:
            assert sum(len(batch) for batch in reader.read()) == 70


def test_answers_for_programs(vidlang, videos):
    answer = vidlang("diff", "v", "--json", "--write", "csv", "-o", "here")
    fields = json.loads(answer.out)
    assert fields["schema"] == "vidlang.motion/1" and fields["out"] == "here" and fields["failed"] == []
    assert [len(video["energy"]) for video in fields["videos"]] == [4, 2]
    answer = vidlang("diff", "v", "--csv", "--write", "csv", "-o", "here")
    assert answer.out == Path("here/motion.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    energies = [energy for video in fields["videos"] for energy in video["energy"]]
    assert [float(row["energy"]) for row in rows] == energies and min(energies) > 0.1


def test_failures_are_named_and_the_others_are_kept(vidlang, videos, tmp_path):
    (tmp_path / "v" / "c.mp4").write_text("no film")
    answer = vidlang("diff", "v", "-o", "m.json")
    assert answer.code == 1 and "c.mp4" in answer.err and "1 of 3 videos failed" in answer.err
    assert len(json.loads(Path("m.json").read_text())["videos"]) == 2
    answer = vidlang("diff", "v", "-o", "m.json", "--quiet")
    assert answer.code == 1 and answer.out == "" and "failed: " in answer.err and "c.mp4" in answer.err
    answer = vidlang("diff", "v/c.mp4", "-o", "n.json")
    assert answer.code == 1 and answer.out == "" and not Path("n.json").exists()


def test_mistakes_are_one_line(vidlang, videos):
    one_line(vidlang("diff", "nowhere.mp4"), 2, "nowhere.mp4")
    one_line(vidlang("diff", "v", "-o", "heat.mp4"), 2, "shows one video", "Give a folder with -o")
    one_line(vidlang("diff", "v", "-o", "heat.gif"), 2, "'.gif'", ".mp4")
    one_line(vidlang("diff", "v/a.mp4", "-o", "v/a.mp4"), 2, "would be replaced")
    one_line(vidlang("diff", "v", "--write", "gif"), 2, "json, csv, png, mp4")
    one_line(vidlang("diff", "v", "--size", "8"), 2, "16 pixels or more")
    one_line(vidlang("diff", "v", "--json", "--csv"), 2, "one of them")
    one_line(vidlang("diff", "v", "--stride", "4", "--fps", "2"), 2, "one of them")
    one_line(vidlang("score", "v", *LABELS, "--motion-file", "m.json"), 2, "--motion-prior 1")
    one_line(
        vidlang("score", "v", *LABELS, "--motion-prior", "1", "--motion-file", "m.json"), 2, "vidlang diff VIDEO -o"
    )
    one_line(vidlang("localize", "a*", "--cached", *LABELS, "--motion-prior", "1"), 2, "--motion-file FILE.json")


@pytest.mark.parametrize("verb", ["score", "localize"])
def test_the_prior_reaches_the_verbs(vidlang, monkeypatch, verb):
    asked = []

    def stop(paths, place, options, *rest):
        asked.append(options)
        raise BadInput("seen enough")

    monkeypatch.setattr(f"vidlang.workflows.{verb}.{verb}", stop)
    assert vidlang(verb, "a*", "--cached", *LABELS, "--motion-prior", "2", "--motion-file", "m.json").code == 2
    assert vidlang(verb, "a*", "--cached", *LABELS).code == 2
    assert asked[0].prior() == MotionPrior(2.0, Path("m.json")) and asked[1].prior() is None
