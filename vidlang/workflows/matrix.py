"""Two cached videos row by row: the similarity matrix that retrieval sees, and the passages it finds in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, MissingFeatures, Progress, Segment
from vidlang.report.map_plot import file_kind
from vidlang.report.similarity import similarity_plot
from vidlang.store.atomic import write_bytes
from vidlang.store.workspace import Workspace
from vidlang.workflows.chosen import honesty
from vidlang.workflows.gallery import Gallery, GalleryOptions, open_gallery
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.search import Searcher, SearchOptions

PICTURES = ("png", "pdf", "svg")


@dataclass(frozen=True)
class MatrixOptions:
    """How rows are compared, and where the picture goes."""

    gallery: GalleryOptions = field(default_factory=GalleryOptions)
    out: Path | None = Path("matrix.png")
    """None: no picture."""

    def __post_init__(self) -> None:
        if self.out is not None and file_kind(self.out.name, PICTURES) is None:
            raise BadInput(f"--out {self.out} must end in .png, .pdf or .svg, which says what is written.")


@dataclass(frozen=True, eq=False)
class MatrixReport:
    """Every row of one video beside every row of another."""

    first: str
    second: str
    similarity: NDArray[np.float32]
    """[n, m]"""
    first_seconds: NDArray[np.float64]
    """[n, 2]"""
    second_seconds: NDArray[np.float64]
    """[m, 2]"""
    segments: tuple[tuple[Segment, Segment], ...]
    """Pairs of seconds that show the same."""
    overlap: float
    """What ``retrieve`` calls the similarity of both."""
    threshold: float
    """Similarity that a matched row reaches here."""
    made_by: dict[str, Any]
    out: Path | None

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.cache.matrix/1",
            "made_by": self.made_by,
            "videos": [self.first, self.second],
            "similarity": round(self.overlap, 6),
            "threshold": round(self.threshold, 6),
            "segments": [[[a.start, a.end], [b.start, b.end]] for a, b in self.segments],
            "seconds": [self.first_seconds.tolist(), self.second_seconds.tolist()],
            "matrix": [[round(float(value), 4) for value in row] for row in self.similarity],
            "file": None if self.out is None else str(self.out),
        }


def similarity_matrix(
    workspace: Workspace,
    first: str,
    second: str,
    options: MatrixOptions | None = None,
    progress: Progress | None = None,
) -> MatrixReport:
    """Compare two cached videos, by their ids, as ``retrieve`` does, and draw it.

    Raises:
        MissingFeatures: one of them is not in the cache.
        BadInput, UnknownName, BadCheckpoint: options that fit nothing.
    """
    options, progress = options or MatrixOptions(), progress or Progress()
    gallery, _ = open_gallery(workspace, options.gallery, RecipeChanges(), progress, as_it_is=True)
    searcher = Searcher(gallery.index, SearchOptions())
    places = [position_of(gallery, video_id) for video_id in (first, second)]
    one, other = (searcher.embedded(place) for place in places)
    similarity = one.rows @ other.rows.T
    report = MatrixReport(
        first=first,
        second=second,
        similarity=np.asarray(similarity, dtype=np.float32),
        first_seconds=one.seconds,
        second_seconds=other.seconds,
        segments=searcher.matched(one, places[1]),
        overlap=float(searcher.similarities(one, [places[1]])[0]),
        threshold=searcher.match_threshold(similarity),
        made_by={**gallery.made_by, **honesty(gallery.encoder_name)},
        out=options.out,
    )
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(options.out, _drawn(report, file_kind(options.out.name, PICTURES) or "png"))
    return report


def position_of(gallery: Gallery, video_id: str) -> int:
    """Where a video lies in the index.

    Raises:
        MissingFeatures: it is not there.
    """
    if video_id not in gallery.index:
        raise MissingFeatures(
            f"{video_id} has no features of {gallery.recipe.name} in the cache. vidlang cache list '*' shows what is "
            "there, vidlang extract VIDEO adds one."
        )
    return gallery.index.position(video_id)


def _drawn(report: MatrixReport, kind: str) -> bytes:
    made_by = report.made_by
    how = f"checkpoint {made_by['checkpoint']}" if made_by["checkpoint"] else "plain rows"
    note = f"{made_by['encoder']}; {how}; whitening {made_by['whitening']}; similarity {report.overlap:.3f}"
    return similarity_plot(
        report.similarity,
        report.first_seconds,
        report.second_seconds,
        report.segments,
        query_name=report.first,
        gallery_name=report.second,
        threshold=report.threshold,
        note=note,
        kind=kind,
    )
