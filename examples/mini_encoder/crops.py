"""The teacher's shards, drawn in random batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from architecture import normalise
from torch import Tensor

GREY = 0.2  # share of images that lose their colours: colour is the first thing that a student leans on


@dataclass(frozen=True)
class Batch:
    pixels: Tensor  # [B, 3, S, S], normalised
    features: Tensor  # [B, 1280], the teacher's
    logits: Tensor  # [B, 1000], the teacher's
    captions: Tensor  # [B, 3], rows of concept, place and light, -1 for none


class Crops:
    """All shards of a scratch folder; pixels stay on disk."""

    def __init__(self, work: Path, seed: int) -> None:
        shards = sorted({int(path.name[5:].split("-")[0]) for path in work.glob("shard*-captions.npy")})
        if not shards:
            raise SystemExit(f"{work} has no shards. Run teacher.py first.")
        self.pixels = [np.load(work / f"shard{s}-crops.npy", mmap_mode="r") for s in shards]
        self.features = np.concatenate([np.load(work / f"shard{s}-features.npy") for s in shards])
        self.logits = np.concatenate([np.load(work / f"shard{s}-logits.npy") for s in shards])
        self.captions = np.concatenate([np.load(work / f"shard{s}-captions.npy") for s in shards])
        self.starts = np.cumsum([0, *(len(p) for p in self.pixels)])
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.features)

    def image(self, row: int, view: int) -> np.ndarray:
        """uint8 [S, S, 3]: view 0 as the teacher saw it, view 1 degraded."""
        shard = int(np.searchsorted(self.starts, row, "right")) - 1
        return np.asarray(self.pixels[shard][row - self.starts[shard], view])

    def batch(self, size: int, degraded: float = 0.5) -> Batch:
        rows = self.rng.integers(0, len(self), size)
        views = self.rng.random(size) < degraded
        pixels = np.stack([self.image(int(row), int(view)) for row, view in zip(rows, views, strict=True)])
        return Batch(
            normalise(jitter(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)),
            torch.from_numpy(self.features[rows]).float(),
            torch.from_numpy(self.logits[rows]).float(),
            torch.from_numpy(self.captions[rows]).long(),
        )


def jitter(pixels: Tensor) -> Tensor:
    """Small zooms, shifts, flips and changes of colour of each image; [B, 3, H, W] in [0, 1] → the same."""
    count = len(pixels)
    zoom = torch.empty(count).uniform_(0.92, 1.05)
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = zoom * torch.randint(0, 2, (count,)).mul(2).sub(1)  # negative: flipped
    affine[:, 1, 1] = zoom
    affine[:, :, 2] = torch.empty(count, 2).uniform_(-0.06, 0.06)
    grid = F.affine_grid(affine, list(pixels.shape), align_corners=False)
    pixels = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    grey = (pixels * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    pixels = torch.where(torch.rand(count, 1, 1, 1) < GREY, grey, pixels)
    gain = torch.empty(count, 3, 1, 1).uniform_(0.95, 1.05) * torch.empty(count, 1, 1, 1).uniform_(0.85, 1.15)
    centre = pixels.mean((1, 2, 3), keepdim=True)
    contrast = torch.empty(count, 1, 1, 1).uniform_(0.85, 1.15)
    return (((pixels - centre) * contrast + centre) * gain).clamp(0, 1)
