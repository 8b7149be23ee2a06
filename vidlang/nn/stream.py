"""Rows of more videos than memory holds: read when they are asked for, in an order that asks for neighbours together.

A block is what is read in one go, such as the crops of one video. An epoch takes whole blocks in random order, as many
as memory holds at a time, and mixes the items of those, so that every item comes once, every block is read once, and
the order depends on the generator alone: not on the number of processes, and not on what is in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.floating]
Read = Callable[[int], Sequence[Array]]
"""Block → the rows of its items, in their order."""


class StreamedRows(Sequence[Array]):
    """The rows of many items, of which no more than ``most_rows`` are in memory, or one block where that has more."""

    def __init__(self, lengths: Sequence[Sequence[int]], read: Read, most_rows: int) -> None:
        """lengths: of each block, the rows of each of its items    most_rows: in memory at the same time

        Raises:
            ValueError: no memory, or a block without items.
        """
        if most_rows < 1 or not all(len(block) for block in lengths):
            raise ValueError(f"most_rows must be at least 1 and every block needs an item, got {most_rows}")
        self.lengths = tuple(length for block in lengths for length in block)
        """Rows of each item."""
        self.most_rows = most_rows
        self.num_reads = self.most_resident = self.num_resident = 0
        self._read = read
        self._block_rows = [sum(block) for block in lengths]
        self._first = [0, *accumulate(len(block) for block in lengths)]  # item that a block begins with
        self._block = [number for number, block in enumerate(lengths) for _ in block]
        self._kept: OrderedDict[int, Sequence[Array]] = OrderedDict()  # the one asked for last is last

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self[item] for item in range(*index.indices(len(self)))]
        block = self._block[index]
        return self._rows_of(block)[range(len(self))[index] - self._first[block]]

    def _rows_of(self, block: int) -> Sequence[Array]:
        if block in self._kept:
            self._kept.move_to_end(block)
            return self._kept[block]
        while self._kept and self.num_resident + self._block_rows[block] > self.most_rows:
            gone, _ = self._kept.popitem(last=False)
            self.num_resident -= self._block_rows[gone]
        self._kept[block] = self._read(block)
        self.num_reads += 1
        self.num_resident += self._block_rows[block]
        self.most_resident = max(self.most_resident, self.num_resident)
        return self._kept[block]

    def shuffled(self, items: NDArray[np.int64], generator: torch.Generator, share: float = 1.0) -> NDArray[np.int64]:
        """The items in random order, such that each of their blocks is read once.

        share: of the memory that these items may fill; what else is asked for meanwhile needs the rest
        """
        members: dict[int, list[int]] = {}
        for item in items.tolist():
            members.setdefault(self._block[item], []).append(item)
        blocks = list(members)
        order: list[int] = []
        together: list[int] = []
        rows = 0
        for place in torch.randperm(len(blocks), generator=generator).tolist():
            block = blocks[place]
            if together and rows + self._block_rows[block] > share * self.most_rows:
                order += _mixed(together, generator)
                together, rows = [], 0
            together += members[block]
            rows += self._block_rows[block]
        return np.array(order + _mixed(together, generator), dtype=np.int64)


def _mixed(items: list[int], generator: torch.Generator) -> list[int]:
    return [items[place] for place in torch.randperm(len(items), generator=generator).tolist()]
