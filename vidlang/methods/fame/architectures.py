"""Which video networks there are, and what each was made for. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidlang.core.errors import UnknownName

Architecture = Literal["r2plus1d_18", "i3d", "tiny"]
Head = Literal["none", "embed", "classes"]

EMBED_DIM = 128
"""Width of the vectors that contrastive training compares."""


@dataclass(frozen=True)
class ArchitectureSpec:
    """One network, as help texts and tables show it."""

    name: Architecture
    title: str
    dim: int
    """Width of its pooled features."""
    num_frames: int
    """Frames of the clips that it was made for; others work too."""
    size: int
    """Height and width of these clips, pixels."""


SPECS = (
    ArchitectureSpec("r2plus1d_18", "R(2+1)D, 18 layers; for a GPU", 512, 16, 112),
    ArchitectureSpec("i3d", "I3D, Inception in three dimensions; for a GPU", 1024, 16, 224),
    ArchitectureSpec("tiny", "small (2+1)D network; trains on a CPU", 192, 16, 64),
)
ARCHITECTURES: tuple[Architecture, ...] = tuple(spec.name for spec in SPECS)


def find_architecture(name: str) -> ArchitectureSpec:
    """The network of that name.

    Raises:
        UnknownName: no network is called so.
    """
    for spec in SPECS:
        if spec.name == name:
            return spec
    raise UnknownName("video network", name, ARCHITECTURES)
