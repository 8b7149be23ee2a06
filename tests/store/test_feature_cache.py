"""Features in, features out, whatever the name, whoever is killed meanwhile."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from vidlang.core import (
    BadInput,
    DamagedEntry,
    FeatureKey,
    FeatureRecipe,
    Features,
    FileIdentity,
    MissingFeatures,
    Sampling,
    VideoInfo,
)
from vidlang.store.atomic import STALE_SECONDS, temporary_name
from vidlang.store.feature_cache import FeatureCache

RECIPE = FeatureRecipe("clip-vit-b16", "abc123")
HALF = FeatureRecipe("openai/clip:x", "abc123", dtype="float16")
TEN = FeatureRecipe("clip-vit-b16", "abc123", Sampling(crops="ten"))
IDENTITY = FileIdentity(1000, "d1", 5.0)


def some_features(video_id="Abuse/Abuse001.mp4", recipe=RECIPE, num_rows=5, seed=0):
    rng = np.random.default_rng(seed)
    shape = (10, num_rows, 8) if recipe.sampling.crops == "ten" else (num_rows, 8)
    edges = np.arange(num_rows + 1)
    return Features(
        FeatureKey(video_id, recipe),
        VideoInfo(video_id, num_rows * 16, num_rows * 0.64, 25.0, (240, 320)),
        rng.standard_normal(shape).astype(recipe.dtype),
        np.stack([edges[:-1] * 16, edges[1:] * 16], 1).astype(np.int64),
        np.stack([edges[:-1], edges[1:]], 1) * 0.64,
    )


def assert_same(one, other):
    assert one.key == other.key and one.video == other.video
    for name in ("values", "frames", "seconds"):
        a, b = getattr(one, name), getattr(other, name)
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


@pytest.mark.parametrize("recipe", [RECIPE, HALF, TEN], ids=["float32", "float16", "ten crops"])
def test_what_goes_in_comes_out(cache, recipe):
    features = some_features(recipe=recipe)
    assert features.key not in cache
    cache.put(features, identity=IDENTITY, made_with={"decoder": "pyav"}, warnings=["3 packets skipped"])
    assert features.key in cache
    assert_same(cache.get(features.key), features)
    entry = cache.entry(features.key)
    assert entry.shape == features.values.shape and entry.dtype == recipe.dtype and entry.num_snippets == 5
    assert (entry.identity, entry.made_with, entry.warnings) == (IDENTITY, {"decoder": "pyav"}, ("3 packets skipped",))
    assert entry.bytes == entry.path.stat().st_size and cache.verify() == []


ODD_IDS = [
    "日本/映像.mp4", "a#b.mp4", "100%.mp4", "CON", "con.mp4", "dot.", "x" * 300, "<img src=x onerror=alert(1)>.mp4",
    "Case.mp4", "case.mp4", "../../up.mp4", "a//b.mp4", "two words.mp4", "f.h5", "f.h5/g.mp4", "f", "bad\udcff.mp4",
    "Abuse/Abuse001=x.mp4", "ten\nlines.mp4", "recipe.json",
]  # fmt: skip


def test_any_id_is_kept_apart_and_inside_the_root(cache, tmp_path):
    for seed, video_id in enumerate(ODD_IDS):
        path = cache.put(some_features(video_id, seed=seed), identity=None)
        assert path.resolve().is_relative_to(cache.root.resolve())
    for seed, video_id in enumerate(ODD_IDS):
        assert_same(cache.get(FeatureKey(video_id, RECIPE)), some_features(video_id, seed=seed))
    assert {key.video_id for key in cache} == set(ODD_IDS)
    assert cache.pack(tmp_path / "all.h5") == len(ODD_IDS)
    packed = FeatureCache(tmp_path / "all.h5")
    assert {key.video_id for key in packed} == set(ODD_IDS) and packed.verify() == []
    assert os.listdir(tmp_path) in (["cache", "all.h5"], ["all.h5", "cache"])


def test_ids_that_meet_on_a_file_system_without_case_are_refused(cache):
    upper, lower = some_features("Case.mp4"), some_features("case.mp4")
    path = cache.put(upper, identity=None)
    os.rename(path, path.with_name("case.mp4.h5"))  # where macOS and Windows look for both
    with pytest.raises(BadInput, match=r"Case\.mp4 and case\.mp4 are one file name"):
        cache.put(lower, identity=None)
    assert lower.key not in cache
    with pytest.raises(MissingFeatures):
        cache.get(lower.key)
    with pytest.raises(MissingFeatures):
        cache.remove(lower.key)


def test_another_recipe_is_another_entry(cache):
    cache.put(some_features(), identity=None)
    other = FeatureRecipe("clip-vit-b16", "another revision")
    assert FeatureKey("Abuse/Abuse001.mp4", other) not in cache
    cache.put(some_features(recipe=other, seed=1), identity=None)
    assert len(list(cache.keys())) == 2 and len(list(cache.keys(other))) == 1
    assert {recipe.revision for recipe in cache.recipes()} == {"abc123", "another revision"}


def test_missing_features_say_what_to_run(cache):
    with pytest.raises(MissingFeatures, match=r"two words\.mp4 has no .* vidlang extract 'two words\.mp4' --encoder"):
        cache.get(FeatureKey("two words.mp4", RECIPE))
    with pytest.raises(MissingFeatures, match="Run: vidlang cache import"):
        cache.get(FeatureKey("v", FeatureRecipe("clip-vit-b16", "imported:unknown")))
    assert list(cache.entries()) == [] and cache.recipes() == [] and cache.verify() == []


def test_a_changed_file_is_a_miss_and_a_touched_one_is_not(cache):
    features = some_features()
    assert not cache.is_fresh(features.key, IDENTITY)
    cache.put(features, identity=IDENTITY)
    assert cache.is_fresh(features.key, FileIdentity(1000, "d1", 99.0))
    assert not cache.is_fresh(features.key, FileIdentity(1001, "d1", 5.0))
    assert not cache.is_fresh(features.key, FileIdentity(1000, "d2", 5.0))
    cache.put(features, identity=None)
    assert not cache.is_fresh(features.key, IDENTITY)


def test_every_edited_byte_that_matters_is_found(cache):
    features = some_features(num_rows=3)
    path = cache.put(features, identity=IDENTITY, warnings=["late"])
    whole = path.read_bytes()
    random.seed(0)
    found = 0
    for position in random.sample(range(len(whole)), 300):
        edited = bytearray(whole)
        edited[position] ^= 0x20
        path.write_bytes(edited)
        try:
            assert_same(cache.get(features.key), features)  # a byte that carries nothing
            assert cache.entry(features.key).warnings == ("late",)
        except DamagedEntry as damage:
            found += 1
            assert str(path) in str(damage) and "extract" in str(damage)
            assert cache.verify()
    assert found > 20


@pytest.mark.parametrize("name", ["values", "frames", "seconds"])
def test_an_edited_number_is_found(cache, name):
    features = some_features()
    path = cache.put(features, identity=None)
    with h5py.File(path, "r+") as file:
        file[name][-1, -1] += 1
    with pytest.raises(DamagedEntry, match=r"Abuse001\.mp4\.h5 is damaged .*checksum.*extract the video again"):
        cache.get(features.key)
    assert [path for path, _ in cache.verify()] == [path]


@pytest.mark.parametrize("name", ["video", "identity", "warnings"])
def test_an_edited_attribute_is_found(cache, name):
    features = some_features()
    path = cache.put(features, identity=IDENTITY)
    with h5py.File(path, "r+") as file:
        file.attrs[name] = file.attrs[name] + " "
    with pytest.raises(DamagedEntry, match="checksum"):
        cache.get(features.key)


def test_torn_foreign_and_misplaced_files_are_skipped_listed_and_healed(cache, caplog):
    good, torn = some_features("good.mp4"), some_features("torn.mp4")
    path = cache.put(good, identity=IDENTITY)
    torn_path = cache.put(torn, identity=IDENTITY)
    torn_path.write_bytes(torn_path.read_bytes()[:700])
    (path.parent / "empty.h5").touch()
    (path.parent / "notes.txt").write_text("mine")
    with h5py.File(path.parent / "foreign.h5", "w") as file:
        file["values"] = np.zeros(3)
    (path.parent / "moved.mp4.h5").write_bytes(path.read_bytes())
    assert [key.video_id for key in cache] == ["good.mp4"]
    assert "is skipped" in caplog.text
    problems = {path.name: problem for path, problem in cache.verify()}
    assert set(problems) == {"torn.mp4.h5", "empty.h5", "foreign.h5", "moved.mp4.h5"}
    assert "holds the features of good.mp4" in problems["moved.mp4.h5"]
    assert torn.key not in cache and not cache.is_fresh(torn.key, IDENTITY)
    with pytest.raises(DamagedEntry, match=r"holds the features of good\.mp4"):
        cache.get(FeatureKey("moved.mp4", RECIPE))
    cache.put(torn, identity=IDENTITY)
    assert cache.is_fresh(torn.key, IDENTITY)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator reads everything")
def test_an_unreadable_entry_is_listed(cache):
    path = cache.put(some_features(), identity=None)
    path.chmod(0)
    assert [found for found, _ in cache.verify()] == [path]


def test_numbers_from_another_file_are_refused(cache, tmp_path):
    features = some_features()
    path = cache.put(features, identity=None)
    (tmp_path / "secret").write_bytes(features.values.tobytes())
    with h5py.File(path, "r+") as file:
        del file["values"]
        external = [(str(tmp_path / "secret"), 0, features.values.nbytes)]
        file.create_dataset("values", features.values.shape, "<f4", external=external)
    with pytest.raises(DamagedEntry, match="lies in another file"):
        cache.get(features.key)


def test_an_unknown_schema_is_refused(cache):
    features = some_features()
    path = cache.put(features, identity=None)
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = 2
    with pytest.raises(DamagedEntry, match="schema 2, this vidlang reads schema 1"):
        cache.get(features.key)


def test_a_listing_follows_the_disk(cache):
    features = some_features()
    path = cache.put(features, identity=None)
    assert [entry.num_snippets for entry in cache.entries()] == [5]
    FeatureCache(cache.root).put(some_features(num_rows=7), identity=None)  # somebody else
    assert [entry.num_snippets for entry in cache.entries()] == [7]
    path.write_bytes(path.read_bytes()[:100])
    assert list(cache) == []
    path.unlink()
    assert list(cache) == [] and cache.verify() == []


def test_an_entry_written_by_the_description_alone_reads(cache):
    recipe = {
        "encoder": "e", "revision": "r", "sampling": {"stride": 16, "pick": "middle", "fps": None, "crops": "center"},
        "preprocess": "exact", "precision": "float32", "dtype": "float32", "reuse_static": None,
    }  # fmt: skip
    video = {"id": "a/b.mp4", "num_frames": 16, "duration": 1.0, "frame_rate": 16.0, "size": [4, 6]}
    texts = {"recipe": recipe, "video": video, "identity": None, "made_with": {}, "warnings": []}
    texts = {name: json.dumps(value) for name, value in texts.items()}
    values = np.array([[1, 2, 3]], "<f4")
    frames, seconds = np.array([[0, 16]], "<i8"), np.array([[0, 1]], "<f8")
    digest = hashlib.blake2b(digest_size=20)
    digest.update(b"values|<f4|1,3;" + values.tobytes() + b"frames|<i8|1,2;" + frames.tobytes())
    digest.update(b"seconds|<f8|1,2;" + seconds.tobytes() + b"schema|1|1")
    for name, text in texts.items():
        digest.update(f"{name}|{len(text)}|{text}".encode())
    canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    folder = cache.root / "e" / f"stride16-middle-{hashlib.sha256(canonical.encode()).hexdigest()[:10]}" / "a"
    folder.mkdir(parents=True)
    with h5py.File(folder / "b.mp4.h5", "w") as file:
        file["values"], file["frames"], file["seconds"] = values, frames, seconds
        file.attrs.update({**texts, "schema": 1, "checksum": digest.hexdigest()})
    assert cache.verify() == []
    assert cache.get(next(cache.keys())).values.tolist() == [[1, 2, 3]]


def test_remove_takes_one_entry(cache):
    cache.put(some_features("a.mp4"), identity=None)
    cache.put(some_features("b.mp4"), identity=None)
    cache.remove(FeatureKey("a.mp4", RECIPE))
    assert [key.video_id for key in cache] == ["b.mp4"]
    with pytest.raises(MissingFeatures):
        cache.remove(FeatureKey("a.mp4", RECIPE))


def test_callers_mistakes_are_refused(cache):
    features = some_features(recipe=HALF)
    with pytest.raises(ValueError, match="the recipe stores float32, got values of float16"):
        cache.put(Features(FeatureKey("v", RECIPE), VideoInfo("v", 1, 1, 1, (1, 1)), features.values,
                           features.frames, features.seconds), identity=None)  # fmt: skip
    with pytest.raises(ValueError, match="the key names 'other'"):
        cache.put(Features(FeatureKey("other", HALF), features.video, features.values, features.frames,
                           features.seconds), identity=None)  # fmt: skip


def test_many_long_warnings_fit(cache):
    features = some_features()
    warnings = ["a damaged packet near 12.3 s"] * 10_000
    cache.put(features, identity=None, warnings=warnings)
    assert cache.entry(features.key).warnings == tuple(warnings) and cache.verify() == []


def test_packed_equals_unpacked(cache, tmp_path):
    names = [f"{folder}/{number}.mp4" for folder in "ab" for number in range(3)]
    written = [some_features(name, recipe, seed=n) for n, name in enumerate(names) for recipe in (RECIPE, HALF)]
    for features in written:
        cache.put(features, identity=IDENTITY, made_with={"decoder": "x"}, warnings=["w"])
    assert cache.pack(tmp_path / "half.h5", HALF) == 6
    assert cache.pack(tmp_path / "all.h5") == 12
    packed = FeatureCache(tmp_path / "all.h5")
    assert packed.verify() == [] and packed.recipes() == cache.recipes()
    assert list(packed.keys()) == list(cache.keys()) and list(packed.keys(HALF)) == list(cache.keys(HALF))
    for features in written:
        assert features.key in packed and packed.is_fresh(features.key, IDENTITY)
        assert_same(packed.get(features.key), cache.get(features.key))
        one, other = packed.entry(features.key), cache.entry(features.key)
        assert (one.shape, one.identity, one.made_with, one.warnings) == (
            other.shape, other.identity, other.made_with, other.warnings)  # fmt: skip
    for one, other in zip(packed.get_many(cache.keys()), cache.get_many(cache.keys()), strict=True):
        assert_same(one, other)
    with pytest.raises(MissingFeatures):
        packed.get(FeatureKey("none.mp4", RECIPE))


def test_a_pack_is_read_only_and_damage_in_it_is_found(cache, tmp_path):
    features = some_features()
    cache.put(features, identity=None)
    cache.pack(tmp_path / "all.h5")
    packed = FeatureCache(tmp_path / "all.h5")
    with pytest.raises(BadInput, match="packed file"):
        packed.put(features, identity=None)
    with pytest.raises(BadInput, match="packed file"):
        packed.remove(features.key)
    data = (tmp_path / "all.h5").read_bytes()
    (tmp_path / "all.h5").write_bytes(data.replace(features.values.tobytes(), (features.values + 1).tobytes()))
    assert len(packed.verify()) == 1
    with pytest.raises(DamagedEntry, match="checksum"):
        packed.get(features.key)


def test_a_pack_of_nothing_and_other_files_are_refused(cache, tmp_path):
    with pytest.raises(BadInput, match="no features to pack"):
        cache.pack(tmp_path / "all.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(BadInput, match="does not open as an HDF5 file"):
        FeatureCache(tmp_path / "text.h5")
    with pytest.raises(BadInput, match="is not a packed feature file"):
        FeatureCache(cache.put(some_features(), identity=None))


def test_verify_lists_and_sweeps_what_killed_writers_left(cache):
    path = cache.put(some_features(), identity=None)
    old, young = path.with_name(temporary_name(".h5")), path.with_name(temporary_name(".h5"))
    for temporary in (old, young):
        temporary.write_bytes(b"half")
    os.utime(old, (1, time.time() - STALE_SECONDS - 1))
    assert [found for found, _ in cache.verify()] == [old] and old.exists()
    assert [found for found, _ in cache.verify(sweep=True)] == [old]
    assert young.exists() and not old.exists() and path.exists()


def test_stamps_name_every_entry_without_opening_one(cache, tmp_path, monkeypatch):
    for number, video_id in enumerate(ODD_IDS):
        cache.put(some_features(video_id, seed=number), identity=None)
    cache.put(some_features("other.mp4", HALF), identity=None)
    paths = [entry.path for entry in cache.entries(RECIPE)]
    folder = paths[0].parents[len(paths[0].relative_to(cache.root).parts) - 3]
    (folder / temporary_name(".h5")).touch()
    (folder / "notes.txt").touch()
    monkeypatch.setattr(h5py, "File", None)
    stamps = cache.stamps(RECIPE)
    assert list(stamps) == sorted(stamps) and set(stamps) == {path.relative_to(folder).as_posix() for path in paths}
    for relative, stamp in stamps.items():
        facts = (folder / relative).stat()
        assert stamp == f"{facts.st_size}-{facts.st_mtime_ns}"
    assert FeatureCache(tmp_path / "none").stamps(RECIPE) == {}


def test_a_stamp_changes_with_its_entry_alone(cache):
    cache.put(some_features("a.mp4"), identity=None)
    path = cache.put(some_features("b.mp4"), identity=None)
    before = cache.stamps(RECIPE)
    os.utime(path, ns=(1, 1))
    assert {name for name, stamp in cache.stamps(RECIPE).items() if before[name] != stamp} == {"b.mp4.h5"}
    cache.put(some_features("b.mp4", num_rows=9), identity=None)
    assert cache.stamps(RECIPE)["b.mp4.h5"].split("-")[0] == str(path.stat().st_size)


def test_an_entry_opens_by_the_path_of_its_stamp(cache, tmp_path):
    for number, video_id in enumerate(ODD_IDS):
        cache.put(some_features(video_id, seed=number), identity=IDENTITY)
    cache.pack(tmp_path / "all.h5")
    packed = FeatureCache(tmp_path / "all.h5")
    assert set(packed.stamps(RECIPE)) == set(cache.stamps(RECIPE))
    facts = packed.root.stat()
    assert set(packed.stamps(RECIPE).values()) == {f"{facts.st_size}-{facts.st_mtime_ns}"}
    for store in (cache, packed):
        entries = [store.entry_by_path(RECIPE, relative) for relative in store.stamps(RECIPE)]
        assert {entry.key.video_id for entry in entries} == set(ODD_IDS)
        assert all(entry.identity == IDENTITY for entry in entries)
        with pytest.raises(MissingFeatures, match=r"no entry gone\.mp4\.h5 .* Extract its video again"):
            store.entry_by_path(RECIPE, "gone.mp4.h5")


def test_an_entry_by_path_is_checked_and_stays_below_its_recipe(cache):
    path = cache.put(some_features("a.mp4"), identity=None)
    path.with_name("b.mp4.h5").write_bytes(path.read_bytes())
    with pytest.raises(DamagedEntry, match=r"holds the features of a\.mp4"):
        cache.entry_by_path(RECIPE, "b.mp4.h5")
    for relative in ("../a.mp4.h5", "/etc/passwd", ""):
        with pytest.raises(ValueError, match="must lie below the recipe's folder"):
            cache.entry_by_path(RECIPE, relative)


WRITER = """
import sys, itertools
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_feature_cache import some_features, IDENTITY
from vidlang.store.feature_cache import FeatureCache
cache = FeatureCache(Path(sys.argv[1]))
sys.stdout.write("ready\\n"); sys.stdout.flush()
for number in range(int(sys.argv[3])):
    cache.put(some_features(f"video{number % 40}.mp4", num_rows=200, seed=number % 40), identity=IDENTITY)
"""


def start_writer(root, count):
    folder = os.path.dirname(__file__)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(root), folder, str(count)], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"ready\n"
    return writer


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_writer_leaves_no_torn_entry(cache):
    random.seed(1)
    for _ in range(10):
        writer = start_writer(cache.root, 1_000_000)
        time.sleep(random.uniform(0.01, 0.15))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    assert [problem for _, problem in cache.verify(sweep=True) if "killed writer" not in problem] == []
    assert cache.verify() == []
    keys = list(cache.keys())
    assert keys
    for key in keys:
        number = int(key.video_id.removeprefix("video").removesuffix(".mp4"))
        assert_same(cache.get(key), some_features(key.video_id, num_rows=200, seed=number))


def test_two_processes_write_the_same_keys(cache):
    writers = [start_writer(cache.root, 60) for _ in range(2)]
    while any(writer.poll() is None for writer in writers):
        for key in cache:
            cache.get(key)  # whole, whoever wrote it
    for writer in writers:
        writer.stdout.close()
        assert writer.returncode == 0
    assert len(list(cache.keys())) == 40 and cache.verify() == []
