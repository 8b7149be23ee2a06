"""Stored results and labels to metrics. No model, no features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidlang.core import BadInput, Label, Scores
from vidlang.core.results import BRANCH_TITLES
from vidlang.datasets.manifest import labels_from_folders, match_ids, read_manifest
from vidlang.metrics.anomaly import measure
from vidlang.store.results import SCORES_FILE, read_scores
from vidlang.store.workspace import Workspace
from vidlang.workflows.evaluate_targets import PictureTargets


@dataclass(frozen=True)
class AnomalyReport:
    """Metrics of each branch over one set of videos."""

    num_videos: int
    source: str
    metrics: dict[str, dict[str, float]]
    """Branch title → metric → value."""
    undefined: dict[str, str]
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()
    """Pictures and the page, where they were asked for."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "vidlang.eval.anomaly/1",
            "videos": self.num_videos,
            "source": self.source,
            "metrics": self.metrics,
            "undefined": self.undefined,
            "notes": list(self.notes),
        }


def evaluate_anomaly(
    workspace: Workspace,
    results: Path | None = None,
    *,
    manifest: Path | None = None,
    split: str | None = None,
    normal: str | None = None,
    detection: Literal["clean", "reference"] = "clean",
    allow_missing: bool = False,
    pictures: PictureTargets | None = None,
) -> AnomalyReport:
    """Metrics of stored scores against a manifest, or against folder labels where there is none.

    Raises:
        BadInput: no results, no labels, or videos that do not pair up (named).
    """
    path = find_results(workspace, results)
    scores = read_scores(path)
    if not scores:
        raise BadInput(f"{path} holds no scores. Run: vidlang score videos/")
    ids = [item.video.id for item in scores]
    missing: list[str] | None = [] if allow_missing else None
    labels = truth_of(ids, manifest, split, missing)
    if split is not None:  # scores of other splits are not part of the question
        wanted = {label.video_id for label in labels}
        scores = [item for item in scores if item.video.id in wanted]
    branches = branches_of(scores)
    metrics: dict[str, dict[str, float]] = {}
    undefined: dict[str, str] = {}
    notes: list[str] = []
    if missing:
        notes.append(f"{len(missing)} labelled videos have no scores and are left out, such as {missing[0]}")
    for branch in branches:
        report = measure(
            scores, labels, normal=normal, branch=branch, detection=(detection,), allow_missing=allow_missing
        )
        metrics[BRANCH_TITLES.get(branch or "", branch or "anomaly")] = report.metrics
        undefined.update(report.undefined)
        notes += [note for note in report.notes if note not in notes]
    reasons: dict[str, list[str]] = {}
    for name, reason in undefined.items():
        if "/" not in name:
            reasons.setdefault(reason, []).append(name)
    notes += [f"no {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    made_by = scores[0].made_by if scores else {}
    if made_by.get("note"):
        notes.append(str(made_by["note"]))
    files: tuple[Path, ...] = ()
    if pictures:
        from vidlang.workflows.evaluate_views import anomaly_view

        truth = "classes by folder" if manifest is None else str(manifest)
        facts = [("results", str(path)), ("truth", truth), ("split", split or "all"), ("videos", len(scores))]
        files = pictures.write(
            anomaly_view(
                scores, labels, metrics, branches=branches, facts=facts, notes=notes, folder=path.parent,
                normal=normal, allow_missing=allow_missing,
            )
        )  # fmt: skip
    return AnomalyReport(len(scores), str(path), metrics, undefined, tuple(notes), files)


def branches_of(scores: Sequence[Scores]) -> list[str | None]:
    """The curves that every video has; None for the main one where none is named. The chosen branch comes first."""
    if not scores:
        return [None]
    shared = set(scores[0].branches).intersection(*(item.branches for item in scores))
    main = scores[0].made_by.get("branch")
    return [main, *sorted(shared - {main})] if shared else [None]


def truth_of(
    ids: Sequence[str], manifest: Path | None, split: str | None, missing: list[str] | None = None
) -> list[Label]:
    """Labels for scored videos, under the ids of the scores (matched by file name where paths differ).

    missing: takes the labelled videos without scores, and allows them
    """
    if manifest is None:
        if split is not None:
            raise BadInput("--split names a part of a manifest; give one with --manifest.")
        labels, unlabelled = folder_labels(ids)
        if unlabelled:
            raise BadInput(
                f"{unlabelled[0]} has no class: it lies in no class folder. Give labels with --manifest labels.csv."
            )
        return labels
    labels = read_manifest(manifest)
    if split is not None:
        labels = [label for label in labels if label.split == split]
        if not labels:
            raise BadInput(f"{manifest} has no video of the split {split!r}.")
    if set(ids) >= {label.video_id for label in labels}:
        return labels
    return match_ids(labels, ids, missing=missing)


def folder_labels(ids: Sequence[str]) -> tuple[list[Label], list[str]]:
    """Labels by folder, and the ids that lie in no folder."""
    unlabelled = [video_id for video_id in ids if "/" not in video_id]
    return labels_from_folders([video_id for video_id in ids if "/" in video_id]), unlabelled


def find_results(workspace: Workspace, results: Path | None) -> Path:
    """The file of scores: given, inside a given folder, or the newest in the workspace."""
    if results is not None:
        path = results / SCORES_FILE if results.is_dir() else results
        if not path.is_file():
            raise BadInput(f"{path} is not there. vidlang score writes a {SCORES_FILE}; give it or its folder.")
        return path
    stored = sorted((workspace.results_dir / "score").glob(f"*/{SCORES_FILE}"))
    if not stored:
        raise BadInput(f"No results in {workspace.results_dir}. Run: vidlang score videos/")
    return stored[-1]
