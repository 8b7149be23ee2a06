"""Results of work in threads, in the order of their items: what feeds a training while it computes.

`local.LocalEngine` hands over what is ready first, from jobs known beforehand; here the order is kept and the items may
come from an endless iterator, so that a training sees the same batches whatever the number of workers.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetched(
    items: Iterable[T], produce: Callable[[T], R], num_workers: int, ahead: int | None = None
) -> Generator[R, None, None]:
    """``produce(item)`` of every item, in order.

    num_workers: threads at work; 0 works in the caller's thread, one item at a time.
    ahead: results that are made or in the making before they are asked for, at most; twice the workers by default.

    Items are drawn in the caller's thread. An exception of ``produce`` or of ``items`` is raised at the place of its
    item and ends the iteration. However it ends (an exception in the consumer and Ctrl-C too), what was not begun is
    never begun, and the workers have stopped before the generator is closed.

    Raises:
        ValueError: fewer than 0 workers, or fewer than 1 result ahead.
    """
    ahead = max(2 * num_workers, 1) if ahead is None else ahead
    if num_workers < 0 or ahead < 1:
        raise ValueError(f"num_workers must be at least 0 and ahead at least 1, got {num_workers} and {ahead}")
    return _here(items, produce) if num_workers == 0 else _in_threads(items, produce, num_workers, ahead)


def _here(items: Iterable[T], produce: Callable[[T], R]) -> Generator[R, None, None]:
    for item in items:
        yield produce(item)


def _in_threads(
    items: Iterable[T], produce: Callable[[T], R], num_workers: int, ahead: int
) -> Generator[R, None, None]:
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="vidlang-prefetch")
    try:
        coming = _begun(items, produce, pool)
        waiting = deque(itertools.islice(coming, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(itertools.islice(coming, 1))
            yield result
            del result  # a batch is large: it must not live on while the next one is waited for
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begun(items: Iterable[T], produce: Callable[[T], R], pool: ThreadPoolExecutor) -> Iterator[Future[R]]:
    """Work on one item begins whenever one is drawn; an exception of the items is the last of them."""
    try:
        for item in items:
            yield pool.submit(produce, item)
    except Exception as error:
        failed: Future[R] = Future()
        failed.set_exception(error)
        yield failed
