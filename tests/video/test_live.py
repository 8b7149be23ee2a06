"""Streams as they come: equal to files, through losses, on a clock that never falls, in bounded memory."""

from __future__ import annotations

import functools
import http.server
import os
import socket
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from local_sender import sender

from vidlang.core import BadInput
from vidlang.core.features import Sampling
from vidlang.video import live_queue
from vidlang.video.container import StreamFacts
from vidlang.video.live import LiveReader
from vidlang.video.live_clips import ClipRecorder
from vidlang.video.live_clock import LiveClock
from vidlang.video.live_events import Ended, Gap, LiveFrame, Opened, Skipped, Tick, Waiting
from vidlang.video.live_queue import Packet, PacketQueue
from vidlang.video.live_snippets import LiveSnippets
from vidlang.video.live_sources import GrowingFolder, LiveOptions, SourceLost, masked, parse_source
from vidlang.video.reader import open_video
from vidlang.video.snippets import open_snippets
from vidlang.video.writer import write_video

RATE = 25.0


def shade(index: int) -> int:
    return 20 + 5 * (index % 45)


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """A film of flat grey pictures, with a key frame every ten."""

    def write(name: str, num_frames: int = 40, first: int = 0) -> Path:
        frames = (np.full((32, 48, 3), shade(first + i), dtype=np.uint8) for i in range(num_frames))
        options = {"preset": "ultrafast", "crf": "8", "g": "10", "bf": "0"}
        write_video(tmp_path / name, frames, RATE, options=options)
        return tmp_path / name

    return write


def events_of(reader: LiveReader, until: Callable[[list], bool] = lambda events: False) -> list:
    """Everything but ticks, up to the end or until enough has come, a minute at most."""
    events: list = []
    longest = time.monotonic() + 60
    with reader:
        for event in reader:
            if not isinstance(event, Tick):
                events.append(event)
            if until(events) or time.monotonic() > longest:
                break
    return events


def frames_of(events: list) -> list[LiveFrame]:
    return [event for event in events if isinstance(event, LiveFrame)]


def num_of(events: list, kind: type) -> int:
    return sum(isinstance(event, kind) for event in events)


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv", "a.avi"])
def test_a_file_gives_the_frames_and_times_that_readers_give(film, name):
    path = film(name)
    with open_video(path, decoder="pyav") as reader:
        expected = [(f.index, f.start, f.end, f.to_rgb()) for f in reader.timed_frames("some")]
    events = events_of(LiveReader(parse_source(str(path))))
    got = frames_of(events)
    assert isinstance(events[0], Opened) and events[-1] == Ended("end")
    assert [(f.index, f.start, f.end) for f in got] == [e[:3] for e in expected]
    assert all(np.array_equal(f.to_rgb(), e[3]) for f, e in zip(got, expected, strict=True))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(), Sampling(pick="first", stride=7), Sampling(pick="mean", stride=9), Sampling(stride=64),
        Sampling(fps=2), Sampling(fps=2, pick="first"), Sampling(fps=3, pick="mean"), Sampling(fps=40),
    ],
    ids=lambda sampling: sampling.name,
)  # fmt: skip
def test_snippets_of_a_stream_are_those_of_the_file(film, sampling):
    path = film("a.mp4", 55)
    expected: dict[int, float] = {}
    with open_snippets(path, sampling) as stream:
        for batch in stream:
            for pixels, rows in zip(batch.frames, batch.rows, strict=True):
                for row in rows:
                    expected[row] = expected.get(row, 0.0) + float(pixels.sum())
        frames, seconds = stream.frames, stream.seconds
    snippets, got, done = LiveSnippets(sampling), {}, []
    for event in events_of(LiveReader(parse_source(str(path)))):
        if isinstance(event, Opened):
            continue
        picked, complete = snippets.push(event) if isinstance(event, LiveFrame) else snippets.finish()
        done += complete
        for one in picked:
            for row in one.rows:
                got[row] = got.get(row, 0.0) + float(one.pixels.sum())
    assert np.array_equal([snippet.frames for snippet in done], frames)
    assert np.array_equal([snippet.seconds for snippet in done], seconds)
    assert {row: got[row] for row in range(len(done))} == {row: expected[row] for row in range(len(frames))}


def test_rulers_of_snippets_are_forgotten(monkeypatch):
    monkeypatch.setattr("vidlang.video.live_snippets.REMEMBERED", 8)
    snippets = LiveSnippets(Sampling(fps=5, pick="first"))
    picture = np.zeros((2, 2, 3), dtype=np.uint8)
    done = []
    for i in range(5000):
        frame = LiveFrame(i, i / 25, (i + 1) / 25, 1000.0 + i / 25, 0.0, lambda: picture)
        done += snippets.push(frame)[1]
    assert [snippet.frames for snippet in done[:2]] == [(0, 5), (5, 10)] and len(done) == 1000
    assert done[-1].arrived == (1000.0 + 4995 / 25, 1000.0 + 4999 / 25)
    assert len(snippets._sampler._frames._end) <= 8 and len(snippets._arrivals) <= 1 and len(snippets._unsure) <= 1


# -- what comes back -------------------------------------------------------------------------------------------------


def test_a_fifo_whose_writer_goes_and_comes_back(film, tmp_path):
    first, second, fifo = film("a.ts", 30), film("b.ts", 20, first=30), tmp_path / "fifo"
    os.mkfifo(fifo)
    noticed = threading.Event()

    def write() -> None:
        fifo.write_bytes(first.read_bytes())
        noticed.wait(10)
        fifo.write_bytes(second.read_bytes())

    def until(events: list) -> bool:
        if num_of(events, Gap) == 1:
            noticed.set()
        return num_of(events, Gap) == 2

    threading.Thread(target=write, daemon=True).start()
    events = events_of(LiveReader(parse_source(str(fifo)), seed=0), until)
    frames = frames_of(events)
    assert [f.index for f in frames] == [*range(30), *range(20)]
    assert num_of(events, Opened) == 2 and num_of(events, Waiting) >= 1
    starts = [f.start for f in frames]
    assert starts == sorted(starts) and starts[29] == pytest.approx(29 / RATE)
    assert starts[30] >= frames[29].end + 0.5  # the wait of about one second lies between them
    assert np.allclose(np.diff(starts[30:]), 1 / RATE, atol=1e-4)
    assert all(abs(float(f.to_rgb().mean()) - shade(i)) < 4 for i, f in enumerate(frames))


def test_stdin_is_read_to_its_end(film):
    path, before = film("a.ts", 30), os.dup(0)
    try:
        with path.open("rb") as file:
            os.dup2(file.fileno(), 0)
        events = events_of(LiveReader(parse_source("-")))
    finally:
        os.dup2(before, 0)
        os.close(before)
    assert len(frames_of(events)) == 30 and events[-1] == Ended("end") and events[0].name == "stdin"


def test_a_connection_that_breaks_in_the_middle_and_comes_back(film):
    data = film("a.ts", 60).read_bytes()
    with sender(data[: len(data) // 2], data) as address:
        reader = LiveReader(parse_source(address), seed=0)
        events = events_of(reader, lambda events: num_of(events, Gap) == 2)
    gaps = [place for place, event in enumerate(events) if isinstance(event, Gap)]
    before, after = frames_of(events[: gaps[0]]), frames_of(events[gaps[0] :])
    assert 10 < len(before) < 60 and [f.index for f in after] == list(range(60))
    assert after[0].start >= before[-1].end and reader.counts.losses == 2


def test_giving_up_says_why_and_shows_no_password():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    source = parse_source(f"tcp://admin:se%cret@127.0.0.1:{port}")
    events = events_of(LiveReader(source, LiveOptions(give_up=0.2), seed=0))
    assert isinstance(events[-1], Ended) and events[-1].reason == "gave up"
    assert num_of(events, Waiting) >= 1 and "cret" not in repr(events)


def test_waits_grow_up_to_half_a_minute(monkeypatch):
    waits: list[float] = []
    reader = LiveReader(parse_source("tcp://nowhere.invalid:1"), seed=0)
    monkeypatch.setattr(reader, "_read_once", lambda *a, **k: (_ for _ in ()).throw(SourceLost("no")))
    monkeypatch.setattr(reader._stop, "wait", lambda s: waits.append(s) or (len(waits) >= 9 and reader._stop.set()))
    reader._read_again_and_again()
    for wait, plain in zip(waits, [1, 2, 4, 8, 16, 30, 30, 30, 30], strict=True):
        assert 0.8 * plain <= wait <= 1.2 * plain
    assert len(set(waits)) == 9


def test_a_file_on_a_server_ends_and_is_not_asked_for_again(film, tmp_path):
    film("a.mp4", 30)
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *a: None})
    handler = functools.partial(quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        events = events_of(LiveReader(parse_source(f"http://127.0.0.1:{server.server_port}/a.mp4")))
        server.shutdown()
    assert len(frames_of(events)) == 30 and events[-1] == Ended("end")


# -- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_that_grows_is_one_stream(film, tmp_path):
    film("rec/a.mp4", 20)
    folder = tmp_path / "rec"
    options = LiveOptions(settle=0.3)
    reader = LiveReader(parse_source(str(folder)), options)

    def record() -> None:
        time.sleep(0.3)
        film("rec/b.mp4", 25)
        (folder / "c.mp4").write_bytes(b"no video")
        film("rec/d.mp4", 20, first=25)

    recorder = threading.Thread(target=record)
    recorder.start()
    events = events_of(reader, lambda events: len(frames_of(events)) == 44)
    recorder.join()
    frames = frames_of(events)
    assert [event.name for event in events if isinstance(event, Opened)] == ["b.mp4", "d.mp4"]
    assert [event.name for event in events if isinstance(event, Skipped)] == ["c.mp4"]
    assert [f.index for f in frames] == list(range(44)) and num_of(events, Gap) == 0
    assert np.allclose([f.start for f in frames], np.arange(44) / RATE)
    assert all(abs(float(f.to_rgb().mean()) - shade(i)) < 4 for i, f in enumerate(frames))


def test_files_are_complete_when_newer_ones_come_or_when_they_rest(tmp_path):
    def put(name: str, size: int, moment: int) -> Path:
        (tmp_path / name).write_bytes(b"x" * size)
        os.utime(tmp_path / name, (moment, moment))
        return tmp_path / name

    old = put("z.mp4", 5, 100)
    folder = GrowingFolder(tmp_path, from_start=False, settle=0.05)
    assert folder.next_file() is None
    put("z.mp4", 9, 200)  # what was there goes on growing: it is not new
    assert folder.next_file() is None
    new, newer = put("b.mp4", 5, 300), put("a.mp4", 5, 301)
    put("note.txt", 5, 302)
    assert folder.next_file() == new and folder.next_file() is None
    put("a.mp4", 6, 302)
    time.sleep(0.06)
    assert folder.next_file() is None, "it has grown"
    time.sleep(0.06)
    assert folder.next_file() == newer and folder.next_file() is None
    put("b.mp4", 2, 400)  # recorders in a circle write the same name anew
    folder.next_file()
    time.sleep(0.06)
    assert folder.next_file() == new
    both = GrowingFolder(tmp_path, from_start=True, settle=0.05)
    assert both.next_file() == old


# -- clocks ----------------------------------------------------------------------------------------------------------


def clock(offset: float = 0.0) -> LiveClock:
    facts = StreamFacts(0, "mpegts", "h264", "yuv420p", (8, 8), 0, 2, False, Fraction(1, 90000), RATE, 0, 0.0, 1)
    return LiveClock(facts, offset, is_live=True)


@pytest.mark.parametrize(
    "stamps",
    [
        [1000, 4600, None, 11800, 15400],  # one without a stamp
        [2**33 - 7200, 2**33 - 3600, 0, 3600, 7200],  # 33 bits wrap around
        [9000, 12600, 90000 * 5000, 90000 * 5000 + 3600, 90000 * 5000 + 7200],  # a camera's clock is set
        [90000 * 5000, 90000 * 5000 + 3600, 0, 3600, 7200],  # and set back
    ],
)
def test_time_goes_on_evenly_whatever_the_stamps(stamps):
    frames = clock(offset=7.0)
    got = [frames.seconds(stamp, moment=100 + i / RATE) for i, stamp in enumerate(stamps)]
    assert got == pytest.approx([7.0 + i / RATE for i in range(5)])


def test_a_pause_that_really_was_one_stays():
    frames = clock()
    assert frames.seconds(0, 100.0) == 0.0 and frames.seconds(90000 * 20, 120.0) == 20.0


# -- falling behind --------------------------------------------------------------------------------------------------


def packet(moment: float, key: bool, size: int = 100) -> Packet:
    return Packet(None, key, size, 0.0, moment)


def test_what_waits_too_long_is_dropped_up_to_a_key_frame_and_counted():
    queue = PacketQueue(longest=1.0)
    for i in range(21):  # 10 frames a second, keys at 0, 1.0, 2.0 s
        queue.put(packet(i / 10, key=i % 10 == 0))
    items = [queue.get(0) for _ in range(3)]
    # at 1.1 s the 11 packets that waited are dropped, and 9 more until the key frame at 2.0 s
    assert items[0] == Gap("dropped", "behind", 20) and items[1].moment == 2.0 and items[2] is None
    assert queue.num_bytes == queue.num_packets == 0


def test_bytes_that_wait_are_bounded(monkeypatch):
    monkeypatch.setattr(live_queue, "MOST_BYTES", 1000)
    queue = PacketQueue(longest=60.0)
    for i in range(500):
        queue.put(packet(i / 100, key=i % 5 == 0))
        assert queue.num_bytes <= 1000
    assert queue.most_bytes <= 1000


def test_who_may_not_drop_waits(monkeypatch):
    monkeypatch.setattr(live_queue, "MOST_PACKETS", 3)
    queue, put = PacketQueue(longest=None), []

    def send() -> None:
        for i in range(9):
            queue.put(packet(float(i), key=i == 0))
            put.append(i)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.1)
    assert len(put) == 3
    assert [queue.get(1.0).moment for _ in range(9)] == list(map(float, range(9)))
    thread.join(1.0)
    assert queue.most_packets == 3


def test_dropping_is_refused_for_files(film):
    with pytest.raises(BadInput, match="files wait"):
        LiveReader(parse_source(str(film("a.mp4"))), LiveOptions(on_lag="drop"))


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:12345@10.0.0.7:554/live", "rtsp://***@10.0.0.7:554/live"),
        ("rtsp://admin:p@ss@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:p/ss@cam/live", "rtsp://***@cam/live"),
        ("rtsp://token@cam/a@b", "rtsp://***@cam/a@b"),
        ("rtsp://cam:554/a@b", "rtsp://cam:554/a@b"),
        ("http://cam/x?user=u&password=abc&channel=1", "http://cam/x?user=u&password=***&channel=1"),
        ("http://cam/x?access_token=abc", "http://cam/x?access_token=***"),
        ("no route to 'rtsp://a:b@c/d' today", "no route to 'rtsp://***@c/d' today"),
        ("videos/night.mp4", "videos/night.mp4"),
    ],
)
def test_passwords_are_masked(text, shown):
    assert masked(text) == shown


def test_sources_are_told_apart(tmp_path, film):
    os.mkfifo(tmp_path / "fifo")
    kinds = {"-": "stdin", "rtsp://cam/x": "address", str(tmp_path): "folder", str(tmp_path / "fifo"): "fifo"}
    kinds |= {str(film("a.mp4")): "file", f"file://{tmp_path}/a.mp4": "file", "0": "camera", "/dev/null": "camera"}
    assert {text: parse_source(text).kind for text in kinds} == kinds
    with pytest.raises(BadInput, match="There is no gone"):
        parse_source("gone.mp4")


# -- clips -----------------------------------------------------------------------------------------------------------


def recorded(path: Path, recorder: ClipRecorder, at: dict[int, Callable[[], object]]) -> None:
    """Every packet of a file through the recorder; ``at`` does something after a packet."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for number, packet in enumerate(p for p in container.demux(stream) if p.size):
            recorder.watch(stream, packet, number / RATE)
            at.get(number, lambda: None)()
        recorder.close()


def shades(path: Path) -> list[float]:
    with open_video(path, decoder="pyav") as reader:
        return [float(frame.to_rgb().mean()) for frame in reader.timed_frames("some")]


@pytest.mark.parametrize("name", ["a.ts", "a.mp4"])
def test_a_clip_has_the_frames_from_the_key_frame_before_to_its_end(film, tmp_path, name):
    recorder, clip = ClipRecorder(before=1.0, longest=60.0), tmp_path / "clips" / "one.mp4"
    at = {60: lambda: recorder.begin(clip, 52 / RATE), 70: lambda: recorder.end(clip, 80 / RATE)}
    recorded(film(name, 120), recorder, at)
    assert recorder.finished() == [clip] and recorder.finished() == []
    assert list(clip.parent.iterdir()) == [clip]
    got = shades(clip)
    assert len(got) == 31 and all(abs(value - shade(50 + i)) < 4 for i, value in enumerate(got))


def test_what_is_kept_for_clips_is_bounded(film, monkeypatch):
    recorder = ClipRecorder(before=1.0, longest=60.0)
    most = []
    recorded(film("a.ts", 300), recorder, {i: lambda: most.append(sum(map(len, recorder._groups))) for i in range(300)})
    assert max(most) <= 25 + 10 + 1 and recorder.num_bytes == sum(len(k.data) for g in recorder._groups for k in g)
    monkeypatch.setattr("vidlang.video.live_clips.MOST_BYTES", 2000)
    small = ClipRecorder(before=100.0, longest=60.0)
    recorded(film("b.ts", 100), small, {})
    assert small.most_bytes <= 2000


def test_a_clip_of_an_event_without_end_is_closed(film, tmp_path):
    recorder, clip = ClipRecorder(before=1.0, longest=0.5), tmp_path / "one.mp4"
    recorded(film("a.ts", 100), recorder, {20: lambda: recorder.begin(clip, 20 / RATE)})
    assert recorder.finished() == [clip] and len(shades(clip)) == 14
