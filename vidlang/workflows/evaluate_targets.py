"""Where pictures and the page of a measurement go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidlang.core import BadInput
from vidlang.report.evaluation_page import Evaluation, evaluation_page
from vidlang.report.evaluation_plots import panel_picture, sheet_picture
from vidlang.store.atomic import write_bytes, write_text

PICTURES: dict[str, Literal["png", "pdf"]] = {".png": "png", ".pdf": "pdf"}
PAGES = (".html", ".htm")


@dataclass(frozen=True)
class PictureTargets:
    """What is drawn of a measurement; both may be None."""

    plot: Path | None = None
    """A ``.png`` or ``.pdf`` with all pictures on one sheet, or a folder for one PNG each."""
    report: Path | None = None
    """An HTML file."""

    def __post_init__(self) -> None:
        plot, report = self.plot, self.report
        if plot is not None and plot.suffix and plot.suffix.lower() not in PICTURES and not plot.is_dir():
            raise BadInput(f"--plot takes a file ending in {' or '.join(PICTURES)}, or a folder, got {plot}.")
        if plot is not None and plot.is_dir() and plot.suffix.lower() in PICTURES:
            raise BadInput(f"{plot} is a folder. Name a file in it, or a folder without an ending.")
        if plot is not None and not plot.suffix and plot.is_file():
            raise BadInput(f"{plot} is a file without an ending. Name one ending in .png or .pdf, or a folder.")
        if report is not None and (report.suffix.lower() not in PAGES or report.is_dir()):
            raise BadInput(f"--report takes a file ending in .html, got {report}.")

    def __bool__(self) -> bool:
        return self.plot is not None or self.report is not None

    def write(self, evaluation: Evaluation) -> tuple[Path, ...]:
        """Writes what is asked for; returns the files.

        Raises:
            BadInput: a plot is asked for and there is nothing to draw.
        """
        files: list[Path] = []
        if self.plot is not None:
            files += self._write_plot(self.plot, evaluation)
        if self.report is not None:
            write_text(self.report, evaluation_page(evaluation))
            files.append(self.report)
        return tuple(files)

    def _write_plot(self, plot: Path, evaluation: Evaluation) -> list[Path]:
        if not evaluation.panels:
            why = f": {evaluation.notes[0]}" if evaluation.notes else ""
            raise BadInput(f"There is nothing to draw in {plot}{why}.")
        kind = PICTURES.get(plot.suffix.lower())
        if kind is not None and not plot.is_dir():
            write_bytes(plot, sheet_picture(evaluation.panels, kind, evaluation.title))
            return [plot]
        files = []
        for panel in evaluation.panels:
            files.append(plot / f"{panel.key}.png")
            write_bytes(files[-1], panel_picture(panel))
        return files
