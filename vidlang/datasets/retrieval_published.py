"""CC_WEB_VIDEO, FIVR, EVVE and VCDB: published annotations of video retrieval.

Each is read from the pickle that circulates with the published evaluators, or from JSON with the same content:

cc-web      ``queries`` [24], ``vid2index`` or ``index`` {id: index}, ``ground_truth`` [24 × {index: label}],
            ``excluded`` [24 × indices]. Ids are ``<set>_<number>_<site>``. Index 2005, a positive of query 4, has none.
fivr-5k,    ``annotation`` {query: {label: ids}} with labels ND, DS, CS, IS, DA; ``5k`` and ``200k`` with ``queries``
fivr-200k   and ``database``. The ``annotation.json`` and ``youtube_ids.txt`` of MKLab-ITI/FIVR-200K are read as well.
            Labels exist in two editions (`FIVR_EDITIONS`); the published evaluators come with ``dns-2021``.
evve        ``annotation`` {event: (queries, positives, null)}, ``queries``, ``database``.
vcdb        ``index`` (core videos first, then distractors), ``video_pairs`` [{"videos": [a, b]}].

JSON may name them ``events``, ``splits`` and ``core``; where it leaves the database out, whatever was searched counts.

Source: the loaders of MKLab-ITI/visil, mever-team/distill-and-select and xwen99/temporal_context_aggregation.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vidlang.core.errors import BadAnnotation, BadInput
from vidlang.core.retrieval import RetrievalTruth
from vidlang.datasets.plain_pickle import MAX_BYTES, load_plain
from vidlang.datasets.published import read_text

PUBLISHED = ("cc-web", "fivr-5k", "fivr-200k", "evve", "vcdb")
FILES = {
    "cc-web": ("cc_web_video",),
    "fivr-5k": ("fivr", "annotation"),
    "fivr-200k": ("fivr", "annotation"),
    "evve": ("evve",),
    "vcdb": ("vcdb", "vcdb_core"),
}
"""Names of the published files, without ending."""
ENDINGS = (".json", ".json.gz", ".pickle", ".pkl", ".pk")
FIVR_EDITIONS = {"dns-2021": "annotation_dns_2021", "official": "annotation"}
"""Edition → its key in JSON that holds both."""
FIVR_COUNTS = {(1325, 6132, 1892, 3580): "dns-2021", (1325, 6133, 1887, 3523): "official"}
"""Numbers of ND, DS, CS and IS labels → the edition that has them."""
FIVR_200K_VIDEOS = 225_960
VCDB_VIDEOS = 100_310
ONE_EDITION = "published"
MAX_LABELS = 5_000_000
"""Names in one file: FIVR-200K has 240,000. A pickle can say one long list a thousand times at no cost."""


def read_published(name: str, path: Path, labels: str | None = None) -> RetrievalTruth:
    """The truth of a data set from its file, or from a folder that holds it.

    Raises:
        BadInput: the file has no such edition of the labels.
        BadAnnotation: the file is missing, does not read, or contradicts itself.
    """
    path = _find(name, path)
    facts = _Facts(_load(path), str(path))
    try:
        if name == "cc-web":
            return _cc_web(facts)
        if name == "evve":
            return _evve(facts)
        if name == "vcdb":
            return _vcdb(facts)
        return _fivr(facts, name, path, labels)
    except ValueError as error:
        raise BadAnnotation(f"{path} contradicts itself ({error}): get the file again.") from error


def _find(name: str, path: Path) -> Path:
    if not path.is_dir():
        return path
    names = [stem + ending for stem in FILES[name] for ending in ENDINGS]
    found = next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        raise BadAnnotation(f"{path} holds no {names[0]} and no {names[2]}: give the annotation file itself.")
    return found


def _load(path: Path) -> Any:
    """JSON, gzipped or not, or a pickle; told apart by the first bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if data[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(data)) as zipped:
                data = zipped.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadAnnotation(f"{path} cannot be read ({error}): give the annotation file.") from error
    if len(data) > MAX_BYTES:
        raise BadAnnotation(f"{path} has more than {MAX_BYTES >> 20} MiB, published files have a few: get it again.")
    if data.lstrip()[:1] != b"{":
        return load_plain(data, path)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadAnnotation(f"{path} is not JSON ({error}): get the file again.") from error


class _Facts:
    """Values of a file, each refused by name where it is not what the format says."""

    def __init__(self, content: Any, where: str) -> None:
        self.where = where
        self.num_names = 0
        self.content = self.mapping(content, "the file")

    def refuse(self, what: str, expected: str) -> BadAnnotation:
        return BadAnnotation(f"{self.where}: {what} should be {expected}: is it the annotation of another data set?")

    def __getitem__(self, key: str) -> Any:
        if key not in self.content:
            raise self.refuse(repr(key), f"there ({', '.join(map(repr, list(self.content)[:5]))} are)")
        return self.content[key]

    def first(self, *keys: str) -> Any:
        """The value of the first key that is there."""
        return self[next((key for key in keys if key in self.content), keys[0])]

    def mapping(self, value: Any, what: str) -> dict[Any, Any]:
        if not isinstance(value, dict) or not value:
            raise self.refuse(what, "a table")
        return value

    def items(self, value: Any, what: str) -> list[Any]:
        """Lists, tuples and sets; sets sorted, since they have no order of their own."""
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise self.refuse(what, "a list")
        self.num_names += len(value)
        if self.num_names > MAX_LABELS:
            raise BadAnnotation(f"{self.where} names more than {MAX_LABELS:,} videos: get the file again.")
        return sorted(value, key=str) if isinstance(value, (set, frozenset)) else list(value)

    def names(self, value: Any, what: str) -> list[str]:
        found = self.items(value, what)
        for name in found:
            if not isinstance(name, str) or not name:
                raise self.refuse(what, f"video ids, not {str(name)[:40]!r}")
        return found

    def whole(self, value: Any, what: str) -> int:
        """A whole number, or the text of one as JSON keys are."""
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refuse(what, f"whole numbers, not {str(value)[:40]!r}")
        return value


def _cc_web(facts: _Facts) -> RetrievalTruth:
    queries = facts.names(facts["queries"], "'queries'")
    index = facts.mapping(facts.first("vid2index", "index"), "'vid2index'")
    database = facts.names(list(index), "'vid2index'")
    named: dict[int, list[str]] = {}
    for video, number in index.items():
        named.setdefault(facts.whole(number, "'vid2index'"), []).append(video)

    def names_of(number: int) -> list[str]:
        return named.get(number, [f"#{number}"])

    truths = facts.items(facts["ground_truth"], "'ground_truth'")
    dropped = facts.items(facts["excluded"], "'excluded'")
    if not len(truths) == len(dropped) == len(queries):
        raise facts.refuse("'ground_truth' and 'excluded'", f"one entry for each of the {len(queries)} queries")
    relevant: dict[str, dict[str, frozenset[str]]] = {}
    excluded: dict[str, frozenset[str]] = {}
    for query, labels, without in zip(queries, truths, dropped, strict=True):
        found: dict[str, set[str]] = {}
        facts.items(list(facts.mapping(labels, "'ground_truth'")), "'ground_truth'")
        for number, label in labels.items():
            if not isinstance(label, str) or len(label) != 1:
                raise facts.refuse("'ground_truth'", f"labels of one letter, not {str(label)[:40]!r}")
            found.setdefault(label, set()).update(names_of(facts.whole(number, "'ground_truth'")))
        relevant[query] = {label: frozenset(ids) for label, ids in sorted(found.items())}
        numbers = (facts.whole(number, "'excluded'") for number in facts.items(without, "'excluded'"))
        excluded[query] = frozenset(video for number in numbers for video in names_of(number))
    return RetrievalTruth("cc-web", ONE_EDITION, tuple(queries), relevant, tuple(database), excluded=excluded)


def _evve(facts: _Facts) -> RetrievalTruth:
    events = facts.mapping(facts.first("events", "annotation"), "'events'")
    groups: dict[str, str] = {}
    relevant: dict[str, dict[str, frozenset[str]]] = {}
    for event, parts in events.items():
        if isinstance(parts, dict):
            parts = (parts.get("queries"), parts.get("positives"))
        if not isinstance(event, str) or not isinstance(parts, (list, tuple)) or len(parts) < 2:
            raise facts.refuse(f"event {str(event)[:40]!r}", "queries and positives")
        positives = frozenset(facts.names(parts[1], f"the positives of {event!r}"))
        for query in facts.names(parts[0], f"the queries of {event!r}"):
            if groups.setdefault(query, event) != event:
                raise BadAnnotation(f"{facts.where}: {query} is a query of {groups[query]!r} and of {event!r}.")
            relevant[query] = {"event": positives}
    queries = facts.names(facts["queries"], "'queries'")
    if set(queries) != set(groups):
        raise facts.refuse("'queries'", "those of the events")
    database = facts.names(facts["database"], "'database'")
    return RetrievalTruth("evve", ONE_EDITION, tuple(queries), relevant, tuple(database), groups=groups)


def _vcdb(facts: _Facts) -> RetrievalTruth:
    copies: dict[str, set[str]] = {}
    for pair in facts.items(facts["video_pairs"], "'video_pairs'"):
        videos = pair.get("videos") if isinstance(pair, dict) else pair
        if not isinstance(videos, (list, tuple)) or len(videos) < 2:
            raise facts.refuse("'video_pairs'", "pairs of videos")
        one, other = facts.names(list(videos[:2]), "'video_pairs'")
        copies.setdefault(one, set()).add(other)
        copies.setdefault(other, set()).add(one)
    whole = "index" in facts.content
    listed = list(dict.fromkeys(facts.names(facts.first("index", "core"), "'index'")))
    unknown = set(copies) - set(listed)
    if unknown:
        raise BadAnnotation(f"{facts.where}: {min(unknown)} is in a pair but not in the list of videos.")
    queries = tuple(video for video in listed if not whole or video in copies)
    return RetrievalTruth(
        "vcdb",
        ONE_EDITION,
        queries,
        {query: {"copy": frozenset(copies.get(query, ()))} for query in queries},
        database=tuple(listed) if whole else None,
        num_database=None if whole else VCDB_VIDEOS,
    )


def _fivr(facts: _Facts, name: str, path: Path, labels: str | None) -> RetrievalTruth:
    split = name.removeprefix("fivr-")
    bare = "annotation" not in facts.content
    annotation = facts.content if bare else _fivr_edition(facts, labels)
    relevant = {query: _fivr_labels(facts, query, found) for query, found in annotation.items()}
    counts = Counter(label for found in relevant.values() for label, ids in found.items() for _ in ids)
    edition = FIVR_COUNTS.get((counts["ND"], counts["DS"], counts["CS"], counts["IS"]), "other")
    if labels is not None and bare and labels != edition:
        raise BadInput(f"{path} holds the edition {edition!r} of FIVR's labels, not {labels!r}.")
    splits = {} if bare else facts.content.get("splits", facts.content)
    database: tuple[str, ...] | None = None
    if split in splits:
        parts = facts.mapping(splits[split], repr(split))
        queries = tuple(facts.names(parts.get("queries"), f"the queries of {split}"))
        if not isinstance(parts.get("database"), str):  # where it only says which list is meant
            database = tuple(dict.fromkeys(facts.names(parts.get("database"), f"the database of {split}")))
    elif split == "200k" and bare:
        queries = tuple(relevant)
    else:
        raise facts.refuse(f"the split {split!r}", "there (annotation.json has none, fivr.pickle has both)")
    if database is None and split == "200k":
        database = _youtube_ids(path.parent / "youtube_ids.txt")
    lost = [query for query in queries if query not in relevant]
    if lost:
        raise BadAnnotation(f"{path}: query {lost[0]} of {split} has no labels: get the file again.")
    return RetrievalTruth(
        name,
        edition,
        queries,
        {query: relevant[query] for query in queries},
        database=database,
        num_database=FIVR_200K_VIDEOS if database is None and split == "200k" else None,
    )


def _fivr_edition(facts: _Facts, labels: str | None) -> dict[Any, Any]:
    """The annotation of an edition; a file that holds one edition says nothing of its name."""
    several = FIVR_EDITIONS["dns-2021"] in facts.content
    if labels is not None and labels not in FIVR_EDITIONS:
        raise BadInput(f"FIVR has no edition {labels!r} of its labels. Known: {', '.join(FIVR_EDITIONS)}.")
    if labels is not None and not several:
        raise BadInput(f"{facts.where} holds one edition of FIVR's labels: leave --labels out.")
    return facts.mapping(facts[FIVR_EDITIONS[labels or "dns-2021"] if several else "annotation"], "'annotation'")


def _fivr_labels(facts: _Facts, query: Any, found: Any) -> dict[str, frozenset[str]]:
    if not isinstance(query, str) or not isinstance(found, Mapping):
        raise facts.refuse(f"query {str(query)[:40]!r}", "labels with video ids")
    kinds = ("ND", "DS", "CS", "IS", "DA")
    other = [label for label in found if label not in kinds]
    if other:
        raise facts.refuse(f"label {str(other[0])[:40]!r} of {query}", f"one of {', '.join(kinds)}")
    named = {label: frozenset(_fivr_ids(facts, ids, f"{label} of {query}")) for label, ids in found.items()}
    # The edition of 2021 lists the names of labels where the audio duplicates should stand.
    return {
        label: named[label] for label in kinds if label in named and not (label == "DA" and named[label] <= set(kinds))
    }


def _fivr_ids(facts: _Facts, ids: Any, what: str) -> Collection[str]:
    if isinstance(ids, dict):  # audio duplicates by visual label
        return {name for part in ids.values() for name in facts.names(part, what)}
    return facts.names(ids, what)


def _youtube_ids(path: Path) -> tuple[str, ...] | None:
    """The database of FIVR-200K, one id a line; None where the file is not beside the annotation."""
    if not path.is_file():
        return None
    return tuple(dict.fromkeys(line.strip() for line in read_text(path).splitlines() if line.strip()))
