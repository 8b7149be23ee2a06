"""Stills of videos on demand: a few are made at a time, and the last ones asked for are kept in memory."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from vidlang.core import VidlangError

logger = logging.getLogger(__name__)

KEPT_BYTES = 64 << 20
NUM_WORKERS = 2
ASK_AGAIN = 30.0
"""Seconds after which a still that could not be made is tried again: its cause may be gone."""
MOST_WAITING = 256
"""Stills that wait to be made; whoever asks for more is told to ask later."""

Key = tuple[Path, float, float | None]


class RecentBytes:
    """The bytes used last, up to ``max_bytes`` of them."""

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, got {max_bytes}")
        self.max_bytes, self.num_bytes = max_bytes, 0
        self._kept: OrderedDict[Key, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> bytes | None:
        """What is kept, which makes it the last used."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Key, data: bytes) -> None:
        """Keeps it, and lets go of what was not used for longest. What alone is too large is not kept."""
        self.num_bytes -= len(self._kept.pop(key, b""))
        if len(data) > self.max_bytes:
            return
        self._kept[key] = data
        self.num_bytes += len(data)
        while self.num_bytes > self.max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.num_bytes -= len(oldest)


class Stills:
    """JPEG files of frames, made by ``make(path, seconds, frame_rate)`` in a few threads, none twice at a time."""

    def __init__(
        self,
        make: Callable[[Path, float, float | None], bytes],
        *,
        max_bytes: int = KEPT_BYTES,
        num_workers: int = NUM_WORKERS,
        max_waiting: int = MOST_WAITING,
        ask_again: float = ASK_AGAIN,
    ) -> None:
        self._make, self._max_waiting, self._ask_again = make, max_waiting, ask_again
        self._kept = RecentBytes(max_bytes)
        self._failed: dict[Key, float] = {}
        """When each may be tried again, soonest first."""
        self._coming: dict[Key, Future[bytes]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(num_workers, thread_name_prefix="vidlang-stills")

    def get(self, path: Path, seconds: float, frame_rate: float | None = None) -> bytes | None:
        """The still; empty where the video does not give one; None where too many wait, so that one asks again later.

        frame_rate: frames per second of a folder of frames

        Raises:
            RuntimeError: it is closed.
        """
        key = (path, round(seconds, 2), frame_rate)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                return kept
            if time.monotonic() < self._failed.get(key, 0.0):
                return b""
            coming = self._coming.get(key)
            if coming is None:
                if len(self._coming) >= self._max_waiting:
                    return None
                coming = self._coming[key] = self._pool.submit(self._made, key)
        return coming.result()

    def close(self) -> None:
        """What has not begun is never made."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _made(self, key: Key) -> bytes:
        data = b""
        try:
            data = self._make(*key)
        except (VidlangError, OSError, ValueError) as error:
            logger.info("no still of %s at %s s: %s", key[0], key[1], error)
        finally:
            with self._lock:
                del self._coming[key]
                if data:
                    self._kept.put(key, data)
                else:
                    self._remember_failed(key)
        return data

    def _remember_failed(self, key: Key) -> None:
        """And forgets those that may be tried again."""
        now = time.monotonic()
        self._failed.pop(key, None)
        while self._failed and next(iter(self._failed.values())) <= now:
            del self._failed[next(iter(self._failed))]
        self._failed[key] = now + self._ask_again
