"""What every encoder does: frames → pixels → rows, in batches, on one device, in one precision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.core.features import Crops, Precision, Preprocess, RowKind
from vidlang.encoders.preprocess import Frames, PixelRecipe, preprocess

if TYPE_CHECKING:
    from vidlang.encoders.text import TextTower

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Encoder(ABC):
    """A loaded encoder.

    Equal input gives equal output. Which frames share a batch changes float32 rows by about 1e-7 of their length and
    bfloat16 rows by about 1e-3, no more than that precision itself.
    """

    def __init__(
        self,
        name: str,
        revision: str,
        pixels: PixelRecipe,
        dim: int,
        *,
        features: RowKind = "pooled",
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        logit_scale: float = 100.0,
    ) -> None:
        self.name = name
        """For the recipe: registry name, hub id, or ``local:<folder name>``."""
        self.revision = revision
        """For the recipe: commit, or hash of the folder's files."""
        self.features: RowKind = features
        """For the recipe: what a row is."""
        self.device = torch.device(device)
        self.precision: Precision = precision
        check_precision(precision, self.device)
        self.pixels = pixels
        self.dim = dim
        """Width D of a row."""
        self.logit_scale = logit_scale
        """What a CLIP multiplies cosines by before a softmax over texts."""
        self.image_size = pixels.size

    @property
    def batch_size(self) -> int:
        """Images at a time that keep the device busy without taking much memory."""
        return 256 if self.device.type == "cuda" else 32

    @property
    def patch_grid(self) -> int | None:
        """Patches along a side, where ``encode_pixels`` can weigh them; None where it cannot."""
        return None

    @cached_property
    def text(self) -> TextTower:
        """The frozen text tower.

        Raises:
            BadInput: rows of this encoder cannot be compared with texts.
        """
        raise BadInput(
            f"{self.name} knows no words: it can be trained on and compared with videos, not with texts. "
            "Take a CLIP with --encoder, such as clip-vit-b16 or mini."
        )

    @abstractmethod
    def encode_batch(self, pixels: Tensor) -> Tensor:
        """[N, 3, S, S] on the encoder's device in its precision → float32 [N, D]."""

    def encode_weighted(self, pixels: Tensor, weights: Tensor) -> Tensor:
        """As ``encode_batch``, attending to patches by their weights [N, g, g] in 0..1, float32, g = ``patch_grid``.

        Raises:
            BadInput: there are no patches to weigh.
        """
        raise BadInput(
            f"{self.name} has no patches that motion could weigh ({self.features} rows). Take --motion mask, or a CLIP "
            "with pooled rows."
        )

    def preprocess(self, frames: Frames, mode: Preprocess = "exact", crops: Crops = "center") -> Tensor:
        """uint8 [N, H, W, 3] RGB or a list of [H, W, 3] → float32 [N * K, 3, S, S], crop index fastest."""
        return preprocess(frames, self.pixels, mode, crops)

    def encode_pixels(
        self, pixels: Tensor, batch_size: int | None = None, weights: Tensor | None = None
    ) -> NDArray[np.float32]:
        """float32 [N, 3, S, S] → [N, D], not normalised. ``batch_size`` None: what suits the device.

        weights: [N, g, g] of each picture's patches, 0..1, with g = ``patch_grid``; None: the plain rows

        Raises:
            ValueError: pixels or weights of another shape.
            BadInput: weights, but no patches.
        """
        side = self.image_size
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (3, side, side):
            raise ValueError(f"pixels must be [N, 3, {side}, {side}], got {list(pixels.shape)}")
        grid = self.patch_grid
        if weights is not None and grid is not None and tuple(weights.shape) != (len(pixels), grid, grid):
            raise ValueError(f"weights must be [{len(pixels)}, {grid}, {grid}], got {list(weights.shape)}")
        rows = []
        size = batch_size or self.batch_size
        with torch.inference_mode():
            for start in range(0, len(pixels), size):
                batch = pixels[start : start + size].to(self.device, non_blocking=True).to(DTYPES[self.precision])
                if weights is None:
                    rows.append(self.encode_batch(batch))
                else:
                    rows.append(self.encode_weighted(batch, weights[start : start + size].to(self.device)))
            # One transfer at the end: a GPU is not made to wait for each batch.
            return torch.cat(rows).cpu().numpy() if len(pixels) else np.empty((0, self.dim), dtype=np.float32)

    def encode_frames(
        self, frames: Frames, mode: Preprocess = "exact", crops: Crops = "center", batch_size: int | None = None
    ) -> NDArray[np.float32]:
        """uint8 [N, H, W, 3] RGB or a list of [H, W, 3] → [N, D], or [K, N, D] with ten crops; not normalised."""
        num_crops = 10 if crops == "ten" else 1
        batch_size = batch_size or self.batch_size
        step = max(1, batch_size // num_crops)
        chunks = [
            self.encode_pixels(self.preprocess(frames[start : start + step], mode, crops), batch_size)
            for start in range(0, len(frames), step)
        ]
        rows = np.concatenate(chunks) if chunks else np.empty((0, self.dim), dtype=np.float32)
        if crops == "center":
            return rows
        return np.ascontiguousarray(rows.reshape(-1, num_crops, self.dim).swapaxes(0, 1))  # [K, N, D]

    def encode_texts(self, texts: Sequence[str], batch_size: int = 64) -> Tensor:
        """Texts → float32 [C, D] on the CPU, not normalised.

        Raises:
            BadInput: rows of this encoder cannot be compared with texts.
        """
        text = self.text
        with torch.inference_mode():
            chunks = [
                text.encode_tokens(text.tokenize(texts[start : start + batch_size])).cpu()
                for start in range(0, len(texts), batch_size)
            ]
        # A clone made outside inference mode may take part in training.
        return torch.cat(chunks).clone() if chunks else torch.empty(0, self.dim)


def check_precision(precision: Precision, device: torch.device) -> None:
    """
    Raises:
        BadInput: there is no such precision, or not on this device.
    """
    if precision not in DTYPES:
        raise BadInput(f"There is no precision {precision!r}. Use float32, bfloat16 or float16.")
    if precision == "float16" and device.type != "cuda":
        raise BadInput(f"float16 needs a CUDA device, this is {device}. Use --precision bfloat16 or float32.")
