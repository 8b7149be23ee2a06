"""One entry of the feature cache: the features of one video by one recipe, and what is known of them, in HDF5.

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

Its path below a cache is ``<encoder>/<sampling name>-<fingerprint>/<video id>.h5``, as ``feature_cache`` says.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import (
    DamagedEntry,
    FeatureKey,
    FeatureRecipe,
    Features,
    FileIdentity,
    MissingFeatures,
    VideoInfo,
)
from vidlang.store.names import safe_component, safe_path

# h5py takes a quarter of a second to import, so the functions that open files import it.

SCHEMA = 1
DATASETS = ("values", "frames", "seconds")
TEXTS = ("recipe", "video", "identity", "made_with", "warnings")
FILE = "file"


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


# -- where it lies ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def recipe_folder(recipe: FeatureRecipe) -> str:
    """Below the cache's root: ``clip-vit-b16/stride16-middle-0123456789``."""
    return f"{safe_component(recipe.encoder, folder=True)}/{recipe.sampling.name}-{recipe.fingerprint}"


def relative_path(key: FeatureKey) -> PurePosixPath:
    """Below the cache's root."""
    return PurePosixPath(f"{recipe_folder(key.recipe)}/{safe_path(key.video_id)}.h5")


# -- reading ---------------------------------------------------------------------------------------------------------


@contextmanager
def damage_of(path: Path) -> Iterator[None]:
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


@contextmanager
def opened(content: bytes, path: Path) -> Iterator[Any]:
    """The group of an entry's file that was read whole. path: where it lay, for messages"""
    import h5py

    with damage_of(path):
        file = h5py.File(io.BytesIO(content), "r")
    with file:
        yield file


def misplaced(path: Path, found: FeatureKey) -> DamagedEntry:
    return DamagedEntry(
        f"{path} holds the features of {found.video_id} by {found.recipe.name} ({found.recipe.fingerprint}), "
        "not of the video and recipe that its path names. Delete it and extract the video again."
    )


def missing(key: FeatureKey, root: Path) -> MissingFeatures:
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


def read_entry(group: Any, path: Path, *, with_size: bool = True) -> CacheEntry:
    from h5py import h5d

    with damage_of(path):
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


def read_features(group: Any, path: Path) -> Features:
    """Everything of an entry, checked. Raises DamagedEntry."""
    with damage_of(path):
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


def video_id_in(path: Path) -> str | None:
    """The id inside an entry's file; None when it cannot be read."""
    import h5py

    try:
        with damage_of(path), h5py.File(path, "r", locking=False) as file:
            return _video_of(_text(file, "video")).id
    except (DamagedEntry, OSError):
        return None


# -- writing ---------------------------------------------------------------------------------------------------------


def check_fits(features: Features) -> None:
    """Raises ValueError where the values are not stored as the recipe says, or the video is not the key's."""
    key, recipe = features.key, features.key.recipe
    if features.video.id != key.video_id:
        raise ValueError(f"the key names {key.video_id!r} but the features are of {features.video.id!r}")
    if features.values.dtype != np.dtype(recipe.dtype):
        raise ValueError(f"the recipe stores {recipe.dtype}, got values of {features.values.dtype} ({key.video_id})")
    num_crops = features.values.shape[0] if features.values.ndim == 3 else 1
    if num_crops != recipe.sampling.num_crops:
        raise ValueError(f"the recipe has {recipe.sampling.num_crops} crops, got {num_crops} ({key.video_id})")


def write_entry(
    path: Path,
    features: Features,
    identity: FileIdentity | None,
    made_with: Mapping[str, str],
    warnings: Sequence[str],
) -> None:
    """A file that is an entry. made_with: ``file`` is kept beside the others"""
    import h5py

    facts = dict(made_with)
    file = facts.pop(FILE, None)
    texts = {
        "recipe": features.key.recipe.to_dict(),
        "video": asdict(features.video),
        "identity": asdict(identity) if identity else None,
        "made_with": facts,
        "warnings": list(warnings),
    }
    header = {name: json.dumps(value) for name, value in texts.items()}
    arrays = {name: _little_endian(getattr(features, name)) for name in DATASETS}
    with h5py.File(path, "w", locking=False) as group:
        for name, array in arrays.items():
            group.create_dataset(name, data=array)
        group.attrs["schema"] = SCHEMA
        for name, text in header.items():
            group.attrs[name] = text
        if file is not None:
            group.attrs[FILE] = file.encode("utf-8", "replace").decode()  # bytes that are no UTF-8 are lost
        group.attrs["checksum"] = _checksum(arrays, header)


def write_copy(path: Path, entry: Any) -> None:
    """A file that is a copy of an entry's group."""
    import h5py

    with h5py.File(path, "w", locking=False) as file:
        copy_entry(entry, file)
        if FILE in entry.attrs:
            file.attrs[FILE] = entry.attrs[FILE]


def copy_entry(source: Any, target: Any) -> None:
    """From group to group, without ``file``."""
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
