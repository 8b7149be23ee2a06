"""Stage 1: decode the training videos once, in order, into small uint8 frames."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import av
import numpy as np
from splits import training_videos


class Video(TypedDict):
    """One decoded training video; a plain dict, so that any script can unpickle it."""

    name: str
    concept: str | None
    frames: list[np.ndarray]  # uint8 [H, W, 3] each


def read_frames(path: Path, every: int = 1, short_side: int | None = None) -> Iterator[np.ndarray]:
    """Each ``every``-th frame of a video as uint8 [H, W, 3], in order; stops quietly at a damaged end."""
    for index, frame in enumerate(decode(path)):
        if index % every == 0:
            yield to_pixels(frame, short_side)


def decode(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        try:
            yield from container.decode(video=0)
        except av.error.InvalidDataError:
            return


def to_pixels(frame: av.VideoFrame, short_side: int | None = None) -> np.ndarray:
    """uint8 [H, W, 3], made smaller where its short side is longer than ``short_side`` pixels."""
    height, width = frame.height, frame.width
    if short_side is not None and min(height, width) > short_side:
        scale = short_side / min(height, width)
        height, width = round(height * scale), round(width * scale)
    return frame.to_ndarray(width=width, height=height, format="rgb24", interpolation="AREA")


def read_evenly(path: Path, count: int) -> list[np.ndarray]:
    """``count`` frames spread evenly over a video, uint8 [H, W, 3] each."""
    frames = list(decode(path))
    return [to_pixels(frames[(2 * i + 1) * len(frames) // (2 * count)]) for i in range(count)]


def spread(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` indices spread evenly over ``range(count)``."""
    return sorted({int((i + 0.5) * count / wanted) for i in range(wanted)}) if count > wanted else list(range(count))


def collect(data: Path, per_video: int, short_side: int) -> list[Video]:
    """Every training video with at most ``per_video`` frames, other clips with eight times as many."""
    videos: list[Video] = []
    for path, concept in training_videos(data):
        # the concept "normal" and "fight" have 70 videos each, the others one or two
        limit = per_video if concept in ("fight", "normal") else 8 * per_video
        every = 2 if concept in ("fight", "normal") else 4
        frames = list(read_frames(path, every, short_side))
        chosen = [frames[i] for i in spread(len(frames), limit)]
        videos.append({"name": path.name, "concept": concept, "frames": chosen})
    return videos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with surv_fight/ and clips/")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder")
    parser.add_argument("--per-video", type=int, default=14, help="frames of each surv_fight video")
    parser.add_argument("--short-side", type=int, default=200, help="pixels")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    videos = collect(args.data, args.per_video, args.short_side)
    with open(args.work / "frames.pkl", "wb") as file:
        pickle.dump(videos, file, protocol=5)
    print(f"{len(videos)} videos, {sum(len(v['frames']) for v in videos)} frames")


if __name__ == "__main__":
    main()
