"""What a method must beat: motion energy, which knows nothing of classes, and chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vidlang.core import BadInput, Detection, Label, Scores, Segment
from vidlang.core.segments import run_segment, runs
from vidlang.metrics.anomaly import measure
from vidlang.metrics.localization import LocalizationScores, evaluate
from vidlang.video.motion import motion_energy

METRICS = ("frame_auc", "frame_ap", "abnormal_auc", "video_auc")
"""The anomaly metrics that the demo shows."""
DRAWS = 50
"""Random guesses whose mean is chance, where no formula tells it."""
GREY_LEVELS = 255.0


def motion_scores(scores: Sequence[Scores], paths: Mapping[str, Path]) -> list[Scores]:
    """Motion energy as the anomaly score of the same snippets; 1 is a change of all grey levels.

    paths: where the videos lie, by id
    """
    return [
        _bare(item, motion_energy(paths[item.video.id], item.seconds) / np.float32(GREY_LEVELS), "motion energy")
        for item in scores
    ]


def constant_scores(scores: Sequence[Scores]) -> list[Scores]:
    """The same score everywhere, which is what chance is on average."""
    return [_bare(item, np.full_like(item.anomaly, 0.5), "constant") for item in scores]


def _bare(scores: Scores, anomaly: np.ndarray, method: str) -> Scores:
    return replace(
        scores, anomaly=anomaly.astype(np.float32), classes=None, class_names=(), branches={},
        made_by={"method": method},
    )  # fmt: skip


def anomaly_rows(
    scores: Sequence[Scores], labels: Sequence[Label], paths: Mapping[str, Path]
) -> list[tuple[object, ...]]:
    """A row of ``METRICS`` for motion energy, and one for chance."""
    rivals = {"motion energy": motion_scores(scores, paths), "chance (constant)": constant_scores(scores)}
    return [(name, *anomaly_metrics(found, labels)) for name, found in rivals.items()]


def anomaly_metrics(
    scores: Sequence[Scores], labels: Sequence[Label], branch: str | None = None
) -> tuple[float | None, ...]:
    """``METRICS``; None where one is not defined."""
    found = measure(scores, labels, branch=branch, per_class=False, detection=()).metrics
    return tuple(found.get(name) for name in METRICS)


def chance_precision(num_positives: int, num_videos: int) -> float:
    """The mean average precision of random rankings.

    At rank k stands a positive with the chance R / N, and then (R - 1) / (N - 1) of the k - 1 before it are others.
    """
    if not 1 <= num_positives <= num_videos:
        raise ValueError(f"expected 1 to {num_videos} positives, got {num_positives}")
    k = np.arange(1, num_videos + 1)
    others = (num_positives - 1) / max(num_videos - 1, 1)
    return float(((1 + (k - 1) * others) / k).sum() / num_videos)


def motion_peaks(scores: Sequence[Scores], paths: Mapping[str, Path], class_names: Sequence[str]) -> list[Detection]:
    """In each video the run of snippets around the strongest motion, down to half of it, as every class alike."""
    found = []
    for item in motion_scores(scores, paths):
        peak = int(item.anomaly.argmax())
        first, last = next(run for run in runs(item.anomaly >= item.anomaly[peak] / 2) if run[0] <= peak < run[1])
        segment = run_segment(item.seconds, (first, last))
        found += [Detection(item.video.id, segment, name, float(item.anomaly[peak])) for name in class_names]
    return found


def random_segments(
    durations: Mapping[str, float], class_names: Sequence[str], lengths: tuple[float, float], seed: int
) -> list[Detection]:
    """One segment of each class in each video, of random length, place and confidence.

    durations: seconds of each video    lengths: shortest and longest, seconds
    """
    random = np.random.default_rng(seed)
    found = []
    for video_id, duration in durations.items():
        for name in class_names:
            length = min(float(random.uniform(*lengths)), duration)
            start = float(random.uniform(0, duration - length))
            found.append(Detection(video_id, Segment(start, start + length), name, float(random.random())))
    return found


def localization_row(name: str, scores: Sequence[LocalizationScores], at: Sequence[float]) -> tuple[object, ...]:
    """Name, mAP at thresholds, and the mean over .1 to .7; means over several guesses."""
    columns = [
        [*(dict(zip(one.thresholds, one.mean, strict=True))[threshold] for threshold in at), one.average]
        for one in scores
    ]
    return (name, *np.mean(columns, axis=0).tolist())


def guesses(
    durations: Mapping[str, float], labels: Sequence[Label], class_names: Sequence[str], seed: int
) -> list[LocalizationScores]:
    """Scores of ``DRAWS`` random answers whose lengths lie between those of the true events."""
    lengths = [event.segment.duration for label in labels for event in label.segments if event.segment is not None]
    if not lengths:
        raise BadInput("No test video has an event with times, so there is nothing to localize.")
    span = min(lengths), max(lengths)
    return [evaluate(random_segments(durations, class_names, span, seed + draw), labels) for draw in range(DRAWS)]
