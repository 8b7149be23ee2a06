"""FAME: CPU seconds of motion masks and of merging, beside the plain way and beside copying the clips.

    python benchmarks/fame.py                        # 8 clips of 3x16x112x112, 11 rounds
    python benchmarks/fame.py --batch 4 --frames 8 --size 64 --rounds 5

Clips are rendered: a textured square that moves over a textured ground, with noise of the camera in every frame, so
that no two pixels tie. The plain way is the published chain written down step by step in torch: whole-batch
expressions, sorted top-k, a Python list of pixels, one product each for foreground and background. Both ways read the
hue as the published code does, and their masks are compared.

One thread. All ways run in turn, round by round and in another order each time, so that other work on the machine and
what the way before left in the cache meet all of them; the table shows medians of CPU seconds of the process and of
wall seconds, the fewest CPU seconds in brackets. The limit is what moving the numbers alone would take at the speed of
a copy: reading every clip twice (for its mask, and as foreground or background) and writing the result once.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidlang.methods.fame.mask import clip_masks
from vidlang.methods.fame.merge import merge
from vidlang.methods.fame.options import MaskOptions, blur_size
from vidlang.methods.fame.windows import FrameMask, WindowMask, merge_frames

BETA = 0.5


# What is worked on


def rendered_clips(batch: int, frames: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """[B, T, H, W, 3]: a square of half the side, moving diagonally, in every clip with other textures."""
    rng = np.random.default_rng(seed)
    clips = np.empty((batch, frames, size, size, 3), dtype=np.float64)
    square = size // 2
    for clip in clips:
        ground, texture = smooth_texture(rng, size), smooth_texture(rng, square)
        at, step = rng.integers(0, size - square, 2), rng.choice([-2, -1, 1, 2], 2)
        for t, frame in enumerate(clip):
            frame[:] = ground
            row, column = np.clip(at + step * t, 0, size - square)
            frame[row : row + square, column : column + square] = texture
        clip += rng.normal(0, 3, clip.shape)
    return np.clip(np.rint(clips), 0, 255).astype(np.uint8)


def smooth_texture(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Patches of random colours, [size, size, 3]."""
    coarse = rng.integers(20, 236, (size // 7 + 1, size // 7 + 1, 3))
    return np.repeat(np.repeat(coarse, 7, axis=0), 7, axis=1)[:size, :size].astype(np.float64)


# The plain way


def plain_masks(clips: Tensor, crop_size: int) -> Tensor:
    """Masks [B, H, W] in 0 and 1 of float clips [B, 3, T, H, W], every step a plain expression on the whole batch."""
    batch, _, _, height, width = clips.shape
    difference = (clips[:, :, 1:] - clips[:, :, :-1]).abs().sum(1).mean(1)
    seed = plain_scaled(plain_blurred(difference, crop_size)).view(batch, -1)
    most = torch.topk(seed, int(0.5 * height * width), dim=1).indices
    least = torch.topk(seed, int(0.1 * height * width), dim=1, largest=False).indices
    codes = plain_codes(plain_hsv(clips.mean(2))).view(batch, -1)
    ones = torch.ones_like(seed)
    moving = torch.zeros(batch, 1000).scatter_add_(1, codes.gather(1, most), ones)
    still = torch.ones(batch, 1000).scatter_add_(1, codes.gather(1, least), ones)
    moving = moving / (moving.sum(1, keepdim=True) + 1e-8)
    still = still / (still.sum(1, keepdim=True) + 1e-8)
    probability = (moving / (moving + still)).gather(1, codes).view(batch, height, width)
    score = plain_scaled(plain_blurred(probability, crop_size)).view(batch, -1)
    chosen = torch.topk(score, int(BETA * height * width), dim=1).indices
    flat = (chosen + torch.arange(batch)[:, None] * height * width).view(-1).tolist()
    mask = torch.zeros(batch * height * width)
    mask[flat] = 1
    return mask.view(batch, height, width)


def plain_blurred(pictures: Tensor, crop_size: int) -> Tensor:
    size = blur_size(crop_size)
    taps = torch.exp(-((torch.arange(size) - size // 2) ** 2) / (2 * (size / 3) ** 2))
    taps = taps / taps.sum()
    padded = F.pad(pictures[:, None], [size // 2] * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))[:, 0]


def plain_scaled(pictures: Tensor) -> Tensor:
    pictures = pictures - pictures.amin((1, 2), keepdim=True)
    return pictures / (pictures.amax((1, 2), keepdim=True) + 1e-8)


def plain_hsv(pictures: Tensor) -> Tensor:
    value, largest = pictures.max(1)
    spread = value - pictures.min(1).values
    saturation = spread / (value + 1e-8)
    spread = torch.where(spread == 0, torch.ones_like(spread), spread)
    rc, gc, bc = (value[:, None] - pictures).unbind(1)
    sextants = torch.stack([bc - gc, 2 * spread + (rc - bc), 4 * spread + (gc - rc)], 1) / spread[:, None]
    hue = (sextants.gather(1, largest[:, None])[:, 0] / 6) % 1 * 2 * math.pi
    return torch.stack([hue, saturation, value], 1)


def plain_codes(hsv: Tensor) -> Tensor:
    hue, saturation, value = hsv.unbind(1)
    p = (saturation * torch.cos(2 * math.pi * hue) + 1) / 2
    q = (saturation * torch.sin(2 * math.pi * hue) + 1) / 2
    a, b, c = (torch.round(9 * part + 1).long() for part in (p, q, value))
    return a + 10 * (b - 1) + 100 * (c - 1)


def plain_merge(clips: Tensor, masks: Tensor, order: Tensor) -> Tensor:
    weight = masks[:, None, None]
    return clips * weight + clips[order] * (1 - weight)


# Measuring


@dataclass
class Way:
    """Something to time on the whole batch."""

    name: str
    work: Callable[[], Any]
    num_bytes: int = 0
    """That must be moved: of reading twice and writing once."""
    copy: str = ""
    """The copy whose speed is the limit."""
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def run(self) -> None:
        before = time.process_time(), time.perf_counter()
        self.work()
        self.cpu.append(time.process_time() - before[0])
        self.wall.append(time.perf_counter() - before[1])


def ways(frames: NDArray[np.uint8], options: MaskOptions) -> list[Way]:
    """frames: [B, T, H, W, 3]"""
    batch, _, height, width, _ = frames.shape
    as_bytes = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 4, 1, 2, 3)))
    clips = as_bytes.float().div_(255)
    order = torch.arange(batch).roll(1)
    masks, plain = clip_masks(clips, options), plain_masks(clips, min(height, width))
    merged, merged_bytes, merged_frames = torch.empty_like(clips), torch.empty_like(as_bytes), np.empty_like(frames)
    window, backgrounds = WindowMask((height, width), options), frames[order.numpy()]

    def masked(clip: NDArray[np.uint8]) -> FrameMask:
        for frame in clip:
            window.push(frame)
        return window.finish()

    def streamed() -> None:
        for clip, background, result in zip(frames, backgrounds, merged_frames, strict=True):
            merge_frames(clip, background, masked(clip), out=result)

    floats, whole = 3 * clips.numel() * 4, 3 * frames.size
    return [
        Way("copy of the clips, floats", lambda: merged.copy_(clips)),
        Way("copy of the clips, bytes", lambda: np.copyto(merged_frames, frames)),
        Way("plain way", lambda: plain_merge(clips, plain_masks(clips, min(height, width)), order), floats, "floats"),
        Way("  its masks", lambda: plain_masks(clips, min(height, width))),
        Way("  its merging", lambda: plain_merge(clips, plain, order)),
        Way("vidlang", lambda: merge(clips, clip_masks(clips, options), order, out=merged), floats, "floats"),
        Way("  its masks", lambda: clip_masks(clips, options)),
        Way("  its merging", lambda: merge(clips, masks, order, out=merged)),
        Way("vidlang, fresh memory for the result", lambda: merge(clips, clip_masks(clips, options), order)),
        Way(
            "vidlang, bytes [B, 3, T, H, W]",
            lambda: merge(as_bytes, clip_masks(as_bytes, options), order, out=merged_bytes),
            whole,
            "bytes",
        ),
        Way("vidlang, bytes frame by frame", streamed, whole, "bytes"),
        Way("  its masks", lambda: [masked(clip) for clip in frames]),
    ]


def table(measured: list[Way], batch: int) -> list[str]:
    copies = {
        name: statistics.median(way.cpu) for name in ("floats", "bytes") for way in measured[:2] if name in way.name
    }
    sizes = {name: next(way.num_bytes / 3 for way in measured if way.copy == name) for name in copies}
    lines = [f"{'':<40} {'CPU ms (least)':>16} {'wall ms':>8} {'clips per CPU s':>16} {'of the limit':>13}"]
    for way in measured:
        cpu = statistics.median(way.cpu)
        share = ""
        if way.copy:
            per_byte = copies[way.copy] / (2 * sizes[way.copy])  # a copy reads and writes
            share = f"{way.num_bytes * per_byte / cpu:.0%}"
        times = f"{cpu * 1e3:.2f} ({min(way.cpu) * 1e3:.2f})"
        wall = statistics.median(way.wall) * 1e3
        lines.append(f"{way.name:<40} {times:>16} {wall:>8.2f} {batch / cpu:>16,.0f} {share:>13}")
    return lines


def equality(frames: NDArray[np.uint8], options: MaskOptions) -> list[str]:
    """How far masks are from those of the plain way, in pixels of all clips together."""
    as_bytes = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 4, 1, 2, 3)))
    clips = as_bytes.float().div_(255)
    plain = plain_masks(clips, min(clips.shape[-2:])).bool()
    window = WindowMask(frames.shape[2:4], options)
    streamed = []
    for clip in frames:
        for frame in clip:
            window.push(frame)
        streamed.append(torch.from_numpy(window.finish().mask))
    ours = {
        "floats": clip_masks(clips, options).mask,
        "bytes": clip_masks(as_bytes, options).mask,
        "frame by frame": torch.stack(streamed),
    }
    return [
        f"masks of {name}: {int((mask != plain).sum())} of {mask.numel()} pixels differ" for name, mask in ours.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8, help="clips, at least 2")
    parser.add_argument("--frames", type=int, default=16, help="of a clip")
    parser.add_argument("--size", type=int, default=112, help="side of a clip in pixels")
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = MaskOptions(hue="reference", beta=BETA)
    frames = rendered_clips(arguments.batch, arguments.frames, arguments.size)
    measured = ways(frames, options)
    for way in measured:
        way.work()
    rng = random.Random(0)
    for _ in range(arguments.rounds):
        for way in rng.sample(measured, len(measured)):
            way.run()
    shape = f"{arguments.batch} clips of 3x{arguments.frames}x{arguments.size}x{arguments.size}"
    out = [f"{shape}, {torch.get_num_threads()} thread, median of {arguments.rounds}"]
    out += table(measured, arguments.batch) + equality(frames, options)
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
