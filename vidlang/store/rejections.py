"""Pairs of videos that somebody looked at and called different, so that no search shows them again.

``rejected.jsonl`` in a workspace, UTF-8, one object a line, blank lines ignored::

    {"schema": "vidlang.rejected/1", "videos": [id, id], "date": "2026-01-31T12:00:00+00:00", "rejected": true}

The two ids are in the order of their code points; ``date`` is ISO 8601 in UTC; ``rejected`` is false where a rejection
was taken back. The last line of a pair counts.

Lines are only ever appended, each call's in one write, so processes may write at the same time. A killed writer may
leave a torn line; it is skipped with a logged warning, and the next writer begins a line of its own.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from vidlang.core import BadInput

SCHEMA = "vidlang.rejected/1"
REJECTED_FILE = "rejected.jsonl"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rejection:
    """Two videos that are no match."""

    videos: tuple[str, str]
    """Ids in the order of their code points."""
    date: datetime
    """When somebody said so, UTC."""


class Rejections:
    """The rejected pairs of a file as they were when it was opened, plus what was changed through this object.

    A pair has no order, and a video is no pair with itself.
    """

    def __init__(self, path: Path) -> None:
        """path: made when a pair is first added

        Raises:
            BadInput: the file does not read, or has lines of an unknown schema.
        """
        self.path = Path(path)
        self._dates: dict[tuple[str, str], datetime] = {}
        for videos, date, rejected in _read(self.path):
            self._note(videos, date, rejected)

    def __contains__(self, pair: object) -> bool:
        return isinstance(pair, tuple) and len(pair) == 2 and self.contains(*pair)

    def __len__(self) -> int:
        return len(self._dates)

    def contains(self, one: str, other: str) -> bool:
        return _pair(one, other) in self._dates

    def list(self) -> list[Rejection]:
        """All pairs, sorted by their ids."""
        return [Rejection(videos, date) for videos, date in sorted(self._dates.items())]

    def add(self, one: str, other: str) -> bool:
        """Remembers a pair; False when it was there.

        Raises:
            ValueError: both are the same video.
        """
        return self.add_many([(one, other)]) == 1

    def add_many(self, pairs: Iterable[tuple[str, str]]) -> int:
        """Remembers pairs in one write; returns how many were not there."""
        return self._append(pairs, rejected=True)

    def remove(self, one: str, other: str) -> bool:
        """Forgets a pair; False when it was not there."""
        return self._append([(one, other)], rejected=False) == 1

    def _append(self, pairs: Iterable[tuple[str, str]], rejected: bool) -> int:
        changed = dict.fromkeys(_pair(*pair) for pair in pairs)
        for one, other in changed:
            if one == other:
                raise ValueError(f"a pair has two different videos, got {one!r} twice")
        changed = {pair: None for pair in changed if (pair in self._dates) != rejected}
        if not changed:
            return 0
        date = datetime.now(timezone.utc).replace(microsecond=0)
        facts = {"schema": SCHEMA, "videos": (), "date": date.isoformat(), "rejected": rejected}
        _append_lines(self.path, [json.dumps({**facts, "videos": pair}) for pair in changed])
        for pair in changed:
            self._note(pair, date, rejected)
        return len(changed)

    def _note(self, videos: tuple[str, str], date: datetime, rejected: bool) -> None:
        if rejected:
            self._dates[videos] = date
        else:
            self._dates.pop(videos, None)


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one <= other else (other, one)


def _append_lines(path: Path, lines: Iterable[str]) -> None:
    """One write behind what others wrote, on a line of its own, and wait until it lies on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        torn = False
        if size:
            file.seek(size - 1)
            torn = file.read(1) != b"\n"
        data = ("\n" * torn + "".join(f"{line}\n" for line in lines)).encode("ascii")
        while data:  # a full disk raises
            data = data[file.write(data) :]
        os.fsync(file.fileno())


def _read(path: Path) -> Iterator[tuple[tuple[str, str], datetime, bool]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as cause:
        raise BadInput(f"{path} cannot be read ({cause.strerror or cause}). Make it readable or delete it.") from cause
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            facts = json.loads(line)
            if facts["schema"] != SCHEMA:
                detail = f"schema {facts['schema']!r} where {SCHEMA!r} is read"
                raise BadInput(f"{path}, line {number}: {detail}. Update vidlang.")
            one, other = (str(video_id) for video_id in facts["videos"])
            found = (_pair(one, other), datetime.fromisoformat(facts["date"]), bool(facts["rejected"]))
        except (ValueError, KeyError, TypeError) as cause:
            logger.warning("%s, line %d is skipped: it is torn or no rejected pair (%r)", path, number, cause)
            continue
        yield found
