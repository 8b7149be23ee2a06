"""Compose untrimmed videos whose actions lie at known times, from short real clips.

    python examples/composed_actions/prepare.py --data clips_and_surv_fight --out composed [--train 60] [--test 30]

``--data`` holds ``clips/`` (with ``clips/signs/``), ``surv_fight/{fight,normal}`` and ``near_dup/``; README.md says
which clips. Each video lasts 20 to 60 seconds: background footage with one to three actions of 2 to 8 seconds in it, or
with none. Every picture is brought to 240 x 320 at 12.5 frames per second, so neither size nor rate tells them apart.

No second of footage is in both splits. Fights and CCTV scenes are split by clip, with neighbours left out, signs by
signer, other backgrounds by clip. A class that has one clip is split in time: its first part trains, and after a gap
its last part tests. Such a class is known again by its place as much as by its action. README.md says which places the
splits share.

Writes

    composed/<split>/<number>.mp4   the videos
    composed/labels.csv             manifest: video, label, start and end in seconds, split; "normal": no action at all
"""

from __future__ import annotations

import argparse
import io
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from vidlang.core import Label, LabelledSegment, Segment
from vidlang.datasets.manifest import write_manifest
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video

FRAME_RATE = 12.5
SIZE = (240, 320)  # height and width, pixels
CODER = {"preset": "veryfast", "crf": "23"}

VIDEO_SECONDS = (20.0, 60.0)
ACTION_SECONDS = (2.0, 8.0)
MIN_GAP = 2.0  # seconds of background before, between and after actions
MAX_ACTIONS = 3
MAX_CLIPS = 3  # short clips that make one action
MAX_SCENE = 10.0  # seconds of one background without a cut
NORMAL_SHARE = 0.2  # of the videos, without any action
OTHER_CLASS_SHARE = 0.65  # of the second and third actions; the others repeat a class of their video
CCTV_SHARE = 0.3  # of the videos without a fight that lie in CCTV footage too, so that CCTV does not mean fight

TRAIN_SHARE = 0.6  # of the seconds of a class that has one clip
GAP = 0.5  # seconds between its training part and its test part

ONE_CLIP = {
    "weightlifting": ("clips/weightlifting.mp4", None),
    "dog walking": ("clips/dog_walking.mp4", None),
    "pool cleaning": ("clips/pool_cleaning.mp4", None),
    # From there on somebody stands before the camera.
    "flipping a pancake": ("clips/flipping_a_pancake.mkv", 9.2),
    # From there on the camera turns away, and soon the file is damaged.
    "arm wrestling": ("clips/arm_wrestling_broken_end.mp4", 7.2),
    "applying makeup": ("clips/ucf101_makeup.avi", None),
}
"""Class → its clip, and the second at which the action ends, None for the end of the clip."""

SIGNERS = {
    "train": "again brother help no student yes book learn school walk eat night sister",
    "test": "bird milk please sorry thanks hungry want",
}
"""Signs by the split of their signer; three people train, two test, all in one room."""

LAST_TRAIN_CLIP, FIRST_TEST_CLIP = 70, 73  # neighbours may come from one recording

BACKGROUNDS = {
    "train": ("clips/pedestrians_vtest.mp4", "clips/highway_mpeg4.avi", "clips/nasa.mp4", "clips/bears.mp4",
              "clips/charades.mp4", "near_dup/chair-orig-22-sd-bar.mp4"),
    "test": ("clips/one-by-one-person-detection.mp4", "clips/car-detection.mp4", "clips/cars_mpeg4.avi",
             "clips/orangutan.mp4", "near_dup/doorknob-hd-no-bar.mp4"),
}  # fmt: skip

NORMAL = "normal"
FIGHT = "fight"
SIGNS = "sign language"
CLASSES = (FIGHT, SIGNS, *ONE_CLIP)
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Take:
    """Frames [first, last) of a clip, counted at ``FRAME_RATE``."""

    path: Path
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first


@dataclass(frozen=True)
class Part:
    """Takes one after the other that show one action, or background."""

    takes: tuple[Take, ...]
    label: str | None = None

    def __len__(self) -> int:
        return sum(map(len, self.takes))


@dataclass(frozen=True)
class Footage:
    """What one split may show."""

    actions: dict[str, tuple[Take, ...]]
    cctv: tuple[Take, ...]
    backgrounds: tuple[Take, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/, surv_fight/ and near_dup/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--train", type=int, default=60, help="number of training videos")
    parser.add_argument("--test", type=int, default=30, help="number of test videos")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    for name in ("clips", "clips/signs", "surv_fight/fight", "surv_fight/normal", "near_dup"):
        if not (arguments.data / name).is_dir():
            parser.error(f"there is no folder {arguments.data / name}")
    labels = []
    for split in SPLITS:
        parts = plan(footage(arguments.data, split), getattr(arguments, split), f"{arguments.seed}/{split}")
        for number, video in enumerate(parts):
            name = f"{split}/{number:03d}.mp4"
            write_video(arguments.out / name, frames_of(video), FRAME_RATE, options=CODER)
            labels.append(label_of(name, split, video))
        print(summary(split, parts))
    (arguments.out / "labels.csv").write_text(write_manifest(labels), encoding="utf-8")


# -- footage ---------------------------------------------------------------------------------------------------------


def footage(data: Path, split: str) -> Footage:
    """Everything that videos of one split may be made of."""
    several = {
        FIGHT: tuple(whole(clip) for clip in numbered_clips(data / "surv_fight" / "fight", split)),
        SIGNS: tuple(whole(data / "clips" / "signs" / f"{sign}.mkv") for sign in SIGNERS[split].split()),
    }
    return Footage(
        several | {name: (part_in_time(data / clip, end, split),) for name, (clip, end) in ONE_CLIP.items()},
        tuple(whole(clip) for clip in numbered_clips(data / "surv_fight" / "normal", split)),
        tuple(whole(data / clip) for clip in BACKGROUNDS[split]),
    )


def numbered_clips(folder: Path, split: str) -> list[Path]:
    """``nofi071.mp4`` is clip 71."""
    clips = {int("".join(filter(str.isdigit, path.stem))): path for path in sorted(folder.glob("*.mp4"))}
    wanted = range(LAST_TRAIN_CLIP + 1) if split == "train" else range(FIRST_TEST_CLIP, max(clips, default=0) + 1)
    return [clips[number] for number in wanted if number in clips]


def whole(clip: Path) -> Take:
    return Take(clip, 0, len(pictures(clip)))


def part_in_time(clip: Path, end: float | None, split: str) -> Take:
    """The first or the last part of a clip that both splits use."""
    last = len(pictures(clip)) if end is None else math.floor(end * FRAME_RATE)
    border = math.floor(last * TRAIN_SHARE)
    return Take(clip, 0, border) if split == "train" else Take(clip, border + math.ceil(GAP * FRAME_RATE), last)


@cache
def pictures(clip: Path) -> list[bytes]:
    """Every frame at ``FRAME_RATE`` and ``SIZE``, as JPEG: a tenth of the memory of the pixels.

    Frame k shows what the clip shows at (k + 0.5) / FRAME_RATE seconds, so slow clips repeat frames.
    """

    def shown(start: float, end: float) -> int:
        return math.ceil(end * FRAME_RATE - 0.5) - math.ceil(start * FRAME_RATE - 0.5)

    coded: list[bytes] = []
    with open_video(clip, short_side=SIZE[0]) as reader:
        for batch in reader.read_where(lambda _, start, end: shown(start, end) > 0):
            for frame, (start, end) in zip(batch.frames, batch.seconds, strict=True):
                buffer = io.BytesIO()
                # Without keeping the aspect, so that borders do not give clips away.
                picture = Image.fromarray(frame).resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR)
                picture.save(buffer, "JPEG", quality=92)
                coded += [buffer.getvalue()] * shown(start, end)
    return coded


# -- composing -------------------------------------------------------------------------------------------------------


def plan(footage: Footage, num_videos: int, seed: str) -> list[list[Part]]:
    """The parts of each video: background, action, background, …; the same for the same seed."""
    choose = random.Random(seed)
    num_normal = round(num_videos * NORMAL_SHARE)
    names = endless(CLASSES, choose)
    videos = [compose(footage, [], choose) for _ in range(num_normal)]
    for _ in range(num_videos - num_normal):
        labels = [next(names)]
        for _ in range(choose.randint(0, MAX_ACTIONS - 1)):
            labels.append(next(names) if choose.random() < OTHER_CLASS_SHARE else choose.choice(labels))
        choose.shuffle(labels)
        videos.append(compose(footage, labels, choose))
    choose.shuffle(videos)
    return videos


def endless(names: Sequence[str], choose: random.Random) -> Iterator[str]:
    """All names in a random order, again and again, so that each comes equally often."""
    while True:
        yield from choose.sample(names, len(names))


def compose(footage: Footage, labels: Sequence[str], choose: random.Random) -> list[Part]:
    """One video with these actions in this order."""
    actions = [Part(tuple(action(footage.actions[label], choose)), label) for label in labels]
    gaps = gap_lengths(sum(map(len, actions)), len(actions) + 1, choose)
    scenes = background_stream(footage, FIGHT in labels, choose)
    backgrounds = [Part(tuple(background(scenes, length, choose))) for length in gaps]
    return [part for pair in itertools.zip_longest(backgrounds, actions) for part in pair if part is not None]


def gap_lengths(num_action_frames: int, num_gaps: int, choose: random.Random) -> list[int]:
    """Frames of background before, between and after the actions."""
    least = math.ceil(MIN_GAP * FRAME_RATE)
    shortest = max(frames(VIDEO_SECONDS[0]), num_action_frames + num_gaps * least)
    # Short videos are likelier, so that actions fill about a fifth of the time.
    length = round(choose.triangular(shortest, frames(VIDEO_SECONDS[1]), shortest))
    spare = length - num_action_frames - num_gaps * least
    borders = [0, *sorted(choose.randint(0, spare) for _ in range(num_gaps - 1)), spare]
    return [least + after - before for before, after in itertools.pairwise(borders)]


def action(takes: Sequence[Take], choose: random.Random) -> list[Take]:
    """2 to 8 seconds: a piece of the one clip, or whole short clips in a row."""
    least, most = map(frames, ACTION_SECONDS)
    if len(takes) == 1:
        length = choose.randint(least, min(most, len(takes[0])))
        return [piece(takes[0], length, choose)]
    wanted = choose.randint(1, MAX_CLIPS)
    chosen: list[Take] = []
    for take in choose.sample(takes, len(takes)):
        total = sum(map(len, chosen))
        if total >= least and (len(chosen) >= wanted or total + len(take) > most):
            break
        chosen.append(take)
    return chosen


def background_stream(footage: Footage, with_fight: bool, choose: random.Random) -> Iterator[Take]:
    """Scenes of one video: CCTV clips, or two or three other places in turn."""
    if with_fight or choose.random() < CCTV_SHARE:
        while True:
            yield from choose.sample(footage.cctv, len(footage.cctv))
    yield from itertools.cycle(choose.sample(footage.backgrounds, choose.randint(2, 3)))


def background(scenes: Iterator[Take], length: int, choose: random.Random) -> list[Take]:
    """Takes of ``length`` frames together."""
    takes = []
    while length:
        scene = next(scenes)
        takes.append(piece(scene, min(length, len(scene), frames(MAX_SCENE)), choose))
        length -= len(takes[-1])
    return takes


def piece(take: Take, length: int, choose: random.Random) -> Take:
    first = take.first + choose.randint(0, len(take) - length)
    return Take(take.path, first, first + length)


def frames(seconds: float) -> int:
    return round(seconds * FRAME_RATE)


# -- writing ---------------------------------------------------------------------------------------------------------


def frames_of(video: Sequence[Part]) -> Iterator[np.ndarray]:
    """[240, 320, 3] each, in order."""
    for part in video:
        for take in part.takes:
            for picture in pictures(take.path)[take.first : take.last]:
                yield np.asarray(Image.open(io.BytesIO(picture)))


def label_of(name: str, split: str, video: Sequence[Part]) -> Label:
    """Times of the actions in seconds, exact to the frame."""
    ends = list(itertools.accumulate(map(len, video)))
    segments = [
        LabelledSegment(part.label, segment=Segment((end - len(part)) / FRAME_RATE, end / FRAME_RATE))
        for part, end in zip(video, ends, strict=True)
        if part.label is not None
    ]
    classes = tuple(dict.fromkeys(segment.label for segment in segments)) or (NORMAL,)
    return Label(name, classes, tuple(segments), split=split, timed=True)


def summary(split: str, videos: Sequence[Sequence[Part]]) -> str:
    """Counts and seconds of one split."""
    parts = [part for video in videos for part in video]
    lines = [f"{split}: {len(videos)} videos, {sum(map(len, parts)) / FRAME_RATE:.0f} s"]
    for name in CLASSES:
        shown = [part for part in parts if part.label == name]
        with_it = sum(any(part.label == name for part in video) for video in videos)
        seconds = sum(map(len, shown)) / FRAME_RATE
        lines.append(f"  {name:20} {with_it:3} videos {len(shown):4} times {seconds:6.1f} s")
    lines.append(f"  {NORMAL:20} {sum(len(video) == 1 for video in videos):3} videos")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
