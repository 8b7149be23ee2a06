"""Videos to action segments without training: rows that are the rows of texts, so that every ending is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from stand_ins import ColourEncoder, colour, film, put, recipe_of, unit_rows

from vidlang.core import (
    BadInput,
    Detection,
    FeatureKey,
    FeatureRecipe,
    Features,
    FileIdentity,
    Segment,
    VideoInfo,
)
from vidlang.methods.wtal.vlp import TEMPLATES, plain_rows
from vidlang.metrics.localization import temporal_iou
from vidlang.store.activitynet_json import read_activitynet
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.results import read_detections
from vidlang.store.video_scores import read_video_scores
from vidlang.video.motion import motion_energy
from vidlang.video.writer import write_video
from vidlang.workflows.chosen import picture_path
from vidlang.workflows.evaluate_localization import evaluate_localization
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.localize import LocalizedVideo, LocalizeOptions, LocalizeReport, SecondFeatures, localize

LIFT, WALK = LABELS = ("weightlifting", "dog walking")


@pytest.fixture
def texts(encoder) -> dict[str, np.ndarray]:
    """Rows of the actions and of the background, as zero-shot localization makes them."""
    names = [*LABELS, "background"]
    rows = plain_rows(encoder.text, names, TEMPLATES["video"]).numpy()
    return dict(zip(names, rows, strict=True))


def put_parts(cache, recipe, video_id, texts, parts, *, step: float = 2.0, begin: float = 0.0) -> None:
    """Features whose rows are those of texts: (text, number of rows) in turn, ``step`` seconds a row."""
    rows = np.concatenate([np.repeat(texts[name][None], count, axis=0) for name, count in parts])
    edges = begin + step * np.arange(len(rows) + 1)
    seconds = np.stack([edges[:-1], edges[1:]], axis=1)
    frames = np.round(seconds * 10).astype(np.int64)
    info = VideoInfo(video_id, int(frames[-1, 1]), float(seconds[-1, 1]), 10.0, (32, 48))
    features = Features(FeatureKey(video_id, recipe), info, rows.astype(np.float32), frames, seconds)
    cache.put(features, identity=FileIdentity(1, f"digest of {video_id}", 0.0))


@pytest.fixture
def collected(cache, encoder, texts) -> dict[str, list[tuple[str, float, float]]]:
    """Three cached videos; true segments by id."""
    recipe = recipe_of(encoder)
    put_parts(cache, recipe, "gym/a.mp4", texts, [("background", 10), (LIFT, 8), ("background", 12)])
    put_parts(cache, recipe, "park/b.mp4", texts, [("background", 6), (WALK, 10), ("background", 8)], step=1.0)
    parts = [(WALK, 6), ("background", 10), (LIFT, 7), ("background", 5)]
    put_parts(cache, recipe, "both.mp4", texts, parts, step=0.5, begin=4.0)
    return {
        "gym/a.mp4": [(LIFT, 20.0, 36.0)],
        "park/b.mp4": [(WALK, 6.0, 16.0)],
        "both.mp4": [(WALK, 4.0, 7.0), (LIFT, 12.0, 15.5)],
    }


def zero_shot(workspace, ids, **changes) -> LocalizeReport:
    return localize(ids, workspace, LocalizeOptions(**{"labels": LABELS, "cached": True, "plot": False, **changes}))


# -- zero-shot -------------------------------------------------------------------------------------------------------


def test_the_segment_lies_where_the_rows_are_the_texts_row_in_the_rows_own_seconds(workspace, collected):
    report = zero_shot(workspace, ["*"])
    assert sorted(found.video.id for found in report.videos) == sorted(collected) and report.num_failed == 0
    for found in report.videos:
        step = found.seconds[0, 1] - found.seconds[0, 0]
        for label, start, end in collected[found.video.id]:
            best = next(d for d in found.detections if d.label == label)
            assert best.segment.start == pytest.approx(start, abs=step / 2 + 1e-6)
            assert best.segment.end == pytest.approx(end, abs=step / 2 + 1e-6)
        wrong = {d.label for d in found.detections} - {label for label, *_ in collected[found.video.id]}
        assert not wrong


def test_curves_are_the_softmax_over_texts_and_background(workspace, encoder, collected, texts):
    [found] = zero_shot(workspace, ["both.mp4"]).videos
    rows = np.stack([texts[name] for name in [WALK] * 6 + ["background"] * 10 + [LIFT] * 7 + ["background"] * 5])
    logits = 100 * rows @ np.stack([texts[name] for name in (*LABELS, "background")]).T.astype(np.float64)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(found.curve, (weights / weights.sum(1, keepdims=True))[:, :2], atol=1e-4)


def test_detections_come_best_first(workspace, collected):
    for found in zero_shot(workspace, ["*"]).videos:
        scores = [d.score for d in found.detections]
        assert scores == sorted(scores, reverse=True)


def test_options_of_proposals_reach_the_segments(workspace, collected):
    [found] = zero_shot(workspace, ["both.mp4"], changes={"max_proposals": 1}).videos
    assert len(found.detections) == 1
    report = zero_shot(workspace, ["gym/a.mp4"], proposals="paper", changes={"theta_cls": 0.0, "nms": "none"})
    assert report.made_by["proposals"] == "paper" and report.made_by["changes"] == {"theta_cls": 0.0, "nms": "none"}
    lifts = [d for d in report.videos[0].detections if d.label == LIFT]
    assert len(lifts) == 1  # one threshold, one run


def test_videos_from_files_are_extracted_and_a_failing_one_is_an_outcome(tmp_path, workspace, cache, encoder, notes):
    film(tmp_path / "v" / "a.mp4", 40)
    (tmp_path / "v" / "b.mp4").write_text("no film")
    report = localize([tmp_path / "v"], workspace, LocalizeOptions(labels=LABELS), progress=notes)
    assert [(o.video_id, o.status) for o in report.outcomes] == [("a.mp4", "done"), ("b.mp4", "failed")]
    assert report.num_failed == 1 and [found.video.id for found in report.videos] == ["a.mp4"]
    assert picture_path(report.folder, "a.mp4").read_bytes().startswith(b"\x89PNG")
    assert FeatureKey("a.mp4", recipe_of(encoder)) in cache
    [failed] = report.to_dict()["failed"]
    assert failed["video"] == "b.mp4" and "b.mp4" in failed["reason"]


def test_a_damaged_entry_is_an_outcome(workspace, cache, encoder, collected, notes):
    entry = cache.entry(FeatureKey("gym/a.mp4", recipe_of(encoder)))
    data = bytearray(entry.path.read_bytes())
    data[data.index(cache.get(entry.key).values.tobytes()) + 5] ^= 1
    entry.path.write_bytes(data)
    report = localize(["*"], workspace, LocalizeOptions(labels=LABELS, cached=True, plot=False), progress=notes)
    assert report.num_failed == 1 and len(report.videos) == 2
    assert any("gym/a.mp4" in message and "damaged" in message for message in notes.messages)


def test_nothing_but_failures_writes_no_files(tmp_path, workspace, encoder):
    (tmp_path / "b.mp4").write_text("no film")
    report = localize([tmp_path / "b.mp4"], workspace, LocalizeOptions(labels=LABELS))
    assert report.num_failed == 1 and not report.folder.exists()


def test_the_motion_prior_lowers_what_stands_still(tmp_path, workspace, encoder):
    film(tmp_path / "v" / "moving.mp4", 48)
    picture = np.full((32, 48, 3), 90, dtype=np.uint8)
    write_video(tmp_path / "v" / "still.mp4", (picture for _ in range(48)), 25.0)
    asked = LocalizeOptions(labels=LABELS, plot=False)
    plain, prior = (
        {found.video.id: found for found in localize([tmp_path / "v"], workspace, options).videos}
        for options in (asked, replace(asked, motion_prior=2.0))
    )
    assert prior["still.mp4"].curve.max() < 0.05 * plain["still.mp4"].curve.max()
    energy = motion_energy(tmp_path / "v" / "moving.mp4", plain["moving.mp4"].seconds)
    expected = plain["moving.mp4"].curve * (energy / (energy + 2))[:, None]
    np.testing.assert_allclose(prior["moving.mp4"].curve, expected, atol=1e-6)
    assert energy.min() > 4 and prior["moving.mp4"].curve.dtype == np.float32


def test_the_motion_prior_reads_folders_of_images_at_the_given_rate(tmp_path, workspace, encoder):
    (tmp_path / "images").mkdir()
    for index in range(32):
        Image.fromarray(np.broadcast_to(colour(index), (32, 48, 3)).copy()).save(tmp_path / f"images/{index:03d}.png")
    asked = LocalizeOptions(labels=LABELS, plot=False)
    [plain], [prior] = (
        localize([tmp_path / "images"], workspace, options, extraction=ExtractOptions(frame_rate=10.0)).videos
        for options in (asked, replace(asked, motion_prior=20.0))
    )
    energy = motion_energy(tmp_path / "images", plain.seconds, frame_rate=10.0)
    np.testing.assert_allclose(prior.curve, plain.curve * (energy / (energy + 20))[:, None], atol=1e-6)
    assert np.abs(energy - motion_energy(tmp_path / "images", plain.seconds)).max() > 1  # at the rate that is assumed


# -- which videos ----------------------------------------------------------------------------------------------------


def test_cached_takes_ids_and_patterns(workspace, encoder, collected):
    assert [found.video.id for found in zero_shot(workspace, ["gym/*", "both.mp4"]).videos] == ["both.mp4", "gym/a.mp4"]
    assert encoder.batches == []
    with pytest.raises(BadInput, match=r"No video in .* matches gim/\*"):
        zero_shot(workspace, ["gim/*"])


def test_a_manifest_and_its_split_choose_videos(tmp_path, workspace, collected):
    manifest = tmp_path / "labels.csv"
    manifest.write_text("video,label,split\ngym/a.mp4,weightlifting,test\npark/b.mp4,dog walking,train\n")
    assert [f.video.id for f in zero_shot(workspace, ["*"], manifest=manifest).videos] == ["gym/a.mp4", "park/b.mp4"]
    assert [f.video.id for f in zero_shot(workspace, ["*"], manifest=manifest, split="test").videos] == ["gym/a.mp4"]
    with pytest.raises(BadInput, match=r"None of the given videos is in .* with split 'val'"):
        zero_shot(workspace, ["*"], manifest=manifest, split="val")


# -- files -----------------------------------------------------------------------------------------------------------


def test_result_files_read_back(workspace, collected):
    report = zero_shot(workspace, ["*"], plot=True, top=2)
    detections = [d for found in report.videos for d in found.detections]
    assert read_detections(report.folder / "detections.jsonl") == detections
    predictions = read_activitynet(report.folder / "detections.json")
    assert list(predictions.detections) == detections and set(predictions.video_ids) == set(collected)
    scores = read_video_scores(report.folder / "videos.jsonl")
    for found in report.videos:
        assert scores[found.video.id] == dict(zip(LABELS, map(float, found.video_score), strict=True))
        assert picture_path(report.folder, found.video.id).is_file()
    assert len((report.folder / "detections.csv").read_text().splitlines()) == len(detections) + 1
    fields = json.loads(json.dumps(report.to_dict()))
    assert fields["schema"] == "vidlang.localize/1" and fields["classes"] == list(LABELS)
    assert sum(len(video["segments"]) for video in fields["videos"]) == len(detections)
    assert fields["made_by"]["method"] == "zero-shot" and "mini" in fields["made_by"]["note"]
    assert any("Note: made with the bundled encoder 'mini'" in line for line in report.describe())


def test_perfect_videos_have_map_one_by_the_commands_own_files(tmp_path, workspace, collected):
    lines = ["video,label,start,end,split"]
    lines += [f"{i},{label},{start},{end},test" for i, found in collected.items() for label, start, end in found]
    (tmp_path / "truth.csv").write_text("\n".join(lines) + "\n")
    report = zero_shot(workspace, ["*"])
    judged = evaluate_localization(workspace, manifest=tmp_path / "truth.csv", split="test")
    assert judged.source == str(report.folder / "detections.jsonl")
    assert judged.scores.mean == pytest.approx([1.0] * 7)
    assert judged.classification is not None and judged.classification.mean_ap == pytest.approx(1.0)
    other = evaluate_localization(workspace, report.folder / "detections.json", manifest=tmp_path / "truth.csv")
    assert other.scores.mean == judged.scores.mean


# -- what cannot be localized ----------------------------------------------------------------------------------------


def test_without_checkpoint_and_labels_it_says_what_to_do(workspace, collected):
    with pytest.raises(BadInput, match=r"no checkpoint yet.*--labels .*vidlang train wtal"):
        localize(["*"], workspace, LocalizeOptions(cached=True))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": ("a",), "checkpoint": "x"}, "give one of them"),
        ({"labels": ()}, "at least one action"),
        ({"split": "test"}, "--manifest"),
        ({"motion_prior": 1.0, "cached": True}, "give files instead of --cached"),
        ({"motion_prior": 0.0}, "grey levels above 0"),
        ({"labels": ("a",), "branch": "cbp"}, "leave --branch out"),
    ],
)
def test_options_that_contradict_are_refused(fields, message):
    with pytest.raises(BadInput, match=message):
        LocalizeOptions(**fields)


def test_what_fails_for_all_videos_is_said_once(workspace, collected):
    with pytest.raises(BadInput, match="each named once"):
        zero_shot(workspace, ["*"], labels=(LIFT, LIFT))
    assert not (workspace.results_dir / "localize").exists()


def test_one_label_alone_has_the_background_against_it(workspace, collected):
    [found] = zero_shot(workspace, ["gym/a.mp4"], labels=(LIFT,)).videos
    best = found.detections[0].segment
    assert temporal_iou(np.array([[best.start, best.end]]), np.array([[20.0, 36.0]])).item() > 0.85


# -- a second encoder ------------------------------------------------------------------------------------------------

I3D = FeatureRecipe("i3d", "imported:unknown/rgb+flow", recipe_of(ColourEncoder()).sampling)


def test_second_features_are_found_without_file_endings(cache: FeatureCache):
    for name in ("day/a", "day/b", "night/a"):
        put(cache, I3D, name, unit_rows(4, 8, seed=len(name)))
    second = SecondFeatures.beside(["day/a.mp4", "night/a.mp4", "c.mp4", "day/b.avi"], cache, I3D)
    assert second.ids == {"day/a.mp4": "day/a", "night/a.mp4": "night/a", "day/b.avi": "day/b"}
    assert second.get("night/a.mp4").key.video_id == "night/a"


def test_people_are_shown_what_is_clear_and_the_files_have_all():
    scores = (0.8, 0.5, 0.2, 0.19, 0.01)
    detections = tuple(Detection("v", Segment(0.0, 1.0), LIFT, score) for score in scores)
    video = VideoInfo("v", 10, 1.0, 10.0, (4, 4))
    found = LocalizedVideo(
        video, np.array([[0.0, 1.0]]), np.ones((1, 1), np.float32), np.ones(1, np.float32), detections
    )
    assert [d.score for d in found.clearest(10)] == [0.8, 0.5, 0.2]
    assert [d.score for d in found.clearest(2)] == [0.8, 0.5]
    assert replace(found, detections=()).clearest(5) == ()


def test_pictures_show_the_times_that_a_manifest_knows(tmp_path, workspace, collected, monkeypatch):
    manifest = tmp_path / "labels.csv"
    manifest.write_text(f"video,label,start,end\nboth.mp4,{WALK},4,7\nboth.mp4,{LIFT},12,15.5\ngym/a.mp4,{LIFT},,\n")
    drawn = {}

    def draw(name, *_, truth, **__):
        drawn[name] = list(truth)
        return b"\x89PNG"

    monkeypatch.setattr("vidlang.workflows.localize_looks.actions_png", draw)
    zero_shot(workspace, ["*"], plot=True, manifest=manifest)
    assert drawn == {"both.mp4": [(WALK, Segment(4.0, 7.0)), (LIFT, Segment(12.0, 15.5))], "gym/a.mp4": []}
