"""Scores and detections as JSON Lines for programs and CSV for spreadsheets.

JSON Lines, UTF-8, one object a line, blank lines ignored, no NaN or infinity anywhere.

``vidlang.scores/1``, one video a line::

    {"schema": "vidlang.scores/1",
     "video": {"id": str, "num_frames": int, "duration": seconds, "frame_rate": float, "size": [height, width]},
     "frames": [[first, last + 1], …],  "seconds": [[start, end], …],       one pair a snippet, half-open
     "anomaly": [T numbers in 0 to 1],  "branches": {name: [T numbers]},
     "class_names": [C names],  "classes": [T lists of C numbers] or null,
     "made_by": {…}}

``vidlang.detections/1``, one detection a line::

    {"schema": "vidlang.detections/1", "video": id, "start": seconds, "end": seconds, "label": str, "score": float}

float32 numbers are written with the fewest decimal digits that give the same float32 back; float64 likewise.

CSV has a header line, RFC 4180 quoting and ``\\n`` line ends. Text cells are always quoted and otherwise left as they
are: a video called ``=1+1.mp4`` stays ``"=1+1.mp4"``, which a spreadsheet may still take for a formula. Import the
columns ``video`` and ``label`` as text when the names come from strangers.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from vidlang.core import BadInput, Detection, Scores, Segment, VideoInfo
from vidlang.core.results import short_floats
from vidlang.store.atomic import replacing

SCORES_SCHEMA = "vidlang.scores/1"
DETECTIONS_SCHEMA = "vidlang.detections/1"
SCORES_FILE = "scores.jsonl"
EVENTS_FILE = "events.jsonl"
"""Detections of ``score``."""
DETECTIONS_FILE = "detections.jsonl"
"""Those of ``localize``."""

Result = TypeVar("Result")


def write_scores(path: Path, scores: Iterable[Scores]) -> None:
    """One JSON line a video, in the order given; the file appears whole.

    Raises:
        ValueError: a number is not finite, or ``made_by`` holds what JSON cannot.
    """
    write_lines(path, (one.to_dict() for one in scores))


def read_scores(path: Path) -> list[Scores]:
    """What ``write_scores`` wrote, exactly.

    Raises:
        BadInput: not such a file; names the line.
    """
    return read_lines(path, SCORES_SCHEMA, _scores_from_dict)


def write_detections(path: Path, detections: Iterable[Detection]) -> None:
    """One JSON line a detection, in the order given; the file appears whole."""
    write_lines(path, (one.to_dict() for one in detections))


def read_detections(path: Path) -> list[Detection]:
    """What ``write_detections`` wrote, exactly. Raises BadInput, naming the line."""
    return read_lines(path, DETECTIONS_SCHEMA, detection_from_dict)


def scores_csv(scores: Sequence[Scores]) -> str:
    """One line a snippet: ``video,start_seconds,end_seconds,first_frame,last_frame_exclusive,anomaly``, then a column
    ``branch:<name>`` for each branch and ``class:<name>`` for each class; a cell is empty where a video lacks it.
    """
    branches = _in_order(name for one in scores for name in one.branches)
    classes = _in_order(name for one in scores for name in one.class_names)
    rulers = ["video", "start_seconds", "end_seconds", "first_frame", "last_frame_exclusive", "anomaly"]
    header = rulers + [f"branch:{name}" for name in branches] + [f"class:{name}" for name in classes]
    return csv_text([header, *(row for one in scores for row in _score_rows(one, branches, classes))])


def detections_csv(detections: Iterable[Detection]) -> str:
    """One line a detection: ``video,start,end,label,score``, seconds."""
    rows = ([d.video_id, d.segment.start, d.segment.end, d.label, d.score] for d in detections)
    return csv_text([["video", "start", "end", "label", "score"], *rows])


# -- scores ----------------------------------------------------------------------------------------------------------


def _scores_from_dict(fields: dict[str, Any]) -> Scores:
    classes, names = fields["classes"], tuple(fields["class_names"])
    return Scores(
        video=VideoInfo(**{**fields["video"], "size": tuple(fields["video"]["size"])}),
        frames=np.array(fields["frames"], dtype=np.int64).reshape(-1, 2),
        seconds=np.array(fields["seconds"], dtype=np.float64).reshape(-1, 2),
        anomaly=np.array(fields["anomaly"], dtype=np.float32),
        branches={name: np.array(curve, dtype=np.float32) for name, curve in fields["branches"].items()},
        class_names=names,
        classes=None if classes is None else np.array(classes, dtype=np.float32).reshape(-1, len(names)),
        made_by=fields["made_by"],
    )


def _score_rows(scores: Scores, branches: Sequence[str], classes: Sequence[str]) -> Iterator[list[Any]]:
    """Cells of each snippet; ``""`` where this video has no such column."""
    columns: list[list[Any]] = [
        [scores.video.id] * len(scores.anomaly),
        *scores.seconds.T.tolist(),
        *scores.frames.T.tolist(),
        short_floats(scores.anomaly),
    ]
    nothing = [None] * len(scores.anomaly)
    columns += [short_floats(scores.branches[name]) if name in scores.branches else nothing for name in branches]
    known = {} if scores.classes is None else dict(zip(scores.class_names, short_floats(scores.classes.T), strict=True))
    columns += [known.get(name, nothing) for name in classes]
    return map(list, zip(*columns, strict=True))


# -- detections ------------------------------------------------------------------------------------------------------


def detection_from_dict(fields: dict[str, Any]) -> Detection:
    """The detection of a line. Raises KeyError, TypeError or ValueError where it is none."""
    segment = Segment(float(fields["start"]), float(fields["end"]))
    return Detection(str(fields["video"]), segment, str(fields["label"]), float(fields["score"]))


# -- lines -----------------------------------------------------------------------------------------------------------


def write_lines(path: Path, items: Iterable[dict[str, Any]]) -> None:
    """One JSON line an item; the file appears whole."""
    with replacing(Path(path)) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for item in items:
            file.write(json.dumps(item, allow_nan=False) + "\n")


def read_lines(path: Path, schema: str, read: Callable[[dict[str, Any]], Result]) -> list[Result]:
    """What ``read`` makes of each line. Raises BadInput, naming the line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as cause:
        raise BadInput(f"There is no results file {path}. Run the command that writes it first.") from cause
    except (OSError, UnicodeDecodeError) as cause:
        raise BadInput(f"{path} cannot be read as JSON Lines in UTF-8 ({cause}).") from cause
    lines = enumerate(text.split("\n"), 1)
    return [_read_line(line, f"{path}, line {n}", schema, read) for n, line in lines if line.strip()]


def _read_line(line: str, where: str, schema: str, read: Callable[[dict[str, Any]], Result]) -> Result:
    try:
        fields = json.loads(line, parse_constant=_refuse_constant)
        found = fields.get("schema") if isinstance(fields, dict) else None
        if found != schema:
            raise BadInput(f"{where}: schema {found!r} where {schema!r} is read. Write the results again.")
        return read(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        detail = f"{cause} is missing" if isinstance(cause, KeyError) else cause
        raise BadInput(f"{where} is not a line of {schema} ({detail}). Write the results again.") from cause


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Lines of a CSV file: text quoted, numbers bare."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    for row in rows:
        writer.writerow(row)
    return buffer.getvalue()


def _in_order(names: Iterable[str]) -> list[str]:
    """Without repeats, first come first."""
    return list(dict.fromkeys(names))
