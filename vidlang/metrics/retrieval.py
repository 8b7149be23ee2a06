"""How well videos are found.

Conventions
    A query asks the gallery, the videos that were searched. Higher similarities come first; equal ones keep the order
    of the gallery. Ranks count from 1. A positive is a video that the truth names for the query. A task is one way to
    count a data set, such as DSVR of FIVR-200K.

Metrics of a task
    ``mean_ap``    mean over the queries of the average precision: precision at each positive, summed, over the number
                   of positives; one that was not found adds nothing. EVVE takes trapezoids (see
                   `trapezoid_average_precision`).
    ``micro_ap``   average precision of all query-video pairs in one list, so that similarities of different queries
                   must be comparable; equal similarities are one step. Queries without a positive take part.
    ``recall[k]``  share of the queries with at least one positive among the first k
    ``groups``     mean of the average precision over the queries of a group (the events of EVVE)
    All are fractions of 1.

Tasks
    cc-web      ``cc`` ranks the videos labelled in the query's set, ``cc*`` the whole database; ``cc_c`` and ``cc_c*``
                do so on the cleaned edition. Positive labels are E, S, L, M, V.
    fivr-*      ``DSVR`` (labels ND, DS), ``CSVR`` (and CS), ``ISVR`` (and IS); ``DAVR`` (DA) where audio is labelled
    evve        ``events``
    vcdb        ``copies``
    others      ``all``, and one task per label where there are several

Mode ``reference`` counts as the published evaluators do
    Ranked are the gallery's videos that belong to the database; means go over the queries that have results.
    cc-web      The query stays in its ranking and is a positive. All labelled positives count, also those that were not
                searched and the one that has no name (so that a perfect ranking of ``cc`` reaches 0.99974).
    fivr-*      The query is not ranked. Positives count if they were searched or are queries with results. A query
                listed among its own positives (eCrhXArKE24) counts there and cannot be found.
    evve        As fivr; a query without positives scores 0; a group's mean divides by its queries with results.
    vcdb        As fivr, and every query is its own positive, so that a perfect ranking stays below 1.
    Differs: a FIVR query without positives divides by zero in the published code; here it is skipped and named.
    Other data sets have no published evaluator and are counted as in mode ``clean``.

Mode ``clean`` is one rule for all
    The query is neither ranked nor a positive. Positives are the labelled videos that were searched. A query without
    positives is skipped and named; means go over the others.

Where the results do not say what was searched (rankings without a gallery), positives are all labelled videos of the
database in both modes, and a group's mean in mode ``reference`` divides by all its queries.

References
    Wu, Hauptmann, Ngo: Practical elimination of near-duplicates from web video search, ACM MM 2007 (CC_WEB_VIDEO).
    Kordopatis-Zilos et al.: FIVR: Fine-grained incident video retrieval, IEEE TMM 2019; ViSiL, ICCV 2019.
    Revaud et al.: Event retrieval in large video collections with circulant temporal encoding, CVPR 2013 (EVVE).
    Jiang, Jiang, Wang: VCDB: a large-scale database for partial copy detection in videos, ECCV 2014.
    Shao et al.: Temporal context aggregation for video retrieval with contrastive learning, WACV 2021.
    Douze et al.: The 2021 image similarity dataset and challenge, 2021 (micro-AP).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidlang.core.errors import BadInput
from vidlang.core.retrieval import Rankings, RetrievalTruth, Similarities

__all__ = [
    "Coverage",
    "RetrievalScores",
    "TaskScores",
    "average_precision",
    "evaluate",
    "micro_average_precision",
    "trapezoid_average_precision",
]

Mode = Literal["clean", "reference"]
RECALL_AT = (1, 5, 10, 100)
COMPARABLE_SHARE = 0.99
"""Below this share of queries, positives or database videos, a number says nothing beside a published one."""
PUBLISHED = ("cc-web", "fivr-5k", "fivr-200k", "evve", "vcdb")
"""Data sets with published figures."""


def average_precision(ranks: ArrayLike, num_positives: int) -> float:
    """Precision at each positive found, over the number of positives.

    ranks: [n] of the positives found, from 1, ascending    num_positives: at least n, found or not

    Raises:
        ValueError: no positives, or ranks that cannot be.
    """
    places = _checked(ranks, num_positives)
    return float((np.arange(1, len(places) + 1) / places).sum() / num_positives)


def trapezoid_average_precision(ranks: ArrayLike, num_positives: int) -> float:
    """Area under the precision-recall curve by trapezoids: at each positive the mean of the precision just before it
    and at it; the precision before the first rank is 1.

    ranks: [n] of the positives found, from 1, ascending    num_positives: at least n, found or not

    Raises:
        ValueError: no positives, or ranks that cannot be.
    Source: Revaud et al., CVPR 2013, the evaluation script of EVVE; Philbin et al., CVPR 2007.
    """
    places = _checked(ranks, num_positives)
    found = np.arange(len(places))
    before = np.where(places > 1, found / np.maximum(places - 1, 1), 1.0)
    return float(((before + (found + 1) / places) / 2).sum() / num_positives)


def _checked(ranks: ArrayLike, num_positives: int) -> NDArray[np.int64]:
    places = np.asarray(ranks, dtype=np.int64)
    if places.ndim != 1 or len(places) > num_positives or num_positives < 1:
        raise ValueError(f"ranks must be [n] of at most {num_positives} positives, at least 1, got {places.shape}")
    if len(places) and (places[0] < 1 or (np.diff(places) < 1).any()):
        raise ValueError("ranks must ascend from 1 or later")
    return places


def micro_average_precision(truth: ArrayLike, similarities: ArrayLike, num_positives: int | None = None) -> float:
    """Average precision of one list of pairs; equal similarities are one step.

    truth: [N] bool    similarities: [N]    num_positives: found or not; default those in ``truth``

    Raises:
        ValueError: lengths differ, or there is no positive.
    """
    true, values = np.asarray(truth, dtype=bool), np.asarray(similarities)
    if true.ndim != 1 or values.shape != true.shape:
        raise ValueError(f"truth and similarities must be [N] of one length, got {true.shape} and {values.shape}")
    steps = _Steps(values[true])
    steps.add(np.sort(values)[::-1])
    return steps.average_precision(int(true.sum()) if num_positives is None else num_positives)


class _Steps:
    """Precision and recall at the similarity of every positive, over rows of pairs that come one after the other."""

    def __init__(self, positives: NDArray[np.floating]) -> None:
        self.thresholds, counts = np.unique(-positives, return_counts=True)  # negated: falling similarity
        self.true = np.cumsum(counts)
        """Positives at or above each threshold."""
        self.all = np.zeros(len(self.thresholds), dtype=np.int64)
        """Pairs at or above each threshold."""

    def add(self, row: NDArray[np.floating]) -> None:
        """row: similarities of pairs, falling; positives among them"""
        self.all += np.searchsorted(-row, self.thresholds, side="right")

    def average_precision(self, num_positives: int) -> float:
        if num_positives < 1 or num_positives < (self.true[-1] if len(self.true) else 0):
            raise ValueError(f"num_positives is {num_positives}: at least 1, and all that are in the list")
        steps = np.diff(self.true, prepend=0)
        return float((steps * self.true / np.maximum(self.all, 1)).sum() / num_positives)

    def curve(self, num_positives: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Recall from 0 on, and precision; what was never ranked is not on it."""
        precision = self.true / np.maximum(self.all, 1)
        return np.concatenate([[0.0], self.true / num_positives]), np.concatenate([precision[:1], precision])


@dataclass(frozen=True)
class TaskScores:
    """The metrics of one task."""

    name: str
    mean_ap: float | None
    """None where no query has a positive; likewise below."""
    micro_ap: float | None
    recall: Mapping[int, float]
    """k → share of the queries."""
    per_query: Mapping[str, float]
    """Average precision of each query that counts."""
    num_positives: int
    """Pairs of query and positive that count."""
    num_found: int
    """Those that were ranked."""
    skipped: tuple[str, ...] = ()
    """Queries without a positive."""
    groups: Mapping[str, float] = field(default_factory=dict)
    pairs_curve: tuple[NDArray[np.float64], NDArray[np.float64]] | None = field(default=None, compare=False, repr=False)
    """Recall [P] and precision [P] over all pairs of query and video together, by falling similarity; the steps under
    it are the micro-AP."""


@dataclass(frozen=True)
class Coverage:
    """How much of the data set took part, as shares; None where it cannot be known."""

    queries: float
    positives: float | None
    """Pairs of query and positive whose video was searched."""
    database: float | None

    def lines(self) -> list[str]:
        """``queries: 100.0 %``"""
        parts = {"queries": self.queries, "positives": self.positives, "database": self.database}
        return [f"{name}: " + ("not known" if s is None else f"{_percent(s)} %") for name, s in parts.items()]

    def lowest(self) -> float | None:
        """The smallest share; None if one is not known."""
        shares = (self.queries, self.positives, self.database)
        return None if None in shares else min(share for share in shares if share is not None)


@dataclass(frozen=True)
class RetrievalScores:
    """What was measured, over how much of the data set, and what people should know of it."""

    dataset: str
    version: str
    mode: Mode
    tasks: tuple[TaskScores, ...]
    coverage: Coverage
    comparable: bool | None
    """Whether the data set took part whole enough to stand beside published figures; None where there are none."""
    num_queries: int
    """Queries of the truth that have results."""
    num_gallery: int | None
    """Videos searched; None where the results do not say."""
    notes: tuple[str, ...] = ()

    def task(self, name: str) -> TaskScores:
        """The task of that name. Raises: KeyError if there is none."""
        return {task.name: task for task in self.tasks}[name]


@dataclass(frozen=True)
class _Task:
    """Which labels make a positive, and which videos are ranked."""

    name: str
    labels: Collection[str] | None = None
    """None: all."""
    labelled_only: bool = False
    """Rank the videos with a label for the query, whichever, and no others."""
    cleaned: bool = False
    """Leave out the excluded videos."""


@dataclass(frozen=True)
class _Rules:
    """How a published evaluator departs from mode ``clean``."""

    query_stays: bool = False
    """The query is ranked and may be its own positive."""
    all_positives: bool = False
    """Positives count that were not searched."""
    own_positive: Literal["never", "where listed", "always"] = "where listed"
    """Whether the query is counted among its positives, although it is not ranked."""
    empty_scores_zero: bool = False


_CLEAN = _Rules(own_positive="never")
_REFERENCE = {
    "cc-web": _Rules(query_stays=True, all_positives=True),
    "fivr-5k": _Rules(),
    "fivr-200k": _Rules(),
    "evve": _Rules(empty_scores_zero=True),
    "vcdb": _Rules(own_positive="always"),
}
_CC_WEB_POSITIVE = "ESLMV"


def _tasks(truth: RetrievalTruth) -> list[_Task]:
    labels = list(dict.fromkeys(label for found in truth.relevant.values() for label in found))
    if truth.dataset == "cc-web":
        return [
            _Task(name, _CC_WEB_POSITIVE, labelled_only="*" not in name, cleaned="_c" in name)
            for name in ("cc", "cc*", "cc_c", "cc_c*")
        ]
    if truth.dataset.startswith("fivr-"):
        grades = (("DSVR", 2), ("CSVR", 3), ("ISVR", 4))
        tasks = [_Task(name, ("ND", "DS", "CS", "IS")[:count]) for name, count in grades]
        return tasks + [_Task("DAVR", ("DA",))] * ("DA" in labels)
    if truth.dataset == "evve":
        return [_Task("events")]
    if truth.dataset == "vcdb":
        return [_Task("copies")]
    return [_Task("all")] + [_Task(label, (label,)) for label in labels if len(labels) > 1]


class _Answers:
    """Similarities or rankings, seen alike: for each query the places in the gallery and the similarities."""

    def __init__(self, results: Similarities | Rankings) -> None:
        self.results = results
        if isinstance(results, Similarities):
            self.queries = {query: row for row, query in enumerate(results.queries)}
            ids: Sequence[str] = results.ids
            self.searched_known = True
        else:
            self.queries = {ranking.query: row for row, ranking in enumerate(results.rankings)}
            hits = (hit.video_id for ranking in results.rankings for hit in ranking.hits)
            ids = list(dict.fromkeys(hits)) if results.gallery is None else results.gallery
            self.searched_known = results.gallery is not None
        self.place = {video: place for place, video in enumerate(ids)}
        """Video → place in the gallery."""

    def row(self, query: str) -> tuple[NDArray[np.int64] | None, NDArray[np.floating]]:
        """Places (None: all, in order) and similarities, each [n]."""
        row = self.queries[query]
        if isinstance(self.results, Similarities):
            return None, self.results.values[row]
        hits = self.results.rankings[row].hits
        places = np.fromiter((self.place[hit.video_id] for hit in hits), dtype=np.int64, count=len(hits))
        return places, np.fromiter((hit.similarity for hit in hits), dtype=np.float64, count=len(hits))

    def ranked(self, query: str) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
        """The same, most similar first."""
        places, values = self.row(query)
        order = np.argsort(-values, kind="stable")
        return order if places is None else places[order], values[order]

    def num_cut(self) -> int | None:
        """The most hits of a query, if some query lacks videos of the gallery."""
        if isinstance(self.results, Similarities):
            return None
        counts = [len(ranking.hits) for ranking in self.results.rankings]
        # a query is usually left out of its own hits
        whole = [len(self.place) - (ranking.query in self.place) for ranking in self.results.rankings]
        cut = any(count < most for count, most in zip(counts, whole, strict=True))
        return max(counts, default=0) if cut else None


@dataclass(frozen=True, eq=False)
class _Question:
    """One query in one task."""

    num_positives: int
    positives: NDArray[np.int64]
    """Places of those that can be found."""
    only: NDArray[np.int64] | None
    """Places that are ranked; None: the whole database."""
    without: NDArray[np.int64]
    """Places that are not."""


class _Count:
    """One truth and one set of results, counted by one set of rules."""

    def __init__(self, truth: RetrievalTruth, answers: _Answers, rules: _Rules, clean: bool) -> None:
        self.truth, self.answers, self.rules, self.clean = truth, answers, rules, clean
        self.queries = [query for query in truth.queries if query in answers.queries]
        named = None if truth.database is None else set(truth.database)
        size = len(answers.place)
        self.in_database = np.fromiter((named is None or v in named for v in answers.place), dtype=bool, count=size)
        """[M] which of the gallery is ranked."""
        known = named
        if answers.searched_known:
            known = {video for video, kept in zip(answers.place, self.in_database, strict=True) if kept}
            if not clean:
                known |= set(self.queries)
        self.known = known
        """What can be a positive; None: anything."""

    def _places(self, videos: Collection[str]) -> NDArray[np.int64]:
        place = self.answers.place
        return np.array(sorted(place[video] for video in videos if video in place), dtype=np.int64)

    def question(self, task: _Task, query: str) -> _Question:
        rules, truth = self.rules, self.truth
        dropped = truth.excluded.get(query, frozenset()) if task.cleaned else frozenset()
        positives = truth.positives(query, task.labels) - dropped
        if rules.own_positive == "always":
            positives |= {query}
        elif rules.own_positive == "never":
            positives -= {query}
        if not rules.all_positives and self.known is not None:
            positives &= self.known
        unranked = dropped if rules.query_stays else dropped | {query}
        only = self._places(truth.positives(query)) if task.labelled_only else None
        places = self._places(positives - unranked)
        return _Question(len(positives), places[self.in_database[places]], only, self._places(unranked))

    def ranked(self, question: _Question) -> NDArray[np.bool_]:
        """[M] which videos take part."""
        if question.only is None:
            mask = self.in_database.copy()
        else:
            mask = np.zeros_like(self.in_database)
            mask[question.only] = self.in_database[question.only]
        mask[question.without] = False
        return mask


class _Tally:
    """What adds up over the queries of a task."""

    def __init__(self, task: _Task, questions: Mapping[str, _Question], zero: bool) -> None:
        self.task = task
        self.questions = questions
        empty = tuple(query for query, question in questions.items() if not question.num_positives)
        self.per_query = dict.fromkeys(empty, 0.0) if zero else {}
        self.skipped = () if zero else empty
        self.found = dict.fromkeys(RECALL_AT, 0)
        self.num_found = 0
        self.steps = _Steps(np.zeros(0))

    def add(self, query: str, ranks: NDArray[np.int64], ap: float) -> None:
        self.per_query[query] = ap
        self.num_found += len(ranks)
        for k in RECALL_AT:
            self.found[k] += int(len(ranks) > 0 and ranks[0] <= k)

    def scores(
        self, order: Sequence[str], groups: Mapping[str, Sequence[str]], divisors: Mapping[str, int]
    ) -> TaskScores:
        per_query = {query: self.per_query[query] for query in order if query in self.per_query}
        total = sum(question.num_positives for question in self.questions.values())
        sums = {name: sum(per_query.get(q, 0.0) for q in members) for name, members in groups.items()}
        counts = {name: sum(q in per_query for q in members) for name, members in groups.items()}
        return TaskScores(
            name=self.task.name,
            mean_ap=float(np.mean(list(per_query.values()))) if per_query else None,
            micro_ap=self.steps.average_precision(total) if total else None,
            recall={k: count / len(per_query) for k, count in self.found.items()} if per_query else {},
            per_query=per_query,
            num_positives=total,
            num_found=self.num_found,
            skipped=self.skipped,
            groups={name: sums[name] / divisors.get(name, counts[name]) for name in sorted(sums) if counts[name]},
            pairs_curve=self.steps.curve(total) if total and len(self.steps.true) else None,
        )


def evaluate(truth: RetrievalTruth, results: Similarities | Rankings, mode: Mode = "clean") -> RetrievalScores:
    """Every metric of every task, over the queries that have results. The module's docstring states the rules.

    Videos are the same where their ids are the same; ids that the truth does not know are distractors where the
    database is not listed, and are not ranked where it is.

    Raises:
        BadInput: no query of the truth has results.
    """
    answers = _Answers(results)
    clean = mode == "clean" or truth.dataset not in _REFERENCE
    rules = _CLEAN if clean else _REFERENCE[truth.dataset]
    count = _Count(truth, answers, rules, clean)
    if not count.queries:
        raise BadInput(
            f"no query of the truth ({truth.queries[0]}, …) has results "
            f"({', '.join(list(answers.queries)[:2]) or 'there are none'}, …): do truth and results belong together?"
        )
    measure = trapezoid_average_precision if truth.dataset == "evve" else average_precision
    tallies = [
        _Tally(task, {query: count.question(task, query) for query in count.queries}, rules.empty_scores_zero)
        for task in _tasks(truth)
    ]
    _fill(tallies, count, measure)
    groups: dict[str, list[str]] = {}
    for query in truth.queries:
        if query in truth.groups:
            groups.setdefault(truth.groups[query], []).append(query)
    divisors = {} if clean or answers.searched_known else {name: len(members) for name, members in groups.items()}
    tasks = tuple(tally.scores(count.queries, groups, divisors) for tally in tallies)
    coverage = _coverage(truth, answers, count)
    comparable = _comparable(truth, coverage, answers)
    return RetrievalScores(
        truth.dataset,
        truth.version,
        mode,
        tasks,
        coverage,
        comparable,
        num_queries=len(count.queries),
        num_gallery=len(answers.place) if answers.searched_known else None,
        notes=tuple(_notes(truth, answers, count, tasks, coverage, comparable)),
    )


def _fill(tallies: Sequence[_Tally], count: _Count, measure: Callable[[ArrayLike, int], float]) -> None:
    """Rank each query once, and count it in every task."""
    answers = count.answers
    for tally in tallies:
        parts = []
        for query, question in tally.questions.items():
            places, values = answers.row(query)
            parts.append(values[question.positives if places is None else np.isin(places, question.positives)])
        tally.steps = _Steps(np.concatenate(parts) if parts else np.zeros(0))
    for query in count.queries:
        places, values = answers.ranked(query)
        for tally in tallies:
            question = tally.questions[query]
            kept = count.ranked(question)[places]
            tally.steps.add(values[kept])
            if question.num_positives:
                positive = np.zeros(len(answers.place), dtype=bool)
                positive[question.positives] = True
                ranks = np.flatnonzero(positive[places[kept]]) + 1
                tally.add(query, ranks, measure(ranks, question.num_positives))


def _coverage(truth: RetrievalTruth, answers: _Answers, count: _Count) -> Coverage:
    labels = _CC_WEB_POSITIVE if truth.dataset == "cc-web" else None
    named = None if truth.database is None else set(truth.database)
    total = found = 0
    for query in truth.queries:
        positives = truth.positives(query, labels) - {query}
        positives = positives if named is None else positives & named  # FIVR-5K keeps the labels of FIVR-200K
        total += len(positives)
        found += sum(video in answers.place for video in positives)
    searched = int(count.in_database.sum())
    size = truth.num_database if truth.database is None else len(truth.database)
    known = answers.searched_known
    return Coverage(
        len(count.queries) / len(truth.queries),
        found / total if known and total else None,
        min(searched / size, 1.0) if known and size else None,
    )


def _comparable(truth: RetrievalTruth, coverage: Coverage, answers: _Answers) -> bool | None:
    if truth.dataset not in PUBLISHED:
        return None
    lowest = coverage.lowest()
    return lowest is not None and lowest >= COMPARABLE_SHARE and answers.num_cut() is None


def _notes(
    truth: RetrievalTruth,
    answers: _Answers,
    count: _Count,
    tasks: Sequence[TaskScores],
    coverage: Coverage,
    comparable: bool | None,
) -> list[str]:
    notes = []
    cut = answers.num_cut()
    if comparable is False:
        parts = {"queries": coverage.queries, "positives": coverage.positives, "database": coverage.database}
        low = [f"{_percent(s)} % of the {name}" for name, s in parts.items() if s is not None and s < COMPARABLE_SHARE]
        reasons = [f"only {', '.join(low)}"] if low else []
        reasons += ["the results do not say which videos were searched"] * (not answers.searched_known)
        reasons += ["the size of the searched database is not known"] * (
            answers.searched_known and coverage.database is None
        )
        reasons += [f"the rankings end after {cut} hits"] * (cut is not None and answers.searched_known)
        notes.append(f"not comparable with published figures: {'; '.join(reasons)}")
    if cut is not None or not answers.searched_known:
        notes.append("positives beyond the end of a ranking count as not found")
    silent = [query for query in truth.queries if query not in answers.queries]
    if silent:
        notes.append(f"{len(silent)} queries of the truth have no results and are left out, such as {silent[0]}")
    asked = set(truth.queries)
    others = [query for query in answers.queries if query not in asked]
    if others:
        notes.append(f"{len(others)} queries of the results are not in the truth and are left out, such as {others[0]}")
    outside = int((~count.in_database).sum())
    if outside:
        notes.append(f"{outside} videos of the gallery are not in the database and are not ranked")
    for task in tasks:
        if task.skipped:
            names = ", ".join(task.skipped[:3]) + (", …" if len(task.skipped) > 3 else "")
            notes.append(f"{task.name}: {len(task.skipped)} queries without a positive are skipped: {names}")
    return notes


def _percent(share: float) -> str:
    """Cut, not rounded: 98.96 % is not 99.0 %."""
    return f"{int(share * 1000 + 1e-6) / 10:.1f}"
