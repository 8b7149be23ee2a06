"""``vidlang cache``: look after the feature cache."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli import complete
from vidlang.cli.cache_pictures import add_pictures
from vidlang.cli.help import ANSWER, RUNNING, VIDEOS
from vidlang.cli.options import (
    CacheUrlOption,
    DryRunOption,
    JsonOption,
    NamesOnlyOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
)
from vidlang.cli.render import (
    TerminalProgress,
    configure_logging,
    print_json,
    print_table,
    say,
    show_plan,
    size,
    warn,
)

app = typer.Typer(help="The feature cache: list it, look at it, check it, move it.", no_args_is_help=True)

FilterOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="Only this recipe, by the fingerprint that list shows.",
        show_default="all",
        metavar="HEX",
        autocompletion=complete.recipes,
        rich_help_panel=VIDEOS,
    ),
]
VideosArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="Video ids or patterns such as 'fight/*'.", metavar="[VIDEO]...", autocompletion=complete.cached_videos
    ),
]
KEEP, MOVE = "Look after it", "Move it"
ROWS = "Rows (how they were made)"


class StampsChoice(str, Enum):
    start = "start"
    end = "end"


class RowsChoice(str, Enum):
    float16 = "float16"
    float32 = "float32"


@app.callback()
def top() -> None:
    """The feature cache: list it, look at it, check it, move it."""


add_pictures(app)


@app.command("list", rich_help_panel="Look at it")
def list_(
    videos: VideosArgument = None,
    recipe: FilterOption = None,
    cache_place: CacheUrlOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: NamesOnlyOption = False,
    verbose: VerboseOption = False,
) -> None:
    """What the cache holds: recipes, or the videos that match.

    [bold]Examples[/bold]

      vidlang cache list

      vidlang cache list 'fight/*' --json

      vidlang cache list --cache s3://bucket/features
    """
    from vidlang.workflows.cache import list_entries, list_recipes
    from vidlang.workflows.workspace import open_cache, open_workspace

    configure_logging(verbose)
    cache = open_cache(open_workspace(workspace), cache_place)
    if videos:
        entries = list_entries(cache, videos, recipe)
        if json:
            print_json({"schema": "vidlang.cache.entries/1", "videos": entries})
        elif quiet:
            for video in dict.fromkeys(entry["video"] for entry in entries):
                say(video)
        else:
            columns = ["video", "seconds", "rows", "recipe", "warnings"]
            print_table(columns, [[e["video"], e["duration"], e["rows"], e["recipe"], e["warnings"]] for e in entries])
        return
    recipes = list_recipes(cache, recipe)
    if json:
        print_json({"schema": "vidlang.cache.recipes/1", "recipes": recipes})
    elif quiet:
        for row in recipes:
            say(row["fingerprint"])
    elif not recipes:
        say(f"The cache {cache.root} is empty. Run: vidlang extract videos/")
    else:
        columns = ["recipe", "encoder", "sampling", "videos", "rows", "size"]
        rows = [
            [r["fingerprint"], r["encoder"], r["sampling"], r["videos"], r["rows"], size(r["bytes"])] for r in recipes
        ]
        print_table(columns, rows)


@app.command(rich_help_panel=KEEP)
def verify(
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Delete temporary files of writers that died.", rich_help_panel=RUNNING)
    ] = False,
    cache_place: CacheUrlOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Read every entry and check its checksum; exit code 1 if any is torn or edited.

    [bold]Examples[/bold]

      vidlang cache verify

      vidlang cache verify --sweep
    """
    from vidlang.workflows.cache import verify_cache
    from vidlang.workflows.workspace import open_cache, open_workspace

    configure_logging(verbose)
    cache = open_cache(open_workspace(workspace), cache_place)
    good, damaged, leftovers = verify_cache(cache, TerminalProgress(quiet), sweep=sweep)
    if json:
        lists = {
            name: [{"path": str(path), "problem": problem} for path, problem in found]
            for name, found in (("damaged", damaged), ("leftovers", leftovers))
        }
        print_json({"schema": "vidlang.cache.verify/1", "good": good, **lists})
    for path, problem in () if json else [*damaged, *leftovers]:
        warn(f"{path}: {problem}")
    if not json and not quiet:
        say(f"{good} entries are whole, {len(damaged)} damaged.")
    if leftovers and not json and not quiet:
        say(f"{len(leftovers)} temporary files of killed writers{' removed' if sweep else '; --sweep removes them'}.")
    if damaged:
        raise typer.Exit(1)


@app.command(rich_help_panel=KEEP, no_args_is_help=True)
def compare(
    video: Annotated[
        str,
        typer.Argument(help="Video id in the cache.", metavar="VIDEO", autocompletion=complete.cached_videos),
    ],
    file: Annotated[Path, typer.Argument(help="A .npy of somebody's features.", metavar="NPY")],
    recipe: FilterOption = None,
    crop: Annotated[
        int,
        typer.Option(min=0, max=9, help="Which crop of the cached video.", metavar="N", rich_help_panel=VIDEOS),
    ] = 0,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Cosine per snippet between a cached video and a .npy file.

    [bold]Examples[/bold]

      vidlang cache compare Abuse/Abuse001_x264.mp4 Abuse001_x264__0.npy

      vidlang cache compare x.mp4 x.npy --json
    """
    from vidlang.workflows.cache import compare_with_npy
    from vidlang.workflows.workspace import open_cache, open_workspace

    configure_logging(verbose)
    result = compare_with_npy(open_cache(open_workspace(workspace)), video, file, recipe, crop)
    if json:
        print_json({"schema": "vidlang.cache.compare/1", **result})
        return
    if quiet:
        return
    print_table(["row", "cosine"], [[row, cosine] for row, cosine in enumerate(result["cosines"])])
    say(
        f"{result['rows_cached']} rows in the cache, {result['rows_file']} in the file; "
        f"cosine mean {result['mean']:.4f}, lowest {result['min']:.4f}"
    )


@app.command("import", rich_help_panel=MOVE, no_args_is_help=True)
def import_(
    paths: Annotated[
        list[Path],
        typer.Argument(help=".npy or .npz files, or folders of them (NAME__0.npy … NAME__9.npy).", metavar="PATH..."),
    ],
    encoder: Annotated[
        str,
        typer.Option(
            help="The encoder that made them; i3d for I3D features.",
            metavar="NAME",
            autocompletion=complete.encoders,
            rich_help_panel=ROWS,
        ),
    ] = "clip-vit-b16",
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames per second they were made at (UCF-Crime 30, XD-Violence 24, I3D mostly 25).",
            show_default=False,
            metavar="RATE",
            rich_help_panel=ROWS,
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Frames from row to row. Published crops have 16; other files need it, or time stamps.",
            show_default="16 for NAME__k.npy",
            metavar="N",
            rich_help_panel=ROWS,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            min=1, help="Frames that a row is made of.", show_default="the stride", metavar="N", rich_help_panel=ROWS
        ),
    ] = None,
    flow: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or folder of the flow rows to join behind the rgb rows of PATH.",
            show_default=False,
            metavar="PATH",
            rich_help_panel=ROWS,
        ),
    ] = None,
    times: Annotated[
        Path | None,
        typer.Option(
            help="Milliseconds of the rows of one video.",
            show_default="NAME_ms.npy beside the file",
            metavar="NPY",
            rich_help_panel=ROWS,
        ),
    ] = None,
    stamps: Annotated[
        StampsChoice | None,
        typer.Option(
            help="What time stamps mark of a row.",
            show_default="start, refused where unclear",
            metavar="NAME",
            rich_help_panel=ROWS,
        ),
    ] = None,
    video: Annotated[
        str | None,
        typer.Option(
            help="Id to keep one video under, such as clips/a.mp4, so that it lies beside its other features.",
            metavar="VIDEO",
            show_default="name of the file",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=9,
            help="Take one crop instead of all ten.",
            show_default="all",
            metavar="N",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    dry_run: DryRunOption = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
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

    configure_logging(verbose)
    cache = open_cache(open_workspace(workspace))
    marks = stamps.value if stamps else None
    if dry_run:
        from vidlang.workflows.cache_plans import plan_import

        plan = plan_import(
            cache,
            paths,
            encoder,
            fps,
            stride,
            crop,
            flow=flow or [],
            window=window,
            times=times,
            stamps=marks,  # type: ignore[arg-type]
            video=video,
        )
        show_plan(plan, json=json, quiet=quiet)
        return
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
        stamps=marks,  # type: ignore[arg-type]
        video=video,
    )
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        warn(f"failed: {outcome.error}")
    if json:
        videos = [
            {"video": o.video_id, "status": o.status, "detail": str(o.error) if o.error else o.detail} for o in outcomes
        ]
        print_json({"schema": "vidlang.cache.import/1", "videos": videos})
    elif not quiet:
        say(f"{len(outcomes) - len(failed)} videos imported, {len(failed)} failed.")
    if failed:
        raise typer.Exit(1)


@app.command(rich_help_panel=MOVE, no_args_is_help=True)
def export(
    out: Annotated[Path, typer.Argument(help="Folder for the .npy files.", metavar="FOLDER")],
    videos: VideosArgument = None,
    recipe: FilterOption = None,
    dtype: Annotated[
        RowsChoice, typer.Option(help="Type of the rows.", metavar="NAME", rich_help_panel=ANSWER)
    ] = RowsChoice.float16,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Features as NAME__0.npy … in the published layout.

    [bold]Examples[/bold]

      vidlang cache export features/

      vidlang cache export features/ 'fight/*' --dtype float32
    """
    from vidlang.workflows.cache import export_npy
    from vidlang.workflows.workspace import open_cache, open_workspace

    configure_logging(verbose)
    cache = open_cache(open_workspace(workspace))
    written = export_npy(cache, out, videos or ["*"], recipe, dtype.value, TerminalProgress(quiet))
    if json:
        print_json({"schema": "vidlang.cache.export/1", "files": written, "folder": str(out)})
    elif not quiet:
        say(f"{written} files written to {out}")


@app.command(rich_help_panel=MOVE, no_args_is_help=True)
def merge(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Caches: folders, workspaces, packed files, or URLs. They are only read.", metavar="SRC..."
        ),
    ],
    into: Annotated[
        str | None,
        typer.Option(
            help="Cache to bring them into: a folder or a URL.",
            show_default="the workspace's",
            metavar="DST",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    dry_run: DryRunOption = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Bring shards of a cache together; every entry is checked, equal ones are skipped.

    An entry that is there with other features is named and stays as it is, as
    does a damaged one of a source; the exit code is then 1. The same command
    goes on with a merge that was interrupted.

    [bold]Examples[/bold]

      vidlang cache merge job1/.vidlang job2/.vidlang

      vidlang cache merge job*/.vidlang --into /data/features --dry-run
    """
    from vidlang.workflows.cache_merge import merge_caches
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    report = merge_caches(open_workspace(workspace), sources, into, TerminalProgress(quiet), dry_run=dry_run)
    for problem in () if json else report.problems:
        warn(problem)
    if dry_run:
        show_plan(report.plan(), json=json, quiet=quiet)
    elif json:
        print_json(report.to_dict())
    elif not quiet:
        say(report.line())
    if report.problems and not dry_run:
        raise typer.Exit(1)


@app.command(rich_help_panel=MOVE, no_args_is_help=True)
def pack(
    file: Annotated[str, typer.Argument(help="The single .h5 file to write; a folder with --shards.", metavar="FILE")],
    recipe: FilterOption = None,
    shards: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Write so many files instead, by a hash of the ids (see extract --shard).",
            show_default="one file",
            metavar="N",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    dry_run: DryRunOption = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Copy the cache into one file, to hand on; a packed file opens read-only.

    [bold]Examples[/bold]

      vidlang cache pack all.h5

      vidlang cache pack mini.h5 --recipe 0f3a9c21d4

      vidlang cache pack packs/ --shards 64
    """
    from vidlang.workflows.cache import pack_cache
    from vidlang.workflows.workspace import open_cache, open_workspace

    configure_logging(verbose)
    cache = open_cache(open_workspace(workspace))
    if dry_run:
        from vidlang.workflows.cache_plans import plan_pack

        show_plan(plan_pack(cache, file, recipe), json=json, quiet=quiet)
        return
    entries, said = pack_cache(cache, file, recipe, TerminalProgress(quiet), shards)
    if json:
        print_json({"schema": "vidlang.cache.pack/1", "entries": entries, "file": file})
    elif not quiet:
        say(said)


@app.command(rich_help_panel=KEEP)
def rm(
    videos: VideosArgument = None,
    recipe: FilterOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", rich_help_panel=RUNNING)] = False,
    dry_run: DryRunOption = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Delete entries; asks first.

    [bold]Examples[/bold]

      vidlang cache rm 'fight/*'

      vidlang cache rm --recipe 0f3a9c21d4 --yes
    """
    from vidlang.workflows.cache import find_keys, remove
    from vidlang.workflows.workspace import open_cache, open_workspace

    configure_logging(verbose)
    if not videos and recipe is None:
        warn("Error: name videos (or '*'), or a --recipe.")
        raise typer.Exit(2)
    cache = open_cache(open_workspace(workspace))
    if dry_run:
        from vidlang.workflows.cache_plans import plan_rm

        show_plan(plan_rm(cache, videos or ["*"], recipe), json=json, quiet=quiet)
        return
    keys = find_keys(cache, videos or ["*"], recipe)
    if keys and not yes and not typer.confirm(f"Delete {len(keys)} entries?", err=json):
        raise typer.Exit(1)
    remove(cache, keys)
    if json:
        print_json({"schema": "vidlang.cache.rm/1", "videos": [key.video_id for key in keys]})
    elif not quiet:
        say(f"{len(keys)} entries deleted." if keys else "Nothing matches.")
