"""Near-duplicates of rendered videos: edited copies whose every second is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vidlang.core.progress import Progress
from vidlang.demo.workers import make_files
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
    """Writes ``folder/<name>`` for each copy whose file is not there yet; see ``make_files``.

    originals: where the videos lie, by id
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {
        folder / copy.name: partial(
            apply, originals[copy.original], copy.edits, folder / copy.name, preset="ultrafast"
        )  # the same bytes each time
        for copy in copies
    }
    make_files(jobs, "edit copies", "copies", processes=processes, progress=progress)
    return list(jobs)
