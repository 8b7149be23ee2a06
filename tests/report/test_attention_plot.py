"""Attention as a picture."""

from __future__ import annotations

import numpy as np
import pytest
from read_back import NAMES, pixels_of, where

from vidlang.report.attention import attention_plot
from vidlang.report.drawing import CURVE_COLORS


def even(layers: int, heads: int, rows: int) -> np.ndarray:
    return np.full((layers, heads, rows), 1 / rows, dtype=np.float32)


def seconds(rows: int) -> np.ndarray:
    return np.arange(rows)[:, None] + np.array([0.0, 1.0])


def test_a_peak_stands_where_its_seconds_are():
    attention = np.full((1, 1, 10), 0.02)
    attention[0, 0, 7] = 0.82
    curve = where(pixels_of(attention_plot("v", seconds(10), attention)), CURVE_COLORS[0])
    legend = curve[:, int(0.6 * curve.shape[1]) :][:90]
    curve[: len(legend)] = False
    columns = np.flatnonzero(curve.any(0))
    left, right = columns[0], columns[-1]
    top = np.flatnonzero(curve.any(1))[0]
    peak = np.flatnonzero(curve[top + 3])
    assert (peak.mean() - left) / (right - left) == pytest.approx(0.75, abs=0.03)


def test_each_layer_has_a_panel():
    heights = [pixels_of(attention_plot("v", seconds(6), even(layers, 2, 6))).shape[0] for layers in (1, 2, 3)]
    assert heights[1] - heights[0] == heights[2] - heights[1] > 200


def test_frames_lie_below_in_their_order():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    frames = [np.full((40, 60, 3), colour, dtype=np.uint8) for colour in colours]
    picture = pixels_of(attention_plot("v", seconds(6), even(1, 1, 6), frames))
    places = [np.flatnonzero(where(picture, f"#{r:02X}{g:02X}{b:02X}").any(0)).mean() for r, g, b in colours]
    rows = np.flatnonzero(where(picture, "#FF0000").any(1))
    assert places == sorted(places) and rows[0] > picture.shape[0] / 2


def test_what_counts_little_is_shaded():
    weights = np.array([1, 1, 0.1, 1, 1, 1], dtype=np.float32)
    pictures = [pixels_of(attention_plot("v", seconds(6), even(1, 1, 6), weights=w)) for w in (None, weights)]
    shaded = [where(picture, "#DDDDDD").sum() for picture in pictures]
    assert shaded[1] > shaded[0] + 5000


@pytest.mark.parametrize(("kind", "begin"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_kind_of_file_is_the_one_asked_for(kind, begin):
    assert attention_plot("v", seconds(3), even(1, 2, 3), kind=kind).startswith(begin)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_letters(name, recwarn):
    attention_plot(name, seconds(2), even(1, 1, 2), note=name)
    assert not [str(warning.message) for warning in recwarn]


def test_one_row_of_no_duration_gives_a_picture():
    assert pixels_of(attention_plot("image.png", np.zeros((1, 2)), even(1, 2, 1))).shape[1] == 1500


def test_shares_of_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"\[L, H, T\] with T = 4"):
        attention_plot("v", seconds(4), even(1, 1, 3))
