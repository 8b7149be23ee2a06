"""Shares as people read them."""

from __future__ import annotations

import pytest

from vidlang.core.digits import counted, share


def test_one_is_one():
    assert [counted(number, "label") for number in (0, 1, 2)] == ["0 labels", "1 label", "2 labels"]
    assert counted(1, "index", "indexes") == "1 index" and counted(3, "index", "indexes") == "3 indexes"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5, "0.50"),
        (0.123456, "0.12"),
        (0.05, "0.05"),
        (0.002, "0.002"),
        (0.99871, "0.9987"),
        (0.0, "0.00"),
        (1.0, "1.00"),
        (1e-9, "1e-09"),
        (1 - 2**-30, "1 - 9e-10"),
    ],
)
def test_a_share_near_an_end_is_told_from_it(value, shown):
    assert share(value) == shown
