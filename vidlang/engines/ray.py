"""Work on a cluster, or on the cores of one machine, by Ray Data: a pool of decoders feeds a pool of encoders.

Decoders (one core each) run ``produce`` and encoders (a GPU, a share of one, or a core each) hold a stage. Items travel
between them in blocks of bounded size through Ray's object store; when encoders are slow, decoders wait. Results
come back to the caller's process, which puts each job's items into order again.

A worker that dies is started again, and what it was doing is done again: by Ray once, and by another pass over the jobs
that did not end. Jobs that fail with something that is no VidlangError (a storage that does not answer) are tried in
these passes, too.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from vidlang.core import BadInput, MissingDependency, VidlangError
from vidlang.engines.base import Again, Event, Finished, Job, Produced, Stage

logger = logging.getLogger(__name__)

MOST_BLOCKS = 1000
"""Of jobs; more jobs than that come several to a block, since the driver keeps books of every block."""
BLOCK_BYTES = 32 << 20
"""A decoder hands items over when it has so much."""


@dataclass(frozen=True)
class RayOptions:
    """Where and how wide."""

    address: str | None = None
    """Of a cluster (``auto``, ``HOST:6379``); None: Ray is started on this machine and ended with the run."""
    decoders: int | None = None
    """None: the cores that encoders leave."""
    encoders: int | None = None
    """None: one per GPU (or per share of one), or one where there is none."""
    gpus_per_encoder: float | None = None
    """May be a fraction; None: 1 where the cluster has GPUs, else 0."""
    retries: int = 2
    """Further passes over jobs whose workers died."""
    object_store_bytes: int = 2 << 30
    """Memory for items on their way, where Ray is started here."""

    def __post_init__(self) -> None:
        for name in ("decoders", "encoders"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.gpus_per_encoder is not None and self.gpus_per_encoder < 0:
            raise ValueError(f"gpus_per_encoder must not be negative, got {self.gpus_per_encoder}")


class RayEngine:
    """``base.Engine`` on Ray; a context manager that, where it started Ray, ends it.

    ``produce``, ``load_stage`` and all items must pickle, and vidlang must be installed on every machine.
    """

    def __init__(self, options: RayOptions | None = None) -> None:
        self.options = options or RayOptions()
        self.decoders, self.encoders, self.gpus_per_encoder = 1, 1, 0.0
        self._connected = self._started = False
        self._reason = "killed, out of memory, or a crash of a decoder"

    def __enter__(self) -> RayEngine:
        return self

    def connect(self) -> RayEngine:
        """Joins the cluster, or starts Ray here, and shares its resources out; once. ``run`` does so itself.

        Raises:
            MissingDependency: Ray is not installed.
            BadInput: there is no cluster at the address, or it has too few GPUs.
        """
        if self._connected:
            return self
        ray, options = _ray(), self.options
        if not ray.is_initialized():
            with _errors_unseen():
                _start(ray, options)
            self._started = True
        self._connected = True
        try:
            self._share_out(ray.cluster_resources())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connected = False
        if self._started:
            self._started = False
            _ray().shutdown()

    def _share_out(self, resources: Mapping[str, float]) -> None:
        options, gpus, cores = self.options, resources.get("GPU", 0.0), int(resources.get("CPU", 1))
        each = options.gpus_per_encoder
        self.gpus_per_encoder = each = (1.0 if gpus else 0.0) if each is None else each
        self.encoders = options.encoders or (max(1, int(gpus / each)) if each else 1)
        if self.encoders * each > gpus:
            raise BadInput(
                f"{self.encoders} encoders of {each:g} GPUs each do not fit a Ray cluster with {gpus:g}. "
                "Give fewer --encoders, or --gpus-per-encoder 0 to encode on cores."
            )
        self.decoders = options.decoders or max(1, cores - self.encoders)

    def run(
        self,
        jobs: Sequence[Job],
        produce: Callable[[Job], Iterator[Any]],
        load_stage: Callable[[], Stage],
        group: int = 1,
    ) -> Iterator[Event[Job]]:
        """As ``base.Engine``; where the stage fails, the jobs of its items fail."""
        self.connect()
        pending = dict(enumerate(jobs))
        errors: dict[int, Exception] = {}
        for attempt in range(self.options.retries + 1):
            if attempt:
                logger.info("another pass over %d jobs", len(pending))
                for job in pending.values():
                    yield Again(job)
            for number, event in self._one_pass(dict(pending), produce, load_stage, group):
                if isinstance(event, Finished):
                    if event.error is not None and not isinstance(event.error, VidlangError):
                        errors[number] = event.error
                        continue
                    del pending[number]
                yield event
            if not pending:
                return
        for number, job in pending.items():
            yield Finished(job, errors.get(number) or _died(self.options.retries + 1, self._reason))

    def _one_pass(
        self,
        jobs: Mapping[int, Job],
        produce: Callable[[Job], Iterator[Any]],
        load_stage: Callable[[], Stage],
        group: int,
    ) -> Iterator[tuple[int, Event[Job]]]:
        """(number, event) in the order of each job. A job whose worker died, and died again, has no ``Finished``."""
        import ray

        orders = {number: _Order() for number in jobs}
        rows = [{"job": number, "data": pickle.dumps(job)} for number, job in jobs.items()]
        _set_up_context()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of ray_remote_args_fn, which has no successor yet
            data = self._pipeline(ray, rows, produce, load_stage, group)
        try:
            for table in data.iter_batches(batch_size=None, batch_format="pyarrow"):
                for number, index, item in _unpacked(table):
                    for event in orders[number].take(index, item, jobs[number]):
                        yield number, event
        except ray.exceptions.RayError as error:  # what is left is for the next pass
            logger.info("Ray gave up on a pass", exc_info=error)
            said = [line.strip() for line in str(error).splitlines() if line.strip()]
            self._reason = said[-1] if said else type(error).__name__

    def _pipeline(
        self,
        ray: Any,
        rows: Sequence[Mapping[str, Any]],
        produce: Callable[[Any], Iterator[Any]],
        load_stage: Callable[[], Stage],
        group: int,
    ) -> Any:
        """Jobs → decoders → encoders, lazily."""
        from ray.data import ActorPoolStrategy

        data = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS))
        data = data.map_batches(
            _Decoder,
            fn_constructor_args=(produce,),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=min(self.decoders, len(rows))),
            num_cpus=1,
            ray_remote_args_fn=_once_more,
        )
        data = data.map_batches(
            _Encoder,
            fn_constructor_args=(load_stage,),
            batch_size=group,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=min(self.encoders, len(rows))),
            num_cpus=0 if self.gpus_per_encoder else 1,
            num_gpus=self.gpus_per_encoder,
            ray_remote_args_fn=_once_more,
        )
        return data


def _once_more() -> dict[str, Any]:
    """What a worker was doing when it died is done again once: some videos kill every decoder."""
    return {"max_task_retries": 1}


@dataclass(frozen=True)
class _Last:
    """Stands behind a job's last item."""

    error: Exception | None


@dataclass
class _Order:
    """Items of one job in the order of their index, however they come."""

    next: int = 0
    early: dict[int, Any] = field(default_factory=dict)
    ended: bool = False

    def take(self, index: int, item: Any, job: Job) -> Iterator[Event[Job]]:
        if isinstance(item, _Last) and item.error is not None:  # nothing will fill the gap before it
            self.early.clear()
            if not self.ended:
                self.ended = True
                yield Finished(job, item.error)
        elif not self.ended:
            self.early[index] = item
            while self.next in self.early:
                found = self.early.pop(self.next)
                self.next += 1
                if isinstance(found, _Last):
                    self.ended = True
                    yield Finished(job)
                else:
                    yield Produced(job, found)


class _Decoder:
    """An actor that runs ``produce``."""

    def __init__(self, produce: Callable[[Any], Iterator[Any]]) -> None:
        self.produce = produce

    def __call__(self, table: Any) -> Iterator[Any]:
        for number, data in zip(table["job"].to_pylist(), table["data"].to_pylist(), strict=True):
            index = 0
            try:
                for item in self.produce(pickle.loads(data)):
                    yield _packed([(number, index, item)])
                    index += 1
            except Exception as error:
                yield _packed([(number, index, _Last(_portable(error)))])
            else:
                yield _packed([(number, index, _Last(None))])


class _Encoder:
    """An actor that holds a stage, loaded with its first items, so that a failure has jobs to belong to."""

    def __init__(self, load_stage: Callable[[], Stage]) -> None:
        self.load_stage = load_stage
        self.stage: Stage | None = None

    def __call__(self, table: Any) -> Any:
        rows = list(_unpacked(table))
        items = [item for _, _, item in rows if not isinstance(item, _Last)]
        try:
            if self.stage is None:
                self.stage = self.load_stage()
            results = iter(self.stage(items) if items else ())
        except Exception as error:
            ended = _Last(_portable(error))
            return _packed(
                [(number, index, item if isinstance(item, _Last) else ended) for number, index, item in rows]
            )
        return _packed(
            [(number, index, item if isinstance(item, _Last) else next(results)) for number, index, item in rows]
        )


def _packed(rows: Sequence[tuple[int, int, Any]]) -> Any:
    """A block of (number of the job, index of the item, item)."""
    import pyarrow as pa

    items = [pickle.dumps(item, protocol=5) for _, _, item in rows]
    numbers, indices = [number for number, _, _ in rows], [index for _, index, _ in rows]
    return pa.table({"job": numbers, "index": indices, "item": pa.array(items, pa.large_binary())})


def _unpacked(table: Any) -> Iterator[tuple[int, int, Any]]:
    for number, index, item in zip(table["job"], table["index"], table["item"], strict=True):
        yield number.as_py(), index.as_py(), pickle.loads(item.as_buffer())


def _portable(error: Exception) -> Exception:
    """The error, or, where it does not pickle, one that says the same."""
    try:
        if isinstance(pickle.loads(pickle.dumps(error)), type(error)):
            return error
    except Exception:  # whatever a foreign exception does when it is pickled
        logger.debug("an error does not pickle", exc_info=error)
    return VidlangError(str(error)) if isinstance(error, VidlangError) else RuntimeError(f"{error!r}")


def _died(times: int, reason: str) -> VidlangError:
    return VidlangError(
        f"A process that worked on it died {times} times ({reason}). Try the video alone: vidlang extract VIDEO "
        "--engine local"
    )


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_worker_niceness", "0")  # workers are the work; Ray's 15 waits for everything else
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its future default; else it warns
    try:
        import pyarrow  # noqa: F401
        import ray
        import ray.data
    except ImportError as cause:
        raise MissingDependency('--engine ray needs Ray Data. Run: pip install "vidlang[ray]"') from cause
    return ray


def _start(ray: Any, options: RayOptions) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
    if options.address is None:
        needed = (options.decoders or 1) + (options.encoders or 1)
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, needed),
            object_store_memory=options.object_store_bytes,
            **quiet,
        )
        return
    try:
        ray.init(address=options.address, **{k: v for k, v in quiet.items() if k != "include_dashboard"})
    except (ConnectionError, ValueError, RuntimeError) as cause:
        raise BadInput(
            f"There is no Ray cluster at {options.address} that this process can join. Start one with: ray start --head"
        ) from cause


@contextmanager
def _errors_unseen() -> Iterator[None]:
    """Ray's start writes to the process's stderr what nobody asked for; what goes wrong is raised besides."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _set_up_context() -> None:
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1  # a block that is lost costs its jobs this pass, not the others theirs
    context.target_max_block_size = BLOCK_BYTES
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
