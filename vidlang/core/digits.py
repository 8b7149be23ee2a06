"""Numbers for people."""

from __future__ import annotations

FEWEST, MOST = 2, 6
"""Digits behind the point."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """``1 label``, ``3 labels``.

    plural: where it is not the noun with an s
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def share(value: float) -> str:
    """A number in [0, 1] with two digits, and with more where two would show it as the 0 or 1 that it is near.

    0.5 → 0.50    0.0021 → 0.002    0.99871 → 0.9987    0 → 0.00    1e-9 → 1e-09
    """
    room = min(abs(value), abs(1 - value))
    for digits in range(FEWEST, MOST + 1):
        text = f"{value:.{digits}f}"
        if abs(float(text) - value) <= room / 8:  # half of the last digit is an eighth of it at most
            return text
    return f"{value:.0e}" if value < 0.5 else f"1 - {room:.0e}"
