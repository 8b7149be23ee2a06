"""An approximate index of vectors by FAISS, for galleries where the exact search takes too long. Optional.

A folder with two files, written as a whole:

``vectors.faiss``
    FAISS's own format: HNSW over float32 vectors, or inverted lists (IVF) of them, by inner product.
``ann.json``
    an object in UTF-8: ``schema`` = ``vidlang.ann/1``; ``kind``, ``hnsw`` or ``ivf``; ``dim``; ``num_vectors``;
    ``settings`` (the fields of ``AnnSettings``); ``recall``, measured; ``built_from``, the ``VideoIndex.version`` whose
    vectors these are; ``digest``, the BLAKE2b of 20 bytes in hex of ``vectors.faiss``.

Vectors are numbered in the order in which they came, as ``VideoIndex.vector_owners`` numbers them.

FAISS reads its files with native code that trusts them. So only a folder below the workspace is opened, only with the
file that was written beside its ``ann.json``; never open one that came from somebody else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, DamagedEntry, MissingDependency, Progress
from vidlang.store.atomic import replacing_folder

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "vidlang.ann/1"
VECTORS, FACTS = "vectors.faiss", "ann.json"
SAMPLE = 200
FIRST_WIDTH, MOST_WIDTH = 64, 4096
REMEDY = "Build it again, or search exactly."

logger = logging.getLogger(__name__)

Kind = Literal["hnsw", "ivf"]
Rows = NDArray[np.floating[Any]]


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
    target_recall: float = 0.95
    """Of the nearest of the gallery's own vectors."""
    recall_at: int = 100
    """Of how many nearest; give the length of the shortlist."""
    seed: int = 0
    """Which vectors the recall is measured with and the cells are learnt from."""

    def __post_init__(self) -> None:
        for name in ("links", "build_width", "search_width", "cells", "probes", "recall_at"):
            value = getattr(self, name)
            if value is not None and value < (2 if name == "links" else 1):
                raise ValueError(f"{name} must be positive (links at least 2), got {value}")
        if not 0 < self.target_recall <= 1:
            raise ValueError(f"target_recall must lie in (0, 1], got {self.target_recall}")


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
        blocks: Iterable[Tensor | Rows],
        dim: int,
        kind: Kind = "hnsw",
        *,
        built_from: str,
        settings: AnnSettings | None = None,
        total: int | None = None,
        progress: Progress | None = None,
    ) -> ApproximateIndex:
        """Builds and keeps an index, replacing one that is there. All vectors lie in memory meanwhile.

        blocks: [m, dim] unit vectors, such as ``(vectors for vectors, _ in index.vector_blocks())``
        built_from: ``VideoIndex.version`` of the same index    total: number of vectors, for ``progress``

        Raises:
            MissingDependency: faiss is not installed.
            BadInput: there is no vector.
            ValueError: a block is not [m, dim] of finite numbers.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(map(repr, get_args(Kind)))}, got {kind!r}")
        faiss, folder, settings = _faiss(), Path(folder), settings or AnnSettings()
        arrays = (_as_float32(block, dim) for block in blocks)
        with (progress or Progress()).task("approximate index", total=total, unit="vectors") as task:
            index = _empty_hnsw(faiss, dim, settings) if kind == "hnsw" else None
            waiting: list[NDArray[np.float32]] = [] if index is not None else list(arrays)
            if index is None:
                index = _learnt_ivf(faiss, dim, settings, waiting)
            for array in waiting or arrays:
                index.add(array)
                task.advance(len(array))
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
        made._tune(_sample(faiss, index, waiting, settings.seed))
        facts.update(settings=vars(made.settings), recall=made.recall)
        with replacing_folder(folder) as temporary:
            faiss.write_index(index, str(temporary / VECTORS))
            facts["digest"] = _digest(temporary / VECTORS)
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
        try:
            if path.resolve().parent != folder.resolve() or _digest(path) != facts["digest"]:
                raise _damaged(path, "its content does not match its checksum")
            index = faiss.read_index(str(path))
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

    def _tune(self, sample: NDArray[np.float32]) -> None:
        """Doubles the work of a search until it finds enough, unless the settings fix it, and measures the recall.

        A vector as near as the last of the exact ones counts as right, so that copies of one video are no misses.
        """
        k = min(self.settings.recall_at, self.num_vectors)
        name, work, most = (
            ("search_width", FIRST_WIDTH, MOST_WIDTH)
            if self.kind == "hnsw"
            else ("probes", max(1, self._index.nlist // 64), self._index.nlist)
        )
        fixed = getattr(self.settings, name)
        last = self._exact(sample, k)[:, -1:]
        while True:
            self.settings = replace(self.settings, **{name: fixed or work})
            self.recall = float((self.search(sample, k)[0] >= last - 1e-5).mean())
            if fixed or self.recall >= self.settings.target_recall or work >= most:
                break
            work = min(2 * work, most)
        if self.recall < self.settings.target_recall:
            logger.warning("%s finds %.0f %% of the nearest vectors", self.folder, 100 * self.recall)

    def _exact(self, queries: NDArray[np.float32], k: int) -> NDArray[np.float32]:
        """[Q, k] similarities, every vector looked at."""
        faiss = _faiss()
        if self.kind == "hnsw":
            found = faiss.downcast_index(self._index.storage).search(queries, k)
        else:
            found = self._index.search(queries, k, params=faiss.SearchParametersIVF(nprobe=self._index.nlist))
        similarities: NDArray[np.float32] = found[0]
        return similarities


def measure_recall(exact: NDArray[np.integer[Any]], approximate: NDArray[np.integer[Any]], k: int) -> float:
    """Which share of the exact k nearest the approximate search found among its first k.

    exact: [Q, n], nearest first, n >= k or all there are    approximate: [Q, m]    returns: in [0, 1]

    Raises:
        ValueError: they are not of the same queries, or there is none.
    """
    if exact.ndim != 2 or approximate.ndim != 2 or len(exact) != len(approximate) or not exact[:, :k].size:
        raise ValueError(f"both must be [Q, n] of the same queries, got {list(exact.shape)}, {list(approximate.shape)}")
    pairs = zip(exact[:, :k].tolist(), approximate[:, :k].tolist(), strict=True)
    return float(np.mean([len(set(right) & set(found)) / len(right) for right, found in pairs]))


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


def _learnt_ivf(faiss: Any, dim: int, settings: AnnSettings, arrays: list[NDArray[np.float32]]) -> Any:
    """Inverted lists without vectors; their centres are those of a sample of at most 64 vectors a cell."""
    num_vectors = sum(map(len, arrays))
    cells = min(settings.cells or max(1, round(4 * math.sqrt(num_vectors))), max(1, num_vectors))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = settings.seed, 1, 64
    if num_vectors:
        size = min(num_vectors, 64 * cells)
        chosen = np.sort(np.random.default_rng(settings.seed).choice(num_vectors, size, replace=False))
        index.train(_taken(arrays, chosen))
    return index


def _sample(faiss: Any, index: Any, arrays: list[NDArray[np.float32]], seed: int) -> NDArray[np.float32]:
    """Up to 200 of the vectors. arrays: all of them; empty where the index gives them back (HNSW)."""
    size = min(SAMPLE, index.ntotal)
    chosen = np.sort(np.random.default_rng(seed).choice(index.ntotal, size, replace=False))
    if arrays:
        return _taken(arrays, chosen)
    storage = faiss.downcast_index(index.storage)
    return np.stack([storage.reconstruct(int(number)) for number in chosen])


def _taken(arrays: list[NDArray[np.float32]], numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows by their ascending numbers, as if the arrays were one."""
    ends = np.cumsum([len(array) for array in arrays])
    parts = np.split(numbers, np.searchsorted(numbers, ends[:-1]))
    starts = ends - [len(array) for array in arrays]
    return np.concatenate([array[part - start] for array, part, start in zip(arrays, parts, starts, strict=True)])


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
