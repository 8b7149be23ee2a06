"""What people give in a form of their own: words separated by commas, sizes in megabytes."""

from __future__ import annotations

from collections.abc import Iterable


def words_of(words: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """``"fire, fighting"`` or ``["fire", "fighting"]``; None stays None."""
    if words is None:
        return None
    parts = words.split(",") if isinstance(words, str) else words
    return tuple(part.strip() for part in parts if part.strip())


def bytes_of(megabytes: int | None) -> int | None:
    """None, which leaves it to the system, stays None."""
    return None if megabytes is None else megabytes * 1_000_000
