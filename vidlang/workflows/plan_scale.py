"""What an extraction takes at any size: rows, bytes and files of so many hours, and the time of so many workers.

Arithmetic alone; ``plan_measure`` finds the rates that it wants. A worker is one machine's share: some cores that
decode, and one encoder, which runs on the same cores or on a device of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from vidlang.core import BadInput, FeatureRecipe

Bound = Literal["decode", "encode", "network", "files"]

RULER_BYTES = 32
"""Of a row's frame span and seconds, two int64 and two float64."""
ENTRY_BYTES = 9_000
"""Of an entry beyond its rows: HDF5's own blocks, recipe, facts of the video. Measured: 8,192 to 10,208."""
PACK_ENTRIES = 10_000
"""Entries of one pack in the estimate of files."""
MANY_ENTRIES = 1_000_000
"""From here on the notes advise packs."""
INDEX_ROW_BYTES = 4
"""Of one number of the retrieval index, float32."""

_HOURS = re.compile(r"\s*([\d_,]*\.?\d+(?:e\d+)?)\s*(?:hours?|h)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Spread:
    """A measured rate: all of the work by all of the time, and the slowest and fastest part of it."""

    middle: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.middle <= self.high < math.inf:
            raise ValueError(f"a rate needs 0 < low <= middle <= high, got {self.low}, {self.middle}, {self.high}")

    @classmethod
    def of(cls, parts: Sequence[tuple[float, float]]) -> Spread:
        """parts: (work, seconds) of each part.

        Raises:
            ValueError: no part, or one without work or time.
        """
        if not parts or any(work <= 0 or seconds <= 0 for work, seconds in parts):
            raise ValueError(f"a rate needs parts with work and time, got {list(parts)[:3]}")
        rates = [work / seconds for work, seconds in parts]
        middle = sum(work for work, _ in parts) / sum(seconds for _, seconds in parts)
        return cls(min(max(middle, min(rates)), max(rates)), min(rates), max(rates))

    @classmethod
    def exactly(cls, rate: float) -> Spread:
        """Of a rate that was given."""
        return cls(rate, rate, rate)


@dataclass(frozen=True)
class Rates:
    """How fast one worker is."""

    decode: Spread
    """Seconds of video a core decodes, chooses from and resizes in a second."""
    encode: Spread
    """Images a second: of one core where the encoder shares the cores, else of the device."""
    on_cores: bool
    """Whether the encoder runs on the cores that decode."""
    where: str
    """What the rates are of, for people."""


@dataclass(frozen=True)
class Workload:
    """What has to be done."""

    num_videos: int
    video_seconds: float
    images: int
    """That go through the encoder: rows by crops, or every frame with ``pick`` mean."""
    rows: int
    source_bytes: int
    feature_bytes: int
    index_bytes: int

    def __post_init__(self) -> None:
        if self.num_videos < 1 or not self.video_seconds > 0:
            raise ValueError(f"a workload has videos that last, got {self.num_videos} of {self.video_seconds} s")

    @property
    def packs(self) -> int:
        """Files where entries lie in packs; one a video where they do not."""
        return math.ceil(self.num_videos / PACK_ENTRIES)


@dataclass(frozen=True)
class Site:
    """What is assumed of the place where it runs."""

    cores: int
    """Of one worker."""
    network: float = 1e9
    """Bytes a second that the storage of the videos gives to all workers together."""
    files_per_second: float = 500.0
    """Entries that the storage of the features takes from all workers together."""
    price_per_hour: float | None = None
    """Of one worker."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < math.inf:
                raise BadInput(f"{name.replace('_', ' ')} must be above 0, got {value:g}.")


@dataclass(frozen=True)
class Row:
    """The extraction with so many workers."""

    workers: int
    seconds: float
    least_seconds: float
    """If everything goes as fast as the fastest measured part."""
    most_seconds: float
    """As slow as the slowest."""
    bound: Bound
    """What takes that long; more of anything else does not help."""
    cost: float | None


@dataclass(frozen=True)
class Estimate:
    """The plan of an extraction at several sizes. Nothing was written."""

    recipe: FeatureRecipe
    work: Workload
    rates: Rates
    site: Site
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())
    """What is assumed."""

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "schema": "vidlang.estimate/1",
            "recipe": self.recipe.to_dict(),
            "fingerprint": self.recipe.fingerprint,
            "videos": self.work.num_videos,
            "video_seconds": self.work.video_seconds,
            "images": self.work.images,
            "rows": self.work.rows,
            "source_bytes": self.work.source_bytes,
            "feature_bytes": self.work.feature_bytes,
            "index_bytes": self.work.index_bytes,
            "packs": self.work.packs,
            "rates": asdict(self.rates),
            "site": asdict(self.site),
            "table": [asdict(row) for row in self.rows],
            "notes": list(self.notes),
        }


def workload(
    recipe: FeatureRecipe,
    *,
    num_videos: int,
    video_seconds: float,
    frame_rate: float,
    source_bytes: float,
    dim: int,
) -> Workload:
    """Rows and bytes of so many seconds of video.

    frame_rate: frames per second of the videos    source_bytes: of all videos    dim: numbers of a row
    """
    sampling = recipe.sampling
    rows_per_second = sampling.fps if sampling.fps is not None else frame_rate / sampling.stride
    rows = max(num_videos, math.ceil(video_seconds * rows_per_second - 1e-6))  # every video has one
    pictures = max(rows, math.ceil(video_seconds * frame_rate - 1e-6)) if sampling.pick == "mean" else rows
    row_bytes = sampling.num_crops * dim * (2 if recipe.dtype == "float16" else 4) + RULER_BYTES
    return Workload(
        num_videos,
        video_seconds,
        pictures * sampling.num_crops,
        rows,
        round(source_bytes),
        rows * row_bytes + num_videos * ENTRY_BYTES,
        rows * dim * INDEX_ROW_BYTES,
    )


def estimate(
    recipe: FeatureRecipe, work: Workload, rates: Rates, site: Site, workers: Sequence[int], notes: Sequence[str] = ()
) -> Estimate:
    """The table for these numbers of workers.

    Raises:
        BadInput: a number of workers below 1.
    """
    if not workers or min(workers) < 1:
        raise BadInput(f"The numbers of workers start at 1, got {', '.join(map(str, workers)) or 'none'}.")
    return Estimate(
        recipe, work, rates, site, tuple(_row(work, rates, site, n) for n in workers), (*notes, *_advice(work))
    )


def stages(work: Workload, rates: Rates, site: Site, workers: int, pick: str = "middle") -> dict[Bound, float]:
    """Seconds that each stage takes, all of them at work together.

    pick: which end of the measured rates: low, middle or high

    Decoding shares its cores with an encoder that runs there, so each of the two then has the time of both.
    """
    decode = work.video_seconds / (getattr(rates.decode, pick) * site.cores * workers)
    encode = work.images / (getattr(rates.encode, pick) * workers * (site.cores if rates.on_cores else 1))
    return {
        "decode": decode,
        "encode": encode,
        "network": work.source_bytes / site.network,
        "files": work.num_videos / site.files_per_second,
    }


def _seconds(work: Workload, rates: Rates, site: Site, workers: int, pick: str) -> tuple[float, Bound]:
    by_stage = stages(work, rates, site, workers, pick)
    bound = max(by_stage, key=lambda stage: by_stage[stage])
    if not rates.on_cores:
        return by_stage[bound], bound
    computing = by_stage["decode"] + by_stage["encode"]
    waiting: Bound = "network" if by_stage["network"] >= by_stage["files"] else "files"
    if by_stage[waiting] > computing:
        return by_stage[waiting], waiting
    return computing, "decode" if by_stage["decode"] > by_stage["encode"] else "encode"


def _row(work: Workload, rates: Rates, site: Site, workers: int) -> Row:
    seconds, bound = _seconds(work, rates, site, workers, "middle")
    least, most = (_seconds(work, rates, site, workers, pick)[0] for pick in ("high", "low"))
    cost = None if site.price_per_hour is None else site.price_per_hour * workers * seconds / 3600
    return Row(workers, seconds, least, most, bound, cost)


def _advice(work: Workload) -> tuple[str, ...]:
    if work.num_videos < MANY_ENTRIES:
        return ()
    return (
        f"{work.num_videos:,} entries are as many small files. Keep them in {work.packs:,} packs: extract by --shard, "
        "then vidlang cache pack.",
    )


def hours_in(words: Sequence[str]) -> tuple[float | None, list[str]]:
    """(hours, the other words): ``1000 hours``, ``'1000 hours'``, ``1e6h`` and ``1,000,000 hours`` are hours.

    Raises:
        BadInput: hours twice, or none at all of them.
    """
    found: list[float] = []
    rest: list[str] = []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        both = f"{word} {pending[0]}" if pending else ""
        match = _HOURS.fullmatch(word)
        if match is None and (match := _HOURS.fullmatch(both)) is not None:
            pending.pop(0)
        if match is None:
            rest.append(word)
        else:
            found.append(float(match[1].replace(",", "").replace("_", "")))
    if len(found) > 1 or (found and not 0 < found[0] < math.inf):
        raise BadInput(f"One number of hours above 0 is taken, got {', '.join(f'{h:g}' for h in found)}.")
    return (found[0] if found else None), rest


def counts_in(text: str) -> tuple[int, ...]:
    """``1,8,64`` → (1, 8, 64).

    Raises:
        BadInput: another form, or a number below 1.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() and int(part) for part in parts):
        raise BadInput(f"--gpus takes whole numbers from 1 on, separated by commas, such as 1,8,64; got {text!r}.")
    return tuple(map(int, parts))


def long_time(seconds: float) -> str:
    """``5400`` → ``1.5 h``."""
    for limit, length, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h"), (63_115_200, 86_400, "days")):
        if seconds < limit:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 31_557_600:,.1f} years"


def large_size(num_bytes: float) -> str:
    """``1.5e12`` → ``1.5 TB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.1f} PB"
