"""Feature maps become one vector per layer: the strongest response of each channel, over the frame or over regions.

Letters: N frames, C channels, H and W positions. Every function takes maps of any network and works on any device.

Source: TCA (Shao et al., WACV 2021), section 3.1 (L3-iRMAC); xwen99/temporal_context_aggregation
pre_processing/extract_features.py. Regions: Tolias et al., ICLR 2016; layers side by side: Kordopatis-Zilos et al.,
MMM 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_SIDE = 4
"""Positions that a map needs on either side for one region."""


def imac(feature_map: Tensor) -> Tensor:
    """Strongest response of each channel anywhere.

    feature_map: [N, C, H, W]    returns: [N, C], rows of length 1

    Every position is brought to length 1 over its channels first, so that bright positions have no louder say.

    Raises:
        ValueError: not four axes, or no position.
    """
    _check(feature_map, least_side=1)
    return F.normalize(F.normalize(feature_map, dim=1).amax(dim=(2, 3)), dim=1)


def rmac(feature_map: Tensor) -> Tensor:
    """Strongest responses of overlapping square regions, each of length 1, summed.

    feature_map: [N, C, H, W], at least 4 positions on a side    returns: [N, C], rows of length 1

    Regions stand ``p = int(min(H, W) * 2 / 7)`` apart and are ``p + p // 2`` wide, with no padding: 3 x 3 of them on
    the maps of a ResNet at 224 pixels (56 → every 16, 24 wide; 7 → every 2, 3 wide).

    Raises:
        ValueError: not four axes, or a map smaller than 4 positions.
    Differs: the paper's text has no normalisation before the sum; the published code normalises each position and
    each region, and so do we.
    """
    _check(feature_map, LEAST_SIDE)
    apart = min(feature_map.shape[2:]) * 2 // 7
    regions = F.max_pool2d(F.normalize(feature_map, dim=1), apart + apart // 2, stride=apart)  # [N, C, h, w]
    return F.normalize(F.normalize(regions, dim=1).sum(dim=(2, 3)), dim=1)


def concatenate(maps: Sequence[Tensor], pool: Callable[[Tensor], Tensor]) -> Tensor:
    """Pooled layers side by side, each of length 1; the whole row has the length ``sqrt(len(maps))``.

    maps: [N, C_l, H_l, W_l] of each layer    pool: ``imac`` or ``rmac``    returns: [N, sum of C_l]

    Raises:
        ValueError: no map, or maps of different numbers of frames.
    """
    if not maps:
        raise ValueError("there is no feature map to pool")
    if len({len(feature_map) for feature_map in maps}) > 1:
        raise ValueError(f"maps of one batch have as many frames, got {[len(feature_map) for feature_map in maps]}")
    return torch.cat([pool(feature_map) for feature_map in maps], dim=1)


def _check(feature_map: Tensor, least_side: int) -> None:
    shape = tuple(feature_map.shape)
    if len(shape) != 4:
        raise ValueError(f"a feature map is [N, C, H, W], got shape {shape}")
    if min(shape[2:]) < least_side:
        raise ValueError(f"a feature map needs {least_side} positions on each side, got {shape[2]} x {shape[3]}")
