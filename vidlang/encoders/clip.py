"""CLIP: frames → [N, D], texts → [C, D]. Weights come from this machine first, and only as safetensors.

Only what is asked for is loaded: the image tower at once, the text tower on first use. ``load_encoder`` loads the
encoders without words (``resnet``) too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.core.features import Precision, RowKind
from vidlang.core.progress import Progress
from vidlang.encoders import weights
from vidlang.encoders.base import DTYPES, Encoder, check_precision
from vidlang.encoders.preprocess import PixelRecipe
from vidlang.encoders.text import TextTower
from vidlang.encoders.towers import ConvolutionalTower, ImageTower, TransformerTower
from vidlang.nn.device import choose_device

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
        tower = _image_tower(source)

    def load_text() -> TextTower:
        with weights.quiet_transformers():
            return TextTower(*weights.load_text_tower(source)).to(chosen)

    pixels = PixelRecipe.from_folder(source.folder, tower.image_size)
    logger.info("encoder %s at %s on %s in %s", source.name, source.revision, chosen, precision)
    return ClipEncoder(
        source.name,
        source.revision,
        tower,
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
    """A CLIP. Rows are its image embeddings, or regions of its maps at four depths (``regions``).

    bfloat16 casts the weights: on a ViT-B/16 that is faster than autocast (12 to 8 images per core-second; float32:
    3.2) at a cosine of .99995 to float32.
    """

    def __init__(
        self,
        name: str,
        revision: str,
        tower: ImageTower,
        load_text: Callable[[], TextTower],
        pixels: PixelRecipe,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        features: RowKind = "pooled",
        logit_scale: float = 100.0,
    ) -> None:
        """tower: taken over, cast and moved    load_text: runs on first use of ``text``"""
        super().__init__(
            name,
            revision,
            pixels,
            tower.dim if features == "pooled" else tower.region_dim,
            features=features,
            device=device,
            precision=precision,
            logit_scale=logit_scale,
        )
        self._load_text = load_text
        self.tower = tower.to(self.device, DTYPES[precision])

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
        """7 for a ViT-B/32, 14 for a ViT-B/16, 5 for ``mini``; None for rows of regions."""
        return self.tower.grid if self.features == "pooled" else None

    def encode_weighted(self, pixels: Tensor, weights: Tensor) -> Tensor:
        """As ``encode_batch``, patches counting by their weights [N, g, g] (``motion_pooling``).

        Raises:
            BadInput: rows are regions, which are not of patches alone.
        """
        if self.features != "pooled":
            return super().encode_weighted(pixels, weights)
        return self.tower.weighted(pixels, weights).float()

    def encode_batch(self, pixels: Tensor) -> Tensor:
        """[N, 3, S, S] on the encoder's device in its precision → float32 [N, D]."""
        return (self.tower.regions(pixels) if self.features == "regions" else self.tower.pooled(pixels)).float()


def _image_tower(source: weights.EncoderSource) -> ImageTower:
    if weights.kind_of(source.folder) == "dual":
        return ConvolutionalTower(weights.load_dual(source))
    return TransformerTower(weights.load_vision_tower(source))
