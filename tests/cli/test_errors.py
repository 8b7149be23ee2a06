"""Wrong input ends in one line that says what, where, and what to do next, and in the right exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import FeatureKey, FeatureRecipe, Features, Sampling, VideoInfo
from vidlang.encoders.registry import find_encoder
from vidlang.store.feature_cache import FeatureCache
from vidlang.workflows import extract as extract_workflow


def one_line(answer, code: int, *words: str) -> None:
    """One line on stderr with these words, nothing on stdout."""
    lines = answer.err.strip().splitlines()
    assert answer.code == code and answer.out == "" and len(lines) == 1, answer
    assert all(word in lines[0] for word in words), lines[0]
    assert "\x1b" not in answer.err


def mini_recipe() -> FeatureRecipe:
    spec = find_encoder("mini")
    assert spec is not None
    return FeatureRecipe(spec.name, spec.revision, Sampling())


def put(workspace: Path, *video_ids: str, dim: int | None = None) -> None:
    spec = find_encoder("mini")
    assert spec is not None
    cache = FeatureCache(workspace / "cache")
    frames = np.array([[0, 16], [16, 32]], dtype=np.int64)
    for number, video_id in enumerate(video_ids):
        rows = np.random.default_rng(number).normal(size=(2, dim or spec.dim)).astype(np.float32)
        info = VideoInfo(video_id, 32, 1.28, 25.0, (64, 96))
        cache.put(Features(FeatureKey(video_id, mini_recipe()), info, rows, frames, frames / 25), identity=None)


# -- what the user gives ---------------------------------------------------------------------------------------------


def test_wrong_paths_are_usage(vidlang, tmp_path):
    (tmp_path / "empty").mkdir()
    one_line(vidlang("extract", "empty", "--encoder", "mini"), 2, "empty", "no videos")
    one_line(vidlang("extract", "nowhere.mp4", "--encoder", "mini"), 2, "nowhere.mp4", "does not exist")
    one_line(vidlang("extract", "*.mp4", "--encoder", "mini"), 2, "*.mp4")


def test_a_text_file_named_mp4_fails_alone(vidlang, tmp_path, film):
    film(tmp_path / "v" / "good.mp4")
    (tmp_path / "v" / "bad.mp4").write_text("no film")
    answer = vidlang("extract", "v", "--encoder", "mini")
    assert answer.code == 1
    assert answer.out.startswith("1 extracted, 0 already there, 1 failed")
    assert [line.split(":")[0] for line in answer.err.splitlines()] == [
        "failed", "1 of 2 videos failed; the others are kept."
    ]  # fmt: skip
    assert "v/bad.mp4 does not open as a video" in answer.err
    quiet = vidlang("extract", "v", "--encoder", "mini", "--quiet")
    assert quiet.code == 1 and quiet.out == "" and quiet.err.count("v/bad.mp4") == 1
    report = json.loads(vidlang("extract", "v", "--encoder", "mini", "--json").out)
    assert report["schema"] == "vidlang.extract/1"
    assert [(v["video"], v["status"]) for v in report["videos"]] == [("bad.mp4", "failed"), ("good.mp4", "skipped")]


def test_names_that_nobody_knows_get_a_suggestion(vidlang, tmp_path):
    one_line(vidlang("extract", "x.mp4", "--encoder", "mimi"), 2, "mimi", "Did you mean 'mini'?")
    one_line(vidlang("models", "show", "minni"), 2, "Did you mean 'mini'?")
    one_line(vidlang("score", "x.mp4", "--checkpoint", "nothing"), 2, "no vadclip checkpoint called 'nothing'")
    one_line(vidlang("datasets", "import", "ucf-crim", "."), 2, "Did you mean 'ucf-crime'?")
    put(tmp_path / ".vidlang", "fight/a01.mp4", "normal/b.mp4")
    one_line(vidlang("cache", "compare", "fight/a1.mp4", "x.npy"), 1, "Did you mean 'fight/a01.mp4'?")
    scored = ("score", "--cached", "--encoder", "mini", "--labels", "fire")
    one_line(vidlang(*scored, "fight/a02.mp4"), 2, "Did you mean 'fight/a01.mp4'?")


def test_a_wrong_settings_file_is_named(vidlang, tmp_path):
    (tmp_path / ".vidlang").mkdir()
    settings = tmp_path / ".vidlang" / "vidlang.toml"
    settings.write_text("encoder = mini")
    one_line(vidlang("extract", "x.mp4"), 2, "vidlang.toml does not read as TOML")
    settings.write_text('encodr = "mini"')
    one_line(vidlang("cache", "list"), 2, "unknown setting 'encodr'", "Did you mean 'encoder'?")
    settings.write_text('encoder = "mini"\npick = "last"\n')
    one_line(vidlang("train", "vadclip"), 2, "vidlang.toml", "got 'last'")


def test_a_workspace_that_is_a_file_or_cannot_be_written(vidlang, tmp_path, film):
    (tmp_path / "file").write_text("")
    one_line(vidlang("cache", "list", "--workspace", "file"), 2, "file is a file")
    film(tmp_path / "a.mp4")
    one_line(vidlang("extract", "a.mp4", "--encoder", "mini", "--workspace", "file/below"), 1, "file/below")


def test_nothing_there_yet_says_what_to_run(vidlang):
    one_line(vidlang("train", "vadclip"), 1, "is empty", "Run: vidlang extract")
    one_line(vidlang("eval", "anomaly"), 2, "No results", "Run: vidlang score")
    one_line(vidlang("score", "a.mp4", "--cached", "--encoder", "mini", "--labels", "x"), 2, "vidlang cache list")
    answer = vidlang("cache", "list")
    assert answer.code == 0 and "is empty. Run: vidlang extract" in answer.out
    one_line(vidlang("cache", "rm"), 2, "name videos")


def test_training_without_classes_is_said(vidlang, tmp_path):
    place = tmp_path / ".vidlang"
    put(place, "a.mp4", "b.mp4")
    one_line(
        vidlang("train", "vadclip", "--encoder", "mini"), 1, "No cached video lies in a class folder", "--manifest"
    )
    put(place, "fight/a.mp4")
    one_line(vidlang("train", "vadclip", "--encoder", "mini"), 1, "No class is called 'normal'", "--normal")
    put(place, "normal/a.mp4", dim=8)
    one_line(vidlang("train", "vadclip", "--encoder", "mini"), 2, "dimension")


def test_a_damaged_entry_fails_alone(vidlang, tmp_path):
    place = tmp_path / ".vidlang"
    put(place, "a.mp4", "b.mp4")
    entry = FeatureCache(place / "cache").entry(FeatureKey("a.mp4", mini_recipe()))
    data = bytearray(entry.path.read_bytes())
    data[data.index(FeatureCache(place / "cache").get(entry.key).values.tobytes())] ^= 1
    entry.path.write_bytes(data)
    verified = vidlang("cache", "verify")
    assert verified.code == 1 and verified.out == "1 entries are whole, 1 damaged.\n" and "a.mp4" in verified.err
    answer = vidlang("score", "*", "--cached", "--encoder", "mini", "--labels", "fire", "--no-plot")
    assert answer.code == 1 and "b.mp4" in answer.out
    assert answer.err.count("is damaged") == 1 and "Delete it and extract the video again" in answer.err


# -- what the machine does -------------------------------------------------------------------------------------------


def test_ctrl_c_is_130_and_says_that_nothing_is_lost(vidlang, tmp_path, film, monkeypatch):
    film(tmp_path / "a.mp4")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("vidlang.workflows.extract_reading.open_snippets", lambda *_, **__: interrupted())
    monkeypatch.setattr(extract_workflow.LocalEngine, "stream", interrupted)
    answer = vidlang("extract", "a.mp4", "--encoder", "mini")
    assert (answer.code, answer.out) == (130, "")
    assert answer.err == "Interrupted. What was finished is kept; the same command goes on from there.\n"


def test_a_full_disk_is_one_line(vidlang, tmp_path, film, monkeypatch):
    film(tmp_path / "a.mp4")

    def full(*_, **__):
        raise OSError(28, "No space left on device", "cache/a.mp4.h5")

    monkeypatch.setattr(FeatureCache, "put", full)
    one_line(vidlang("extract", "a.mp4", "--encoder", "mini"), 1, "No space left on device (cache/a.mp4.h5)")


def test_verbose_shows_where_an_error_comes_from(monkeypatch, tmp_path):
    from vidlang.cli.app import main
    from vidlang.core.errors import BadInput

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vidlang", "extract", "nowhere.mp4", "--encoder", "mini", "--verbose"])
    with pytest.raises(BadInput, match="does not exist"):
        main()


@pytest.mark.skipif(os.name == "nt", reason="pipes and signals of POSIX")
def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m vidlang train vadclip --help | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_real_ctrl_c_leaves_a_clean_cache(tmp_path, film):
    for index in range(40):
        film(tmp_path / "v" / f"{index}.mp4", num_frames=64)
    place = tmp_path / "workspace"
    command = [sys.executable, "-m", "vidlang", "extract", tmp_path / "v", "--encoder", "mini", "--workspace", place]
    process = subprocess.Popen([*map(str, command), "--stride", "1"], stderr=subprocess.PIPE, text=True)
    while not list(place.rglob("[!.]*.h5")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err.endswith("the same command goes on from there.\n")
    cache = FeatureCache(place / "cache")
    assert cache.verify() == [] and 0 < len(list(cache)) < 40
    assert not list(cache.root.rglob(".vidlang-*"))


@pytest.mark.slow
def test_two_processes_over_one_folder_agree(tmp_path, film):
    for index in range(12):
        film(tmp_path / "v" / f"{index}.mp4", num_frames=64)
    place = tmp_path / "workspace"
    command = [sys.executable, "-m", "vidlang", "extract", tmp_path / "v", "--encoder", "mini", "--workspace", place]
    processes = [subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    cache = FeatureCache(place / "cache")
    assert cache.verify() == [] and len(list(cache)) == 12 and not list(cache.root.rglob(".vidlang-*"))


# -- names -----------------------------------------------------------------------------------------------------------

NAMES = ["<img src=x onerror=alert(1)>.mp4", "[bold]loud.mp4", "a b#c=d%20.mp4", "esc\x1b[31m.mp4", "日本語.mp4"]


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses these names")
def test_odd_names_are_shown_as_they_are(vidlang, tmp_path):
    put(tmp_path / ".vidlang", *NAMES, "line\nbreak.mp4", "byte\udcff.mp4")
    answer = vidlang("cache", "list", "*", "--recipe", mini_recipe().fingerprint)
    for shown in (
        "<img src=x onerror=alert(1)>.mp4",
        "[bold]loud.mp4",
        "a b#c=d%20.mp4",
        "esc\\x1b[31m.mp4",
        "日本語.mp4",
    ):
        assert shown in answer.out
    assert "line\\nbreak.mp4" in answer.out and "\x1b" not in answer.out
    listed = json.loads(vidlang("cache", "list", "*", "--json").out)
    assert {row["video"] for row in listed["videos"]} == {*NAMES, "line\nbreak.mp4", "byte\udcff.mp4"}
    scored = vidlang("score", "*", "--cached", "--encoder", "mini", "--labels", "[red]fire,<b>")
    assert scored.code == 0
    assert "[bold]loud.mp4" in scored.out and "[red]fire" in scored.out and "\x1b" not in scored.out
    folder = Path(scored.out.split("Results in ")[-1].strip())
    assert len(list(folder.glob("*.png"))) == 7 and (folder / "scores.csv").stat().st_size > 100
    missing = vidlang("cache", "compare", "[bold]x.mp4", "x.npy")
    assert missing.code in (1, 2) and "[bold]x.mp4" in missing.err


# -- JSON ------------------------------------------------------------------------------------------------------------


def test_every_json_answer_has_a_schema(vidlang, tmp_path):
    put(tmp_path / ".vidlang", "normal/a.mp4")
    rows = np.ones((2, find_encoder("mini").dim), np.float32)  # type: ignore[union-attr]
    np.save(tmp_path / "x.npy", rows)
    score = ("score", "*", "--cached", "--encoder", "mini", "--labels", "fire", "--no-plot")
    asked = [
        ("cache", "list"), ("cache", "list", "*"), ("cache", "compare", "normal/a.mp4", "x.npy"), ("models", "list"),
        ("models", "show", "mini"), score, ("eval", "anomaly"),
    ]  # fmt: skip
    for arguments in asked:
        answer = vidlang(*arguments, "--json")
        assert answer.code == 0, answer
        assert json.loads(answer.out)["schema"].startswith("vidlang."), arguments
