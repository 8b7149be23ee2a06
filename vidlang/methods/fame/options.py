"""How a motion mask is made: the options of every road that uses one. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadInput

Variant = Literal["fame", "seed", "grid", "gauss"]
Hue = Literal["exact", "reference"]

FOREGROUND_SHARE, BACKGROUND_SHARE = 0.5, 0.1
"""Of a clip's pixels: those that moved most and least, whose colours the mask ``fame`` compares."""
BLUR_SHARE = 0.1
"""Width of the blur, as a share of the side that it is made for."""
EPS = 1e-8
"""Keeps quotients finite, as published."""
TINY = 1e-30
"""Below every difference of two channels, so that as a lower limit it replaces 0 alone."""
LEVELS, NUM_COLOURS = 10, 1000
"""Of each part of a colour, and of all three together."""
GRID, GRID_CELLS = 4, 8
"""The mask ``grid``: cells along either side, and cells that it covers."""
GAUSS_SHARE = 0.25
"""The mask ``gauss``: its deviation as a share of either side of the picture."""


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class MaskOptions:
    """How a motion mask is made.

    Raises:
        BadInput: an option has no such value.
    """

    method: Literal["fame", "seed", "grid", "gauss"] = _option(
        "fame",
        "fame: the colours of what moved; seed: what moved itself, which finds moving things better in grey scenes; "
        "grid: the 8 of 4 x 4 cells that moved most; gauss: the middle of the picture",
    )
    hue: Literal["exact", "reference"] = _option(
        "exact", "fame: colours by their hue; or as the published code reads them, with the hue wrapped six times"
    )
    beta: float = _option(0.5, "share of the pixels that the mask covers; grid always covers half")
    crop_size: int | None = _option(
        None, "side in pixels that the width of the blur is made for (default: the shorter side of the clip)"
    )
    raw: bool = _option(False, "seed: frame differences as they are, without the blur")

    def __post_init__(self) -> None:
        for name, kind in (("method", Variant), ("hue", Hue)):
            if getattr(self, name) not in get_args(kind):
                raise BadInput(
                    f"A mask's {name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}."
                )
        if not 0 <= self.beta <= 1:
            raise BadInput(f"A mask's beta is the share of pixels that it covers, from 0 to 1, got {self.beta}.")
        if self.crop_size is not None and self.crop_size < 1:
            raise BadInput(f"A mask's crop_size must be at least 1 pixel, got {self.crop_size}.")
        if self.raw and self.method != "seed":
            raise BadInput(f"raw is an option of the mask seed, the mask here is {self.method}: leave raw out.")

    def blur_size(self, height: int, width: int) -> int:
        """Taps of the blur of pictures of that size.

        Raises:
            ValueError: the pictures are too small for it.
        """
        size = blur_size(min(height, width) if self.crop_size is None else self.crop_size)
        if min(height, width) <= size // 2:
            raise ValueError(
                f"clips of {height}x{width} pixels are too small for a blur of {size} taps, which needs more than "
                f"{size // 2} a side: give larger clips, or a crop_size below {self.crop_size}"
            )
        return size

    def covered(self, height: int, width: int) -> int:
        """Pixels of such a picture that the mask covers: beta of them, cut down to a whole number."""
        return int(self.beta * height * width)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that survive JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


DEFAULT = MaskOptions()


def blur_size(crop_size: int) -> int:
    """Taps of the Gaussian blur for clips of that side: an odd number, 11 for 112, 23 for 224.

    Source: the published code, ``int(0.1 * crop_size) // 2 * 2 + 1``.
    """
    return int(BLUR_SHARE * crop_size) // 2 * 2 + 1


def gaussian_taps(size: int) -> NDArray[np.float32]:
    """Weights of a blur of ``size`` taps, which sum to 1; its deviation is a third of its width."""
    distance = np.arange(size, dtype=np.float32) - size // 2
    weights = np.exp(-(distance**2) / (2 * (size / 3) ** 2))
    return (weights / weights.sum()).astype(np.float32)
