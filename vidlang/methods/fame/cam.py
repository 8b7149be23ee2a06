"""Where a network looks: its last feature map, laid over the frames. No class is asked.

Letters: B clips, C channels, T' H' W' of the map, T frames, H W pixels.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

OverTime = Literal["step", "mean"]


def activation_map(maps: Tensor, num_frames: int, size: tuple[int, int], over_time: OverTime = "step") -> Tensor:
    """Mean over channels of what is above 0, from the clip's least to its largest value, at the size of the frames.

    maps: [B, C, T', H', W']    size: (H, W)    returns: [B, T, H, W] float32 in 0..1; 0 where a clip's map is flat
    over_time: ``step`` gives every moment its own map, between those of the network; ``mean`` one map to all frames

    Source: arXiv 2109.15130 shows such maps without a formula; this one has none of the paper's authority.

    Raises:
        ValueError: maps of another shape, or no frames.
    """
    if maps.ndim != 5:
        raise ValueError(f"maps are [B, C, T', H', W'], got {tuple(maps.shape)}")
    if num_frames < 1:
        raise ValueError(f"a clip has one frame at least, got {num_frames}")
    energy = maps.detach().float().relu().mean(1)  # [B, T', H', W']
    if over_time == "mean":
        energy = energy.mean(1, keepdim=True)
    least, largest = energy.amin((1, 2, 3), keepdim=True), energy.amax((1, 2, 3), keepdim=True)
    spread = largest - least
    scaled = ((energy - least) / spread.where(spread > 0, 1)).clamp(0, 1)
    # linear along time and each side: the middle of a cell keeps its value
    return F.interpolate(scaled[:, None], (num_frames, *size), mode="trilinear", align_corners=False)[:, 0]
