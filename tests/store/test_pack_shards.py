"""Caches that lie in packs by shares of the ids, alone and beside entries in files of their own."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

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
    VideoInfo,
)
from vidlang.core.shares import Share, share_of
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.merge import merge
from vidlang.store.pack_shards import PackShards, id_of, pack_name

RECIPE = FeatureRecipe("mini", "1")
OTHER = FeatureRecipe("mini", "2")
IDENTITY = FileIdentity(1, "0" * 40, 0.0)
IDS = [
    "a.mp4",
    "fight/b.mp4",
    "fight/ü 100%.mp4",
    "CON.mp4",
    "x" * 300 + ".mp4",
    "..",
    *(f"n{i}.mp4" for i in range(14)),
]


def features(video_id: str, recipe: FeatureRecipe = RECIPE, fill: float | None = None) -> Features:
    rows = np.random.default_rng(len(video_id)).normal(size=(3, 8)).astype(np.float32)
    if fill is not None:
        rows[:] = fill
    frames = np.array([[0, 16], [16, 32], [32, 48]], dtype=np.int64)
    return Features(
        FeatureKey(video_id, recipe), VideoInfo(video_id, 48, 1.92, 25.0, (4, 6)), rows, frames, frames / 25
    )


@pytest.fixture
def loose(tmp_path) -> FeatureCache:
    cache = FeatureCache(tmp_path / "loose")
    for video_id in IDS:
        cache.put(features(video_id), identity=IDENTITY)
    cache.put(features("a.mp4", OTHER), identity=IDENTITY)
    return cache


def content(cache: FeatureCache) -> dict[FeatureKey, bytes]:
    return {key: cache.get(key).values.tobytes() for key in cache}


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_of_packs_say_share_and_total():
    assert pack_name(Share(3, 1000)) == "shard-00003-of-01000.h5"
    assert PackShards.find(Path("/nowhere")) is None


def test_the_path_of_an_entry_tells_the_id_unless_it_was_cut(loose):
    ids = {
        id_of(PurePosixPath(path))
        for path in (e.path.relative_to(loose.root).as_posix() for e in loose.entries(RECIPE))
    }
    assert ids == {*IDS, None} - {"x" * 300 + ".mp4"}


def test_packs_of_two_totals_are_refused(tmp_path):
    for share in (Share(1, 2), Share(1, 3)):
        (tmp_path / pack_name(share)).touch()
    with pytest.raises(BadInput, match="2 and 3 shards"):
        FeatureCache(tmp_path)


# -- packed and read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 50])
def test_packs_hold_what_the_folder_held(loose, tmp_path, count):
    assert loose.pack_shards(tmp_path / "packs", count) == len(IDS) + 1
    packs = FeatureCache(tmp_path / "packs")
    assert content(packs) == content(loose) and packs.verify() == []
    assert set(packs.recipes()) == {RECIPE, OTHER} and len(list(packs.keys(OTHER))) == 1
    assert packs.is_fresh(FeatureKey("..", RECIPE), IDENTITY) and FeatureKey("none.mp4", RECIPE) not in packs
    assert set(packs.stamps(RECIPE)) == set(loose.stamps(RECIPE))
    some = packs.entry_by_path(RECIPE, next(iter(packs.stamps(RECIPE))))
    assert some.num_snippets == 3


def test_a_share_packed_by_itself_is_the_pack_of_that_number(loose, tmp_path):
    loose.pack_shards(tmp_path / "packs", 3)
    alone = FeatureCache(tmp_path / "job2")
    for video_id in IDS:
        if video_id in Share(2, 3):
            alone.put(features(video_id), identity=IDENTITY)
    alone.pack(tmp_path / "shared" / pack_name(Share(2, 3)))
    shared, mine = FeatureCache(tmp_path / "shared"), [i for i in IDS if share_of(i, 3) == 2]
    assert {key.video_id for key in shared} == set(mine)
    assert all(np.array_equal(shared.get(FeatureKey(i, RECIPE)).values, features(i).values) for i in mine)


def test_a_pack_that_is_not_there_holds_nothing(loose, tmp_path):
    loose.pack_shards(tmp_path / "packs", 3)
    (tmp_path / "packs" / pack_name(Share(2, 3))).unlink()
    packs = FeatureCache(tmp_path / "packs")
    lost = [i for i in IDS if share_of(i, 3) == 2]
    assert lost and {key.video_id for key in packs.keys(RECIPE)} == set(IDS) - set(lost)
    with pytest.raises(MissingFeatures):
        packs.get(FeatureKey(lost[0], RECIPE))


def test_packing_again_with_another_total_is_refused(loose, tmp_path):
    loose.pack_shards(tmp_path / "packs", 3)
    with pytest.raises(BadInput, match="packs of 3 shards, not 4"):
        loose.pack_shards(tmp_path / "packs", 4)
    assert loose.pack_shards(tmp_path / "packs", 3) == len(IDS) + 1


def test_packing_loses_nothing_that_lies_in_packs_already(loose, tmp_path):
    loose.pack_shards(tmp_path / "packs", 3)
    with pytest.raises(BadInput, match=f"hold {len(IDS)} entries that would be lost"):
        loose.pack_shards(tmp_path / "packs", 3, OTHER)
    assert content(FeatureCache(tmp_path / "packs")) == content(loose)


# -- files beside packs ------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(loose, tmp_path) -> FeatureCache:
    """Packs, a newer entry of one of their keys, and an entry of its own."""
    loose.pack_shards(tmp_path / "packs", 3)
    cache = FeatureCache(tmp_path / "packs")
    cache.put(features("a.mp4", fill=7.0), identity=IDENTITY)
    cache.put(features("late.mp4"), identity=IDENTITY)
    return cache


def test_files_beside_packs_count_first(mixed):
    keys = [key for key in mixed.keys(RECIPE)]
    assert sorted(key.video_id for key in keys) == sorted([*IDS, "late.mp4"])
    assert (mixed.get(FeatureKey("a.mp4", RECIPE)).values == 7).all()
    assert set(mixed.stamps(RECIPE)) == {
        str(
            e.path.relative_to(
                mixed.root / e.path.relative_to(mixed.root).parts[0] / e.path.relative_to(mixed.root).parts[1]
            )
        )
        for e in mixed.entries(RECIPE)
    }
    assert mixed.verify() == []


def test_what_is_packed_again_is_the_newest(mixed, tmp_path):
    mixed.pack_shards(tmp_path / "again", 5)
    assert content(FeatureCache(tmp_path / "again")) == content(mixed)


def test_only_files_are_removed(mixed):
    mixed.remove(FeatureKey("late.mp4", RECIPE))
    with pytest.raises(BadInput, match="lies in a pack"):
        mixed.remove(FeatureKey("fight/b.mp4", RECIPE))
    with pytest.raises(MissingFeatures):
        mixed.remove(FeatureKey("late.mp4", RECIPE))


def test_what_comes_to_light_under_a_removed_file_is_said(mixed, caplog):
    mixed.remove(FeatureKey("a.mp4", RECIPE))
    assert "a.mp4 lies in a pack" in caplog.text
    assert np.array_equal(mixed.get(FeatureKey("a.mp4", RECIPE)).values, features("a.mp4").values)


def test_a_pack_that_is_torn_is_named(mixed):
    path = mixed.root / pack_name(Share(share_of("fight/b.mp4", 3), 3))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DamagedEntry, match=r"b\.mp4"):
        mixed.get(FeatureKey("fight/b.mp4", RECIPE))
    assert [found for found, _ in mixed.verify()] == [path]
    assert {key.video_id for key in mixed.keys(RECIPE)} >= {"late.mp4", "a.mp4"}


def test_what_lies_in_a_torn_pack_is_not_left_out_in_silence(mixed, tmp_path):
    path = mixed.root / pack_name(Share(share_of("fight/b.mp4", 3), 3))
    path.write_bytes(path.read_bytes()[:1000])
    for packed in (lambda: mixed.pack(tmp_path / "all.h5"), lambda: mixed.pack_shards(tmp_path / "again", 5)):
        with pytest.raises(DamagedEntry, match=path.name):
            packed()
    assert not (tmp_path / "all.h5").exists() and not (tmp_path / "again").exists()
    outcomes = list(merge([mixed], FeatureCache(tmp_path / "merged")))
    assert [outcome.video_id for outcome in outcomes if outcome.status != "copied"] == [str(path)]
    assert [outcome.status for outcome in outcomes].count("damaged") == 1 < len(outcomes)


def test_old_caches_read_as_before(loose, tmp_path):
    loose.pack(tmp_path / "all.h5")
    shutil.copytree(loose.root, tmp_path / "copy")
    assert content(FeatureCache(tmp_path / "all.h5")) == content(FeatureCache(tmp_path / "copy")) == content(loose)
    assert FeatureCache(tmp_path / "copy").packs is None
