"""CLIP: frames → [N, D], texts → [C, D]. Weights come from this machine first, and only as safetensors.

Only what is asked for is loaded: the image tower at once, the text tower on first use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.core.features import Crops, Precision, Preprocess
from vidlang.core.progress import Progress
from vidlang.encoders import weights
from vidlang.encoders.preprocess import Frames, PixelRecipe, preprocess
from vidlang.encoders.text import TextTower
from vidlang.nn.device import choose_device

if TYPE_CHECKING:
    from transformers.models.clip.modeling_clip import CLIPModel, CLIPVisionModelWithProjection

    VisionModel: TypeAlias = CLIPModel | CLIPVisionModelWithProjection

logger = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_encoder(
    name: str,
    *,
    device: str = "auto",
    precision: Precision = "float32",
    allow_download: bool = False,
    progress: Progress | None = None,
) -> ClipEncoder:
    """The encoder of a registry name, a hub id (``org/name``, ``org/name@revision``) or a local folder.

    Looks on this machine first; goes to the network only if ``allow_download``.

    Raises:
        UnknownName: no such name, hub id or folder.
        EncoderUnavailable: the weights cannot be had here; the message names three remedies.
        BadInput: a device or precision that this machine has not.
    """
    chosen = choose_device(device)
    _check_precision(precision, chosen)
    source = weights.locate(name, allow_download=allow_download, progress=progress)
    with weights.quiet_transformers():
        vision = weights.load_vision_tower(source)

    def load_text() -> TextTower:
        with weights.quiet_transformers():
            return TextTower(*weights.load_text_tower(source)).to(chosen)

    pixels = PixelRecipe.from_folder(source.folder, vision.vision_model.config.image_size)
    logger.info("encoder %s at %s on %s in %s", source.name, source.revision, chosen, precision)
    return ClipEncoder(
        source.name,
        source.revision,
        vision,
        load_text,
        pixels,
        device=chosen,
        precision=precision,
        logit_scale=weights.read_logit_scale(source),
    )


def pull_encoder(name: str, progress: Progress | None = None) -> Path:
    """Download an encoder unless it is here already; returns its folder.

    Raises:
        UnknownName, EncoderUnavailable: as ``load_encoder``.
    """
    return weights.locate(name, allow_download=True, progress=progress).folder


class ClipEncoder:
    """A loaded encoder.

    Equal input gives equal output. Which frames share a batch changes float32 rows by about 1e-7 of their length and
    bfloat16 rows by about 1e-3, no more than that precision itself. bfloat16 casts the weights: on a ViT-B/16 that is
    faster than autocast (12 to 8 images per core-second; float32: 3.2) at a cosine of .99995 to float32.
    """

    def __init__(
        self,
        name: str,
        revision: str,
        vision: VisionModel,
        load_text: Callable[[], TextTower],
        pixels: PixelRecipe,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        logit_scale: float = 100.0,
    ) -> None:
        """vision: its image side is taken over, cast and moved    load_text: runs on first use of ``text``"""
        self.name = name
        """For the recipe: registry name, hub id, or ``local:<folder name>``."""
        self.revision = revision
        """For the recipe: commit, or hash of the folder's files."""
        self.device = torch.device(device)
        self.precision: Precision = precision
        _check_precision(precision, self.device)
        self.pixels = pixels
        self.logit_scale = logit_scale
        """What this CLIP multiplies cosines by before a softmax over texts."""
        self.dim: int = vision.visual_projection.out_features
        self.image_size = pixels.size
        self._load_text = load_text
        self._vision = vision.vision_model.eval().requires_grad_(False)
        self._projection = vision.visual_projection.eval().requires_grad_(False)
        for module in (self._vision, self._projection):
            module.to(device=self.device, dtype=_DTYPES[precision])

    @property
    def batch_size(self) -> int:
        """Images at a time that keep the device busy without taking much memory."""
        return 256 if self.device.type == "cuda" else 32

    @cached_property
    def text(self) -> TextTower:
        """The frozen text tower, always float32, on the encoder's device."""
        return self._load_text()

    def preprocess(self, frames: Frames, mode: Preprocess = "exact", crops: Crops = "center") -> Tensor:
        """uint8 [N, H, W, 3] RGB or a list of [H, W, 3] → float32 [N * K, 3, S, S], crop index fastest."""
        return preprocess(frames, self.pixels, mode, crops)

    def encode_pixels(self, pixels: Tensor, batch_size: int | None = None) -> NDArray[np.float32]:
        """float32 [N, 3, S, S] → [N, D], not normalised. ``batch_size`` None: what suits the device.

        Raises:
            ValueError: pixels of another shape.
        """
        side = self.image_size
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (3, side, side):
            raise ValueError(f"pixels must be [N, 3, {side}, {side}], got {list(pixels.shape)}")
        rows = []
        with torch.inference_mode():
            for batch in pixels.split(batch_size or self.batch_size):
                batch = batch.to(self.device, non_blocking=True).to(_DTYPES[self.precision])
                pooled = self._vision(pixel_values=batch).pooler_output
                rows.append(self._projection(pooled).float())
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
        """Texts → float32 [C, D] on the CPU, not normalised."""
        with torch.inference_mode():
            chunks = [
                self.text.encode_tokens(self.text.tokenize(texts[start : start + batch_size])).cpu()
                for start in range(0, len(texts), batch_size)
            ]
        # A clone made outside inference mode may take part in training.
        return torch.cat(chunks).clone() if chunks else torch.empty(0, self.dim)


def _check_precision(precision: Precision, device: torch.device) -> None:
    if precision not in _DTYPES:
        raise BadInput(f"There is no precision {precision!r}. Use float32, bfloat16 or float16.")
    if precision == "float16" and device.type != "cuda":
        raise BadInput(f"float16 needs a CUDA device, this is {device}. Use --precision bfloat16 or float32.")
