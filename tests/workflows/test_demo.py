"""The demo: what it keeps, what it refuses, and what its methods have to beat."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import BadInput, Label, Scores, Segment, VideoInfo
from vidlang.core.labels import LabelledSegment
from vidlang.datasets.manifest import write_manifest
from vidlang.video.writer import write_video
from vidlang.workflows import demo as demo_module
from vidlang.workflows import demo_folder
from vidlang.workflows.demo import PAGE, run_demo
from vidlang.workflows.demo_baselines import (
    anomaly_rows,
    chance_precision,
    guesses,
    localization_row,
    motion_peaks,
    random_segments,
)
from vidlang.workflows.demo_folder import DemoOptions, Step, Table, open_demo
from vidlang.workflows.demo_retrieval import training_pattern


@pytest.fixture
def steps(monkeypatch):
    """Three steps that note when they are done; the second can be made to fail."""
    done: list[str] = []
    trouble: list[BaseException] = []

    def make(name: str):
        def step(demo) -> Step:
            if name == "second" and trouble:
                raise trouble.pop()
            done.append(name)
            picture = demo.picture(demo.results(f"{name}.png"), f"picture of {name}", b"PNG of " + name.encode())
            table = Table.of("numbers", ("by", "mAP"), [(name, np.float32(0.5)), ("chance", math.nan)])
            return Step(f"Step {name}", (f"vidlang {name}",), ("a line",), (table,), (picture,))

        return step

    monkeypatch.setattr(demo_module, "STEPS", {name: make(name) for name in ("first", "second", "third")})
    return done, trouble


def test_an_interrupted_demo_goes_on_where_it_stopped(steps, tmp_path):
    done, trouble = steps
    trouble.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        list(run_demo(tmp_path / "out"))
    assert done == ["first"] and "Step first" in (tmp_path / "out" / PAGE).read_text()
    shown = list(run_demo(tmp_path / "out"))
    assert done == ["first", "second", "third"]
    assert [step.earlier for step in shown] == [True, False, False]
    page = (tmp_path / "out" / PAGE).read_text()
    assert all(f"Step {name}" in page for name in done) and page.count("data:image/png") == 3
    again = list(run_demo(tmp_path / "out"))
    assert done == ["first", "second", "third"] and all(step.earlier for step in again)
    assert [replace(step, earlier=False) for step in again] == [replace(step, earlier=False) for step in shown]
    assert again[0].tables[0].rows == (("first", 0.5), ("chance", None))


def test_a_step_whose_picture_is_gone_is_done_again(steps, tmp_path):
    done, _ = steps
    list(run_demo(tmp_path))
    (tmp_path / "results" / "second.png").unlink()
    (tmp_path / "steps" / "third.json").write_text("{broken")
    assert [step.earlier for step in run_demo(tmp_path)] == [True, False, False]
    assert done == ["first", "second", "third", "second", "third"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (DemoOptions(seed=1), "--seed 0, and 1 is asked for"),
        (DemoOptions(quick=True), "--quick False, and True is asked for"),
        (DemoOptions(videos_per_class=5), "--videos-per-class 14, and 5 is asked for"),
    ],
)
def test_another_demo_in_the_same_folder_is_refused(steps, tmp_path, options, named):
    done, _ = steps
    list(run_demo(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput, match=named) as refused:
        list(run_demo(tmp_path, options))
    assert "\n" not in str(refused.value) and "--out" in str(refused.value)
    assert len(done) == 3 and sorted(tmp_path.rglob("*")) == before


def test_a_number_that_equals_the_default_is_the_same_demo(steps, tmp_path):
    list(run_demo(tmp_path))
    assert all(step.earlier for step in run_demo(tmp_path, DemoOptions(videos_per_class=14)))


def test_a_folder_of_something_else_is_refused_and_untouched(steps, tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(BadInput, match="holds other files"):
        list(run_demo(tmp_path))
    with pytest.raises(BadInput, match="holds other files"):
        list(run_demo(tmp_path / "thesis.tex"))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_damaged_note_is_named(steps, tmp_path):
    list(run_demo(tmp_path))
    (tmp_path / "demo.json").write_text("[")
    with pytest.raises(BadInput, match=r"demo\.json does not read"):
        list(run_demo(tmp_path))


def test_too_few_videos_are_refused():
    with pytest.raises(BadInput, match="at least 4, got 3"):
        DemoOptions(videos_per_class=3)


def test_a_training_that_was_killed_before_its_first_word_starts_anew(tmp_path):
    demo = open_demo(tmp_path, DemoOptions(), demo_module.Progress())
    run = tmp_path / ".vidlang" / "results" / "train" / "tca" / "demo"
    assert not demo.goes_on("tca")
    run.mkdir(parents=True)
    assert not demo.goes_on("tca") and not run.exists()
    run.mkdir()
    (run / "run.json").write_text("{}")
    assert demo.goes_on("tca")


@pytest.mark.parametrize(("videos", "quick"), [(4, True), (14, False), (40, False)])
def test_retrieval_never_trains_on_test_videos(tmp_path, videos, quick):
    """Every file that the pattern takes is a training video, and every class has some."""
    from fnmatch import fnmatchcase

    options = DemoOptions(videos_per_class=videos, quick=quick)
    demo = open_demo(tmp_path, options, demo_module.Progress())
    num_test = round(videos * 0.34)
    labels = [
        Label(f"{kind}/{kind}_{i:03d}.mp4", (kind,), split="test" if i >= videos - num_test else "train")
        for kind in ("normal", "fire")
        for i in range(videos)
    ]
    demo.manifest.write_text(write_manifest(labels))
    taken = [label for label in labels if fnmatchcase(f"videos/{label.video_id}", training_pattern(demo))]
    assert {label.split for label in taken} == {"train"}
    assert len(taken) == 2 * min(options.extent.sources, videos - num_test)


# -- what has to be beaten -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("positives", "videos"), [(1, 5), (2, 5), (3, 3), (1, 1), (4, 6)])
def test_chance_is_the_mean_over_all_rankings(positives, videos):
    precisions = [
        sum((place + 1) / (rank + 1) for place, rank in enumerate(ranks)) / positives
        for ranks in itertools.combinations(range(videos), positives)
    ]
    assert chance_precision(positives, videos) == pytest.approx(np.mean(precisions))


def test_chance_needs_a_positive():
    with pytest.raises(ValueError, match="1 to 4 positives, got 0"):
        chance_precision(0, 4)


def passing_film(path: Path, num_frames: int, moves: range) -> Path:
    """A square that stands still but for some frames, in which it jumps to and fro."""
    frames = []
    for index in range(num_frames):
        frame = np.full((64, 96, 3), 60, dtype=np.uint8)
        left = 60 if index in moves and index // 3 % 2 else 10
        frame[20:44, left : left + 24] = 220
        frames.append(frame)
    write_video(path, frames, 25.0, options={"preset": "ultrafast", "crf": "4"})
    return path


def scores_of(name: str, seconds: float, anomaly: np.ndarray) -> Scores:
    edges = np.linspace(0, seconds, len(anomaly) + 1)
    frames = np.round(edges * 25).astype(np.int64)
    info = VideoInfo(name, int(frames[-1]), seconds, 25.0, (64, 96))
    spans = np.stack([frames[:-1], frames[1:]], axis=1)
    return Scores(info, spans, np.stack([edges[:-1], edges[1:]], axis=1), anomaly.astype(np.float32))


def test_motion_peaks_lie_where_the_film_moves(tmp_path):
    path = passing_film(tmp_path / "x.mp4", 100, moves=range(50, 75))
    found = motion_peaks([scores_of("x.mp4", 4.0, np.zeros(8))], {"x.mp4": path}, ("fire", "falling"))
    assert [one.label for one in found] == ["fire", "falling"] and len({one.score for one in found}) == 1
    assert {one.segment for one in found} == {Segment(2.0, 3.0)}


def test_rows_of_motion_and_chance(tmp_path):
    """Motion finds an event that moves; a constant score is at chance by definition."""
    path = passing_film(tmp_path / "x.mp4", 100, moves=range(50, 75))
    event = LabelledSegment("falling", Segment(2.0, 3.0))
    labels = [Label("x.mp4", ("falling",), (event,), timed=True, num_frames=100)]
    motion, chance = anomaly_rows([scores_of("x.mp4", 4.0, np.zeros(8))], labels, {"x.mp4": path})
    assert motion[:3] == ("motion energy", 1.0, 1.0)
    assert chance[0].startswith("chance") and chance[1] == 0.5 and chance[2] == pytest.approx(0.25)


def test_random_segments_lie_inside_their_videos_and_follow_from_the_seed():
    durations = {"a": 8.0, "b": 2.0}
    found = random_segments(durations, ("fire", "falling"), (1.5, 4.0), seed=3)
    assert found == random_segments(durations, ("fire", "falling"), (1.5, 4.0), seed=3)
    assert found != random_segments(durations, ("fire", "falling"), (1.5, 4.0), seed=4)
    assert [(one.video_id, one.label) for one in found] == [(v, c) for v in durations for c in ("fire", "falling")]
    for one in found:
        assert one.segment.start >= 0 and one.segment.end <= durations[one.video_id] + 1e-9
        assert min(1.5, durations[one.video_id]) <= one.segment.duration + 1e-9 <= 4.0 + 2e-9


def test_guesses_at_an_event_as_long_as_its_video_are_all_right():
    """With one class, one video and an event that fills it, every guess is the event."""
    event = LabelledSegment("fire", Segment(0.0, 4.0))
    labels = [Label("a", ("fire",), (event,), timed=True)]
    row = localization_row("chance", guesses({"a": 4.0}, labels, ("fire",), seed=0), (0.5, 0.7))
    assert row == ("chance", 1.0, 1.0, 1.0)
    with pytest.raises(BadInput, match="nothing to localize"):
        guesses({"a": 4.0}, [Label("a", ("fire",))], ("fire",), seed=0)


# -- all of it -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_whole_demo_at_its_smallest(monkeypatch, tmp_path):
    """Every road runs; what was interrupted in a training goes on; the commands that are shown exist."""
    import shlex

    import typer

    from vidlang.cli.app import app

    tiny = replace(demo_folder.QUICK, seconds=3.2, vadclip={"epochs": 2}, tca={"epochs": 1})
    monkeypatch.setattr(demo_folder, "QUICK", tiny)
    out = tmp_path / "out"
    shown = []
    for step in run_demo(out, DemoOptions(quick=True)):
        shown.append(step)
        if step.title == "Train TCA":  # killed between the training and the note of it
            (out / "steps" / "train-tca.json").unlink()
            break
    shown = list(run_demo(out, DemoOptions(quick=True)))
    assert len(shown) == len(demo_module.STEPS)
    assert next(step.title for step in shown if not step.earlier) == "Train TCA"
    page = unescape((out / PAGE).read_text())
    assert all(step.title in page and all(line in page for line in step.lines) for step in shown)
    assert page.count("data:image/png") == sum(len(step.pictures) for step in shown) >= 12
    rivals = {row[0] for step in shown for table in step.tables for row in table.rows if isinstance(row[0], str)}
    assert any(name.startswith("motion energy") for name in rivals)
    assert sum(name.startswith("chance") for name in rivals) >= 3
    assert json.loads((out / "demo.json").read_text())["--seed"] == 0

    group = typer.main.get_command(app)
    for command in (line for step in shown for line in step.commands):
        program, *arguments = shlex.split(command)
        assert program == "vidlang"
        _parse(group, arguments, None)
    assert all(step.earlier for step in run_demo(out, DemoOptions(quick=True)))


def _parse(group, arguments, parent) -> None:
    """Reads a command line as the program does, without running it."""
    context = group.make_context("vidlang", arguments[:1], parent=parent, resilient_parsing=True)
    command = group.get_command(context, arguments[0])
    assert command is not None, arguments
    if hasattr(command, "commands"):
        _parse(command, arguments[1:], context)
    else:
        command.make_context(arguments[0], arguments[1:], parent=context)
