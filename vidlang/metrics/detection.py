"""Mean average precision of class segments, as videos with class probabilities per row are judged.

Conventions
    One `DetectionVideo` per video: class probabilities ``[T, C]``, the rows on the ruler of the truth, and its true
    segments with class names. Class 0 is the normal class. Intervals are half-open.

Two named modes
    ``reference`` gives the numbers of the published VadCLIP code: all videos, all classes including class 0, and 0 for
    a whole threshold as soon as one class has no segment in any video.
    ``clean`` follows the words of the paper: abnormal videos only, classes with true segments only, never class 0.

Segments of a class in a video
    p is the probability of the class over time. Rows with ``p > max - 0.6 (max - min)`` form segments of at least 2
    frames; a segment's score is its highest p plus 0.7 times the mean of the highest sixteenth of the video's frames.

Source: VadCLIP (Wu et al., AAAI 2024), section 4.2; nwpu-zxr/VadCLIP at f643c91, detection evaluation.
Differs: intervals instead of sets of frames (same numbers); the suppression of overlapping segments is left out, since
runs of one curve never overlap; equal scores keep the order of videos and time, where the published sort leaves it
open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.core.segments import runs

Mode = Literal["reference", "clean"]
IOU_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
MIN_FRAMES = 2
DEPTH = 0.6
"""How far below its highest value, in parts of its range, a class still counts as present."""
VIDEO_WEIGHT = 0.7
TOP_PART = 16
"""The video-level score is the mean of the highest 1/16 of the frames."""


@dataclass(frozen=True)
class TrueSegment:
    """A true event on the ruler of its video's rows."""

    label: str
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class DetectionVideo:
    """What the metric needs of one video."""

    video_id: str
    classes: NDArray[np.floating]
    """[T, C] probabilities."""
    intervals: NDArray[np.float64]
    """[T, 2] rows on the ruler of the truth."""
    num_frames: NDArray[np.int64]
    """[T] frames in each row."""
    truth: tuple[TrueSegment, ...]
    abnormal: bool


@dataclass(frozen=True)
class DetectionMap:
    """Average precisions as fractions of 1; I thresholds, C classes."""

    mode: Mode
    thresholds: tuple[float, ...]
    class_names: tuple[str, ...]
    """The classes that take part."""
    per_class: tuple[tuple[float, ...], ...]
    """[I][C] average precision."""
    mean: tuple[float, ...]
    """[I] mean over classes; in ``reference`` mode 0 where one class has no segment at all."""

    @property
    def average(self) -> float:
        """Mean over the thresholds."""
        return float(np.mean(self.mean))


@dataclass(frozen=True)
class _Predicted:
    video_index: int
    start: float
    end: float
    score: float


def video_array(
    video_id: str,
    classes: NDArray[np.floating],
    segments: Sequence[Sequence[float]],
    labels: Sequence[str],
    *,
    abnormal: bool,
    frames_per_row: int = 16,
) -> DetectionVideo:
    """A video of rows of equal length with truth in frames, as the published files hold it.

    classes: [T, C]    segments: S pairs of frame indices, half-open    labels: S class names
    """
    edges = np.arange(len(classes) + 1, dtype=np.float64) * frames_per_row
    truth = tuple(TrueSegment(name, float(s), float(e)) for name, (s, e) in zip(labels, segments, strict=True))
    counts = np.full(len(classes), frames_per_row, dtype=np.int64)
    return DetectionVideo(video_id, classes, np.stack([edges[:-1], edges[1:]], axis=1), counts, truth, abnormal)


def validate(videos: Sequence[DetectionVideo], class_names: Sequence[str], thresholds: Sequence[float]) -> None:
    """Shapes and ranges.

    Raises:
        ValueError: with got and expected.
    """
    if not videos:
        raise ValueError("detection mAP needs at least one video")
    if len(set(class_names)) != len(class_names) or not class_names:
        raise ValueError(f"class names must be given once each, got {list(class_names)}")
    if not thresholds or min(thresholds) <= 0 or max(thresholds) > 1:
        raise ValueError(f"IoU thresholds must lie in (0, 1], got {list(thresholds)}")
    for video in videos:
        rows, expected = video.classes.shape, (len(video.intervals), len(class_names))
        if rows != expected or not len(video.intervals) or len(video.num_frames) != len(video.intervals):
            raise ValueError(f"{video.video_id}: class probabilities must be [T, C] = {expected}, T > 0, got {rows}")
        if not np.isfinite(video.classes).all():
            raise ValueError(f"{video.video_id}: class probabilities must be finite")


def top_mean(values: NDArray[np.float64], num_frames: NDArray[np.int64]) -> float:
    """Mean over the highest sixteenth of the frames (at least one), each row's value counted once per frame.

    values: [T]    num_frames: [T]
    """
    wanted = max(int(num_frames.sum()) // TOP_PART, 1)
    order = np.argsort(-values, kind="stable")
    before = np.cumsum(num_frames[order]) - num_frames[order]
    taken = np.clip(wanted - before, 0, num_frames[order])
    return float((values[order] * taken).sum() / wanted)


def segments_of(video: DetectionVideo, video_index: int, class_index: int) -> list[_Predicted]:
    """The predicted segments of one class, in time order."""
    values = video.classes[:, class_index].astype(np.float64)
    highest, lowest = values.max(), values.min()
    video_score = top_mean(values, video.num_frames)
    found = []
    for first, last in runs(values > highest - DEPTH * (highest - lowest)):
        if video.num_frames[first:last].sum() >= MIN_FRAMES:
            score = float(values[first:last].max()) + VIDEO_WEIGHT * video_score
            start, end = float(video.intervals[first, 0]), float(video.intervals[last - 1, 1])
            found.append(_Predicted(video_index, start, end, score))
    return found


def _iou(predicted: _Predicted, true: TrueSegment) -> float:
    shared = max(0.0, min(predicted.end, true.end) - max(predicted.start, true.start))
    union = (predicted.end - predicted.start) + (true.end - true.start) - shared
    return shared / union if union > 0 else 0.0


def class_average_precision(
    predicted: Sequence[_Predicted], truth: Sequence[Sequence[TrueSegment]], threshold: float
) -> float:
    """Mean over true segments of the precision at the rank where each is found; 0 without truth or hits.

    predicted: any order    truth: one class, by video

    In order of score, a segment takes the true segment of its video with the highest IoU that is still free and
    reaches the threshold.
    """
    num_true = sum(map(len, truth))
    if num_true == 0:
        return 0.0
    free = [list(of_video) for of_video in truth]
    hits, total = 0, 0.0
    for rank, segment in enumerate(sorted(predicted, key=lambda p: -p.score), start=1):
        candidates = free[segment.video_index]
        overlaps = [_iou(segment, true) for true in candidates]
        if overlaps and max(overlaps) >= threshold:
            del candidates[int(np.argmax(overlaps))]
            hits += 1
            total += hits / rank
    return total / num_true


def detection_map(
    videos: Sequence[DetectionVideo],
    class_names: Sequence[str],
    *,
    mode: Mode = "reference",
    thresholds: Sequence[float] = IOU_THRESHOLDS,
    exclude_normal: bool = False,
) -> DetectionMap:
    """Mean average precision of class segments at several IoU thresholds.

    exclude_normal: in ``reference`` mode, leave out what is predicted in normal videos, while their truth and class 0
    stay in the mean, as the published option does; ``clean`` always excludes them.

    A true segment whose label is no class name counts for no class. The published ground truth of UCF-Crime calls
    normal videos 'A' where class 0 is called 'Normal', so class 0 gets 0 there.

    Raises:
        ValueError: wrong shapes, or ``clean`` without a true segment of any abnormal class.
    """
    validate(videos, class_names, thresholds)
    if mode not in ("reference", "clean"):
        raise ValueError(f"mode must be 'reference' or 'clean', got {mode!r}")
    predicting = [v if v.abnormal or not (exclude_normal or mode == "clean") else None for v in videos]
    judged = list(range(len(class_names)))
    if mode == "clean":
        videos = [video for video in videos if video.abnormal]
        predicting = list(videos)
        present = {true.label for video in videos for true in video.truth}
        judged = [index for index in judged[1:] if class_names[index] in present]
        if not judged:
            raise ValueError("no abnormal video has a true segment of a known class other than the normal one")
    predicted = [
        [s for number, video in enumerate(predicting) if video is not None for s in segments_of(video, number, index)]
        for index in judged
    ]
    names = tuple(class_names[index] for index in judged)
    truth = [[[true for true in video.truth if true.label == name] for video in videos] for name in names]
    per_class = tuple(
        tuple(class_average_precision(p, t, threshold) for p, t in zip(predicted, truth, strict=True))
        for threshold in thresholds
    )
    nothing_found = mode == "reference" and not all(predicted)
    mean = tuple(0.0 if nothing_found else float(np.mean(values)) for values in per_class)
    return DetectionMap(mode, tuple(thresholds), names, per_class, mean)
