"""Exact nearest neighbours by inner product, over blocks of rows that are read once.

The k-th similarity so far turns away nearly all rows with one comparison, so that choosing costs little beside the
products: of 100,000 rows in any order, about 700 per query ever enter a list of 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

QUERIES_AT_ONCE = 256
SCORES_AT_ONCE = 2**19
"""Products held at a time: 2 MB of float32, about a core's own cache."""
FIRST_SCORES, FEWEST_ROWS, MOST_ROWS = 2**16, 256, 4096
"""Every row of the first piece is a candidate, so it is small."""
GROWTH = 8
"""Each later piece sees at most this many times the rows before it: k · ln 8 of them are expected in the list."""
GROUP_ROWS = 16
"""Rows whose highest similarity is compared first: a group that is turned away costs one comparison."""
CAST_ROWS = 128
"""Rows of half precision are widened this many at a time and multiplied while they are still in the cache."""
NO_ROW = -1


def top_k(queries: Tensor, blocks: Iterable[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """The k rows with the highest inner product with each query; equal similarities keep the order of the rows.

    queries: [Q, E]    blocks: tensors [m, E] of float32, bfloat16 or float16, any number of rows each
    returns: similarities [Q, k] float32, descending; positions [Q, k] int64, counted over all blocks

    k becomes the number of rows where there are fewer. Sums are float32 whatever the rows are. Blocks are taken one at
    a time, and no more than ``SCORES_AT_ONCE`` products are held.

    Rows with products 0.9, 0.5, 0.9 and k = 2 → similarities 0.9, 0.9 at positions 0, 2.

    Raises:
        ValueError: k is below 1, shapes do not fit, or products are not finite numbers.
    """
    similarities, positions, _ = _search(queries, ((block, None) for block in blocks), k)
    return similarities, positions


def top_k_by_owner(queries: Tensor, blocks: Iterable[tuple[Tensor, Tensor]], k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k owners whose best row has the highest inner product with each query.

    queries: [Q, E]    blocks: pairs of rows [m, E] and their owners [m] int64, none negative
    returns: similarities [Q, k] float32, descending; owners [Q, k] int64; positions [Q, k] int64 of their best rows

    A video with several vectors counts by its best one and takes one place. The rows of an owner may lie anywhere. k
    becomes the number of owners where there are fewer; equal similarities keep the order of the rows.

    Raises:
        ValueError: k is below 1, shapes do not fit, an owner is negative, or products are not finite numbers.
    """
    similarities, positions, owners = _search(queries, blocks, k)
    return similarities, owners, positions


@torch.no_grad()
def _search(queries: Tensor, blocks: Iterable[tuple[Tensor, Tensor | None]], k: int) -> tuple[Tensor, Tensor, Tensor]:
    """similarities [Q, k], positions [Q, k], owners [Q, k] (the positions where rows have no owners)"""
    if k < 1 or queries.ndim != 2:
        raise ValueError(f"expected queries [Q, E] and k of at least 1, got {tuple(queries.shape)} and k = {k}")
    lists = [_BestRows(part, k) for part in queries.float().split(QUERIES_AT_ONCE)]
    seen = 0
    for rows, owners in blocks:
        if rows.ndim != 2 or rows.shape[1] != queries.shape[1]:
            raise ValueError(f"queries {tuple(queries.shape)} do not fit a block {tuple(rows.shape)}")
        if owners is not None and (owners.shape != rows.shape[:1] or bool((owners < 0).any())):
            raise ValueError(f"{len(rows)} rows need as many owners, none negative; got {tuple(owners.shape)}")
        for best in lists:
            for start, stop in _pieces(seen, len(rows), len(best.queries)):
                best.add(rows[start:stop], seen + start, None if owners is None else owners[start:stop])
        seen += len(rows)
    results = [best.result(min(k, seen)) for best in lists]
    return tuple(torch.cat(part) for part in zip(*results, strict=True))  # type: ignore[return-value]


def _pieces(seen: int, num_rows: int, num_queries: int) -> Iterator[tuple[int, int]]:
    """Where to cut a block, when ``seen`` rows came before it."""
    start, most = 0, max(SCORES_AT_ONCE // max(num_queries, 1), 1)
    least = min(max(FIRST_SCORES // max(num_queries, 1), FEWEST_ROWS), MOST_ROWS)
    while start < num_rows:
        wanted = max(least, (GROWTH - 1) * (seen + start))
        stop = min(start + min(wanted, most), num_rows)
        yield start, stop
        start = stop


class _BestRows:
    """The best rows so far of up to ``QUERIES_AT_ONCE`` queries, in descending order; empty places are -inf."""

    def __init__(self, queries: Tensor, k: int) -> None:
        self.queries, self.k = queries, k
        self.columns = queries.T.contiguous()  # [E, Q]: rows @ columns is the fastest of the layouts
        self.similarities = queries.new_full((len(queries), k), -torch.inf)
        self.positions = torch.full((len(queries), k), NO_ROW, device=queries.device)
        self.owners = self.positions

    def add(self, rows: Tensor, first: int, owners: Tensor | None) -> None:
        """rows: [m, E], the first of them at position ``first``    owners: [m]"""
        scores = self._products(rows)
        row, query = _above(scores, self.similarities[:, -1])
        if not len(row):
            return
        order = query.argsort(stable=True)  # by query, then by position
        row, query = row[order], query[order]
        counts = torch.bincount(query, minlength=len(self.queries))
        slot = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[query]
        place = (query, self.k + slot)
        width = self.k + int(counts.max())
        similarities = _widened(self.similarities, width, -torch.inf).index_put_(place, scores[row, query])
        positions = _widened(self.positions, width, NO_ROW).index_put_(place, first + row)
        if owners is None:
            self._keep(similarities, positions, positions)
        else:
            owned = _widened(self.owners, width, NO_ROW).index_put_(place, owners.to(row.device)[row])
            self._keep(*_without_repeats(*_sorted(similarities, positions, owned)))

    def _keep(self, similarities: Tensor, positions: Tensor, owners: Tensor) -> None:
        ranked = _sorted(similarities, positions, owners)
        self.similarities, self.positions, self.owners = (part[:, : self.k] for part in ranked)

    def _products(self, rows: Tensor) -> Tensor:
        """[m, E] → [m, Q] float32"""
        if rows.dtype == torch.float32:
            return self._multiply(rows.to(self.queries.device))
        if self.queries.device.type != "cpu":
            return self._multiply(rows.to(self.queries.device, torch.float32))
        scores = torch.empty(len(rows), len(self.queries))
        wide = torch.empty(min(CAST_ROWS, len(rows)), rows.shape[1])
        for start in range(0, len(rows), CAST_ROWS):
            part = rows[start : start + CAST_ROWS]
            scores[start : start + CAST_ROWS] = self._multiply(wide[: len(part)].copy_(part))
        return scores

    def _multiply(self, rows: Tensor) -> Tensor:
        return torch.mv(rows, self.queries[0])[:, None] if len(self.queries) == 1 else rows @ self.columns

    def result(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """similarities, positions and owners, cut to k places; to the number of owners where that is smaller."""
        if self.owners is not self.positions and len(self.queries):
            k = min(k, int((self.owners != NO_ROW).sum(1).max()))
        chosen = self.similarities[:, :k], self.positions[:, :k], self.owners[:, :k]
        if not bool(chosen[0].isfinite().all()):
            raise ValueError("products of queries and rows are not finite numbers")
        return chosen


def _above(scores: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and queries of the products above each query's least; rows ascend within a query.

    scores: [m, Q]    least: [Q]

    Strictly above: a row as good as the last of a list comes later than it, and loses.
    """
    whole = len(scores) // GROUP_ROWS * GROUP_ROWS
    grouped = scores[:whole].view(whole // GROUP_ROWS, GROUP_ROWS, len(least))
    group, query = (grouped.amax(1) > least).nonzero(as_tuple=True)
    hit, inside = (grouped[group, :, query] > least[query, None]).nonzero(as_tuple=True)
    row, last_query = (scores[whole:] > least).nonzero(as_tuple=True)
    return torch.cat([group[hit] * GROUP_ROWS + inside, whole + row]), torch.cat([query[hit], last_query])


def _widened(values: Tensor, width: int, fill: float) -> Tensor:
    """[Q, k] → [Q, width], the added places filled."""
    wide = values.new_full((len(values), width), fill)
    wide[:, : values.shape[1]] = values
    return wide


def _sorted(similarities: Tensor, positions: Tensor, owners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each query's places by descending similarity; equal ones keep their order."""
    similarities, order = similarities.sort(dim=1, descending=True, stable=True)
    ranked = positions.gather(1, order)
    return similarities, ranked, ranked if owners is positions else owners.gather(1, order)


def _without_repeats(similarities: Tensor, positions: Tensor, owners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Empties all places of an owner but the first. Places are sorted by similarity.

    owners 7 4 7 → places 0 and 1 stay
    """
    grouped, order = owners.sort(dim=1, stable=True)
    repeats = torch.zeros_like(owners, dtype=torch.bool)
    repeats.scatter_(1, order[:, 1:], grouped[:, 1:] == grouped[:, :-1])
    return (
        similarities.masked_fill(repeats, -torch.inf),
        positions.masked_fill(repeats, NO_ROW),
        owners.masked_fill(repeats, NO_ROW),
    )
