"""Jobs shared out among processes: drawing is Python and NumPy on small arrays, which threads do not speed up."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from vidlang.core.errors import BadInput
from vidlang.core.progress import Progress

Job = Callable[[], object]
"""What it returns is dropped. Where several processes work, it has to be picklable, such as a ``functools.partial``."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_files(
    jobs: Mapping[Path, Job], doing: str, unit: str, *, processes: int = 1, progress: Progress | None = None
) -> None:
    """Runs the job of each file that is not there yet, so that an interrupted run goes on where it stopped.

    Args:
        jobs: each writes its file, complete or not at all; in this order.
        doing: what progress calls it, and ``unit`` its files.
        processes: that work at the same time; with more than one, a script needs its ``if __name__ == "__main__"``.

    Raises:
        BadInput, Exception: as ``share_out``.
    """
    missing = [job for path, job in jobs.items() if not path.exists()]
    with (progress or Progress()).task(doing, total=len(jobs), unit=unit) as task:
        task.advance(len(jobs) - len(missing))
        share_out(missing, processes, task.advance)


def share_out(jobs: Sequence[Job], processes: int, done: Callable[[], object]) -> None:
    """Runs every job, in this process or in several that take the next one whenever they have finished one.

    An error or Ctrl-C ends all of them at once; each cleans up behind itself.

    Args:
        processes: at most; one job or one process runs here.
        done: called in this process after each job.

    Raises:
        BadInput: a process was killed.
        Exception: what a job raised.
    """
    processes = min(processes, len(jobs))
    if processes < 2:
        for job in jobs:
            job()
            done()
        return
    left = iter(jobs)
    with _started(processes) as workers:
        for connection in workers:
            connection.send(next(left))
        busy = list(workers)
        while busy:
            answers = wait(busy)
            for connection in [connection for connection in busy if connection in answers]:
                _raise_from(connection, workers[connection])
                done()
                following = next(left, None)
                if following is None:
                    busy.remove(connection)
                else:
                    connection.send(following)


@contextmanager
def _started(processes: int) -> Iterator[dict[Connection, SpawnProcess]]:
    """Processes that wait for jobs, by the connection to each; ended on the way out."""
    # fork would copy a process whose threads hold locks
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, SpawnProcess] = {}
    try:
        with _deaf_to_interrupts():
            for _ in range(processes):
                here, there = context.Pipe()
                process = context.Process(target=_work, args=(there,), daemon=True)
                process.start()
                there.close()
                workers[here] = process
        yield workers
    finally:
        for process in workers.values():
            process.terminate()
        for connection, process in workers.items():
            process.join()
            connection.close()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started here never hears Ctrl-C, which a terminal tells everyone; the one who started it ends it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection) -> None:
    """The life of a process: a job, an answer, the next job, until nobody asks any more."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # by an exception, so that a job can clean up
    with suppress(EOFError, BrokenPipeError):  # the one who asks was killed
        while True:
            job: Job = connection.recv()
            error: Exception | None = None
            try:
                job()
            except Exception as raised:
                error = raised
            connection.send(error)


def _raise_from(connection: Connection, process: SpawnProcess) -> None:
    """The answer to a job."""
    try:
        error = connection.recv()
    except (EOFError, OSError):
        process.join()
        raise BadInput(
            f"A process that draws videos ended before its work was done (exit code {process.exitcode}). "
            "Run the same command again: what is finished is kept."
        ) from None
    if error is not None:
        raise error
