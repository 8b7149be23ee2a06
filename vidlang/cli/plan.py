"""``vidlang plan``: time, storage and cost of an extraction, for one worker and for many."""

from __future__ import annotations

from typing import Annotated

import typer

from vidlang.cli.extract import (
    BordersOption,
    ColourOption,
    CropsOption,
    DtypeOption,
    FeaturesOption,
    FpsOption,
    MotionOption,
    PickOption,
    PrecisionOption,
    PreprocessOption,
    ReuseStaticOption,
    StrideOption,
    recipe_changes,
)
from vidlang.cli.help import RUNNING
from vidlang.cli.options import (
    DeviceOption,
    EncoderOption,
    JsonOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
)
from vidlang.cli.render import TerminalProgress, configure_logging, print_json, print_table, say

SITE = "Where it would run"


def command(
    what: Annotated[
        list[str], typer.Argument(help="Videos or folders, '1000 hours', or both.", metavar="PATH|HOURS...")
    ],
    gpus: Annotated[
        str, typer.Option(help="Numbers of GPUs or workers to plan for.", metavar="N,N,..", rich_help_panel=SITE)
    ] = "1,8,64",
    images_per_second: Annotated[
        float | None,
        typer.Option(
            help="What one GPU encodes, where none is here to measure.",
            metavar="RATE",
            show_default="measured",
            rich_help_panel=SITE,
        ),
    ] = None,
    cores: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cores of a worker that decode.",
            metavar="N",
            show_default="of this machine",
            rich_help_panel=SITE,
        ),
    ] = None,
    network: Annotated[
        float, typer.Option(help="GB/s that the videos' storage gives to all.", metavar="RATE", rich_help_panel=SITE)
    ] = 1.0,
    files_per_second: Annotated[
        float,
        typer.Option(help="Entries/s that the cache's storage takes from all.", metavar="RATE", rich_help_panel=SITE),
    ] = 500.0,
    price_per_hour: Annotated[
        float | None, typer.Option(help="Of one worker, in any currency.", metavar="X", rich_help_panel=SITE)
    ] = None,
    minutes_per_video: Annotated[
        float, typer.Option(help="Of hours without videos.", metavar="MIN", rich_help_panel=SITE)
    ] = 10.0,
    megabits: Annotated[
        float, typer.Option(help="Mbit/s of hours without videos.", metavar="RATE", rich_help_panel=SITE)
    ] = 2.0,
    measure: Annotated[
        float, typer.Option(help="Seconds to measure this machine.", metavar="SECONDS", rich_help_panel=RUNNING)
    ] = 10.0,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    crops: CropsOption = None,
    preprocess: PreprocessOption = None,
    precision: PrecisionOption = None,
    dtype: DtypeOption = None,
    reuse_static: ReuseStaticOption = None,
    features: FeaturesOption = None,
    borders: BordersOption = None,
    colour: ColourOption = None,
    motion: MotionOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Time, storage and cost of an extraction, from a short measurement here.

    Decoding and encoding are measured for some seconds, on the videos or on
    drawn ones, and counted up for 1, 8 and 64 workers, with what bounds each:
    decode, encode, network or files. Everything counts, also what the cache
    holds (see extract --dry-run). Nothing is written.

    [bold]Examples[/bold]

      vidlang plan videos/

      vidlang plan videos/ '1000000 hours' --price-per-hour 2.5

      vidlang plan 1000 hours --images-per-second 2000 --cores 16
    """
    from vidlang.workflows.plan_measure import PlanOptions, plan
    from vidlang.workflows.plan_scale import counts_in
    from vidlang.workflows.recipe import encoder_loader, make_recipe
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    options = PlanOptions(
        workers=counts_in(gpus),
        measure_seconds=measure,
        images_per_second=images_per_second,
        cores=cores,
        network=network * 1e9,
        files_per_second=files_per_second,
        price_per_hour=price_per_hour,
        minutes_per_video=minutes_per_video,
        megabits=megabits,
    )
    place = open_workspace(workspace)
    recipe = make_recipe(
        place.settings,
        recipe_changes(
            encoder=encoder,
            stride=stride,
            pick=pick,
            fps=fps,
            crops=crops,
            preprocess=preprocess,
            precision=precision,
            dtype=dtype,
            reuse_static=reuse_static,
            features=features,
            borders=borders,
            colour=colour,
            motion=motion,
        ),
    )
    progress = TerminalProgress(quiet)
    loader = encoder_loader(
        encoder or place.settings.encoder, recipe.precision, device or place.settings.device, progress, recipe.features
    )
    found = plan(what, recipe, loader, options, progress)
    if json:
        print_json(found.to_dict())
        return
    from vidlang.workflows.plan_scale import large_size, long_time

    work, rates = found.work, found.rates
    hours = work.video_seconds / 3600
    length = f"{hours:,.0f}" if hours >= 1000 else f"{hours:.3g}"
    say(f"{work.num_videos:,} videos, {length} hours, {large_size(work.source_bytes)}")
    say(
        f"{work.rows:,} rows: {large_size(work.feature_bytes)} of features in {work.num_videos:,} files or "
        f"{work.packs:,} {'pack' if work.packs == 1 else 'packs'}; {large_size(work.index_bytes)} of index"
    )
    for name, rate, unit in (
        ("decoding", rates.decode, "s of video per core and second"),
        ("encoding", rates.encode, "images/s of a core" if rates.on_cores else "images/s of a device"),
    ):
        between = "" if rate.low == rate.high else f" ({_short(rate.low)} to {_short(rate.high)})"
        say(f"{name}: {_short(rate.middle)} {unit}{between}")
    print_table(
        ["workers", "time", "range", "worker-hours", "cost", "bound by"],
        [
            [
                row.workers,
                long_time(row.seconds),
                f"{row.least_seconds / row.seconds - 1:+.0%} {row.most_seconds / row.seconds - 1:+.0%}",
                _short(row.workers * row.seconds / 3600),
                None if row.cost is None else _short(row.cost),
                row.bound,
            ]
            for row in found.rows
        ],
    )
    if not quiet:
        for note in found.notes:
            say(note)


def _short(number: float) -> str:
    """``6437.1`` → ``6,437``, ``9.713`` → ``9.71``."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"
