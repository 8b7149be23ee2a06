"""What pages of several verbs share: how videos play, stills of them, and how results were made in words."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidlang.core import BadInput, FeatureRecipe, Progress, VidlangError
from vidlang.core.results import BRANCH_TITLES
from vidlang.report.thumbs import thumbnail
from vidlang.report.video_story import Player
from vidlang.report.web import data_uri, video_source
from vidlang.store.atomic import write_bytes
from vidlang.video.files import is_frame_folder
from vidlang.workflows.pictures import browser_copy, frames_at, mime_of, why_not_played

logger = logging.getLogger(__name__)

EMBED_LIMIT = 200_000_000
"""Bytes of videos that one page takes; the page is a third larger, and browsers hold all of it in memory."""
STILL_WIDTH = 240
"""Pixels."""
NOT_OPENED = "The features came from the cache and no video was opened: nothing to play, no stills."


@dataclass
class PageVideos:
    """The videos of one page: how each is played, and stills of it."""

    page: Path
    """The page's absolute path."""
    files: Mapping[str, Path]
    """Videos at hand, by id."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Frames per second by id, for folders of frames: those that their features were made with."""
    embed: bool = False
    absent: str = NOT_OPENED
    """What takes the place of a video that is not at hand."""
    embedded: int = field(default=0, init=False)
    """Bytes of videos in the page so far."""

    def player(self, video_id: str) -> Player:
        """How a video is played, or why it is not."""
        path = self.files.get(video_id)
        if path is None:
            return Player(None, self.absent)
        path = Path(os.path.abspath(path))
        try:
            obstacle = why_not_played(path)
            if self.embed:
                return self._embedded(video_id, path, obstacle)
        except (OSError, VidlangError) as error:
            return Player(None, f"The video cannot be shown: {error}")
        return self._linked(path, obstacle)

    def _linked(self, path: Path, obstacle: str | None) -> Player:
        if is_frame_folder(path):
            return Player(None, "The video is a folder of frames. With --embed the page holds a video made of them.")
        if obstacle is not None:
            return Player(None, f"Browsers do not play {obstacle}. With --embed the page holds a copy that they play.")
        return Player(video_source(path, self.page))

    def _embedded(self, video_id: str, path: Path, obstacle: str | None) -> Player:
        data = path.read_bytes() if obstacle is None else browser_copy(path, self.rates.get(video_id) or None)
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
        if path is None:
            return (None,) * len(seconds)
        return tuple(stills_of(path, seconds, self.rates.get(video_id)))


def check_embedded(videos: Iterable[Path], fewer: str) -> None:
    """Before anything is computed: do the videos fit into one page?

    fewer: how to ask for fewer of them

    Raises:
        BadInput: they do not.
    """
    total = sum(map(_size, videos))
    if total > EMBED_LIMIT:
        raise BadInput(
            f"--embed would put {total / 1e6:.0f} MB of videos into one page, which takes {EMBED_LIMIT / 1e6:.0f}. "
            f"Leave --embed out, so that the page links them, or {fewer}."
        )


def _size(path: Path) -> int:
    """Bytes; of a folder, of the files in it."""
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return sum(file.stat().st_size for file in files)


def write_page(page: Path, html: str, videos: PageVideos, progress: Progress) -> None:
    """Writes a page; says how large it is where it holds videos."""
    data = html.encode("utf-8")
    write_bytes(page, data)
    if videos.embedded:
        progress.message(f"{page} has {len(data) / 1e6:.1f} MB, for {videos.embedded / 1e6:.1f} MB of videos in it.")


def stills_of(path: Path, seconds: Sequence[float], frame_rate: float | None = None) -> list[bytes | None]:
    """A JPEG of a video at each of these seconds, in the order asked; None where the video does not read.

    frame_rate: frames per second of a folder of frames; None or 0: not known
    """
    if not seconds:
        return []
    try:
        frames = frames_at(path, seconds, frame_rate=frame_rate or None)
    except VidlangError as error:
        logger.warning("no stills of %s: %s", path, error)
        return [None] * len(seconds)
    return [thumbnail(frame, STILL_WIDTH) for frame in frames]


def made_by_facts(made_by: Mapping[str, Any], *, with_note: bool = True) -> list[tuple[str, object]]:
    """How results were made, as (name, value) for people; what is nothing is left out.

    with_note: pages that say notes elsewhere leave it out
    """
    facts: list[tuple[str, object]] = []
    for name, value in made_by.items():
        if name == "note" or value in (None, {}, [], ()):
            continue
        if name == "recipe" and isinstance(value, Mapping):
            recipe = FeatureRecipe.from_dict(value)
            facts += [("recipe", f"{recipe.name} ({recipe.fingerprint})"), ("revision", recipe.revision)]
            facts.append(("pixels", f"{recipe.preprocess}; {recipe.precision}"))
        elif name == "branch":
            facts.append((name, BRANCH_TITLES.get(str(value), value)))
        else:
            facts.append((name.replace("_", " "), in_words(value)))
    return [*facts, *([("note", made_by["note"])] if with_note and made_by.get("note") else [])]


def in_words(value: object) -> object:
    """A list, or names with values, as one line; anything else as it is."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
