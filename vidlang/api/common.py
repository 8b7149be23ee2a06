"""What the verbs take in several forms: paths, words, workspaces, and ways to say how far they are."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from vidlang.core import Progress, Task
from vidlang.store.workspace import Workspace, open_workspace

logger = logging.getLogger(__name__)

PathLike: TypeAlias = "str | os.PathLike[str]"
Paths: TypeAlias = "PathLike | Sequence[PathLike]"
"""One path or several: videos, folders, or patterns."""
WorkspaceLike: TypeAlias = "Workspace | PathLike | None"
"""A workspace, or its folder; None: ``$VIDLANG_WORKSPACE``, else ``.vidlang`` in the current folder."""
ProgressLike: TypeAlias = "Progress | Callable[[str, float, float | None], object] | bool"
"""True: bars on stderr; a function: called with what is done, how much of it, and of how much (None: unknown)."""


def place_of(workspace: WorkspaceLike) -> Workspace:
    """
    Raises:
        BadInput: the settings file of the workspace does not read.
    """
    if isinstance(workspace, Workspace):
        return workspace
    return open_workspace(None if workspace is None else Path(workspace))


def paths_of(paths: Paths | None) -> list[str | Path]:
    """One or several, as a list."""
    if paths is None:
        return []
    many = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    return [path if isinstance(path, str) else Path(path) for path in many]


def path_of(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def name_of(checkpoint: PathLike | None) -> str | None:
    """A name or a folder, as what looks for checkpoints takes it."""
    return None if checkpoint is None else str(checkpoint)


def progress_of(progress: ProgressLike) -> Progress:
    """What workflows tell how far they are."""
    if isinstance(progress, Progress):
        return progress
    if callable(progress):
        return _Called(progress)
    if not progress:
        return _Logged()
    from vidlang.cli.render import TerminalProgress

    return TerminalProgress()


class _Logged(Progress):
    """Silent; messages go to the log."""

    def message(self, text: str) -> None:
        logger.info("%s", text)


class _Called(_Logged):
    """Calls a function as the work goes on."""

    def __init__(self, function: Callable[[str, float, float | None], object]) -> None:
        self.function = function

    def task(self, description: str, total: float | None = None, unit: str = "") -> Task:
        return _CalledTask(self.function, description, total)


class _CalledTask(Task):
    def __init__(
        self, function: Callable[[str, float, float | None], object], description: str, total: float | None
    ) -> None:
        self.function, self.description, self.total = function, description, total
        self.done = 0.0
        function(description, 0.0, total)

    def advance(self, amount: float = 1) -> None:
        self.done += amount
        self.function(self.description, self.done, self.total)
