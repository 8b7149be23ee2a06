"""Stored segments and a truth to mAP. No model, no features, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from vidlang.core import BadInput, Detection
from vidlang.core.labels import Label
from vidlang.datasets.manifest import read_manifest
from vidlang.datasets.matching import path_key
from vidlang.datasets.retrieval import match_names
from vidlang.datasets.temporal import SPLITS, read_ambiguous, read_database
from vidlang.metrics.localization import Area, LocalizationScores, Outside, Protocol, evaluate, video_classification
from vidlang.store.activitynet_json import read_activitynet
from vidlang.store.results import DETECTIONS_FILE, EVENTS_FILE, read_detections
from vidlang.store.video_scores import VIDEO_SCORES_FILE, read_video_scores
from vidlang.store.workspace import Workspace
from vidlang.workflows.datasets import ambiguous_file
from vidlang.workflows.evaluate_targets import PictureTargets

RESULT_FILES = (DETECTIONS_FILE, EVENTS_FILE, "detections.json")
"""What a folder of results may hold, the most usual first."""
FILE_PREFIX = "v_"
"""Files of ActivityNet are called ``v_<id>.mp4``; its annotations name the id alone."""


@dataclass(frozen=True)
class VideoClassification:
    """How well video-level scores tell which classes a video has; not interpolated."""

    mean_ap: float
    per_class: Mapping[str, float]
    num_videos: int


@dataclass(frozen=True)
class LocalizationReport:
    """mAP of one set of results."""

    scores: LocalizationScores
    source: str
    """The file of results."""
    truth: str
    split: str | None
    ambiguous: str | None
    """The file of ambiguous segments, where the protocol uses one."""
    notes: tuple[str, ...]
    classification: VideoClassification | None = None
    """Where the results have video-level scores."""
    files: tuple[Path, ...] = ()
    """Pictures and the page, where they were asked for."""

    def to_dict(self) -> dict[str, Any]:
        scores = self.scores
        at = [str(threshold) for threshold in scores.thresholds]
        return {
            "schema": "vidlang.eval_localization/1",
            "protocol": scores.protocol,
            "ap": scores.area,
            "outside": scores.outside,
            "source": self.source,
            "truth": self.truth,
            "split": self.split,
            "ambiguous": self.ambiguous,
            "videos": scores.num_videos,
            "instances": sum(scores.num_instances),
            "predictions": {
                "judged": sum(scores.num_predicted),
                "outside_and_wrong": scores.num_outside,
                "left_out": dict(scores.skipped),
            },
            "tiou": list(scores.thresholds),
            "mAP": dict(zip(at, scores.mean, strict=True)),
            "average": scores.average,
            "averages": scores.averages,
            "per_class": {
                name: {
                    "instances": scores.num_instances[c],
                    "predictions": scores.num_predicted[c],
                    "ap": {threshold: row[c] for threshold, row in zip(at, scores.per_class, strict=True)},
                }
                for c, name in enumerate(scores.class_names)
            },
            "video_classification": None
            if self.classification is None
            else {
                "mAP": self.classification.mean_ap,
                "per_class": dict(self.classification.per_class),
                "videos": self.classification.num_videos,
            },
            "notes": list(self.notes),
        }


def evaluate_localization(
    workspace: Workspace,
    results: Path | None = None,
    *,
    manifest: Path | None = None,
    split: str | None = None,
    protocol: Protocol = "thumos14",
    thresholds: Sequence[float] | None = None,
    area: Area = "interp",
    ambiguous: Path | None = None,
    outside: Outside = "wrong",
    pictures: PictureTargets | None = None,
) -> LocalizationReport:
    """mAP of stored segments, and of video-level scores where a ``videos.jsonl`` is beside them; videos are matched
    with the truth by file name where the paths differ.

    results: a ``detections.jsonl``, predictions in ActivityNet's JSON format, or a folder with one; None: the newest in
        the workspace
    manifest: CSV with times in seconds, or an annotation file of THUMOS14 or ActivityNet (JSON)
    ambiguous: CSV or ``Ambiguous_test.txt``, for the protocol ``snippets``; None takes what ``datasets import`` wrote
        beside the manifest

    Raises:
        BadInput: no results, no truth, no times, or a name that fits several videos.
        BadManifest, BadAnnotation: the truth does not read.
    """
    if manifest is None:
        raise BadInput("Times come from a file: give --manifest labels.csv (vidlang datasets import writes one).")
    path = find_localization(workspace, results)
    labels = read_labels(manifest, split)
    predictions = _under_truth_names(read_predictions(path), labels)
    unclear, notes = _ambiguous_of(manifest, ambiguous, protocol)
    left_open = [] if unclear is None else _labels_under_truth_names(_read_ambiguous(unclear), labels)
    scores = evaluate(
        predictions,
        labels,
        protocol=protocol,
        thresholds=thresholds,
        area=area,
        ambiguous=left_open,
        outside=outside,
    )
    classification, more = _classification(path.with_name(VIDEO_SCORES_FILE), labels)
    used = None if unclear is None else str(unclear)
    notes = [*notes, *scores.notes, *more]
    files: tuple[Path, ...] = ()
    if pictures:
        from vidlang.workflows.evaluate_views_localization import localization_view

        facts = [
            ("results", str(path)),
            ("truth", str(manifest)),
            ("split", split or "all"),
            ("protocol", f"{scores.protocol}, AP {scores.area}, predictions in other videos: {scores.outside}"),
            ("videos", scores.num_videos),
        ]
        view = localization_view(scores, predictions, labels, left_open, facts=facts, notes=notes)
        files = pictures.write(view)
    return LocalizationReport(scores, str(path), str(manifest), split, used, tuple(notes), classification, files)


def _classification(path: Path, labels: Sequence[Label]) -> tuple[VideoClassification | None, list[str]]:
    """Average precision of the scores beside the results, and notes; None where there are none."""
    if not path.is_file():
        return None, []
    stored = read_video_scores(path)
    names = _names(stored, labels)
    scored = {names[video_id]: scores for video_id, scores in stored.items() if video_id in names}
    judged = [label for label in labels if label.video_id in scored]
    known = set.intersection(*(set(scored[label.video_id]) for label in judged)) if judged else set()
    asked = {name for label in judged for name in label.classes}
    classes = sorted(known & asked)
    if not classes:
        return None, [f"no video-level mAP: {path.name} scores no class of a video of the truth"]
    values = [[scored[label.video_id][name] for name in classes] for label in judged]
    found = video_classification(values, [[name in label.classes for name in classes] for label in judged])
    notes = []
    if len(judged) < len(labels):
        notes.append(f"video-level mAP: {len(labels) - len(judged)} of {len(labels)} videos have no scores")
    if asked - known:
        notes.append(f"video-level mAP: classes without scores left out: {', '.join(sorted(asked - known)[:3])}")
    per_class = {name: value for name, value in zip(classes, found.per_class, strict=True) if value is not None}
    return VideoClassification(found.mean, per_class, len(judged)), notes


def read_labels(manifest: Path, split: str | None = None) -> list[Label]:
    """The truth of a manifest or of an annotation file, of one split where asked.

    split: also a name that data sets give it, such as ``validation``

    Raises:
        BadInput: nothing is in that split.
    """
    labels = read_database(manifest) if manifest.suffix.casefold() == ".json" else read_manifest(manifest)
    if split is None:
        return labels
    wanted = SPLITS.get(split.casefold(), split)
    chosen = [label for label in labels if label.split == wanted]
    if not chosen:
        there = sorted({label.split for label in labels if label.split is not None})
        raise BadInput(f"{manifest} has no video of the split {split!r}. It has: {', '.join(there) or 'no splits'}.")
    return chosen


def read_predictions(path: Path) -> list[Detection]:
    """Detections of a ``.jsonl`` file, or of ActivityNet's JSON format."""
    return list(read_activitynet(path).detections) if path.suffix.casefold() == ".json" else read_detections(path)


def find_localization(workspace: Workspace, results: Path | None) -> Path:
    """The file of segments: given, inside a given folder, or the newest in the workspace."""
    if results is not None:
        if not results.is_dir():
            if not results.is_file():
                raise BadInput(
                    f"{results} is not there. vidlang localize writes a {RESULT_FILES[0]}; give it or its folder."
                )
            return results
        found = _inside(results)
        if found is None:
            raise BadInput(f"{results} holds none of {', '.join(RESULT_FILES)}.")
        return found
    stored = sorted((workspace.results_dir / "localize").glob("*/"), reverse=True)
    newest = next((path for folder in stored if (path := _inside(folder)) is not None), None)
    if newest is None:
        raise BadInput(f"No localization in {workspace.results_dir}. Run: vidlang localize videos/")
    return newest


def _inside(folder: Path) -> Path | None:
    return next((folder / name for name in RESULT_FILES if (folder / name).is_file()), None)


def thresholds_of(text: str) -> tuple[float, ...]:
    """``0.3,0.5`` or ``0.5:0.05:0.95`` (first, step, last) as numbers, counted in decimals so that 0.3 is 0.3.

    Raises:
        BadInput: no thresholds above 0 and up to 1.
    """
    try:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        numbers = tuple(dict.fromkeys(float(number) for part in parts for number in _range_of(part)))
    except (InvalidOperation, ValueError) as error:
        raise BadInput(f"--tiou takes 0.3,0.5 or first:step:last such as 0.1:0.1:0.7, got {text!r}.") from error
    if not numbers or not all(0 < number <= 1 for number in numbers):
        raise BadInput(f"--tiou takes thresholds above 0 and up to 1, got {text!r}.")
    return numbers


def _range_of(part: str) -> list[Decimal]:
    if ":" not in part:
        return [Decimal(part)]
    first, step, last = map(Decimal, part.split(":"))
    if not (step > 0 and 0 < first <= last <= 1) or (last - first) / step > 1000:
        raise ValueError(f"{part!r} is no range of thresholds")
    return [first + step * index for index in range(int((last - first) / step) + 1)]


# -- names -----------------------------------------------------------------------------------------------------------


def _names(known: Iterable[str], labels: Sequence[Label]) -> dict[str, str]:
    """The user's ids → ids of the truth, for those that have one."""
    known, wanted = list(dict.fromkeys(known)), [label.video_id for label in labels]
    matched = match_names(wanted, known)
    free = set(wanted) - set(matched.values())
    for video_id in known:
        name = path_key(video_id).rsplit("/", 1)[-1].removeprefix(FILE_PREFIX)
        if video_id not in matched and name in free:
            matched[video_id] = name
            free.discard(name)
    return matched


def _under_truth_names(predictions: Sequence[Detection], labels: Sequence[Label]) -> list[Detection]:
    names = _names((prediction.video_id for prediction in predictions), labels)
    return [replace(one, video_id=names.get(one.video_id, one.video_id)) for one in predictions]


def _labels_under_truth_names(ambiguous: Sequence[Label], labels: Sequence[Label]) -> list[Label]:
    names = _names((label.video_id for label in ambiguous), labels)
    return [replace(one, video_id=names.get(one.video_id, one.video_id)) for one in ambiguous]


# -- ambiguous segments ----------------------------------------------------------------------------------------------


def _ambiguous_of(manifest: Path, given: Path | None, protocol: Protocol) -> tuple[Path | None, list[str]]:
    """The file of ambiguous segments, and notes."""
    if protocol != "snippets":
        if given is not None:
            raise BadInput("--ambiguous is for --protocol snippets; the other protocols judge every prediction.")
        return None, []
    if given is not None:
        return given, []
    beside = (ambiguous_file(manifest), manifest.with_name("Ambiguous_test.txt"))
    found = next((path for path in beside if path.is_file()), None)
    if found is None:
        return None, [f"no {beside[0].name} beside the manifest: no prediction is left out as ambiguous"]
    return found, []


def _read_ambiguous(path: Path) -> list[Label]:
    return read_ambiguous(path) if path.suffix.casefold() == ".txt" else read_manifest(path)
