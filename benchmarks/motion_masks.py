"""How much of what truly moves the motion masks find: recall and precision, static and moving camera.

    python benchmarks/motion_masks.py --data DIR          # a folder with clips/highway_mpeg4.avi, clips/bmx, ...

Frames are brought to 112 x 112 pixels, whatever their shape. Recall is the share of truly moving pixels that the mask
takes, precision the share of the mask that truly moves; both are means over clips. A mask of share beta cannot have a
higher precision than true area / beta.

- highway (CDnet 2014, static camera): a clip of 16 frames, every second one, around every sixth frame that has a true
  mask; true are the pixels of value 255 in that one mask. Clips that would leave the video are left out.
- bmx (SegTrack v2, moving camera): 16 frames that follow one another, from frame 0, 4, 8, 12 and 16; true is the bike
  in any of them. The rider, who moves too, is not in these masks, so precision says little here.

Rows: ``reference`` and ``exact`` are the mask fame by the published reading of the hue and by the right one; ``seed``
with and without its blur; ``grid cells`` the round(16 beta) of 4 x 4 cells that moved most (the mask grid takes 8 of
them always, which is beta 0.5 here); ``gauss`` the middle of the picture; ``seed shift`` and ``exact shift`` are
``seed raw`` and ``exact`` by differences from which the shift of the whole picture is taken off.

``noted`` are recalls measured by another implementation of the same chain, to compare with; its Gaussian was centred
half a pixel lower and further right, on pixel (56, 56), which is the difference of that row.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidlang.methods.fame.mask import (
    clip_masks,
    colour_codes,
    posterior,
    sample_pixels,
    seed_energy,
    smooth_and_scale,
    to_hsv,
    top,
)
from vidlang.methods.fame.options import MaskOptions
from vidlang.methods.fame.variants import grid_sums
from vidlang.video.files import frame_files
from vidlang.video.frames_reader import read_image
from vidlang.video.reader import open_video
from vidlang.video.shift import ShiftFinder, difference

SIDE, FRAMES = 112, 16
BETAS = (0.1, 0.3, 0.5, 0.7)
CELLS = 4
NOTED: dict[tuple[str, str], tuple[float, ...]] = {
    ("highway", "reference"): (0.36, 0.63, 0.82, 0.95),
    ("highway", "exact"): (0.45, 0.71, 0.88, 0.98),
    ("highway", "seed raw"): (0.72, 1.0, 1.0, 1.0),
    ("highway", "grid cells"): (0.55, 0.86, 0.98, 1.0),
    ("highway", "gauss"): (0.19, 0.51, 0.70, 0.84),
    ("bmx", "reference"): (0.16, 0.65, 0.87, 0.98),
    ("bmx", "exact"): (0.28, 0.71, 0.91, 0.99),
    ("bmx", "seed raw"): (0.62, 0.93, 0.98, 1.0),
    ("bmx", "grid cells"): (0.49, 0.93, 0.94, 1.0),
    ("bmx", "gauss"): (0.63, 0.97, 0.99, 0.99),
}
Masker = Callable[[Tensor, float], Tensor]
"""(clips [B, 3, T, H, W] bytes, beta) → masks [B, H, W]."""


@dataclass(frozen=True)
class TrueClips:
    """Clips whose truly moving pixels are known."""

    name: str
    clips: Tensor
    """[B, 3, T, H, W] uint8."""
    truth: Tensor
    """[B, H, W] bool."""


def by(**options: object) -> Masker:
    """A mask of the library."""
    return lambda clips, beta: clip_masks(clips, MaskOptions(beta=beta, **options)).mask  # type: ignore[arg-type]


def grid_cells(clips: Tensor, beta: float) -> Tensor:
    """The ``round(16 beta)`` cells that moved most."""
    sums = grid_sums(seed_energy(clips.float())).flatten(1)
    count = round(beta * CELLS * CELLS)
    chosen = torch.zeros_like(sums).scatter_(1, sums.argsort(1, descending=True)[:, :count], 1.0)
    cells = chosen.view(-1, CELLS, CELLS)
    return cells.repeat_interleave(SIDE // CELLS, 1).repeat_interleave(SIDE // CELLS, 2).bool()


def compensated_seed(clips: Tensor) -> Tensor:
    """Seed energy once the shift of the whole picture between two frames is taken off; of pixels seen in both."""
    seeds = []
    for clip in clips.permute(0, 2, 3, 4, 1).numpy():  # [T, H, W, 3]
        finder = ShiftFinder()
        total, seen = np.zeros(clip.shape[1:3], np.float32), np.zeros(clip.shape[1:3], np.float32)
        finder.push(clip[0])
        for before, after in pairwise(clip):
            parts, place = difference(before, after, finder.push(after))
            total[place] += parts.sum(axis=2, dtype=np.float32)
            seen[place] += 1
        seeds.append(total / np.maximum(seen, 1) / 255)
    return torch.from_numpy(np.stack(seeds))


def compensated(clips: Tensor, beta: float) -> Tensor:
    """The seed mask (raw) of compensated differences."""
    return top(compensated_seed(clips), int(beta * SIDE * SIDE))


def compensated_exact(clips: Tensor, beta: float) -> Tensor:
    """The mask fame, hue exact, whose samples come from compensated differences."""
    size = MaskOptions().blur_size(SIDE, SIDE)
    samples = sample_pixels(smooth_and_scale(compensated_seed(clips), size))
    codes = colour_codes(to_hsv(clips.float().mean(2) / 255), "exact")
    return top(smooth_and_scale(posterior(codes, samples), size), int(beta * SIDE * SIDE))


MASKERS: dict[str, Masker] = {
    "reference": by(method="fame", hue="reference"),
    "exact": by(method="fame", hue="exact"),
    "seed raw": by(method="seed", raw=True),
    "seed": by(method="seed"),
    "grid cells": grid_cells,
    "gauss": by(method="gauss"),
    "seed shift": compensated,
    "exact shift": compensated_exact,
}


# -- clips -------------------------------------------------------------------------------------------------------------


def highway(data: Path) -> TrueClips:
    masks = {int(path.stem[2:]) - 4: path for path in frame_files(data / "clips" / "highway_masks")}
    chosen = sorted(masks)[::6]
    starts = [frame - FRAMES for frame in chosen]
    with open_video(data / "clips" / "highway_mpeg4.avi") as reader:
        wanted = {start + 2 * step for start in starts for step in range(FRAMES)}
        frames = {
            int(index): squeezed(frame)
            for batch in reader.read_where(lambda index, _start, _end: index in wanted)
            for frame, index in zip(batch.frames, batch.indices, strict=True)
        }
    clips, truth = [], []
    for frame, start in zip(chosen, starts, strict=True):
        indices = [start + 2 * step for step in range(FRAMES)]
        if all(index in frames for index in indices):
            clips.append(clip_of([frames[index] for index in indices]))
            truth.append(squeezed_mask(read_image(masks[frame])[..., 0] == 255))
    return TrueClips("highway", torch.stack(clips), torch.from_numpy(np.stack(truth)))


def bmx(data: Path) -> TrueClips:
    frames = [squeezed(read_image(path)) for path in frame_files(data / "clips" / "bmx" / "frames")]
    masks = [squeezed_mask(read_image(path)[..., 0] >= 128) for path in frame_files(data / "clips" / "bmx" / "masks")]
    starts = range(0, len(frames) - FRAMES, 4)
    clips = [clip_of(frames[start : start + FRAMES]) for start in starts]
    truth = [np.any(masks[start : start + FRAMES], axis=0) for start in starts]
    return TrueClips("bmx", torch.stack(clips), torch.from_numpy(np.stack(truth)))


def squeezed(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W, 3] → [112, 112, 3], bilinear."""
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def squeezed_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[H, W] → [112, 112], the nearest pixel."""
    from PIL import Image

    return np.asarray(Image.fromarray(mask).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def clip_of(frames: list[NDArray[np.uint8]]) -> Tensor:
    """[112, 112, 3] each → [3, T, 112, 112]"""
    return torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2).contiguous()


# -- the table ---------------------------------------------------------------------------------------------------------


def rows(known: TrueClips) -> Iterator[tuple[str, list[float], list[float]]]:
    """(mask, recall at each beta, precision at each beta)"""
    for name, masker in MASKERS.items():
        recalls, precisions = [], []
        for beta in BETAS:
            found = masker(known.clips, beta)
            hits = (found & known.truth).sum((1, 2)).double()
            recalls.append(float((hits / known.truth.sum((1, 2))).mean()))
            precisions.append(float((hits / found.sum((1, 2))).mean()))
        yield name, recalls, precisions


def show(known: TrueClips) -> None:
    area = float(known.truth.double().mean())
    print(f"\n{known.name}: {len(known.clips)} clips, truly moving {area:.1%}")
    heads = "".join(f"{beta:>7}" for beta in BETAS)
    print(f"{'':<12}{'recall':^28}   {'noted recall':^24}{'largest':>12}   {'precision':^28}")
    print(f"{'beta':<12}{heads}   {''.join(f'{beta:>6}' for beta in BETAS)}{'difference':>12}   {heads}")
    for name, recalls, precisions in rows(known):
        noted = NOTED.get((known.name, name))
        beside = "".join(f"{value:6.2f}" for value in noted) if noted else " " * 24
        difference = f"{max(abs(a - b) for a, b in zip(recalls, noted, strict=True)):.3f}" if noted else ""
        left, right = ("".join(f"{value:7.3f}" for value in values) for values in (recalls, precisions))
        print(f"{name:<12}{left}   {beside}{difference:>12}   {right}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds clips/")
    data = parser.parse_args().data
    torch.set_num_threads(1)
    for read in (highway, bmx):
        show(read(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
