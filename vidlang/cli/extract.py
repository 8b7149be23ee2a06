"""``vidlang extract``: features of videos into the cache."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidlang.cli.help import NUMBERS, RUNNING, SAMPLING
from vidlang.cli.options import (
    CacheUrlOption,
    DeviceOption,
    DryRunOption,
    EncoderOption,
    JsonOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
)
from vidlang.cli.render import TerminalProgress, configure_logging, end_if_failed, print_json, say, show_plan
from vidlang.core.errors import BadInput

if TYPE_CHECKING:
    from vidlang.workflows.recipe import RecipeChanges


class PickChoice(str, Enum):
    middle = "middle"
    first = "first"
    mean = "mean"


CropsChoice = Enum("CropsChoice", {"center": "center", "ten": "ten"}, type=str)  # str.center forbids the class form


class PreprocessChoice(str, Enum):
    exact = "exact"
    fast = "fast"


class PrecisionChoice(str, Enum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class DtypeChoice(str, Enum):
    float32 = "float32"
    float16 = "float16"


class FeaturesChoice(str, Enum):
    pooled = "pooled"
    regions = "regions"


class BordersChoice(str, Enum):
    keep = "keep"
    crop = "crop"


StrideOption = Annotated[
    int | None,
    typer.Option(min=1, help="Frames per snippet.", show_default="16", metavar="N", rich_help_panel=SAMPLING),
]
PickOption = Annotated[
    PickChoice | None,
    typer.Option(
        help="Frame that stands for a snippet: middle, first, or mean (of all features).",
        show_default="middle",
        metavar="NAME",
        rich_help_panel=SAMPLING,
    ),
]
FpsOption = Annotated[
    float | None,
    typer.Option(help="Snippets per second instead of --stride.", metavar="RATE", rich_help_panel=SAMPLING),
]
CropsOption = Annotated[
    CropsChoice | None,
    typer.Option(
        help="center, or ten: centre, corners and mirrors.",
        show_default="center",
        metavar="NAME",
        rich_help_panel=SAMPLING,
    ),
]
PreprocessOption = Annotated[
    PreprocessChoice | None,
    typer.Option(
        help="exact: OpenAI CLIP's resizing; fast: about 4 times faster, within 2 grey levels.",
        show_default="exact",
        metavar="NAME",
        rich_help_panel=NUMBERS,
    ),
]
PrecisionOption = Annotated[
    PrecisionChoice | None,
    typer.Option(
        help="Arithmetic of the encoder: float32, bfloat16, or float16 (CUDA).",
        show_default="float32",
        metavar="NAME",
        rich_help_panel=NUMBERS,
    ),
]
DtypeOption = Annotated[
    DtypeChoice | None,
    typer.Option(
        help="How rows are stored: float32 or float16.",
        show_default="float32",
        metavar="NAME",
        rich_help_panel=NUMBERS,
    ),
]
ReuseStaticOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Repeat the row before while no part of the picture differs by more grey levels than this (try 3).",
        metavar="EPS",
        rich_help_panel=NUMBERS,
    ),
]
FeaturesOption = Annotated[
    FeaturesChoice | None,
    typer.Option(
        help="pooled: one vector a picture, comparable with text; regions: for finding copies, four depths of detail.",
        show_default="pooled",
        metavar="NAME",
        rich_help_panel=NUMBERS,
    ),
]


class ColourChoice(str, Enum):
    keep = "keep"
    grey = "grey"


ColourOption = Annotated[
    ColourChoice | None,
    typer.Option(
        help="keep, or grey: recoloured copies of a video give the rows of the original.",
        show_default="keep",
        metavar="NAME",
        rich_help_panel=NUMBERS,
    ),
]
BordersOption = Annotated[
    BordersChoice | None,
    typer.Option(
        help="keep, or crop: cut off letter boxes and pillar boxes, found once per video.",
        show_default="keep",
        metavar="NAME",
        rich_help_panel=NUMBERS,
    ),
]
MotionOption = Annotated[
    str | None,
    typer.Option(
        help="none; pool: attend to what moves; mask: blur what stands still. Details follow: pool:seed:0.3.",
        show_default="none",
        metavar="NAME",
        rich_help_panel=NUMBERS,
    ),
]
FrameRateOption = Annotated[
    float | None,
    typer.Option(
        help="Frames per second of folders of images.", show_default="25", metavar="RATE", rich_help_panel=SAMPLING
    ),
]


class EngineChoice(str, Enum):
    local = "local"
    ray = "ray"


class BatchesChoice(str, Enum):
    video = "video"
    mixed = "mixed"


CLUSTER = "On a cluster"
EngineOption = Annotated[
    EngineChoice,
    typer.Option(
        help="local: threads of this process; ray: processes of this machine or of a cluster, by Ray Data.",
        metavar="NAME",
        rich_help_panel=CLUSTER,
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster to join: auto, or HOST:PORT.",
        show_default="this machine",
        metavar="ADDR",
        rich_help_panel=CLUSTER,
    ),
]
DecodersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that decode.", metavar="N", show_default="free cores", rich_help_panel=CLUSTER),
]
EncodersOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes that encode.", metavar="N", show_default="one per GPU", rich_help_panel=CLUSTER
    ),
]
GpusOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="GPUs of an encoder; may be a share, 0 for cores.",
        metavar="X",
        show_default="1 if any",
        rich_help_panel=CLUSTER,
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        help="Only one of N shares, I from 1 to N, by a hash of the id.",
        metavar="I/N",
        show_default="all",
        rich_help_panel=CLUSTER,
    ),
]
BatchesOption = Annotated[
    BatchesChoice | None,
    typer.Option(
        help="video: rows follow from the video alone; mixed: batches span videos, last digits vary.",
        show_default="mixed on GPUs",
        metavar="NAME",
        rich_help_panel=RUNNING,
    ),
]
BatchOption = Annotated[int, typer.Option(min=1, help="Images per encoder call.", metavar="N", rich_help_panel=RUNNING)]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Videos decoded at a time.", metavar="N", show_default="auto", rich_help_panel=RUNNING),
]


def recipe_changes(**said: Any) -> RecipeChanges:
    """What the options about features say, by their names; None where the user says nothing."""
    from vidlang.workflows.recipe import RecipeChanges

    return RecipeChanges(**{name: value.value if isinstance(value, Enum) else value for name, value in said.items()})


def command(
    paths: Annotated[
        list[str], typer.Argument(help="Videos, folders of videos, folders of images, or patterns.", metavar="PATH...")
    ],
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
    frame_rate: FrameRateOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Extract again what the cache holds.", rich_help_panel=RUNNING)
    ] = False,
    dry_run: DryRunOption = False,
    batch_size: BatchOption = 32,
    batches: BatchesOption = None,
    workers: WorkersOption = None,
    shard: ShardOption = None,
    engine: EngineOption = EngineChoice.local,
    address: AddressOption = None,
    decoders: DecodersOption = None,
    encoders: EncodersOption = None,
    gpus_per_encoder: GpusOption = None,
    cache: CacheUrlOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Features of videos into the cache; what is there is skipped.

    A video's id is its path below the given folder, and its first sub-folder is its class:
    videos/fight/x.mp4 has id fight/x.mp4 and class fight.

    [bold]Examples[/bold]

      vidlang extract videos/

      vidlang extract videos/ --encoder mini --fps 2

      vidlang extract videos/ --fps 1 --features regions --borders crop

      vidlang extract videos/ --motion pool

      vidlang extract videos/ --dry-run

      vidlang extract videos/ --shard 3/64

      vidlang extract videos/ --engine ray --address auto

    --motion finds what moves in each snippet by frame differences: half of
    the picture, by the colours of what moved (fame). Details say otherwise:
    seed for what moved itself, another share of the picture, the hue
    reference. It looks at every frame, so decoding takes 2 to 3 times as long;
    rows of snippets in which nothing moves are the plain ones.
    """
    from vidlang.core.shares import Share
    from vidlang.workflows.extract import ExtractOptions, extract
    from vidlang.workflows.recipe import encoder_loader, make_recipe
    from vidlang.workflows.workspace import open_cache, open_workspace

    configure_logging(verbose)
    share = None if shard is None else Share.parse(shard)
    given = [("--address", address), ("--decoders", decoders), ("--encoders", encoders)]
    alone = [name for name, value in (*given, ("--gpus-per-encoder", gpus_per_encoder)) if value is not None]
    if engine is EngineChoice.local and alone:
        raise BadInput(f"{alone[0]} goes with --engine ray. Add it, or leave {alone[0]} out.")
    place = open_workspace(workspace)
    store = open_cache(place, cache)
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
    mixed = None if batches is None else batches is BatchesChoice.mixed
    options = ExtractOptions(batch_size, workers, overwrite, frame_rate, mixed)
    if dry_run:
        from vidlang.workflows.extract_plan import plan_extract

        show_plan(plan_extract(paths, store, recipe, options, share), json=json, quiet=quiet)
        return
    progress = TerminalProgress(quiet)
    name, device = encoder or place.settings.encoder, device or place.settings.device
    if engine is EngineChoice.ray:
        from vidlang.workflows.extract_cluster import RayOptions, extract_by_ray

        cluster = RayOptions(address, decoders, encoders, gpus_per_encoder)
        report = extract_by_ray(paths, store, recipe, name, device, cluster, options, progress, share=share)
    else:
        load = encoder_loader(name, recipe.precision, device, progress, recipe.features)
        report = extract(paths, store, recipe, load, options, progress, share=share)
    if json:
        print_json(report.to_dict())
    elif not quiet:
        for line in report.lines():
            say(line)
    end_if_failed(report, quiet, "kept")
