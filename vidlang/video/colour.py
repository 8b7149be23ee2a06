"""Decoded frames → upright RGB.

Matrix: what the stream names (BT.601, BT.709, FCC, SMPTE 240M, BT.2020); where it names none, BT.601 at every size.
That is what FFmpeg's scaler assumes, and with it decord, OpenCV and the tools that published features were made with;
players guess BT.709 for HD. Range: what the stream names; limited where it names none. Deeper pixels are brought to
8 bits, alpha is dropped, high dynamic range is not tone-mapped, interlaced frames stay as they are, pixels count as
square. Scaling is bicubic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadVideo
from vidlang.video.container import StreamFacts, is_full_range
from vidlang.video.source import scaled_size

RGB_MATRIX = 0
SCALER_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
"""AVColorSpace → the scaler's number of the same matrix; 5 is BT.601."""
BT601 = 5
LIMITED, FULL = 1, 2
"""AVColorRange."""


class RgbConverter:
    """Converts the frames of one stream; each comes out upright and at the size of the first one.

    Not for two threads at once: the scaler keeps its tables.
    """

    def __init__(self, facts: StreamFacts, short_side: int | None) -> None:
        from av.video.reformatter import Interpolation, VideoReformatter

        self.size = scaled_size(facts.size, short_side)
        """(height, width) that comes out."""
        self._turns = facts.rotation
        height, width = self.size
        self._coded = (width, height) if self._turns % 2 else (height, width)
        self._scaler = VideoReformatter()
        self._bicubic = Interpolation.BICUBIC
        self._threads = scaler_threads()

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """[H, W, 3]

        Raises:
            BadVideo: the scaler does not know the pixel format.
        """
        import av

        try:
            return self._upright(frame)
        except av.FFmpegError as error:
            raise BadVideo(
                f"Frames of pixel format {frame.format.name} cannot be converted to RGB ({error})."
            ) from error

    def _upright(self, frame: Any) -> NDArray[np.uint8]:
        height, width = self._coded
        matrix = int(frame.colorspace)
        scaler_matrix = None if matrix == RGB_MATRIX else SCALER_MATRIX.get(matrix, BT601)
        rgb = self._scaler.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=scaler_matrix,
            dst_colorspace=scaler_matrix,
            interpolation=self._bicubic,
            src_color_range=FULL if is_full_range(frame) else LIMITED,
            dst_color_range=FULL,
            **self._threads,
        )
        pixels: NDArray[np.uint8] = np.asarray(rgb.to_ndarray(), dtype=np.uint8)
        return np.ascontiguousarray(np.rot90(pixels, self._turns)) if self._turns else pixels


def scaler_threads() -> dict[str, int]:
    """Keeps the scaler on the calling thread where PyAV offers the choice: decoding uses the other cores already."""
    import av

    return {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
