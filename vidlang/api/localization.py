"""When which action happens: in videos, and in features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from vidlang.api.common import (
    PathLike,
    Paths,
    ProgressLike,
    WorkspaceLike,
    path_of,
    paths_of,
    place_of,
    progress_of,
    words_of,
)
from vidlang.api.results import LocalizeResult
from vidlang.core.features import Pick, Precision
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.localize import LocalizeOptions
from vidlang.workflows.localize import localize as run
from vidlang.workflows.recipe import RecipeChanges

Branch = Literal["cbp", "vlp", "average", "weighted"]


def localize(
    paths: Paths,
    *,
    checkpoint: PathLike | None = None,
    labels: str | Sequence[str] | None = None,
    branch: Branch | None = None,
    weight: float = 0.5,
    proposals: str = "robust",
    motion_prior: float | None = None,
    motion_file: PathLike | None = None,
    top: int = 5,
    manifest: PathLike | None = None,
    split: str | None = None,
    plot: bool = True,
    plot_to: PathLike | None = None,
    report: PathLike | None = None,
    embed: bool = False,
    overlay: PathLike | None = None,
    out: PathLike | None = None,
    cached: bool = False,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    precision: Precision | None = None,
    frame_rate: float | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
    **changes: Any,
) -> LocalizeResult:
    """Start, end, action and confidence of what happens in videos; also written to a folder of results.

    Uses the newest checkpoint of ``train("wtal")``, or finds actions by their names alone with ``labels``.

    changes: fields of ``ProposalOptions`` that differ from the preset ``proposals``

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: nothing can be localized at all. A video that fails
            is in ``.failed``.
    """
    place = place_of(workspace)
    options = LocalizeOptions(
        checkpoint=None if checkpoint is None else str(checkpoint),
        labels=words_of(labels),
        branch=branch,
        weight=weight,
        proposals=proposals,
        changes=changes,
        motion_prior=motion_prior,
        motion=path_of(motion_file),
        top=top,
        plot=plot,
        plot_to=path_of(plot_to),
        report=path_of(report),
        embed=embed,
        overlay=path_of(overlay),
        device=device or place.settings.device,
        out=path_of(out),
        manifest=path_of(manifest),
        split=split,
        cached=cached,
    )
    recipe = RecipeChanges(encoder=encoder, stride=stride, pick=pick, fps=fps, precision=precision)
    extraction = ExtractOptions(batch_size=batch_size, num_workers=workers, frame_rate=frame_rate)
    return LocalizeResult(run(paths_of(paths), place, options, recipe, extraction, progress_of(progress)))
