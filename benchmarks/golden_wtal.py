"""Compares WTAL with recorded numbers, array by array, and prints the table.

    python benchmarks/golden_wtal.py --golden PATH

PATH is the folder with ``losses.npz``, ``nms.npz``, ``proposals_oic.npz`` and the files of evaluation; its README
describes the arrays. Names of cases, sizes, thresholds and temperatures are read from the files, so another recording
of the same layout is compared as well. Each line shows the largest difference found and the tolerance; the exit code is
1 if one is over. What was recorded and nothing here reads is listed at the end.

Counts (``mil_r8_k``, ``kd_frame_O``) are not compared with a formula but with the number of snippets that the gradient
reaches.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden_table import Differences, Recorded, Row, show
from torch import Tensor

from vidlang.core.labels import Label, LabelledSegment
from vidlang.core.results import Detection
from vidlang.core.segments import Segment
from vidlang.methods.wtal.loss import contrast, distillation, mil_loss, video_logits, video_probability
from vidlang.methods.wtal.nms import hard_nms, soft_nms
from vidlang.methods.wtal.proposals import scored_runs, split_rows, upsample
from vidlang.methods.wtal.pseudo_labels import confident
from vidlang.metrics.localization import (
    class_average_precisions,
    evaluate,
    frame_iou,
    in_ambiguous,
    video_classification,
)
from vidlang.nn.padding import mask_of

CLIPPED = 1e-6
"""Recorded student probabilities are clipped to [1e-6, 1 - 1e-6]."""
SNIPPET_FRAMES, FRAME_RATE = 16, 25
"""Of the recorded curves: one source snippet lasts 16 / 25 s."""


class Golden(Recorded):
    """The recorded files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(sorted(folder.glob("*.npz")))
        self.json = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
        if not self.arrays:
            raise SystemExit(f"{folder} holds no recorded arrays (*.npz)")

    def names(self, file: str, pattern: str) -> list[re.Match[str]]:
        """Keys of a file that the pattern matches as a whole; none where there is no such file."""
        matches = (re.fullmatch(pattern, key) for key in self.arrays.get(file, {}))
        return [match for match in matches if match]

    def tensor(self, key: str) -> Tensor:
        """Of losses.npz."""
        return torch.from_numpy(self.array("losses", key))

    def document(self, name: str) -> Any:
        """A JSON file, all of which counts as read; empty where there is none."""
        self.seen.add((name, ""))
        return self.json.get(name, {})

    def unread(self) -> list[str]:
        return super().unread() + [f"{name}.json: all of it" for name in self.json if (name, "") not in self.seen]


class Lines(Differences):
    """Differences of one section, ours against recorded."""

    def add(self, what: str, tolerance: float, ours: Any, theirs: Any, relative: bool = False) -> None:
        """The largest difference; infinite where shapes differ or only one side is a number."""
        self.keep(what, tolerance, _difference(ours, theirs, relative))


def _difference(ours: Any, theirs: Any, relative: bool = False) -> float:
    mine, recorded = (
        value.detach().double().numpy() if isinstance(value, Tensor) else np.asarray(value, dtype=np.float64)
        for value in (ours, theirs)
    )
    if mine.shape != recorded.shape or not (np.isnan(mine) == np.isnan(recorded)).all():
        return float("inf")
    gaps = np.abs(mine - recorded) / (np.maximum(np.abs(recorded), 1e-300) if relative else 1.0)
    return float(np.nan_to_num(gaps, nan=0.0, posinf=np.inf).max(initial=0.0))


def compare(golden: Golden) -> Iterator[Row]:
    """Every recorded array against ours, section by section. A file that is not there is left out."""
    for section in SECTIONS.values():
        yield from section(golden)


# -- losses.npz --------------------------------------------------------------------------------------------------------


def _mask(golden: Golden) -> Tensor:
    return mask_of(golden.tensor("length"), golden.array("losses", "mil_logits").shape[1])


def _mil(golden: Golden) -> Iterator[Row]:
    lines = Lines("mil")
    for match in golden.names("losses", r"mil_r(\d+)_k"):
        r, name = int(match[1]), f"mil_r{match[1]}"
        logits, mask, labels = golden.tensor("mil_logits").requires_grad_(), _mask(golden), golden.tensor("label")
        pooled = video_logits(logits, mask, r)
        (gradient,) = torch.autograd.grad(pooled.sum(), logits)
        counts = (gradient != 0).sum(1)  # [B, K]
        lines.add("k", 0.0, counts, golden.tensor(f"{name}_k")[:, None].expand_as(counts))
        lines.add("pooled logits", 1e-6, pooled, golden.tensor(f"{name}_pooled"))
        lines.add("video probability", 1e-6, video_probability(logits, mask, r), golden.tensor(f"{name}_video_prob"))
        for kind, normalise in (("multihot", False), ("l1norm", True)):
            ours = mil_loss(logits, mask, labels, r, normalise)
            lines.add(f"loss, labels {kind}", 1e-6, ours, golden.tensor(f"{name}_loss_{kind}"))
    yield from lines.rows()


def _pseudo_labels(golden: Golden) -> Iterator[Row]:
    lines = Lines("pseudo-labels")
    for match in golden.names("losses", r"H_h(\d+)_l(\d+)"):
        high, low = (int(part) / 100 for part in match.groups())
        ours = confident(golden.tensor("teacher_prob"), golden.tensor("label"), _mask(golden), high, low)
        lines.add("H", 0.0, ours, golden.tensor(match[0]))
    yield from lines.rows()


def _distillation(golden: Golden) -> Iterator[Row]:
    lines = Lines("distillation")
    variants = (
        ("kd_frame", "bernoulli", "both"), ("kd_fg", "bernoulli", "foreground"), ("kd_bg", "bernoulli", "background"),
        ("kd_element", "element", "both"), ("kd_categorical", "categorical", "both"),
    )  # fmt: skip
    for match in golden.names("losses", r"H_(h\d+_l\d+)"):
        H, mask = golden.tensor(match[0]), _mask(golden)
        student = golden.tensor("student_prob").clamp(CLIPPED, 1 - CLIPPED)
        for name, kind, frames in variants:
            if f"{name}_{match[1]}" not in golden.arrays["losses"]:
                continue
            categorical = kind == "categorical"
            logits = golden.tensor(f"bglogits_{match[1]}") if categorical else torch.logit(student)
            logits = logits.clone().requires_grad_()
            loss = distillation(kind, logits, H, mask, frames, "softmax" if categorical else "sigmoid")  # type: ignore[arg-type]
            lines.add(name, 1e-6, loss, golden.tensor(f"{name}_{match[1]}"))
            (gradient,) = torch.autograd.grad(loss, logits)
            reached = gradient != 0
            counts = reached.sum((0, 1)) if kind == "element" else reached.any(-1).sum()
            lines.add(f"{name}_O", 0.0, counts, golden.tensor(f"{name}_O_{match[1]}"))
    yield from lines.rows()


def _contrast(golden: Golden) -> Iterator[Row]:
    lines = Lines("contrast")
    for match in golden.names("losses", r"fb_tau(\d)(\d+)_(self|noself)_(batch|video)_(each|sum|mean)"):
        ours = contrast(
            golden.tensor("features"),
            golden.tensor("H_h30_l10"),
            tau=float(f"{match[1]}.{match[2]}"),
            scope=match[4],  # type: ignore[arg-type]
            reduction="none" if match[5] == "each" else match[5],  # type: ignore[arg-type]
            include_self=match[3] == "self",
            max_pairs=None,
        )
        is_sum = match[5] == "sum"
        what = f"{match[4]}, {match[5]}{' (relative)' if is_sum else ''}"
        lines.add(what, 1e-6, ours, golden.tensor(match[0]), relative=is_sum)
    yield from lines.rows()


def _frame_iou(golden: Golden) -> Iterator[Row]:
    lines = Lines("frame IoU")
    for match in golden.names("losses", r"frame_iou_(fg|bg)_(drop|wrong)"):
        labels, truth = golden.array("losses", "H_h30_l10"), golden.array("losses", "gt_frames")
        videos = [
            frame_iou(labels[b, :length], truth[b, :length], match[2])  # type: ignore[arg-type]
            for b, length in enumerate(golden.array("losses", "length"))
        ]
        ours = [video.foreground if match[1] == "fg" else video.background for video in videos]
        lines.add(f"{match[1]}, undecided {match[2]}", 1e-9, ours, golden.array("losses", match[0]))
    yield from lines.rows()


# -- nms.npz, proposals_oic.npz ----------------------------------------------------------------------------------------


def _nms(golden: Golden) -> Iterator[Row]:
    """Order must be equal; published scores with true lengths are float32."""
    lines = Lines("nms")
    for match in golden.names("nms", r"(c\d+)_(hard|gauss|linear)_(plus1|cont)_([ts])(\d+)(?:_min(\d+))?_index"):
        case, kind, number = match[1], match[2], int(match[5]) / 100
        segments, scores = golden.array("nms", f"{case}_segments"), golden.array("nms", f"{case}_scores")
        pixels = match[3] == "plus1"
        lengths, what = ("pixels" if pixels else "true"), f"{kind}, {'pixel' if pixels else 'true'} lengths"
        if kind == "hard":
            order = hard_nms(segments, scores, number, lengths=lengths)  # type: ignore[arg-type]
        else:
            least = int(match[6]) / 100 if match[6] else (-np.inf if pixels else 0.001)
            order, decayed = soft_nms(
                segments,
                scores,
                "gaussian" if kind == "gauss" else "linear",
                **{"sigma" if kind == "gauss" else "threshold": number},
                min_score=least,
                lengths=lengths,  # type: ignore[arg-type]
            )
            recorded = golden.array("nms", match[0].replace("_index", "_score"))
            lines.add(f"{what}: scores", 1e-9 if pixels else 2e-5, decayed, recorded)
        lines.add(f"{what}: order", 0.0, order, golden.array("nms", match[0]))
    yield from lines.rows()


def _proposals(golden: Golden) -> Iterator[Row]:
    lines = Lines("proposals")
    for match in golden.names("proposals_oic", r"(o\d+)_cas"):

        def stored(name: str, case: str = match[1]) -> Any:
            return golden.array("proposals_oic", f"{case}_{name}")

        curve, classes, factor = stored("cas"), stored("classes"), int(stored("upscale"))
        row_seconds = SNIPPET_FRAMES * int(stored("num_source_snippets")) / (len(curve) * FRAME_RATE)
        edges = np.arange(len(curve) + 1) * row_seconds
        seconds = split_rows(np.stack([edges[:-1], edges[1:]], axis=1), factor)
        upsampled = upsample(curve[:, classes], factor, "start")
        lines.add("upsampled", 1e-9, upsampled, stored("upsampled"))
        pattern = rf"{match[1]}_(l(\d+)g(\d+)_(plain|zeroed))"
        for rule in golden.names("proposals_oic", pattern):
            margin, video, zeroed = int(rule[2]) / 100, int(rule[3]) / 100, rule[4] == "zeroed"
            ours = [
                [i, c, score, seconds[first, 0], seconds[last - 1, 1], first, last]
                for i, threshold in enumerate(stored("thresholds"))
                for column, c in enumerate(classes)
                for (first, last), score in scored_runs(
                    upsampled[:, column],
                    float(threshold),
                    float(stored("video_score")[c]),
                    margin=margin,
                    video=video,
                    zeroed=zeroed,
                )
            ]
            lines.add(f"outer-inner contrast, {rule[4]}", 1e-9, ours, stored(rule[1]))
    yield from lines.rows()


# -- evaluation --------------------------------------------------------------------------------------------------------

Event = tuple[str, float, float]


def _label(video: str, events: Sequence[Event]) -> Label:
    segments = tuple(LabelledSegment(name, Segment(start, end)) for name, start, end in events)
    return Label(video, tuple(dict.fromkeys(event[0] for event in events)), segments)


def _truth(document: Mapping[str, Any], subset: str = "test") -> list[Label]:
    return [
        _label(video, [(event["label"], *map(float, event["segment"])) for event in entry["annotations"]])
        for video, entry in document["database"].items()
        if entry["subset"] == subset
    ]


def _predicted(document: Mapping[str, Any]) -> list[Detection]:
    return [
        Detection(video, Segment(*map(float, item["segment"])), item["label"], item["score"])
        for video, items in document["results"].items()
        for item in items
    ]


def _by_video(events: Sequence[tuple[str, Event]]) -> list[Label]:
    found: dict[str, list[Event]] = {}
    for video, event in events:
        found.setdefault(video, []).append(event)
    return [_label(video, of_video) for video, of_video in found.items()]


def _add_table(lines: Lines, group: str, expected: Mapping[str, Any], scores: Any) -> None:
    at = [scores.class_names.index(name) for name in expected["classes"]]
    lines.add(f"{group}: AP per class and tIoU", 1e-9, np.array(scores.per_class)[:, at].T, expected["ap"])
    lines.add(f"{group}: mAP", 1e-9, scores.mean, expected["map"])
    if "average_map_all" in expected:
        lines.add(f"{group}: average", 1e-9, scores.average, expected["average_map_all"])
    for name, value in expected.items():
        if match := re.fullmatch(r"avg_(\d)_(\d)_to_(\d)_(\d)", name):
            span = f"{match[1]}.{match[2]}:{match[3]}.{match[4]}"
            lines.add(f"{group}: averages over ranges", 1e-9, scores.averages[span], value)


def _evaluation(golden: Golden) -> Iterator[Row]:
    lines = Lines("evaluation")
    if {"eval_expected", "eval_gt", "eval_pred"} <= golden.json.keys():
        recorded = golden.document("eval_expected")
        truth, predictions = _truth(golden.document("eval_gt")), _predicted(golden.document("eval_pred"))
        for name, expected in recorded["expected"].items():
            protocol = "activitynet" if name == "anet" else "thumos14"
            scores = evaluate(predictions, truth, protocol=protocol, thresholds=expected["tiou"])  # type: ignore[arg-type]
            _add_table(lines, name, expected, scores)
        for case in recorded["edge"]:
            instances: dict[str, list[list[float]]] = {}
            for video, *times in case["gt"]:
                instances.setdefault(video, []).append(times)
            videos, times, values = ([row[part] for row in case["pred"]] for part in (0, slice(1, 3), 3))
            ours = class_average_precisions(videos, times, values, instances, case["tiou"])
            lines.add("edge cases", 1e-9, ours, case["ap"])
    if {"thumos_expected", "thumos_gt", "thumos_pred"} <= golden.json.keys():
        expected = golden.document("thumos_expected")
        truth, predictions = _truth(golden.document("thumos_gt")), _predicted(golden.document("thumos_pred"))
        _add_table(lines, "THUMOS14", expected, evaluate(predictions, truth, thresholds=expected["tiou"]))
    if case := golden.document("eval_snippet_protocol"):
        unit = 1 / case["factor_snippets_per_second"]
        predictions = [
            Detection(video, Segment(start * unit, end * unit), name, score)
            for video, name, start, end, score in case["pred_snippets"]
        ]
        unclear = _by_video([(video, ("Ambiguous", *times)) for video, *times in case["ambiguous_seconds"]])
        lines.add("snippets: kept", 0.0, ~in_ambiguous(predictions, unclear), case["keep"])
        truth = _by_video([(video, (name, *(t * unit for t in times))) for video, name, *times in case["gt_snippets"]])
        scores = evaluate(predictions, truth, protocol="snippets", thresholds=case["tiou"], ambiguous=unclear)
        _add_table(lines, "snippets", case, scores)
    if case := golden.document("misc").get("video_classification_ap"):
        ours = video_classification(np.array(case["score"])[:, None], np.array(case["label"])[:, None]).mean
        lines.add("video classification AP", 1e-6, ours, case["ap"])
    yield from lines.rows()


SECTIONS: dict[str, Callable[[Golden], Iterator[Row]]] = {
    "mil": _mil,
    "pseudo_labels": _pseudo_labels,
    "distillation": _distillation,
    "contrast": _contrast,
    "frame_iou": _frame_iou,
    "nms": _nms,
    "proposals": _proposals,
    "evaluation": _evaluation,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, required=True, help="folder with the recorded arrays")
    torch.set_num_threads(1)
    golden = Golden(parser.parse_args().golden)
    return show(list(compare(golden)), golden.unread())


if __name__ == "__main__":
    sys.exit(main())
