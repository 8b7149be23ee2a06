"""Masks without colours, to compare with: the cells of a grid that moved most, and the middle of the picture.

Source: FAME (arXiv 2109.15130), ablation of masks. The published code has none of them.
Differs: the paper gives neither the width of the Gaussian nor how it is cut; ours is centred, its deviation a quarter
of the picture's height and width, and it is cut at its top beta as every mask is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidlang.methods.fame import windows
from vidlang.methods.fame.options import GRID, GRID_CELLS


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
    """Energy in each cell; cell i starts at i * H // 4, so that the cells fill the picture.

    seed: [B, H, W]    returns: [B, 4, 4]
    """
    rows, columns = (_cell_of(length, seed.device) for length in seed.shape[1:])
    of_rows = seed.new_zeros(len(seed), GRID, seed.shape[2]).index_add_(1, rows, seed)
    return seed.new_zeros(len(seed), GRID, GRID).index_add_(2, columns, of_rows)


def gauss_window(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """A centred Gaussian of peak 1, its deviation a quarter of either side.

    returns: [H, W]
    """
    return torch.from_numpy(windows.gauss_window(height, width)).to(device)


def _cell_of(length: int, device: torch.device) -> Tensor:
    return torch.from_numpy(windows.cell_of(length)).to(device)
