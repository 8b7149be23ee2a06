"""The folder of a demo: what was asked for, what is finished, and where its steps find one another's files.

``demo.json`` says what was asked for, ``steps/<name>.json`` what a finished step showed, so that an interrupted demo
goes on. Videos, labels and the workspace lie beside them; results have fixed folders under ``results/``.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vidlang import __version__
from vidlang.core import BadInput, Label, Progress
from vidlang.datasets.manifest import read_manifest
from vidlang.store.atomic import write_bytes, write_text
from vidlang.store.workspace import Settings, Workspace, write_settings
from vidlang.workflows.runs import runs_folder

FACTS, STEPS = "demo.json", "steps"
NAME = "demo"
"""Of all checkpoints."""
LEAST = 4
"""Videos of a class: three to train on and one to test on."""


@dataclass(frozen=True)
class DemoOptions:
    """What is rendered, and how long training takes."""

    seed: int = 0
    videos_per_class: int | None = None
    """None: 14, or 4 where quick. Normal videos are twice as many."""
    quick: bool = False
    """Fewer and shorter videos, few passes: every road runs, none gets good."""
    processes: int | None = 1
    """That draw videos at the same time; None: one for each core. With several, a script needs its
    ``if __name__ == "__main__"``."""

    def __post_init__(self) -> None:
        if self.videos_per_class is not None and self.videos_per_class < LEAST:
            raise BadInput(f"--videos-per-class must be at least {LEAST}, got {self.videos_per_class}.")

    @property
    def extent(self) -> Extent:
        """The numbers that these options stand for."""
        base = QUICK if self.quick else FULL
        return base if self.videos_per_class is None else replace(base, videos=self.videos_per_class)


@dataclass(frozen=True)
class Extent:
    """How much there is of everything."""

    videos: int
    """Of each kind of event."""
    seconds: float
    """Of a short video."""
    camera: float
    """Seconds of the camera's film."""
    size: tuple[int, int]
    """(height, width) in pixels of all."""
    queries: int
    """Test videos of each class that have edited copies."""
    vadclip: Mapping[str, Any]
    tca: Mapping[str, Any]
    wtal: Mapping[str, Any]
    """What trainings do otherwise than by default."""
    sources: int
    """Training videos of each class, at most, that TCA learns from."""
    copies: int
    """Edited copies of each of them."""


FULL = Extent(
    videos=14, seconds=8.0, camera=60.0, size=(144, 192), queries=2, vadclip={}, tca={"epochs": 4},
    wtal={"cbp_width": 64, "warmup_min_steps": 200, "warmup_passes": 40, "rounds": 1, "phase_passes": 10,
          "phase_min_steps": 40},
    sources=6, copies=2,
)  # fmt: skip
QUICK = Extent(
    videos=4, seconds=3.2, camera=24.0, size=(96, 128), queries=1, vadclip={"epochs": 2},
    tca={"epochs": 1, "min_batches": 4},
    wtal={"cbp_width": 64, "warmup_min_steps": 40, "warmup_passes": 10, "rounds": 1, "phase_passes": 2,
          "phase_min_steps": 10},
    sources=3, copies=2,
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Numbers side by side; None where there is none."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    @classmethod
    def of(cls, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
        """Numbers become plain ones; what is not a number becomes None."""
        return cls(title, tuple(columns), tuple(tuple(map(_plain, row)) for row in rows))


@dataclass(frozen=True)
class Picture:
    """A picture of the demo's folder, and what it shows in words."""

    file: str
    says: str


@dataclass(frozen=True)
class Step:
    """What one part of the demo did."""

    title: str
    commands: tuple[str, ...] = ()
    """What a user types inside the folder."""
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    cpu_seconds: float = 0.0
    earlier: bool = field(default=False, compare=False)
    """It was finished by an earlier run."""


@dataclass(frozen=True)
class Demo:
    """The folder, as steps see it."""

    out: Path
    options: DemoOptions
    workspace: Workspace
    progress: Progress

    @property
    def extent(self) -> Extent:
        return self.options.extent

    @property
    def videos(self) -> Path:
        return self.out / "videos"

    @property
    def manifest(self) -> Path:
        return self.out / "labels.csv"

    @property
    def camera(self) -> Path:
        """A long film with every kind of event; its truth is ``camera.csv``."""
        return self.out / "camera.mp4"

    @property
    def copies(self) -> Path:
        """Edited copies; what they are copies of is ``pairs.csv``."""
        return self.out / "copies"

    @property
    def pairs(self) -> Path:
        return self.out / "pairs.csv"

    def results(self, name: str) -> Path:
        return self.out / "results" / name

    def labels(self, split: str | None = None) -> list[Label]:
        """The truth about the short videos."""
        labels = read_manifest(self.manifest)
        return labels if split is None else [label for label in labels if label.split == split]

    def camera_truth(self) -> Label:
        """The truth about the camera's film."""
        return read_manifest(self.camera.with_suffix(".csv"))[0]

    def picture(self, path: Path, says: str, data: bytes | None = None) -> Picture:
        """A picture of the step, written first where its bytes are given."""
        if data is not None:
            write_bytes(path, data)
        return Picture(path.relative_to(self.out).as_posix(), says)

    def goes_on(self, method: str) -> bool:
        """Whether a training has begun, so that it is resumed."""
        run = runs_folder(self.workspace, method) / NAME
        if run.is_dir() and not (run / "run.json").is_file():  # killed before it wrote a word
            shutil.rmtree(run)
        return run.is_dir()

    def finished(self, name: str) -> Step | None:
        """What an earlier run kept of a step; None where it has to be done."""
        try:
            kept = json.loads((self.out / STEPS / f"{name}.json").read_text(encoding="utf-8"))
            step = _step(kept)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return step if all((self.out / picture.file).is_file() for picture in step.pictures) else None

    def keep(self, name: str, step: Step) -> None:
        """A finished step."""
        fields = {key: value for key, value in asdict(step).items() if key != "earlier"}
        write_text(self.out / STEPS / f"{name}.json", json.dumps(fields, indent=1, allow_nan=False) + "\n")


def open_demo(out: Path, options: DemoOptions, progress: Progress) -> Demo:
    """The folder, made or gone on with.

    Raises:
        BadInput: ``out`` holds something else, or a demo that was asked for in another way.
    """
    demo = look_at_demo(out, options, progress)
    if not (out / FACTS).is_file():
        write_text(out / FACTS, json.dumps(_facts(options), indent=1) + "\n")
    write_settings(demo.workspace, demo.workspace.settings)
    return demo


def look_at_demo(out: Path, options: DemoOptions, progress: Progress) -> Demo:
    """The folder as it is or would be; nothing is written.

    Raises:
        BadInput: as ``open_demo``.
    """
    if (out / FACTS).is_file():
        _check(_read(out / FACTS), _facts(options), out)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} holds other files. Give an empty or new folder with --out.")
    return Demo(out, options, Workspace(out / ".vidlang", Settings(encoder="mini")), progress)


def _facts(options: DemoOptions) -> dict[str, Any]:
    """What a demo was asked for."""
    return {
        "schema": "vidlang.demo/1",
        "vidlang": __version__,
        "--seed": options.seed,
        "--quick": options.quick,
        "--videos-per-class": options.extent.videos,
    }


def _read(file: Path) -> Mapping[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{file} does not read ({error}). Remove its folder, or give another --out.") from error


def _check(before: Mapping[str, Any], facts: Mapping[str, Any], out: Path) -> None:
    changed = next((key for key, value in facts.items() if before.get(key) != value), None)
    if changed is not None:
        raise BadInput(
            f"{out} holds a demo with {changed} {before.get(changed)}, and {facts[changed]} is asked for. Go on "
            "with the same options, or give another folder with --out."
        )


def _step(kept: Mapping[str, Any]) -> Step:
    return Step(
        title=kept["title"],
        commands=tuple(kept["commands"]),
        lines=tuple(kept["lines"]),
        tables=tuple(Table.of(t["title"], t["columns"], t["rows"]) for t in kept["tables"]),
        pictures=tuple(Picture(**picture) for picture in kept["pictures"]),
        cpu_seconds=float(kept["cpu_seconds"]),
        earlier=True,
    )


def _plain(value: object) -> object:
    if value is None or isinstance(value, (str, int)):
        return value
    number = float(value)  # type: ignore[arg-type]
    return number if math.isfinite(number) else None
