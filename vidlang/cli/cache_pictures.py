"""``vidlang cache map``, ``matrix`` and ``attention``: what lies in the cache, as pictures."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from vidlang.cli import complete
from vidlang.cli.help import ANSWER, VIDEOS
from vidlang.cli.options import DeviceOption, JsonOption, QuietOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import TerminalProgress, clock, configure_logging, print_json, print_table, say, say_notes
from vidlang.cli.retrieve import GALLERY, CheckpointOption
from vidlang.core.digits import counted

LAYOUT = "Layout"


class ByChoice(str, Enum):
    video = "video"
    snippet = "snippet"


class MethodChoice(str, Enum):
    pca = "pca"
    tsne = "tsne"


VideosOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--videos",
        help="Folder of the videos, for stills and players; may be given several times.",
        show_default="the current folder and that of the workspace, with the folders in them",
        metavar="DIR",
        rich_help_panel=ANSWER,
    ),
]


def map_(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            help="Video ids or patterns such as 'fight/*'; all, if none is given.",
            metavar="[PATTERN]...",
            autocompletion=complete.cached_videos,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="CSV of video,label[,start,end] that colours the points.",
            show_default="labels by folder",
            metavar="CSV",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Features of this recipe, by the fingerprint that cache list shows.",
            show_default="that of the settings",
            metavar="HEX",
            autocompletion=complete.recipes,
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    max_points: Annotated[
        int,
        typer.Option(
            "--max", min=3, help="Points at most; of more, so many are drawn.", metavar="N", rich_help_panel=VIDEOS
        ),
    ] = 5000,
    by: Annotated[ByChoice, typer.Option(help="What a point is.", metavar="NAME", rich_help_panel=LAYOUT)] = (
        ByChoice.video
    ),
    method: Annotated[
        MethodChoice,
        typer.Option(
            help="Principal components, or t-SNE, which keeps neighbours together.",
            metavar="NAME",
            rich_help_panel=LAYOUT,
        ),
    ] = MethodChoice.pca,
    perplexity: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="t-SNE: about how many neighbours a point stays near to.",
            show_default="30; less for few points",
            metavar="X",
            rich_help_panel=LAYOUT,
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Show vectors of this TCA checkpoint instead of the features.",
            show_default="none",
            metavar="NAME",
            autocompletion=complete.checkpoints,
            rich_help_panel=LAYOUT,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Decides t-SNE and which points are drawn.", metavar="N", rich_help_panel=LAYOUT),
    ] = 0,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            help="File .html (to click in), .png, .pdf, .svg or .csv; may be given several times.",
            show_default="map.html",
            metavar="FILE",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    folders: VideosOption = None,
    stills: Annotated[
        int, typer.Option(min=0, help="Stills in the page at most.", metavar="N", rich_help_panel=ANSWER)
    ] = 200,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """A map of cached videos or snippets in two dimensions, coloured by label.

    Near points look alike to the encoder. The page opens a point on a click, finds names, and plays videos at hand.

    [bold]Examples[/bold]

      vidlang cache map

      vidlang cache map 'fight/*' --by snippet --method tsne --out map.pdf
    """
    from vidlang.workflows.cache_map import MapOptions, cache_map
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    options = MapOptions(
        patterns=tuple(videos or ()),
        by=by.value,  # type: ignore[arg-type]
        method=method.value,  # type: ignore[arg-type]
        labels=labels,
        recipe=recipe,
        checkpoint=checkpoint,
        max_points=max_points,
        perplexity=perplexity,
        seed=seed,
        out=tuple(out or [Path("map.html")]),
        videos=tuple(folders or ()),
        stills=stills,
        device=device or place.settings.device,
    )
    report = cache_map(place, options, TerminalProgress(quiet))
    if json:
        print_json(report.to_dict())
    elif not quiet:
        for line in report.lines():
            say(line)
    say_notes(report.notes, quiet)


def matrix(
    first: Annotated[
        str,
        typer.Argument(help="Id of a cached video.", metavar="VIDEO", autocompletion=complete.cached_videos),
    ],
    second: Annotated[
        str,
        typer.Argument(help="Id of another.", metavar="OTHER", autocompletion=complete.cached_videos),
    ],
    checkpoint: CheckpointOption = None,
    out: Annotated[
        Path,
        typer.Option(help="The picture: .png, .pdf or .svg.", metavar="FILE", rich_help_panel=ANSWER),
    ] = Path("matrix.png"),
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """The similarity of every snippet of a video to every snippet of another, and where both match.

    Rows are compared as vidlang retrieve does; matching passages are lines in the picture.

    [bold]Examples[/bold]

      vidlang cache matrix chair/original.mp4 chair/copy.mp4

      vidlang cache matrix a.mp4 b.mp4 --checkpoint plain --out matrix.pdf
    """
    from vidlang.workflows.gallery import GalleryOptions
    from vidlang.workflows.matrix import MatrixOptions, similarity_matrix
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    options = MatrixOptions(GalleryOptions(checkpoint, device=device or place.settings.device), out)
    report = similarity_matrix(place, first, second, options, TerminalProgress(quiet))
    if json:
        print_json(report.to_dict())
        return
    if quiet:
        return
    say(f"Similarity {report.overlap:.3f}; {counted(len(report.segments), 'matching passage')}")
    spans = [[_span(a.start, a.end), _span(b.start, b.end)] for a, b in report.segments]
    if spans:
        print_table([first, second], spans)
    say(f"Picture in {report.out}")


def attention(
    video: Annotated[
        str,
        typer.Argument(help="Id of a cached video.", metavar="VIDEO", autocompletion=complete.cached_videos),
    ],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Name or folder of a TCA checkpoint.",
            show_default="the newest",
            metavar="NAME",
            autocompletion=complete.checkpoints,
            rich_help_panel=GALLERY,
        ),
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            help="File .png, .pdf, .svg or .csv; may be given several times.",
            show_default="attention.png",
            metavar="FILE",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    folders: VideosOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Which snippets of a video a trained TCA attends to: curves per head over time, frames below.

    1 is an even share: a snippet at 2 goes into the video's vector twice as much as the average one.

    [bold]Examples[/bold]

      vidlang cache attention query.mp4

      vidlang cache attention query.mp4 --checkpoint tca/run1 --out attention.pdf
    """
    from vidlang.workflows.attention import AttentionOptions, video_attention
    from vidlang.workflows.gallery import GalleryOptions
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    options = AttentionOptions(
        GalleryOptions(checkpoint, device=device or place.settings.device),
        tuple(out or [Path("attention.png")]),
        tuple(folders or ()),
    )
    report = video_attention(place, video, options, TerminalProgress(quiet))
    if json:
        print_json(report.to_dict())
    elif not quiet:
        layers, heads, rows = report.attention.shape
        looked = f"{counted(rows, 'snippet')}, {counted(layers, 'layer')} of {counted(heads, 'head')}"
        say(f"{looked}, checkpoint {report.made_by['checkpoint']}")
        best = sorted(range(rows), key=lambda row: -report.mean[row])[:SHOWN]
        table = [[_span(*report.seconds[row].tolist()), float(report.mean[row]) * rows] for row in best]
        print_table(["most attended", "times an even share"], table)
        say(f"Written: {', '.join(map(str, report.written))}")
    say_notes(report.notes, quiet)


SHOWN = 5
"""Snippets that the terminal names."""


def _span(start: float, end: float) -> str:
    return f"{clock(start)} - {clock(end)}"


def add_pictures(app: typer.Typer) -> None:
    """Puts the three commands into ``vidlang cache``."""
    app.command("map", rich_help_panel="Look at it")(map_)
    app.command("matrix", rich_help_panel="Look at it", no_args_is_help=True)(matrix)
    app.command("attention", rich_help_panel="Look at it", no_args_is_help=True)(attention)
