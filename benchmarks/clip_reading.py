"""Clips for video networks: how many a processor reads from files, and whether they are the right frames.

    python benchmarks/clip_reading.py [VIDEO ...] [--epochs 5] [--windows 2] [--short-side 128] [--workers 0 1 2]

Without a path it renders a 10 s clip of 340 x 256 as MP4 (H.264) and as AVI (MPEG-4, the family of UCF101 and HMDB51).

First table, one thread: random windows of each file, other ones every epoch. "first" knows nothing of the file, "later"
its packets; beside them a plain PyAV decode of the whole file, and decord's random access if it is installed. ``wrong``
counts frames that differ from an in-order decode at the same size (mean absolute difference above 4 of 255; scalers
differ). Second table: all files of the list, ``--copies`` times, through the prefetching source of training.

Most of the time is decoding from the key frame before a window. Videos that were encoded with frequent key frames (such
as ``ffmpeg -g 16``) and at the size that is needed are several times faster to train on.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.video.clips import ClipFile, ClipSampling, random_starts
from vidlang.video.decord_reader import decord_version
from vidlang.video.reader import open_video
from vidlang.workflows.clip_source import ClipSource

Clips = NDArray[np.uint8]
Reader = Callable[[NDArray[np.int64]], Clips]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--short-side", type=int, default=128)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--copies", type=int, default=8)
    options = parser.parse_args()
    sampling = ClipSampling(short_side=options.short_side)
    with tempfile.TemporaryDirectory() as folder:
        videos = options.videos or [render(Path(folder) / name) for name in ("rendered.mp4", "rendered.avi")]
        print(f"{'one thread':58}{'clips/CPU s':>12}{'clips/s':>10}{'wrong':>10}")
        for path in videos:
            compare(path, sampling, options.epochs, options.windows)
        print(f"\n{'prefetched':58}{'clips/CPU s':>12}{'clips/s':>10}")
        for workers in options.workers:
            prefetch(videos * options.copies, sampling, options.epochs, options.windows, workers)


def render(path: Path, num_frames: int = 250, height: int = 256, width: int = 340) -> Path:
    """A bright square wandering over noise that trembles."""
    import av

    rng = np.random.default_rng(0)
    noise = rng.integers(60, 120, (height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.bit_rate = 800_000
        for index in range(num_frames):
            picture = noise + rng.integers(0, 8, (height, width, 1), dtype=np.uint8)
            top, left = 2 * index % (height - 60), 3 * index % (width - 60)
            picture[top : top + 60, left : left + 60] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def compare(path: Path, sampling: ClipSampling, epochs: int, windows: int) -> None:
    known = ClipFile(path)
    num_windows, total = known.num_windows(sampling), known.num_frames
    ways: dict[str, Reader] = {
        "vidlang, first": lambda starts: ClipFile(path).read(starts, sampling),
        "vidlang, later": lambda starts: known.read(starts, sampling),
        "whole file, PyAV": lambda starts: whole(path, starts, sampling, total),
    }
    if decord_version() is not None:
        ways["decord, random access"] = lambda starts: decord_random(path, starts, sampling, total)
    truth = in_order(path, sampling)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    wrong = dict.fromkeys(ways, 0)
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        starts = random_starts(num_windows, windows, rng)
        expected = truth[np.stack([sampling.indices(int(start), total) for start in starts])]
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            try:
                clips = way(starts)
            except Exception as error:  # a way that cannot read the file is a row of the table
                clips = np.zeros_like(expected)
                print(f"  {name}: {type(error).__name__}")
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
            difference = np.abs(clips.astype(np.int16) - expected).mean(axis=(2, 3, 4))
            wrong[name] += int((difference > 4).sum())
    for name in ways:
        cpu, wall = (windows / statistics.median(column) for column in zip(*times[name], strict=True))
        count = f"{wrong[name]}/{epochs * windows * sampling.num_frames}"
        print(f"{path.name + f' ({total} frames), ' + name:58}{cpu:12.1f}{wall:10.1f}{count:>10}")


def in_order(path: Path, sampling: ClipSampling) -> Clips:
    """[N, H, W, 3]"""
    with open_video(path, short_side=sampling.short_side, decoder="pyav", threads=1) as reader:
        return np.concatenate([batch.frames for batch in reader.read()])


def whole(path: Path, starts: NDArray[np.int64], sampling: ClipSampling, total: int) -> Clips:
    """What a script does: decode everything, convert what is kept."""
    import av

    indices = np.stack([sampling.indices(int(start), total) for start in starts])
    wanted = set(indices.ravel().tolist())
    frames: dict[int, Clips] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        width, height = scaled(stream.codec_context.width, stream.codec_context.height, sampling.short_side)
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                small = frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC")
                frames[index] = small.to_ndarray()
    return np.stack([np.stack([frames[index] for index in window]) for window in indices.tolist()])


def decord_random(path: Path, starts: NDArray[np.int64], sampling: ClipSampling, total: int) -> Clips:
    import decord

    opened = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    height, width = opened[0].shape[:2]
    width, height = scaled(width, height, sampling.short_side)
    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1, width=width, height=height)
    indices = np.stack([sampling.indices(int(start), total) for start in starts])
    frames: Clips = reader.get_batch(indices.ravel().tolist()).asnumpy()
    return frames.reshape(*indices.shape, *frames.shape[1:])


def scaled(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    scale = 1.0 if short_side is None else short_side / min(width, height)
    return round(width * scale), round(height * scale)


def prefetch(videos: list[Path], sampling: ClipSampling, epochs: int, windows: int, workers: int) -> None:
    named = [(f"{number}/{path.name}", path) for number, path in enumerate(videos)]
    source = ClipSource(named, sampling, batch_size=1, windows=windows, num_workers=workers)
    times = []
    for epoch in range(epochs):
        cpu, wall = time.process_time(), time.perf_counter()
        count = sum(len(batch.clips) for batch in source.epoch(epoch)) * windows
        times.append((count / (time.process_time() - cpu), count / (time.perf_counter() - wall)))
    for title, rows in (("first epoch", times[:1]), ("later epochs", times[1:])):
        if rows:
            cpu, wall = (statistics.median(column) for column in zip(*rows, strict=True))
            who = f"{workers} workers" if workers else "no worker, the caller's thread"
            print(f"{f'{len(videos)} videos, {who}, {title}':58}{cpu:12.1f}{wall:10.1f}")


if __name__ == "__main__":
    main()
