"""One query against a gallery: shortlist by cosine → rerank by frames → which seconds match.

The shortlist compares vectors of whole videos and of windows of long ones, so that a clip hidden in a long film is on
it. The rerank compares every frame with every frame. The matched seconds come from lines in that same matrix.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, Hit, Progress, Segment
from vidlang.core.segments import run_segment
from vidlang.methods.tca.alignment import MAX_STEP, matched_runs, to_segments
from vidlang.store.index import VideoIndex
from vidlang.workflows.embedding import Embedded

if TYPE_CHECKING:
    from torch import Tensor

    from vidlang.core.progress import Task
    from vidlang.methods.tca.comparator import Comparator
    from vidlang.store.ann import ApproximateIndex

Similarity = Literal["overlap", "chamfer", "symmetric", "top-k", "cosine", "comparator"]
FEW_ROWS = 8
"""A gallery video of fewer informative rows has a lucky nearest frame in any long query, so its own direction counts
less in ``overlap``."""
TOP_SHARE = 0.3
"""Of the matches that ``top-k`` averages, as HAP-VR (ACM MM 2024) does."""
CLEAR = 1 / 3
"""A matched frame lies this share of the way from what unrelated frames reach up to equality."""
UNRELATED = 0.95
"""Quantile of the similarities between frames of different videos."""
MOST_UNRELATED = 0.95
"""That quantile counts as this at most: in a gallery of little but copies it is 1, which no frame would exceed."""
FEW_VIDEOS = 20
"""A smaller gallery may be little but copies, so that it does not tell what unrelated frames reach."""
CLEAR_AMONG_FEW, MOST_AMONG_FEW = 0.6, 0.95
"""There a matched frame reaches the first, and never needs more than the second, whatever the pair itself says."""


@dataclass(frozen=True)
class SearchOptions:
    """How to compare, and how much to answer."""

    similarity: Similarity = "overlap"
    """``overlap``: share of the shorter video's frames that the longer one has, the larger of both chamfer directions;
    ``chamfer``: of the query's frames; ``symmetric``: mean of both directions; ``top-k``: chamfer that
    averages the best 30 % of each frame's matches;
    ``cosine``: of video vectors; ``comparator``: chamfer after the comparator network."""
    top: int = 10
    """Hits per query."""
    shortlist: int = 1000
    """Videos that are compared frame by frame."""
    threshold: float | None = None
    """Similarity that a hit has at least."""
    segments: bool = True
    """Find which seconds match."""
    memory: int | None = None
    """Bytes of the index that may lie in memory at a time; None: as many as the system likes. Answers are the same."""

    def __post_init__(self) -> None:
        if self.similarity not in get_args(Similarity):
            raise BadInput(f"There is no similarity {self.similarity!r}. Use one of {', '.join(get_args(Similarity))}.")
        if self.top < 1 or self.shortlist < 1:
            raise BadInput(f"--top and --shortlist are at least 1, got {self.top} and {self.shortlist}.")
        if self.memory is not None and self.memory < 1:
            raise BadInput(f"--memory is more than nothing, got {self.memory} bytes.")


@dataclass(eq=False)
class Searcher:
    """Compares queries with one index. Everything that is the same for all queries is found once."""

    index: VideoIndex
    options: SearchOptions
    comparator: Comparator | None = None
    background: tuple[int, ...] = ()
    """Positions of videos that no query is related to: what it shares with the nearest of them is taken away."""
    approximate: ApproximateIndex | None = None
    """Stands in for the exact shortlist."""

    def hits(self, query: Embedded, exclude: Collection[str] = ()) -> tuple[Hit, ...]:
        """The best hits in falling order of similarity; ties keep the order of the index.

        exclude: ids of videos that are no hits, such as the query itself
        """
        (hits,) = self.hits_of([query], [exclude])
        return hits

    def hits_of(self, queries: Sequence[Embedded], exclude: Sequence[Collection[str]]) -> Iterator[tuple[Hit, ...]]:
        """``hits`` of each query; the vectors of the index are read once for ``QUERIES_AT_ONCE`` of them.

        exclude: of each query
        """
        for first in range(0, len(queries), QUERIES_AT_ONCE):
            some = queries[first : first + QUERIES_AT_ONCE]
            banned = [self._banned(names) for names in exclude[first : first + QUERIES_AT_ONCE]]
            most = self.options.shortlist + max(map(len, banned))
            asked = [i for i, query in enumerate(some) if not query.blank and len(self.index)]
            lists = dict(zip(asked, self.shortlists([some[i] for i in asked], most), strict=True))
            for i, query in enumerate(some):
                left = [p for p in lists.get(i, []) if p not in banned[i]]
                yield self._ranked(query, left[: self.options.shortlist]) if i in lists else ()

    def _banned(self, exclude: Collection[str]) -> set[int]:
        """Positions that are no hits."""
        return {*self.background, *(self.index.position(i) for i in exclude if i in self.index)}

    def _ranked(self, query: Embedded, positions: Sequence[int]) -> tuple[Hit, ...]:
        """The best of a shortlist."""
        similarities = self.similarities(query, positions) - self.bias(query)
        order = np.lexsort((np.array(positions), -similarities))[: self.options.top]
        least = -np.inf if self.options.threshold is None else self.options.threshold
        chosen = [int(i) for i in order if similarities[i] >= least]
        hits = tuple(
            Hit(
                self.index.ids[positions[i]],
                min(float(similarities[i]), 1.0),  # float32 makes a cosine of equal rows 1.0000001
                self.matched(query, positions[i]) if self.options.segments else (),
            )
            for i in chosen
        )
        self._forget()
        return hits

    def shortlist(self, query: Embedded, size: int) -> list[int]:
        """Positions of the videos with the nearest vectors, nearest first."""
        (found,) = self.shortlists([query], size)
        return found

    def shortlists(
        self, queries: Sequence[Embedded], size: int, progress: Progress | None = None, *, exact: bool = False
    ) -> list[list[int]]:
        """``shortlist`` of each query, from one pass over the vectors of the index.

        exact: compare with every vector, also where an approximate index stands in
        """
        import torch

        if size >= len(self.index) or not queries:
            return [list(range(len(self.index))) for _ in queries]
        whole_only = self.options.similarity == "cosine"
        vectors = [torch.from_numpy(query.vectors[:1] if whole_only else query.vectors) for query in queries]
        if self.approximate is not None and not exact:
            found = [self._approximately(self.approximate, part, size, whole_only) for part in vectors]
            self._forget()
            return found
        return self._exactly(vectors, size, whole_only, progress or Progress())

    def _exactly(self, vectors: Sequence[Tensor], size: int, whole_only: bool, progress: Progress) -> list[list[int]]:
        import torch

        from vidlang.nn.search import top_k_by_owner

        with progress.task("compare", total=len(self.index), unit="video") as task:
            blocks = _counted(self.index.vector_blocks(first_only=whole_only, memory=self.options.memory), task)
            similarities, owners, _ = top_k_by_owner(torch.cat(list(vectors)), blocks, size)
        lengths = [len(part) for part in vectors]
        parts = zip(similarities.split(lengths), owners.split(lengths), strict=True)
        return [_nearest(values.numpy().ravel(), who.numpy().ravel(), size) for values, who in parts]

    def _approximately(self, approximate: ApproximateIndex, vectors: Tensor, size: int, whole_only: bool) -> list[int]:
        # a long video has several vectors, so more than ``size`` of them may belong to fewer videos
        _, numbers = approximate.search(vectors.numpy(), min(4 * size, approximate.num_vectors))
        numbers = np.unique(numbers[numbers >= 0])
        owners = self.index.owners_of(numbers)
        if whole_only:
            first = self.index.is_first(numbers)
            numbers, owners = numbers[first], owners[first]
        # what was found is compared exactly: a compressed index tells who may be near, not how near
        similarities = (self.index.vectors_at(numbers) @ vectors.T).amax(1).numpy() if len(numbers) else np.zeros(0)
        return _nearest(similarities, owners, size)

    def _forget(self) -> None:
        if self.options.memory is not None:
            self.index.forget()

    def similarities(self, query: Embedded, positions: Sequence[int]) -> NDArray[np.float64]:
        """[len(positions)] by the chosen similarity."""
        import torch

        from vidlang.methods.tca.similarity import chamfer_many, top_k_chamfer_many

        if not positions:
            return np.zeros(0)
        kind = self.options.similarity
        if kind == "cosine":
            own = torch.from_numpy(query.vectors[0])
            return np.array([float(self.index.vectors(position)[0].float() @ own) for position in positions])
        parts = self._parts(positions)
        if len(parts) > 1:
            values = []
            for part in parts:
                values.append(self.similarities(query, part))
                self._forget()
            return np.concatenate(values)
        gallery = self.index.rows_many(positions)
        rows = torch.from_numpy(query.rows)
        if kind == "comparator":
            return self._compared(rows, gallery)
        if kind == "top-k":
            return np.asarray(top_k_chamfer_many(rows, gallery, TOP_SHARE)[0].double().numpy())
        forward, backward = (part.double().numpy() for part in chamfer_many(rows, gallery))
        if kind == "chamfer":
            return np.asarray(forward)
        if kind == "symmetric":
            return np.asarray((forward + backward) / 2)
        forward, backward = forward * min(1.0, _weight(rows)), backward * _trust(gallery)
        overlap = np.maximum(forward, backward)
        for i in np.flatnonzero(overlap >= self.clear_match).tolist():
            ours, theirs = _support(rows @ gallery[i].float().T)
            overlap[i] = max(forward[i] * theirs, backward[i] * ours)
        return np.asarray(overlap)

    def _parts(self, positions: Sequence[int]) -> list[Sequence[int]]:
        """Positions cut so that the rows of each part lie in the memory that is allowed; a video is never cut."""
        if self.options.memory is None:
            return [positions]
        rows = self.index.rows_many(positions)
        ends = np.cumsum([part.numel() * part.element_size() for part in rows])
        cuts = np.flatnonzero(np.diff(ends // self.options.memory)) + 1
        edges = [0, *cuts.tolist(), len(positions)]
        return [positions[start:end] for start, end in pairwise(edges)]

    def _compared(self, rows: Tensor, gallery: Sequence[Tensor]) -> NDArray[np.float64]:
        if self.comparator is None:
            raise BadInput("--similarity comparator needs the weights of the network: --comparator weights.pth")
        from vidlang.methods.tca.comparator import comparator_similarity

        return np.array([comparator_similarity(self.comparator, rows @ video.float().T) for video in gallery])

    def bias(self, query: Embedded) -> float:
        """The mean similarity to the nearest background videos; 0 without a background.

        Source: score normalisation of the VSC2022 baselines (facebookresearch/vsc2022), with their weight of 1.
        """
        if not self.background:
            return 0.0
        nearest = np.sort(self.similarities(query, self.background))[-NEAREST:]
        return float(nearest.mean())

    def matched(self, query: Embedded, position: int) -> tuple[tuple[Segment, Segment], ...]:
        """Which seconds of the query lie over which seconds of the gallery video."""
        similarity = query.rows @ self.index.rows(position).float().numpy().T  # [n, m]
        runs = matched_runs(similarity, self.match_threshold(similarity))
        return to_segments(runs, query.seconds, self.index.seconds(position))

    def match_threshold(self, similarity: NDArray[np.float32]) -> float:
        """What a matched frame must reach here: clearly above what frames of unrelated videos do, and above most of
        this very matrix, since two recordings of one place are alike at all times."""
        own = float(np.quantile(similarity, 0.9)) if min(similarity.shape) > FEW_ROWS else -1.0
        low = self.clear_match
        if len(self.index) < FEW_VIDEOS:
            return min(max(low, own), MOST_AMONG_FEW)
        return min(max(low, own), (1 + low) / 2)

    @cached_property
    def clear_match(self) -> float:
        """Similarity that separates matched frames from others in this gallery."""
        if len(self.index) < FEW_VIDEOS:
            return CLEAR_AMONG_FEW
        unrelated = self.unrelated_frames()
        base = min(float(np.quantile(unrelated, UNRELATED)), MOST_UNRELATED) if len(unrelated) else 0.5
        return base + (1 - base) * CLEAR

    def unrelated_frames(self, num_videos: int = 300, num_rows: int = 5) -> NDArray[np.float32]:
        """Similarities between frames of different videos, from a sample of the gallery."""
        if len(self.index) < 2:
            return np.zeros(0, dtype=np.float32)
        random = np.random.default_rng(0)
        chosen = random.choice(len(self.index), min(num_videos, len(self.index)), replace=False)
        parts, owners = [], []
        for position in chosen.tolist():
            rows = self.index.rows(position).float().numpy()
            rows = rows[random.choice(len(rows), min(num_rows, len(rows)), replace=False)]
            rows = rows[np.linalg.norm(rows, axis=1) > 0.5]
            parts.append(rows)
            owners += [position] * len(rows)
        sample, owner = np.concatenate(parts), np.array(owners)
        return np.asarray((sample @ sample.T)[owner[:, None] < owner[None]])

    def unrelated_videos(self, max_videos: int = 200) -> NDArray[np.float64]:
        """Similarities between different videos of the gallery, from a sample: what a threshold lets through.

        Copies that the gallery itself holds count as unrelated here, so a rate read off this is at least the true one.
        """
        random = np.random.default_rng(0)
        number = min(max_videos, len(self.index))
        chosen = sorted(random.choice(len(self.index), number, replace=False).tolist())
        values = [
            self.similarities(self.embedded(position), [p for p in chosen if p != position]) for position in chosen
        ]
        return np.concatenate(values) if values else np.zeros(0)

    def embedded(self, position: int) -> Embedded:
        """A video of the index as a query."""
        rows = self.index.rows(position).float().numpy()
        return Embedded(
            video_id=self.index.ids[position],
            duration=self.index.duration(position),
            seconds=self.index.seconds(position),
            vectors=self.index.vectors(position).float().numpy(),
            rows=np.array(rows),
            text=None,
            blank=not bool(np.any(rows)),
        )


QUERIES_AT_ONCE = 64
"""Queries whose shortlists are found in one pass over the index."""


def _counted(blocks: Iterator[tuple[Tensor, Tensor]], task: Task) -> Iterator[tuple[Tensor, Tensor]]:
    """Blocks, and how many videos they have come past."""
    before = 0
    for rows, owners in blocks:
        yield rows, owners
        now = int(owners[-1]) + 1
        task.advance(now - before)
        before = now


def _nearest(similarities: NDArray[np.floating], owners: NDArray[np.int64], size: int) -> list[int]:
    """The owners with the highest best similarity, nearest first; of equal ones those of lower position."""
    order = np.lexsort((owners, -similarities))
    return list(dict.fromkeys(owners[order].tolist()))[:size]


NEARLY = 0.02
"""Similarity by which a match may be worse than the best one and still show that it was possible."""
NEAREST = 3
"""Background videos whose mean similarity is a query's bias."""


def _trust(gallery: Sequence[Tensor]) -> NDArray[np.float64]:
    """How far each gallery video's own chamfer direction counts: by its informative rows."""
    return np.minimum(1.0, np.array([_weight(rows) for rows in gallery]) / FEW_ROWS)


def _support(similarity: Tensor) -> tuple[float, float]:
    """How far matches spread over the query's rows, and over the gallery video's: 1 where they do.

    A video that stands still lies whole in one frame of another that happens to look like it. A real copy uses as many
    rows as it has itself, or a third of them at three times the speed. Rows nearly as near as the nearest count, so
    that copies of still videos keep their support.

    similarity: [n, m]    returns: (of the query's rows, used by the gallery's; of the gallery's, used by the query's)
    """
    telling = similarity.abs().amax(1) > 0, similarity.abs().amax(0) > 0
    near_column = (similarity >= similarity.amax(0) - NEARLY) & telling[1]
    near_row = (similarity >= similarity.amax(1, keepdim=True) - NEARLY) & telling[0][:, None]
    ours = float(near_column.any(1).sum()) * MAX_STEP / max(float(telling[1].sum()), 1.0)
    theirs = float(near_row.any(0).sum()) * MAX_STEP / max(float(telling[0].sum()), 1.0)
    return min(ours, 1.0), min(theirs, 1.0)


def _weight(rows: Tensor) -> float:
    """Informative rows of a video: the sum of its rows' lengths."""
    return float(rows.float().norm(dim=1).sum())


def text_hits(index: VideoIndex, text: NDArray[np.floating], options: SearchOptions) -> tuple[Hit, ...]:
    """Videos whose frames come nearest to a text, with the seconds that do.

    text: [D] of length 1    the similarity is the mean of the best frame's cosine and that of all frames' mean
    """
    (hits,) = text_hits_of(index, {"": text}, options).values()
    return hits


def text_hits_of(
    index: VideoIndex, texts: Mapping[str, NDArray[np.floating]], options: SearchOptions
) -> dict[str, tuple[Hit, ...]]:
    """``text_hits`` of each text, from one pass over the rows of the index."""
    import torch

    if not len(index) or not texts:
        return dict.fromkeys(texts, ())
    vectors = [torch.from_numpy(np.asarray(text, dtype=np.float32)) for text in texts.values()]
    best = torch.full((len(vectors), len(index)), -2.0)
    total, count = torch.zeros(len(vectors), len(index)), torch.zeros(len(index))
    for rows, owners, _ in index.text_blocks(memory=options.memory):
        wide = rows.float()
        count.index_add_(0, owners, torch.ones(len(owners)))
        for i, vector in enumerate(vectors):
            cosines = wide @ vector
            best[i].scatter_reduce_(0, owners, cosines, "amax")
            total[i].index_add_(0, owners, cosines)
    similarities = ((best + total / count.clamp(min=1)) / 2).double().numpy()
    return {
        name: _text_ranked(index, text, similarity, options)
        for (name, text), similarity in zip(texts.items(), similarities, strict=True)
    }


def _text_ranked(
    index: VideoIndex, text: NDArray[np.floating], similarity: NDArray[np.float64], options: SearchOptions
) -> tuple[Hit, ...]:
    order = np.lexsort((np.arange(len(index)), -similarity))[: options.top]
    least = -np.inf if options.threshold is None else options.threshold
    return tuple(
        Hit(index.ids[p], float(similarity[p]), _telling_seconds(index, p, text) if options.segments else ())
        for p in order.tolist()
        if similarity[p] >= least
    )


def _telling_seconds(
    index: VideoIndex, position: int, text: NDArray[np.floating]
) -> tuple[tuple[Segment, Segment], ...]:
    """The run of rows around the best one that stay nearer to it than to the video's mean."""
    cosines = index.text_rows(position).float().numpy() @ text
    peak = int(cosines.argmax())
    enough = cosines >= (cosines[peak] + cosines.mean()) / 2
    first, last = peak, peak + 1
    while first > 0 and enough[first - 1]:
        first -= 1
    while last < len(cosines) and enough[last]:
        last += 1
    return ((Segment(0.0, 0.0), run_segment(index.seconds(position), (first, last))),)
