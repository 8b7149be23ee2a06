"""Stored results, networks and checkpoints, measured against labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from vidlang.api.common import (
    PathLike,
    Paths,
    ProgressLike,
    WorkspaceLike,
    name_of,
    path_of,
    paths_of,
    place_of,
    progress_of,
)
from vidlang.core import UnknownName

if TYPE_CHECKING:
    from vidlang.workflows.evaluate import AnomalyReport
    from vidlang.workflows.evaluate_background import BackgroundReport
    from vidlang.workflows.evaluate_localization import LocalizationReport
    from vidlang.workflows.evaluate_representation import RepresentationReport
    from vidlang.workflows.evaluate_retrieval import RetrievalReport


def evaluate_anomaly(
    results: PathLike | None = None,
    *,
    manifest: PathLike | None = None,
    split: str | None = None,
    normal: str | None = None,
    detection: Literal["clean", "reference"] = "clean",
    allow_missing: bool = False,
    plot: PathLike | None = None,
    report: PathLike | None = None,
    workspace: WorkspaceLike = None,
) -> AnomalyReport:
    """Frame AUC, AP, AUC on abnormal videos, per class, video AUC, detection mAP.

    results: a ``scores.jsonl``, or the folder that ``score`` wrote; None: the newest

    Raises:
        BadInput: no results, no labels, or videos that do not pair up.
    """
    from vidlang.workflows.evaluate import evaluate_anomaly as run
    from vidlang.workflows.evaluate_targets import PictureTargets

    return run(
        place_of(workspace),
        path_of(results),
        manifest=path_of(manifest),
        split=split,
        normal=normal,
        detection=detection,
        allow_missing=allow_missing,
        pictures=PictureTargets(path_of(plot), path_of(report)),
    )


def evaluate_retrieval(
    results: PathLike | None = None,
    *,
    truth: PathLike | None = None,
    pairs: PathLike | None = None,
    mode: Literal["clean", "reference"] = "clean",
    plot: PathLike | None = None,
    report: PathLike | None = None,
    workspace: WorkspaceLike = None,
) -> RetrievalReport:
    """mAP, micro-AP and recall of rankings.

    results: ``rankings.jsonl``, ``similarities.npz``, or the folder that ``retrieve`` wrote; None: the newest
    truth: what ``vidlang datasets import`` wrote    pairs: a CSV of query,video[,label] instead

    Raises:
        BadInput: no results, no truth, or videos that do not pair up.
    """
    from vidlang.workflows.evaluate_retrieval import evaluate_retrieval as run
    from vidlang.workflows.evaluate_targets import PictureTargets

    return run(
        place_of(workspace),
        path_of(results),
        truth=path_of(truth),
        pairs=path_of(pairs),
        mode=mode,
        pictures=PictureTargets(path_of(plot), path_of(report)),
    )


def evaluate_localization(
    results: PathLike | None = None,
    *,
    manifest: PathLike | None = None,
    split: str | None = None,
    protocol: Literal["thumos14", "activitynet", "snippets"] = "thumos14",
    tiou: str | Sequence[float] | None = None,
    ap: Literal["interp", "hits"] = "interp",
    outside: Literal["wrong", "drop"] = "wrong",
    ambiguous: PathLike | None = None,
    plot: PathLike | None = None,
    report: PathLike | None = None,
    workspace: WorkspaceLike = None,
) -> LocalizationReport:
    """mAP of action segments at tIoU thresholds, by the rules of ActivityNet and THUMOS14.

    results: ``detections.jsonl``, ActivityNet's JSON, or the folder that ``localize`` wrote; None: the newest
    tiou: thresholds, or text as ``0.3,0.5`` or ``first:step:last``; None: those of the protocol

    Raises:
        BadInput: no results, no labels, or videos that do not pair up.
    """
    from vidlang.workflows.evaluate_localization import evaluate_localization as run
    from vidlang.workflows.evaluate_localization import thresholds_of
    from vidlang.workflows.evaluate_targets import PictureTargets

    return run(
        place_of(workspace),
        path_of(results),
        manifest=path_of(manifest),
        split=split,
        protocol=protocol,
        thresholds=thresholds_of(tiou) if isinstance(tiou, str) else tiou,
        area=ap,
        ambiguous=path_of(ambiguous),
        outside=outside,
        pictures=PictureTargets(path_of(plot), path_of(report)),
    )


def evaluate_representation(
    videos: Paths,
    *,
    checkpoint: PathLike | None = None,
    manifest: PathLike | None = None,
    test_fraction: float = 0.2,
    center: Literal["none", "own", "gallery"] = "none",
    short_side: int | None = None,
    clips: int = 10,
    encoder: str | None = None,
    workers: int | None = None,
    plot: PathLike | None = None,
    report: PathLike | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> RepresentationReport:
    """Recognition and retrieval by the features of a video network, beside fresh weights and cached features.

    Raises:
        BadInput, BadManifest, BadCheckpoint, UnknownName: nothing can be measured.
    """
    from vidlang.workflows.evaluate_representation import RepresentationOptions
    from vidlang.workflows.evaluate_representation import evaluate_representation as run
    from vidlang.workflows.evaluate_targets import PictureTargets

    place = place_of(workspace)
    options = RepresentationOptions(
        checkpoint=name_of(checkpoint),
        manifest=path_of(manifest),
        test_fraction=test_fraction,
        center=center,
        short_side=short_side,
        num_clips=clips,
        encoder=encoder,
        num_workers=workers,
        device=device or place.settings.device,
    )
    pictures = PictureTargets(path_of(plot), path_of(report))
    return run([Path(path) for path in paths_of(videos)], place, options, progress_of(progress), pictures)


def evaluate_background(
    paths: Paths | None = None,
    *,
    checkpoint: PathLike | None = None,
    manifest: PathLike | None = None,
    split: str | None = None,
    normal: str | None = None,
    method: str = "fame",
    beta: float = 0.5,
    size: int = 256,
    limit: int | None = None,
    seed: int = 0,
    keep: PathLike | None = None,
    frame_rate: float | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    plot: PathLike | None = None,
    report: PathLike | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> BackgroundReport:
    """How much the scores of a VadCLIP checkpoint hang on the background of labelled clips.

    Raises:
        BadInput, BadManifest, BadCheckpoint, UnknownName: nothing can be measured.
    """
    from vidlang.methods.fame.options import MaskOptions
    from vidlang.workflows.evaluate_background import BackgroundOptions
    from vidlang.workflows.evaluate_background import evaluate_background as run
    from vidlang.workflows.evaluate_targets import PictureTargets
    from vidlang.workflows.extract import ExtractOptions

    place = place_of(workspace)
    masks: dict[str, Any] = {"method": method, "beta": beta}
    options = BackgroundOptions(
        checkpoint=name_of(checkpoint),
        manifest=path_of(manifest),
        split=split,
        normal=normal,
        masks=MaskOptions(**masks),
        size=size,
        limit=limit,
        seed=seed,
        keep=path_of(keep),
        device=device or place.settings.device,
    )
    extraction = ExtractOptions(batch_size=batch_size, num_workers=workers, frame_rate=frame_rate)
    pictures = PictureTargets(path_of(plot), path_of(report))
    return run(paths_of(paths), place, options, extraction, progress_of(progress), pictures)


@overload
def evaluate(task: Literal["anomaly"], results: PathLike | None = None, **options: Any) -> AnomalyReport: ...
@overload
def evaluate(task: Literal["retrieval"], results: PathLike | None = None, **options: Any) -> RetrievalReport: ...
@overload
def evaluate(task: Literal["localization"], results: PathLike | None = None, **options: Any) -> LocalizationReport: ...
@overload
def evaluate(task: Literal["representation"], results: Paths, **options: Any) -> RepresentationReport: ...
@overload
def evaluate(task: Literal["background"], results: Paths, **options: Any) -> BackgroundReport: ...
def evaluate(task: str, results: Any = None, **options: Any) -> Any:
    """Measures by the name of the task: ``evaluate("anomaly", manifest="labels.csv")``, as ``vidlang eval anomaly``.

    results: stored results; videos where the task is ``representation`` or ``background``

    Raises:
        UnknownName: there is no such task.
    """
    known: dict[str, Callable[..., Any]] = {
        "anomaly": evaluate_anomaly,
        "retrieval": evaluate_retrieval,
        "localization": evaluate_localization,
        "representation": evaluate_representation,
        "background": evaluate_background,
    }
    if task not in known:
        raise UnknownName("task", task, known)
    return known[task](results, **options)
