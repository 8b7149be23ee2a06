"""The retrieval index on disk: vectors and rows of every video of a gallery. It keeps; similarities are others' work.

Layout of an index folder::

    index.json            what the index was made of and with
    arrays-<8 hex>.npz    named arrays that belong to it, such as a whitening in its published names and blank rows
    state.json            which parts count, and which of their videos were removed
    part-000001/ …        immutable parts (``index_parts`` describes them)
    writer.lock/          while somebody writes (``writer_lock`` describes it)

``index.json``: ``schema`` = ``vidlang.index/1``; ``spec``, the fields of ``IndexSpec``; ``arrays``, an object of
``file`` and ``digest``, the BLAKE2b of 20 bytes in hex of the npz file.

``state.json``: ``schema`` = ``vidlang.index_state/1``; ``next_part``, the number that the next part gets (numbers are
never given again); ``parts``, a list of objects ``name`` and ``digest`` (of its ``part.json``), in the order of the
videos; ``removed``, from a part's name to the ascending numbers of its videos that are gone.

A change writes whole parts beside, renames them, and replaces ``state.json`` last: a kill at any moment leaves the
state before or the one after. A part that ``state.json`` does not name does not count; the next writer deletes it.
Readers need no lock: what they opened stays as it was, also while others write, merge or compact. Only one process
writes at a time.

Rows are *scaled*: a unit row times its informative weight in 0 to 1, so a product of two rows is weight times weight
times cosine. Rows, and the rows for texts, have the type of ``IndexSpec.dtype``. Vectors are float32 beside rows of
float32 and of bfloat16, and float16 beside rows of float16: a walk over all of them then reads half the bytes.

Tensors that an index hands out are maps of its files. Their memory is read-only: whoever writes into one is killed by
the system, so clone first.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, DamagedEntry, FeatureRecipe, Progress
from vidlang.store.atomic import is_stale, replacing_folder, temporary_name, write_text
from vidlang.store.index_memory import Pages, rows_at_once
from vidlang.store.index_parts import (
    FACTS,
    REMEDY,
    VECTOR_DTYPES,
    Part,
    StoredVideo,
    digest_of,
    to_stored,
    write_part,
)
from vidlang.store.writer_lock import WriterLock, writer_lock

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "vidlang.index/1"
STATE_SCHEMA = "vidlang.index_state/1"
SPEC_FILE, STATE_FILE, LOCK = "index.json", "state.json", "writer.lock"
PART_BYTES = 256 << 20
MERGE_AT = 32
"""Parts are merged when that many fewer would do."""
MAX_SHARES = 64
"""Parts grow with the index, so that there are never more than about twice this many: each keeps files open."""

FEWEST_ROWS = 256
"""Blocks are not made shorter than this on average to spare a copy."""

_PART_NAME = re.compile(r"part-(\d{6,12})")
_ARRAYS_NAME = re.compile(r"arrays-[0-9a-f]{8}\.npz")

IndexDtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class IndexSpec:
    """Everything that decides the numbers of an index."""

    recipe: FeatureRecipe
    """Of the features that its rows were made from."""
    embedder: Mapping[str, Any]
    """``{"kind": "plain"}``, or the name and digest of a checkpoint; ready for JSON."""
    whitening: str
    """``none``, ``center`` or ``whiten``."""
    skip_start: float = 0.0
    """Seconds left out at the start of each video."""
    window: int = 32
    """Rows behind a vector of a long video's window."""
    dtype: IndexDtype = "float32"
    """How rows are kept; ``float16``: vectors, too."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else decides; ready for JSON."""

    def __post_init__(self) -> None:
        if self.dtype not in get_args(IndexDtype):
            raise ValueError(f"dtype must be one of {', '.join(map(repr, get_args(IndexDtype)))}, got {self.dtype!r}")
        if not 0 <= self.skip_start < float("inf"):
            raise ValueError(f"skip_start must be 0 seconds or more, got {self.skip_start}")
        if self.window < 1:
            raise ValueError(f"window must be at least 1 row, got {self.window}")
        try:
            self.canonical_json  # noqa: B018
        except (TypeError, ValueError) as cause:
            raise ValueError(f"embedder and extra must be ready for JSON: {cause}") from cause

    def to_dict(self) -> dict[str, Any]:
        own = {name.name: getattr(self, name.name) for name in fields(self)}
        return {**own, "recipe": self.recipe.to_dict(), "embedder": dict(self.embedder), "extra": dict(self.extra)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> IndexSpec:
        return cls(**{**values, "recipe": FeatureRecipe.from_dict(values["recipe"])})

    @property
    def canonical_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def fingerprint(self) -> str:
        """Ten hex digits; two specs share it only if every field is equal."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()[:10]


@dataclass(frozen=True, eq=False)
class IndexItem:
    """A video to add. Numbers are finite; there is at least one row and one vector."""

    video_id: str
    entry: str
    """Where its features lie in the cache (``FeatureCache.stamps``)."""
    stamp: str
    """What that entry looked like; another stamp there means that the video should be added anew."""
    digest: str | None
    """Of the video file (``FileIdentity``); equal digests are equal files."""
    duration: float
    """Seconds."""
    vectors: NDArray[np.float32]
    """[V, E]: first the whole video's, then those of the windows of a long one."""
    rows: NDArray[np.float32]
    """[T, E] scaled rows."""
    seconds: NDArray[np.float64]
    """[T, 2] half-open, presentation clock."""
    text: NDArray[np.float32] | None = None
    """[T, D] unit rows to compare with texts; None where ``rows`` serve. The same choice for all videos of an index."""


@dataclass(frozen=True)
class IndexInfo:
    """An index in numbers."""

    spec: IndexSpec
    videos: int
    rows: int
    vectors: int
    width: int
    """E; 0 while there is no video."""
    bytes: int
    """On disk, removed videos included."""
    parts: int
    removed: int
    """Videos that still take room; ``VideoIndex.compact`` gives it back."""


@dataclass(frozen=True, eq=False)
class _Share:
    """What an index shows of a part."""

    part: Part
    live: NDArray[np.int64]
    """Ascending numbers, inside the part, of the videos that were not removed."""
    first: int
    """Position of the first of them."""

    @property
    def whole(self) -> bool:
        return len(self.live) == self.part.num_videos


class VideoIndex:
    """An index as it was when it was opened, plus what was changed through this object.

    A video's *position* counts the videos from 0, without gaps. ``add``, ``compact`` and what other processes do leave
    every position as it is; ``remove`` through this object moves the positions behind. A change first takes over what
    other processes changed since, and then positions may move, too: hold ``writing`` around a look and a change.
    """

    def __init__(self, folder: Path, spec: IndexSpec, arrays_file: str, arrays_digest: str) -> None:
        """Use ``create`` or ``open``."""
        self.folder, self.spec = folder, spec
        self._arrays_file, self._arrays_digest = arrays_file, arrays_digest
        self._lock: WriterLock | None = None
        self._next_part = 1
        self._state_text: str | None = None
        self._shares: list[_Share] = []
        self._firsts: list[int] = []
        self._ids: list[str] = []
        self._positions: dict[str, int] = {}
        self._entries: dict[str, tuple[int, str]] | None = None
        self._ends: NDArray[np.int64] | None = None

    # -- open and close ----------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path, spec: IndexSpec, arrays: Mapping[str, NDArray[Any]] | None = None) -> VideoIndex:
        """An empty index; one that is there already with the same spec and arrays is opened as it is.

        Raises:
            BadInput: the folder holds an index of another spec or with other arrays, or something else.
        """
        folder, arrays = Path(folder), dict(arrays or {})
        if any(np.asarray(array).dtype.hasobject for array in arrays.values()):
            raise ValueError("arrays must hold numbers, got Python objects")
        if (folder / SPEC_FILE).exists():
            return cls.open(folder)._same_as(spec, arrays)
        _sweep_beside(folder)
        data = _npz(arrays)
        arrays_file = f"arrays-{digest_of(data)[:8]}.npz"
        facts = {"schema": SCHEMA, "spec": spec.to_dict(), "arrays": {"file": arrays_file, "digest": digest_of(data)}}
        try:
            with replacing_folder(folder, replace=False) as temporary:
                (temporary / arrays_file).write_bytes(data)
                (temporary / STATE_FILE).write_text(_state_json(1, [], {}), encoding="utf-8")
                (temporary / SPEC_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        except FileExistsError as cause:
            if (folder / SPEC_FILE).exists():  # another process made it in between
                return cls.open(folder)._same_as(spec, arrays)
            raise BadInput(f"{folder} exists and is not an index. Name a folder that does not exist.") from cause
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> VideoIndex:
        """
        Raises:
            BadInput: there is no index.
            DamagedEntry: a file is missing, torn, edited, or of an unknown schema.
        """
        folder = Path(folder)
        facts = _read_json(folder / SPEC_FILE, SCHEMA)
        try:
            spec = IndexSpec.from_dict(facts["spec"])
            arrays_file, arrays_digest = str(facts["arrays"]["file"]), str(facts["arrays"]["digest"])
            if not _ARRAYS_NAME.fullmatch(arrays_file):
                raise ValueError(f"it names {arrays_file!r}")
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            raise _damaged(folder / SPEC_FILE, cause) from cause
        index = cls(folder, spec, arrays_file, arrays_digest)
        index._catch_up()
        return index

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether ``open`` would find an index there, whole or not."""
        return (Path(folder) / SPEC_FILE).is_file()

    @staticmethod
    def delete(folder: Path) -> None:
        """Deletes an index, whole or damaged, in one step: a kill leaves all of it or none. Open readers stay intact.

        Raises:
            BadInput: there is none, or another process writes.
        """
        folder = Path(folder)
        if not VideoIndex.exists(folder):
            raise _no_index(folder)
        aside = folder.with_name(temporary_name())
        with writer_lock(folder / LOCK, f"The index {folder}"):
            os.rename(folder, aside)
        shutil.rmtree(aside, ignore_errors=True)  # what a kill leaves of it, ``create`` sweeps

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays given to ``create``. Raises DamagedEntry."""
        path = self.folder / self._arrays_file
        try:
            data = path.read_bytes()
            if digest_of(data) != self._arrays_digest:
                raise ValueError("its content does not match its checksum")
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (OSError, ValueError, KeyError, EOFError) as cause:
            raise _damaged(path, cause) from cause

    # -- who is there ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._positions

    @property
    def ids(self) -> list[str]:
        """Of every video, by position. Not a copy: leave it as it is."""
        return self._ids

    @property
    def entries(self) -> dict[str, tuple[int, str]]:
        """From a cache entry's path to (position, stamp). Entries that vanished from the cache stay.

        Not a copy: leave it as it is.
        """
        if self._entries is None:
            self._entries = {
                share.part.entries[local]: (share.first + i, share.part.stamps[local])
                for share in self._shares
                for i, local in enumerate(share.live.tolist())
            }
        return self._entries

    @property
    def version(self) -> str:
        """Twenty hex digits that change with the spec, the videos, their stamps or their order: what was derived from
        the vectors of an index (``ann``) is as good as long as this stays.
        """
        digest = hashlib.blake2b(self.spec.canonical_json.encode(), digest_size=10)
        digest.update(self._arrays_digest.encode())
        for share in self._shares:
            counts = np.diff(share.part.offsets[:, 1])
            for local in share.live.tolist():
                facts = [share.part.ids[local], share.part.entries[local], share.part.stamps[local], int(counts[local])]
                digest.update(json.dumps(facts).encode())
        return digest.hexdigest()

    @property
    def text_width(self) -> int:
        """Width of rows to compare with texts; 0 while there is no video."""
        if not self._shares:
            return 0
        part = self._shares[0].part
        return part.width if part.text_width is None else int(part.text_width)

    def position(self, video_id: str) -> int:
        """Raises BadInput for a video that is not there."""
        try:
            return self._positions[video_id]
        except KeyError:
            raise BadInput(f"{video_id} is not in the index {self.folder}. Add it, or name one that is.") from None

    def duration(self, position: int) -> float:
        """Seconds."""
        part, local = self._locate(position)
        return float(part.durations[local])

    def digest(self, position: int) -> str | None:
        """Of the video file, where it was known."""
        part, local = self._locate(position)
        return part.digests[local]

    # -- numbers -----------------------------------------------------------------------------------------------------

    def vector_blocks(
        self, max_rows: int = 65536, first_only: bool = False, memory: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """All vectors in the order of positions, in blocks of at most ``max_rows``.

        first_only: the whole videos' vectors alone, one a video
        memory: bytes of the files that may lie in this process's memory at a time; None: as many as the system likes
        yields: ([m, E] float32 or float16, [m] int64 position of the video of each)
        """
        for share in self._shares:
            starts, counts = _ranges(share, column=1)
            if first_only:
                counts = np.ones_like(counts)
            walk = self._walk(share.part.vectors, share.part.vector_pages, max_rows, memory)
            for vectors, owners, _ in _blocks(share, walk, starts, counts):
                yield vectors, owners

    def row_blocks(self, max_rows: int = 65536, memory: int | None = None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """All scaled rows, as ``text_blocks``."""
        for share in self._shares:
            walk = self._walk(share.part.rows, share.part.row_pages, max_rows, memory)
            yield from _blocks(share, walk, *_ranges(share, column=0))

    def text_blocks(self, max_rows: int = 65536, memory: int | None = None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """All rows to compare with texts, as ``vector_blocks``.

        yields: ([m, D] of the type of rows, [m] int64 position of the video, [m] int64 number of the row in its video)
        """
        for share in self._shares:
            source = share.part.rows if share.part.text is None else share.part.text
            walk = self._walk(source, share.part.text_pages, max_rows, memory)
            yield from _blocks(share, walk, *_ranges(share, column=0))

    def _walk(self, source: Tensor, pages: Pages, max_rows: int, memory: int | None) -> _Walk:
        """How one part's rows are walked over, when all parts together may take ``memory``."""
        if max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {max_rows}")
        total = sum(share.part.bytes for share in self._shares)
        rows, bounded = rows_at_once(memory, total, source.shape[1] * source.element_size(), max_rows)
        return _Walk(source, rows, pages if bounded else None)

    def forget(self) -> None:
        """Gives the memory of what was looked at back to the system; tensors that were handed out stay valid."""
        for share in self._shares:
            share.part.forget()

    def owners_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """[n] positions of the videos of vectors by their numbers, as ``vector_blocks`` counts them."""
        return np.asarray(np.searchsorted(self._vector_ends, numbers, side="right"))

    def is_first(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[n] whether each is the vector of a whole video."""
        ends, owners = self._vector_ends, self.owners_of(numbers)
        return np.asarray(numbers == np.where(owners > 0, ends[owners - 1], 0))

    def vectors_at(self, numbers: NDArray[np.int64]) -> Tensor:
        """[n, E] float32 copies of vectors by their numbers, as ``vector_blocks`` counts them."""
        import torch

        ends, owners = self._vector_ends, self.owners_of(numbers)
        within = numbers - np.where(owners > 0, ends[owners - 1], 0)
        shares = np.searchsorted(self._firsts, owners, side="right") - 1
        out = torch.empty(len(numbers), self._shares[0].part.width if self._shares else 0)
        for i in np.unique(shares).tolist():
            share, mine = self._shares[i], np.flatnonzero(shares == i)
            places = share.part.offsets[share.live[owners[mine] - share.first], 1] + within[mine]
            order = np.argsort(places)  # ascending, as the file lies
            out[torch.from_numpy(mine[order])] = share.part.vectors[torch.from_numpy(places[order])].float()
        return out

    @property
    def _vector_ends(self) -> NDArray[np.int64]:
        """[number of videos] how many vectors there are up to and with each video; found once for each state."""
        if self._ends is None:
            counts = [np.zeros(0, dtype=np.int64), *(_ranges(share, column=1)[1] for share in self._shares)]
            self._ends = np.cumsum(np.concatenate(counts))
        return self._ends

    def vector_owners(self, first_only: bool = False) -> NDArray[np.int64]:
        """[number of vectors] the position of the video of each vector, in the order of ``vector_blocks``."""
        owners = [np.zeros(0, dtype=np.int64)]
        for share in self._shares:
            counts = 1 if first_only else _ranges(share, column=1)[1]
            owners.append(np.repeat(np.arange(share.first, share.first + len(share.live)), counts))
        return np.concatenate(owners)

    def vectors(self, position: int) -> Tensor:
        """[V, E] float32 or float16, first the one of the whole video."""
        part, local = self._locate(position)
        return part.vectors[int(part.offsets[local, 1]) : int(part.offsets[local + 1, 1])]

    def rows(self, position: int) -> Tensor:
        """[T, E] scaled rows, float32, bfloat16 or float16."""
        part, local = self._locate(position)
        return part.rows[int(part.offsets[local, 0]) : int(part.offsets[local + 1, 0])]

    def rows_many(self, positions: Sequence[int]) -> list[Tensor]:
        """``rows`` of each, in the order given."""
        return [self.rows(position) for position in positions]

    def text_rows(self, position: int) -> Tensor:
        """[T, D] rows to compare with texts; those of ``rows`` where the index keeps no others."""
        part, local = self._locate(position)
        source = part.rows if part.text is None else part.text
        return source[int(part.offsets[local, 0]) : int(part.offsets[local + 1, 0])]

    def seconds(self, position: int) -> NDArray[np.float64]:
        """[T, 2] what each row stands for."""
        part, local = self._locate(position)
        return np.array(part.seconds[int(part.offsets[local, 0]) : int(part.offsets[local + 1, 0])])

    # -- changes -----------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the right to write over several changes, from a look at what is there on.

        Raises:
            BadInput: another process writes.
        """
        if self._lock is not None:
            yield
            return
        if not (self.folder / SPEC_FILE).is_file():  # the lock would make the folder anew
            raise _no_index(self.folder)
        with writer_lock(self.folder / LOCK, f"The index {self.folder}") as self._lock:
            try:
                self._catch_up()
                self._sweep()
                yield
            finally:
                self._lock = None

    def add(
        self,
        items: Iterable[IndexItem],
        part_bytes: int = PART_BYTES,
        progress: Progress | None = None,
        total: int | None = None,
    ) -> int:
        """Appends videos; returns how many.

        Items are gathered until they fill a part, which then lies safely on the disk: an interrupted call goes on
        with the videos that are missing. An error in ``items`` comes through after the ones before were written.

        part_bytes: memory that is needed, and the size of parts    total: of items, for ``progress``

        Raises:
            BadInput: a video is there already, or another process writes.
            ValueError: an item's arrays do not fit together, or not with those of the index.
        """
        added = 0
        with self.writing(), (progress or Progress()).task("index", total=total, unit="videos") as task:
            batch, size = dict[str, StoredVideo](), 0
            try:
                for item in items:
                    if item.video_id in self._positions or item.video_id in batch:
                        raise BadInput(f"{item.video_id} is in the index {self.folder} already. Remove it first.")
                    stored = self._to_stored(item, next(iter(batch.values()), None))
                    batch[item.video_id], size = stored, size + stored.bytes
                    self._held_lock().touch()
                    task.advance()
                    if size >= part_bytes:
                        full, batch, size = batch, {}, 0  # what cannot be written is not tried again below
                        added += self._append(list(full.values()), part_bytes)
            finally:
                if batch:
                    added += self._append(list(batch.values()), part_bytes)
        return added

    def remove(self, ids: Iterable[str]) -> int:
        """Takes videos out; returns how many. Their room comes back with ``compact``.

        Raises:
            BadInput: a video is not there (nothing is removed then), or another process writes.
        """
        with self.writing():
            gone = np.array(sorted({self.position(video_id) for video_id in ids}), dtype=np.int64)
            shares = []
            for share in self._shares:
                inside = gone[(gone >= share.first) & (gone < share.first + len(share.live))] - share.first
                shares.append(_Share(share.part, np.delete(share.live, inside), share.first))
            if len(gone):
                self._commit(shares)
                self._show(shares)
                self._sweep()
        return len(gone)

    def compact(self, progress: Progress | None = None, part_bytes: int = PART_BYTES) -> int:
        """Writes parts anew without removed videos and joins small ones; returns the bytes that became free.

        Raises:
            BadInput: another process writes.
        """
        with self.writing():
            before = self._bytes()
            groups = [g for g in self._groups(part_bytes) if len(g) > 1 or not g[0].whole]
            with (progress or Progress()).task("compact", total=len(groups), unit="groups of parts") as task:
                for group in groups:
                    self._rewrite(group)
                    task.advance()
            return before - self._bytes()

    def info(self) -> IndexInfo:
        return IndexInfo(
            spec=self.spec,
            videos=len(self),
            rows=sum(int(_ranges(share, column=0)[1].sum()) for share in self._shares),
            vectors=sum(int(_ranges(share, column=1)[1].sum()) for share in self._shares),
            width=self._shares[0].part.width if self._shares else 0,
            bytes=self._bytes(),
            parts=len(self._shares),
            removed=sum(share.part.num_videos - len(share.live) for share in self._shares),
        )

    def verify(self, progress: Progress | None = None) -> list[tuple[Path, str]]:
        """Reads everything; returns (path, what is wrong with it)."""
        problems: list[tuple[Path, str]] = []
        try:
            self.__dict__.pop("arrays", None)
            _ = self.arrays
        except DamagedEntry as damage:
            problems.append((self.folder / self._arrays_file, str(damage)))
        with (progress or Progress()).task("verify", total=len(self._shares), unit="parts") as task:
            for share in self._shares:
                problems += share.part.problems()
                task.advance()
        return problems

    # -- state -------------------------------------------------------------------------------------------------------

    def _locate(self, position: int) -> tuple[Part, int]:
        """(part, number of the video inside it)"""
        if not 0 <= position < len(self._ids):
            raise IndexError(f"position {position} of an index of {len(self._ids)} videos")
        share = self._shares[bisect_right(self._firsts, position) - 1]
        return share.part, int(share.live[position - share.first])

    def _catch_up(self) -> None:
        """Takes over the state on the disk. A part may vanish between a look at the state and one at the part, when
        another process merges; then the state has changed, too.
        """
        open_parts = {(share.part.name, share.part.digest): share.part for share in self._shares}
        while (text := _read_text(self.folder / STATE_FILE)) != self._state_text:
            self._next_part, parts, removed = _parse_state(self.folder / STATE_FILE, text)
            try:
                opened = [open_parts.get(part) or Part(self.folder / part[0], part[1]) for part in parts]
                self._show([_Share(part, _live(part, removed.get(part.name, [])), 0) for part in opened])
            except DamagedEntry:
                if _read_text(self.folder / STATE_FILE) == text:
                    raise
                continue
            self._state_text = text

    def _show(self, shares: Sequence[_Share]) -> None:
        """These alone, in their order. Parts without videos are left out."""
        self._shares, self._firsts, self._ids, self._positions = [], [], [], {}
        self._entries = self._ends = None
        for share in shares:
            self._show_more(share)

    def _show_more(self, share: _Share) -> None:
        """One share behind the others."""
        if not len(share.live):
            return
        first, ids = len(self._ids), [share.part.ids[local] for local in share.live.tolist()]
        self._shares.append(_Share(share.part, share.live, first))
        self._firsts.append(first)
        self._ids += ids
        self._positions.update(zip(ids, range(first, first + len(ids)), strict=True))
        self._entries = self._ends = None
        if len(self._positions) != len(self._ids):
            raise _damaged(self.folder / STATE_FILE, "a video is in it twice")

    def _commit(self, shares: Sequence[_Share]) -> None:
        """Makes ``shares`` the state on the disk."""
        shares = [share for share in shares if len(share.live)]
        parts = [(share.part.name, share.part.digest) for share in shares]
        removed = {share.part.name: _removed(share) for share in shares if not share.whole}
        text = _state_json(self._next_part, parts, removed)
        self._held_lock().check()
        write_text(self.folder / STATE_FILE, text)
        self._state_text = text

    def _append(self, videos: Sequence[StoredVideo], part_bytes: int) -> int:
        part = self._write(videos)
        share = _Share(part, np.arange(part.num_videos), 0)
        self._commit([*self._shares, share])
        self._show_more(share)
        groups = self._groups(part_bytes)
        if len(self._shares) - len(groups) >= MERGE_AT:
            for group in groups:
                if len(group) > 1:
                    self._rewrite(group)
        return len(videos)

    def _write(self, videos: Sequence[StoredVideo]) -> Part:
        """A part that no state names yet."""
        name = f"part-{self._next_part:06}"
        with replacing_folder(self.folder / name, replace=False) as temporary:
            write_part(temporary, videos, self.spec.dtype)
            digest = digest_of((temporary / FACTS).read_bytes())
        self._next_part += 1
        return Part(self.folder / name, digest)

    def _groups(self, part_bytes: int) -> list[list[_Share]]:
        """Neighbours that fit into one part, so that positions stay. ``part_bytes`` grows with the index."""
        sizes = [int(share.part.video_bytes()[share.live].sum()) for share in self._shares]
        limit = max(part_bytes, sum(sizes) // MAX_SHARES)
        groups: list[list[_Share]] = []
        room = 0
        for share, size in zip(self._shares, sizes, strict=True):
            if groups and size <= room:
                groups[-1].append(share)
                room -= size
            else:
                groups.append([share])
                room = limit - size
        return groups

    def _rewrite(self, group: Sequence[_Share]) -> None:
        """One part instead of several, without the removed videos."""
        self._held_lock().touch()
        part = self._write([share.part.video(local) for share in group for local in share.live.tolist()])
        names = {share.part.name for share in group}
        shares: list[_Share] = []
        for share in self._shares:
            if share.part.name not in names:
                shares.append(share)
            elif share.part.name == group[0].part.name:
                shares.append(_Share(part, np.arange(part.num_videos), 0))
        self._commit(shares)
        self._show(shares)
        self._sweep()

    def _sweep(self) -> None:
        """Deletes what no state names: parts that were replaced, and what killed writers left."""
        names = {share.part.name for share in self._shares}
        for path in self.folder.iterdir():
            if is_stale(path) or (_PART_NAME.fullmatch(path.name) and path.name not in names):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)  # Windows keeps open files; the next writer tries again
                else:
                    path.unlink(missing_ok=True)

    def _held_lock(self) -> WriterLock:
        assert self._lock is not None, "changes happen inside writing()"
        return self._lock

    def _bytes(self) -> int:
        return sum(share.part.bytes for share in self._shares)

    # -- checks ------------------------------------------------------------------------------------------------------

    def _to_stored(self, item: IndexItem, neighbour: StoredVideo | None) -> StoredVideo:
        """neighbour: another video of the same part"""
        where = item.video_id
        num_rows = len(item.rows)
        arrays: dict[str, NDArray[Any]] = {"vectors": item.vectors, "rows": item.rows, "seconds": item.seconds}
        if item.text is not None:
            arrays["text"] = item.text
        for name, array in arrays.items():
            if array.ndim != 2 or not array.size or (name == "seconds" and array.shape[1] != 2):
                axes = "[T, 2]" if name == "seconds" else "[n, width]"
                raise ValueError(f"{name} must be {axes} and not empty, got {list(array.shape)} ({where})")
            if name != "vectors" and len(array) != num_rows:
                raise ValueError(f"rows has {num_rows} rows but {name} has {len(array)} ({where})")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has a value that is not finite ({where})")
        if not np.isfinite(item.duration):
            raise ValueError(f"duration must be finite, got {item.duration} ({where})")
        got = (item.vectors.shape[1], item.rows.shape[1], None if item.text is None else item.text.shape[1])
        expected = self._widths(neighbour) or (got[0], got[0], got[2])
        if got != expected:
            names = "widths of vectors, rows and text"
            raise ValueError(
                f"{names} must be {_listed(expected)} as in the rest of the index, got {_listed(got)} ({where})"
            )
        return StoredVideo(
            item.video_id,
            item.entry,
            item.stamp,
            item.digest,
            float(item.duration),
            to_stored(item.vectors, VECTOR_DTYPES[self.spec.dtype]),
            to_stored(item.rows, self.spec.dtype),
            np.array(item.seconds, dtype="<f8", order="C"),
            None if item.text is None else to_stored(item.text, self.spec.dtype),
        )

    def _widths(self, neighbour: StoredVideo | None) -> tuple[int, int, int | None] | None:
        """Of vectors, rows and text; None while there is no video."""
        if self._shares:
            part = self._shares[0].part
            return part.width, part.width, part.text_width
        if neighbour is None:
            return None
        width = neighbour.rows.shape[1]
        return width, width, None if neighbour.text is None else neighbour.text.shape[1]

    def _same_as(self, spec: IndexSpec, arrays: Mapping[str, NDArray[Any]]) -> VideoIndex:
        """Itself, when it was made with these. Raises BadInput."""
        mine, asked = json.loads(self.spec.canonical_json), json.loads(spec.canonical_json)
        different = [name for name in asked if mine[name] != asked[name]]
        if not different and not _equal(self.arrays, arrays):
            different = ["arrays"]
        if different:
            raise BadInput(
                f"{self.folder} holds an index with another {' and another '.join(different)}. "
                "Give another folder, or delete this one to build it again."
            )
        return self


# -- parts of a share ------------------------------------------------------------------------------------------------


def _live(part: Part, removed: Sequence[int]) -> NDArray[np.int64]:
    if removed and (min(removed) < 0 or max(removed) >= part.num_videos):
        raise _damaged(part.folder.parent / STATE_FILE, f"{part.name} has no video {max(removed)}")
    live: NDArray[np.int64] = np.delete(np.arange(part.num_videos), np.array(removed, dtype=np.int64))
    return live


def _removed(share: _Share) -> list[int]:
    gone: list[int] = np.setdiff1d(np.arange(share.part.num_videos), share.live).tolist()
    return gone


def _ranges(share: _Share, column: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the rows (column 0) or vectors (1) of each live video start, and how many there are."""
    offsets = share.part.offsets[:, column]
    return offsets[share.live], (offsets[share.live + 1] - offsets[share.live])


@dataclass(frozen=True, eq=False)
class _Walk:
    """A walk over a part's rows."""

    source: Tensor
    max_rows: int
    pages: Pages | None
    """Where the memory of each block is given back after it."""


def _blocks(
    share: _Share, walk: _Walk, starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rows ``starts[i] … starts[i] + counts[i]`` of a part for each live video i, with the video's position and the
    row's number in the video. Rows that lie together are a view, others a copy of at most ``max_rows``.

    A few gaps, as single removed videos leave them, end a block; where there are many, blocks are copied across them.
    """
    import torch

    owners = np.repeat(np.arange(share.first, share.first + len(starts)), counts)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    numbers = np.repeat(starts, counts) + within  # ascending
    gaps = (np.flatnonzero(np.diff(numbers) > 1) + 1).tolist()
    edges = [0, *(gaps if len(gaps) * FEWEST_ROWS <= len(numbers) else []), len(numbers)]
    pieces = [
        slice(begin, min(begin + walk.max_rows, end))
        for start, end in pairwise(edges)
        for begin in range(start, end, walk.max_rows)
    ]
    spans = [(int(numbers[piece][0]), int(numbers[piece][-1]) + 1) for piece in pieces]
    for i, (piece, (first, last)) in enumerate(zip(pieces, spans, strict=True)):
        if walk.pages is not None and i + 1 < len(spans):
            walk.pages.read_ahead(*spans[i + 1])
        together = last - first == len(numbers[piece])
        rows = walk.source[first:last] if together else walk.source[torch.from_numpy(numbers[piece])]
        yield rows, torch.from_numpy(owners[piece]), torch.from_numpy(within[piece])
        if walk.pages is not None:
            walk.pages.forget(first, last)


# -- files -----------------------------------------------------------------------------------------------------------


def _sweep_beside(folder: Path) -> None:
    """Deletes what killed processes left of indexes in the same parent."""
    for path in folder.parent.glob(".vidlang-*"):
        if path.is_dir() and is_stale(path):
            shutil.rmtree(path, ignore_errors=True)


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def _equal(mine: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> bool:
    def same(a: NDArray[Any], b: NDArray[Any]) -> bool:
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

    return mine.keys() == other.keys() and all(same(mine[name], np.asarray(other[name])) for name in mine)


def _state_json(next_part: int, parts: Sequence[tuple[str, str]], removed: Mapping[str, Sequence[int]]) -> str:
    facts = {
        "schema": STATE_SCHEMA,
        "next_part": next_part,
        "parts": [{"name": name, "digest": digest} for name, digest in parts],
        "removed": dict(removed),
    }
    return json.dumps(facts) + "\n"


def _parse_state(path: Path, text: str) -> tuple[int, list[tuple[str, str]], dict[str, list[int]]]:
    """(number of the next part, (name, digest) of each part, removed videos by part). Raises DamagedEntry."""
    facts = _parse_json(path, text, STATE_SCHEMA)
    try:
        parts = [(str(part["name"]), str(part["digest"])) for part in facts["parts"]]
        removed = {str(name): [int(number) for number in numbers] for name, numbers in facts["removed"].items()}
        next_part = int(facts["next_part"])
        numbers = [int(_PART_NAME.fullmatch(name)[1]) for name, _ in parts]  # type: ignore[index]
        if len(set(numbers)) < len(numbers) or any(number >= next_part for number in numbers):
            raise ValueError("the numbers of its parts")
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise _damaged(path, cause) from cause
    return next_part, parts, removed


def _read_json(path: Path, schema: str) -> dict[str, Any]:
    return _parse_json(path, _read_text(path), schema)


def _parse_json(path: Path, text: str, schema: str) -> dict[str, Any]:
    """An object of the asked schema. Raises DamagedEntry."""
    try:
        facts = dict(json.loads(text))
    except (ValueError, TypeError) as cause:
        raise _damaged(path, "it does not read as JSON") from cause
    if facts.get("schema") != schema:
        found = facts.get("schema")
        raise DamagedEntry(
            f"{path} has schema {found!r}, this vidlang reads {schema!r}. Update vidlang, or build again."
        )
    return facts


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as cause:
        if (path.parent / SPEC_FILE).is_file():
            raise DamagedEntry(f"{path} of the index is missing. {REMEDY}") from cause
        raise _no_index(path.parent) from cause
    except (OSError, UnicodeDecodeError) as cause:
        raise _damaged(path, cause) from cause


def _no_index(folder: Path) -> BadInput:
    return BadInput(f"There is no index in {folder}. Build it first: vidlang index build")


def _damaged(path: Path, problem: object) -> DamagedEntry:
    detail = f"{problem} is missing" if isinstance(problem, KeyError) else " ".join(str(problem).split())[:160]
    return DamagedEntry(f"{path} of the index is damaged ({detail}). {REMEDY}")


def _listed(widths: Iterable[int | None]) -> str:
    return ", ".join("none" if width is None else str(width) for width in widths)
