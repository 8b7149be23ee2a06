"""Time of a stream: seconds that go on evenly, and packets of a file as fast as it plays."""

from __future__ import annotations

import time

from vidlang.video.clock import Clock
from vidlang.video.container import StreamFacts

JUMP = 10.0
"""Seconds. A stamp further ahead, without that much time having passed, means that a camera's clock was set."""


class LiveClock:
    """Seconds of one session, put behind what came before; a camera's clock that jumps ahead is held."""

    def __init__(self, facts: StreamFacts, offset: float, *, is_live: bool) -> None:
        self._clock = Clock(facts.time_base, facts.frame_rate)
        self._offset, self._is_live = offset, is_live
        self._spacing = 1 / facts.frame_rate if facts.frame_rate > 0 else 0.0
        self._last: tuple[float, float] | None = None

    def seconds(self, stamp: int | None, moment: float) -> float:
        now = self._clock.seconds(stamp) + self._offset
        if self._last is not None and self._is_live:
            ahead, passed = now - self._last[0], moment - self._last[1]
            if ahead > JUMP and passed < ahead / 2:
                self._offset -= ahead - self._spacing
                now = self._last[0] + self._spacing
        self._last = (now, moment)
        return now


class Pace:
    """As fast as it plays."""

    def __init__(self) -> None:
        self._zero: tuple[float, float] | None = None

    def wait(self, stamp: float) -> float:
        """Seconds to wait until a packet is due."""
        now = time.monotonic()
        if self._zero is None:
            self._zero = (stamp, now)
        return max(0.0, (stamp - self._zero[0]) - (now - self._zero[1]))
