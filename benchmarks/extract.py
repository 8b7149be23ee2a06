"""How fast videos become features: encoder alone, decoding alone, `vidlang extract`, and the usual way, in one run.

    python benchmarks/extract.py [VIDEO...] [--encoder NAME] [--against NAME] [--precision bfloat16] [--runs 3]

Without videos it renders some. ``--encoder random-b16`` (the default) is a ViT-B/16 with random weights, as fast as the
real one. The usual way is one video at a time, transformers' image processor for each frame and a model call for each
frame. ``--against`` runs a second encoder alone in the same run and prints how many times as fast the first one is.
Prints medians; CPU seconds are of all threads together.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vidlang.core import FeatureRecipe, Sampling
from vidlang.encoders.clip import ClipEncoder, load_encoder
from vidlang.store.feature_cache import FeatureCache
from vidlang.video.reader import open_video
from vidlang.video.snippets import open_snippets
from vidlang.video.writer import write_video
from vidlang.workflows.extract import ExtractOptions, extract

Figures = tuple[float, float, int]  # CPU seconds, wall seconds, images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--encoder", default="random-b16", help="a vidlang encoder, or random-b16")
    parser.add_argument("--against", help="an encoder to compare with, such as random-b16")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--preprocess", default="exact", choices=["exact", "fast"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--skip-usual", action="store_true", help="leave the usual way out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        videos = arguments.videos or render(Path(scratch))
        encoder = make_encoder(arguments.encoder, Path(scratch), arguments.device, arguments.precision)
        ways: dict[str, Callable[[], int]] = {
            "encoder alone": lambda: encode_only(encoder, videos, arguments.batch_size),
            "decoding and choosing alone": lambda: decode_only(videos),
            "vidlang extract": lambda: end_to_end(encoder, videos, arguments),
        }
        if not arguments.skip_usual:
            ways["the usual way"] = lambda: usual_way(encoder, videos)
        if arguments.against:
            rival = make_encoder(arguments.against, Path(scratch), arguments.device, arguments.precision)
            ways[f"{arguments.against} alone"] = lambda: encode_only(rival, videos, arguments.batch_size)
        print(f"{arguments.encoder}, {arguments.precision}, {arguments.preprocess}, {encoder.device},", end=" ")
        print(
            f"{torch.get_num_threads()} threads of {os.cpu_count()} cores, {len(videos)} videos, {arguments.runs} runs"
        )
        print(
            f"{'':28} {'images':>7} {'wall s':>8} {'CPU s':>8} {'images/s':>9} {'images/CPU s':>13} {'of encoder':>10}"
        )
        results = {name: [] for name in ways}
        for _ in range(arguments.runs):  # in turn, so that a slow minute of the machine meets every way
            for name, way in ways.items():
                results[name].append(measure(way))
        alone = statistics.median(images / wall for _, wall, images in results["encoder alone"])
        for name, figures in results.items():
            cpu = statistics.median(figure[0] for figure in figures)
            wall = statistics.median(figure[1] for figure in figures)
            images = figures[0][2]
            share = f"{images / wall / alone:10.0%}" if "decoding" not in name else ""
            print(f"{name:28} {images:7d} {wall:8.2f} {cpu:8.2f} {images / wall:9.2f} {images / cpu:13.2f} {share}")
        if arguments.against:
            ours, theirs = results["encoder alone"], results[f"{arguments.against} alone"]
            times = [b[0] / b[2] / (a[0] / a[2]) for a, b in zip(ours, theirs, strict=True)]
            median, span = statistics.median(times), f"{min(times):.1f} to {max(times):.1f}"
            print(f"{median:.1f} times the images per CPU second of {arguments.against} ({span})")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def measure(way: Callable[[], int]) -> Figures:
    """One run: CPU seconds of all threads, wall seconds, images."""
    cpu, wall = time.process_time(), time.perf_counter()
    images = way()
    return time.process_time() - cpu, time.perf_counter() - wall, images


def render(folder: Path) -> list[Path]:
    """Six films of moving noise blocks, 320x240, 25 frames/s, 8 s: as many H.264 bits as a busy camera."""
    paths = []
    for index in range(6):
        random = np.random.default_rng(index)
        background = random.integers(0, 255, (240, 320, 3), dtype=np.uint8)
        background = np.kron(background[::16, ::16], np.ones((16, 16, 1), dtype=np.uint8))

        def frames(background: np.ndarray = background) -> object:
            for number in range(200):
                frame = background.copy()
                x = number * 3 % 280
                frame[80:160, x : x + 40] = 255 - frame[80:160, x : x + 40]
                yield frame

        path = folder / f"film{index:02d}.mp4"
        write_video(path, frames(), 25.0)  # type: ignore[arg-type]
        paths.append(path)
    return paths


def make_encoder(name: str, scratch: Path, device: str, precision: str) -> ClipEncoder:
    if name != "random-b16":
        return load_encoder(name, device=device, precision=precision)  # type: ignore[arg-type]
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    folder = scratch / "random-b16"
    if not folder.exists():
        vision = CLIPVisionConfig(patch_size=16, image_size=224)
        text = CLIPTextConfig(num_hidden_layers=1, vocab_size=100)
        CLIPModel(
            CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=512)
        ).save_pretrained(folder)
    return load_encoder(str(folder), device=device, precision=precision)  # type: ignore[arg-type]


def encode_only(encoder: ClipEncoder, videos: list[Path], batch_size: int) -> int:
    """As many images as the videos have snippets, already preprocessed."""
    count = decode_only.counts.get(tuple(videos)) or decode_only(videos)  # type: ignore[attr-defined]
    size = encoder.image_size
    pixels = torch.randn(batch_size, 3, size, size, generator=torch.Generator().manual_seed(0))
    for first in range(0, count, batch_size):
        encoder.encode_pixels(pixels[: min(batch_size, count - first)])
    return count


def decode_only(videos: list[Path]) -> int:
    count = 0
    for path in videos:
        with open_snippets(path, Sampling()) as stream:
            for _ in stream:
                pass
            count += len(stream.frames)
    decode_only.counts[tuple(videos)] = count  # type: ignore[attr-defined]
    return count


decode_only.counts = {}  # type: ignore[attr-defined]


def end_to_end(encoder: ClipEncoder, videos: list[Path], arguments: argparse.Namespace) -> int:
    recipe = FeatureRecipe(
        encoder.name, encoder.revision, preprocess=arguments.preprocess, precision=arguments.precision
    )
    with tempfile.TemporaryDirectory() as folder:
        options = ExtractOptions(batch_size=arguments.batch_size)
        report = extract(videos, FeatureCache(Path(folder)), recipe, lambda: encoder, options)
    assert not report.num_failed, [outcome.error for outcome in report.outcomes]
    return report.num_images


def usual_way(encoder: ClipEncoder, videos: list[Path]) -> int:
    """Every 16th frame of one video after another, image by image."""
    from transformers import CLIPImageProcessor

    size = encoder.image_size
    processor = CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    count = 0
    for path in videos:
        with open_video(path) as reader:
            for batch in reader.read():
                for index, frame in zip(batch.indices, batch.frames, strict=True):
                    if index % 16 == 8:
                        pixels = processor(images=frame, return_tensors="pt")["pixel_values"]
                        encoder.encode_pixels(pixels)
                        count += 1
    return count


if __name__ == "__main__":
    main()
