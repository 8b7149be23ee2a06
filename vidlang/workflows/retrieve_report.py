"""Rankings and groups as pages: which frames to show, where the videos are, what plays, and what is not at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, FeatureKey, Progress, Ranking, Segment
from vidlang.report.retrieval_page import Comparison, PagePart, PagePlayer, RetrievalPage, Side, retrieval_page
from vidlang.report.thumbs import thumbnail
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Workspace
from vidlang.video.frames_reader import read_image
from vidlang.workflows.embedding import Embedded
from vidlang.workflows.gallery import Gallery
from vidlang.workflows.page_parts import STILL_WIDTH, PageVideos, check_embedded, made_by_facts, write_page
from vidlang.workflows.video_files import frame_rates, locate_videos

MOST_QUERIES = 100
"""Queries on a page; the files have all."""
MOST_PAIRS = 20
"""Pairs of a group on a page."""


@dataclass(frozen=True)
class ReportOptions:
    """Where a page goes, and how videos come into it."""

    page: Path
    embed: bool = False
    """Videos inside the page instead of links."""
    videos: tuple[Path, ...] = ()
    """Folders of the gallery's videos."""

    def __post_init__(self) -> None:
        if self.page.suffix.lower() not in (".html", ".htm"):
            raise BadInput(f"--report {self.page} must end in .html.")
        if self.page.is_dir():
            raise BadInput(f"--report {self.page} is a folder; name a file in it, such as {self.page / 'report.html'}.")


@dataclass(frozen=True, eq=False)
class AskedBy:
    """A query as the page needs it."""

    name: str
    embedded: Embedded | None = None
    """Of videos and images."""
    text: NDArray[np.floating] | None = None
    """[D] of length 1, of texts."""
    path: Path | None = None
    """Its file, where it came from one."""
    is_image: bool = False
    frame_rate: float = 0.0
    """Frames per second, where it is a folder of frames."""


class Moment(NamedTuple):
    """A frame of one of the page's videos."""

    video: str
    second: float


@dataclass
class _Desk:
    """Everything that the page shows of videos, collected before any is opened."""

    videos: PageVideos
    moments: dict[str, list[float]] = field(default_factory=dict)
    stills: dict[Moment, bytes] = field(default_factory=dict)
    players: list[PagePlayer] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    """Of players, by video; embedded ones by file."""

    @classmethod
    def of(cls, files: Mapping[str, Path], rates: Mapping[str, float], options: ReportOptions) -> _Desk:
        """
        Raises:
            BadInput: the videos are too large to be embedded.
        """
        if options.embed:
            check_embedded({path.resolve() for path in files.values()}, "ask for fewer hits with --top")
        return cls(PageVideos(options.page.absolute(), files, rates, options.embed, "The video is not at hand."))

    def want(self, moments: Iterable[Moment]) -> None:
        for video, second in moments:
            self.moments.setdefault(video, []).append(second)

    def fetch(self, progress: Progress) -> None:
        """Opens every video once."""
        there = {video: seconds for video, seconds in self.moments.items() if video in self.videos.files}
        with progress.task("stills", total=len(there), unit="video") as task:
            for video, seconds in there.items():
                times = sorted(set(seconds))
                for second, still in zip(times, self.videos.stills(video, times), strict=True):
                    if still is not None:
                        self.stills[Moment(video, second)] = still
                task.advance()

    def side(self, video: str, name: str, duration: float, second: float | None) -> Side:
        still = None if second is None else self.stills.get(Moment(video, second))
        return Side(name, duration, self.player(video, name), second, still)

    def player(self, video: str, name: str) -> int:
        path = self.videos.files.get(video)
        # A file that is query and hit is in the page once.
        key = str(path.resolve()) if self.videos.embed and path is not None else video
        if key not in self.numbers:
            self.numbers[key] = len(self.players)
            player = self.videos.player(video)
            self.players.append(PagePlayer(name, player.source, player.says))
        return self.numbers[key]


def write_rankings_page(
    rankings: Sequence[Ranking],
    asked: Mapping[str, AskedBy],
    gallery: Gallery,
    workspace: Workspace,
    options: ReportOptions,
    *,
    made_by: Mapping[str, Any],
    notes: Sequence[str] = (),
    same_file: frozenset[tuple[str, str]] = frozenset(),
    progress: Progress | None = None,
) -> None:
    """The page of queries and their hits. asked: by the name of the query"""
    progress = progress or Progress()
    shown = rankings[:MOST_QUERIES]
    hits = list(dict.fromkeys(hit.video_id for ranking in shown for hit in ranking.hits))
    files, rates = _gallery_files(gallery, workspace, hits, options)
    for ranking in shown:
        query = asked[ranking.query]
        if query.path is not None and not query.is_image:
            files[_own(query.name)], rates[_own(query.name)] = query.path, query.frame_rate
    desk = _Desk.of(files, rates, options)
    best = {
        (ranking.query, hit.video_id): best_seconds(asked[ranking.query], gallery, hit.video_id, hit.segments)
        for ranking in shown
        for hit in ranking.hits
    }
    for (name, video_id), (mine, theirs) in best.items():
        desk.want([Moment(video_id, theirs)] + ([] if mine is None else [Moment(_own(name), mine)]))
    desk.fetch(progress)
    parts = [_query_part(ranking, asked[ranking.query], gallery, desk, best, same_file) for ranking in shown]
    more = len(rankings) - len(shown)
    said = [*notes, *([f"{more} more queries are in rankings.jsonl, not on this page"] if more else [])]
    said += _absent(desk, hits)
    facts = [("gallery", f"{len(gallery.index)} videos"), *made_by_facts(made_by)]
    title = shown[0].query if len(rankings) == 1 else f"{len(rankings)} queries"
    page = RetrievalPage(f"Retrieval: {title}", tuple(parts), tuple(desk.players), tuple(said), facts)
    write_page(options.page, retrieval_page(page), desk.videos, progress)


def _query_part(
    ranking: Ranking,
    query: AskedBy,
    gallery: Gallery,
    desk: _Desk,
    best: Mapping[tuple[str, str], tuple[float | None, float]],
    same_file: frozenset[tuple[str, str]],
) -> PagePart:
    length = query.embedded.duration if query.embedded is not None and not query.is_image else 0.0
    member = Side(query.name)
    if query.is_image:
        member = Side(query.name, still=_image(query.path))
    elif query.embedded is not None:
        member = desk.side(_own(query.name), query.name, length, None)
    comparisons = []
    for hit in ranking.hits:
        mine, theirs = best[ranking.query, hit.video_id]
        left = Side(query.name)
        if query.embedded is not None and not query.is_image:
            left = desk.side(_own(query.name), query.name, length, mine)
        right = desk.side(hit.video_id, hit.video_id, _duration(gallery, hit.video_id), theirs)
        remark = "same file" if (ranking.query, hit.video_id) in same_file else ""
        comparisons.append(Comparison(left, right, hit.similarity, hit.segments, remark))
    kind = "image" if query.is_image else "video" if query.embedded is not None else "text"
    title = f"“{ranking.query}”" if kind == "text" else ranking.query
    return PagePart(title, kind, tuple(comparisons), (member,))  # type: ignore[arg-type]


class PairLike(Protocol):
    """Two videos of a group."""

    @property
    def first(self) -> str: ...

    @property
    def second(self) -> str: ...

    @property
    def similarity(self) -> float: ...

    @property
    def segments(self) -> tuple[tuple[Segment, Segment], ...]: ...


def write_groups_page(
    groups: Sequence[Sequence[str]],
    pairs: Sequence[Sequence[PairLike]],
    gallery: Gallery,
    workspace: Workspace,
    options: ReportOptions,
    *,
    embedded: Mapping[str, Embedded],
    made_by: Mapping[str, Any],
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> None:
    """The page of groups of near-duplicates. pairs: those of each group, best first    embedded: by id"""
    progress = progress or Progress()
    shown = [list(group) for group in groups[:MOST_QUERIES]]
    kept = [list(of_group[:MOST_PAIRS]) for of_group in pairs[:MOST_QUERIES]]
    videos = list(dict.fromkeys(video for group in shown for video in group))
    desk = _Desk.of(*_gallery_files(gallery, workspace, videos, options), options)
    best = {
        (pair.first, pair.second): best_seconds(
            AskedBy(pair.first, embedded[pair.first]), gallery, pair.second, pair.segments
        )
        for of_group in kept
        for pair in of_group
    }
    middles = {video: _duration(gallery, video) / 2 for video in videos}
    desk.want(Moment(video, middle) for video, middle in middles.items())
    for (first, second), (mine, theirs) in best.items():
        desk.want([Moment(second, theirs)] + ([] if mine is None else [Moment(first, mine)]))
    desk.fetch(progress)
    parts = []
    for number, (group, of_group) in enumerate(zip(shown, kept, strict=True), 1):
        comparisons = tuple(
            Comparison(
                desk.side(pair.first, pair.first, _duration(gallery, pair.first), best[pair.first, pair.second][0]),
                desk.side(pair.second, pair.second, _duration(gallery, pair.second), best[pair.first, pair.second][1]),
                pair.similarity,
                pair.segments,
            )
            for pair in of_group
        )
        members = tuple(desk.side(video, video, _duration(gallery, video), middles[video]) for video in group)
        rest = len(pairs[number - 1]) - len(of_group)
        parts.append(
            PagePart(
                f"Group {number}: {len(group)} videos",
                "group",
                comparisons,
                members,
                f"{rest} more pairs are in groups.json." if rest else "",
            )
        )
    more = len(groups) - len(shown)
    said = [*notes, *([f"{more} more groups are in groups.json, not on this page"] if more else [])]
    said += _absent(desk, videos)
    facts = [("gallery", f"{len(gallery.index)} videos"), *made_by_facts(made_by)]
    title = "1 group" if len(groups) == 1 else f"{len(groups)} groups"
    page = RetrievalPage(f"{title} of near-duplicates", tuple(parts), tuple(desk.players), tuple(said), facts)
    write_page(options.page, retrieval_page(page), desk.videos, progress)


def best_seconds(
    query: AskedBy, gallery: Gallery, video_id: str, segments: Sequence[tuple[Segment, Segment]]
) -> tuple[float | None, float]:
    """Middle of the query's row and of the video's row that match best, inside the first matched segment if there is
    one, in seconds; texts and images have no second of their own."""
    index = gallery.index
    place = index.position(video_id)
    theirs = index.seconds(place)
    if query.embedded is None:
        assert query.text is not None
        return None, _middle(theirs, int((index.text_rows(place).float().numpy() @ query.text).argmax()))
    similarity = query.embedded.rows @ index.rows(place).float().numpy().T  # [n, m]
    mine = query.embedded.seconds
    if segments:
        a, b = segments[0]
        inside = _within(mine, a)[:, None] & _within(theirs, b)[None]
        similarity = np.where(inside, similarity, -np.inf) if inside.any() else similarity
    row, column = np.unravel_index(int(similarity.argmax()), similarity.shape)
    return None if query.is_image else _middle(mine, int(row)), _middle(theirs, int(column))


def _within(seconds: NDArray[np.float64], segment: Segment) -> NDArray[np.bool_]:
    middles = seconds.mean(axis=1)
    return np.asarray((middles >= segment.start) & (middles <= segment.end))


def _middle(seconds: NDArray[np.float64], row: int) -> float:
    return round(float(seconds[row].mean()), 3)


def _own(name: str) -> str:
    """A query's key among the page's videos: it may have the name of another video of the gallery."""
    return f"query\0{name}"


def _image(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return thumbnail(read_image(path), STILL_WIDTH)
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for damaged images
        return None


def _duration(gallery: Gallery, video_id: str) -> float:
    return gallery.index.duration(gallery.index.position(video_id))


def _gallery_files(
    gallery: Gallery, workspace: Workspace, ids: Iterable[str], options: ReportOptions
) -> tuple[dict[str, Path], dict[str, float]]:
    """Files, and the rates of those that are folders of frames, by id."""
    cache, keys = FeatureCache(workspace.cache_dir), [FeatureKey(video_id, gallery.recipe) for video_id in ids]
    files = locate_videos(cache, keys, options.videos)
    return files, frame_rates(cache, keys, files)


def _absent(desk: _Desk, ids: Sequence[str]) -> list[str]:
    missing = [video_id for video_id in ids if video_id not in desk.videos.files]
    if not missing:
        return []
    which = "None of the videos is" if len(missing) == len(ids) else f"{len(missing)} of {len(ids)} videos are not"
    at_hand = "at hand" if len(missing) < len(ids) else "at hand: seconds are shown, no pictures"
    return [f"{which} {at_hand}; --videos DIR says where they lie"]
