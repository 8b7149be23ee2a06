"""Shares of a collection: which videos are whose, when many machines work on one collection.

The share of a video depends on its id alone, so machines that never talk agree on it, and videos that come later move
no other video. Shares are counted from 1: ``3/1000`` is the third of a thousand.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from vidlang.core.errors import BadInput

_FORM = re.compile(r"(\d{1,9})/(\d{1,9})")


def share_of(video_id: str, count: int) -> int:
    """Which of ``count`` shares a video belongs to, from 1 to ``count``.

    The first 8 bytes of BLAKE2b (``digest_size=8``) of the id in UTF-8, big-endian, modulo ``count``, plus 1.

    Raises:
        ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    digest = hashlib.blake2b(video_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count + 1


@dataclass(frozen=True)
class Share:
    """One of some disjoint shares of all videos."""

    number: int
    """From 1 to ``count``."""
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"number must lie between 1 and count, got {self.number} and {self.count}")

    @classmethod
    def parse(cls, text: str) -> Share:
        """``3/1000`` → ``Share(3, 1000)``.

        Raises:
            BadInput: another form, or a number that is no share.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise BadInput(f"A shard is written I/N with I from 1 to N, such as 3/8; got {text!r}.")
        return cls(int(found[1]), int(found[2]))

    def __contains__(self, video_id: str) -> bool:
        """Whether the video of this id is in this share."""
        return share_of(video_id, self.count) == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
