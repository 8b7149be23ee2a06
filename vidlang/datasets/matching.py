"""Names of one video as lists, feature files and users' own folders write it.

``Abuse/Abuse028_x264__5.npy`` (crop 5 of published features), ``Abuse/Abuse028_x264`` and ``Abuse/Abuse028_x264.mp4``
mean one video. Names are compared whole, never by substring: "Abuse02" is not part of "Abuse028".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from vidlang.core.errors import BadManifest
from vidlang.core.labels import Label

VIDEO_ENDINGS = (
    ".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".m4v", ".wmv", ".flv", ".3gp",
    ".ogv", ".vob", ".mxf",
)  # fmt: skip
"""Endings that are no part of a name. Others are: "Bad.Boys.1995__#01-11-55" has no extension."""
_CROP = re.compile(r"__\d$")


def group_key(video_id: str) -> str:
    """The id without extension, and without the crop number ``__0`` … ``__9`` of published features.

    ``cam__3.mp4`` is a video, so its number belongs to its name; ``cam__3.npy`` and ``cam__3`` are crop 3 of ``cam``.
    """
    bare = path_key(video_id)
    is_video = video_id.lower().endswith(VIDEO_ENDINGS)
    return bare if is_video else _CROP.sub("", bare)


def path_key(video_id: str) -> str:
    """The id without extension."""
    ending = next((e for e in (*VIDEO_ENDINGS, ".npy") if video_id.lower().endswith(e)), "")
    return video_id[: len(video_id) - len(ending)]


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


_WAYS: tuple[tuple[bool, Callable[[str], str]], ...] = (
    (False, str),
    (False, path_key),
    (False, group_key),
    (True, lambda video_id: _name(path_key(video_id))),
    (True, lambda video_id: _name(group_key(video_id))),
)
"""How a label may name a video, strictest first; True where folders are not looked at."""


def match_ids(
    labels: Iterable[Label],
    known_ids: Iterable[str],
    *,
    allow_missing: bool = False,
    missing: list[str] | None = None,
) -> list[Label]:
    """The labels under the ids that the user's videos have.

    known_ids: ids of the cache or of a video folder
    allow_missing: leave out labels without a video; else they are an error
    missing: takes the ids of what was left out, and allows it

    A video is found by its whole path without extension and crop number, or by its name alone if no other label has
    that name.

    Raises:
        BadManifest: a label fits several videos or none, or several labels fit one video.
    """
    labels, known = list(labels), list(dict.fromkeys(known_ids))
    tables = [(by_name, key, _index(known, key)) for by_name, key in _WAYS]
    namesakes = _index([label.video_id for label in labels], _WAYS[-1][1])
    matched: list[Label] = []
    absent: list[str] = []
    taken: dict[str, str] = {}
    for label in labels:
        by_name, found = next(
            ((by_name, table[key(label.video_id)]) for by_name, key, table in tables if key(label.video_id) in table),
            (False, []),
        )
        same = namesakes[_WAYS[-1][1](label.video_id)]
        if by_name and len(same) > 1:
            raise BadManifest(
                f"{' and '.join(same[:2])} have one name, so {found[0]} may be either: keep the folders of the list."
            )
        if len(found) > 1:
            raise BadManifest(f"{label.video_id} may be {' or '.join(found[:3])}: keep one of them, or rename.")
        if not found:
            absent.append(label.video_id)
            continue
        if found[0] in taken:
            raise BadManifest(f"{taken[found[0]]} and {label.video_id} both fit {found[0]}: keep one of them.")
        taken[found[0]] = label.video_id
        matched.append(replace(label, video_id=found[0]))
    if absent and missing is None and not allow_missing:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise BadManifest(
            f"{len(absent)} of {len(labels)} labelled videos are not there: {', '.join(absent[:3])}{more}. "
            "Extract or import them first, or leave them out."
        )
    if missing is not None:
        missing.extend(absent)
    return matched


def _index(ids: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for video_id in ids:
        found.setdefault(key(video_id), []).append(video_id)
    return found
