"""How a video network reads clips, as its checkpoint says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

KIND = "clips"
"""What ``kind`` says in the JSON of a clip recipe; recipes of features have no such field."""


@dataclass(frozen=True)
class ClipRecipe:
    """Everything that decides the pixels of a clip [T, H, W, 3] before they are normalised.

    Raises:
        ValueError: a length that is not positive, with got and expected.
    """

    num_frames: int
    """Frames of a clip."""
    step: int
    """Every ``step``-th frame of a window of ``num_frames * step`` consecutive frames is in the clip."""
    crop_size: int
    """Pixels of the side of the square that the network sees."""
    short_side: int | None = None
    """Pixels of the shorter side that frames are brought to before the centre crop; None: they keep their size."""

    def __post_init__(self) -> None:
        for name in ("num_frames", "step", "crop_size", "short_side"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    @property
    def name(self) -> str:
        """Readable in lists: ``clips 16x2, 112 px``."""
        return f"clips {self.num_frames}x{self.step}, {self.crop_size} px"

    def to_dict(self) -> dict[str, Any]:
        return {"kind": KIND, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClipRecipe:
        fields = dict(values)
        if fields.pop("kind", None) != KIND:
            raise ValueError(f"a clip recipe says kind {KIND!r}, got {values.get('kind')!r}")
        return cls(**fields)

    @property
    def canonical_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
