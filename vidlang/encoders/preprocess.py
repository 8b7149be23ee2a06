"""uint8 frames → the tensor that CLIP was trained on.

``exact`` is OpenAI CLIP's own pipeline: Pillow's bicubic resize of the shorter side to S, a centre crop, division by
255, then mean and standard deviation, in float32 and in this order; equal bit by bit to the published tensor.
``fast`` resizes whole batches as uint8 tensors (the same antialiased bicubic kernel, weights in 16-bit fixed point).
On real video frames it differs from exact by at most 2 of 255 levels, 0.002 to 0.005 on average, and moves features by
a cosine distance under 1e-7, at three to five times the speed (``benchmarks/preprocess.py``).

Ten crops resize to 340 x 256 (bilinear without antialiasing, aspect ignored) as the published VadCLIP features were
made, for any S in proportion, and cut S x S: centre, top left, top right, bottom left, bottom right, and the mirror
images of these five in the same order. OpenCV, which made those, rounds in fixed point: one pixel in ten differs, by
one level.
Source: github.com/openai/CLIP (clip/clip.py); nwpu-zxr/VadCLIP (crop.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vidlang.core.errors import BadInput
from vidlang.core.features import Crops, Preprocess

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# The ten-crop frame of the published features is 256 x 340 for crops of 224.
_TEN_CROP_HEIGHT, _TEN_CROP_WIDTH, _TEN_CROP_SIDE = 256, 340, 224

Frames = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class PixelRecipe:
    """What a model wants its pixels to be."""

    size: int
    """Side S of the square input."""
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    resize: int | None = None
    """Length of the shorter side before the crop; None: S."""

    @property
    def shorter_side(self) -> int:
        return self.resize or self.size

    @classmethod
    def from_folder(cls, folder: Path, image_size: int) -> PixelRecipe:
        """Read ``preprocessor_config.json`` where there is one; CLIP's own values otherwise.

        Raises:
            BadInput: the folder asks for a preprocessing that is not CLIP's.
        """
        path = folder / "preprocessor_config.json"
        if not path.is_file():
            return cls(image_size)
        config = json.loads(path.read_text(encoding="utf-8"))
        crop, resize = _crop_side(config.get("crop_size", image_size)), _shorter_side(config.get("size", image_size))
        # 3 is Pillow's number for bicubic
        if crop != image_size or resize is None or resize < image_size or config.get("resample", 3) != 3:
            raise BadInput(
                f"{path} asks for size {config.get('size')}, crop {config.get('crop_size')}, resample "
                f"{config.get('resample')}; CLIP's is a bicubic resize of the shorter side to at least {image_size} "
                f"and a centre crop of {image_size}. Correct that file or remove it."
            )
        mean, std = config.get("image_mean", CLIP_MEAN), config.get("image_std", CLIP_STD)
        return cls(image_size, _three(mean), _three(std), None if resize == crop else resize)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)


def _shorter_side(size: Any) -> int | None:
    """224 or {"shortest_edge": 224} → 224; None for a height and width, which would squeeze the picture."""
    return size.get("shortest_edge") if isinstance(size, dict) else int(size)


def _crop_side(size: Any) -> int | None:
    """224 or {"height": 224, "width": 224} → 224; None where the sides differ."""
    if not isinstance(size, dict):
        return int(size)
    return size.get("height") if size.get("height") == size.get("width") else None


def preprocess(frames: Frames, recipe: PixelRecipe, mode: Preprocess = "exact", crops: Crops = "center") -> Tensor:
    """Frames of any sizes → what the model reads, one crop each or ten.

    frames: uint8 [N, H, W, 3] RGB, or a list of [H, W, 3]    returns: float32 [N * K, 3, S, S] on the CPU

    The crop index runs fastest: frame 0 crops 0 to 9, frame 1 crops 0 to 9. With ten crops ``mode`` changes nothing.

    Raises:
        ValueError: frames of another shape or type.
    """
    batches = _same_size_batches(frames)
    if crops == "ten":
        cut = [_ten_crops(batch, recipe.size) for batch in batches]
    elif mode == "fast":
        cut = [_fast(batch, recipe) for batch in batches]
    else:
        cut = [_exact(batch, recipe) for batch in batches]
    return normalise(torch.cat(cut), recipe) if cut else torch.empty(0, 3, recipe.size, recipe.size)


def normalise(pixels: Tensor, recipe: PixelRecipe) -> Tensor:
    """uint8 [N, S, S, 3] → float32 [N, 3, S, S]: over 255, minus mean, over std, in CLIP's order of operations."""
    scaled = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    mean, std = (torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1) for values in (recipe.mean, recipe.std))
    return scaled.sub_(mean).div_(std)


def resized_size(height: int, width: int, shorter_side: int) -> tuple[int, int]:
    """(height, width) once the shorter side is ``shorter_side``; the longer one is cut to whole pixels, not rounded."""
    if height <= width:
        return shorter_side, int(shorter_side * width / height)
    return int(shorter_side * height / width), shorter_side


def crop_offset(length: int, side: int) -> int:
    """Where a centre crop starts; halves go to the even neighbour as in ``round``: 225 - 224 → 0, 227 - 224 → 2."""
    return round((length - side) / 2)


def _same_size_batches(frames: Frames) -> list[NDArray[np.uint8]]:
    """Runs of neighbouring frames that share a size, each [n, H, W, 3]."""
    if isinstance(frames, np.ndarray):
        _check(frames, 4)
        return [frames] if len(frames) else []
    batches: list[list[NDArray[np.uint8]]] = []
    for frame in frames:
        _check(frame, 3)
        if batches and batches[-1][0].shape == frame.shape:
            batches[-1].append(frame)
        else:
            batches.append([frame])
    return [np.stack(batch) for batch in batches]


def _check(frames: NDArray[np.uint8], num_axes: int) -> None:
    if frames.dtype != np.uint8 or frames.ndim != num_axes or frames.shape[-1] != 3 or 0 in frames.shape[1:]:
        axes = "[N, H, W, 3]" if num_axes == 4 else "[H, W, 3]"
        raise ValueError(f"frames must be uint8 {axes}, got {frames.dtype} {list(frames.shape)}")


def _center(images: NDArray[np.uint8] | Tensor, side: int) -> Any:
    """[..., H, W, 3] → [..., side, side, 3]"""
    top, left = crop_offset(images.shape[-3], side), crop_offset(images.shape[-2], side)
    return images[..., top : top + side, left : left + side, :]


def _tensor(frames: NDArray[np.uint8]) -> Tensor:
    """The same memory where torch can share it (contiguous and writable), a copy otherwise."""
    frames = np.ascontiguousarray(frames)
    return torch.from_numpy(frames if frames.flags.writeable else frames.copy())


def _exact(frames: NDArray[np.uint8], recipe: PixelRecipe) -> Tensor:
    """uint8 [N, H, W, 3] → uint8 [N, S, S, 3] through Pillow."""
    num_frames, height, width, _ = frames.shape
    new_height, new_width = resized_size(height, width, recipe.shorter_side)
    if (new_height, new_width) == (height, width):
        return _tensor(_center(frames, recipe.size))
    cut = np.empty((num_frames, recipe.size, recipe.size, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        image = Image.fromarray(np.ascontiguousarray(frame))
        resized = np.asarray(image.resize((new_width, new_height), Image.Resampling.BICUBIC))
        cut[index] = _center(resized, recipe.size)
    return torch.from_numpy(cut)


def _fast(frames: NDArray[np.uint8], recipe: PixelRecipe) -> Tensor:
    """uint8 [N, H, W, 3] → uint8 [N, S, S, 3] through one antialiased tensor resize."""
    new_size = resized_size(frames.shape[1], frames.shape[2], recipe.shorter_side)
    if new_size == frames.shape[1:3]:
        return _tensor(_center(frames, recipe.size))
    # A permuted view is channels-last already, the layout that torch resizes fastest.
    images = _tensor(frames).permute(0, 3, 1, 2)
    resized = F.interpolate(images, size=new_size, mode="bicubic", antialias=True, align_corners=False)
    return _center(resized.permute(0, 2, 3, 1), recipe.size)


def ten_crop_frame(side: int) -> tuple[int, int]:
    """(height, width) of the frame that ten crops of ``side`` are cut from: (256, 340) for 224."""
    return round(_TEN_CROP_HEIGHT * side / _TEN_CROP_SIDE), round(_TEN_CROP_WIDTH * side / _TEN_CROP_SIDE)


def _ten_crops(frames: NDArray[np.uint8], side: int) -> Tensor:
    """uint8 [N, H, W, 3] → uint8 [N * 10, S, S, 3]"""
    height, width = ten_crop_frame(side)
    images = _tensor(frames).permute(0, 3, 1, 2).float()
    resized = F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False)
    levels = resized.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)  # [N, H, W, 3]
    low, right = height - side, width - side
    corners = ((low // 2, right // 2), (0, 0), (0, right), (low, 0), (low, right))
    five = torch.stack([levels[:, top : top + side, left : left + side] for top, left in corners], dim=1)
    ten = torch.cat([five, five.flip(dims=(3,))], dim=1)  # [N, 10, S, S, 3]
    return ten.flatten(0, 1)
