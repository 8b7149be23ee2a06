"""Decoding: CPU seconds per file of vidlang's reader beside decord's random access and a plain PyAV loop.

    python benchmarks/decode.py [VIDEO ...] [--runs 5] [--frames 16] [--threads 1]

Without a path it renders its own clip. Each row is the median of several runs, all ways taking turns in one process;
``wrong`` counts frames that differ from an independent in-order decode (mean absolute difference above 2).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vidlang.video.decord_reader import decord_version
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video

Frames = list[np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--frames", type=int, default=16, help="one frame in so many for the sparse rows")
    parser.add_argument("--threads", type=int, default=1, help="decoding threads of every way, 0 for all cores")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path in options.videos or [render(Path(folder) / "rendered.mp4")]:
            report(path, options.frames, options.runs, options.threads)


def render(path: Path, num_frames: int = 1500, height: int = 360, width: int = 640) -> Path:
    """A minute of a bright square wandering over noise."""
    noise = np.random.default_rng(0).integers(60, 120, (height, width, 3), dtype=np.uint8)

    def frame(index: int) -> np.ndarray:
        picture = noise.copy()
        top, left = 2 * index % (height - 60), 3 * index % (width - 60)
        picture[top : top + 60, left : left + 60] = 230
        return picture

    write_video(path, (frame(index) for index in range(num_frames)), 25, options={"preset": "veryfast"})
    return path


def report(path: Path, every: int, runs: int, threads: int) -> None:
    truth = plain(path, 1, None)
    print(
        f"\n{path.name}: {len(truth)} frames of {truth[0].shape[1]} x {truth[0].shape[0]}, {threads or 'all'} threads"
    )
    print(f"{'':44}{'CPU s':>8}{'wall s':>8}{'wrong':>10}")
    for step, title in ((every, f"1 frame in {every}"), (1, "every frame")):
        ways = ways_of(path, step, threads)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        wrong: dict[str, str] = {}
        for _ in range(runs):
            for name, way in ways.items():
                seconds, frames, error = timed(way)
                times[name].append(seconds)
                wrong[name] = error or count_wrong(frames, truth[step // 2 :: step])
        for name in ways:
            cpu, wall = (statistics.median(column) for column in zip(*times[name], strict=True))
            print(f"{title + ', ' + name:44}{cpu:8.2f}{wall:8.2f}{wrong[name]:>10}")


def ways_of(path: Path, step: int, threads: int) -> dict[str, Callable[[], Frames]]:
    ways: dict[str, Callable[[], Frames]] = {
        "vidlang": lambda: vidlang(path, step, threads, "auto"),
        "vidlang, PyAV only": lambda: vidlang(path, step, threads, "pyav"),
        "plain PyAV": lambda: plain(path, step, threads),
    }
    if decord_version() is not None:
        ways["decord random access"] = lambda: decord_random(path, step, threads)
    return ways


def timed(way: Callable[[], Frames]) -> tuple[tuple[float, float], Frames, str]:
    cpu, wall = time.process_time(), time.perf_counter()
    error, frames = "", []
    try:
        frames = way()
    except Exception as failure:  # a way that cannot read the file is a row of the table
        error = type(failure).__name__[:10]
    return (time.process_time() - cpu, time.perf_counter() - wall), frames, error


def count_wrong(frames: Frames, truth: Frames) -> str:
    wrong = sum(mean_difference(a, b) > 2 for a, b in zip(frames, truth, strict=False))
    return f"{wrong + abs(len(frames) - len(truth))}/{len(truth)}"


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean()) if one.shape == other.shape else float("inf")


def vidlang(path: Path, step: int, threads: int, decoder: str) -> Frames:
    with open_video(path, threads=threads, decoder=decoder) as reader:  # type: ignore[arg-type]
        if step == 1:
            return [frame for batch in reader.read() for frame in batch.frames]
        batches = reader.read_where(lambda index, start, end: index % step == step // 2)
        return [frame for batch in batches for frame in batch.frames]


def plain(path: Path, step: int, threads: int | None) -> Frames:
    """What a script does: decode in order, convert what is kept."""
    import av

    with av.open(str(path)) as container:
        stream = max(container.streams.video, key=lambda stream: stream.codec_context.width)
        stream.codec_context.thread_count = 1 if threads is None else threads
        stream.thread_type = "AUTO"
        decoded = container.decode(stream)
        return [f.to_ndarray(format="rgb24") for index, f in enumerate(decoded) if index % step == step // 2]


def decord_random(path: Path, step: int, threads: int) -> Frames:
    import decord

    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=threads)
    indices = range(step // 2, len(reader), step)
    return [frame for start in range(0, len(indices), 32) for frame in batch_of(reader, indices[start : start + 32])]


def batch_of(reader: object, indices: range) -> np.ndarray:
    frames: np.ndarray = reader.get_batch(list(indices)).asnumpy()  # type: ignore[attr-defined]
    return frames


if __name__ == "__main__":
    main()
