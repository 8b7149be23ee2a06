from __future__ import annotations

import numpy as np
import pytest

from vidlang.core import Detection, Scores, VideoInfo
from vidlang.core.segments import Segment
from vidlang.report.overlay import BORDER, CURSOR, TRUTH, OverlayLayers, OverlayPainter

EVENT = Detection("v", Segment(2.0, 4.0), "fighting", 0.9)
SECONDS = np.stack([np.arange(10.0), np.arange(1.0, 11.0)], axis=1)


def layers(**changes) -> OverlayLayers:
    parts = {"duration": 10.0, "seconds": SECONDS, "scores": np.linspace(0, 1, 10), "events": (EVENT,), **changes}
    return OverlayLayers(**parts)


def grey(height: int = 240, width: int = 320) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def cursor_column(picture: np.ndarray) -> float:
    """Where the one column is that is white over the lowest fifth of the picture's height."""
    white = (picture[-30:-6] == CURSOR).all(axis=(0, 2))
    return float(np.flatnonzero(white).mean())


@pytest.mark.parametrize(("seconds", "red"), [(1.99, False), (2.0, True), (3.99, True), (4.0, False)])
def test_the_border_is_red_while_an_event_runs_and_only_then(seconds, red):
    picture = OverlayPainter(layers(), (240, 320)).paint(grey(), seconds)
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == BORDER).all() if red else not (edge == BORDER).all(axis=-1).any()


def test_the_middle_of_the_frame_stays_as_it_is_and_so_does_the_given_frame():
    frame = grey()
    picture = OverlayPainter(layers(truth=(Segment(1, 2),)), (240, 320)).paint(frame, 3.0)
    assert (picture[70:150, 10:-10] == 128).all()
    assert (frame == 128).all()


def test_the_cursor_moves_in_proportion_to_time():
    painter = OverlayPainter(layers(), (240, 320))
    at = [cursor_column(painter.paint(grey(), seconds)) for seconds in (0.0, 2.5, 5.0, 10.0)]
    assert at[1] - at[0] == pytest.approx((at[3] - at[0]) / 4, abs=1)
    assert at[2] - at[0] == pytest.approx((at[3] - at[0]) / 2, abs=1)


def test_truth_is_a_bar_from_its_start_to_its_end():
    painter = OverlayPainter(layers(truth=(Segment(5.0, 7.5),)), (240, 320))
    begin, end = (cursor_column(painter.paint(grey(), seconds)) for seconds in (5.0, 7.5))
    rows = painter.paint(grey(), 0.5)[-40:]
    columns = np.flatnonzero((np.abs(rows.astype(int) - TRUTH).max(axis=-1) < 4).any(axis=0))
    assert (columns.min(), columns.max()) == (pytest.approx(begin, abs=2), pytest.approx(end, abs=2))


def test_words_name_the_class_of_the_row_and_the_event_that_runs():
    """Each word changes pixels in its own line of text, and nowhere else above the panel."""
    plain = OverlayPainter(layers(events=()), (240, 320)).paint(grey(), 3.0)
    named = OverlayPainter(layers(events=(), labels=("normal",) * 10), (240, 320)).paint(grey(), 3.0)
    changed = np.flatnonzero((plain != named).any(axis=(1, 2)))
    assert len(changed) and changed.min() > 15 and changed.max() < 60
    running = OverlayPainter(layers(labels=("normal",) * 10), (240, 320)).paint(grey(), 3.0)
    assert (running[:60] != named[:60]).any()


def test_rows_and_events_are_half_open():
    given = layers()
    assert [given.row_at(second) for second in (0.0, 0.999, 1.0, 9.99, 10.0, -0.1)] == [0, 0, 1, 9, None, None]
    assert given.events_at(2.0) == [EVENT] and given.events_at(4.0) == []


def test_the_strongest_event_is_named_first():
    weak = Detection("v", Segment(0, 9), "walking", 0.2)
    assert layers(events=(weak, EVENT)).events_at(3.0) == [EVENT, weak]


def test_layers_of_scores_name_the_likeliest_class():
    video = VideoInfo("v.mp4", 48, 3.0, 16.0, (48, 64))
    frames = np.array([[0, 16], [16, 32], [32, 48]])
    classes = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
    curve = np.array([0.1, 0.9, 0.2], np.float32)
    scores = Scores(video, frames, frames / 16, curve, classes, ("normal", "fire"))
    found = OverlayLayers.of_scores(scores, [EVENT], [Segment(1, 2)], 0.5)
    assert found.labels == ("normal", "fire", "normal")
    assert (found.duration, found.threshold, found.events, found.truth) == (3.0, 0.5, (EVENT,), (Segment(1, 2),))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (48, 64), (64, 48), (51, 83), (1080, 1920)])
def test_every_size_of_frame_can_be_painted(size):
    long = Detection("v", Segment(0, 9), "a name that is much longer than the frame is wide " * 3, 0.5)
    given = layers(events=(EVENT, long), truth=(Segment(1, 2),), labels=("normal",) * 10, threshold=0.5)
    for seconds in (-1.0, 0.5, 3.0, 99.0):
        assert OverlayPainter(given, size).paint(grey(*size), seconds).shape == (*size, 3)


def test_every_layer_may_be_missing():
    bare = OverlayPainter(OverlayLayers(10.0), (240, 320)).paint(grey(), 3.0)
    assert (bare[60:] == 128).all() and (bare[:60] != 128).any()  # the time alone
    only_events = OverlayPainter(OverlayLayers(10.0, events=(EVENT,)), (240, 320)).paint(grey(), 3.0)
    assert (only_events[0] == BORDER).all()


def test_letters_of_other_scripts_and_controls_are_drawn():
    for label in ("争斗", "قتال", "a\nb\x00", "<b>&amp;"):
        given = layers(events=(Detection("v", Segment(0, 9), label, 0.5),))
        assert OverlayPainter(given, (240, 320)).paint(grey(), 3.0).shape == (240, 320, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration": 0.0}, "duration"),
        ({"scores": None}, "a curve needs"),
        ({"seconds": SECONDS[:4]}, r"\[10, 2\], got \[4, 2\]"),
        ({"labels": ("one",)}, "10 rows, got 1"),
    ],
)
def test_layers_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        layers(**changes)


def test_a_frame_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\[240, 320, 3\], got uint8 \[10, 10, 3\]"):
        OverlayPainter(layers(), (240, 320)).paint(grey(10, 10), 0.0)
