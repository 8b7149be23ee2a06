"""Pictures of motion: colours mean what the scale says, quiet pixels keep their grey, curves lie at their seconds."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

from vidlang.report import heat
from vidlang.report.heat import HOTTEST, STRIP_HEIGHT, heat_frames, motion_png, scale_strip


@pytest.fixture
def figures(monkeypatch) -> list:
    """Every figure that becomes a picture."""
    kept: list = []
    draw = heat.as_png

    def keep(figure):
        kept.append(figure)
        return draw(figure)

    monkeypatch.setattr(heat, "as_png", keep)
    return kept


def frame(red: int, green: int, blue: int) -> np.ndarray:
    return np.broadcast_to(np.array([red, green, blue], np.uint8), (20, 30, 3)).copy()


def test_what_stands_keeps_its_grey_and_the_hottest_is_light_yellow():
    energy = np.zeros((20, 30), np.float32)
    energy[:, 10:20], energy[:, 20:] = HOTTEST, 255
    [shown] = heat_frames([frame(200, 100, 50)], energy)
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert np.abs(shown[:, :10].astype(float) - grey).max() <= 1.5
    top = 0.9 * np.array([252, 255, 164]) + 0.1 * grey  # the end of inferno
    assert np.abs(shown[:, 10:] - top).max() <= 3


def test_more_motion_is_brighter_and_noise_is_not_drawn():
    energy = np.tile(np.linspace(0, HOTTEST, 30, dtype=np.float32), (20, 1))
    [shown] = heat_frames([frame(0, 0, 0)], energy)
    brightness = shown.sum(axis=2)[0].astype(int)
    assert (np.diff(brightness) >= 0).all() and brightness[-1] > 500
    [noisy] = heat_frames([frame(90, 90, 90)], np.full((20, 30), 0.4, np.float32))
    assert np.abs(noisy.astype(int) - 90).max() <= 1


def test_each_frame_gets_the_same_colours_and_the_scale_below():
    energy = np.zeros((20, 240), np.float32)
    strip = scale_strip(240)
    assert strip is not None and strip.shape == (STRIP_HEIGHT, 240, 3)
    frames = [np.full((20, 240, 3), level, np.uint8) for level in (10, 200)]
    shown = list(heat_frames(frames, energy, strip=strip))
    assert [picture.shape for picture in shown] == [(20 + STRIP_HEIGHT, 240, 3)] * 2
    assert all(np.array_equal(picture[20:], strip) for picture in shown)
    assert [int(picture[0, 0, 0]) for picture in shown] == [pytest.approx(10, abs=1), pytest.approx(200, abs=1)]


@pytest.mark.parametrize("width", [200, 1920])
def test_the_scale_runs_from_black_to_light_yellow(width):
    strip = scale_strip(width)
    assert strip is not None and strip.shape == (STRIP_HEIGHT, width, 3) and strip.dtype == np.uint8
    bar = strip[5, int(0.03 * width) : int(0.97 * width)].astype(int).sum(axis=1)
    assert bar[0] < 60 and bar[-1] > 550 and (np.diff(bar) >= -3).all()
    assert strip[14:].max() > 200  # numbers are written


def test_a_narrow_video_has_no_room_for_a_scale():
    assert scale_strip(120) is None


def seconds(count: int, step: float = 0.5) -> np.ndarray:
    return step * (np.arange(count)[:, None] + np.array([0.0, 1.0]))


def test_the_picture_shows_mean_frame_energy_scale_and_curve(figures):
    energy = np.zeros((36, 64), np.float32)
    energy[10:20, 30:50] = 12.0
    picture = motion_png("v.mp4", np.full((36, 64), 80, np.uint8), energy, seconds(10), np.arange(10.0))
    assert picture.startswith(b"\x89PNG")
    by_title = {axis.get_title(loc="left"): axis for axis in figures[0].axes}
    assert {"mean frame", "energy over it"} <= set(by_title)
    [scale] = [axis for axis in figures[0].axes if axis.get_ylabel() == "grey levels a step"]
    assert scale.get_ylim() == (0, 12)
    colours = by_title["energy over it"].images[1]
    assert colours.get_array().max() == 12 and np.asarray(colours.get_alpha())[energy == 0].max() == 0
    [curve] = [axis for axis in figures[0].axes if axis.get_ylabel().startswith("energy")]
    x, y = curve.lines[0].get_data()
    assert float(np.nanmax(y)) == 9 and x[int(np.nanargmax(y))] == 4.5 and curve.get_xlim() == (0, 5)


def test_noise_alone_is_not_stretched_to_the_whole_scale(figures):
    motion_png("v.mp4", np.zeros((36, 64), np.uint8), np.full((36, 64), 0.05), seconds(3), np.full(3, 0.05))
    [scale] = [axis for axis in figures[0].axes if axis.get_ylabel() == "grey levels a step"]
    assert scale.get_ylim() == (0, 1)


def test_the_camera_has_a_panel_where_it_moves(figures):
    still, moved = np.zeros((4, 2)), np.array([[0, 0], [3, 4], [0, -2], [0, 0]], dtype=float)
    for shift in (still, moved):
        picture = np.zeros((36, 64)), seconds(4), np.ones(4)
        motion_png("v.mp4", np.zeros((36, 64), np.uint8), *picture, shift=shift, note="the camera's shift is taken off")
    panels = [[axis for axis in figure.axes if axis.get_ylabel().startswith("camera")] for figure in figures]
    assert [len(found) for found in panels] == [0, 1]
    _, speed = panels[1][0].lines[0].get_data()
    assert float(np.nanmax(speed)) == 5


@pytest.mark.parametrize(("height", "width"), [(64, 36), (16, 200)])
def test_upright_and_wide_videos_one_snippet_and_odd_names_draw(height, width):
    name = "a $x_1$ <b> [bold]\n" + "long" * 60
    picture = motion_png(name, np.zeros((height, width), np.uint8), np.ones((height, width)), seconds(1), np.ones(1))
    from PIL import Image

    drawn = Image.open(io.BytesIO(picture))
    assert drawn.width == 1500 and 400 < drawn.height < 1600


def test_matplotlib_is_loaded_only_to_draw():
    script = "import sys, vidlang.report.heat; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "False"
