from __future__ import annotations

import numpy as np
import pytest
from coded_videos import code, indices_of, picture

from vidlang.core import BadInput
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video


def pictures(num_frames: int, height: int = 48, width: int = 80) -> list[np.ndarray]:
    return [picture(code(index), height, width) for index in range(num_frames)]


@pytest.mark.parametrize("rate", [25, 29.97, 30000 / 1001, 7.5])
def test_what_is_written_is_read_again(tmp_path, rate):
    write_video(tmp_path / "deep" / "out.mp4", pictures(20), rate)
    with open_video(tmp_path / "deep" / "out.mp4") as reader:
        batch = next(reader.read())
    assert indices_of(batch.frames) == list(range(20))
    assert batch.seconds[:, 0] == pytest.approx(np.arange(20) / rate, abs=1e-4)
    assert reader.info.frame_rate == pytest.approx(rate)


def test_colours_survive(tmp_path):
    patches = [np.full((32, 32, 3), colour, np.uint8) for colour in ((200, 40, 40), (40, 200, 40), (40, 40, 200))]
    write_video(tmp_path / "out.mp4", patches, 10, options={"crf": "10"})
    with open_video(tmp_path / "out.mp4") as reader:
        frames = next(reader.read()).frames
    assert np.abs(frames.astype(int) - np.stack(patches)).max() < 8


def test_odd_sizes_gain_an_edge(tmp_path):
    write_video(tmp_path / "out.mp4", pictures(3, 51, 83), 10)
    with open_video(tmp_path / "out.mp4") as reader:
        assert reader.info.size == (52, 84)
        assert indices_of(next(reader.read()).frames) == [0, 1, 2]
    write_video(tmp_path / "out.mkv", pictures(3, 51, 83), 10, codec="ffv1", pixel_format="yuv444p")
    with open_video(tmp_path / "out.mkv") as reader:
        assert reader.info.size == (51, 83)


def test_other_codecs_and_options(tmp_path):
    write_video(tmp_path / "out.avi", pictures(20), 10, codec="mpeg4", options={"qscale": "3", "bf": "2"})
    with open_video(tmp_path / "out.avi") as reader:
        assert indices_of(next(reader.read()).frames) == list(range(20))


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"before")

    def breaking():
        yield from pictures(5)
        raise KeyError("camera gone")

    with pytest.raises(KeyError, match="camera gone"):
        write_video(tmp_path / "out.mp4", breaking(), 10)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"before"


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(BadInput, match="there are no frames"):
        write_video(tmp_path / "out.mp4", [], 10)
    with pytest.raises(BadInput, match="cannot be written with nocodec"):
        write_video(tmp_path / "out.mp4", pictures(2), 10, codec="nocodec")
    with pytest.raises(BadInput, match="cannot be written"):
        write_video(tmp_path / "out.nothing", pictures(2), 10)
    with pytest.raises(ValueError, match=r"expected frames of uint8 \[48, 80, 3\], got uint8 \[10, 10, 3\]"):
        write_video(tmp_path / "out.mp4", [*pictures(1), np.zeros((10, 10, 3), np.uint8)], 10)
    with pytest.raises(ValueError, match="frame_rate"):
        write_video(tmp_path / "out.mp4", pictures(2), 0)
    assert list(tmp_path.iterdir()) == []


def test_equal_frames_give_equal_files(tmp_path):
    """Blocks in motion under noise: with x264's mbtree six writings give up to six files."""
    random = np.random.default_rng(0)
    blocks = random.integers(0, 255, (18, 24, 3)).repeat(8, axis=0).repeat(8, axis=1)  # [144, 192, 3]
    moved = [np.roll(blocks, 2 * index, axis=1) + random.normal(0, 4, blocks.shape) for index in range(80)]
    frames = [np.clip(frame, 0, 255).astype(np.uint8) for frame in moved]
    for index in range(4):
        write_video(tmp_path / f"{index}.mp4", frames, 25.0)
    assert len({(tmp_path / f"{index}.mp4").read_bytes() for index in range(4)}) == 1
