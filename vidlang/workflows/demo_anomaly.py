"""The demo's first road: VadCLIP scores anomalies, on short test videos and on the camera's film."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidlang.core import Segment
from vidlang.core.results import BRANCH_TITLES
from vidlang.report.timeline import timeline_png
from vidlang.workflows.demo_baselines import METRICS, anomaly_metrics, anomaly_rows
from vidlang.workflows.demo_folder import NAME, Demo, Picture, Step, Table
from vidlang.workflows.evaluate import branches_of, evaluate_anomaly
from vidlang.workflows.runs import runs_folder
from vidlang.workflows.score import ScoreOptions, describe, score, terminal_sparkline
from vidlang.workflows.train_vadclip import TrainOptions, train_vadclip

COLUMNS = ("scores by", *(name.replace("_", " ") for name in METRICS))


def train_anomaly(demo: Demo) -> Step:
    """From the class of each training video; times are not read."""
    changes = dict(demo.extent.vadclip)
    options = TrainOptions(
        manifest=demo.manifest, changes=changes | {"seed": demo.options.seed}, name=NAME,
        resume=demo.goes_on("vadclip"),
    )  # fmt: skip
    report = train_vadclip(demo.workspace, options, progress=demo.progress)
    table = Table.of(f"measured on {report.measured_on}", ("metric", *report.columns), report.rows())
    flags = options_text({**changes, "seed": demo.options.seed})
    return Step(
        "Train VadCLIP",
        (f"vidlang train vadclip --manifest labels.csv --name {NAME}{flags}",),
        (*report.summary, *report.notes),
        (table,),
        (curves_of(demo, "vadclip"),),
    )


def score_tests(demo: Demo) -> Step:
    """Anomaly scores of the test videos against their times."""
    folder = demo.results("score")
    options = ScoreOptions(manifest=demo.manifest, split="test", plot=False, out=folder, checkpoint=NAME)
    report = score([demo.videos], demo.workspace, options, progress=demo.progress)
    judged = evaluate_anomaly(demo.workspace, folder, manifest=demo.manifest, split="test")
    rows: list[tuple[object, ...]] = [
        (f"VadCLIP, {branch}", *(metrics.get(name) for name in METRICS)) for branch, metrics in judged.metrics.items()
    ]
    paths = {item.video.id: demo.videos / item.video.id for item in report.scores}
    rows += anomaly_rows(report.scores, demo.labels("test"), paths)
    return Step(
        "Score anomalies",
        (
            f"vidlang score videos --manifest labels.csv --split test --checkpoint {NAME} --no-plot "
            "--out results/score",
            "vidlang eval anomaly results/score --manifest labels.csv --split test",
        ),
        (f"{judged.num_videos} test videos. frame auc: over all frames; abnormal auc: within videos with an event.",),
        (Table.of("anomaly scores against true times", COLUMNS, rows),),
    )


def score_film(demo: Demo) -> Step:
    """A long untrimmed film with every kind of event."""
    folder = demo.results("score-camera")
    options = ScoreOptions(plot=False, out=folder, checkpoint=NAME)
    report = score([demo.camera], demo.workspace, options, progress=demo.progress)
    scores, events, truth = report.scores[0], report.events[0], demo.camera_truth()
    true = [event.segment for event in truth.segments if event.segment is not None]
    rows: list[tuple[object, ...]] = [
        (f"VadCLIP, {BRANCH_TITLES.get(branch or '', 'score')}", *anomaly_metrics([scores], [truth], branch))
        for branch in branches_of([scores])
    ]
    rows += anomaly_rows([scores], [truth], {scores.video.id: demo.camera})
    picture = timeline_png(scores, events=events, truth=true, threshold=report.threshold)
    return Step(
        "Score the camera's film",
        (f"vidlang score camera.mp4 --checkpoint {NAME} --no-plot --out results/score-camera",),
        (
            *describe(report).splitlines(),
            f"scores  {terminal_sparkline(scores.anomaly)}",
            f"truth   {terminal_sparkline(_truth_curve(scores.seconds, true))}",
            *(f"true   {_span(e.segment)}  {e.label}" for e in truth.segments if e.segment is not None),
            *(f"found  {_span(event.segment)}  {event.label}  {event.score:.2f}" for event in events),
        ),
        (Table.of("anomaly scores of the film against true times", COLUMNS, rows),),
        (
            demo.picture(
                folder / "timeline.png", "Anomaly scores of the camera's film, found events and true ones", picture
            ),
        ),
    )


def curves_of(demo: Demo, method: str) -> Picture:
    """The picture that every training draws."""
    path = runs_folder(demo.workspace, method) / NAME / "curves.png"
    return demo.picture(path, f"Losses and metrics of the training of {method}, epoch by epoch")


def options_text(changes: dict[str, object]) -> str:
    """Changes of a config as a user types them."""
    return "".join(f" --{name.replace('_', '-')} {value}" for name, value in changes.items())


def _span(segment: Segment) -> str:
    return f"{segment.start:5.1f} - {segment.end:5.1f} s"


def _truth_curve(seconds: NDArray[np.float64], truth: Sequence[Segment]) -> NDArray[np.float32]:
    """1 for rows whose middle lies in a true event."""
    middle = seconds.mean(axis=1)
    return np.array([float(any(s.start <= time < s.end for s in truth)) for time in middle], dtype=np.float32)
