"""``vidlang index``: the retrieval index of the cache, which ``retrieve`` also makes and keeps up by itself."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidlang.cli.extract import (
    BordersOption,
    ColourOption,
    FeaturesOption,
    FpsOption,
    MotionOption,
    PickOption,
    PrecisionOption,
    StrideOption,
    recipe_changes,
)
from vidlang.cli.help import ANSWER, RUNNING
from vidlang.cli.options import (
    DeviceOption,
    DryRunOption,
    EncoderOption,
    JsonOption,
    NamesOnlyOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
    parameters,
    with_options,
)
from vidlang.cli.render import (
    TerminalProgress,
    configure_logging,
    print_json,
    print_table,
    say,
    say_notes,
    show_plan,
    size,
    warn,
)
from vidlang.cli.retrieve import (
    BlankChoice,
    BlankOption,
    CheckpointOption,
    ComponentsOption,
    IndexDtypeChoice,
    IndexDtypeOption,
    MemoryOption,
    SkipStartOption,
    WhiteningChoice,
    WhiteningOption,
    gallery_options,
)
from vidlang.core.digits import counted
from vidlang.core.words import bytes_of

if TYPE_CHECKING:
    from vidlang.workflows.gallery import GalleryOptions
    from vidlang.workflows.recipe import RecipeChanges


class ExportFormatChoice(str, Enum):
    parquet = "parquet"
    arrow = "arrow"
    npy = "npy"


class ExportedChoice(str, Enum):
    rows = "rows"
    vectors = "vectors"
    text = "text"


class ApproximateChoice(str, Enum):
    auto = "auto"
    hnsw = "hnsw"
    ivf = "ivf"
    ivf_pq = "ivf-pq"


ApproximateOption = Annotated[
    ApproximateChoice | None,
    typer.Option(
        "--approximate",
        help="Also build an approximate index (faiss): auto, hnsw, ivf or ivf-pq.",
        show_default="none",
        metavar="NAME",
        rich_help_panel=RUNNING,
    ),
]
GALLERY_OPTIONS = parameters(
    checkpoint=(CheckpointOption, None),
    whitening=(WhiteningOption, WhiteningChoice["auto"]),
    components=(ComponentsOption, None),
    skip_start=(SkipStartOption, 0.0),
    blank_frames=(BlankOption, BlankChoice.weigh_less),
    index_dtype=(IndexDtypeOption, IndexDtypeChoice.float32),
)
RECIPE_OPTIONS = parameters(
    encoder=(EncoderOption, None),
    stride=(StrideOption, None),
    pick=(PickOption, None),
    fps=(FpsOption, None),
    features=(FeaturesOption, None),
    borders=(BordersOption, None),
    colour=(ColourOption, None),
    motion=(MotionOption, None),
    precision=(PrecisionOption, None),
)

app = typer.Typer(help="The retrieval index of the cache.", no_args_is_help=True)


@app.callback()
def top() -> None:
    """The retrieval index of the cache; retrieve makes it and keeps it up by itself."""


@app.command("build")
@partial(with_options, extra=[*GALLERY_OPTIONS, *RECIPE_OPTIONS])
def build(
    approximate: ApproximateOption = None,
    memory: MemoryOption = None,
    dry_run: DryRunOption = False,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **asked: Any,
) -> None:
    """Build the index anew from all cached videos.

    [bold]Examples[/bold]

      vidlang index build

      vidlang index build --whitening whiten --components 256 --index-dtype bfloat16
    """
    _bring_up(
        asked,
        rebuild=True,
        prune=False,
        approximate=approximate,
        memory=memory,
        dry_run=dry_run,
        device=device,
        workspace=workspace,
        json=json,
        quiet=quiet,
        verbose=verbose,
    )


@app.command("update")
@partial(with_options, extra=[*GALLERY_OPTIONS, *RECIPE_OPTIONS])
def update(
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Remove videos that are no longer in the cache; else they stay.", rich_help_panel=RUNNING
        ),
    ] = False,
    approximate: ApproximateOption = None,
    memory: MemoryOption = None,
    dry_run: DryRunOption = False,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **asked: Any,
) -> None:
    """Add what the cache has and the index has not, and replace what changed.

    [bold]Examples[/bold]

      vidlang index update

      vidlang index update --prune
    """
    _bring_up(
        asked,
        rebuild=False,
        prune=prune,
        approximate=approximate,
        memory=memory,
        dry_run=dry_run,
        device=device,
        workspace=workspace,
        json=json,
        quiet=quiet,
        verbose=verbose,
    )


def _gallery_and_recipe(asked: dict[str, Any], device: str) -> tuple[GalleryOptions, RecipeChanges]:
    """What the options of ``GALLERY_OPTIONS`` and of ``RECIPE_OPTIONS`` say."""
    gallery = {option.name: asked.pop(option.name) for option in GALLERY_OPTIONS}
    return gallery_options(**gallery, device=device), recipe_changes(**asked)


def _bring_up(
    asked: dict[str, Any],
    *,
    rebuild: bool,
    prune: bool,
    approximate: ApproximateChoice | None,
    memory: int | None,
    dry_run: bool,
    device: str | None,
    workspace: Path | None,
    json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Makes the index as it should be, and says what was done."""
    from vidlang.workflows.gallery import open_approximate, open_gallery, plan_gallery
    from vidlang.workflows.search import SearchOptions
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    options, changes = _gallery_and_recipe(asked, device or place.settings.device)
    if dry_run:
        show_plan(plan_gallery(place, options, changes, rebuild=rebuild, prune=prune), json=json, quiet=quiet)
        return
    progress = TerminalProgress(quiet)
    gallery, report = open_gallery(place, options, changes, progress, rebuild=rebuild, prune=prune)
    if approximate is not None:
        kind = None if approximate is ApproximateChoice.auto else approximate.value
        size = SearchOptions().shortlist
        built = open_approximate(gallery.index, size, progress, kind=kind, memory=bytes_of(memory), rebuild=True)
        report = replace(report, notes=(*report.notes, f"approximate index: {built.line()}"))
    if json:
        print_json(report.to_dict())
    elif not quiet:
        for line in report.lines():
            say(line)
    say_notes(report.notes, quiet)


@app.command("info")
def info(
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: NamesOnlyOption = False,
    verbose: VerboseOption = False,
) -> None:
    """The indexes of the workspace, and the pairs that were rejected.

    [bold]Examples[/bold]

      vidlang index info

      vidlang index info --json
    """
    from vidlang.workflows.gallery import describe_spec, index_infos, info_dict
    from vidlang.workflows.retrieve import num_rejections
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    infos, broken = index_infos(place)
    rejected = num_rejections(place)
    if json:
        entries = [{"folder": str(folder), **info_dict(found)} for folder, found in infos]
        print_json(
            {"schema": "vidlang.index_info/1", "indexes": entries, "damaged": broken, "rejected_pairs": rejected}
        )
        return
    if quiet:
        for folder, _ in infos:
            say(folder.name)
        return
    if not infos:
        say("There is no index yet: vidlang retrieve makes one.")
    else:
        print_table(
            ["index", "videos", "rows", "width", "size", "removed", "made of"],
            [
                [folder.name, i.videos, i.rows, i.width, size(i.bytes), i.removed, describe_spec(i.spec)]
                for folder, i in infos
            ],
        )
    say(f"{rejected} rejected pairs are remembered")
    for line in broken:
        warn(line)


@app.command("verify")
def verify(
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Read every file of the indexes and compare it with its checksum; 1 where one is damaged.

    [bold]Examples[/bold]

      vidlang index verify

      vidlang index verify --json
    """
    from vidlang.workflows.gallery import verify_indexes
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    found = verify_indexes(open_workspace(workspace), TerminalProgress(quiet))
    problems = [(path, problem) for ones in found.values() for path, problem in ones]
    if json:
        told = [{"file": str(path), "problem": problem} for path, problem in problems]
        print_json({"schema": "vidlang.index_verify/1", "indexes": [str(folder) for folder in found], "problems": told})
    elif not quiet:
        for path, problem in problems:
            warn(f"{path}: {problem}")
        say(f"{counted(len(found), 'index', 'indexes')}, {counted(len(problems), 'damaged file')}")
    if problems:
        raise typer.Exit(1)


@app.command("export")
@partial(with_options, extra=[*GALLERY_OPTIONS, *RECIPE_OPTIONS])
def export(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder to make.", metavar="DIR", rich_help_panel=ANSWER),
    ],
    format: Annotated[
        ExportFormatChoice,
        typer.Option(
            "--format", help="parquet or arrow (needs pyarrow), or npy.", metavar="NAME", rich_help_panel=ANSWER
        ),
    ] = ExportFormatChoice.parquet,
    what: Annotated[
        ExportedChoice,
        typer.Option(
            "--what",
            help="rows: one a snippet; vectors: whole videos and windows; text: rows comparable with texts.",
            metavar="NAME",
            rich_help_panel=ANSWER,
        ),
    ] = ExportedChoice.rows,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **asked: Any,
) -> None:
    """Write the vectors of the index for a vector database: video, row, start, end, vector.

    The index is brought up to date first. Neighbours by inner product are those of vidlang.

    [bold]Examples[/bold]

      vidlang index export -o vectors/

      vidlang index export -o films.npy/ --format npy --what vectors
    """
    from vidlang.workflows.index_export import export_gallery
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    options, changes = _gallery_and_recipe(asked, device or place.settings.device)
    report = export_gallery(place, out, format.value, what.value, options, changes, TerminalProgress(quiet))
    if json:
        print_json(report.to_dict())
    elif not quiet:
        say(report.line())


@app.command("fit-whitening")
@partial(with_options, extra=RECIPE_OPTIONS)
def fit_whitening(
    components: ComponentsOption = None,
    rows: Annotated[
        int, typer.Option(min=2, help="Rows of the sample, at most.", metavar="N", rich_help_panel=RUNNING)
    ] = 200_000,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File to write.",
            show_default="beside the index, used by it",
            metavar="NPZ",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **asked: Any,
) -> None:
    """Fit PCA whitening on a sample of cached rows; the next retrieve builds its index with it.

    The file has the published layout: U, lams, mu, Utmu.

    [bold]Examples[/bold]

      vidlang index fit-whitening

      vidlang index fit-whitening --components 512 -o pca.npz
    """
    from vidlang.workflows.gallery import fit_whitening_file
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    changes = recipe_changes(**asked)
    path, whitening, num_rows = fit_whitening_file(place, changes, components, rows, out, TerminalProgress(quiet))
    if json:
        facts = {"file": str(path), "rows": num_rows, "width": whitening.width_in, "components": whitening.width_out}
        print_json({"schema": "vidlang.whitening/1", **facts})
    elif not quiet:
        say(f"Wrote {path}: {whitening.width_in} to {whitening.width_out} dimensions, fitted on {num_rows} rows.")
