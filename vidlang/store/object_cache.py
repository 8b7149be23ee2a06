"""A feature cache on an object store, or wherever fsspec reaches: ``s3://bucket/prefix``, ``gs://…``, ``memory://…``.

Names and content are those of a cache folder (``feature_cache``). An entry is one object. Object stores put an object
whole or not at all, so it is put once; where files grow while they are written, it is put beside and moved. An entry is
read whole, in one request. Packs among the objects are not looked for: a packed file opens when it lies on a disk.

Credentials are fsspec's business (environment, profiles, roles); a password in a URL is not shown.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from vidlang.core import BadInput, FeatureKey, FeatureRecipe, MissingDependency
from vidlang.store.atomic import temporary_name
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.feature_entry import (
    CacheEntry,
    misplaced,
    missing,
    opened,
    read_entry,
    recipe_folder,
    relative_path,
)

PUT_AT_ONCE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory"}
"""Protocols whose objects appear whole or not at all."""

logger = logging.getLogger(__name__)


def is_url(place: str | Path) -> bool:
    """Whether a cache lies elsewhere: ``s3://bucket/prefix``."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", str(place)) is not None


def open_any_cache(place: str | Path) -> FeatureCache:
    """The cache at a URL, in a folder, in a workspace's folder, or in a packed file."""
    if is_url(place):
        return ObjectCache(str(place))
    path = Path(place)
    inside = path / "cache"
    return FeatureCache(inside if inside.is_dir() and not (path / "recipe.json").exists() else path)


class UrlPath(type(Path())):  # type: ignore[misc]
    """A path that shows as the URL it stands for, since ``Path`` makes one slash of two."""

    def __str__(self) -> str:
        return re.sub(r"^([A-Za-z][\w+.-]*):/+", lambda m: f"{m[1]}://{'/' * (m[1] == 'file')}", super().__str__())


class ObjectCache(FeatureCache):
    """``FeatureCache`` at a URL.

    Raises:
        MissingDependency: fsspec, or the package for this kind of store, is not installed.
        BadInput: the URL is of no kind that fsspec knows, or (from any method) the store refuses.
    """

    def __init__(self, url: str) -> None:
        shown = re.sub(r"//[^/@]*@", "//", url)
        super().__init__(UrlPath(shown))
        self.root = UrlPath(shown)
        self.files, self.prefix = _open_store(url, shown)
        self.prefix = self.prefix.rstrip("/")
        protocols = (self.files.protocol,) if isinstance(self.files.protocol, str) else self.files.protocol
        self._described: set[PurePosixPath] = set()
        self._at_once = bool(PUT_AT_ONCE & set(protocols))

    def remove(self, key: FeatureKey) -> None:
        """As ``FeatureCache.remove``."""
        with self._asked():
            try:
                self.files.rm_file(self._object(relative_path(key)))
            except FileNotFoundError as cause:
                raise missing(key, self.root) from cause

    def same_place(self, other: FeatureCache) -> bool:
        """Whether both are the same store and prefix."""
        return isinstance(other, ObjectCache) and str(self.root).rstrip("/") == str(other.root).rstrip("/")

    def stamps(self, recipe: FeatureRecipe) -> dict[str, str]:
        """As ``FeatureCache.stamps``; a stamp is the object's size and its tag or time."""
        folder = recipe_folder(recipe)
        found = self._listed(folder)
        return {str(PurePosixPath(name).relative_to(folder)): _stamp(found[name]) for name in sorted(found)}

    def _object(self, relative: PurePosixPath | str) -> str:
        return f"{self.prefix}/{relative}"

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """What the store refuses is one line, without what was sent to it."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise
        except ImportError as cause:
            raise _no_package(str(self.root)) from cause
        except Exception as cause:
            if type(cause).__module__.startswith("vidlang."):
                raise
            logger.info("%s refuses", self.root, exc_info=cause)
            raise BadInput(
                f"{self.root} cannot be used ({type(cause).__name__}). Check the address, the network and the "
                "credentials of this machine; --verbose shows what the store says."
            ) from cause

    def _listed(self, folder: str) -> dict[str, dict[str, Any]]:
        """Facts by the path below the root of everything under ``folder`` that looks like an entry."""
        with self._asked():
            self.files.invalidate_cache()
            try:
                found = self.files.find(self._object(folder) if folder else self.prefix, detail=True)
            except FileNotFoundError:
                return {}
        below = {name[len(self.prefix) :].lstrip("/"): facts for name, facts in found.items()}
        return {
            name: facts
            for name, facts in below.items()
            if name.endswith(".h5") and not PurePosixPath(name).name.startswith(".")
        }

    def _entry_paths(self, folder: str) -> list[PurePosixPath]:
        paths = [PurePosixPath(name) for name in sorted(self._listed(folder))]
        return [path for path in paths if len(path.parts) >= 3]

    @contextmanager
    def _open_path(self, relative: PurePosixPath) -> Iterator[Any]:
        with opened(self._content(relative), self.root / relative) as group:
            yield group

    def _entry_at(self, relative: PurePosixPath, path: Path) -> CacheEntry:
        with self._open_path(relative) as group:
            entry = read_entry(group, path)
        if relative_path(entry.key) != relative:
            raise misplaced(path, entry.key)
        return entry

    def _content(self, relative: PurePosixPath) -> bytes:
        with self._asked():
            return bytes(self.files.cat_file(self._object(relative)))

    def _store(self, relative: PurePosixPath, write: Callable[[Path], object]) -> None:
        with tempfile.TemporaryDirectory(prefix="vidlang-") as folder:
            local = Path(folder) / "entry.h5"
            write(local)
            self._put(relative, local.read_bytes())

    def _put(self, relative: PurePosixPath, data: bytes) -> None:
        target = self._object(relative)
        with self._asked():
            if self._at_once:
                self.files.pipe_file(target, data)
                return
            beside = f"{target.rpartition('/')[0]}/{temporary_name('.h5')}"
            self.files.makedirs(target.rpartition("/")[0], exist_ok=True)
            try:
                self.files.pipe_file(beside, data)
                self.files.mv(beside, target)
            except BaseException:
                if self.files.exists(beside):
                    self.files.rm_file(beside)
                raise

    def _refuse_other_video(self, path: Path, key: FeatureKey) -> None:
        """Object stores tell upper from lower case."""

    def _describe(self, recipe: FeatureRecipe) -> None:
        name = PurePosixPath(recipe_folder(recipe)) / "recipe.json"
        if name in self._described:
            return
        with self._asked():
            there = self.files.exists(self._object(name))
        if not there:
            self._put(name, (json.dumps(recipe.to_dict(), indent=2) + "\n").encode())
        self._described.add(name)

    def _stale_temporaries(self, sweep: bool) -> list[tuple[Path, str]]:
        return []  # stores that put at once have none; elsewhere it is not known whether a writer lives


def _open_store(url: str, shown: str) -> tuple[Any, str]:
    """(file system, path) of a URL"""
    try:
        from fsspec.core import url_to_fs
    except ImportError as cause:
        raise _no_package(shown) from cause
    try:
        files, path = url_to_fs(url)
    except ImportError as cause:  # of the package for this kind of store
        raise _no_package(shown) from cause
    except ValueError as cause:
        raise BadInput(
            f"{shown} is no kind of store that is known. Examples: s3://bucket/prefix, gs://bucket."
        ) from cause
    return files, str(path)


def _no_package(shown: str) -> MissingDependency:
    return MissingDependency(
        f'{shown} needs fsspec and the package of its store. Run: pip install "vidlang[cloud]" (s3fs for s3://; for '
        "others gcsfs, adlfs, …)"
    )


def _stamp(facts: dict[str, Any]) -> str:
    tags = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")
    tag = next((facts[name] for name in tags if facts.get(name)), "")
    return f"{facts.get('size', 0)}-{str(tag).strip(chr(34))}"
