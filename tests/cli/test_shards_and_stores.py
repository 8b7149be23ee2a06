"""Many machines, one cache: shares by --shard, merges, caches behind URLs, and what goes with which engine."""

from __future__ import annotations

import json
import sys
import uuid

import pytest


@pytest.fixture
def films(tmp_path, film):
    for number in range(4):
        film(tmp_path / "videos" / f"{number}.mp4", 20, shade=40 + 20 * number)
    return tmp_path / "videos"


def test_shards_of_two_machines_merge_into_all(vidlang, films):
    seen = []
    for share in ("1/2", "2/2"):
        place = ("--workspace", f"job{share[0]}", "--encoder", "mini", "--shard", share, "--json")
        planned = json.loads(vidlang("extract", "videos", *place, "--dry-run").out)
        answer = vidlang("extract", "videos", *place)
        assert answer.code == 0
        ids = [row["video"] for row in json.loads(answer.out)["videos"]]
        assert [item["name"] for item in planned["items"]] == ids
        seen += ids
    assert sorted(seen) == [f"{number}.mp4" for number in range(4)]
    jobs = [job for job in ("job1", "job2") if (films.parent / job / "cache").exists()]
    dry = vidlang("cache", "merge", *jobs, "--workspace", "all", "--dry-run")
    assert "4 entries would be copied" in dry.out and not (films.parent / "all").exists()
    assert "4 entries copied" in vidlang("cache", "merge", *jobs, "--workspace", "all").out
    again = json.loads(vidlang("cache", "merge", *jobs, "--workspace", "all", "--json").out)
    assert (again["copied"], again["equal"], again["refused"]) == (0, 4, [])
    assert vidlang("cache", "list", "*", "--workspace", "all", "--quiet").out.split() == sorted(seen)
    assert (
        "4 entries packed into packs, in 2 shares"
        in vidlang("cache", "pack", "packs", "--shards", "2", "--workspace", "all").out
    )
    assert vidlang("cache", "list", "*", "--cache", "packs", "--quiet").out.split() == sorted(seen)


def test_a_differing_entry_is_refused_by_name_and_exit_code(vidlang, films):
    for job in ("one", "two"):
        answer = vidlang("extract", "videos/0.mp4", "--encoder", "mini", "--workspace", job, "--batch-size", "1")
        assert answer.code == 0
        (films / "0.mp4").write_bytes((films / "1.mp4").read_bytes())
    vidlang("cache", "merge", "one", "--into", "all")
    answer = vidlang("cache", "merge", "two", "--into", "all")
    assert answer.code == 1 and "refused: 0.mp4" in answer.err and "1 refused" in answer.out


def test_a_cache_behind_a_url(vidlang, films):
    pytest.importorskip("fsspec", reason="fsspec is not installed (extra cloud)")
    far = ("--cache", f"memory://{uuid.uuid4().hex}/features")
    assert vidlang("extract", "videos", "--encoder", "mini", *far).code == 0
    assert "0 extracted, 4 already there" in vidlang("extract", "videos", "--encoder", "mini", *far).out
    assert vidlang("cache", "list", "*", "--quiet", *far).out.split() == [f"{number}.mp4" for number in range(4)]
    assert "4 entries are whole" in vidlang("cache", "verify", *far).out
    assert "4 entries copied" in vidlang("cache", "merge", far[1]).out
    assert not (films.parent / ".vidlang" / "cache" / "features").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shard", "0/4"], "A shard is written I/N with I from 1 to N"),
        (["--shard", "5/4"], "A shard is written I/N with I from 1 to N"),
        (["--decoders", "2"], "--decoders goes with --engine ray"),
        (["--cache", "nosuch://bucket"], "nosuch://bucket is no kind of store"),
    ],
)
def test_what_does_not_go_together_is_one_line(vidlang, films, arguments, said):
    answer = vidlang("extract", "videos", "--encoder", "mini", *arguments)
    assert answer.code != 0 and said in answer.err and answer.err.count("\n") <= 3


def test_without_ray_the_remedy_is_said(vidlang, films, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    answer = vidlang("extract", "videos", "--encoder", "mini", "--engine", "ray")
    assert answer.code != 0 and 'pip install "vidlang[ray]"' in answer.err
