"""What people look at beside the files of results: pictures, a page, videos with scores drawn into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, Label, Outcome, Progress, Segment, VideoInfo, VidlangError
from vidlang.metrics.truth import bounds
from vidlang.report.drawing import Form
from vidlang.report.overlay import OverlayLayers
from vidlang.report.video_story import PageWords
from vidlang.workflows.chosen import encoder_limits
from vidlang.workflows.overlay import ENDINGS as OVERLAY_ENDINGS
from vidlang.workflows.overlay import write_overlay
from vidlang.workflows.page_parts import check_embedded, made_by_facts
from vidlang.workflows.targets import check_target, file_of

PAGE_ENDINGS = (".html", ".htm")
PICTURE_ENDINGS = (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class Looks:
    """What is asked for."""

    plot: bool = True
    """A picture of each video."""
    plot_to: Path | None = None
    """A file for one video, or a folder; None: among the results."""
    report: Path | None = None
    """The page."""
    embed: bool = False
    """Videos lie in the page instead of being linked."""
    overlay: Path | None = None
    """A file for one video, or a folder."""
    cached: bool = False
    """No video is at hand."""

    def __post_init__(self) -> None:
        if self.embed and self.report is None:
            raise BadInput("--embed puts the videos into the page; say where that goes with --report FILE.html.")
        if self.overlay is not None and self.cached:
            raise BadInput("--overlay draws into the videos, and --cached opens none; give the files instead.")
        if self.plot_to is not None and not self.plot:
            raise BadInput("--plot-to says where pictures go and --no-plot that there are none; give one of them.")
        if self.report is not None:
            check_target(self.report, [], PAGE_ENDINGS)

    def check(self, videos: Mapping[str, Path]) -> None:
        """Before anything is computed: do the targets fit the videos?

        Raises:
            BadInput: they do not.
        """
        for option, target, endings in (
            ("--plot-to", self.plot_to, PICTURE_ENDINGS),
            ("--overlay", self.overlay, OVERLAY_ENDINGS),
        ):
            if target is None:
                continue
            if _is_file(target, endings) and len(videos) > 1:
                raise BadInput(f"{option} {target} names one file for {len(videos)} videos; name a folder instead.")
            if _is_file(target, endings):
                check_target(target, list(videos.values()), endings)
            elif target.suffix and not target.is_dir():
                raise BadInput(f"{option} {target} is no folder and does not end in {', '.join(endings)}.")
        if self.embed:
            check_embedded(videos.values(), "name fewer videos")

    def picture_target(self, folder: Path, video_id: str) -> tuple[Path, Form]:
        """Where the picture of a video goes, and its format."""
        if self.plot_to is not None and _is_file(self.plot_to, PICTURE_ENDINGS):
            return self.plot_to, cast(Form, self.plot_to.suffix.lower()[1:])
        return file_of(self.plot_to or folder, video_id, ".png"), "png"


def _is_file(target: Path, endings: Sequence[str]) -> bool:
    return target.suffix.lower() in endings and not target.is_dir()


def write_overlays(
    target: Path,
    videos: Sequence[tuple[VideoInfo, Path, OverlayLayers]],
    progress: Progress,
) -> dict[str, VidlangError]:
    """Videos with their layers drawn in; returns those that failed, by id."""
    failed: dict[str, VidlangError] = {}
    for video, path, layers in videos:
        out = target if _is_file(target, OVERLAY_ENDINGS) else file_of(target, video.id, ".mp4")
        try:
            write_overlay(path, out, layers, progress=progress, frame_rate=video.frame_rate or None)
        except VidlangError as error:
            failed[video.id] = error
            progress.message(f"failed: {error}")
    return failed


def page_words(made_by: Mapping[str, Any], outcomes: Iterable[Outcome], title: str, lead: str) -> PageWords:
    """What a page says around its videos, for every verb: what must be said first, how it was made, what failed."""
    note = str(made_by.get("note", ""))
    return PageWords(
        title=title,
        lead=lead[:1].upper() + lead[1:],
        notes=(note[0].upper() + note[1:] + ".",) if note else (),
        limits=encoder_limits(str(made_by.get("encoder", ""))),
        facts=made_by_facts(made_by, with_note=False),
        failed=[(outcome.video_id, str(outcome.error)) for outcome in outcomes if outcome.status == "failed"],
    )


def true_segments(
    label: Label | None, frames: NDArray[np.int64], seconds: NDArray[np.float64]
) -> tuple[tuple[str, Segment], ...]:
    """(class, seconds) of the known events of a video, also where they are known in frames.

    frames, seconds: [T, 2] of the video's rows
    """
    events = label.segments if label is not None else ()
    return tuple((event.label, Segment(*bounds(event, "seconds", frames, seconds))) for event in events)


def with_failures(outcomes: Iterable[Outcome], failed: Mapping[str, VidlangError]) -> tuple[Outcome, ...]:
    """Outcomes of which some failed later."""
    return tuple(
        Outcome(each.video_id, "failed", error=failed[each.video_id]) if each.video_id in failed else each
        for each in outcomes
    )
