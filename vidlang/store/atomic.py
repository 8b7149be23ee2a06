"""Write beside, then rename: a reader finds the old file, the whole next one, or nothing; never half of one.

A temporary lies in the folder of its target, so that the rename stays on one file system, and is named
``.vidlang-<place>-<process>-<random>.tmp<suffix>``. ``place`` is a hash of the machine's name and of the process
namespace, ``process`` the writer's id: together they tell whether the writer can still be alive. A killed writer leaves
its temporary behind; ``is_stale`` recognises it, and ``FeatureCache.verify(sweep=True)`` removes it.

The content is flushed to the disk before the rename. The folder is not: after a power cut the last rename may be lost,
and then the old file, or none, is there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STALE_SECONDS = 3600.0
"""A temporary not touched for this long has lost its writer, wherever that ran."""

_TEMPORARY = re.compile(r"\.vidlang-(?P<place>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.tmp(\..*)?", re.DOTALL)


def write_bytes(path: Path, data: bytes) -> None:
    """The file holds exactly ``data``. Folders on the way are made."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """The file holds these arrays of numbers by name, uncompressed, as ``numpy.load`` reads them."""
    if any(array.dtype.hasobject for array in arrays.values()):
        raise ValueError("arrays must hold numbers or text, got Python objects")
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **dict(arrays))  # type: ignore[arg-type]


def write_text(path: Path, text: str) -> None:
    """The file holds ``text`` in UTF-8, line ends as given."""
    write_bytes(path, text.encode("utf-8"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path with the suffix of ``path`` beside it; at the end it becomes ``path``.

    If the body raises, or is interrupted, the temporary is removed and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name(path.suffix))
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_folder(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yields an empty temporary folder beside ``path``; at the end it becomes ``path``.

    A folder that is there already is moved aside first and removed afterwards, so between two renames ``path`` is
    absent for a moment, but never half written. Without ``replace`` that is a FileExistsError, also when another
    process made the folder in between.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name())
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        _rename_folder(temporary, path, replace)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def temporary_name(suffix: str = "") -> str:
    """A name that no other writer takes and that tells who writes."""
    return f".vidlang-{_place()}-{os.getpid()}-{secrets.token_hex(4)}.tmp{suffix}"


def is_temporary(path: Path) -> bool:
    """Whether the name is one that ``temporary_name`` gives."""
    return _TEMPORARY.fullmatch(path.name) is not None


def is_stale(path: Path) -> bool:
    """Whether a temporary's writer is gone: not alive on this machine, or silent for an hour on any machine."""
    match = _TEMPORARY.fullmatch(path.name)
    if match is None:
        return False
    if match["place"] == _place() and not _alive(int(match["process"])):
        return True
    try:
        return time.time() - path.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:  # its writer finished between the listing and this line
        return False


def _flush(path: Path) -> None:
    """Wait until the content lies on the disk."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename_folder(source: Path, target: Path, replace: bool) -> None:
    """``source`` becomes ``target``; a folder that lies there is replaced or, without ``replace``, stays."""
    if not replace or not target.exists():
        try:
            os.rename(source, target)
        except OSError as cause:  # which of several it is depends on the system
            # what stood there may be gone since, as a lock is that was released
            there = cause.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) or target.exists()
            raise FileExistsError(target) if there else cause from cause
        return
    aside = target.with_name(temporary_name())
    os.rename(target, aside)
    try:
        os.rename(source, target)
    except OSError:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


@cache
def _place() -> str:
    """Eight hex digits for this machine and process namespace: process ids mean something only inside it."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return hashlib.blake2b(f"{platform.node()}\0{namespace}".encode(), digest_size=4).hexdigest()


def _alive(process: int) -> bool:
    """Whether a process of this machine runs. Unknown counts as alive."""
    if sys.platform == "win32":  # os.kill(process, 0) would send Ctrl-C there
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
