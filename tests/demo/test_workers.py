"""Jobs in several processes: each is done once, and whatever ends them leaves nothing behind."""

import multiprocessing
import os
import signal
import time
from functools import partial

import pytest

from vidlang.core import BadInput
from vidlang.demo.scenes import plan_camera, plan_video, render_files, write_planned
from vidlang.demo.workers import share_out

SMALL = {"size": (24, 32), "frame_rate": 8}


def note(folder, name):
    """Says who did the job; others are still starting, so wait for them a little."""
    (folder / name).write_text(str(os.getpid()))
    time.sleep(0.2)


def fail(folder):
    raise BadInput(f"{folder} is full.")


def die(folder):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("processes", [1, 2, 9])
def test_every_job_is_done_once_and_told(tmp_path, processes):
    told = []
    share_out([partial(note, tmp_path, str(n)) for n in range(5)], processes, lambda: told.append(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3", "4"]
    here = str(os.getpid())
    assert all((path.read_text() == here) == (processes == 1) for path in tmp_path.iterdir())
    assert len(told) == 5
    assert not multiprocessing.active_children()


def test_two_processes_write_the_bytes_of_one(tmp_path):
    plans = {f"{kind}.mp4": plan_video(kind, seed=3, seconds=3, **SMALL) for kind in ("normal", "fire", "falling")}
    for folder, processes in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        render_files({tmp_path / folder / name: plan for name, plan in plans.items()}, processes=processes)
    for name in plans:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(("job", "message"), [(fail, "is full"), (die, r"exit code -9.*what is finished is kept")])
def test_an_error_ends_them_all(tmp_path, job, message):
    long_film = plan_camera(seconds=36_000, **SMALL)
    with pytest.raises(BadInput, match=message):
        share_out([partial(write_planned, tmp_path / "film.mp4", long_film), partial(job, tmp_path)], 2, lambda: None)
    assert not multiprocessing.active_children()
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_them_all_and_keeps_what_is_finished(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    plans = {
        tmp_path / "film.mp4": plan_camera(seconds=36_000, **SMALL),
        tmp_path / "short.mp4": plan_video("fire", seed=3, seconds=3, **SMALL),
    }
    jobs = [partial(write_planned, path, plan) for path, plan in plans.items()]
    with pytest.raises(KeyboardInterrupt):
        share_out(jobs, 2, interrupt)
    assert not multiprocessing.active_children()
    assert [path.name for path in tmp_path.iterdir()] == ["short.mp4"]
