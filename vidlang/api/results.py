"""What the verbs answer: the reports of the workflows, with their rows at hand."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from numpy.typing import ArrayLike

from vidlang.core import Detections, FeatureKey, FeatureRecipe, Features, Outcome, Ranking, Scores, UnknownName
from vidlang.core.digits import share
from vidlang.core.tables import Tabular, html_table, stacked
from vidlang.store.feature_cache import FeatureCache

if TYPE_CHECKING:
    from vidlang.workflows.extract import ExtractReport
    from vidlang.workflows.localize import LocalizedVideo, LocalizeReport
    from vidlang.workflows.retrieve import RetrieveReport
    from vidlang.workflows.score import ScoreReport

One = TypeVar("One")
"""Result of one video or query."""


@dataclass(frozen=True, eq=False)
class ExtractResult:
    """Features of the videos asked for. They stay in the cache and are read one after the other, when they are used."""

    report: ExtractReport
    cache: FeatureCache

    @property
    def recipe(self) -> FeatureRecipe:
        return self.report.recipe

    @property
    def ids(self) -> tuple[str, ...]:
        """Videos that have features."""
        return tuple(outcome.video_id for outcome in self.report.outcomes if outcome.status != "failed")

    @property
    def failed(self) -> tuple[Outcome, ...]:
        return _failed(self.report.outcomes)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Features]:
        return self.cache.get_many(FeatureKey(video_id, self.recipe) for video_id in self.ids)

    def __getitem__(self, video: str | int) -> Features:
        """By id or by place.

        Raises:
            UnknownName: no such video.
        """
        return self.cache.get(FeatureKey(self.ids[_place(video, self.ids)], self.recipe))

    def to_dict(self) -> dict[str, Any]:
        """As ``vidlang extract --json``."""
        return self.report.to_dict()

    def _repr_html_(self) -> str:
        outcomes = self.report.outcomes
        columns: dict[str, ArrayLike] = {
            "video": [outcome.video_id for outcome in outcomes],
            "status": [outcome.status for outcome in outcomes],
            "detail": [str(outcome.error or outcome.detail) for outcome in outcomes],
        }
        return html_table(columns, caption=f"Features {self.recipe.name}")


class _Several(Tabular, Generic[One]):
    """One result for each video or query that did not fail."""

    report: ScoreReport | LocalizeReport | RetrieveReport

    @abstractmethod
    def _named(self) -> tuple[tuple[str, ...], tuple[One, ...]]:
        """Ids of the videos, or the queries, and their results."""

    @property
    def failed(self) -> tuple[Outcome, ...]:
        return _failed(self.report.outcomes)

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.report.folder

    def __len__(self) -> int:
        return len(self._named()[1])

    def __iter__(self) -> Iterator[One]:
        return iter(self._named()[1])

    def __getitem__(self, name: str | int) -> One:
        """By the id of a video, by a query, or by place.

        Raises:
            UnknownName: no such video or query.
        """
        names, results = self._named()
        return results[_place(name, names)]


@dataclass(frozen=True, eq=False)
class ScoreResult(_Several[Scores]):
    """Anomaly scores and events of the videos asked for."""

    report: ScoreReport

    @property
    def scores(self) -> tuple[Scores, ...]:
        return self.report.scores

    @property
    def events(self) -> Detections:
        """Of all videos; ``events.of(video_id)`` are those of one."""
        return Detections(event for events in self.report.events for event in events)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(scores.video.id for scores in self.scores)

    def _named(self) -> tuple[tuple[str, ...], tuple[Scores, ...]]:
        return self.ids, self.scores

    @property
    def threshold(self) -> float:
        return self.report.threshold

    def columns(self) -> dict[str, ArrayLike]:
        """One row a snippet of all videos, as ``scores.csv``."""
        return stacked(scores.columns() for scores in self.scores)

    def to_dict(self) -> dict[str, Any]:
        """As ``vidlang score --json``."""
        from vidlang.workflows.score import score_report_dict

        return score_report_dict(self.report)

    def _repr_html_(self) -> str:
        columns: dict[str, ArrayLike] = {
            "video": list(self.ids),
            "seconds": [scores.video.duration for scores in self.scores],
            "highest score": [float(scores.anomaly.max()) for scores in self.scores],
            "events": [len(events) for events in self.report.events],
        }
        return html_table(columns, caption=f"Anomaly scores; events from {share(self.threshold)}")


@dataclass(frozen=True, eq=False)
class LocalizeResult(_Several["LocalizedVideo"]):
    """Action segments of the videos asked for."""

    report: LocalizeReport

    @property
    def videos(self) -> tuple[LocalizedVideo, ...]:
        """With curves and scores of the whole video."""
        return self.report.videos

    @property
    def detections(self) -> Detections:
        """Of all videos, best first in each; ``detections.of(video_id)`` are those of one."""
        return Detections(found for video in self.report.videos for found in video.detections)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.report.class_names

    def _named(self) -> tuple[tuple[str, ...], tuple[LocalizedVideo, ...]]:
        return tuple(found.video.id for found in self.videos), self.videos

    def columns(self) -> dict[str, ArrayLike]:
        """One row a segment, as ``detections.csv``."""
        return self.detections.columns()

    def to_dict(self) -> dict[str, Any]:
        """As ``vidlang localize --json``."""
        return self.report.to_dict()

    def _caption(self) -> str:
        return f"{len(self.detections)} segments in {len(self)} videos"


@dataclass(frozen=True, eq=False)
class RetrieveResult(_Several[Ranking]):
    """Hits of every query."""

    report: RetrieveReport

    @property
    def rankings(self) -> tuple[Ranking, ...]:
        return self.report.rankings

    def _named(self) -> tuple[tuple[str, ...], tuple[Ranking, ...]]:
        return tuple(ranking.query for ranking in self.rankings), self.rankings

    def columns(self) -> dict[str, ArrayLike]:
        """One row a matched segment, as ``rankings.csv``."""
        return stacked(ranking.columns() for ranking in self.rankings)

    def to_dict(self) -> dict[str, Any]:
        """As ``vidlang retrieve --json``."""
        return self.report.to_dict()

    def _caption(self) -> str:
        return f"Hits of {len(self)} queries"


def _failed(outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    """Each with its reason as ``error``."""
    return tuple(outcome for outcome in outcomes if outcome.status == "failed")


def _place(name: str | int, names: tuple[str, ...]) -> int:
    if isinstance(name, int):
        return name
    if name not in names:
        raise UnknownName("result", name, names)
    return names.index(name)
