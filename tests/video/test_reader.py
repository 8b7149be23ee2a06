from __future__ import annotations

import av
import numpy as np
import pytest
from coded_videos import NUM_FRAMES, code, encode, indices_of, x264

from vidlang.core import BadVideo
from vidlang.video.reader import open_video, probe


def write_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_what_is_no_video_is_said_in_one_line(tmp_path):
    (tmp_path / "text.mp4").write_text("this is not a video\n" * 200)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    write_sound(tmp_path / "sound.mp4")
    for name, reason in {
        "text.mp4": "does not open as a video",
        "empty.mp4": "is empty",
        "folder": "is a folder without images",
        "missing.mp4": "does not exist",
        "sound.mp4": "has no video stream to read \\(only sound",
    }.items():
        with pytest.raises(BadVideo, match=f"{name} {reason}") as caught:
            open_video(tmp_path / name)
        assert "\n" not in str(caught.value)
        with pytest.raises(BadVideo, match=name):
            probe(tmp_path / name)


def test_a_playlist_does_not_reach_out(tmp_path):
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(BadVideo):
        open_video(tmp_path / "list.mp4")


def test_names_that_look_like_something_else(tmp_path):
    for name in ("a:b.mp4", "http:c.mp4", "50%03d.mp4", "-x.mp4", "ü ñ.mp4"):
        encode(tmp_path / "plain.mp4", "libx264", x264(), num_frames=3).rename(tmp_path / name)
        with open_video(tmp_path / name) as reader:
            assert len(next(reader.read())) == 3


def test_probe_reads_the_header(coded):
    info = probe(coded("h264-closed"), video_id="Abuse/one.mp4")
    assert (info.id, info.num_frames, info.frame_rate, info.size) == ("Abuse/one.mp4", NUM_FRAMES, 25.0, (48, 80))
    assert info.duration == pytest.approx(2.4)


def test_probe_estimates_where_the_header_is_silent(coded):
    assert probe(coded("vp9")).num_frames == pytest.approx(NUM_FRAMES, abs=1)
    assert probe(coded("h264-raw")).num_frames == 0


def test_info_turns_with_the_picture(coded):
    assert probe(coded("turned-90")).size == (80, 48)
    assert probe(coded("turned-180")).size == (48, 80)


def test_batches(coded):
    with open_video(coded("h264-closed")) as reader:
        batches = list(reader.read(batch_size=25))
        assert [len(batch) for batch in batches] == [25, 25, 10]
        assert batches[0].frames.dtype == np.uint8
        assert batches[0].frames.shape == (25, 48, 80, 3)
        with pytest.raises(ValueError, match="batch_size"):
            next(reader.read(batch_size=0))


def test_a_reader_can_read_again_and_be_left_in_the_middle(coded):
    with open_video(coded("h264-closed")) as reader:
        next(reader.read(4))
        for _ in range(2):
            assert [n for batch in reader.read(9) for n in indices_of(batch.frames)] == list(range(NUM_FRAMES))


def test_wanted_sees_every_frame_with_its_times(coded):
    seen = []

    def wanted(index, start, end):
        seen.append((index, start, end))
        return False

    with open_video(coded("h264-vfr")) as reader:
        assert list(reader.read_where(wanted)) == []
        assert reader.info.num_frames == NUM_FRAMES
    assert [index for index, _, _ in seen] == list(range(NUM_FRAMES))
    starts = [start for _, start, _ in seen]
    assert starts[1:] == [end for _, _, end in seen][:-1]
    assert starts[:4] == pytest.approx([0, 0.02, 0.08, 0.12])
    assert seen[29][2] - seen[29][1] == pytest.approx(2.0)


def test_the_edges_of_jumps(coded):
    with open_video(coded("h264-closed")) as reader:
        assert reader.read_from(-3.0, 2).indices.tolist() == [0, 1]
        assert reader.read_from(99.0, 5).indices.tolist() == [59]
        assert reader.read_from(2.3, 5).indices.tolist() == [57, 58, 59]
        assert reader.read_from(2.3, 5, step=2).indices.tolist() == [57, 59]
        for wrong in ((0.0, 0, 1), (0.0, 1, 0), (float("nan"), 1, 1)):
            with pytest.raises(ValueError, match="expected finite seconds"):
                reader.read_from(*wrong)


def test_the_edges_of_jumps_without_an_index(coded):
    with open_video(coded("mpeg4-avi")) as reader:
        assert reader.read_from(-3.0, 2).indices.tolist() == [0, 1]
        assert reader.read_from(99.0, 5).indices.tolist() == [59]
        assert reader.read_from(2.3, 5, step=2).indices.tolist() == [57, 59]


def test_a_jump_decodes_from_the_key_frame_before(coded, monkeypatch):
    from vidlang.video import pyav_reader

    decoded = []
    monkeypatch.setattr(
        pyav_reader, "decode", lambda stream, packet: decoded.append(1) or stream.codec_context.decode(packet)
    )
    with open_video(coded("h264-closed")) as reader:
        batch = reader.read_from(2.0, 2)
    assert indices_of(batch.frames) == [50, 51]
    assert len(decoded) < 14


@pytest.mark.parametrize("kind", ["h264-closed", "h264-open", "h264-ts", "hevc", "vp9-alt-ref", "av1", "edit-list"])
def test_a_whole_file_is_decoded_once(kind, coded, tmp_path, caplog):
    """Threads give no cause to read again, also where more frames than the guarded tail come in another order."""
    path = coded(kind)
    if kind in ("h264-closed", "h264-ts"):
        path = encode(tmp_path / path.name, "libx264", x264(), num_frames=200)
    with caplog.at_level("INFO", logger="vidlang.video"), open_video(path, threads=4, decoder="pyav") as reader:
        list(reader.read_where(lambda index, start, end: False))
    assert "reading again" not in caplog.text


def test_wrong_arguments(coded):
    with pytest.raises(ValueError, match="frame_rate"):
        open_video(coded("short"), frame_rate=0)
    with pytest.raises(ValueError, match="short_side"):
        open_video(coded("short"), short_side=0)
    with pytest.raises(ValueError, match="decoder"):
        open_video(coded("short"), decoder="opencv")
    with open_video(coded("short")) as reader:
        with pytest.raises(ValueError, match="at least one frame"):
            reader.read_at([])
        with pytest.raises(ValueError, match="none below 0"):
            reader.read_at([-1])
        with pytest.raises(BadVideo, match="has 5 frames that decode; frame 7 was asked for"):
            reader.read_at([1, 7])


def test_the_film_is_read_rather_than_the_cover(coded):
    with open_video(coded("cover")) as reader:
        assert reader.info.size == (96, 160)
        assert indices_of(reader.read_at([3]).frames) == [3]


def test_a_size_that_changes_is_brought_to_the_first(coded):
    with open_video(coded("size-changes")) as reader:
        assert {batch.frames.shape[1:] for batch in reader.read(5)} == {(48, 80, 3)}


def test_codes_are_told_apart():
    """The helper itself: neighbouring frames differ in at least three blocks."""
    assert min(bin(code(i) ^ code(i + 1)).count("1") for i in range(200)) >= 3
