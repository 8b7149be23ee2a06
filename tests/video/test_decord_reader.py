"""decord fails, lies or is absent: the frames are right all the same."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from coded_videos import damage, encode, indices_of, x264

from vidlang.core import BadVideo, MissingDependency
from vidlang.video import decord_reader
from vidlang.video.container import read_facts
from vidlang.video.decord_reader import DecordSource, choose_decoder, why_not_decord
from vidlang.video.reader import open_video
from vidlang.video.timeline import scan


@pytest.fixture
def without_decord(monkeypatch):
    monkeypatch.setattr(decord_reader, "find_spec", lambda name: None)


def test_without_decord_pyav_reads(without_decord, coded):
    assert choose_decoder(coded("h264-closed"), "every", read_facts(coded("h264-closed"))) == "pyav"
    with open_video(coded("h264-closed")) as reader:
        assert indices_of(next(reader.read(60)).frames) == list(range(60))
        assert reader.decoder.startswith("pyav")


def test_without_decord_insisting_on_it_is_refused(without_decord, coded):
    with pytest.raises(MissingDependency, match="pip install decord"):
        open_video(coded("h264-closed"), decoder="decord")


def test_insisting_on_decord_where_it_reads_wrongly_is_refused(coded):
    pytest.importorskip("decord")
    with open_video(coded("hevc"), decoder="decord") as reader, pytest.raises(BadVideo, match=r"not proven on hevc"):
        next(reader.read())


class FailsAfter:
    """A reader that hands over some right frames and then stops, or breaks."""

    def __init__(self, frames: list[np.ndarray], error: Exception) -> None:
        self._frames, self._error = iter(frames), error

    def next(self):
        frame = next(self._frames, None)
        if frame is None:
            raise self._error
        return SimpleNamespace(asnumpy=lambda: frame)


@pytest.mark.parametrize("error", [StopIteration(), RuntimeError("decord gave up"), ValueError("bad packet")])
@pytest.mark.parametrize("num_good", [0, 1, 23, 59])
def test_where_decord_ends_early_pyav_reads_on(monkeypatch, coded, error, num_good):
    path = coded("h264-closed")
    with open_video(path, decoder="pyav") as reader:
        whole = next(reader.read(60))
    monkeypatch.setattr(decord_reader, "_open", lambda path, threads=0: FailsAfter([*whole.frames[:num_good]], error))
    facts = read_facts(path)
    source = DecordSource(path, facts, scan(path, facts))
    frames = list(source.frames())
    assert indices_of(frame.to_rgb() for frame in frames) == list(range(60))
    assert [frame.start for frame in frames] == pytest.approx(whole.seconds[:, 0])
    assert source.name.startswith("pyav")


def test_another_last_frame_speaks_against_decord(monkeypatch, coded):
    pytest.importorskip("decord")
    path = coded("h264-closed")
    with open_video(path) as reader:
        frames = reader.read_at([0, 58]).frames
    monkeypatch.setattr(decord_reader, "_witness", lambda path, last: (frames[0], frames[1]))
    assert why_not_decord(path, read_facts(path)) == "decord shows another last frame"


def test_long_videos_are_left_to_pyav(monkeypatch, coded):
    pytest.importorskip("decord")
    path = coded("h264-closed")
    monkeypatch.setattr(decord_reader, "MEMORY", 60 * 48 * 80 * 3 - 1)
    assert "so long a video" in (why_not_decord(path, read_facts(path)) or "")


def test_scaling_is_left_to_pyav(coded):
    pytest.importorskip("decord")
    path = coded("h264-closed")
    assert why_not_decord(path, read_facts(path), short_side=24) == "decord scales bilinearly"
    assert why_not_decord(path, read_facts(path), short_side=100) is None


def test_a_named_hd_matrix_and_full_range_are_left_to_pyav(tmp_path):
    pytest.importorskip("decord")

    def tagged(stream):
        stream.codec_context.colorspace = 1

    path = encode(tmp_path / "bt709.mp4", "libx264", x264(), prepare=tagged, num_frames=10)
    assert why_not_decord(path, read_facts(path)) == "decord takes every colour matrix for BT.601"
    path = encode(tmp_path / "full.mp4", "libx264", x264(), pixel_format="yuvj420p", num_frames=10)
    assert "full range" in (why_not_decord(path, read_facts(path)) or "")


def test_damage_in_the_middle_is_met_on_the_way(coded, tmp_path):
    """First and last frame agree, so decord begins; where it breaks off PyAV goes on and reports."""
    pytest.importorskip("decord")
    path = damage(tmp_path / "video.mp4", coded("h264-closed"), 20)
    assert why_not_decord(path, read_facts(path)) is None
    with open_video(path) as reader:
        assert sum(len(batch) for batch in reader.read()) == 59
        assert reader.warnings == ["1 damaged packet skipped near 0.7 s"]
        assert reader.decoder.startswith("pyav")
