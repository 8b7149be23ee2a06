"""The verbs as functions: the options of the command line, its answers, and nothing printed."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

import vidlang
from vidlang import cli
from vidlang.cli import diff, evaluate, extract, fame, index, localize, retrieve, score, train, watch  # noqa: F401
from vidlang.core import BadInput, BadVideo, Detections, Progress, Scores, UnknownName
from vidlang.store.workspace import Settings, Workspace
from vidlang.video.writer import write_video

TERMINAL = {"json", "csv", "quiet", "verbose", "dry_run"}
"""Options about what is printed, or that do nothing but print."""
OTHERWISE = {
    "retrieve": {"all_pairs", "reject"},  # find_duplicates; remembering is no question
    "index": set[str](),
}
"""Options of the command line that another function of the API stands for."""
PAIRS = {
    "extract": (cli.extract.command, vidlang.extract),
    "score": (cli.score.command, vidlang.score),
    "localize": (cli.localize.localize, vidlang.localize),
    "retrieve": (cli.retrieve.command, vidlang.retrieve),
    "watch": (cli.watch.command, vidlang.watch),
    "index": (cli.index.update, vidlang.index),
    "diff": (cli.diff.command, vidlang.diff),
    "fame mask": (cli.fame.mask, vidlang.fame_mask),
    "fame merge": (cli.fame.merge, vidlang.fame_merge),
    "train vadclip": (cli.train.vadclip, vidlang.train_vadclip),
    "train tca": (cli.train.tca, vidlang.train_tca),
    "train wtal": (cli.train.wtal, vidlang.train_wtal),
    "train fame": (cli.train.fame, vidlang.train_fame),
    "eval anomaly": (cli.evaluate.anomaly, vidlang.evaluate_anomaly),
    "eval retrieval": (cli.evaluate.retrieval, vidlang.evaluate_retrieval),
    "eval localization": (cli.evaluate.localization, vidlang.evaluate_localization),
    "eval representation": (cli.evaluate.eval_representation.command, vidlang.evaluate_representation),
    "eval background": (cli.evaluate.eval_background.command, vidlang.evaluate_background),
}
NAMED = inspect.Parameter.VAR_KEYWORD


def plain(default: object) -> object:
    return default.value if isinstance(default, Enum) else default


def options(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """By name on the command line: that of the flag where it has one, else that of the parameter."""
    hints = typing.get_type_hints(function, include_extras=True)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        marks = getattr(hints[name], "__metadata__", ())
        # typer takes the first name for a default until it reads the signature
        said = [text for mark in marks for text in (mark.default, *(mark.param_decls or ())) if isinstance(text, str)]
        flags = [text.split("/")[0][2:].replace("-", "_") for text in said if text.startswith("--")]
        found[flags[0] if flags else name] = parameter
    return found


@pytest.mark.parametrize("verb", PAIRS)
def test_functions_take_the_options_of_their_command_with_the_same_defaults(verb):
    command, function = PAIRS[verb][0], inspect.signature(PAIRS[verb][1]).parameters
    known = options(command) if verb != "fame merge" else dict(inspect.signature(command).parameters)
    wanted = {name: each for name, each in known.items() if name not in TERMINAL | OTHERWISE.get(verb, set())}
    assert [name for name in wanted if name not in function] == []
    differing = {
        name: (plain(each.default), function[name].default)
        for name, each in wanted.items()
        if each.kind is not NAMED and plain(each.default) != function[name].default
    }
    assert differing == {}


def test_groups_are_looked_for_with_every_option_that_decides_the_gallery():
    taken = inspect.signature(vidlang.find_duplicates).parameters
    wanted = [*cli.index.GALLERY_OPTIONS, *cli.index.RECIPE_OPTIONS]
    assert {o.name: plain(o.default) for o in wanted} == {o.name: taken[o.name].default for o in wanted}


def test_importing_vidlang_is_light_and_names_are_found_when_they_are_used():
    script = (
        "import sys, vidlang\n"
        "assert set(vidlang.__all__) <= set(dir(vidlang))\n"
        "print(sorted({'numpy', 'torch', 'h5py', 'typer', 'rich'} & set(sys.modules)))\n"
        "from vidlang import score\n"
        "print(sorted({'torch', 'transformers', 'matplotlib', 'av', 'pandas'} & set(sys.modules)), callable(score))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["[]", "[] True"], done.stderr


def test_every_name_is_there_and_known_to_type_checkers():
    assert all(hasattr(vidlang, name) for name in vidlang.__all__)
    tree = ast.parse(Path(vidlang.__file__).read_text(encoding="utf-8"))
    [checked] = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.name: node.module for node in checked.body for alias in node.names}
    assert typed == vidlang._HOME
    assert set(typed) == set(vidlang.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        _ = vidlang.scores


def write_square(path: Path, shade: int) -> None:
    """A light square crosses a dark place: 34 frames, two snippets."""
    frames = np.full((34, 48, 64, 3), shade, dtype=np.uint8)
    for step, frame in enumerate(frames):
        frame[10:30, step : step + 20] = 230
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames, 25.0, options={"preset": "ultrafast"})


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workspace:
    """Four short films and their features."""
    folder = tmp_path_factory.mktemp("api")
    for number, name in enumerate(("fire/a.mp4", "fire/b.mp4", "normal/c.mp4", "normal/d.mp4")):
        write_square(folder / "videos" / name, shade=40 + 50 * number)
    workspace = Workspace(folder / ".vidlang", Settings(encoder="mini", device="cpu"))
    found = vidlang.extract(folder / "videos", workspace=workspace)
    assert len(found) == 4 and found.failed == ()
    return workspace


def film(place: Workspace, kind: str = "fire") -> Path:
    return min((place.root.parent / "videos" / kind).glob("*.mp4"))


def answer(monkeypatch, capsys, *arguments: str | Path) -> dict:
    """What ``vidlang ARGUMENTS --json`` prints."""
    from vidlang.cli.app import main

    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["vidlang", *map(str, arguments), "--json"])
    with pytest.raises(SystemExit):
        main()
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def settings(place, monkeypatch) -> Path:
    """The workspace as the command line finds it."""
    for name in ("VIDLANG_WORKSPACE", "VIDLANG_ENCODER", "VIDLANG_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    (place.root / "vidlang.toml").write_text('encoder = "mini"\ndevice = "cpu"\n')
    return place.root


def without_place(report: dict) -> dict:
    return {name: value for name, value in report.items() if name not in ("folder", "wall_seconds")}


def test_features_are_read_one_by_one_by_id_and_by_place(place):
    found = vidlang.extract(place.root.parent / "videos", workspace=place)
    assert {outcome.status for outcome in found.report.outcomes} == {"skipped"}
    assert [features.key.video_id for features in found] == list(found.ids)
    assert (found[0].values == found[found.ids[0]].values).all()
    with pytest.raises(UnknownName, match="Did you mean"):
        _ = found["fire/e.mp4"]
    assert found.to_dict()["schema"].startswith("vidlang.extract/")


def test_a_video_that_fails_is_told_and_the_others_are_kept(place, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    found = vidlang.extract([film(place), tmp_path / "broken.mp4"], workspace=Workspace(tmp_path / "w", place.settings))
    assert len(found) == 1 and [outcome.video_id for outcome in found.failed] == ["broken.mp4"]
    assert isinstance(found.failed[0].error, BadVideo) and "broken.mp4" in found._repr_html_()


def test_features_in_memory_are_those_of_the_cache_and_leave_nothing_behind(place, tmp_path):
    empty = Workspace(tmp_path / "w", place.settings)
    [features] = vidlang.iter_features(film(place), workspace=empty)
    cached = vidlang.extract(place.root.parent / "videos", workspace=place)[f"fire/{film(place).name}"]
    assert np.allclose(features.values, cached.values, atol=1e-5) and (features.seconds == cached.seconds).all()
    assert not empty.root.exists()


def test_streams_go_on_after_a_broken_video_when_asked(place, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    paths = [tmp_path / "broken.mp4", film(place)]
    with pytest.raises(BadVideo):
        list(vidlang.iter_features(paths, workspace=place))
    assert len(list(vidlang.iter_features(paths, workspace=place, skip_failed=True))) == 1


def test_scores_are_those_of_the_command(place, settings, monkeypatch, capsys):
    words = "fire,fighting"
    found = vidlang.score(film(place), labels=words, workspace=place, plot=False, threshold=0.2)
    told = answer(
        monkeypatch, capsys, "score", film(place), "--labels", words, "--threshold", "0.2", "--no-plot",
        "--workspace", settings,
    )  # fmt: skip
    assert without_place(found.to_dict()) == without_place(told)
    assert isinstance(found.events, Detections) and len(found.events) == len(told["videos"][0]["events"])
    assert found[0] is found[film(place).name] and len(found) == 1
    assert found.to_numpy()["anomaly"].tolist() == found[0].anomaly.tolist()


def test_localization_and_retrieval_are_those_of_the_commands(place, settings, monkeypatch, capsys):
    found = vidlang.localize(film(place), labels=["fire", "walking"], workspace=settings, plot=False)
    told = answer(
        monkeypatch, capsys, "localize", film(place), "--labels", "fire,walking", "--no-plot", "--workspace", settings
    )
    assert without_place(found.to_dict()) == without_place(told)
    assert len(found.detections) == len(told["videos"][0]["segments"]) == len(found.to_numpy())
    hits = vidlang.retrieve(film(place), text="a fire", top=2, workspace=settings)
    told = answer(
        monkeypatch, capsys, "retrieve", film(place), "--text", "a fire", "--top", "2", "--workspace", settings
    )
    assert without_place(hits.to_dict()) == without_place(told)
    assert [ranking.query for ranking in hits] == [film(place).name, "a fire"]
    assert hits["a fire"] is hits[1] and set(hits.to_numpy()["query"]) == {film(place).name, "a fire"}


def test_scorers_score_features_rows_and_streams_alike(place):
    [expected] = vidlang.score(film(place), labels="fire", workspace=place, plot=False)
    scorer = vidlang.load_scorer(labels="fire", workspace=place)
    [features] = vidlang.iter_features(film(place), workspace=place)
    for found in (
        scorer.score(features),
        vidlang.score_features(features, scorer),
        vidlang.score_features(features.to_numpy(), scorer),
        vidlang.score_features(features, labels="fire", workspace=place),
        next(scorer.stream(film(place))),
    ):
        assert isinstance(found, Scores) and np.allclose(found.anomaly, expected.anomaly, atol=1e-4)
    assert scorer.events(expected, threshold=0.0)[0].segment.duration == pytest.approx(expected.seconds[-1, 1])


def test_localizers_find_in_features_and_rows_what_localize_finds_in_the_video(place):
    words = ["fire", "walking"]
    [expected] = vidlang.localize(film(place), labels=words, workspace=place, plot=False, encoder="mini")
    localizer = vidlang.load_localizer(labels=words, workspace=place)
    [features] = vidlang.iter_features(film(place), workspace=place)
    for found in (
        localizer.localize(features),
        vidlang.localize_features(features, localizer),
        vidlang.localize_features(features, labels=words, workspace=place),
        vidlang.localize_features(features.to_numpy(), localizer, seconds=features.seconds),
    ):
        assert np.allclose(found.curve, expected.curve, atol=1e-4)
        assert [(each.label, each.segment) for each in found.detections] == [
            (each.label, each.segment) for each in expected.detections
        ]
    assert localizer.class_names == tuple(words)


def test_a_file_that_is_watched_has_the_scores_of_the_file(place):
    [expected] = vidlang.score(film(place), labels="fire", workspace=place, plot=False)
    watching = vidlang.watch(film(place), labels="fire", threshold=0.0, scores=True, delay=0.0, workspace=place)
    assert watching.report is None
    lines = list(watching)
    told = [line["anomaly"] for line in lines if line["type"] == "score"]
    assert np.allclose(told, expected.anomaly, atol=1e-4)
    assert watching.report is not None and watching.report.reason == "end" and watching.report.num_events == 1
    assert [line["end"] for line in lines if line["type"] == "event_end"] == [expected.seconds[-1, 1]]
    assert list(watching) == []


def test_watching_stops_with_an_event_that_is_closed_or_at_once(place):
    watching = vidlang.watch(film(place), labels="fire", threshold=0.0, scores=True, delay=0.0, workspace=place)
    for line in watching:
        if line["type"] == "score":
            watching.stop("enough")
    assert watching.report is not None and (watching.report.reason, watching.report.num_events) == ("enough", 1)
    with vidlang.watch(film(place), labels="fire", workspace=place) as watching:
        assert next(iter(watching))["status"] == "started"
    assert list(watching.events()) == [] and watching.report is None


def test_bare_rows_get_a_second_each_or_the_times_that_are_given(place):
    scorer = vidlang.load_scorer(labels="fire", workspace=place)
    rows = np.random.default_rng(0).normal(size=(3, 256))
    assert scorer.score(rows).seconds.tolist() == [[0, 1], [1, 2], [2, 3]]
    times = [[0.0, 0.5], [0.5, 2.0], [2.0, 2.5]]
    assert scorer.score(rows, times).seconds.tolist() == times
    with pytest.raises(ValueError, match=r"\[T, D\]"):
        scorer.score(np.zeros(256))


def test_words_score_any_sampling_of_their_encoder_and_a_trained_head_its_recipe_alone(place):
    [other] = vidlang.iter_features(film(place), fps=2.0, workspace=place)
    words = vidlang.load_scorer(labels="fire", workspace=place)
    assert words.score(other).made_by["recipe"]["sampling"]["fps"] == 2.0
    report = vidlang.train("vadclip", workspace=place, epochs=1, val_fraction=0.0, name="tiny")
    assert report.checkpoint.endswith("tiny")
    scorer = vidlang.load_scorer("tiny", workspace=place)
    with pytest.raises(BadInput, match=r"fps2-middle.*stride16-middle.*is read here"):
        scorer.score(other)
    [same] = vidlang.score(film(place), checkpoint="tiny", workspace=place, plot=False)
    assert np.allclose(next(scorer.stream(film(place))).anomaly, same.anomaly, atol=1e-4)


def test_progress_calls_a_function_up_to_the_total_and_nothing_is_printed(place, tmp_path, capfd):
    calls: list[tuple[str, float, float | None]] = []
    workspace = Workspace(tmp_path / "w", place.settings)
    vidlang.extract(film(place), workspace=workspace, progress=lambda *told: calls.append(told))
    assert calls[0] == ("extract", 0.0, 1) and calls[-1][1] == pytest.approx(1)
    done = [amount for _, amount, _ in calls]
    assert done == sorted(done)
    vidlang.score(film(place), workspace=workspace, labels="fire", plot=False)
    assert capfd.readouterr() == ("", "")


def test_a_progress_of_ones_own_is_taken_as_it_is(place):
    class Heard(Progress):
        def __init__(self) -> None:
            self.tasks: list[str] = []

        def task(self, description, total=None, unit=""):
            self.tasks.append(description)
            return super().task(description, total, unit)

    heard = Heard()
    vidlang.score(film(place), labels="fire", workspace=place, plot=False, progress=heard)
    assert "score" in heard.tasks


def test_what_cannot_be_is_told_in_one_line(place):
    for wrong, match in (
        (lambda: vidlang.score(film(place), labels="a", checkpoint="b", workspace=place), "give one of them"),
        (lambda: vidlang.train("vadclp", workspace=place), "Did you mean 'vadclip'"),
        (lambda: vidlang.evaluate("anomalies", workspace=place), "Did you mean 'anomaly'"),
        (lambda: vidlang.train("wtal", "videos/"), "reads the labelled videos of the cache"),
        (lambda: vidlang.train_fame("videos/", linear="a", finetune="b"), "give one of them"),
        (lambda: vidlang.train("vadclip", workspace=place, epoch=3), "epoch"),
    ):
        with pytest.raises(vidlang.VidlangError, match=match) as told:
            wrong()
        assert "\n" not in str(told.value)


def test_measuring_returns_the_report_of_the_command(place, settings, monkeypatch, capsys):
    vidlang.score(place.root.parent / "videos", labels="fire,fighting", workspace=place, plot=False)
    told = answer(monkeypatch, capsys, "eval", "anomaly", "--workspace", settings)
    assert vidlang.evaluate("anomaly", workspace=place).to_dict() == told


def test_motion_is_measured_and_masked(place, tmp_path):
    report = vidlang.diff(film(place), out=tmp_path / "motion.json", workspace=place)
    assert report.videos[0].curve.energy.min() >= 0 and (tmp_path / "motion.json").is_file()
    masks = vidlang.fame_mask(film(place), out=tmp_path / "mask.npz", beta=0.25, workspace=place)
    assert masks.made_by["beta"] == 0.25 and (tmp_path / "mask.npz").is_file()
    merged = vidlang.fame_merge(film(place), film(place, "normal"), out=tmp_path / "m.mp4", workspace=place)
    assert merged.file == tmp_path / "m.mp4" and merged.file.is_file()


def test_the_index_is_brought_up_to_the_cache(place):
    assert vidlang.index(workspace=place, rebuild=True).info.videos >= 4
    assert vidlang.index(workspace=place).added == 0
    report = vidlang.find_duplicates(workspace=place, threshold=0.999)
    assert report.num_videos >= 4


def test_encoders_put_frames_and_words_into_one_space(place):
    encoder = vidlang.load_encoder("mini", device="cpu", workspace=place)
    frames = np.zeros((2, 32, 48, 3), dtype=np.uint8)
    assert encoder.encode_frames(frames).shape == (2, encoder.dim) == tuple(encoder.encode_texts(["a", "b"]).shape)
    recipes = vidlang.open_cache(place).recipes()
    assert [recipe.encoder for recipe in recipes] == ["mini"]
