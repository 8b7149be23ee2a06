"""The videos of a cache as ``vidlang browse`` lists them: each with its recipes, label, results and file."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, get_args

from vidlang.core import FeatureKey, FeatureRecipe, Label, Progress, VideoInfo
from vidlang.datasets.manifest import labels_from_folders, match_ids, read_manifest
from vidlang.store.feature_cache import FeatureCache
from vidlang.video.files import natural_order
from vidlang.workflows.browse_results import Results, Summary
from vidlang.workflows.cache import matches
from vidlang.workflows.video_files import locate_videos

Order = Literal["name", "score", "events", "longest", "shortest"]
ORDERS: dict[Order, str] = {
    "name": "name",
    "score": "highest score",
    "events": "most events",
    "longest": "longest first",
    "shortest": "shortest first",
}
PAGE = 48
"""Videos on a page."""
REST, AT_LEAST = 20, 2.0
"""The cache is looked through again after this many times as long as it took, and so many seconds."""
LOOK_AGAIN = 10.0
"""Seconds after which a video that was not at hand is looked for again."""


@dataclass(frozen=True)
class Video:
    """A video of the cache."""

    info: VideoInfo
    keys: tuple[FeatureKey, ...]
    """One per recipe."""
    label: Label | None
    sort_key: list[tuple[int, int, str]] = field(repr=False)

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def classes(self) -> str:
        return ", ".join(self.label.classes) if self.label else ""


@dataclass(frozen=True)
class Wanted:
    """Which videos to list, and in which order."""

    words: str = ""
    """Part of the id, or a pattern with ``*`` and ``?``."""
    label: str = ""
    recipe: str = ""
    """Fingerprint."""
    order: Order = "name"
    only_events: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """From an address; what is not known counts as not said."""
        order = query.get("sort", "")
        return cls(
            words=query.get("name", "").strip(),
            label=query.get("label", ""),
            recipe=query.get("recipe", ""),
            order=order if order in get_args(Order) else "name",  # type: ignore[arg-type]
            only_events=query.get("events") == "1",
        )

    def to_query(self) -> dict[str, str]:
        """What ``of`` reads; nothing that is not said."""
        values = {"name": self.words, "label": self.label, "recipe": self.recipe, "events": "1" * self.only_events}
        return {name: value for name, value in {**values, "sort": self.order}.items() if value and value != "name"}


@dataclass(frozen=True)
class _Place:
    """Where a video was found, or that it was not."""

    path: Path | None
    stamp: object
    looked: float

    @classmethod
    def of(cls, path: Path | None) -> _Place:
        return cls(path, None if path is None else _stamp(path), time.monotonic())

    def holds(self) -> bool:
        """Whether that is still so."""
        if self.path is None:
            return time.monotonic() < self.looked + LOOK_AGAIN
        return self.stamp is not None and _stamp(self.path) == self.stamp


def _stamp(path: Path) -> object:
    """None for what is not there."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


class Catalog:
    """All videos of a cache that match, kept up to date as far as that is cheap."""

    def __init__(
        self,
        cache: FeatureCache,
        results: Results,
        *,
        patterns: Sequence[str] = (),
        recipe: FeatureRecipe | None = None,
        manifest: Path | None = None,
        split: str | None = None,
        folders: Sequence[Path] = (),
    ) -> None:
        """folders: where to look for the video files first"""
        self.cache, self.results, self.patterns, self.recipe = cache, results, tuple(patterns), recipe
        self.folders, self.version = tuple(folders), 0
        labels = read_manifest(manifest) if manifest is not None else None
        self._listed = [label for label in labels if split in (None, label.split)] if labels is not None else None
        self.labels: tuple[str, ...] = ()
        """Classes of the videos, sorted."""
        self.recipes: tuple[FeatureRecipe, ...] = ()
        """Of the videos, by name."""
        self._videos: dict[str, Video] = {}
        self._places: dict[str, _Place] = {}
        self._lock, self._next_look = threading.RLock(), -math.inf
        self._stamp: object = None

    def refresh(self, progress: Progress | None = None) -> None:
        """Looks the cache and the results through, unless that was just done."""
        with self._lock:
            if time.monotonic() < self._next_look:
                return
            started = time.monotonic()
            self.results.refresh()
            self._read(progress or Progress())
            self._next_look = time.monotonic() + REST * (time.monotonic() - started) + AT_LEAST

    def __len__(self) -> int:
        return len(self._videos)

    def video(self, video_id: str) -> Video | None:
        """The video of an id, if it is listed."""
        return self._videos.get(video_id)

    def summary(self, video: Video) -> Summary:
        """Its results in a few numbers."""
        return self.results.summary(video.id)

    def find(self, wanted: Wanted) -> list[Video]:
        """Videos that are like that, in the order wanted; equal ones by name."""
        found = [video for video in list(self._videos.values()) if self._is_like(video, wanted)]
        keys: dict[Order, Callable[[Video], float]] = {
            "name": lambda video: 0.0,
            "score": lambda video: -_highest(self.summary(video)),
            "events": lambda video: -(self.summary(video).num_events or 0),
            "longest": lambda video: -video.info.duration,
            "shortest": lambda video: video.info.duration,
        }
        return sorted(found, key=keys[wanted.order])

    def neighbours(self, video: Video) -> tuple[Video | None, Video | None]:
        """The video before and after, by name."""
        order = list(self._videos)
        place = order.index(video.id)
        before = self._videos[order[place - 1]] if place else None
        return before, self._videos[order[place + 1]] if place + 1 < len(order) else None

    def file(self, video: Video) -> Path | None:
        """Where the video lies: the very content that the features were made from. None: not at hand."""
        place = self._places.get(video.id)
        if place is None or not place.holds():
            place = _Place.of(locate_videos(self.cache, video.keys, self.folders).get(video.id))
            self._places[video.id] = place
        return place.path

    def _is_like(self, video: Video, wanted: Wanted) -> bool:
        words, name = wanted.words.casefold(), video.id.casefold()
        if words and not (fnmatchcase(name, words) if set(words) & set("*?[") else words in name):
            return False
        if wanted.label and wanted.label not in (video.label.classes if video.label else ()):
            return False
        if wanted.recipe and all(key.recipe.fingerprint != wanted.recipe for key in video.keys):
            return False
        return not wanted.only_events or bool(self.summary(video).num_events)

    def _read(self, progress: Progress) -> None:
        recipes = self.cache.recipes() if self.recipe is None else [self.recipe]
        stamps = {recipe: self.cache.stamps(recipe) for recipe in recipes}
        if stamps == self._stamp:
            return
        keys: dict[str, list[FeatureKey]] = {}
        infos: dict[str, VideoInfo] = {}
        with progress.task("read the cache", total=sum(map(len, stamps.values())), unit="entry") as task:
            for recipe in recipes:
                for entry in self.cache.entries(recipe):
                    task.advance()
                    video_id = entry.key.video_id
                    if self.patterns and not matches(video_id, self.patterns):
                        continue
                    keys.setdefault(video_id, []).append(entry.key)
                    infos.setdefault(video_id, entry.video)
        labels = self._labels(list(infos))
        order = {video_id: natural_order(video_id) for video_id in infos}
        if self._listed is not None:  # a manifest says which videos are meant
            order = {video_id: key for video_id, key in order.items() if video_id in labels}
        self._videos = {
            i: Video(infos[i], tuple(keys[i]), labels.get(i), order[i]) for i in sorted(order, key=lambda i: order[i])
        }
        self.labels = tuple(sorted({name for v in self._videos.values() if v.label for name in v.label.classes}))
        used = {key.recipe for video in self._videos.values() for key in video.keys}
        self.recipes = tuple(sorted(used, key=lambda one: (one.name, one.fingerprint)))
        self._stamp, self.version = stamps, self.version + 1

    def _labels(self, ids: Sequence[str]) -> dict[str, Label]:
        if self._listed is not None:
            labels = match_ids(self._listed, ids, missing=[])
        else:
            labels = labels_from_folders(ids, allow_unlabelled=True)
        return {label.video_id: label for label in labels}


def _highest(summary: Summary) -> float:
    """For sorting: the anomaly score, else that of the best detection, else less than any."""
    if summary.peak is not None:
        return summary.peak
    return summary.best.score if summary.best is not None else -math.inf
