"""A folder of images read as a video."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadVideo
from vidlang.video.files import frame_files
from vidlang.video.source import Facts, RawFrame, scaled_size

DEFAULT_FRAME_RATE = 25.0
NAMES_SHOWN = 3


class FramesSource:
    """Images in the natural order of their names, at a fixed rate, all at the size of the first that opens.

    Annotations count images by their number, so an image that does not open keeps its index and its time: the nearest
    one before it that opens stands in for it (after it, where none does), and a warning names it.
    """

    name = "frames"

    def __init__(self, folder: Path, frame_rate: float | None, short_side: int | None = None) -> None:
        self._folder, self._files = folder, frame_files(folder)
        self._rate = DEFAULT_FRAME_RATE if frame_rate is None else frame_rate
        self._assumed = frame_rate is None
        self._broken: dict[str, None] = {}
        first = next((pixels for path in self._files if (pixels := self._try(path)) is not None), None)
        if first is None:
            raise BadVideo(f"None of the {len(self._files)} images in {folder} opens.")
        self._broken.clear()
        self._size = scaled_size((first.shape[0], first.shape[1]), short_side)

    @property
    def facts(self) -> Facts:
        num_frames = len(self._files)
        return Facts(num_frames, num_frames / self._rate, self._rate, self._size)

    @property
    def warnings(self) -> list[str]:
        """The assumed rate, and the images met so far that do not open."""
        lines = []
        if self._assumed:
            lines.append(f"images have no clock: {self._rate:g} frames per second are assumed (give the frame rate)")
        if self._broken:
            names = ", ".join(list(self._broken)[:NAMES_SHOWN]) + (" ..." if len(self._broken) > NAMES_SHOWN else "")
            what = "1 image does" if len(self._broken) == 1 else f"{len(self._broken)} images do"
            lines.append(f"{what} not open ({names}): the nearest that opens stands in")
        return lines

    def frames(self) -> Iterator[RawFrame]:
        self._broken.clear()
        return self.frames_from(0)

    def frames_from(self, first: int) -> Iterator[RawFrame]:
        """Any index can be jumped to."""
        for index in range(first, len(self._files)):
            yield RawFrame(index / self._rate, 1 / self._rate, functools.partial(self._pixels, index))

    def index_at(self, seconds: float) -> int:
        """The frame shown at a time, clamped to the folder."""
        return min(max(int(seconds * self._rate + 1e-9), 0), len(self._files) - 1)

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        for stand_in in [*range(index, -1, -1), *range(index + 1, len(self._files))]:
            pixels = self._try(self._files[stand_in])
            if pixels is not None:
                return _resized(pixels, self._size)
        raise BadVideo(f"None of the {len(self._files)} images in {self._folder} opens any more.")

    def _try(self, path: Path) -> NDArray[np.uint8] | None:
        try:
            return read_image(path)
        except (OSError, ValueError, SyntaxError):  # what Pillow raises for damaged images
            self._broken[path.name] = None
            return None


def read_image(path: Path) -> NDArray[np.uint8]:
    """[H, W, 3] RGB, upright, 8 bits; alpha is dropped."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # 16-bit grey, which Pillow would clip rather than scale
            grey = (np.asarray(upright, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.asarray(upright.convert("RGB"))


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if pixels.shape[:2] == size:
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC))
