"""Does a network know clips by what moves, or by where it happens? The background-swap test of FAME.

    python examples/background_swap/run.py --footage FOLDER [--steps 300] [--masks none,fame] [--json out.json]

``--footage`` is any folder of real videos of some twenty different places or more; a hundred short CCTV clips are good.
Everything else is made here.

The test needs clips whose motion and background are known and free of each other, which real clips are not, and cutting
real foregrounds out with a motion mask would judge FAME by its own masks. So the foregrounds are people of
``vidlang.demo``, drawn into real footage: their edges are exact, their motion (walk, run, jumping jacks, shadow boxing,
throwing, kneeling down) is known, and clothes, size, place and time are random. The footage keeps its own motion.

- Training videos have one motion and one place each, as collections of the net have: the place alone tells a video from
  all others, which is the shortcut that FAME is to close. No label is read.
- Test clips show every motion before every place of a square grid, at several times with other people; people and
  places are not those of the training. Vectors are pooled features less the mean of the training films. The nearest
  neighbour of each clip is looked for among clips of other cells: ``by motion`` is the share whose neighbour shows the
  same motion, before another background; ``by background`` the share whose neighbour has the same background, with
  another motion; by chance each is 1/7. ``motion nearer`` is the share of clips to which the nearest one of the same
  motion elsewhere is nearer than the nearest one of the same background, 0.5 for a network that knows nothing, as there
  are as many of either kind. ``margin`` is the mean cosine to the former less that to the latter. ``motion probe`` is
  the accuracy of a linear probe that learns the motions of the training films, by chance 1/6.

All networks start from the same weights and see the same videos in the same order for the same number of steps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from films import MOTIONS, NUM_FRAMES, Film, Footage, film, read_footage, split_footage
from numpy.typing import NDArray

from vidlang.core import Progress, VidlangError
from vidlang.core.progress import Task
from vidlang.methods.fame.config import FameConfig, preset
from vidlang.methods.fame.predict import Predictor
from vidlang.methods.fame.train import fit, new_moco
from vidlang.metrics.representation import linear_probe, neighbours_by, top_k_accuracy
from vidlang.video.clips import ClipSampling, random_starts, uniform_starts

SIDE_BY_CROP = 1.25
"""Side of the square films by that of the random crops that networks see."""
REPEATS = 2
"""Films of every motion before every test background."""
TEST_WINDOWS = 4
LEAST_FILMS = 64
"""To train on."""
PLAIN = "none"
"""The name of training without any mask: plain contrast."""


@dataclass(frozen=True, eq=False)
class Films:
    """Films with what is known of them."""

    films: Sequence[Film]
    motions: NDArray[np.int64]
    backgrounds: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Two windows of each of some films."""

    clips: NDArray[np.uint8]
    """[B, 2, 3, T, H, W]"""
    indices: NDArray[np.int64]


def training_films(footage: Sequence[Footage], seed: int) -> Films:
    """One film a place, of one random motion; where there are few places, several films of the same motion each."""
    random = np.random.default_rng([seed, 1])
    motions = random.permutation(np.arange(len(footage)) % len(MOTIONS))
    places = np.tile(np.arange(len(footage)), -(-LEAST_FILMS // len(footage)))
    films = [film(MOTIONS[motions[place]], footage[place], random) for place in places]
    return Films(films, motions[places], places)


def test_grids(footage: Sequence[Footage], seed: int) -> list[Films]:
    """Every motion before every place, ``REPEATS`` times, in grids of as many places as there are motions."""
    random = np.random.default_rng([seed, 2])
    size = len(MOTIONS)
    grids = []
    for first in range(0, len(footage) - size + 1, size):
        cells = [(m, b) for m in range(size) for b in range(size) for _ in range(REPEATS)]
        films = [film(MOTIONS[m], footage[first + b], random) for m, b in cells]
        grids.append(Films(films, *(np.array(column) for column in zip(*cells, strict=True))))
    return grids


def window(film: Film, start: int, config: FameConfig) -> NDArray[np.uint8]:
    """[3, T, H, W]"""
    frames = film[start : start + config.num_frames * config.step : config.step]
    return np.ascontiguousarray(frames.transpose(3, 0, 1, 2))


def num_windows(config: FameConfig) -> int:
    return ClipSampling(config.num_frames, config.step, None).num_windows(NUM_FRAMES)


@dataclass(frozen=True)
class Source:
    """Batches of an epoch; seed and epoch decide them."""

    films: Films
    config: FameConfig

    def __call__(self, epoch: int) -> Iterator[Batch]:
        random = np.random.default_rng([self.config.seed, 3, epoch])
        order = random.permutation(len(self.films.films))
        size = self.config.batch_size
        for first in range(0, len(order) - size + 1, size):
            indices = order[first : first + size]
            clips = []
            for index in indices:
                starts = random_starts(num_windows(self.config), 2, random)
                clips.append([window(self.films.films[index], int(start), self.config) for start in starts])
            yield Batch(np.array(clips), indices)


Vectors = NDArray[np.float64]


def vectors(predictor: Predictor, films: Sequence[Film], config: FameConfig) -> Vectors:
    """[N, D], the mean over the windows of each film"""
    starts = uniform_starts(num_windows(config), TEST_WINDOWS)
    rows = [predictor.video_feature(np.stack([window(one, int(s), config) for s in starts])) for one in films]
    return np.stack(rows).astype(np.float64)


def judge(learned: Vectors, films: Films, tests: Sequence[Vectors], grids: Sequence[Films]) -> dict[str, float]:
    """What a network goes by. learned: vectors of the training films    tests: of each grid"""
    centre = learned.mean(axis=0)
    found: list[tuple[float, ...]] = []
    for rows, grid in zip(tests, grids, strict=True):
        cells = grid.motions * (grid.backgrounds.max() + 1) + grid.backgrounds
        shares = neighbours_by(rows - centre, grid.motions, grid.backgrounds, groups=cells)
        probe = linear_probe(learned - centre, films.motions, rows - centre, num_classes=len(MOTIONS))
        named = top_k_accuracy(probe.logits, grid.motions, (1,))[1]
        found.append((shares.a, shares.b, shares.prefers_a, margin(rows - centre, grid), named))
    names = ("by motion", "by background", "motion nearer", "margin", "motion probe")
    return dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))


def margin(rows: Vectors, grid: Films) -> float:
    """Mean cosine to clips of the same motion elsewhere, less that to others before the same background."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ unit.T
    same_motion = grid.motions[:, None] == grid.motions[None]
    same_ground = grid.backgrounds[:, None] == grid.backgrounds[None]
    return float(cosines[same_motion & ~same_ground].mean() - cosines[same_ground & ~same_motion].mean())


def measure(predictor: Predictor, films: Films, grids: Sequence[Films], config: FameConfig) -> dict[str, float]:
    """What the network goes by."""
    tests = [vectors(predictor, grid.films, config) for grid in grids]
    return judge(vectors(predictor, films.films, config), films, tests, grids)


def train(films: Films, grids: Sequence[Films], config: FameConfig) -> dict[str, object]:
    """One training and what its network then goes by."""
    started = time.process_time()
    with Lines(config.mask) as progress:
        result = fit(Source(films, config), config, progress=progress)
    minutes = (time.process_time() - started) / 60
    what = "MoCo" if config.mask == PLAIN else f"MoCo with FAME, mask {config.mask}, beta {config.beta:g}"
    last = result.history[-1]
    found = measure(Predictor.from_state(result.state, config), films, grids, config)
    return {"what": what, **found, "loss": last["loss"], "top-1": last["top1"], "CPU minutes": minutes}


class Lines(Progress, Task):
    """A line now and then."""

    def __init__(self, title: str) -> None:
        self.title, self.done = title, 0
        self.facts: dict[str, object] = {}

    def task(self, description: str, total: float | None = None, unit: str = "") -> Task:
        return self

    def __enter__(self) -> Lines:
        return self

    def note(self, **facts: object) -> None:
        self.facts = facts

    def advance(self, amount: float = 1) -> None:
        self.done += int(amount)
        if amount and self.done % 5 == 0:
            print(f"  {self.title}, epoch {self.done}: {self.facts}", flush=True)


def config_of(arguments: argparse.Namespace, mask: str, num_films: int) -> FameConfig:
    """The preset of the network, with as many epochs as make the steps."""
    names = ("hue", "beta", "seed", "precision", "crop_size")
    changes = {"mask": mask, **{name: getattr(arguments, name) for name in names}}
    changes["short_side"] = round(SIDE_BY_CROP * arguments.crop_size)
    if arguments.num_frames is not None:
        changes["num_frames"] = arguments.num_frames
    config = preset("small", arch="tiny", min_batches=1, **changes)
    steps = max(num_films // config.batch_size, 1)
    queue_size = max(num_films // 2 // config.batch_size, 1) * config.batch_size  # or it holds keys of the same films
    return replace(config, epochs=max(1, round(arguments.steps / steps)), queue_size=queue_size)


def show(rows: Sequence[dict[str, object]]) -> None:
    columns = list(dict.fromkeys(name for one in rows for name in one))
    cells = [[f"{v:.3f}" if isinstance(v := one.get(c, ""), float) else str(v) for c in columns] for one in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in (columns, *cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--footage", type=Path, required=True, help="folder of real videos")
    parser.add_argument("--steps", type=int, default=300, help="training steps of each network (default 300)")
    parser.add_argument("--masks", default="none,fame", help="trainings: none, fame, seed, grid, gauss")
    parser.add_argument("--hue", choices=("reference", "exact"), default="exact", help="hue of the mask fame")
    parser.add_argument("--beta", type=float, default=0.5, help="share of the picture that masks keep (default 0.5)")
    parser.add_argument("--crop-size", type=int, default=64, help="pixels that networks see (default 64; 32 is faster)")
    parser.add_argument("--num-frames", type=int, help="frames of a clip (default: the preset's)")
    parser.add_argument("--places", type=int, default=12, help="backgrounds of the test, a multiple of 6")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--json", type=Path, help="also write the table there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        footage = read_footage(arguments.footage, round(SIDE_BY_CROP * arguments.crop_size))
        train_places, test_places = split_footage(footage, arguments.places)
    except VidlangError as error:
        raise SystemExit(f"Error: {error}") from error
    films, grids = training_films(train_places, arguments.seed), test_grids(test_places, arguments.seed)
    print(f"{len(films.films)} training films, {len(grids)} grids of {len(grids[0].films)} test films")
    start = config_of(arguments, PLAIN, len(films.films))
    fresh = Predictor.from_state(new_moco(start).encoder_q.state_dict(), start)
    rows: list[dict[str, object]] = [
        {"what": "random weights", **measure(fresh, films, grids, start)},
    ]
    for mask in filter(None, arguments.masks.split(",")):
        rows.append(train(films, grids, config_of(arguments, mask, len(films.films))))
    show(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps({"schema": "vidlang.background_swap/1", "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
