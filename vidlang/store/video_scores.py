"""How sure a method is that a class occurs in a video at all: one score per video and class, as JSON Lines.

``vidlang.video_scores/1``, UTF-8, one video a line, no NaN or infinity anywhere::

    {"schema": "vidlang.video_scores/1", "video": id, "scores": {class: number, …}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidlang.core import BadInput
from vidlang.store.results import read_lines, write_lines

VIDEO_SCORES_SCHEMA = "vidlang.video_scores/1"
VIDEO_SCORES_FILE = "videos.jsonl"


def write_video_scores(path: Path, scores: Mapping[str, Mapping[str, float]]) -> None:
    """One JSON line a video, in the order given; the file appears whole.

    scores: video id → class → score

    Raises:
        ValueError: a score is not finite.
    """
    write_lines(
        path,
        (
            {
                "schema": VIDEO_SCORES_SCHEMA,
                "video": video_id,
                "scores": {name: float(score) for name, score in of_video.items()},
            }
            for video_id, of_video in scores.items()
        ),
    )


def read_video_scores(path: Path) -> dict[str, dict[str, float]]:
    """What `write_video_scores` wrote, exactly: video id → class → score.

    Raises:
        BadInput: not such a file, or a video is there twice; names the line or the video.
    """
    lines = read_lines(path, VIDEO_SCORES_SCHEMA, _from_line)
    found: dict[str, dict[str, float]] = {}
    for video_id, scores in lines:
        if video_id in found:
            raise BadInput(f"{path} lists {video_id} twice: keep one line per video.")
        found[video_id] = scores
    return found


def _from_line(fields: dict[str, Any]) -> tuple[str, dict[str, float]]:
    video_id, scores = fields["video"], fields["scores"]
    if not isinstance(video_id, str) or not isinstance(scores, dict):
        raise ValueError("video is not an id, or scores are no object")
    for name, score in scores.items():
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
            raise ValueError(f"score {score!r} of {name!r} is not a number")
    return video_id, {name: float(score) for name, score in scores.items()}
