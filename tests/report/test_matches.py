"""Pictures of matches, read back pixel by pixel."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from read_back import NAMES, match, pixels_of, span, where

from vidlang.report.drawing import CURVE_COLORS
from vidlang.report.matches import MAX_HITS, matches_png

BLUE, ORANGE = CURVE_COLORS[:2]
BAR = "#DDDDDD"


def bands(mask: np.ndarray) -> list[int]:
    """One row of pixels, the middle one, of each run of rows that hold the colour."""
    rows = np.flatnonzero(mask.any(1))
    return [int(run[len(run) // 2]) for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)]


def axis_of(picture: np.ndarray) -> tuple[int, int]:
    """First and last column of the query's bar, the longest in the bars' grey; letters may have some of it too."""
    bars = where(picture, BAR)
    columns = np.flatnonzero(bars[bars.sum(1).argmax()])
    runs = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    longest = max(runs, key=len)
    return int(longest[0]), int(longest[-1])


def test_bands_lie_where_the_seconds_do_on_axes_of_their_own():
    picture = pixels_of(matches_png("q.mp4", 20.0, [("v.mp4", 0.9, 80.0, [match((5, 10), (60, 80))])]))
    left, right = axis_of(picture)
    width = right - left
    upper, lower = bands(where(picture, BLUE))
    first, last = span(where(picture, BLUE)[upper])
    assert ((first - left) / width, (last - left) / width) == pytest.approx((0.25, 0.5), abs=0.005)
    first, last = span(where(picture, BLUE)[lower])
    assert ((first - left) / width, (last - left) / width) == pytest.approx((0.75, 1.0), abs=0.005)


def test_a_translucent_shape_joins_both_bands():
    picture = pixels_of(matches_png("q.mp4", 10.0, [("v.mp4", 0.9, 10.0, [match((0, 5), (5, 10))])]))
    rows = np.flatnonzero(where(picture, BLUE).sum(1) > 100)
    gap = int(np.diff(rows).argmax())
    tinted = np.round(0.25 * np.array([0x00, 0x72, 0xB2]) + 0.75 * 255)
    between = (np.abs(picture[(rows[gap] + rows[gap + 1]) // 2].astype(int) - tinted) <= 2).all(-1)
    left, right = axis_of(picture)
    first, last = span(between)
    middle = (first + last) / 2
    assert (middle - left) / (right - left) == pytest.approx(0.5, abs=0.05)
    assert (last - first) / (right - left) == pytest.approx(0.5, abs=0.02)


def test_matches_of_one_hit_have_colours_of_their_own():
    segments = [match((0, 2), (6, 8)), match((5, 7), (1, 3))]
    picture = pixels_of(matches_png("q.mp4", 10.0, [("v.mp4", 0.9, 10.0, segments)]))
    for color, left_of_middle in ((BLUE, False), (ORANGE, True)):
        mask = where(picture, color)
        first, last = span(mask[bands(mask)[-1]])
        assert ((first + last) / 2 < 0.6 * picture.shape[1]) == left_of_middle
    assert not where(picture, CURVE_COLORS[2]).any()


def test_a_short_match_in_a_long_video_can_be_seen():
    picture = pixels_of(matches_png("q.mp4", 36_000.0, [("v.mp4", 0.9, 36_000.0, [match((9000, 9001), (50, 51))])]))
    assert len(bands(where(picture, BLUE))) == 2


def test_a_match_behind_the_stated_duration_stretches_the_axis():
    picture = pixels_of(matches_png("q.mp4", 9.9, [("v.mp4", 0.9, 0.0, [match((5, 10), (5, 10))])]))
    mask = where(picture, BLUE)
    upper, lower = (span(mask[row]) for row in bands(mask))
    assert upper == pytest.approx(lower, abs=1)


def test_ten_hits_are_drawn_and_the_others_are_counted():
    hits = [(f"{number}.mp4", 0.5, 10.0, [match((0, 5), (5, 10))]) for number in range(13)]
    ten, thirteen = (pixels_of(matches_png("q.mp4", 10.0, hits[:count])) for count in (MAX_HITS, 13))
    assert len(bands(where(ten, BLUE))) == len(bands(where(thirteen, BLUE))) == 2 * MAX_HITS
    assert 0 < len(thirteen) - len(ten) < 50


def test_texts_and_images_have_no_seconds_of_their_own():
    hits = [("v.mp4", 0.31, 64.0, [match((0, 0), (32, 48))])]
    picture = pixels_of(matches_png("a red car", 0.0, hits))
    (bar,) = bands(where(picture, BLUE))
    left, right = span(where(picture, BAR)[bar] | where(picture, BLUE)[bar])
    first, last = span(where(picture, BLUE)[bar])
    assert ((first - left) / (right - left), (last - left) / (right - left)) == pytest.approx((0.5, 0.75), abs=0.005)


def test_no_hits_and_hits_without_seconds_give_a_picture():
    assert not where(pixels_of(matches_png("q.mp4", 10.0, [])), BLUE).any()
    hits = [("v.mp4", -0.1, 5.0, ()), ("image.png", 0.4, 0.0, ())]
    assert not where(pixels_of(matches_png("q.mp4", 10.0, hits)), BLUE).any()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_letters_and_nothing_else(name, recwarn):
    picture = pixels_of(matches_png(name, 10.0, [(name, 0.9, 10.0, [match((0, 5), (5, 10))])], title=name))
    plain = pixels_of(matches_png("q", 10.0, [("v", 0.9, 10.0, [match((0, 5), (5, 10))])]))
    assert (where(picture, BLUE) == where(plain, BLUE)).all()  # no name reaches the bars
    assert not [str(warning.message) for warning in recwarn]


def test_matplotlib_is_loaded_only_for_pictures():
    script = "import sys, vidlang.report.matches\nassert 'matplotlib' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
