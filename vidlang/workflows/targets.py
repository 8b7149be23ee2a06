"""Where results go, and which files can be written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from vidlang.core import BadInput
from vidlang.store.names import safe_component
from vidlang.store.workspace import Workspace


def results_folder(workspace: Workspace, verb: str) -> Path:
    """Where results go that nobody named a place for."""
    return workspace.results_dir / verb / datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S-%f")


def file_of(folder: Path, video_id: str, ending: str) -> Path:
    """The file of one video in a folder of results: ``fight/x.mp4`` → ``fight__x.mp4.png``."""
    return folder / (safe_component(video_id.replace("/", "__")) + ending)


def check_target(target: Path, sources: Sequence[Path], endings: Sequence[str]) -> None:
    """Raises BadInput where a file cannot be written, or would replace what it is made from."""
    if target.suffix.lower() not in endings:
        ending = f"the ending {target.suffix!r}" if target.suffix else "no ending"
        raise BadInput(f"{target} has {ending}; what can be written is {', '.join(endings)}.")
    if target.is_dir():
        raise BadInput(f"{target} is a folder. Name a file in it.")
    for source in sources:
        if target.resolve() == source.resolve():
            raise BadInput(f"{target} is the video itself and would be replaced. Choose another name with -o.")
        if source.is_dir() and target.resolve().parent == source.resolve():
            raise BadInput(f"{target} would lie among the frames of the video {source}. Choose another place with -o.")
