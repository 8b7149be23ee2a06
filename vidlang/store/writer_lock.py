"""One writer at a time: a lock that names its holder and that a dead holder does not keep.

A lock is a folder with one file, ``holder.json``: ``place`` and ``process`` as in the names of temporaries
(``atomic``), ``started`` (when the process began, in the kernel's ticks, or null where the system does not tell),
``machine``, ``since`` (ISO 8601, UTC) and ``token`` (16 hex digits). It is made beside and renamed, which fails where
a lock is already, so it is never seen half written.

A lock is taken over when its process runs no more on this machine, or, wherever that was, has not touched
``holder.json`` for an hour.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vidlang.core import BadInput
from vidlang.store.atomic import STALE_SECONDS, _alive, _place, replacing_folder, temporary_name

HOLDER = "holder.json"
TOUCH_SECONDS = 60.0


class BeingWritten(BadInput):
    """Another living process holds the right to write."""


class WriterLock:
    """A lock that is held. ``touch`` shows that its holder works, ``check`` that it holds still."""

    def __init__(self, path: Path, token: str, what: str) -> None:
        self.path, self._token, self._what = path, token, what
        self._touched = time.monotonic()

    def touch(self) -> None:
        """Cheap enough for every step of long work."""
        if time.monotonic() - self._touched > TOUCH_SECONDS:
            self._touched = time.monotonic()
            with suppress(OSError):
                os.utime(self.path / HOLDER)

    def check(self) -> None:
        """Raises BadInput when another process took the lock, as it may after an hour without a sign of life."""
        if _read(self.path).get("token") != self._token:
            raise BadInput(f"Another process took {self._what} over while this one slept. Run the command again.")

    def release(self) -> None:
        """Gives the lock back, unless another process has it."""
        if _read(self.path).get("token") == self._token:
            _take_away(self.path, self._token)


@contextmanager
def writer_lock(path: Path, what: str) -> Iterator[WriterLock]:
    """Holds the lock at ``path`` for the body.

    what: what it guards, for messages, such as ``the index .vidlang/index``

    Raises:
        BeingWritten: a living process holds it; names the process, its machine and since when.
    """
    lock = _acquire(Path(path), what)
    try:
        yield lock
    finally:
        lock.release()


def _acquire(path: Path, what: str) -> WriterLock:
    token = secrets.token_hex(8)
    facts = {
        "place": _place(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
        "machine": platform.node(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "token": token,
    }
    for _ in range(10):
        try:
            with replacing_folder(path, replace=False) as temporary:
                (temporary / HOLDER).write_text(json.dumps(facts) + "\n", encoding="utf-8")
            return WriterLock(path, token, what)
        except FileExistsError:
            holder = _read(path)
            if not _is_stale(path, holder):
                raise _held(path, what, holder) from None
            _take_away(path, holder.get("token"))
    raise _held(path, what, _read(path))


def _held(path: Path, what: str, holder: Mapping[str, Any]) -> BeingWritten:
    who = f"process {holder.get('process', '?')} on {holder.get('machine', '?')} since {holder.get('since', '?')}"
    return BeingWritten(f"{what} is being written by {who}. Wait until it ends, or, if it is gone, delete {path}")


def _read(path: Path) -> dict[str, Any]:
    """Empty when there is none or it does not read."""
    try:
        facts = json.loads((path / HOLDER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _is_stale(path: Path, holder: Mapping[str, Any]) -> bool:
    process = holder.get("process")
    asked_here = holder.get("place") == _place() and sys.platform != "win32"  # there ``_alive`` cannot tell
    if asked_here and isinstance(process, int):
        return not _alive(process) or holder.get("started") != _started(process)
    try:
        return time.time() - (path / HOLDER).stat().st_mtime > STALE_SECONDS
    except OSError:  # released meanwhile
        return not path.exists()


def _take_away(path: Path, token: object) -> None:
    """Removes the lock with this token. It is moved first, so that of several who try only one gets it."""
    aside = path.with_name(temporary_name())
    try:
        os.rename(path, aside)
    except OSError:  # somebody else was quicker
        return
    if _read(aside).get("token") != token:  # it changed hands between the look and the rename
        with suppress(OSError):
            os.rename(aside, path)
            return
    shutil.rmtree(aside, ignore_errors=True)


def _started(process: int) -> int | None:
    """When a process began: ids are given again, and this tells a namesake apart."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])  # field 22 of proc(5), counted behind the name
    except (OSError, ValueError, IndexError):
        return None
