"""Shares of a collection by hash of the id."""

from __future__ import annotations

import hashlib

import pytest

from vidlang.core import BadInput
from vidlang.core.shares import Share, share_of

IDS = [f"cam{number % 7}/video {number} ü.mp4" for number in range(3000)]


def test_the_hash_is_what_the_text_says():
    value = int(hashlib.blake2b(b"a.mp4", digest_size=8).hexdigest(), 16)
    assert share_of("a.mp4", 1000) == value % 1000 + 1


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_shares_are_disjoint_whole_and_about_equal(count):
    shares = [Share(number, count) for number in range(1, count + 1)]
    owners = {video_id: [share.number for share in shares if video_id in share] for video_id in IDS[:300]}
    assert all(len(numbers) == 1 for numbers in owners.values())
    sizes = [sum(share_of(video_id, 7) == number for video_id in IDS) for number in range(1, 8)]
    assert sum(sizes) == len(IDS) and min(sizes) > 350  # 429 each, by chance 20 off


def test_a_share_is_written_as_it_is_read():
    assert str(Share.parse("3/1000")) == "3/1000" and Share.parse("3/1000") == Share(3, 1000)


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "a/b", "-1/3", "1/0", "1/2/3"])
def test_shares_that_cannot_be(text):
    with pytest.raises(BadInput, match="I/N"):
        Share.parse(text)
    with pytest.raises(ValueError, match="count"):
        share_of("a", 0)
