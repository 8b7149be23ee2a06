"""What every engine does: jobs become items, items become results, and the caller gets them job by job.

``produce`` turns a job into items; many run at a time. ``load_stage`` makes, once per place where a model lies, what
turns items into results. An engine decides where the two run and how items get from one to the other in bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Job = TypeVar("Job")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Produced(Generic[Job, Item]):
    """One item of a job."""

    job: Job
    item: Item


@dataclass(frozen=True)
class Finished(Generic[Job]):
    """A job ended; ``error`` is None when it ended well. No further item of it follows."""

    job: Job
    error: Exception | None = None


@dataclass(frozen=True)
class Again(Generic[Job]):
    """A job is begun once more, since its worker died: what came of it so far is void."""

    job: Job


Event = Produced[Job, Any] | Finished[Job] | Again[Job]
Stage = Callable[[Sequence[Any]], Sequence[Any]]
"""One result for each item, in their order."""


class Engine(Protocol):
    """A place where work runs."""

    def run(
        self,
        jobs: Sequence[Job],
        produce: Callable[[Job], Iterator[Any]],
        load_stage: Callable[[], Stage],
        group: int = 1,
    ) -> Iterator[Event[Job]]:
        """Results of all jobs as they come, through ``Produced``; each job ends with one ``Finished``.

        group: items that the stage is given at a time, of any jobs; the last ones are fewer

        Results of one job keep the order of its items. An exception inside ``produce`` ends its job alone. Closing the
        generator, or an exception in the consumer (Ctrl-C too), stops the work before it returns.
        """
        ...
