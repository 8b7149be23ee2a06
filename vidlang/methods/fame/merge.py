"""Foreground of one clip before the background of another.

Source: FAME (Ding et al., CVPR 2022, arXiv 2109.15130), section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidlang.methods.fame.mask import ClipMasks


def draw_order(batch: int, generator: torch.Generator | None = None, *, fixed_points: bool = True) -> Tensor:
    """Whose background each clip of a batch gets: a random permutation.

    generator: of the device that the order is for; None is torch's own    returns: [B] int64

    A clip may draw itself and stays as it is, as in the published code; without ``fixed_points`` each gets another's.

    Raises:
        ValueError: a single clip cannot get another's background.
    """
    device = generator.device if generator is not None else None
    drawn = torch.randperm(batch, generator=generator, device=device)
    if fixed_points:
        return drawn
    if batch == 1:
        raise ValueError("a batch of 1 clip has no other background: give at least 2, or allow fixed_points")
    order = torch.empty_like(drawn)
    order[drawn] = drawn.roll(1)  # a random circle through all clips
    return order


@torch.no_grad()
def merge(clips: Tensor, masks: ClipMasks, order: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Each clip's foreground before the clip that ``order`` names. A clip that does not move stays whole.

    clips: [B, 3, T, H, W] of any type    order: [B] int64    out: memory for the result, other than ``clips``
    returns: [B, 3, T, H, W]

    Raises:
        ValueError: shapes do not fit.
    """
    if order.shape != clips.shape[:1]:
        raise ValueError(f"order must name one clip for each of {len(clips)}, got shape {tuple(order.shape)}")
    if clips.device.type != "cpu":
        return merge_with(clips, masks, clips[order.to(clips.device)], out=out)
    return _merge(clips, masks, [clips[index] for index in order.tolist()], out)


@torch.no_grad()
def merge_with(clips: Tensor, masks: ClipMasks, backgrounds: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Each clip's foreground before its own row of ``backgrounds``, such as another window of the same video.

    clips, backgrounds: [B, 3, T, H, W] of one type    out: memory for the result, other than ``clips``
    returns: [B, 3, T, H, W]

    Raises:
        ValueError: shapes or types do not fit.
    """
    if clips.shape != backgrounds.shape or clips.dtype != backgrounds.dtype:
        raise ValueError(
            f"backgrounds must be as clips, {tuple(clips.shape)} {clips.dtype}, got {tuple(backgrounds.shape)} "
            f"{backgrounds.dtype}"
        )
    if clips.device.type != "cpu":
        keep = _kept(clips, masks)[:, None, None]
        return torch.where(keep, clips, backgrounds, out=out)
    return _merge(clips, masks, list(backgrounds), out)


def _kept(clips: Tensor, masks: ClipMasks) -> Tensor:
    """[B, H, W] True where the clip itself is seen."""
    if clips.ndim != 5 or masks.mask.shape != (len(clips), *clips.shape[3:]):
        raise ValueError(f"masks of shape {tuple(masks.mask.shape)} do not fit clips of shape {tuple(clips.shape)}")
    return masks.mask | ~masks.moves[:, None, None]


def _merge(clips: Tensor, masks: ClipMasks, backgrounds: list[Tensor], out: Tensor | None) -> Tensor:
    """On a CPU, clip by clip, without a branch for each pixel, which would take several times as long.

    Both ways give one of the two values exactly: lerp at the weights 0 and 1, as long as values are finite, and
    background ^ ((clip ^ background) & mask).
    """
    keep = _kept(clips, masks).view(torch.uint8).to(clips.dtype)
    merged = torch.empty_like(clips) if out is None else out
    for clip, background, kept, result in zip(clips, backgrounds, keep, merged, strict=True):
        if clips.is_floating_point():
            torch.lerp(background, clip, kept, out=result)
        else:
            torch.bitwise_xor(clip, background, out=result).bitwise_and_(kept.neg()).bitwise_xor_(background)
    return merged
