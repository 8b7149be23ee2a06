"""The four commands, as a new user types them, on rendered films with the bundled encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidlang.datasets.manifest import write_manifest
from vidlang.demo.scenes import render_collection


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> tuple[Path, Path]:
    """(folder of videos, manifest): five kinds, a third of each for testing."""
    folder = tmp_path_factory.mktemp("collection")
    labels = render_collection(folder / "videos", videos_per_class=3, normal_videos=6, seconds=3.2, size=(96, 128))
    (folder / "labels.csv").write_text(write_manifest(labels))
    return folder / "videos", folder / "labels.csv"


def test_extract_train_score_eval(vidlang, collection, tmp_path):
    videos, manifest = collection
    assert vidlang("init", "--encoder", "mini").code == 0
    num_videos = len(list(videos.rglob("*.mp4")))

    extracted = vidlang("extract", videos)
    assert extracted.code == 0, extracted.err
    assert extracted.out.startswith(f"{num_videos} extracted, 0 already there, 0 failed")
    assert vidlang("extract", videos).out.startswith(f"0 extracted, {num_videos} already there, 0 failed")

    trained = vidlang(
        "train", "vadclip", "--manifest", manifest, "--epochs", "3", "--batch-size", "8", "--name", "first"
    )
    assert trained.code == 0, trained.err
    assert "Registered as" in trained.out and "Next: vidlang score" in trained.out
    assert (tmp_path / ".vidlang" / "results" / "train" / "vadclip" / "first" / "curves.png").is_file()

    scored = vidlang("score", videos, "--manifest", manifest, "--split", "test", "--json")
    assert scored.code == 0, scored.err
    report = json.loads(scored.out)
    num_test = manifest.read_text().count("test")
    assert report["made_by"]["checkpoint"] == "first" and report["failed"] == []
    assert 0 < len(report["videos"]) <= num_test
    assert all(0 <= value <= 1 for video in report["videos"] for value in video["anomaly"])
    assert len(list(Path(report["folder"]).glob("*.png"))) == len(report["videos"])

    judged = vidlang("eval", "anomaly", "--manifest", manifest, "--split", "test")
    assert judged.code == 0, judged.err
    for word in ("frame_auc", "video_auc", "C-branch", "A-branch", "bundled encoder 'mini'"):
        assert word in judged.out + judged.err
    for answer in (extracted, trained, scored, judged):
        assert "\x1b" not in answer.out + answer.err and "Traceback" not in answer.err

    assert vidlang("cache", "verify").out == f"{num_videos} entries are whole, 0 damaged.\n"
    assert "first" in vidlang("models", "list").out
    again = vidlang("train", "vadclip", "--manifest", manifest, "--name", "first")
    assert again.code == 2 and "already" in again.err
