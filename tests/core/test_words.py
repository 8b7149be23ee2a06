"""Lists of words and sizes as people give them."""

from __future__ import annotations

import pytest

from vidlang.core.words import bytes_of, words_of


@pytest.mark.parametrize(
    "given", ["fire, a person falling,, ", ["fire", " a person falling "], ("fire", "a person falling", " ")]
)
def test_words_come_as_text_or_as_a_list_and_empty_ones_are_none(given):
    assert words_of(given) == ("fire", "a person falling")


def test_nothing_said_stays_nothing_said():
    assert words_of(None) is None and words_of(" , ") == ()
    assert bytes_of(None) is None and bytes_of(3) == 3_000_000
