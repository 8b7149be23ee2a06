"""Shards come together: copied once, checked on the way, never written over, whatever kills the merge."""

import os
import signal
import subprocess
import sys
import time

import h5py
import pytest
from test_feature_cache import HALF, IDENTITY, assert_same, some_features

from vidlang.core import BadInput, FileIdentity
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.merge import merge


def filled(root, ids, seed=0, **facts):
    cache = FeatureCache(root)
    for video_id in ids:
        cache.put(some_features(video_id, seed=seed), identity=IDENTITY, made_with={"file": "/a/b", **facts})
    return cache


def statuses(outcomes):
    return [(outcome.video_id, outcome.status) for outcome in outcomes]


def content(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def target(tmp_path):
    return FeatureCache(tmp_path / "all")


def test_shards_become_one_cache_and_stay_as_they_are(tmp_path, target):
    one, two = filled(tmp_path / "1", ["a.mp4", "x/b.mp4"]), filled(tmp_path / "2", ["c.mp4"])
    two.put(some_features("a.mp4", HALF), identity=IDENTITY)
    before = content(tmp_path / "1"), content(tmp_path / "2")
    found = statuses(merge([one, two], target))
    assert sorted(found) == [("a.mp4", "copied"), ("a.mp4", "copied"), ("c.mp4", "copied"), ("x/b.mp4", "copied")]
    assert (content(tmp_path / "1"), content(tmp_path / "2")) == before
    assert {str(path) for path in content(tmp_path / "all")} == {str(path) for half in before for path in half}
    assert target.verify() == []
    for source in (one, two):
        for key in source:
            assert_same(target.get(key), source.get(key))
            assert target.entry(key).made_with == source.entry(key).made_with


def test_a_second_merge_copies_nothing(tmp_path, target):
    source = filled(tmp_path / "1", ["a.mp4", "b.mp4"])
    list(merge([source], target))
    before = {path: path.stat().st_mtime_ns for path in target.root.rglob("*.h5")}
    assert statuses(merge([source], target)) == [("a.mp4", "equal"), ("b.mp4", "equal")]
    assert {path: path.stat().st_mtime_ns for path in target.root.rglob("*.h5")} == before


def test_where_the_video_lay_and_who_made_it_do_not_make_entries_differ(tmp_path, target):
    list(merge([filled(tmp_path / "1", ["a.mp4"], vidlang="1")], target))
    other = filled(tmp_path / "2", ["a.mp4"], vidlang="2", file="/elsewhere/a.mp4")
    assert statuses(merge([other], target)) == [("a.mp4", "equal")]


def test_other_features_are_refused_by_name_and_the_rest_goes_on(tmp_path, target):
    mine = filled(tmp_path / "1", ["a.mp4"])
    list(merge([mine], target))
    other = filled(tmp_path / "2", ["a.mp4", "b.mp4"], seed=1)
    outcomes = list(merge([other], target))
    assert statuses(outcomes) == [("a.mp4", "differs"), ("b.mp4", "copied")]
    assert outcomes[0].detail.startswith("a.mp4 (") and str(other.root) in outcomes[0].detail
    for key in mine:
        assert_same(target.get(key), mine.get(key))


def test_features_of_another_file_of_the_same_name_differ(tmp_path, target):
    list(merge([filled(tmp_path / "1", ["a.mp4"])], target))
    other = FeatureCache(tmp_path / "2")
    other.put(some_features("a.mp4"), identity=FileIdentity(1000, "another", 5.0))
    assert statuses(merge([other], target)) == [("a.mp4", "differs")]


def test_a_damaged_entry_is_named_and_not_copied(tmp_path, target):
    source = filled(tmp_path / "1", ["a.mp4", "b.mp4"])
    path = next(iter(source.entries())).path
    with h5py.File(path, "r+") as file:
        file["values"][0, 0] += 1
    first, second = merge([source], target)
    assert (first.status, second.status) == ("damaged", "copied")
    assert "checksum" in first.detail and "a.mp4.h5" in first.video_id
    assert [key.video_id for key in target] == ["b.mp4"]


def test_a_dry_run_says_the_same_and_writes_nothing(tmp_path, target):
    one, two = filled(tmp_path / "1", ["a.mp4", "b.mp4"]), filled(tmp_path / "2", ["b.mp4"])
    three = filled(tmp_path / "3", ["a.mp4"], seed=1)
    planned = statuses(merge([one, two, three], target, dry_run=True))
    assert not target.root.exists()
    assert planned == statuses(merge([one, two, three], target))
    assert [status for _, status in planned] == ["copied", "copied", "equal", "differs"]


def test_a_pack_is_a_source_and_no_target(tmp_path, target):
    source = filled(tmp_path / "1", ["a.mp4"])
    source.pack(tmp_path / "a.h5")
    packed = FeatureCache(tmp_path / "a.h5")
    assert statuses(merge([packed], target)) == [("a.mp4", "copied")]
    assert "file" not in next(iter(target.entries())).made_with
    with pytest.raises(BadInput, match="is a packed file and cannot be written"):
        list(merge([source], packed))


def test_what_cannot_be_merged_is_refused(tmp_path, target):
    with pytest.raises(BadInput, match="holds no features"):
        list(merge([FeatureCache(tmp_path / "nothing")], target))
    source = filled(tmp_path / "1", ["a.mp4"])
    with pytest.raises(BadInput, match="both source and target"):
        list(merge([source], FeatureCache(tmp_path / "x" / ".." / "1")))


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_merge_loses_nothing_and_the_next_one_finishes(tmp_path, target):
    source = filled(tmp_path / "1", [f"{number:02}.mp4" for number in range(40)])
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom vidlang.store.feature_cache import FeatureCache\n"
        "from vidlang.store.merge import merge\n"
        "for _ in merge([FeatureCache(Path(sys.argv[1]))], FeatureCache(Path(sys.argv[2]))):\n    time.sleep(0.02)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path / "1", tmp_path / "all"])
    while len(list(target.root.rglob("*.mp4.h5"))) < 3:
        time.sleep(0.005)
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    num_there = len(list(target))
    assert 3 <= num_there < 40
    assert [problem for _, problem in target.verify(sweep=True) if "killed writer" not in problem] == []
    found = statuses(merge([source], target))
    assert [status for _, status in found].count("equal") == num_there
    assert len(list(target)) == 40 and target.verify() == []
