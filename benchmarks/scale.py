"""One table of how things scale on one machine: extraction by engine and workers, shards and packs, search, the plan.

    python benchmarks/scale.py ../videos               each row the median of 3 runs
    python benchmarks/scale.py --runs 1 --steps extract merge

Videos are copies of short drawn ones unless some are given. Wall time and CPU time stand side by side, since one more
worker on a busy machine takes wall time from the others, not CPU time. CPU seconds are of all threads and children.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vidlang.core import FeatureRecipe, Sampling
from vidlang.core.shares import Share
from vidlang.demo.scenes import render_video
from vidlang.encoders.clip import load_encoder
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.pack_shards import pack_name
from vidlang.video.writer import write_video
from vidlang.workflows.extract import ExtractOptions, extract
from vidlang.workflows.plan_measure import PlanOptions, plan

STEPS = ("extract", "merge", "search", "plan")
Measured = tuple[float, float]  # wall seconds, CPU seconds


class Table:
    """Median wall and CPU seconds by row."""

    def __init__(self) -> None:
        self.runs: dict[str, list[Measured]] = {}
        self.facts: dict[str, str] = {}

    def time(self, name: str, work: Callable[[], object], fact: str = "") -> None:
        wall, cpu = time.perf_counter(), _cpu()
        work()
        took = time.perf_counter() - wall, _cpu() - cpu
        self.runs.setdefault(name, []).append(took)
        print(f"{name}: {took[0]:.2f} s, CPU {took[1]:.2f} s", file=sys.stderr, flush=True)  # each run, as it ends
        self.facts[name] = fact

    def lines(self) -> Iterator[str]:
        yield f"{'':48}{'wall s':>9}{'CPU s':>9}"
        for name, runs in self.runs.items():
            wall, cpu = (statistics.median(run[i] for run in runs) for i in (0, 1))
            yield f"{name:48}{wall:9.2f}{cpu:9.2f}  {self.facts[name]}"


def _cpu() -> float:
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(getattr(resource.getrusage(who), name) for who in whose for name in ("ru_utime", "ru_stime"))


def draw(folder: Path, count: int) -> list[Path]:
    """Videos of 8 s; those after the first four are copies under other names, which decode just as long."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"film{number:03}.mp4"
        if number < 4:
            kind = ("normal", "fighting", "falling", "fire")[number]
            write_video(path, render_video(kind, seed=number, size=(240, 320)), 25.0)
        else:
            shutil.copy(folder / f"film{number % 4:03}.mp4", path)
    return sorted(folder.iterdir())


class Extraction:
    """The same videos again and again, into a fresh cache each time."""

    def __init__(self, videos: list[Path], scratch: Path) -> None:
        self.videos, self.scratch = videos, scratch
        self.encoder = load_encoder("mini", device="cpu")
        self.recipe = FeatureRecipe("mini", self.encoder.revision, Sampling())
        self.number = 0

    def fresh(self) -> Path:
        self.number += 1
        return self.scratch / f"cache{self.number}"

    def local(self, workers: int) -> Path:
        cache = FeatureCache(self.fresh())
        options = ExtractOptions(num_workers=workers)
        report = extract(self.videos, cache, self.recipe, lambda: self.encoder, options)
        assert not report.num_failed, [outcome.error for outcome in report.outcomes]
        return cache.root

    def by_command(self, *words: str, at_once: int = 1) -> None:
        """As shells and clusters run it; with ``at_once`` N, N processes with a shard each into one workspace."""
        workspace = self.fresh()
        command = [sys.executable, "-m", "vidlang", "extract", *map(str, self.videos), "--encoder", "mini", "--quiet"]
        command += ["--workspace", str(workspace), *words]
        shards = [["--shard", f"{n}/{at_once}"] for n in range(1, at_once + 1)] if at_once > 1 else [[]]
        running = [subprocess.Popen([*command, *shard]) for shard in shards]
        codes = [process.wait() for process in running]
        assert not any(codes), f"exit codes {codes}"


def measure_extract(work: Extraction, table: Table) -> None:
    count = f"{len(work.videos)} videos"
    table.time("extract, local engine, 1 worker", lambda: work.local(1), count)
    table.time("extract, local engine, 2 workers", lambda: work.local(2), count)
    table.time("extract, one process", lambda: work.by_command(), "start-up included")
    if _takes("extract", "--shard"):
        table.time("extract, two processes by --shard", lambda: work.by_command(at_once=2), "start-up included")
    if _takes("extract", "--engine") and importlib.util.find_spec("ray") is not None:
        table.time("extract, ray on this machine", lambda: work.by_command("--engine", "ray"), "start-up included")


def _takes(command: str, option: str) -> bool:
    told = subprocess.run([sys.executable, "-m", "vidlang", command, "--help"], capture_output=True, text=True)
    return option in told.stdout


def measure_merge(work: Extraction, table: Table, entries: int) -> None:
    """Entries that have no videos: what keeping costs is asked, not extracting."""
    from cache import features_of  # beside this file

    root = work.fresh()
    cache = FeatureCache(root)
    for number in range(entries):
        cache.put(features_of(number, 64), identity=None)
    packs = work.fresh()
    table.time(f"pack {entries:,} entries, one file", lambda: cache.pack(packs.with_suffix(".h5")))
    table.time(f"pack {entries:,} entries, 4 shards", lambda: cache.pack_shards(packs, 4))
    assert (packs / pack_name(Share(1, 4))).is_file()
    table.time("list them all, a file each", lambda: list(FeatureCache(root).keys()))
    table.time("list them all, 4 packs", lambda: list(FeatureCache(packs).keys()))
    keys = list(FeatureCache(packs).keys())
    table.time("read them all, a file each", lambda: [None for _ in FeatureCache(root).get_many(keys)])
    table.time("read them all, 4 packs", lambda: [None for _ in FeatureCache(packs).get_many(keys)])
    table.time("remove them all, a file each", lambda: shutil.rmtree(root))
    table.time("remove them all, 4 packs", lambda: shutil.rmtree(packs))


def measure_search(scratch: Path, table: Table, rows: int) -> None:
    """The plain product by blocks over a file of vectors, which bounds what any exact search can reach here."""
    path, dim = scratch / "vectors.npy", 256
    random = np.random.default_rng(0)
    if not path.exists():
        vectors = np.lib.format.open_memmap(path, "w+", np.float32, (rows, dim))
        for first in range(0, rows, 50_000):
            vectors[first : first + 50_000] = random.standard_normal((min(50_000, rows - first), dim), np.float32)
        vectors.flush()
    for queries in (1, 16):
        asked = random.standard_normal((queries, dim), np.float32)

        def search(asked: np.ndarray = asked) -> None:
            stored = np.load(path, mmap_mode="r")
            best = np.full((len(asked), 0), -np.inf, np.float32)
            for first in range(0, rows, 50_000):
                found = np.concatenate([best, asked @ stored[first : first + 50_000].T], axis=1)
                best = np.partition(found, -10, axis=1)[:, -10:] if found.shape[1] > 10 else found

        table.time(f"exact product, {rows:,} x {dim}, {queries} queries", search, f"{rows * dim * 4 / 1e9:.1f} GB")


def measure_plan(work: Extraction, table: Table) -> None:
    """What the plan says of the videos of this benchmark, beside what they take."""
    options = PlanOptions(workers=(1,), measure_seconds=10.0, cores=1)
    found: list[float] = []

    def ask() -> None:
        words = [str(path) for path in work.videos]
        found.append(plan(words, work.recipe, lambda: work.encoder, options).rows[0].seconds)

    table.time("plan, 10 s of measuring", ask)
    table.facts["plan, 10 s of measuring"] = f"says {found[-1]:.1f} CPU s for the extraction"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--count", type=int, default=16, help="videos drawn")
    parser.add_argument("--entries", type=int, default=2000, help="entries packed and listed")
    parser.add_argument("--rows", type=int, default=1_000_000, help="vectors searched")
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure (default: a temporary one)")
    options = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        scratch = Path(folder)
        work = Extraction(options.videos or draw(scratch / "videos", options.count), scratch)
        for _ in range(options.runs):
            if "extract" in options.steps:
                measure_extract(work, table)
            if "merge" in options.steps:
                measure_merge(work, table, options.entries)
            if "search" in options.steps:
                measure_search(scratch, table, options.rows)
            if "plan" in options.steps:
                measure_plan(work, table)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, median of {options.runs} runs")
    print("\n".join(table.lines()))


if __name__ == "__main__":
    main()
