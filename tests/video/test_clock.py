from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from vidlang.video.clock import Clock
from vidlang.video.source import RawFrame, batched, scaled_size, timed

MILLISECONDS = Fraction(1, 1000)


def starts(stamps, time_base=MILLISECONDS, rate=25.0) -> list[float]:
    clock = Clock(time_base, rate)
    return [clock.seconds(stamp) for stamp in stamps]


def frame(start: float, duration: float = 0.0) -> RawFrame:
    return RawFrame(start, duration, lambda: np.zeros((2, 3, 3), np.uint8))


def test_the_first_frame_is_zero():
    assert starts([46500, 48000, 49500], Fraction(1, 90000)) == [0, 1500 / 90000, 3000 / 90000]


def test_missing_stamps_count_by_the_average_rate():
    assert starts([None, None, None], rate=25) == pytest.approx([0, 0.04, 0.08])


def test_a_gap_in_the_stamps_is_bridged():
    assert starts([0, 40, None, 120], rate=25) == pytest.approx([0, 0.04, 0.08, 0.12])


def test_stamps_that_begin_late_continue_the_count():
    assert starts([None, None, 5000, 5040], rate=25) == pytest.approx([0, 0.04, 0.08, 0.12])


def test_repeated_and_swapped_stamps_stay_sorted():
    assert starts([0, 40, 40, 120, 80, 160]) == pytest.approx([0, 0.04, 0.04, 0.12, 0.12, 0.16])


def test_a_clock_that_begins_again_goes_on():
    assert starts([0, 4000, 8000, 0, 4000], rate=25) == pytest.approx([0, 4, 8, 8.04, 12.04])


def test_no_rounding_piles_up():
    stamps = range(0, 10 * 3600 * 30000, 1001 * 1000)
    assert starts(stamps, Fraction(1, 30000))[-1] == stamps[-1] / 30000


def test_a_frame_ends_where_the_next_one_starts():
    frames = list(timed([frame(0.0), frame(0.1), frame(0.5, duration=0.2)]))
    assert [(f.index, f.start, f.end) for f in frames] == [(0, 0.0, 0.1), (1, 0.1, 0.5), (2, 0.5, 0.7)]


def test_without_a_duration_the_last_frame_lasts_the_median_spacing():
    frames = list(timed([frame(0.0), frame(0.1), frame(0.2), frame(1.2)]))
    assert frames[-1].end == pytest.approx(1.3)


def test_one_frame_without_a_duration_ends_at_once():
    assert [(f.start, f.end) for f in timed([frame(0.0)])] == [(0.0, 0.0)]


def test_batches_are_full_but_the_last():
    batches = list(batched(timed([frame(i / 10, 0.1) for i in range(5)]), 2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert batches[1].indices.tolist() == [2, 3]
    assert batches[1].seconds == pytest.approx(np.array([[0.2, 0.3], [0.3, 0.4]]))
    assert batches[0].frames.shape == (2, 2, 3, 3)


def test_the_short_side_shrinks_and_never_grows():
    assert scaled_size((360, 640), 224) == (224, 398)
    assert scaled_size((640, 360), 224) == (398, 224)
    assert scaled_size((100, 50), 224) == (100, 50)
    assert scaled_size((100, 50), None) == (100, 50)
