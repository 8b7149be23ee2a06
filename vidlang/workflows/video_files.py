"""Where the videos of cache entries lie: an entry knows what its video is called and what is in it, not where it is.

Whatever has the right name is compared with the content that the features were made from, so that a page never shows
another video than the one that was searched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from vidlang.core import FeatureKey, FileIdentity, VidlangError
from vidlang.store.feature_cache import FeatureCache
from vidlang.video.reader import identify

MOST_FOLDERS = 200
"""Folders beside the workspace that are looked into; more are no collection of videos."""


def locate_videos(cache: FeatureCache, keys: Iterable[FeatureKey], folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Files (or folders of frames) by video id, of those entries whose videos are at hand.

    folders: where to look first, as they were given to ``extract``; then the current folder, that of the workspace, and
    the folders in both. Videos whose features were imported are taken from ``folders`` alone, by their names.
    """
    roots = [*folders, *_near(cache)]
    found: dict[str, Path] = {}
    for key in keys:
        try:
            entry = cache.entry(key)
        except VidlangError:
            continue
        if entry.identity is None:
            path = next((p for root in folders for p in _named(root, key.video_id)), None)
        else:
            known = entry.made_with.get("file")
            places = [Path(known)] if known and Path(known).exists() else []
            named = (p for root in roots for p in _named(root, key.video_id))
            path = next((p for p in (*places, *named) if _shows(p, entry.identity)), None)
        if path is not None:
            found[key.video_id] = path
    return found


def frame_rates(cache: FeatureCache, keys: Iterable[FeatureKey], files: Mapping[str, Path]) -> dict[str, float]:
    """Frames per second of those videos that are folders of frames, by id, as their features were made; files know."""
    folders = {video_id for video_id, path in files.items() if path.is_dir()}
    return {key.video_id: cache.entry(key).video.frame_rate for key in keys if key.video_id in folders}


def _near(cache: FeatureCache) -> list[Path]:
    """The current folder, the one that the workspace lies in, and the folders in both."""
    parents = list(dict.fromkeys([Path.cwd(), cache.root.resolve().parent.parent]))
    return [folder for parent in parents for folder in (parent, *_inside(parent))]


def _inside(folder: Path) -> list[Path]:
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
    return inner if len(inner) <= MOST_FOLDERS else []


def _named(root: Path, video_id: str) -> Iterator[Path]:
    """``root/id`` where it is there; and ``root`` itself, a folder of frames or a file that was named alone."""
    parts = PurePosixPath(video_id).parts
    if ".." in parts:  # an id names what lies below
        return
    for path in (root.joinpath(*parts), root):
        try:
            if path.name == parts[-1] and path.exists():
                yield path
        except OSError:  # a name that this file system does not take
            continue


def _shows(path: Path, identity: FileIdentity) -> bool:
    try:
        return identify(path).same_content(identity)
    except (VidlangError, OSError):
        return False
