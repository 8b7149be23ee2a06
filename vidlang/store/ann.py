"""An approximate index of vectors by FAISS, for galleries where the exact search takes too long. Optional.

A folder, written as a whole:

``vectors.faiss``
    FAISS's own format, by inner product: HNSW over float32 vectors, inverted lists (IVF) of them, or inverted lists of
    product codes (IVF-PQ), which take ``code_bytes`` and 8 more a vector instead of four times its width.
``vectors.ivfdata``
    the inverted lists, where they were too long for the memory; FAISS maps them. Absent else.
``ann.json``
    an object in UTF-8: ``schema`` = ``vidlang.ann/1``; ``kind``, ``hnsw``, ``ivf`` or ``ivf-pq``; ``dim``;
    ``num_vectors``; ``settings`` (the fields of ``AnnSettings``); ``recall``, measured; ``built_from``, the
    ``VideoIndex.version`` whose vectors these are; ``digest``, the BLAKE2b of 20 bytes in hex of ``vectors.faiss``;
    ``lists_digest``, that of ``vectors.ivfdata``, or null.
``recall.json``
    what was measured with queries of the user: ``schema`` = ``vidlang.ann_recall/1``; ``recall``; ``queries``, how
    many; ``at``, of how many nearest. Absent before that.

Vectors are numbered in the order in which they came, as ``VideoIndex.vector_owners`` numbers them.

FAISS reads its files with native code that trusts them. So only a folder below the workspace is opened, only with the
file that was written beside its ``ann.json``; never open one that came from somebody else.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, DamagedEntry, MissingDependency, Progress
from vidlang.store.atomic import replacing_folder, write_text

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "vidlang.ann/1"
RECALL_SCHEMA = "vidlang.ann_recall/1"
VECTORS, LISTS, FACTS, RECALL = "vectors.faiss", "vectors.ivfdata", "ann.json", "recall.json"
SAMPLE = 200
MOST_HNSW = 1_000_000
"""Vectors that are linked to one another in acceptable time; more go into inverted lists."""
LEAST_PQ = 1000
"""Vectors from which product codes can be learnt."""
POINTS_PER_CELL = 64
CODE_ROUNDS = 10
"""Of learning product codes, as many as FAISS takes for cells; its own 25 take most of the time and add little."""
TRAINING_BYTES = 1 << 30
CODES_LOOKED_AT = 4
"""A compressed index is asked for so many times as many, which are then compared exactly by whoever has the vectors."""
FIRST_WIDTH, MOST_WIDTH = 64, 4096
REMEDY = "Build it again, or search exactly."

logger = logging.getLogger(__name__)

Kind = Literal["hnsw", "ivf", "ivf-pq"]
Rows = NDArray[np.floating[Any]]
Blocks = Iterable["Tensor | Rows"]


@dataclass(frozen=True)
class AnnSettings:
    """How much work and memory buys how much recall."""

    links: int = 32
    """HNSW: neighbours a vector is linked with (M); memory grows by 8 bytes a link."""
    build_width: int = 80
    """HNSW: candidates looked at while linking (efConstruction)."""
    search_width: int | None = None
    """HNSW: candidates looked at in a search for up to ``recall_at`` vectors (efSearch), in proportion for more; None:
    what reaches ``target_recall``.
    """
    cells: int | None = None
    """IVF: number of inverted lists; None: four times the square root of the number of vectors."""
    probes: int | None = None
    """IVF: lists looked at in a search; None: what reaches ``target_recall``."""
    code_bytes: int | None = None
    """IVF-PQ: bytes of a vector's code, a divisor of the width; None: one for every four numbers, at most 64."""
    target_recall: float = 0.95
    """Of the nearest of the gallery's own vectors."""
    recall_at: int = 100
    """Of how many nearest; give the length of the shortlist."""
    seed: int = 0
    """Which vectors the recall is measured with and the cells are learnt from."""

    def __post_init__(self) -> None:
        for name in ("links", "build_width", "search_width", "cells", "probes", "code_bytes", "recall_at"):
            value = getattr(self, name)
            if value is not None and value < (2 if name == "links" else 1):
                raise ValueError(f"{name} must be positive (links at least 2), got {value}")
        if not 0 < self.target_recall <= 1:
            raise ValueError(f"target_recall must lie in (0, 1], got {self.target_recall}")


def kind_for(num_vectors: int, dim: int, memory: int | None = None) -> Kind:
    """What suits a gallery: links where they are made soon and fit into ``memory`` bytes, else lists, of codes where
    these can be learnt.
    """
    bytes_of_one = 4 * dim + 8 * AnnSettings.links
    if num_vectors <= MOST_HNSW and (memory is None or num_vectors * bytes_of_one <= memory):
        return "hnsw"
    return "ivf-pq" if num_vectors >= 10 * LEAST_PQ else "ivf"


@dataclass(frozen=True)
class OwnRecall:
    """Measured with queries of the user."""

    recall: float
    queries: int
    at: int
    """Of how many nearest."""


class ApproximateIndex:
    """Nearest vectors by inner product, most of them right."""

    def __init__(self, folder: Path, index: Any, facts: Mapping[str, Any]) -> None:
        """Use ``build`` or ``load``."""
        self.folder, self._index = folder, index
        self.kind: str = facts["kind"]
        self.dim, self.num_vectors = int(facts["dim"]), int(facts["num_vectors"])
        self.built_from: str = facts["built_from"]
        self.settings = AnnSettings(**facts["settings"])
        self.recall = float(facts["recall"])
        """Measured when it was built, with up to 200 of its own vectors."""

    def __len__(self) -> int:
        return self.num_vectors

    @classmethod
    def build(
        cls,
        folder: Path,
        blocks: Blocks | Callable[[], Blocks],
        dim: int,
        kind: Kind = "hnsw",
        *,
        built_from: str,
        settings: AnnSettings | None = None,
        total: int | None = None,
        memory: int | None = None,
        progress: Progress | None = None,
    ) -> ApproximateIndex:
        """Builds and keeps an index, replacing one that is there.

        blocks: [m, dim] unit vectors, such as ``(vectors for vectors, _ in index.vector_blocks())``, or what gives
            them anew at each call: inverted lists then take one block at a time, and HNSW all vectors
        memory: bytes for what is learnt from and for the lists; None: 1 GB and all of them
        built_from: ``VideoIndex.version`` of the same index    total: number of vectors, for ``progress``

        Raises:
            MissingDependency: faiss is not installed.
            BadInput: there is no vector, or too few for product codes.
            ValueError: a block is not [m, dim] of finite numbers.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(map(repr, get_args(Kind)))}, got {kind!r}")
        faiss, folder, settings = _faiss(), Path(folder), settings or AnnSettings()
        source = _Source(blocks if callable(blocks) or kind == "hnsw" else list(blocks), dim)
        with replacing_folder(folder) as temporary:
            with (progress or Progress()).task("approximate index", total=total, unit="vectors") as task:
                if kind == "hnsw":
                    index = _empty_hnsw(faiss, dim, settings)
                    for array in source.arrays():
                        index.add(array)
                        task.advance(len(array))
                else:
                    index = _learnt_lists(faiss, dim, kind, settings, source, memory)
                    _fill_lists(faiss, index, source, temporary, memory, task.advance)
            if not index.ntotal:
                raise BadInput(f"There is no vector to build {folder} from. Add videos to the index first.")
            facts: dict[str, Any] = {
                "schema": SCHEMA,
                "kind": kind,
                "dim": dim,
                "num_vectors": int(index.ntotal),
                "settings": vars(settings),
                "recall": 0.0,
                "built_from": built_from,
            }
            made = cls(folder, index, facts)
            made._tune(source)
            facts.update(settings=vars(made.settings), recall=made.recall)
            faiss.write_index(index, str(temporary / VECTORS))
            facts["digest"] = _digest(temporary / VECTORS)
            facts["lists_digest"] = _digest(temporary / LISTS) if (temporary / LISTS).exists() else None
            (temporary / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        return made

    @classmethod
    def load(cls, folder: Path, *, workspace: Path, built_from: str | None = None) -> ApproximateIndex:
        """What ``build`` kept.

        workspace: the folder that it must lie in    built_from: the version that it must be of; None takes any

        Raises:
            MissingDependency: faiss is not installed.
            BadInput: there is none, it lies elsewhere, or it was built from another version of the index.
            DamagedEntry: a file is missing, torn, edited, or of an unknown schema.
        """
        folder = Path(folder)
        if not folder.resolve().is_relative_to(Path(workspace).resolve()):
            raise BadInput(f"{folder} lies outside {workspace}, and FAISS files of others are not opened. {REMEDY}")
        facts = _read_facts(folder)
        if built_from is not None and facts["built_from"] != built_from:
            raise BadInput(f"The index has changed since {folder} was built from it. {REMEDY}")
        faiss, path = _faiss(), folder / VECTORS
        digests = {VECTORS: facts["digest"], LISTS: facts["lists_digest"]}
        # lists stay on the disk: those beside are mapped as they are, those inside from where they lie
        beside = faiss.IO_FLAG_ONDISK_SAME_DIR | faiss.IO_FLAG_READ_ONLY
        flags = 0 if facts["kind"] == "hnsw" else beside if digests[LISTS] else faiss.IO_FLAG_MMAP
        try:
            for name, digest in digests.items():
                file = folder / name
                if digest and (file.resolve().parent != folder.resolve() or _digest(file) != digest):
                    raise _damaged(file, "its content does not match its checksum")
            with _hushed():
                index = faiss.read_index(str(path), flags)
        except (OSError, RuntimeError) as cause:
            raise _damaged(path, " ".join(str(cause).split())[:120]) from cause
        if (index.ntotal, index.d) != (facts["num_vectors"], facts["dim"]):
            raise _damaged(path, f"{index.ntotal} vectors of {index.d} numbers")
        return cls(folder, index, facts)

    @staticmethod
    def is_current(folder: Path, built_from: str) -> bool:
        """Whether ``load`` would find one of this version there; looks at no vector and needs no faiss."""
        try:
            return bool(_read_facts(Path(folder))["built_from"] == built_from)
        except (BadInput, DamagedEntry):
            return False

    def search(self, queries: Tensor | Rows, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The vectors that are probably the nearest.

        queries: [Q, dim]    returns: ([Q, k] inner products, descending; [Q, k] numbers of the vectors)

        k is cut to the number of vectors. Where fewer were found, the rest is minus infinity and -1.

        Raises:
            ValueError: the queries are of another width, or k is not positive.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        rows, k = _as_float32(queries, self.dim), min(k, self.num_vectors)
        similarities, numbers = self._index.search(rows, k, params=self._parameters(k))
        return np.where(numbers < 0, np.float32(-np.inf), similarities), numbers

    def _parameters(self, k: int) -> Any:
        faiss, settings = _faiss(), self.settings
        if self.kind == "hnsw":
            width = settings.search_width or FIRST_WIDTH
            return faiss.SearchParametersHNSW(efSearch=max(width, math.ceil(width * k / settings.recall_at)))
        return faiss.SearchParametersIVF(nprobe=settings.probes or 1)

    def _tune(self, source: _Source) -> None:
        """Doubles the work of a search until it finds enough, unless the settings fix it, and measures the recall.

        A vector as near as the last of the exact ones counts as right, so that copies of one video are no misses; of
        product codes, which do not tell how near, the very ones count among ``CODES_LOOKED_AT`` times as many.
        """
        k = min(self.settings.recall_at, self.num_vectors)
        name, work, most = (
            ("search_width", FIRST_WIDTH, MOST_WIDTH)
            if self.kind == "hnsw"
            else ("probes", max(1, self._index.nlist // 64), self._index.nlist)
        )
        fixed = getattr(self.settings, name)
        sample = self._sample(source)
        nearest, numbers = self._exact(sample, k, source)
        while True:
            self.settings = replace(self.settings, **{name: fixed or work})
            if self.kind == "ivf-pq":
                self.recall = _share_found(numbers, self.search(sample, CODES_LOOKED_AT * k)[1])
            else:
                self.recall = float((self.search(sample, k)[0] >= nearest[:, -1:] - 1e-5).mean())
            if fixed or self.recall >= self.settings.target_recall or work >= most:
                break
            work = min(2 * work, most)
        if self.recall < self.settings.target_recall:
            logger.warning("%s finds %.0f %% of the nearest vectors", self.folder, 100 * self.recall)

    def _sample(self, source: _Source) -> NDArray[np.float32]:
        """Up to 200 of the vectors."""
        size = min(SAMPLE, self.num_vectors)
        chosen = np.sort(np.random.default_rng(self.settings.seed).choice(self.num_vectors, size, replace=False))
        if self.kind != "hnsw":
            return source.taken(chosen)
        storage = _faiss().downcast_index(self._index.storage)
        return np.stack([storage.reconstruct(int(number)) for number in chosen])

    def _exact(
        self, queries: NDArray[np.float32], k: int, source: _Source
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """[Q, k] similarities and numbers, every vector looked at."""
        faiss = _faiss()
        if self.kind == "hnsw":
            found = faiss.downcast_index(self._index.storage).search(queries, k)
        else:
            from faiss.contrib.exhaustive_search import knn_ground_truth

            found = knn_ground_truth(queries, source.arrays(), k, faiss.METRIC_INNER_PRODUCT)
        similarities, numbers = found
        return similarities, numbers

    # -- what the user's own queries say ---------------------------------------------------------------------------

    @property
    def own_recall(self) -> OwnRecall | None:
        """What ``keep_own_recall`` kept; None where nothing readable is there."""
        try:
            facts = json.loads((self.folder / RECALL).read_text(encoding="utf-8"))
            if facts["schema"] != RECALL_SCHEMA:
                return None
            return OwnRecall(float(facts["recall"]), int(facts["queries"]), int(facts["at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_own_recall(self, measured: OwnRecall) -> None:
        """Remembers a measurement until the index is built again."""
        write_text(self.folder / RECALL, json.dumps({"schema": RECALL_SCHEMA, **vars(measured)}) + "\n")

    def line(self) -> str:
        """How it was built, for people."""
        chosen = self.settings
        if self.kind == "hnsw":
            how = f"{chosen.links} links, search width {chosen.search_width}"
        else:
            codes = f", {self._index.code_size} bytes a vector" if self.kind == "ivf-pq" else ""
            how = f"{self._index.nlist} cells{codes}, {chosen.probes} of them looked at"
        return f"{self.kind} over {self.num_vectors} vectors: {how}; finds {self.recall:.1%} of their own nearest"


def measure_recall(exact: NDArray[np.integer[Any]], approximate: NDArray[np.integer[Any]], k: int) -> float:
    """Which share of the exact k nearest the approximate search found among its first k.

    exact: [Q, n], nearest first, n >= k or all there are    approximate: [Q, m]    returns: in [0, 1]

    Raises:
        ValueError: they are not of the same queries, or there is none.
    """
    if exact.ndim != 2 or approximate.ndim != 2 or len(exact) != len(approximate) or not exact[:, :k].size:
        raise ValueError(f"both must be [Q, n] of the same queries, got {list(exact.shape)}, {list(approximate.shape)}")
    return _share_found(exact[:, :k], approximate[:, :k])


def _share_found(right: NDArray[np.integer[Any]], found: NDArray[np.integer[Any]]) -> float:
    pairs = zip(right.tolist(), found.tolist(), strict=True)
    return float(np.mean([len(set(wanted) & set(there)) / len(wanted) for wanted, there in pairs]))


# -- faiss -----------------------------------------------------------------------------------------------------------


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as cause:
        raise MissingDependency(
            "Approximate search needs FAISS, which is not installed. Run: pip install faiss-cpu, or search exactly."
        ) from cause
    return faiss


def _empty_hnsw(faiss: Any, dim: int, settings: AnnSettings) -> Any:
    index = faiss.IndexHNSWFlat(dim, settings.links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = settings.build_width
    return index


def _learnt_lists(faiss: Any, dim: int, kind: Kind, settings: AnnSettings, source: _Source, memory: int | None) -> Any:
    """Inverted lists without vectors; centres and codes are those of a sample of at most 64 vectors a cell."""
    num_vectors = source.count()
    cells = min(settings.cells or max(1, round(4 * math.sqrt(num_vectors))), max(1, num_vectors))
    coarse = faiss.IndexFlatIP(dim)
    if kind == "ivf":
        index = faiss.IndexIVFFlat(coarse, dim, cells, faiss.METRIC_INNER_PRODUCT)
    else:
        if num_vectors < LEAST_PQ:
            raise BadInput(f"Product codes are learnt from {LEAST_PQ} vectors on, got {num_vectors}. Use hnsw.")
        index = faiss.IndexIVFPQ(coarse, dim, cells, _code_bytes(dim, settings), 8, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.seed, index.pq.cp.min_points_per_centroid = settings.seed, 1
        index.pq.cp.max_points_per_centroid, index.pq.cp.niter = POINTS_PER_CELL, CODE_ROUNDS
    index.cp.seed, index.cp.min_points_per_centroid = settings.seed, 1
    index.cp.max_points_per_centroid = POINTS_PER_CELL
    if num_vectors:
        room = max((memory or TRAINING_BYTES) // 2 // (4 * dim), cells, LEAST_PQ)
        size = min(num_vectors, max(POINTS_PER_CELL * cells, LEAST_PQ), room)
        chosen = np.sort(np.random.default_rng(settings.seed).choice(num_vectors, size, replace=False))
        index.train(source.taken(chosen))
    return index


def _code_bytes(dim: int, settings: AnnSettings) -> int:
    if settings.code_bytes is None:
        most = min(64, max(1, dim // 4))
        return next(size for size in range(most, 0, -1) if dim % size == 0)
    if dim % settings.code_bytes:
        raise BadInput(f"{settings.code_bytes} bytes do not divide vectors of width {dim}. Take a divisor of it.")
    return settings.code_bytes


def _fill_lists(
    faiss: Any, index: Any, source: _Source, folder: Path, memory: int | None, advance: Callable[[int], None]
) -> None:
    """Adds all vectors. Lists that outgrow half the memory are written to files, which are joined on the disk."""
    shards: list[str] = []
    added = 0

    def put_aside() -> None:
        shards.append(str(folder / f"shard-{len(shards)}"))
        faiss.write_index(index, shards[-1])
        index.reset()

    for array in source.arrays():
        index.add_with_ids(array, np.arange(added, added + len(array)))
        added += len(array)
        advance(len(array))
        if memory is not None and index.ntotal * (index.code_size + 8) >= memory // 2:
            put_aside()
    if shards:
        from faiss.contrib.ondisk import merge_ondisk

        if index.ntotal:
            put_aside()
        with _hushed():
            merge_ondisk(index, shards, str(folder / LISTS))
        for shard in shards:
            Path(shard).unlink()


@dataclass(frozen=True, eq=False)
class _Source:
    """Vectors that come in blocks, as often as they are asked for."""

    blocks: Blocks | Callable[[], Blocks]
    dim: int

    def arrays(self) -> Iterator[NDArray[np.float32]]:
        return (_as_float32(block, self.dim) for block in (self.blocks() if callable(self.blocks) else self.blocks))

    def count(self) -> int:
        return sum(len(block) for block in (self.blocks() if callable(self.blocks) else self.blocks))

    def taken(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors by their ascending numbers."""
        found, first = [np.empty((0, self.dim), dtype=np.float32)], 0
        for array in self.arrays():
            start, stop = np.searchsorted(numbers, (first, first + len(array)))
            found.append(array[numbers[start:stop] - first])
            first += len(array)
        return np.concatenate(found)


def _as_float32(block: Tensor | Rows, dim: int) -> NDArray[np.float32]:
    if isinstance(block, np.ndarray):
        array = np.ascontiguousarray(block, dtype=np.float32)
    else:
        array = np.ascontiguousarray(block.detach().cpu().float().numpy())
    if array.ndim != 2 or array.shape[1] != dim:
        raise ValueError(f"vectors must be [m, {dim}], got {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ValueError("a vector has a value that is not finite")
    return array


# -- files -----------------------------------------------------------------------------------------------------------


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    try:
        facts = dict(json.loads(path.read_text(encoding="utf-8")))
        if facts.get("schema") != SCHEMA:
            raise _damaged(path, f"schema {facts.get('schema')!r}, this vidlang reads {SCHEMA!r}")
        AnnSettings(**facts["settings"])
        float(facts["recall"])
        known = facts["kind"] in get_args(Kind) and isinstance(facts["built_from"], str)
        if not known or not all(isinstance(facts[name], int) for name in ("dim", "num_vectors")):
            raise ValueError("kind, built_from, dim or num_vectors")
        facts["digest"] = str(facts["digest"])
        facts.setdefault("lists_digest", None)
        return facts
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise BadInput(f"There is no approximate index in {folder}. {REMEDY}") from cause
    except (OSError, KeyError, TypeError, ValueError) as cause:
        detail = f"{cause} is missing" if isinstance(cause, KeyError) else str(cause)
        raise _damaged(path, detail) from cause


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=20)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _damaged(path: Path, problem: str) -> DamagedEntry:
    return DamagedEntry(f"{path} is damaged ({problem}). {REMEDY}")


@contextmanager
def _hushed() -> Iterator[None]:
    """FAISS prints names of its files to standard output, which belongs to the answer of a command."""
    if sys.platform == "win32":  # there is no C library to flush by name
        yield
        return
    library = ctypes.CDLL(None)
    library.fflush(None)
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output, as in some services
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        library.fflush(None)  # what C holds back belongs to what was hushed
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
