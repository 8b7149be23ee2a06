"""How much of a mapped file lies in memory: what was looked at is given back to the system, what comes next is fetched.

A mapped page that was read counts as memory of the process until the system takes it away, which a limit on memory (of
a container, a batch system) does not wait for. Giving pages back loses nothing: they are read-only, and whoever looks
again gets them from the file.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

BLOCK_BYTES = 64 << 20
"""A block that is read in one go is not made longer than this: nothing gets faster by it."""
LEAST_BYTES = 1 << 20
"""A limit on memory below this is taken as this."""


@dataclass(frozen=True, eq=False)
class Pages:
    """The pages of an array that is mapped from a file; others have none, and then nothing happens.

    array: [n, …] in C order
    """

    array: NDArray[Any]

    def read_ahead(self, first: int, last: int) -> None:
        """Begins to read the rows from ``first`` to ``last``, exclusive, and does not wait for them."""
        self._advise("MADV_WILLNEED", first, last, whole=False)

    def forget(self, first: int = 0, last: int | None = None) -> None:
        """Gives the memory of these rows back. What shows them stays valid."""
        self._advise("MADV_DONTNEED", first, len(self.array) if last is None else last, whole=True)

    def _advise(self, name: str, first: int, last: int, *, whole: bool) -> None:
        """whole: also the pages at both ends, which hold other rows as well"""
        mapped = getattr(self.array, "_mmap", None)
        option = getattr(mmap, name, None)
        if mapped is None or option is None or last <= first:  # Windows has no such call
            return
        row = self.array.strides[0]
        skipped = getattr(self.array, "offset", 0) % mmap.ALLOCATIONGRANULARITY
        start, stop = skipped + first * row, min(skipped + last * row, len(mapped))
        start -= start % mmap.PAGESIZE
        if not whole:
            stop -= stop % mmap.PAGESIZE
        if stop > start:
            mapped.madvise(option, start, stop - start)


def rows_at_once(memory: int | None, total_bytes: int, row_bytes: int, most: int) -> tuple[int, bool]:
    """(rows of a block, whether pages are given back after each) for a walk over mapped rows.

    memory: bytes that may be held; None: as many as the system likes    total_bytes: of all rows    most: rows, at most
    """
    if memory is None or total_bytes <= memory:
        return most, False
    block = min(max(memory, LEAST_BYTES) // 2, BLOCK_BYTES)  # half: a block between removed videos is copied
    return max(1, min(most, block // max(row_bytes, 1))), True
