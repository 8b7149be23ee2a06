"""What a command would do, for ``--dry-run``: one shape for all commands, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class PlannedItem:
    """One video, file or class that the command would take up."""

    name: str
    action: str
    """One word: extract, skip, delete, import, pack, train, write, fail."""
    detail: str = ""
    """What is known of it; for ``fail``, why."""


@dataclass(frozen=True)
class Plan:
    """What a command would do. Nothing was written; the checks of the real run were made."""

    command: str
    """Such as ``cache rm``."""
    summary: str
    """One line."""
    items: tuple[PlannedItem, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Numbers and names that programs want, ready for JSON; bytes are called ``…bytes``, times ``…seconds``."""

    @property
    def num_failed(self) -> int:
        """Items that the real run would fail on; the command then ends with exit code 1."""
        return sum(item.action == "fail" for item in self.items)

    def lines(self, most: int = 20) -> list[str]:
        """For people: the items, at most so many, then the summary."""
        lines = [f"{item.action}  {item.name}" + (f"  ({item.detail})" if item.detail else "") for item in self.items]
        if len(lines) > most:
            lines = [*lines[:most], f"... and {len(lines) - most} more (--json lists all)"]
        return [*lines, f"Dry run: {self.summary} Nothing was written."]

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "schema": "vidlang.plan/1",
            "command": self.command,
            "summary": self.summary,
            **({"facts": dict(self.facts)} if self.facts else {}),
            "items": [{"name": i.name, "action": i.action, "detail": i.detail} for i in self.items],
        }
