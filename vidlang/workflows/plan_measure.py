"""``vidlang plan``: measures this machine for some seconds, then counts (``plan_scale``). Nothing is kept."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from vidlang.core import BadInput, FeatureRecipe, Progress, VideoInfo, VidlangError
from vidlang.demo.scenes import render_video
from vidlang.encoders.registry import EncoderSpec, named_encoder
from vidlang.video.reader import find_videos, probe
from vidlang.video.snippets import open_snippets
from vidlang.video.writer import write_video
from vidlang.workflows.pixels import motion_watch, recoloured
from vidlang.workflows.plan_scale import Estimate, Rates, Site, Spread, Workload, estimate, hours_in, workload

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder
    from vidlang.encoders.preprocess import PixelRecipe

MOST_HEADERS = 500
"""Headers read of a large collection, spread over it."""
PARTS = 8
"""Videos that decoding is measured on, spread over all; each gets its share of the time."""
RENDERED_FRAMES, RENDERED_SIZE = 40, (360, 640)
FEWEST_BATCHES = 3


@dataclass(frozen=True)
class PlanOptions:
    """What the plan is asked for."""

    workers: tuple[int, ...] = (1, 8, 64)
    measure_seconds: float = 10.0
    images_per_second: float | None = None
    """Of one device that is not here; None: measured here."""
    cores: int | None = None
    """Of one worker; None: those of this machine."""
    network: float = 1e9
    """Bytes a second, of all workers together."""
    files_per_second: float = 500.0
    price_per_hour: float | None = None
    minutes_per_video: float = 10.0
    """Of hours without videos."""
    megabits: float = 2.0
    """Bits a second of such videos, in millions."""

    def __post_init__(self) -> None:
        for name in ("measure_seconds", "images_per_second", "minutes_per_video", "megabits"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise BadInput(f"{name.replace('_', ' ')} must be above 0, got {value:g}.")


@dataclass(frozen=True)
class _Collection:
    """What the headers of some videos say of all."""

    videos: tuple[Path, ...]
    num_videos: int
    video_seconds: float
    frame_rate: float
    source_bytes: float
    notes: tuple[str, ...]

    def scaled(self, hours: float) -> _Collection:
        """So many hours of videos like these."""
        times = hours * 3600 / self.video_seconds
        note = f"{hours:,.10g} hours of videos like these {self.num_videos:,}: as long, as large."
        return _Collection(
            self.videos,
            max(1, round(self.num_videos * times)),
            self.video_seconds * times,
            self.frame_rate,
            self.source_bytes * times,
            (*self.notes, note),
        )


def plan(
    words: Sequence[str],
    recipe: FeatureRecipe,
    load_encoder: Callable[[], Encoder],
    options: PlanOptions | None = None,
    progress: Progress | None = None,
) -> Estimate:
    """Time, storage and cost of extracting videos, hours, or so many hours of videos like some.

    words: paths, ``N hours``, or both

    Raises:
        BadInput: no video and no hours, or no video that reads.
    """
    options, progress = options or PlanOptions(), progress or Progress()
    site = Site(options.cores or os.cpu_count() or 1, options.network, options.files_per_second, options.price_per_hour)
    hours, paths = hours_in(words)
    spec = named_encoder(recipe.encoder)
    known = spec is not None and recipe.features == spec.features[0]
    encoder = None if known and options.images_per_second is not None else load_encoder()
    with tempfile.TemporaryDirectory() as scratch:
        if paths:
            found = _collection([Path(path) for path in paths])
            found = found if hours is None else found.scaled(hours)
        else:
            assert hours is not None, "hours_in and the command line take care of it"
            found = _rendered(Path(scratch), hours, options)
        with progress.task("measure") as task:
            decode = _measure_decode(found.videos, recipe, _pixels(encoder, spec), options.measure_seconds / 2)
            task.advance()
            rates, notes = _rates(decode, encoder, options)
    work = _work(found, recipe, encoder.dim if encoder is not None else spec.dim if spec is not None else 0)
    return estimate(recipe, work, rates, site, options.workers, (*found.notes, *notes, *_assumed(site, recipe)))


def _work(found: _Collection, recipe: FeatureRecipe, dim: int) -> Workload:
    return workload(
        recipe,
        num_videos=found.num_videos,
        video_seconds=found.video_seconds,
        frame_rate=found.frame_rate,
        source_bytes=found.source_bytes,
        dim=dim,
    )


def _rates(decode: Spread, encoder: Encoder | None, options: PlanOptions) -> tuple[Rates, list[str]]:
    if options.images_per_second is not None:
        given = Spread.exactly(options.images_per_second)
        note = f"A worker is one device that encodes {options.images_per_second:g} images/s, as you say; not measured."
        return Rates(decode, given, False, "a device with the given rate"), [note]
    assert encoder is not None
    on_cores = encoder.device.type == "cpu"
    encode = _measure_encode(encoder, options.measure_seconds / 2)
    if not on_cores:
        return Rates(decode, encode, False, f"{encoder.device} of this machine"), ["A worker is one device like that."]
    note = "No GPU was measured: a worker is a machine like this one. For GPUs give --images-per-second of one."
    return Rates(decode, encode, True, "the cores of this machine"), [note]


def _assumed(site: Site, recipe: FeatureRecipe) -> list[str]:
    said = [
        f"A worker has {site.cores} cores; rates are of CPU seconds, so other work on this machine does not count.",
        f"Storage gives {site.network / 1e9:g} GB/s of videos and takes {site.files_per_second:g} entries/s, from all "
        "workers together.",
    ]
    if recipe.reuse_static is not None or recipe.borders != "keep":
        said.append("What --reuse-static saves and --borders crop costs is not counted.")
    return said


# -- which videos ------------------------------------------------------------------------------------------------------


def _collection(paths: Sequence[Path]) -> _Collection:
    found = [path for _, path in find_videos(paths)]
    asked = _spread_out(found, MOST_HEADERS)
    infos: list[tuple[Path, VideoInfo]] = []
    problem: VidlangError | None = None
    for path in asked:
        try:
            infos.append((path, probe(path)))
        except VidlangError as error:
            problem = error
    seconds = sum(info.duration for _, info in infos)
    if not seconds > 0:
        raise BadInput(f"No video here can be measured. {problem or ''}".strip())
    times = len(found) / len(asked)
    notes = [] if len(asked) == len(found) else [f"The headers of {len(asked)} of {len(found):,} videos were read."]
    if len(infos) < len(asked):
        notes.append(f"{len(asked) - len(infos)} of {len(asked)} videos do not open and count for nothing.")
    return _Collection(
        tuple(path for path, _ in infos),
        round(len(infos) * times),
        seconds * times,
        sum(info.duration * info.frame_rate for _, info in infos) / seconds,
        sum(_bytes_of(path) for path, _ in infos) * times,
        tuple(notes),
    )


def _rendered(folder: Path, hours: float, options: PlanOptions) -> _Collection:
    """One drawn video to decode; lengths and bytes by assumption."""
    videos = []
    for seed, kind in enumerate(("normal", "fire")):
        path = folder / f"{kind}.mp4"
        frames = islice(render_video(kind, seed=seed, size=RENDERED_SIZE), RENDERED_FRAMES)
        write_video(path, frames, 25.0)
        videos.append(path)
    height, width = RENDERED_SIZE
    note = (
        f"No videos were given: {options.minutes_per_video:g} minutes a video, {options.megabits:g} Mbit/s and 25 "
        f"frames/s are assumed, and decoding is measured on drawn ones of {width} x {height}. Name some of yours."
    )
    num_videos = max(1, round(hours * 60 / options.minutes_per_video))
    return _Collection(
        tuple(videos), num_videos, hours * 3600, 25.0, hours * 3600 * options.megabits * 125_000, (note,)
    )


def _spread_out(paths: Sequence[Path], most: int) -> list[Path]:
    """At most so many, evenly over all."""
    if len(paths) <= most:
        return list(paths)
    return [paths[index * len(paths) // most] for index in range(most)]


def _bytes_of(path: Path) -> int:
    if path.is_dir():
        return sum(item.stat().st_size for item in path.iterdir() if item.is_file())
    return path.stat().st_size


# -- how fast ----------------------------------------------------------------------------------------------------------


def _pixels(encoder: Encoder | None, spec: EncoderSpec | None) -> PixelRecipe:
    from vidlang.encoders.preprocess import PixelRecipe

    if encoder is not None:
        return encoder.pixels
    assert spec is not None, "an encoder without a name is loaded"
    return PixelRecipe(spec.image_size)


def _measure_decode(videos: Sequence[Path], recipe: FeatureRecipe, pixels: PixelRecipe, seconds: float) -> Spread:
    """Seconds of video per CPU second: decoding, choosing, resizing, as ``extract`` does them in one thread."""
    import numpy as np

    from vidlang.encoders.preprocess import preprocess

    warm = np.zeros((1, 48, 64, 3), dtype=np.uint8)  # what is loaded at the first call is no rate
    preprocess(warm, pixels, recipe.preprocess, recipe.sampling.crops)
    chosen = _spread_out(videos, PARTS)
    deadline = time.perf_counter() + seconds
    parts: list[tuple[float, float]] = []
    problem: VidlangError | None = None
    for number, path in enumerate(chosen):
        until = time.perf_counter() + max(deadline - time.perf_counter(), 0) / (len(chosen) - number)
        try:
            parts += _decoded(path, recipe, pixels, until)
        except VidlangError as error:
            problem = error
    if not parts:
        raise BadInput(f"No video here can be decoded for the measurement. {problem or ''}".strip())
    return Spread.of(parts)


def _decoded(path: Path, recipe: FeatureRecipe, pixels: PixelRecipe, until: float) -> Iterator[tuple[float, float]]:
    """(seconds of video, CPU seconds) of one video, or of its beginning when the time is over; nothing of no time."""
    from vidlang.encoders.preprocess import preprocess

    sampling = recipe.sampling
    fast = recipe.preprocess == "fast" and sampling.crops == "center" and recipe.borders == "keep"
    started, last, whole = time.process_time(), 0, True
    short_side = pixels.shorter_side if fast else None
    watch = motion_watch(recipe.motion)
    with open_snippets(path, sampling, short_side=short_side, batch_size=8, threads=1, watch=watch) as stream:
        for batch in stream:
            preprocess(recoloured(batch.frames, recipe), pixels, recipe.preprocess, sampling.crops)
            last = max((row for rows in batch.rows for row in rows), default=last)
            if time.perf_counter() > until:
                whole = False
                break
        info = stream.info
    rows_per_second = sampling.fps if sampling.fps is not None else info.frame_rate / sampling.stride
    covered = info.duration if whole else min((last + 1) / rows_per_second, info.duration)
    spent = time.process_time() - started
    if covered > 0 and spent > 0:
        yield covered, spent


def _measure_encode(encoder: Encoder, seconds: float) -> Spread:
    """Images per CPU second, or per second of a device of its own."""
    import torch

    on_cores = encoder.device.type == "cpu"
    clock = time.process_time if on_cores else time.perf_counter
    count = 8 if on_cores else encoder.batch_size
    side = encoder.image_size
    batch = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    encoder.encode_pixels(batch)  # the first call is slower
    deadline = time.perf_counter() + seconds
    parts: list[tuple[float, float]] = []
    while len(parts) < FEWEST_BATCHES or time.perf_counter() < deadline:
        started = clock()
        encoder.encode_pixels(batch)
        parts.append((count, max(clock() - started, 1e-9)))
    return Spread.of(parts)
