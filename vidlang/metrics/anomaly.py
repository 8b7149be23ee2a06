"""How well anomaly scores find true events.

Conventions
    A row is one snippet with its score; the truth lies on frames or on seconds (`truth` says how it meets the rows).
    ``truth`` is boolean, True for anomalous; ``scores`` are higher for more anomalous; ``weights`` are frames or
    seconds. All videos are laid end to end, so that long videos weigh more. Class 0 is the normal class. A metric that
    has no value (one class only) raises ValueError; `measure` and `evaluate` leave it out and `measure` says why.

Metrics
    ``frame_auc``       area under the ROC curve over all frames
    ``frame_ap``        average precision over all frames (no interpolation)
    ``abnormal_auc``    frame AUC over the abnormal videos only (Ano-AUC)
    ``video_auc``       AUC of each video's highest score against "holds an anomaly"
    ``video_auc_top``   the same with the mean over the highest sixteenth of the rows, the score that VadCLIP trains
    ``frame_auc/C``     frame AUC over the videos of class C and the normal ones
    ``class_auc/C``, ``class_ap/C``   probability of class C against the frames of its true segments; ``class_auc`` and
                        ``class_ap`` are the means over the classes that have both kinds of frames
    ``map_clean@I``, ``map_reference@I``   mean average precision of class segments (`detection`) at IoU I;
                        ``map_clean`` and ``map_reference`` are the means over the thresholds, ``map_clean/C`` and
                        ``map_reference/C`` those of one class
    All are fractions of 1.

References
    Sultani, Chen, Shah: Real-world anomaly detection in surveillance videos, CVPR 2018 (frame AUC, UCF-Crime).
    Wu et al.: Not only look, but also listen, ECCV 2020 (frame AP, XD-Violence).
    Wu et al.: VadCLIP, AAAI 2024 (Ano-AUC, detection mAP); evaluation code nwpu-zxr/VadCLIP at f643c91.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidlang.core.errors import BadInput
from vidlang.core.labels import Label
from vidlang.core.results import Scores
from vidlang.metrics.detection import (
    IOU_THRESHOLDS,
    DetectionMap,
    DetectionVideo,
    Mode,
    TrueSegment,
    detection_map,
)
from vidlang.metrics.truth import Pieces, Ruler, bounds, cut_rows, frames_of_truth, ruler_of

__all__ = [
    "Report",
    "abnormal_auc",
    "average_precision",
    "detection_map",
    "evaluate",
    "frame_auc",
    "frames_of_truth",
    "judged_frames",
    "measure",
    "pair",
    "validate",
    "video_auc",
]

TOP_PART = 16
"""VadCLIP's video score is the mean over rows // 16 + 1 highest rows."""
INVERTED_BELOW = 0.35
CHANCE_WITHIN = 0.05


def validate(truth: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> None:
    """Equal lengths, finite numbers, and both kinds of truth.

    truth: [N] bool    scores: [N]    weights: [N] positive

    Raises:
        ValueError: with got and expected.
    """
    true, values = np.asarray(truth), np.asarray(scores)
    if true.ndim != 1 or values.shape != true.shape:
        raise ValueError(f"truth and scores must be [N] of one length, got {true.shape} and {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    if weights is not None:
        weighed = np.asarray(weights)
        if weighed.shape != true.shape or not np.isfinite(weighed).all() or (weighed <= 0).any():
            raise ValueError(f"weights must be [N] = {true.shape}, finite and positive, got {weighed.shape}")
    if not np.isin(true, (0, 1)).all():
        raise ValueError("truth must hold only 0 and 1")
    if not true.any():
        raise ValueError("nothing is anomalous in the truth")
    if true.all():
        raise ValueError("everything is anomalous in the truth, nothing is normal")


def frame_auc(truth: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Probability that an anomalous frame scores higher than a normal one, ties counted half.

    truth: [N] bool    scores: [N]    weights: [N] frames or seconds per entry

    Raises:
        ValueError: see `validate`.
    """
    from sklearn.metrics import roc_auc_score

    validate(truth, scores, weights)
    return float(roc_auc_score(np.asarray(truth), np.asarray(scores), sample_weight=weights))


def average_precision(truth: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Precision averaged over recall, step by step without interpolation; equal scores are one step.

    truth: [N] bool    scores: [N]    weights: [N] frames or seconds per entry

    Raises:
        ValueError: see `validate`.
    """
    from sklearn.metrics import average_precision_score

    validate(truth, scores, weights)
    return float(average_precision_score(np.asarray(truth), np.asarray(scores), sample_weight=weights))


def abnormal_auc(truth: ArrayLike, scores: ArrayLike, abnormal: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Frame AUC over the frames of abnormal videos.

    truth: [N] bool    scores: [N]    abnormal: [N] bool, True where the entry's video holds an anomaly    weights: [N]

    Raises:
        ValueError: no such video, or see `validate`.
    """
    kept = np.asarray(abnormal, dtype=bool)
    if kept.shape != np.shape(truth):
        raise ValueError(f"abnormal must be [N] = {np.shape(truth)}, got {kept.shape}")
    if not kept.any():
        raise ValueError("no video is abnormal")
    weighed = None if weights is None else np.asarray(weights)[kept]
    return frame_auc(np.asarray(truth)[kept], np.asarray(scores)[kept], weighed)


def video_auc(abnormal: ArrayLike, scores: Sequence[ArrayLike], top_part: int | None = None) -> float:
    """AUC of one score per video.

    abnormal: [M] bool    scores: M curves [T]
    top_part: None takes each curve's maximum; a number n the mean of its ``T // n + 1`` highest rows.

    Raises:
        ValueError: see `validate`; a curve is empty.
    """
    curves = [np.sort(np.asarray(curve, dtype=np.float64))[::-1] for curve in scores]
    if any(not len(curve) for curve in curves):
        raise ValueError("a video has no score")
    highest = [float(c[: 1 if top_part is None else len(c) // top_part + 1].mean()) for c in curves]
    return frame_auc(np.asarray(abnormal), np.array(highest))


@dataclass(frozen=True)
class Report:
    """What could be measured, what could not, and what people should know of it."""

    metrics: dict[str, float]
    """Name → fraction of 1; the names are those of the module's docstring."""
    undefined: dict[str, str] = field(default_factory=dict)
    """Metric without a value → why."""
    notes: tuple[str, ...] = ()
    """One line each: videos left out, truth beyond the scores, a suspicious AUC."""
    detection: dict[str, DetectionMap] = field(default_factory=dict)
    """Mode → the whole table of thresholds and classes."""
    ruler: Ruler = "frames"
    num_videos: int = 0
    num_abnormal: int = 0


def _named(ids: Iterable[str], most: int = 5) -> str:
    names = sorted(ids)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _by_id(items: Iterable[Any], id_of: Callable[[Any], str], what: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        if id_of(item) in found:
            raise BadInput(f"{id_of(item)} is listed twice in the {what}: keep one entry per video.")
        found[id_of(item)] = item
    return found


def _length_problem(scores: Scores, label: Label) -> str | None:
    """Why the rows cannot belong to the labelled video; an incomplete last row may be missing or padded."""
    if label.num_frames is None:
        return None
    covered = int(scores.frames[-1, 1])
    longest_row = int((scores.frames[:, 1] - scores.frames[:, 0]).max())
    if abs(covered - label.num_frames) < max(longest_row, 1):
        return None
    return f"{label.video_id} ({covered} frames scored, {label.num_frames} labelled)"


def pair(
    scores: Iterable[Scores], labels: Iterable[Label], *, allow_missing: bool = False
) -> tuple[list[tuple[Scores, Label]], list[str]]:
    """Each scored video with its label, by name, in the order of the labels; and notes on what was left out.

    allow_missing: evaluate what pairs up, and name the rest in the notes.

    Raises:
        BadInput: a video is listed twice, lacks scores or a label, or has another length than its label says.
    """
    scored = _by_id(scores, lambda item: item.video.id, "scores")
    labelled = _by_id(labels, lambda item: item.video_id, "labels")
    shared = [video_id for video_id in labelled if video_id in scored]
    empty = [video_id for video_id in shared if not len(scored[video_id].anomaly)]
    wrong = {i: p for i in shared if i not in empty and (p := _length_problem(scored[i], labelled[i]))}
    problems = [
        (f"{len(names)} {what}: {_named(names)}", remedy)
        for names, what, remedy in (
            ([i for i in labelled if i not in scored], "labelled videos have no scores", "score them"),
            ([i for i in scored if i not in labelled], "scored videos have no label", "label them"),
            (empty, "videos have scores without a row", "score them again"),
            (list(wrong.values()), "videos have another length than their labels", "check that both mean one file"),
        )
        if names
    ]
    if problems and not allow_missing:
        text, remedy = problems[0]
        rest = "".join(f"; {other}" for other, _ in problems[1:])
        raise BadInput(f"{text}{rest}. Either {remedy}, or evaluate the others with --allow-missing.")
    pairs = [(scored[i], labelled[i]) for i in shared if i not in wrong and i not in empty]
    if not pairs:
        raise BadInput(
            "no video has both scores and a label: do the names agree? "
            f"Scores: {_named(scored, 2) or 'none'}. Labels: {_named(labelled, 2) or 'none'}."
        )
    return pairs, [f"left out: {text}" for text, _ in problems]


def _class_names(pairs: Sequence[tuple[Scores, Label]]) -> tuple[str, ...]:
    sets = {scores.class_names for scores, _ in pairs if scores.class_names}
    if len(sets) > 1:
        shown = " and ".join(str(list(names)) for names in sorted(sets)[:2])
        raise BadInput(f"the scores were made with different classes: {shown}. Evaluate them apart.")
    return next(iter(sets), ())


def _normal_class(pairs: Sequence[tuple[Scores, Label]], class_names: Sequence[str], normal: str | None) -> str | None:
    if normal is not None:
        return normal
    if class_names:
        return class_names[0]
    return next((name for _, label in pairs for name in label.classes if name.casefold() == "normal"), None)


@dataclass(frozen=True, eq=False)
class _Video:
    """One video, ready to be measured."""

    scores: Scores
    label: Label
    curve: NDArray[np.floating]
    """[T]"""
    abnormal: bool
    truth: tuple[TrueSegment, ...]
    """Anomalous segments only, under the names of the classes of the scores, on the common ruler."""
    intervals: NDArray[np.float64]
    """[T, 2] rows on the common ruler."""
    times_known: bool

    def pieces(self, class_name: str | None = None) -> Pieces:
        """Truth of any anomaly, or of one class."""
        events = [(true.start, true.end) for true in self.truth if class_name in (None, true.label)]
        return cut_rows(self.intervals, events)


def _curve(scores: Scores, branch: str | None) -> NDArray[np.floating]:
    if branch is None or branch == scores.made_by.get("branch"):
        return scores.anomaly
    if branch not in scores.branches:
        known = sorted({*scores.branches, str(scores.made_by.get("branch", "anomaly"))})
        raise BadInput(f"the scores of {scores.video.id} have no branch {branch!r}. They have: {', '.join(known)}.")
    return scores.branches[branch]


def _prepare(
    scores: Scores, label: Label, ruler: Ruler, names: Mapping[str, str], normal: str | None, branch: str | None
) -> _Video:
    def is_normal(name: str) -> bool:
        return normal is not None and name.casefold() == normal.casefold()

    truth = tuple(
        TrueSegment(
            names.get(event.label.casefold(), event.label), *bounds(event, ruler, scores.frames, scores.seconds)
        )
        for event in label.segments
        if not is_normal(event.label)
    )
    abnormal = bool(truth) or not all(map(is_normal, label.classes))
    intervals = (scores.frames if ruler == "frames" else scores.seconds).astype(np.float64)
    known = not abnormal or label.timed or bool(truth)
    return _Video(scores, label, _curve(scores, branch), abnormal, truth, intervals, known)


def _laid_out(
    videos: Sequence[_Video], curve_of: Callable[[_Video], NDArray[np.floating]], class_name: str | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.float64], NDArray[np.bool_]]:
    """All videos end to end: truth, scores, weights, and whether the video is abnormal, each [N]."""
    parts = [(video, video.pieces(class_name)) for video in videos]
    return (
        np.concatenate([pieces.truth for _, pieces in parts]),
        np.concatenate([curve_of(video)[pieces.rows] for video, pieces in parts]),
        np.concatenate([pieces.weights for _, pieces in parts]),
        np.concatenate([np.full(len(pieces.rows), video.abnormal) for video, pieces in parts]),
    )


class _Collector:
    """Metrics that have a value, and reasons of those that have none."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.undefined: dict[str, str] = {}

    def add(self, name: str, metric: Callable[..., float], *arrays: Any) -> None:
        try:
            self.metrics[name] = metric(*arrays)
        except ValueError as error:
            self.undefined[name] = str(error)


def _frame_metrics(videos: Sequence[_Video], per_class: bool, out: _Collector) -> None:
    truth, values, weights, abnormal = _laid_out(videos, lambda video: video.curve)
    out.add("frame_auc", frame_auc, truth, values, weights)
    out.add("frame_ap", average_precision, truth, values, weights)
    out.add("abnormal_auc", abnormal_auc, truth, values, abnormal, weights)
    classes = sorted({true.label for video in videos for true in video.truth})
    for name in classes if per_class and len(classes) > 1 else []:
        shown = [video for video in videos if not video.abnormal or any(true.label == name for true in video.truth)]
        class_truth, class_values, class_weights, _ = _laid_out(shown, lambda video: video.curve)
        out.add(f"frame_auc/{name}", frame_auc, class_truth, class_values, class_weights)


def _class_metrics(videos: Sequence[_Video], class_names: Sequence[str], out: _Collector) -> None:
    for index, name in list(enumerate(class_names))[1:]:

        def probability(video: _Video, index: int = index) -> NDArray[np.floating]:
            assert video.scores.classes is not None
            return video.scores.classes[:, index]

        truth, values, weights, _ = _laid_out(videos, probability, name)
        out.add(f"class_auc/{name}", frame_auc, truth, values, weights)
        out.add(f"class_ap/{name}", average_precision, truth, values, weights)
    for kind in ("class_auc", "class_ap"):
        found = [value for name, value in out.metrics.items() if name.startswith(f"{kind}/")]
        if found:
            out.metrics[kind] = float(np.mean(found))
        else:
            out.undefined[kind] = "no class has both anomalous and normal frames"


def _detection_video(video: _Video, mode: Mode, normal_truth_label: str) -> DetectionVideo:
    truth = video.truth
    if mode == "reference" and not video.abnormal:
        # The published ground truth gives a normal video one segment from its first to its last row.
        truth = (TrueSegment(normal_truth_label, float(video.intervals[0, 0]), float(video.intervals[-1, 1])),)
    counts = video.scores.frames[:, 1] - video.scores.frames[:, 0]
    assert video.scores.classes is not None
    return DetectionVideo(video.scores.video.id, video.scores.classes, video.intervals, counts, truth, video.abnormal)


def _reaches_beyond(video: _Video) -> bool:
    """True segments end after the rows, by more than the incomplete row that extraction drops."""
    last_start, last_end = video.intervals[-1]
    return any(true.end > 2 * last_end - last_start for true in video.truth)


def _notes(videos: Sequence[_Video], normal: str | None, metrics: Mapping[str, float]) -> list[str]:
    notes = []
    beyond = [video.label.video_id for video in videos if _reaches_beyond(video)]
    if beyond:
        notes.append(f"true segments reach beyond the scored rows, that part is lost: {_named(beyond)}")
    if normal is not None and all(video.abnormal for video in videos):
        notes.append(f"no video is labelled {normal!r}, the normal class: name it if it is called otherwise")
    for name, title in (("frame_auc", "frame AUC"), ("video_auc", "video AUC")):
        value = metrics.get(name)
        if value is not None and value < INVERTED_BELOW:
            notes.append(f"{title} {value:.3f} is below {INVERTED_BELOW}: are labels or scores inverted?")
        elif value is not None and abs(value - 0.5) < CHANCE_WITHIN:
            notes.append(f"{title} {value:.3f} is near chance: do labels and scores belong to the same videos?")
    return notes


def _untimed_note(untimed: Sequence[str], none_is_normal: bool, allow_missing: bool) -> str:
    """What to say of abnormal videos without true times among others that have them.

    Raises:
        BadInput: they may not be left out.
    """
    text = f"{len(untimed)} abnormal videos without true times: {_named(untimed)}"
    if allow_missing:
        return f"left out of the frame metrics: {text}"
    remedy = "Name the normal class with --normal" if none_is_normal else "Add their segments"
    raise BadInput(f"{text}; others have them. {remedy}, or leave them out of the frame metrics with --allow-missing.")


def _prepare_all(
    pairs: Sequence[tuple[Scores, Label]], normal: str | None, branch: str | None
) -> tuple[tuple[str, ...], str | None, Ruler, list[_Video]]:
    """Class names, the normal class, what the truth is measured in, and every video ready to be judged."""
    class_names = _class_names(pairs)
    normal = _normal_class(pairs, class_names, normal)
    ruler = ruler_of(label for _, label in pairs)
    names = {name.casefold(): name for name in class_names}
    return class_names, normal, ruler, [_prepare(s, label, ruler, names, normal, branch) for s, label in pairs]


def measure(
    scores: Iterable[Scores],
    labels: Iterable[Label],
    *,
    normal: str | None = None,
    branch: str | None = None,
    per_class: bool = True,
    detection: Sequence[Mode] = ("clean", "reference"),
    thresholds: Sequence[float] = IOU_THRESHOLDS,
    exclude_normal: bool = False,
    normal_truth_label: str = "A",
    allow_missing: bool = False,
) -> Report:
    """Every metric of this module that has a value, with reasons for the others.

    normal: name of the normal class; default class 0 of the scores, else the label called "normal" in any case.
    branch: which curve of the scores; default the main one.
    per_class: with the metrics of each class, which take most of the time.
    detection: modes of `detection_map` to compute; empty for none.
    normal_truth_label: what ``reference`` mode calls a normal video's whole length. The published truth says "A",
        which is class 0 of XD-Violence and no class of UCF-Crime. Give the name of class 0 to count it there.

    Class names of labels and scores agree in any case of letters.

    Raises:
        BadInput: videos do not pair up (see `pair`); different classes among the scores; true times of some abnormal
            videos are unknown and ``allow_missing`` is not given.
    """
    pairs, notes = pair(scores, labels, allow_missing=allow_missing)
    class_names, normal, ruler, videos = _prepare_all(pairs, normal, branch)
    out = _Collector()
    abnormal = np.array([video.abnormal for video in videos])
    curves = [video.curve for video in videos]
    out.add("video_auc", video_auc, abnormal, curves)
    out.add("video_auc_top", video_auc, abnormal, curves, TOP_PART)

    timed = [video for video in videos if video.times_known]
    untimed = [video.label.video_id for video in videos if not video.times_known]
    tables: dict[str, DetectionMap] = {}
    if untimed and len(untimed) == int(abnormal.sum()):
        names_of_all = (
            "frame_auc",
            "frame_ap",
            "abnormal_auc",
            "class_auc",
            "class_ap",
            *(f"map_{m}" for m in detection),
        )
        out.undefined.update(dict.fromkeys(names_of_all, "no abnormal video has true times, only classes"))
    else:
        if untimed:
            notes.append(_untimed_note(untimed, all(abnormal), allow_missing))
        _frame_metrics(timed, per_class, out)
        if all(video.scores.classes is not None for video in timed):
            strange = sorted({true.label for video in timed for true in video.truth} - set(class_names))
            if strange:
                notes.append(f"true classes that the scores do not know: {', '.join(strange)}")
            if per_class:
                _class_metrics(timed, class_names, out)
            for mode in detection:
                judged = [_detection_video(video, mode, normal_truth_label) for video in timed]
                try:
                    tables[mode] = detection_map(
                        judged, class_names, mode=mode, thresholds=thresholds, exclude_normal=exclude_normal
                    )
                except ValueError as error:
                    out.undefined[f"map_{mode}"] = str(error)
        else:
            names_of_classes = ("class_auc", "class_ap", *(f"map_{mode}" for mode in detection))
            out.undefined.update(dict.fromkeys(names_of_classes, "the scores hold no class probabilities"))
    for name, table in tables.items():
        out.metrics[f"map_{name}"] = table.average
        out.metrics.update({f"map_{name}@{t:g}": value for t, value in zip(table.thresholds, table.mean, strict=True)})
        if per_class:
            of_classes = np.mean(table.per_class, axis=0).tolist()
            out.metrics.update({f"map_{name}/{c}": ap for c, ap in zip(table.class_names, of_classes, strict=True)})
    notes += _notes(videos, normal, out.metrics)
    return Report(out.metrics, out.undefined, tuple(notes), tables, ruler, len(videos), int(abnormal.sum()))


@dataclass(frozen=True)
class VideoPeaks:
    """The highest scores of one video, and the rows that have them."""

    video_id: str
    classes: tuple[str, ...]
    abnormal: bool
    inside: tuple[float, int] | None
    """Within true segments; where their times are not known, of an abnormal video as a whole."""
    outside: tuple[float, int] | None
    """Where nothing is anomalous."""


@dataclass(frozen=True, eq=False)
class JudgedFrames:
    """What the metrics over frames are made from, all videos end to end, N pieces of rows."""

    truth: NDArray[np.bool_]
    """[N]"""
    scores: NDArray[np.floating]
    """[N]"""
    weights: NDArray[np.float64]
    """[N] frames or seconds."""
    videos: tuple[VideoPeaks, ...]
    """Every video, also those whose times are not known and that have no pieces here."""


def judged_frames(
    scores: Iterable[Scores],
    labels: Iterable[Label],
    *,
    normal: str | None = None,
    branch: str | None = None,
    allow_missing: bool = False,
) -> JudgedFrames:
    """The frames that `measure` judges, for curves over them. Options and errors are those of `measure`."""
    pairs, _ = pair(scores, labels, allow_missing=allow_missing)
    *_, videos = _prepare_all(pairs, normal, branch)
    timed = [video for video in videos if video.times_known]
    peaks = tuple(map(_peaks, videos))
    if not any(video.abnormal for video in timed):
        return JudgedFrames(np.zeros(0, dtype=bool), np.zeros(0), np.zeros(0), peaks)
    truth, values, weights, _ = _laid_out(timed, lambda video: video.curve)
    return JudgedFrames(truth, values, weights, peaks)


def _peaks(video: _Video) -> VideoPeaks:
    if video.times_known:
        pieces = video.pieces()
        inside, outside = (_highest(video.curve, pieces.rows[pieces.truth == wanted]) for wanted in (True, False))
    else:
        inside, outside = _highest(video.curve, np.arange(len(video.curve))), None
    return VideoPeaks(video.label.video_id, video.label.classes, video.abnormal, inside, outside)


def _highest(curve: NDArray[np.floating], rows: NDArray[np.int64]) -> tuple[float, int] | None:
    if not len(rows):
        return None
    row = int(rows[np.argmax(curve[rows])])
    return float(curve[row]), row


def evaluate(scores: Iterable[Scores], labels: Iterable[Label], **options: Any) -> dict[str, float]:
    """`measure`, numbers only: every metric that has a value. Options and errors are those of `measure`."""
    return measure(scores, labels, **options).metrics
