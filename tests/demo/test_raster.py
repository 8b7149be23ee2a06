from __future__ import annotations

import numpy as np
import pytest

from vidlang.demo.raster import add_light, blend, cloud_texture, disc, fill, limb, paint

RED, BLUE = (255.0, 0.0, 0.0), (0.0, 0.0, 255.0)


def canvas() -> np.ndarray:
    return np.zeros((40, 60, 3), dtype=np.float32)


def test_a_disc_covers_its_area():
    picture = canvas()
    paint(picture, [disc(30, 20, 8, RED)])
    assert picture[..., 0].sum() / 255 == pytest.approx(np.pi * 64, rel=0.02)
    assert picture[20, 30].tolist() == [255, 0, 0] and picture[20, 42].sum() == 0


def test_a_limb_reaches_from_end_to_end():
    picture = canvas()
    paint(picture, [limb((10, 10), (40, 30), 2, RED)])
    assert picture[10, 10, 0] > 200 and picture[30, 40, 0] > 200 and picture[20, 25, 0] > 200
    assert picture[10, 40].sum() == 0


def test_later_parts_cover_earlier_ones():
    picture = canvas()
    paint(picture, [disc(30, 20, 8, RED), disc(30, 20, 4, BLUE)])
    assert picture[20, 30].tolist() == [0, 0, 255] and picture[20, 24].tolist() == [255, 0, 0]


def test_what_lies_outside_is_cut_off():
    picture = canvas()
    paint(picture, [disc(-50, 20, 8, RED)])
    add_light(picture, 100, 100, RED, np.ones((5, 5), dtype=np.float32))
    assert picture.sum() == 0
    blend(picture, -2, -2, np.array(RED, dtype=np.float32), np.ones((4, 4), dtype=np.float32))
    assert picture[..., 0].sum() == 4 * 255


def test_a_polygon_is_filled_inside():
    picture = canvas()
    fill(picture, [(0.5, 0), (1, 0), (1, 1), (0.5, 1)], RED)
    assert (picture[:, 31:, 0] == 255).all() and (picture[:, :29] == 0).all()


def test_clouds_fill_the_range_and_tile():
    texture = cloud_texture(np.random.default_rng(0))
    assert texture.min() == 0 and texture.max() == 1
    seam, inside = np.abs(texture[0] - texture[-1]).mean(), np.abs(np.diff(texture, axis=0)).mean()
    assert seam < 3 * inside
