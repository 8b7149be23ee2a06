"""A stream is scored as its file is; events begin and end as they should; what waits stays small."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from local_sender import sender
from stand_ins import ColourEncoder, collection, film, recipe_of

from vidlang.core import BadInput, BadVideo, Features, Scores, VideoInfo
from vidlang.core.segments import Segment, merge
from vidlang.methods.vadclip.predict import Prediction
from vidlang.video.live_snippets import LiveSnippet
from vidlang.video.live_sources import LiveOptions
from vidlang.video.snippets import Picked
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.score import ScoreOptions, find_events, score
from vidlang.workflows.train_vadclip import TrainOptions, train_vadclip
from vidlang.workflows.watch import WatchOptions, watch
from vidlang.workflows.watch_events import EventRules, EventTracker, ScoredRow
from vidlang.workflows.watch_scores import StreamScorer, WindowOptions

LABELS = ScoreOptions(labels=("fighting", "fire"), plot=False)
SMALL = {
    "visual_length": 12, "attn_window": 4, "attn_heads": 2, "prompt_prefix": 2, "prompt_postfix": 2,
    "batch_size": 4, "epochs": 2, "learning_rate": 3e-3,
}  # fmt: skip


class Told(list[dict]):
    """The lines that were emitted."""

    def of(self, type: str) -> list[dict]:
        return [line for line in self if line["type"] == type]

    def statuses(self) -> list[str]:
        return [line["status"] for line in self.of("status")]


def watched(source: object, workspace, changes: RecipeChanges | None = None, stop=lambda: None, **options) -> Told:
    told = Told()
    kept = {"score": LABELS, "scores": True, "status": 0.0, **options}
    watch(str(source), workspace, WatchOptions(**kept), changes, emit=told.append, stop=stop)
    return told


def assert_same_scores(told: list[dict], scores: Scores) -> None:
    assert [(line["start"], line["end"]) for line in told] == [tuple(row) for row in scores.seconds.tolist()]
    assert [line["frames"] for line in told] == scores.frames.tolist()
    assert np.allclose([line["anomaly"] for line in told], scores.anomaly, atol=2e-6)
    assert np.allclose([list(line["classes"].values()) for line in told], scores.classes, atol=2e-6)
    assert tuple(told[0]["classes"]) == scores.class_names


# -- equal to score --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        RecipeChanges(), RecipeChanges(fps=3.0), RecipeChanges(stride=5, pick="first"), RecipeChanges(pick="mean"),
        RecipeChanges(crops="ten"), RecipeChanges(reuse_static=15.0, stride=2), RecipeChanges(colour="grey"),
    ],
    ids=["stride", "fps", "first", "mean", "ten", "reuse", "grey"],
)  # fmt: skip
@pytest.mark.parametrize("delay", [0.0, 1.5])
def test_a_file_watched_has_the_scores_and_events_of_the_file_scored(workspace, encoder, tmp_path, changes, delay):
    path = film(tmp_path / "a.mp4", 100)
    scores = score([path], workspace, LABELS, changes).scores[0]
    threshold = float(np.sort(scores.anomaly)[len(scores.anomaly) // 2]) - 1e-5
    told = watched(path, workspace, changes, delay=delay, score=ScoreOptions(labels=LABELS.labels, threshold=threshold))
    assert_same_scores(told.of("score"), scores)
    events = find_events(scores, threshold)
    ends = told.of("event_end")
    assert [(e["start"], e["end"], e["label"]) for e in ends] == [
        (e.segment.start, e.segment.end, e.label) for e in events
    ]
    assert len(events) and np.allclose([e["score"] for e in ends], [e.score for e in events], atol=2e-6)
    assert [e["event"] for e in told.of("event_start")] == list(range(1, len(events) + 1))
    assert told.statuses() == ["started", "connected", "ended"]
    assert all(line["schema"] == "vidlang.watch/1" and line["source"] == str(path) for line in told)


def test_a_file_shorter_than_a_snippet_has_one_score(workspace, encoder, tmp_path):
    path = film(tmp_path / "a.mp4", 12)
    assert_same_scores(watched(path, workspace).of("score"), score([path], workspace, LABELS).scores[0])


def test_ten_crops_can_be_chosen(workspace, encoder, tmp_path):
    path, crops = film(tmp_path / "a.mp4", 40), RecipeChanges(crops="ten")
    for crop in ("3", "mean"):
        options = ScoreOptions(labels=LABELS.labels, crop=crop, plot=False)
        scores = score([path], workspace, options, crops).scores[0]
        assert_same_scores(watched(path, workspace, crops, score=options).of("score"), scores)


@pytest.fixture
def trained(workspace, cache, encoder) -> ScoreOptions:
    """A head that sees twelve snippets at once."""
    collection(cache, recipe_of(encoder))
    train_vadclip(workspace, TrainOptions(changes=SMALL, name="run", device="cpu"))
    return ScoreOptions(plot=False)


def test_with_a_checkpoint_and_patience_a_file_within_the_window_has_its_own_scores(workspace, trained, tmp_path):
    path = film(tmp_path / "a.mp4", 12 * 16 - 5)
    scores = score([path], workspace, trained).scores[0]
    told = watched(path, workspace, score=trained, delay=60.0)
    assert len(scores.anomaly) == 11
    assert_same_scores(told.of("score"), scores)
    started = told[0]
    assert (started["window"], started["context"]) == (12, 30.0) and started["made_by"]["method"] == "vadclip"
    hasty = watched(path, workspace, score=trained, delay=1.0).of("score")
    assert [line["frames"] for line in hasty] == scores.frames.tolist()
    assert not np.allclose([line["anomaly"] for line in hasty], scores.anomaly, atol=1e-6)


def test_with_a_checkpoint_longer_files_have_every_snippet_once(workspace, trained, tmp_path):
    path = film(tmp_path / "a.mp4", 40 * 16)
    for delay in (0.0, 2.0, 1000.0):
        frames = [line["frames"] for line in watched(path, workspace, score=trained, delay=delay).of("score")]
        assert frames == [[16 * i, 16 * i + 16] for i in range(40)]


# -- the window ------------------------------------------------------------------------------------------------------


class Head:
    """Stands in for a scorer: the score of a row is how many rows the head sees behind it, in hundredths."""

    def __init__(self) -> None:
        self.recipe = recipe_of(ColourEncoder())
        self.class_names, self.branch, self.made_by = ("normal", "event"), "c", {"method": "vadclip"}
        self.seen: list[int] = []

    def predict(self, features: Features) -> Prediction:
        number = features.num_snippets
        self.seen.append(number)
        behind = (np.arange(number)[::-1] / 100).astype(np.float32)
        return Prediction(behind, behind, np.stack([1 - behind, behind], axis=1))


def snippet(row: int, length: float = 0.5) -> LiveSnippet:
    seconds = (row * length, (row + 1) * length)
    return LiveSnippet(row, (row * 10, row * 10 + 10), seconds, (1000 + seconds[0], 1000 + seconds[1]))


def told_by(stream: StreamScorer, num_rows: int) -> Iterator[tuple[int, float]]:
    """(row, seconds that its score waited) while rows come, half a second each."""
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    for row in range(num_rows):
        stream.add([Picked(picture, (row,))], [snippet(row)])
        now = (row + 1) * 0.5
        for told in stream.due(now):
            yield told.snippet.row, now - told.snippet.seconds[1], round(told.anomaly * 100)


@pytest.mark.parametrize(("delay", "context"), [(0.0, 0.0), (2.0, 1.0), (3.0, 3.0), (4.0, 0.0)])
def test_scores_wait_no_longer_than_the_delay_and_see_what_was_promised(delay, context):
    head = Head()
    stream = StreamScorer(head, ColourEncoder(), WindowOptions(delay, context, length=20))
    told = list(told_by(stream, 100))
    assert [row for row, _, _ in told] == list(range(len(told))) and len(told) >= 100 - 2 * delay - 1
    assert all(context <= waited <= delay for _, waited, _ in told)
    assert all(behind == round(waited * 2) for _, waited, behind in told)
    assert max(head.seen) == 20
    rest = stream.rest()
    assert [row.snippet.row for row in rest] == list(range(len(told), 100)) and stream.rest() == []


def test_what_waits_for_scores_is_bounded_however_long_the_stream():
    stream = StreamScorer(Head(), ColourEncoder(), WindowOptions(2.0, 1.0, length=20, batch_size=4))
    told, most = 0, 0
    for _ in told_by(stream, 2000):
        told += 1
        most = max(most, len(stream._window), len(stream._waiting), len(stream._complete), len(stream._sums))
    assert told > 1990 and most <= 20 and stream.most_waiting <= 12


def test_an_endless_delay_is_bounded_by_the_window():
    stream = StreamScorer(Head(), ColourEncoder(), WindowOptions(1e9, 1e9, length=20))
    rows = [row for row, _, _ in told_by(stream, 200)]
    assert rows == list(range(len(rows))) and len(rows) >= 180 and len(stream._window) <= 20


def test_a_stream_that_stands_still_is_scored_by_the_clock_on_the_wall():
    stream = StreamScorer(Head(), ColourEncoder(), WindowOptions(2.0, 1.0, length=20))
    assert list(told_by(stream, 2)) == []
    assert stream.due(1.0, now=1000 + 0.5 + 1.9) == []
    assert [row.snippet.row for row in stream.due(1.0, now=1000 + 0.5 + 2.0)] == [0, 1]


def test_snippets_whose_frame_was_dropped_have_no_score_and_are_counted():
    stream = StreamScorer(Head(), ColourEncoder(), WindowOptions(0.0, 0.0, length=20))
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    stream.add([Picked(picture, (0,)), Picked(picture, (2,))], [snippet(0), snippet(1), snippet(2)])
    assert [row.snippet.row for row in stream.rest()] == [0, 2] and stream.num_without_frame == 1


# -- events ----------------------------------------------------------------------------------------------------------


def rows_of(anomaly: np.ndarray, classes: np.ndarray | None = None) -> list[ScoredRow]:
    return [
        ScoredRow(snippet(i), float(value), None if classes is None else classes[i]) for i, value in enumerate(anomaly)
    ]


def ends(tracker: EventTracker, rows: list[ScoredRow]) -> list[tuple[float, float]]:
    changes = [change for row in rows for change in tracker.push(row)] + tracker.close("end")
    starts = [change for change in changes if change.kind == "event_start"]
    finished = [change for change in changes if change.kind == "event_end"]
    assert [change.number for change in starts] == [change.number for change in finished]
    assert all(a.seconds[0] == b.seconds[0] for a, b in zip(starts, finished, strict=True))
    return [change.seconds for change in finished]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("min_seconds", [0.0, 1.0])
def test_events_told_on_the_way_are_those_found_afterwards(seed, min_seconds):
    random = np.random.default_rng(seed)
    anomaly = random.random(60).astype(np.float32)
    classes = random.dirichlet([1, 1, 1], 60).astype(np.float32)
    spans = [snippet(i) for i in range(60)]
    names = ("normal", "fight", "fire")
    scores = Scores(
        VideoInfo("v", 600, 30.0, 20.0, (8, 8)),
        np.array([s.frames for s in spans]),
        np.array([s.seconds for s in spans]),
        anomaly,
        classes,
        names,
    )
    tracker = EventTracker(EventRules(0.4, min_seconds=min_seconds), names)
    changes = [change for row in rows_of(anomaly, classes) for change in tracker.push(row)] + tracker.close("end")
    told = [(c.seconds, c.label, c.score) for c in changes if c.kind == "event_end"]
    expected = find_events(scores, 0.4, min_seconds)
    assert told == [((e.segment.start, e.segment.end), e.label, e.score) for e in expected] and len(told) > 3


@pytest.mark.parametrize("gap", [0.5, 1.0, 2.2])
def test_events_with_little_between_them_are_one(gap):
    anomaly = np.random.default_rng(1).random(80)
    apart = [Segment(*seconds) for seconds in ends(EventTracker(EventRules(0.6), ()), rows_of(anomaly))]
    joined = ends(EventTracker(EventRules(0.6, merge_gap=gap), ()), rows_of(anomaly))
    assert [Segment(*seconds) for seconds in joined] == merge(apart, gap) != apart


def test_an_event_ends_under_the_lower_threshold_only():
    anomaly = np.array([0.4, 0.6, 0.4, 0.4, 0.2, 0.4, 0.7, 0.1])
    assert ends(EventTracker(EventRules(0.5, 0.3), ()), rows_of(anomaly)) == [(0.5, 2.0), (3.0, 3.5)]
    with pytest.raises(BadInput, match="end-threshold"):
        EventRules(0.5, 0.6)


def test_an_event_is_told_of_once_it_has_lasted():
    tracker = EventTracker(EventRules(0.5, min_seconds=1.5), ())
    kinds = [[change.kind for change in tracker.push(row)] for row in rows_of(np.array([0.9, 0.9, 0.9, 0.9, 0.1]))]
    assert kinds == [[], [], ["event_start"], [], ["event_end"]]


# -- streams ---------------------------------------------------------------------------------------------------------


def after(told: Told, status: str, count: int) -> Callable[[], str | None]:
    """Stops once a status came so often."""
    return lambda: "terminated" if told.statuses().count(status) >= count else None


def test_each_part_of_a_broken_stream_is_scored_as_a_file(workspace, encoder, tmp_path):
    paths = film(tmp_path / "a.ts", 50), film(tmp_path / "b.ts", 70, shift=40)
    parts = score(paths, workspace, LABELS).scores
    told = Told()
    with sender(*(path.read_bytes() for path in paths)) as address:
        everything = ScoreOptions(labels=LABELS.labels, threshold=0.0)
        options = WatchOptions(score=everything, scores=True, status=0, live=LiveOptions(on_lag="wait"))
        report = watch(address, workspace, options, emit=told.append, stop=after(told, "lost", 2))
    lines = told.of("score")
    first, second = [[row for row in lines if row["frames"][0] < 50], [row for row in lines if row["frames"][0] >= 50]]
    for got, scores in ((first, parts[0]), (second, parts[1])):
        assert np.allclose([row["anomaly"] for row in got], scores.anomaly, atol=2e-6)
    assert second[0]["frames"] == [50, 66] and second[0]["start"] > first[-1]["end"]
    assert [event["reason"] for event in told.of("event_end")] == ["lost", "lost"]
    assert [s for s in told.statuses() if s != "reconnecting"][:4] == ["started", "connected", "lost", "connected"]
    assert "reconnecting" in told.statuses() and report.reason == "terminated"


def test_an_open_event_is_closed_when_watching_is_interrupted(workspace, encoder, tmp_path):
    path = film(tmp_path / "a.mp4", 400)
    told = Told()
    everything = ScoreOptions(labels=LABELS.labels, threshold=0.0)
    options = WatchOptions(score=everything, delay=0.0, live=LiveOptions(real_time=True))
    stop = lambda: "interrupted" if told.of("event_start") else None  # noqa: E731
    report = watch(str(path), workspace, options, emit=told.append, stop=stop)
    assert told.of("event_end")[0]["reason"] == "interrupted" == report.reason
    assert report.num_scores < 5 and told.statuses()[-1] == "ended"


def test_watching_ends_after_so_many_seconds(workspace, encoder, tmp_path):
    told = watched(film(tmp_path / "a.mp4", 200), workspace, max_seconds=3.0)
    assert told[-1]["reason"] == "max_seconds" and told.of("score")[-1]["end"] <= 3.1


def test_who_falls_behind_drops_and_says_so(workspace, encoder, tmp_path, monkeypatch):
    import time

    plain = encoder.encode_pixels
    monkeypatch.setattr(encoder, "encode_pixels", lambda pixels: time.sleep(0.08) or plain(pixels))
    path = film(tmp_path / "a.ts", 320)
    told = Told()
    with sender(path.read_bytes()) as address:
        options = WatchOptions(LABELS, LiveOptions(max_lag=0.2), delay=0.0, scores=True, status=0.0)
        report = watch(address, workspace, options, emit=told.append, stop=after(told, "lost", 1))
    counts = report.counts
    assert counts["dropped_snippets"] + counts["dropped_frames"] > 0
    assert counts["frames"] + counts["dropped_frames"] == 320
    if not counts["dropped_frames"]:
        assert counts["scores"] + counts["dropped_snippets"] == 20
    assert "dropped" in told.statuses() and len(told.of("score")) == counts["scores"] < 20


def test_clips_of_events_are_videos(workspace, encoder, tmp_path):
    path = film(tmp_path / "a.mp4", 100)
    everything = ScoreOptions(labels=LABELS.labels, threshold=0.0)
    told = watched(path, workspace, score=everything, clips=tmp_path / "clips", delay=0.0)
    clip = Path(told.of("clip")[0]["path"])
    assert list((tmp_path / "clips").iterdir()) == [clip] and told.of("clip")[0]["event"] == 1
    assert len(score([clip], workspace, LABELS).scores[0].anomaly) == 6


def test_a_source_that_gives_nothing_is_given_up(workspace, encoder):
    told = Told()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://me:secret@127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(BadVideo, match="nothing for") as caught:
        watch(address, workspace, WatchOptions(LABELS, LiveOptions(give_up=0.1)), emit=told.append)
    assert "secret" not in str(caught.value) + json.dumps(told)


def test_what_cannot_be_watched_is_said_at_once(workspace, encoder, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    with pytest.raises(BadVideo, match="does not open"):
        watched(tmp_path / "a.mp4", workspace)
    with pytest.raises(BadInput, match="motion"):
        watched(film(tmp_path / "b.mp4", 20), workspace, RecipeChanges(motion="mask"))
    for wrong in ({"delay": -1.0}, {"delay": 1.0, "context": 2.0}, {"max_seconds": 0.0}):
        with pytest.raises(BadInput):
            WatchOptions(**wrong)
