"""What moves in videos: frame differences, masks, and merging with another background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vidlang.api.common import (
    PathLike,
    Paths,
    ProgressLike,
    WorkspaceLike,
    path_of,
    paths_of,
    place_of,
    progress_of,
)
from vidlang.core.words import words_of
from vidlang.methods.fame.options import MaskOptions
from vidlang.workflows.diff import DiffOptions, MotionOptions
from vidlang.workflows.diff import diff as run_diff
from vidlang.workflows.fame_mask import MaskVideoOptions, mask_videos
from vidlang.workflows.fame_merge import MergeOptions, merge_videos

if TYPE_CHECKING:
    from vidlang.workflows.diff import DiffReport
    from vidlang.workflows.fame_mask import MaskReport
    from vidlang.workflows.fame_merge import MergeReport


def diff(
    paths: Paths,
    *,
    out: PathLike | None = None,
    write: str | Sequence[str] = "json,csv,png",
    compensate: bool = False,
    size: int = 360,
    rate: float | None = None,
    hottest: float = 40.0,
    stride: int | None = None,
    fps: float | None = None,
    frame_rate: float | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> DiffReport:
    """How much moves, where and when: ``report.videos[0].curve.energy`` is [T] in grey levels (0 to 255).

    out: a file (.mp4, .png, .json, .csv), or a folder, which gets what ``write`` names
    size: pixels of the shorter side of what is compared; 0: full size

    Raises:
        BadInput: nothing can be compared at all. A video that fails is an outcome of the report.
    """
    options = DiffOptions(
        motion=MotionOptions(size or None, rate, compensate),
        stride=stride,
        fps=fps,
        kinds=words_of(write) or (),
        hottest=hottest,
        out=path_of(out),
        frame_rate=frame_rate,
    )
    return run_diff(paths_of(paths), place_of(workspace), options, progress_of(progress))


def fame_mask(
    paths: Paths,
    *,
    out: PathLike | None = None,
    write: str | Sequence[str] = "mp4,png",
    plain: bool = False,
    window: int = 16,
    size: int | None = None,
    frame_rate: float | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
    **changes: Any,
) -> MaskReport:
    """Which pixels move: one mask for every ``window`` frames.

    changes: fields of ``MaskOptions``, such as ``method="seed", beta=0.2``

    Raises:
        BadInput: nothing can be masked at all.
        BadVideo: the only video does not read. Among several, one that fails is an outcome of the report.
    """
    options = MaskVideoOptions(
        masks=MaskOptions(**changes),
        window=window,
        size=size,
        plain=plain,
        kinds=words_of(write) or (),
        out=path_of(out),
        frame_rate=frame_rate,
    )
    return mask_videos(paths_of(paths), place_of(workspace), options, progress_of(progress))


def fame_merge(
    foreground: PathLike,
    background: PathLike | None = None,
    *,
    out: PathLike | None = None,
    source: Literal["inter", "intra"] = "inter",
    seed: int = 0,
    window: int = 16,
    size: int | None = None,
    frame_rate: float | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
    **changes: Any,
) -> MergeReport:
    """What moves in one video over the frames of another, or of another time of its own (``source="intra"``).

    changes: fields of ``MaskOptions``

    Raises:
        BadInput, BadVideo: the videos cannot be merged.
    """
    options = MergeOptions(
        masks=MaskOptions(**changes),
        window=window,
        size=size,
        intra=source == "intra",
        seed=seed,
        out=path_of(out),
        frame_rate=frame_rate,
    )
    return merge_videos(Path(foreground), path_of(background), place_of(workspace), options, progress_of(progress))
