"""What methods answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidlang.core.errors import VidlangError
from vidlang.core.features import check_rulers
from vidlang.core.segments import Segment
from vidlang.core.tables import Tabular
from vidlang.core.video import VideoInfo

BRANCH_TITLES = {"c": "C-branch (classifier)", "a": "A-branch (class texts)", "fusion": "mean of both branches"}
"""How the anomaly curves of VadCLIP's two branches are called where people read them."""


@dataclass(frozen=True, eq=False)
class Scores(Tabular):
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

    def columns(self) -> dict[str, ArrayLike]:
        """One row a snippet; columns as in ``scores.csv``."""
        rulers: dict[str, ArrayLike] = {
            "video": [self.video.id] * len(self.anomaly),
            "start_seconds": self.seconds[:, 0],
            "end_seconds": self.seconds[:, 1],
            "first_frame": self.frames[:, 0],
            "last_frame_exclusive": self.frames[:, 1],
            "anomaly": self.anomaly,
        }
        branches = {f"branch:{name}": curve for name, curve in self.branches.items()}
        classes = {} if self.classes is None else dict(zip(self.class_names, self.classes.T, strict=True))
        return {**rulers, **branches, **{f"class:{name}": curve for name, curve in classes.items()}}

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, as a line of ``scores.jsonl``."""
        return {
            "schema": "vidlang.scores/1",
            "video": {**asdict(self.video), "size": list(self.video.size)},
            "frames": self.frames.tolist(),
            "seconds": self.seconds.tolist(),
            "anomaly": short_floats(self.anomaly),
            "branches": {name: short_floats(curve) for name, curve in self.branches.items()},
            "class_names": list(self.class_names),
            "classes": None if self.classes is None else short_floats(self.classes),
            "made_by": dict(self.made_by),
        }

    def _caption(self) -> str:
        return f"{self.video.id}: anomaly scores of {len(self.anomaly)} snippets"


def short_floats(values: ArrayLike) -> list[Any]:
    """float32 numbers as the float64 with the fewest decimal digits that rounds back to them: 0.1, not 0.100000001…"""
    exact = np.asarray(values, dtype=np.float32)
    short: NDArray[np.float64] = exact.astype(str).astype(np.float64)
    # decimal → float64 → float32 rounds twice; where that ends elsewhere, the long form stays
    result: list[Any] = np.where(short.astype(np.float32) == exact, short, exact.astype(np.float64)).tolist()
    return result


@dataclass(frozen=True)
class Detection:
    """A segment, its class and how sure the method is."""

    video_id: str
    segment: Segment
    label: str
    score: float
    """In [0, 1] for events; a detector's own ranking score elsewhere."""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, as a line of ``detections.jsonl``."""
        return {
            "schema": "vidlang.detections/1",
            "video": self.video_id,
            "start": float(self.segment.start),
            "end": float(self.segment.end),
            "label": self.label,
            "score": float(self.score),
        }


class Detections(tuple[Detection, ...], Tabular):
    """Detections of one video or several, in the order given."""

    __slots__ = ()

    def columns(self) -> dict[str, ArrayLike]:
        """One row a detection; columns as in ``detections.csv``, times in seconds."""
        return {
            "video": np.array([found.video_id for found in self], dtype=str),
            "start": np.array([found.segment.start for found in self], dtype=np.float64),
            "end": np.array([found.segment.end for found in self], dtype=np.float64),
            "label": np.array([found.label for found in self], dtype=str),
            "score": np.array([found.score for found in self], dtype=np.float64),
        }

    def of(self, video_id: str) -> Detections:
        """Those of one video."""
        return Detections(found for found in self if found.video_id == video_id)

    def to_dict(self) -> list[dict[str, Any]]:
        """Ready for JSON, as the lines of ``detections.jsonl``."""
        return [found.to_dict() for found in self]

    def _caption(self) -> str:
        return f"{len(self)} detections"


@dataclass(frozen=True)
class Hit:
    """One answer of a retrieval: a video, how similar it is, and which of its seconds match."""

    video_id: str
    similarity: float
    segments: tuple[tuple[Segment, Segment], ...] = ()
    """Pairs of (query segment, matching segment of this video)."""


@dataclass(frozen=True)
class Ranking(Tabular):
    """Hits in falling order of similarity."""

    query: str
    hits: tuple[Hit, ...]

    def columns(self) -> dict[str, ArrayLike]:
        """One row a matched segment; columns as in ``rankings.csv``, times in seconds, NaN for a hit without any."""
        rows = [
            (rank, hit, asked, found)
            for rank, hit in enumerate(self.hits, 1)
            for asked, found in hit.segments or ((None, None),)
        ]
        return {
            "query": np.array([self.query for _ in rows], dtype=str),
            "rank": np.array([rank for rank, *_ in rows], dtype=np.int64),
            "video": np.array([hit.video_id for _, hit, *_ in rows], dtype=str),
            "similarity": np.array([hit.similarity for _, hit, *_ in rows], dtype=np.float64),
            **_times("query_start", "query_end", [asked for *_, asked, _ in rows]),
            **_times("start", "end", [found for *_, found in rows]),
        }

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, as a line of ``rankings.jsonl`` without ``made_by``."""
        hits = [
            {
                "video": hit.video_id,
                "similarity": float(hit.similarity),
                "segments": [[asked.to_numpy().tolist(), found.to_numpy().tolist()] for asked, found in hit.segments],
            }
            for hit in self.hits
        ]
        return {"schema": "vidlang.rankings/1", "query": self.query, "hits": hits}

    def _caption(self) -> str:
        return f"{self.query}: {len(self.hits)} hits"


def _times(start: str, end: str, segments: Sequence[Segment | None]) -> dict[str, ArrayLike]:
    nothing = (np.nan, np.nan)
    pairs = np.array([nothing if each is None else (each.start, each.end) for each in segments], dtype=np.float64)
    return dict(zip((start, end), pairs.reshape(-1, 2).T, strict=True))


@dataclass(frozen=True)
class Outcome:
    """What became of one video in a batch: nothing else is lost when one fails."""

    video_id: str
    status: Literal["done", "skipped", "failed"]
    detail: str = ""
    """One line for people: rows written, why skipped, or a warning such as a truncated end."""
    error: VidlangError | None = None
