"""The command as a service runs it: lines at once, quiet ends, exit codes, no passwords."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

WORDS = ["--labels", "fighting,fire", "--encoder", "mini"]


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_file_gives_lines_that_say_their_schema(vidlang, film):
    answer = vidlang("watch", film(Path("a.mp4"), 50), *WORDS, "--scores", "--threshold", "0")
    told = lines(answer.out)
    assert answer.code == 0 and "3 snippets scored, 1 events: end." in answer.err
    assert [line["type"] for line in told] == [
        "status",
        "status",
        *["score", "event_start"],
        *["score"] * 2,
        "event_end",
        "status",
    ]
    assert {line["schema"] for line in told} == {"vidlang.watch/1"} and told[0]["made_by"]["encoder"] == "mini"
    assert [line["start"] for line in told if line["type"] == "score"] == pytest.approx([0, 0.64, 1.28])
    assert (told[-2]["start"], told[-2]["end"]) == (0.0, pytest.approx(1.92))
    assert told[-2]["end_time"].endswith("Z") and "score" not in vidlang("watch", "a.mp4", *WORDS, "-q").err


def test_mistakes_are_one_line(vidlang, film):
    gone = vidlang("watch", "gone.mp4", *WORDS)
    assert gone.code == 2 and "no gone.mp4 to watch" in gone.err and len(gone.err.splitlines()) == 1
    film(Path("a.mp4"))
    for wrong in (["--on-lag", "drop"], ["--context", "9"], ["--ffmpeg", "x"], ["--end-threshold", "0.9"]):
        answer = vidlang("watch", "a.mp4", *WORDS, *wrong)
        assert answer.code == 2 and answer.out.count('"score"') == 0 and wrong[0] in answer.err


def test_giving_up_is_a_failure_and_shows_no_password(vidlang):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://admin:hunter2@127.0.0.1:{unused.getsockname()[1]}"
    answer = vidlang("watch", address, *WORDS, "--give-up", "0.2")
    assert answer.code == 1 and "nothing for 0.2 s" in answer.err
    assert "hunter2" not in answer.out + answer.err and "***@127.0.0.1" in answer.err
    assert [line["status"] for line in lines(answer.out)][0::2] == ["started", "ended"]


@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGTERM, 0, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_signals_close_the_open_event(vidlang, film, monkeypatch, number, code, reason):
    from vidlang.cli import watch

    print_line = watch._print_line

    def print_and_signal(line: dict) -> None:
        print_line(line)
        if line["type"] == "event_start":
            os.kill(os.getpid(), number)

    monkeypatch.setattr(watch, "_print_line", print_and_signal)
    before = signal.getsignal(number)
    path = film(Path("a.mp4"), 300)
    answer = vidlang("watch", path, *WORDS, "--real-time", "--threshold", "0", "--delay", "0")
    told = lines(answer.out)
    assert answer.code == code and signal.getsignal(number) == before
    assert "same command" not in answer.err
    ends = [line for line in told if line["type"] == "event_end"]
    assert [end["reason"] for end in ends] == [reason] == [told[-1]["reason"]]


def test_a_fifo_written_in_real_time_is_told_of_at_once_and_its_reader_may_go(film, tmp_path):
    """A film written as it would come from a camera; ``watch | head`` ends quietly."""
    data = film(tmp_path / "a.ts", 75).read_bytes()
    fifo, goes_on = tmp_path / "fifo", threading.Event()
    os.mkfifo(fifo)

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), fifo.open("wb", buffering=0) as out:
            for part in range(30):
                out.write(data[len(data) * part // 30 : len(data) * (part + 1) // 30])
                if part == 24:
                    goes_on.wait(60)

    options = ["--scores", "--delay", "0", "--status", "0", "--ffmpeg", "analyzeduration=100000", "--timeout", "60"]
    options += ["--threshold", "1"]  # scores alone, no events between them
    command = [sys.executable, "-m", "vidlang", "watch", str(fifo), *WORDS, *options]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None and run.stderr is not None
    writer = threading.Thread(target=write)
    writer.start()
    told = [json.loads(run.stdout.readline()) for _ in range(5)]  # the writer waits, so these came while it goes on
    run.stdout.close()
    goes_on.set()
    said = run.stderr.read()
    run.stderr.close()
    writer.join()
    assert [line["type"] for line in told] == ["status", "status", "score", "score", "score"]
    assert run.wait() == 0 and "Error" not in said and "Traceback" not in said
