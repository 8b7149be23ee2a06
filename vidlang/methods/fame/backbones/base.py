"""What every video network here can do.

Letters: B clips, T frames, H W pixels, C channels, D width of the pooled features; T' H' W' of the last feature map.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import cast

from torch import Tensor, nn

from vidlang.methods.fame.architectures import EMBED_DIM, Architecture, Head


class Backbone(nn.Module, ABC):
    """Clips to feature maps, to pooled features, to what the head makes of them.

    clips: [B, 3, T, H, W] float, RGB, less the training's mean and divided by its deviation
    """

    arch: Architecture
    dim: int
    """D"""

    def __init__(
        self, head: Head = "none", num_classes: int | None = None, dropout: float = 0.0, embed_dim: int = EMBED_DIM
    ) -> None:
        """
        Raises:
            ValueError: classes without their number, or a number without classes.
        """
        super().__init__()
        if (head == "classes") != (num_classes is not None):
            raise ValueError(f"a head of classes, and no other, needs their number: got {head!r} with {num_classes}")
        self.head: Head = head
        self.dropout = nn.Dropout(dropout)
        self.add_layers()
        if head == "embed":
            self.add_embedding(embed_dim)
        elif num_classes is not None:
            self.fc: nn.Module = nn.Linear(self.dim, num_classes)
            init_linear(self.fc)

    @abstractmethod
    def add_layers(self) -> None:
        """Everything up to the last feature map."""

    def add_embedding(self, embed_dim: int) -> None:
        """Two layers that project pooled features to vectors made to be compared; named ``fc.0`` and ``fc.2``."""
        last = nn.Linear(self.dim, embed_dim)
        init_linear(last)
        self.fc = nn.Sequential(nn.Linear(self.dim, self.dim), nn.ReLU(inplace=True), last)

    @abstractmethod
    def maps(self, clips: Tensor) -> Tensor:
        """The last feature map. clips: [B, 3, T, H, W]    returns: [B, D, T', H', W']"""

    def apply_head(self, features: Tensor) -> Tensor:
        """What the head makes of pooled features. features: [B, D]"""
        if self.head == "none":
            return features
        return cast(Tensor, self.fc(self.dropout(features) if self.head == "classes" else features))

    def features(self, clips: Tensor) -> Tensor:
        """Mean of the last feature map. clips: [B, 3, T, H, W]    returns: [B, D]"""
        return self.maps(clips).mean((2, 3, 4))

    def forward(self, clips: Tensor) -> Tensor:
        """clips: [B, 3, T, H, W]    returns: [B, D], [B, embed_dim] or [B, num_classes], by the head"""
        return self.apply_head(self.features(clips))

    def __call__(self, clips: Tensor) -> Tensor:
        return cast(Tensor, super().__call__(clips))


def init_linear(layer: nn.Module) -> None:
    """Weights N(0, 0.01), no offset."""
    assert isinstance(layer, nn.Linear)
    nn.init.normal_(layer.weight, 0.0, 0.01)
    nn.init.zeros_(layer.bias)


def init_convolutions(model: nn.Module) -> None:
    """Kaiming's normal weights by the number of outputs, for every convolution of a model."""
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
