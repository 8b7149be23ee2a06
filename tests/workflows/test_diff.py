"""Videos to motion: curves whose numbers are known, files that read back, and curves as a prior of scores."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from stand_ins import film, put, recipe_of, video_rows

from vidlang.core import BadInput, FeatureKey, MissingFeatures, Sampling
from vidlang.store.workspace import Settings, Workspace
from vidlang.video.motion import MotionOptions, energy_at, motion_energy
from vidlang.video.reader import identify, open_video
from vidlang.video.writer import write_video
from vidlang.workflows.diff import DiffOptions, MotionPrior, diff, motion_csv, read_motion
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.localize import LocalizeOptions, localize
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.score import ScoreOptions, describe, score

STEP = (7 + 11 + 13) / 3
"""Grey levels from one frame of ``film`` to the next, where no channel starts again from its lowest."""
WORDS = ("a square moves", "nothing")


@pytest.fixture
def videos(tmp_path):
    """A film that changes evenly, one that stands, and one that is none."""
    film(tmp_path / "v" / "fight" / "a.mp4", 10)
    still = [np.full((32, 48, 3), 90, dtype=np.uint8)] * 40
    write_video(tmp_path / "v" / "still.mp4", still, 25.0)
    (tmp_path / "v" / "z.mp4").write_text("no film")
    return tmp_path / "v"


def run(paths, workspace, **options):
    """Without pictures, which take a second each, unless they are asked for."""
    return diff([paths], workspace, DiffOptions(**{"kinds": ("json",), **options}))


def test_curves_have_the_known_energy_and_failures_are_named(videos, workspace, notes):
    report = diff([videos], workspace, progress=notes)
    a, still = (known.curve for known in report.videos)
    assert (a.video.id, still.video.id) == ("fight/a.mp4", "still.mp4")
    assert a.energy == pytest.approx([STEP], abs=0.5) and a.frames.tolist() == [[0, 10]]
    assert still.energy.tolist() == [0, 0]  # 40 frames are two snippets of 16
    assert [(o.video_id, o.status) for o in report.outcomes] == [
        ("fight/a.mp4", "done"), ("still.mp4", "done"), ("z.mp4", "failed"),
    ]  # fmt: skip
    assert report.num_failed == 1 and any("failed" in line and "z.mp4" in line for line in notes.messages)
    assert "still.mp4: nothing moves" in notes.messages
    assert sorted(path.name for path in report.out.iterdir()) == [
        "fight__a.mp4.png", "motion.csv", "motion.json", "still.mp4.png",
    ]  # fmt: skip
    assert report.out.parent == workspace.results_dir / "diff"
    assert notes.done["diff"] == pytest.approx(2)
    [failed] = report.to_dict()["failed"]
    assert failed["video"] == "z.mp4" and "z.mp4" in failed["reason"]


def test_what_is_written_is_read_again(videos, workspace, tmp_path):
    report = run(videos, workspace, out=tmp_path / "deep" / "m.json", motion=MotionOptions(compensate=True))
    again = read_motion(tmp_path / "deep" / "m.json")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["m.json"]
    for known, written in zip(again, report.videos, strict=True):
        assert known.curve.video == written.curve.video and known.curve.compared_size == (32, 48)
        assert np.array_equal(known.curve.frames, written.curve.frames)
        assert np.array_equal(known.curve.seconds, written.curve.seconds)
        assert known.curve.energy == pytest.approx(written.curve.energy, abs=1e-5)
        assert known.curve.shift is not None and known.curve.shift.shape == (len(known.curve.energy), 2)
        assert known.identity.same_content(identify(videos / known.curve.video.id))
    (tmp_path / "said.json").write_text(json.dumps(report.to_dict()))  # what --json says is a file of curves too
    assert len(read_motion(tmp_path / "said.json")) == 2


def test_csv_has_a_line_per_snippet(videos, workspace, tmp_path):
    run(videos, workspace, out=tmp_path / "m.csv", stride=8)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "m.csv").read_text())))
    assert [row["video"] for row in rows] == ["fight/a.mp4"] + ["still.mp4"] * 5
    assert (rows[0]["first_frame"], rows[0]["last_frame_exclusive"]) == ("0", "8")
    assert float(rows[0]["energy"]) == pytest.approx(STEP, abs=0.5) and float(rows[0]["end_seconds"]) == 0.32
    assert "shift_down" not in rows[0]
    shifted = run(videos, workspace, out=tmp_path / "n.csv", motion=MotionOptions(compensate=True))
    assert motion_csv(shifted.videos).splitlines()[0].endswith('"energy","shift_down","shift_right"')


def test_a_heat_map_has_every_frame_and_its_colours(workspace, tmp_path):
    frames = [np.full((96, 240, 3), 120, np.uint8) for _ in range(24)]
    for place, frame in enumerate(frames):
        frame[20:60, 40:100] = 30 if place % 2 else 220
    write_video(tmp_path / "a.mp4", frames, 12.0, options={"crf": "8"})
    run(tmp_path / "a.mp4", workspace, out=tmp_path / "heat.mp4")
    with open_video(tmp_path / "heat.mp4") as reader:
        shown = np.concatenate([batch.frames for batch in reader.read()])
        assert reader.info.frame_rate == 12.0
    assert shown.shape == (24, 96 + 28, 240, 3)
    flickers = shown[:, 30:50, 60:80].reshape(-1, 3).mean(axis=0)
    assert flickers[0] > 190 and flickers[1] > 190 and flickers[2] < 180  # light yellow
    assert np.abs(shown[:, 70:90, 150:200].astype(int) - 120).max() < 12  # what stands keeps its grey


def test_snippets_are_those_of_extract(videos, tmp_path):
    place = Workspace(tmp_path / "w", Settings(encoder="mini", stride=5))
    assert run(videos / "fight", place).videos[0].curve.frames.tolist() == [[0, 5], [5, 10]]
    by_rate = run(videos / "fight", replace(place, settings=Settings(fps=5.0)))
    assert by_rate.videos[0].curve.frames.tolist() == [[0, 5], [5, 10]] and by_rate.made_by["sampling"] == {"fps": 5.0}
    by_stride = run(videos / "fight", replace(place, settings=Settings(fps=5.0)), stride=2)
    assert len(by_stride.videos[0].curve.energy) == 5


def test_interrupted_it_leaves_whole_files_of_what_was_finished(videos, workspace, tmp_path, monkeypatch):
    film(videos / "b.mp4", 20)
    written = []

    def interrupted(path, data):
        if written:
            raise KeyboardInterrupt
        written.append(path.name)
        path.parent.mkdir(parents=True)
        path.write_bytes(data)

    with monkeypatch.context() as patch:
        patch.setattr("vidlang.workflows.diff.motion_png", lambda *_, **__: b"picture")
        patch.setattr("vidlang.workflows.diff.write_bytes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(videos, workspace, out=tmp_path / "out", kinds=("png", "json"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.mp4.png", "motion.json"]
    assert [known.curve.video.id for known in read_motion(tmp_path / "out" / "motion.json")] == ["b.mp4"]


def test_mistakes_are_said_before_anything_is_read(videos, workspace, tmp_path):
    for options, words in (
        ({"out": tmp_path / "heat.mp4"}, "shows one video, and there are 3"),
        ({"out": tmp_path / "heat.gif"}, ".json, .csv, .png, .mp4"),
        ({"out": videos / "still.mp4"}, "would be replaced"),
        ({"kinds": ("json", "gif")}, "--write takes some of json, csv, png, mp4"),
        ({"stride": 4, "fps": 2.0}, "--stride and --fps"),
        ({"fps": 0.0}, "fps must be positive"),
        ({"hottest": 0.0}, "--hottest"),
    ):
        with pytest.raises(BadInput, match=words):
            run(videos, workspace, **options)
    assert not workspace.results_dir.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document.update(schema="vidlang.scores/1"), "where 'vidlang.motion/1' is read"),
        (lambda document: document["videos"][0].pop("energy"), "'energy' is missing"),
        (lambda document: document["videos"][0]["energy"].append(1.0), "each row needs one interval"),
        (lambda document: document["videos"][0].update(energy=[-1.0]), "numbers of 0 to 255"),
        (lambda document: document["videos"][0].update(energy=[], frames=[], seconds=[]), "numbers of 0 to 255"),
        (lambda document: document.update(videos=[3]), "not a whole file of motion"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(videos, workspace, tmp_path, change, words):
    document = run(videos / "fight", workspace).to_dict()
    change(document)
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match=words) as refused:
        read_motion(tmp_path / "m.json")
    assert "\n" not in str(refused.value)
    for text in ("{", "[]"):
        (tmp_path / "m.json").write_text(text)
        with pytest.raises(BadInput, match="vidlang diff"):
            read_motion(tmp_path / "m.json")
    with pytest.raises(BadInput, match="no file of motion"):
        read_motion(tmp_path / "nowhere.json")


# -- the prior -------------------------------------------------------------------------------------------------------


@pytest.fixture
def scene(tmp_path, workspace):
    """A film in which one second in two moves, and its curves."""
    (tmp_path / "images").mkdir()
    for index in range(96):
        level = 100 + 60 * (index % 2) if index // 16 % 2 else 100
        picture = np.full((32, 48, 3), level, dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "images" / f"{index:03d}.png")
    report = run(tmp_path / "images", workspace, out=tmp_path / "m.json", frame_rate=16.0)
    assert report.videos[0].curve.energy.tolist() == [0, 60, 0, 60, 0, 60]
    return tmp_path / "images"


ASKED = ScoreOptions(labels=WORDS, plot=False)
EXTRACTION = ExtractOptions(frame_rate=16.0)


def scores_of(paths, workspace, options, stride=None):
    report = score([paths], workspace, options, RecipeChanges(stride=stride), EXTRACTION)
    assert report.num_failed == 0, report.outcomes
    [scores] = report.scores
    return scores


def test_scores_of_what_stands_fall(scene, workspace, encoder):
    plain = scores_of(scene, workspace, ASKED)
    prior = scores_of(scene, workspace, replace(ASKED, motion_prior=2.0))
    energy = motion_energy(scene, plain.seconds, frame_rate=16.0)
    assert prior.anomaly == pytest.approx(plain.anomaly * (energy / (energy + 2)), abs=1e-6)
    assert prior.branches["a"] == pytest.approx(prior.anomaly) and prior.anomaly.dtype == np.float32
    assert np.array_equal(prior.classes, plain.classes)
    assert prior.made_by["motion_prior"] == 2.0 and "motion_prior" not in plain.made_by


def test_a_prior_reads_folders_of_frames_at_the_rate_of_their_features(scene, workspace, encoder):
    first = scores_of(scene, workspace, replace(ASKED, motion_prior=2.0))
    [again] = score([scene], workspace, replace(ASKED, motion_prior=2.0)).scores  # nobody says the rate again
    assert np.array_equal(again.anomaly, first.anomaly)


def test_a_prior_is_said_with_the_results(scene, workspace, encoder, tmp_path):
    with_curves = {"motion_prior": 2.0, "motion": tmp_path / "m.json"}
    scored = score([scene], workspace, replace(ASKED, **with_curves), extraction=EXTRACTION)
    assert "; motion prior 2; " in describe(scored)
    options = LocalizeOptions(labels=WORDS, plot=False, cached=True, **with_curves)
    assert "; motion prior 2; " in localize(["images"], workspace, options).describe()[0]


def test_curves_stand_in_for_the_video_aligned_by_seconds(scene, workspace, encoder, tmp_path):
    with_curves = replace(ASKED, motion_prior=20.0, motion=tmp_path / "m.json")
    plain, prior = (scores_of(scene, workspace, options) for options in (ASKED, with_curves))
    assert prior.anomaly == pytest.approx(plain.anomaly * np.array([0, 0.75, 0, 0.75, 0, 0.75]), abs=1e-6)
    assert prior.made_by["motion"] == str(tmp_path / "m.json")
    coarse, halved = (scores_of(scene, workspace, options, stride=32) for options in (ASKED, with_curves))
    assert halved.anomaly == pytest.approx(coarse.anomaly * (30 / 50), abs=1e-6)  # a still and a moving second
    [known] = read_motion(tmp_path / "m.json")
    assert energy_at(known.curve, coarse.seconds) == pytest.approx([30, 30, 30])


def test_curves_serve_cached_videos_and_localize(scene, workspace, encoder, tmp_path):
    scores_of(scene, workspace, ASKED)
    with_curves = replace(ASKED, motion_prior=20.0, motion=tmp_path / "m.json", cached=True)
    assert scores_of("images", workspace, with_curves).anomaly[::2].tolist() == [0, 0, 0]
    asked = LocalizeOptions(labels=WORDS, plot=False, cached=True)
    curves = [
        localize(["images"], workspace, options).videos[0].curve
        for options in (asked, replace(asked, motion_prior=20.0, motion=tmp_path / "m.json"))
    ]
    assert curves[1] == pytest.approx(curves[0] * np.array([0, 0.75] * 3)[:, None], abs=1e-6)


def test_curves_of_another_video_are_refused(scene, workspace, encoder, tmp_path):
    scores_of(scene, workspace, ASKED)
    for number, (name, words) in enumerate((("b.mp4", "it holds b.mp4"), ("images", "another video of that name"))):
        film(tmp_path / f"other{number}" / "b.mp4", 96)
        path = tmp_path / f"{number}.json"
        run(tmp_path / f"other{number}", workspace, out=path)
        path.write_text(path.read_text().replace('"id": "b.mp4"', f'"id": "{name}"'))
        report = score(["images"], workspace, replace(ASKED, motion_prior=1.0, motion=path, cached=True))
        assert report.num_failed == 1 and words in str(report.outcomes[0].error)
        assert "Run: vidlang diff images" in str(report.outcomes[0].error)
    run(scene, workspace, out=tmp_path / "slow.json", frame_rate=4.0)  # the same images, four times as long
    slow = replace(ASKED, motion_prior=1.0, motion=tmp_path / "slow.json", cached=True)
    assert "24.0 s of it" in str(score(["images"], workspace, slow).outcomes[0].error)


def test_imported_features_are_known_by_name_and_length(workspace, cache, encoder, tmp_path):
    film(tmp_path / "v" / "a.mp4", 96)
    run(tmp_path / "v", workspace, out=tmp_path / "m.json")
    put(cache, recipe_of(encoder), "a.mp4", video_rows(6, seed=1))
    features = cache.get(FeatureKey("a.mp4", recipe_of(encoder)))
    cache.put(features, identity=None)
    factors = MotionPrior(STEP, tmp_path / "m.json").open(cache, {})
    assert factors.of(features) == pytest.approx(np.full(6, 0.5), abs=0.2)
    put(cache, recipe_of(encoder), "a.mp4", video_rows(60, seed=1))
    longer = cache.get(FeatureKey("a.mp4", recipe_of(encoder)))
    cache.put(longer, identity=None)
    with pytest.raises(MissingFeatures, match=r"holds 3\.8 s of it, where features have 38\.4 s"):
        factors.of(longer)


@pytest.mark.parametrize("make", [ScoreOptions, LocalizeOptions])
def test_options_of_the_prior_that_do_not_go_together(make, tmp_path):
    for options, words in (
        ({"motion": tmp_path / "m.json"}, "give both, such as --motion-prior 1"),
        ({"motion_prior": 0.0}, "grey levels above 0"),
        ({"motion_prior": 1.0, "cached": True}, "give files instead of --cached, or curves"),
    ):
        with pytest.raises(BadInput, match=words):
            make(**options)
    assert make(motion_prior=1.0, motion=tmp_path / "m.json", cached=True).prior() is not None
    assert make().prior() is None


def test_a_bad_file_of_curves_stops_before_anything_is_extracted(scene, workspace, encoder, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(BadInput, match="schema None"):
        score([scene], workspace, replace(ASKED, motion_prior=1.0, motion=tmp_path / "bad.json"))
    assert encoder.batches == []


def test_the_sampling_of_a_recipe_gives_the_snippets_of_diff(workspace):
    assert DiffOptions().sampling(workspace.settings) == Sampling()
