"""``vidlang retrieve``: the nearest videos of the cache to a video, an image or a text, and which seconds match."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidlang.cli import complete
from vidlang.cli.extract import (
    BatchOption,
    BordersOption,
    ColourOption,
    FeaturesOption,
    FpsOption,
    FrameRateOption,
    MotionOption,
    PickOption,
    PrecisionOption,
    StrideOption,
    WorkersOption,
    recipe_changes,
)
from vidlang.cli.help import ANSWER, RUNNING, VIDEOS
from vidlang.cli.options import DeviceOption, EncoderOption, JsonOption, QuietOption, VerboseOption, WorkspaceOption
from vidlang.cli.render import (
    TerminalProgress,
    clock,
    configure_logging,
    end_if_failed,
    plain,
    print_json,
    print_table,
    say,
    say_notes,
)
from vidlang.core.errors import BadInput
from vidlang.core.words import bytes_of

if TYPE_CHECKING:
    from vidlang.core import Hit, Segment
    from vidlang.workflows.duplicates import DuplicatesReport
    from vidlang.workflows.gallery import GalleryOptions
    from vidlang.workflows.recipe import RecipeChanges
    from vidlang.workflows.retrieve import RetrieveOptions, RetrieveReport
    from vidlang.workflows.retrieve_report import ReportOptions


class SimilarityChoice(str, Enum):
    overlap = "overlap"
    chamfer = "chamfer"
    symmetric = "symmetric"
    top_k = "top-k"
    cosine = "cosine"
    comparator = "comparator"


WhiteningChoice = Enum(  # str.center forbids the class form
    "WhiteningChoice", {"auto": "auto", "none": "none", "center": "center", "whiten": "whiten"}, type=str
)


class BlankChoice(str, Enum):
    weigh_less = "weigh-less"
    keep = "keep"


class IndexDtypeChoice(str, Enum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


GALLERY = "Gallery (decides which index)"
SEARCH = "Search"
RECIPE = "Features (which of the cache)"

CheckpointOption = Annotated[
    str | None,
    typer.Option(
        help="Name or folder of a TCA checkpoint, or plain for none.",
        show_default="the newest, or plain",
        metavar="NAME",
        autocompletion=complete.checkpoints,
        rich_help_panel=GALLERY,
    ),
]
WhiteningOption = Annotated[
    WhiteningChoice,
    typer.Option(
        help="none, center, whiten, or auto: the more, the larger the gallery is.",
        metavar="NAME",
        rich_help_panel=GALLERY,
    ),
]
ComponentsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Dimensions that whitening keeps.",
        show_default="a 32nd of the rows",
        metavar="N",
        rich_help_panel=GALLERY,
    ),
]
SkipStartOption = Annotated[
    float,
    typer.Option(
        min=0,
        help="Leave out the first seconds of every video, such as an intro that all share.",
        metavar="SECONDS",
        rich_help_panel=GALLERY,
    ),
]
BlankOption = Annotated[
    BlankChoice,
    typer.Option(help="Black, plain and title frames: weigh-less, or keep.", metavar="NAME", rich_help_panel=GALLERY),
]
IndexDtypeOption = Annotated[
    IndexDtypeChoice,
    typer.Option(
        help="Numbers of the index: float32; bfloat16: rows in half the space; float16: vectors, too.",
        metavar="NAME",
        rich_help_panel=GALLERY,
    ),
]
MemoryOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Memory for the index at a time, in MB.",
        show_default="as much as the system gives",
        metavar="MB",
        rich_help_panel=RUNNING,
    ),
]


def gallery_options(
    checkpoint: str | None,
    whitening: Enum,
    components: int | None,
    skip_start: float,
    blank_frames: BlankChoice,
    index_dtype: IndexDtypeChoice,
    device: str,
) -> GalleryOptions:
    """What the options of the panel ``Gallery`` say."""
    from vidlang.workflows.gallery import GalleryOptions

    return GalleryOptions(
        checkpoint=checkpoint,
        whitening=whitening.value,
        num_components=components,
        skip_start=skip_start,
        blank_frames=blank_frames.value,  # type: ignore[arg-type]
        dtype=index_dtype.value,  # type: ignore[arg-type]
        device=device,
    )


def command(
    queries: Annotated[
        list[str] | None, typer.Argument(help="Videos, images, folders, or patterns.", metavar="[QUERY]...")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            help="Words to look for; may be given several times.",
            show_default=False,
            metavar="WORDS",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    all_pairs: Annotated[
        bool,
        typer.Option(
            "--all-pairs", help="No query: groups of near-duplicates in the whole gallery.", rich_help_panel=VIDEOS
        ),
    ] = False,
    cached: Annotated[
        bool,
        typer.Option(
            "--cached", help="Queries are ids (or patterns) of cached videos; opens no video.", rich_help_panel=VIDEOS
        ),
    ] = False,
    reject: Annotated[
        list[str] | None,
        typer.Option(
            "--reject",
            help="This video is no match of the query: remember it.",
            show_default=False,
            metavar="VIDEO",
            autocompletion=complete.cached_videos,
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    with_rejected: Annotated[
        bool,
        typer.Option("--with-rejected", help="Answer also what was rejected before.", rich_help_panel=VIDEOS),
    ] = False,
    similarity: Annotated[
        SimilarityChoice,
        typer.Option(
            help="overlap: the larger chamfer direction; chamfer; symmetric; top-k: robust chamfer; cosine: of "
            "video vectors; comparator: needs --comparator.",
            metavar="NAME",
            rich_help_panel=SEARCH,
        ),
    ] = SimilarityChoice.overlap,
    top: Annotated[int, typer.Option(min=1, help="Hits per query.", metavar="N", rich_help_panel=SEARCH)] = 10,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Similarity that hits have at least; says what it lets through.",
            show_default="none; groups: by the gallery",
            metavar="X",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    max_false_positives: Annotated[
        float | None,
        typer.Option(
            help="Set the threshold so that this share of unrelated gallery pairs reaches it.",
            show_default=False,
            metavar="SHARE",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    shortlist: Annotated[
        int, typer.Option(min=1, help="Videos compared frame by frame.", metavar="N", rich_help_panel=SEARCH)
    ] = 1000,
    ann: Annotated[
        bool,
        typer.Option("--ann", help="Approximate shortlist (faiss), with its recall.", rich_help_panel=SEARCH),
    ] = False,
    memory: MemoryOption = None,
    segments: Annotated[
        bool,
        typer.Option("--segments/--no-segments", help="Find which seconds match.", rich_help_panel=SEARCH),
    ] = True,
    background: Annotated[
        str | None,
        typer.Option(
            help="Pattern of cached videos that match nothing; similarity to them is taken away.",
            show_default=False,
            metavar="PATTERN",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    comparator: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the comparator network (ViSiL).",
            show_default=False,
            metavar="FILE",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    whitening: WhiteningOption = WhiteningChoice["auto"],
    components: ComponentsOption = None,
    skip_start: SkipStartOption = 0.0,
    blank_frames: BlankOption = BlankChoice.weigh_less,
    index_dtype: IndexDtypeOption = IndexDtypeChoice.float32,
    complete_: Annotated[
        bool,
        typer.Option(
            "--complete", help="Also write all similarities, for vidlang eval retrieval.", rich_help_panel=ANSWER
        ),
    ] = False,
    plot: Annotated[
        bool,
        typer.Option("--plot", help="Draw the matched seconds (PNG) of each query.", rich_help_panel=ANSWER),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Page (HTML) of queries beside their hits, with stills, linked seconds and players.",
            show_default=False,
            metavar="FILE",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the videos into the page; else it links them.", rich_help_panel=ANSWER)
    ] = False,
    videos: Annotated[
        list[Path] | None,
        typer.Option(
            "--videos",
            help="Folder of the gallery's videos, for the page; may be given several times.",
            show_default="the current folder and that of the workspace, with the folders in them",
            metavar="DIR",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results.",
            show_default=".vidlang/results/retrieve/<time>",
            metavar="DIR",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    features: FeaturesOption = None,
    borders: BordersOption = None,
    colour: ColourOption = None,
    motion: MotionOption = None,
    precision: PrecisionOption = None,
    frame_rate: FrameRateOption = None,
    batch_size: BatchOption = 32,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """The nearest cached videos to a video, an image or a text, and which seconds match.

    The gallery is what the cache holds; its index is made and kept up by itself. For copies that may be recoloured or
    have black bars, extract and retrieve with --colour grey --borders crop.

    [bold]Examples[/bold]

      vidlang retrieve query.mp4

      vidlang retrieve --text "a red car crashing" --top 5

      vidlang retrieve --all-pairs --report duplicates.html
    """
    from vidlang.workflows.extract import ExtractOptions
    from vidlang.workflows.retrieve import RetrieveOptions, reject_videos, retrieve
    from vidlang.workflows.search import SearchOptions
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    if reject:
        if not queries or len(queries) != 1:
            raise BadInput("--reject names videos that do not match one query: vidlang retrieve QUERY --reject VIDEO.")
        lines = reject_videos(place, queries[0], reject)
        for line in () if quiet else lines:
            say(line)
        return
    options = RetrieveOptions(
        texts=tuple(text or ()),
        cached=cached,
        gallery=gallery_options(
            checkpoint,
            whitening,
            components,
            skip_start,
            blank_frames,
            index_dtype,
            device or place.settings.device,
        ),
        search=SearchOptions(
            similarity=similarity.value,  # type: ignore[arg-type]
            top=top,
            shortlist=shortlist,
            threshold=threshold,
            segments=segments,
            memory=bytes_of(memory),
        ),
        comparator=comparator,
        background=background,
        max_false_positives=max_false_positives,
        approximate=ann,
        use_rejections=not with_rejected,
        complete=complete_,
        plot=plot,
        report=_report_options(report, embed, videos),
        out=out,
    )
    changes = recipe_changes(
        encoder=encoder,
        stride=stride,
        pick=pick,
        fps=fps,
        features=features,
        borders=borders,
        colour=colour,
        motion=motion,
        precision=precision,
    )
    progress = TerminalProgress(quiet)
    if all_pairs:
        if queries or text:
            raise BadInput("--all-pairs compares the gallery with itself; leave queries and --text out.")
        if plot:
            raise BadInput("--plot draws the hits of queries, and --all-pairs has none; leave one of them out.")
        _all_pairs(place, options, changes, progress, json, quiet)
        return
    extraction = ExtractOptions(batch_size=batch_size, num_workers=workers, frame_rate=frame_rate)
    found = retrieve(queries or [], place, options, changes, extraction, progress)
    if json:
        print_json(found.to_dict())
    elif not quiet:
        _show(found)
        if report is not None and found.rankings:
            say(f"Page in {report}")
    say_notes(found.notes, quiet)
    end_if_failed(found, quiet, "answered", what="queries")


def _report_options(page: Path | None, embed: bool, videos: list[Path] | None) -> ReportOptions | None:
    from vidlang.workflows.retrieve_report import ReportOptions

    if page is None:
        if embed or videos:
            raise BadInput(f"{'--embed' if embed else '--videos'} belongs to a page; say which: --report FILE.html")
        return None
    return ReportOptions(page, embed, tuple(videos or ()))


def _show(report: RetrieveReport) -> None:
    made_by = report.made_by
    how = f"checkpoint {made_by['checkpoint']}" if made_by["checkpoint"] else "plain rows"
    say(
        f"{report.update.info.videos} videos searched; {how}; {made_by['similarity']}; "
        f"whitening {made_by['whitening']}; encoder {made_by['encoder']}"
    )
    if made_by.get("note"):
        say(f"Note: {made_by['note']}")
    if report.false_positives is not None:
        say(report.false_positives.line())
    for ranking in report.rankings:
        say("")
        say(f"{ranking.query}")
        if not ranking.hits:
            say("  no video of the gallery matches")
            continue
        rows = [
            [
                number,
                hit.video_id + (" (same file)" if (ranking.query, hit.video_id) in report.same_file else ""),
                hit.similarity,
                _segments(hit),
            ]
            for number, hit in enumerate(ranking.hits, 1)
        ]
        print_table(["#", "video", "similarity", "query seconds = video seconds"], rows)
    if report.num_rejected:
        say(f"{report.num_rejected} rejected videos left out; --with-rejected shows them")
    if report.rankings:
        say(f"Results in {report.folder}")


def _segments(hit: Hit) -> str:
    """``0:00-0:05 = 1:20-1:25``; a text has no seconds of its own."""
    return "; ".join(f"{_span(mine)} = {_span(theirs)}" if mine else _span(theirs) for mine, theirs in hit.segments)


def _span(segment: Segment) -> str:
    return f"{clock(segment.start)}-{clock(segment.end)}"


SHOWN_PAIRS = 5
"""Pairs of a group that the terminal shows; the file has all."""


def _all_pairs(
    place: Any, options: RetrieveOptions, changes: RecipeChanges, progress: TerminalProgress, json: bool, quiet: bool
) -> None:
    from vidlang.workflows.duplicates import find_duplicates

    page = options.report.page if options.report is not None else None
    report = find_duplicates(place, options, changes, progress)
    if json:
        print_json(report.to_dict())
    elif not quiet:
        _show_groups(report, page)
    say_notes(report.notes, quiet)


def _show_groups(report: DuplicatesReport, page: Path | None) -> None:
    inside = sum(len(group) for group in report.groups)
    say(f"{len(report.groups)} groups of near-duplicates with {inside} of {report.num_videos} videos")
    say(report.false_positives.line())
    for number, group in enumerate(report.groups, 1):
        say("")
        say(f"Group {number}: {len(group)} videos")
        for video in group:
            say(f"  {plain(video)}")
        pairs = report.pairs_of(group)
        for pair in pairs[:SHOWN_PAIRS]:
            spans = ", ".join(f"{_span(a)} = {_span(b)}" for a, b in pair.segments)
            say(f"    {pair.similarity:.3f}  {pair.first}  {pair.second}  {spans}")
        if len(pairs) > SHOWN_PAIRS:
            say(f"    and {len(pairs) - SHOWN_PAIRS} more pairs")
    if report.num_rejected:
        say(f"{report.num_rejected} rejected pairs left out")
    say("")
    say(f"Groups and pairs in {report.folder / 'groups.json'}")
    if page is not None:
        say(f"Page in {page}")
