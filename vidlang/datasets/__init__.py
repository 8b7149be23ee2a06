"""Read what others wrote about videos: manifests, folders named like classes, published annotations.

Readers of classes return `Label`s, readers of retrieval sets a `RetrievalTruth`. Nothing here opens a video or knows
the cache; ids of published lists meet the user's ids in `matching` and in `retrieval.match_names`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from vidlang.core.errors import UnknownName
from vidlang.core.labels import Label
from vidlang.datasets.retrieval import RETRIEVAL_DATASETS, import_retrieval

__all__ = ["DATASETS", "RETRIEVAL_DATASETS", "import_dataset", "import_retrieval"]

DATASETS = {"ucf-crime": "vidlang.datasets.ucf_crime", "xd-violence": "vidlang.datasets.xd_violence"}
"""Data set → the module whose ``import_folder`` reads its published files."""


def import_dataset(name: str, folder: Path) -> list[Label]:
    """The labels of a published data set from the annotation files in a folder.

    Raises:
        UnknownName: there is no importer of that name.
        BadAnnotation: a file is missing, does not read, or contradicts another; the message names it.
    """
    if name not in DATASETS:
        raise UnknownName("data set importer", name, {*DATASETS, *RETRIEVAL_DATASETS})
    labels: list[Label] = import_module(DATASETS[name]).import_folder(folder)
    return labels
