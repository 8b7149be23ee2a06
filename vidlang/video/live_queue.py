"""What was read of a stream and waits to be decoded, bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vidlang.video.colour import RgbConverter
from vidlang.video.container import StreamFacts
from vidlang.video.live_events import Ended, Gap, Opened, Skipped, Waiting

MOST_BYTES = 64 << 20
"""Bytes of packets that wait to be decoded, at most."""
MOST_PACKETS = 4096
"""How many of them, at most."""


@dataclass(eq=False)
class Session:
    """One opening of the source, from the first packet to the last."""

    stream: Any
    close: Callable[[], None]
    opened: Opened
    container: str
    continues: bool
    """Goes on where the one before ended: the next file of a folder."""
    facts: StreamFacts | None = None
    convert: RgbConverter | None = None


@dataclass(frozen=True, eq=False)
class Packet:
    """A packet of the chosen stream and when it came."""

    packet: Any
    key: bool
    bytes: int
    arrived: float
    """Seconds since the epoch."""
    moment: float
    """``time.monotonic``"""


@dataclass(frozen=True, eq=False)
class Close:
    """A session has no more packets."""

    session: Session
    reason: str
    ends: bool
    """Nothing comes after it."""


Item = Session | Packet | Close | Gap | Waiting | Skipped | Ended


class PacketQueue:
    """What waits to be decoded: bounded in packets and bytes, and where packets may be dropped in seconds too."""

    def __init__(self, longest: float | None) -> None:
        self._longest = longest
        """Seconds that packets may wait; None: their sender waits."""
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._num_dropping = 0
        self.num_bytes = self.num_packets = 0
        self.most_bytes = self.most_packets = 0
        """The most that ever waited."""
        self.stopped = False

    def put(self, item: Item) -> None:
        """Waits while it is full, or drops."""
        with self._changed:
            if isinstance(item, Packet):
                if self._longest is None:
                    self._changed.wait_for(lambda: self.stopped or not self._is_full())
                elif not self._may_enter(item):
                    return
                self.num_packets, self.num_bytes = self.num_packets + 1, self.num_bytes + item.bytes
                self.most_bytes = max(self.most_bytes, self.num_bytes)
                self.most_packets = max(self.most_packets, self.num_packets)
            else:
                self._settle()
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout: float) -> Item | None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._items, timeout):
                return None
            item = self._items.popleft()
            if isinstance(item, Packet):
                self.num_packets, self.num_bytes = self.num_packets - 1, self.num_bytes - item.bytes
                self._changed.notify_all()
            return item

    def stop(self) -> None:
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def _is_full(self) -> bool:
        return self.num_packets >= MOST_PACKETS or self.num_bytes >= MOST_BYTES

    def _may_enter(self, packet: Packet) -> bool:
        """False for what is dropped: all packets that wait once they are too many, and then all up to a key frame."""
        oldest = next((item for item in self._items if isinstance(item, Packet)), None)
        assert self._longest is not None
        if self._is_full() or (oldest is not None and packet.moment - oldest.moment > self._longest):
            kept = [item for item in self._items if not isinstance(item, Packet)]
            self._num_dropping += len(self._items) - len(kept)
            self._items, self.num_packets, self.num_bytes = deque(kept), 0, 0
        if self._num_dropping and not packet.key:
            self._num_dropping += 1
            return False
        self._settle()
        return True

    def _settle(self) -> None:
        if self._num_dropping:
            self._items.append(Gap("dropped", "behind", self._num_dropping))
            self._num_dropping = 0
