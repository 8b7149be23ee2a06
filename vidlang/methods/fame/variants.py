"""Masks without colours, to compare with: the cells of a grid that moved most, and the middle of the picture.

Source: FAME (arXiv 2109.15130), ablation of masks. The published code has none of them.
Differs: the paper gives neither the width of the Gaussian nor how it is cut; ours is centred, its deviation a quarter
of the picture's height and width, and it is cut at its top beta as every mask is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidlang.methods.fame.options import GAUSS_SHARE, GRID, GRID_CELLS


def grid_mask(seed: Tensor) -> tuple[Tensor, Tensor]:
    """The 8 of 4 x 4 cells with most energy; among equals the lower index (row by row). beta has no part in it.

    seed: [B, H, W]    returns: mask [B, H, W] bool, and the energy of each pixel's cell [B, H, W]
    """
    sums = grid_sums(seed)  # [B, 4, 4]
    order = sums.flatten(1).argsort(stable=True, dim=1, descending=True)
    chosen = torch.zeros_like(sums.flatten(1), dtype=torch.bool).scatter_(1, order[:, :GRID_CELLS], True)
    rows, columns = (_cell_of(length, seed.device) for length in seed.shape[1:])
    cells = chosen.view(sums.shape)
    return cells[:, rows][:, :, columns], sums[:, rows][:, :, columns]


def grid_sums(seed: Tensor) -> Tensor:
    """Energy in each cell; edges of cell i are i * H // 4 and (i + 1) * H // 4, so that cells fill the picture.

    seed: [B, H, W]    returns: [B, 4, 4]
    """
    sums = seed
    for dim in (1, 2):
        cell = _cell_of(seed.shape[dim], seed.device)
        shape = [*sums.shape]
        shape[dim] = GRID
        sums = torch.zeros(shape, device=seed.device).index_add_(dim, cell, sums)
    return sums


def _cell_of(length: int, device: torch.device) -> Tensor:
    """Index of the cell of each of ``length`` pixels."""
    edges = torch.tensor([i * length // GRID for i in range(1, GRID)], device=device)
    return torch.bucketize(torch.arange(length, device=device), edges, right=True)


def gauss_window(height: int, width: int) -> Tensor:
    """A centred Gaussian of peak 1, its deviation a quarter of either side.

    returns: [H, W]
    """
    rows, columns = (
        torch.exp(-(((torch.arange(side) - (side - 1) / 2) / (side * GAUSS_SHARE)) ** 2) / 2)
        for side in (height, width)
    )
    return torch.outer(rows, columns)
