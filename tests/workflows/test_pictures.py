"""Stills at moments, what browsers play, and copies that they do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidlang.core import BadVideo
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video
from vidlang.workflows.pictures import browser_copy, frames_at, mime_of, why_not_played

STEP = 6
"""Grey levels by which each frame is lighter than the one before."""


def film(path: Path, codec: str = "libx264", pixel_format: str = "yuv420p") -> Path:
    """Forty frames at ten a second; frame n is grey of 6 n."""
    frames = (np.full((48, 64, 3), STEP * index, dtype=np.uint8) for index in range(40))
    write_video(path, frames, 10.0, codec=codec, pixel_format=pixel_format)
    return path


def shown(frames: list[np.ndarray]) -> list[int]:
    """Numbers of the frames."""
    return [round(float(frame.mean()) / STEP) for frame in frames]


@pytest.mark.parametrize(("ending", "codec"), [(".mp4", "libx264"), (".avi", "mpeg4"), (".ts", "libx264")])
def test_stills_are_the_frames_shown_at_their_moments_in_the_order_asked(tmp_path, ending, codec):
    path = film(tmp_path / f"film{ending}", codec)
    assert shown(frames_at(path, [3.05, 0.0, 1.25, 1.25, 99.0, -1.0])) == [30, 0, 12, 12, 39, 0]
    assert frames_at(path, []) == []


def test_stills_of_a_folder_of_frames(tmp_path):
    for index in range(8):
        Image.fromarray(np.full((20, 30, 3), STEP * index, dtype=np.uint8)).save(tmp_path / f"{index:03d}.png")
    assert shown(frames_at(tmp_path, [0.6, 3.5], frame_rate=2.0)) == [1, 7]


def test_stills_are_small_and_keep_their_proportions(tmp_path):
    assert frames_at(film(tmp_path / "film.mp4"), [1.0], short_side=24)[0].shape == (24, 32, 3)


def test_a_video_that_is_none_says_so(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(BadVideo):
        frames_at(tmp_path / "text.mp4", [0.0])


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "why"),
    [
        ("a.mp4", "libx264", "yuv420p", None),
        ("a.MOV", "libx264", "yuv420p", None),
        ("a.webm", "libvpx", "yuv420p", None),
        ("a.avi", "mpeg4", "yuv420p", "MPEG-4 Part 2 in AVI"),
        ("a.mkv", "libx264", "yuv420p", "H.264 in MKV"),
        ("b.mp4", "mpeg4", "yuv420p", "MPEG-4 Part 2"),
        ("c.mp4", "libx264", "yuv444p", "H.264 with pixels of yuv444p"),
    ],
)
def test_what_browsers_do_not_play_is_named(tmp_path, name, codec, pixel_format, why):
    assert why_not_played(film(tmp_path / name, codec, pixel_format)) == why


def test_kinds_of_files_that_play():
    assert [mime_of(Path(name)) for name in ("a.mp4", "b.MOV", "c.webm")] == ["video/mp4", "video/mp4", "video/webm"]


def test_a_copy_plays_and_keeps_every_frame_at_its_time(tmp_path):
    path = tmp_path / "copy.mp4"
    path.write_bytes(browser_copy(film(tmp_path / "film.avi", "mpeg4")))
    assert why_not_played(path) is None
    with open_video(path) as reader:
        batch = next(iter(reader.read(100)))
    assert len(batch) == 40
    assert np.abs(batch.frames.mean(axis=(1, 2, 3)) - STEP * np.arange(40)).max() < STEP  # two lossy codecs in a row
    assert np.allclose(batch.seconds[:, 0], np.arange(40) / 10, atol=1e-3)


def test_a_folder_of_frames_becomes_a_video(tmp_path):
    for index in range(6):
        Image.fromarray(np.full((20, 30, 3), STEP * index, dtype=np.uint8)).save(tmp_path / f"{index:03d}.png")
    assert why_not_played(tmp_path) == "a folder of frames"
    path = tmp_path / "copy.mp4"
    path.write_bytes(browser_copy(tmp_path, frame_rate=2.0))
    assert shown(frames_at(path, [0.25, 2.75])) == [0, 5]
