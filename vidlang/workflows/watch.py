"""A stream to scores and events while it goes on: frames → snippets → features → scores → lines.

Each line is an object of ``vidlang.watch/1``; docs/watch.md describes the fields. Memory does not grow: packets,
pictures, the head's window and the seconds kept for clips are all bounded.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vidlang.core import BadInput, BadVideo, Progress
from vidlang.store.checkpoints import ModelRegistry, load_summary
from vidlang.store.names import safe_component
from vidlang.store.workspace import Workspace
from vidlang.video.live import LiveReader
from vidlang.video.live_clips import ClipRecorder
from vidlang.video.live_events import Ended, Gap, LiveFrame, Opened, Skipped, Tick, Waiting
from vidlang.video.live_snippets import LiveSnippets
from vidlang.video.live_sources import LiveOptions, LiveSource, parse_source
from vidlang.workflows.recipe import RecipeChanges, check_same_rows
from vidlang.workflows.score import ScoreOptions, Scorer, make_scorer
from vidlang.workflows.watch_events import EventChange, EventRules, EventTracker, ScoredRow
from vidlang.workflows.watch_scores import StreamScorer, WindowOptions

WATCH_SCHEMA = "vidlang.watch/1"
TELL_DROPS = 5.0
"""Seconds between two lines about dropped frames at least."""
DECIMALS = 6

Line = dict[str, Any]
Emit = Callable[[Line], None]
Stop = Callable[[], str | None]
"""Why watching should end; None: it should not."""


@dataclass(frozen=True)
class WatchOptions:
    """What to score with, how long scores may wait, and what is told."""

    score: ScoreOptions = field(default_factory=ScoreOptions)
    live: LiveOptions = field(default_factory=LiveOptions)
    delay: float = 4.0
    """Seconds that a score waits at most after its snippet has ended."""
    context: float | None = None
    """Seconds that a trained head sees behind a snippet; None: half of ``delay``."""
    batch_size: int = 32
    end_threshold: float | None = None
    merge_gap: float = 0.0
    scores: bool = False
    """Tell the score of every snippet."""
    status: float = 60.0
    """Seconds between two lines about how it goes; 0: none."""
    clips: Path | None = None
    """Folder for the video of every event."""
    before: float = 5.0
    """Seconds of video before an event, and after it."""
    longest_clip: float = 300.0
    """Seconds after which the clip of an event that goes on is closed."""
    max_seconds: float | None = None
    """Seconds after which watching ends."""

    def __post_init__(self) -> None:
        if not 0 <= self.delay < float("inf"):
            raise BadInput(f"--delay takes seconds from 0 on, got {self.delay:g}.")
        if self.context is not None and not 0 <= self.context <= self.delay:
            raise BadInput(f"--context lies between 0 and the delay {self.delay:g}, got {self.context:g}.")
        if self.before < 0 or self.status < 0 or not self.longest_clip > 0:
            raise BadInput("--before and --status take seconds from 0 on, --longest-clip seconds above 0.")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise BadInput(f"--max-seconds takes seconds above 0, got {self.max_seconds:g}.")
        if self.score.motion_prior is not None:
            raise BadInput("watch has no motion prior.")

    @property
    def seen_behind(self) -> float:
        """The context in seconds."""
        return self.delay / 2 if self.context is None else self.context


@dataclass(frozen=True)
class WatchReport:
    """How it went."""

    reason: str
    """``end``, ``max_seconds``, or what ``stop`` said."""
    seconds: float
    """Of the stream."""
    num_scores: int
    num_events: int
    counts: dict[str, int]

    def line(self) -> str:
        """For people."""
        dropped = f", {self.counts['dropped_frames']} frames dropped" if self.counts["dropped_frames"] else ""
        lost = f", {self.counts['losses']} times lost" if self.counts["losses"] else ""
        return (
            f"{self.seconds:.1f} s watched, {self.num_scores} snippets scored, {self.num_events} events"
            f"{lost}{dropped}: {self.reason.replace('_', ' ')}."
        )


def watch(
    source: str,
    workspace: Workspace,
    options: WatchOptions,
    recipe_changes: RecipeChanges | None = None,
    *,
    emit: Emit,
    stop: Stop = lambda: None,
    progress: Progress | None = None,
) -> WatchReport:
    """Scores a stream until it ends or is told to stop, and hands every line to ``emit`` at once.

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: nothing can be watched at all.
        BadVideo: a file that is no video, or a source that gave nothing for ``give_up`` seconds.
    """
    lines = watch_lines(source, workspace, options, recipe_changes, stop=stop, progress=progress)
    with contextlib.closing(lines):
        while True:
            try:
                emit(next(lines))
            except StopIteration as ended:
                report: WatchReport = ended.value
                return report


def watch_lines(
    source: str,
    workspace: Workspace,
    options: WatchOptions,
    recipe_changes: RecipeChanges | None = None,
    *,
    stop: Stop = lambda: None,
    progress: Progress | None = None,
) -> Generator[Line, None, WatchReport]:
    """The lines of ``watch`` for a loop; the source is opened with the first and closed when the loop is left.

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: nothing can be watched at all.
        BadVideo: while it goes on, as in ``watch``.
    """
    progress = progress or Progress()
    parsed = parse_source(source)
    options.live.drops(parsed)
    scorer = make_scorer(workspace, options.score, recipe_changes or RecipeChanges(), progress)
    return _Watch(parsed, scorer, _window_length(workspace, scorer, options.score), options, progress).lines(stop)


def _window_length(workspace: Workspace, scorer: Scorer, options: ScoreOptions) -> int:
    """Snippets that the head was made to see at once; 0: each is scored by itself."""
    from vidlang.methods.vadclip.config import VadClipConfig

    if scorer.made_by["method"] != "vadclip":
        return 0
    summary = load_summary(ModelRegistry(workspace.models_dir).folder("vadclip", options.checkpoint))
    return VadClipConfig.from_dict(dict(summary.config)).visual_length


class _Watch:
    """One source, from its start to its end."""

    def __init__(
        self, source: LiveSource, scorer: Scorer, length: int, options: WatchOptions, progress: Progress
    ) -> None:
        recipe, encoder = scorer.recipe, scorer.load_encoder()
        _check_recipe(scorer, encoder)
        self._source, self._scorer, self._options, self._progress = source, scorer, options, progress
        self._told: deque[Line] = deque()  # since the caller last heard
        self._window = WindowOptions(
            delay=options.delay,
            context=options.seen_behind if length else 0.0,
            length=length,
            batch_size=max(1, options.batch_size // recipe.sampling.num_crops),
            crop=options.score.crop,
        )
        self._scores = StreamScorer(scorer, encoder, self._window)
        rules = EventRules(scorer.threshold, options.end_threshold, options.score.min_seconds, options.merge_gap)
        self._events = EventTracker(rules, scorer.class_names)
        self._snippets = LiveSnippets(recipe.sampling)
        self._num_frames = 0  # of the runs before
        self._clips = self._recorder()
        self._clip_of: dict[Path, int] = {}
        fast = recipe.preprocess == "fast" and recipe.sampling.crops == "center" and recipe.borders != "crop"
        self._reader = LiveReader(
            source,
            options.live,
            short_side=encoder.pixels.shorter_side if fast else None,
            watch_packets=self._clips.watch if self._clips else None,
        )
        self._drops = options.live.drops(source)
        self._lag = self._worst_lag = 0.0
        self._began = self._told_status = time.monotonic()
        self._told_drops = (0, 0, -TELL_DROPS)

    def _recorder(self) -> ClipRecorder | None:
        options = self._options
        if options.clips is None:
            return None
        sampling = self._scorer.recipe.sampling
        snippet = 1 / sampling.fps if sampling.fps is not None else sampling.stride / 10
        waits = options.delay + options.score.min_seconds + snippet
        return ClipRecorder(options.before + waits, options.longest_clip)

    def lines(self, stop: Stop) -> Generator[Line, None, WatchReport]:
        self._tell_start()
        yield from self._news()
        reason, failure = "end", ""
        try:
            with self._reader:
                for event in self._reader:
                    if isinstance(event, Ended):
                        reason, failure = event.reason, event.detail
                        break
                    self._take(event)
                    yield from self._news()
                    why = stop() or self._is_long_enough()
                    if why:
                        reason = why
                        break
            self._end_run(reason.replace(" ", "_"))
            yield from self._news()
        finally:
            if self._clips is not None:
                self._clips.close()
        self._tell_clips()
        report = self._report(reason)
        self._status("ended", reason=reason.replace(" ", "_"), detail=failure or None, **self._numbers())
        yield from self._news()
        if reason in ("failed", "gave up"):
            raise BadVideo(f"{self._source.name}: {failure}." if reason == "gave up" else failure)
        return report

    def _news(self) -> Iterator[Line]:
        while self._told:
            yield self._told.popleft()

    def _take(self, event: Any) -> None:
        if isinstance(event, LiveFrame):
            self._take_frame(event)
        elif isinstance(event, Tick):
            self._tell(self._scores.due(self._reader.seconds, time.time() if self._goes_by_itself else None))
        elif isinstance(event, Gap):
            self._take_gap(event)
        elif isinstance(event, Opened):
            height, width = event.size
            facts = {"name": event.name, "width": width, "height": height, "codec": event.codec}
            self._status("connected", **facts, frame_rate=round(event.frame_rate, 3))
        elif isinstance(event, Waiting):
            self._status("reconnecting", wait=event.seconds, reason=event.reason)
        elif isinstance(event, Skipped):
            self._status("skipped", name=event.name, reason=event.reason)
        self._tell_now_and_then()

    @property
    def _goes_by_itself(self) -> bool:
        """Whether what does not come in time counts as late."""
        return self._source.comes_back or self._source.kind == "folder" or self._options.live.real_time

    def _take_frame(self, frame: LiveFrame) -> None:
        self._lag, self._worst_lag = frame.lag, max(self._worst_lag, frame.lag)
        wanted = not (self._drops and frame.lag > self._options.live.max_lag)
        self._scores.add(*self._snippets.push(frame, wanted=wanted))
        self._tell(self._scores.due(self._reader.seconds))

    def _take_gap(self, gap: Gap) -> None:
        if gap.reason == "lost":
            self._end_run("lost")
            self._scores.restart()
            self._status("lost", reason=gap.detail)
            return
        self._scores.add(*self._snippets.finish())
        self._scores.settle()
        self._tell(self._scores.due(self._reader.seconds))
        self._next_run(gap.num_dropped)

    def _end_run(self, reason: str) -> None:
        """All that was seen is scored, and an open event ends."""
        self._scores.add(*self._snippets.finish())
        self._tell(self._scores.rest())
        self._tell_changes(self._events.close(reason))
        self._next_run(0)

    def _next_run(self, num_dropped: int) -> None:
        self._num_frames += self._snippets.num_frames + num_dropped
        self._snippets = LiveSnippets(self._scorer.recipe.sampling, self._num_frames)

    def _is_long_enough(self) -> str | None:
        longest = self._options.max_seconds
        if longest is None:
            return None
        passed = time.monotonic() - self._began if self._goes_by_itself else 0.0
        return "max_seconds" if max(self._reader.seconds, passed) >= longest else None

    # -- lines -------------------------------------------------------------------------------------------------------

    def _line(self, type: str, **fields: Any) -> None:
        known = {name: value for name, value in fields.items() if value is not None}
        self._told.append({"schema": WATCH_SCHEMA, "type": type, "source": self._source.name, **known})

    def _status(self, status: str, **fields: Any) -> None:
        self._line("status", status=status, seconds=round(self._reader.seconds, 3), time=iso(time.time()), **fields)
        self._progress.message(_in_words(status, self._source.name, fields))

    def _tell_start(self) -> None:
        self._began = self._told_status = time.monotonic()
        facts: dict[str, Any] = {"made_by": self._scorer.made_by, "threshold": self._scorer.threshold}
        facts |= {"delay": self._options.delay, "context": self._window.context, "window": self._window.length}
        facts |= {"class_names": list(self._scorer.class_names)}
        self._line("status", status="started", seconds=0.0, time=iso(time.time()), **facts)

    def _tell(self, rows: Sequence[ScoredRow]) -> None:
        for row in rows:
            if self._options.scores:
                self._tell_score(row)
            self._tell_changes(self._events.push(row))

    def _tell_score(self, row: ScoredRow) -> None:
        classes = None
        if row.classes is not None:
            names = self._scorer.class_names
            classes = {name: round(float(p), DECIMALS) for name, p in zip(names, row.classes, strict=True)}
        snippet = row.snippet
        self._line(
            "score",
            start=snippet.seconds[0],
            end=snippet.seconds[1],
            frames=list(snippet.frames),
            start_time=iso(snippet.arrived[0]),
            end_time=iso(snippet.arrived[1]),
            anomaly=round(row.anomaly, DECIMALS),
            classes=classes,
        )

    def _tell_changes(self, changes: Sequence[EventChange]) -> None:
        for change in changes:
            fields: dict[str, Any] = {"event": change.number, "start": change.seconds[0]}
            fields["start_time"] = iso(change.arrived[0])
            if change.kind == "event_end":
                fields |= {"end": change.seconds[1], "end_time": iso(change.arrived[1])}
                fields |= {"duration": change.seconds[1] - change.seconds[0], "reason": change.reason}
            self._line(change.kind, **fields, label=change.label, score=round(change.score, DECIMALS))
            self._record(change)

    def _record(self, change: EventChange) -> None:
        clips, folder = self._clips, self._options.clips
        if clips is None or folder is None:
            return
        if change.kind == "event_start":
            moment = datetime.fromtimestamp(change.arrived[0], timezone.utc).strftime("%Y%m%dT%H%M%S%f")[:-3] + "Z"
            path = folder / safe_component(f"{moment}-event{change.number}-{change.label.replace('/', '_')}.mp4")
            if clips.begin(path, max(0.0, change.seconds[0] - self._options.before)):
                self._clip_of[path] = change.number
            else:
                self._status("no_clip", event=change.number, reason="the stream cannot be copied into MP4")
            return
        for path, number in self._clip_of.items():
            if number == change.number:
                clips.end(path, change.seconds[1] + self._options.before)

    def _tell_clips(self) -> None:
        for path in self._clips.finished() if self._clips is not None else ():
            self._line("clip", event=self._clip_of.pop(path), path=str(path), time=iso(time.time()))

    def _tell_now_and_then(self) -> None:
        self._tell_clips()
        now = time.monotonic()
        frames, snippets, told = self._told_drops
        dropped = (self._reader.counts.dropped, self._scores.num_without_frame)
        if dropped != (frames, snippets) and now - told >= TELL_DROPS:
            self._told_drops = (*dropped, now)
            self._status("dropped", dropped_frames=dropped[0], dropped_snippets=dropped[1], lag=round(self._lag, 3))
        if self._options.status and now - self._told_status >= self._options.status:
            self._told_status = now
            self._status("running", **self._numbers())
            self._worst_lag = 0.0

    def _numbers(self) -> dict[str, Any]:
        counts = self._reader.counts
        buffers = {"packets": self._reader.backlog["packets"], "packet_bytes": self._reader.backlog["bytes"]}
        buffers |= {"snippets": self._scores.num_waiting}
        buffers |= {"clip_bytes": self._clips.num_bytes} if self._clips is not None else {}
        return {
            "frames": counts.frames,
            "scores": self._scores.num_scored,
            "events": self._events.num_events,
            "dropped_frames": counts.dropped,
            "dropped_snippets": self._scores.num_without_frame,
            "damaged": counts.damaged,
            "losses": counts.losses,
            **({"lag": round(self._lag, 3), "worst_lag": round(self._worst_lag, 3)} if self._goes_by_itself else {}),
            "buffers": buffers,
        }

    def _report(self, reason: str) -> WatchReport:
        numbers = self._numbers()
        counts = {name: value for name, value in numbers.items() if isinstance(value, int)}
        return WatchReport(reason, self._reader.seconds, self._scores.num_scored, self._events.num_events, counts)


def iso(seconds: float) -> str:
    """``2026-03-01T12:00:00.250Z`` of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _check_recipe(scorer: Scorer, encoder: Any) -> None:
    recipe = scorer.recipe
    if recipe.motion.use != "none":
        raise BadInput(f"watch takes frames as they are, but {recipe.name} attends to motion. Take another checkpoint.")
    check_same_rows(recipe, encoder)


def _in_words(status: str, name: str, fields: dict[str, Any]) -> str:
    """A line of status for people."""
    if status == "connected":
        size = f"{fields['width']} x {fields['height']}, " if fields["width"] else ""
        return f"connected: {fields['name']} ({size}{fields['codec']}, {fields['frame_rate']:g} frames/s)"
    if status == "reconnecting":
        return f"{name} does not come ({fields['reason']}); next attempt in {fields['wait']:.1f} s"
    if status in ("lost", "skipped"):
        return f"{status}: {fields.get('name', name)} ({fields['reason']})"
    if status == "dropped":
        dropped = f"{fields['dropped_frames']} frames and {fields['dropped_snippets']} snippets dropped so far"
        return f"{fields['lag']:.1f} s behind: {dropped}"
    if status == "no_clip":
        return f"no clip of event {fields['event']}: {fields['reason']}"
    numbers = f"{fields['frames']} frames, {fields['scores']} scores, {fields['events']} events"
    return f"{status}: {numbers}" + (f", {fields['lag']:.1f} s behind" if "lag" in fields else "")
