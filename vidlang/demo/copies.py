"""Near-duplicates of rendered videos: edited copies whose every second is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vidlang.core.progress import Progress
from vidlang.demo.workers import share_out
from vidlang.video.edits import BlackBars, Clip, Edit, Logo, Strength, apply, random_edits

STRENGTHS: tuple[Strength, ...] = ("mild", "strong")


@dataclass(frozen=True)
class Copy:
    """A copy to be made."""

    name: str
    """Of its file."""
    original: str
    """Id of the video that it is made from."""
    edits: tuple[Edit, ...]

    def says(self) -> str:
        """What is done to it, in words."""
        return ", ".join(edit.name for edit in self.edits)


def plan_copies(originals: Sequence[str], seconds: float, *, seed: int = 0) -> list[Copy]:
    """A mild and a strong copy of each video of ``seconds``: two to four edits, drawn by chance.

    originals: ids, told apart by their file names
    """
    copies = []
    for number, original in enumerate(originals):
        for strength in STRENGTHS:
            edits = random_edits((seed, number, STRENGTHS.index(strength)), seconds, strength=strength)
            copies.append(Copy(f"{Path(original).stem}_{strength}.mp4", original, edits))
    return copies


def plan_excerpt(original: str, start: float, end: float) -> Copy:
    """Some seconds of a long video, with a logo and black bars."""
    edits = (Clip(start, end), Logo("top-right", 0.15, 0.8, 1), BlackBars(0.12, "letterbox"))
    return Copy(f"{Path(original).stem}_excerpt.mp4", original, edits)


def render_copies(
    copies: Sequence[Copy],
    originals: Mapping[str, Path],
    folder: Path,
    *,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Writes ``folder/<name>`` for each copy. originals: where the videos lie, by id    processes: as `render_files`

    A file that is there already is left alone, so that an interrupted run goes on where it stopped.
    """
    paths = {folder / copy.name: copy for copy in copies}
    missing = {path: copy for path, copy in paths.items() if not path.exists()}
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        partial(apply, originals[copy.original], copy.edits, path, preset="ultrafast")  # the same bytes each time
        for path, copy in missing.items()
    ]
    with (progress or Progress()).task("edit copies", total=len(copies), unit="copies") as task:
        task.advance(len(paths) - len(missing))
        share_out(jobs, processes, task.advance)
    return list(paths)
