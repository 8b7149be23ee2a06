"""Say how far you are. Silent by default; the terminal hands in one that draws."""

from __future__ import annotations

from types import TracebackType


class Task:
    """One piece of long work. ``advance`` counts units; ``note`` adds short facts beside the bar."""

    def advance(self, amount: float = 1) -> None:
        """Done so much more."""

    def note(self, **facts: object) -> None:
        """Facts to show, such as ``frames_per_second=812``."""

    def __enter__(self) -> Task:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The work ended, well or not."""


class Progress:
    """Hands out tasks; this one shows nothing."""

    def task(self, description: str, total: float | None = None, unit: str = "") -> Task:
        """A task of ``total`` units (None: unknown), used as a context manager."""
        return Task()

    def message(self, text: str) -> None:
        """One line that people should see while the work goes on, such as a warning."""
