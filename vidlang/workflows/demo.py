"""The whole road on a small rendered collection: render → extract → train → score → eval, offline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, Progress, Segment
from vidlang.datasets.manifest import write_manifest
from vidlang.demo.scenes import EVENTS, plan_camera, render_camera, render_collection
from vidlang.report.timeline import timeline_png
from vidlang.store.atomic import write_bytes, write_text
from vidlang.store.workspace import Settings, Workspace, write_settings
from vidlang.workflows.evaluate import evaluate_anomaly
from vidlang.workflows.extract import extract
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe
from vidlang.workflows.score import ScoreOptions, describe, score, terminal_sparkline
from vidlang.workflows.train_vadclip import TrainOptions, train_vadclip
from vidlang.workflows.workspace import open_cache

CAMERA_SECONDS = 60.0
PLACES = ("street", "square")
"""Two of the four places, so that a few dozen videos are enough to learn from."""


@dataclass(frozen=True)
class Step:
    """What one command of the demo did."""

    command: str
    """What a user would have typed."""
    lines: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[Sequence[object], ...] = ()


def run_demo(out: Path, *, videos_per_class: int, seed: int, progress: Progress) -> Iterator[Step]:
    """Each step as it is done.

    Raises:
        BadInput: ``out`` holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / "labels.csv").exists():
        raise BadInput(f"{out} holds other files. Give an empty or new folder with --out.")
    videos, manifest, camera = out / "videos", out / "labels.csv", out / "camera.mp4"
    labels = render_collection(videos, seed=seed, videos_per_class=videos_per_class, places=PLACES, progress=progress)
    write_text(manifest, write_manifest(labels))
    with progress.task("render camera", total=1, unit="video") as task:
        truth = render_camera(camera, plan_camera(seed=seed + 1000, seconds=CAMERA_SECONDS))
        task.advance()
    abnormal = sum(label.classes != ("normal",) for label in labels)
    yield Step(
        f"(rendered {len(labels)} videos into {videos})",
        (
            f"{len(labels) - abnormal} normal and {abnormal} abnormal short videos ({', '.join(EVENTS)}), "
            f"and {camera}, {CAMERA_SECONDS:.0f} s with {len(truth.segments)} events",
        ),
    )

    workspace = Workspace(out / ".vidlang", Settings(encoder="mini"))
    write_settings(workspace, workspace.settings)
    recipe = make_recipe(workspace.settings, RecipeChanges())
    extracted = extract(
        [videos], open_cache(workspace), recipe, encoder_loader("mini", recipe.precision, "auto"), None, progress
    )
    yield Step(f"vidlang extract {videos}", tuple(extracted.lines()))

    trained = train_vadclip(workspace, TrainOptions(manifest=manifest), progress=progress)
    yield Step(
        f"vidlang train vadclip --manifest {manifest}",
        tuple(trained.lines()),
        (f"metric ({trained.measured_on})", *trained.columns),
        tuple(trained.rows()),
    )

    tested = score([videos], workspace, ScoreOptions(manifest=manifest, split="test", plot=False), progress=progress)
    judged = evaluate_anomaly(workspace, tested.folder, manifest=manifest, split="test")
    branches = list(judged.metrics)
    names = [name for name in judged.metrics[branches[0]] if "/" not in name and "@" not in name]
    yield Step(
        f"vidlang score {videos} --manifest {manifest} --split test\n"
        f"$ vidlang eval anomaly --manifest {manifest} --split test",
        (f"{judged.num_videos} test videos",),
        ("metric", *branches),
        tuple([name, *(judged.metrics[branch].get(name) for branch in branches)] for name in names),
    )

    report = score([camera], workspace, ScoreOptions(plot=False), progress=progress)
    scores, events = report.scores[0], report.events[0]
    true = [event.segment for event in truth.segments if event.segment is not None]
    picture = out / "camera.png"
    write_bytes(picture, timeline_png(scores, events=events, truth=true, threshold=report.threshold))
    yield Step(
        f"vidlang score {camera}",
        (
            describe(report),
            "",
            f"scores  {terminal_sparkline(scores.anomaly)}",
            f"truth   {terminal_sparkline(_truth_curve(scores.seconds, true))}",
            "",
            *(f"true   {_span(e.segment)}  {e.label}" for e in truth.segments if e.segment is not None),
            *(f"found  {_span(event.segment)}  {event.label}  {event.score:.2f}" for event in events),
            "",
            f"Picture: {picture}   Results: {report.folder}",
        ),
    )


def _span(segment: Segment) -> str:
    return f"{segment.start:5.1f} - {segment.end:5.1f} s"


def _truth_curve(seconds: NDArray[np.float64], truth: Sequence[Segment]) -> NDArray[np.float32]:
    """1 for rows whose middle lies in a true event."""
    middle = seconds.mean(axis=1)
    return np.array([float(any(s.start <= time < s.end for s in truth)) for time in middle], dtype=np.float32)
