"""Measured anomaly scores as tables and pictures: curves, bars, confusion, and the videos that were judged worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidlang.core import Label, Scores
from vidlang.core.digits import share
from vidlang.metrics.anomaly import JudgedFrames, VideoPeaks, frame_auc, judged_frames
from vidlang.metrics.anomaly import average_precision as frame_ap
from vidlang.metrics.curves import base_rate, class_of_video, confusion, precision_recall_points, roc_points
from vidlang.report.evaluation_page import Evaluation, Moment, VideoSection, WorstTable, named_videos
from vidlang.report.evaluation_plots import Bars, Line, Lines, Matrix, Panel
from vidlang.report.web import PageTable
from vidlang.workflows.chosen import picture_path
from vidlang.workflows.page_parts import made_by_facts

THRESHOLD = 0.5
"""From which a score is an alarm where the results do not say it."""
WORST = 10
"""Rows of a table of worst videos."""
ENDS = np.array([0.0, 1.0])
CHANCE = Line("chance, AUC 0.500", ENDS, ENDS)


def anomaly_view(
    scores: Sequence[Scores],
    labels: Sequence[Label],
    metrics: Mapping[str, Mapping[str, float]],
    *,
    branches: Sequence[str | None],
    facts: Sequence[tuple[str, object]],
    notes: Sequence[str],
    folder: Path,
    normal: str | None = None,
    allow_missing: bool = False,
) -> Evaluation:
    """What is shown of anomaly scores; curves are of the same frames as the metrics.

    metrics: branch title → metric → value    branches: in the order of ``metrics``
    folder: of the results, where the pictures of the videos are    normal, allow_missing: as measured
    """
    judged = {
        title: judged_frames(scores, labels, normal=normal, branch=branch, allow_missing=allow_missing)
        for title, branch in zip(metrics, branches, strict=True)
    }
    main = next(iter(judged))
    made_by = dict(scores[0].made_by)
    threshold = float(made_by.get("threshold", THRESHOLD))
    panels = [
        *_curves(judged, metrics),
        *_class_bars(metrics[main], judged[main], main),
        *_detection_lines(metrics),
        *_confusion(scores, judged[main], threshold),
    ]
    by_id = {item.video.id: item for item in scores}
    worst = _worst(judged[main].videos, by_id, threshold)
    return Evaluation(
        title="Anomaly scores, measured",
        facts=(*facts, *made_by_facts(made_by, with_note=False)),
        tables=(_table(metrics),),
        panels=tuple(panels),
        worst=worst,
        videos=tuple(_sections(named_videos(worst), judged[main].videos, by_id, folder)),
        notes=tuple(notes),
    )


def _table(metrics: Mapping[str, Mapping[str, float]]) -> PageTable:
    names = list(dict.fromkeys(name for values in metrics.values() for name in values))
    rows = tuple((name, *(values.get(name) for values in metrics.values())) for name in names)
    return PageTable("Metrics, fractions of 1", ("metric", *metrics), rows)


def _curves(judged: Mapping[str, JudgedFrames], metrics: Mapping[str, Mapping[str, float]]) -> list[Panel]:
    """ROC and precision-recall over frames; over whole videos where no times of events are known."""
    first = next(iter(judged.values()))
    what = "frames"
    arrays: dict[str, tuple[Any, Any, Any]] = {
        title: (frames.truth, frames.scores, frames.weights) for title, frames in judged.items()
    }
    if not len(first.truth):
        what = "videos"
        arrays = {title: (*_of_videos(frames.videos), None) for title, frames in judged.items()}
    truth, _, weights = next(iter(arrays.values()))
    if not len(truth) or np.all(truth) or not np.any(truth):
        return []
    roc, precision = [], []
    for title, parts in arrays.items():
        points, area = roc_points(*parts), frame_auc(*parts)
        roc.append(Line(f"{title}, AUC {area:.3f}", points.x, points.y))
        points, area = precision_recall_points(*parts), frame_ap(*parts)
        precision.append(Line(f"{title}, AP {area:.3f}", points.x, points.y))
    rate = base_rate(truth, weights)
    base = Line(f"base rate {rate:.3f}", ENDS, np.array([rate, rate]))
    return [
        Lines("roc", f"ROC over {what}", "false positive rate", "true positive rate", tuple(roc), CHANCE),
        Lines("precision_recall", f"Precision and recall over {what}", "recall", "precision", tuple(precision), base,
              "steps"),
    ]  # fmt: skip


def _of_videos(videos: Sequence[VideoPeaks]) -> tuple[Any, Any]:
    """Whether each video is abnormal, and its highest score: [M], [M]"""
    highest = [max(peak[0] for peak in (video.inside, video.outside) if peak is not None) for video in videos]
    return np.array([video.abnormal for video in videos]), np.array(highest)


def _class_bars(values: Mapping[str, float], judged: JudgedFrames, branch: str) -> list[Panel]:
    counts = Counter(name.casefold() for video in judged.videos for name in video.classes)
    panels: list[Panel] = []
    kinds = (
        ("frame_auc", "Frame AUC by class", f"frame AUC with normal videos, {branch.partition(' ')[0]}", "all"),
        ("class_ap", "Class probabilities by class", "average precision over frames", "mean"),
        ("map_clean", "Detection by class", "average precision, mean over tIoU", "mean"),
    )
    for key, title, label, together in kinds:
        found = {name.partition("/")[2]: value for name, value in values.items() if name.startswith(f"{key}/")}
        if found:
            base = (f"{together} {values[key]:.3f}", values[key]) if key in values else None
            panels.append(
                Bars(f"{key}_by_class", title, label, tuple(found), tuple(found.values()),
                     tuple(counts[name.casefold()] for name in found), "videos", base)
            )  # fmt: skip
    return panels


def _detection_lines(metrics: Mapping[str, Mapping[str, float]]) -> list[Panel]:
    """mAP of class segments over thresholds; class probabilities do not depend on the branch."""
    values = next(iter(metrics.values()))
    lines = []
    for mode in ("clean", "reference"):
        at = {float(n.partition("@")[2]): v for n, v in values.items() if n.startswith(f"map_{mode}@")}
        if at:
            mean = values[f"map_{mode}"]
            lines.append(Line(f"{mode}, mean {mean:.3f}", np.array(list(at)), np.array(list(at.values()))))
    if not lines:
        return []
    ticks = tuple(lines[0].x.tolist())
    return [
        Lines("detection_map", "Detection mAP", "temporal IoU", "mAP over classes", tuple(lines), drawn="marked",
              x_range=(ticks[0], ticks[-1]), x_ticks=ticks)
    ]  # fmt: skip


def _confusion(scores: Sequence[Scores], judged: JudgedFrames, threshold: float) -> list[Panel]:
    """What each video was taken for; a video of several classes counts as the one that was found, else as its first."""
    by_id = {item.video.id: item for item in scores}
    names = scores[0].class_names
    if len(names) < 2 or any(item.classes is None for item in scores):
        return []
    own = {name.casefold(): name for name in names}
    true, said = [], []
    for video in judged.videos:
        item = by_id[video.video_id]
        assert item.classes is not None
        found = class_of_video(item.anomaly, item.classes, names, threshold)
        classes = [own.get(name.casefold(), name) for name in video.classes] if video.abnormal else [names[0]]
        true.append(found if found in classes else classes[0])
        said.append(found)
    rows = [name for name in names if name in true] + sorted(set(true) - set(names))
    title = f"Classes of videos, alarm from {share(threshold)}"
    return [Matrix("confusion", title, tuple(rows), tuple(names), confusion(true, said, rows, names))]


# -- worst videos ----------------------------------------------------------------------------------------------------


def _worst(
    videos: Sequence[VideoPeaks], by_id: Mapping[str, Scores], threshold: float
) -> tuple[WorstTable, WorstTable]:
    def at(video: VideoPeaks, row: int) -> Moment:
        return Moment(float(by_id[video.video_id].seconds[row, 0]))

    alarms = [(v, *v.outside) for v in videos if v.outside is not None and v.outside[0] >= threshold]
    alarms.sort(key=lambda found: -found[1])
    missed = [(v, *v.inside) for v in videos if v.abnormal and v.inside is not None and v.inside[0] < threshold]
    missed.sort(key=lambda found: found[1])
    tables = (
        ("False alarms", f"Videos that reach {share(threshold)} where nothing is anomalous, the highest first", alarms),
        ("Missed", f"Abnormal videos that stay below {share(threshold)} in their events, the lowest first", missed),
    )
    return tuple(  # type: ignore[return-value]
        WorstTable(
            title,
            f"{says}{how_many(len(found))}.",
            ("video", "class", "highest score", "at"),
            tuple((v.video_id, ", ".join(v.classes), value, at(v, row)) for v, value, row in found[:WORST]),
        )
        for title, says, found in tables
    )


def how_many(number: int) -> str:
    """How much of a table is shown, where it is not all."""
    return f"; {WORST} of {number}" if number > WORST else ""


def _sections(
    ids: Sequence[str], videos: Sequence[VideoPeaks], by_id: Mapping[str, Scores], folder: Path
) -> list[VideoSection]:
    peaks = {video.video_id: video for video in videos}
    return [_section(peaks[video_id], by_id[video_id], folder) for video_id in ids]


def _section(video: VideoPeaks, scores: Scores, folder: Path) -> VideoSection:
    picture = picture_path(folder, video.video_id)
    facts: list[tuple[str, object]] = [
        ("class", ", ".join(video.classes)),
        ("length", f"{scores.video.duration:.1f} s, {len(scores.anomaly)} snippets"),
    ]
    if video.inside is not None:
        facts.append(("highest score in its events", video.inside[0]))
    if video.outside is not None:
        facts.append(("highest score elsewhere", video.outside[0]))
    says = f"Anomaly score over time of {video.video_id}"
    return VideoSection(video.video_id, tuple(facts), picture.read_bytes() if picture.is_file() else None, says)
