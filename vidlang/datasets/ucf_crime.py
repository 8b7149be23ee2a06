"""UCF-Crime: published lists of CLIP features and the temporal annotation of the test videos.

Ids are ``Abuse/Abuse028_x264`` and ``Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264``: the folder and name of the
original videos, without ``.mp4``. `matching.match_ids` finds the user's own files by them.

Source: Sultani, Chen, Shah, CVPR 2018; lists of nwpu-zxr/VadCLIP at f643c91.
"""

from __future__ import annotations

from pathlib import Path

from vidlang.core.errors import BadAnnotation, UnknownName
from vidlang.core.labels import Label, LabelledSegment
from vidlang.datasets.matching import path_key
from vidlang.datasets.published import (
    check_ground_truth,
    find_files,
    read_ground_truth,
    read_list,
    read_text,
    span_of,
    with_annotations,
)

NORMAL = "Normal"
CLASSES = (
    NORMAL, "Abuse", "Arrest", "Arson", "Assault", "Burglary", "Explosion", "Fighting", "RoadAccidents", "Robbery",
    "Shooting", "Shoplifting", "Stealing", "Vandalism",
)  # fmt: skip
FILES = {
    "train": ("ucf_CLIP_rgb.csv",),
    "test": ("ucf_CLIP_rgbtest.csv",),
    "annotations": ("Temporal_Anomaly_Annotation.txt", "Temporal_Anomaly_Annotation_for_Testing_Videos.txt"),
    "segments": ("gt_segment_ucf.npy",),
    "classes": ("gt_label_ucf.npy",),
}
"""What a file is → its names."""


def classes_of(label: str, at: str) -> tuple[str, ...]:
    """One class per video.

    Raises:
        BadAnnotation: no class of the data set.
    """
    if label not in CLASSES:
        raise BadAnnotation(f"{at}: {UnknownName('UCF-Crime class', label, CLASSES)}")
    return (label,)


def read_lists(*, train: Path | None = None, test: Path | None = None) -> list[Label]:
    """Videos of the lists, train before test, in their order.

    Raises:
        BadAnnotation: see `published.read_list`.
    """

    def id_of(path: str) -> str:
        return "/".join(path.split("/")[-2:])

    lists = [(path, split) for path, split in ((train, "train"), (test, "test")) if path is not None]
    return [label for path, split in lists for label in read_list(path, split, id_of, classes_of)]


def read_annotations(path: Path) -> list[Label]:
    """Names, classes and spans of the annotated test videos; ids are names without folder.

    A line is ``name  class  start  end  start  end``, -1 where there is no first or second event.

    Raises:
        BadAnnotation: a line reads otherwise.
    """
    labels = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells, at = line.split(), f"{path.name}, line {number}"
        if not cells:
            continue
        if len(cells) != 6:
            raise BadAnnotation(f"{at} should be a name, a class and two pairs of frames: {line.strip()!r}.")
        (name,) = classes_of(cells[1], at)
        pairs = [pair for pair in (cells[2:4], cells[4:6]) if pair != ["-1", "-1"]]
        segments = tuple(LabelledSegment(name, span=span_of(pair[0], pair[1], at)) for pair in pairs)
        labels.append(Label(path_key(cells[0]), (name,), segments, split="test", timed=True))
    return labels


def import_folder(folder: Path) -> list[Label]:
    """Labels of the published lists in a folder: training videos by class, test videos with their spans.

    The training list and the detection truth may be missing; the truth is compared with the annotations.

    Raises:
        BadAnnotation: a file is missing, does not read, or contradicts another.
    """
    files = find_files(folder, FILES, optional=("train", "segments", "classes"))
    test = with_annotations(read_lists(test=files["test"]), read_annotations(files["annotations"]), NORMAL)
    if "segments" in files and "classes" in files:
        truth = read_ground_truth(files["segments"], files["classes"])
        check_ground_truth(test, truth, files["segments"].name, NORMAL)
    return read_lists(train=files.get("train")) + test
