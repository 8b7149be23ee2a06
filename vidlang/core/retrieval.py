"""Retrieval: what should be found, and what was found.

`RetrievalTruth` says which videos answer which query. `Similarities` is every query against every video of a gallery;
`Rankings` is a list of hits per query, often only the best of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core.results import Ranking


@dataclass(frozen=True)
class RetrievalTruth:
    """Which videos answer which query, under the labels of the data set."""

    dataset: str
    """``cc-web``, ``fivr-5k``, ``fivr-200k``, ``evve``, ``vcdb`` or ``pairs``; it fixes how results are counted."""
    version: str
    """Which edition of the labels: numbers of two editions are not comparable."""
    queries: tuple[str, ...]
    relevant: Mapping[str, Mapping[str, frozenset[str]]]
    """Query → label → videos. Labels that no task counts lie here too (X of CC_WEB_VIDEO: searched, not similar)."""
    database: tuple[str, ...] | None = None
    """The videos to be ranked, in the order that ties keep; None where the list is not known."""
    num_database: int | None = None
    """How many videos the published database has, where that is known without their names."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Query → group for a mean of its own, such as the event of EVVE."""
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Query → videos that the cleaned edition drops (CC_WEB_VIDEO)."""

    def __post_init__(self) -> None:
        check_unique(self.queries, "query")
        if not self.queries:
            raise ValueError("a truth needs at least one query")
        if self.database is not None:
            check_unique(self.database, "database video")
            if self.num_database not in (None, len(self.database)):
                raise ValueError(f"num_database is {self.num_database}, the database has {len(self.database)} videos")
        known = set(self.queries)
        parts = {"relevant": self.relevant, "groups": self.groups, "excluded": self.excluded}
        for name, mapping in parts.items():
            other = next((query for query in mapping if query not in known), None)
            if other is not None:
                raise ValueError(f"{name} names {other!r}, which is no query")

    def positives(self, query: str, labels: Collection[str] | None = None) -> frozenset[str]:
        """The videos under any of these labels; None takes all labels."""
        found = self.relevant.get(query, {})
        return frozenset().union(*(ids for label, ids in found.items() if labels is None or label in labels))

    def names(self) -> list[str]:
        """Every video that the truth speaks of, each once: queries, database, then labelled videos."""
        labelled = (video for labels in self.relevant.values() for ids in labels.values() for video in sorted(ids))
        return list(dict.fromkeys((*self.queries, *(self.database or ()), *labelled)))


@dataclass(frozen=True, eq=False)
class Similarities:
    """Every query against every video of the gallery."""

    queries: tuple[str, ...]
    ids: tuple[str, ...]
    """The gallery, in the order that ties keep."""
    values: NDArray[np.float32]
    """[Q, M], higher is more similar."""
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_unique(self.queries, "query")
        check_unique(self.ids, "gallery video")
        expected = (len(self.queries), len(self.ids))
        if self.values.shape != expected:
            raise ValueError(f"similarities must be [Q, M] = {expected}, got {self.values.shape}")
        if self.values.dtype != np.float32:
            raise ValueError(f"similarities must be float32, got {self.values.dtype}")
        if not all(np.isfinite(row).all() for row in self.values):  # row by row: no second matrix in memory
            raise ValueError("similarities must be finite")


@dataclass(frozen=True)
class Rankings:
    """Hits of several queries, and which videos were searched."""

    rankings: tuple[Ranking, ...]
    gallery: tuple[str, ...] | None = None
    """Every video that was searched; None where that was not kept."""
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_unique((ranking.query for ranking in self.rankings), "query")
        known = None if self.gallery is None else set(self.gallery)
        if self.gallery is not None:
            check_unique(self.gallery, "gallery video")
        for ranking in self.rankings:
            check_unique((hit.video_id for hit in ranking.hits), f"hit of {ranking.query}")
            other = next(
                (hit.video_id for hit in ranking.hits if known is not None and hit.video_id not in known), None
            )
            if other is not None:
                raise ValueError(f"{ranking.query} has the hit {other}, which is not in the gallery")


def check_unique(names: Iterable[str], what: str) -> None:
    """Raises: ValueError if a name is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"the {what} {name!r} is there twice")
        seen.add(name)
