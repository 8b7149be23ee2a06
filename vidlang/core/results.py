"""What methods answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import VidlangError
from vidlang.core.features import check_rulers
from vidlang.core.segments import Segment
from vidlang.core.video import VideoInfo

BRANCH_TITLES = {"c": "C-branch (classifier)", "a": "A-branch (class texts)", "fusion": "mean of both branches"}
"""How the anomaly curves of VadCLIP's two branches are called where people read them."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Anomaly scores of one video, row by row, on both rulers."""

    video: VideoInfo
    frames: NDArray[np.int64]
    """[T, 2] half-open spans."""
    seconds: NDArray[np.float64]
    """[T, 2] half-open."""
    anomaly: NDArray[np.float32]
    """[T] in [0, 1]: the branch that ``made_by["branch"]`` names."""
    classes: NDArray[np.float32] | None = None
    """[T, C] class probabilities, class 0 the normal class."""
    class_names: tuple[str, ...] = ()
    made_by: Mapping[str, Any] = field(default_factory=dict)
    """Method, checkpoint, encoder, recipe, branch: whatever decides the numbers."""
    branches: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Other anomaly curves of the same video by name, each [T] in [0, 1]."""

    def __post_init__(self) -> None:
        num_rows = len(self.anomaly)
        check_rulers(self.frames, self.seconds, num_rows, self.video.id)
        for name, curve in {"anomaly": self.anomaly, **self.branches}.items():
            if curve.shape != (num_rows,):
                raise ValueError(f"{name} must be [T] = [{num_rows}], got shape {curve.shape} ({self.video.id})")
            if not np.isfinite(curve).all() or (curve < 0).any() or (curve > 1).any():
                raise ValueError(f"{name} must lie in [0, 1] ({self.video.id})")
        if self.classes is not None and self.classes.shape != (num_rows, len(self.class_names)):
            expected = (num_rows, len(self.class_names))
            raise ValueError(f"classes must be [T, C] = {expected}, got {self.classes.shape} ({self.video.id})")


@dataclass(frozen=True)
class Detection:
    """A segment, its class and how sure the method is."""

    video_id: str
    segment: Segment
    label: str
    score: float
    """In [0, 1] for events; a detector's own ranking score elsewhere."""


@dataclass(frozen=True)
class Hit:
    """One answer of a retrieval: a video, how similar it is, and which of its seconds match."""

    video_id: str
    similarity: float
    segments: tuple[tuple[Segment, Segment], ...] = ()
    """Pairs of (query segment, matching segment of this video)."""


@dataclass(frozen=True)
class Ranking:
    """Hits in falling order of similarity."""

    query: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one video in a batch: nothing else is lost when one fails."""

    video_id: str
    status: Literal["done", "skipped", "failed"]
    detail: str = ""
    """One line for people: rows written, why skipped, or a warning such as a truncated end."""
    error: VidlangError | None = None
