"""CLIP: frames → [N, D], texts → [C, D]. Weights come from this machine first, and only as safetensors.

Only what is asked for is loaded: the image tower at once, the text tower on first use. ``load_encoder`` loads the
encoders without words (``resnet``) too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.core.features import Precision, RowKind
from vidlang.core.progress import Progress
from vidlang.encoders import weights
from vidlang.encoders.base import DTYPES, Encoder, check_precision
from vidlang.encoders.motion_pooling import attending
from vidlang.encoders.preprocess import PixelRecipe
from vidlang.encoders.regions import NUM_DEPTHS, vision_regions
from vidlang.encoders.text import TextTower
from vidlang.nn.device import choose_device

if TYPE_CHECKING:
    from transformers.models.clip.modeling_clip import CLIPModel, CLIPVisionModelWithProjection

    VisionModel: TypeAlias = CLIPModel | CLIPVisionModelWithProjection

logger = logging.getLogger(__name__)


def load_encoder(
    name: str,
    *,
    device: str = "auto",
    precision: Precision = "float32",
    features: RowKind | None = None,
    allow_download: bool = False,
    progress: Progress | None = None,
) -> Encoder:
    """The encoder of a registry name, a hub id (``org/name``, ``org/name@revision``) or a local folder.

    features: what a row is; None: what the encoder can do, which is pooled for a CLIP and regions for a ResNet.

    Looks on this machine first; goes to the network only if ``allow_download``.

    Raises:
        UnknownName: no such name, hub id or folder.
        EncoderUnavailable: the weights cannot be had here; the message names three remedies.
        BadInput: a device or precision that this machine has not, or rows that the encoder does not make.
    """
    chosen = choose_device(device)
    check_precision(precision, chosen)
    source = weights.locate(name, allow_download=allow_download, progress=progress)
    if weights.kind_of(source.folder) == "resnet":
        from vidlang.encoders.resnet import load_resnet

        return load_resnet(source, device=chosen, precision=precision, features=features or "regions")
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
        features=features or "pooled",
        logit_scale=weights.read_logit_scale(source),
    )


def pull_encoder(name: str, progress: Progress | None = None) -> Path:
    """Download an encoder unless it is here already; returns its folder.

    Raises:
        UnknownName, EncoderUnavailable: as ``load_encoder``.
    """
    return weights.locate(name, allow_download=True, progress=progress).folder


class ClipEncoder(Encoder):
    """A CLIP. Rows are its image embeddings, or regions of its patches at four depths (``regions``).

    bfloat16 casts the weights: on a ViT-B/16 that is faster than autocast (12 to 8 images per core-second; float32:
    3.2) at a cosine of .99995 to float32.
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
        features: RowKind = "pooled",
        logit_scale: float = 100.0,
    ) -> None:
        """vision: its image side is taken over, cast and moved    load_text: runs on first use of ``text``"""
        joint: int = vision.visual_projection.out_features
        width: int = vision.visual_projection.in_features
        super().__init__(
            name,
            revision,
            pixels,
            joint if features == "pooled" else NUM_DEPTHS * width,
            features=features,
            device=device,
            precision=precision,
            logit_scale=logit_scale,
        )
        self._load_text = load_text
        self._vision = vision.vision_model.eval().requires_grad_(False)
        self._projection = vision.visual_projection.eval().requires_grad_(False)
        for module in (self._vision, self._projection):
            module.to(device=self.device, dtype=DTYPES[precision])

    @cached_property
    def text(self) -> TextTower:
        """The frozen text tower, always float32, on the encoder's device.

        Raises:
            BadInput: rows are regions, which do not lie in the space of texts.
        """
        if self.features != "pooled":
            raise BadInput(
                f"Rows of {self.name} by regions cannot be compared with texts. Take --features pooled "
                "(also in vidlang.toml)."
            )
        return self._load_text()

    @property
    def patch_grid(self) -> int | None:
        """7 for a ViT-B/32 or ``mini``, 14 for a ViT-B/16; None for rows of regions."""
        config = self._vision.config
        return config.image_size // config.patch_size if self.features == "pooled" else None

    def encode_weighted(self, pixels: Tensor, weights: Tensor) -> Tensor:
        """As ``encode_batch``, the class token attending to patches by their weights [N, g, g] (``motion_pooling``).

        Raises:
            BadInput: rows are regions, which have no class token.
        """
        if self.features != "pooled":
            return super().encode_weighted(pixels, weights)
        with attending(self._vision, weights):
            return self.encode_batch(pixels)

    def encode_batch(self, pixels: Tensor) -> Tensor:
        """[N, 3, S, S] on the encoder's device in its precision → float32 [N, D]."""
        if self.features == "regions":
            return vision_regions(self._vision, pixels)
        return self._projection(self._vision(pixel_values=pixels).pooler_output).float()
