from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vidlang.core.results import Detection, Scores
from vidlang.core.segments import Segment
from vidlang.core.video import VideoInfo
from vidlang.report.drawing import clock, reduce_rows, shorten, stairs, tick_step, visible
from vidlang.report.timeline import place_events, timeline_png, top_classes


def scores_of(anomaly, *, video_id="v.mp4", step=0.64, class_names=("normal", "fire", "fall")):
    anomaly = np.asarray(anomaly, dtype=np.float32)
    rows = np.arange(len(anomaly))
    classes = np.stack([1 - anomaly, anomaly * 0.7, anomaly * 0.3], axis=1)
    return Scores(
        VideoInfo(video_id, 16 * len(rows), step * len(rows), 25.0, (144, 192)),
        np.stack([rows * 16, rows * 16 + 16], axis=1),
        np.stack([rows * step, (rows + 1) * step], axis=1),
        anomaly,
        classes,
        class_names,
        {"branch": "C-branch"},
        {"A-branch": anomaly},
    )


def size_of(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_a_peak_of_one_snippet_survives_ten_hours():
    seconds = np.arange(56_000)[:, None] * 0.64 + np.array([0.0, 0.64])
    values = np.full(56_000, 0.1)
    values[41_234] = 0.97
    columns = reduce_rows(values, seconds, 1000)
    peak = int(columns.highest.argmax())
    assert len(columns.highest) <= 1001
    assert columns.highest[peak] == pytest.approx(0.97) and (columns.highest > 0.5).sum() == 1
    assert columns.seconds[peak, 0] <= seconds[41_234, 0] < columns.seconds[peak, 1]
    assert columns.lowest.max() == pytest.approx(0.1)
    assert columns.seconds[0, 0] == 0.0 and columns.seconds[-1, 1] == seconds[-1, 1]


def test_every_class_keeps_its_own_peak():
    seconds = np.arange(5000)[:, None] + np.array([0.0, 1.0])
    values = np.zeros((5000, 3))
    values[[10, 11, 4999], [0, 1, 2]] = [0.5, 0.6, 0.7]
    assert reduce_rows(values, seconds, 100).highest.max(axis=0) == pytest.approx([0.5, 0.6, 0.7])


def test_short_curves_are_left_as_they_are():
    seconds = np.array([[0.0, 1.0], [1.0, 2.0]])
    columns = reduce_rows(np.array([0.2, 0.4]), seconds)
    assert columns.highest.tolist() == pytest.approx([0.2, 0.4]) and columns.seconds is seconds


def test_rows_and_intervals_must_match():
    with pytest.raises(ValueError, match="3 rows and 2 intervals"):
        reduce_rows(np.zeros(3), np.zeros((2, 2)))


def test_a_curve_is_flat_over_each_row_and_broken_at_gaps():
    x, y = stairs(np.array([[0.0, 1.0], [1.0, 2.0], [5.0, 6.0]]), np.array([0.1, 0.2, 0.3]))
    assert x.tolist() == [0, 1, 1, 1, 2, 2, 5, 6, 6]
    assert y[:2].tolist() == [0.1, 0.1]
    assert np.flatnonzero(np.isnan(y)).tolist() == [5]


def test_events_stand_where_they_happen():
    events = [Detection("v", Segment(20, 30), "fire", 0.9), Detection("v", Segment(60, 61), "fall", 0.6)]
    first, second = place_events(events, 0, 100)
    assert (first.start, first.end, first.text_at, first.text) == (20, 30, 25, "fire 0.90")
    assert (second.start, second.end, second.text) == (60, 61, "fall 0.60")
    assert first.color != second.color and first.lane == second.lane == 0


def test_overlapping_events_take_other_lanes_and_the_strongest_keep_their_text():
    events = [Detection("v", Segment(50, 51), "fire", score / 10) for score in range(1, 8)]
    marks = place_events(events, 0, 100, max_lanes=3)
    assert len(marks) == 7
    texts = {mark.lane: mark.text for mark in marks if mark.text}
    assert texts == {0: "fire 0.70", 1: "fire 0.60", 2: "fire 0.50"}


def test_texts_at_the_rim_stay_inside():
    (mark,) = place_events([Detection("v", Segment(0, 0.5), "a person falling", 0.5)], 0, 100, characters=100)
    assert mark.text_at >= len("a person falling 0.50") / 2


def test_a_short_event_in_a_long_video_is_wide_enough_to_be_seen():
    start, end = visible(Segment(1000, 1001), 36_000)
    assert end - start == pytest.approx(60) and (start + end) / 2 == pytest.approx(1000.5)


def test_top_classes_are_sorted_by_peak_with_the_normal_class_last():
    classes = np.array([[0.9, 0.0, 0.1, 0.0], [0.2, 0.1, 0.0, 0.7]])
    assert top_classes(classes) == [3, 1, 2, 0]
    assert top_classes(classes, limit=2) == [3, 0]


def test_times_read_like_a_clock():
    assert clock(12.5, 60) == "12.5"
    assert clock(75, 300) == "1:15"
    assert clock(3675, 36_000) == "1:01:15"
    assert tick_step(96) == 10 and tick_step(36_000) == 3600 and tick_step(0.64) == pytest.approx(0.1)


def test_long_names_lose_their_middle():
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 9) == "abcd…hijk"
    assert shorten("a\nb\x00", 9) == "a?b?"


@pytest.mark.parametrize("length", [1, 40, 56_000])
def test_any_length_gives_a_picture(length):
    anomaly = np.linspace(0, 1, length) if length > 1 else [0.3]
    picture = timeline_png(scores_of(anomaly), truth=[Segment(0.1, 0.4)], threshold=0.5)
    width, height = size_of(picture)
    assert width == 1500 and 400 < height < 1500


def test_all_zero_scores_without_classes_give_a_picture():
    scores = scores_of(np.zeros(3))
    bare = Scores(scores.video, scores.frames, scores.seconds, scores.anomaly)
    assert size_of(timeline_png(bare))[0] == 1500


@pytest.mark.parametrize(
    "name", ["a$b_c$_{x}^", "$\\frac{", "_hidden", "кадр 监控 🎥", "<img onerror=1>", "%d {0}", "x" * 300]
)
def test_names_are_letters_and_nothing_else(name, recwarn):
    events = [Detection("v", Segment(0, 1), name, 0.8)]
    scores = scores_of([0.1, 0.8], class_names=("normal", name, "fall"))
    size_of(timeline_png(scores, events=events, title=name))
    assert not [str(warning.message) for warning in recwarn]


def test_no_snippet_is_refused():
    with pytest.raises(ValueError, match="at least one snippet"):
        timeline_png(scores_of([]))


def test_matplotlib_is_loaded_only_for_pictures_and_settings_stay():
    script = (
        "import sys, vidlang.report.timeline, vidlang.report.training_curves, vidlang.report.sparkline\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from vidlang.report.training_curves import CurvePanel, curves_png\n"
        "import matplotlib; before = matplotlib.rcParams['font.family']\n"
        "curves_png([{'epoch': 1, 'loss': 1.0}], [CurvePanel('loss', {'loss': 'loss'})])\n"
        "assert matplotlib.rcParams['font.family'] == before and 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("form", "head"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_pictures_for_print_are_whole_and_carry_no_date(form, head):
    scores = scores_of([0.1, 0.9, 0.2])
    first, second = (timeline_png(scores, threshold=0.5, note="weak", form=form) for _ in range(2))
    assert first.startswith(head) and first == second
