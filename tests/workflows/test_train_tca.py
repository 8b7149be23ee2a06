"""Training for retrieval: what is learned from, what is held out, what is measured, and what lies there afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_ins import DIM, ColourEncoder, film, put_seconds, recipe_of, unit_rows

from vidlang.core import BadInput, EncoderUnavailable, FeatureKey, MissingFeatures, UnknownName
from vidlang.datasets.retrieval import read_pairs, truth_to_json
from vidlang.methods.tca import train as method_train
from vidlang.report.training_curves import curves_png
from vidlang.store.checkpoints import ModelRegistry
from vidlang.store.feature_cache import FeatureCache
from vidlang.workflows import runs
from vidlang.workflows import train_tca as train_workflow
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.gallery import GalleryOptions, open_gallery, whitening_of
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.retrieve import RetrieveOptions, retrieve
from vidlang.workflows.runs import RunFolder
from vidlang.workflows.train_tca import TrainTcaOptions, TrainTcaReport, train_tca

RECIPE = recipe_of(ColourEncoder())
SMALL = {
    "num_heads": 2, "feedforward": 16, "epochs": 2, "batch_size": 4, "num_negatives": 2, "min_batches": 2,
    "window": 8, "learning_rate": 1e-2,
}  # fmt: skip
QUICK = TrainTcaOptions(changes=SMALL, num_copies=2, val_fraction=0.3, test_fraction=0.3)
ONE = ExtractOptions(num_workers=1)


@pytest.fixture(autouse=True)
def _quickly(encoder, monkeypatch):
    """Every training asks the encoder for blank frames; drawing takes longer than learning."""
    monkeypatch.setattr(runs, "curves_png", lambda *_, **__: b"picture")


@pytest.fixture
def scenes(cache, tmp_path) -> Path:
    """Ten scenes of two videos, far from perfect copies, three videos of no scene, and a list of the pairs."""
    lines = ["query,video"]
    for number in range(10):
        rows = unit_rows(12, DIM, seed=number)
        put_seconds(cache, RECIPE, f"{number}a.mp4", rows)
        put_seconds(
            cache, RECIPE, f"{number}b.mp4", rows + 0.7 * np.random.default_rng(90 + number).normal(size=(12, DIM))
        )
        lines.append(f"{number}a.mp4,{number}b.mp4")
    for number in range(3):
        put_seconds(cache, RECIPE, f"other{number}.mp4", unit_rows(9, DIM, seed=50 + number))
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run_of(report: TrainTcaReport) -> dict:
    return json.loads((report.folder / "run.json").read_text())


def state_of(workspace, name: str) -> dict[str, torch.Tensor]:
    return dict(ModelRegistry(workspace.models_dir).find("tca", name).state)


@pytest.fixture
def seen(monkeypatch) -> list:
    """What the method was given to train on."""
    given = []
    real = method_train.fit

    def fit(videos, config, **more):
        given.append(videos)
        return real(videos, config, **more)

    monkeypatch.setattr(method_train, "fit", fit)
    return given


def trained_on(videos) -> set[int]:
    return {index for pair in videos.pairs for index in pair} | set(videos.distractors)


# -- pairs -----------------------------------------------------------------------------------------------------------


def test_a_training_leaves_a_checkpoint_a_log_and_a_picture(workspace, scenes, notes, monkeypatch):
    monkeypatch.setattr(runs, "curves_png", curves_png)
    report = train_tca([], workspace, replace(QUICK, pairs=scenes, name="first"), progress=notes)
    assert report.folder == workspace.results_dir / "train" / "tca" / "first"
    log = [json.loads(line) for line in (report.folder / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log] == [1, 2] and {"loss", "map", "map_vector"} <= log[0].keys()
    assert (report.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert run_of(report)["finished"] is True
    found = ModelRegistry(workspace.models_dir).find("tca", "first")
    assert found.recipe == RECIPE and found.extra["width"] == DIM and dict(found.metrics) == dict(report.after)
    assert found.extra["trained_on"] == "10 pairs of 20 videos, 3 other videos"
    told = report.to_dict()
    assert json.loads(json.dumps(told)) == told and told["schema"] == "vidlang.train_tca/1"
    assert [row[0] for row in report.rows()] == ["map", "recall@1", "map_vector", "recall@1_vector"]
    assert notes.done["training"] == 2


def test_sources_that_are_held_out_never_train(workspace, scenes, seen):
    report = train_tca([], workspace, replace(QUICK, pairs=scenes, name="first"))
    run = run_of(report)
    names, validation, test = run["videos"], set(run["validation"]), set(run["test"])
    assert len(names) == 23 and len(validation) == len(test) == 6 and not validation & test
    trained = {names[index] for index in trained_on(seen[0])}
    assert trained == set(names) - validation - test
    for part in (trained, validation, test):  # whole sources
        assert all(name[0] + other in part for name in part if name[0].isdigit() for other in ("a.mp4", "b.mp4"))
    assert {"other0.mp4", "other1.mp4", "other2.mp4"} <= trained
    assert report.measured_on == "3 held-out sources"


def test_whitening_is_fitted_on_what_trains_alone(workspace, scenes, monkeypatch):
    rows = []
    real = train_workflow.fit_whitening

    def fit(blocks, dim, plan, num_rows, num_videos):
        blocks = list(blocks)
        rows.append((np.concatenate(blocks), num_rows, num_videos))
        return real(blocks, dim, plan, num_rows, num_videos)

    monkeypatch.setattr(train_workflow, "fit_whitening", fit)
    report = train_tca([], workspace, replace(QUICK, pairs=scenes, name="w", whitening="whiten", num_components=8))
    run = run_of(report)
    train = [name for name in run["videos"] if name not in run["validation"] + run["test"]]
    cache = FeatureCache(workspace.cache_dir)
    expected = np.concatenate([cache.get(FeatureKey(name, RECIPE)).values for name in train])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found, num_rows, num_videos = rows[0]
    assert (num_rows, num_videos) == (len(expected), len(train))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    whitening = whitening_of(ModelRegistry(workspace.models_dir).find("tca", "w"))
    assert whitening is not None and whitening.width_out == 8
    gallery, _ = open_gallery(workspace)
    assert gallery.index.info().width == 8 and gallery.made_by["checkpoint"] == "w"


def test_the_ranking_before_training_is_that_of_the_rows_as_they_are(workspace, scenes, monkeypatch):
    judged, real = [], train_workflow.evaluate
    monkeypatch.setattr(train_workflow, "evaluate", lambda truth, found: judged.append(found) or real(truth, found))
    report = train_tca([], workspace, replace(QUICK, pairs=scenes, name="first"))
    test, names = run_of(report)["test"], run_of(report)["videos"]
    cache = FeatureCache(workspace.cache_dir)

    def rows(name: str) -> np.ndarray:
        values = cache.get(FeatureKey(name, RECIPE)).values
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    first_of = {}
    for name in names:
        first_of.setdefault(name[0] if name[0].isdigit() else name, name)
    gallery = [*test, *(name for source, name in first_of.items() if name not in test)]
    assert len(gallery) == 6 + 7 + 3
    assert sorted(judged[-1].ids) == sorted(gallery)  # one video of each other source, so that each is one chance
    precisions = []
    for query in test:
        products = {name: rows(query) @ rows(name).T for name in gallery if name != query}
        ranked = sorted(products, key=lambda name: -max(products[name].max(1).mean(), products[name].max(0).mean()))
        other = query[0] + ("b.mp4" if query[1] == "a" else "a.mp4")
        precisions.append(1 / (ranked.index(other) + 1))
    assert 0 < np.mean(precisions) < 1
    assert report.before["map"] == pytest.approx(np.mean(precisions), abs=1e-6)
    assert report.before["recall@1"] == pytest.approx(np.mean(np.array(precisions) == 1))
    assert all(0 <= value <= 1 for value in report.after.values())


def test_learning_without_a_rate_changes_no_ranking(workspace, scenes):
    """The residual encoder starts as the rows are, so that before and after are the same."""
    options = replace(QUICK, pairs=scenes, name="still", changes={**SMALL, "learning_rate": 1e-12})
    report = train_tca([], workspace, options)
    assert report.after == pytest.approx(report.before, abs=1e-6)


def test_pairs_of_a_truth_in_json_train_too(workspace, scenes, tmp_path):
    (tmp_path / "truth.json").write_text(truth_to_json(read_pairs(scenes)))
    report = train_tca([], workspace, replace(QUICK, pairs=tmp_path / "truth.json", name="first"))
    assert run_of(report)["num_pairs"] == 10


def test_pairs_that_connect_are_one_source_and_missing_ones_are_told(workspace, scenes, seen):
    scenes.write_text(scenes.read_text() + "0a.mp4,1b.mp4\ngone.mp4,0a.mp4\n9a.mp4,9a.mp4\n")
    report = train_tca([], workspace, replace(QUICK, pairs=scenes, name="first"))
    groups = dict(zip(run_of(report)["videos"], seen[0].groups, strict=True))
    assert groups["0a.mp4"] == groups["0b.mp4"] == groups["1a.mp4"] == groups["1b.mp4"] != groups["2a.mp4"]
    assert run_of(report)["num_pairs"] == 11
    assert any("1 videos of" in note and "not in the cache" in note for note in report.notes)


def test_too_few_sources_hold_none_out_and_say_so(workspace, scenes):
    options = replace(QUICK, pairs=scenes, name="first", val_fraction=0.2, test_fraction=0.2)
    report = train_tca([], workspace, options)
    assert (run_of(report)["validation"], run_of(report)["test"]) == ([], [])
    assert report.before == report.after == {} and report.measured_on == "nothing held out"
    assert any("too few videos to hold some out" in note for note in report.notes)


# -- interruptions ---------------------------------------------------------------------------------------------------


def test_a_resumed_run_ends_with_the_same_weights(workspace, scenes, monkeypatch):
    options = replace(QUICK, pairs=scenes, changes={**SMALL, "epochs": 3})
    whole = train_tca([], workspace, replace(options, name="whole"))
    real = RunFolder.keep

    def keep(self, state):
        real(self, state)
        if state.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "keep", keep)
        with pytest.raises(KeyboardInterrupt):
            train_tca([], workspace, replace(options, name="parts"))
    assert not ModelRegistry(workspace.models_dir).folder("tca", "whole").with_name("parts").exists()
    with pytest.raises(BadInput, match="started with another config"):
        train_tca([], workspace, replace(options, resume=True, changes={**SMALL, "epochs": 4}))
    went_on = []
    monkeypatch.setattr(RunFolder, "keep", lambda self, state: went_on.append(state.epoch) or real(self, state))
    parts = train_tca([], workspace, replace(options, resume=True))
    assert went_on == [3]
    assert parts.folder.name == "parts" and parts.after == whole.after
    first, second = state_of(workspace, "whole"), state_of(workspace, "parts")
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=0)
    assert (parts.folder / "log.jsonl").read_text() == (whole.folder / "log.jsonl").read_text()


def test_a_name_is_taken_once(workspace, scenes):
    train_tca([], workspace, replace(QUICK, pairs=scenes, name="first"))
    with pytest.raises(BadInput, match="a run called 'first' already"):
        train_tca([], workspace, replace(QUICK, pairs=scenes, name="first"))


# -- copies ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Ten films of 48 frames."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(10):
        film(folder / "videos" / f"{number}.mp4", 48, shift=17 * number)
    return folder / "videos"


def test_edited_copies_of_the_videos_are_learned_from(workspace, cache, films, seen, encoder):
    report = train_tca([films], workspace, replace(QUICK, name="own"), extraction=ONE)
    run = run_of(report)
    names = run["videos"]
    assert len(names) == 30 and run["num_pairs"] == 30  # each three videos have three pairs
    copies = FeatureCache(workspace.root / "copies")
    assert len(list(copies)) == 20 and len(list(cache)) == 10  # copies are no part of the gallery
    held_out = run["validation"] + run["test"]
    assert len(run["validation"]) == len(run["test"]) == 9
    trained = {names[index].split("/")[0] for index in trained_on(seen[0])}
    assert len(trained) == 4 and not trained & {name.split("/")[0] for name in held_out}
    assert report.measured_on == "3 held-out sources" and report.summary[0].startswith(
        "10 videos with 20 edited copies"
    )
    before = len(encoder.batches)
    again = train_tca([films], workspace, replace(QUICK, name="again"), extraction=ONE)
    assert len(encoder.batches) == before + 1  # blank frames alone: videos and copies are there
    assert again.after == report.after
    gallery, _ = open_gallery(workspace)
    assert len(gallery.index) == 10 and gallery.made_by["checkpoint"] == "again"


def test_copies_that_another_training_made_do_not_mix_in(workspace, films):
    few = sorted(films.iterdir())[:4]
    train_tca(few, workspace, replace(QUICK, name="a", num_copies=3), extraction=ONE)
    assert len(run_of(train_tca(few, workspace, replace(QUICK, name="b"), extraction=ONE))["videos"]) == 12
    strong = train_tca(few, workspace, replace(QUICK, name="c", strength="strong"), extraction=ONE)
    assert len(run_of(strong)["videos"]) == 12
    kept = FeatureCache(workspace.root / "copies")
    used = {
        entry.made_with["strength"] for entry in kept.entries(RECIPE) if entry.key.video_id in run_of(strong)["videos"]
    }
    assert used == {"strong"}


def test_a_video_that_does_not_read_is_left_out_and_told(workspace, films, tmp_path):
    (tmp_path / "broken.mp4").write_text("no film")
    few = sorted(films.iterdir())[:4]
    report = train_tca([*few, tmp_path / "broken.mp4"], workspace, replace(QUICK, name="a"), extraction=ONE)
    assert not any("broken" in name for name in run_of(report)["videos"])
    assert any(note.startswith("1 videos failed") for note in report.notes)
    assert report.summary[0].startswith("4 videos with 8 edited copies")


# -- classes ---------------------------------------------------------------------------------------------------------


def test_videos_of_one_class_are_positives_of_one_another(workspace, cache, seen):
    for label in range(10):
        centre = unit_rows(1, DIM, seed=label)
        for number in range(3):
            put_seconds(cache, RECIPE, f"class{label}/{number}.mp4", centre + 0.1 * unit_rows(9, DIM, seed=number))
    put_seconds(cache, RECIPE, "lonely/0.mp4", unit_rows(9, DIM, seed=999))
    report = train_tca([], workspace, replace(QUICK, name="events"))
    run = run_of(report)
    assert len(run["videos"]) == 30 and run["num_pairs"] == 60 and "lonely/0.mp4" not in run["videos"]
    classes = [{name.split("/")[0] for name in run[part]} for part in ("validation", "test")]
    assert [len(part) for part in classes] == [3, 3]
    trained = {run["videos"][index].split("/")[0] for index in trained_on(seen[0])}
    assert len(trained) == 4 and not trained & (classes[0] | classes[1])
    assert any("videos of one class count as showing the same" in note for note in report.notes)
    assert report.before["map"] == pytest.approx(1, abs=1e-6)  # classes lie far apart


def test_labels_may_come_from_a_manifest(workspace, cache, tmp_path):
    for number in range(8):
        put_seconds(cache, RECIPE, f"{number}.mp4", unit_rows(9, DIM, seed=number))
    lines = [f"{number}.mp4,{'even' if number % 2 == 0 else 'odd'}" for number in range(8)]
    (tmp_path / "labels.csv").write_text("video,label\n" + "\n".join([*lines, "gone.mp4,odd"]) + "\n")
    report = train_tca([], workspace, replace(QUICK, name="m", manifest=tmp_path / "labels.csv"))
    assert len(run_of(report)["videos"]) == 8
    assert any("1 videos of" in note and "not in the cache" in note for note in report.notes)


# -- what comes of a checkpoint --------------------------------------------------------------------------------------


def test_retrieval_takes_the_newest_checkpoint_and_plain_leaves_it_out(workspace, scenes):
    train_tca([], workspace, replace(QUICK, pairs=scenes, name="first"))
    options = RetrieveOptions(cached=True)
    trained = retrieve(["0a.mp4"], workspace, options)
    assert trained.made_by["checkpoint"] == "first" and trained.made_by["method"] == "tca"
    plain = retrieve(["0a.mp4"], workspace, replace(options, gallery=GalleryOptions(checkpoint="plain")))
    assert plain.made_by["checkpoint"] is None and plain.made_by["method"] == "plain"
    with pytest.raises(BadInput, match=r"The checkpoint first reads features .* plain\."):
        named = replace(options, gallery=GalleryOptions(checkpoint="first"))
        retrieve(["0a.mp4"], workspace, named, RecipeChanges(stride=8))


# -- what cannot be --------------------------------------------------------------------------------------------------


def test_options_that_cannot_be_are_refused(workspace, cache, scenes):
    with pytest.raises(BadInput, match="leave something to train on"):
        TrainTcaOptions(val_fraction=0.5, test_fraction=0.5)
    with pytest.raises(BadInput, match="--copies must be at least 2, got 1"):
        TrainTcaOptions(num_copies=1)
    with pytest.raises(BadInput, match=r"--positives pairs needs --pairs pairs\.csv"):
        train_tca([], workspace, replace(QUICK, positives="pairs"))
    with pytest.raises(BadInput, match="Edited copies are made of video files"):
        train_tca([], workspace, replace(QUICK, positives="copies"))
    with pytest.raises(UnknownName, match="epoch"):
        train_tca([], workspace, replace(QUICK, pairs=scenes, changes={"epoch": 3}))
    with pytest.raises(BadInput, match="heads"):
        train_tca([], workspace, replace(QUICK, pairs=scenes, changes={**SMALL, "num_heads": 5}))
    with pytest.raises(BadInput, match="no validation metric 'mAP'"):
        train_tca([], workspace, replace(QUICK, pairs=scenes, changes={**SMALL, "select_metric": "mAP"}))


def test_what_holds_everything_out_leaves_nothing_to_train_on(workspace, cache, tmp_path):
    lines = ["query,video"]
    for number in range(6):
        for letter in "ab":
            put_seconds(cache, RECIPE, f"{number}{letter}.mp4", unit_rows(5, DIM, seed=number))
        lines.append(f"{number}a.mp4,{number}b.mp4")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    options = replace(QUICK, pairs=tmp_path / "pairs.csv", val_fraction=0.5, test_fraction=0.49)
    with pytest.raises(BadInput, match="There are no pairs to train on"):
        train_tca([], workspace, options)


def test_nothing_to_learn_from_is_told(workspace, cache, scenes, tmp_path):
    with pytest.raises(BadInput, match=r"two classes of two videos.*edited copies"):
        train_tca([], workspace, QUICK)
    (tmp_path / "else.csv").write_text("query,video\nx.mp4,y.mp4\n")
    with pytest.raises(MissingFeatures, match=r"No pair of .*else\.csv has features"):
        train_tca([], workspace, replace(QUICK, pairs=tmp_path / "else.csv"))


def test_an_empty_cache_says_what_to_run(workspace, tmp_path):
    (tmp_path / "pairs.csv").write_text("query,video\nx.mp4,y.mp4\n")
    with pytest.raises(MissingFeatures, match="vidlang extract"):
        train_tca([], workspace, replace(QUICK, pairs=tmp_path / "pairs.csv"))


def test_features_whose_encoder_is_not_here_train_all_the_same(workspace, scenes, monkeypatch, notes):
    def nowhere(*_, **__):
        raise EncoderUnavailable("The encoder is not on this machine.")

    monkeypatch.setattr("vidlang.encoders.clip.load_encoder", nowhere)
    report = train_tca([], workspace, replace(QUICK, pairs=scenes, name="first"), progress=notes)
    assert report.before and any("Blank frames are not told from others" in message for message in notes.messages)
