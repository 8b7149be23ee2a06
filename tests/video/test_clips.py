"""Clips hold the right frames: of every kind of file, by jumps and in order, of short and of damaged videos."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from coded_videos import (
    KINDS,
    WIDTH,
    code,
    damage,
    encode,
    expected_indices,
    indices_of,
    packed_b_frames,
    packet_places,
    picture,
    x264,
)

from vidlang.core.errors import BadVideo
from vidlang.video import clips
from vidlang.video.clips import (
    ClipFile,
    ClipSampling,
    FramesMissing,
    H264References,
    random_starts,
    uniform_starts,
)
from vidlang.video.pyav_reader import JumpFailed

TURNS = {"turned-90": 1, "turned-180": 2, "turned-270": 3}
SAMPLING = ClipSampling(num_frames=6, step=2, short_side=None)


@pytest.fixture(params=sorted(KINDS))
def kind(request, coded):
    coded(request.param)
    return request.param


def seen(clips, kind=""):
    """The numbers that the frames of clips carry; those of a turned file were painted before it was turned."""
    return [indices_of(np.rot90(frame, -TURNS.get(kind, 0)) for frame in clip) for clip in clips]


def test_every_frame_of_every_window_is_the_right_one(kind, coded):
    truth = expected_indices(kind)
    clip_file = ClipFile(coded(kind))
    assert clip_file.num_frames == len(truth)
    starts = random_starts(clip_file.num_windows(SAMPLING), 5, np.random.default_rng(1))
    read = clip_file.read(starts, SAMPLING)
    assert read.shape[:2] == (5, 6) and read.dtype == np.uint8
    expected = [SAMPLING.indices(start, len(truth)) for start in starts]
    assert seen(read, kind) == [[truth[index] for index in window] for window in expected]


@pytest.mark.parametrize("kind", ["h264-closed", "h264-open", "vp9-alt-ref", "mpeg4-avi", "mpeg4-avi-packed"])
def test_every_window_by_itself(kind, coded):
    """Whatever was read before, and wherever the key frames lie (every twelfth frame)."""
    sampling = ClipSampling(num_frames=3, step=5, short_side=None)
    clip_file = ClipFile(coded(kind))
    for start in range(0, clip_file.num_windows(sampling), 3):
        assert seen(clip_file.read([start], sampling)) == [[start, start + 5, start + 10]]


@pytest.fixture
def decoded(monkeypatch):
    """Key frames that were jumped to, each with the indices of the frames that were decoded from there on."""
    passes: list[tuple[int, list[int]]] = []
    plain = clips._from_key

    def watched(path, facts, timeline, key, needed):
        passes.append((key, []))
        for index, frame in plain(path, facts, timeline, key, needed):
            passes[-1][1].append(index)
            yield index, frame

    monkeypatch.setattr(clips, "_from_key", watched)
    return passes


def test_windows_far_apart_are_jumped_to_and_those_of_other_files_are_not(coded, decoded):
    sampling = ClipSampling(num_frames=2, step=1, short_side=None)
    assert seen(ClipFile(coded("h264-no-b")).read([50, 2, 4], sampling)) == [[50, 51], [2, 3], [4, 5]]
    # key frames are 0, 12, 24 ...; one pass serves the windows that are near each other
    assert decoded == [(0, list(range(6))), (48, list(range(48, 52)))]
    ClipFile(coded("mpeg4-avi")).read([50, 2], sampling)
    assert len(decoded) == 2


def test_frames_that_nobody_needs_are_not_decoded_and_those_that_come_are_the_same(coded, decoded):
    """Key frames every 12 frames, in between two B-frames to each P-frame, from which nothing is decoded."""
    one = ClipSampling(num_frames=1, step=1, short_side=None)
    (only,) = ClipFile(coded("h264-closed")).read([10], one)
    assert decoded[0][0] == 0 and len(decoded[0][1]) < 9 and decoded[0][1][-1] == 10
    whole = ClipSampling(num_frames=60, step=1, short_side=None)
    (every,) = ClipFile(coded("h264-closed")).read([0], whole)
    assert decoded[1] == (0, list(range(60)))
    assert np.array_equal(only[0], every[10])
    ClipFile(coded("mpeg4-mp4")).read([10], one)
    assert decoded[2][1] == list(range(11)), "of other codecs everything is decoded"


@pytest.mark.parametrize(("fails", "expected"), [(1, [True, False, False]), (2, [True, False])])
def test_where_leaving_out_frames_goes_wrong_all_are_decoded_and_then_all_from_the_start(
    coded, monkeypatch, fails, expected
):
    left_out = []
    plain = clips._from_key

    def failing(path, facts, timeline, key, needed):
        left_out.append(needed is not None)
        if len(left_out) <= fails:
            raise JumpFailed
        yield from plain(path, facts, timeline, key, needed)

    monkeypatch.setattr(clips, "_from_key", failing)
    clip_file = ClipFile(coded("h264-closed"))
    for _ in range(2):
        assert seen(clip_file.read([30], SAMPLING)) == [list(range(30, 42, 2))]
    assert left_out == expected


def nal(*parts, length_size=4):
    """Parts of pictures as MP4 holds them: type and importance in the first byte, after the length."""
    return b"".join(len(part).to_bytes(length_size, "big") + part for part in parts)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (nal(b"\x01b"), True),  # a slice that nothing refers to
        (nal(b"\x06s", b"\x01b", b"\x01b"), True),  # words beside it (SEI) do not matter
        (nal(b"\x41p"), False),
        (nal(b"\x01b", b"\x21p"), False),  # one slice that is referred to suffices
        (nal(b"\x65i"), False),
        (nal(b"\x06s"), False),  # no picture
        (nal(b"\x01b")[:-1], False),  # cut off
        (nal(b"\x01b") + b"\0\0\0\0\0", False),  # an empty part
        (b"", False),
        (None, False),
    ],
)
def test_a_picture_that_nothing_refers_to_is_told_by_its_parts(data, expected):
    assert H264References(4).none_in(data) is expected


def test_lengths_of_parts_may_be_shorter():
    assert H264References(2).none_in(nal(b"\x01b", length_size=2))
    assert not H264References(4).none_in(nal(b"\x01b", length_size=2))


def test_repeated_windows_come_as_often_as_asked(coded):
    read = ClipFile(coded("mpeg4-avi")).read([7, 7, 0], ClipSampling(2, 1, None))
    assert seen(read) == [[7, 8], [7, 8], [0, 1]]


def test_a_video_shorter_than_a_window_is_spread_over_the_clip(coded):
    short = ClipFile(coded("short"))
    sampling = ClipSampling(num_frames=8, step=2, short_side=None)
    assert short.num_windows(sampling) == 1
    assert seen(short.read([0, 0], sampling)) == [[0, 0, 1, 1, 2, 2, 3, 4]] * 2
    assert seen(ClipFile(coded("one-frame")).read([0], sampling)) == [[0] * 8]


def test_a_file_of_packed_b_frames_counts_what_decodes(coded):
    """It has as many packets as frames, but some show nothing and others two."""
    assert ClipFile(coded("mpeg4-avi-packed")).num_frames == 60


def test_avi_headers_are_not_believed(tmp_path):
    """The header of an AVI that was cut off promises what is not there; so a window at its end would not exist."""
    whole = encode(tmp_path / "whole.avi", "mpeg4", {"g": "12", "bf": "2", "qscale": "3"})
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: packet_places(whole)[35][0]])
    with av.open(str(cut)) as container:
        decoded = sum(1 for _ in container.decode(video=0))
        promised = container.streams.video[0].frames
    assert promised == 60 and 20 < decoded < 50
    clip_file = ClipFile(cut)
    assert clip_file.num_frames == decoded
    last = clip_file.num_windows(SAMPLING) - 1
    assert seen(clip_file.read([last], SAMPLING)) == [list(range(last, last + 12, 2))]


def test_windows_away_from_damage_are_whole_and_those_across_it_never_hold_a_frame_twice(coded, tmp_path):
    torn = damage(tmp_path / "torn.mp4", coded("h264-closed"), 30)  # the packet of frame 29, a B-frame
    sampling = ClipSampling(num_frames=8, step=1, short_side=None)
    assert seen(ClipFile(torn).read([2, 50], sampling)) == [list(range(2, 10)), list(range(50, 58))]
    assert seen(ClipFile(torn).read([25], sampling)) == [[25, 26, 27, 28, 30, 31, 32, 33]]


def test_fewer_frames_than_packets_are_noticed_and_counted(coded, tmp_path):
    clip_file = ClipFile(damage(tmp_path / "torn.mp4", coded("h264-closed"), 30), video_id="a/torn.mp4")
    sampling = ClipSampling(num_frames=8, step=1, short_side=None)
    assert clip_file.num_frames == 60
    with pytest.raises(FramesMissing, match=r"^59 frames of a/torn.mp4 decode, not 60"):
        clip_file.read([25, 52], sampling)
    assert clip_file.num_frames == 59
    assert seen(clip_file.read([51], sampling)) == [list(range(52, 60))]


def test_windows_are_chosen_again_where_fewer_frames_decode(coded, tmp_path):
    clip_file = ClipFile(damage(tmp_path / "torn.mp4", coded("h264-closed"), 30))
    sampling = ClipSampling(num_frames=8, step=1, short_side=None)
    asked = []
    read = clip_file.read_chosen(lambda count: asked.append(count) or [25, count - 1], sampling)
    assert asked == [53, 52]
    assert seen(read) == [[25, 26, 27, 28, 30, 31, 32, 33], list(range(52, 60))]


def test_a_count_given_is_believed_until_the_video_ends_earlier(coded, decoded):
    for kind in ("h264-closed", "mpeg4-avi"):
        clip_file = ClipFile(coded(kind), num_frames=80)
        assert seen(clip_file.read([30], SAMPLING)) == [list(range(30, 42, 2))]
        with pytest.raises(FramesMissing, match="60 frames"):
            clip_file.read([60], SAMPLING)
        assert clip_file.num_frames == clip_file.info.num_frames == 60
        assert seen(clip_file.read([40], SAMPLING)) == [list(range(40, 52, 2))]
    assert [key for key, _ in decoded] == [24, 36], "a wrong count is no reason to read from the start"


def test_frames_of_a_folder(tmp_path):
    from PIL import Image

    for index in range(20):
        Image.fromarray(picture(code(index))).save(tmp_path / f"{index}.png")
    clip_file = ClipFile(tmp_path)
    assert clip_file.num_frames == 20
    assert seen(clip_file.read([8, 1], SAMPLING)) == [list(range(8, 20, 2)), list(range(1, 13, 2))]
    with pytest.raises(FramesMissing, match=r"^20 frames"):
        ClipFile(tmp_path, num_frames=40).read([28], SAMPLING)


@pytest.mark.parametrize(("short_side", "size"), [(24, (24, 40)), (48, (48, WIDTH)), (96, (96, 160)), (None, (48, 80))])
@pytest.mark.parametrize("kind", ["h264-closed", "mpeg4-avi"])
def test_the_shorter_side_is_the_one_asked_for(kind, short_side, size, coded):
    read = ClipFile(coded(kind)).read([3], ClipSampling(4, 2, short_side))
    assert read.shape == (1, 4, *size, 3)
    assert seen(read) == [[3, 5, 7, 9]]


def test_no_window_is_read_where_none_starts(coded):
    clip_file = ClipFile(coded("h264-closed"))
    for starts in ([49], [-1], [0, 60]):
        with pytest.raises(ValueError, match=r"60 frames start at 0 to 48, got"):
            clip_file.read(starts, SAMPLING)
    with pytest.raises(ValueError, match="at least one window"):
        clip_file.read([], SAMPLING)


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(BadVideo, match=r"text.mp4 does not open"):
        ClipFile(tmp_path / "text.mp4")


def test_as_many_windows_as_places_where_a_whole_one_starts():
    published = ClipSampling()  # 16 frames, every second one
    assert published.window == 32
    assert [published.num_windows(total) for total in (1, 31, 32, 33, 180)] == [1, 1, 1, 2, 149]
    assert published.indices(1, 33).tolist() == list(range(1, 33, 2))
    assert published.indices(0, 31).tolist() == list(range(0, 32, 2)), "31 frames suffice for 16 frames two apart"
    assert published.indices(0, 16).tolist() == list(range(16))
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        published.num_windows(0)
    with pytest.raises(ValueError, match="at least 1, got"):
        ClipSampling(step=0)


def test_uniform_starts_are_the_floor_of_evenly_spaced_places():
    assert uniform_starts(149, 10).tolist() == [0, 16, 32, 49, 65, 82, 98, 115, 131, 148]
    assert uniform_starts(10, 10).tolist() == list(range(10))
    assert uniform_starts(3, 5).tolist() == [0, 0, 1, 1, 2]
    assert uniform_starts(1, 10).tolist() == [0] * 10
    assert uniform_starts(50, 1).tolist() == [0]
    for num_clips in range(2, 12):  # places that are whole numbers stay what they are, whatever the rounding
        assert uniform_starts(7 * (num_clips - 1) + 1, num_clips).tolist() == list(range(0, 7 * num_clips, 7))


def test_random_starts_differ_where_they_can_and_follow_the_generator():
    drawn = [random_starts(3, 2, np.random.default_rng(seed)) for seed in range(60)]
    assert all(len(set(starts.tolist())) == 2 for starts in drawn)
    assert {tuple(starts) for starts in drawn} == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}
    assert random_starts(1, 2, np.random.default_rng(0)).tolist() == [0, 0]
    assert sorted(random_starts(2, 4, np.random.default_rng(0)).tolist()) == [0, 0, 1, 1]
    again = [random_starts(100, 3, np.random.default_rng(5)).tolist() for _ in range(2)]
    assert again[0] == again[1]
    with pytest.raises(ValueError, match="at least 1 window and 1 clip, got 0 and 2"):
        random_starts(0, 2, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["ucf101_makeup.avi", "cars_mpeg4.avi", "bears.mp4", "short_part0.mp4"])
def test_real_clips_against_a_plain_decode(name, shared_data_dir):
    path = Path(shared_data_dir) / "clips" / name
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        truth = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    clip_file = ClipFile(path)
    assert clip_file.num_frames == len(truth)
    sampling = ClipSampling(short_side=None)
    starts = random_starts(clip_file.num_windows(sampling), 3, np.random.default_rng(2))
    for start, clip in zip(starts, clip_file.read(starts, sampling), strict=True):
        for index, frame in zip(sampling.indices(start, len(truth)), clip, strict=True):
            assert np.abs(frame.astype(np.int16) - truth[index]).mean() < 2


def test_a_clip_without_b_frames_and_with_two_key_frames_is_jumped_into(tmp_path):
    path = encode(tmp_path / "long.mp4", "libx264", x264(bf="0"), num_frames=60, first=500)
    read = ClipFile(path).read([36, 0], ClipSampling(4, 3, None))
    assert seen(read) == [[536, 539, 542, 545], [500, 503, 506, 509]]


def test_packed_frames_at_the_very_end_are_reached(tmp_path):
    clip_file = ClipFile(packed_b_frames(tmp_path / "packed.avi"))
    sampling = ClipSampling(num_frames=2, step=1, short_side=None)
    assert seen(clip_file.read([58], sampling)) == [[58, 59]]
