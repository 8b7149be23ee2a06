"""The folder of one training: what was asked for, its log, and the state to go on from.

``results/train/<method>/<name>/`` holds ``run.json`` (what was asked for, and whether it is finished), ``log.jsonl``
(one line per epoch), ``state/`` (all that going on needs), ``last/`` (the last epoch as a checkpoint), ``curves.png``
(the log as a picture), and what the method adds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vidlang.core import BadInput, Progress
from vidlang.report.training_curves import Best, CurvePanel, curves_png
from vidlang.store.atomic import write_bytes, write_text
from vidlang.store.checkpoints import (
    STATE,
    Checkpoint,
    check_name,
    load_train_state,
    save_checkpoint,
    save_train_state,
)
from vidlang.store.workspace import Workspace

if TYPE_CHECKING:
    from vidlang.nn.distributed import Group
    from vidlang.nn.fit import TrainState

T = TypeVar("T")
USUAL_MEMORY = 8 << 30
"""Bytes of a machine that does not tell how many it has."""


@contextmanager
def processes(device: str, progress: Progress | None) -> Iterator[tuple[Group, str, Progress]]:
    """Inside, the processes that ``torchrun`` started belong together; started alone, this one is alone.

    device: as it was asked for    yields: the group, where this process computes, and whom it tells how far it is: the
    first process speaks, the others are silent

    Raises:
        BadInput: no such device, or the processes do not find each other.
    """
    from vidlang.nn.distributed import own_device, process_group

    own = own_device(device)
    with process_group(own) as group:
        yield group, str(own), progress if progress is not None and group.rank == 0 else Progress()


def memory_for_rows(asked: int | None) -> int:
    """Bytes of features that each process of a training may hold: what was asked for, else a 16th of the machine's.

    The order of features that are more depends on it, so it does not depend on the number of processes.
    """
    if asked is not None:
        return asked
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # another system
        total = USUAL_MEMORY
    return total // 16


@dataclass(frozen=True)
class Again(Iterable[T], Generic[T]):
    """Items that are made anew each time somebody goes through them."""

    make: Callable[[], Iterator[T]]

    def __iter__(self) -> Iterator[T]:
        return self.make()


def runs_folder(workspace: Workspace, method: str) -> Path:
    """Where the runs of a method lie."""
    return workspace.results_dir / "train" / method


def choose_name(workspace: Workspace, method: str, name: str | None, resume: bool) -> str:
    """The name of a run to start, or of the one to go on with: the named, else the newest unfinished.

    Raises:
        BadInput: the name is taken, or there is nothing to resume.
    """
    folder = runs_folder(workspace, method)
    if name is not None:
        check_name(name)
    if not resume:
        name = name or datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S-%f")
        if (folder / name).exists():
            raise BadInput(f"There is a run called {name!r} already. Choose another --name, or --resume it.")
        return name
    if name is not None:
        if not (folder / name / "run.json").is_file():
            raise BadInput(f"There is no run called {name!r} to resume in {folder}.")
        return name
    unfinished = sorted(path.parent.name for path in folder.glob("*/run.json") if _is_unfinished(path))
    if not unfinished:
        raise BadInput(f"There is no unfinished run in {folder}. Start one without --resume.")
    return unfinished[-1]


def _is_unfinished(file: Path) -> bool:
    try:
        return not _read(file).get("finished", False)
    except BadInput:  # nothing can go on from it
        return False


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{file} does not read ({error}), so the run cannot be resumed. Start a new run.") from error


@dataclass(frozen=True)
class RunFolder:
    """One run on the disk."""

    path: Path
    facts: Mapping[str, Any]
    """What was asked for, ready for JSON. A resumed run must be asked for in the same way."""

    def open(self, *, resume: bool) -> TrainState | None:
        """Makes the folder; returns the state to go on from where the run is resumed and had one.

        Raises:
            BadInput: the run was started in another way.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / "run.json"
        if resume and file.is_file():
            before = _read(file)
            changed = [key for key, value in self._plain().items() if before.get(key) != value]
            if changed:
                raise BadInput(
                    f"The run {self.path.name} was started with another {', '.join(changed)}. Resume it with the same "
                    "options and cache, or start a new run."
                )
        self._write(finished=False)
        if not resume or not (self.path / "state" / STATE).is_file():  # it ended in its first epoch
            return None
        from vidlang.nn.fit import TrainState

        return TrainState.from_parts(*load_train_state(self.path / "state"))

    def keep(self, state: TrainState) -> None:
        """After an epoch: the state and the log so far."""
        save_train_state(self.path / "state", state.tensors(), state.numbers())
        self.write_log(state.history)

    def write_log(self, history: Sequence[Mapping[str, float]]) -> None:
        lines = [json.dumps({"schema": "vidlang.train.log/1", **row}) for row in history]
        write_text(self.path / "log.jsonl", "\n".join(lines) + "\n")

    def keep_last(
        self, last: Checkpoint, history: Sequence[Mapping[str, float]], panels: Sequence[CurvePanel], best: Best
    ) -> None:
        """After the last epoch: its weights, and the log as a picture."""
        save_checkpoint(self.path / "last", last)
        picture = curves_png(history, panels, best=best, title=f"{last.method} {self.path.name}")
        write_bytes(self.path / "curves.png", picture)

    def finish(self) -> None:
        """When what is to be kept is kept: nothing is left to resume."""
        self._write(finished=True)

    def _plain(self) -> dict[str, Any]:
        """The facts as JSON gives them back."""
        plain: dict[str, Any] = json.loads(json.dumps(dict(self.facts)))
        return plain

    def _write(self, *, finished: bool) -> None:
        run = {"schema": "vidlang.train.run/1", "finished": finished, **self.facts}
        write_text(self.path / "run.json", json.dumps(run, indent=1) + "\n")
