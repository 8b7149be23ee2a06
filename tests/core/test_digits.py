"""Shares as people read them."""

from __future__ import annotations

import pytest

from vidlang.core.digits import share


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
