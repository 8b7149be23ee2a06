from __future__ import annotations

import threading

import pytest

from vidlang.engines.local import Finished, LocalEngine, Produced


def count_to(number):
    yield from range(number)


def test_every_item_of_every_job_arrives_in_the_order_of_its_job():
    seen: dict[int, list[int]] = {}
    ended = []
    for event in LocalEngine(num_workers=3, queue_size=2).stream([5, 0, 7, 3], count_to):
        if isinstance(event, Finished):
            ended.append(event.job)
        else:
            seen.setdefault(event.job, []).append(event.item)
    assert seen == {5: list(range(5)), 7: list(range(7)), 3: list(range(3))}
    assert sorted(ended) == [0, 3, 5, 7]


def test_a_failing_job_loses_nothing_of_the_others():
    def produce(job):
        yield job
        if job == "bad":
            raise RuntimeError("torn")
        yield job

    events = list(LocalEngine(num_workers=2).stream(["a", "bad", "b"], produce))
    failed = [event for event in events if isinstance(event, Finished) and event.error]
    assert [event.job for event in failed] == ["bad"] and str(failed[0].error) == "torn"
    assert sum(isinstance(event, Produced) for event in events) == 5


def test_leaving_early_stops_the_workers_and_closes_their_generators():
    closed = []

    def endless(job):
        try:
            while True:
                yield job
        finally:
            closed.append(job)

    stream = LocalEngine(num_workers=2, queue_size=1).stream([1, 2], endless)
    next(stream)
    stream.close()
    assert sorted(closed) == [1, 2]
    assert not [t for t in threading.enumerate() if t.name.startswith("vidlang-worker")]


def test_no_worker_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        LocalEngine(num_workers=0)
