"""A folder of images read as a video."""

from __future__ import annotations

import numpy as np
import pytest
from coded_videos import code, indices_of, picture
from PIL import Image

from vidlang.core import BadVideo, Sampling
from vidlang.video.frames_reader import read_image
from vidlang.video.reader import open_video, probe
from vidlang.video.snippets import open_snippets


@pytest.fixture
def folder(tmp_path):
    """Twelve images whose plain alphabetic order is wrong."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for index in range(12):
        Image.fromarray(picture(code(index))).save(frames / f"frame{index}.png")
    (frames / "notes.txt").write_text("not a frame")
    return frames


def test_images_come_in_the_order_of_their_numbers(folder):
    with open_video(folder, frame_rate=10) as reader:
        batch = next(reader.read())
    assert indices_of(batch.frames) == list(range(12))
    assert batch.seconds[:, 0] == pytest.approx(np.arange(12) / 10)
    assert reader.info.duration == pytest.approx(1.2)
    assert reader.info.size == (48, 80)
    assert reader.decoder == "frames"
    assert reader.warnings == []


def test_an_assumed_rate_is_said(folder):
    with open_video(folder) as reader:
        assert "25 frames per second are assumed" in reader.warnings[0]
    assert probe(folder).frame_rate == 25
    assert probe(folder).id == "frames"


def test_sparse_and_jumping(folder):
    with open_video(folder, frame_rate=4) as reader:
        assert indices_of(reader.read_at([7, 2, 2]).frames) == [7, 2, 2]
        batch = reader.read_from(1.6, 3, 2)
        assert indices_of(batch.frames) == batch.indices.tolist() == [6, 8, 10]
        assert batch.seconds[0].tolist() == [1.5, 1.75]
        assert reader.read_from(99, 3).indices.tolist() == [11]


def test_a_broken_image_keeps_its_place_and_is_named(folder):
    (folder / "frame5.png").write_bytes(b"no picture")
    with open_video(folder, frame_rate=10) as reader:
        batch = next(reader.read())
        assert indices_of(batch.frames) == [0, 1, 2, 3, 4, 4, 6, 7, 8, 9, 10, 11]
        assert batch.indices.tolist() == list(range(12))
        assert reader.warnings == ["1 image does not open (frame5.png): the nearest that opens stands in"]


def test_a_truncated_first_image(folder):
    whole = (folder / "frame0.png").read_bytes()
    (folder / "frame0.png").write_bytes(whole[: len(whole) // 2])
    with open_video(folder, frame_rate=10) as reader:
        assert indices_of(next(reader.read()).frames)[:3] == [1, 1, 2]
        assert "frame0.png" in reader.warnings[0]


def test_only_wanted_images_are_opened(folder):
    (folder / "frame5.png").write_bytes(b"no picture")
    with open_video(folder, frame_rate=10) as reader:
        assert indices_of(reader.read_at([4, 6]).frames) == [4, 6]
        assert reader.warnings == []


def test_no_image_opens(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(BadVideo, match=r"None of the 1 images in .* opens"):
        open_video(tmp_path)


def test_all_frames_have_the_first_ones_size(folder):
    Image.fromarray(picture(code(3), 96, 160)).save(folder / "frame3.png")
    with open_video(folder, frame_rate=10) as reader:
        assert indices_of(next(reader.read()).frames) == list(range(12))
    with open_video(folder, frame_rate=10, short_side=24) as reader:
        assert reader.read_at([3]).frames.shape == (1, 24, 40, 3)


def test_snippets_of_images(folder):
    with open_snippets(folder, Sampling(stride=4), frame_rate=10) as stream:
        numbers = [number for batch in stream for number in indices_of(batch.frames)]
    assert numbers == [2, 6, 10]
    assert stream.seconds.tolist() == pytest.approx(np.array([[0, 0.4], [0.4, 0.8], [0.8, 1.2]]))
    assert stream.warnings == []


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "LA"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(path)
    pixels = read_image(path)
    assert pixels.shape == (4, 6, 3)
    assert pixels.min() > 250


def test_deep_grey_is_scaled_rather_than_clipped(tmp_path):
    Image.fromarray(np.full((4, 6), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").tolist() == np.full((4, 6, 3), 128).tolist()


@pytest.mark.parametrize("ending", [".jpg", ".bmp", ".tif", ".webp", ".JPEG"])
def test_every_ending(tmp_path, ending):
    for index in range(3):
        Image.fromarray(picture(code(index))).save(tmp_path / f"{index}{ending}")
    with open_video(tmp_path, frame_rate=5) as reader:
        assert indices_of(next(reader.read()).frames) == [0, 1, 2]
