"""Read what others wrote about videos: manifests, folders named like classes, published annotations.

Readers of classes return `Label`s, readers of temporal localization `TemporalAnnotations`, readers of retrieval sets a
`RetrievalTruth`. Nothing here opens a video or knows the cache; ids of published lists meet the user's ids in
`matching` and in `retrieval.match_names`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from vidlang.core.errors import UnknownName
from vidlang.core.labels import Label
from vidlang.datasets.retrieval import RETRIEVAL_DATASETS, import_retrieval
from vidlang.datasets.temporal import TemporalAnnotations

__all__ = [
    "DATASETS",
    "LOCALIZATION_DATASETS",
    "RETRIEVAL_DATASETS",
    "import_dataset",
    "import_localization",
    "import_retrieval",
]

DATASETS = {"ucf-crime": "vidlang.datasets.ucf_crime", "xd-violence": "vidlang.datasets.xd_violence"}
"""Data set → the module whose ``import_folder`` reads its published files."""
LOCALIZATION_DATASETS = {"thumos14": "vidlang.datasets.thumos14", "activitynet": "vidlang.datasets.activitynet"}
"""Data set → the module whose ``import_annotations`` reads its published file or folder."""


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


def _unknown(name: str) -> UnknownName:
    return UnknownName("data set importer", name, {*DATASETS, *LOCALIZATION_DATASETS, *RETRIEVAL_DATASETS})
