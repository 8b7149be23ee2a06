"""From a class curve to segments in seconds: upsample → thresholds → runs → scores → suppression. numpy only.

A curve is [T, C], one column of probabilities per class, without background; ``seconds`` [T, 2] are the intervals of
its rows, which alone decide where a proposal lies in time. Upsampled rows are called positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadInput, UnknownName
from vidlang.core.segments import Segment, runs
from vidlang.methods.wtal.nms import hard_nms, soft_nms

FLAT = 0.05
"""A curve that varies by no more over its video has nothing to stretch: its wiggles are not actions."""
EVERY_TWENTIETH = tuple(step / 20 for step in range(2, 19))
""".1, .15, ... .9, each the double nearest to its decimal."""


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class ProposalOptions:
    """How segments are made from curves. The defaults are the preset ``robust``.

    Raises:
        BadInput: an option has no such value, or options contradict each other.
    """

    theta_loc: tuple[float, ...] = _option(
        EVERY_TWENTIETH,
        "thresholds of a curve; what lies above one is a proposal, and those of all thresholds compete (paper: 0.45)",
    )
    stretch: bool = _option(
        True,
        "stretch each curve to 0..1 over its video before the thresholds, since its level drifts with training "
        "(paper: off)",
    )
    theta_cls: float = _option(
        0.01,
        "least video score of a class that is localized; low, since the video score of the right class may be low and "
        "a segment's score says what is likely (public code: 0.1 to 0.25, paper: 0.85)",
    )
    theta_relative: float = _option(
        0.0, "share of the highest video score that is enough for a class as well, such as 0.5; 0: off"
    )
    fallback: bool = _option(True, "localize the class of the highest video score where none is high enough")
    step_seconds: float = _option(0.1, "curves are interpolated to steps of at most so many seconds; 0: as they are")
    align: Literal["centre", "start"] = _option(
        "centre",
        "a value holds at the centre of its snippet, or at its start, as public code has it, which puts segments half "
        "a snippet early",
    )
    score: Literal["oic", "mean", "max"] = _option(
        "oic",
        "confidence of a proposal: outer-inner contrast (mean inside less mean around, plus a share of the video "
        "score), or mean or highest probability inside (not in the paper)",
    )
    oic_of: Literal["plain", "stretched"] = _option(
        "plain",
        "oic: contrast of the probabilities as they are, so that classes and videos compare; or of the curve stretched "
        "to 0..1, on which wiggles of a class that is not there count as much as an action (stretched: public code)",
    )
    oic_margin: float = _option(0.25, "oic: what counts as around, on each side, as a share of the proposal's length")
    oic_video: float = _option(0.2, "oic: share of the video score that is added")
    oic_zeroed: bool = _option(
        False, "oic: values under the threshold count as 0, as in BaS-Net, which hides what lies around"
    )
    nms: Literal["gaussian", "linear", "hard", "none"] = _option(
        "gaussian",
        "proposals that overlap a better one of their class sink by a Gaussian or a line, or go (not in the paper: "
        "which soft-NMS)",
    )
    nms_sigma: float = _option(0.3, "nms gaussian: width; smaller sinks more")
    nms_threshold: float = _option(0.5, "nms linear and hard: overlap from which it acts")
    min_score: float = _option(0.001, "proposals below are dropped")
    max_proposals: int = _option(200, "proposals of a video at most")

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            if getattr(kind, "__origin__", None) is Literal and getattr(self, name) not in get_args(kind):
                raise BadInput(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}.")
        theta_loc = (self.theta_loc,) if isinstance(self.theta_loc, (int, float)) else self.theta_loc
        object.__setattr__(self, "theta_loc", tuple(float(threshold) for threshold in theta_loc))
        if not self.theta_loc:
            raise BadInput("theta_loc needs at least one threshold, such as 0.45.")
        for threshold in self.theta_loc:
            if not 0 <= threshold <= 1:
                raise BadInput(f"theta_loc are probabilities in 0..1, got {threshold:g}.")
        for name in ("theta_cls", "theta_relative", "nms_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name} must lie in 0..1, got {getattr(self, name):g}.")
        for name in ("step_seconds", "oic_margin", "oic_video"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadInput(f"{name} must be finite and not negative, got {getattr(self, name):g}.")
        if not 0 < self.nms_sigma < math.inf:
            raise BadInput(f"nms_sigma must be positive, got {self.nms_sigma:g}.")
        if math.isnan(self.min_score):
            raise BadInput("min_score must be a number.")
        if self.max_proposals < 1:
            raise BadInput(f"max_proposals must be at least 1, got {self.max_proposals}.")


PRESETS: dict[str, ProposalOptions] = {
    "robust": ProposalOptions(),
    "paper": ProposalOptions(theta_loc=(0.45,), stretch=False, theta_cls=0.85, align="start", oic_of="stretched"),
}
"""``paper`` has the two thresholds that the paper gives; what it leaves open is as public code does it."""


def proposal_options(preset: str = "robust", **changes: Any) -> ProposalOptions:
    """A preset by name, with some options changed.

    Raises:
        UnknownName: no preset or option is called so.
        BadInput: an option has no such value.
    """
    if preset not in PRESETS:
        raise UnknownName("preset of proposals", preset, PRESETS)
    known = {item.name for item in fields(ProposalOptions)}
    for name in changes:
        if name not in known:
            raise UnknownName("option of proposals", name, known)
    return replace(PRESETS[preset], **changes)


@dataclass(frozen=True)
class Proposal:
    """A segment, its class and how sure the method is."""

    segment: Segment
    class_index: int
    score: float


def detect(
    curve: NDArray[np.floating],
    seconds: NDArray[np.float64],
    video_score: NDArray[np.floating],
    options: ProposalOptions | None = None,
) -> list[Proposal]:
    """Segments of one video, best first; of equal scores the lower class, then the earlier.

    curve: [T, C] in [0, 1]    seconds: [T, 2], rows in order    video_score: [C] in [0, 1]

    Raises:
        ValueError: shapes do not fit, values are not finite, or rows are out of order.
    """
    options = options or PRESETS["robust"]
    probs, video_score = np.asarray(curve, dtype=np.float64), np.asarray(video_score, dtype=np.float64)
    seconds = np.asarray(seconds, dtype=np.float64)
    _check(probs, seconds, video_score)
    if not probs.size:
        return []
    factor = upscale_for(seconds, options.step_seconds)
    seconds = split_rows(seconds, factor)
    found = []
    for c in select_classes(video_score, options.theta_cls, options.theta_relative, options.fallback):
        prob = upsample(probs[:, [c]], factor, options.align)[:, 0]  # [T * factor]
        spans, scores = _propose(prob, float(video_score[c]), options)
        spans, scores = _suppress(seconds[spans[:, 0], 0], seconds[spans[:, 1] - 1, 1], scores, options)
        found += [
            Proposal(Segment(float(start), float(end)), int(c), float(score))
            for (start, end), score in zip(spans, scores, strict=True)
            if end > start
        ]
    return sorted(found, key=lambda item: (-item.score, item.class_index, item.segment))[: options.max_proposals]


def select_classes(
    video_score: NDArray[np.floating], theta: float = 0.25, relative: float = 0.0, fallback: bool = True
) -> NDArray[np.int64]:
    """Classes whose video score reaches ``theta``, or the share ``relative`` of the highest (0: off).

    video_score: [C]    fallback: where none does, the highest; of equal ones the first    returns: [M], ascending
    """
    if not len(video_score):
        return np.empty(0, dtype=np.int64)
    highest = video_score.max()
    kept = video_score >= theta
    if relative > 0 and highest > 0:
        kept |= video_score >= relative * highest
    if fallback and not kept.any():
        kept[video_score.argmax()] = True
    return np.flatnonzero(kept)


def upscale_for(seconds: NDArray[np.float64], step: float) -> int:
    """How many positions a row is split into so that one lasts at most ``step`` seconds, for the median row.

    seconds: [T, 2]    step: 0 for rows as they are
    """
    if step <= 0:
        return 1
    # 0.6 / 0.2 is 2.9999999999999996 and 0.9 - 0.3 more than 0.6: neither shall decide about one position more.
    return max(1, math.ceil(float(np.median(seconds[:, 1] - seconds[:, 0])) / step - 1e-6))


def upsample(curve: NDArray[np.float64], factor: int, align: Literal["centre", "start"] = "start") -> NDArray:
    """Linear interpolation to ``factor`` positions per row.

    curve: [T, C]    returns: [T * factor, C]

    ``start``: position i has the value at row i / factor; behind the last row the line through the last two goes on.
    ``centre``: values belong to the centres of rows and positions; ends are level.

    Source: BaS-Net and CO2-Net (start).
    """
    num_rows = len(curve)
    if factor == 1 or num_rows == 0:
        return curve.copy()
    if num_rows == 1:
        return np.repeat(curve, factor, axis=0)
    at = np.arange(num_rows * factor) / factor
    if align == "centre":
        at = np.clip(at + (0.5 / factor - 0.5), 0, num_rows - 1)
    before = np.minimum(at.astype(np.int64), num_rows - 2)
    share = (at - before)[:, None]
    return curve[before] * (1 - share) + curve[before + 1] * share


def split_rows(seconds: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """The interval of each position: rows cut into ``factor`` equal parts.

    seconds: [T, 2]    returns: [T * factor, 2], none overlapping the next

    Rows that overlap their neighbours give each half of what they share; gaps between rows belong to none.
    """
    starts, ends = seconds[:, 0].copy(), seconds[:, 1].copy()
    shared = ends[:-1] > starts[1:]
    middle = (ends[:-1] + starts[1:]) / 2
    ends[:-1][shared] = middle[shared]
    starts[1:][shared] = middle[shared]
    shares = np.arange(factor + 1) / factor
    edges = starts[:, None] * (1 - shares) + ends[:, None] * shares  # [T, factor + 1]
    return np.stack([edges[:, :-1], edges[:, 1:]], axis=-1).reshape(-1, 2)


def stretch(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column moved and scaled to 0..1 over time; a flat one stays as it is, since it has no shape to show.

    curve: [T, C]
    """
    if not len(curve):
        return curve.copy()
    low, high = curve.min(0), curve.max(0)
    flat = high - low <= FLAT
    return np.where(flat, curve, (curve - low) / np.where(flat, 1.0, high - low))


def above(values: NDArray[np.float64], threshold: float) -> list[tuple[int, int]]:
    """Half-open runs of positions whose value reaches the threshold. values: [N]

    A run of position 0 alone counts, which public code loses.

    Differs: the paper says above the threshold; public code, with which numbers are compared, says at or above.
    """
    return runs(values >= threshold)


def outer_inner_contrast(
    values: NDArray[np.float64], run: tuple[int, int], video_score: float, margin: float = 0.25, video: float = 0.2
) -> float:
    """Mean inside a run less the mean around it, plus a share of the video score.

    values: [N]    run: half-open    margin: length of each side, as a share of the run's    video: the share

    Both sides count as one; with nothing around, 0 is taken away.

    Source: BaS-Net, get_proposal_oic; CO2-Net, get_proposal_oic_2.
    """
    first, last = run[0], run[1] - 1
    side = margin * (run[1] - run[0])
    left = max(0, int(first - side))
    right = min(len(values) - 1, int(last + side))
    around = np.concatenate([values[left:first], values[last + 1 : right + 1]])
    outside = float(around.mean()) if len(around) else 0.0
    return float(values[first : last + 1].mean()) - outside + video * video_score


def scored_runs(
    values: NDArray[np.float64],
    threshold: float,
    video_score: float,
    *,
    margin: float = 0.25,
    video: float = 0.2,
    zeroed: bool = False,
    judged: NDArray[np.float64] | None = None,
) -> Iterator[tuple[tuple[int, int], float]]:
    """Runs over one threshold, left to right, with their outer-inner contrast.

    values: [N]    zeroed: what lies under the threshold counts as 0    judged: [N] the contrast is theirs, not that of
        the values; the runs are those of the values
    """
    judged = values if judged is None else judged
    scored = np.where(values >= threshold, judged, 0.0) if zeroed else judged
    for run in above(values, threshold):
        yield run, outer_inner_contrast(scored, run, video_score, margin, video)


def _propose(prob: NDArray[np.float64], video_score: float, options: ProposalOptions) -> tuple[NDArray, NDArray]:
    """Runs of one class over all thresholds, each once with its highest score.

    prob: [N]    returns: [M, 2] half-open positions, [M] scores, in order of their runs
    """
    curve = stretch(prob[:, None])[:, 0] if options.stretch else prob
    best: dict[tuple[int, int], float] = {}
    for threshold in options.theta_loc:
        of_threshold = scored_runs(
            curve,
            threshold,
            video_score,
            margin=options.oic_margin,
            video=options.oic_video,
            zeroed=options.oic_zeroed,
            judged=prob if options.oic_of == "plain" else curve,
        )
        for run, contrast in of_threshold:
            inside = prob[slice(*run)]
            # 1: certain inside, absent around, certain of the video
            oic = contrast / (1 + options.oic_video)
            score = {"oic": oic, "mean": float(inside.mean()), "max": float(inside.max())}[options.score]
            best[run] = max(score, best.get(run, -math.inf))
    spans: Sequence[tuple[int, int]] = sorted(best)
    return np.array(spans, dtype=np.int64).reshape(-1, 2), np.array([best[run] for run in spans])


def _suppress(
    starts: NDArray[np.float64], ends: NDArray[np.float64], scores: NDArray[np.float64], options: ProposalOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Segments [M, 2] and scores [M] of one class that are left, best first."""
    segments = np.stack([starts, ends], axis=1)
    if options.nms in ("gaussian", "linear"):
        kept, scores = soft_nms(
            segments,
            scores,
            "gaussian" if options.nms == "gaussian" else "linear",
            sigma=options.nms_sigma,
            threshold=options.nms_threshold,
            min_score=options.min_score,
            most=options.max_proposals,
        )
        return segments[kept], scores
    if options.nms == "hard":
        kept = hard_nms(
            segments, scores, options.nms_threshold, min_score=options.min_score, most=options.max_proposals
        )
    else:
        kept = np.argsort(-scores, kind="stable")
        kept = kept[scores[kept] >= options.min_score]
    return segments[kept], scores[kept]


def _check(curve: NDArray, seconds: NDArray, video_score: NDArray) -> None:
    if curve.ndim != 2 or seconds.shape != (len(curve), 2) or video_score.shape != (curve.shape[1],):
        shapes = f"{curve.shape}, {seconds.shape} and {video_score.shape}"
        raise ValueError(f"curve must be [T, C], seconds [T, 2] and video_score [C], got {shapes}")
    if not (np.isfinite(curve).all() and np.isfinite(seconds).all() and np.isfinite(video_score).all()):
        raise ValueError("curve, seconds and video_score must be finite")
    if (seconds[:, 1] < seconds[:, 0]).any() or (np.diff(seconds, axis=0) < 0).any():
        raise ValueError("seconds must be in order: starts and ends rising, each end at or after its start")
