"""What should be found: truths of video retrieval, published or one's own.

Published annotations are read by `retrieval_published`. Two forms can be written by hand.

Pairs, a CSV file in UTF-8: query, a video that answers it, and optionally a label::

    query,video,label
    ads/cut.mp4,films/whole.mp4,copy
    ads/cut.mp4,films/other.mp4,same scene
    ads/unrelated.mp4,,

A line without a video lists a query that nothing answers; it counts in micro-AP. The header may be left out.

``vidlang.retrieval_truth/1``, a JSON object in UTF-8::

    {"schema": "vidlang.retrieval_truth/1",
     "dataset": "cc-web" | "fivr-5k" | "fivr-200k" | "evve" | "vcdb" | "pairs",
     "version": str,                                  which edition of the labels
     "queries": [id, …],
     "database": [id, …] or null,                     what is ranked; null: whatever the results hold
     "num_database": int or null,                     its size where only that is known
     "relevant": {query: {label: [id, …]}},
     "groups": {query: name},
     "excluded": {query: [id, …]}}

An id such as ``#2005`` stands for a labelled video without a name (CC_WEB_VIDEO).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from vidlang.core.errors import BadAnnotation, BadInput, UnknownName
from vidlang.core.retrieval import RetrievalTruth
from vidlang.datasets.matching import path_key
from vidlang.datasets.published import read_text
from vidlang.datasets.retrieval_published import FIVR_EDITIONS, PUBLISHED, read_published

__all__ = [
    "FIVR_EDITIONS",
    "RETRIEVAL_DATASETS",
    "import_retrieval",
    "match_names",
    "read_pairs",
    "read_truth",
    "truth_from_json",
    "truth_to_json",
]

SCHEMA = "vidlang.retrieval_truth/1"
RETRIEVAL_DATASETS = (*PUBLISHED, "pairs")
DEFAULT_LABEL = "match"
"""Of pairs without a label."""
MAX_BYTES = 256 * 2**20


def import_retrieval(name: str, path: Path, *, labels: str | None = None) -> RetrievalTruth:
    """The truth of a data set from its annotation file: JSON, gzipped JSON, the published pickle, or for ``pairs`` CSV.

    path: the file, or a folder that holds it under its published name
    labels: for FIVR, the edition of the labels: ``dns-2021`` (default where the file has both) or ``official``

    Raises:
        UnknownName: there is no such data set.
        BadInput: ``fivr`` without its split, or ``labels`` for another data set.
        BadAnnotation: the file is missing, does not read, or contradicts itself.
    """
    if name == "fivr":
        raise BadInput("fivr has two splits: import fivr-5k or fivr-200k.")
    if name not in RETRIEVAL_DATASETS:
        raise UnknownName("retrieval data set", name, RETRIEVAL_DATASETS)
    if labels is not None and not name.startswith("fivr-"):
        raise BadInput(f"{name} has one edition of its labels; only fivr-5k and fivr-200k have several.")
    return read_pairs(path) if name == "pairs" else read_published(name, path, labels)


# -- pairs -----------------------------------------------------------------------------------------------------------


def read_pairs(path: Path) -> RetrievalTruth:
    """A truth from lines of query, video and label. Every pair is a positive, whatever its label.

    Raises:
        BadAnnotation: names the line and what to change.
    """
    relevant: dict[str, dict[str, set[str]]] = {}
    for at, cells in _lines(path):
        query, video, label = (*cells, "", "")[:3]
        if not query or len(cells) > 3:
            raise BadAnnotation(f"{at} should be query,video or query,video,label: {','.join(cells)!r}.")
        found = relevant.setdefault(query, {})
        if video:
            found.setdefault(label or DEFAULT_LABEL, set()).add(video)
    if not relevant:
        raise BadAnnotation(f"{path} lists no pair: each line needs a query and a video that answers it.")
    frozen = {q: {label: frozenset(ids) for label, ids in found.items()} for q, found in relevant.items()}
    return RetrievalTruth("pairs", path.name, tuple(relevant), frozen)


def _lines(path: Path) -> Iterable[tuple[str, list[str]]]:
    text = read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = next((mark for mark in ",;\t" if mark in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        header = True
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not (header and [cell.casefold() for cell in cells[:2]] == ["query", "video"]):
                yield f"{path.name}, line {reader.line_num}", cells
            header = False
    except csv.Error as error:
        raise BadAnnotation(f"{path.name}, line {reader.line_num} is not CSV ({error}): check its quotes.") from error


# -- JSON ------------------------------------------------------------------------------------------------------------


def truth_to_json(truth: RetrievalTruth) -> str:
    """The text of ``vidlang.retrieval_truth/1``; `truth_from_json` gives the truth back."""
    fields = {
        "schema": SCHEMA,
        "dataset": truth.dataset,
        "version": truth.version,
        "queries": list(truth.queries),
        "database": None if truth.database is None else list(truth.database),
        "num_database": truth.num_database,
        "relevant": {
            query: {label: sorted(ids) for label, ids in found.items()} for query, found in truth.relevant.items()
        },
        "groups": dict(truth.groups),
        "excluded": {query: sorted(ids) for query, ids in truth.excluded.items()},
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"


def read_truth(path: Path) -> RetrievalTruth:
    """The truth that ``datasets import`` wrote.

    Raises:
        BadAnnotation: not such a file.
    """
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise BadAnnotation(f"{path} has more than {MAX_BYTES >> 20} MiB: that is no truth of a retrieval.")
    return truth_from_json(read_text(path), str(path))


def truth_from_json(text: str, where: str = "the truth") -> RetrievalTruth:
    """Raises: BadAnnotation if the text is not ``vidlang.retrieval_truth/1``."""
    try:
        fields = json.loads(text)
        found = fields.get("schema") if isinstance(fields, dict) else None
        if found != SCHEMA:
            raise BadAnnotation(
                f"{where}: schema {found!r} where {SCHEMA!r} is read. "
                "Published files become one by: vidlang datasets import NAME FILE"
            )
        return _truth_from(fields)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        detail = f"{error} is missing" if isinstance(error, KeyError) else error
        raise BadAnnotation(f"{where} is not a {SCHEMA} ({detail}). Import it again.") from error


def _truth_from(fields: dict[str, Any]) -> RetrievalTruth:
    database, number = fields.get("database"), fields.get("num_database")
    if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
        raise ValueError(f"num_database is {number!r}")
    return RetrievalTruth(
        dataset=_text(fields["dataset"]),
        version=_text(fields["version"]),
        queries=_texts(fields["queries"]),
        relevant={
            query: {label: frozenset(_texts(ids)) for label, ids in found.items()}
            for query, found in fields["relevant"].items()
        },
        database=None if database is None else _texts(database),
        num_database=number,
        groups={query: _text(name) for query, name in fields.get("groups", {}).items()},
        excluded={query: frozenset(_texts(ids)) for query, ids in fields.get("excluded", {}).items()},
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no name")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise ValueError(f"{str(values)[:40]!r} is no list of names")
    return tuple(map(_text, values))


# -- names -----------------------------------------------------------------------------------------------------------


def _name(video_id: str) -> str:
    return path_key(video_id).rsplit("/", 1)[-1]


_WAYS: tuple[Callable[[str], str], ...] = (str, path_key, _name)
"""How a truth may name a video, strictest first: as it is, without its extension, without its folder."""


def match_names(wanted: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Which of the user's videos is which of the truth's: ``1/1_1_Y.flv`` is ``1_1_Y``.

    wanted: ids of the truth    known: ids of the results    returns: known → wanted, for those that have one

    Names are compared whole. Crop numbers (``__5``) are part of the name: YouTube ids may end so.

    Raises:
        BadInput: a wanted id fits several known ones, or several fit one; both are named.
    """
    known = list(dict.fromkeys(known))
    tables = [_index(known, way) for way in _WAYS]
    namesakes = _index(dict.fromkeys(wanted), _name)
    matched: dict[str, str] = {}
    for names in namesakes.values():
        for name in names:
            strict, found = next(
                (
                    (way is not _name, table[way(name)])
                    for way, table in zip(_WAYS, tables, strict=True)
                    if way(name) in table
                ),
                (True, []),
            )
            if not found:
                continue
            if len(found) > 1:
                raise BadInput(f"{name} of the truth may be {' or '.join(found[:3])}: rename or leave out one of them.")
            if not strict and len(names) > 1:
                raise BadInput(
                    f"{' and '.join(names[:2])} of the truth have one name, so {found[0]} may be either: "
                    "keep the folders of the truth."
                )
            other = matched.setdefault(found[0], name)
            if other != name:
                raise BadInput(f"{other} and {name} of the truth both fit {found[0]}: keep one of them.")
    return matched


def _index(ids: Iterable[str], key: Callable[[str], str]) -> dict[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for video_id in ids:
        found.setdefault(key(video_id), []).append(video_id)
    return dict(found)
