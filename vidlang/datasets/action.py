"""Action recognition: UCF101, HMDB51 and Kinetics, one class per video.

UCF101      ``trainlist01.txt``, ``testlist01.txt`` (to 03) and, where it is there, ``classInd.txt``: lines of
            ``ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1``; the class is the folder, the number must be its own
HMDB51      ``brush_hair_test_split1.txt`` (to 3), one file per class: lines of ``name.avi 1``; 1 is for training, 2 for
            testing, 0 is not used in this split
Kinetics    folders ``train/abseiling/*.mp4``, and ``val`` and ``test`` likewise; or the lists, CSV files with the
            columns ``label``, ``youtube_id``, ``time_start``, ``time_end``, ``split``; one without ``label`` (that
            of the test videos, whose classes were not published at first) is passed over beside others

Ids are paths below the folder of the videos, as extraction gives them: ``ApplyEyeMakeup/v_….avi``, ``brush_hair/….avi``
and ``train/abseiling/….mp4``. Videos of Kinetics' lists take the path and name that the usual downloaders give,
``train/petting_animal_not_cat/0jMGhXnYbaA_000010_000020.mp4``. Videos of other names are found by `matching.match_ids`.

Source: Soomro, Zamir, Shah: UCF101, 2012; Kuehne et al.: HMDB, ICCV 2011; Kay et al.: The Kinetics human action video
dataset, 2017.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vidlang.core.errors import BadAnnotation, BadInput
from vidlang.core.labels import Label
from vidlang.datasets.manifest import SPLIT_FOLDERS
from vidlang.datasets.matching import VIDEO_ENDINGS
from vidlang.datasets.published import find_files, read_text

SPLIT_NUMBERS = (1, 2, 3)
"""UCF101 and HMDB51 come in three splits into training and test videos."""
HMDB51_USES = {"0": None, "1": "train", "2": "test"}
KINETICS_SPLITS = {**SPLIT_FOLDERS, "validate": "val"}
KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")


def import_ucf101(folder: Path, split_number: int = 1) -> list[Label]:
    """Training and test videos of one split, in the order of the lists.

    folder: holds the lists, or a folder below it does

    Raises:
        BadAnnotation: a list is missing, or a line cannot be true.
        BadInput: there is no such split.
    """
    _check_split(split_number, "UCF101")
    names = {part: (f"{part}list0{split_number}.txt",) for part in ("train", "test")}
    files = find_files(folder, {**names, "classes": ("classInd.txt",)}, optional=("classes",))
    classes = _Classes(files.get("classes"))
    videos = _Videos()
    for split in ("train", "test"):
        for path, number, at in _ucf101_lines(files[split]):
            name = path.split("/")[0]
            classes.check(name, number, at)
            videos.add(path, name, split, at)
    listed = dict.fromkeys([*classes.numbers, *(label.classes[0] for label in videos.labels)])
    videos.check_classes(listed, f"{files['train'].name} and {files['test'].name}")
    return videos.labels


def _ucf101_lines(file: Path) -> Iterator[tuple[str, str | None, str]]:
    """Path, class number where the line has one, and the place for messages."""
    for cells, at in _lines(file):
        numbered = len(cells) == 2 and cells[1].isdecimal()
        path = cells[0].replace("\\", "/")
        if not (len(cells) == 1 or numbered) or path.count("/") != 1 or path.startswith("/") or path.endswith("/"):
            raise BadAnnotation(f"{at} should be Class/video.avi and perhaps a number: {' '.join(cells)!r}.")
        yield path, cells[1] if numbered else None, at


class _Classes:
    """Classes and their numbers, as ``classInd.txt`` or else the first mention says."""

    def __init__(self, file: Path | None) -> None:
        self.numbers: dict[str, str] = {}
        """Class → its number; only what ``classInd.txt`` or a numbered line said."""
        self._file = file
        for cells, at in _lines(file) if file is not None else ():
            if len(cells) != 2 or not cells[0].isdecimal():
                raise BadAnnotation(f"{at} should be a number and a class: {' '.join(cells)!r}.")
            self._learn(cells[1], cells[0], at)

    def check(self, name: str, number: str | None, at: str) -> None:
        """Raises BadAnnotation if the line contradicts what is known of the class."""
        if self._file is not None and name not in self.numbers:
            raise BadAnnotation(f"{at}: {name} is no class of {self._file.name}.")
        if number is None:
            return
        if name not in self.numbers:
            self._learn(name, number, at)
        elif self.numbers[name] != number:
            raise BadAnnotation(f"{at}: {name} is class {self.numbers[name]}, not {number}.")

    def _learn(self, name: str, number: str, at: str) -> None:
        other = next((known for known, taken in self.numbers.items() if taken == number), None)
        if other is not None or name in self.numbers:
            raise BadAnnotation(f"{at}: {name} as class {number} is at odds with {other or name} above.")
        self.numbers[name] = number


def import_hmdb51(folder: Path, split_number: int = 1) -> list[Label]:
    """Training and test videos of one split, class by class.

    folder: holds the files of the classes, or a folder below it does

    Raises:
        BadAnnotation: the file of a class is missing, or a line cannot be true.
        BadInput: there is no such split.
    """
    _check_split(split_number, "HMDB51")
    videos = _Videos()
    for name, file in _hmdb51_files(folder, split_number).items():
        for cells, at in _lines(file):
            if len(cells) != 2 or "/" in cells[0]:
                raise BadAnnotation(f"{at} should be a video and 0, 1 or 2: {' '.join(cells)!r}.")
            if cells[1] not in HMDB51_USES:
                raise BadAnnotation(f"{at}: {cells[1]} is none of 0 (not used), 1 (training) and 2 (test).")
            videos.add(f"{name}/{cells[0]}", name, HMDB51_USES[cells[1]], at)
        videos.check_classes([name], f"The lines of {file.name}")
    return videos.labels


def _hmdb51_files(folder: Path, split_number: int) -> dict[str, Path]:
    """Class → its file, sorted by class."""
    if not folder.is_dir():
        raise BadAnnotation(f"{folder} is no folder: give the one that holds the files of the splits.")
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob(f"?*_test_split{split_number}.txt"), key=lambda file: file.name):
        name = file.name.removesuffix(f"_test_split{split_number}.txt")
        if found.setdefault(name, file) != file:
            raise BadAnnotation(f"{found[name]} and {file} may both be meant: give the folder of one release.")
    for other in SPLIT_NUMBERS:
        for file in sorted(folder.rglob(f"?*_test_split{other}.txt")):
            if file.name.removesuffix(f"_test_split{other}.txt") not in found:
                wanted = file.name.replace(f"_split{other}.txt", f"_split{split_number}.txt")
                raise BadAnnotation(f"{folder} has {file.name} but no {wanted}: get the files of the splits again.")
    if not found:
        example = f"brush_hair_test_split{split_number}.txt"
        raise BadAnnotation(f"{folder} lacks {example} and others: they are in testTrainMulti_7030_splits.")
    return found


def import_kinetics(path: Path) -> list[Label]:
    """Videos of class folders, or of the lists where there are no such folders.

    path: the folder above ``train``, ``val`` and ``test``; a list; or a folder of lists

    Raises:
        BadAnnotation: it is neither, or a line cannot be true.
    """
    if path.is_dir():
        folders = [inner for inner in sorted(path.iterdir()) if inner.is_dir() and inner.name in KINETICS_SPLITS]
        if any(_class_folders(folder) for folder in folders):
            return _kinetics_folders(folders)
        lists = sorted(path.glob("*.csv"))
    else:
        lists = [path] if path.is_file() else []
    if not lists:
        raise BadAnnotation(
            f"{path} holds neither train/<class>/ with videos nor a list of Kinetics ({', '.join(KINETICS_COLUMNS)})."
        )
    return _kinetics_lists(lists)


def _kinetics_folders(folders: Sequence[Path]) -> list[Label]:
    videos = _Videos()
    for folder in folders:
        for inner in _class_folders(folder):
            names = sorted(file.name for file in inner.iterdir() if file.suffix.lower() in VIDEO_ENDINGS)
            if not names:
                raise BadAnnotation(f"{inner} holds no video: remove the folder, or fill it.")
            for name in names:
                at = f"{folder.name}/{inner.name}/{name}"
                videos.add(at, inner.name, KINETICS_SPLITS[folder.name], at)
    return videos.labels


def _class_folders(folder: Path) -> list[Path]:
    return [inner for inner in sorted(folder.iterdir()) if inner.is_dir() and not inner.name.startswith(".")]


def _has_labels(file: Path) -> bool:
    return "label" in (csv.DictReader(read_text(file).splitlines()).fieldnames or ())


def _kinetics_lists(lists: Sequence[Path]) -> list[Label]:
    videos = _Videos()
    lists = [file for file in lists if _has_labels(file)] or lists
    for file in lists:
        rows = csv.DictReader(read_text(file).splitlines())
        missing = [name for name in KINETICS_COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise BadAnnotation(f"{file} lacks the columns {', '.join(missing)} of a list of Kinetics.")
        for row in rows:
            at = f"{file.name}, line {rows.line_num}"
            cells = {name: (row[name] or "").strip() for name in KINETICS_COLUMNS}
            if not all(cells.values()):
                raise BadAnnotation(f"{at} has no {next(name for name, cell in cells.items() if not cell)}.")
            split = KINETICS_SPLITS.get(cells["split"].casefold())
            if split is None:
                raise BadAnnotation(f"{at}: there is no split {cells['split']!r}. Known: {', '.join(KINETICS_SPLITS)}.")
            video = f"{cells['youtube_id']}_{_seconds(cells['time_start'], at)}_{_seconds(cells['time_end'], at)}.mp4"
            videos.add(f"{split}/{_folder_of(cells['label'])}/{video}", cells["label"], split, at, name=video)
    return videos.labels


def _seconds(cell: str, at: str) -> str:
    """Whole seconds as file names have them: six digits."""
    try:
        value = float(cell)
    except ValueError as error:
        raise BadAnnotation(f"{at}: {cell!r} is no number of seconds.") from error
    if not value.is_integer() or value < 0:
        raise BadAnnotation(f"{at}: {cell} is no whole number of seconds.")
    return f"{int(value):06}"


def _folder_of(label: str) -> str:
    """The folder that downloaders give a class: no brackets and apostrophes, underscores for blanks."""
    return label.translate({ord("'"): None, ord("("): None, ord(")"): None}).replace(" ", "_")


class _Videos:
    """The videos of a data set, each named once."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self._seen: dict[str, tuple[str, str]] = {}

    def add(self, video_id: str, class_name: str, split: str | None, at: str, *, name: str | None = None) -> None:
        """name: what makes a video one and the same, its id by default    split: None for one that is not used

        Raises:
            BadAnnotation: it was named before.
        """
        before = self._seen.setdefault(name or video_id, (split or "unused", at))
        if before[1] != at:
            where = f"{split} twice" if before[0] == split else f"{split or 'unused'} and {before[0]}"
            raise BadAnnotation(f"{at}: {video_id} is in {where}, see {before[1]}.")
        if split is not None:
            self.labels.append(Label(video_id, (class_name,), split=split))

    def check_classes(self, classes: Iterable[str], where: str) -> None:
        """Raises BadAnnotation for a class without a training or a test video."""
        there = {(label.classes[0], label.split) for label in self.labels}
        for name in classes:
            for split, what in (("train", "training"), ("test", "test")):
                if (name, split) not in there:
                    raise BadAnnotation(f"{where} have no {what} video of {name}: get the files again.")


def _lines(file: Path) -> Iterator[tuple[list[str], str]]:
    """The words of each line that has some, and the place for messages."""
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if line.strip():
            yield line.split(), f"{file.name}, line {number}"


def _check_split(split_number: int, name: str) -> None:
    if split_number not in SPLIT_NUMBERS:
        raise BadInput(f"{name} has the splits 1, 2 and 3; there is no split {split_number}.")
