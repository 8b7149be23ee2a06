"""The edits that people make to videos before they show them again: copies whose every second is known.

An edit takes frames in and gives frames out, each with the time that it is shown on the copy's presentation clock and
the seconds of the source that it shows, so one pass in constant memory writes the copy and knows which of its seconds
show which seconds of the source. Frame rates may vary on the way; the copy is written at a constant one, by time.
"""

from __future__ import annotations

from vidlang.video.edits.chance import (
    KINDS,
    Strength,
    random_edits,
)
from vidlang.video.edits.copying import (
    EditedCopy,
    Mapping,
    apply,
    describe,
    fingerprint,
    join,
)
from vidlang.video.edits.kinds import (
    BlackBars,
    Blur,
    Brightness,
    Clip,
    Contrast,
    Crop,
    CutOut,
    Edit,
    Flip,
    Grey,
    HideIn,
    Intro,
    Logo,
    Noise,
    PictureEdit,
    Reencode,
    Resize,
    Sepia,
    Shown,
    Speed,
    filled,
)

__all__ = [
    "KINDS",
    "BlackBars",
    "Blur",
    "Brightness",
    "Clip",
    "Contrast",
    "Crop",
    "CutOut",
    "Edit",
    "EditedCopy",
    "Flip",
    "Grey",
    "HideIn",
    "Intro",
    "Logo",
    "Mapping",
    "Noise",
    "PictureEdit",
    "Reencode",
    "Resize",
    "Sepia",
    "Shown",
    "Speed",
    "Strength",
    "apply",
    "describe",
    "filled",
    "fingerprint",
    "join",
    "random_edits",
]
