"""How fast the feature cache writes, reads, lists, verifies and packs; and what kills do to it.

    python benchmarks/cache.py                    2,000 entries of 64 x 512 float32, median of 3 runs
    python benchmarks/cache.py --kills 20         besides: a writer killed 20 times, for three ways of storing

Reading finds the files in the operating system's memory, so it measures HDF5, checksums and Python, not the disk.
Writing waits for the disk (fsync) at every entry.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from vidlang.core import FeatureKey, FeatureRecipe, Features, FileIdentity, VideoInfo
from vidlang.store.feature_cache import FeatureCache

RECIPE = FeatureRecipe("clip-vit-b16", "benchmark")
IDENTITY = FileIdentity(1_000_000, "0" * 40, 0.0)
WAYS = ("entries", "one file held open", "one file opened per video")


def features_of(number: int, num_rows: int, dim: int = 512) -> Features:
    video_id = f"folder{number % 10}/video{number:05}.mp4"
    edges = np.arange(num_rows + 1, dtype=np.int64) * 16
    frames = np.stack([edges[:-1], edges[1:]], axis=1)
    values = np.random.default_rng(number).standard_normal((num_rows, dim), dtype=np.float32)
    video = VideoInfo(video_id, num_rows * 16, num_rows * 0.64, 25.0, (240, 320))
    return Features(FeatureKey(video_id, RECIPE), video, values, frames, frames / 25)


class Table:
    """Collects (wall, CPU) seconds by step over several runs."""

    def __init__(self) -> None:
        self.steps: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.steps.setdefault(step, []).append((time.perf_counter() - wall, time.process_time() - cpu))

    def lines(self, num_entries: int, megabytes: float) -> Iterator[str]:
        yield f"{'step':<22}{'wall s':>9}{'CPU s':>9}{'entries/s':>11}{'ms CPU/entry':>14}{'MB/s':>8}"
        for step, runs in self.steps.items():
            wall, cpu = (statistics.median(run[i] for run in runs) for i in (0, 1))
            speed = "" if step.startswith(("entries", "is_fresh")) else f"{megabytes / wall:8.0f}"
            yield f"{step:<22}{wall:9.2f}{cpu:9.2f}{num_entries / wall:11.0f}{cpu / num_entries * 1000:14.2f}{speed}"


def measure(folder: Path, everything: list[Features], table: Table) -> None:
    """Every step once."""
    cache = FeatureCache(folder / "cache")
    keys = [features.key for features in everything]
    with table.time("put"):
        for features in everything:
            cache.put(features, identity=IDENTITY, made_with={"decoder": "none"})
    with table.time("is_fresh"):
        assert all(cache.is_fresh(key, IDENTITY) for key in keys)
    with table.time("get"):
        for _ in cache.get_many(keys):
            pass
    with table.time("entries"):
        assert sum(1 for _ in cache.entries()) == len(keys)
    with table.time("entries, again"):
        assert sum(1 for _ in cache.entries()) == len(keys)
    with table.time("verify"):
        assert cache.verify() == []
    with table.time("pack"):
        cache.pack(folder / "all.h5")
    packed = FeatureCache(folder / "all.h5")
    with table.time("get, packed"):
        for _ in packed.get_many(keys):
            pass
    with table.time("entries, packed"):
        assert sum(1 for _ in packed.entries()) == len(keys)


def write_forever(way: str, folder: Path) -> None:
    """Runs until it is killed."""
    ready: Callable[[], object] = lambda: (sys.stdout.write("ready\n"), sys.stdout.flush())  # noqa: E731
    some = [features_of(number, 64) for number in range(50)]
    ready()
    start = random.randrange(1_000_000_000)
    if way == "entries":
        cache = FeatureCache(folder)
        for number in range(1_000_000):
            cache.put(some[number % len(some)], identity=IDENTITY)
    elif way == "one file held open":
        with h5py.File(folder / "all.h5", "a") as file:
            for number in range(1_000_000):
                file[f"{start + number}/values"] = some[number % len(some)].values
    else:
        for number in range(1_000_000):
            with h5py.File(folder / "all.h5", "a") as file:
                file[f"{start + number}/values"] = some[number % len(some)].values


def unreadable(way: str, folder: Path) -> tuple[int, int]:
    """(damaged, all) files after the kill."""
    if way == "entries":
        cache = FeatureCache(folder)
        damaged = [problem for _, problem in cache.verify(sweep=True) if "killed writer" not in problem]
        return len(damaged), sum(1 for _ in folder.rglob("*.h5"))
    try:
        with h5py.File(folder / "all.h5", "r") as file:
            for group in file.values():
                group["values"][()]
    except (OSError, KeyError, RuntimeError):
        return 1, 1
    return 0, 1


def kill_writers(way: str, num_kills: int, folder: Path) -> str:
    """Each time a fresh folder, a writer, and SIGKILL after .05 to 1 s."""
    damaged = total = broken_runs = 0
    for number in range(num_kills):
        target = folder / f"{WAYS.index(way)}-{number}"
        target.mkdir()
        command = [sys.executable, __file__, "--writer", way, "--folder", str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
            time.sleep(random.uniform(0.05, 1))
            writer.send_signal(signal.SIGKILL)
        bad, all_files = unreadable(way, target)
        damaged, total, broken_runs = damaged + bad, total + all_files, broken_runs + bool(bad)
    return f"{way:<28}{broken_runs:>3} of {num_kills} kills did damage; {damaged} of {total} files unreadable"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure (default: a temporary one)")
    parser.add_argument("--writer", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.writer:
        write_forever(options.writer, options.folder)
        return
    everything = [features_of(number, options.rows) for number in range(options.entries)]
    megabytes = sum(features.values.nbytes for features in everything) / 1e6
    table = Table()
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            measure(Path(folder), everything, table)
    print(f"{options.entries} entries of {options.rows} x 512 float32, {megabytes:.0f} MB, median of {options.runs}")
    print("\n".join(table.lines(options.entries, megabytes)))
    for way in WAYS if options.kills else ():
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print(kill_writers(way, options.kills, Path(folder)))


if __name__ == "__main__":
    main()
