"""True events over rows: by head, and against counting frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.core import Label, LabelledSegment, Segment
from vidlang.metrics.truth import bounds, cut_rows, frames_of_truth, ruler_of, union


def rulers(num_rows, frame_rate=10.0, stride=16):
    edges = np.arange(num_rows + 1) * stride
    frames = np.stack([edges[:-1], edges[1:]], axis=1).astype(np.int64)
    return frames, frames / frame_rate


def listed(pieces):
    return list(zip(pieces.rows.tolist(), pieces.truth.tolist(), pieces.weights.tolist(), strict=True))


def test_an_event_cuts_the_rows_at_its_ends():
    frames, _ = rulers(3)
    assert listed(cut_rows(frames, [(8, 20)])) == [
        (0, False, 8),
        (0, True, 8),
        (1, False, 12),
        (1, True, 4),
        (2, False, 16),
    ]


def test_rows_without_events_stay_whole():
    frames, _ = rulers(2)
    assert listed(cut_rows(frames, [])) == [(0, False, 16), (1, False, 16)]


def test_a_wholly_covered_row_has_one_piece_also_in_seconds():
    _, seconds = rulers(3, frame_rate=30)
    assert listed(cut_rows(seconds, [(0.0, 100.0)])) == [(t, True, pytest.approx(16 / 30)) for t in range(3)]


def test_overlapping_events_count_once():
    frames, _ = rulers(1)
    assert listed(cut_rows(frames, [(2, 6), (4, 8), (8, 9), (3, 3)])) == [(0, False, 9), (0, True, 7)]
    assert union([(4, 8), (2, 6), (8, 9), (3, 3), (20, 30)]) == [(2, 9), (20, 30)]


def test_an_event_beyond_the_rows_is_lost():
    frames, _ = rulers(1)
    assert listed(cut_rows(frames, [(40, 80)])) == [(0, False, 16)]
    assert listed(cut_rows(frames, [(10, 80)])) == [(0, False, 10), (0, True, 6)]


def test_an_empty_row_has_no_piece():
    assert listed(cut_rows(np.array([[0.0, 0.0], [0.0, 4.0]]), [(0, 1)])) == [(1, False, 3), (1, True, 1)]


def test_pieces_agree_with_counting_frames():
    generator = np.random.default_rng(0)
    for _ in range(50):
        frames, seconds = rulers(int(generator.integers(1, 12)))
        starts = generator.integers(0, 200, size=4)
        events = [LabelledSegment("x", span=(int(s), int(s + n))) for s, n in zip(starts, (0, 1, 9, 40), strict=True)]
        truth = frames_of_truth(events, frames, seconds)
        pieces = cut_rows(frames, [event.span for event in events])
        counted = np.stack([pieces.weights * pieces.truth, pieces.weights * ~pieces.truth])
        for row, (first, last) in enumerate(frames):
            inside = truth[first:last].sum()
            assert counted[:, pieces.rows == row].sum(axis=1).tolist() == [inside, last - first - inside]


def test_a_second_is_a_second_at_any_frame_rate():
    frames = np.array([[0, 10], [10, 30]])  # 10, then 20 frames per second
    seconds = np.array([[0.0, 1.0], [1.0, 2.0]])
    pieces = cut_rows(seconds, [(0.5, 1.25)])
    assert listed(pieces) == [(0, False, 0.5), (0, True, 0.5), (1, False, 0.75), (1, True, 0.25)]
    in_frames = frames_of_truth([LabelledSegment("x", Segment(0.5, 1.25))], frames, seconds)
    assert np.flatnonzero(in_frames).tolist() == list(range(5, 15))


def test_frames_become_seconds_by_the_rows_own_rulers():
    frames = np.array([[0, 10], [10, 30]])
    seconds = np.array([[0.0, 1.0], [1.0, 2.0]])
    event = LabelledSegment("x", span=(5, 20))
    assert bounds(event, "seconds", frames, seconds) == (0.5, 1.5)
    assert bounds(event, "frames", frames, seconds) == (5, 20)
    with pytest.raises(ValueError, match="is in seconds"):
        bounds(LabelledSegment("x", Segment(0, 1)), "frames", frames, seconds)


def test_one_event_in_seconds_makes_seconds_the_ruler():
    counted = Label("a", ("x",), (LabelledSegment("x", span=(0, 5)),))
    timed = Label("b", ("x",), (LabelledSegment("x", Segment(0, 5)),))
    assert ruler_of([counted, Label("c", ("normal",))]) == "frames"
    assert ruler_of([counted, timed]) == "seconds"


def test_frames_of_truth_can_be_longer_than_the_rows():
    frames, seconds = rulers(1)
    events = [LabelledSegment("x", span=(14, 40))]
    assert frames_of_truth(events, frames, seconds).tolist() == [0] * 14 + [1] * 2
    assert frames_of_truth(events, frames, seconds, num_frames=20).tolist() == [0] * 14 + [1] * 6
