"""How many of the exact nearest an approximate shortlist finds, measured with the queries that somebody really asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidlang.core import Progress
from vidlang.store.ann import OwnRecall, measure_recall
from vidlang.workflows.embedding import Embedded
from vidlang.workflows.search import Searcher

MOST_QUERIES = 20
"""All of them are compared with every vector in one pass."""


def recall_of(searcher: Searcher, queries: Sequence[Embedded], progress: Progress) -> OwnRecall | None:
    """What a sample of the queries finds, against the exact shortlists of the same; None where there is no query.

    A measurement stays with the approximate index and is taken again only with more queries than before.
    """
    assert searcher.approximate is not None
    known = searcher.approximate.own_recall
    asked = [query for query in queries if not query.blank]
    chosen = np.random.default_rng(0).permutation(len(asked))[:MOST_QUERIES].tolist()
    size = min(searcher.options.shortlist, len(searcher.index))
    if not chosen or size == len(searcher.index) or (known is not None and known.queries >= len(chosen)):
        return known
    sample = [asked[i] for i in chosen]
    exact = _table(searcher.shortlists(sample, size, progress, exact=True), size)
    found = _table(searcher.shortlists(sample, size), size)
    measured = OwnRecall(measure_recall(exact, found, size), len(sample), size)
    searcher.approximate.keep_own_recall(measured)
    return measured


def recall_lines(searcher: Searcher, queries: Sequence[Embedded], progress: Progress) -> list[str]:
    """What to say about an approximate shortlist."""
    assert searcher.approximate is not None
    lines = [f"approximate shortlist: {searcher.approximate.line()}"]
    measured = recall_of(searcher, queries, progress)
    if measured is not None:
        lines.append(
            f"of the exact shortlist of {measured.at} videos it finds {measured.recall:.1%}, "
            f"measured with {measured.queries} of your queries"
        )
    return lines


def _table(lists: Sequence[Sequence[int]], size: int) -> NDArray[np.int64]:
    """[Q, size], short lists filled with -1."""
    table = np.full((len(lists), size), -1, dtype=np.int64)
    for row, positions in zip(table, lists, strict=True):
        row[: len(positions)] = positions
    return table
