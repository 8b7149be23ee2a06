"""One immutable part of a retrieval index: a folder of plain ``.npy`` arrays and the names of its videos.

With n videos, R rows, V vectors::

    part.json        what follows
    offsets.npy      int64 [n + 1, 2]: video i has the rows offsets[i, 0] … offsets[i + 1, 0] and the vectors
                     offsets[i, 1] … offsets[i + 1, 1], ends exclusive; the first line is 0, 0
    durations.npy    float64 [n], seconds
    vectors.npy      [V, E]: float16 in an index of float16, else float32; of each video first the one of the whole,
                     then those of its windows
    rows.npy         [R, E]: float32, float16, or bfloat16 as its bits in uint16
    seconds.npy      float64 [R, 2], what each row stands for, half-open
    text.npy         [R, D], of the type of rows; absent where the rows themselves are compared with texts

All little-endian, in C order, format version 1.0 of numpy. ``part.json`` is an object in UTF-8: ``schema`` =
``vidlang.index_part/1``; ``dtype``, ``float32``, ``bfloat16`` or ``float16``; ``width`` (E); ``text_width`` (D or
null); ``num_videos``, ``num_rows``, ``num_vectors``; ``videos``, an object of four lists of n: ``id``, ``entry``,
``stamp`` (text) and ``digest`` (text or null); ``files``, from each file's name to its ``bytes`` and ``digest``,
BLAKE2b of 20 bytes in hex.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import DamagedEntry
from vidlang.store.index_memory import Pages

if TYPE_CHECKING:
    from torch import Tensor

PART_SCHEMA = "vidlang.index_part/1"
FACTS = "part.json"
STORED_DTYPES = {"float32": np.dtype("<f4"), "bfloat16": np.dtype("<u2"), "float16": np.dtype("<f2")}
VECTOR_DTYPES = {"float32": "float32", "bfloat16": "float32", "float16": "float16"}
"""How vectors are kept, by how rows are."""
COLUMNS = ("id", "entry", "stamp", "digest")
REMEDY = "Delete the index and build it again."


@dataclass(frozen=True, eq=False)
class StoredVideo:
    """What a part keeps of a video, in the types of the files. Arrays may be memory-mapped."""

    video_id: str
    entry: str
    stamp: str
    digest: str | None
    duration: float
    vectors: NDArray[Any]
    rows: NDArray[Any]
    seconds: NDArray[np.float64]
    text: NDArray[Any] | None

    @property
    def bytes(self) -> int:
        arrays = (self.vectors, self.rows, self.seconds, self.text)
        return sum(array.nbytes for array in arrays if array is not None)


def write_part(folder: Path, videos: Sequence[StoredVideo], dtype: str) -> None:
    """Fills an empty folder. Arrays are written one video after the other and never held together.

    videos: at least one, all of one width, all with text or all without
    """
    text = [video.text for video in videos if video.text is not None]
    counts = [(0, 0), *((len(video.rows), len(video.vectors)) for video in videos)]
    arrays: dict[str, Sequence[NDArray[Any]]] = {
        "offsets": [np.cumsum(np.array(counts, dtype="<i8"), axis=0)],
        "durations": [np.array([video.duration for video in videos], dtype="<f8")],
        "vectors": [video.vectors for video in videos],
        "rows": [video.rows for video in videos],
        "seconds": [video.seconds for video in videos],
    }
    if text:
        arrays["text"] = text
    facts = {
        "schema": PART_SCHEMA,
        "dtype": dtype,
        "width": int(videos[0].rows.shape[1]),
        "text_width": int(text[0].shape[1]) if text else None,
        "num_videos": len(videos),
        "num_rows": int(sum(rows for rows, _ in counts)),
        "num_vectors": int(sum(vectors for _, vectors in counts)),
        "videos": {
            "id": [video.video_id for video in videos],
            "entry": [video.entry for video in videos],
            "stamp": [video.stamp for video in videos],
            "digest": [video.digest for video in videos],
        },
        "files": {f"{name}.npy": _write_stacked(folder / f"{name}.npy", parts) for name, parts in arrays.items()},
    }
    (folder / FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")


class Part:
    """An open part. Arrays are mapped, not read; mapped files stay readable after they are deleted."""

    def __init__(self, folder: Path, digest: str) -> None:
        """digest: of ``part.json``, as the index recorded it.

        Raises:
            DamagedEntry: a file is missing, shorter than it should be, or not what was recorded.
        """
        self.folder, self.digest = folder, digest
        facts = self._read_facts()
        try:
            self.dtype, self.width, self.text_width = str(facts["dtype"]), int(facts["width"]), facts["text_width"]
            self.num_videos, self.num_rows = int(facts["num_videos"]), int(facts["num_rows"])
            self.num_vectors = int(facts["num_vectors"])
            self.files: dict[str, dict[str, Any]] = dict(facts["files"])
            self.bytes = sum(int(file["bytes"]) for file in self.files.values())
            self.ids, self.entries, self.stamps, self.digests = (list(facts["videos"][name]) for name in COLUMNS)
            stored = STORED_DTYPES[self.dtype]
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            raise _damaged(folder / FACTS, f"{cause!r}") from cause
        if any(len(column) != self.num_videos for column in (self.ids, self.entries, self.stamps, self.digests)):
            raise _damaged(folder / FACTS, f"not {self.num_videos} of each name")
        self.offsets = np.array(self._map("offsets", "<i8", (self.num_videos + 1, 2)))
        self.durations = np.array(self._map("durations", "<f8", (self.num_videos,)))
        self.seconds = self._map("seconds", "<f8", (self.num_rows, 2))
        self._vectors = self._map("vectors", STORED_DTYPES[VECTOR_DTYPES[self.dtype]], (self.num_vectors, self.width))
        self._rows = self._map("rows", stored, (self.num_rows, self.width))
        self._text = None if self.text_width is None else self._map("text", stored, (self.num_rows, self.text_width))
        ends = (self.offsets[0].tolist(), self.offsets[-1].tolist())
        if ends != ([0, 0], [self.num_rows, self.num_vectors]) or (np.diff(self.offsets, axis=0) < 1).any():
            raise _damaged(folder / "offsets.npy", "its offsets do not ascend from 0 to the number of rows")

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def vectors(self) -> Tensor:
        """[V, E] float32 or float16. Its memory is read-only."""
        return _tensor(self._vectors)

    @cached_property
    def rows(self) -> Tensor:
        """[R, E] float32, bfloat16 or float16. Its memory is read-only."""
        return _tensor(self._rows)

    @cached_property
    def text(self) -> Tensor | None:
        """[R, D], or None where the rows serve. Its memory is read-only."""
        return None if self._text is None else _tensor(self._text)

    @cached_property
    def vector_pages(self) -> Pages:
        """The memory of ``vectors``."""
        return Pages(self._vectors)

    @cached_property
    def row_pages(self) -> Pages:
        """The memory of ``rows``."""
        return Pages(self._rows)

    @cached_property
    def text_pages(self) -> Pages:
        """The memory of ``text``, or of the rows where they serve."""
        return self.row_pages if self._text is None else Pages(self._text)

    def forget(self) -> None:
        """Gives the memory of all arrays back to the system; they stay as they are."""
        for pages in (self.vector_pages, self.row_pages, self.text_pages, Pages(self.seconds)):
            pages.forget()

    def video(self, index: int) -> StoredVideo:
        """Everything of one video, mapped."""
        (row, vector), (row_end, vector_end) = self.offsets[index].tolist(), self.offsets[index + 1].tolist()
        return StoredVideo(
            self.ids[index],
            self.entries[index],
            self.stamps[index],
            self.digests[index],
            float(self.durations[index]),
            self._vectors[vector:vector_end],
            self._rows[row:row_end],
            self.seconds[row:row_end],
            None if self._text is None else self._text[row:row_end],
        )

    def video_bytes(self) -> NDArray[np.int64]:
        """[n] how many bytes of arrays each video takes."""
        rows, vectors = np.diff(self.offsets, axis=0).T
        a_row = (self.width + (self.text_width or 0)) * self._rows.dtype.itemsize + 16
        sizes: NDArray[np.int64] = rows * a_row + vectors * self.width * self._vectors.dtype.itemsize
        return sizes

    def problems(self) -> list[tuple[Path, str]]:
        """Reads every file; (path, what is wrong with it)."""
        found = []
        for name, facts in self.files.items():
            path = self.folder / name
            try:
                if path.stat().st_size != facts["bytes"] or _digest_of_file(path) != facts["digest"]:
                    found.append((path, "its content does not match its checksum"))
            except OSError as cause:
                found.append((path, f"it does not read ({cause.strerror or cause})"))
        return found

    def _read_facts(self) -> dict[str, Any]:
        path = self.folder / FACTS
        try:
            data = path.read_bytes()
        except OSError as cause:
            raise DamagedEntry(f"{path} of the index is missing or does not read. {REMEDY}") from cause
        if digest_of(data) != self.digest:
            raise _damaged(path, "it is not the file that the index recorded")
        try:
            facts = dict(json.loads(data))
        except (ValueError, TypeError) as cause:
            raise _damaged(path, "it does not read as JSON") from cause
        if facts.get("schema") != PART_SCHEMA:
            raise _damaged(path, f"schema {facts.get('schema')!r}, this vidlang reads {PART_SCHEMA!r}")
        return facts

    def _map(self, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        path = self.folder / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise DamagedEntry(f"{path} of the index is missing. {REMEDY}") from cause
        except (ValueError, EOFError, PermissionError) as cause:
            raise _damaged(path, " ".join(str(cause).split())[:120]) from cause
        if array.dtype != np.dtype(dtype) or array.shape != shape or not array.flags.c_contiguous:
            got = f"{array.dtype} {list(array.shape)}"
            raise _damaged(path, f"{got} where {np.dtype(dtype)} {list(shape)} was recorded")
        mapped: NDArray[Any] = array
        return mapped


# -- arrays ----------------------------------------------------------------------------------------------------------


def to_stored(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """A copy as it lies in the files; halves are rounded to the nearest, ties to even.

    Raises:
        ValueError: a value is beyond what float16 holds.
    """
    exact = np.array(values, dtype="<f4", order="C")
    if dtype == "float32":
        return exact
    if dtype == "float16":
        if exact.size and float(np.abs(exact).max()) > np.finfo(np.float16).max:
            raise ValueError(f"float16 holds numbers up to 65504, got {float(np.abs(exact).max()):g}")
        return exact.astype("<f2")
    import torch

    rounded: NDArray[Any] = _from_numpy(exact).to(torch.bfloat16).view(torch.int16).numpy().view("<u2")
    return rounded


def _tensor(array: NDArray[Any]) -> Tensor:
    import torch

    if array.dtype == STORED_DTYPES["bfloat16"]:
        return _from_numpy(array.view("<i2")).view(torch.bfloat16)
    return _from_numpy(array)


def _from_numpy(array: NDArray[Any]) -> Tensor:
    import torch

    with warnings.catch_warnings():  # that the memory is read-only is meant, and said in the docstrings
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _write_stacked(path: Path, arrays: Sequence[NDArray[Any]]) -> dict[str, Any]:
    """One ``.npy`` of all arrays along the first axis; returns its bytes and digest."""
    kind = arrays[0].dtype.newbyteorder("<")
    shape = (sum(len(array) for array in arrays), *arrays[0].shape[1:])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": kind.str, "fortran_order": False, "shape": shape})
    digest, size = hashlib.blake2b(header.getvalue(), digest_size=20), len(header.getvalue())
    with path.open("wb") as file:
        file.write(header.getvalue())
        for array in arrays:
            data = np.ascontiguousarray(array, dtype=kind).data
            file.write(data)
            digest.update(data)
            size += data.nbytes
    return {"bytes": size, "digest": digest.hexdigest()}


def digest_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=20).hexdigest()


def _digest_of_file(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=20)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _damaged(path: Path, problem: str) -> DamagedEntry:
    return DamagedEntry(f"{path} of the index is damaged ({problem}). {REMEDY}")
