"""Swapped backgrounds: a scorer of what happens keeps its scores, a scorer of the place turns round."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import BadCheckpoint, BadInput, BadManifest, BadVideo, Outcome, Scores
from vidlang.methods.fame.options import MaskOptions
from vidlang.store.checkpoints import ModelRegistry
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video
from vidlang.workflows.chosen import wanted_videos
from vidlang.workflows.evaluate_background import (
    KINDS,
    BackgroundOptions,
    BackgroundReport,
    evaluate_background,
    rank_correlation,
)
from vidlang.workflows.extract import find_inputs
from vidlang.workflows.score import ScoreReport

GROUND = {"normal": 60, "fight": 180, "fire": 180}
ACTOR = {"normal": (0, 0, 250), "fight": (250, 0, 0), "fire": (250, 90, 0)}
MASKS = MaskOptions(method="seed", beta=0.25)


def clip(path: Path, kind: str, seed: int, *, moves: bool = True) -> Path:
    """A red or blue square that crosses a grey place: red fights in bright places, blue is normal in dark ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-12, 13, (64, 80, 1))
    ground = np.repeat(GROUND[kind] + noise, 3, axis=2).astype(np.uint8)
    frames = []
    for index in range(12):
        frame = ground.copy()
        left = 16 + 3 * index if moves else 30
        frame[24:40, left : left + 16] = ACTOR[kind]
        frames.append(frame)
    write_video(path, frames, 25.0, options={"preset": "ultrafast", "crf": "6"})
    return path


def what(frames: np.ndarray) -> float:
    """How much more red than blue there is: grey places do not count."""
    red, blue = (frames[..., channel].astype(float).mean() for channel in (0, 2))
    return float(np.clip(0.5 + (red - blue) / 60, 0, 1))


def where(frames: np.ndarray) -> float:
    """How bright most of the picture is."""
    return float(np.median(frames) / 240)


@pytest.fixture
def score_by(monkeypatch, tmp_path):
    """Replaces extraction and checkpoint by a function of pixels; returns the calls."""
    monkeypatch.setattr(ModelRegistry, "folder", lambda self, method, name: tmp_path / "models" / (name or "newest"))
    calls: list[tuple[str, ...]] = []

    def install(look):
        def score(paths, workspace, options, changes, extraction, progress):
            cache = type("Cache", (), {"root": workspace.cache_dir})()
            found = find_inputs(paths, cache)
            choose = wanted_videos(options.manifest, None)
            wanted = {i for i, _ in found} if choose is None else choose([i for i, _ in found])
            calls.append((str(workspace.root), *sorted(wanted)))
            scores, outcomes = [], []
            for video_id, path in found:
                if video_id not in wanted:
                    continue
                try:
                    scores.append(_scores(video_id, path, look))
                    outcomes.append(Outcome(video_id, "done"))
                except BadVideo as error:
                    outcomes.append(Outcome(video_id, "failed", error=error))
            made_by = {"checkpoint": Path(options.checkpoint).name, "encoder": "eyes", "note": "made by hand"}
            return ScoreReport(tuple(scores), ((),) * len(scores), tuple(outcomes), 0.5, made_by, options.out)

        monkeypatch.setattr("vidlang.workflows.evaluate_background.score", score)
        return calls

    return install


def _scores(video_id: str, path: Path, look) -> Scores:
    with open_video(path) as reader:
        frames = np.concatenate([batch.frames for batch in reader.read()])
        info = replace(reader.info, id=video_id)
    curve = np.array([0.0, look(frames)], dtype=np.float32)
    rulers = np.array([[0, 8], [8, 16]])
    return Scores(info, rulers, rulers / 25.0, curve, None, ())


@pytest.fixture
def clips(tmp_path) -> Path:
    for number in range(2):
        for kind in ("normal", "fight"):
            clip(tmp_path / "set" / kind / f"{number}.mp4", kind, 10 * number + len(kind))
    return tmp_path / "set"


def run(workspace, folder: Path, **options) -> BackgroundReport:
    return evaluate_background([folder], workspace, BackgroundOptions(**{"masks": MASKS, "size": 64, **options}))


def rows_of(report: BackgroundReport) -> dict:
    return {row.name.strip(): row for row in report.rows}


def test_a_scorer_of_what_happens_does_not_mind_the_place(workspace, clips, score_by):
    score_by(what)
    rows = rows_of(run(workspace, clips))
    for kind in ("rewritten", "same", "across"):
        row = rows[KINDS[kind]]
        assert row.num_clips == 4 and row.flips == 0
        assert row.auc_before == row.auc_after == 1
        assert row.mean_change < 0.1


def test_a_scorer_of_the_place_turns_round_across_normal_and_abnormal_alone(workspace, clips, score_by):
    score_by(where)
    report = run(workspace, clips)
    rows = rows_of(report)
    assert rows[KINDS["same"]].flips == 0 and rows[KINDS["same"]].auc_after == 1
    across = rows[KINDS["across"]]
    assert (across.auc_before, across.auc_after, across.flips) == (1, 0, 1)
    assert across.mean_change == pytest.approx(0.5, abs=0.05) and across.mean_shift == pytest.approx(0, abs=0.05)
    assert rows["normal on abnormal"].mean_shift == pytest.approx(0.5, abs=0.05)
    assert rows["abnormal on normal"].mean_shift == pytest.approx(-0.5, abs=0.05)
    assert rows["abnormal on normal"].auc_after is None and rows["abnormal on normal"].num_clips == 2
    assert rows[KINDS["rewritten"]].mean_change < 0.03


def test_backgrounds_are_of_the_kind_they_are_reported_under(workspace, clips, score_by):
    score_by(what)
    clip(clips / "fire" / "0.mp4", "fire", 5)
    report = run(workspace, clips)
    label = {swap.video: swap.video.split("/")[0] for swap in report.swaps}
    for swap in report.swaps:
        assert swap.abnormal == (label[swap.video] != "normal") and swap.background != swap.video
        ground = None if swap.background is None else label[swap.background]
        kinds = {None: "rewritten", label[swap.video]: "same"}
        across = "normal" in (ground, label[swap.video])
        assert swap.kind == kinds.get(ground, "across" if across else "other")
    others = [swap for swap in report.swaps if swap.kind == "other"]
    assert sorted(swap.video for swap in others) == ["fight/0.mp4", "fight/1.mp4", "fire/0.mp4"]
    assert "1 clips are alone in their class and get no background of it, such as fire" in report.notes


def test_a_seed_draws_the_same_clips_and_backgrounds_again(workspace, clips, score_by, monkeypatch):
    score_by(what)
    monkeypatch.setattr("vidlang.workflows.evaluate_background._Scratch._write", _copy)
    for number in range(2, 5):
        for kind in ("normal", "fight"):
            shutil.copy(clips / kind / "0.mp4", clips / kind / f"{number}.mp4")

    def drawn(seed: int) -> list[tuple]:
        report = run(workspace, clips, seed=seed, limit=3)
        return [(swap.video, swap.kind, swap.background) for swap in report.swaps]

    first = drawn(0)
    assert len({video for video, _, _ in first}) == 6
    assert drawn(0) == first
    assert any(drawn(seed) != first for seed in (1, 2))


def _copy(scratch, plan, target: Path) -> bool:
    """In place of merging, which the other tests look at."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(plan.clip.path, target)
    return True


def test_clips_that_do_not_move_are_said_and_not_counted(workspace, clips, score_by, tmp_path):
    score_by(where)
    folder = clips / "normal" / "still"
    still = np.full((64, 80, 3), 60, dtype=np.uint8)
    from PIL import Image

    folder.mkdir()
    for index in range(8):
        Image.fromarray(still).save(folder / f"{index}.png")
    report = run(workspace, clips)
    assert rows_of(report)[KINDS["across"]].num_clips == 4
    assert "nothing moves in 1 clips, which stay whole and are not counted, such as normal/still" in report.notes
    left = [swap for swap in report.swaps if swap.video == "normal/still" and swap.kind != "rewritten"]
    assert len(left) == 2 and not any(swap.moves for swap in left)
    assert max(abs(swap.after - swap.before) for swap in left) < 0.03


def test_merged_clips_and_their_features_go_but_for_a_folder_to_keep(workspace, clips, score_by, tmp_path):
    calls = score_by(what)
    run(workspace, clips, keep=tmp_path / "kept")
    own, other = calls
    assert own[0] == str(workspace.root) and len(own) == 5
    assert other[0] != own[0] and not Path(other[0]).exists()
    names = sorted(path.relative_to(tmp_path / "kept").as_posix() for path in (tmp_path / "kept").rglob("*.mp4"))
    assert names == sorted(other[1:]) and len(names) == 12
    assert all(name.split("/")[0] in KINDS and ("-over-" in name) != name.startswith("rewritten") for name in names)
    with pytest.raises(BadInput, match="is not an empty folder"):
        run(workspace, clips, keep=tmp_path / "kept")


def test_a_manifest_labels_and_chooses(workspace, clips, score_by, tmp_path):
    score_by(what)
    lines = ["video,label,split"]
    for number in range(2):
        lines += [f"normal/{number}.mp4,calm,{'train' if number else 'test'}", f"fight/{number}.mp4,brawl,test"]
    manifest = clips / "labels.csv"
    manifest.write_text("\n".join([*lines, "gone.mp4,brawl,test"]) + "\n")
    report = evaluate_background(
        [], workspace, BackgroundOptions(manifest=manifest, split="test", normal="calm", masks=MASKS, size=64)
    )
    assert {swap.video for swap in report.swaps} == {"normal/0.mp4", "fight/0.mp4", "fight/1.mp4"}
    assert any("1 videos of" in note and "gone.mp4" in note for note in report.notes)
    with pytest.raises(BadManifest, match="No class is called 'normal'"):
        evaluate_background([clips], workspace, BackgroundOptions(manifest=manifest))


def test_a_clip_that_fails_is_an_outcome_and_nobodys_background(workspace, clips, score_by):
    score_by(what)
    (clips / "normal" / "empty.mp4").write_bytes(b"no video")
    report = run(workspace, clips)
    assert [outcome.video_id for outcome in report.failed] == ["normal/empty.mp4"]
    assert len(report.swaps) == 12
    assert all("normal/empty.mp4" not in (swap.video, swap.background) for swap in report.swaps)


def test_the_report_for_programs(workspace, clips, score_by):
    score_by(what)
    found = run(workspace, clips).to_dict()
    assert found["schema"] == "vidlang.eval_background/1" and found["masks"]["beta"] == 0.25
    assert found["made_by"]["checkpoint"] == "newest" and found["threshold"] == 0.5
    assert set(found["clips"][0]) == {"video", "kind", "background", "abnormal", "before", "after", "moves"}
    assert {"name", "mean_change", "mean_shift", "flips", "auc_before", "auc_after", "rank_correlation"} < set(
        found["rows"][0]
    )
    assert found["notes"] == ["made by hand"]


def test_without_a_checkpoint_there_is_nothing_to_ask(workspace, clips):
    with pytest.raises(BadCheckpoint, match=r"Run: vidlang train vadclip"):
        evaluate_background([clips], workspace)


def test_what_cannot_be_compared_is_said(workspace, tmp_path, clips, score_by):
    score_by(what)
    with pytest.raises(BadInput, match=r"^Name labelled videos: a folder of class folders, or --manifest"):
        evaluate_background([], workspace)
    with pytest.raises(BadInput, match="--split names a part of a manifest"):
        BackgroundOptions(split="test")
    with pytest.raises(BadInput, match="--limit takes a number of clips from 1 on, got 0"):
        BackgroundOptions(limit=0)
    alone = clip(tmp_path / "one" / "normal" / "a.mp4", "normal", 0)
    with pytest.raises(BadInput, match="there is 1 with a label"):
        evaluate_background([alone.parent.parent], workspace)


def test_rank_correlation_by_head():
    rising = np.array([0.1, 0.2, 0.3, 0.4])
    assert rank_correlation(rising, rising**3) == pytest.approx(1)
    assert rank_correlation(rising, -rising) == pytest.approx(-1)
    assert rank_correlation(rising, np.array([1.0, 1.0, 2.0, 3.0])) == pytest.approx(4.5 / np.sqrt(5 * 4.5))
    assert rank_correlation(rising, np.ones(4)) is None
    assert rank_correlation(rising[:2], rising[:2]) is None
