"""Bars are found where they were drawn, through compression, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from vidlang.video.borders import Borders, borders_of
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video

HEIGHT, WIDTH = 120, 160
CLOSE = 2
"""Lines beside a picture that compression fills with it."""


def scene(index: int, height: int = HEIGHT, width: int = WIDTH, level: float = 1.0) -> np.ndarray:
    """[height, width, 3] waves of many colours that wander; ``level`` darkens them."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (5 + c) + index * 0.7 + c) + np.cos(y / (7 - c) - index * 0.5) for c in range(3)]
    return (level * (128 + 60 * np.stack(waves, axis=-1))).clip(0, 255).astype(np.uint8)


def boxed(index: int, top: int, bottom: int, left: int, right: int, colour=(0, 0, 0), level: float = 1.0) -> np.ndarray:
    frame = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    frame[:] = colour
    frame[top : HEIGHT - bottom, left : WIDTH - right] = scene(
        index, HEIGHT - top - bottom, WIDTH - left - right, level
    )
    return frame


def every_frame(path: Path, step: int = 1) -> Iterator[np.ndarray]:
    with open_video(path) as reader:
        for batch in reader.read_where(lambda index, _start, _end: index % step == 0):
            yield from batch.frames


def sides(borders: Borders) -> tuple[int, int, int, int]:
    return borders.top, borders.bottom, borders.left, borders.right


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (16, 90, 200)], ids=["black", "white", "blue"])
@pytest.mark.parametrize(
    "drawn",
    [(16, 16, 0, 0), (0, 0, 24, 24), (14, 22, 0, 0), (0, 20, 0, 0), (0, 0, 0, 30), (16, 20, 24, 30), (45, 46, 0, 0)],
    ids=str,
)
def test_bars_of_any_colour_on_any_sides_are_found_to_the_pixel(drawn, colour):
    assert sides(borders_of(boxed(index, *drawn, colour) for index in range(16))) == drawn


@pytest.mark.parametrize("crf", ["18", "30", "38"])
def test_bars_are_found_through_compression(tmp_path, crf):
    path = tmp_path / "boxed.mp4"
    frames = (boxed(index, 18, 18, 0, 26) for index in range(50))
    write_video(path, frames, 25.0, options={"crf": crf, "preset": "fast"})
    found = borders_of(every_frame(path))
    assert found.size == (HEIGHT, WIDTH)
    for got, drawn in zip(sides(found), (18, 18, 0, 26), strict=True):
        assert drawn - (CLOSE if drawn else 0) <= got <= drawn


def test_nothing_is_cut_off_a_full_picture(tmp_path):
    assert not borders_of(scene(index) for index in range(16))
    assert not borders_of([scene(0)])


def test_a_dark_scene_is_no_bar():
    """The upper half is black in every frame, and brightens downwards without a line."""
    fade = np.linspace(0, 1, HEIGHT)[:, None, None] ** 3
    frames = [(scene(index) * fade).astype(np.uint8) for index in range(16)]
    assert all(frame[: HEIGHT // 5].max() < 4 for frame in frames)
    assert not borders_of(frames)


def test_a_plain_background_is_no_bar_however_far_nothing_moves_on_it():
    frames = np.full((16, HEIGHT, WIDTH, 3), 90, dtype=np.uint8)
    for index, frame in enumerate(frames):
        frame[30:90, 40 + 2 * index : 70 + 2 * index] = 220  # half the height, and never at the sides
    assert not borders_of(frames)


def test_a_black_or_a_still_plain_video_keeps_its_size():
    assert not borders_of(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(16))
    assert not borders_of(np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8) for _ in range(16))


def test_a_bar_must_be_there_at_all_times():
    """One frame in sixteen fills the whole picture: cutting would lose it."""
    frames = [boxed(index, 20, 20, 0, 0) for index in range(15)]
    assert sides(borders_of(frames)) == (20, 20, 0, 0)
    assert not borders_of([*frames, scene(15)])


def test_the_narrower_of_two_pairs_of_bars_is_cut():
    frames = [boxed(index, 10, 10, 0, 0) if index % 2 else boxed(index, 30, 30, 0, 0) for index in range(16)]
    assert sides(borders_of(frames)) == (10, 10, 0, 0)


def test_dark_frames_and_fades_do_not_hide_bars():
    levels = [0, 0.1, 0.3, *[0.5] * 10, 0.2, 0.05, 0]
    frames = [boxed(index, 16, 16, 0, 0, level=level) for index, level in enumerate(levels)]
    assert sides(borders_of(frames)) == (16, 16, 0, 0)


@pytest.mark.parametrize("moving", [True, False])
def test_a_logo_or_a_subtitle_on_a_bar_does_not_hide_it(moving):
    frames = []
    for index in range(16):
        frame = boxed(index, 24, 24, 0, 0)
        if not moving or index % 3 == 0:
            frame[104:110, 40:100] = 230
        frames.append(frame)
    assert sides(borders_of(frames)) == (24, 24, 0, 0)


def test_a_bar_full_of_writing_is_kept():
    frames = []
    for index in range(16):
        frame = boxed(index, 24, 24, 0, 0)
        frame[98:116, 10:150] = 230
        frames.append(frame)
    borders = borders_of(frames)
    assert borders.top == 24 and borders.bottom <= 4


def test_most_of_a_picture_is_never_cut_away():
    assert not borders_of(boxed(index, 80, 0, 0, 0) for index in range(16))  # 67 % of a side
    assert not borders_of(boxed(index, 50, 50, 40, 40) for index in range(16))  # 8 % of the area remains


def test_noise_on_bars_is_no_picture():
    noise = np.random.default_rng(0)
    frames = [boxed(index, 20, 20, 0, 0, (30, 30, 30)).astype(int) for index in range(16)]
    noisy = [(frame + noise.integers(-5, 6, frame.shape)).clip(0, 255).astype(np.uint8) for frame in frames]
    assert sides(borders_of(noisy)) == (20, 20, 0, 0)


def test_a_crop_leaves_the_picture_at_any_scale():
    borders = Borders((120, 160), top=15, bottom=16, left=20, right=0)
    frames = np.stack([boxed(index, 15, 16, 20, 0) for index in range(3)])
    np.testing.assert_array_equal(borders.crop(frames), frames[:, 15:104, 20:])
    assert borders.crop(frames[0]).shape == (89, 140, 3)
    assert borders.crop(np.zeros((60, 80, 3), np.uint8)).shape == (52 - 8, 70, 3)  # rows 7.5 to 52
    assert borders.crop(np.zeros((1, 2, 3), np.uint8)).size > 0
    assert bool(borders) and not Borders((120, 160))
    assert str(borders) == "15 px top, 16 px bottom, 20 px left of 160 x 120"


def test_no_frame_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        borders_of([])


@pytest.fixture
def real(shared_data_dir: Path) -> Callable[[str], tuple[int, int, int, int]]:
    return lambda name: sides(borders_of(every_frame(shared_data_dir / name, 16)))


def test_real_clips_with_bars(real):
    for name in ("chair-19-sd-bar", "chair-22-sd-grey-bar", "chair-22-with-large-logo-bar", "chair-orig-22-sd-bar"):
        assert real(f"near_dup/{name}.mp4") == (0, 0, 32, 32)


def test_real_clips_without_bars(real):
    for name in ("near_dup/doorknob-hd-no-bar.mp4", "clips/pedestrians_vtest.mp4", "clips/nasa.mp4", "clips/bears.mp4"):
        assert real(name) == (0, 0, 0, 0)
