"""Labels and cached features to a checkpoint, checkpoint to scores, scores to metrics; by head where it can be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from stand_ins import DIM, collection, film, put, recipe_of, video_rows

from vidlang.core import (
    BadCheckpoint,
    BadInput,
    BadManifest,
    DamagedEntry,
    FeatureKey,
    FeatureRecipe,
    Label,
    MissingFeatures,
    Sampling,
    Scores,
    Segment,
    UnknownName,
    VideoInfo,
)
from vidlang.core.labels import LabelledSegment
from vidlang.report.training_curves import series_of
from vidlang.store.checkpoints import ModelRegistry, load_train_state
from vidlang.store.results import read_scores
from vidlang.workflows.chosen import picture_path
from vidlang.workflows.evaluate import evaluate_anomaly
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.runs import runs_folder
from vidlang.workflows.score import ScoreOptions, find_events, score
from vidlang.workflows.train_vadclip import PANELS, TrainOptions, best_threshold, train_vadclip

SMALL = {
    "visual_length": 12, "attn_window": 4, "attn_heads": 2, "prompt_prefix": 2, "prompt_postfix": 2,
    "batch_size": 4, "epochs": 2, "learning_rate": 3e-3,
}  # fmt: skip


def options(**changes) -> TrainOptions:
    return TrainOptions(**{"changes": SMALL, "name": "run", "device": "cpu", **changes})


@pytest.fixture
def collected(cache, encoder) -> list[str]:
    return collection(cache, recipe_of(encoder))


def state_of(workspace, name: str = "run") -> dict[str, torch.Tensor]:
    return ModelRegistry(workspace.models_dir).find("vadclip", name).state


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def run_facts(workspace, name: str = "run") -> dict:
    return json.loads((runs_folder(workspace, "vadclip") / name / "run.json").read_text())


# -- the whole road --------------------------------------------------------------------------------------------------


def test_labels_to_weights_to_scores_to_metrics(workspace, collected):
    report = train_vadclip(workspace, options(changes={**SMALL, "epochs": 12}))
    folder = runs_folder(workspace, "vadclip") / "run"
    assert report.folder == folder and report.columns == ("seed 234",)
    assert (folder / "curves.png").stat().st_size > 1000 and (folder / "last" / "checkpoint.json").is_file()
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log] == list(range(1, 13))
    assert log[-1]["total"] < log[0]["total"]

    scored = score(collected, workspace, ScoreOptions(cached=True, plot=False))
    assert {outcome.status for outcome in scored.outcomes} == {"done"} and len(scored.scores) == 18
    assert all(np.array_equal(s.anomaly, s.branches[scored.made_by["branch"]]) for s in scored.scores)
    assert scored.scores[0].class_names == ("normal", "fall", "fight")
    assert read_scores(scored.folder / "scores.jsonl")[0].video.id == "fall/fall0.mp4"

    judged = evaluate_anomaly(workspace)
    assert judged.num_videos == 18 and judged.source == str(scored.folder / "scores.jsonl")
    assert all(metrics["video_auc"] > 0.95 for metrics in judged.metrics.values())
    assert any("frame" in note for note in judged.notes)  # folders name no times


def test_a_run_whose_weights_cannot_be_registered_is_resumed_to_the_end(workspace, collected, monkeypatch):
    def full(*_, **__):
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(ModelRegistry, "register", full)
        with pytest.raises(OSError, match="disk full"):
            train_vadclip(workspace, options())
    assert not run_facts(workspace)["finished"]
    train_vadclip(workspace, options(name=None, resume=True))
    assert run_facts(workspace)["finished"] and state_of(workspace)


def test_videos_from_files_are_extracted_and_scored(tmp_path, workspace, cache, encoder, collected):
    train_vadclip(workspace, options())
    film(tmp_path / "v" / "a.mp4", 40)
    (tmp_path / "v" / "b.mp4").write_text("no film")
    report = score([tmp_path / "v"], workspace, ScoreOptions())
    assert [(o.video_id, o.status) for o in report.outcomes] == [("a.mp4", "done"), ("b.mp4", "failed")]
    assert report.num_failed == 1 and [s.video.id for s in report.scores] == ["a.mp4"]
    assert (report.folder / "a.mp4.png").read_bytes().startswith(b"\x89PNG")
    assert FeatureKey("a.mp4", recipe_of(encoder)) in cache


# -- what trains, what validates, what is never seen ------------------------------------------------------------------


def manifest_of(path, collected, split_of) -> None:
    lines = ["video,label,split"] + [f"{i},{i.split('/')[0]},{split_of(i)}" for i in collected]
    path.write_text("\n".join(lines) + "\n")


def test_validation_never_sees_test_videos(tmp_path, workspace, collected):
    manifest = tmp_path / "labels.csv"
    manifest_of(manifest, collected, lambda i: "test" if i.endswith(("4.mp4", "5.mp4")) else "train")
    train_vadclip(workspace, options(manifest=manifest))
    facts = run_facts(workspace)
    used = set(facts["train"]) | set(facts["validation"])
    assert used == {i for i in collected if not i.endswith(("4.mp4", "5.mp4"))}
    assert facts["validation"] and not set(facts["train"]) & set(facts["validation"])


def test_a_split_val_of_the_manifest_is_taken_as_it_is(tmp_path, workspace, collected):
    manifest = tmp_path / "labels.csv"
    manifest_of(manifest, collected, lambda i: "val" if i.endswith("5.mp4") else "train")
    train_vadclip(workspace, options(manifest=manifest))
    assert sorted(run_facts(workspace)["validation"]) == ["fall/fall5.mp4", "fight/fight5.mp4", "normal/normal5.mp4"]


def test_selecting_on_test_happens_only_by_name_and_is_said(tmp_path, workspace, collected):
    manifest = tmp_path / "labels.csv"
    manifest_of(manifest, collected, lambda i: "test" if i.endswith("5.mp4") else "train")
    report = train_vadclip(workspace, options(manifest=manifest, select_on="test"))
    assert len(run_facts(workspace)["validation"]) == 3
    assert report.measured_on == "test, selected on it"
    assert any("not for reporting" in note for note in report.notes)
    with pytest.raises(BadInput, match="--select-on test needs videos of the split 'test'"):
        train_vadclip(workspace, options(name="other", select_on="test"))


def test_without_validation_the_last_epoch_is_kept(workspace, collected):
    report = train_vadclip(workspace, options(val_fraction=0.0))
    assert report.measured_on == "training videos" and run_facts(workspace)["validation"] == []
    best = ModelRegistry(workspace.models_dir).find("vadclip", "run")
    assert best.extra["epoch"] == SMALL["epochs"]


# -- resume, seeds ---------------------------------------------------------------------------------------------------


class Killed(Exception):
    """The end of a process, as seen from inside."""


def kill_after(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies when the state of ``epoch`` has been written."""
    from vidlang.store.checkpoints import save_train_state
    from vidlang.workflows import runs as module

    def save(folder, tensors, numbers):
        path = save_train_state(folder, tensors, numbers)
        if numbers["epoch"] == epoch:
            raise Killed
        return path

    monkeypatch.setattr(module, "save_train_state", save)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(workspace, collected, monkeypatch, epoch):
    changes = {**SMALL, "epochs": 4}
    train_vadclip(workspace, options(changes=changes, name="whole"))
    with monkeypatch.context() as patch:
        kill_after(epoch, patch)
        with pytest.raises(Killed):
            train_vadclip(workspace, options(changes=changes))
    assert not run_facts(workspace)["finished"]
    assert [summary.name for summary in ModelRegistry(workspace.models_dir).list()] == ["whole"]
    train_vadclip(workspace, options(changes=changes, name=None, resume=True))
    assert run_facts(workspace)["finished"]
    assert same(state_of(workspace), state_of(workspace, "whole"))
    logs = [(runs_folder(workspace, "vadclip") / name / "log.jsonl").read_text() for name in ("run", "whole")]
    assert logs[0] == logs[1]
    last = [load_train_state(runs_folder(workspace, "vadclip") / name / "state")[0] for name in ("run", "whole")]
    assert same(*last)


def test_a_run_killed_in_its_first_epoch_resumes_from_its_start(workspace, collected, monkeypatch):
    train_vadclip(workspace, options(name="whole"))
    with monkeypatch.context() as patch:
        patch.setattr("vidlang.methods.vadclip.train.vadclip_losses", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train_vadclip(workspace, options())
    train_vadclip(workspace, options(resume=True))
    assert same(state_of(workspace), state_of(workspace, "whole"))


def test_resume_refuses_another_question(workspace, collected, monkeypatch):
    with pytest.raises(BadInput, match="no unfinished run"):
        train_vadclip(workspace, options(name=None, resume=True))
    kill_after(1, monkeypatch)
    with pytest.raises(Killed):
        train_vadclip(workspace, options())
    with pytest.raises(BadInput, match="started with another config"):
        train_vadclip(workspace, options(changes={**SMALL, "learning_rate": 1e-4}, resume=True))
    with pytest.raises(BadInput, match="no run called 'nun' to resume"):
        train_vadclip(workspace, options(name="nun", resume=True))
    with pytest.raises(BadInput, match="leave --seeds out"):
        train_vadclip(workspace, options(resume=True, num_seeds=2))
    with pytest.raises(BadInput, match="a run called 'run' already"):
        train_vadclip(workspace, options())


def test_seeds_are_runs_of_their_own_with_mean_and_spread(workspace, collected):
    report = train_vadclip(workspace, options(num_seeds=2))
    first, second = (f"run-seed{234 + i}" for i in range(2))
    assert report.columns == ("seed 234", "seed 235", "mean", "std")
    name, one, two, mean, std = report.rows()[0]
    assert mean == pytest.approx((one + two) / 2) and std == pytest.approx(abs(one - two) / 2**0.5)
    assert name in report.metrics[0]
    assert not same(state_of(workspace, first), state_of(workspace, second))
    best = max(zip(report.metrics, (first, second), strict=True), key=lambda pair: pair[0]["auc"])
    if report.metrics[0]["auc"] != report.metrics[1]["auc"]:
        assert report.checkpoint.endswith(best[1])
    assert ModelRegistry(workspace.models_dir).newest("vadclip").extra["name"] == report.checkpoint.split("/")[-1]


# -- what cannot be trained ------------------------------------------------------------------------------------------


def test_a_name_that_cannot_be_registered_is_refused_before_training(workspace, collected):
    for name in ("a/b", "..", ""):
        with pytest.raises(BadInput, match="cannot be called"):
            train_vadclip(workspace, options(name=name))
    assert not runs_folder(workspace, "vadclip").exists()


def test_what_cannot_be_trained_is_said_in_one_line(tmp_path, workspace, cache, encoder):
    with pytest.raises(MissingFeatures, match=r"is empty\. Run: vidlang extract"):
        train_vadclip(workspace, options())
    recipe = recipe_of(encoder)
    put(cache, recipe, "bare.mp4", video_rows(5, 0))
    with pytest.raises(BadManifest, match="No cached video lies in a class folder"):
        train_vadclip(workspace, options())
    put(cache, recipe, "normal/a.mp4", video_rows(5, 1))
    with pytest.raises(BadManifest, match="All videos are labelled 'normal'"):
        train_vadclip(workspace, options())
    put(cache, recipe, "fight/b.mp4", video_rows(5, 2, event=0))
    report = train_vadclip(workspace, options())  # two videos are few, not wrong
    assert any("1 cached videos lie in no class folder" in note for note in report.notes)
    (tmp_path / "labels.csv").write_text("video,label\nelsewhere.mp4,normal\n")
    with pytest.raises(MissingFeatures, match=r"No video of .*labels\.csv is in the cache"):
        train_vadclip(workspace, options(name="x", manifest=tmp_path / "labels.csv"))
    with pytest.raises(UnknownName, match="Did you mean 'ucf-crime'"):
        train_vadclip(workspace, options(name="y", preset="ucf-crim"))
    with pytest.raises(BadInput, match=r"is labelled 'fight', which is not one of Normal, Abuse"):
        train_vadclip(workspace, TrainOptions(preset="ucf-crime", name="z", device="cpu"))
    assert [folder.name for folder in runs_folder(workspace, "vadclip").iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attn_heads": 7}, "--attn-heads 7 does not divide 32, the dimension of mini"),
        ({"prompt_prefix": 40}, "prompt"),
        ({"learning_rate": 1e30}, "Lower learning_rate"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"select_metric": "acc"}, "no validation metric 'acc'"),
        ({"attn_hads": 2}, "Did you mean 'attn_heads'"),
    ],
)
def test_options_that_cannot_train_are_bad_input(workspace, collected, changes, message):
    with pytest.raises((BadInput, UnknownName), match=message):
        train_vadclip(workspace, options(changes={**SMALL, "epochs": 4, **changes}))


def test_no_normal_class_is_said(workspace, cache, encoder):
    for name in ("calm", "fight"):
        put(cache, recipe_of(encoder), f"{name}/a.mp4", video_rows(5, 1))
    with pytest.raises(BadManifest, match="--normal NAME"):
        train_vadclip(workspace, options())
    train_vadclip(workspace, options(normal="calm"))
    assert run_facts(workspace)["class_names"] == ["calm", "fight"]


def test_a_damaged_entry_is_named_when_it_is_needed(workspace, cache, encoder, collected):
    entry = cache.entry(FeatureKey("fight/fight0.mp4", recipe_of(encoder)))
    data = bytearray(entry.path.read_bytes())
    data[data.index(cache.get(entry.key).values.tobytes()) + 5] ^= 1
    entry.path.write_bytes(data)
    with pytest.raises(DamagedEntry, match=r"fight0\.mp4.* is damaged"):
        train_vadclip(workspace, options())


# -- scoring ---------------------------------------------------------------------------------------------------------


def test_cached_scoring_takes_patterns_and_names_what_is_damaged(workspace, cache, encoder, collected, notes):
    train_vadclip(workspace, options())
    report = score(["fight/*", "normal/normal1.mp4"], workspace, ScoreOptions(cached=True, plot=False))
    assert len(report.scores) == 7 and report.num_failed == 0
    entry = cache.entry(FeatureKey("fight/fight0.mp4", recipe_of(encoder)))
    data = bytearray(entry.path.read_bytes())
    data[data.index(cache.get(entry.key).values.tobytes()) + 5] ^= 1
    entry.path.write_bytes(data)
    report = score(["fight/*"], workspace, ScoreOptions(cached=True, plot=False), progress=notes)
    assert report.num_failed == 1 and len(report.scores) == 5
    assert any("fight0" in message and "damaged" in message for message in notes.messages)
    with pytest.raises(BadInput, match="--crop 3 asks for one of ten crops"):
        score(["fight/*"], workspace, ScoreOptions(cached=True, crop="3"))
    with pytest.raises(BadInput, match=r"No video in .* matches fire/\*"):
        score(["fire/*"], workspace, ScoreOptions(cached=True))


def test_a_checkpoint_scores_only_the_encoder_that_it_was_trained_on(tmp_path, workspace, encoder, collected):
    train_vadclip(workspace, options())
    film(tmp_path / "a.mp4", 20)
    encoder.revision = "another"
    with pytest.raises(BadCheckpoint, match=r"revision .* but here it is another"):
        score([tmp_path / "a.mp4"], workspace, ScoreOptions())
    with pytest.raises(BadInput, match="scores features of that recipe only"):
        score([tmp_path / "a.mp4"], workspace, ScoreOptions(), RecipeChanges(stride=8))


def test_zero_shot_compares_with_words(tmp_path, workspace, encoder, notes):
    film(tmp_path / "a.mp4", 40)
    report = score([tmp_path / "a.mp4"], workspace, ScoreOptions(labels=("fire", "a [bold] fall")), progress=notes)
    scores = report.scores[0]
    assert scores.class_names == ("normal", "fire", "a [bold] fall") and report.made_by["method"] == "zero-shot"
    assert scores.classes is not None and scores.classes.shape == (2, 3)
    np.testing.assert_allclose(scores.classes.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scores.anomaly, 1 - scores.classes[:, 0], atol=1e-5)
    assert notes.messages == []
    score([tmp_path / "a.mp4"], workspace, ScoreOptions(plot=False), progress=notes)
    assert "thirteen classes of UCF-Crime" in notes.messages[0]
    with pytest.raises(BadInput, match="leave --branch out"):
        score([tmp_path / "a.mp4"], workspace, ScoreOptions(labels=("fire",), branch="c"))


def test_ten_crops_score_by_one_or_by_their_mean(workspace, cache, encoder, collected):
    train_vadclip(workspace, options())
    recipe = recipe_of(encoder, crops="ten")
    rows = np.stack([video_rows(6, seed=k) for k in range(10)])
    put(cache, recipe, "x.mp4", rows)
    checkpoint = ModelRegistry(workspace.models_dir).find("vadclip", "run")
    ModelRegistry(workspace.models_dir).register(replace(checkpoint, recipe=recipe), name="ten")

    def anomaly(crop: str) -> np.ndarray:
        options = ScoreOptions(checkpoint="ten", cached=True, crop=crop, plot=False, branch="c")
        return score(["x.mp4"], workspace, options).scores[0].anomaly

    each = np.stack([anomaly(str(k)) for k in range(10)])
    np.testing.assert_allclose(anomaly("mean"), each.mean(axis=0), atol=1e-5)
    assert not np.allclose(each[0], each[1])


def test_pictures_of_odd_ids_have_names_that_file_systems_take(tmp_path):
    assert picture_path(tmp_path, "fight/x.mp4").name == "fight__x.mp4.png"
    for video_id in ("a/" * 150 + "x.mp4", "new\nline.mp4", "b\udcff.mp4", "..", "<img src=x onerror=alert(1)>.mp4"):
        picture_path(tmp_path, video_id).touch()
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"threshold": 1.5}, r"--threshold must lie in \[0, 1\]"),
        ({"labels": ("a",), "checkpoint": "x"}, "give one of them"),
        ({"labels": ()}, "at least one label"),
        ({"crop": "10"}, "0 to 9, or mean"),
        ({"split": "test"}, "give one with --manifest"),
    ],
)
def test_options_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(BadInput, match=message):
        ScoreOptions(**wrong)


# -- events and thresholds, by head ----------------------------------------------------------------------------------


def scores_of(video_id: str, anomaly, classes=None, names=(), rate: float = 16.0) -> Scores:
    """One row a second: 16 frames a row at 16 frames per second."""
    anomaly = np.asarray(anomaly, dtype=np.float32)
    edges = np.arange(len(anomaly) + 1, dtype=np.int64) * 16
    frames = np.stack([edges[:-1], edges[1:]], axis=1)
    return Scores(
        video=VideoInfo(video_id, int(edges[-1]), float(edges[-1] / rate), rate, (8, 8)),
        frames=frames,
        seconds=frames / rate,
        anomaly=anomaly,
        classes=None if classes is None else np.asarray(classes, dtype=np.float32),
        class_names=names,
        branches={"c": anomaly},
    )


def test_events_are_runs_at_or_above_the_threshold():
    # rows:      0   1   2   3   4   5
    anomaly = [0.1, 0.5, 0.9, 0.2, 0.6, 0.6]
    classes = [[1, 0, 0], [0.5, 0.1, 0.4], [0.1, 0.8, 0.1], [1, 0, 0], [0.4, 0.0, 0.6], [0.4, 0.0, 0.6]]
    scores = scores_of("v", anomaly, classes, ("normal", "fire", "fall"))
    first, second = find_events(scores, 0.5)
    assert (first.segment, first.label, first.score) == (Segment(1, 3), "fire", pytest.approx(0.9))
    assert (second.segment, second.label, second.score) == (Segment(4, 6), "fall", pytest.approx(0.6))
    assert [event.segment for event in find_events(scores, 0.7)] == [Segment(2, 3)]
    assert find_events(scores, 0.7, min_seconds=1.5) == ()
    assert find_events(scores, 0.0)[0].segment == Segment(0, 6)
    assert find_events(scores_of("v", [0.9]), 0.5)[0].label == "anomaly"


def abnormal(video_id: str, *segments: Segment) -> Label:
    events = tuple(LabelledSegment("fire", segment) for segment in segments)
    return Label(video_id, ("fire",), events, timed=bool(segments))


def test_the_threshold_of_separable_videos_lies_half_way():
    scores = [scores_of("n", [0.1, 0.3]), scores_of("a", [0.1, 0.7])]
    assert best_threshold(scores, [Label("n", ("normal",)), abnormal("a")], "c", "normal") == pytest.approx(0.5)


def test_the_threshold_of_timed_rows_lies_half_way():
    scores = [scores_of("n", [0.1, 0.2], rate=16.0), scores_of("a", [0.1, 0.9, 0.8, 0.4])]
    truth = [Label("n", ("normal",), timed=True), abnormal("a", Segment(1, 3))]
    assert best_threshold(scores, truth, "c", "normal") == pytest.approx(0.6)


def test_ties_are_on_one_side_of_the_threshold():
    # peaks: normal .5, .5; abnormal .5, .9. At .9: precision 1, recall 1/2, F1 2/3; at .5: 1/2, 1, 2/3; the first wins
    peaks = {"n1": 0.5, "n2": 0.5, "a1": 0.5, "a2": 0.9}
    scores = [scores_of(name, [peak]) for name, peak in peaks.items()]
    truth = [Label("n1", ("normal",)), Label("n2", ("normal",)), abnormal("a1"), abnormal("a2")]
    assert best_threshold(scores, truth, "c", "normal") == pytest.approx(0.7)


def test_an_inverted_detector_calls_everything_anomalous():
    scores = [scores_of("n", [0.9]), scores_of("a", [0.2])]
    assert best_threshold(scores, [Label("n", ("normal",)), abnormal("a")], "c", "normal") == pytest.approx(0.1)


def test_nothing_to_separate_gives_one_half():
    assert best_threshold([scores_of("n", [0.9])], [Label("n", ("normal",))], "c", "normal") == 0.5
    assert best_threshold([scores_of("a", [0.9])], [abnormal("a")], "c", "normal") == 0.5


# -- imported features -----------------------------------------------------------------------------------------------


def test_imported_files_train_and_score_from_the_cache(tmp_path, workspace, cache, encoder):
    from vidlang.core import Progress
    from vidlang.workflows.cache import import_npy

    for number, (name, event) in enumerate((("normal", None), ("fight", 0))):
        for index in range(6):
            path = tmp_path / "npy" / name / f"{index}__0.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, video_rows(8, 10 * number + index, event).astype(np.float16))
    outcomes = import_npy(cache, [tmp_path / "npy"], "mini", 25.0, 16, 0, Progress())
    assert [o.status for o in outcomes] == ["done"] * 12
    train_vadclip(workspace, options())
    report = score(["*"], workspace, ScoreOptions(cached=True, plot=False))
    assert len(report.scores) == 12 and report.num_failed == 0
    assert report.scores[0].video.frame_rate == 25.0
    film(tmp_path / "new.mp4", 40)
    report = score([tmp_path / "new.mp4"], workspace, ScoreOptions(plot=False))
    assert "trained on imported features" in report.made_by["note"]


def test_features_of_another_dimension_are_refused(workspace, cache, encoder):
    recipe = FeatureRecipe("mini", encoder.revision, Sampling())
    for name in ("normal", "fight"):
        put(cache, recipe, f"{name}/a.mp4", np.ones((4, DIM * 2), np.float32))
    with pytest.raises(BadInput, match=f"dimension {DIM * 2}, the text encoder's space has {DIM}"):
        train_vadclip(workspace, options())


def test_the_curves_show_losses_apart_from_metrics():
    row = {"epoch": 1, "learning_rate": 1e-4, "bce": 0.7, "alignment": 0.6, "contrastive": 0.1, "total": 1.4}
    log = [{**row, "auc_c": 0.8, "video_auc_c": 0.8, "auc": 0.8}]
    losses, areas, precisions = (set(series_of(log, panel)) for panel in PANELS)
    assert losses == {"bce", "alignment", "contrastive", "total"}
    assert areas == {"auc_c"} and precisions == set()
