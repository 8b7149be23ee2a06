"""Recorded numbers, and the table of what differs from them: lines of largest differences, each with its tolerance."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Recorded:
    """Arrays by file. It remembers what was read, so that what was not can be named."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.arrays: dict[str, dict[str, NDArray[Any]]] = {}
        for path in files:
            with np.load(path, allow_pickle=False) as file:
                self.arrays[path.stem] = {key: file[key] for key in file.files}
        self.seen: set[tuple[str, str]] = set()

    def array(self, file: str, key: str) -> NDArray[Any]:
        self.seen.add((file, key))
        return self.arrays[file][key]

    def unread(self) -> list[str]:
        lines = []
        for file, table in self.arrays.items():
            if missing := [key for key in table if (file, key) not in self.seen]:
                lines.append(f"{file}.npz: {', '.join(missing)}")
        return lines


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    group: str
    what: str
    num_arrays: int
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance


class Differences:
    """Differences of one section, gathered into lines of the table."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.found: dict[tuple[str, float], list[float]] = {}

    def keep(self, what: str, tolerance: float, difference: float) -> None:
        self.found.setdefault((what, tolerance), []).append(difference)

    def rows(self) -> Iterator[Row]:
        for (what, tolerance), differences in self.found.items():
            yield Row(self.group, what, len(differences), max(differences), tolerance)


def show(rows: Sequence[Row], unread: Sequence[str]) -> int:
    """Prints the table and what was not read. returns: the exit status, 1 where a line is over its tolerance"""
    group, what = (max((len(getattr(row, name)) for row in rows), default=5) for name in ("group", "what"))
    sys.stdout.write(
        f"{'group':<{group}} {'what':<{what}} {'arrays':>6} {'largest difference':>18} {'tolerance':>9}  ok\n"
    )
    for row in rows:
        sys.stdout.write(
            f"{row.group:<{group}} {row.what:<{what}} {row.num_arrays:6} {row.difference:18.1e} {row.tolerance:9.0e}  "
            f"{'yes' if row.holds else 'NO'}\n"
        )
    over = sum(not row.holds for row in rows)
    compared = sum(row.num_arrays for row in rows)
    sys.stdout.write(f"{len(rows)} lines, {compared} comparisons, {over} over their tolerance\n")
    for name in unread:
        sys.stdout.write(f"not compared: {name}\n")
    return int(over > 0)
