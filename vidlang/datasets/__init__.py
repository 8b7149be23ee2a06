"""Read what others wrote about videos: manifests, folders named like classes, published annotations.

Readers of classes return `Label`s, readers of temporal localization `TemporalAnnotations`, readers of retrieval sets a
`RetrievalTruth`. Nothing here opens a video or knows the cache; ids of published lists meet the user's ids in
`matching` and in `retrieval.match_names`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from vidlang.core.errors import BadInput, UnknownName
from vidlang.core.labels import Label
from vidlang.datasets.retrieval import RETRIEVAL_DATASETS, import_retrieval
from vidlang.datasets.temporal import TemporalAnnotations

__all__ = [
    "ACTION_DATASETS",
    "DATASETS",
    "LOCALIZATION_DATASETS",
    "RETRIEVAL_DATASETS",
    "import_action",
    "import_dataset",
    "import_localization",
    "import_retrieval",
]

DATASETS = {"ucf-crime": "vidlang.datasets.ucf_crime", "xd-violence": "vidlang.datasets.xd_violence"}
"""Data set → the module whose ``import_folder`` reads its published files."""
LOCALIZATION_DATASETS = {"thumos14": "vidlang.datasets.thumos14", "activitynet": "vidlang.datasets.activitynet"}
"""Data set → the module whose ``import_annotations`` reads its published file or folder."""
ACTION_DATASETS = {"ucf101": "import_ucf101", "hmdb51": "import_hmdb51", "kinetics": "import_kinetics"}
"""Data set of action recognition → its function in `action`."""
SPLIT_DATASETS = ("ucf101", "hmdb51")
"""Those that come in three splits into training and test videos."""


def import_dataset(name: str, folder: Path) -> list[Label]:
    """The labels of a published data set from the annotation files in a folder.

    Raises:
        UnknownName: there is no importer of that name.
        BadAnnotation: a file is missing, does not read, or contradicts another; the message names it.
    """
    if name not in DATASETS:
        raise _unknown(name)
    labels: list[Label] = import_module(DATASETS[name]).import_folder(folder)
    return labels


def import_localization(name: str, path: Path) -> TemporalAnnotations:
    """The labels of a data set of temporal localization, from its file or folder.

    Raises:
        UnknownName: there is no importer of that name.
        BadAnnotation: a file is missing or does not read; the message names it.
    """
    if name not in LOCALIZATION_DATASETS:
        raise _unknown(name)
    annotations: TemporalAnnotations = import_module(LOCALIZATION_DATASETS[name]).import_annotations(path)
    return annotations


def import_action(name: str, path: Path, split_number: int | None = None) -> list[Label]:
    """The labels of a data set of action recognition, from its lists or class folders.

    split_number: which of the three splits of UCF101 and HMDB51; the first by default

    Raises:
        UnknownName: there is no importer of that name.
        BadInput: the data set has no such split.
        BadAnnotation: a file is missing, or a line cannot be true; the message names it.
    """
    if name not in ACTION_DATASETS:
        raise _unknown(name)
    read = getattr(import_module("vidlang.datasets.action"), ACTION_DATASETS[name])
    if name not in SPLIT_DATASETS and split_number is not None:
        raise BadInput(f"{name} has one split of its videos; only {' and '.join(SPLIT_DATASETS)} have several.")
    labels: list[Label] = read(path) if split_number is None else read(path, split_number)
    return labels


def _unknown(name: str) -> UnknownName:
    known = {*DATASETS, *LOCALIZATION_DATASETS, *ACTION_DATASETS, *RETRIEVAL_DATASETS}
    return UnknownName("data set importer", name, known)
