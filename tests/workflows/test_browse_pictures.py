"""Stills on demand: bounded memory, bounded work, nothing made twice at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vidlang.core import BadVideo
from vidlang.workflows.browse_pictures import RecentBytes, Stills

VIDEO = Path("v.mp4")


def key(number: int) -> tuple[Path, float, None]:
    return VIDEO, float(number), None


def test_what_was_not_used_for_longest_goes_first():
    kept = RecentBytes(30)
    for number in range(3):
        kept.put(key(number), b"x" * 10)
    assert kept.get(key(0)) is not None  # now 1 is the oldest
    kept.put(key(3), b"x" * 10)
    assert [kept.get(key(number)) is not None for number in range(4)] == [True, False, True, True]
    assert (len(kept), kept.num_bytes) == (3, 30)


def test_memory_is_bounded_whatever_comes():
    kept = RecentBytes(100)
    for number in range(1000):
        kept.put(key(number % 7), b"x" * (number % 130))
        assert kept.num_bytes <= 100
        assert kept.num_bytes == sum(len(kept.get(key(n)) or b"") for n in range(7))


def test_what_alone_is_too_large_drives_nothing_out():
    kept = RecentBytes(30)
    kept.put(key(0), b"x" * 30)
    kept.put(key(1), b"x" * 31)
    assert kept.get(key(0)) is not None and kept.get(key(1)) is None


def test_a_bound_of_nothing_is_a_mistake():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        RecentBytes(0)


def test_a_still_is_made_once_however_many_ask():
    asked, go = [], threading.Event()

    def make(path: Path, seconds: float, frame_rate: float | None) -> bytes:
        asked.append((path, seconds, frame_rate))
        go.wait(5)
        return b"still"

    stills = Stills(make)
    with ThreadPoolExecutor(4) as pool:
        coming = [pool.submit(stills.get, VIDEO, 1.001, 25.0) for _ in range(4)]
        go.set()
        assert [each.result(5) for each in coming] == [b"still"] * 4
    assert stills.get(VIDEO, 1.0, 25.0) == b"still"
    assert asked == [(VIDEO, 1.0, 25.0)]
    stills.close()


def test_as_many_are_made_at_a_time_as_there_are_workers():
    lock, now, most = threading.Lock(), 0, 0
    together = threading.Barrier(2)

    def make(path: Path, seconds: float, frame_rate: float | None) -> bytes:
        nonlocal now, most
        with lock:
            now, most = now + 1, max(most, now + 1)
        together.wait(5)
        with lock:
            now -= 1
        return b"x"

    stills = Stills(make, num_workers=2)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: stills.get(VIDEO, n), range(8))) == [b"x"] * 8
    assert most == 2
    stills.close()


def test_who_asks_for_more_than_can_wait_is_told_so():
    go = threading.Event()

    def make(path: Path, seconds: float, frame_rate: float | None) -> bytes:
        go.wait(5)
        return b"x"

    stills = Stills(make, max_waiting=1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(stills.get, VIDEO, 1.0)
        while not stills._coming:
            time.sleep(0.001)
        assert stills.get(VIDEO, 2.0) is None
        go.set()
        assert first.result(5) == b"x"
    assert stills.get(VIDEO, 2.0) == b"x"
    stills.close()


def test_a_video_that_gives_none_is_asked_once():
    asked = []

    def make(path: Path, seconds: float, frame_rate: float | None) -> bytes:
        asked.append(seconds)
        raise BadVideo("planted")

    stills = Stills(make)
    assert [stills.get(VIDEO, 1.0), stills.get(VIDEO, 1.0)] == [b"", b""]
    assert asked == [1.0]
    stills.close()


def test_a_still_comes_once_what_kept_it_from_being_made_is_gone():
    trouble = [OSError("planted")]

    def make(path: Path, seconds: float, frame_rate: float | None) -> bytes:
        if trouble:
            raise trouble[0]
        return b"still"

    stills = Stills(make, ask_again=0.0)
    assert [stills.get(VIDEO, float(second)) for second in range(3)] == [b""] * 3
    assert len(stills._failed) == 1  # what may be tried again is forgotten
    trouble.clear()
    assert stills.get(VIDEO, 1.0) == b"still"
    stills.close()
