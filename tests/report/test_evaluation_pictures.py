"""Pictures of measurements: sizes, words, and that no name or number breaks them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vidlang.report.evaluation_plots import (
    Bars,
    Line,
    Lines,
    Matrix,
    describe,
    panel_picture,
    sheet_picture,
    thinned,
)

NAMES = ("normal", "$x_1^{}$ <b>&amp;", "_hidden", "名前" * 30)
ENDS = np.array([0.0, 1.0])
ROC = Lines("roc", "ROC", "false", "true", (Line("one, AUC 0.500", ENDS, ENDS),), Line("chance", ENDS, ENDS))
BARS = Bars("bars", "By class", "AUC", NAMES, (0.0, 0.5, 0.9, 1.0), (0, 1, 2, 3), "videos", ("mean 0.6", 0.6))
MATRIX = Matrix("confusion", "Confusion", NAMES[:2], NAMES, np.array([[3, 1, 0, 0], [0, 0, 0, 0]]))


def size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


@pytest.mark.parametrize("panel", [ROC, BARS, MATRIX], ids=lambda panel: panel.key)
def test_each_kind_of_panel_is_a_picture_and_a_page_of_pdf(panel):
    width, height = size(panel_picture(panel))
    assert width > 500 and height > 300
    assert panel_picture(panel, "pdf").startswith(b"%PDF")


def test_a_sheet_has_two_panels_in_a_row():
    one, three = size(panel_picture(ROC)), size(sheet_picture([ROC, ROC, ROC], title="three"))
    assert three[0] == pytest.approx(2 * one[0], abs=4)
    assert 2 * one[1] < three[1] < 2.3 * one[1]
    with pytest.raises(ValueError, match="at least one panel"):
        sheet_picture([])


def test_equal_panels_give_equal_files():
    assert panel_picture(ROC, "pdf") == panel_picture(ROC, "pdf")


def test_many_classes_still_make_a_picture():
    many = tuple(f"class {number}" for number in range(200))
    counts = np.eye(200, dtype=np.int64)
    assert size(panel_picture(Bars("b", "t", "v", many, tuple(np.linspace(0, 1, 200)))))[1] < 3000
    assert max(size(panel_picture(Matrix("m", "t", many, many, counts)))) < 3000
    assert panel_picture(Lines("l", "t", "x", "y", tuple(Line(name, ENDS, ENDS) for name in many)))


def test_thinning_keeps_ends_and_area():
    x = np.sort(np.random.default_rng(0).random(50_000))
    line = Line("", np.concatenate([[0], x, [1]]), np.concatenate([[0], np.sqrt(x), [1]]))
    few = thinned(line, 1000)
    assert len(few.x) <= 1000 and (few.x[0], few.x[-1], few.y[-1]) == (0, 1, 1)
    areas = [(np.diff(one.x) * (one.y[1:] + one.y[:-1]) / 2).sum() for one in (few, line)]
    assert areas[0] == pytest.approx(areas[1], abs=1e-3)
    assert thinned(few, 1000) is few


def test_panels_are_told_in_words():
    assert describe(ROC) == "ROC: true over false; one, AUC 0.500"
    assert describe(BARS).startswith("By class: AUC; normal 0.000; $x_1^{}$")
    assert describe(MATRIX) == "Confusion: 3 of 4 on the diagonal"
