from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from vidlang.engines.prefetch import prefetched


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("vidlang-prefetch")]


@pytest.mark.parametrize("num_workers", [0, 1, 4])
def test_results_come_in_the_order_of_their_items(num_workers):
    def slower_at_first(item):
        time.sleep(0.002 * (12 - item))
        return item * item

    assert list(prefetched(range(12), slower_at_first, num_workers)) == [item * item for item in range(12)]
    assert not workers()


def test_work_goes_on_while_the_consumer_holds_a_result():
    """The second result can only be ready if it is made while the first one is held."""
    begun = threading.Event()

    def produce(item):
        if item == 1:
            begun.set()
        return item

    results = prefetched(range(2), produce, num_workers=1)
    assert next(results) == 0
    assert begun.wait(5)
    assert list(results) == [1]


@pytest.mark.parametrize(("num_workers", "ahead"), [(1, 1), (2, 3), (4, 2)])
def test_no_more_is_made_ahead_than_asked_for(num_workers, ahead):
    made = []
    drawn = itertools.count()
    results = prefetched(drawn, lambda item: made.append(item) or item, num_workers, ahead)
    for consumed in range(1, 8):
        next(results)
        deadline = time.monotonic() + 5
        while len(made) < consumed + ahead and time.monotonic() < deadline:
            time.sleep(0.001)  # until the workers have done all that they may
        time.sleep(0.005)
        assert len(made) == consumed + ahead
    results.close()
    assert next(drawn) == 7 + ahead, "items beyond the bound were drawn"


def test_items_may_come_without_end():
    results = prefetched(itertools.count(), str, num_workers=2)
    assert list(itertools.islice(results, 5)) == ["0", "1", "2", "3", "4"]
    results.close()
    assert not workers()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_comes_at_the_place_of_its_item(num_workers):
    def produce(item):
        if item == 3:
            raise RuntimeError("torn")
        return item

    results = prefetched(range(8), produce, num_workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="torn"):
        next(results)
    assert list(results) == []
    assert not workers()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_of_the_items_comes_after_the_results_before_it(num_workers):
    def items():
        yield from range(2)
        raise RuntimeError("no more")

    results = prefetched(items(), str, num_workers, ahead=5)
    assert [next(results), next(results)] == ["0", "1"]
    with pytest.raises(RuntimeError, match="no more"):
        next(results)


def test_closing_early_stops_the_workers_and_begins_nothing_more():
    begun = []
    release = threading.Event()

    def produce(item):
        begun.append(item)
        if item:
            release.wait(5)
        return item

    results = prefetched(range(100), produce, num_workers=2, ahead=50)
    assert next(results) == 0
    threading.Timer(0.1, release.set).start()
    results.close()
    assert not workers()
    assert len(begun) <= 4, "pending items were begun after the end"


def test_an_error_in_the_consumer_stops_the_workers():
    def consume():
        with pytest.raises(ValueError, match="mine"):
            for _ in prefetched(range(100), str, num_workers=2):
                raise ValueError("mine")

    consume()
    deadline = time.monotonic() + 5
    while workers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not workers()


SCRIPT = """
import sys, time
from vidlang.engines.prefetch import prefetched
def produce(item):
    if item == 0:
        print("ready", flush=True)
    time.sleep(0.2)
    return item
try:
    for result in prefetched(range(10_000), produce, 2, 100):
        time.sleep({pause})
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
@pytest.mark.parametrize("pause", [0, 30], ids=["waiting for a result", "holding a result"])
def test_ctrl_c_ends_the_program(pause):
    command = [sys.executable, "-c", SCRIPT.format(pause=pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 7


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="got -1 and 1"):
        prefetched([], str, -1)
    with pytest.raises(ValueError, match="got 1 and 0"):
        prefetched([], str, 1, 0)
