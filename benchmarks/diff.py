"""Frame differences: what a moving camera costs, what taking its shift off brings, and frames per CPU-second.

    python benchmarks/diff.py [--data ../shared/data/clips] [--runs 3]

First table, of clips whose moving area is known: the share of all energy that lies inside the true area (higher is
better), how many times denser energy is there than outside, and how many steps were shifted. A step is counted with
the true areas of both its frames together. Second table: frames per CPU-second of a rendered clip of 640 x 360, from
file to curve.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.core import Sampling
from vidlang.video.motion import EnergyMap, MotionOptions, Steps, open_motion
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video

FIRST_MASK = 4
"""Mask gtNNNNNN of the highway clip is of frame NNNNNN - 4, counted from 0."""
MOVING, UNKNOWN = 255, 170

Pair = tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]
"""A frame, its true moving area, and where the truth is known."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data" / "clips")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(f"{'clip':26}{'steps':>7}{'area':>7}{'share':>8}{'with':>8}{'density':>9}{'with':>8}{'shifted':>9}")
    for name, sequences in clips(options.data).items():
        report(name, sequences)
    print(f"\n{'640 x 360':40}{'frames/CPU s':>14}{'frames/s':>10}")
    with tempfile.TemporaryDirectory() as folder:
        path = render(Path(folder) / "rendered.mp4")
        for title, motion in (
            ("plain", MotionOptions()),
            ("shift taken off", MotionOptions(compensate=True)),
            ("plain, 8 frames a second", MotionOptions(rate=8.0)),
        ):
            speeds = [speed(path, motion) for _ in range(options.runs)]
            cpu, wall = (statistics.median(column) for column in zip(*speeds, strict=True))
            print(f"{title:40}{cpu:14.0f}{wall:10.0f}")


def clips(data: Path) -> dict[str, list[list[Pair]]]:
    """Runs of frames that follow one another, with their truth, by name; those that are there."""
    found = {}
    if (data / "bmx").is_dir():
        found["bmx, moving camera"] = [list(bmx(data / "bmx"))]
    if (data / "highway_masks").is_dir():
        found["highway, still camera"] = list(highway(data))
    return found


def bmx(folder: Path) -> Iterator[Pair]:
    for frame, mask in zip(images(folder / "frames"), images(folder / "masks"), strict=True):
        yield frame, mask[..., 0] > 127, np.ones(mask.shape[:2], dtype=bool)


def highway(data: Path) -> Iterator[list[Pair]]:
    masks = sorted((data / "highway_masks").glob("gt*.png"))
    truth = dict(zip((int(path.stem[2:]) - FIRST_MASK for path in masks), images(data / "highway_masks"), strict=True))
    run: list[Pair] = []
    with open_video(data / "highway_mpeg4.avi") as reader:
        for batch in reader.read_where(lambda index, _start, _end: index in truth):
            for frame, index in zip(batch.frames, batch.indices.tolist(), strict=True):
                if index - 1 not in truth and run:
                    yield run
                    run = []
                mask = truth[index][..., 0]
                run.append((frame, mask == MOVING, mask != UNKNOWN))
    yield run


def images(folder: Path) -> Iterator[NDArray[np.uint8]]:
    with open_video(folder, frame_rate=25.0) as reader:
        for batch in reader.read():
            yield from batch.frames


def report(name: str, sequences: list[list[Pair]]) -> None:
    rows = [measure(sequences, compensate) for compensate in (False, True)]
    steps, area = rows[0][0], rows[0][1]
    (share, density), (share_with, density_with) = (row[2:4] for row in rows)
    shifted = f"{rows[1][4]}/{steps}"
    print(f"{name:26}{steps:7}{area:7.1%}{share:8.1%}{share_with:8.1%}{density:9.2f}{density_with:8.2f}{shifted:>9}")


def measure(sequences: list[list[Pair]], compensate: bool) -> tuple[int, float, float, float, int]:
    """Steps, share of the area, share of the energy inside, density inside over outside, steps that were shifted."""
    inside = outside = 0.0
    pixels_in = pixels_out = num_steps = num_shifted = 0
    for pairs in sequences:
        steps = Steps(compensate)
        for place, (frame, moving, known) in enumerate(pairs):
            step = steps.push(frame)
            if step is None:
                continue
            energy = EnergyMap(step.size)
            energy.add(step)
            compared = np.zeros(step.size, dtype=bool)
            compared[step.place] = True
            _, before, known_before = pairs[place - 1]
            true = moving | before
            counted = (known & known_before | true) & compared
            inside += float(energy.mean()[true & counted].sum())
            outside += float(energy.mean()[~true & counted].sum())
            pixels_in += int((true & counted).sum())
            pixels_out += int((~true & counted).sum())
            num_steps += 1
            num_shifted += not step.shift.is_still
    share, area = inside / (inside + outside), pixels_in / (pixels_in + pixels_out)
    return num_steps, area, share, (inside / pixels_in) / (outside / pixels_out), num_shifted


def render(path: Path, num_frames: int = 500, height: int = 360, width: int = 640) -> Path:
    """A camera that pans over noise, and a square that goes its own way."""
    random = np.random.default_rng(0)
    cells = random.integers(40, 200, (70, 120, 3), dtype=np.uint8)
    scene = np.repeat(np.repeat(cells, 12, axis=0), 12, axis=1)

    def frame(index: int) -> NDArray[np.uint8]:
        left = round(200 * (1 + np.sin(index / 40)))
        picture = scene[100 : 100 + height, left : left + width].copy()
        picture[(2 * index) % (height - 60) :, (3 * index) % (width - 60) :][:60, :60] = 230
        return picture

    write_video(path, (frame(index) for index in range(num_frames)), 25, options={"preset": "veryfast"})
    return path


def speed(path: Path, options: MotionOptions) -> tuple[float, float]:
    """Frames per CPU-second and per second."""
    cpu, wall = time.process_time(), time.perf_counter()
    with open_motion(path, Sampling(), options) as stream:
        for _ in stream:
            pass
        num_frames = stream.curve.video.num_frames
    return num_frames / (time.process_time() - cpu), num_frames / (time.perf_counter() - wall)


if __name__ == "__main__":
    main()
