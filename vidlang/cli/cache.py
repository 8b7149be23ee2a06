"""``vidlang cache``: look after the feature cache."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli.options import JsonOption, QuietOption, WorkspaceOption
from vidlang.cli.render import TerminalProgress, print_json, print_table, say, size, warn

app = typer.Typer(help="The feature cache: list, verify, compare, import, export, pack, rm.", no_args_is_help=True)

FilterOption = Annotated[
    str | None,
    typer.Option("--recipe", help="Only this recipe, by the fingerprint that list shows.", metavar="HEX"),
]
VideosArgument = Annotated[
    list[str] | None, typer.Argument(help="Video ids or patterns such as 'fight/*'.", metavar="[VIDEO]...")
]


class StampsChoice(str, Enum):
    start = "start"
    end = "end"


class RowsChoice(str, Enum):
    float16 = "float16"
    float32 = "float32"


@app.callback()
def top() -> None:
    """The feature cache: list, verify, compare, import, export, pack, rm."""


@app.command("list")
def list_(
    videos: VideosArgument = None,
    recipe: FilterOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """What the cache holds: recipes, or the videos that match.

    [bold]Examples[/bold]

      vidlang cache list

      vidlang cache list 'fight/*' --json
    """
    from vidlang.workflows.cache import list_entries, list_recipes
    from vidlang.workflows.workspace import open_cache, open_workspace

    cache = open_cache(open_workspace(workspace))
    if videos:
        entries = list_entries(cache, videos, recipe)
        if json:
            print_json({"schema": "vidlang.cache.entries/1", "videos": entries})
        else:
            columns = ["video", "seconds", "rows", "recipe", "warnings"]
            print_table(columns, [[e["video"], e["duration"], e["rows"], e["recipe"], e["warnings"]] for e in entries])
        return
    recipes = list_recipes(cache, recipe)
    if json:
        print_json({"schema": "vidlang.cache.recipes/1", "recipes": recipes})
    elif not recipes:
        say(f"The cache {cache.root} is empty. Run: vidlang extract videos/")
    else:
        columns = ["recipe", "encoder", "sampling", "videos", "rows", "size"]
        rows = [
            [r["fingerprint"], r["encoder"], r["sampling"], r["videos"], r["rows"], size(r["bytes"])] for r in recipes
        ]
        print_table(columns, rows)


@app.command()
def verify(
    sweep: Annotated[bool, typer.Option("--sweep", help="Delete temporary files of writers that died.")] = False,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
) -> None:
    """Read every entry and check its checksum; exit code 1 if any is torn or edited.

    [bold]Examples[/bold]

      vidlang cache verify

      vidlang cache verify --sweep
    """
    from vidlang.workflows.cache import verify_cache
    from vidlang.workflows.workspace import open_cache, open_workspace

    good, damaged, leftovers = verify_cache(open_cache(open_workspace(workspace)), TerminalProgress(quiet), sweep=sweep)
    for path, problem in [*damaged, *leftovers]:
        warn(f"{path}: {problem}")
    say(f"{good} entries are whole, {len(damaged)} damaged.")
    if leftovers:
        say(f"{len(leftovers)} temporary files of killed writers{' removed' if sweep else '; --sweep removes them'}.")
    if damaged:
        raise typer.Exit(1)


@app.command()
def compare(
    video: Annotated[str, typer.Argument(help="Video id in the cache.", metavar="VIDEO")],
    file: Annotated[Path, typer.Argument(help="A .npy of somebody's features.", metavar="NPY")],
    recipe: FilterOption = None,
    crop: Annotated[int, typer.Option(min=0, max=9, help="Which crop of the cached video.")] = 0,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Cosine per snippet between a cached video and a .npy file.

    [bold]Examples[/bold]

      vidlang cache compare Abuse/Abuse001_x264.mp4 Abuse001_x264__0.npy

      vidlang cache compare x.mp4 x.npy --json
    """
    from vidlang.workflows.cache import compare_with_npy
    from vidlang.workflows.workspace import open_cache, open_workspace

    result = compare_with_npy(open_cache(open_workspace(workspace)), video, file, recipe, crop)
    if json:
        print_json({"schema": "vidlang.cache.compare/1", **result})
        return
    print_table(["row", "cosine"], [[row, cosine] for row, cosine in enumerate(result["cosines"])])
    say(
        f"{result['rows_cached']} rows in the cache, {result['rows_file']} in the file; "
        f"cosine mean {result['mean']:.4f}, lowest {result['min']:.4f}"
    )


@app.command("import")
def import_(
    paths: Annotated[
        list[Path],
        typer.Argument(help=".npy or .npz files, or folders of them (NAME__0.npy … NAME__9.npy).", metavar="PATH..."),
    ],
    encoder: Annotated[
        str, typer.Option(help="The encoder that made them; i3d for I3D features.", metavar="NAME")
    ] = "clip-vit-b16",
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames per second they were made at (UCF-Crime 30, XD-Violence 24, I3D mostly 25).", metavar="RATE"
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Frames from row to row. Published crops have 16; other files need it, or time stamps.",
            show_default="16 for NAME__k.npy",
        ),
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=1, help="Frames that a row is made of.", show_default="the stride")
    ] = None,
    flow: Annotated[
        list[Path] | None,
        typer.Option(help="File or folder of the flow rows to join behind the rgb rows of PATH.", metavar="PATH"),
    ] = None,
    times: Annotated[
        Path | None,
        typer.Option(
            help="Milliseconds of the rows of one video.", metavar="NPY", show_default="NAME_ms.npy beside the file"
        ),
    ] = None,
    stamps: Annotated[
        StampsChoice | None,
        typer.Option(help="What time stamps mark of a row.", show_default="start, refused where unclear"),
    ] = None,
    video: Annotated[
        str | None,
        typer.Option(
            help="Id to keep one video under, such as clips/a.mp4, so that it lies beside its other features.",
            metavar="VIDEO",
            show_default="name of the file",
        ),
    ] = None,
    crop: Annotated[
        int | None, typer.Option(min=0, max=9, help="Take one crop instead of all ten.", show_default="all")
    ] = None,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
) -> None:
    """Published features into the cache: VadCLIP crops, I3D rgb and flow, other rows.

    Rgb and flow are joined where they lie in rgb/ and flow/, are called NAME_rgb and NAME_flow, or come by --flow.

    [bold]Examples[/bold]

      vidlang cache import UCFClipFeatures/ --fps 30 --crop 0

      vidlang cache import x.npy --encoder clip-vit-b32 --stride 1 --fps 19.62

      vidlang cache import thumos/train --encoder i3d --stride 16 --fps 25
    """
    from vidlang.workflows.cache import import_npy
    from vidlang.workflows.workspace import open_cache, open_workspace

    cache = open_cache(open_workspace(workspace))
    outcomes = import_npy(
        cache,
        paths,
        encoder,
        fps,
        stride,
        crop,
        TerminalProgress(quiet),
        flow=flow or [],
        window=window,
        times=times,
        stamps=stamps.value if stamps else None,
        video=video,
    )
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        warn(f"failed: {outcome.error}")
    say(f"{len(outcomes) - len(failed)} videos imported, {len(failed)} failed.")
    if failed:
        raise typer.Exit(1)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Folder for the .npy files.", metavar="FOLDER")],
    videos: VideosArgument = None,
    recipe: FilterOption = None,
    dtype: Annotated[RowsChoice, typer.Option(help="Type of the rows.")] = RowsChoice.float16,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
) -> None:
    """Features as NAME__0.npy … in the published layout.

    [bold]Examples[/bold]

      vidlang cache export features/

      vidlang cache export features/ 'fight/*' --dtype float32
    """
    from vidlang.workflows.cache import export_npy
    from vidlang.workflows.workspace import open_cache, open_workspace

    cache = open_cache(open_workspace(workspace))
    written = export_npy(cache, out, videos or ["*"], recipe, dtype.value, TerminalProgress(quiet))
    say(f"{written} files written to {out}")


@app.command()
def pack(
    file: Annotated[Path, typer.Argument(help="The single .h5 file to write.", metavar="FILE")],
    recipe: FilterOption = None,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
) -> None:
    """Copy the cache into one file, to hand on; a packed file opens read-only.

    [bold]Examples[/bold]

      vidlang cache pack all.h5

      vidlang cache pack mini.h5 --recipe 0f3a9c21d4
    """
    from vidlang.workflows.cache import pack_cache
    from vidlang.workflows.workspace import open_cache, open_workspace

    say(pack_cache(open_cache(open_workspace(workspace)), file, recipe, TerminalProgress(quiet)))


@app.command()
def rm(
    videos: VideosArgument = None,
    recipe: FilterOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Delete entries; asks first.

    [bold]Examples[/bold]

      vidlang cache rm 'fight/*'

      vidlang cache rm --recipe 0f3a9c21d4 --yes
    """
    from vidlang.workflows.cache import find_keys, remove
    from vidlang.workflows.workspace import open_cache, open_workspace

    if not videos and recipe is None:
        warn("Error: name videos (or '*'), or a --recipe.")
        raise typer.Exit(2)
    cache = open_cache(open_workspace(workspace))
    keys = find_keys(cache, videos or ["*"], recipe)
    if not keys:
        say("Nothing matches.")
        return
    if not yes and not typer.confirm(f"Delete {len(keys)} entries?"):
        raise typer.Exit(1)
    remove(cache, keys)
    say(f"{len(keys)} entries deleted.")
