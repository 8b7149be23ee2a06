"""Vectors of a retrieval index for other programs: Parquet, Arrow or plain numpy, written block by block.

A folder, written as a whole. With Parquet and Arrow, every file is one piece of one table:

``vectors-000001.parquet`` …, or ``vectors-000001.arrow`` … (Arrow's file format)
    columns, none of them ever null:

    ``video``   string, the video's id
    ``row``     int32, number of the vector among those of its video, from 0
    ``start``   float64, seconds of the presentation clock
    ``end``     float64, seconds, exclusive
    ``vector``  fixed_size_list<float>[width], float32 whatever the index keeps

    Vectors stand in the order of the index: video by video, ``row`` ascending. The schema's metadata has the key
    ``vidlang``, a text in JSON: what ``export.json`` holds, without ``files`` and ``vectors``.

With numpy:

``vectors.npy``  float32 [n, width]    ``seconds.npy``  float64 [n, 2]
``videos.npy``   int64 [n], places in ``videos.json``, a list of ids    ``rows.npy``  int32 [n]

And always:

``export.json``
    an object: ``schema`` = ``vidlang.vectors/1``; ``what``, ``rows``, ``vectors`` or ``text``; ``width``; ``vectors``,
    how many; ``similarity`` = ``inner product``; ``recipe``, ``checkpoint`` (name and digest, or null) and ``index``
    (``IndexSpec``) as JSON; ``files``, names in order.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, MissingDependency
from vidlang.store.atomic import replacing_folder
from vidlang.store.index import IndexSpec

SCHEMA = "vidlang.vectors/1"
FACTS = "export.json"
FILE_ROWS = 1_000_000
"""Vectors of a file; the next begins with the next block."""

ExportFormat = Literal["parquet", "arrow", "npy"]


@dataclass(frozen=True, eq=False)
class VectorBlock:
    """Vectors that follow one another in the index."""

    vectors: NDArray[np.float32]
    """[n, width]"""
    owners: NDArray[np.int64]
    """[n] positions of their videos."""
    rows: NDArray[np.int32]
    """[n] numbers among the vectors of the same video."""
    seconds: NDArray[np.float64]
    """[n, 2]"""


@dataclass(frozen=True)
class ExportFacts:
    """What is written beside the vectors."""

    what: str
    width: int
    spec: IndexSpec

    def to_dict(self) -> dict[str, Any]:
        spec = self.spec.to_dict()
        embedder = dict(self.spec.embedder)
        return {
            "schema": SCHEMA,
            "what": self.what,
            "width": self.width,
            "similarity": "inner product",
            "recipe": spec["recipe"],
            "checkpoint": embedder if embedder.get("kind") != "plain" else None,
            "index": spec,
        }


def write_vectors(
    out: Path,
    blocks: Iterable[VectorBlock],
    ids: Sequence[str],
    facts: ExportFacts,
    format: ExportFormat,
    *,
    file_rows: int = FILE_ROWS,
) -> tuple[list[Path], int]:
    """Writes the folder; returns its files and the number of vectors. One block is in memory at a time.

    ids: of all videos, by position

    Raises:
        BadInput: the folder exists.
        MissingDependency: pyarrow is not installed (not for ``npy``).
    """
    if format not in get_args(ExportFormat):
        raise ValueError(f"format must be one of {', '.join(map(repr, get_args(ExportFormat)))}, got {format!r}")
    if out.exists():
        raise BadInput(f"{out} exists. Name a folder that does not, so that nothing is written over.")
    if format != "npy":
        _pyarrow()
    try:
        with replacing_folder(out, replace=False) as folder:
            if format == "npy":
                total = _write_npy(folder, blocks, ids, facts.width)
            else:
                total = _write_tables(folder, blocks, ids, facts, format, file_rows)
            names = sorted(path.name for path in folder.iterdir())
            told = {**facts.to_dict(), "vectors": total, "files": names}
            (folder / FACTS).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    except FileExistsError as cause:
        raise BadInput(f"{out} was made by somebody else meanwhile. Name another folder.") from cause
    return [out / name for name in (*names, FACTS)], total


# -- tables ----------------------------------------------------------------------------------------------------------


def _write_tables(
    folder: Path, blocks: Iterable[VectorBlock], ids: Sequence[str], facts: ExportFacts, format: str, file_rows: int
) -> int:
    pa = _pyarrow()
    schema = pa.schema(
        [
            pa.field("video", pa.string(), nullable=False),
            pa.field("row", pa.int32(), nullable=False),
            pa.field("start", pa.float64(), nullable=False),
            pa.field("end", pa.float64(), nullable=False),
            pa.field("vector", pa.list_(pa.field("item", pa.float32(), nullable=False), facts.width), nullable=False),
        ],
        metadata={"vidlang": json.dumps(facts.to_dict())},
    )
    total, written, number = 0, file_rows, 0
    with ExitStack() as open_file:
        for block in blocks:
            if written >= file_rows:
                open_file.close()
                number, written = number + 1, 0
                path = str(folder / f"vectors-{number:06}.{format}")
                writer = open_file.enter_context(_writer(pa, path, schema, format))
            writer.write_batch(_batch(pa, block, ids, schema))
            total, written = total + len(block.vectors), written + len(block.vectors)
        if not number:  # a table of no vectors is a table, too
            open_file.enter_context(_writer(pa, str(folder / f"vectors-000001.{format}"), schema, format))
    return total


def _writer(pa: Any, path: str, schema: Any, format: str) -> Any:
    if format == "arrow":
        return pa.ipc.new_file(path, schema)
    import pyarrow.parquet

    # vectors hardly compress, and no two are equal: plain pages are the smallest and the fastest to read
    return pyarrow.parquet.ParquetWriter(path, schema, compression="none", use_dictionary=["video"])


def _batch(pa: Any, block: VectorBlock, ids: Sequence[str], schema: Any) -> Any:
    values = pa.array(np.ascontiguousarray(block.vectors, dtype=np.float32).ravel())
    columns = [
        pa.array([ids[owner] for owner in block.owners.tolist()], pa.string()),
        pa.array(block.rows.astype(np.int32)),
        pa.array(np.ascontiguousarray(block.seconds[:, 0])),
        pa.array(np.ascontiguousarray(block.seconds[:, 1])),
        pa.FixedSizeListArray.from_arrays(values, type=schema.field("vector").type),
    ]
    return pa.record_batch(columns, schema=schema)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as cause:
        raise MissingDependency(
            'Parquet and Arrow need pyarrow, which is not installed. Run: pip install "vidlang[arrow]", or take npy.'
        ) from cause
    return pyarrow


# -- numpy -----------------------------------------------------------------------------------------------------------


def _write_npy(folder: Path, blocks: Iterable[VectorBlock], ids: Sequence[str], width: int) -> int:
    columns: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
        "vectors": (np.dtype("<f4"), (width,)),
        "seconds": (np.dtype("<f8"), (2,)),
        "videos": (np.dtype("<i8"), ()),
        "rows": (np.dtype("<i4"), ()),
    }
    total = 0
    with ExitStack() as open_files:
        files = {name: open_files.enter_context((folder / f"{name}.npy").open("wb")) for name in columns}
        for name, file in files.items():
            file.write(_header(*columns[name], num_rows=0))
        for block in blocks:
            parts: dict[str, NDArray[Any]] = {
                "vectors": block.vectors,
                "seconds": block.seconds,
                "videos": block.owners,
                "rows": block.rows,
            }
            for name, file in files.items():
                file.write(np.ascontiguousarray(parts[name], dtype=columns[name][0]).data)
            total += len(block.vectors)
        for name, file in files.items():  # the number of rows is known at the end only, and its place is the same
            file.seek(0)
            file.write(_header(*columns[name], num_rows=total))
    (folder / "videos.json").write_text(json.dumps(list(ids)) + "\n", encoding="utf-8")
    return total


def _header(dtype: np.dtype[Any], shape: tuple[int, ...], num_rows: int) -> bytes:
    """Of a ``.npy`` file; numpy leaves room in it for the number of rows to grow."""
    buffer = io.BytesIO()
    facts = {"descr": dtype.str, "fortran_order": False, "shape": (num_rows, *shape)}
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()
