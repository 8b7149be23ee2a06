from __future__ import annotations

import numpy as np
import pytest

from vidlang.report.sparkline import sparkline


def test_levels_go_from_low_to_high():
    assert sparkline([0.0, 0.5, 1.0], 10) == "▁▅█"
    assert sparkline([0.0, 0.5, 1.0], 10, ascii_only=True) == "_+#"


def test_a_peak_survives_in_a_narrow_line():
    values = np.zeros(56_000)
    values[41_234] = 1.0
    line = sparkline(values, 40)
    assert len(line) == 40 and line.count("█") == 1 and line.index("█") == 41_234 * 40 // 56_000


def test_values_outside_the_range_are_clipped_and_unknown_ones_are_spaces():
    assert sparkline([-1.0, 2.0, float("nan")]) == "▁█ "


def test_nothing_is_one_space():
    assert sparkline([], 10) == " "


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="width must be at least 1"):
        sparkline([0.5], 0)
    with pytest.raises(ValueError, match=r"values must be \[T\], got shape \(1, 2\)"):
        sparkline(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="high must be above low"):
        sparkline([0.5], low=1, high=1)
