"""One table of what features are worth: numbers told by head, by a plainer second way, and by what training printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from moving_films import COLOURS, NAMING, SMALL, collection, manifest
from stand_ins import DIM, put_seconds, recipe_of

from vidlang.core import BadInput, BadManifest, BadVideo, MissingFeatures, UnknownName
from vidlang.store.workspace import Workspace
from vidlang.workflows.evaluate_representation import (
    OWN,
    PROBE,
    RepresentationOptions,
    RepresentationReport,
    evaluate_representation,
)
from vidlang.workflows.recognize_fame import RecognizeOptions, TrainFameReport, recognize_fame
from vidlang.workflows.train_fame import TrainFameOptions, train_fame
from vidlang.workflows.video_networks import find_network, labelled_videos, read_evenly, sampling_of


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    return collection(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    """One film of each colour is a query; the gallery has six."""
    return manifest(tmp_path_factory.mktemp("labels") / "labels.csv")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, films, labels) -> tuple[Workspace, TrainFameReport]:
    """A network without labels and one that names colours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vidlang.workflows.runs.curves_png", lambda *_, **__: b"")
        place = Workspace(tmp_path_factory.mktemp("workspace"))
        small = {**SMALL, "epochs": 1}
        train_fame([films], place, TrainFameOptions(changes=small, name="plain", device="cpu", num_workers=0))
        changes = {**NAMING, "epochs": 3}
        asked = RecognizeOptions("finetune", "plain", changes, labels, name="named", device="cpu", num_workers=0)
        report = recognize_fame([films], place, asked)
    assert report is not None
    return place, report


def measure(films, workspace, **changes) -> RepresentationReport:
    given = {"checkpoint": "plain", "num_clips": 2, "device": "cpu", "num_workers": 0, **changes}
    return evaluate_representation([films], workspace, RepresentationOptions(**given))


def names(report: RepresentationReport) -> list[tuple[str, str]]:
    return [(row.what, row.recognised_by) for row in report.rows]


def test_a_checkpoint_that_knows_the_classes_gets_what_its_training_printed(films, labels, trained):
    workspace, report = trained
    judged = measure(films, workspace, checkpoint="named", manifest=labels)
    assert names(judged) == [("named", OWN), ("named", PROBE), ("random weights", PROBE)]
    assert judged.rows[0].recognition["top-1"] == report.table[0][1]
    assert judged.rows[0].recognition["mean per class"] == report.table[0][3]
    assert judged.rows[0].recall == judged.rows[1].recall and judged.rows[0].num_test == 2
    assert judged.rows[0].recall[5] == 1.0  # 5 of a gallery of 3 and 3
    assert judged.rows[0].recall[10] is None and judged.rows[0].recognition["top-5"] is None
    assert any("no CLIP features to compare with" in note for note in judged.notes)


def test_retrieval_is_that_of_a_plain_loop_over_the_same_clips(films, labels, trained):
    workspace, _ = trained
    judged = measure(films, workspace, manifest=labels, center="gallery")
    network = find_network(workspace, "plain")
    predictor = network.predictor("cpu")
    videos = labelled_videos([films], labels)
    vectors = {}
    for label in (*videos.train, *videos.test):
        clips = read_evenly((label.video_id, films / label.video_id), sampling_of(network.config), 2)
        assert clips.shape[:2] == (2, 4) and min(clips.shape[2:4]) == 36
        vectors[label.video_id] = predictor.features(clips).mean(axis=0)
    mean = np.mean([vectors[label.video_id] for label in videos.train], axis=0)
    hits = []
    for query in videos.test:
        asked = vectors[query.video_id] - mean
        cosines = {
            other.video_id: float(asked @ (there := vectors[other.video_id] - mean) / np.linalg.norm(there))
            for other in videos.train
        }
        hits.append(max(cosines, key=lambda name: cosines[name]).split("/")[0] == query.classes[0])
    assert judged.rows[0].recall[1] == np.mean(hits)
    assert judged.protocol["center"] == "gallery" and judged.protocol["gallery"] == {"split": "train", "videos": 6}


def fill(workspace: Workspace, encoder, ids: list[str]) -> None:
    """Cached rows that say the colour, each row of another length."""
    from vidlang.store.feature_cache import FeatureCache

    for number, video_id in enumerate(ids):
        rows = np.zeros((3, DIM), dtype=np.float32)
        rows[:, list(COLOURS).index(video_id.split("/")[0])] = [1, 7, 2 + number]
        rows[:, 5] = 0.01 * number
        put_seconds(FeatureCache(workspace.cache_dir), recipe_of(encoder), video_id, rows)


def test_features_of_the_cache_are_a_row_of_the_same_table(films, labels, trained, encoder, tmp_path):
    models = trained[0].models_dir
    workspace = Workspace(tmp_path / "w")
    workspace.root.mkdir()
    (workspace.root / "models").symlink_to(models)
    ids = [f"{colour}/{number}.mp4" for colour in COLOURS for number in range(4)]
    with pytest.raises(MissingFeatures, match=r"no features of mini/stride16-middle\. Run: vidlang extract"):
        measure(films, workspace, manifest=labels, encoder="mini")
    fill(workspace, encoder, ids[:2] + ids[4:6])
    few = measure(films, workspace, manifest=labels)  # no query is there
    assert len(few.rows) == 2 and any("too few of these videos as mini" in note for note in few.notes)
    fill(workspace, encoder, ids[:-1])
    for asked in (None, "mini"):
        report = measure(films, workspace, manifest=labels, encoder=asked)
        assert names(report)[-1] == ("mini/stride16-middle, mean", PROBE)
        last = report.rows[-1]
        assert last.recognition["top-1"] == 1.0 and last.recall[1] == 1.0 and last.num_test == 1
        assert any("over the 7 of 8 videos" in note for note in report.notes)
        assert any("bundled encoder 'mini'" in note for note in report.notes)


def test_the_answer_names_its_protocol(films, labels, trained):
    workspace, _ = trained
    report = measure(films, workspace, manifest=labels, short_side=0, center="own")
    said = json.loads(json.dumps(report.to_dict()))
    assert said["schema"] == "vidlang.eval_representation/1" and said["checkpoint"] == "plain"
    protocol = said["protocol"]
    assert (protocol["clips"], protocol["frames"], protocol["step"], protocol["crop"]) == (2, 4, 1, 32)
    assert protocol["short_side"] is None and protocol["center"] == "own" and protocol["commonest_class"] == 0.5
    assert set(said["rows"][0]["recall"]) == {"1", "5", "10", "20", "50"}
    columns, rows = report.table()
    assert columns == ("features", "by", "top-1", "R@1", "R@5")  # a gallery of six videos of two classes
    assert rows[0][:2] == ("plain", "probe") and rows[0][3] == report.rows[0].recall[1]
    alone = measure(films, workspace, manifest=labels, checkpoint="random")
    assert names(alone) == [("random weights", PROBE)]


def test_test_videos_that_were_trained_on_are_said(films, labels, trained, tmp_path):
    workspace, _ = trained
    report = measure(films, workspace, checkpoint="named", manifest=labels)
    assert "2 of the 2 test videos were among the training videos of plain" in report.notes  # it had no manifest
    assert not any("training videos of named" in note for note in report.notes)
    other = manifest(tmp_path / "other.csv", tests=(0, 3))
    report = measure(films, workspace, checkpoint="named", manifest=other)
    assert "2 of the 4 test videos were among the training videos of named" in report.notes


def test_without_a_manifest_every_command_holds_the_same_videos_out(films):
    least, more = (labelled_videos([films], None, test_fraction=share).test for share in (0.25, 0.5))
    assert {label.video_id for label in least} < {label.video_id for label in more} and len(more) == 4


def test_other_classes_are_left_to_the_probe(films, labels, trained, tmp_path):
    workspace, _ = trained
    (tmp_path / "other.csv").write_text(labels.read_text().replace(",red,", ",green,"))
    report = measure(films, workspace, checkpoint="named", manifest=tmp_path / "other.csv")
    assert names(report) == [("named", PROBE), ("random weights", PROBE)]
    assert any("does not know the class 'green'" in note for note in report.notes)


def test_videos_that_do_not_read_are_left_out_and_named(labels, trained, tmp_path):
    workspace, _ = trained
    folder = collection(tmp_path / "v")
    (folder / "red" / "3.mp4").write_bytes(b"not a video")
    report = measure(folder, workspace, manifest=labels)
    assert report.rows[0].num_test == 1 and report.rows[0].recall[1] in (0.0, 1.0)
    assert any(note.startswith("red/3.mp4 is left out: ") for note in report.notes)
    (folder / "blue" / "3.mp4").write_bytes(b"not a video")
    with pytest.raises(BadVideo, match=r"None of 2 videos reads\. The first: "):
        measure(folder, workspace, manifest=labels)


def test_what_cannot_be_measured_is_said_in_one_line(films, labels, trained, tmp_path):
    workspace, _ = trained
    with pytest.raises(UnknownName, match="no fame checkpoint called 'plane'"):
        measure(films, workspace, checkpoint="plane")
    with pytest.raises(BadManifest, match="No video is of the split test"):
        measure(films, workspace, test_fraction=0.0)
    with pytest.raises(BadInput, match="--clips must be at least 1"):
        RepresentationOptions(num_clips=0)
    with pytest.raises(BadInput, match="--short-side"):
        RepresentationOptions(short_side=-1)
