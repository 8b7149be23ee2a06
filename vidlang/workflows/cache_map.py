"""The cache on a plane: vectors of videos or snippets → sample → PCA or t-SNE → a page, a picture or a table.

A video's vector is the mean of its rows at unit length; with a TCA checkpoint it is what that checkpoint makes of them,
as in the figures of its paper.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, FeatureKey, FeatureRecipe, Label, MissingFeatures, Progress, VidlangError
from vidlang.core.digits import counted
from vidlang.datasets.manifest import labels_from_folders, read_manifest
from vidlang.datasets.matching import match_ids
from vidlang.metrics.projection import LEAST_POINTS, Plane, nearest_points, pca_plane, tsne_plane, unit_mean, unit_rows
from vidlang.report.map_page import MapPage, map_page
from vidlang.report.map_plot import MapPoints, file_kind, map_plot
from vidlang.report.web import video_source
from vidlang.store.atomic import write_bytes, write_text
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Workspace
from vidlang.workflows.cache import find_recipe, matches
from vidlang.workflows.chosen import honesty
from vidlang.workflows.gallery import Gallery, GalleryOptions, open_gallery
from vidlang.workflows.page_parts import made_by_facts, stills_of
from vidlang.workflows.recipe import RecipeChanges, make_recipe, recipe_in_cache
from vidlang.workflows.video_files import frame_rates, locate_videos

UNLABELLED = "unlabelled"
NO_EVENT = "no event"
"""A snippet of a video with timed events that lies in none of them."""
NEIGHBOURS = 5
FORMATS = ("html", "png", "pdf", "svg", "csv")


@dataclass(frozen=True)
class MapOptions:
    """Which points, how they are laid out, and what is written."""

    patterns: tuple[str, ...] = ()
    by: Literal["video", "snippet"] = "video"
    method: Literal["pca", "tsne"] = "pca"
    labels: Path | None = None
    """A manifest; None: labels by folder."""
    recipe: str | None = None
    """Fingerprint of the features; None: those of the settings."""
    checkpoint: str | None = None
    """Name or folder of a TCA checkpoint whose vectors are shown; None: the features as they are."""
    max_points: int = 5000
    perplexity: float | None = None
    seed: int = 0
    out: tuple[Path, ...] = (Path("map.html"),)
    videos: tuple[Path, ...] = ()
    """Folders of the videos, for stills."""
    stills: int = 200
    """Stills in a page at most."""
    device: str = "auto"

    def __post_init__(self) -> None:
        for path in self.out:
            if file_kind(path.name, FORMATS) is None:
                raise BadInput(f"--out {path} must end in .html, .png, .pdf, .svg or .csv, which says what is written.")
        if self.perplexity is not None and self.method != "tsne":
            raise BadInput("--perplexity belongs to --method tsne; leave it out, or choose that method.")
        if self.checkpoint is not None and self.recipe is not None:
            raise BadInput("--checkpoint decides the features; leave --recipe out.")
        if self.max_points < LEAST_POINTS:
            raise BadInput(f"--max takes at least {LEAST_POINTS} points, got {self.max_points}.")


@dataclass(frozen=True, eq=False)
class MapReport:
    """Points and what was written."""

    shown: MapPoints
    plane: Plane
    options: MapOptions
    recipe: FeatureRecipe
    made_by: dict[str, Any]
    neighbours: NDArray[np.int64]
    """[N, K] nearest others by cosine, before anything was projected."""
    written: tuple[Path, ...]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report for people."""
        plane = self.plane
        said = f"{self.shown.title}, {counted(len(self.shown.classes), 'label')}"
        if plane.explained is not None:
            said += f"; both axes explain {sum(plane.explained):.1%} of the variance"
        if plane.perplexity is not None:
            said += f"; perplexity {plane.perplexity:.3g}, seed {self.options.seed}"
        return [said, f"Written: {', '.join(map(str, self.written))}"]

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.cache.map/1",
            "made_by": self.made_by,
            "by": self.options.by,
            "method": self.options.method,
            "seed": self.options.seed,
            "explained_variance": None if self.plane.explained is None else list(self.plane.explained),
            "perplexity": self.plane.perplexity,
            "files": [str(path) for path in self.written],
            "notes": list(self.notes),
            "points": [
                {
                    "video": video_id,
                    "label": label,
                    "start": round(float(start), 3),
                    "end": round(float(end), 3),
                    "x": round(float(x), 6),
                    "y": round(float(y), 6),
                }
                for video_id, label, (start, end), (x, y) in zip(
                    self.shown.ids, self.shown.labels, self.shown.seconds, self.shown.points, strict=True
                )
            ],
        }


class _Source(NamedTuple):
    """What one video has to give."""

    rows: NDArray[np.floating]
    """[T, D]"""
    seconds: NDArray[np.float64]
    """[T, 2]"""
    vector: NDArray[np.floating]
    """[D] of the whole."""


def cache_map(workspace: Workspace, options: MapOptions, progress: Progress | None = None) -> MapReport:
    """Lay cached videos or snippets out on a plane, and write it.

    Raises:
        MissingFeatures, UnknownName: the cache has nothing of what is meant.
        BadInput: fewer than three points, or options that fit nothing.
    """
    progress = progress or Progress()
    cache = FeatureCache(workspace.cache_dir)
    if options.checkpoint is None:
        gallery, recipe = None, _recipe(workspace, cache, options, progress)
        counts = {entry.key.video_id: entry.num_snippets for entry in cache.entries(recipe)}
    else:
        gallery, _ = open_gallery(
            workspace, GalleryOptions(options.checkpoint, device=options.device), None, progress, as_it_is=True
        )
        recipe, index = gallery.recipe, gallery.index
        counts = {video_id: len(index.seconds(place)) for place, video_id in enumerate(index.ids)}
    wanted = _wanted(counts, options)
    chosen, notes = _sample(wanted, options)
    ids, vectors, seconds = _read(cache, recipe, gallery, chosen, options, progress, notes)
    if len(ids) < LEAST_POINTS:
        raise BadInput(
            f"A map needs at least {LEAST_POINTS} points, and there {'is' if len(ids) == 1 else 'are'} {len(ids)}. "
            + ("Extract more videos, or --by snippet." if options.by == "video" else "Extract more videos.")
        )
    labels = _labels(options, ids, seconds, notes)
    with progress.task(options.method, total=None):
        plane = _plane(vectors, options)
    made_by = {
        "encoder": recipe.encoder,
        "recipe": recipe.to_dict(),
        "checkpoint": gallery.made_by["checkpoint"] if gallery is not None else None,
        **honesty(recipe.encoder),
    }
    shown = MapPoints(plane.points, tuple(ids), tuple(labels), seconds, _axes(plane), _title(options, len(ids)))
    neighbours = nearest_points(vectors, NEIGHBOURS)
    report = MapReport(shown, plane, options, recipe, made_by, neighbours, options.out, tuple(notes))
    for path in options.out:
        _write(path, report, cache, progress)
    return report


def _recipe(workspace: Workspace, cache: FeatureCache, options: MapOptions, progress: Progress) -> FeatureRecipe:
    named = find_recipe(cache, options.recipe)
    return named or recipe_in_cache(cache, make_recipe(workspace.settings, RecipeChanges()), False, progress)


def _wanted(counts: Mapping[str, int], options: MapOptions) -> dict[str, int]:
    """Rows of each video that the patterns take."""
    patterns = options.patterns
    if not patterns:
        return dict(counts)
    found = {i: n for i, n in counts.items() if matches(i, patterns)}
    if not found:
        raise MissingFeatures(f"No cached video matches {' '.join(patterns)}. vidlang cache list '*' shows them.")
    return found


def _sample(wanted: Mapping[str, int], options: MapOptions) -> tuple[dict[str, NDArray[np.int64]], list[str]]:
    """Rows to take of each video (``--by video``: all), and a note where not everything is shown."""
    random = np.random.default_rng(options.seed)
    ids = sorted(wanted)
    if options.by == "video":
        kept = ids
        if len(ids) > options.max_points:
            kept = [ids[i] for i in np.sort(random.choice(len(ids), options.max_points, replace=False))]
        notes = [] if len(kept) == len(ids) else [f"{len(kept)} of {len(ids)} videos shown, drawn at random (--max)"]
        return {video_id: np.arange(wanted[video_id]) for video_id in kept}, notes
    owners = np.repeat(np.arange(len(ids)), [wanted[i] for i in ids])
    rows = np.concatenate([np.arange(wanted[i]) for i in ids]) if ids else np.zeros(0, dtype=np.int64)
    total = len(rows)
    if total > options.max_points:
        kept_rows = np.sort(random.choice(total, options.max_points, replace=False))
        owners, rows = owners[kept_rows], rows[kept_rows]
    notes = [] if len(rows) == total else [f"{len(rows)} of {total} snippets shown, drawn at random (--max)"]
    return {ids[owner]: rows[owners == owner] for owner in np.unique(owners).tolist()}, notes


def _read(
    cache: FeatureCache,
    recipe: FeatureRecipe,
    gallery: Gallery | None,
    chosen: Mapping[str, NDArray[np.int64]],
    options: MapOptions,
    progress: Progress,
    notes: list[str],
) -> tuple[list[str], NDArray[np.floating], NDArray[np.float64]]:
    """Id, vector [N, D] and seconds [N, 2] of every point; a damaged entry is named and left out."""
    ids: list[str] = []
    vectors: list[NDArray[np.floating]] = []
    seconds: list[NDArray[np.float64]] = []
    with progress.task("read", total=len(chosen), unit="video") as task:
        for video_id, rows in chosen.items():
            try:
                source = _of_cache(cache, FeatureKey(video_id, recipe)) if gallery is None else _of(gallery, video_id)
                if vectors and len(source.vector) != vectors[0].shape[1]:
                    raise BadInput(f"{video_id} has rows of another width than {ids[0]} and is left out.")
                if options.by == "video":
                    vectors.append(source.vector[None])
                    seconds.append(np.array([[source.seconds[0, 0], source.seconds[-1, 1]]]))
                else:
                    vectors.append(source.rows[rows])
                    seconds.append(source.seconds[rows])
                ids += [video_id] * len(vectors[-1])
            except VidlangError as error:
                notes.append(str(error))
            task.advance()
    if not ids:
        return [], np.zeros((0, 1)), np.zeros((0, 2))
    return ids, np.concatenate(vectors), np.concatenate(seconds)


def _of_cache(cache: FeatureCache, key: FeatureKey) -> _Source:
    features = cache.get(key).crop(0)
    if not np.isfinite(features.values).all():
        raise BadInput(f"{key.video_id} has features that are not finite numbers and is left out. Extract it again.")
    return _Source(unit_rows(features.values), features.seconds, unit_mean(features.values))


def _of(gallery: Gallery, video_id: str) -> _Source:
    index = gallery.index
    place = index.position(video_id)
    rows = index.rows(place).float().numpy()
    return _Source(unit_rows(rows), index.seconds(place), index.vectors(place)[0].float().numpy())


def _labels(options: MapOptions, ids: Sequence[str], seconds: NDArray[np.float64], notes: list[str]) -> list[str]:
    """The label of each point; of a snippet whose video has timed events, that of the event over its middle."""
    videos = list(dict.fromkeys(ids))
    if options.labels is None:
        found = labels_from_folders(videos, allow_unlabelled=True)
    else:
        found = match_ids(read_manifest(options.labels), videos, missing=[])
        if not found:
            raise BadInput(f"None of the videos is listed in {options.labels}. Its names must be those of the cache.")
    known = {label.video_id: label for label in found}
    if known and len(known) < len(videos):
        notes.append(f"{len(videos) - len(known)} of {len(videos)} videos have no label")
    if options.by == "video":
        return [_class(known.get(video_id)) for video_id in ids]
    return [_class(known.get(i), (start + end) / 2) for i, (start, end) in zip(ids, seconds.tolist(), strict=True)]


def _class(label: Label | None, middle: float | None = None) -> str:
    """middle: seconds; None: the whole video"""
    if label is None:
        return UNLABELLED
    events = [event for event in label.segments if event.segment is not None]
    if middle is None or not events:
        return " + ".join(label.classes) or UNLABELLED
    inside = (e.label for e in events if e.segment is not None and e.segment.start <= middle < e.segment.end)
    return " + ".join(dict.fromkeys(inside)) or NO_EVENT


def _plane(vectors: NDArray[np.floating], options: MapOptions) -> Plane:
    if options.method == "pca":
        return pca_plane(vectors)
    try:
        return tsne_plane(vectors, perplexity=options.perplexity, seed=options.seed)
    except ValueError as error:
        raise BadInput(f"--{error}.") from error  # "perplexity must be from …"


def _axes(plane: Plane) -> tuple[str, str]:
    if plane.explained is None:
        return "t-SNE 1 (no unit)", "t-SNE 2 (no unit)"
    first, second = plane.explained
    return f"component 1 ({first:.1%} of the variance)", f"component 2 ({second:.1%} of the variance)"


def _title(options: MapOptions, number: int) -> str:
    return f"{number} {options.by}s by {'PCA' if options.method == 'pca' else 't-SNE'}"


def _write(path: Path, report: MapReport, cache: FeatureCache, progress: Progress) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = file_kind(path.name, FORMATS)
    if kind == "csv":
        write_text(path, _csv(report.shown))
    elif kind == "html":
        write_text(path, _page(path, report, cache, progress))
    else:
        write_bytes(path, map_plot(report.shown, kind))  # type: ignore[arg-type]


def _csv(shown: MapPoints) -> str:
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(["video", "label", "start", "end", "x", "y"])
    for video_id, label, (start, end), (x, y) in zip(shown.ids, shown.labels, shown.seconds, shown.points, strict=True):
        table.writerow([video_id, label, f"{start:.3f}", f"{end:.3f}", f"{x:.6f}", f"{y:.6f}"])
    return lines.getvalue()


def _page(path: Path, report: MapReport, cache: FeatureCache, progress: Progress) -> str:
    shown, options = report.shown, report.options
    keys = [FeatureKey(video_id, report.recipe) for video_id in dict.fromkeys(shown.ids)]
    files = locate_videos(cache, keys, options.videos)
    page = path.resolve()
    stills, notes = _stills(report, files, frame_rates(cache, keys, files), progress)
    sources = {video_id: video_source(file.resolve(), page) for video_id, file in files.items() if file.is_file()}
    missing = len(keys) - len(files)
    if missing:
        notes.append(f"{missing} of {len(keys)} videos are not at hand, so they have no still; --videos DIR finds them")
    facts: list[tuple[str, object]] = [
        ("shown", f"{len(shown.ids)} {options.by}s of {len(keys)} videos"),
        ("method", "principal components (PCA)" if options.method == "pca" else "t-SNE"),
        ("seed", options.seed),
    ]
    if report.plane.explained is not None:
        facts.append(("variance explained", f"{sum(report.plane.explained):.1%} by both axes"))
    if report.plane.perplexity is not None:
        facts.append(("perplexity", f"{report.plane.perplexity:.3g}; distances between groups mean little"))
    facts += made_by_facts(report.made_by)
    return map_page(MapPage(shown, report.neighbours, stills, sources, (*report.notes, *notes), facts))


def _stills(
    report: MapReport, files: Mapping[str, Path], rates: Mapping[str, float], progress: Progress
) -> tuple[dict[int, bytes], list[str]]:
    """Stills of the points whose videos are at hand, or of some spread evenly where these are too many."""
    shown, most = report.shown, report.options.stills
    there = [i for i, video_id in enumerate(shown.ids) if video_id in files]
    notes = []
    if len(there) > most:
        notes.append(f"{most} of {len(there)} points have a still (--stills)")
        there = [there[i] for i in np.unique(np.linspace(0, len(there) - 1, most).round().astype(int))] if most else []
    wanted: dict[str, list[int]] = {}
    for i in there:
        wanted.setdefault(shown.ids[i], []).append(i)
    stills: dict[int, bytes] = {}
    with progress.task("stills", total=len(wanted), unit="video") as task:
        for video_id, numbers in wanted.items():
            middles = [float(shown.seconds[i].mean()) for i in numbers]
            pictures = stills_of(files[video_id], middles, rates.get(video_id))
            for i, still in zip(numbers, pictures, strict=True):
                if still is not None:
                    stills[i] = still
            task.advance()
    return stills, notes
