"""Stage "frames": decode the training videos once, in order, into small frames, and render some scenes."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from captions import Caption
from PIL import Image
from splits import training_videos

from vidlang.demo.scenes import EVENTS, KINDS, NORMAL, plan_video, render

WINDOW = 16  # frames of a snippet
RENDERED_SEED = 50_000  # far from the seeds that the demo and the tests render with
SIZES = ((144, 192), (180, 240), (216, 288))  # height, width of rendered scenes
PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass
class Source:
    """What one video, photograph or rendered scene gives to training."""

    name: str
    kind: str
    """``cctv``, ``clip``, ``rendered`` or ``photo``"""
    frames: list[np.ndarray] = field(default_factory=list)  # uint8 [H, W, 3] each
    captions: list[Caption] = field(default_factory=list)  # one for each frame
    snippets: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    """Two frames of one snippet, and the mean of a few neighbours: motion blur."""


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


def snippet(frames: list[np.ndarray], start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and middle frame of a window, and the mean of four frames around its middle."""
    middle = min(start + WINDOW // 2, len(frames) - 1)
    around = np.stack(frames[max(0, middle - 2) : middle + 2]).astype(np.float32)
    return frames[start], frames[middle], around.mean(0).round().astype(np.uint8)


def real_source(path: Path, concept: str | None, per_video: int, short_side: int) -> Source:
    """Frames and snippets spread over a video; clips are long and few, so each gives eight times as many."""
    cctv = concept in ("fight", "normal")
    wanted = per_video if cctv else 8 * per_video
    # four minutes of frames are enough of any clip, and fit into memory
    frames = [frame for _, frame in zip(range(6000), read_frames(path, 1, short_side), strict=False)]
    rows = spread(len(frames), wanted)
    windows = spread(max(1, len(frames) - WINDOW), wanted // 4)
    return Source(
        path.name,
        "cctv" if cctv else "clip",
        [frames[i] for i in rows],
        [Caption(concept)] * len(rows),
        [snippet(frames, i) for i in windows],
    )


def rendered_source(number: int, per_video: int) -> Source:
    """One scene of the demo's renderer, captioned with what happens, where, and in which light."""
    kind = KINDS[number % len(KINDS)]
    plan = plan_video(kind, seed=RENDERED_SEED + number, seconds=6, size=SIZES[number % len(SIZES)])
    source = Source(f"rendered{number:04d}", "rendered")
    starts = spread(plan.num_frames - WINDOW, per_video)
    wanted = {start + step for start in starts for step in (0, WINDOW // 2)}
    drawn = dict(zip(sorted(wanted), render(plan, wanted), strict=True))
    event = plan.events[0] if plan.events else None
    for start in starts:
        for index in (start, start + WINDOW // 2):
            seconds = index / plan.frame_rate
            inside = event is not None and event.segment.start + 0.2 <= seconds < event.segment.end
            what = kind if inside else NORMAL
            source.frames.append(drawn[index])
            source.captions.append(Caption(RENDERED_CONCEPTS[what], plan.place, plan.light))
        both = np.stack([drawn[start], drawn[start + WINDOW // 2]]).astype(np.float32).mean(0)
        source.snippets.append((drawn[start], drawn[start + WINDOW // 2], both.astype(np.uint8)))
    return source


RENDERED_CONCEPTS = dict(
    zip((NORMAL, *EVENTS), ("walking figures", "fight", "person fallen", "crash", "fire"), strict=True)
)


def photo_source(path: Path, short_side: int) -> Source:
    image = Image.open(path).convert("RGB")
    image.thumbnail((4 * short_side, 4 * short_side))
    scale = short_side / min(image.size)
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    return Source(path.name, "photo", [np.asarray(image)], [Caption(None)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with surv_fight/ and clips/")
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="folders of photographs of your own")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder")
    parser.add_argument("--per-video", type=int, default=16, help="frames of each surv_fight video")
    parser.add_argument("--rendered", type=int, default=240, help="scenes to render")
    parser.add_argument("--short-side", type=int, default=256, help="pixels")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    sources = [
        real_source(path, concept, args.per_video, args.short_side) for path, concept in training_videos(args.data)
    ]
    sources += [rendered_source(number, args.per_video // 4) for number in range(args.rendered)]
    photos = [
        path for folder in args.photos for path in sorted(folder.rglob("*")) if path.suffix.lower() in PHOTO_ENDINGS
    ]
    sources += [photo_source(path, args.short_side) for path in photos]
    with open(args.work / "frames.pkl", "wb") as file:
        pickle.dump(sources, file, protocol=5)
    for kind in ("cctv", "clip", "rendered", "photo"):
        chosen = [source for source in sources if source.kind == kind]
        frames, snippets = sum(len(s.frames) for s in chosen), sum(len(s.snippets) for s in chosen)
        print(f"{kind}: {len(chosen)} sources, {frames} frames, {snippets} snippets")


if __name__ == "__main__":
    main()
