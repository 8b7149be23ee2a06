"""Pages over the cache: which address shows what. Nothing that a page asks for changes a video, feature or result.

Videos are named by their ids, which are looked up among the listed ones; the file of an id is the one whose content the
features were made from. No part of an address ever becomes a path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

from vidlang.core import BadInput, Detection, Hit, MissingFeatures, Progress, Segment, VidlangError
from vidlang.engines.server import Answer, LocalServer, Request
from vidlang.report.browse_page import (
    AnswerView,
    Card,
    Choice,
    CurveView,
    EventView,
    ListView,
    VideoView,
    answer_page,
    list_page,
    message_page,
    page_policy,
    video_page,
)
from vidlang.report.thumbs import thumbnail
from vidlang.report.web import clock
from vidlang.store.feature_cache import CacheEntry, FeatureCache
from vidlang.store.workspace import Workspace
from vidlang.workflows.browse_catalog import ORDERS, PAGE, Catalog, Video, Wanted
from vidlang.workflows.browse_pictures import Stills
from vidlang.workflows.browse_results import Results, Story, Summary, check_results
from vidlang.workflows.browse_search import Found, GallerySearch
from vidlang.workflows.cache import find_recipe
from vidlang.workflows.pictures import frames_at, mime_of, why_not_played

MOST_WORDS = 300
"""Characters of a question."""
STILL_WIDTH = 480
"""Pixels."""
NUM_MOMENTS = 12
"""Stills of a video's page, evenly spread."""
KEEP_STILLS = 3600
"""Seconds for which the browser may keep a still."""
NO_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 135"><rect width="240" height="135" fill="#33383d"/>'
    '<text x="120" y="72" fill="#e6e8ea" font-family="sans-serif" font-size="14" text-anchor="middle">{}</text></svg>'
)


@dataclass(frozen=True)
class BrowseOptions:
    """What to show."""

    patterns: tuple[str, ...] = ()
    """Of ids; none: all."""
    recipe: str | None = None
    """Fingerprint, or its beginning: only videos with features of this recipe, and searches in them."""
    manifest: Path | None = None
    """Labels and true segments; None: labels by folder."""
    split: str | None = None
    videos: tuple[Path, ...] = ()
    """Folders where the videos lie, as they were given to ``extract``."""
    results: Path | None = None
    """Folder of results; None: those of the workspace."""
    port: int = 0
    """0: a free one."""
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.split is not None and self.manifest is None:
            raise BadInput("--split names a part of a manifest; give one with --manifest.")
        for folder in self.videos:
            if not folder.is_dir():
                raise BadInput(f"{folder} is no folder. --videos takes the folders that were given to vidlang extract.")


@dataclass(frozen=True, eq=False)
class BrowseServer:
    """Pages that are ready to be served."""

    server: LocalServer
    site: Site
    num_videos: int

    @property
    def url(self) -> str:
        """Where they are, with the token that opens them."""
        return self.server.url

    def to_dict(self) -> dict[str, object]:
        """For programs."""
        return {"schema": "vidlang.browse/1", "url": self.url, "videos": self.num_videos}

    def ticket(self) -> str:
        """The same for one opening, to hand to a browser."""
        return self.server.ticket()

    def serve(self) -> None:
        """Blocks until Ctrl-C."""
        self.server.serve()

    def __enter__(self) -> BrowseServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.site.close()
        self.server.close(running=False)


def browse(
    workspace: Workspace, options: BrowseOptions | None = None, progress: Progress | None = None
) -> BrowseServer:
    """Reads the cache and opens a port on this machine; ``serve`` then answers.

    Raises:
        MissingFeatures: nothing matches. BadInput: a folder or the port cannot be used. BadManifest: as it says.
    """
    options, progress = options or BrowseOptions(), progress or Progress()
    site = Site(workspace, options, progress)
    server = LocalServer(site.answer, options.port)
    return BrowseServer(server, site, len(site.catalog))


class Site:
    """Answers requests."""

    def __init__(self, workspace: Workspace, options: BrowseOptions, progress: Progress) -> None:
        if options.results is not None:
            check_results(options.results)
        cache = FeatureCache(workspace.cache_dir)
        recipe = find_recipe(cache, options.recipe)
        self.catalog = Catalog(
            cache,
            Results(options.results or workspace.results_dir),
            patterns=options.patterns,
            recipe=recipe,
            manifest=options.manifest,
            split=options.split,
            folders=options.videos,
        )
        self.catalog.refresh(progress)
        if not len(self.catalog):
            what = f"matches {' '.join(options.patterns)}" if options.patterns else "is listed"
            raise MissingFeatures(f"No video in {cache.root} {what}. Run: vidlang extract videos/")
        self.stills = Stills(_still)
        self.search = GallerySearch(
            workspace, lambda: self.catalog.version, recipe=recipe, device=options.device, progress=progress
        )
        self._routes: dict[str, Callable[[Request], Answer]] = {
            "/": self._list,
            "/video": self._video,
            "/search": self._by_text,
            "/similar": self._similar,
            "/still": self._still,
            "/media": self._media,
            "/favicon.ico": lambda request: Answer(status=HTTPStatus.NO_CONTENT),
        }

    def answer(self, request: Request) -> Answer:
        """What stands at an address."""
        route = self._routes.get(request.path)
        if route is None:
            return _page(message_page("Not found", "There is no such page."), HTTPStatus.NOT_FOUND)
        try:
            return route(request)
        except VidlangError as error:
            return _page(message_page("This cannot be shown", str(error)), HTTPStatus.UNPROCESSABLE_ENTITY)

    def close(self) -> None:
        """Stops making stills."""
        self.stills.close()

    # -- pages -------------------------------------------------------------------------------------------------------

    def _list(self, request: Request) -> Answer:
        self.catalog.refresh()
        wanted = Wanted.of(request.query)
        found = self.catalog.find(wanted)
        num_pages = max(1, math.ceil(len(found) / PAGE))
        number = min(max(_whole(request.query.get("page", "1")), 1), num_pages)
        shown = found[(number - 1) * PAGE : number * PAGE]
        places = {"First": 1, "Before": number - 1, "Next": number + 1, "Last": num_pages}
        recipes = {recipe.fingerprint: recipe.name for recipe in self.catalog.recipes}
        view = ListView(
            cards=[self._card(video) for video in shown],
            num_found=len(found),
            num_all=len(self.catalog),
            number=number,
            num_pages=num_pages,
            words=wanted.words,
            labels=_choices({"": "all", **{name: name for name in self.catalog.labels}}, wanted.label),
            recipes=_choices({"": "all", **recipes}, wanted.recipe),
            orders=_choices(ORDERS, wanted.order),
            only_events=wanted.only_events,
            pages=[
                (name, address("/", **wanted.to_query(), page=str(place)))
                for name, place in places.items()
                if 1 <= place <= num_pages and place != number
            ],
            notes=self.catalog.results.notes[:3],
        )
        return _page(list_page(view))

    def _by_text(self, request: Request) -> Answer:
        text = request.query.get("text", "")[:MOST_WORDS]
        return self._found(f"Videos that show “{text}”", text, lambda: self.search.by_text(text))

    def _similar(self, request: Request) -> Answer:
        video = self._asked(request)
        if "t" not in request.query:
            card = self._card(video)
            return self._found(f"Videos like {video.id}", "", lambda: self.search.like_video(video.id), card)
        at = _seconds(request)
        title = f"Frames like the one at {clock(at)} of {video.id}"
        return self._found(title, "", lambda: self.search.like_frame(video.id, at), self._card(video, at))

    def _found(self, asked: str, text: str, search: Callable[[], Found], query: Card | None = None) -> Answer:
        self.catalog.refresh()
        try:
            found = search()
        except VidlangError as error:
            trouble = AnswerView(asked=asked, text=text, cards=(), note="", trouble=str(error), query=query)
            return _page(answer_page(trouble), HTTPStatus.UNPROCESSABLE_ENTITY)
        known = [(hit, video) for hit in found.hits if (video := self.catalog.video(hit.video_id)) is not None]
        cards = [self._hit(video, hit) for hit, video in known]
        return _page(answer_page(AnswerView(asked, text, cards, found.note, query=query, notes=found.notes)))

    def _video(self, request: Request) -> Answer:
        video = self._asked(request)
        self.catalog.refresh()
        story, file = self.catalog.results.story(video.id), self.catalog.file(video)
        why = why_no_player(file)
        before, after = self.catalog.neighbours(video)
        duration = video.info.duration
        moments = [duration * (number + 0.5) / NUM_MOMENTS for number in range(NUM_MOMENTS)] if file else []
        still = address("/still", id=video.id) + "&t="
        view = VideoView(
            name=video.id,
            duration=duration,
            facts=self._facts(video, file),
            source="" if why else address("/media", id=video.id),
            kind="" if why or file is None else mime_of(file),
            why_no_player=why,
            stills=file is not None,
            still_address=still,
            similar_href=address("/similar", id=video.id),
            frame_href=address("/similar", id=video.id) + "&t=",
            moments=[(at, f"{still}{at:.2f}") for at in moments],
            curve=_curve(story),
            events=self._events(video, story.events, file is not None),
            detections=self._events(video, story.detections, file is not None),
            truth=_truth(video),
            made_by=story.made_by,
            neighbours=(_href(before), _href(after)),
        )
        return _page(video_page(view))

    # -- files -------------------------------------------------------------------------------------------------------

    def _still(self, request: Request) -> Answer:
        video, at = self._asked(request), _seconds(request)
        file = self.catalog.file(video)
        if file is None:
            return _no_picture("not at hand")
        picture = self.stills.get(file, at, video.info.frame_rate or None)
        if picture is None:
            return Answer(b"Ask again.\n", status=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": "2"})
        return Answer(picture, "image/jpeg", keep_seconds=KEEP_STILLS) if picture else _no_picture("no picture")

    def _media(self, request: Request) -> Answer:
        video = self._asked(request)
        file = self.catalog.file(video)
        if file is None or file.is_dir() or why_not_played(file) is not None:
            raise MissingFeatures(f"There is no file of {video.id} that a browser plays.")
        return Answer(file=file, kind=mime_of(file))

    # -- parts -------------------------------------------------------------------------------------------------------

    def _asked(self, request: Request) -> Video:
        video = self.catalog.video(request.query.get("id", ""))
        if video is None:
            raise MissingFeatures("There is no such video in the list.")
        return video

    def _card(self, video: Video, at: float | None = None) -> Card:
        summary = self.catalog.summary(video)
        moment = at if at is not None else summary.at if summary.at is not None else video.info.duration / 2
        return Card(
            name=video.id,
            href=_href(video, at if at is not None else summary.at),
            picture=address("/still", id=video.id, t=f"{moment:.2f}"),
            seconds=moment,
            duration=video.info.duration,
            label=video.classes,
            recipes=tuple(key.recipe.name for key in video.keys) if len(self.catalog.recipes) > 1 else (),
            result=_in_words(summary),
            share=summary.peak,
            num_events=summary.num_events,
            similar_href=address("/similar", id=video.id),
        )

    def _hit(self, video: Video, hit: Hit) -> Card:
        spans = [theirs for _, theirs in hit.segments]
        at = (spans[0].start + spans[0].end) / 2 if spans else video.info.duration / 2
        return Card(
            name=video.id,
            href=_href(video, spans[0].start if spans else None),
            picture=address("/still", id=video.id, t=f"{at:.2f}"),
            seconds=at,
            duration=video.info.duration,
            label=video.classes,
            similarity=hit.similarity,
            moments=tuple((span, _href(video, span.start)) for span in spans),
            similar_href=address("/similar", id=video.id),
        )

    def _events(self, video: Video, events: Sequence[Detection], stills: bool) -> list[EventView]:
        views = []
        for event in events:
            middle = f"{(event.segment.start + event.segment.end) / 2:.2f}"
            picture = address("/still", id=video.id, t=middle) if stills else ""
            views.append(EventView(event, picture, address("/similar", id=video.id, t=middle)))
        return views

    def _facts(self, video: Video, file: Path | None) -> list[tuple[str, str]]:
        info = video.info
        height, width = info.size
        facts = [
            ("duration", f"{clock(info.duration)} ({info.duration:.2f} s)"),
            ("size", f"{width} × {height} pixels"),
        ]
        facts.append(("frames", f"{info.num_frames}, {info.frame_rate:.3g} per second on average"))
        if video.label:
            facts.append(("label", video.classes + (f" ({video.label.split})" if video.label.split else "")))
        facts.append(("file", str(file) if file else "not at hand"))
        entries: list[CacheEntry] = []
        for key in video.keys:
            try:
                entries.append(self.catalog.cache.entry(key))
            except VidlangError:  # removed meanwhile
                continue
        for entry in entries:
            recipe = entry.key.recipe
            facts.append(("recipe", f"{recipe.name} ({recipe.fingerprint}), {entry.num_snippets} rows"))
            facts += [("warning", warning) for warning in entry.warnings]
        return facts


def why_no_player(file: Path | None) -> str:
    """Why a page shows no player, in words; empty where a browser plays the file."""
    if file is None:
        return (
            "The video is not at hand, so nothing can be seen of it. Start again with --videos DIR, the folder that "
            "was given to vidlang extract."
        )
    try:
        reason = why_not_played(file)
    except VidlangError as error:
        return str(error)
    return "" if reason is None else f"Browsers do not play this video ({reason}). The picture follows the cursor."


def address(path: str, **query: str) -> str:
    """A path of these pages with its query, ready for a link; ids may hold bytes that are no text."""
    return path + (f"?{urlencode(query, quote_via=quote, errors='surrogateescape')}" if query else "")


def _href(video: Video | None, at: float | None = None) -> str:
    if video is None:
        return ""
    return address("/video", id=video.id) + (f"#t={at:.2f}" if at is not None else "")


def _page(page: str, status: int = HTTPStatus.OK) -> Answer:
    # bytes of a file name that are no text are shown as escapes
    return Answer(
        page.encode("utf-8", "backslashreplace"), "text/html; charset=utf-8", status, policy=page_policy(page)
    )


def _still(path: Path, seconds: float, frame_rate: float | None) -> bytes:
    return thumbnail(frames_at(path, [seconds], frame_rate=frame_rate)[0], STILL_WIDTH)


def _no_picture(words: str) -> Answer:
    return Answer(NO_PICTURE.format(words).encode(), "image/svg+xml")


def _whole(text: str) -> int:
    """A page number; what is none is the first."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 1


def _seconds(request: Request) -> float:
    """
    Raises:
        BadInput: no finite number from 0 on.
    """
    text = request.query.get("t", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise BadInput(f"t takes seconds from 0 on, got {text[:20]!r}.")
    return seconds


def _choices(texts: Mapping[Any, str], chosen: str) -> list[Choice]:
    return [Choice(value, text, value == chosen) for value, text in texts.items()]


def _in_words(summary: Summary) -> str:
    number = summary.num_events
    if summary.peak is not None:
        events = f", {number} event{'s' * (number != 1)}"
        return f"highest score {summary.peak:.2f}{events}" + (f": {summary.best.label}" if summary.best else "")
    if number is None:
        return ""
    best = f": {summary.best.label} {summary.best.score:.2f}" if summary.best else ""
    return f"{number} action{'s' * (number != 1)}{best}"


def _curve(story: Story) -> CurveView | None:
    if story.curve is None:
        return None
    rows = [(float(start), float(end)) for start, end in story.curve.seconds]
    return CurveView(rows, story.curve.anomaly.tolist(), story.curve.threshold)


def _truth(video: Video) -> list[tuple[str, Segment]]:
    """True events that are known in seconds."""
    events = video.label.segments if video.label else ()
    return [(event.label, event.segment) for event in events if event.segment is not None]
