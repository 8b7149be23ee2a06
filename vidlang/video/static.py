"""Which frames show nothing that was not shown before, so that their features need not be computed again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class StaticScene:
    """Tells which frames show what the last encoded frame showed.

    Two frames are the same when no cell of a 16 x 16 grid differs by more than ``epsilon`` grey levels on average. The
    mean over a cell averages camera noise out, and the largest cell decides, so that a small figure in a large still
    picture counts as motion. Frames are compared with the last *encoded* one: slow drift adds up and is seen.
    """

    GRID = 16
    CHECK_EVERY = 25
    """Of the reusable frames, one in so many is encoded all the same, to measure what reuse costs."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon
        self.encoded: NDArray[np.float32] | None = None
        self.encoded_row = 0
        self.num_static = 0

    def sort_out(
        self, frames: Iterable[NDArray[np.uint8]], rows: list[tuple[int, ...]]
    ) -> tuple[list[int], list[tuple[int, int]], list[tuple[int, int]]]:
        """Indices of frames to encode, (row, repeated row) pairs, (position among the encoded, repeated row) checks."""
        keep: list[int] = []
        reused: list[tuple[int, int]] = []
        checks: list[tuple[int, int]] = []
        for index, frame in enumerate(frames):
            cells = self._cells(frame)
            static = (
                self.encoded is not None
                and self.encoded.shape == cells.shape
                and float(np.abs(cells - self.encoded).max()) <= self.epsilon
                and len(rows[index]) == 1
            )
            if static:
                self.num_static += 1
                if self.num_static % self.CHECK_EVERY:
                    reused.append((rows[index][0], self.encoded_row))
                    continue
                checks.append((len(keep), self.encoded_row))
            keep.append(index)
            self.encoded, self.encoded_row = cells, rows[index][0]
        return keep, reused, checks

    def _cells(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[H, W, 3] → [16, 16] mean green values; green carries most of the luminance and needs no conversion."""
        height, width = frame.shape[:2]
        rows = np.linspace(0, height, min(self.GRID, height) + 1).astype(int)[:-1]
        columns = np.linspace(0, width, min(self.GRID, width) + 1).astype(int)[:-1]
        sums = np.add.reduceat(np.add.reduceat(frame[:, :, 1], rows, axis=0, dtype=np.float32), columns, axis=1)
        areas = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
        return sums / areas
