"""What a kill leaves behind, and what a long video costs.

``--kills 20`` starts ``vidlang extract`` twenty times in a process of its own and kills each with SIGKILL at a random
moment, then verifies the cache, sweeps it, and lets a last run finish. ``--long 10`` extracts and scores a video of ten
minutes, and one of one minute, and prints wall time, processor time and peak memory of each step: memory that does not
grow with the video is constant.

    python benchmarks/robustness.py --kills 20
    python benchmarks/robustness.py --kills 20 --videos videos/
    python benchmarks/robustness.py --long 10
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidlang.store.feature_cache import FeatureCache
from vidlang.video.reader import find_videos
from vidlang.video.writer import write_video

HEIGHT, WIDTH, RATE = 240, 320, 25.0


def moving_squares(seconds: float, seed: int = 0) -> Iterator[np.ndarray]:
    """Frames [240, 320, 3]: squares that drift over a gradient, with camera noise, at 25 frames per second."""
    random_state = np.random.default_rng(seed)
    ramp = np.linspace(40, 160, WIDTH, dtype=np.float32)[None, :, None] + np.zeros((HEIGHT, 1, 3), np.float32)
    noise = random_state.normal(0, 4, (8, HEIGHT, WIDTH, 1)).astype(np.float32)
    places = random_state.uniform(0, 1, (6, 2))
    speeds = random_state.uniform(-0.15, 0.15, (6, 2))  # of the picture, per second
    colours = random_state.uniform(0, 255, (6, 3))
    for index in range(round(seconds * RATE)):
        frame = ramp + noise[index % len(noise)]
        for place, speed, colour in zip(places, speeds, colours, strict=True):
            top, left = ((place + speed * index / RATE) % 1 * (HEIGHT - 40, WIDTH - 40)).astype(int)
            frame[top : top + 40, left : left + 40] = colour
        yield frame.clip(0, 255).astype(np.uint8)


def render(path: Path, seconds: float, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, moving_squares(seconds, seed), RATE, options={"preset": "veryfast"})
    return path


def vidlang(*arguments: str | Path) -> list[str]:
    """The command line of one call, by this interpreter."""
    return [sys.executable, "-m", "vidlang", *map(str, arguments)]


def print_row(cells: Sequence[object], widths: Sequence[int]) -> None:
    print("  ".join(f"{cell!s:>{width}}" for cell, width in zip(cells, widths, strict=True)), flush=True)


# -- kills -----------------------------------------------------------------------------------------------------------


def count(root: Path) -> int:
    """Entries of a cache, whole or not."""
    return sum(not path.name.startswith(".") for path in root.rglob("*.h5"))


def kill_often(videos: Path, workspace: Path, encoder: str, kills: int, seed: int) -> bool:
    """Prints a row per kill, and what was left; returns whether nothing was damaged and the last run finished.

    Each run dies after a random number of entries, none to its share of the videos, and up to 0.1 s later: while it
    starts, decodes, encodes or writes.
    """
    command = vidlang("extract", videos, "--workspace", workspace, "--encoder", encoder)
    cache = FeatureCache(workspace / "cache")
    chance = random.Random(seed)
    share = len(find_videos([videos])) // kills
    widths = (4, 8, 7, 7, 11)
    print_row(("kill", "after s", "whole", "damaged", "temporaries"), widths)
    none_damaged = True
    for number in range(1, kills + 1):
        enough = count(cache.root) + chance.randint(0, max(1, share - 1))
        starting, pause = chance.uniform(0, 4), chance.uniform(0, 0.1)
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and (count(cache.root) < enough or time.monotonic() < started + starting):
            time.sleep(0.002)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        after = time.monotonic() - started
        if process.wait() == 0:
            raise SystemExit("A run finished before its kill: give more --videos.")
        damaged = [path for path, problem in cache.verify() if "killed writer" not in problem]
        temporaries = list(cache.root.rglob(".vidlang-*"))
        none_damaged = none_damaged and not damaged
        print_row((number, f"{after:.2f}", len(list(cache)), len(damaged), len(temporaries)), widths)
    for arguments in (("cache", "verify", "--sweep"), ("cache", "verify")):
        done = subprocess.run(vidlang(*arguments, "--workspace", workspace), capture_output=True, text=True)
        print(f"$ vidlang {' '.join(arguments)}  (exit code {done.returncode})\n  {done.stdout.strip()}")
        swept = sum("killed writer" in line for line in done.stderr.splitlines())
        if swept:
            print(f"  {swept} temporaries of killed writers")
    last = subprocess.run(command, capture_output=True, text=True)
    print(f"$ vidlang extract  (exit code {last.returncode})\n  {last.stdout.strip().splitlines()[0]}")
    good = subprocess.run(vidlang("cache", "verify", "--workspace", workspace), capture_output=True, text=True)
    print(f"$ vidlang cache verify  (exit code {good.returncode})\n  {good.stdout.strip()}")
    return none_damaged and last.returncode == 0 and good.returncode == 0


# -- a long video ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds of all threads."""
    peak: float
    """MiB of resident memory at most."""
    code: int


def measure(command: list[str]) -> Cost:
    """Runs a command in a fork of its own, so that its peak memory is nobody else's."""
    reader, writer = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reader)
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        scale = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
        os.write(writer, f"{used.ru_utime + used.ru_stime} {used.ru_maxrss / scale} {done.returncode}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        cpu, peak, code = stream.read().split()
    os.waitpid(child, 0)
    return Cost(time.monotonic() - started, float(cpu), float(peak), int(code))


def cost_of_length(folder: Path, encoder: str, minutes: Sequence[float]) -> bool:
    """Prints a row per video and step; returns whether every step succeeded."""
    widths = (10, 9, 8, 8, 9, 9)
    print_row(("video", "step", "wall s", "CPU s", "peak MiB", "exit code"), widths)
    good = True
    for length in minutes:
        video = render(folder / f"{length:g}min.mp4", 60 * length)
        for step in ("extract", "score"):
            cost = measure(vidlang(step, video, "--workspace", folder / "workspace", "--encoder", encoder))
            figures = (f"{cost.wall:.1f}", f"{cost.cpu:.1f}", f"{cost.peak:.0f}")
            print_row((f"{length:g} min", step, *figures, cost.code), widths)
            good = good and cost.code == 0
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0, help="so many runs are killed")
    parser.add_argument("--videos", type=Path, help="folder for --kills; default: rendered films")
    parser.add_argument("--long", type=float, nargs="?", const=10.0, default=0.0, metavar="MINUTES")
    parser.add_argument("--encoder", default="mini")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not options.kills and not options.long:
        parser.error("give --kills or --long")
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.kills:
            videos = options.videos
            if videos is None:
                videos = folder / "videos"
                for index in range(6 * options.kills):
                    render(videos / f"{index:03d}.mp4", 5.0, seed=index)
            good = kill_often(videos, folder / "killed", options.encoder, options.kills, options.seed)
        if options.long:
            good = cost_of_length(folder, options.encoder, sorted({1.0, options.long})) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
