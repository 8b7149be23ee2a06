"""Real files against an independent decode: one thread, in order, FFmpeg's own conversion."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from vidlang.core import Sampling
from vidlang.video.files import frame_files
from vidlang.video.frames_reader import read_image
from vidlang.video.reader import find_videos, open_video
from vidlang.video.snippets import open_snippets

QUICK = ["ucf101_makeup.avi", "bears.mp4", "h265_10bits.mp4", "short_part0.mp4", "signs/milk.mkv"]
HARD = ["highway_mpeg4.avi", "cars_mpeg4.avi", "highway_mpeg1.mpg", "arm_wrestling_broken_end.mp4", "av1_video.mkv"]


def fingerprint(frame: np.ndarray) -> tuple[int, np.ndarray]:
    """A checksum, and a small grey picture to compare where the scaler rounds otherwise."""
    height, width = frame.shape[0] // 8 * 8, frame.shape[1] // 8 * 8
    small = frame[:height, :width].reshape(8, height // 8, 8, width // 8, 3).mean(axis=(1, 3, 4))
    return zlib.crc32(frame.tobytes()), small


def independent(path: Path, size: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams.video if (s.codec_context.height, s.codec_context.width) == size)
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                yield fingerprint(frame.to_ndarray(format="rgb24"))


def check(path: Path) -> None:
    with open_video(path, decoder="pyav") as reader:
        expected = list(independent(path, reader.info.size))
        ours = [fingerprint(frame) for batch in reader.read(8) for frame in batch.frames]
        assert len(ours) == len(expected) == reader.info.num_frames
        assert all(np.abs(a[1] - b[1]).max() < 2 for a, b in zip(ours, expected, strict=True))
        checksums = [checksum for checksum, _ in ours]
        seconds = np.concatenate([batch.seconds for batch in reader.read_where(lambda i, s, e: i % 8 == 0, 8)])

    with open_video(path) as reader:
        dense = [fingerprint(frame) for batch in reader.read(8) for frame in batch.frames]
        assert all(np.abs(a[1] - b[1]).max() < 2 for a, b in zip(dense, ours, strict=True))
        asked = [len(ours) - 1, *range(0, len(ours), 37)]
        sparse = reader.read_at(asked)
        assert [fingerprint(frame)[0] for frame in sparse.frames] == [checksums[index] for index in asked]
        for place in range(0, len(seconds), max(1, len(seconds) // 6)):
            jump = reader.read_from(float(seconds[place].mean()), 3, 2)
            assert jump.indices.tolist() == [i for i in (8 * place, 8 * place + 2, 8 * place + 4) if i < len(ours)]
            assert [fingerprint(frame)[0] for frame in jump.frames] == [checksums[i] for i in jump.indices]

    with open_snippets(path, Sampling()) as stream:
        middles = [fingerprint(frame)[0] for batch in stream for frame in batch.frames]
        assert middles == checksums[8::16][: len(ours) // 16]


@pytest.mark.parametrize("name", QUICK + HARD)
def test_clip(shared_data_dir, name):
    check(shared_data_dir / "clips" / name)


@pytest.mark.slow
def test_every_clip(shared_data_dir):
    videos = [path for _, path in find_videos([shared_data_dir / "clips"]) if path.is_file()]
    assert len(videos) >= 35
    for path in videos:
        check(path)


@pytest.mark.slow
def test_every_near_duplicate_and_some_cctv(shared_data_dir):
    fights = sorted((shared_data_dir / "surv_fight").glob("*/*.mp4"))[::20]
    for path in [*sorted((shared_data_dir / "near_dup").glob("*.mp4")), *fights]:
        check(path)


def test_a_folder_of_real_frames(shared_data_dir):
    folder = shared_data_dir / "clips" / "bmx" / "frames"
    files = frame_files(folder)
    with open_video(folder, frame_rate=12) as reader:
        frames = np.concatenate([batch.frames for batch in reader.read()])
    assert len(frames) == len(files) == 36
    for index in (0, 9, 10, 35):
        assert np.array_equal(frames[index], read_image(files[index]))


def test_an_action_avi_agrees_with_its_masks(shared_data_dir):
    """The masks are numbered by frame: moving pixels of mask n change in frame n, an off-by-one would blur them."""
    from PIL import Image

    masks = sorted((shared_data_dir / "clips" / "highway_masks").glob("gt*.png"))[::20]
    indices = [int(path.stem[2:]) - 4 for path in masks]
    with open_video(shared_data_dir / "clips" / "highway_mpeg4.avi") as reader:
        frames = reader.read_at(indices).frames.astype(float).mean(axis=3)
    background = np.median(frames, axis=0)
    for frame, path in zip(frames, masks, strict=True):
        mask = np.array(Image.open(path).convert("L"))
        difference = np.abs(frame - background)
        if (mask == 255).sum() > 200:
            assert difference[mask == 255].mean() > 2 * difference[mask == 0].mean()
