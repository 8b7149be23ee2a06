"""The vectors of the retrieval index, written for vector databases and other programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.core import Progress
from vidlang.store.index import VideoIndex
from vidlang.store.index_export import ExportFacts, ExportFormat, VectorBlock, write_vectors
from vidlang.store.workspace import Workspace
from vidlang.workflows.embedding import window_starts
from vidlang.workflows.gallery import GalleryOptions, open_gallery
from vidlang.workflows.recipe import RecipeChanges

if TYPE_CHECKING:
    from torch import Tensor

What = Literal["rows", "vectors", "text"]
BLOCK_ROWS = 16384
EXPORT_MEMORY = 256 << 20
"""Bytes of the index that lie in memory while it is exported."""


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    folder: Path
    files: tuple[Path, ...]
    format: ExportFormat
    what: What
    vectors: int
    width: int
    videos: int

    def line(self) -> str:
        return (
            f"Wrote {self.vectors} vectors of width {self.width} of {self.videos} videos to {self.folder} "
            f"({len(self.files)} files)"
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "vidlang.index_export/1",
            "folder": str(self.folder),
            "files": [path.name for path in self.files],
            "format": self.format,
            "what": self.what,
            "vectors": self.vectors,
            "width": self.width,
            "videos": self.videos,
        }


def export_gallery(
    workspace: Workspace,
    out: Path,
    format: ExportFormat = "parquet",
    what: What = "rows",
    options: GalleryOptions | None = None,
    changes: RecipeChanges | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Brings the index up to date and writes its vectors into a folder that does not exist yet.

    what: ``rows``, one a snippet, scaled as the index compares them; ``vectors``, those of whole videos and of windows
    of long ones; ``text``, one a snippet, as they are compared with texts

    Raises:
        BadInput: the folder exists. MissingDependency: pyarrow is not installed. Else as ``open_gallery``.
    """
    progress = progress or Progress()
    gallery, _ = open_gallery(workspace, options, changes, progress, as_it_is=True)
    return export_index(gallery.index, out, format, what, progress)


def export_index(
    index: VideoIndex, out: Path, format: ExportFormat, what: What, progress: Progress | None = None
) -> ExportReport:
    """``export_gallery`` of an open index, as it is."""
    info = index.info()
    width = index.text_width if what == "text" else info.width
    total = info.vectors if what == "vectors" else info.rows
    with (progress or Progress()).task("export", total=total, unit="vectors") as task:

        def counted() -> Iterator[VectorBlock]:
            for block in vector_blocks(index, what):
                yield block
                task.advance(len(block.vectors))

        files, written = write_vectors(out, counted(), index.ids, ExportFacts(what, width, index.spec), format)
    return ExportReport(out, tuple(files), format, what, written, width, len(index))


def vector_blocks(index: VideoIndex, what: What) -> Iterator[VectorBlock]:
    """All that ``export_index`` writes, in bounded memory."""
    if what == "vectors":
        yield from _video_vectors(index)
        return
    walk = index.row_blocks if what == "rows" else index.text_blocks
    for rows, owners, within in walk(BLOCK_ROWS, memory=EXPORT_MEMORY):
        seconds = _by_video(owners.numpy(), within.numpy(), index.seconds)
        yield VectorBlock(_float32(rows), owners.numpy(), within.numpy().astype(np.int32), seconds)


def _video_vectors(index: VideoIndex) -> Iterator[VectorBlock]:
    last, seen = -1, 0
    for vectors, owners in index.vector_blocks(BLOCK_ROWS, memory=EXPORT_MEMORY):
        own = owners.numpy()
        first = np.flatnonzero(np.diff(own, prepend=-1))  # where each video of the block begins
        lengths = np.diff(np.append(first, len(own)))
        within = np.arange(len(own)) - np.repeat(first, lengths)
        if own[0] == last:  # the video before goes on
            within[: lengths[0]] += seen
        last, seen = int(own[-1]), int(within[-1]) + 1
        seconds = _by_video(own, within, lambda position: _vector_seconds(index, position))
        yield VectorBlock(_float32(vectors), own, within.astype(np.int32), seconds)


def _by_video(owners: NDArray[np.int64], within: NDArray[np.int64], seconds_of: Any) -> NDArray[np.float64]:
    """[n, 2] seconds of each vector. seconds_of: from a position to those of all of its video"""
    seconds = np.empty((len(owners), 2))
    edges = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(owners)]
    for start, stop in pairwise(edges):
        if stop > start:
            seconds[start:stop] = seconds_of(int(owners[start]))[within[start:stop]]
    return seconds


def _vector_seconds(index: VideoIndex, position: int) -> NDArray[np.float64]:
    """[V, 2] from the start of the first to the end of the last row behind each vector."""
    rows, window = index.seconds(position), index.spec.window
    spans = [(0, len(rows)), *((start, start + window) for start in window_starts(len(rows), window))]
    if len(spans) != len(index.vectors(position)):  # made by other means than windows: of the whole video
        spans = [(0, len(rows))] * len(index.vectors(position))
    return np.array([[rows[start, 0], rows[stop - 1, 1]] for start, stop in spans])


def _float32(rows: Tensor) -> NDArray[np.float32]:
    return np.asarray(rows.float().numpy())
