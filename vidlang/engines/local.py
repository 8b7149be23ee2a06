"""Work on this machine: jobs run in threads and hand their items to the caller through a bounded queue.

Threads are enough because decoding, resizing and hashing release the interpreter lock. The bound is the back-pressure:
when the consumer is slow, workers wait, and memory stays constant however long the videos are.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from vidlang.engines.base import Event, Finished, Item, Job, Produced, Stage

__all__ = ["Finished", "LocalEngine", "Produced"]


class LocalEngine:
    """Runs jobs in ``num_workers`` threads.

    num_workers: jobs in progress at a time.
    queue_size: items that wait for the consumer at most.
    """

    def __init__(self, num_workers: int, queue_size: int = 8) -> None:
        if num_workers < 1 or queue_size < 1:
            raise ValueError(f"num_workers and queue_size must be at least 1, got {num_workers} and {queue_size}")
        self.num_workers = num_workers
        self.queue_size = queue_size

    def run(
        self,
        jobs: Sequence[Job],
        produce: Callable[[Job], Iterator[Any]],
        load_stage: Callable[[], Stage],
        group: int = 1,
    ) -> Iterator[Event[Job]]:
        """As ``base.Engine``: ``produce`` in the threads, the stage in the caller's. What the stage raises ends all."""
        stage = load_stage()
        held: list[Produced[Job, Any] | Finished[Job]] = []
        with closing(self.stream(jobs, produce)) as events:  # type: ignore[type-var]
            for event in events:
                held.append(event)
                if sum(isinstance(e, Produced) for e in held) >= group or isinstance(held[0], Finished):
                    yield from _staged(held, stage)
                    held = []
            yield from _staged(held, stage)

    def stream(
        self, jobs: Sequence[Job], produce: Callable[[Job], Iterator[Item]]
    ) -> Iterator[Produced[Job, Item] | Finished[Job]]:
        """Items of all jobs as they come. Items of one job keep their order; jobs are started in order.

        An exception inside ``produce`` ends its job alone and arrives as ``Finished(job, error)``. Closing the returned
        generator, or an exception in the consumer (Ctrl-C too), stops the workers before it returns.
        """
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        done: queue.Queue[Produced[Job, Item] | Finished[Job]] = queue.Queue(maxsize=self.queue_size)
        stop = threading.Event()

        def hand_over(event: Produced[Job, Item] | Finished[Job]) -> bool:
            while not stop.is_set():
                try:
                    done.put(event, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def run_one(job: Job) -> None:
            items = produce(job)
            try:
                for item in items:
                    if not hand_over(Produced(job, item)):
                        return
            except Exception as error:
                hand_over(Finished(job, error))
            else:
                hand_over(Finished(job))
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()

        def work() -> None:
            while not stop.is_set():
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    return
                run_one(job)

        num_threads = min(self.num_workers, len(jobs))
        threads = [threading.Thread(target=work, name=f"vidlang-worker-{i}", daemon=True) for i in range(num_threads)]
        for thread in threads:
            thread.start()
        try:
            remaining = len(jobs)
            while remaining:
                event = done.get()
                if isinstance(event, Finished):
                    remaining -= 1
                yield event
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _staged(events: Sequence[Produced[Job, Any] | Finished[Job]], stage: Stage) -> Iterator[Event[Job]]:
    """The events in their order, with results in the place of items."""
    items = [event.item for event in events if isinstance(event, Produced)]
    results = iter(stage(items) if items else ())
    for event in events:
        yield Produced(event.job, next(results)) if isinstance(event, Produced) else event
