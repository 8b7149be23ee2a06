"""How answers look: tables on a terminal, JSON for programs, progress on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from vidlang.core.progress import Progress, Task

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichBars

    from vidlang.core import Outcome
    from vidlang.workflows.plan import Plan


def stdout() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


def plain(text: str) -> str:
    """Control characters, which a file name may hold, as escapes: ``ESC [2J`` is shown and clears no screen."""
    return text.translate(_ESCAPES)


def speaks() -> bool:
    """Whether this process answers. Of those that ``torchrun`` starts together the first one does."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """One line of an answer on stdout."""
    stdout().print(plain(text), markup=False)


def warn(text: str) -> None:
    """One line on stderr."""
    stderr().print(plain(text), markup=False)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON document on stdout. It says which schema it follows (``vidlang schema``).

    Raises:
        ValueError: it does not.
    """
    if not str(value.get("schema", "")).startswith("vidlang."):
        raise ValueError(f"an answer must have a schema of core/schemas, got {value.get('schema')!r}")
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_plan(plan: Plan, *, json: bool, quiet: bool) -> None:
    """What ``--dry-run`` answers. Exit code 1 where the real run would fail on something.

    Raises:
        typer.Exit: something would fail.
    """
    import typer

    if json:
        print_json(plan.to_dict())
    elif not quiet:
        for line in plan.lines():
            say(line)
    if plan.num_failed:
        if quiet or json:
            for item in plan.items:
                if item.action == "fail":
                    warn(f"failed: {item.name}: {item.detail}")
        raise typer.Exit(1)


def say_notes(notes: Iterable[str], quiet: bool = False) -> None:
    """What must be said with an answer, on stderr."""
    for note in () if quiet else notes:
        warn(f"Note: {note}")


class Batch(Protocol):
    """A report of several videos, some of which may have failed."""

    @property
    def outcomes(self) -> Sequence[Outcome]: ...
    @property
    def num_failed(self) -> int: ...


def end_if_failed(report: Batch, quiet: bool, rest: str = "", *, what: str = "videos") -> None:
    """Says how many failed; where nothing was said of them while the work went on, which and why.

    rest: what became of the others

    Raises:
        typer.Exit: with 1, if any failed.
    """
    import typer

    if not report.num_failed:
        return
    for outcome in report.outcomes if quiet else ():
        if outcome.error is not None:
            warn(f"failed: {outcome.error}")
    others = f"; the others are {rest}" if rest else ""
    warn(f"{report.num_failed} of {len(report.outcomes)} {what} failed{others}.")
    raise typer.Exit(1)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None, *, digits: int = 4
) -> None:
    """A table whose numbers are right-aligned. File names are shown as they are, never read as markup.

    digits: behind the point
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], (int, float)) or row[index] is None for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(format_cell(value, digits)) for value in row))
    stdout().print(table)


def format_cell(value: object, digits: int = 4) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return plain(str(value)).replace("\n", "\\n")


def clock(seconds: float) -> str:
    """``75.25`` → ``1:15.2``, ``3723.0`` → ``1:02:03``."""
    tenths = int(seconds * 10)
    hours, minutes, rest = tenths // 36000, tenths // 600 % 60, tenths % 600 / 10
    return f"{hours}:{minutes:02d}:{int(rest):02d}" if hours else f"{minutes}:{rest:04.1f}"


def size(num_bytes: float) -> str:
    """``1536`` → ``1.5 kB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000 or unit == "GB":
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    raise AssertionError("unreachable")


class TerminalProgress(Progress):
    """Bars on stderr while it is a terminal, lines where it is not."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = stderr()
        self.current: _BarTask | None = None

    def task(self, description: str, total: float | None = None, unit: str = "") -> Task:
        if self.quiet or not self.console.is_terminal:
            return Task()
        self.current = _BarTask(self.console, description, total, unit)
        return self.current

    def message(self, text: str) -> None:
        if self.quiet:
            return
        console = self.current.bars.console if self.current is not None and self.current.running else self.console
        console.print(plain(text), markup=False)


class _BarTask(Task):
    def __init__(self, console: Console, description: str, total: float | None, unit: str) -> None:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichBars

        self.unit = unit
        self.total = total
        self.bars: RichBars = RichBars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[left]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[facts]}"),
            console=console,
            transient=False,
        )
        self.row = self.bars.add_task(description, total=total, left="", facts="")
        self.running = False
        self._show_left(0.0)

    def _show_left(self, done: float) -> None:
        if self.total is not None:
            plural = "" if self.total == 1 else "s"
            self.bars.update(self.row, left=f"{int(done + 1e-6)}/{self.total:g} {self.unit}{plural}".rstrip())

    def advance(self, amount: float = 1) -> None:
        self.bars.advance(self.row, amount)
        self._show_left(self.bars.tasks[self.row].completed)

    def note(self, **facts: Any) -> None:
        text = "  ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in facts.items())
        self.bars.update(self.row, facts=text)

    def __enter__(self) -> Task:
        self.bars.start()
        self.running = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.running = False
        self.bars.stop()


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def configure_logging(verbose: bool) -> None:
    """Logs of the rooms go to stderr; only warnings unless asked for more."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.ERROR,
        format="%(levelname)s %(name)s: %(message)s",
    )
