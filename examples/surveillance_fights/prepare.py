"""Turn the Surveillance Camera Fight clips into a collection to train on and untrimmed videos to test on.

    python examples/surveillance_fights/prepare.py --data surv_fight --out fights [--split shuffled]

``--data`` holds the folders ``fight`` and ``normal`` of two-second clips with a number in each name.

``--split consecutive`` trains on clips 1 to 70 of both classes and tests on 73 to 100; 71 and 72 are left out, since
neighbours may come from one recording. ``--split shuffled`` tests on 28 clips of each class drawn at random, so that
places of test clips are often known from training.

Writes

    fights/videos/<class>/<clip>          links to the clips
    fights/untrimmed/<class>/<name>.mp4   normal test clips in a row, with one fight among them at a known time, or none
    fights/clips.csv                      manifest of the clips, splits train and test
    fights/untrimmed.csv                  manifest of the untrimmed videos, with the times of the fights in seconds
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vidlang.core import Label, LabelledSegment, Segment
from vidlang.datasets.manifest import write_manifest
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video

CLASSES = ("fight", "normal")
LAST_TRAIN, FIRST_TEST = 70, 73
NUM_SHUFFLED_TEST = 28
FRAME_RATE = 25.0
SIZE = (240, 320)  # height and width of the untrimmed videos, pixels
NORMALS_PER_VIDEO = 5
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with fight/ and normal/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--split", choices=["consecutive", "shuffled"], default="consecutive")
    arguments = parser.parse_args()
    clips = {name: sorted((arguments.data / name).glob("*.mp4"), key=number_of) for name in CLASSES}
    test = {name: test_clips(clips[name], arguments.split) for name in CLASSES}
    write_clips(clips, test, arguments.split, arguments.out)
    write_untrimmed(test, arguments.out)


def number_of(clip: Path) -> int:
    """``nofi071.mp4`` → 71"""
    return int(re.findall(r"\d+", clip.stem)[-1])


def test_clips(clips: list[Path], split: str) -> list[Path]:
    """The clips of one class that no training sees."""
    if split == "consecutive":
        return [clip for clip in clips if number_of(clip) >= FIRST_TEST]
    return sorted(random.Random(SEED).sample(clips, NUM_SHUFFLED_TEST), key=number_of)


def write_clips(clips: dict[str, list[Path]], test: dict[str, list[Path]], split: str, out: Path) -> None:
    """Links and the manifest of the single clips."""
    labels = []
    for name, paths in clips.items():
        folder = out / "videos" / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if split == "consecutive" and LAST_TRAIN < number_of(path) < FIRST_TEST:
                continue
            link = folder / path.name
            if not link.exists():
                link.symlink_to(path.resolve())
            part = "test" if path in test[name] else "train"
            labels.append(Label(f"{name}/{path.name}", (name,), split=part))
    (out / "clips.csv").write_text(write_manifest(labels), encoding="utf-8")
    print(f"{out}/clips.csv: {len(labels)} clips")


def write_untrimmed(clips: dict[str, list[Path]], out: Path) -> None:
    """One video per test fight, and half as many without any fight."""
    choose = random.Random(SEED)
    labels = []
    for index, fight in enumerate(clips["fight"]):
        parts = choose.sample(clips["normal"], NORMALS_PER_VIDEO)
        parts.insert(choose.randint(1, NORMALS_PER_VIDEO - 1), fight)
        labels.append(write_one(out, "fight", f"long{index:02d}", parts, fight))
    for index in range(len(clips["fight"]) // 2):
        parts = choose.sample(clips["normal"], NORMALS_PER_VIDEO + 1)
        labels.append(write_one(out, "normal", f"calm{index:02d}", parts, None))
    (out / "untrimmed.csv").write_text(write_manifest(labels), encoding="utf-8")
    print(f"{out}/untrimmed.csv: {len(labels)} videos")


def write_one(out: Path, name: str, stem: str, parts: list[Path], fight: Path | None) -> Label:
    """Clips in a row as one video; the label carries the seconds of the fight."""
    path = out / "untrimmed" / name / f"{stem}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = {}

    def frames() -> Iterator[np.ndarray]:
        for part in parts:
            counts[part] = 0
            with open_video(part) as reader:
                for batch in reader.read():
                    for frame in batch.frames:
                        counts[part] += 1
                        yield fit(frame)

    write_video(path, frames(), FRAME_RATE)
    segments = []
    if fight is not None:
        before = sum(counts[part] for part in parts[: parts.index(fight)])
        segments = [Segment(before / FRAME_RATE, (before + counts[fight]) / FRAME_RATE)]
    return Label(
        f"{name}/{stem}.mp4",
        (name,),
        tuple(LabelledSegment(name, segment=segment) for segment in segments),
        split="test",
        timed=True,
    )


def fit(frame: np.ndarray) -> np.ndarray:
    """[H, W, 3] → [240, 320, 3], scaled without keeping the aspect, so that borders do not give clips away."""
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR))


if __name__ == "__main__":
    main()
