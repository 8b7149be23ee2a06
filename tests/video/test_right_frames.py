"""Every frame is the one that was asked for: in order, sparse, by jump, for every kind of file and decoder."""

from __future__ import annotations

import random

import numpy as np
import pytest
from coded_videos import KINDS, expected_indices, indices_of, plain_decode, upright

from vidlang.core import Sampling
from vidlang.video.container import read_facts
from vidlang.video.decord_reader import choose_decoder, why_not_decord
from vidlang.video.reader import FrameBatch, VideoReader, open_video
from vidlang.video.snippets import open_snippets

TURNS = {"turned-90": 1, "turned-180": 2, "turned-270": 3}


@pytest.fixture(params=sorted(KINDS))
def kind(request, coded):
    coded(request.param)
    return request.param


def seen(batch: FrameBatch, kind: str) -> list[int]:
    """The numbers that the frames carry; the numbers of a turned file were painted before it was turned."""
    return indices_of(np.rot90(frame, -TURNS.get(kind, 0)) for frame in batch.frames)


def whole(reader: VideoReader, kind: str, batch_size: int = 7) -> tuple[list[int], list[int], np.ndarray]:
    batches = list(reader.read(batch_size))
    numbers = [number for batch in batches for number in seen(batch, kind)]
    indices = [int(index) for batch in batches for index in batch.indices]
    return numbers, indices, np.concatenate([batch.seconds for batch in batches])


def test_in_order(kind, coded):
    with open_video(coded(kind)) as reader:
        numbers, indices, seconds = whole(reader, kind)
    assert numbers == expected_indices(kind)
    assert indices == list(range(len(numbers)))
    assert seconds[0, 0] == 0
    assert (np.diff(seconds[:, 0]) > 0).all()
    assert np.array_equal(seconds[1:, 0], seconds[:-1, 1])
    assert reader.info.num_frames == len(numbers)
    assert reader.info.duration == seconds[-1, 1]
    assert reader.warnings == []


def test_in_order_by_each_decoder(kind, coded):
    """decord reads what it is proven on, and what it reads equals what PyAV reads."""
    with open_video(coded(kind), decoder="pyav") as reader:
        expected, _, expected_seconds = whole(reader, kind)
        assert reader.decoder.startswith("pyav")
    if why_not_decord(coded(kind), read_facts(coded(kind))):
        return
    with open_video(coded(kind), decoder="decord") as reader:
        numbers, _, seconds = whole(reader, kind)
        assert reader.decoder.startswith("decord")
    assert numbers == expected
    assert np.allclose(seconds, expected_seconds)


def test_threads_do_not_matter(kind, coded):
    with open_video(coded(kind), threads=1, decoder="pyav") as one, open_video(coded(kind), threads=4) as four:
        assert whole(one, kind)[0] == whole(four, kind)[0]


def test_like_an_independent_decode(kind, coded):
    """The same pictures, and all but the same colours; a frame of another size is told by its number."""
    plain = plain_decode(coded(kind))
    with open_video(coded(kind), decoder="pyav") as reader:
        frames = np.concatenate([batch.frames for batch in reader.read()])
    assert len(frames) == len(plain)
    for ours, theirs in zip(frames, plain, strict=True):
        shown = upright(theirs, kind)
        if ours.shape == shown.shape:
            assert np.abs(ours.astype(int) - shown).mean() < 2
        else:
            assert indices_of([ours]) == indices_of([shown])


def test_sparse(kind, coded):
    expected = expected_indices(kind)
    asked = [index for index in (41, 3, 3, 17, 0, len(expected) - 1, 29) if index < len(expected)]
    with open_video(coded(kind)) as reader:
        batch = reader.read_at(asked)
    assert seen(batch, kind) == [expected[index] for index in asked]
    assert batch.indices.tolist() == asked


def test_only_wanted_frames_come(kind, coded):
    expected = expected_indices(kind)
    with open_video(coded(kind)) as reader:
        batches = list(reader.read_where(lambda index, start, end: index % 5 == 2, batch_size=4))
    assert [number for batch in batches for number in seen(batch, kind)] == expected[2::5]


def test_jumps(kind, coded):
    expected = expected_indices(kind)
    chance = random.Random(kind)
    with open_video(coded(kind)) as reader:
        seconds = whole(reader, kind)[2]
        for _ in range(12):
            first, count, step = chance.randrange(len(expected)), chance.randint(1, 5), chance.randint(1, 3)
            start, end = seconds[first]
            batch = reader.read_from(start + 0.99 * chance.random() * (end - start), count, step)
            asked = list(range(first, len(expected), step))[:count]
            assert batch.indices.tolist() == asked
            assert seen(batch, kind) == [expected[index] for index in asked]
            assert np.allclose(batch.seconds, seconds[asked])


def test_a_jump_to_the_start_of_each_frame_finds_it(kind, coded):
    with open_video(coded(kind)) as reader:
        numbers, _, seconds = whole(reader, kind)
        for index in range(0, len(numbers), 9):
            assert reader.read_from(float(seconds[index, 0]), 1).indices.tolist() == [index]


def test_snippets(kind, coded):
    expected = expected_indices(kind)
    with open_snippets(coded(kind), Sampling(stride=8), batch_size=3) as stream:
        batches = list(stream)
    rows = [row for batch in batches for row in batch.rows]
    middles = expected[4::8][: len(expected) // 8] if len(expected) >= 8 else [expected[len(expected) // 2]]
    numbers = [
        number for batch in batches for number in indices_of(np.rot90(f, -TURNS.get(kind, 0)) for f in batch.frames)
    ]
    assert numbers == middles
    assert rows == [(row,) for row in range(len(middles))]
    assert len(stream.frames) == len(middles)


def test_scaled_while_converting(kind, coded):
    with open_video(coded(kind), short_side=36) as reader:
        batch = reader.read_at([0])
        height, width = batch.frames.shape[1:3]
        assert min(height, width) == 36
        assert reader.info.size == (height, width)
        assert seen(batch, kind) == expected_indices(kind)[:1]


NEVER_DECORD = [
    "av1", "clock-restarts", "cover", "edit-list", "ffv1-alpha", "h264-10bit", "h264-avi", "h264-flv", "h264-raw",
    "h264-ts", "hevc", "hevc-10bit", "mjpeg", "mpeg1-ps", "mpeg2-ps", "mpeg2-ts", "mpeg4-avi", "mpeg4-avi-packed",
    "size-changes", "turned-90", "turned-180", "vp8",
]  # fmt: skip


@pytest.mark.parametrize("refused", NEVER_DECORD)
def test_decord_is_kept_away_from(refused, coded):
    assert choose_decoder(coded(refused), "every", read_facts(coded(refused))) == "pyav"


@pytest.mark.parametrize("proven", ["h264-closed", "h264-no-b", "h264-vfr", "h264-mov", "short", "vp9"])
def test_decord_reads_every_frame_of(proven, coded):
    pytest.importorskip("decord")
    facts = read_facts(coded(proven))
    assert choose_decoder(coded(proven), "every", facts) == "decord"
    assert choose_decoder(coded(proven), "some", facts) == "pyav"
    assert choose_decoder(coded(proven), "jump", facts) == "pyav"
