"""A pan is found and taken off; what moves on its own stays, and so does a camera that stands."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.video.motion import Steps
from vidlang.video.shift import STILL, Shift, ShiftFinder, difference

HEIGHT, WIDTH, BORDER = 144, 192, 60


def smooth(picture: np.ndarray, radius: int) -> np.ndarray:
    for _ in range(2):
        for axis in (0, 1):
            picture = sum(np.roll(picture, step, axis) for step in range(-radius, radius + 1)) / (2 * radius + 1)
    return picture


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """[H + 120, W + 120, 3] of detail at several sizes, 20 to 235."""
    random = np.random.default_rng(3)
    size = (HEIGHT + 2 * BORDER, WIDTH + 2 * BORDER, 3)
    parts = (smooth(random.normal(size=size), radius) for radius in (1, 3, 8))
    picture = sum(part / part.std() for part in parts)
    return 20 + 215 * (picture - picture.min()) / (picture.max() - picture.min())


def seen(scene: np.ndarray, down: float, right: float, noise: float = 0.0) -> np.ndarray:
    """What a camera shows after the picture went so far: the spectrum turned, which no code of vidlang does."""
    frequencies = np.meshgrid(np.fft.fftfreq(scene.shape[0]), np.fft.fftfreq(scene.shape[1]), indexing="ij")
    turn = np.exp(-2j * np.pi * (frequencies[0] * down + frequencies[1] * right))[..., None]
    moved = np.fft.ifft2(np.fft.fft2(scene, axes=(0, 1)) * turn, axes=(0, 1)).real
    view = moved[BORDER:-BORDER, BORDER:-BORDER]
    view = view + np.random.default_rng(int(100 * (down + 7 * right)) % 997).normal(size=view.shape) * noise
    return np.clip(np.rint(view), 0, 255).astype(np.uint8)


def find_shift(before: np.ndarray, after: np.ndarray) -> Shift:
    finder = ShiftFinder()
    finder.push(before)
    return finder.push(after)


@pytest.mark.parametrize("noise", [0.0, 3.0])
@pytest.mark.parametrize("pan", [(1, 0), (0, -2), (3, 5), (-12, 17), (30, -24)])
def test_a_pan_of_whole_pixels_is_found_exactly(scene, pan, noise):
    found = find_shift(seen(scene, 0, 0, noise), seen(scene, *pan, noise))
    assert (found.down, found.right) == pan and found.gain > 0.3


@pytest.mark.parametrize("noise", [0.0, 3.0])
@pytest.mark.parametrize("pan", [(0.5, 0.5), (0.3, -0.7), (1.4, 2.25), (-6.6, 10.3), (0, 18.5)])
def test_a_pan_of_part_of_a_pixel_is_found_within_a_tenth(scene, pan, noise):
    found = find_shift(seen(scene, 0, 0, noise), seen(scene, *pan, noise))
    assert (found.down, found.right) == (pytest.approx(pan[0], abs=0.1), pytest.approx(pan[1], abs=0.1))


def test_the_difference_of_a_panned_still_scene_is_next_to_nothing(scene):
    before, after = seen(scene, 0, 0), seen(scene, 4, -7)
    plain, place = difference(before, after)
    assert plain.shape == before.shape and place == (slice(0, HEIGHT), slice(0, WIDTH))
    rest, place = difference(before, after, find_shift(before, after))
    assert place == (slice(4, HEIGHT), slice(0, WIDTH - 7)) and rest.shape == (HEIGHT - 4, WIDTH - 7, 3)
    assert plain.mean() > 10 and rest.max() <= 1
    after = seen(scene, 4.4, -7.3)
    rest, _ = difference(before, after, find_shift(before, after))
    assert rest.mean() < 0.12 * plain.mean()  # what linear interpolation blurs


def test_what_moves_on_its_own_keeps_its_energy(scene):
    """A white square stands in front of the camera while the scene goes by: against the scene, the square moves."""
    before, after = seen(scene, 0, 0), seen(scene, 0, 6)
    for frame in (before, after):
        frame[60:90, 80:110] = 255
    found = find_shift(before, after)
    assert (found.down, found.right) == (0, 6)
    rest, (_, columns) = difference(before, after, found)
    around = np.zeros((HEIGHT, WIDTH), dtype=bool)
    around[60:90, 80:116] = True
    inside = around[:, columns]
    assert rest[~inside].max() <= 1
    uncovered = rest[60:90, 110 - columns.start : 116 - columns.start]  # white moved off from the scene seen after
    truth = 255 - after[60:90, 110:116].astype(int)
    assert np.abs(uncovered - truth).max() <= 1


def test_a_camera_that_stands_is_left_alone(scene):
    assert find_shift(seen(scene, 0, 0), seen(scene, 0, 0)) == STILL
    before, after = seen(scene, 0, 0, 4.0), np.random.default_rng(9).normal(size=(HEIGHT, WIDTH, 3)) * 4
    after = np.clip(seen(scene, 0, 0) + after, 0, 255).astype(np.uint8)
    assert find_shift(before, after) == STILL
    before[40:100, 50:90], after[40:100, 58:98] = 255, 255  # a large square goes eight pixels
    assert find_shift(before, after) == STILL


def test_one_figure_before_a_plain_wall_is_no_pan():
    before = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    after = before.copy()
    before[50:80, 60:90], after[50:80, 64:94] = 200, 200
    assert find_shift(before, after) == STILL
    before[40:104, 20:150], after[40:104, 26:156] = 200, 200  # so near that it fills half of the picture
    assert find_shift(before, after) == STILL


def test_a_cut_is_no_pan(scene):
    other = np.ascontiguousarray(scene[::-1, ::-1])
    assert find_shift(seen(scene, 0, 0), seen(other, 0, 0)) == STILL


def test_plain_and_tiny_pictures_have_no_shift():
    plain = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    assert find_shift(plain, plain + 40) == STILL
    small = np.random.default_rng(0).integers(0, 255, (12, 80, 3), dtype=np.uint8)
    assert find_shift(small, np.roll(small, 3, axis=1)) == STILL


def test_steps_take_the_shift_off_only_where_asked(scene):
    frames = [seen(scene, 2 * place, -3 * place) for place in range(4)]
    for compensate in (False, True):
        steps = Steps(compensate)
        assert steps.push(frames[0]) is None
        found = [step for frame in frames[1:] if (step := steps.push(frame)) is not None]
        shifts = [(step.shift.down, step.shift.right) for step in found]
        assert shifts == ([(2, -3)] * 3 if compensate else [(0, 0)] * 3)
        assert all(step.energy < 0.5 if compensate else step.energy > 5 for step in found)
