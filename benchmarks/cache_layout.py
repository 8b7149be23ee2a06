"""How layouts of the feature cache behave as entries grow to ten million: one folder, hash folders, packs by hash.

    python benchmarks/cache_layout.py                         20,000 to 200,000 files; 5,000 to 20,000 in packs
    python benchmarks/cache_layout.py --counts 100000 1000000 --folder /mnt/disk

Files and groups are real and made on the disk of ``--folder``; names are ids as cameras and crawlers give them. Their
content is short (a kilobyte a file, four rows a group), since the question is what names, folders and lookups cost.
Times are CPU seconds of this process, the kernel's work for it included, so that other work on the machine does not
count; a slow disk or a network comes on top. Opening is wall time, the median of many.
The last line of each layout is no measurement: it is the fit cost = a * count ** b through the measured points, read
at ten million, with its exponent b. Everything written is removed at the end, also after an interruption.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from vidlang.core.shares import share_of

TARGET = 10_000_000
PACK_ENTRIES = 5_000
"""Entries of one pack."""
FOLDER_FILES = 153
"""Files of one hash folder, as 256 x 256 folders have at ten million: fewer entries get fewer folders."""
LOOKUPS = 1000
PAGE = os.urandom(1024)


@dataclass(frozen=True)
class Point:
    """What one layout costs at one number of entries."""

    count: int
    make_us: float
    """Microseconds an entry."""
    list_us: float
    """Naming all entries."""
    stamp_us: float
    """Naming all entries with size and time."""
    open_us: float
    """Opening one entry by its id and reading its first bytes, median of random ones, in a fresh process."""
    inodes: int
    disk_bytes: int
    """Beyond the content: what names, folders, blocks and groups add to it."""


def entry_name(number: int) -> str:
    """``cam0417_2023-05-14T07-30-00_00001234.mp4.h5``, 44 bytes."""
    return f"cam{number % 997:04}_2023-05-{number % 28 + 1:02}T07-30-00_{number:08}.mp4.h5"


class Files:
    """One file an entry."""

    def __init__(self, name: str, hashed: bool) -> None:
        self.name = name
        self.hashed = hashed

    def path(self, root: Path, name: str, count: int) -> Path:
        if not self.hashed:
            return root / name
        fan = max(1, round((count / FOLDER_FILES) ** 0.5))  # 256 of 256 folders at ten million
        share = share_of(name, fan * fan) - 1
        return root / f"{share // fan:02x}" / f"{share % fan:02x}" / name

    def make(self, root: Path, count: int) -> None:
        known = set()
        for number in range(count):
            path = self.path(root, entry_name(number), count)
            if path.parent not in known:
                path.parent.mkdir(parents=True, exist_ok=True)
                known.add(path.parent)
            temporary = f"{path}.tmp"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT)
            os.write(descriptor, PAGE)
            os.close(descriptor)
            os.rename(temporary, path)

    def list(self, root: Path, stamp: bool) -> int:
        return sum(1 for _ in _walk(str(root), stamp))

    def open(self, root: Path, name: str, count: int) -> None:
        with self.path(root, name, count).open("rb", buffering=0) as file:
            file.read(64)

    content = len(PAGE)


class Packs:
    """Files of ``PACK_ENTRIES`` entries each, by the share of the id."""

    name = f"packs of {PACK_ENTRIES:,}"
    values = np.zeros((4, 64), dtype=np.float32)
    content = values.nbytes

    def num_packs(self, count: int) -> int:
        return max(1, -(-count // PACK_ENTRIES))

    def path(self, root: Path, share: int, count: int) -> Path:
        return root / f"shard-{share:05}-of-{self.num_packs(count):05}.h5"

    def make(self, root: Path, count: int) -> None:
        shares: dict[int, list[str]] = {}
        for number in range(count):
            name = entry_name(number)
            shares.setdefault(share_of(name, self.num_packs(count)), []).append(name)
        for share, names in shares.items():
            with h5py.File(self.path(root, share, count), "w", libver=("v108", "v110"), locking=False) as file:
                for name in names:
                    group = file.create_group(f"clip-vit-b16/stride16-middle-0123456789/{name}")
                    group.create_dataset("values", data=self.values)
                    group.attrs["schema"] = 1

    def list(self, root: Path, stamp: bool) -> int:
        total = 0
        for item in os.scandir(root):
            item.stat()
            with h5py.File(item.path, "r", locking=False) as file:
                total += sum(1 for _ in file["clip-vit-b16/stride16-middle-0123456789"])
        return total

    def open(self, root: Path, name: str, count: int) -> None:
        with h5py.File(self.path(root, share_of(name, self.num_packs(count)), count), "r", locking=False) as file:
            file[f"clip-vit-b16/stride16-middle-0123456789/{name}/values"][:1]


LAYOUTS: dict[str, Files | Packs] = {
    "flat": Files("one folder", hashed=False),
    "hashed": Files("two levels of hash folders", hashed=True),
    "packs": Packs(),
}


def _walk(folder: str, stamp: bool) -> Iterator[str]:
    with os.scandir(folder) as found:
        for item in found:
            if item.is_dir(follow_symlinks=False):
                yield from _walk(item.path, stamp)
            else:
                if stamp:
                    item.stat()
                yield item.name


def measure(key: str, count: int, parent: Path) -> Point:
    """Makes, lists and opens ``count`` entries of one layout below a folder of its own, and removes them."""
    layout = LAYOUTS[key]
    root = Path(tempfile.mkdtemp(prefix=f"layout-{key}-", dir=parent))
    try:
        make = _seconds(lambda: layout.make(root, count))
        found = layout.list(root, stamp=False)
        assert found == count, f"{found} entries listed, {count} made"
        listing = min(_seconds(lambda: layout.list(root, stamp=False)) for _ in range(3))
        stamping = min(_seconds(lambda: layout.list(root, stamp=True)) for _ in range(3))
        command = [sys.executable, __file__, "--open", key, str(count), str(root)]
        opening = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        inodes, used = _usage(root)
        return Point(
            count,
            make / count * 1e6,
            listing / count * 1e6,
            stamping / count * 1e6,
            opening,
            inodes,
            used - count * layout.content,
        )
    finally:
        shutil.rmtree(root, ignore_errors=True)


def open_some(key: str, count: int, root: Path) -> float:
    """Microseconds, the median over random entries."""
    names = [entry_name(number) for number in random.Random(0).choices(range(count), k=LOOKUPS)]
    times = []
    for name in names:
        started = time.perf_counter()
        LAYOUTS[key].open(root, name, count)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def _seconds(work: Callable[[], object]) -> float:
    """CPU seconds."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _usage(root: Path) -> tuple[int, int]:
    """(inodes, bytes of their blocks)."""
    inodes = used = 0
    for parent, _, files in os.walk(root):
        for facts in (os.stat(parent), *(os.stat(os.path.join(parent, name)) for name in files)):
            inodes, used = inodes + 1, used + facts.st_blocks * 512
    return inodes, used


def fit(counts: Sequence[int], totals: Sequence[float]) -> tuple[float, float]:
    """(a, b) of total = a * count ** b, by least squares of the logarithms."""
    b, log_a = np.polyfit(np.log(counts), np.log(totals), 1)
    return float(np.exp(log_a)), float(b)


def at_target(points: Sequence[Point], of: Callable[[Point], float]) -> tuple[float, float]:
    """(value at ten million, exponent) of a total."""
    a, b = fit([point.count for point in points], [of(point) for point in points])
    return a * TARGET**b, b


def lines(layout: Files | Packs, points: Sequence[Point]) -> Iterator[str]:
    yield f"{layout.name}"
    for p in points:
        yield (
            f"  {p.count:>11,}{p.make_us:>10.1f}{p.list_us * p.count / 1e6:>12.2f}{p.stamp_us * p.count / 1e6:>12.2f}"
            f"{p.open_us:>10.1f}{p.inodes:>12,}{p.disk_bytes / p.count:>14.0f}"
        )
    listing, b_list = at_target(points, lambda p: p.list_us * p.count)
    stamping, b_stamp = at_target(points, lambda p: p.stamp_us * p.count)
    inodes = 1 + (points[-1].inodes - 1) * TARGET / points[-1].count  # as dense as the largest
    yield (
        f"  {TARGET:>11,}{'':>10}{listing / 1e6:>12.0f}{stamping / 1e6:>12.0f}{'':>10}{inodes:>12,.0f}{'':>14}"
        f"   fitted; exponents {b_list:.2f}, {b_stamp:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[20_000, 60_000, 200_000])
    parser.add_argument("--pack-counts", type=int, nargs="+", default=[5_000, 10_000, 20_000])
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure (default: a temporary one)")
    parser.add_argument("--open", nargs=3, metavar=("LAYOUT", "COUNT", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        key, count, root = options.open
        print(open_some(key, int(count), Path(root)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        print(
            f"  {'entries':>11}{'make us':>10}{'list all s':>12}{'stat all s':>12}{'open us':>10}{'inodes':>12}"
            f"{'bytes beyond':>14}"
        )
        for key in options.layouts:
            counts = options.pack_counts if key == "packs" else options.counts
            points = [measure(key, count, Path(scratch)) for count in sorted(counts)]
            print("\n".join(lines(LAYOUTS[key], points)), flush=True)


if __name__ == "__main__":
    main()
