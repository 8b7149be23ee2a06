"""Which rows of a query lie over which rows of a gallery video, from their similarity matrix.

A copy is a line in the matrix: straight where it plays at one speed, broken where something was cut, and its slope is
the speed. ``matched_runs`` finds such lines by local alignment, the way biologists find one gene inside another;
``temporal_network_score`` is the published score of the heaviest chain, kept for comparison.

Rows n are the query's, columns m the gallery's; all spans are half-open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidlang.core.segments import Segment, run_segment

Span = tuple[int, int]

MAX_STEP = 3
"""Rows that one step of a path may advance on either side: speeds of 1/3 to 3, or two rows lost."""
SKIP_PENALTY = 0.1
"""What a skipped row costs, in rows of similarity 1: little, so that other speeds live, yet straight paths win."""
MAX_DROP = 2.0
"""A path that falls this far below its best is over, in rows of similarity 1: chance does not bridge two matches."""
PIECE, LEAST_CUT = 4, 3.0
"""Cells on each side of a cut that tell where a path lies, and the rows that must be missing there."""
MAX_GAP = 2
"""Rows between two matches that continue one another."""

_FRESH = 255  # in the table of steps: a path begins here


@dataclass(frozen=True)
class Match:
    """Query rows that show what the gallery rows show."""

    query_rows: Span
    gallery_rows: Span
    similarity: float
    """Mean over the path's cells."""


@dataclass(frozen=True, eq=False)
class _Path:
    """One line in the matrix."""

    score: float
    """Gains less penalties, in rows of similarity 1."""
    cells: NDArray[np.int64]
    """[L, 2]: query row, gallery row; both strictly increase."""


@dataclass(frozen=True)
class _Rectangle:
    """A part of the matrix that no match has taken."""

    query: Span
    gallery: Span

    def without(self, query: Span, gallery: Span) -> list[_Rectangle]:
        """What remains when these rows and these columns are taken out."""
        return [_Rectangle(q, g) for q in _outside(self.query, query) for g in _outside(self.gallery, gallery)]


def matched_runs(
    similarity: NDArray[np.floating],
    threshold: float,
    *,
    max_matches: int = 8,
    min_score: float | None = None,
    max_ratio: int = MAX_STEP,
) -> list[Match]:
    """Every passage that both videos share, by local alignment; sorted by query rows.

    similarity: [n, m], cosines, or scaled by informative weights    threshold: the cosine at which a row neither speaks
    for a copy nor against it    max_matches: at most so many    max_ratio: fastest speed followed (1, 2 or 3; and its
    inverse)    returns: at most max_matches

    A cell (i, j) gains ``(s_ij - threshold) / (1 - threshold)``: 1 for equal rows, 0 at the threshold, and never less
    than -1, so that a black frame costs no more than any other miss. A path steps forward by 1 to 3 rows on both
    sides; each row it skips costs ``SKIP_PENALTY``. It ends where its sum falls to 0, or ``MAX_DROP`` below its best.
    The best path is taken **with all its query rows and all its gallery rows**, and the search goes on in what is
    left: a copy with its middle cut out gives two matches, a compilation gives several, and a passage that one side
    repeats is reported once. Matches that continue one another (at most two rows between them, same speed) are joined.

    min_score: the least sum, in rows of similarity 1. By default a quarter of the shorter video's rows less one, at
    most 1.5: a single frame is found in any video, but one equal frame makes no match between longer ones.

    Memory: the matrix as float32 (and its transpose, if that is not how it is stored) and two bytes per cell.

    Raises:
        ValueError: not a finite matrix, a threshold outside [-1, 1), or a speed that is not 1, 2 or 3.
    """
    similarity = _checked(similarity, threshold, max_ratio)
    least = min(0.25 * (min(similarity.shape) - 1), 1.5) if min_score is None else min_score
    least = max(least, 1e-6)  # also where 0 is asked for: a path of no gain is no match
    steps = _steps(max_ratio)
    whole = _Rectangle((0, similarity.shape[0]), (0, similarity.shape[1]))
    open_paths = {whole: _best_path(similarity, whole, threshold, steps, least)}
    taken: list[_Path] = []
    while len(taken) < max_matches:
        path = max((path for path in open_paths.values() if path), key=lambda path: path.score, default=None)
        if path is None:
            break
        taken.append(path)
        query, gallery = _spans(path.cells)
        for rectangle in list(open_paths):
            parts = rectangle.without(query, gallery)
            if parts != [rectangle]:
                del open_paths[rectangle]
                open_paths |= {part: _best_path(similarity, part, threshold, steps, least) for part in parts}
    return _as_matches(similarity, threshold, [path.cells for path in taken])


def to_segments(
    matches: Iterable[Match], query_seconds: NDArray[np.float64], gallery_seconds: NDArray[np.float64]
) -> tuple[tuple[Segment, Segment], ...]:
    """Rows as times: for each match the query's segment and the gallery's.

    query_seconds: [n, 2]    gallery_seconds: [m, 2] start and end of each row
    """
    return tuple(
        (run_segment(query_seconds, match.query_rows), run_segment(gallery_seconds, match.gallery_rows))
        for match in matches
    )


def temporal_network_score(
    similarity: NDArray[np.floating], top_k: int = 3, min_similarity: float = 0.35, max_step: int = 10
) -> float:
    """Sum of the similarities on the heaviest chain of frame pairs.

    similarity: [n, m]    returns: 0 where no chain exists

    Nodes are, for each query row, its best ``top_k`` columns of at least ``min_similarity``. An edge joins two nodes
    when both indices grow by 1 to ``max_step``, and weighs the similarity of its later node; a source at (-1, -1)
    obeys the same rule. The heaviest path need not begin at the source: its first node then has no say in which path
    is heaviest, but counts in the sum.

    Source: Tan et al., ACM MM 2009 (temporal network); xwen99/temporal_context_aggregation evaluation.py, ``tn``.
    """
    similarity = np.asarray(similarity, dtype=np.float64)
    if similarity.ndim != 2:
        raise ValueError(f"similarity is a matrix [n, m], got shape {similarity.shape}")
    if not similarity.size:
        return 0.0
    rows = similarity.shape[0]
    top_k = min(top_k, similarity.shape[1])
    columns = np.argpartition(-similarity, top_k - 1, axis=1)[:, :top_k]  # [n, K]
    node = np.take_along_axis(similarity, columns, axis=1)  # [n, K]
    is_node = node >= min_similarity
    weight = np.full((rows, top_k), -np.inf)  # of the heaviest path of edges that ends here
    first = np.zeros((rows, top_k))  # similarity of that path's first node, where no edge counts it
    for row in range(rows):
        below = max(0, row - max_step)
        steps = columns[row] - columns[below:row].reshape(-1, 1)  # [P, K]
        reached = np.where((steps >= 1) & (steps <= max_step), weight[below:row].reshape(-1, 1), -np.inf)
        best = reached.max(axis=0, initial=-np.inf)  # [K]
        by_source = (row < max_step) & (columns[row] < max_step)
        chained = best > np.where(by_source, 0.0, -np.inf)
        alone = ~chained & ~by_source
        weight[row] = np.where(chained, best, 0.0) + np.where(alone, 0.0, node[row])
        first[row] = np.where(alone, node[row], 0.0)
        if chained.any():
            before = first[below:row].reshape(-1)[reached.argmax(axis=0)]
            first[row] = np.where(chained, before, first[row])
        weight[row][~is_node[row]] = -np.inf
    heaviest = int(weight.argmax())
    total = weight.flat[heaviest]
    return float(total + first.flat[heaviest]) if total > 0 else 0.0


def _checked(similarity: NDArray[np.floating], threshold: float, max_ratio: int) -> NDArray[np.float32]:
    similarity = np.asarray(similarity, dtype=np.float32)
    if similarity.ndim != 2 or not similarity.size:
        raise ValueError(f"similarity is a matrix [n, m] of at least one row each, got shape {similarity.shape}")
    if not np.isfinite(similarity).all():
        raise ValueError("similarity holds values that are not finite")
    if not -1.0 <= threshold < 1.0:
        raise ValueError(f"threshold is a cosine in [-1, 1), got {threshold}")
    if max_ratio not in (1, 2, 3):
        raise ValueError(f"max_ratio is 1, 2 or 3, got {max_ratio}")
    return similarity


def _steps(max_ratio: int) -> tuple[tuple[int, int, float], ...]:
    """(rows forward, columns forward, penalty) of each step, the straight one first."""
    lengths = range(1, MAX_STEP + 1)
    steps = [(di, dj) for di in lengths for dj in lengths if max(di, dj) <= max_ratio * min(di, dj)]
    return tuple((di, dj, SKIP_PENALTY * (di + dj - 2)) for di, dj in sorted(steps, key=lambda step: (sum(step), step)))


def _gains(similarity: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """1 for equal rows, 0 at the threshold, at least -1."""
    return np.maximum((similarity - np.float32(threshold)) / np.float32(1.0 - threshold), np.float32(-1.0))


def _best_path(
    similarity: NDArray[np.float32],
    where: _Rectangle,
    threshold: float,
    steps: tuple[tuple[int, int, float], ...],
    least: float,
) -> _Path | None:
    """The best path inside a rectangle, or None if none sums to ``least``."""
    part = similarity[slice(*where.query), slice(*where.gallery)]
    by_row, by_column = part.max(axis=1), part.max(axis=0)
    # A path visits a row or column at most once, so their best cells bound its sum.
    bound = min(np.maximum(_gains(best, threshold), 0.0).sum(dtype=np.float64) for best in (by_row, by_column))
    if bound < least:
        return None
    rows, columns = (np.flatnonzero(best > threshold)[[0, -1]] for best in (by_row, by_column))
    part = part[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1]
    if turned := part.shape[0] > part.shape[1]:  # the loop below goes over the shorter side
        part = np.ascontiguousarray(part.T)
    score, cells = _align(part, threshold, steps)
    if score < least:
        return None
    origin = np.array([where.query[0] + rows[0], where.gallery[0] + columns[0]])
    return _Path(score, (cells[:, ::-1] if turned else cells) + origin)


def _align(
    similarity: NDArray[np.float32], threshold: float, steps: tuple[tuple[int, int, float], ...]
) -> tuple[float, NDArray[np.int64]]:
    """Smith-Waterman over the whole of one matrix: the best sum and its cells [L, 2].

    Row by row; ``sums`` holds the last MAX_STEP rows with as many empty columns before them, ``drops`` how far each
    path lies below its best.
    """
    num_rows, num_columns = similarity.shape
    step_table = np.full((num_rows, num_columns), _FRESH, dtype=np.uint8)
    sums = np.zeros((MAX_STEP + 1, num_columns + MAX_STEP), dtype=np.float32)
    drops = np.zeros_like(sums)
    best_score, best_cell = 0.0, (0, 0)
    for row in range(num_rows):
        gain = _gains(similarity[row], threshold)
        reached = np.zeros(num_columns, dtype=np.float32)  # best sum of a predecessor, 0 where a path begins
        drop = np.zeros(num_columns, dtype=np.float32)
        chosen = step_table[row]
        for number, (di, dj, penalty) in enumerate(steps):
            if di > row:
                continue
            behind = slice(MAX_STEP - dj, MAX_STEP - dj + num_columns)
            candidate = sums[(row - di) % (MAX_STEP + 1), behind] - np.float32(penalty)
            better = candidate > reached
            if not better.any():
                continue
            np.copyto(reached, candidate, where=better)
            np.copyto(drop, drops[(row - di) % (MAX_STEP + 1), behind] + np.float32(penalty), where=better)
            chosen[better] = number
        drop = np.maximum(drop - gain, 0.0)
        total = reached + gain
        over = (total <= 0.0) | (drop > MAX_DROP)
        total[over] = np.maximum(gain[over], 0.0)
        drop[over] = 0.0
        chosen[over] = _FRESH
        sums[row % (MAX_STEP + 1), MAX_STEP:] = total
        drops[row % (MAX_STEP + 1), MAX_STEP:] = drop
        column = int(total.argmax())
        if total[column] > best_score:
            best_score, best_cell = float(total[column]), (row, column)
    return best_score, _trace(step_table, steps, best_cell)


def _trace(
    step_table: NDArray[np.uint8], steps: tuple[tuple[int, int, float], ...], last: tuple[int, int]
) -> NDArray[np.int64]:
    """The cells [L, 2] of the path that ends in ``last``."""
    cells = [last]
    while (number := step_table[cells[-1]]) != _FRESH:
        di, dj, _ = steps[number]
        cells.append((cells[-1][0] - di, cells[-1][1] - dj))
    return np.array(cells[::-1], dtype=np.int64)


def _as_matches(similarity: NDArray[np.float32], threshold: float, paths: list[NDArray[np.int64]]) -> list[Match]:
    """Paths [L, 2] joined where they continue one another, with their spans and mean similarities."""
    joined: list[NDArray[np.int64]] = []
    for cells in sorted(paths, key=lambda cells: tuple(cells[0])):
        if joined and _continues(joined[-1], cells):
            joined[-1] = np.concatenate([joined[-1], cells])
        else:
            joined.append(cells)
    joined = [part for cells in joined for part in _split_at_cuts(cells)]
    alike = similarity > threshold
    owners = tuple(np.full(size, -1) for size in similarity.shape)  # the path that has taken a row or column
    for number, cells in enumerate(joined):
        for axis, span in enumerate(_spans(cells)):
            owners[axis][slice(*span)] = number
    matches = []
    for number, cells in enumerate(joined):
        free_query, free_gallery = ((owner < 0) | (owner == number) for owner in owners)
        query, gallery = _straightened(cells, alike, free_query, free_gallery)
        for axis, span in enumerate((query, gallery)):
            owners[axis][slice(*span)] = number
        matches.append(Match(query, gallery, float(similarity[cells[:, 0], cells[:, 1]].mean(dtype=np.float64))))
    return matches


def _split_at_cuts(cells: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """A path in two where one side jumps: what was cut out there belongs to no match.

    A few bad cells let a path bridge a cut. Its offset from a line of its own speed then steps from one level to
    another between two straight pieces, and the cells in between that lie on neither belong to none.
    """
    if len(cells) < 2 * PIECE:
        return [cells]
    slopes = (cells[PIECE:, 0] - cells[:-PIECE, 0]) / (cells[PIECE:, 1] - cells[:-PIECE, 1])
    slope = float(np.median(slopes))
    offsets = cells[:, 0] - slope * cells[:, 1]
    places = np.arange(PIECE, len(cells) - PIECE + 1)
    before = np.array([np.median(offsets[place - PIECE : place]) for place in places])
    after = np.array([np.median(offsets[place : place + PIECE]) for place in places])
    jumps = np.abs(after - before) / max(1.0, slope)
    place = int(places[jumps.argmax()])
    if jumps.max() < LEAST_CUT:
        return [cells]
    here, there = before[place - PIECE], after[place - PIECE]
    before_it = np.arange(len(cells)) < place
    first = np.flatnonzero((np.abs(offsets - here) <= max(1.0, slope)) & before_it)
    second = np.flatnonzero((np.abs(offsets - there) <= max(1.0, slope)) & ~before_it)
    if not len(first) or not len(second):
        return [cells]
    return [*_split_at_cuts(cells[: first[-1] + 1]), *_split_at_cuts(cells[second[0] :])]


def _straightened(
    cells: NDArray[np.int64],
    alike: NDArray[np.bool_],
    free_query: NDArray[np.bool_],
    free_gallery: NDArray[np.bool_],
) -> tuple[Span, Span]:
    """The spans of a path; at another speed than 1, those of the straight line through it.

    alike: [n, m], above the threshold    free_query: [n], free_gallery: [m], taken by no other path

    A path follows another speed loosely: it visits one of two rows that show the same, and where a shot stands still it
    runs at a speed that collects more cells, into rows before or behind the copy. Its line is drawn from the whole
    path; it begins and ends with the path, and goes on where its cells are still alike.
    """
    query, gallery = _spans(cells)
    speed, half = _speed(cells), len(cells) // 2
    if half < 4 or 0.8 < speed < 1.25:
        return query, gallery
    if speed > 1:  # the query's is the longer span below
        other, this = _straightened(cells[:, ::-1], alike.T, free_gallery, free_query)
        return this, other
    steps = cells[-half:] - cells[:half]
    slope = float(np.median(steps[:, 1] / steps[:, 0]))
    centres = cells + 0.5
    offsets = centres[:, 1] - slope * centres[:, 0]
    offset = float(np.median(offsets))
    if np.median(np.abs(offsets - offset)) > 1.0:  # no straight line
        return query, gallery
    rows = np.arange(alike.shape[0])
    columns = np.floor(slope * (rows + 0.5) + offset).astype(np.int64)  # [n], the line
    inside = (columns >= 0) & (columns < alike.shape[1])
    on_path = inside & (rows >= query[0]) & (rows < query[1]) & (columns >= gallery[0]) & (columns < gallery[1])
    if not on_path.any():
        return query, gallery
    first, last = (int(row) for row in np.flatnonzero(on_path)[[0, -1]])
    columns = columns.clip(0, alike.shape[1] - 1)
    goes_on = inside & alike[rows, columns] & free_query & free_gallery[columns]
    while first > 0 and goes_on[first - 1]:
        first -= 1
    while last + 1 < len(rows) and goes_on[last + 1]:
        last += 1
    return (first, last + 1), (int(columns[first]), int(columns[last]) + 1)


def _continues(first: NDArray[np.int64], second: NDArray[np.int64]) -> bool:
    """Whether the second path lies on the first one's line, at most MAX_GAP rows behind it."""
    advance = second[0] - first[-1]
    if (advance < 1).any():
        return False
    speed = _speed(np.concatenate([first, second]))
    if any(not 1 / 1.5 <= _speed(path) / speed <= 1.5 for path in (first, second)):
        return False
    query, gallery = advance * np.array([min(speed, 1.0), min(1 / speed, 1.0)]) - 1  # counted on the side of fewer rows
    return max(query, gallery) <= MAX_GAP and abs(query - gallery) <= 1


def _speed(cells: NDArray[np.int64]) -> float:
    """Gallery rows per query row; 1 for a single cell."""
    query, gallery = cells[-1] - cells[0]
    return float(gallery / query) if query else 1.0


def _spans(cells: NDArray[np.int64]) -> tuple[Span, Span]:
    """Half-open query rows and gallery rows of a path."""
    (q0, g0), (q1, g1) = cells[0], cells[-1] + 1
    return (int(q0), int(q1)), (int(g0), int(g1))


def _outside(span: Span, taken: Span) -> list[Span]:
    """What is left of a span: ``(0, 9)`` without ``(3, 5)`` gives ``[(0, 3), (5, 9)]``."""
    if taken[1] <= span[0] or span[1] <= taken[0]:
        return [span]
    return [part for part in ((span[0], taken[0]), (taken[1], span[1])) if part[0] < part[1]]
