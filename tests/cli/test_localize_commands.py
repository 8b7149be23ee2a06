"""``localize`` and ``train wtal`` as users type them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import FeatureKey, FeatureRecipe, Features, FileIdentity, Sampling, VideoInfo
from vidlang.encoders.registry import find_encoder
from vidlang.store.feature_cache import FeatureCache

LABELS = ("--labels", "a square moves, nothing [bold]")
TINY = [
    "--cbp-width", "32", "--cbp-layers", "1", "--cbp-heads", "2", "--vlp-layers", "1", "--freeze-prompts", "on",
    "--batch-size", "8", "--min-batches", "2", "--warmup-steps", "4", "--warmup-min-steps", "2", "--rounds", "1",
    "--phase-passes", "1", "--phase-min-steps", "2", "--plateau-epochs", "0",
]  # fmt: skip


def one_line(answer, code: int, *words: str) -> None:
    lines = answer.err.strip().splitlines()
    assert answer.code == code and answer.out == "" and len(lines) == 1, answer
    assert all(word in lines[0] for word in words), lines[0]


def fits(answer) -> None:
    """No escapes, no traces, and nothing wider than the terminal but paths."""
    assert "\x1b" not in answer.out + answer.err and "Traceback" not in answer.err


def put(workspace: Path, video_id: str, values: np.ndarray) -> None:
    """Features of a video that nobody has, a row a second."""
    spec = find_encoder("mini")
    assert spec is not None
    edges = np.arange(len(values) + 1, dtype=np.int64)
    frames = np.stack([edges[:-1], edges[1:]], axis=1)
    info = VideoInfo(video_id, len(values), float(len(values)), 1.0, (64, 96))
    key = FeatureKey(video_id, FeatureRecipe(spec.name, spec.revision, Sampling()))
    features = Features(key, info, values.astype(np.float32), frames, frames.astype(np.float64))
    FeatureCache(workspace / "cache").put(features, identity=FileIdentity(1, video_id, 0.0))


@pytest.fixture(autouse=True)
def _mini(vidlang) -> None:
    assert vidlang("init", "--encoder", "mini").code == 0


@pytest.fixture
def labelled(tmp_path) -> Path:
    """Twelve cached videos of two actions and of none; the manifest of them."""
    spec = find_encoder("mini")
    assert spec is not None
    lines = ["video,label,start,end,split"]
    for number in range(12):
        name = ("dive", "jump", "normal")[number % 3]
        rows = 0.2 * np.random.default_rng(number).normal(size=(12, spec.dim))
        rows[:, 0] += 1
        if name != "normal":
            rows[4:8, 1 + number % 3] += 3
        put(tmp_path / ".vidlang", f"{name}/{number}.mp4", rows)
        times = ",," if name == "normal" else ",4,8"
        lines.append(f"{name}/{number}.mp4,{name}{times},{'test' if number > 8 else 'train'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "labels.csv"


# -- zero-shot -------------------------------------------------------------------------------------------------------


def test_words_find_segments_in_files_and_a_failing_file_is_exit_code_one(vidlang, film, tmp_path):
    film(tmp_path / "v" / "a.mp4", 70)
    answer = vidlang("localize", "v", *LABELS)
    fits(answer)
    assert answer.code == 0, answer.err
    assert answer.out.startswith("zero-shot; branch vlp; looking for a square moves, nothing [bold]; mini\n")
    assert "Note: made with the bundled encoder 'mini'" in answer.out and "\na.mp4  " in answer.out
    [folder] = (tmp_path / ".vidlang" / "results" / "localize").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.mp4.png", "detections.csv", "detections.json", "detections.jsonl", "videos.jsonl",
    ]  # fmt: skip
    (tmp_path / "v" / "b.mp4").write_text("no film")
    answer = vidlang("localize", "v", *LABELS, "--json", "--no-plot", "--out", "here")
    assert answer.code == 1 and "1 of 2 videos failed" in answer.err
    fields = json.loads(answer.out)
    assert [video["video"] for video in fields["videos"]] == ["a.mp4"] and fields["failed"][0]["video"] == "b.mp4"
    assert fields["folder"] == "here" and not list((tmp_path / "here").glob("*.png"))
    answer = vidlang("localize", "v/b.mp4", *LABELS, "--quiet")
    assert answer.code == 1 and answer.out == "" and "b.mp4" in answer.err


def test_mistakes_are_one_line(vidlang, labelled):
    one_line(vidlang("localize", "*", "--cached"), 2, "no checkpoint yet", "--labels", "vidlang train wtal")
    one_line(vidlang("localize", "*", "--cached", "--labels", " , "), 2, "at least one action")
    one_line(vidlang("localize", "nowhere.mp4", *LABELS), 2, "nowhere.mp4")
    one_line(vidlang("localize", "x*", "--cached", *LABELS), 2, "No video in", "x*")
    one_line(vidlang("localize", "*", "--cached", *LABELS, "--theta-cls", "3"), 2, "theta_cls")
    one_line(vidlang("localize", "*", "--cached", *LABELS, "--branch", "cbp"), 2, "--branch")
    one_line(vidlang("localize", "*", "--cached", "--checkpoint", "x"), 2, "'x'")
    one_line(vidlang("train", "wtal", "--second", "i3d"), 2, "--cbp-inputs second or both")
    one_line(vidlang("train", "wtal", "--ablation", "--resume"), 2, "leave --resume out")


# -- training --------------------------------------------------------------------------------------------------------


def test_train_localize_eval(vidlang, labelled, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("vidlang.workflows.runs.curves_png", lambda *_, **__: b"")
    trained = vidlang("train", "wtal", "--manifest", labelled, "--name", "first", *TINY)
    fits(trained)
    assert trained.code == 0, trained.err
    assert "Trained on 9 videos, tested on 3; classes dive, jump" in trained.out.replace("\n", " ")
    assert "on test" in trained.out and "Next: vidlang localize" in trained.out
    for row in ("zero-shot VLP", "cbp", "vlp", "average"):
        assert any(line.strip().startswith(f"{row} ") for line in trained.out.splitlines())
    found = vidlang("localize", "*", "--cached", "--manifest", labelled, "--split", "test", "--json", "--no-plot")
    assert found.code == 0, found.err
    fields = json.loads(found.out)
    assert fields["made_by"]["checkpoint"] == "first" and fields["classes"] == ["dive", "jump"]
    assert [video["video"] for video in fields["videos"]] == ["dive/9.mp4", "jump/10.mp4", "normal/11.mp4"]
    judged = vidlang("eval", "localization", "--manifest", labelled, "--split", "test", "--json")
    assert judged.code == 0 and json.loads(judged.out)["videos"] == 3
    one_line(vidlang("localize", "*", "--cached", "--stride", "8"), 2, "The checkpoint decides the features")
    one_line(vidlang("train", "wtal", "--name", "first", *TINY), 2, "a run called 'first' already")
    assert "first" in vidlang("models", "list").out


def test_an_ablation_prints_one_table(vidlang, labelled, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("vidlang.workflows.runs.curves_png", lambda *_, **__: b"")
    shown = vidlang("train", "wtal", "--manifest", labelled, "--ablation", "--name", "all", *TINY)
    fits(shown)
    assert shown.code == 0, shown.err
    assert shown.out.count("on test") == 1
    for title in ("zero-shot VLP", "CBP only: cbp", "B only: vlp", "F only: cbp", "B+F: average"):
        [row] = [line.split(title)[1].split() for line in shown.out.splitlines() if line.strip().startswith(title)]
        assert len(row) == 7 and all(0 <= float(number) <= 1 for number in row)
