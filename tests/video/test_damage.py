"""Damaged and truncated files: what decodes is kept, what is missing is reported, and no frame passes for another."""

from __future__ import annotations

import random

import pytest
from coded_videos import damage, encode, indices_of, packet_places, plain_decode, x264

from vidlang.core import BadVideo, Sampling
from vidlang.video.reader import open_video
from vidlang.video.snippets import open_snippets


def read_all(path, **options) -> tuple[list[int], list[str]]:
    with open_video(path, **options) as reader:
        numbers = [number for batch in reader.read() for number in indices_of(batch.frames)]
        assert reader.info.num_frames == len(numbers)
        return numbers, reader.warnings


@pytest.mark.parametrize("kind", ["h264-closed", "h264-open", "h264-no-b", "hevc", "mpeg4-avi"])
@pytest.mark.parametrize("number", [20, 25, 55, 59])
@pytest.mark.parametrize("decoder", ["auto", "pyav"])
def test_one_damaged_packet_costs_only_what_it_must(kind, number, decoder, coded, tmp_path):
    """59 is the last packet, where frame threads swallow whole frames without a word."""
    path = damage(tmp_path / coded(kind).name, coded(kind), number)
    expected = indices_of(plain_decode(path))
    numbers, warnings = read_all(path, decoder=decoder)
    assert numbers == expected
    assert len(numbers) < 60
    assert warnings[0].startswith("1 damaged packet skipped near")


def test_sparse_reading_of_a_damaged_file(coded, tmp_path):
    path = damage(tmp_path / "video.mp4", coded("h264-closed"), 20)
    expected = indices_of(plain_decode(path))
    with open_video(path) as reader:
        assert indices_of(reader.read_at(range(0, 59, 3)).frames) == expected[::3]
        for index in (0, 10, 17, 24, 40, 58):
            start, end = reader.read_at([index]).seconds[0]
            assert indices_of(reader.read_from((start + end) / 2, 1).frames) == [expected[index]]


def test_flipped_bits_never_shift_frames(coded, tmp_path):
    chance = random.Random(7)
    places = packet_places(coded("h264-closed"))
    for _ in range(6):
        data = bytearray(coded("h264-closed").read_bytes())
        for _ in range(chance.choice((1, 3, 10))):
            position, size, _ = chance.choice(places)
            data[position + chance.randrange(size)] ^= 1 << chance.randrange(8)
        path = tmp_path / "video.mp4"
        path.write_bytes(data)
        expected = indices_of(plain_decode(path))
        for decoder in ("auto", "pyav"):
            numbers, _ = read_all(path, decoder=decoder)
            # Decoders conceal damage in their own ways, so a picture may be spoilt in one and not in the other.
            assert all(a == b or -1 in (a, b) for a, b in zip(numbers, expected, strict=True))


def cut(path, source, number):
    """A copy that ends in the middle of a packet."""
    position, size, _ = packet_places(source)[number]
    path.write_bytes(source.read_bytes()[: position + size // 2])
    return path


@pytest.mark.parametrize("number", [5, 30, 56])
def test_a_truncated_mp4_keeps_what_decodes_and_says_what_is_missing(number, tmp_path):
    whole = encode(tmp_path / "whole.mp4", "libx264", x264(), container_options={"movflags": "faststart"})
    path = cut(tmp_path / "cut.mp4", whole, number)
    expected = indices_of(plain_decode(path))
    numbers, warnings = read_all(path)
    assert numbers == expected
    assert f"the header promises 60 frames, {len(numbers)} decode" in " ".join(warnings)


@pytest.mark.parametrize("kind", ["h264-mkv-open", "vp9", "mpeg4-avi-no-b"])
def test_a_truncated_file_keeps_what_decodes(kind, coded, tmp_path):
    path = cut(tmp_path / coded(kind).name, coded(kind), 30)
    expected = indices_of(plain_decode(path))
    assert 5 < len(expected) < 60
    assert read_all(path)[0] == expected


@pytest.mark.parametrize("kind", ["mpeg2-ps", "h264-ts"])
def test_a_truncated_stream_of_bytes_keeps_what_decodes(kind, coded, tmp_path):
    data = coded(kind).read_bytes()
    path = tmp_path / coded(kind).name
    path.write_bytes(data[: len(data) // 2])
    expected = indices_of(plain_decode(path))
    assert 5 < len(expected) < 60
    assert read_all(path)[0] == expected


def test_a_truncated_matroska_is_reported(coded, tmp_path):
    path = cut(tmp_path / "cut.mkv", coded("h264-mkv-open"), 30)
    with open_video(path) as reader:
        list(reader.read())
        assert reader.warnings[-1].startswith("truncated: the header promises 2.4 s, the frames end at")


def test_a_whole_file_has_no_warnings_even_where_the_header_promises_a_frame_more(coded):
    for kind in ("mpeg4-avi", "mpeg2-ps", "edit-list", "h264-vfr"):
        assert read_all(coded(kind))[1] == []


def test_asking_for_a_frame_that_does_not_decode(coded, tmp_path):
    path = damage(tmp_path / "video.mp4", coded("h264-closed"), 20)
    with (
        open_video(path) as reader,
        pytest.raises(BadVideo, match=r"has 59 frames that decode; frame 59 was asked for"),
    ):
        reader.read_at([3, 59])


def test_snippets_carry_the_warnings(coded, tmp_path):
    path = damage(tmp_path / "video.mp4", coded("h264-closed"), 20)
    with open_snippets(path, Sampling()) as stream:
        rows = [row for batch in stream for row in batch.rows]
    assert rows == [(0,), (1,), (2,)]
    assert stream.warnings == ["1 damaged packet skipped near 0.7 s"]
    assert stream.info.num_frames == 59


def test_no_frame_decodes(coded, tmp_path):
    path = coded("h264-no-b")
    data = bytearray(path.read_bytes())
    for position, size, _ in packet_places(path):
        data[position : position + size] = bytes([0xFF]) * size
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    with pytest.raises(BadVideo, match=r"No frame of .*broken.mp4 decodes"):
        open_video(broken)
