"""Predicted segments in the format of the ActivityNet challenge, in and out.

One JSON object in UTF-8::

    {"version": str, "external_data": {…},
     "results": {video id: [{"label": str, "score": number, "segment": [start, end]}, …]}}

Seconds, half-open. What others wrote is read leniently: numbers may be texts (``"12.5"``), keys besides ``results`` may
be missing and others be there, a video may have an empty list or null. NaN and infinity are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from vidlang.core import BadInput, Detection, Segment
from vidlang.store.atomic import write_text

VERSION = "vidlang.activitynet/1"


@dataclass(frozen=True)
class Predictions:
    """What such a file says."""

    detections: tuple[Detection, ...]
    """Videos and detections in the order of the file."""
    video_ids: tuple[str, ...]
    """Every video that was looked at, also those where nothing was found."""
    version: str = VERSION
    external_data: Mapping[str, Any] = field(default_factory=dict)


def write_activitynet(
    path: Path,
    detections: Iterable[Detection],
    *,
    video_ids: Iterable[str] = (),
    version: str = VERSION,
    external_data: Mapping[str, Any] | None = None,
) -> None:
    """Videos in order of their first mention, detections in the order given; the file appears whole.

    video_ids: all videos that were looked at; those without a detection get an empty list
    external_data: what else the method was trained on, as the challenge asks; None writes ``{"used": false}``

    Raises:
        ValueError: a score is not finite, or ``external_data`` holds what JSON cannot.
    """
    results: dict[str, list[dict[str, Any]]] = {video_id: [] for video_id in video_ids}
    for detection in detections:
        results.setdefault(detection.video_id, []).append(
            {
                "label": detection.label,
                "score": float(detection.score),
                "segment": [float(detection.segment.start), float(detection.segment.end)],
            }
        )
    external = {"used": False} if external_data is None else dict(external_data)
    content = {"version": version, "external_data": external, "results": results}
    write_text(path, json.dumps(content, allow_nan=False) + "\n")


def read_activitynet(path: Path) -> Predictions:
    """What `write_activitynet` wrote, exactly, or what others wrote in that format.

    Raises:
        BadInput: not such a file; names the video and the entry.
    """
    content = _load(path)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict):
        hint = " It holds true segments (database): give it as --manifest." if _is_truth(content) else ""
        raise BadInput(f'{path} has no "results" of videos, so it holds no predictions of ActivityNet\'s format.{hint}')
    detections = [
        _detection(video_id, entry, f"{path}, {video_id}, entry {number}")
        for video_id, entries in results.items()
        for number, entry in enumerate(_entries(entries, f"{path}, {video_id}"), 1)
    ]
    external = content.get("external_data")
    return Predictions(
        tuple(detections),
        tuple(results),
        str(content.get("version", "")),
        external if isinstance(external, dict) else {},
    )


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_refuse_constant)
    except FileNotFoundError as cause:
        raise BadInput(f"There is no file {path}. Give predictions in ActivityNet's format.") from cause
    except (OSError, ValueError, RecursionError) as cause:
        raise BadInput(f"{path} does not read as JSON ({' '.join(str(cause).split())[:120]}).") from cause


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _is_truth(content: Any) -> bool:
    return isinstance(content, dict) and "database" in content


def _entries(entries: Any, where: str) -> list[Any]:
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise BadInput(f"{where} holds {type(entries).__name__}, not a list of predictions.")
    return entries


def _detection(video_id: str, entry: Any, where: str) -> Detection:
    try:
        start, end = entry["segment"]
        label = entry["label"]
        if not isinstance(label, str) or not label:
            raise ValueError(f"label {label!r} is not a name")
        return Detection(video_id, Segment(_number(start), _number(end)), label, _number(entry["score"]))
    except (KeyError, TypeError, ValueError, OverflowError) as cause:
        detail = f"{cause} is missing" if isinstance(cause, KeyError) else cause
        raise BadInput(f"{where} is not a prediction with label, score and segment ({detail}).") from cause


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is not a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number
