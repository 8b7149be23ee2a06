"""How well actions are found in time.

Conventions
    A prediction is a `Detection` (video, segment in seconds, class, score), the truth one `Label` per video. tIoU is
    the intersection over union of two segments. All figures are fractions of 1.

Average precision of a class at a tIoU threshold, over all videos together
    Predictions are taken by falling score; equal scores keep the order of the input. A prediction takes the true
    instance of its video and class with the highest tIoU among those that are still free, if that reaches the
    threshold (equal is enough); instances with equal tIoU are taken in the order of the truth. Everything else is
    false, also a second detection of an instance and a prediction in a video without the class.
    ``interp``  each precision is the highest at that rank or later, then the mean over the instances (all-point
                interpolation of VOC 2011): what ActivityNet's evaluator reports
    ``hits``    the mean over the instances of the precision at the rank where each is found, 0 if it is not: what
                evaluations of THUMOS14 report that do not interpolate
    mAP is the mean over the classes that occur in the truth. A class without a prediction counts 0. A prediction with
    a label that the truth does not have is left out and counted.

Protocols
    ``thumos14``     seconds; tIoU 0.1 to 0.7 by 0.1; averages over 0.1 to 0.5, 0.1 to 0.7 and 0.3 to 0.7
    ``activitynet``  seconds; tIoU 0.5 to 0.95 by 0.05; average over all of them
    ``snippets``     as thumos14 on the grid of I3D snippets (25 frames a second, 16 a snippet): all times are rounded
                     to snippets, half to even, and a prediction that shares a snippet with an ambiguous segment of its
                     video is left out
    Figures of different protocols do not compare; each result names its own.

Frame labels
    ``frame_iou`` compares labels per row with the truth, foreground and background apart: the quality of pseudo-labels.

References
    Caba Heilbron et al.: ActivityNet, CVPR 2015; activitynet/ActivityNet at 82304fa, eval_detection.
    Paul, Roy, Roy-Chowdhury: W-TALC, ECCV 2018 (ambiguous segments, the grid of snippets, video classification mAP).
Differs: the published sort leaves the order of equal scores open. The published evaluator of ActivityNet stops at an
unknown label. Published results in snippets lie on the grid already; here seconds are rounded as the truth is. W-TALC's
uninterpolated evaluation takes the first free instance that reaches the threshold, here it is the best one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidlang.core.errors import BadInput
from vidlang.core.labels import Label
from vidlang.core.results import Detection
from vidlang.core.segments import Segment
from vidlang.metrics import retrieval

__all__ = [
    "ACTIVITYNET",
    "THUMOS14",
    "ClassRanking",
    "ClassificationScores",
    "FoundInstance",
    "FrameIou",
    "LocalizationScores",
    "average_precision",
    "class_average_precisions",
    "class_rankings",
    "evaluate",
    "found_instances",
    "frame_iou",
    "in_ambiguous",
    "mean_frame_iou",
    "temporal_iou",
    "to_snippets",
    "true_rows",
    "video_classification",
]

Protocol = Literal["thumos14", "activitynet", "snippets"]
Area = Literal["interp", "hits"]
Outside = Literal["wrong", "drop"]
Undecided = Literal["drop", "wrong"]

# Decimal numbers as written: sums of 0.1 miss them, and a tIoU of exactly 0.3 falls short of 0.30000000000000004.
THUMOS14 = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
ACTIVITYNET = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
THRESHOLDS: Mapping[str, tuple[float, ...]] = {
    "thumos14": THUMOS14,
    "activitynet": ACTIVITYNET,
    "snippets": THUMOS14,
}
AVERAGES: Mapping[str, tuple[float, ...]] = {
    "0.1:0.5": THUMOS14[:5],
    "0.1:0.7": THUMOS14,
    "0.3:0.7": THUMOS14[2:],
    "0.5:0.95": ACTIVITYNET,
}
"""Name → the thresholds whose mAP is averaged."""
SNIPPETS_PER_SECOND = 25 / 16


# -- one class -------------------------------------------------------------------------------------------------------


def temporal_iou(predicted: ArrayLike, true: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every pair; 0 where both are empty.

    predicted: [N, 2]    true: [M, 2], starts and ends on one ruler    returns: [N, M]
    """
    one = np.asarray(predicted, dtype=np.float64).reshape(-1, 1, 2)
    other = np.asarray(true, dtype=np.float64).reshape(1, -1, 2)
    shared = np.clip(np.minimum(one[..., 1], other[..., 1]) - np.maximum(one[..., 0], other[..., 0]), 0, None)
    union = (one[..., 1] - one[..., 0]) + (other[..., 1] - other[..., 0]) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def average_precision(hits: ArrayLike, num_true: int, area: Area = "interp") -> float:
    """Average precision of one ranking.

    hits: [N] bool, by falling score    num_true: instances of the truth, found or not

    Raises:
        ValueError: more hits than instances, or no instance.
    """
    found = np.asarray(hits, dtype=bool)
    if found.ndim != 1 or num_true < 1 or found.sum() > num_true:
        raise ValueError(f"{int(found.sum())} hits {list(found.shape)} of {num_true} instances: at most one hit each")
    precision = np.cumsum(found) / np.arange(1, len(found) + 1)
    if area == "interp":
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(precision[found].sum() / num_true)


def class_average_precisions(
    videos: Sequence[str],
    segments: ArrayLike,
    scores: ArrayLike,
    truth: Mapping[str, ArrayLike],
    thresholds: Sequence[float] = THUMOS14,
    area: Area = "interp",
) -> NDArray[np.float64]:
    """Average precision of one class at each threshold.

    videos: N ids    segments: [N, 2]    scores: [N]    truth: video id → [M, 2]    returns: [I]

    Raises:
        ValueError: shapes, scores or thresholds that cannot be, or no true instance.
    """
    times = np.asarray(segments, dtype=np.float64).reshape(-1, 2)
    values = np.asarray(scores, dtype=np.float64).reshape(-1)
    _check_thresholds(thresholds)
    if not len(videos) == len(times) == len(values):
        raise ValueError(f"videos, segments and scores must be N, got {len(videos)}, {len(times)} and {len(values)}")
    if not np.isfinite(values).all() or not np.isfinite(times).all():
        raise ValueError("segments and scores must be finite")
    true = {video: np.asarray(found, dtype=np.float64).reshape(-1, 2) for video, found in truth.items()}
    num_true = sum(map(len, true.values()))
    hits = _hits(videos, times, np.argsort(-values, kind="stable"), true, thresholds)
    return np.array([average_precision(row, num_true, area) for row in hits])


def _hits(
    videos: Sequence[str],
    segments: NDArray[np.float64],
    order: NDArray[np.intp],
    truth: Mapping[str, NDArray[np.float64]],
    thresholds: Sequence[float],
) -> NDArray[np.bool_]:
    """Which predictions take an instance: [I, N] by rank.

    order: [N], the prediction of each rank
    """
    hits = np.zeros((len(thresholds), len(order)), dtype=bool)
    ranks: dict[str, list[int]] = {}
    for rank, index in enumerate(order):
        if videos[index] in truth:
            ranks.setdefault(videos[index], []).append(rank)
    lowest = min(thresholds)
    for video, at in ranks.items():
        overlaps = temporal_iou(segments[order[at]], truth[video])
        if not overlaps.size:
            continue
        best_first = np.argsort(-overlaps, axis=1, kind="stable")
        taken = np.zeros((len(thresholds), overlaps.shape[1]), dtype=bool)
        for row in np.flatnonzero(overlaps.max(axis=1) >= lowest):
            candidates = [(overlaps[row, m], m) for m in best_first[row] if overlaps[row, m] >= lowest]
            for i, threshold in enumerate(thresholds):
                free = next((m for overlap, m in candidates if overlap >= threshold and not taken[i, m]), None)
                if free is not None:
                    taken[i, free] = hits[i, at[row]] = True
    return hits


def _check_thresholds(thresholds: Sequence[float]) -> None:
    fits = all(0 < t <= 1 for t in thresholds)  # not so for NaN
    if not thresholds or not fits or len(set(thresholds)) != len(thresholds):
        raise ValueError(f"tIoU thresholds must lie in (0, 1], each once, got {list(thresholds)}")


# -- all classes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LocalizationScores:
    """mAP over I thresholds and C classes, and what took part."""

    protocol: Protocol
    area: Area
    outside: Outside
    thresholds: tuple[float, ...]
    class_names: tuple[str, ...]
    """The classes that occur in the truth, sorted."""
    per_class: tuple[tuple[float, ...], ...]
    """[I][C] average precision."""
    num_videos: int
    """Videos of the truth."""
    num_instances: tuple[int, ...]
    """[C] true instances."""
    num_predicted: tuple[int, ...]
    """[C] predictions that were judged."""
    skipped: Mapping[str, int]
    """Why predictions were left out → how many: ``unknown_label``, ``outside``, ``ambiguous``."""
    num_outside: int
    """Judged predictions in videos that the truth does not have: false ones."""
    notes: tuple[str, ...] = ()

    @property
    def mean(self) -> tuple[float, ...]:
        """[I] mAP."""
        return tuple(float(np.mean(values)) for values in self.per_class)

    @property
    def average(self) -> float:
        """Mean of the mAP over the thresholds."""
        return float(np.mean(self.mean))

    @property
    def averages(self) -> dict[str, float]:
        """Means over the usual ranges of thresholds, as far as those were measured: ``0.3:0.7`` → …"""
        at = dict(zip(self.thresholds, self.mean, strict=True))
        return {
            name: float(np.mean([at[threshold] for threshold in wanted]))
            for name, wanted in AVERAGES.items()
            if at.keys() >= set(wanted)
        }


def evaluate(
    predictions: Iterable[Detection],
    truth: Iterable[Label],
    *,
    protocol: Protocol = "thumos14",
    thresholds: Sequence[float] | None = None,
    area: Area = "interp",
    ambiguous: Iterable[Label] = (),
    outside: Outside = "wrong",
) -> LocalizationScores:
    """mAP of predicted segments, by the rules of the module's docstring.

    truth: the videos to judge, with their segments in seconds    thresholds: None takes those of the protocol
    ambiguous: segments where annotators did not agree; only ``snippets`` uses them
    outside: predictions in videos that the truth does not have are ``wrong``, as published evaluators count, or left
        out (``drop``)

    Raises:
        BadInput: the truth has no segment, one in frames, or a video twice.
        ValueError: unknown protocol or area, thresholds outside (0, 1], or a score that is not finite.
    """
    for name, value, choices in (("protocol", protocol, Protocol), ("area", area, Area), ("outside", outside, Outside)):
        if value not in get_args(choices):
            raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}")
    asked = tuple(THRESHOLDS[protocol] if thresholds is None else thresholds)
    _check_thresholds(asked)
    labels, given = list(truth), list(predictions)
    if not all(math.isfinite(prediction.score) for prediction in given):
        raise ValueError("scores must be finite")
    instances = _instances(labels)
    kept, skipped = _judged(given, labels, instances, protocol, list(ambiguous), outside)
    names = tuple(sorted(instances))
    by_class: dict[str, list[Detection]] = {name: [] for name in names}
    for prediction in kept:
        by_class[prediction.label].append(prediction)
    table = np.stack([_of_class(by_class[name], instances[name], asked, area, protocol) for name in names], axis=1)
    known = {label.video_id for label in labels}
    num_outside = sum(prediction.video_id not in known for prediction in kept)
    return LocalizationScores(
        protocol,
        area,
        outside,
        asked,
        names,
        tuple(tuple(map(float, row)) for row in table),
        len(labels),
        tuple(sum(map(len, instances[name].values())) for name in names),
        tuple(len(by_class[name]) for name in names),
        {reason: len(found) for reason, found in skipped.items()},
        num_outside,
        tuple(_notes(labels, given, by_class, skipped, num_outside)),
    )


Instances = dict[str, dict[str, list[tuple[float, float]]]]
"""Class → video id → true segments."""


def _instances(labels: Sequence[Label]) -> Instances:
    found: Instances = {}
    seen: set[str] = set()
    for label in labels:
        if label.video_id in seen:
            raise BadInput(f"{label.video_id} is listed twice in the truth: keep one entry per video.")
        seen.add(label.video_id)
        for event in label.segments:
            if event.segment is None:
                raise BadInput(
                    f"The segments of {label.video_id} are in frames, predictions are in seconds: give start and end "
                    "in seconds."
                )
            times = event.segment.start, event.segment.end
            found.setdefault(event.label, {}).setdefault(label.video_id, []).append(times)
    if not found:
        raise BadInput("The truth has no segment with start and end: there is nothing to find.")
    return found


def _judged(
    given: Sequence[Detection],
    labels: Sequence[Label],
    instances: Instances,
    protocol: Protocol,
    ambiguous: Sequence[Label],
    outside: Outside,
) -> tuple[list[Detection], dict[str, list[Detection]]]:
    """Predictions to judge, and those left out by reason."""
    skipped: dict[str, list[Detection]] = {"unknown_label": [], "outside": [], "ambiguous": []}
    known = {label.video_id for label in labels}
    touching = in_ambiguous(given, ambiguous) if protocol == "snippets" else np.zeros(len(given), dtype=bool)
    kept = []
    for prediction, touches in zip(given, touching, strict=True):
        if prediction.label not in instances:
            skipped["unknown_label"].append(prediction)
        elif outside == "drop" and prediction.video_id not in known:
            skipped["outside"].append(prediction)
        elif touches:
            skipped["ambiguous"].append(prediction)
        else:
            kept.append(prediction)
    return kept, skipped


def _of_class(
    predictions: Sequence[Detection],
    true: Mapping[str, Sequence[tuple[float, float]]],
    thresholds: Sequence[float],
    area: Area,
    protocol: Protocol,
) -> NDArray[np.float64]:
    """[I]"""
    videos, segments, scores, truth = _arrays(predictions, true, protocol)
    return class_average_precisions(videos, segments, scores, truth, thresholds, area)


def _arrays(
    predictions: Sequence[Detection], true: Mapping[str, Sequence[tuple[float, float]]], protocol: Protocol
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Predictions and instances of one class on the ruler of the protocol: videos, segments, scores, truth."""
    segments = np.array([(p.segment.start, p.segment.end) for p in predictions], dtype=np.float64).reshape(-1, 2)
    truth = {video: np.array(found, dtype=np.float64) for video, found in true.items()}
    if protocol == "snippets":
        segments, truth = to_snippets(segments), {video: to_snippets(found) for video, found in truth.items()}
    return [p.video_id for p in predictions], segments, np.array([p.score for p in predictions]), truth


@dataclass(frozen=True, eq=False)
class ClassRanking:
    """The judged predictions of one class by falling score, at one threshold."""

    predictions: tuple[Detection, ...]
    hits: NDArray[np.bool_]
    """[N] which take an instance."""
    num_true: int


def class_rankings(
    predictions: Iterable[Detection],
    truth: Iterable[Label],
    threshold: float,
    *,
    protocol: Protocol = "thumos14",
    ambiguous: Iterable[Label] = (),
    outside: Outside = "wrong",
) -> dict[str, ClassRanking]:
    """What `evaluate` ranks, class by class, for curves over it. Options and errors are those of `evaluate`."""
    labels = list(truth)
    instances = _instances(labels)
    kept, _ = _judged(list(predictions), labels, instances, protocol, list(ambiguous), outside)
    found = {}
    for name in sorted(instances):
        own = [prediction for prediction in kept if prediction.label == name]
        videos, segments, scores, true = _arrays(own, instances[name], protocol)
        order = np.argsort(-scores, kind="stable")
        hits = _hits(videos, segments, order, true, [threshold])[0]
        found[name] = ClassRanking(tuple(own[place] for place in order), hits, sum(map(len, true.values())))
    return found


@dataclass(frozen=True)
class FoundInstance:
    """A true segment, and the strongest prediction of any class that reaches the threshold on it."""

    video_id: str
    label: str
    segment: Segment
    best: Detection | None


def found_instances(predictions: Iterable[Detection], truth: Iterable[Label], threshold: float) -> list[FoundInstance]:
    """What each true segment was taken for; unlike in average precision, one prediction may stand for several.

    truth: segments in seconds
    """
    by_video: dict[str, list[Detection]] = {}
    for prediction in predictions:
        by_video.setdefault(prediction.video_id, []).append(prediction)
    found = []
    for label in truth:
        given = by_video.get(label.video_id, [])
        segments = np.array([(p.segment.start, p.segment.end) for p in given], dtype=np.float64).reshape(-1, 2)
        for event in label.segments:
            if event.segment is None:
                continue
            overlaps = temporal_iou(segments, [(event.segment.start, event.segment.end)])[:, 0]
            fitting = [p for p, overlap in zip(given, overlaps, strict=True) if overlap >= threshold]
            best = max(fitting, key=lambda p: p.score, default=None)
            found.append(FoundInstance(label.video_id, event.label, event.segment, best))
    return found


def _notes(
    labels: Sequence[Label],
    given: Sequence[Detection],
    by_class: Mapping[str, Sequence[Detection]],
    skipped: Mapping[str, Sequence[Detection]],
    num_outside: int,
) -> list[str]:
    notes = []
    if unknown := Counter(prediction.label for prediction in skipped["unknown_label"]):
        notes.append(
            f"{_count(unknown.total(), 'prediction')} with a label that the truth does not have left out: "
            + _some(unknown)
        )
    if num_outside:
        notes.append(f"{_count(num_outside, 'prediction')} in videos outside the truth counted as wrong")
    if skipped["outside"]:
        notes.append(f"{_count(len(skipped['outside']), 'prediction')} in videos outside the truth left out")
    if skipped["ambiguous"]:
        notes.append(f"{_count(len(skipped['ambiguous']), 'prediction')} in ambiguous segments left out")
    if silent := [name for name, found in by_class.items() if not found]:
        notes.append(f"{_count(len(silent), 'class')} without a prediction counted as 0: {_some(silent)}")
    predicted = {prediction.video_id for prediction in given}
    if missing := [label.video_id for label in labels if label.segments and label.video_id not in predicted]:
        notes.append(f"{_count(len(missing), 'video')} of the truth without a prediction: {_some(missing)}")
    untimed = [
        label.video_id
        for label in labels
        if set(label.classes) & by_class.keys() - {event.label for event in label.segments}
    ]
    if untimed:
        notes.append(
            f"{_count(len(untimed), 'video')} with a class but not its times, so that what is predicted there is "
            f"wrong: {_some(untimed)}"
        )
    return notes


def _count(number: int, noun: str) -> str:
    plural = {"class": "classes"}.get(noun, f"{noun}s")
    return f"{number} {noun if number == 1 else plural}"


def _some(names: Iterable[str], most: int = 3) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (", …" if len(listed) > most else "")


# -- the grid of snippets --------------------------------------------------------------------------------------------


def to_snippets(seconds: ArrayLike) -> NDArray[np.float64]:
    """Seconds as whole I3D snippets, half to even: 0.64 s is 1, 0.96 s (1.5) is 2, 1.6 s (2.5) is 2."""
    return np.rint(np.asarray(seconds, dtype=np.float64) * SNIPPETS_PER_SECOND)


def in_ambiguous(predictions: Sequence[Detection], ambiguous: Iterable[Label]) -> NDArray[np.bool_]:
    """Which predictions share a snippet with an ambiguous segment of their video: [N]."""
    by_video: dict[str, list[tuple[float, float]]] = {}
    for label in ambiguous:
        for event in label.segments:
            if event.segment is None:
                raise BadInput(f"The ambiguous segments of {label.video_id} are in frames: give them in seconds.")
            by_video.setdefault(label.video_id, []).append((event.segment.start, event.segment.end))
    unclear = {video: to_snippets(found) for video, found in by_video.items()}
    return np.array([p.video_id in unclear and _shares(p, unclear[p.video_id]) for p in predictions], dtype=bool)


def _shares(prediction: Detection, ranges: NDArray[np.float64]) -> bool:
    first, last = to_snippets((prediction.segment.start, prediction.segment.end))
    return bool((np.minimum(last, ranges[:, 1]) > np.maximum(first, ranges[:, 0])).any())


# -- videos ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassificationScores:
    """Average precision of video-level scores."""

    per_class: tuple[float | None, ...]
    """[C]; None where no video has the class."""

    @property
    def mean(self) -> float:
        """Over the classes that some video has."""
        return float(np.mean([value for value in self.per_class if value is not None]))


def video_classification(scores: ArrayLike, truth: ArrayLike) -> ClassificationScores:
    """Average precision of each class over videos, not interpolated; equal scores keep the order of the videos.

    scores: [N, C]    truth: [N, C] bool

    Raises:
        ValueError: shapes differ, a score is not finite, or no video has any class.
    """
    values, true = np.asarray(scores, dtype=np.float64), np.asarray(truth)
    if (
        values.ndim != 2
        or values.shape != true.shape
        or not np.isfinite(values).all()
        or not np.isin(true, (0, 1)).all()
    ):
        raise ValueError(f"scores and truth must be [N, C], finite, got {list(values.shape)} and {list(true.shape)}")
    if not true.any():
        raise ValueError("no video has any class")
    per_class = []
    for column, present in zip(values.T, true.T.astype(bool), strict=True):
        ranks = np.flatnonzero(present[np.argsort(-column, kind="stable")]) + 1
        per_class.append(retrieval.average_precision(ranks, len(ranks)) if len(ranks) else None)
    return ClassificationScores(tuple(per_class))


# -- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FrameIou:
    """IoU of sets of rows; NaN where neither side has a row."""

    foreground: float
    """Mean over the classes that occur on either side."""
    background: float


def true_rows(label: Label, seconds: NDArray[np.float64], class_names: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows show which class: those whose middle lies in a true segment.

    seconds: [T, 2]    returns: [T, C]; segments of other classes are nowhere
    """
    middles = np.asarray(seconds, dtype=np.float64).reshape(-1, 2).mean(axis=1)
    rows = np.zeros((len(middles), len(class_names)), dtype=bool)
    column = {name: index for index, name in enumerate(class_names)}
    for event in label.segments:
        if event.segment is None:
            raise BadInput(f"The segments of {label.video_id} are in frames: give them in seconds.")
        if event.label in column:
            rows[:, column[event.label]] |= (middles >= event.segment.start) & (middles < event.segment.end)
    return rows


def frame_iou(labels: ArrayLike, truth: ArrayLike, undecided: Undecided = "drop") -> FrameIou:
    """How well labels per row agree with the truth of one video.

    labels: [T, C], 1 shows the class, 0 does not, -1 undecided    truth: [T, C] 0 or 1    padding is cut off before
    undecided: ``drop`` takes what the labels leave open out of the truth, ``wrong`` leaves it in, so that it counts as
        missed. Open is an entry of -1 for its class, and for the background a row with -1 and without 1.

    Foreground of a class are its rows of 1, background are the rows of only 0.

    Raises:
        ValueError: shapes or values that cannot be.
    Source: Ju et al., CVPR 2023, quality of pseudo-labels; the treatment of undecided rows is not stated there.
    """
    given, true = np.asarray(labels), np.asarray(truth)
    if given.ndim != 2 or given.shape != true.shape:
        raise ValueError(
            f"labels and truth must be [T, C] of one shape, got {list(given.shape)} and {list(true.shape)}"
        )
    if not np.isin(given, (-1, 0, 1)).all() or not np.isin(true, (0, 1)).all():
        raise ValueError("labels must be -1, 0 or 1, and truth 0 or 1")
    if undecided not in get_args(Undecided):
        raise ValueError(f"undecided must be 'drop' or 'wrong', got {undecided!r}")
    found, present = given == 1, true == 1
    empty, nothing = (given == 0).all(axis=1), ~present.any(axis=1)
    if undecided == "drop":
        nothing = nothing & ~((given == -1).any(axis=1) & ~found.any(axis=1))
        present = present & (given != -1)
    per_class = [_set_iou(one, other) for one, other in zip(found.T, present.T, strict=True)]
    return FrameIou(_mean(per_class), _set_iou(empty, nothing))


def mean_frame_iou(videos: Iterable[FrameIou]) -> FrameIou:
    """Mean over the videos where there is a value."""
    listed = list(videos)
    return FrameIou(_mean([one.foreground for one in listed]), _mean([one.background for one in listed]))


def _set_iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else math.nan


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
