"""Nearest videos, groups of near-duplicates, and the index behind both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidlang.api.common import (
    PathLike,
    Paths,
    ProgressLike,
    WorkspaceLike,
    name_of,
    path_of,
    paths_of,
    place_of,
    progress_of,
)
from vidlang.api.results import RetrieveResult
from vidlang.core import BadInput
from vidlang.core.features import Borders, Colour, Pick, Precision, RowKind
from vidlang.core.words import bytes_of
from vidlang.workflows.duplicates import find_duplicates as run_duplicates
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.gallery import GalleryOptions, open_approximate, open_gallery
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.retrieve import RetrieveOptions
from vidlang.workflows.retrieve import retrieve as run
from vidlang.workflows.retrieve_report import ReportOptions
from vidlang.workflows.search import SearchOptions

if TYPE_CHECKING:
    from vidlang.workflows.duplicates import DuplicatesReport
    from vidlang.workflows.gallery import UpdateReport

Similarity = Literal["overlap", "chamfer", "symmetric", "top-k", "cosine", "comparator"]
Whitening = Literal["auto", "none", "center", "whiten"]
BlankFrames = Literal["weigh-less", "keep"]
IndexDtype = Literal["float32", "bfloat16", "float16"]
Approximate = Literal["auto", "hnsw", "ivf", "ivf-pq"]


def retrieve(
    queries: Paths | None = None,
    *,
    text: str | Sequence[str] | None = None,
    cached: bool = False,
    with_rejected: bool = False,
    similarity: Similarity = "overlap",
    top: int = 10,
    threshold: float | None = None,
    max_false_positives: float | None = None,
    shortlist: int = 1000,
    ann: bool = False,
    memory: int | None = None,
    segments: bool = True,
    background: str | None = None,
    comparator: PathLike | None = None,
    checkpoint: PathLike | None = None,
    whitening: Whitening = "auto",
    components: int | None = None,
    skip_start: float = 0.0,
    blank_frames: BlankFrames = "weigh-less",
    index_dtype: IndexDtype = "float32",
    complete: bool = False,
    plot: bool = False,
    report: PathLike | None = None,
    embed: bool = False,
    videos: Paths | None = None,
    out: PathLike | None = None,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    features: RowKind | None = None,
    borders: Borders | None = None,
    colour: Colour | None = None,
    motion: str | None = None,
    precision: Precision | None = None,
    frame_rate: float | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> RetrieveResult:
    """The nearest cached videos to videos, images or texts, and which seconds match.

    text: words to look for, or several such; the gallery is what the cache holds
    memory: for the index at a time, in MB; None: as much as the system gives
    videos: where the page ``report`` finds the files of the gallery

    Raises:
        BadInput, MissingFeatures, UnknownName, BadCheckpoint, EncoderUnavailable: nothing can be asked at all. A query
            that fails is in ``.failed``.
    """
    place = place_of(workspace)
    options = RetrieveOptions(
        texts=(text,) if isinstance(text, str) else tuple(text or ()),
        cached=cached,
        gallery=GalleryOptions(
            checkpoint=name_of(checkpoint),
            whitening=whitening,
            num_components=components,
            skip_start=skip_start,
            blank_frames=blank_frames,
            dtype=index_dtype,
            device=device or place.settings.device,
        ),
        search=SearchOptions(
            similarity=similarity,
            top=top,
            shortlist=shortlist,
            threshold=threshold,
            segments=segments,
            memory=bytes_of(memory),
        ),
        comparator=path_of(comparator),
        background=background,
        max_false_positives=max_false_positives,
        approximate=ann,
        use_rejections=not with_rejected,
        complete=complete,
        plot=plot,
        report=_page(report, embed, videos),
        out=path_of(out),
    )
    recipe = RecipeChanges(
        encoder=encoder,
        stride=stride,
        pick=pick,
        fps=fps,
        precision=precision,
        features=features,
        borders=borders,
        colour=colour,
        motion=motion,
    )
    extraction = ExtractOptions(batch_size=batch_size, num_workers=workers, frame_rate=frame_rate)
    return RetrieveResult(run(paths_of(queries), place, options, recipe, extraction, progress_of(progress)))


def find_duplicates(
    *,
    similarity: Similarity = "overlap",
    threshold: float | None = None,
    max_false_positives: float | None = None,
    segments: bool = True,
    report: PathLike | None = None,
    embed: bool = False,
    videos: Paths | None = None,
    checkpoint: PathLike | None = None,
    whitening: Whitening = "auto",
    components: int | None = None,
    skip_start: float = 0.0,
    blank_frames: BlankFrames = "weigh-less",
    index_dtype: IndexDtype = "float32",
    with_rejected: bool = False,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    features: RowKind | None = None,
    borders: Borders | None = None,
    colour: Colour | None = None,
    motion: str | None = None,
    precision: Precision | None = None,
    out: PathLike | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> DuplicatesReport:
    """Groups of near-duplicates among the cached videos: ``vidlang retrieve --all-pairs``.

    Raises:
        BadInput, MissingFeatures: there are not two videos of the recipe in the cache.
    """
    place = place_of(workspace)
    options = RetrieveOptions(
        gallery=GalleryOptions(
            checkpoint=name_of(checkpoint),
            whitening=whitening,
            num_components=components,
            skip_start=skip_start,
            blank_frames=blank_frames,
            dtype=index_dtype,
            device=device or place.settings.device,
        ),
        search=SearchOptions(similarity=similarity, threshold=threshold, segments=segments),
        max_false_positives=max_false_positives,
        use_rejections=not with_rejected,
        report=_page(report, embed, videos),
        out=path_of(out),
    )
    recipe = RecipeChanges(
        encoder=encoder,
        stride=stride,
        pick=pick,
        fps=fps,
        precision=precision,
        features=features,
        borders=borders,
        colour=colour,
        motion=motion,
    )
    return run_duplicates(place, options, recipe, progress_of(progress))


def index(
    *,
    rebuild: bool = False,
    prune: bool = False,
    checkpoint: PathLike | None = None,
    whitening: Whitening = "auto",
    components: int | None = None,
    skip_start: float = 0.0,
    blank_frames: BlankFrames = "weigh-less",
    index_dtype: IndexDtype = "float32",
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    features: RowKind | None = None,
    borders: Borders | None = None,
    colour: Colour | None = None,
    motion: str | None = None,
    precision: Precision | None = None,
    approximate: Approximate | None = None,
    memory: int | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> UpdateReport:
    """Brings the retrieval index up to the cache (``vidlang index update``), or makes it anew (``index build``).

    rebuild: make it anew    prune: remove videos that are no longer in the cache
    approximate: build an approximate index, too    memory: for it at a time, in MB; None: as much as the system gives

    Raises:
        MissingFeatures: the cache has no videos of the recipe, and the index none either.
        BadInput, UnknownName, BadCheckpoint: options that fit nothing.
    """
    place = place_of(workspace)
    options = GalleryOptions(
        checkpoint=name_of(checkpoint),
        whitening=whitening,
        num_components=components,
        skip_start=skip_start,
        blank_frames=blank_frames,
        dtype=index_dtype,
        device=device or place.settings.device,
    )
    recipe = RecipeChanges(
        encoder=encoder,
        stride=stride,
        pick=pick,
        fps=fps,
        precision=precision,
        features=features,
        borders=borders,
        colour=colour,
        motion=motion,
    )
    told = progress_of(progress)
    gallery, report = open_gallery(place, options, recipe, told, rebuild=rebuild, prune=prune)
    if approximate is not None:
        built = open_approximate(
            gallery.index,
            SearchOptions().shortlist,
            told,
            kind=None if approximate == "auto" else approximate,
            memory=bytes_of(memory),
            rebuild=True,
        )
        report = replace(report, notes=(*report.notes, f"approximate index: {built.line()}"))
    return report


def _page(report: PathLike | None, embed: bool, videos: Paths | None) -> ReportOptions | None:
    if report is not None:
        return ReportOptions(Path(report), embed, tuple(Path(path) for path in paths_of(videos)))
    if embed or videos:
        raise BadInput(f"{'embed' if embed else 'videos'} belongs to a page; say which: report='page.html'.")
    return None
