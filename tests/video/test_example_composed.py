"""The example that composes untrimmed videos: its times are true, and no footage is in both splits."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vidlang.datasets.manifest import class_names, read_manifest
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "composed_actions" / "prepare.py"
SECONDS = 12
NUMBERED = (1, 2, 70, 71, 72, 73, 74, 76)
"""Clips of the two numbered folders: three for training, two left out, three for testing."""


def load_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("composed_prepare", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


example = load_example()
RED = {None: 240, **{name: 20 + 25 * number for number, name in enumerate(example.CLASSES)}}
"""What a clip shows: its red tells the class, its green the second."""


def clip(path: Path, label: str | None, seconds: float) -> None:
    frames = np.zeros((round(10 * seconds), 32, 48, 3), np.uint8)
    frames[..., 0] = RED[label]
    frames[..., 1] = np.linspace(0, 240, len(frames), dtype=np.uint8)[:, None, None]
    write_video(path, frames, 10.0, options={"preset": "ultrafast", "crf": "10"})


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for label, (path, _) in example.ONE_CLIP.items():
        clip(root / path, label, SECONDS)
    for path in (path for paths in example.BACKGROUNDS.values() for path in paths):
        clip(root / path, None, 6)
    for sign in " ".join(example.SIGNERS.values()).split():
        clip(root / "clips" / "signs" / f"{sign}.mkv", example.SIGNS, 1.7)
    for number in NUMBERED:
        clip(root / "surv_fight" / "fight" / f"fi{number:03d}.mp4", example.FIGHT, 2)
        clip(root / "surv_fight" / "normal" / f"nofi{number:03d}.mp4", None, 2)
    return root


@pytest.fixture(scope="module")
def plans(data) -> dict[str, list]:
    return {split: example.plan(example.footage(data, split), 40, f"7/{split}") for split in example.SPLITS}


def frames_used(videos: Sequence) -> set[tuple[Path, int]]:
    takes = [take for video in videos for part in video for take in part.takes]
    return {(take.path, number) for take in takes for number in range(take.first, take.last)}


def test_no_second_of_footage_is_in_both_splits(plans):
    train, test = (frames_used(plans[split]) for split in example.SPLITS)
    assert not train & test
    shared = {path for path, _ in train} & {path for path, _ in test}
    assert {path.name for path in shared} == {Path(path).name for path, _ in example.ONE_CLIP.values()}
    for path in shared:
        last, first = max(n for p, n in train if p == path), min(n for p, n in test if p == path)
        assert first - last > example.GAP * example.FRAME_RATE


def test_neighbours_of_the_border_between_splits_are_left_out(plans):
    numbered = {path.stem[-3:] for split in plans.values() for path, _ in frames_used(split) if "fi" in path.stem[:4]}
    assert {"070", "073"} <= numbered and not {"071", "072"} & numbered


def test_videos_keep_the_promised_lengths(plans):
    for video in (video for videos in plans.values() for video in videos):
        assert 20 <= sum(map(len, video)) / example.FRAME_RATE <= 60
        labels = [part.label for part in video]
        assert all(label is None for label in labels[::2]) and None not in labels[1::2] and len(labels) <= 7
        assert all(len(part) >= 2 * example.FRAME_RATE for part in video)
        assert all(len(part) <= 8 * example.FRAME_RATE for part in video[1::2])


def test_every_class_is_often_there_and_a_fifth_of_the_videos_is_normal(plans):
    for videos in plans.values():
        labels = [{part.label for part in video} - {None} for video in videos]
        assert sum(not found for found in labels) == 8
        counts = [sum(name in found for found in labels) for name in example.CLASSES]
        assert min(counts) >= 4 and max(counts) <= 2 * min(counts)


def test_cctv_is_seen_with_a_fight_with_other_actions_and_with_none(plans):
    def places(part) -> set[str]:
        return {take.path.parent.name for take in part.takes}

    for video in plans["train"]:
        if example.FIGHT in {part.label for part in video}:
            assert all(places(part) == {"normal"} for part in video[::2])
    others = [video for video in plans["train"] if example.FIGHT not in {part.label for part in video}]
    in_cctv = {len(video) > 1 for video in others if places(video[0]) == {"normal"}}
    assert in_cctv == {True, False}


def test_the_seed_decides(data, plans):
    footage = example.footage(data, "test")
    assert example.plan(footage, 40, "7/test") == plans["test"] != example.plan(footage, 40, "8/test")


def test_what_is_written_shows_each_action_at_its_times(data, tmp_path, monkeypatch, capsys):
    command = [EXAMPLE, "--data", data, "--out", tmp_path, "--train", "3", "--test", "2"]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    example.main()
    assert "train: 3 videos" in capsys.readouterr().out
    labels = read_manifest(tmp_path / "labels.csv")
    paths = ["train/000.mp4", "train/001.mp4", "train/002.mp4", "test/000.mp4", "test/001.mp4"]
    assert [label.video_id for label in labels] == paths
    assert class_names(labels)[0] == example.NORMAL
    for label in labels:
        with open_video(tmp_path / label.video_id, short_side=24) as reader:
            for batch in reader.read():
                shown = batch.frames[..., 0].mean(axis=(1, 2))
                for red, (start, end) in zip(shown, batch.seconds, strict=True):
                    middle = (start + end) / 2
                    found = [e.label for e in label.segments if e.segment.start <= middle < e.segment.end]
                    assert abs(red - RED[found[0] if found else None]) < 10, (label.video_id, middle)


def test_a_folder_without_the_clips_is_refused(tmp_path):
    command = [sys.executable, EXAMPLE, "--data", tmp_path, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "there is no folder" in done.stderr
