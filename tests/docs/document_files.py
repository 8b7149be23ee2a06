"""What the commands of the documents find: small rendered videos under the names that the texts use."""

from __future__ import annotations

import csv
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from vidlang.core import Segment
from vidlang.demo.scenes import VideoPlan, plan_video, render
from vidlang.video.writer import write_video

RATE, SECONDS, SIZE = 12.5, 3.0, (72, 96)
EACH = 6
"""Videos of a class in ``videos/``."""
FEW = 2
"""In any other folder."""
VIDEO = re.compile(r".*\.(mp4|avi|mkv|mov|webm)$", re.IGNORECASE)
PICTURE = re.compile(r".*\.(jpg|jpeg)$", re.IGNORECASE)
FOLDER = re.compile(r"[\w.-]+(/[\w.-]+)*/$")


class Films:
    """A few rendered films, made once and copied wherever a document needs one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def plans(self) -> dict[str, list[VideoPlan]]:
        kinds = {"normal": "normal", "fight": "fighting"}
        return {
            name: [plan_video(kind, seed=i, seconds=SECONDS, frame_rate=RATE, size=SIZE) for i in range(EACH)]
            for name, kind in kinds.items()
        }

    def film(self, kind: str, number: int) -> Path:
        path = self.folder / f"{kind}-{number}.mp4"
        if not path.exists():
            write_video(path, render(self.plans[kind][number]), RATE, options={"preset": "ultrafast"})
        return path

    def event(self, kind: str, number: int) -> Segment | None:
        """When it happens; None in a normal film."""
        label = self.plans[kind][number].label("x.mp4")
        return next((each.segment for each in label.segments), None)

    def long_film(self) -> Path:
        """Normal, a fight, normal: nine seconds."""
        path = self.folder / "long.mp4"
        if not path.exists():
            parts = [self.plans["normal"][0], self.plans["fight"][0], self.plans["normal"][1]]
            write_video(path, chain(*map(render, parts)), RATE, options={"preset": "ultrafast"})
        return path


class Stage:
    """The folder that the blocks of one document run in."""

    def __init__(self, folder: Path, films: Films) -> None:
        self.folder, self.films = folder, films
        self.names: dict[str, object] = {"__name__": "__main__"}
        """Of the document's Python blocks."""
        for kind in ("normal", "fight"):
            for number in range(EACH):
                self._lay(f"videos/{kind}/{kind}_{number:02}.mp4", films.film(kind, number))
        for name in ("video.mp4", "camera.mp4"):
            self._lay(name, films.long_film())
        self._lay("query.mp4", films.film("fight", 1))
        self._write_labels()
        self._write_pairs()

    def supply(self, words: Sequence[str]) -> None:
        """Lays what a command reads and nobody has made yet: videos, and folders of them whose names end with ``/``."""
        for word in _inputs(words):
            path = self.folder / word
            if path.exists() or Path(word).is_absolute():
                continue
            if VIDEO.match(word):
                self._lay(word, self._any_film(word))
            elif PICTURE.match(word):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((*SIZE, 3), 90, dtype=np.uint8)).save(path)
            elif FOLDER.match(word):
                start = word.strip("/").replace("/", "-")  # one command may name several folders: ids differ
                for kind in ("normal", "fight"):
                    for number in range(FEW):
                        self._lay(f"{word}{kind}/{start}_{number:02}.mp4", self.films.film(kind, number))

    def _any_film(self, name: str) -> Path:
        number = zlib.crc32(name.encode()) % (2 * EACH)  # another name is another film, the same in every run
        return self.films.film(("normal", "fight")[number % 2], number // 2)

    def _lay(self, name: str, film: Path) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(film, path)

    def _write_labels(self) -> None:
        """``labels.csv``: of ``videos/``, the last two of each class for testing, times of the fights."""
        rows = []
        for kind in ("normal", "fight"):
            for number in range(EACH):
                event, split = self.films.event(kind, number), "test" if number >= EACH - 2 else "train"
                times = (f"{event.start:g}", f"{event.end:g}") if event else ("", "")
                rows.append((f"{kind}/{kind}_{number:02}.mp4", kind, *times, split))
        _write_csv(self.folder / "labels.csv", ("video", "label", "start", "end", "split"), rows)

    def _write_pairs(self) -> None:
        """``pairs.csv``: films of one class show the same."""
        names = [f"fight/fight_{number:02}.mp4" for number in range(EACH)]
        pairs = [(one, other) for one in names for other in names if one != other]
        _write_csv(self.folder / "pairs.csv", ("query", "video"), pairs)


WRITTEN_BY = {"-o", "--out", "--report", "--overlay", "--plot", "--save-clips", "--keep", "--workspace", "--name"}
"""Options whose value is written, or no file at all."""


def _inputs(words: Sequence[str]) -> Iterator[str]:
    """Words of a command that may be files to read."""
    for before, word in zip(("", *words), words, strict=False):
        if before not in WRITTEN_BY and not word.startswith("-") and "*" not in word and "://" not in word:
            yield word


def _write_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
