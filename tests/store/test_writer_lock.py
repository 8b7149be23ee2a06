"""One holder at a time, a dead one holds nothing, and nobody loses a lock that is alive."""

import json
import os
import subprocess
import sys
import time

import pytest

from vidlang.core import BadInput
from vidlang.store.atomic import STALE_SECONDS
from vidlang.store.writer_lock import writer_lock


def edit(path, **changes):
    holder = path / "holder.json"
    holder.write_text(json.dumps({**json.loads(holder.read_text()), **changes}))


def test_a_held_lock_refuses_and_names_its_holder_and_a_released_one_is_gone(tmp_path):
    path = tmp_path / "writer.lock"
    with writer_lock(path, "The index x") as lock:
        lock.touch()
        lock.check()
        with (
            pytest.raises(BadInput, match=rf"The index x is being written by process {os.getpid()} on .+ since 2\d+"),
            writer_lock(path, "The index x"),
        ):
            raise AssertionError("two holders")
        assert path.exists()
    with writer_lock(path, "The index x"):
        pass
    assert os.listdir(tmp_path) == []


def test_an_error_in_the_body_releases(tmp_path):
    with pytest.raises(KeyboardInterrupt), writer_lock(tmp_path / "lock", "it"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


HOLDER = """
import sys, os
from pathlib import Path
from vidlang.store.writer_lock import writer_lock
with writer_lock(Path(sys.argv[1]), "it"):
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process ids are not asked there")
def test_a_dead_holders_lock_is_taken_over_at_once(tmp_path):
    subprocess.run([sys.executable, "-c", HOLDER, str(tmp_path / "lock")], check=True)
    assert (tmp_path / "lock").exists()
    with writer_lock(tmp_path / "lock", "it"):
        assert json.loads((tmp_path / "lock" / "holder.json").read_text())["process"] == os.getpid()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs the time when a process began")
def test_a_namesake_of_a_dead_holder_holds_nothing(tmp_path):
    with writer_lock(tmp_path / "lock", "it"):
        edit(tmp_path / "lock", started=1)  # an earlier process of the same id
        with writer_lock(tmp_path / "lock", "it"):
            pass


def test_a_lock_of_another_machine_lasts_an_hour_without_a_sign_of_life(tmp_path):
    path = tmp_path / "lock"
    with writer_lock(path, "it") as lock:
        edit(path, place="00000000", machine="elsewhere", process=7)
        with pytest.raises(BadInput, match="process 7 on elsewhere"), writer_lock(path, "it"):
            pass
        old = time.time() - STALE_SECONDS - 1
        os.utime(path / "holder.json", (old, old))
        with writer_lock(path, "it"):
            with pytest.raises(BadInput, match=r"took it over while this one slept\. Run the command again"):
                lock.check()
            lock.release()  # not its own any more
            assert path.exists()
    assert os.listdir(tmp_path) == []


def test_a_lock_that_does_not_read_is_held_until_it_is_deleted(tmp_path):
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock" / "holder.json").write_text("{")
    match = r"process \? on \? since \?.*if it is gone, delete .*lock"
    with pytest.raises(BadInput, match=match), writer_lock(tmp_path / "lock", "it"):
        pass


COUNTER = """
import sys, time
from pathlib import Path
from vidlang.core import BadInput
from vidlang.store.writer_lock import writer_lock
lock, counter = Path(sys.argv[1]), Path(sys.argv[2])
done = 0
while done < 30:
    try:
        with writer_lock(lock, "it"):
            number = int(counter.read_text())
            time.sleep(0.0005)
            counter.write_text(str(number + 1))
            done += 1
    except BadInput:
        time.sleep(0.0005)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process ids are not asked there")
def test_processes_that_compete_for_a_dead_holders_lock_never_share_it(tmp_path):
    lock, counter = tmp_path / "lock", tmp_path / "counter"
    counter.write_text("0")
    subprocess.run([sys.executable, "-c", HOLDER, str(lock)], check=True)
    writers = [subprocess.Popen([sys.executable, "-c", COUNTER, str(lock), str(counter)]) for _ in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    assert counter.read_text() == "90"
