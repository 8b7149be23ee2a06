"""The feature cache: features in, features out, one small HDF5 file per video and recipe, or many in one packed file.

Layout of a cache folder, schema 1::

    <root>/<encoder>/<sampling name>-<fingerprint>/recipe.json
    <root>/<encoder>/<sampling name>-<fingerprint>/<video id>.h5

``<encoder>`` and each component of ``<video id>`` are written as ``names.safe_component`` says; ``<sampling name>`` and
``<fingerprint>`` are ``Sampling.name`` and ``FeatureRecipe.fingerprint`` (the first ten hex digits of the SHA-256 of
the recipe's JSON with sorted keys and no spaces). ``recipe.json`` is for people: an entry carries its own recipe. Files
with other endings are ignored.

What an entry is, ``feature_entry`` says: an HDF5 group, in a file of its own the root group.

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

import json
import logging
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from vidlang.core import (
    BadInput,
    DamagedEntry,
    FeatureKey,
    FeatureRecipe,
    Features,
    FileIdentity,
    MissingFeatures,
    Progress,
)
from vidlang.core.progress import Task
from vidlang.core.shares import Share, share_of
from vidlang.store.atomic import is_stale, is_temporary, replacing, write_text
from vidlang.store.feature_entry import (
    SCHEMA,
    CacheEntry,
    check_fits,
    copy_entry,
    damage_of,
    misplaced,
    missing,
    opened,
    read_entry,
    read_features,
    recipe_folder,
    relative_path,
    video_id_in,
    write_copy,
    write_entry,
)
from vidlang.store.pack_shards import PackShards, id_of, pack_name

__all__ = ["CacheEntry", "FeatureCache"]

# h5py takes a quarter of a second to import, so the functions that open files import it.

PACK_KIND = "vidlang.features"

logger = logging.getLogger(__name__)


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
            features = read_features(group, path)
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
            entry = read_entry(group, path)
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

        made_with: ``file`` is kept beside the others (``feature_entry``)

        Raises:
            BadInput: the cache is a packed file, or the file system takes another video's id for this one.
            ValueError: the values are not stored as the recipe says, or the video is not the key's.
        """
        if self.packed:
            raise BadInput(f"{self.root} is a packed file and cannot be written. Put features into a cache folder.")
        check_fits(features)
        path = self._path(features.key)
        self._refuse_other_video(path, features.key)
        self._describe(features.key.recipe)
        self._store(
            relative_path(features.key),
            lambda target: write_entry(target, features, identity, made_with or {}, warnings),
        )
        return path

    def relative_paths(self, recipe: FeatureRecipe | None = None) -> list[PurePosixPath]:
        """Paths of all entries, or of one recipe's, below the root, sorted; none is opened."""
        return self._entry_paths("" if recipe is None else recipe_folder(recipe))

    def read_whole(self, relative: PurePosixPath) -> tuple[Features, CacheEntry]:
        """The checked features at a path of ``relative_paths``, and what their entry says of itself.

        Raises:
            MissingFeatures: there is none.
            DamagedEntry: it is torn, edited, of another schema, or of another video or recipe than its path says.
        """
        try:
            with self._open_path(relative) as group:
                features = read_features(group, self.root / relative)
                entry = read_entry(group, self.root / relative, with_size=False)
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise MissingFeatures(f"There is no entry {relative} in {self.root}.") from cause
        if relative_path(features.key) != relative:
            raise misplaced(self.root / relative, features.key)
        return features, entry

    def take_over(self, source: FeatureCache, relative: PurePosixPath) -> None:
        """Copies an entry of another cache as it is, checksum and all, in place of one at this path.

        Raises:
            BadInput: this cache is a packed file. DamagedEntry: as ``read_whole``. FileNotFoundError: it is gone.
        """
        if self.packed:
            raise BadInput(f"{self.root} is a packed file and cannot be written. Merge into a cache folder.")
        path, content = source.root / relative, source._content(relative)
        with source._open_path(relative) if content is None else opened(content, path) as group:
            self._describe(read_entry(group, path, with_size=False).key.recipe)
            if content is None:
                self._store(relative, lambda target: write_copy(target, group))
                return
        self._store(relative, lambda target: target.write_bytes(content))

    def same_place(self, other: FeatureCache) -> bool:
        """Whether both are the same folder or file."""
        return type(self) is type(other) and self.root.resolve() == other.root.resolve()

    def _content(self, relative: PurePosixPath) -> bytes | None:
        """Of an entry's own file; None for one in a pack."""
        path = self.root / relative
        return path.read_bytes() if not self.packed and path.is_file() else None

    def _store(self, relative: PurePosixPath, write: Callable[[Path], object]) -> None:
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
            raise missing(key, self.root)
        if (found := video_id_in(path)) is not None and _same_to_a_file_system(found, key.video_id):
            raise missing(key, self.root)
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
        for path, entry in self._scan("" if recipe is None else recipe_folder(recipe)):
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
        folder = recipe_folder(recipe)
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
        path = PurePosixPath(recipe_folder(recipe)) / below
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

        Shares without entries get no file. Packs that are there are replaced, if all of their entries are here.

        Raises:
            BadInput: nothing to pack, or packs in the folder of another total or with entries that would be lost.
            DamagedEntry: as ``pack``, or a pack in the folder.
        """
        paths = self._paths_to_pack(recipe)
        there = PackShards.find(Path(folder))
        if there is not None and there.count != count:
            raise BadInput(
                f"{folder} holds packs of {there.count} shards, not {count}. Take that number or a new folder."
            )
        kept = {name for pack in ([] if there is None else there.files()) for name in _entry_groups(pack, "")}
        if lost := kept - set(map(str, paths)):
            raise BadInput(
                f"The packs in {folder} hold {len(lost)} entries that would be lost, such as {min(lost)}. "
                "Take a new folder."
            )
        shares: dict[int, list[PurePosixPath]] = {}
        for path in paths:
            shares.setdefault(share_of(self._id_at(path), count), []).append(path)
        with (progress or Progress()).task("pack", total=len(paths), unit="entries") as task:
            for number in sorted(shares):
                self._write_pack(Path(folder) / pack_name(Share(number, count)), shares[number], task)
        return len(paths)

    def _paths_to_pack(self, recipe: FeatureRecipe | None) -> list[PurePosixPath]:
        paths = self._entry_paths("" if recipe is None else recipe_folder(recipe))
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
                    read_features(group, self.root / path)
                    copy_entry(group, packed.create_group(str(path)))
                task.advance()

    def _id_at(self, relative: PurePosixPath) -> str:
        """By the path alone where that tells it."""
        video_id = id_of(relative)
        return self._entry_at(relative, self.root / relative).key.video_id if video_id is None else video_id

    # -- where entries lie -------------------------------------------------------------------------------------------

    def _path(self, key: FeatureKey) -> Path:
        return self.root / relative_path(key)

    @contextmanager
    def _open(self, key: FeatureKey) -> Iterator[tuple[Any, Path]]:
        relative = relative_path(key)
        try:
            with self._open_path(relative) as group:
                yield group, self.root / relative
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise missing(key, self.root) from cause

    @contextmanager
    def _open_path(self, relative: PurePosixPath) -> Iterator[Any]:
        """The entry's group. FileNotFoundError where there is none; what HDF5 refuses is a DamagedEntry."""
        import h5py

        for path in self._files_of(relative):
            with damage_of(self.root / relative):
                file = h5py.File(path, "r", locking=False)
            with file:
                with damage_of(self.root / relative):
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
                entry = read_entry(group, path)
            if relative_path(entry.key) != relative:
                raise misplaced(path, entry.key)
            self._seen[path] = (stamp, entry)
        return entry

    # -- what may be wrong -------------------------------------------------------------------------------------------

    def _check_key(self, found: FeatureKey, asked: FeatureKey, path: Path) -> None:
        if found == asked:
            return
        if found.recipe == asked.recipe and _same_to_a_file_system(found.video_id, asked.video_id):
            raise missing(asked, self.root)
        raise misplaced(path, found)

    def _refuse_other_video(self, path: Path, key: FeatureKey) -> None:
        """On a file system that ignores case or Unicode form, two ids can meet in one file."""
        if path.is_file() and (found := video_id_in(path)) is not None and _same_to_a_file_system(found, key.video_id):
            raise BadInput(
                f"{found} and {key.video_id} are one file name for the file system of {self.root}. "
                "Rename one of the videos, or keep the cache on a file system that tells upper from lower case."
            )

    def _problem_of(self, relative: PurePosixPath) -> str:
        try:
            with self._open_path(relative) as group:
                key = read_features(group, self.root / relative).key
            if relative_path(key) != relative:
                raise misplaced(self.root / relative, key)
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
        path = self.root / recipe_folder(recipe) / "recipe.json"
        if not path.is_file():
            write_text(path, json.dumps(recipe.to_dict(), indent=2) + "\n")


# -- names -----------------------------------------------------------------------------------------------------------


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

    with damage_of(root), h5py.File(root, "r", locking=False) as file:
        if not folder:
            return list(walk(file, ""))
        return list(walk(file[folder], f"{folder}/")) if folder in file else []


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
