"""Pictures of trainings: what is drawn, and which epoch is marked."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vidlang.report.training_curves import Best, CurvePanel, curves_png, series_of

LOSS = CurvePanel("loss", {"loss": "total", "$x_1^{}$": "<b>"})
METRIC = CurvePanel("validation mAP [0, 1]", {"map": "one vector"})
LOG = [
    {"epoch": 1, "loss": 2.0, "learning_rate": 1e-3},
    {"epoch": 2, "loss": 1.0, "learning_rate": 1e-4, "map": 0.5, "note": "text", "done": True},
]


def width(data: bytes) -> int:
    return Image.open(io.BytesIO(data)).width


def test_a_number_that_was_not_measured_is_a_gap():
    assert series_of(LOG, LOSS)["loss"].tolist() == [2.0, 1.0]
    values = series_of(LOG, METRIC)["map"]
    assert np.isnan(values[0]) and values[1] == 0.5
    assert series_of(LOG, CurvePanel("x", {"note": "n", "done": "d", "missing": "m"})) == {}


def test_each_panel_that_has_numbers_is_drawn_and_the_learning_rate():
    bare = [{"loss": 1.0}]
    one, three = width(curves_png(bare, [LOSS, METRIC])), width(curves_png(LOG, [LOSS, METRIC], best=Best(2, "map")))
    assert three == pytest.approx(3 * one, abs=4)


def test_the_kept_epoch_says_why():
    panels = [LOSS, METRIC]
    assert Best(2, "map").says(panels) == "epoch 2 is kept, best by validation mAP, one vector"
    assert Best(2).says(panels) == "epoch 2 is kept, the last"
    assert Best(2, "top1").says(panels) == "epoch 2 is kept, best by top1"


def test_nothing_to_draw_is_said():
    with pytest.raises(ValueError, match="nothing to draw"):
        curves_png([{"epoch": 1, "learning_rate": 0.1}], [LOSS])
    with pytest.raises(ValueError, match="nothing to draw"):
        curves_png([], [LOSS])
