"""``cache`` and the pages of ``retrieve`` as users type them: files, JSON, and one line where something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import FeatureKey, FeatureRecipe, Features, FileIdentity, Sampling, VideoInfo
from vidlang.encoders.registry import find_encoder
from vidlang.store.feature_cache import FeatureCache

NAMES = ("fight/a.mp4", "fight/b.mp4", "calm/c.mp4", "calm/d.mp4")


@pytest.fixture
def place(tmp_path) -> Path:
    """A workspace in the current folder with features of four videos that nobody has."""
    spec = find_encoder("mini")
    assert spec is not None
    recipe = FeatureRecipe(spec.name, spec.revision, Sampling())
    cache = FeatureCache(tmp_path / ".vidlang" / "cache")
    for number, name in enumerate(NAMES):
        rows = np.random.default_rng(number // 2).normal(size=(10, spec.dim)).astype(np.float32)
        edges = np.arange(11, dtype=np.int64)
        frames = np.stack([edges[:-1], edges[1:]], axis=1)
        features = Features(
            FeatureKey(name, recipe), VideoInfo(name, 10, 10.0, 1.0, (64, 96)), rows, frames, frames.astype(np.float64)
        )
        cache.put(features, identity=FileIdentity(1, name, 0.0))
    (tmp_path / ".vidlang" / "vidlang.toml").write_text('encoder = "mini"\n')
    return tmp_path


def one_line(answer, code: int, *words: str) -> None:
    lines = answer.err.strip().splitlines()
    assert answer.code == code and answer.out == "" and len(lines) == 1, answer
    assert all(word in lines[0] for word in words), lines[0]


def test_a_map_is_written_where_one_stands(vidlang, place):
    answer = vidlang("cache", "map")
    assert answer.code == 0 and (place / "map.html").is_file() and "Written: map.html" in answer.out
    assert "4 videos by PCA, 2 labels" in answer.out


def test_a_map_answers_as_json(vidlang, place):
    said = json.loads(vidlang("cache", "map", "--out", "m.csv", "--json", "--quiet").out)
    assert said["schema"] == "vidlang.cache.map/1" and said["files"] == ["m.csv"]
    assert {point["label"] for point in said["points"]} == {"fight", "calm"}


def test_wrong_maps_are_one_line(vidlang, place):
    one_line(vidlang("cache", "map", "fight/*"), 2, "at least 3 points")
    one_line(vidlang("cache", "map", "--out", "m.gif"), 2, ".html")
    one_line(vidlang("cache", "attention", NAMES[0]), 2, "vidlang train tca")


def test_a_matrix_of_copies(vidlang, place):
    said = json.loads(vidlang("cache", "matrix", *NAMES[:2], "--out", "m.svg", "--json").out)
    assert said["schema"] == "vidlang.cache.matrix/1" and (place / "m.svg").is_file()
    assert said["segments"] == [[[0.0, 10.0], [0.0, 10.0]]]
    assert np.diag(said["matrix"]) == pytest.approx(1, abs=1e-3)
    one_line(vidlang("cache", "matrix", NAMES[0], "nobody.mp4"), 1, "nobody.mp4", "vidlang extract")


def test_retrieval_writes_its_page(vidlang, place):
    answer = vidlang("retrieve", NAMES[0], "--cached", "--report", "r.html")
    assert answer.code == 0 and "Page in r.html" in answer.out
    assert "None of the videos is at hand" in (place / "r.html").read_text(encoding="utf-8")
    one_line(vidlang("retrieve", NAMES[0], "--cached", "--embed"), 2, "--report FILE.html")
    one_line(vidlang("retrieve", NAMES[0], "--cached", "--report", "r.pdf"), 2, ".html")


def test_groups_write_their_page(vidlang, place):
    answer = vidlang("retrieve", "--all-pairs", "--threshold", "0.99", "--report", "g.html")
    assert answer.code == 0 and "Page in g.html" in answer.out
    assert "2 groups of near-duplicates" in (place / "g.html").read_text(encoding="utf-8")


def test_the_cache_answers_as_json(vidlang, place):
    listed = json.loads(vidlang("cache", "list", "*", "--json").out)
    assert listed["schema"] == "vidlang.cache.entries/1" and len(listed["videos"]) == 4
    assert vidlang("cache", "list", "fight/*", "--quiet").out.split() == ["fight/a.mp4", "fight/b.mp4"]
    verified = json.loads(vidlang("cache", "verify", "--json").out)
    assert verified == {"schema": "vidlang.cache.verify/1", "good": 4, "damaged": [], "leftovers": []}
    exported = json.loads(vidlang("cache", "export", "npy", "--json").out)
    assert exported == {"schema": "vidlang.cache.export/1", "files": 4, "folder": "npy"}
    packed = json.loads(vidlang("cache", "pack", "all.h5", "--json").out)
    assert packed == {"schema": "vidlang.cache.pack/1", "entries": 4, "file": "all.h5"}


def test_deleting_says_what_it_would_do_and_what_it_did(vidlang, place):
    planned = json.loads(vidlang("cache", "rm", "fight/*", "--dry-run", "--json").out)
    assert planned["schema"] == "vidlang.plan/1" and [item["name"] for item in planned["items"]] == list(NAMES[:2])
    assert len(vidlang("cache", "list", "*", "--quiet").out.split()) == 4
    deleted = json.loads(vidlang("cache", "rm", "fight/*", "--yes", "--json").out)
    assert deleted == {"schema": "vidlang.cache.rm/1", "videos": list(NAMES[:2])}
    assert vidlang("cache", "list", "*", "--quiet").out.split() == ["calm/c.mp4", "calm/d.mp4"]


def test_quiet_commands_say_nothing(vidlang, place):
    for line in (
        ["verify"],
        ["pack", "all.h5"],
        ["export", "npy"],
        ["rm", "calm/*", "--yes"],
        ["map", "--by", "snippet"],
    ):
        answer = vidlang("cache", *line, "--quiet")
        assert (answer.code, answer.out, answer.err) == (0, "", ""), line
