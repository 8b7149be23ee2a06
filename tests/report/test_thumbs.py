"""Thumbnails: JPEG files in the frame's proportions."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vidlang.report.thumbs import thumbnail


def opened(data: bytes) -> Image.Image:
    assert data[:3] == b"\xff\xd8\xff"
    return Image.open(io.BytesIO(data))


def test_a_wide_frame_shrinks_in_its_proportions_and_keeps_its_colours():
    frame = np.zeros((90, 160, 3), dtype=np.uint8)
    frame[:, :80] = (200, 30, 30)
    picture = opened(thumbnail(frame, 80))
    assert picture.size == (80, 45)
    assert np.abs(np.asarray(picture)[20, 10].astype(int) - (200, 30, 30)).max() < 12
    assert np.asarray(picture)[20, 70].max() < 12


def test_a_small_frame_keeps_its_size():
    assert opened(thumbnail(np.zeros((9, 16, 3), dtype=np.uint8))).size == (16, 9)


def test_a_frame_that_is_hardly_high_keeps_a_row():
    assert opened(thumbnail(np.zeros((1, 1000, 3), dtype=np.uint8), 100)).size == (100, 1)


@pytest.mark.parametrize("shape", [(9, 16), (9, 16, 4), (0, 16, 3)])
def test_what_is_no_frame_is_refused(shape):
    with pytest.raises(ValueError, match="expected a frame"):
        thumbnail(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="width"):
        thumbnail(np.zeros((2, 2, 3), dtype=np.uint8), 0)
