from __future__ import annotations

import numpy as np
import pytest
from coded_videos import indices_of

from vidlang.core import BadVideo, Sampling
from vidlang.video.reader import open_video
from vidlang.video.snippets import MotionWatch, open_snippets


def run(path, sampling, **options):
    with open_snippets(path, sampling, **options) as stream:
        batches = list(stream)
    pairs = [pair for batch in batches for pair in zip(indices_of(batch.frames), batch.rows, strict=True)]
    return pairs, stream


def test_the_middle_of_each_snippet(coded):
    pairs, stream = run(coded("h264-closed"), Sampling())
    assert pairs == [(8, (0,)), (24, (1,)), (40, (2,))]
    assert stream.frames.tolist() == [[0, 16], [16, 32], [32, 48]]
    assert stream.seconds == pytest.approx(np.array([[0, 0.64], [0.64, 1.28], [1.28, 1.92]]))
    assert stream.info.num_frames == 60
    assert stream.decoder.startswith("pyav")


def test_the_dropped_tail_brings_no_frame(coded):
    """57 is frame 8 of a fourth snippet that has only 12 of its 16 frames: no row, no frame."""
    assert run(coded("h264-closed"), Sampling(stride=16, pick="first"))[0] == [(0, (0,)), (16, (1,)), (32, (2,))]


def test_mean_takes_every_frame(coded):
    pairs, stream = run(coded("h264-closed"), Sampling(stride=16, pick="mean"))
    assert [number for number, _ in pairs] == list(range(60))
    assert [rows[0] for _, rows in pairs] == [index // 16 for index in range(60)]
    assert len(stream.frames) == 3


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_shorter_than_a_snippet_gives_its_own_middle(coded, batch_size):
    pairs, stream = run(coded("short"), Sampling(), batch_size=batch_size)
    assert pairs == [(2, (0,))]
    assert stream.frames.tolist() == [[0, 5]]
    assert stream.info.num_frames == 5


def test_shorter_than_a_snippet_but_past_its_middle(coded):
    pairs, _ = run(coded("h264-closed"), Sampling(stride=100), batch_size=1)
    assert pairs == [(30, (0,))]


def test_one_frame(coded):
    for sampling in (Sampling(), Sampling(pick="mean"), Sampling(fps=2), Sampling(fps=100)):
        pairs, stream = run(coded("one-frame"), sampling)
        assert {number for number, _ in pairs} == {0}
        assert [row for _, rows in pairs for row in rows] == list(range(len(stream.frames)))


def test_by_time_on_a_variable_clock(coded):
    """Frame 29 starts at 1.416 s and is held for two seconds."""
    pairs, stream = run(coded("h264-vfr"), Sampling(fps=2))
    shown = {row: number for number, rows in pairs for row in rows}
    assert [shown[row] for row in (3, 4, 5)] == [29, 29, 29]
    assert sorted(shown) == list(range(len(stream.frames)))
    assert len(stream.frames) == round(stream.info.duration * 2)


def test_by_time_a_last_half_snippet_holds_the_last_frame(coded):
    """2.4 s at 5 / 12 snippets a second: exactly one snippet; at 1 / 1.6, one and a half."""
    assert run(coded("h264-closed"), Sampling(fps=1 / 2.4))[0] == [(30, (0,))]
    assert run(coded("h264-closed"), Sampling(fps=1 / 1.6))[0] == [(20, (0,)), (59, (1,))]


def test_scaled_frames(coded):
    with open_snippets(coded("h264-closed"), Sampling(), short_side=24) as stream:
        assert next(iter(stream)).frames.shape == (3, 24, 40, 3)


def test_rows_are_known_only_after_the_end(coded):
    with open_snippets(coded("h264-closed"), Sampling(), batch_size=1) as stream:
        iterator = iter(stream)
        next(iterator)
        with pytest.raises(ValueError, match="known after the last batch"):
            _ = stream.frames
        list(iterator)
        assert len(stream.frames) == 3


def test_no_video(tmp_path):
    with pytest.raises(BadVideo, match="does not exist"):
        open_snippets(tmp_path / "x.mp4", Sampling())


class Frames:
    """A window whose mask is as tall as its snippet had frames, and None where that is one frame; it keeps numbers."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.seen: list[list[int]] = [[]]

    def push(self, frame: np.ndarray) -> None:
        assert frame.shape == (*self.size, 3) and frame.dtype == np.uint8
        self.seen[-1] += indices_of(frame[None])

    def finish(self) -> np.ndarray | None:
        num_frames = len(self.seen[-1])
        self.seen.append([])
        return np.ones((num_frames, 1), dtype=bool) if num_frames > 1 else None


def watched(path, sampling, short_side: int = 96, **options):
    """(rows, frames of the mask or None) of every picked frame, the frames of every snippet, and the stream."""
    windows: list[Frames] = []

    def open_window(size: tuple[int, int]) -> Frames:
        windows.append(Frames(size))
        return windows[-1]

    with open_snippets(path, sampling, watch=MotionWatch(short_side, open_window), **options) as stream:
        batches = list(stream)
    pairs = [
        (number, rows, None if mask is None else len(mask))
        for batch in batches
        for number, rows, mask in zip(indices_of(batch.frames), batch.rows, batch.masks, strict=True)
    ]
    (window,) = windows
    return pairs, [seen for seen in window.seen if seen], stream


@pytest.mark.parametrize("batch_size", [1, 32])
def test_a_window_sees_every_frame_of_its_snippet_and_the_picked_frame_gets_its_mask(coded, batch_size):
    pairs, seen, stream = watched(coded("h264-closed"), Sampling(), batch_size=batch_size)
    assert pairs == [(8, (0,), 16), (24, (1,), 16), (40, (2,), 16)]
    assert seen == [list(range(16)), list(range(16, 32)), list(range(32, 48)), list(range(48, 60))]
    assert len(stream.frames) == 3


def test_a_short_video_is_one_snippet(coded):
    assert watched(coded("short"), Sampling())[0] == [(2, (0,), 5)]
    assert watched(coded("one-frame"), Sampling())[0] == [(0, (0,), None)]


def test_by_time_a_frame_that_is_held_over_snippets_moves_in_its_own_alone(coded):
    """Frame 29 starts at 1.416 s, after others of row 2, and is held over rows 3 to 5."""
    pairs, seen, stream = watched(coded("h264-vfr"), Sampling(fps=2))
    plain, _ = run(coded("h264-vfr"), Sampling(fps=2))
    shown = {row: number for number, rows, _ in pairs for row in rows}
    assert shown == {row: number for number, rows in plain for row in rows}
    with open_video(coded("h264-vfr")) as reader:
        starts = [frame.start for frame in reader.timed_frames("some")]
    groups = {row: [n for n, start in enumerate(starts) if int(start * 2 + 1e-6) == row] for row in shown}
    assert seen[: len(stream.frames)] == [group for group in groups.values() if group][: len(stream.frames)]
    counts = {row: count for _, rows, count in pairs for row in rows}
    assert counts == {row: len(group) if len(group) > 1 else None for row, group in groups.items()}
    assert [counts[row] for row in (3, 4, 5)] == [None, None, None] and counts[2] is not None


def test_the_window_sees_small_frames_and_the_picked_ones_keep_their_size(coded):
    sizes = []

    class Small(Frames):
        def push(self, frame: np.ndarray) -> None:
            sizes.append(frame.shape)

    with open_snippets(coded("h264-closed"), Sampling(), watch=MotionWatch(24, Small)) as stream:
        assert next(iter(stream)).frames.shape[1:] != (24, 40, 3)
    assert set(sizes) == {(24, 40, 3)}


def test_masks_need_one_frame_a_snippet(coded):
    with pytest.raises(ValueError, match="got pick 'mean'"):
        open_snippets(coded("short"), Sampling(pick="mean"), watch=MotionWatch(24, Frames))
