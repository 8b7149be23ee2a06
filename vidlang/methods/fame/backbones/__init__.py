"""The video networks, each with the names that published files of its kind have."""

from __future__ import annotations

from vidlang.methods.fame.architectures import EMBED_DIM, Head, find_architecture
from vidlang.methods.fame.backbones.base import Backbone
from vidlang.methods.fame.backbones.i3d import I3D
from vidlang.methods.fame.backbones.r2plus1d import R2Plus1D
from vidlang.methods.fame.backbones.tiny import Tiny

__all__ = ["Backbone", "build_backbone"]

_KINDS: dict[str, type[Backbone]] = {"r2plus1d_18": R2Plus1D, "i3d": I3D, "tiny": Tiny}


def build_backbone(
    arch: str,
    *,
    head: Head = "none",
    num_classes: int | None = None,
    dropout: float = 0.0,
    embed_dim: int = EMBED_DIM,
) -> Backbone:
    """A network with fresh weights, drawn from torch's generator; ``nn.seed.seeded`` around the call fixes them.

    head: ``none`` gives pooled features, ``embed`` vectors to compare [embed_dim], ``classes`` scores [num_classes]
    dropout: share of pooled features that training drops before the classes

    Raises:
        UnknownName: no network is called so.
        ValueError: classes without their number, or a number without classes.
    """
    kind = _KINDS[find_architecture(arch).name]
    return kind(head=head, num_classes=num_classes, dropout=dropout, embed_dim=embed_dim)
