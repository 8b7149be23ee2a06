"""Presentation seconds from what a stream says about time, which may be missing, repeated, or run backwards."""

from __future__ import annotations

from fractions import Fraction

BACKWARDS = 1.0
"""Seconds. A step back of less is a repeated or swapped stamp; a step back of more means that the clock began again."""


class Clock:
    """Stamps in, seconds out: zero at the first frame and never falling.

    A missing stamp counts on by the average frame rate. A stamp slightly before the last one is held at the last one.
    A clock that began again (recordings joined end to end) goes on where it was.
    """

    def __init__(self, time_base: Fraction, frame_rate: float) -> None:
        self._numerator, self._denominator = time_base.numerator, time_base.denominator
        self._spacing = 1.0 / frame_rate if frame_rate > 0 else 0.0
        self._zero: int | None = None
        self._shift = 0.0
        self._last: float | None = None

    def seconds(self, stamp: int | None) -> float:
        """The start of the next frame."""
        self._last = self._counted() if stamp is None else self._from_stamp(stamp)
        return self._last

    def _counted(self) -> float:
        return 0.0 if self._last is None else self._last + self._spacing

    def _from_stamp(self, stamp: int) -> float:
        if self._zero is None:
            # Frames without a stamp may have come before: the clock reads on from them.
            self._zero = stamp
            self._shift = self._counted()
        now = (stamp - self._zero) * self._numerator / self._denominator + self._shift
        if self._last is None or now >= self._last:
            return now
        if self._last - now > BACKWARDS:
            self._shift += self._last + self._spacing - now
            return self._last + self._spacing
        return self._last
