"""Rows that are read as they are needed: every one once, mixed, and never more in memory than is allowed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from vidlang.nn.stream import StreamedRows

LENGTHS = [[3, 3], [5], [2, 2, 2], [4, 4], [6], [1], [7], [3, 3, 3], [2], [5, 5]] * 4


def rows(most_rows: int) -> tuple[StreamedRows, list[int]]:
    """Items whose rows hold their number, and the blocks that were read."""
    first = np.cumsum([0, *(len(block) for block in LENGTHS)])
    read: list[int] = []

    def block(number: int) -> list[np.ndarray]:
        read.append(number)
        return [np.full((length, 2), first[number] + i, np.float32) for i, length in enumerate(LENGTHS[number])]

    return StreamedRows(LENGTHS, block, most_rows), read


def order_of(stream: StreamedRows, seed: int = 0, share: float = 1.0) -> list[int]:
    return stream.shuffled(np.arange(len(stream)), torch.Generator().manual_seed(seed), share).tolist()


def test_items_are_those_of_their_blocks():
    stream, _ = rows(1000)
    lengths = [length for block in LENGTHS for length in block]
    assert stream.lengths == tuple(lengths)
    assert [(len(values), values[0, 0]) for values in stream] == [(n, i) for i, n in enumerate(lengths)]
    assert stream[-1][0, 0] == len(lengths) - 1
    assert [values[0, 0] for values in stream[3:5]] == [3, 4]


@pytest.mark.parametrize("most_rows", [10, 25, 1000])
def test_an_epoch_has_every_row_once_reads_every_block_once_and_stays_within_the_limit(most_rows):
    stream, read = rows(most_rows)
    order = order_of(stream)
    assert sorted(order) == list(range(len(stream)))
    seen = [int(stream[item][0, 0]) for item in order]
    assert seen == order
    assert sorted(read) == list(range(len(LENGTHS))) and stream.num_reads == len(LENGTHS)
    assert stream.most_resident <= most_rows


def test_a_block_that_is_larger_than_memory_is_alone_in_it():
    stream, _ = rows(4)
    for item in order_of(stream):
        block = [block for block in LENGTHS for _ in block][item]
        assert len(stream[item]) in block
        assert stream.num_resident <= max(4, sum(block))


def test_items_are_mixed_across_blocks_and_blocks_across_the_set():
    stream, _ = rows(60)
    order = order_of(stream)
    owner = [number for number, block in enumerate(LENGTHS) for _ in block]
    neighbours = sum(owner[a] == owner[b] for a, b in pairwise(order))
    assert neighbours < 20  # of 36 where blocks came one after the other
    quarters = np.array_split(np.array(order), 4)
    assert all(part.min() < 18 and part.max() > 54 for part in quarters)  # of 72 items


def test_the_order_depends_on_the_seed_and_the_limit_alone():
    stream, _ = rows(30)
    before = order_of(stream, 1)
    _ = [stream[item] for item in before[:9]]
    assert order_of(stream, 1) == before == order_of(rows(30)[0], 1)
    assert order_of(stream, 2) != before


def test_two_halves_of_the_items_share_the_memory():
    stream, _ = rows(40)
    items = np.arange(len(stream))
    halves = [stream.shuffled(items[kind::2], torch.Generator().manual_seed(kind), 0.25).tolist() for kind in (0, 1)]
    assert sorted(halves[0] + halves[1]) == items.tolist()
    for pair in zip(*halves, strict=True):
        assert [int(stream[item][0, 0]) for item in pair] == list(pair)
    assert stream.most_resident <= 40


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="most_rows"):
        StreamedRows([[1]], lambda block: [], 0)
    with pytest.raises(ValueError, match="item"):
        StreamedRows([[1], []], lambda block: [], 5)
