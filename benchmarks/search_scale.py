"""Search over an index that is larger than the memory that is given: time, memory and recall, exact and approximate.

    python benchmarks/search_scale.py                                     # 2,000,000 vectors of 256: 2 GB of disk
    python benchmarks/search_scale.py --vectors 10000000 --width 64 --dtype float16 --skip plain
    python benchmarks/search_scale.py --vectors 50000 --repeat 1          # a minute

The gallery is synthetic: videos of 20 vectors around a centre each, and centres around one of a thousand themes.
Queries are vectors of videos with noise. The plain side reads everything into memory, multiplies, and takes torch's
top-k. Each way is a process of its own, so that its peak memory (VmHWM) is its own; they take turns, and the first turn
is for warming up. Results are compared with those of the first way. Seconds are medians: wall, and CPU of all threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from vidlang.core import FeatureRecipe
from vidlang.store.index import IndexItem, IndexSpec, VideoIndex

PER_VIDEO = 20
THEMES = 1000
NOISE, QUERY_NOISE = 0.5, 0.5


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Of expected length 1 along the last axis."""
    return rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1]))


def items(vectors: int, width: int, seed: int = 0) -> Iterator[IndexItem]:
    rng = np.random.default_rng(seed)
    themes = noise(rng, (THEMES, width))
    seconds = np.array([[0.0, 1.0]])
    for first in range(0, vectors // PER_VIDEO, 1000):
        count = min(1000, vectors // PER_VIDEO - first)
        centres = themes[rng.integers(0, THEMES, count)] + noise(rng, (count, width))
        block = unit(centres[:, None] + NOISE * noise(rng, (count, PER_VIDEO, width))).astype(np.float32)
        for i, rows in enumerate(block):
            name = f"{first + i:09}.mp4"
            yield IndexItem(name, f"{name}.h5", "1-1", None, 1.0, rows, rows[:1], seconds)


def make(folder: Path, options: argparse.Namespace) -> None:
    recipe = FeatureRecipe("synthetic", "1")
    index = VideoIndex.create(folder, IndexSpec(recipe, {"kind": "plain"}, "none", dtype=options.dtype))
    if not len(index):
        index.add(items(options.vectors, options.width))


def queries(index: VideoIndex, number: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    rows = index.vectors_at(rng.choice(len(index.vector_owners()), number, replace=False)).numpy()
    return unit(rows + QUERY_NOISE * noise(rng, rows.shape)).astype(np.float32)


def peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    return float("nan")


def one_way(options: argparse.Namespace) -> None:
    """Runs one way in this process and prints a line of JSON for each turn it is told to take."""
    import torch

    from vidlang.nn.search import top_k
    from vidlang.store.ann import AnnSettings, ApproximateIndex

    torch.set_num_threads(options.threads)
    index = VideoIndex.open(options.folder)
    asked = torch.from_numpy(queries(index, options.queries))
    index.forget()
    memory, k = options.memory * 1_000_000, options.k
    before, began, cpu = peak_mb(), time.perf_counter(), time.process_time()
    approximate = whole = None
    if options.way.startswith("approximate"):
        ann = options.folder.with_name("ann")
        if not ApproximateIndex.is_current(ann, index.version):
            ApproximateIndex.build(
                ann, lambda: (rows for rows, _ in index.vector_blocks(memory=memory)), options.width, "ivf-pq",
                built_from=index.version, memory=memory,
                settings=AnnSettings(cells=options.cells, recall_at=k),
            )  # fmt: skip
        approximate = ApproximateIndex.load(ann, workspace=ann.parent, built_from=index.version)
    elif options.way == "plain":
        whole = torch.cat([rows.float() for rows, _ in index.vector_blocks()])
        index.forget()
    ready = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}

    def search(part: torch.Tensor) -> np.ndarray:
        if approximate is not None:
            candidates = approximate.search(part, 4 * k)[1]
            found = []
            for query, numbers in zip(part, candidates, strict=True):
                numbers = np.unique(numbers[numbers >= 0])
                products = index.vectors_at(numbers) @ query
                found.append(numbers[np.lexsort((numbers, -products.numpy()))[:k]])
            index.forget()
            return np.stack(found)
        if whole is not None:
            return (part @ whole.T).topk(k, dim=1).indices.numpy()
        limit = memory if options.way == "exact" else None
        return top_k(part, (rows for rows, _ in index.vector_blocks(memory=limit)), k)[1].numpy()

    sys.stdout.write(json.dumps({"ready": ready, "line": approximate.line() if approximate else ""}) + "\n")
    sys.stdout.flush()
    for turn in sys.stdin:
        part = asked[: int(turn)]
        began, cpu = time.perf_counter(), time.process_time()
        found = search(part)
        taken = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        told = {**taken, "peak": peak_mb(), "before": before, "found": found.tolist()}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


def answer(process: subprocess.Popen[str]) -> dict:
    """The next line of JSON; libraries may print lines of their own between."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
        sys.stderr.write(line)
    raise SystemExit(f"a search ended with exit code {process.wait()}")


def table(options: argparse.Namespace) -> Iterator[str]:
    from vidlang.store.ann import measure_recall

    ways = [way for way in ("plain", "mapped", "exact", "approximate") if way not in options.skip]
    passed = ("folder", "memory", "threads", "queries", "k", "cells", "width")
    arguments = [f"--{name}={getattr(options, name)}" for name in passed]
    counts = (1, options.queries)
    results: dict[tuple[str, int], list[dict]] = {}
    ready = {}
    with ExitStack() as running:
        processes = {}
        for way in ways:
            command = [sys.executable, __file__, f"--way={way}", *arguments]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes[way] = running.enter_context(process)
            ready[way] = answer(process)
        for turn in range(options.repeat + 1):
            for count in counts:
                for way, process in processes.items():
                    process.stdin.write(f"{count}\n")
                    process.stdin.flush()
                    told = answer(process)
                    if turn:
                        results.setdefault((way, count), []).append(told)
        for process in processes.values():
            process.stdin.close()
    reference = np.array(results[ways[0], options.queries][0]["found"])
    yield f"{'':<14} {'queries':>8} {'wall s':>8} {'CPU s':>8} {'peak MB':>9} {'before':>8} {f'same {options.k}':>9}"
    for way in ways:
        for count in counts:
            told = results[way, count]
            wall, cpu = (statistics.median(one[name] for one in told) for name in ("seconds", "cpu"))
            same = measure_recall(reference[:count], np.array(told[0]["found"]), options.k)
            peak, before = max(one["peak"] for one in told), told[0]["before"]
            yield f"{way:<14} {count:>8} {wall:>8.3f} {cpu:>8.3f} {peak:>9.0f} {before:>8.0f} {same:>9.3f}"
    for way in ways:
        taken = ready[way]["ready"]
        if taken["cpu"] > 0.1:
            line = f"{way}: {taken['seconds']:.0f} s, {taken['cpu']:.1f} CPU s before the first search"
            yield f"{line}; {ready[way]['line']}" if ready[way]["line"] else line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=2_000_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16"))
    parser.add_argument("--memory", type=int, default=128, metavar="MB")
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--cells", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--skip", nargs="*", default=[], choices=("plain", "mapped", "exact", "approximate"))
    parser.add_argument("--folder", type=Path, help="keeps the index there; else it is made and removed")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        one_way(options)
        return
    with tempfile.TemporaryDirectory() as scratch:
        options.folder = options.folder or Path(scratch) / "index"
        began, cpu = time.perf_counter(), time.process_time()
        make(options.folder, options)
        info = VideoIndex.open(options.folder).info()
        print(
            f"{info.vectors} vectors of {info.width} ({options.dtype}), {info.bytes / 1e9:.2f} GB in {info.parts} "
            f"parts, written in {time.perf_counter() - began:.0f} s ({time.process_time() - cpu:.0f} CPU s); "
            f"exact and approximate may hold {options.memory} MB of it"
        )
        for line in table(options):
            print(line, flush=True)


if __name__ == "__main__":
    main()
