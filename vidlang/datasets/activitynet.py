"""ActivityNet 1.2 and 1.3: the published annotation file, or W-TALC's arrays.

The published subsets are called training, validation and testing; methods are compared on validation. Videos of testing
have no annotation. ActivityNet 1.2 has 10 segments without duration and 34 that are annotated twice.

Source: Caba Heilbron et al.: ActivityNet, CVPR 2015.
"""

from __future__ import annotations

from pathlib import Path

from vidlang.core.errors import BadAnnotation
from vidlang.datasets.temporal import SPLITS, TemporalAnnotations, find_database, fit_for_manifest, read_database
from vidlang.datasets.wtalc import holds_arrays, read_arrays


def import_annotations(path: Path) -> TemporalAnnotations:
    """Labels of an annotation file, of the folder that holds it, or of a folder of W-TALC's arrays.

    Raises:
        BadAnnotation: nothing of the kind is there, or it does not read.
    """
    if holds_arrays(path):
        labels = read_arrays(path, SPLITS)
    else:
        file = find_database(path, "activitynet")
        if file is None:
            raise BadAnnotation(
                f"{path} holds neither an annotation file (activity_net.v1-3.min.json) nor videoname.npy and "
                "segments.npy: give the folder or file of the annotations."
            )
        labels = read_database(file)
    fitting, notes = fit_for_manifest(labels)
    return TemporalAnnotations(tuple(fitting), (), tuple(notes))
