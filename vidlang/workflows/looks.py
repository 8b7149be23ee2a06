"""What people look at beside the files of results: pictures, a page, videos with scores drawn into them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, Label, Outcome, Progress, Segment, VidlangError
from vidlang.metrics.truth import bounds
from vidlang.report.drawing import Form
from vidlang.report.overlay import OverlayLayers
from vidlang.report.thumbs import thumbnail
from vidlang.report.video_story import PageWords, Player
from vidlang.report.web import data_uri, video_source
from vidlang.store.atomic import write_bytes
from vidlang.video.files import is_frame_folder
from vidlang.workflows.chosen import encoder_limits
from vidlang.workflows.overlay import ENDINGS as OVERLAY_ENDINGS
from vidlang.workflows.overlay import write_overlay
from vidlang.workflows.page_parts import made_by_facts
from vidlang.workflows.pictures import browser_copy, frames_at, mime_of, why_not_played
from vidlang.workflows.targets import check_target, file_of

logger = logging.getLogger(__name__)

PAGE_ENDINGS = (".html", ".htm")
PICTURE_ENDINGS = (".png", ".pdf", ".svg")
EMBED_LIMIT = 200_000_000
"""Bytes of videos that one page takes; the page is a third larger, and browsers hold all of it in memory."""
STILL_WIDTH = 240
"""Pixels."""


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
        total = sum(_size(path) for path in videos.values()) if self.embed else 0
        if total > EMBED_LIMIT:
            raise BadInput(
                f"--embed would put {total / 1e6:.0f} MB of videos into one page, which takes {EMBED_LIMIT / 1e6:.0f}; "
                "leave it out, so that the page links them, or name fewer videos."
            )

    def picture_target(self, folder: Path, video_id: str) -> tuple[Path, Form]:
        """Where the picture of a video goes, and its format."""
        if self.plot_to is not None and _is_file(self.plot_to, PICTURE_ENDINGS):
            return self.plot_to, cast(Form, self.plot_to.suffix.lower()[1:])
        return file_of(self.plot_to or folder, video_id, ".png"), "png"


def _is_file(target: Path, endings: Sequence[str]) -> bool:
    return target.suffix.lower() in endings and not target.is_dir()


def _size(path: Path) -> int:
    """Bytes; of a folder, of the files in it."""
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return sum(file.stat().st_size for file in files)


def write_overlays(
    target: Path,
    videos: Sequence[tuple[str, Path, OverlayLayers]],
    progress: Progress,
    frame_rate: float | None = None,
) -> dict[str, VidlangError]:
    """Videos with their layers drawn in; returns those that failed, by id."""
    failed: dict[str, VidlangError] = {}
    for video_id, path, layers in videos:
        out = target if _is_file(target, OVERLAY_ENDINGS) else file_of(target, video_id, ".mp4")
        try:
            write_overlay(path, out, layers, progress=progress, frame_rate=frame_rate)
        except VidlangError as error:
            failed[video_id] = error
            progress.message(f"failed: {error}")
    return failed


@dataclass
class PageVideos:
    """The videos of one page: how each is played, and stills of it."""

    page: Path
    """The page's absolute path."""
    files: Mapping[str, Path]
    """Videos at hand, by id."""
    embed: bool = False
    frame_rate: float | None = None
    """Of folders of frames."""
    embedded: int = field(default=0, init=False)
    """Bytes of videos in the page so far."""

    def player(self, video_id: str) -> Player:
        """How a video is played, or why it is not."""
        path = self.files.get(video_id)
        if path is None:
            return Player(None, "The features came from the cache and no video was opened: nothing to play, no stills.")
        path = Path(os.path.abspath(path))
        try:
            obstacle = why_not_played(path)
            if self.embed:
                return self._embedded(path, obstacle)
        except VidlangError as error:
            return Player(None, f"The video cannot be shown: {error}")
        return self._linked(path, obstacle)

    def _linked(self, path: Path, obstacle: str | None) -> Player:
        if is_frame_folder(path):
            return Player(None, "The video is a folder of frames. With --embed the page holds a video made of them.")
        if obstacle is not None:
            return Player(None, f"Browsers do not play {obstacle}. With --embed the page holds a copy that they play.")
        return Player(video_source(path, self.page))

    def _embedded(self, path: Path, obstacle: str | None) -> Player:
        data = path.read_bytes() if obstacle is None else browser_copy(path, self.frame_rate)
        if self.embedded + len(data) > EMBED_LIMIT:  # copies may be larger than what they are made from
            linked = self._linked(path, obstacle)
            return Player(linked.source, f"Not embedded: the page holds {EMBED_LIMIT / 1e6:.0f} MB of videos already.")
        self.embedded += len(data)
        if obstacle is None:
            return Player(data_uri(data, mime_of(path)))
        return Player(data_uri(data, "video/mp4"), f"A copy in H.264 without sound; the video itself is {obstacle}.")

    def stills(self, video_id: str, seconds: Sequence[float]) -> tuple[bytes | None, ...]:
        """A JPEG for each of these seconds; none where the video is not at hand or does not read."""
        path = self.files.get(video_id)
        if path is None or not seconds:
            return (None,) * len(seconds)
        try:
            frames = frames_at(path, seconds, STILL_WIDTH, self.frame_rate)
        except VidlangError as error:
            logger.warning("no stills of %s: %s", video_id, error)
            return (None,) * len(seconds)
        return tuple(thumbnail(frame, STILL_WIDTH) for frame in frames)


def write_page(page: Path, html: str, videos: PageVideos, progress: Progress) -> None:
    """Writes a page; says how large it is where it holds videos."""
    data = html.encode("utf-8")
    write_bytes(page, data)
    if videos.embedded:
        progress.message(f"{page} has {len(data) / 1e6:.1f} MB, for {videos.embedded / 1e6:.1f} MB of videos in it.")


def _facts(made_by: Mapping[str, Any]) -> list[tuple[str, object]]:
    """How results were made; notes stand at the top of the page."""
    facts = [(name, value) for name, value in made_by_facts(made_by) if name != "note" and value not in ({}, [], ())]
    return [(name, _plain(value)) for name, value in facts]


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def page_words(made_by: Mapping[str, Any], outcomes: Iterable[Outcome], title: str, lead: str) -> PageWords:
    """What a page says around its videos, for every verb: what must be said first, how it was made, what failed."""
    note = str(made_by.get("note", ""))
    return PageWords(
        title=title,
        lead=lead[:1].upper() + lead[1:],
        notes=(note[0].upper() + note[1:] + ".",) if note else (),
        limits=encoder_limits(str(made_by.get("encoder", ""))),
        facts=_facts(made_by),
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
