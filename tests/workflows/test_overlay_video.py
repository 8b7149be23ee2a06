from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from vidlang.core import BadInput, BadVideo, Detection, Progress
from vidlang.core.progress import Task
from vidlang.core.segments import Segment
from vidlang.report.overlay import BORDER, OverlayLayers
from vidlang.video.reader import open_video
from vidlang.workflows.overlay import write_overlay

SIZE = (96, 128)


def film(path, seconds, size=SIZE, prepare=lambda stream: None):
    """Grey frames shown from the given seconds on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv444p" if size[0] % 2 else "yuv420p"
        prepare(stream)
        stream.codec_context.time_base = Fraction(1, 1000)
        for second in seconds:
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 128, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(second * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path):
    with open_video(path) as reader:
        parts = list(reader.read())
    return np.concatenate([part.frames for part in parts]), np.concatenate([part.seconds for part in parts])


def bordered(frames) -> list[bool]:
    """Whether the frame's upper edge is red, as far as compression tells."""
    return [bool(np.abs(frame[0].astype(int).mean(axis=0) - BORDER).max() < 40) for frame in frames]


def event(start, end) -> OverlayLayers:
    return OverlayLayers(2.0, events=(Detection("v", Segment(start, end), "fighting", 0.9),))


def test_frames_of_an_event_have_a_border_and_no_others(tmp_path):
    source = film(tmp_path / "in.mp4", np.arange(50) / 25)
    write_overlay(source, tmp_path / "deep" / "out.mp4", event(0.4, 0.8))
    frames, _ = read(tmp_path / "deep" / "out.mp4")
    assert frames.shape == (50, *SIZE, 3)
    assert bordered(frames) == [10 <= index < 20 for index in range(50)]
    with av.open(str(tmp_path / "deep" / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"  # what browsers play


def test_a_varying_frame_rate_keeps_its_times(tmp_path):
    """Ten frames in the first tenth of a second, then one every quarter: an event by seconds, not by frame numbers."""
    starts = [*np.arange(10) / 100, *(0.25 * np.arange(1, 8))]
    write_overlay(film(tmp_path / "in.mp4", starts), tmp_path / "out.mp4", event(0.5, 1.25))
    frames, seconds = read(tmp_path / "out.mp4")
    assert seconds[:, 0] == pytest.approx(starts, abs=2e-3)
    assert bordered(frames) == [0.49 < start < 1.24 for start in starts]


def test_odd_sizes_gain_a_row_and_a_column(tmp_path):
    write_overlay(film(tmp_path / "in.mp4", np.arange(5) / 25, (97, 131)), tmp_path / "out.mp4", event(0, 1))
    frames, _ = read(tmp_path / "out.mp4")
    assert frames.shape == (5, 98, 132, 3)


def test_a_turned_video_is_written_upright(tmp_path):
    def turn(stream):
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write rotations")
        stream.set_display_rotation(90)

    write_overlay(film(tmp_path / "in.mp4", np.arange(5) / 25, prepare=turn), tmp_path / "out.mp4", event(0, 1))
    frames, _ = read(tmp_path / "out.mp4")
    assert frames.shape == (5, 128, 96, 3)
    assert bordered(frames) == [True] * 5


def test_progress_counts_the_frames(tmp_path):
    class Counting(Progress, Task):
        done = 0.0

        def task(self, description, total=None, unit=""):
            self.total = total
            return self

        def advance(self, amount=1):
            self.done += amount

    progress = Counting()
    source = film(tmp_path / "in.mp4", np.arange(11) / 25)
    write_overlay(source, tmp_path / "out.mp4", event(0, 1), progress=progress)
    assert (progress.done, progress.total) == (11, 11)


def test_the_video_itself_is_never_replaced(tmp_path):
    source = film(tmp_path / "in.mp4", np.arange(3) / 25)
    before = source.read_bytes()
    with pytest.raises(BadInput, match="is the video itself"):
        write_overlay(source, source, event(0, 1))
    with pytest.raises(BadInput, match=r"the ending '\.gif'"):
        write_overlay(source, tmp_path / "out.gif", event(0, 1))
    assert source.read_bytes() == before


def test_a_failure_leaves_nothing(tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"no video")
    with pytest.raises(BadVideo):
        write_overlay(tmp_path / "in.mp4", tmp_path / "out.mp4", event(0, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
