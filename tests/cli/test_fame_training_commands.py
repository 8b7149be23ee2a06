"""``train fame`` and ``eval representation`` as users type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TINY = [
    "--num-frames", "4", "--step", "1", "--crop-size", "32", "--short-side", "36", "--epochs", "1", "--min-batches",
    "1", "--batch-size", "3", "--device", "cpu",
]  # fmt: skip
LEARN = ["--epochs", "1", "--min-batches", "1", "--test-clips", "2", "--batch-size", "2", "--device", "cpu"]


def one_line(answer, code: int, *words: str) -> None:
    lines = answer.err.strip().splitlines()
    assert answer.code == code and answer.out == "" and len(lines) == 1, answer
    assert all(word in lines[0] for word in words), lines[0]


@pytest.fixture
def videos(film, tmp_path) -> Path:
    for number in range(6):
        film(
            tmp_path / "v" / ("dark", "light")[number % 2] / f"{number}.mp4", 10 + number, shade=60 + 90 * (number % 2)
        )
    return tmp_path / "v"


def test_from_a_folder_to_a_table(vidlang, videos, tmp_path, monkeypatch):
    monkeypatch.setattr("vidlang.workflows.runs.curves_png", lambda *_, **__: b"")
    trained = vidlang("train", "fame", videos, "--name", "plain", "--queue-size", "3", *TINY)
    assert trained.code == 0, trained.err
    assert trained.out.startswith("Trained tiny on 6 videos without labels; clips 4x1, 32 px; fame masks, one view ")
    assert "Registered as .vidlang/models/fame/plain." in trained.out and "\x1b" not in trained.out
    assert (tmp_path / ".vidlang" / "results" / "train" / "fame" / "plain" / "log.jsonl").is_file()

    taught = vidlang("train", "fame", videos, "--finetune", "plain", "--name", "named", "--json", *LEARN)
    assert taught.code == 0, taught.err
    answer = json.loads(taught.out)
    assert answer["kind"] == "finetune" and answer["table"][0]["what"] == "named"
    assert "Note: no video is of the split test, so 2 of 6 are held out" in taught.err
    one_line(
        vidlang("train", "fame", videos, "--linear", "plain", "--name", "named", *LEARN, "-q"), 2, "called 'named'"
    )

    judged = vidlang("eval", "representation", videos, "--clips", "2", "--device", "cpu", "--json")
    assert judged.code == 0, judged.err
    table = json.loads(judged.out)
    assert table["schema"] == "vidlang.eval_representation/1" and table["checkpoint"] == "named"
    assert [row["classes_by"] for row in table["rows"]] == ["own classes", "linear probe", "linear probe"]
    shown = vidlang("eval", "representation", videos, "--checkpoint", "plain", "--clips", "1", "--center", "own")
    assert shown.code == 0 and "random weights" in shown.out, shown.err
    assert shown.out.startswith(
        "Protocol: 1 clips 4x1, 32 px of each video, shorter side 36 px, centre crop; gallery 4"
    )

    listed = vidlang("models", "list")
    assert listed.code == 0 and "clips 4x1, 32 px" in listed.out
    facts = vidlang("models", "show", "named", "--json")
    assert json.loads(facts.out)["started_from"] == "plain"


def test_what_cannot_be_is_one_line(vidlang, videos, tmp_path):
    train = ("train", "fame", videos, "-q")
    one_line(vidlang("train", "fame", "nowhere", "-q"), 2, "nowhere does not exist")
    one_line(vidlang(*train, "--finetune", "a", "--linear", "b"), 2, "give one of them")
    one_line(vidlang(*train, "--finetune", "a", "--beta", "0.3"), 2, "--beta has no meaning in --finetune")
    one_line(vidlang(*train, "--linear", "a", "--preset", "small"), 2, "--init and --preset are for")
    one_line(vidlang(*train, "--dropout", "0.3"), 2, "--dropout has no meaning in training without labels")
    one_line(vidlang(*train, "--beta", "1.5"), 2, "beta must be between 0 and 1, got 1.5")
    one_line(vidlang(*train, "--batch-size", "8"), 2, "--batch-size is 8 but there are 6 videos")
    one_line(vidlang(*train, "--finetune", "nothing"), 2, "no fame checkpoint called 'nothing'")
    one_line(vidlang(*train, "--manifest", "none.csv"), 1, "no manifest none.csv")
    one_line(vidlang("eval", "representation", videos, "-q"), 1, "There is no fame checkpoint", "vidlang train fame")
    (tmp_path / "weights.pth").write_bytes(b"\x80\x02cos\nsystem\n(S'true'\ntR.")
    one_line(vidlang(*train, "--init", "weights.pth"), 1, "weights.pth")
    assert not (tmp_path / ".vidlang" / "models").exists()


@pytest.mark.parametrize("words", [("train", "fame"), ("eval", "representation")], ids=" ".join)
def test_help_fits_a_terminal(vidlang, words):
    answer = vidlang(*words, "--help")
    assert answer.code == 0 and max(map(len, answer.out.splitlines())) <= 80
    bare = vidlang(*words)
    assert "Usage" in bare.out + bare.err
