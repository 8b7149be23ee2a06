"""The demo's videos: a labelled collection, a camera's film, edited copies; and their features."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.core import Label, Segment
from vidlang.datasets.manifest import write_manifest
from vidlang.demo.copies import Copy, plan_copies, plan_excerpt, render_copies
from vidlang.demo.scenes import EVENTS, KINDS, VideoPlan, plan_camera, plan_collection, render_files
from vidlang.demo.workers import usable_cores
from vidlang.report.demo_page import stills_png
from vidlang.store.atomic import write_text
from vidlang.video.reader import open_video
from vidlang.workflows.demo_folder import Demo, Step
from vidlang.workflows.extract import extract
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe
from vidlang.workflows.workspace import open_cache

PLACES = ("street", "square")
"""Two of the four places, so that a few dozen videos are enough to learn from."""
MOMENTS = (0.2, 0.5, 0.8)
"""Shares of an event, or of a normal video, at which stills are taken."""
EXCERPT = 6.0
"""Seconds of the camera's film that are looked for in the gallery."""


def camera_plan(demo: Demo) -> VideoPlan:
    """What the camera's film shows."""
    return plan_camera(seed=demo.options.seed + 1000, seconds=demo.extent.camera, size=demo.extent.size)


def render_all(demo: Demo) -> Step:
    """Every video, and the files that tell the truth about them."""
    extent, seed = demo.extent, demo.options.seed
    processes = usable_cores() if demo.options.processes is None else demo.options.processes
    planned = plan_collection(
        seed=seed, videos_per_class=extent.videos, seconds=extent.seconds, size=extent.size, places=PLACES
    )
    labels, film = [label for label, _ in planned], camera_plan(demo)
    plans = {demo.videos / label.video_id: plan for label, plan in planned} | {demo.camera: film}
    render_files(plans, processes=processes, progress=demo.progress)
    truth = film.label(demo.camera.name)
    write_text(demo.manifest, write_manifest(labels))
    write_text(demo.camera.with_suffix(".csv"), write_manifest([truth]))
    copies = _copies(demo, labels, truth)
    originals = {label.video_id: demo.videos / label.video_id for label in labels} | {demo.camera.name: demo.camera}
    render_copies(copies, originals, demo.copies, processes=processes, progress=demo.progress)
    write_text(demo.pairs, pairs_csv([(copy.name, copy.original) for copy in copies]))
    abnormal = sum(label.classes != ("normal",) for label in labels)
    sheet = stills_png(
        [_row(kind, labels, demo.videos) for kind in KINDS],
        ("early", "half way", "late"),
        title="one test video of each class; of an event, its own seconds",
    )
    return Step(
        "Render",
        lines=(
            f"{len(labels)} videos of {extent.seconds:g} s in videos/, {abnormal} of them with an event "
            f"({', '.join(EVENTS)}); labels.csv tells class, times and split.",
            f"camera.mp4: {extent.camera:g} s of one street with {len(truth.segments)} events; camera.csv tells them.",
            f"{len(copies)} edited copies in copies/ (speed, excerpts, crops, colours, logos, bars, noise, coding); "
            "pairs.csv tells of what.",
        ),
        pictures=(demo.picture(demo.results("stills.png"), "Stills of one rendered video of each class", sheet),),
    )


def _copies(demo: Demo, labels: Sequence[Label], truth: Label) -> list[Copy]:
    """Copies of test videos of each class, and an excerpt of the camera's film around its first event."""
    chosen = [
        label.video_id
        for kind in KINDS
        for label in [label for label in labels if label.split == "test" and label.classes == (kind,)][
            : demo.extent.queries
        ]
    ]
    span = excerpt_span(demo, truth)
    excerpt = plan_excerpt(demo.camera.name, span.start, span.end)
    return [*plan_copies(chosen, demo.extent.seconds, seed=demo.options.seed), excerpt]


def excerpt_span(demo: Demo, truth: Label) -> Segment:
    """The seconds of the camera's film that are looked for, around its first event. truth: of the film"""
    first = truth.segments[0].segment
    assert first is not None, "the plan tells seconds"
    start = round(max(0.0, min(first.start - 1, demo.extent.camera - EXCERPT)), 2)
    return Segment(start, start + EXCERPT)


def pairs_csv(pairs: Sequence[tuple[str, str]]) -> str:
    """Lines of query and video."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("query", "video"), *pairs])
    return text.getvalue()


def _row(kind: str, labels: Sequence[Label], videos: Path) -> tuple[str, list[NDArray[np.uint8]]]:
    """Stills of the first test video of a class."""
    label = next(label for label in labels if label.classes == (kind,) and label.split == "test")
    event = label.segments[0].segment if label.segments else None
    path = videos / label.video_id
    with open_video(path) as reader:
        span = event or Segment(0.0, reader.info.duration)
    return kind, [still(path, span.start + share * span.duration) for share in MOMENTS]


def still(path: Path, seconds: float) -> NDArray[np.uint8]:
    """[H, W, 3] the frame shown at a time."""
    with open_video(path) as reader:
        return reader.read_from(seconds, 1).frames[0]


def extract_all(demo: Demo) -> Step:
    """Features of the collection and the camera's film."""
    recipe = make_recipe(demo.workspace.settings, RecipeChanges())
    load = encoder_loader("mini", recipe.precision, "auto")
    report = extract([demo.videos, demo.camera], open_cache(demo.workspace), recipe, load, None, demo.progress)
    return Step("Extract", ("vidlang extract videos camera.mp4",), tuple(report.lines()))
