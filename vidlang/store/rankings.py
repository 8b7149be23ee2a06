"""What a retrieval found: rankings as JSON Lines and CSV, and the complete matrix of similarities.

``vidlang.rankings/1``, JSON Lines in UTF-8, one query a line, blank lines ignored, no NaN or infinity anywhere::

    {"schema": "vidlang.rankings/1", "gallery": [id, …],  "made_by": {…}}                  optional, the first line
    {"schema": "vidlang.rankings/1", "query": id,
     "hits": [{"video": id, "similarity": float,
               "segments": [[[start, end], [start, end]], …]}, …],                          most similar first
     "made_by": {…}}

``gallery`` lists every video that was searched; without it nobody can tell a video that was not searched from one that
was not found. A segment is a pair: seconds of the query, seconds of the video that match them, half-open.

``similarities.npz``, an uncompressed NumPy archive without pickles: ``similarities`` float32 [Q, M], ``queries``
unicode [Q], ``ids`` unicode [M], and ``made_by``, a JSON object as one unicode value, which may be left out. Other
programs may write it compressed and in float64.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, Hit, Ranking, Rankings, Segment, Similarities
from vidlang.store.atomic import replacing
from vidlang.store.results import csv_text, read_lines, write_lines

RANKINGS_SCHEMA = "vidlang.rankings/1"
RANKINGS_FILE = "rankings.jsonl"
SIMILARITIES_FILE = "similarities.npz"


# -- rankings --------------------------------------------------------------------------------------------------------


def write_rankings(path: Path, rankings: Rankings) -> None:
    """One JSON line a query, in the order given, after one for the gallery where it is known; the file appears whole.

    Raises:
        ValueError: a number is not finite, or ``made_by`` holds what JSON cannot.
    """
    write_lines(path, _lines(rankings))


def read_rankings(path: Path) -> Rankings:
    """What ``write_rankings`` wrote, exactly; ``made_by`` is that of the first line.

    Raises:
        BadInput: not such a file; names the line.
    """
    lines = read_lines(path, RANKINGS_SCHEMA, _from_line)
    galleries = [found for found, _ in lines if isinstance(found, tuple)]
    if len(galleries) > 1:
        raise BadInput(f"{path} has {len(galleries)} galleries: keep the rankings of different searches in two files.")
    rankings = tuple(found for found, _ in lines if isinstance(found, Ranking))
    try:
        return Rankings(rankings, galleries[0] if galleries else None, lines[0][1] if lines else {})
    except ValueError as error:
        raise BadInput(f"{path}: {error}. Write the results again.") from error


def rankings_csv(rankings: Iterable[Ranking]) -> str:
    """One line a matched segment: ``query,rank,video,similarity,query_start,query_end,start,end``, ranks from 1 and
    times in seconds; a hit without segments has one line whose times are empty.
    """
    header = ["query", "rank", "video", "similarity", "query_start", "query_end", "start", "end"]
    return csv_text([header, *(row for ranking in rankings for row in _rows(ranking))])


def _rows(ranking: Ranking) -> Iterator[list[Any]]:
    for rank, hit in enumerate(ranking.hits, 1):
        facts = [ranking.query, rank, hit.video_id, float(hit.similarity)]
        for asked, found in hit.segments:
            yield [*facts, float(asked.start), float(asked.end), float(found.start), float(found.end)]
        if not hit.segments:
            yield [*facts, None, None, None, None]


def _lines(rankings: Rankings) -> Iterator[dict[str, Any]]:
    made_by = dict(rankings.made_by)
    if rankings.gallery is not None:
        yield {"schema": RANKINGS_SCHEMA, "gallery": list(rankings.gallery), "made_by": made_by}
    for ranking in rankings.rankings:
        yield {**ranking.to_dict(), "made_by": made_by}


def _from_line(fields: dict[str, Any]) -> tuple[Ranking | tuple[str, ...], dict[str, Any]]:
    """A ranking or a gallery, and ``made_by``."""
    made_by = dict(fields.get("made_by", {}))
    if "gallery" in fields:
        return tuple(map(_name, _list(fields["gallery"]))), made_by
    return Ranking(_name(fields["query"]), tuple(map(_hit, _list(fields["hits"])))), made_by


def _hit(fields: dict[str, Any]) -> Hit:
    similarity = fields["similarity"]
    if isinstance(similarity, bool) or not isinstance(similarity, (int, float)) or not math.isfinite(similarity):
        raise ValueError(f"similarity {similarity!r} is not a number")
    pairs = (_list(pair) for pair in _list(fields.get("segments", [])))
    segments = tuple((_segment(asked), _segment(found)) for asked, found in pairs)
    return Hit(_name(fields["video"]), float(similarity), segments)


def _segment(times: Any) -> Segment:
    start, end = _list(times)
    return Segment(float(start), float(end))


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a name")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{str(value)[:40]!r} is not a list")
    return value


# -- similarities ----------------------------------------------------------------------------------------------------


def write_similarities(path: Path, similarities: Similarities) -> None:
    """The matrix with its names; the file appears whole. The matrix is not copied.

    Raises:
        ValueError: ``made_by`` holds what JSON cannot, or a name ends in NUL, which NumPy's texts cannot keep.
    """
    names = {"queries": similarities.queries, "ids": similarities.ids}
    for key, value in names.items():
        if any(name.endswith("\0") for name in value):
            raise ValueError(f"one of the {key} ends in NUL")
    queries, ids = (np.array(list(value), dtype=np.str_) for value in names.values())
    made_by = np.array(json.dumps(dict(similarities.made_by), allow_nan=False))
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez(file, similarities=similarities.values, queries=queries, ids=ids, made_by=made_by)


def read_similarities(path: Path) -> Similarities:
    """What ``write_similarities`` wrote.

    Raises:
        BadInput: not such a file, or its parts do not belong together.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            values = _array(archive, "similarities", 2, "f").astype(np.float32, copy=False)
            queries, ids = (tuple(_array(archive, key, 1, "U").tolist()) for key in ("queries", "ids"))
            has_facts = "made_by.npy" in archive.namelist()
            made_by = json.loads(str(_array(archive, "made_by", 0, "U"))) if has_facts else {}
        return Similarities(queries, ids, values, dict(made_by))
    except FileNotFoundError as cause:
        raise BadInput(f"There is no results file {path}. Run the command that writes it first.") from cause
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as cause:
        raise BadInput(f"{path} is not an archive of similarities ({cause}). Write the results again.") from cause


def _array(archive: zipfile.ZipFile, name: str, num_axes: int, kind: str) -> NDArray[Any]:
    """One array of the archive, after its header was compared with the bytes that are there."""
    try:
        member = archive.getinfo(f"{name}.npy")
    except KeyError as error:
        raise ValueError(f"it has no array {name!r}") from error
    with archive.open(member) as file:
        shape, dtype = _header(file)
        if len(shape) != num_axes or dtype.kind != kind:
            raise ValueError(f"{name} is {dtype} {shape}")
        # numpy takes memory for what the header says before it reads a byte
        if math.prod(shape) * dtype.itemsize > member.file_size:
            raise ValueError(f"{name} has fewer bytes than {dtype} {shape} needs")
    with archive.open(member) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
