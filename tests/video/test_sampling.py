"""Which frame stands for which snippet, worked out by head."""

from __future__ import annotations

import pytest

from vidlang.core import Sampling
from vidlang.video.sampling import SnippetSampler


def run(sampling: Sampling, ends: list[float]) -> tuple[dict[int, tuple[int, ...]], SnippetSampler, list, list]:
    """Frames that end at these moments → rows of each frame that has some, spans and seconds of each row."""
    sampler = SnippetSampler(sampling)
    rows = {}
    start = 0.0
    for index, end in enumerate(ends):
        given = sampler.rows_of(index, start, end)
        if given:
            rows[index] = given
        start = end
    frames, seconds = sampler.finish()
    return rows, sampler, frames.tolist(), [tuple(round(float(x), 6) for x in row) for row in seconds]


def steady(num_frames: int, rate: float) -> list[float]:
    return [(index + 1) / rate for index in range(num_frames)]


def test_stride_takes_the_middle_and_drops_the_tail():
    rows, sampler, frames, seconds = run(Sampling(stride=16), steady(60, 10))
    assert {index: row for index, row in rows.items() if row[0] < 3} == {8: (0,), 24: (1,), 40: (2,)}
    assert frames == [[0, 16], [16, 32], [32, 48]]
    assert seconds == [(0, 1.6), (1.6, 3.2), (3.2, 4.8)]
    assert sampler.late == []


def test_stride_as_in_the_published_features():
    for num_frames in (16, 17, 31, 32, 33, 1000):
        assert len(run(Sampling(), steady(num_frames, 25))[2]) == num_frames // 16


def test_stride_first_and_mean():
    assert run(Sampling(stride=4, pick="first"), steady(8, 10))[0] == {0: (0,), 4: (1,)}
    assert run(Sampling(stride=2, pick="mean"), steady(4, 10))[0] == {0: (0,), 1: (0,), 2: (1,), 3: (1,)}


def test_an_odd_stride_and_a_stride_of_one():
    assert run(Sampling(stride=3), steady(6, 10))[0] == {1: (0,), 4: (1,)}
    assert run(Sampling(stride=1), steady(3, 10))[0] == {0: (0,), 1: (1,), 2: (2,)}


@pytest.mark.parametrize(("num_frames", "middle"), [(1, 0), (2, 1), (5, 2), (9, 4), (15, 7)])
def test_shorter_than_a_snippet_gives_one_row_of_its_own_middle(num_frames, middle):
    _, sampler, frames, _ = run(Sampling(stride=16), steady(num_frames, 25))
    assert frames == [[0, num_frames]]
    assert sampler.late == [(middle, (0,))]


def test_shorter_than_a_snippet_by_first_or_mean_is_complete_as_it_passes():
    assert run(Sampling(stride=16, pick="first"), steady(5, 25))[1].late == []
    rows, sampler, _, _ = run(Sampling(stride=16, pick="mean"), steady(3, 25))
    assert rows == {0: (0,), 1: (0,), 2: (0,)}
    assert sampler.late == []


def test_fps_takes_the_frame_shown_at_the_midpoint():
    # 4 frames a second, 1 snippet a second: midpoints 0.5, 1.5, 2.5 are the starts of frames 2, 6, 10.
    rows, _, frames, seconds = run(Sampling(fps=1), steady(12, 4))
    assert rows == {2: (0,), 6: (1,), 10: (2,)}
    assert frames == [[0, 4], [4, 8], [8, 12]]
    assert seconds == [(0, 1), (1, 2), (2, 3)]


def test_fps_first_takes_the_frame_shown_at_the_start():
    # 3 frames a second, 2 snippets a second: the starts 0, .5, 1, 1.5 lie in frames 0, 1, 3, 4.
    assert run(Sampling(fps=2, pick="first"), steady(6, 3))[0] == {0: (0,), 1: (1,), 3: (2,), 4: (3,)}


def test_fps_mean_takes_all_frames_that_start_inside():
    rows, _, frames, _ = run(Sampling(fps=1, pick="mean"), steady(6, 3))
    assert rows == {0: (0,), 1: (0,), 2: (0,), 3: (1,), 4: (1,), 5: (1,)}
    assert frames == [[0, 3], [3, 6]]


def test_fps_above_the_frame_rate_holds_frames():
    # 1 frame a second, 2 snippets a second: each frame is shown in two snippets.
    for pick in ("middle", "first", "mean"):
        rows, sampler, frames, _ = run(Sampling(fps=2, pick=pick), steady(2, 1))
        assert rows == {0: (0, 1), 1: (2, 3)}
        assert sampler.late == []
        assert frames == [[0, 1], [0, 1], [1, 2], [1, 2]]


def test_fps_with_a_long_pause():
    # Frames start at 0, 0.5, 3.5 and 4; the second is held for three seconds.
    rows, _, frames, seconds = run(Sampling(fps=1), [0.5, 3.5, 4.0, 5.0])
    assert rows == {1: (0, 1, 2), 2: (3,), 3: (4,)}
    assert frames == [[0, 2], [1, 2], [1, 2], [2, 3], [3, 4]]
    assert seconds[-1] == (4, 5)
    assert run(Sampling(fps=1, pick="mean"), [0.5, 3.5, 4.0, 5.0])[0] == {0: (0,), 1: (0, 1, 2), 2: (3,), 3: (4,)}


def test_fps_drops_less_than_half_a_snippet():
    assert len(run(Sampling(fps=1), steady(24, 10))[2]) == 2
    assert len(run(Sampling(fps=1), steady(26, 10))[2]) == 3


def test_fps_keeps_exactly_half_and_shows_its_last_frame():
    rows, sampler, frames, seconds = run(Sampling(fps=1), steady(25, 10))
    assert frames == [[0, 10], [10, 20], [20, 25]]
    assert seconds[-1] == (2, 2.5)
    assert 2 not in {row for given in rows.values() for row in given}
    assert sampler.late == [(24, (2,))]


def test_fps_of_a_very_short_video_gives_one_row():
    for pick in ("middle", "first", "mean"):
        rows, sampler, frames, seconds = run(Sampling(fps=0.1, pick=pick), steady(3, 10))
        assert frames == [[0, 3]]
        assert seconds == [(0, 0.3)]
        assert sampler.late == ([(1, (0,))] if pick == "middle" else [])
        assert bool(rows) == (pick != "middle")


def test_fps_ignores_the_rounding_of_times():
    # 30 frames a second, 2 snippets a second: midpoints 0.25 + k / 2 lie half a frame after a start; starts are frames.
    ends = [round((index + 1) / 30, 12) for index in range(300)]
    rows = run(Sampling(fps=2, pick="first"), ends)[0]
    assert sorted(rows) == list(range(0, 300, 15))
    ends = [0.1 * (index + 1) for index in range(100)]
    assert sorted(run(Sampling(fps=10), ends)[0]) == list(range(100))


@pytest.mark.parametrize("sampling", [Sampling(stride=7), Sampling(fps=3), Sampling(fps=40), Sampling(fps=0.3)])
@pytest.mark.parametrize("pick", ["middle", "first", "mean"])
@pytest.mark.parametrize("num_frames", [1, 6, 7, 50, 51, 53])
def test_every_row_has_its_frames(sampling, pick, num_frames):
    sampling = Sampling(stride=sampling.stride, fps=sampling.fps, pick=pick)
    rows, sampler, frames, seconds = run(sampling, steady(num_frames, 25))
    given = [row for index in sorted(rows) for row in rows[index] if row < len(frames)]
    late = [row for _, some in sampler.late for row in some]
    assert set(given) | set(late) == set(range(len(frames)))
    if pick != "mean":
        assert given == sorted(set(given))
    assert all(first < last <= num_frames for first, last in frames)
    assert all(start <= end for start, end in seconds)


def test_frames_come_in_order():
    sampler = SnippetSampler(Sampling())
    sampler.rows_of(0, 0.0, 0.1)
    with pytest.raises(ValueError, match="expected frame 1, got 5"):
        sampler.rows_of(5, 0.5, 0.6)


def test_a_video_without_frames():
    with pytest.raises(ValueError, match="no snippets"):
        SnippetSampler(Sampling()).finish()
