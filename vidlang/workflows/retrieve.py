"""Queries to rankings: features (extracted where they are missing) → embedding → search → hits with matched seconds.

Features of query videos lie in a cache of their own, ``queries/`` in the workspace, so that asking about a video does
not make it part of the gallery.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import (
    BadInput,
    FeatureKey,
    Features,
    Hit,
    Outcome,
    Progress,
    Ranking,
    Rankings,
    Similarities,
    VideoInfo,
    VidlangError,
)
from vidlang.metrics.projection import unit_mean
from vidlang.report.matches import DrawnHit, matches_png
from vidlang.store.atomic import write_bytes, write_text
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.rankings import (
    RANKINGS_FILE,
    SIMILARITIES_FILE,
    rankings_csv,
    write_rankings,
    write_similarities,
)
from vidlang.store.rejections import REJECTED_FILE, Rejections
from vidlang.store.workspace import Workspace
from vidlang.video.frames_reader import read_image
from vidlang.video.reader import IMAGE_EXTENSIONS, identify
from vidlang.video.shot_borders import ShotBorders
from vidlang.workflows.cache import matches
from vidlang.workflows.chosen import honesty, picture_path
from vidlang.workflows.embedding import Embedded
from vidlang.workflows.extract import ExtractOptions, extract_videos, find_inputs, is_there
from vidlang.workflows.gallery import Gallery, GalleryOptions, UpdateReport, index_root, open_approximate, open_gallery
from vidlang.workflows.index_recall import recall_lines
from vidlang.workflows.pixels import recoloured
from vidlang.workflows.recipe import RecipeChanges, check_has_text
from vidlang.workflows.retrieve_report import AskedBy, ReportOptions, write_rankings_page
from vidlang.workflows.search import Searcher, SearchOptions, text_hits_of
from vidlang.workflows.targets import results_folder
from vidlang.workflows.video_files import frame_rates, locate_videos

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder
    from vidlang.methods.tca.comparator import Comparator

TEXT_TEMPLATES = ("{}", "a photo of {}", "a video of {}", "a frame of a video that shows {}")
"""What is said around a text; the mean of all is the query."""


@dataclass(frozen=True)
class RetrieveOptions:
    """What to ask, and how."""

    texts: tuple[str, ...] = ()
    cached: bool = False
    """The paths are ids, or patterns of ids, of videos of the gallery."""
    gallery: GalleryOptions = field(default_factory=GalleryOptions)
    search: SearchOptions = field(default_factory=SearchOptions)
    comparator: Path | None = None
    """Weights of the comparator network."""
    background: str | None = None
    """Pattern of ids: videos of the gallery that no query is related to, for score normalisation."""
    max_false_positives: float | None = None
    """Choose the threshold so that this share of unrelated gallery pairs reaches it."""
    approximate: bool = False
    """Shortlist from an approximate index (faiss) instead of comparing with every vector."""
    use_rejections: bool = True
    complete: bool = False
    """Also write every query's similarity to every video, for ``eval retrieval``."""
    plot: bool = False
    """Also draw the matched seconds of each query's hits."""
    report: ReportOptions | None = None
    """Also write a page."""
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.max_false_positives is not None and not 0 < self.max_false_positives < 1:
            raise BadInput(f"--max-false-positives takes a share between 0 and 1, got {self.max_false_positives:g}.")
        if self.max_false_positives is not None and self.search.threshold is not None:
            raise BadInput("--threshold and --max-false-positives are two ways to set one thing; give one of them.")
        if self.plot and not self.search.segments:
            raise BadInput("--plot draws the seconds that match; leave --no-segments out.")
        if any(not text.strip() for text in self.texts):
            raise BadInput('--text needs words, for instance --text "a red car crashing".')


@dataclass(frozen=True)
class FalsePositives:
    """What a threshold lets through among videos of the gallery that have nothing to do with one another."""

    threshold: float
    rate: float
    num_pairs: int

    def line(self) -> str:
        return (
            f"{self.rate:.2%} of {self.num_pairs} pairs of different gallery videos reach {self.threshold:.3f} "
            "(copies inside the gallery count among them)"
        )


@dataclass(frozen=True)
class RetrieveReport:
    """Hits of every query."""

    rankings: tuple[Ranking, ...]
    outcomes: tuple[Outcome, ...]
    """One per query; a failed one has no ranking."""
    made_by: dict[str, Any]
    folder: Path
    update: UpdateReport
    false_positives: FalsePositives | None
    same_file: frozenset[tuple[str, str]]
    """(query, hit) that are one file under two names."""
    num_rejected: int
    """Hits left out because somebody rejected them."""
    notes: tuple[str, ...]

    @property
    def num_failed(self) -> int:
        return sum(outcome.status == "failed" for outcome in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.retrieve/1",
            "made_by": self.made_by,
            "folder": str(self.folder),
            "gallery": self.update.info.videos,
            "false_positives": None
            if self.false_positives is None
            else {
                "threshold": self.false_positives.threshold,
                "rate": self.false_positives.rate,
                "pairs": self.false_positives.num_pairs,
            },
            "queries": [
                {
                    "query": ranking.query,
                    "hits": [
                        {
                            "video": hit.video_id,
                            "similarity": round(hit.similarity, 6),
                            "same_file": (ranking.query, hit.video_id) in self.same_file,
                            "segments": [
                                {"query": [mine.start, mine.end], "video": [theirs.start, theirs.end]}
                                for mine, theirs in hit.segments
                            ],
                        }
                        for hit in ranking.hits
                    ],
                }
                for ranking in self.rankings
            ],
            "rejected": self.num_rejected,
            "notes": list(self.notes),
            "failed": [{"query": o.video_id, "reason": str(o.error)} for o in self.outcomes if o.status == "failed"],
        }


@dataclass(frozen=True, eq=False)
class _Query:
    name: str
    embedded: Embedded
    exclude: frozenset[str] = frozenset()
    """Gallery ids of the query itself."""
    digest: str | None = None
    path: Path | None = None
    frame_rate: float = 0.0
    """Frames per second, where it is a folder of frames."""


def retrieve(
    paths: Sequence[str | Path],
    workspace: Workspace,
    options: RetrieveOptions | None = None,
    changes: RecipeChanges | None = None,
    extraction: ExtractOptions | None = None,
    progress: Progress | None = None,
) -> RetrieveReport:
    """Rank the gallery for every query: videos, images, folders of them, or texts.

    Raises:
        BadInput, MissingFeatures, UnknownName, BadCheckpoint, EncoderUnavailable: nothing can be asked at all. A query
        that fails is an outcome.
    """
    options, progress = options or RetrieveOptions(), progress or Progress()
    if not paths and not options.texts:
        raise BadInput('Name a video or an image to look for, or give --text "words".')
    gallery, update = open_gallery(workspace, options.gallery, changes, progress, as_it_is=True)
    searcher, false_positives = make_searcher(gallery, options, progress)
    notes = list(update.notes)
    outcomes: list[Outcome] = []
    if options.cached:
        queries, outcomes = _cached_queries(gallery, searcher, [str(path) for path in paths]), []
    else:
        queries, outcomes = _queries(paths, workspace, gallery, extraction or ExtractOptions(), progress)
    outcomes += [Outcome(query.name, "done") for query in queries]
    _check_names([*(outcome.video_id for outcome in outcomes), *dict.fromkeys(options.texts)])
    rejections = Rejections(rejections_path(workspace)) if options.use_rejections else None
    rankings, num_rejected = [], 0
    same_file: set[tuple[str, str]] = set()
    if searcher.approximate is not None:
        notes += recall_lines(searcher, [query.embedded for query in queries], progress)
    rejected = {
        query.name: {i for i in gallery.index.ids if (query.name, i) in rejections} if rejections else set[str]()
        for query in queries
    }
    with progress.task("search", total=len(queries), unit="query") as task:
        found = searcher.hits_of([q.embedded for q in queries], [q.exclude | rejected[q.name] for q in queries])
        for query, hits in zip(queries, found, strict=True):
            if query.embedded.blank:
                notes.append(f"{query.name} shows nothing but blank frames (or none at all after --skip-start)")
            num_rejected += len(rejected[query.name])
            rankings.append(Ranking(query.name, hits))
            same_file |= {(query.name, hit.video_id) for hit in hits if _is_file(gallery, hit, query.digest)}
            task.advance()
    if options.texts:
        check_has_text(gallery.recipe, "--text")
    texts = {text: text_vector(gallery.load_encoder(), text) for text in options.texts}
    for text, text_hits in text_hits_of(gallery.index, texts, options.search).items():
        rankings.append(Ranking(text, text_hits))
        outcomes.append(Outcome(text, "done"))
    folder = options.out or results_folder(workspace, "retrieve")
    made_by = {
        **gallery.made_by,
        "similarity": options.search.similarity,
        "threshold": searcher.options.threshold,
        **honesty(gallery.encoder_name),
    }
    report = RetrieveReport(
        rankings=tuple(rankings),
        outcomes=tuple(outcomes),
        made_by=made_by,
        folder=folder,
        update=update,
        false_positives=false_positives,
        same_file=frozenset(same_file),
        num_rejected=num_rejected,
        notes=tuple(notes),
    )
    if rankings:
        folder.mkdir(parents=True, exist_ok=True)
        gallery_ids = tuple(gallery.index.ids)
        write_rankings(folder / RANKINGS_FILE, Rankings(report.rankings, gallery_ids, made_by))
        write_text(folder / "rankings.csv", rankings_csv(report.rankings))
    if options.complete and queries:
        write_similarities(folder / SIMILARITIES_FILE, complete_similarities(queries, searcher, made_by, progress))
    if options.plot:
        _draw(report, {query.name: query.embedded.duration for query in queries}, gallery, progress)
    if options.report is not None and rankings:
        asked = {text: AskedBy(text, text=vector) for text, vector in texts.items()}
        asked |= _asked(queries, gallery, workspace, options)
        write_rankings_page(
            rankings,
            asked,
            gallery,
            workspace,
            options.report,
            made_by=made_by,
            notes=_said(report),
            same_file=report.same_file,
            progress=progress,
        )
    return report


def _asked(
    queries: Sequence[_Query], gallery: Gallery, workspace: Workspace, options: RetrieveOptions
) -> dict[str, AskedBy]:
    """Queries as a page needs them; those from the cache with their files, where these are at hand."""
    assert options.report is not None
    paths = {query.name: query.path for query in queries if query.path is not None}
    rates = {query.name: query.frame_rate for query in queries}
    if options.cached:
        cache, keys = FeatureCache(workspace.cache_dir), [FeatureKey(query.name, gallery.recipe) for query in queries]
        paths |= locate_videos(cache, keys, options.report.videos)
        rates |= frame_rates(cache, keys, paths)
    asked = {}
    for query in queries:
        path = paths.get(query.name)
        is_image = not options.cached and path is not None and _is_image(path)
        asked[query.name] = AskedBy(
            query.name, query.embedded, path=path, is_image=is_image, frame_rate=rates[query.name]
        )
    return asked


def _said(report: RetrieveReport) -> list[str]:
    """What a page says above its hits."""
    said = list(report.notes)
    if report.num_failed:
        said.append(f"{report.num_failed} of {len(report.outcomes)} queries failed and are not here")
    if report.num_rejected:
        said.append(f"{report.num_rejected} rejected videos are left out")
    return said + ([report.false_positives.line()] if report.false_positives is not None else [])


def _check_names(names: Sequence[str]) -> None:
    """Results are told apart by the names of their queries.

    Raises:
        BadInput: two have one name, such as an image and a text.
    """
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise BadInput(f"Two queries are called {twice!r}. Ask for them one after the other, or rename one.")


def _draw(report: RetrieveReport, durations: Mapping[str, float], gallery: Gallery, progress: Progress) -> None:
    """One picture per query. durations: seconds by query; texts have none"""
    index = gallery.index
    with progress.task("draw", total=len(report.rankings), unit="picture") as task:
        for ranking in report.rankings:
            hits = [
                DrawnHit(hit.video_id, hit.similarity, index.duration(index.position(hit.video_id)), hit.segments)
                for hit in ranking.hits
            ]
            picture = matches_png(ranking.query, durations.get(ranking.query, 0.0), hits)
            write_bytes(picture_path(report.folder, ranking.query), picture)
            task.advance()


def make_searcher(
    gallery: Gallery, options: RetrieveOptions, progress: Progress
) -> tuple[Searcher, FalsePositives | None]:
    """A searcher with its background and threshold, and what that threshold lets through."""
    index, search = gallery.index, options.search
    background = tuple(
        position for position, i in enumerate(index.ids) if options.background and fnmatchcase(i, options.background)
    )
    if options.background is not None and not background:
        raise BadInput(f"No video of the gallery matches --background {options.background!r}.")
    comparator = _read_comparator(options.comparator) if options.comparator else None
    approximate = None
    if options.approximate:
        approximate = open_approximate(index, search.shortlist, progress, memory=search.memory)
    searcher = Searcher(index, search, comparator, background, approximate)
    if search.threshold is None and options.max_false_positives is None:
        return searcher, None
    unrelated = searcher.unrelated_videos()
    if not len(unrelated):
        raise BadInput("A threshold is judged on pairs of gallery videos, and the gallery has fewer than two.")
    threshold = search.threshold
    if threshold is None:
        assert options.max_false_positives is not None
        threshold = float(np.quantile(unrelated, 1 - options.max_false_positives))
    rate = float((unrelated >= threshold).mean())
    searcher = Searcher(index, replace(search, threshold=threshold), comparator, background, approximate)
    return searcher, FalsePositives(threshold, rate, len(unrelated))


def reject_videos(workspace: Workspace, query: str, videos: Sequence[str]) -> list[str]:
    """Remembers that videos do not match a query; a line about each.

    query: its id, or the path of a video, whose id as a query is the file's name
    """
    name = Path(query).name if Path(query).exists() else query
    rejections = Rejections(rejections_path(workspace))
    lines = []
    for video in videos:
        if video == name:
            raise BadInput(f"{video} cannot be rejected as a match of itself.")
        known = "was" if not rejections.add(name, video) else "is"
        lines.append(f"{video} {known} rejected as a match of {name}")
    return lines


def num_rejections(workspace: Workspace) -> int:
    """How many pairs are rejected."""
    return len(Rejections(rejections_path(workspace)))


def rejections_path(workspace: Workspace) -> Path:
    """Where rejected pairs are remembered."""
    return index_root(workspace) / REJECTED_FILE


def complete_similarities(
    queries: Sequence[_Query], searcher: Searcher, made_by: dict[str, Any], progress: Progress
) -> Similarities:
    """Every query against every video of the gallery, by the chosen similarity."""
    values = np.zeros((len(queries), len(searcher.index)), dtype=np.float32)
    positions = list(range(len(searcher.index)))
    with progress.task("compare", total=len(queries), unit="query") as task:
        for row, query in zip(values, queries, strict=True):
            row[:] = searcher.similarities(query.embedded, positions) - searcher.bias(query.embedded)
            task.advance()
    return Similarities(tuple(query.name for query in queries), tuple(searcher.index.ids), values, made_by)


def _cached_queries(gallery: Gallery, searcher: Searcher, patterns: Sequence[str]) -> list[_Query]:
    ids = gallery.index.ids
    found = [i for i in ids if matches(i, patterns)]
    if not found:
        raise BadInput(f"No video of the gallery matches {' '.join(patterns)}. vidlang cache list '*' shows them.")
    return [_Query(i, searcher.embedded(gallery.index.position(i)), frozenset({i})) for i in found]


def _queries(
    paths: Sequence[str | Path],
    workspace: Workspace,
    gallery: Gallery,
    extraction: ExtractOptions,
    progress: Progress,
) -> tuple[list[_Query], list[Outcome]]:
    """Embedded videos and images, and the outcomes of those that failed."""
    others = [path for path in paths if not _is_image(Path(path))]
    images = list({Path(path).resolve(): Path(path) for path in paths if _is_image(Path(path))}.values())
    queries, failed = [], []
    for image in images:
        try:
            embedded = gallery.embedding.embed(_image_features(image, gallery))
            queries.append(_Query(image.name, embedded, path=image))
        except VidlangError as error:
            failed.append(Outcome(image.name, "failed", error=error))
            progress.message(f"failed: {error}")
    if others:
        cache, own = FeatureCache(workspace.cache_dir), FeatureCache(workspace.root / "queries")
        videos = find_inputs(others, cache)
        there = {i for i, path in videos if is_there(cache, FeatureKey(i, gallery.recipe), path)}
        missing = [(i, path) for i, path in videos if i not in there]
        report = extract_videos(missing, own, gallery.recipe, gallery.load_encoder, extraction, progress)
        errors = {outcome.video_id: outcome for outcome in report.outcomes if outcome.status == "failed"}
        for video_id, path in videos:
            if video_id in errors:
                failed.append(errors[video_id])
                continue
            try:
                features = (cache if video_id in there else own).get(FeatureKey(video_id, gallery.recipe))
                exclude = frozenset({video_id} if video_id in there else ())
                embedded = gallery.embedding.embed(features)
                queries.append(
                    _Query(video_id, embedded, exclude, identify(path).digest, path, features.video.frame_rate)
                )
            except VidlangError as error:
                failed.append(Outcome(video_id, "failed", error=error))
                progress.message(f"failed: {error}")
    return queries, failed


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file()


def _image_features(path: Path, gallery: Gallery) -> Features:
    """One row of an image, made the way that the recipe makes rows of frames."""
    try:
        pixels = read_image(path)
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for damaged images
        raise BadInput(f"{path} cannot be read as an image ({error}).") from error
    encoder = gallery.load_encoder()
    recipe = gallery.recipe
    picture = ShotBorders().crop(pixels[None]) if recipe.borders == "crop" else [pixels]
    rows = encoder.encode_frames(recoloured(picture, recipe), mode=recipe.preprocess)
    info = VideoInfo(path.name, 1, 0.0, 0.0, (pixels.shape[0], pixels.shape[1]))
    return Features(
        key=FeatureKey(path.name, recipe),
        video=info,
        values=np.asarray(rows, dtype=np.float32),
        frames=np.array([[0, 1]], dtype=np.int64),
        seconds=np.array([[0.0, 0.0]]),
    )


def _is_file(gallery: Gallery, hit: Hit, digest: str | None) -> bool:
    return digest is not None and gallery.index.digest(gallery.index.position(hit.video_id)) == digest


def text_vector(encoder: Encoder, text: str) -> NDArray[np.floating]:
    """What rows are compared with where words are asked for: [D] of length 1."""
    return unit_mean(encoder.encode_texts([template.format(text) for template in TEXT_TEMPLATES]).numpy())


def _read_comparator(path: Path) -> Comparator:
    from vidlang.methods.tca.comparator import load_comparator
    from vidlang.store.checkpoints import read_torch_state

    return load_comparator(read_torch_state(path))
