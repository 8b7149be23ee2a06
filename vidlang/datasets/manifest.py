"""Lists of labelled videos: CSV files, and folders named like classes.

The format, complete enough to write one by hand. A CSV file in UTF-8, one line per video or per true segment:

    video,label,start,end,split
    fight/a.mp4,fight,12.5,20,train
    fight/a.mp4,fight,31,35.5,train
    normal/b.mp4,normal,,,train
    c.mp4,fight|fire,,,test

``video``                    path of the file relative to the video folder, with forward slashes
``label``                    class; several of them joined by "|"
``start``, ``end``           true segment in seconds, half-open; both or neither
``start_frame``, ``end_frame``   the same in frame indices from 0, half-open
``split``                    ``train``, ``val`` or ``test``
``num_frames``               length of the video, for checks

Lines of one video add up: their classes and segments are joined. Without a header the columns are video, label, start,
end. A file whose first line holds no comma may separate by semicolons or tabs; numbers are written with a point.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import random
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from vidlang.core.errors import BadManifest
from vidlang.core.labels import Label, LabelledSegment
from vidlang.core.segments import Segment
from vidlang.datasets.matching import group_key, match_ids

__all__ = [
    "check_lengths",
    "class_names",
    "labels_from_folders",
    "match_ids",
    "read_manifest",
    "split_by_video",
    "with_split",
    "write_manifest",
]

COLUMNS = ("video", "label", "start", "end", "start_frame", "end_frame", "split", "num_frames")
POSITIONAL = ("video", "label", "start", "end")
"""Columns of a file without a header."""
SPLITS = ("train", "val", "test")
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_MEANT = {
    "path": "video", "file": "video", "filename": "video", "name": "video", "video_id": "video", "id": "video",
    "class": "label", "classes": "label", "labels": "label", "category": "label",
    "begin": "start", "from": "start", "stop": "end", "to": "end", "frames": "num_frames", "subset": "split",
}  # fmt: skip
"""What people write → the column they mean; only for hints."""
SLACK_SECONDS = 1.0
"""How far a true segment may reach beyond the end of a video: annotators round, containers too."""


def read_manifest(
    source: Path | TextIO,
    *,
    durations: Mapping[str, float] | None = None,
    num_frames: Mapping[str, int] | None = None,
) -> list[Label]:
    """The labels of a manifest, in order of each video's first line.

    source: a file, or an open text stream
    durations, num_frames: known lengths by video id; true segments are checked against them

    Raises:
        BadManifest: one line that names the file, the line and what to change.
    """
    where, text = _text(source)
    entries: dict[str, _Entry] = {}
    for row in _rows(text, where):
        _add(entries, row)
    if not entries:
        raise BadManifest(f"{where} lists no video: each line needs a video and its label.")
    labels = [entry.label() for entry in entries.values()]
    check_lengths(labels, durations=durations, num_frames=num_frames, where=where)
    return labels


def _text(source: Path | TextIO) -> tuple[str, str]:
    if not isinstance(source, Path):
        return str(getattr(source, "name", "the manifest")), source.read().removeprefix("\ufeff")
    try:
        return source.name, source.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadManifest(f"There is no manifest {source}: give the path of a CSV file.") from error
    except UnicodeDecodeError as error:
        raise BadManifest(f"{source.name} is not UTF-8 text (byte {error.start}): save it as CSV UTF-8.") from error
    except OSError as error:
        raise BadManifest(f"{source} cannot be read ({error.strerror}): give the path of a CSV file.") from error


@dataclass(frozen=True)
class _Row:
    where: str
    """``labels.csv, line 3``"""
    video: str
    classes: tuple[str, ...]
    event: Segment | tuple[int, int] | None
    split: str | None
    num_frames: int | None


@dataclass
class _Entry:
    """What the lines of one video say together."""

    video: str
    classes: dict[str, str] = field(default_factory=dict)
    """Class → where it was first given."""
    untimed: dict[str, str] = field(default_factory=dict)
    """Classes given without times → where."""
    segments: dict[LabelledSegment, None] = field(default_factory=dict)
    split: tuple[str, str] | None = None
    """Value and where it was first given."""
    num_frames: tuple[int, str] | None = None

    def label(self) -> Label:
        return Label(
            self.video,
            tuple(self.classes),
            tuple(self.segments),
            split=self.split[0] if self.split else None,
            timed=bool(self.segments),
            num_frames=self.num_frames[0] if self.num_frames else None,
        )


def _add(entries: dict[str, _Entry], row: _Row) -> None:
    entry = entries.setdefault(row.video, _Entry(row.video))
    for name in row.classes:
        entry.classes.setdefault(name, row.where)
        if row.event is None:
            entry.untimed.setdefault(name, row.where)
        elif isinstance(row.event, Segment):
            entry.segments.setdefault(LabelledSegment(name, segment=row.event))
        else:
            entry.segments.setdefault(LabelledSegment(name, span=row.event))
    normal = next((name for name in entry.untimed if name.casefold() == "normal"), None)
    other = next((name for name in entry.classes if name.casefold() != "normal"), None)
    if normal and other:
        raise BadManifest(
            f"{row.where}: {row.video} is {other!r} ({entry.classes[other]}) and {normal!r} ({entry.untimed[normal]}): "
            "a whole video is normal or not, keep one of them."
        )
    if row.split is not None:
        if entry.split is not None and entry.split[0] != row.split:
            raise BadManifest(
                f"{row.where}: {row.video} is in split {row.split!r} here and in {entry.split[0]!r} at "
                f"{entry.split[1]}: a video belongs to one split."
            )
        entry.split = entry.split or (row.split, row.where)
    if row.num_frames is not None:
        if entry.num_frames is not None and entry.num_frames[0] != row.num_frames:
            raise BadManifest(
                f"{row.where}: {row.video} has {row.num_frames} frames here and {entry.num_frames[0]} at "
                f"{entry.num_frames[1]}: give one length per video."
            )
        entry.num_frames = entry.num_frames or (row.num_frames, row.where)


def _rows(text: str, where: str) -> Iterable[_Row]:
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    separator = next((mark for mark in ",;\t" if mark in first_line), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    columns: tuple[str, ...] | None = None
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            at = f"{where}, line {reader.line_num}"
            if not any(cells):
                continue
            if columns is None:
                columns = _header(cells, at)
                if columns is not None:
                    continue
                columns = POSITIONAL
            if len(cells) > len(columns):
                if any(cells[len(columns) :]):
                    raise BadManifest(
                        f"{at} has {len(cells)} cells for the columns {','.join(columns)}: "
                        "quote cells that hold a separator, or name the further columns in a header line."
                    )
                cells = cells[: len(columns)]
            yield _row(dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=True)), at)
    except csv.Error as error:
        raise BadManifest(f"{where}, line {reader.line_num} is not CSV ({error}): check its quotes.") from error


def _header(cells: Sequence[str], at: str) -> tuple[str, ...] | None:
    """The columns that a header line names; None where the line is no header."""
    names = [cell.casefold().replace(" ", "_") for cell in cells]
    known = [name in COLUMNS for name in names]
    if not (
        {"video", "label"} & set(names) or all(ok or name in _MEANT for ok, name in zip(known, names, strict=True))
    ):
        return None
    while names and not names[-1]:
        names.pop()
    for name, cell in zip(names, cells, strict=False):
        if name not in COLUMNS:
            near = _MEANT.get(name) or next(iter(difflib.get_close_matches(name, COLUMNS, n=1)), None)
            hint = f" Did you mean {near!r}?" if near else ""
            raise BadManifest(f"{at}: {cell!r} is no column of a manifest.{hint} Known: {', '.join(COLUMNS)}.")
        if names.count(name) > 1:
            raise BadManifest(f"{at}: the column {name!r} is there twice: keep one.")
    for name in ("video", "label"):
        if name not in names:
            raise BadManifest(f"{at}: the header has no column {name!r}. Known: {', '.join(COLUMNS)}.")
    return tuple(names)


def _row(cells: Mapping[str, str], at: str) -> _Row:
    seconds = _interval(cells, ("start", "end"), at)
    frames = _interval(cells, ("start_frame", "end_frame"), at)
    if seconds and frames:
        raise BadManifest(f"{at} gives a segment in seconds and in frames: keep one of them.")
    event: Segment | tuple[int, int] | None = None
    if seconds:
        event = Segment(*seconds)
    elif frames:
        event = (_whole(frames[0], "start_frame", at), _whole(frames[1], "end_frame", at))
    split = cells.get("split", "").casefold() or None
    if split is not None and split not in SPLITS:
        near = SPLIT_FOLDERS.get(split) or next(iter(difflib.get_close_matches(split, SPLITS, n=1)), None)
        hint = f" Did you mean {near!r}?" if near else ""
        raise BadManifest(f"{at}: there is no split {split!r}.{hint} Known: {', '.join(SPLITS)}.")
    length = cells.get("num_frames", "")
    count = _whole(_number(length, "num_frames", at), "num_frames", at) if length else None
    if count is not None and count < 1:
        raise BadManifest(f"{at}: num_frames is {count}, a video has at least one frame.")
    return _Row(at, _video_id(cells["video"], at), _classes(cells["label"], at), event, split, count)


def _video_id(cell: str, at: str) -> str:
    """Forward slashes, no leading ``./``."""
    video = cell.replace("\\", "/")
    while video.startswith("./"):
        video = video[2:]
    if not video:
        raise BadManifest(f"{at} names no video: its first column is empty.")
    if video.startswith("/") or video[1:3] == ":/":
        raise BadManifest(f"{at}: {cell!r} is an absolute path: write it relative to the video folder.")
    return video


def _classes(cell: str, at: str) -> tuple[str, ...]:
    names = [name.strip() for name in cell.split("|")]
    if not all(names):
        raise BadManifest(f"{at} has an empty label: name a class, several joined by '|'.")
    return tuple(dict.fromkeys(names))


def _number(cell: str, column: str, at: str) -> float:
    try:
        value = float(cell)
    except ValueError as error:
        raise BadManifest(f"{at}: {column} is {cell!r}, a number is expected.") from error
    if not math.isfinite(value):
        raise BadManifest(f"{at}: {column} is {cell!r}, a finite number is expected.")
    return value


def _whole(value: float, column: str, at: str) -> int:
    if value != int(value):
        raise BadManifest(f"{at}: {column} is {value:g}, a whole number of frames is expected: are these seconds?")
    return int(value)


def _interval(cells: Mapping[str, str], columns: tuple[str, str], at: str) -> tuple[float, float] | None:
    given = [cells.get(column, "") for column in columns]
    if not any(given):
        return None
    if not all(given):
        missing = columns[given.index("")]
        raise BadManifest(f"{at} gives half a segment: {missing} is empty, give both or neither.")
    start, end = (_number(cell, column, at) for cell, column in zip(given, columns, strict=True))
    if start < 0:
        raise BadManifest(f"{at}: {columns[0]} is {start:g}, a segment starts at 0 or later.")
    if end <= start:
        how = "is empty" if end == start else "ends before it starts"
        raise BadManifest(f"{at}: the segment {how} ({start:g} to {end:g}): give its start, then its end.")
    return start, end


def check_lengths(
    labels: Iterable[Label],
    *,
    durations: Mapping[str, float] | None = None,
    num_frames: Mapping[str, int] | None = None,
    where: str = "the manifest",
) -> None:
    """True segments lie inside their videos, as far as lengths are known (by video id, or from the labels).

    Raises:
        BadManifest: a segment ends beyond the end of its video.
    """
    for label in labels:
        duration = (durations or {}).get(label.video_id)
        length = (num_frames or {}).get(label.video_id, label.num_frames)
        for event in label.segments:
            if event.segment is not None and duration is not None and event.segment.end > duration + SLACK_SECONDS:
                raise BadManifest(
                    f"{where}: a segment of {label.video_id} ends at {event.segment.end:.1f} s but the video lasts "
                    f"{duration:.1f} s: were frame numbers given where seconds are expected?"
                )
            # Annotators who count frames from 1 and mean the last one give an end of num_frames + 1.
            if event.span is not None and length is not None and event.span[1] > length + 1:
                raise BadManifest(
                    f"{where}: a segment of {label.video_id} ends at frame {event.span[1]} but the video has {length} "
                    "frames: does it belong to another video or version?"
                )


def write_manifest(labels: Iterable[Label], target: Path | TextIO | None = None) -> str:
    """The text of the manifest of these labels; `read_manifest` gives them back.

    target: None only returns the text, so that a command can hand it to the store, which replaces files in one step;
        a path or an open text stream is written as well, for scripts.

    A video with segments gets a line for each. What a manifest cannot say is left out: that an abnormal video without
    segments was searched for them (``timed``).

    Raises:
        ValueError: a class name is empty or holds "|".
    """
    lines = [row for label in labels for row in _lines(label)]
    used = [c for c in COLUMNS if c in ("video", "label") or any(line.get(c) for line in lines)]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, used, extrasaction="ignore", restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    text = out.getvalue()
    if isinstance(target, Path):
        target.write_text(text, encoding="utf-8", newline="")
    elif target is not None:
        target.write(text)
    return text


def _lines(label: Label) -> list[dict[str, str]]:
    if any("|" in name or not name.strip() for name in label.classes) or not label.classes:
        raise ValueError(f"classes of a manifest are not empty and hold no '|', got {label.classes} ({label.video_id})")
    common = {"video": label.video_id, "split": label.split or "", "num_frames": str(label.num_frames or "")}
    lines = []
    if tuple(dict.fromkeys(event.label for event in label.segments)) != label.classes:
        lines.append({**common, "label": "|".join(label.classes)})
    for event in label.segments:
        if event.segment is not None:
            times = {"start": repr(float(event.segment.start)), "end": repr(float(event.segment.end))}
        else:
            assert event.span is not None
            times = {"start_frame": str(event.span[0]), "end_frame": str(event.span[1])}
        lines.append({**common, "label": event.label, **times})
    return lines


def labels_from_folders(video_ids: Iterable[str], *, allow_unlabelled: bool = False) -> list[Label]:
    """Labels by folder: ``fight/x.mp4`` is a video of class "fight", ``fight/day2/x.mp4`` too.

    Where every top folder is named like a split (``train/fight/x.mp4``), it is the split, the folder below the class.

    allow_unlabelled: leave out videos without a folder; else they are an error.

    Raises:
        BadManifest: videos lie directly in the collection folder, so that nothing names their class.
    """
    paths = {video_id: video_id.split("/") for video_id in video_ids}
    nested = {video_id: parts for video_id, parts in paths.items() if len(parts) > 1}
    bare = [video_id for video_id in paths if video_id not in nested]
    by_split = bool(nested) and all(parts[0].casefold() in SPLIT_FOLDERS for parts in nested.values())
    if by_split:
        bare += [video_id for video_id, parts in nested.items() if len(parts) < 3]
    if bare and not allow_unlabelled:
        more = f" and {len(bare) - 3} more" if len(bare) > 3 else ""
        raise BadManifest(
            f"Nothing names the class of {', '.join(sorted(bare)[:3])}{more}: move each video into a folder named like "
            "its class, or give a manifest."
        )
    level = 1 if by_split else 0
    return [
        Label(video_id, (parts[level],), split=SPLIT_FOLDERS[parts[0].casefold()] if by_split else None)
        for video_id, parts in nested.items()
        if len(parts) > level + 1
    ]


def class_names(labels: Iterable[Label], normal: str | None = None) -> tuple[str, ...]:
    """All classes, the normal class first, the others sorted.

    normal: its name; default the class called "normal" in any case.

    Raises:
        BadManifest: there is no such class, or it is not clear which one.
    """
    found = {name for label in labels for name in (*label.classes, *(event.label for event in label.segments))}
    wanted = "normal" if normal is None else normal
    matches = [wanted] if normal in found else sorted(name for name in found if name.casefold() == wanted.casefold())
    shown = ", ".join(sorted(found)) or "none"
    if len(matches) > 1:
        raise BadManifest(f"The classes {' and '.join(map(repr, matches))} differ only in case: write one of them.")
    if not matches and normal is None:
        raise BadManifest(f"No class is called 'normal'. Classes: {shown}. Say which one is normal: --normal NAME.")
    if not matches:
        near = next(iter(difflib.get_close_matches(wanted, found, n=1)), None)
        hint = f" Did you mean {near!r}?" if near else ""
        raise BadManifest(f"There is no class {normal!r} to be the normal one.{hint} Classes: {shown}.")
    return (matches[0], *sorted(found - set(matches), key=lambda name: (name.casefold(), name)))


def split_by_video(
    labels: Sequence[Label],
    fraction: float,
    seed: int,
    *,
    group_of: Callable[[str], str] | None = None,
) -> tuple[list[Label], list[Label]]:
    """Two parts of the videos, class by class: the rest, and the held-out ``fraction``.

    group_of: video id → group that stays together; default the id without extension and crop number, so that the crops
        of one video never lie on both sides. Give another for videos that share a camera or a source.

    Deterministic in ids, fraction and seed, whatever the order of ``labels``; each part keeps that order. A class with
    two groups or more is in both parts, a class with one group is in the rest only. A group of several classes counts
    for its rarest one.

    Raises:
        ValueError: ``fraction`` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, got {fraction}")
    group_of = group_of or group_key
    groups: dict[str, set[str]] = {}
    for label in labels:
        groups.setdefault(group_of(label.video_id), set()).update(label.classes)
    counts: dict[str, int] = {}
    for classes in groups.values():
        for name in classes:
            counts[name] = counts.get(name, 0) + 1
    strata: dict[str, list[str]] = {}
    for group, classes in groups.items():
        strata.setdefault(min(classes, key=lambda name: (counts[name], name), default=""), []).append(group)
    held: set[str] = set()
    for name, members in strata.items():
        members.sort()
        # A class keeps its draw when other classes come or go.
        random.Random(seed * 2**32 + zlib.crc32(name.encode())).shuffle(members)
        held.update(members[: min(max(round(len(members) * fraction), 1), len(members) - 1)])
    rest = [label for label in labels if group_of(label.video_id) not in held]
    return rest, [label for label in labels if group_of(label.video_id) in held]


def with_split(labels: Iterable[Label], split: str) -> list[Label]:
    """The same labels in another split."""
    return [replace(label, split=split) for label in labels]
