"""A pair called different stays so, in either order, whoever writes meanwhile."""

import json
import subprocess
import sys
from datetime import datetime, timezone

import pytest

from vidlang.core import BadInput
from vidlang.store.rejections import Rejections


@pytest.fixture
def path(tmp_path):
    return tmp_path / "workspace" / "rejected.jsonl"


def test_a_pair_is_remembered_in_either_order(path):
    rejected = Rejections(path)
    assert len(rejected) == 0 and not path.exists()
    assert rejected.add("b.mp4", "a.mp4") and not rejected.add("a.mp4", "b.mp4")
    for found in (rejected, Rejections(path)):
        assert found.contains("a.mp4", "b.mp4") and found.contains("b.mp4", "a.mp4") and len(found) == 1
        assert ("b.mp4", "a.mp4") in found and ("a.mp4", "c.mp4") not in found and "a.mp4" not in found
    assert len(path.read_text().splitlines()) == 1


def test_a_pair_is_forgotten_and_remembered_again(path):
    rejected = Rejections(path)
    rejected.add("a", "b")
    rejected.add("a", "c")
    assert rejected.remove("b", "a") and not rejected.remove("a", "b")
    assert [one.videos for one in Rejections(path).list()] == [("a", "c")]
    rejected.add("b", "a")
    assert [one.videos for one in Rejections(path).list()] == [("a", "b"), ("a", "c")]


def test_a_list_tells_when(path):
    before = datetime.now(timezone.utc).replace(microsecond=0)
    Rejections(path).add("a", "b")
    (found,) = Rejections(path).list()
    assert before <= found.date <= datetime.now(timezone.utc) and found.date.tzinfo is not None


def test_many_pairs_are_one_call_and_odd_ids_come_back(path):
    ids = ["日本.mp4", "bad\udcff", "two\nlines", "", "x" * 5000]
    pairs = [(one, other) for one in ids for other in ids if one != other]
    assert Rejections(path).add_many(pairs) == 10
    found = Rejections(path)
    assert len(found) == 10 and all(pair in found for pair in pairs)


def test_a_video_is_no_pair_with_itself(path):
    with pytest.raises(ValueError, match="two different videos, got 'a' twice"):
        Rejections(path).add_many([("b", "c"), ("a", "a")])
    assert not path.exists()
    assert not Rejections(path).contains("a", "a")


@pytest.mark.parametrize("kept", [1, 30, -2])
def test_a_torn_last_line_loses_nothing_else(path, caplog, kept):
    rejected = Rejections(path)
    rejected.add_many([("a", "b"), ("c", "d")])
    whole = path.read_bytes()
    rejected.add("e", "f")
    path.write_bytes(whole + path.read_bytes()[len(whole) :][:kept])
    found = Rejections(path)
    assert [one.videos for one in found.list()] == [("a", "b"), ("c", "d")]
    assert "rejected.jsonl, line 3 is skipped" in caplog.text
    found.add("g", "h")
    assert [one.videos for one in Rejections(path).list()] == [("a", "b"), ("c", "d"), ("g", "h")]


def test_a_line_written_by_the_description_alone_reads_and_an_unknown_schema_does_not(path):
    path.parent.mkdir()
    line = {"schema": "vidlang.rejected/1", "videos": ["b", "a"], "date": "2026-01-31T12:00:00+00:00", "rejected": True}
    path.write_text(json.dumps(line) + "\n\n")
    (found,) = Rejections(path).list()
    assert found.videos == ("a", "b") and found.date == datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
    path.write_text(json.dumps({"schema": "vidlang.rejected/2", "other": 1}))
    with pytest.raises(BadInput, match=r"line 1: schema 'vidlang\.rejected/2' where .* Update vidlang"):
        Rejections(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadInput, match="cannot be read"):
        Rejections(path)


def test_processes_write_at_the_same_time(path):
    script = (
        "import sys; from pathlib import Path; from vidlang.store.rejections import Rejections\n"
        "rejected = Rejections(Path(sys.argv[1]))\n"
        "for number in range(50): rejected.add(sys.argv[2], str(number))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in ("one", "two", "three")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    found = Rejections(path)
    assert len(found) == 150 and all((name, str(n)) in found for name in ("one", "two", "three") for n in range(50))
