"""Colours by the formula of each matrix and range."""

from __future__ import annotations

import av
import numpy as np
import pytest

from vidlang.video.reader import open_video

PATCHES = [(81, 90, 240), (145, 54, 34), (41, 240, 110), (210, 16, 146), (120, 128, 128)]
"""(Y, Cb, Cr) in 8 bits."""
WEIGHTS = {
    1: (0.2126, 0.0722),
    2: (0.299, 0.114),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""AVColorSpace → the weights of red and blue in luma; 2 is unspecified and counts as BT.601."""


def by_formula(patch: tuple[int, int, int], matrix: int, full: bool) -> list[float]:
    red, blue = WEIGHTS[matrix]
    luma, cb, cr = patch
    y = luma / 255 if full else (luma - 16) / 219
    u, v = ((chroma - 128) / (255 if full else 224) for chroma in (cb, cr))
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return [min(max(value * 255, 0), 255) for value in (r, (y - red * r - blue * b) / (1 - red - blue), b)]


def write_patches(path, pixel_format: str, matrix: int, colour_range: int, size: int = 32) -> None:
    deep = "10" in pixel_format
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width = stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, colour_range
        for patch in PATCHES:
            frame = av.VideoFrame(size, size, pixel_format)
            for plane, value in zip(frame.planes, patch, strict=True):
                length = plane.buffer_size // (2 if deep else 1)
                plane.update(np.full(length, value * (4 if deep else 1), np.uint16 if deep else np.uint8).tobytes())
            frame.colorspace, frame.color_range = matrix, colour_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("colour_range", [0, 1, 2])
@pytest.mark.parametrize("matrix", sorted(WEIGHTS))
def test_matrix_and_range(tmp_path, pixel_format, colour_range, matrix):
    """Range 0 is unspecified and counts as limited."""
    path = tmp_path / "patches.mkv"
    write_patches(path, pixel_format, matrix, colour_range)
    with open_video(path) as reader:
        pixels = next(reader.read()).frames[:, 16, 16]
    expected = [by_formula(patch, matrix, colour_range == 2) for patch in PATCHES]
    assert np.abs(pixels - np.array(expected)).max() < 3


@pytest.mark.parametrize("height", [32, 720])
def test_an_unnamed_matrix_is_bt601_at_every_size(tmp_path, height):
    path = tmp_path / "patches.mkv"
    write_patches(path, "yuv420p", 2, 1, size=height)
    with open_video(path) as reader:
        pixels = reader.read_at([0]).frames[0, 16, 16]
    assert np.abs(pixels - by_formula(PATCHES[0], 6, False)).max() < 3
