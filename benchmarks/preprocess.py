"""Exact against fast preprocessing: frames per CPU second of one thread, and what the difference does to features.

    python benchmarks/preprocess.py video.mp4 other.avi --encoder mini

Without videos it draws pictures of three usual sizes. Levels are of 255; the cosine distance lies between the features
of the exactly and the fast preprocessed frame.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vidlang.encoders.clip import ClipEncoder, load_encoder
from vidlang.encoders.preprocess import PixelRecipe, preprocess
from vidlang.video.reader import open_video

DRAWN_SIZES = ((240, 320), (360, 640), (720, 1280))


def drawn_frames(height: int, width: int, count: int) -> NDArray[np.uint8]:
    """Gradients with hard edges over them."""
    rng = np.random.default_rng(0)
    frames = np.empty((count, height, width, 3), dtype=np.uint8)
    for frame in frames:
        small = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        frame[:] = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
        for _ in range(8):
            top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
            frame[top : top + height // 6, left : left + width // 6] = rng.integers(0, 256, 3)
    return frames


def video_frames(path: Path, count: int) -> NDArray[np.uint8]:
    """The first frame of each run of eight."""
    with open_video(path) as video:
        batches = video.read_where(lambda index, start, end: index % 8 == 0)
        return np.stack(list(islice(chain.from_iterable(batch.frames for batch in batches), count)))


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median over runs, after one that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def cosine_distances(encoder: ClipEncoder, exact: torch.Tensor, fast: torch.Tensor) -> NDArray[np.float64]:
    a, b = (encoder.encode_pixels(pixels).astype(np.float64) for pixels in (exact, fast))
    return 1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--encoder", default="mini", help="name, hub id or folder; its features are compared")
    parser.add_argument("--size", type=int, default=224, help="side of the square input of the speed table")
    parser.add_argument("--frames", type=int, default=64, help="per video")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = load_encoder(options.encoder, device="cpu")
    sources = [(path.name, video_frames(path, options.frames)) for path in options.videos] or [
        (f"drawn {height}x{width}", drawn_frames(height, width, options.frames)) for height, width in DRAWN_SIZES
    ]
    plain = PixelRecipe(options.size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    clip = PixelRecipe(options.size)
    write = sys.stdout.write
    write(f"Side {options.size}, frames per CPU second; features of {encoder.name} at {encoder.image_size} px\n\n")
    write("| frames | exact | fast | ten crops | levels max | levels mean | 1 - cosine, max | 1 - cosine, mean |\n")
    write("|---|---|---|---|---|---|---|---|\n")
    for name, frames in sources:
        count = len(frames)
        exact = count / cpu_seconds(lambda f=frames: preprocess(f, clip), options.repeats)
        fast = count / cpu_seconds(lambda f=frames: preprocess(f, clip, "fast"), options.repeats)
        ten = count / cpu_seconds(lambda f=frames: preprocess(f, clip, crops="ten"), options.repeats)
        levels = (preprocess(frames, plain) - preprocess(frames, plain, "fast")).abs() * 255
        apart = cosine_distances(encoder, encoder.preprocess(frames), encoder.preprocess(frames, "fast"))
        write(
            f"| {name} ({frames.shape[1]}x{frames.shape[2]}) | {exact:.0f} | {fast:.0f} | {ten:.0f} | "
            f"{levels.max():.1f} | {levels.mean():.4f} | {apart.max():.1e} | {apart.mean():.1e} |\n"
        )


if __name__ == "__main__":
    main()
