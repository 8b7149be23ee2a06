"""The feature cache: features in, features out, one small HDF5 file per video and recipe, or many in one packed file.

Layout of a cache folder, schema 1::

    <root>/<encoder>/<sampling name>-<fingerprint>/recipe.json
    <root>/<encoder>/<sampling name>-<fingerprint>/<video id>.h5

``<encoder>`` and each component of ``<video id>`` are written as ``names.safe_component`` says; ``<sampling name>`` and
``<fingerprint>`` are ``Sampling.name`` and ``FeatureRecipe.fingerprint`` (the first ten hex digits of the SHA-256 of
the recipe's JSON with sorted keys and no spaces). ``recipe.json`` is for people: an entry carries its own recipe. Files
with other endings are ignored.

An entry is an HDF5 group (in a file of its own: the root group) with

- datasets, contiguous and uncompressed: ``values`` float16 or float32 [T, D] or [K, T, D]; ``frames`` int64 [T, 2];
  ``seconds`` float64 [T, 2];
- the attribute ``schema``, the integer 1;
- attributes that are UTF-8 strings of JSON: ``recipe`` (the fields of ``FeatureRecipe``), ``video`` (the fields of
  ``VideoInfo``), ``identity`` (those of ``FileIdentity``, or null), ``made_with`` (text to text), ``warnings`` (list of
  text);
- optionally the attribute ``file``, a string: where the video lay when it was extracted. It is a hint for the machine
  that wrote it: neither part of the checksum nor of what is packed;
- the attribute ``checksum``, a string: BLAKE2b of 20 bytes in hex over, for ``values``, ``frames``, ``seconds`` in this
  order, the UTF-8 text ``name|type|shape;`` (such as ``values|<f4|88,512;``) and the little-endian bytes in C order,
  then, for ``schema``, ``recipe``, ``video``, ``identity``, ``made_with``, ``warnings`` in this order, the text
  ``name|number of bytes|`` and the bytes of the string (``schema``: its decimal digits).

A packed file is one HDF5 file whose root has the string attribute ``kind`` = ``vidlang.features`` and the integer
attribute ``schema`` = 1. Each entry is a group at the path that its file has below ``<root>``
(``clip-vit-b16/stride16-middle-…/Abuse/Abuse001.mp4.h5``), with the same datasets and
attributes, checksum included. It is opened read-only.

A cache folder may hold packed files by shares of the ids beside its entries (``pack_shards``): from some hundred
thousand entries on, so many small files are slow to list, copy and delete.

Entries are written beside and renamed (``atomic``), so many processes and machines may write into one folder without
locks; the last writer of a key wins, and every reader sees a whole entry.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import math
import os
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import (
    BadInput,
    DamagedEntry,
    FeatureKey,
    FeatureRecipe,
    Features,
    FileIdentity,
    MissingFeatures,
    Progress,
    VideoInfo,
)
from vidlang.core.progress import Task
from vidlang.core.shares import Share, share_of
from vidlang.store.atomic import is_stale, is_temporary, replacing, write_text
from vidlang.store.names import safe_component, safe_path
from vidlang.store.pack_shards import PackShards, id_of, pack_name

# h5py takes a quarter of a second to import, so the functions that open files import it.

SCHEMA = 1
PACK_KIND = "vidlang.features"
DATASETS = ("values", "frames", "seconds")
TEXTS = ("recipe", "video", "identity", "made_with", "warnings")
FILE = "file"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """What an entry says of itself, read without its values."""

    key: FeatureKey
    video: VideoInfo
    shape: tuple[int, ...]
    """[T, D] or [K, T, D]."""
    dtype: str
    bytes: int
    """On disk."""
    identity: FileIdentity | None
    made_with: Mapping[str, str]
    """``file``, where it is there, is the path that the video had."""
    warnings: tuple[str, ...]
    path: Path
    """The entry's file; in a packed file, the pack's path followed by the group's."""

    @property
    def num_snippets(self) -> int:
        return self.shape[-2]


class FeatureCache:
    """Features by key. ``root`` is a cache folder (made when first written) or a packed file (read-only)."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.packed = self.root.is_file()
        self._seen: dict[Path, tuple[object, CacheEntry]] = {}
        self.packs = PackShards.find(self.root)
        """Those of a folder that has some."""
        if self.packed:
            _check_pack(self.root)

    def __contains__(self, key: FeatureKey) -> bool:
        """Whether an entry of this key is there with an undamaged header."""
        try:
            self.entry(key)
        except (MissingFeatures, DamagedEntry):
            return False
        return True

    def get(self, key: FeatureKey) -> Features:
        """The features, checked against their checksum.

        Raises:
            MissingFeatures: no entry of this key.
            DamagedEntry: there is one that is torn, edited, of another schema, or of another video.
        """
        with self._open(key) as (group, path):
            features = _read_features(group, path)
        self._check_key(features.key, key, path)
        return features

    def get_many(self, keys: Iterable[FeatureKey]) -> Iterator[Features]:
        """``get`` one after the other, in the order of the keys."""
        return map(self.get, keys)

    def entry(self, key: FeatureKey) -> CacheEntry:
        """What the entry says of itself.

        Raises:
            MissingFeatures, DamagedEntry: as ``get``, but values are neither read nor checked.
        """
        with self._open(key) as (group, path):
            entry = _read_entry(group, path)
        self._check_key(entry.key, key, path)
        return entry

    def is_fresh(self, key: FeatureKey, identity: FileIdentity) -> bool:
        """Whether an entry with an undamaged header is there and was made from the same content."""
        try:
            made_from = self.entry(key).identity
        except (MissingFeatures, DamagedEntry):
            return False
        return made_from is not None and made_from.same_content(identity)

    def put(
        self,
        features: Features,
        *,
        identity: FileIdentity | None,
        made_with: Mapping[str, str] | None = None,
        warnings: Sequence[str] = (),
    ) -> Path:
        """Write an entry, replacing one of the same key; returns its file.

        made_with: ``file`` is kept beside the others (see the module's docstring)

        Raises:
            BadInput: the cache is a packed file, or the file system takes another video's id for this one.
            ValueError: the values are not stored as the recipe says, or the video is not the key's.
        """
        if self.packed:
            raise BadInput(f"{self.root} is a packed file and cannot be written. Put features into a cache folder.")
        _check_fits(features)
        path = self._path(features.key)
        self._refuse_other_video(path, features.key)
        facts = dict(made_with or {})
        file = facts.pop(FILE, None)
        texts = {
            "recipe": features.key.recipe.to_dict(),
            "video": asdict(features.video),
            "identity": asdict(identity) if identity else None,
            "made_with": facts,
            "warnings": list(warnings),
        }
        self._describe(features.key.recipe)
        header = {name: json.dumps(value) for name, value in texts.items()}
        self._store(_relative_path(features.key), lambda target: _write_entry(target, features, header, file))
        return path

    def relative_paths(self, recipe: FeatureRecipe | None = None) -> list[PurePosixPath]:
        """Paths of all entries, or of one recipe's, below the root, sorted; none is opened."""
        return self._entry_paths("" if recipe is None else _recipe_folder(recipe))

    def read_whole(self, relative: PurePosixPath) -> tuple[Features, CacheEntry]:
        """The checked features at a path of ``relative_paths``, and what their entry says of itself.

        Raises:
            MissingFeatures: there is none.
            DamagedEntry: it is torn, edited, of another schema, or of another video or recipe than its path says.
        """
        try:
            with self._open_path(relative) as group:
                features = _read_features(group, self.root / relative)
                entry = _read_entry(group, self.root / relative, with_size=False)
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise MissingFeatures(f"There is no entry {relative} in {self.root}.") from cause
        if _relative_path(features.key) != relative:
            raise _misplaced(self.root / relative, features.key)
        return features, entry

    def take_over(self, source: FeatureCache, relative: PurePosixPath) -> None:
        """Copies an entry of another cache as it is, checksum and all, in place of one at this path.

        Raises:
            BadInput: this cache is a packed file. DamagedEntry: as ``read_whole``. FileNotFoundError: it is gone.
        """
        if self.packed:
            raise BadInput(f"{self.root} is a packed file and cannot be written. Merge into a cache folder.")
        content = source._content(relative)
        with source._open_path(relative) as group:
            self._describe(_read_entry(group, source.root / relative, with_size=False).key.recipe)
            if content is None:
                self._store(relative, lambda target: _write_copy(target, group))
                return
        self._store(relative, lambda target: _write(target, content))

    def same_place(self, other: FeatureCache) -> bool:
        """Whether both are the same folder or file."""
        return type(self) is type(other) and self.root.resolve() == other.root.resolve()

    def _content(self, relative: PurePosixPath) -> bytes | None:
        """Of an entry's own file; None for one in a pack."""
        path = self.root / relative
        return path.read_bytes() if not self.packed and path.is_file() else None

    def _store(self, relative: PurePosixPath, write: Callable[[Path], None]) -> None:
        """An entry becomes visible whole: ``write`` fills a file beside, which is renamed."""
        with replacing(self.root / relative) as temporary:
            write(temporary)

    def remove(self, key: FeatureKey) -> None:
        """Delete an entry, damaged or not.

        Raises:
            MissingFeatures: there is none.
            BadInput: the cache is a packed file.
        """
        if self.packed:
            raise BadInput(f"{self.root} is a packed file: nothing can be removed. Pack a folder again instead.")
        path = self._path(key)
        if not path.is_file():
            if key in self:
                raise BadInput(f"{key.video_id} lies in a pack of {self.root}: nothing can be removed there.")
            raise _missing(key, self.root)
        if (found := _video_id(path)) is not None and _same_to_a_file_system(found, key.video_id):
            raise _missing(key, self.root)
        path.unlink(missing_ok=True)
        if self.packs is not None and key in self:
            logger.warning("%s lies in a pack of %s, too, and that entry counts again", key.video_id, self.root)

    def keys(self, recipe: FeatureRecipe | None = None) -> Iterator[FeatureKey]:
        """Keys of all entries, or of one recipe's, sorted by path; damaged ones are skipped with a logged warning."""
        return (entry.key for entry in self.entries(recipe))

    def __iter__(self) -> Iterator[FeatureKey]:
        return self.keys()

    def entries(self, recipe: FeatureRecipe | None = None) -> Iterator[CacheEntry]:
        """All entries, or one recipe's, sorted by path; damaged ones are skipped with a logged warning."""
        for path, entry in self._scan("" if recipe is None else _recipe_folder(recipe)):
            if isinstance(entry, CacheEntry):
                yield entry
            else:
                logger.warning("%s is skipped: %s", path, entry)

    def stamps(self, recipe: FeatureRecipe) -> dict[str, str]:
        """What every entry of a recipe looks like from outside, sorted by path; no entry is opened.

        returns: the entry's path below the recipe's folder (``Abuse/Abuse001.mp4.h5``) to ``<bytes>-<mtime in ns>`` of
        its file. Entries of a packed file share that of the pack. An equal path and stamp mean an unchanged entry;
        whether the entry is whole tells ``entry_by_path``.
        """
        folder = _recipe_folder(recipe)
        files = {} if self.packed else dict(_file_stamps(self.root / folder))
        for pack in self._pack_files():
            stamp = _stamp(pack.stat())
            for path in self._groups_in(pack, folder):
                files.setdefault(str(PurePosixPath(path).relative_to(folder)), stamp)
        return dict(sorted(files.items()))

    def entry_by_path(self, recipe: FeatureRecipe, relative: str) -> CacheEntry:
        """The entry at a path that ``stamps`` gave. Its id stands inside: file names cut what is longer than 200 bytes.

        Raises:
            MissingFeatures: it is gone.
            DamagedEntry: it is torn, edited, of another schema, or of another video or recipe than its path says.
            ValueError: ``relative`` leads out of the recipe's folder.
        """
        below = PurePosixPath(relative)
        if below.is_absolute() or not below.parts or ".." in below.parts:
            raise ValueError(f"relative must lie below the recipe's folder, got {relative!r}")
        path = PurePosixPath(_recipe_folder(recipe)) / below
        try:
            return self._entry_at(path, self.root / path)
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise MissingFeatures(
                f"There is no entry {relative} for {recipe.name} ({recipe.fingerprint}) in {self.root} any more. "
                "Extract its video again."
            ) from cause

    def recipes(self) -> list[FeatureRecipe]:
        """Every recipe that has at least one readable entry, in the order of their folders."""
        found = []
        for folder in self._recipe_folders():
            first = next((e for _, e in self._scan(folder) if isinstance(e, CacheEntry)), None)
            if first is not None:
                found.append(first.key.recipe)
        return found

    def verify(self, progress: Progress | None = None, *, sweep: bool = False) -> list[tuple[Path, str]]:
        """Read everything; returns (path, what is wrong with it).

        Also listed are temporaries of writers that are gone. ``sweep`` removes those and says so; entries stay.
        """
        problems: list[tuple[Path, str]] = []
        paths = list(self._entry_paths(""))
        with (progress or Progress()).task("verify", total=len(paths), unit="entries") as task:
            for path in paths:
                problem = self._problem_of(path)
                if problem:
                    problems.append((self.root / path, problem))
                task.advance()
        return problems + self.damaged_packs() + ([] if self.packed else self._stale_temporaries(sweep))

    def pack(self, target: Path, recipe: FeatureRecipe | None = None, progress: Progress | None = None) -> int:
        """Copy all entries, or one recipe's, into one file at ``target``; returns how many.

        Each entry is checked on the way and copied byte for byte.

        Raises:
            BadInput: nothing to pack. DamagedEntry: an entry or a pack is damaged (``verify`` lists them all).
        """
        paths = self._paths_to_pack(recipe)
        with (progress or Progress()).task("pack", total=len(paths), unit="entries") as task:
            self._write_pack(Path(target), paths, task)
        return len(paths)

    def pack_shards(
        self, folder: Path, count: int, recipe: FeatureRecipe | None = None, progress: Progress | None = None
    ) -> int:
        """As ``pack``, into so many files by shares of the ids in ``folder``, which then is a cache; returns how many.

        Shares without entries get no file. A file that is there is replaced.

        Raises:
            BadInput: nothing to pack, or packs of another total in the folder. DamagedEntry: as ``pack``.
        """
        paths = self._paths_to_pack(recipe)
        there = PackShards.find(Path(folder))
        if there is not None and there.count != count:
            raise BadInput(
                f"{folder} holds packs of {there.count} shards, not {count}. Take that number or a new folder."
            )
        shares: dict[int, list[PurePosixPath]] = {}
        for path in paths:
            shares.setdefault(share_of(self._id_at(path), count), []).append(path)
        with (progress or Progress()).task("pack", total=len(paths), unit="entries") as task:
            for number in sorted(shares):
                self._write_pack(Path(folder) / pack_name(Share(number, count)), shares[number], task)
        return len(paths)

    def _paths_to_pack(self, recipe: FeatureRecipe | None) -> list[PurePosixPath]:
        paths = self._entry_paths("" if recipe is None else _recipe_folder(recipe))
        if not paths:
            raise BadInput(f"{self.root} holds no features to pack. Run: vidlang cache list")
        if damaged := self.damaged_packs():  # its entries are not among the paths, and nobody would miss them
            raise DamagedEntry(damaged[0][1])
        return paths

    def _write_pack(self, target: Path, paths: Sequence[PurePosixPath], task: Task) -> None:
        import h5py

        with replacing(target) as temporary, h5py.File(temporary, "w", locking=False) as packed:
            packed.attrs["kind"], packed.attrs["schema"] = PACK_KIND, SCHEMA
            for path in paths:
                with self._open_path(path) as group:
                    _read_features(group, self.root / path)
                    _copy_entry(group, packed.create_group(str(path)))
                task.advance()

    def _id_at(self, relative: PurePosixPath) -> str:
        """By the path alone where that tells it."""
        video_id = id_of(relative)
        return self._entry_at(relative, self.root / relative).key.video_id if video_id is None else video_id

    # -- where entries lie -------------------------------------------------------------------------------------------

    def _path(self, key: FeatureKey) -> Path:
        return self.root / _relative_path(key)

    @contextmanager
    def _open(self, key: FeatureKey) -> Iterator[tuple[Any, Path]]:
        relative = _relative_path(key)
        try:
            with self._open_path(relative) as group:
                yield group, self.root / relative
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise _missing(key, self.root) from cause

    @contextmanager
    def _open_path(self, relative: PurePosixPath) -> Iterator[Any]:
        """The entry's group. FileNotFoundError where there is none; what HDF5 refuses is a DamagedEntry."""
        import h5py

        for path in self._files_of(relative):
            with _damage_of(self.root / relative):
                file = h5py.File(path, "r", locking=False)
            with file:
                with _damage_of(self.root / relative):
                    group = file if path == self.root / relative else file.get(str(relative))
                if group is not None:
                    yield group
                    return
        raise FileNotFoundError(self.root / relative)

    def _files_of(self, relative: PurePosixPath) -> Iterator[Path]:
        """Files that may hold an entry: its own, else packs."""
        path = self.root if self.packed else self.root / relative
        if path.is_file():
            yield path
        elif self.packs is not None:
            yield from (pack for pack in self.packs.files_of(relative) if pack.is_file())

    def _pack_files(self) -> list[Path]:
        if self.packed:
            return [self.root]
        return [] if self.packs is None else self.packs.files()

    def _recipe_folders(self) -> list[str]:
        """Such as ``clip-vit-b16/stride16-middle-0123456789``, sorted."""
        return sorted({"/".join(path.parts[:2]) for path in self._entry_paths("")})

    def _entry_paths(self, folder: str) -> list[PurePosixPath]:
        """Paths relative to the root of everything under ``folder`` that looks like an entry, sorted."""
        names = set() if self.packed else set(_entry_files(self.root, folder))
        for pack in self._pack_files():
            names.update(self._groups_in(pack, folder))
        paths = [PurePosixPath(name) for name in sorted(names)]
        return [path for path in paths if len(path.parts) >= 3]

    def _groups_in(self, pack: Path, folder: str) -> list[str]:
        """Entries of a packed file; of one among several that is damaged, none, with a logged warning."""
        try:
            return _entry_groups(pack, folder)
        except DamagedEntry as damage:
            if self.packed:
                raise
            logger.warning("%s", damage)
            return []

    def damaged_packs(self) -> list[tuple[Path, str]]:
        """(path, what is wrong with it) of the packs of a folder that do not open: their entries are in no listing."""
        found = []
        for pack in [] if self.packs is None else self.packs.files():
            try:
                _entry_groups(pack, "")
            except DamagedEntry as damage:
                found.append((pack, str(damage)))
        return found

    def _scan(self, folder: str) -> Iterator[tuple[Path, CacheEntry | DamagedEntry]]:
        for relative in self._entry_paths(folder):
            path = self.root / relative
            try:
                yield path, self._entry_at(relative, path)
            except FileNotFoundError:  # removed between the listing and this line
                continue
            except DamagedEntry as damage:
                yield path, damage

    def _entry_at(self, relative: PurePosixPath, path: Path) -> CacheEntry:
        """Read once as long as the file stays the same: commands list several times, and opening takes half a
        millisecond. Raises FileNotFoundError, DamagedEntry.
        """
        facts = next(self._files_of(relative), path).stat()
        stamp = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
        known, entry = self._seen.get(path, (None, None))
        if entry is None or known != stamp:
            with self._open_path(relative) as group:
                entry = _read_entry(group, path)
            if _relative_path(entry.key) != relative:
                raise _misplaced(path, entry.key)
            self._seen[path] = (stamp, entry)
        return entry

    # -- what may be wrong -------------------------------------------------------------------------------------------

    def _check_key(self, found: FeatureKey, asked: FeatureKey, path: Path) -> None:
        if found == asked:
            return
        if found.recipe == asked.recipe and _same_to_a_file_system(found.video_id, asked.video_id):
            raise _missing(asked, self.root)
        raise _misplaced(path, found)

    def _refuse_other_video(self, path: Path, key: FeatureKey) -> None:
        """On a file system that ignores case or Unicode form, two ids can meet in one file."""
        if path.is_file() and (found := _video_id(path)) is not None and _same_to_a_file_system(found, key.video_id):
            raise BadInput(
                f"{found} and {key.video_id} are one file name for the file system of {self.root}. "
                "Rename one of the videos, or keep the cache on a file system that tells upper from lower case."
            )

    def _problem_of(self, relative: PurePosixPath) -> str:
        try:
            with self._open_path(relative) as group:
                key = _read_features(group, self.root / relative).key
            if _relative_path(key) != relative:
                raise _misplaced(self.root / relative, key)
        except FileNotFoundError:  # removed meanwhile
            return ""
        except DamagedEntry as damage:
            return str(damage)
        return ""

    def _stale_temporaries(self, sweep: bool) -> list[tuple[Path, str]]:
        found = []
        for path in sorted(self.root.rglob(".vidlang-*")):
            if path.is_file() and is_temporary(path) and is_stale(path):
                if sweep:
                    path.unlink(missing_ok=True)
                found.append((path, f"a killed writer left it behind{'; removed' if sweep else ''}"))
        return found

    def _describe(self, recipe: FeatureRecipe) -> None:
        """``recipe.json`` beside the entries, for people."""
        path = self.root / _recipe_folder(recipe) / "recipe.json"
        if not path.is_file():
            write_text(path, json.dumps(recipe.to_dict(), indent=2) + "\n")


# -- names -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _recipe_folder(recipe: FeatureRecipe) -> str:
    return f"{safe_component(recipe.encoder, folder=True)}/{recipe.sampling.name}-{recipe.fingerprint}"


def _relative_path(key: FeatureKey) -> PurePosixPath:
    return PurePosixPath(f"{_recipe_folder(key.recipe)}/{safe_path(key.video_id)}.h5")


def _same_to_a_file_system(one: str, other: str) -> bool:
    """Whether two different ids differ only by case or Unicode form."""
    return one != other and _folded(one) == _folded(other)


def _folded(video_id: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", video_id).casefold())


def _entry_files(root: Path, folder: str) -> Iterator[str]:
    start = root / folder
    for parent, _, files in os.walk(start):
        prefix = Path(parent).relative_to(root).as_posix()
        yield from (f"{prefix}/{name}" for name in files if name.endswith(".h5") and not name.startswith("."))


def _file_stamps(folder: Path, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(path below the first folder, stamp) of the files that ``_entry_files`` lists, in no order."""
    try:
        found = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with found:
        for item in found:
            if item.is_dir(follow_symlinks=False):
                yield from _file_stamps(Path(item.path), f"{prefix}{item.name}/")
            elif item.name.endswith(".h5") and not item.name.startswith(".") and item.is_file():
                with suppress(FileNotFoundError):  # removed between the listing and this line
                    yield f"{prefix}{item.name}", _stamp(item.stat())


def _stamp(facts: os.stat_result) -> str:
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def _entry_groups(root: Path, folder: str) -> list[str]:
    """A group that ends in .h5 is an entry; a folder's name never does (``names``)."""
    import h5py

    def walk(group: Any, prefix: str) -> Iterator[str]:
        for name in group:
            path = f"{prefix}{name}"
            if name.endswith(".h5"):
                yield path
            elif isinstance(child := group.get(name), h5py.Group):
                yield from walk(child, f"{path}/")

    with _damage_of(root), h5py.File(root, "r", locking=False) as file:
        if not folder:
            return list(walk(file, ""))
        return list(walk(file[folder], f"{folder}/")) if folder in file else []


# -- reading ---------------------------------------------------------------------------------------------------------


@contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """Whatever HDF5, JSON or the core types find wrong inside is a DamagedEntry that names the path."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except PermissionError as cause:
        raise DamagedEntry(f"{path} may not be read by this user. Change its permissions.") from cause
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, AttributeError, MemoryError) as cause:
        if isinstance(cause, OSError) and cause.errno not in (None, errno.EIO):
            raise  # the machine's trouble, such as too many open files, not the entry's
        detail = " ".join(str(cause).split())[:160] or type(cause).__name__
        raise _damaged(path, detail) from cause


def _damaged(path: Path, problem: str) -> DamagedEntry:
    return DamagedEntry(f"{path} is damaged ({problem}). Delete it and extract the video again.")


def _misplaced(path: Path, found: FeatureKey) -> DamagedEntry:
    return DamagedEntry(
        f"{path} holds the features of {found.video_id} by {found.recipe.name} ({found.recipe.fingerprint}), "
        "not of the video and recipe that its path names. Delete it and extract the video again."
    )


def _missing(key: FeatureKey, root: Path) -> MissingFeatures:
    video, encoder = shlex.quote(key.video_id), shlex.quote(key.recipe.encoder)
    imported = key.recipe.revision.startswith("imported:")
    command = "cache import FOLDER" if imported else f"extract {video} --encoder {encoder}"
    return MissingFeatures(
        f"{key.video_id} has no features for {key.recipe.name} ({key.recipe.fingerprint}) in {root}. "
        f"Run: vidlang {command}"
    )


def _attribute(group: Any, name: str) -> Any:
    """A scalar attribute, by h5py's low-level interface: ``group.attrs`` takes three times as long."""
    from h5py import h5a

    attribute = h5a.open(group.id, name.encode())
    if attribute.shape != ():
        raise ValueError(f"the attribute {name} has shape {attribute.shape}")
    value: NDArray[Any] = np.empty((), dtype=attribute.dtype)
    attribute.read(value)
    return value[()]


def _text(group: Any, name: str) -> str:
    value = _attribute(group, name)
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _header(group: Any) -> dict[str, str]:
    """The five JSON texts, after a look at the schema."""
    schema = int(_attribute(group, "schema"))
    if schema != SCHEMA:
        raise ValueError(f"schema {schema}, this vidlang reads schema {SCHEMA}")
    return {name: _text(group, name) for name in TEXTS}


@lru_cache(maxsize=64)
def _recipe_of(text: str) -> FeatureRecipe:
    return FeatureRecipe.from_dict(json.loads(text))


def _video_of(text: str) -> VideoInfo:
    fields = json.loads(text)
    return VideoInfo(**{**fields, "size": tuple(fields["size"])})


def _identity_of(text: str) -> FileIdentity | None:
    fields = json.loads(text)
    return None if fields is None else FileIdentity(**fields)


def _read_entry(group: Any, path: Path, *, with_size: bool = True) -> CacheEntry:
    from h5py import h5d

    with _damage_of(path):
        header = _header(group)
        video, values = _video_of(header["video"]), h5d.open(group.id, b"values")
        if len(values.shape) not in (2, 3):
            raise ValueError(f"values has shape {values.shape}")
        return CacheEntry(
            key=FeatureKey(video.id, _recipe_of(header["recipe"])),
            video=video,
            shape=tuple(values.shape),
            dtype=values.dtype.name,
            bytes=_bytes_on_disk(group, path) if with_size else 0,
            identity=_identity_of(header["identity"]),
            made_with={**json.loads(header["made_with"]), **_file_of(group)},
            warnings=tuple(json.loads(header["warnings"])),
            path=path,
        )


def _file_of(group: Any) -> dict[str, str]:
    from h5py import h5a

    return {FILE: _text(group, FILE)} if h5a.exists(group.id, FILE.encode()) else {}


def _bytes_on_disk(group: Any, path: Path) -> int:
    if group.name == "/":
        return int(group.file.id.get_filesize())
    return sum(group[name].id.get_storage_size() for name in DATASETS)


def _read_features(group: Any, path: Path) -> Features:
    """Everything of an entry, checked. Raises DamagedEntry."""
    with _damage_of(path):
        header = _header(group)
        arrays = {name: _read_array(group, name) for name in DATASETS}
        if _checksum(arrays, header) != _text(group, "checksum"):
            raise ValueError("its content does not match its checksum")
        video = _video_of(header["video"])
        native = {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in arrays.items()}
        return Features(key=FeatureKey(video.id, _recipe_of(header["recipe"])), video=video, **native)


def _read_array(group: Any, name: str) -> NDArray[Any]:
    from h5py import h5d, h5s

    dataset = h5d.open(group.id, name.encode())
    plan = dataset.get_create_plist()
    if plan.get_layout() != h5d.CONTIGUOUS or plan.get_external_count():
        raise ValueError(f"{name} is not contiguous or lies in another file")
    claimed, stored = math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.get_storage_size()
    if stored != claimed:  # before memory is asked for: an edited shape may claim any size
        raise ValueError(f"{name} claims {claimed} bytes and has {stored}")
    array: NDArray[Any] = np.empty(dataset.shape, dtype=dataset.dtype)
    if array.size:
        dataset.read(h5s.ALL, h5s.ALL, array)
    return array


def _video_id(path: Path) -> str | None:
    """The id inside an entry's file; None when it cannot be read."""
    import h5py

    try:
        with _damage_of(path), h5py.File(path, "r", locking=False) as file:
            return _video_of(_text(file, "video")).id
    except (DamagedEntry, OSError):
        return None


def _check_pack(path: Path) -> None:
    import h5py

    remedy = "Give a cache folder or a file made by: vidlang cache pack"
    try:
        with h5py.File(path, "r", locking=False) as file:
            kind, schema = file.attrs.get("kind"), file.attrs.get("schema")
    except OSError as cause:
        raise BadInput(f"{path} does not open as an HDF5 file. {remedy}") from cause
    if kind != PACK_KIND:
        raise BadInput(f"{path} is not a packed feature file. {remedy}")
    if schema != SCHEMA:
        raise BadInput(f"{path} has schema {schema}, this vidlang reads {SCHEMA}. Pack the folder again or update.")


# -- writing ---------------------------------------------------------------------------------------------------------


def _check_fits(features: Features) -> None:
    key, recipe = features.key, features.key.recipe
    if features.video.id != key.video_id:
        raise ValueError(f"the key names {key.video_id!r} but the features are of {features.video.id!r}")
    if features.values.dtype != np.dtype(recipe.dtype):
        raise ValueError(f"the recipe stores {recipe.dtype}, got values of {features.values.dtype} ({key.video_id})")
    num_crops = features.values.shape[0] if features.values.ndim == 3 else 1
    if num_crops != recipe.sampling.num_crops:
        raise ValueError(f"the recipe has {recipe.sampling.num_crops} crops, got {num_crops} ({key.video_id})")


def _write_entry(path: Path, features: Features, header: Mapping[str, str], video_file: str | None) -> None:
    import h5py

    arrays = {name: _little_endian(getattr(features, name)) for name in DATASETS}
    with h5py.File(path, "w", locking=False) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs["schema"] = SCHEMA
        for name, text in header.items():
            file.attrs[name] = text
        if video_file is not None:
            file.attrs[FILE] = video_file.encode("utf-8", "replace").decode()  # bytes that are no UTF-8 are lost
        file.attrs["checksum"] = _checksum(arrays, header)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _write_copy(path: Path, entry: Any) -> None:
    import h5py

    with h5py.File(path, "w", locking=False) as file:
        _copy_entry(entry, file)
        if FILE in entry.attrs:
            file.attrs[FILE] = entry.attrs[FILE]


def _copy_entry(source: Any, target: Any) -> None:
    for name in DATASETS:
        source.copy(name, target)
    for name in ("schema", *TEXTS, "checksum"):
        target.attrs[name] = source.attrs[name]


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _checksum(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, str]) -> str:
    """As the module's docstring writes it down."""
    digest = hashlib.blake2b(digest_size=20)
    for name in DATASETS:
        array = _little_endian(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{','.join(map(str, array.shape))};".encode())
        digest.update(array.data if array.size else b"")
    for name, text in {"schema": str(SCHEMA), **{name: header[name] for name in TEXTS}}.items():
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(f"{name}|{len(encoded)}|".encode())
        digest.update(encoded)
    return digest.hexdigest()
