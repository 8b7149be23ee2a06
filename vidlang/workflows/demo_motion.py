"""The demo's fourth road: what moves in the camera's film, how much of an event it is, and that film elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.core import Label, Scores, Segment
from vidlang.demo.scenes import EVENTS, plan_video
from vidlang.demo.truth import event_frames, event_pixels
from vidlang.methods.fame.options import MaskOptions
from vidlang.metrics.anomaly import frame_auc
from vidlang.report.demo_page import stills_png
from vidlang.video.motion import MotionCurve
from vidlang.workflows.demo_anomaly import COLUMNS
from vidlang.workflows.demo_baselines import anomaly_metrics, anomaly_rows
from vidlang.workflows.demo_folder import NAME, Demo, Step, Table
from vidlang.workflows.demo_world import PLACES, camera_plan, still
from vidlang.workflows.diff import DiffOptions, diff, terminal_sparkline
from vidlang.workflows.fame_mask import MaskVideoOptions, mask_videos
from vidlang.workflows.fame_merge import MergeOptions, merge_videos
from vidlang.workflows.score import ScoreOptions, score

Mask = NDArray[np.bool_]

EVERY = 4
"""Of the frames of an event, those whose true pixels are looked at."""


def energy(demo: Demo) -> Step:
    """How much moves inside each true event, against the rest of the film."""
    folder = demo.results("diff")
    report = diff([demo.camera], demo.workspace, DiffOptions(out=folder), demo.progress)
    curve = report.videos[0].curve
    events = [(event.label, event.segment) for event in demo.camera_truth().segments if event.segment is not None]
    inside = {label: _inside(curve, [segment]) for label, segment in events}
    any_event = np.any([*inside.values()], axis=0)
    outside = float(curve.energy[~any_event].mean())
    rows: list[list[object]] = []
    for label, rows_of in [*inside.items(), ("all events", any_event)]:
        here = curve.energy[rows_of]
        mean = float(here.mean()) if len(here) else None
        auc = frame_auc(np.r_[np.ones(len(here)), np.zeros((~any_event).sum())], np.r_[here, curve.energy[~any_event]])
        rows.append([label, mean, outside, mean / outside if mean is not None and outside else None, auc])
    rows.append(["chance", None, None, 1.0, 0.5])
    return Step(
        "Motion energy",
        ("vidlang diff camera.mp4 -o results/diff",),
        (
            report.describe(),
            f"motion  {terminal_sparkline(curve)}",
            "AUC: of its snippets against those of no event. Ordinary life has fast things too.",
        ),
        (
            Table.of(
                "motion in grey levels", ("event", "inside", "outside all events", "ratio", "AUC of snippets"), rows
            ),
        ),
        (demo.picture(folder / "camera.mp4.png", "Where the camera's film moves, and its motion over time"),),
    )


def _inside(curve: MotionCurve, segments: Sequence[Segment]) -> Mask:
    """[T] snippets whose middle lies in one of the segments."""
    middle = curve.seconds.mean(axis=1)
    return np.any([(middle >= s.start) & (middle < s.end) for s in segments], axis=0)


def masks(demo: Demo) -> Step:
    """The share of each event's true pixels that the mask covers; as much as its area would be chance."""
    folders = {"fame": demo.results("mask"), "seed": demo.results("mask-seed")}
    found: dict[str, tuple[NDArray[np.int64], Mask]] = {}
    for method, folder in folders.items():
        kinds = ("npz", "png") if method == "fame" else ("npz",)
        options = MaskVideoOptions(masks=MaskOptions(method=method), kinds=kinds, out=folder)  # type: ignore[arg-type]
        mask_videos([demo.camera], demo.workspace, options, demo.progress)
        with np.load(folder / "camera.mp4.npz") as arrays:
            found[method] = arrays["frames"], arrays["masks"]
    rows = _covered_rows(demo, found)
    return Step(
        "Motion mask",
        (
            "vidlang fame mask camera.mp4 --write npz,png -o results/mask",
            "vidlang fame mask camera.mp4 --method seed --write npz -o results/mask-seed",
        ),
        (
            "True pixels are those that the film shows otherwise than the same film without events. People who walk by "
            "move too, so no mask can be of the event alone.",
        ),
        (
            Table.of(
                "share of an event's pixels that the mask covers", ("mask by", *EVENTS, "all events", "area"), rows
            ),
        ),
        (demo.picture(folders["fame"] / "camera.mp4.png", "Windows of the film that move most, and their masks"),),
    )


def _covered_rows(demo: Demo, found: Mapping[str, tuple[NDArray[np.int64], Mask]]) -> list[list[object]]:
    """For each method the share of true pixels it covers, event by event, and the area of its masks there."""
    plan = camera_plan(demo)
    hits = {method: dict.fromkeys(EVENTS, 0) for method in found}
    true, areas = dict.fromkeys(EVENTS, 0), {method: [0.0] for method in found}
    for event in plan.events:
        for index, pixels in zip(event_frames(plan, event, EVERY), event_pixels(plan, event, EVERY), strict=True):
            true[event.kind] += int(pixels.sum())
            for method, (frames, shown) in found.items():
                mask = shown[int(np.searchsorted(frames[:, 1], index, side="right"))]
                hits[method][event.kind] += int((mask & pixels).sum())
                areas[method].append(float(mask.mean()))
    titles = {"fame": "fame", "seed": "motion energy (seed)"}
    rows: list[list[object]] = []
    for method in found:
        shares = [hits[method][kind] / true[kind] if true[kind] else None for kind in EVENTS]
        area = float(np.mean(areas[method][1:]))
        rows.append([titles[method], *shares, sum(hits[method].values()) / max(sum(true.values()), 1), area])
    rows.append(["chance (its area)", *[rows[0][-1]] * (len(EVENTS) + 2)])
    return rows


def merged(demo: Demo) -> Step:
    """What moves in the film over another place, and whether the scores notice."""
    background, target = _elsewhere(demo), demo.results("merged.mp4")
    report = merge_videos(
        demo.camera, demo.videos / background, demo.workspace, MergeOptions(out=target), demo.progress
    )
    truth = demo.camera_truth()
    before = _scored(demo, demo.camera, "score-camera")
    after = _scored(demo, target, "score-merged")
    moved = Label(target.name, truth.classes, truth.segments, timed=True)
    rows = [
        ("VadCLIP, the film", *anomaly_metrics([before], [truth])),
        ("VadCLIP, its motion elsewhere", *anomaly_metrics([after], [moved])),
        *((f"{name}, elsewhere", *values) for name, *values in anomaly_rows([after], [moved], {target.name: target})),
    ]
    summary = report.summary
    return Step(
        "Merge with another background",
        (
            f"vidlang fame merge camera.mp4 '{Path('videos') / background}' -o results/merged.mp4",
            f"vidlang score results/merged.mp4 --checkpoint {NAME} --no-plot --out results/score-merged",
        ),
        (
            f"camera.mp4 over {background}: {len(summary.windows) - summary.num_still} of {len(summary.windows)} "
            f"windows merged; motion {summary.energy:.2f} grey levels, area {summary.area:.0%}",
            *report.notes,
        ),
        (Table.of("scores of the same events in two places", COLUMNS, rows),),
        (
            demo.picture(
                demo.results("merged.png"),
                "The film, the other place, and both merged",
                _sheet(demo, target, background),
            ),
        ),
    )


def _elsewhere(demo: Demo) -> str:
    """The last normal test video of another place than the film's."""
    here = camera_plan(demo).place
    normal = [label.video_id for label in demo.labels("test") if label.classes == ("normal",)]
    places = {
        video_id: plan_video(
            "normal", seed=1000 * demo.options.seed + int(Path(video_id).stem[-3:]), places=PLACES
        ).place
        for video_id in normal
    }
    return next((video_id for video_id in reversed(normal) if places[video_id] != here), normal[-1])


def _scored(demo: Demo, path: Path, name: str) -> Scores:
    options = ScoreOptions(plot=False, out=demo.results(name), checkpoint=NAME)
    return score([path], demo.workspace, options, progress=demo.progress).scores[0]


def _sheet(demo: Demo, target: Path, background: str) -> bytes:
    """Stills half way through each event."""
    rows = []
    for event in demo.camera_truth().segments:
        assert event.segment is not None, "the plan tells seconds"
        moment = (event.segment.start + event.segment.end) / 2
        behind = still(demo.videos / background, moment % demo.extent.seconds)
        rows.append((event.label, [still(demo.camera, moment), behind, still(target, moment)]))
    return stills_png(rows, ("film", "other place", "merged"))
