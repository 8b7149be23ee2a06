"""Shards of a cache, made by several machines, come together in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidlang.core import Progress
from vidlang.store.merge import Merged, merge
from vidlang.store.object_cache import open_any_cache
from vidlang.store.workspace import Workspace
from vidlang.workflows.plan import Plan, PlannedItem
from vidlang.workflows.workspace import open_cache


@dataclass(frozen=True)
class MergeReport:
    """What became of every entry of the sources."""

    target: str
    entries: tuple[Merged, ...]

    def count(self, status: str) -> int:
        return sum(entry.status == status for entry in self.entries)

    @property
    def refused(self) -> list[Merged]:
        return [entry for entry in self.entries if entry.status in ("differs", "damaged")]

    @property
    def problems(self) -> list[str]:
        """One line for each entry that was not taken."""
        return [f"refused: {entry.detail}" for entry in self.refused]

    def line(self) -> str:
        return (
            f"{self.count('copied')} entries copied into {self.target}, {self.count('equal')} were there already, "
            f"{len(self.refused)} refused."
        )

    def plan(self) -> Plan:
        """For ``--dry-run``."""
        actions = {"copied": "copy", "equal": "skip", "differs": "fail", "damaged": "fail"}
        summary = (
            f"{self.count('copied')} entries would be copied into {self.target}, {self.count('equal')} are there "
            f"already, {len(self.refused)} would be refused."
        )
        return Plan(
            "cache merge",
            summary,
            tuple(PlannedItem(entry.video_id, actions[entry.status], entry.detail) for entry in self.entries),
            {"copied": self.count("copied"), "equal": self.count("equal"), "refused": len(self.refused)},
        )

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "schema": "vidlang.cache.merge/1",
            "copied": self.count("copied"),
            "equal": self.count("equal"),
            "refused": [
                {
                    "video": entry.video_id,
                    "recipe": entry.fingerprint,
                    "source": entry.source,
                    "status": entry.status,
                    "detail": entry.detail,
                }
                for entry in self.refused
            ],
        }


def merge_caches(
    workspace: Workspace, sources: Sequence[str], into: str | None, progress: Progress, *, dry_run: bool = False
) -> MergeReport:
    """Brings the caches at ``sources`` into the one at ``into``, or that of the workspace.

    Raises:
        BadInput: a source without entries, or a target that cannot be written.
    """
    target = open_cache(workspace, into)
    found = tuple(merge([open_any_cache(source) for source in sources], target, progress, dry_run=dry_run))
    return MergeReport(str(target.root), found)
