"""``vidlang index``: the retrieval index of the cache, which ``retrieve`` also makes and keeps up by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli.extract import (
    BordersOption,
    ColourOption,
    FeaturesOption,
    FpsOption,
    PickOption,
    PrecisionOption,
    StrideOption,
)
from vidlang.cli.options import DeviceOption, EncoderOption, JsonOption, QuietOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import TerminalProgress, configure_logging, print_json, print_table, say, size, warn
from vidlang.cli.retrieve import (
    BlankChoice,
    BlankOption,
    CheckpointOption,
    ComponentsOption,
    IndexDtypeChoice,
    IndexDtypeOption,
    SkipStartOption,
    WhiteningChoice,
    WhiteningOption,
)

app = typer.Typer(help="The retrieval index of the cache.", no_args_is_help=True)


@app.callback()
def top() -> None:
    """The retrieval index of the cache; retrieve makes it and keeps it up by itself."""


@app.command("build")
def build(
    checkpoint: CheckpointOption = None,
    whitening: WhiteningOption = WhiteningChoice["auto"],
    components: ComponentsOption = None,
    skip_start: SkipStartOption = 0.0,
    blank_frames: BlankOption = BlankChoice.weigh_less,
    index_dtype: IndexDtypeOption = IndexDtypeChoice.float32,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    features: FeaturesOption = None,
    borders: BordersOption = None,
    colour: ColourOption = None,
    precision: PrecisionOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Build the index anew from all cached videos.

    [bold]Examples[/bold]

      vidlang index build

      vidlang index build --whitening whiten --components 256 --index-dtype bfloat16
    """
    _update(locals(), rebuild=True, prune=False)


@app.command("update")
def update(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove videos that are no longer in the cache; else they stay.")
    ] = False,
    checkpoint: CheckpointOption = None,
    whitening: WhiteningOption = WhiteningChoice["auto"],
    components: ComponentsOption = None,
    skip_start: SkipStartOption = 0.0,
    blank_frames: BlankOption = BlankChoice.weigh_less,
    index_dtype: IndexDtypeOption = IndexDtypeChoice.float32,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    features: FeaturesOption = None,
    borders: BordersOption = None,
    colour: ColourOption = None,
    precision: PrecisionOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Add what the cache has and the index has not, and replace what changed.

    [bold]Examples[/bold]

      vidlang index update

      vidlang index update --prune
    """
    _update(locals(), rebuild=False, prune=prune)


def _update(given: dict[str, object], *, rebuild: bool, prune: bool) -> None:
    from vidlang.workflows.gallery import GalleryOptions, open_gallery
    from vidlang.workflows.recipe import RecipeChanges
    from vidlang.workflows.workspace import open_workspace

    def value(name: str) -> object:
        return getattr(given[name], "value", given[name])

    configure_logging(bool(given["verbose"]))
    place = open_workspace(given["workspace"])  # type: ignore[arg-type]
    options = GalleryOptions(
        checkpoint=given["checkpoint"],  # type: ignore[arg-type]
        whitening=value("whitening"),  # type: ignore[arg-type]
        num_components=given["components"],  # type: ignore[arg-type]
        skip_start=given["skip_start"],  # type: ignore[arg-type]
        blank_frames=value("blank_frames"),  # type: ignore[arg-type]
        dtype=value("index_dtype"),  # type: ignore[arg-type]
        device=str(given["device"] or place.settings.device),
    )
    names = ("encoder", "stride", "pick", "fps", "features", "borders", "colour", "precision")
    changes = RecipeChanges(**{name: value(name) for name in names})  # type: ignore[arg-type]
    quiet = bool(given["quiet"])
    _, report = open_gallery(place, options, changes, TerminalProgress(quiet), rebuild=rebuild, prune=prune)
    if given["json"]:
        print_json(report.to_dict())
    elif not quiet:
        for line in report.lines():
            say(line)
    for note in () if quiet else report.notes:
        warn(f"Note: {note}")


@app.command("info")
def info(workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """The indexes of the workspace, and the pairs that were rejected.

    [bold]Examples[/bold]

      vidlang index info

      vidlang index info --json
    """
    from vidlang.workflows.gallery import describe_spec, index_infos, info_dict
    from vidlang.workflows.retrieve import num_rejections
    from vidlang.workflows.workspace import open_workspace

    place = open_workspace(workspace)
    infos, broken = index_infos(place)
    rejected = num_rejections(place)
    if json:
        entries = [{"folder": str(folder), **info_dict(found)} for folder, found in infos]
        print_json(
            {"schema": "vidlang.index_info/1", "indexes": entries, "damaged": broken, "rejected_pairs": rejected}
        )
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


@app.command("fit-whitening")
def fit_whitening(
    components: ComponentsOption = None,
    rows: Annotated[int, typer.Option(min=2, help="Rows of the sample, at most.", metavar="N")] = 200_000,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write.", show_default="beside the index, used by it", metavar="NPZ"),
    ] = None,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    features: FeaturesOption = None,
    borders: BordersOption = None,
    colour: ColourOption = None,
    precision: PrecisionOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Fit PCA whitening on a sample of cached rows; the next retrieve builds its index with it.

    The file has the published layout: U, lams, mu, Utmu.

    [bold]Examples[/bold]

      vidlang index fit-whitening

      vidlang index fit-whitening --components 512 -o pca.npz
    """
    from vidlang.workflows.gallery import fit_whitening_file
    from vidlang.workflows.recipe import RecipeChanges
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    changes = RecipeChanges(
        encoder=encoder,
        stride=stride,
        pick=pick and pick.value,
        fps=fps,
        features=features and features.value,
        borders=borders and borders.value,
        colour=colour and colour.value,
        precision=precision and precision.value,
    )
    path, whitening, num_rows = fit_whitening_file(place, changes, components, rows, out, TerminalProgress(quiet))
    if json:
        facts = {"file": str(path), "rows": num_rows, "width": whitening.width_in, "components": whitening.width_out}
        print_json({"schema": "vidlang.whitening/1", **facts})
    elif not quiet:
        say(f"Wrote {path}: {whitening.width_in} to {whitening.width_out} dimensions, fitted on {num_rows} rows.")
