"""Annotations as W-TALC passes them on: one ``.npy`` file per fact, entry i of each for video i.

``videoname`` and ``subset`` are byte strings, ``segments`` lists of [start, end] in seconds, ``labels`` the class of
each segment, ``labels_all`` the classes of the video where given. ``duration``, ``classlist`` and ``extracted_fps`` are
there too and not needed. Lists of lists are pickles inside; they are read without running what they ask for
(`object_arrays`).

Source: Paul, Roy, Roy-Chowdhury: W-TALC, ECCV 2018; sujoyp/wtalc-pytorch. 3C-Net, CO2-Net and others use the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidlang.core.errors import BadAnnotation
from vidlang.core.labels import Label, LabelledSegment
from vidlang.datasets.object_arrays import read_object_array
from vidlang.datasets.temporal import segment_of

FILES = ("videoname", "subset", "segments", "labels")


def holds_arrays(folder: Path) -> bool:
    """Whether the folder has the files that are needed."""
    return all((folder / f"{name}.npy").is_file() for name in FILES)


def read_arrays(folder: Path, splits: Mapping[str, str]) -> list[Label]:
    """Every video in the order of ``videoname.npy``.

    splits: name of a subset in lower case → split

    Raises:
        BadAnnotation: a file does not read, the files do not pair up, or a pickle asks for more than lists.
    """
    facts = {name: _items(folder / f"{name}.npy") for name in FILES}
    whole = _items(folder / "labels_all.npy") if (folder / "labels_all.npy").is_file() else facts["labels"]
    counts = {len(items) for items in (*facts.values(), whole)}
    if len(counts) > 1:
        shown = ", ".join(f"{name} {len(items)}" for name, items in facts.items())
        raise BadAnnotation(f"{folder}: the arrays count different videos ({shown}): get them from one release.")
    return [
        _label(row, splits, f"{folder.name}, video {number}")
        for number, row in enumerate(zip(*facts.values(), whole, strict=True))
    ]


def _items(path: Path) -> list[Any]:
    """Entries of an array of texts or numbers, or of a list of lists."""
    try:
        items: list[Any] = np.load(path, allow_pickle=False).tolist()
        return items
    except ValueError:  # what NumPy says of an array of objects, and of what is no array
        return read_object_array(path)
    except (OSError, EOFError, AttributeError) as error:
        raise BadAnnotation(f"{path} cannot be read ({error}).") from error


def _label(row: Sequence[Any], splits: Mapping[str, str], at: str) -> Label:
    """row: name, subset, segments, their classes, the video's classes"""
    name, subset, segments, labels, whole = row
    video_id, part = _text(name, at), _text(subset, at)
    if part.casefold() not in splits:
        raise BadAnnotation(f"{at}: there is no subset {part!r}. Known: {', '.join(splits)}.")
    pairs, names = _list(segments), [_text(item, at) for item in _list(labels)]
    if len(pairs) != len(names):
        raise BadAnnotation(f"{at}: {video_id} has {len(pairs)} segments and {len(names)} labels.")
    try:
        events = tuple(
            LabelledSegment(label, segment_of(start, end)) for label, (start, end) in zip(names, pairs, strict=True)
        )
    except (TypeError, ValueError) as error:
        raise BadAnnotation(f"{at}: {video_id} has a segment that is no pair of seconds ({error}).") from error
    classes = tuple(dict.fromkeys((*names, *(_text(item, at) for item in _list(whole)))))
    return Label(video_id, classes, events, split=splits[part.casefold()], timed=bool(events))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any, at: str) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if not isinstance(value, str) or not value.strip():
        raise BadAnnotation(f"{at}: {value!r} is no name.")
    return value.strip()
