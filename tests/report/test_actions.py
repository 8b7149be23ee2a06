"""Pictures of actions: where bars lie, read from the axes of the figure and from pixels."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

from vidlang.core import Detection, Segment
from vidlang.report import actions
from vidlang.report.actions import BARS, COLOURS, MAX_CLASSES, actions_png


def grid(count: int, step: float = 1.0, begin: float = 0.0) -> np.ndarray:
    """[T, 2] seconds."""
    return begin + step * (np.arange(count)[:, None] + np.array([0.0, 1.0]))


def curve(count: int, *events: tuple[int, int]) -> np.ndarray:
    """[T, C] 0.9 inside the event of each class, else 0.1."""
    values = np.full((count, len(events)), 0.1, dtype=np.float32)
    for c, (first, last) in enumerate(events):
        values[first:last, c] = 0.9
    return values


def found(label: str, start: float, end: float, score: float = 0.5) -> Detection:
    return Detection("v.mp4", Segment(start, end), label, score)


@pytest.fixture
def figures(monkeypatch) -> list:
    """Every figure that becomes a picture."""
    kept: list = []
    draw = actions.as_picture

    def keep(figure, form):
        kept.append(figure)
        return draw(figure, form)

    monkeypatch.setattr(actions, "as_picture", keep)
    return kept


def bars_of(axis) -> list[tuple[float, float]]:
    """Start and end of each bar, in seconds."""
    return [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axis.patches]


def rows_of(figure) -> dict[str, object]:
    return {axis.get_ylabel(): axis for axis in figure.axes}


def test_bars_truth_and_curve_lie_at_their_seconds(figures):
    truth = [("dive", Segment(21, 29)), ("jump", Segment(12, 14))]
    detections = [found("dive", 20, 30, 0.83), found("jump", 13, 15), found("dive", 40, 44, 0.2)]
    seconds = grid(40, begin=10.0)
    actions_png("v.mp4", seconds, curve(40, (10, 20), (3, 5)), ["dive", "jump"], detections, truth=truth)
    rows = rows_of(figures[0])
    assert bars_of(rows["dive"]) == [(20, 30), (40, 44)] and bars_of(rows["jump"]) == [(13, 15)]
    for name, (label, segment) in zip(("dive", "jump"), truth, strict=True):
        axis = rows[name]
        assert axis.get_xlim() == (10, 50) and label == name
        lines = [tuple(line.get_xdata()) for line in axis.lines if len(line.get_xdata()) == 2]
        assert lines == [(segment.start, segment.end)]
    x, y = next(line.get_data() for line in rows["dive"].lines if len(line.get_xdata()) == 41)
    np.testing.assert_allclose(x[:-1], seconds[:, 0])
    np.testing.assert_allclose(y[:-1], curve(40, (10, 20))[:, 0])
    assert [text.get_text() for text in rows["dive"].texts] == ["0.83", "0.20"]
    assert "truth" in [text.get_text() for text in figures[0].legends[0].get_texts()]


def test_the_bar_is_painted_where_the_axis_says():
    from matplotlib.image import imread

    def picture(start: float, end: float) -> np.ndarray:
        png = actions_png("v", grid(40), curve(40, (0, 0)), ["dive"], [found("dive", start, end)])
        return np.round(imread(io.BytesIO(png), format="png")[..., :3] * 255)

    ink = [int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)]
    painted = np.round(0.9 * np.array(ink) + 0.1 * 255)
    spans = []
    for start, end in ((0, 40), (10, 20)):
        mask = (np.abs(picture(start, end) - painted) <= 2).all(-1)
        columns = np.flatnonzero(mask.sum(0) > 5)
        spans.append((columns[0], columns[-1]))
    (left, right), (first, last) = spans
    assert ((first - left) / (right - left), (last - left) / (right - left)) == pytest.approx((0.25, 0.5), abs=0.005)


def test_a_short_segment_in_a_long_video_can_be_seen(figures):
    actions_png("v", grid(1000, 36.0), np.zeros((1000, 1)), ["dive"], [found("dive", 9000, 9001)])
    [(start, end)] = bars_of(figures[0].axes[0])
    assert start == 9000 and (end - start) / 36_000 >= 1 / 400


def test_the_best_segments_of_a_class_have_bars(figures):
    detections = [found("dive", i, i + 1, 1 - i / 20) for i in range(12)]
    actions_png("v", grid(20), np.zeros((20, 1)), ["dive"], detections)
    assert bars_of(figures[0].axes[0]) == [(i, i + 1) for i in range(BARS)]


def test_of_many_classes_those_found_come_first_then_the_highest(figures):
    names = [f"class {c}" for c in range(30)]
    peaks = np.linspace(0, 0.9, 30)[None].repeat(5, axis=0)
    actions_png("v", grid(5), peaks, names, [found("class 0", 1, 2)], truth=[("class 1", Segment(2, 3))])
    shown = [axis.get_ylabel() for axis in figures[0].axes]
    assert len(shown) == MAX_CLASSES
    assert shown == ["class 1", "class 0", *(f"class {c}" for c in range(29, 29 - MAX_CLASSES + 2, -1))]


@pytest.mark.parametrize("segment", [(0.0, 0.5), (0.0, 0.64)])
def test_one_row_gives_a_picture(figures, segment):
    png = actions_png("v", grid(1, 0.64), np.ones((1, 2)), ["a", "b"], [found("a", *segment)])
    assert png.startswith(b"\x89PNG")
    assert bars_of(rows_of(figures[0])["a"]) == [segment]


def test_nothing_found_gives_curves_alone(figures):
    actions_png("v", grid(9), curve(9, (2, 4)), ["dive"], [], note="made by mini")
    assert bars_of(figures[0].axes[0]) == []
    assert "made by mini" in [text.get_text() for text in figures[0].texts]


NAMES = ["a$b_c$_{x}^", "$\\frac{", "_hidden", "кадр", "<img onerror=1>", "%d {0}", "\x1b[31mred\n", "x" * 300]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_letters_and_nothing_else(figures, recwarn, name):
    actions_png(name, grid(9), curve(9, (2, 4)), [name], [found(name, 2, 4)], note=name)
    title, label = figures[0].get_suptitle(), figures[0].axes[0].get_ylabel()
    assert "\x1b" not in title + label and "\n" not in title + label
    if len(name) <= 18 and name.isprintable():
        assert title == label == name  # no backslashes before dollars
    assert len(label) <= 18 and len(title) <= 80
    assert bars_of(figures[0].axes[0]) == [(2, 4)]
    assert not [str(warning.message) for warning in recwarn]


def test_matplotlib_is_loaded_only_for_pictures():
    script = "import sys, vidlang.report.actions\nassert 'matplotlib' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_classes_that_stay_low_have_no_row_but_are_counted(figures):
    values = np.full((20, 4), 0.01, dtype=np.float32)
    values[5:9, 0] = 0.9
    actions_png("v.mp4", grid(20), values, ["dive", "jump", "run", "swim"], [found("swim", 3, 4)])
    assert set(rows_of(figures[0])) == {"dive", "swim"}
    assert figures[0].axes[-1].get_xlabel() == "time (s), 2 more under 0.05"
    actions_png("v.mp4", grid(20), np.full((20, 2), 0.01, dtype=np.float32), ["dive", "jump"], [])
    assert set(rows_of(figures[1])) == {"dive"}  # something is shown
