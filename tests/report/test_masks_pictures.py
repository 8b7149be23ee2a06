"""Masks, maps and kernels as pictures, read back pixel by pixel."""

from __future__ import annotations

import io

import numpy as np
import pytest

from vidlang.report.drawing import CURVE_COLORS
from vidlang.report.kernels import DrawnLayer, _short_names, kernels_png
from vidlang.report.masks import (
    GROUND,
    MAX_ROWS,
    OUTLINE,
    SheetRow,
    black_and_white,
    heat,
    outline,
    over_map,
    over_mask,
    sheet_png,
)


def block(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[rows, columns] = True
    return mask


def pixels_of(png: bytes) -> np.ndarray:
    """[H, W, 3] uint8"""
    from matplotlib.image import imread

    return np.round(imread(io.BytesIO(png), format="png")[..., :3] * 255).astype(np.uint8)


def rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def test_an_outline_is_the_edge_inside_the_mask_as_wide_as_asked():
    mask = block(12, 12, slice(2, 9), slice(3, 10))
    for width in (1, 2, 3):
        inner = block(12, 12, slice(2 + width, 9 - width), slice(3 + width, 10 - width))
        assert np.array_equal(outline(mask, width), mask & ~inner)


def test_the_border_of_the_picture_is_no_edge():
    everything = np.ones((5, 6), dtype=bool)
    assert not outline(everything, 2).any()
    left_half = block(6, 8, slice(0, 6), slice(0, 4))
    assert np.array_equal(outline(left_half, 1), block(6, 8, slice(0, 6), slice(3, 4)))


def test_over_a_mask_moving_pixels_keep_their_colours_and_the_ground_is_grey_and_dark():
    frame = np.full((20, 20, 3), (200, 100, 50), dtype=np.uint8)
    mask = block(20, 20, slice(5, 15), slice(5, 15))
    shown = over_mask(frame, mask)
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert (shown[~mask] == int(GROUND * luma)).all()
    assert (shown[outline(mask)] == OUTLINE).all()
    assert (shown[mask & ~outline(mask)] == (200, 100, 50)).all()
    assert (over_mask(frame, np.zeros((20, 20), dtype=bool)) == int(GROUND * luma)).all()
    assert np.array_equal(over_mask(frame, np.ones((20, 20), dtype=bool)), frame)


def test_black_and_white_is_the_mask():
    mask = block(4, 6, slice(1, 3), slice(0, 2))
    assert np.array_equal(black_and_white(mask), np.where(mask, 255, 0)[..., None].repeat(3, axis=2))


def test_heat_rises_from_black_and_stays_at_its_highest():
    luma = heat(np.arange(0, 11, dtype=np.float32)[None], 10.0)[0] @ [0.299, 0.587, 0.114]
    assert (np.diff(luma) > 0).all() and luma[0] < 2
    assert np.array_equal(heat(np.array([[10.0, 99.0]]), 10.0)[0, 0], heat(np.array([[10.0, 99.0]]), 10.0)[0, 1])
    assert np.array_equal(heat(np.zeros((2, 2)), 0.0), heat(np.zeros((2, 2)), 1.0))


def test_where_nothing_is_active_the_grey_frame_shows_through():
    frame = np.full((4, 4, 3), (10, 200, 30), dtype=np.uint8)
    activation = np.zeros((4, 4), dtype=np.float32)
    activation[0, 0] = 1.0
    shown = over_map(frame, activation)
    assert (shown[1:] == int(0.299 * 10 + 0.587 * 200 + 0.114 * 30)).all()
    assert shown[0, 0, 0] > 150 > shown[0, 0, 2] > 50  # yellow over grey


def test_a_sheet_shows_each_window_in_a_row_of_three():
    def row(start: float, colour: tuple[int, int, int]) -> SheetRow:
        frame = np.full((30, 40, 3), colour, dtype=np.uint8)
        return SheetRow(start, start + 1, frame, np.full((30, 40), start, dtype=np.float32), frame[..., ::-1].copy())

    picture = pixels_of(
        sheet_png("a_film.mp4", ("frame", "motion", "mask"), [row(0, (250, 7, 3)), row(8, (9, 240, 5))], length=9.0)
    )
    places = []
    for colour in ((250, 7, 3), (3, 7, 250), (9, 240, 5), (5, 240, 9)):
        rows, columns = np.nonzero((picture == colour).all(-1))
        places.append((rows.mean(), columns.mean()))
    frame_one, shown_one, frame_two, shown_two = places
    assert frame_one[0] == pytest.approx(shown_one[0], abs=2) and frame_two[0] == pytest.approx(shown_two[0], abs=2)
    assert frame_one[0] < frame_two[0] and frame_one[1] < shown_one[1]
    assert ((picture == heat(np.array([[8.0]]), 8.0)[0, 0]).all(-1)).sum() > 1000  # the strongest window's heat


def test_a_sheet_has_so_many_rows_at_most_and_one_at_least():
    frame = np.full((8, 8, 3), (250, 7, 3), dtype=np.uint8)
    rows = [SheetRow(i, i + 1, frame, np.ones((8, 8)), frame) for i in range(MAX_ROWS + 3)]
    columns = ("frame", "motion", "mask")
    full = sheet_png("x", columns, rows[:MAX_ROWS], length=20.0)
    assert pixels_of(sheet_png("x", columns, rows, length=20.0)).shape == pixels_of(full).shape
    with pytest.raises(ValueError, match="at least one window"):
        sheet_png("x", columns, [], length=1.0)


def test_a_video_of_any_name_is_drawn():
    frame = np.zeros((8, 8, 3), dtype=np.uint8)
    rows = [SheetRow(0, 1, frame, np.zeros((8, 8)), frame, ("no motion",))]
    assert sheet_png("$x_{1}$ ☃ \x1b[2J 视频" * 9, ("frame", "motion", "mask"), rows, length=7300.0)[:4] == b"\x89PNG"


def test_kernels_of_two_networks_have_two_colours_and_the_wider_one_is_higher():
    edges = np.linspace(-1, 1, 65)
    counts = np.histogram(np.random.default_rng(0).normal(0, 0.2, 5000), edges)[0]
    layers = [DrawnLayer(f"layer{i}.weight", (0.3, 0.1), (counts, counts), edges) for i in range(7)]
    picture = pixels_of(kernels_png(["mine", "_other"], layers, title="kernels"))
    upper = picture[: len(picture) // 3]
    first, second = (np.nonzero((upper == rgb(colour)).all(-1)) for colour in CURVE_COLORS[:2])
    # the legend has a short piece of both; the lines are the long rows of one colour
    rows = [np.bincount(found[0]).argmax() for found in (first, second)]
    assert rows[0] < rows[1]
    one = pixels_of(
        kernels_png(
            ["mine"],
            [layer._replace(stds=layer.stds[:1], histograms=layer.histograms[:1]) for layer in layers],
            title="kernels",
        )
    )
    assert not (one == rgb(CURVE_COLORS[1])).all(-1).any()


def test_names_of_layers_lose_what_all_of_them_end_with():
    edges = np.linspace(-1, 1, 3)

    def shortened(*names: str) -> list[str]:
        return _short_names([DrawnLayer(name, (0.3,), (np.array([1, 2]),), edges) for name in names])

    assert shortened("a.1.conv.weight", "b.2.conv.weight") == ["a.1", "b.2"]
    assert shortened("a.conv.weight", "b.weight") == ["a.conv", "b"]
    assert shortened("weight", "b.weight") == ["weight", "b.weight"] and shortened("a.weight") == ["a"]


def test_kernels_need_a_value_for_each_network():
    edges = np.linspace(-1, 1, 3)
    layer = DrawnLayer("a", (0.3,), (np.array([1, 2]),), edges)
    with pytest.raises(ValueError, match="2 networks"):
        kernels_png(["mine", "other"], [layer], title="")
    with pytest.raises(ValueError, match="at least one layer"):
        kernels_png(["mine"], [], title="")
