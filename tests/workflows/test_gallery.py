"""The index of the cache: what builds it, what it takes over, what it keeps, and which whitening it is made with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_ins import DIM, ColourEncoder, put_seconds, recipe_of, unit_rows

from vidlang.core import BadInput, DamagedEntry, EncoderUnavailable, FeatureKey, MissingFeatures, UnknownName
from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.tca.model import new_encoder
from vidlang.methods.tca.whitening import fit
from vidlang.store.checkpoints import Checkpoint, ModelRegistry
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.index import VideoIndex
from vidlang.store.workspace import Settings, Workspace
from vidlang.workflows import embedding as embedding_workflow
from vidlang.workflows import gallery as gallery_workflow
from vidlang.workflows.gallery import (
    GROWN,
    MEAN_FROM_VIDEOS,
    PLAIN,
    WHITENING_PREFIX,
    Gallery,
    GalleryOptions,
    RowSample,
    UpdateReport,
    fit_whitening_file,
    index_folders,
    index_infos,
    open_approximate,
    open_gallery,
    plan_gallery,
    read_whitening,
    whitening_path,
)
from vidlang.workflows.recipe import RecipeChanges

RECIPE = recipe_of(ColourEncoder())
KEEP = GalleryOptions(blank_frames="keep")
"""Blank frames weigh like others, so that no encoder is asked for them."""
REGIONS = replace(RECIPE, features="regions")


def fill(cache: FeatureCache, names, num_rows: int = 4, recipe=RECIPE, seed: int = 0) -> dict[str, np.ndarray]:
    """Random rows under these ids."""
    made = {name: 3 * unit_rows(num_rows, DIM, seed=seed + number) for number, name in enumerate(names)}
    for name, rows in made.items():
        put_seconds(cache, recipe, name, rows)
    return made


def many(cache: FeatureCache, count: int, num_rows: int, first: int = 0) -> None:
    fill(cache, [f"m{number:03}.mp4" for number in range(first, first + count)], num_rows, seed=first)


def path_of(cache: FeatureCache, video_id: str, recipe=RECIPE) -> Path:
    return cache.entry(FeatureKey(video_id, recipe)).path


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def counts(report: UpdateReport) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.gone, report.pruned


# -- what lies in the index ------------------------------------------------------------------------------------------


def test_the_first_call_builds_and_the_second_adds_only_what_is_fresh(workspace, cache, monkeypatch):
    made = fill(cache, ["b.mp4", "a.mp4"])
    gallery, report = open_gallery(workspace, KEEP)
    assert gallery.index.ids == ["a.mp4", "b.mp4"] and counts(report) == (2, 0, 0, 0) and report.rebuilt is None
    np.testing.assert_allclose(gallery.index.rows(1), unit(made["b.mp4"]), atol=1e-6)
    read: list[str] = []
    real = gallery_workflow.read_entry
    monkeypatch.setattr(gallery_workflow, "read_entry", lambda c, r, entry: read.append(entry) or real(c, r, entry))
    assert counts(open_gallery(workspace, KEEP)[1]) == (0, 0, 0, 0) and read == []
    fill(cache, ["0.mp4"], seed=9)
    gallery, report = open_gallery(workspace, KEEP)
    assert read == ["0.mp4.h5"] and counts(report) == (1, 0, 0, 0)
    assert gallery.index.ids == ["a.mp4", "b.mp4", "0.mp4"]
    assert report.info.videos == 3 and report.info.rows == 12 and report.info.width == DIM


def test_a_search_beside_a_writer_takes_what_the_index_holds_already(workspace, cache):
    fill(cache, ["a.mp4", "b.mp4"])
    gallery, _ = open_gallery(workspace, KEEP)
    fill(cache, ["c.mp4"])
    with VideoIndex.open(gallery.index.folder).writing():  # as another process would
        found, report = open_gallery(workspace, KEEP, as_it_is=True)
        assert sorted(found.index.ids) == ["a.mp4", "b.mp4"]
        assert report.notes == ("another process writes the index; searched without 1 videos it lacks yet",)
        with pytest.raises(BadInput, match="is being written by process"):
            open_gallery(workspace, KEEP)
    assert sorted(open_gallery(workspace, KEEP, as_it_is=True)[0].index.ids) == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_changed_entry_is_replaced(workspace, cache):
    fill(cache, ["a.mp4", "b.mp4"])
    open_gallery(workspace, KEEP)
    rows = fill(cache, ["a.mp4"], num_rows=7, seed=5)["a.mp4"]
    gallery, report = open_gallery(workspace, KEEP)
    assert counts(report) == (0, 1, 0, 0) and sorted(gallery.index.ids) == ["a.mp4", "b.mp4"]
    np.testing.assert_allclose(gallery.index.rows(gallery.index.position("a.mp4")), unit(rows), atol=1e-6)


def test_a_vanished_entry_stays_until_it_is_pruned(workspace, cache):
    fill(cache, ["a.mp4", "b.mp4"])
    open_gallery(workspace, KEEP)
    cache.remove(FeatureKey("a.mp4", RECIPE))
    gallery, report = open_gallery(workspace, KEEP)
    assert gallery.index.ids == ["a.mp4", "b.mp4"] and counts(report) == (0, 0, 1, 0)
    assert any("1 videos are no longer in the cache" in line for line in report.lines())
    gallery, report = open_gallery(workspace, KEEP, prune=True)
    assert gallery.index.ids == ["b.mp4"] and counts(report) == (0, 0, 1, 1)
    assert not any("no longer" in line for line in report.lines())


def test_the_gallery_is_there_when_the_whole_cache_is_not(workspace, cache):
    fill(cache, ["a.mp4", "b.mp4"])
    open_gallery(workspace, KEEP)
    cache.root.rename(cache.root.with_name("unplugged"))
    gallery, report = open_gallery(workspace, KEEP)
    assert gallery.index.ids == ["a.mp4", "b.mp4"] and counts(report) == (0, 0, 2, 0)
    cache.root.with_name("unplugged").rename(cache.root)
    assert counts(open_gallery(workspace, KEEP)[1]) == (0, 0, 0, 0)


def test_rebuild_makes_it_anew(workspace, cache):
    fill(cache, ["a.mp4", "b.mp4"])
    open_gallery(workspace, KEEP)
    cache.remove(FeatureKey("a.mp4", RECIPE))
    gallery, report = open_gallery(workspace, KEEP, rebuild=True)
    assert gallery.index.ids == ["b.mp4"] and report.rebuilt == "asked for" and report.added == 1
    assert len(index_folders(workspace)) == 1


def test_an_empty_cache_says_what_to_run(workspace):
    with pytest.raises(MissingFeatures, match=r"is empty\. Run: vidlang extract"):
        open_gallery(workspace, KEEP)


def test_a_rebuild_without_a_cache_keeps_what_there_is(workspace, cache):
    fill(cache, ["a.mp4"])
    open_gallery(workspace, KEEP)
    cache.root.rename(cache.root.with_name("unplugged"))
    with pytest.raises(MissingFeatures):
        open_gallery(workspace, KEEP, rebuild=True)
    assert open_gallery(workspace, KEEP)[0].index.ids == ["a.mp4"]


OTHERS = {
    "skip_start": 2.0,
    "blank_frames": "weigh-less",
    "dtype": "bfloat16",
    "whitening": "center",
    "num_components": 3,
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_decides_the_numbers_has_an_index_of_its_own(workspace, cache, encoder, name):
    fill(cache, ["a.mp4", "b.mp4"])
    first, _ = open_gallery(workspace, KEEP)
    other, report = open_gallery(workspace, replace(KEEP, **{name: OTHERS[name]}))
    assert other.index.folder != first.index.folder and report.added == 2
    assert counts(open_gallery(workspace, KEEP)[1]) == (0, 0, 0, 0)
    infos, broken = index_infos(workspace)
    assert len(infos) == 2 and broken == []


def test_the_device_decides_nothing(workspace, cache):
    fill(cache, ["a.mp4"])
    first, _ = open_gallery(workspace, KEEP)
    assert open_gallery(workspace, replace(KEEP, device="cpu"))[0].index.folder == first.index.folder


def test_half_precision_keeps_rows_to_eight_bits(workspace, cache):
    made = fill(cache, ["a.mp4"])
    rows = open_gallery(workspace, replace(KEEP, dtype="bfloat16"))[0].index.rows(0)
    assert rows.dtype == torch.bfloat16
    np.testing.assert_allclose(rows.float(), unit(made["a.mp4"]), atol=2**-8)


def test_a_start_below_zero_is_refused():
    with pytest.raises(BadInput, match="--skip-start takes seconds from 0 on"):
        GalleryOptions(skip_start=-1)


# -- what cannot be taken over ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("whitening", ["none", "whiten"])
@pytest.mark.parametrize("how", ["rows", "file"])
def test_a_damaged_entry_is_named_and_all_others_are_in(workspace, cache, notes, how, whitening):
    fill(cache, [f"{number:02}.mp4" for number in range(MEAN_FROM_VIDEOS + 5)], 8)
    path = path_of(cache, "07.mp4")
    data = bytearray(path.read_bytes())
    if how == "file":
        del data[100:]
    else:
        data[data.index(cache.get(FeatureKey("07.mp4", RECIPE)).values.tobytes())] ^= 1
    path.write_bytes(data)
    gallery, report = open_gallery(workspace, replace(KEEP, whitening=whitening), progress=notes)
    assert len(gallery.index) == MEAN_FROM_VIDEOS + 4 and "07.mp4" not in gallery.index
    assert report.added == MEAN_FROM_VIDEOS + 4
    assert sum("07.mp4" in message for message in notes.messages) == 1
    assert len(report.notes) == 1 and "07.mp4" in report.notes[0]


def test_a_changed_entry_that_is_damaged_leaves_the_others(workspace, cache, notes):
    fill(cache, ["a.mp4", "b.mp4"])
    open_gallery(workspace, KEEP)
    path_of(cache, "a.mp4").write_bytes(b"torn")
    gallery, report = open_gallery(workspace, KEEP, progress=notes)
    assert "b.mp4" in gallery.index and len(report.notes) == 1
    assert report.changed == 0 and report.added == 0


@pytest.mark.parametrize("whitening", ["none", "whiten"])
def test_features_that_are_no_numbers_are_left_out(workspace, cache, whitening):
    fill(cache, ["a.mp4", "c.mp4"], 40)
    rows = unit_rows(40, DIM)
    rows[3, 4] = np.inf
    put_seconds(cache, RECIPE, "b.mp4", rows)
    gallery, report = open_gallery(workspace, replace(KEEP, whitening=whitening))
    assert gallery.index.ids == ["a.mp4", "c.mp4"] and report.added == 2
    assert len(report.notes) == 1 and "b.mp4 has features that are not finite" in report.notes[0]


@pytest.mark.parametrize("blank_frames", ["keep", "weigh-less"])
@pytest.mark.parametrize("whitening", ["none", "whiten"])
def test_features_of_another_width_are_left_out(workspace, cache, encoder, whitening, blank_frames):
    fill(cache, ["a.mp4", "c.mp4"], 40)
    put_seconds(cache, RECIPE, "b.mp4", unit_rows(40, 8))
    gallery, report = open_gallery(workspace, GalleryOptions(whitening=whitening, blank_frames=blank_frames))
    assert gallery.index.ids == ["a.mp4", "c.mp4"]
    assert len(report.notes) == 1 and "b.mp4" in report.notes[0]


# -- whitening -------------------------------------------------------------------------------------------------------


def fitted(gallery: Gallery) -> str:
    return str(gallery.index.spec.extra["fitted"])


@pytest.fixture
def small_auto(monkeypatch):
    """``auto`` whitens from 20 videos on and centres from 10 on, where their rows are enough."""
    auto = (("whiten", 200, 20), ("center", 50, 10))
    monkeypatch.setattr(embedding_workflow, "AUTO", auto)
    monkeypatch.setattr(gallery_workflow, "AUTO", auto)


def test_auto_does_as_much_as_the_gallery_is_large_enough_for(workspace, cache, small_auto):
    found = []
    for first, last in ((0, 9), (9, 19), (19, 20)):
        many(cache, last - first, 10, first=first)
        gallery, _ = open_gallery(workspace, KEEP, rebuild=True)
        found.append((gallery.index.spec.whitening, gallery.made_by["whitening"]))
        assert (gallery.embedding.whitening is None) == (found[-1][0] == "none")
        np.testing.assert_allclose(np.linalg.norm(gallery.index.rows(0), axis=1), 1, atol=1e-5)
        assert gallery.index.text_rows(0).shape[1] == DIM
    assert found == [("none", "none"), ("center", f"center to {DIM} of {DIM}"), ("whiten", f"whiten to 6 of {DIM}")]


def test_the_whitening_of_an_index_is_used_again_and_not_fitted_anew(workspace, cache, monkeypatch, small_auto):
    many(cache, 20, 10)
    first = open_gallery(workspace, KEEP)[0].embedding.whitening
    monkeypatch.setattr(gallery_workflow, "fit_whitening", lambda *a, **b: pytest.fail("fitted"))
    many(cache, 10, 10, first=20)
    second = open_gallery(workspace, KEEP)[0].embedding.whitening
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.components, second.components)


@pytest.mark.parametrize("trouble", [BadInput, KeyboardInterrupt])
def test_an_index_stays_until_the_next_one_has_its_whitening(workspace, cache, monkeypatch, small_auto, trouble):
    many(cache, 20, 10)
    open_gallery(workspace, KEEP)

    def fails(*_, **__):
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(gallery_workflow, "fit_whitening", fails)
        with pytest.raises(trouble):
            open_gallery(workspace, KEEP, rebuild=True)
    [(folder, info)], broken = index_infos(workspace)
    assert info.videos == 20 and not broken
    assert open_gallery(workspace, KEEP, rebuild=True)[1].rebuilt == "asked for" and VideoIndex.exists(folder)


def test_auto_fits_again_when_the_gallery_grew_fourfold(workspace, cache, small_auto):
    many(cache, 20, 10)
    first, _ = open_gallery(workspace, KEEP)
    many(cache, 20 * (GROWN - 1) - 1, 10, first=20)
    gallery, report = open_gallery(workspace, KEEP)
    assert report.rebuilt is None and len(gallery.index) == 20 * GROWN - 1
    many(cache, 1, 10, first=20 * GROWN)
    open_gallery(workspace, KEEP)  # it is as large at the end of this call
    gallery, report = open_gallery(workspace, KEEP)
    assert report.rebuilt is not None and "200 rows" in report.rebuilt and "800" in report.rebuilt
    assert report.added == 20 * GROWN and len(gallery.index) == 20 * GROWN
    assert first.embedding.whitening is not None and gallery.embedding.whitening is not None
    assert gallery.embedding.whitening.width_out > first.embedding.whitening.width_out
    assert open_gallery(workspace, KEEP)[1].rebuilt is None


def test_what_was_too_small_to_fit_on_is_fitted_when_it_grew(workspace, cache, small_auto):
    many(cache, 5, 10)
    assert fitted(open_gallery(workspace, KEEP)[0]) == "none"
    many(cache, 15, 10, first=5)
    open_gallery(workspace, KEEP)
    assert fitted(open_gallery(workspace, KEEP)[0]).startswith("whiten")


def test_auto_does_not_throw_away_what_cannot_be_read_again(workspace, cache, small_auto):
    many(cache, 10, 10)
    open_gallery(workspace, KEEP)
    many(cache, 35, 10, first=10)
    open_gallery(workspace, KEEP)
    cache.remove(FeatureKey("m000.mp4", RECIPE))
    gallery, report = open_gallery(workspace, KEEP)
    assert report.rebuilt is None and "m000.mp4" in gallery.index


def test_a_gallery_with_many_more_rows_than_the_sample_is_fitted_once(workspace, cache, monkeypatch, small_auto):
    """The sample is bounded, so it is always small beside a large gallery, which is no growth."""
    real = gallery_workflow.WhiteningPlan
    monkeypatch.setattr(gallery_workflow, "WhiteningPlan", lambda *a: replace(real(*a), max_rows=200))
    many(cache, 50, 20)
    open_gallery(workspace, KEEP)
    assert open_gallery(workspace, KEEP)[1].rebuilt is None


def test_center_takes_the_mean_away(workspace, cache):
    made = fill(cache, ["a.mp4", "b.mp4"], 6)
    gallery, _ = open_gallery(workspace, replace(KEEP, whitening="center"))
    rows = np.concatenate([unit(values) for values in made.values()])
    np.testing.assert_allclose(gallery.index.rows(0), unit(rows - rows.mean(axis=0))[:6], atol=1e-5)
    np.testing.assert_allclose(gallery.index.text_rows(0), rows[:6], atol=1e-6)


def test_a_whitening_fitted_by_hand_is_used(workspace, cache):
    made = fill(cache, ["a.mp4", "b.mp4"], 40)
    before, _ = open_gallery(workspace, KEEP)
    path, whitening, num_rows = fit_whitening_file(
        workspace, RecipeChanges(), 3, 1000, None, gallery_workflow.Progress()
    )
    assert path == whitening_path(workspace, RECIPE) and num_rows == 80 and whitening.width_out == 3
    gallery, _ = open_gallery(workspace, KEEP)
    assert gallery.index.folder != before.index.folder and fitted(gallery) == f"whiten to 3 of {DIM}"
    np.testing.assert_allclose(gallery.index.rows(0), whitening.apply(unit(made["a.mp4"])), atol=1e-5)
    assert fitted(open_gallery(workspace, replace(KEEP, whitening="none"))[0]) == "none"
    assert fitted(open_gallery(workspace, replace(KEEP, whitening="center"))[0]).startswith("center")


def test_a_whitening_fitted_elsewhere_is_written_where_it_is_wanted(workspace, cache, tmp_path):
    made = fill(cache, ["a.mp4", "b.mp4"], 40)
    path, _, _ = fit_whitening_file(
        workspace, RecipeChanges(), 4, 1000, tmp_path / "pca.npz", gallery_workflow.Progress()
    )
    rows = np.concatenate([unit(values) for values in made.values()])
    np.testing.assert_allclose(read_whitening(path).apply(rows), fit(rows, 4).apply(rows), atol=1e-4)
    assert fitted(open_gallery(workspace, KEEP)[0]) == "none"
    path.write_text("no npz")
    with pytest.raises(BadInput, match=r"pca\.npz is not a whitening"):
        read_whitening(path)


def test_a_sample_has_about_the_rows_asked_for_from_all_videos(cache):
    fill(cache, [f"{number}.mp4" for number in range(6)], 50)
    entries = sorted(cache.stamps(RECIPE))
    sample = RowSample(cache, RECIPE, entries, 60)
    blocks = list(sample.blocks())
    assert [len(block) for block in blocks] == [10] * 6 and sample.num_rows == 60
    np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate(list(sample.blocks())))
    few = RowSample(cache, RECIPE, entries, 30)  # as many videos as leave ten rows of each
    assert len(list(few.blocks())) == 3


# -- checkpoints -----------------------------------------------------------------------------------------------------


def register(workspace: Workspace, name: str, recipe=RECIPE, whitening=None, width: int = DIM) -> Checkpoint:
    config = TcaConfig(num_heads=2, feedforward=16, residual=False)
    torch.manual_seed(1)
    state = dict(new_encoder(config, width).state_dict())
    if whitening is not None:
        state |= {WHITENING_PREFIX + n: torch.from_numpy(a.copy()) for n, a in whitening.to_npz_arrays().items()}
    extra = {"name": name, "width": width, "encoder": recipe.encoder}
    checkpoint = Checkpoint("tca", config.to_dict(), recipe, (), state, {}, extra)
    ModelRegistry(workspace.models_dir).register(checkpoint, name=name)
    return checkpoint


def test_the_newest_checkpoint_is_taken_and_plain_leaves_it_out(workspace, cache):
    made = fill(cache, ["a.mp4", "b.mp4"])
    register(workspace, "first")
    gallery, _ = open_gallery(workspace, KEEP)
    assert gallery.made_by["checkpoint"] == "first" and gallery.embedding.learned
    assert np.abs(gallery.index.rows(0).numpy() - unit(made["a.mp4"])).max() > 0.1
    np.testing.assert_allclose(gallery.index.text_rows(0), unit(made["a.mp4"]), atol=1e-6)
    plain, _ = open_gallery(workspace, replace(KEEP, checkpoint=PLAIN))
    assert plain.made_by["checkpoint"] is None and plain.index.folder != gallery.index.folder
    np.testing.assert_allclose(plain.index.rows(0), unit(made["a.mp4"]), atol=1e-6)
    named, _ = open_gallery(workspace, replace(KEEP, checkpoint="first"))
    assert named.index.folder == gallery.index.folder


def test_a_checkpoint_brings_its_whitening(workspace, cache):
    made = fill(cache, ["a.mp4", "b.mp4"], 40)
    whitening = fit(np.concatenate([unit(rows) for rows in made.values()]), 8)
    register(workspace, "white", whitening=whitening, width=8)
    gallery, _ = open_gallery(workspace, KEEP)
    found = gallery.embedding.whitening
    assert found is not None and gallery.index.info().width == 8
    np.testing.assert_array_equal(found.components, whitening.components)
    expected = gallery.embedding.embedder.embed(whitening.apply(unit(made["a.mp4"])))[1]
    np.testing.assert_allclose(gallery.index.rows(0), expected, atol=1e-5)


def test_a_retrained_checkpoint_of_the_same_name_has_an_index_of_its_own(workspace, cache):
    fill(cache, ["a.mp4"])
    checkpoint = register(workspace, "one")
    first, _ = open_gallery(workspace, KEEP)
    state = {name: value + 0.01 for name, value in checkpoint.state.items()}
    ModelRegistry(workspace.models_dir).register(replace(checkpoint, state=state), name="one", replace=True)
    assert open_gallery(workspace, KEEP)[0].index.folder != first.index.folder


def test_options_that_name_other_features_than_the_checkpoint_reads_are_refused(workspace, cache):
    fill(cache, ["a.mp4"])
    register(workspace, "first")
    with pytest.raises(BadInput, match=r"reads features .* not those that the options name.*or plain"):
        open_gallery(workspace, replace(KEEP, checkpoint="first"), RecipeChanges(fps=2.0))
    with pytest.raises(UnknownName, match="frist"):
        open_gallery(workspace, replace(KEEP, checkpoint="frist"))


def test_a_checkpoint_for_other_features_is_not_taken_by_itself(workspace, cache):
    other = recipe_of(ColourEncoder(), fps=2.0)
    register(workspace, "first")
    fill(cache, ["a.mp4"], recipe=other)
    gallery, _ = open_gallery(workspace, KEEP, RecipeChanges(fps=2.0))
    assert gallery.made_by["checkpoint"] is None and gallery.recipe == other


def test_a_checkpoint_for_features_that_nobody_has_is_not_taken_by_itself(workspace, cache):
    fill(cache, ["a.mp4"])
    register(workspace, "other", recipe=recipe_of(ColourEncoder(), fps=2.0))
    assert open_gallery(workspace, KEEP)[0].made_by["checkpoint"] is None
    with pytest.raises(MissingFeatures, match="has no features of mini/fps2"):
        open_gallery(workspace, replace(KEEP, checkpoint="other"))
    register(workspace, "first")
    assert open_gallery(workspace, KEEP)[0].made_by["checkpoint"] == "first"
    cache.root.rename(cache.root.with_name("unplugged"))
    assert open_gallery(workspace, KEEP)[0].made_by["checkpoint"] == "first"


# -- without an encoder, and beside others ---------------------------------------------------------------------------


def test_features_whose_encoder_is_not_here_are_searched_all_the_same(workspace, cache, notes, monkeypatch):
    def nowhere(*_, **__):
        raise EncoderUnavailable("The encoder is not on this machine.")

    monkeypatch.setattr("vidlang.encoders.clip.load_encoder", nowhere)
    made = fill(cache, ["a.mp4", "b.mp4"])
    gallery, _ = open_gallery(workspace, progress=notes)
    np.testing.assert_allclose(gallery.index.rows(0), unit(made["a.mp4"]), atol=1e-6)
    assert any("Blank frames are not told from others" in message for message in notes.messages)
    notes.messages.clear()
    assert counts(open_gallery(workspace, progress=notes)[1]) == (0, 0, 0, 0)


def test_what_lies_in_a_pack_that_does_not_open_stays_in_the_index(workspace, cache):
    fill(cache, ["a.mp4", "b.mp4"])
    cache.pack_shards(cache.root, 1)
    for key in list(cache):
        cache.remove(key)
    fill(cache, ["c.mp4"])
    assert len(open_gallery(workspace, KEEP)[0].index) == 3
    [pack] = cache.root.glob("shard-*")
    pack.write_bytes(pack.read_bytes()[:1000])
    for wish in ({"prune": True}, {"rebuild": True}):
        for ask in (plan_gallery, open_gallery):
            with pytest.raises(DamagedEntry, match=pack.name):
                ask(workspace, KEEP, **wish)
    assert len(open_gallery(workspace, KEEP)[0].index) == 3


def test_features_of_an_encoder_that_nobody_knows_are_searched(tmp_path, cache):
    workspace = Workspace(tmp_path / "workspace", Settings(encoder="mini"))
    imported = replace(RECIPE, encoder="published-l3-irmac", features="regions")
    fill(cache, ["a.mp4", "b.mp4"], recipe=imported)
    gallery, _ = open_gallery(workspace)
    assert gallery.recipe == imported and len(gallery.index) == 2


def test_readers_go_on_while_somebody_writes(workspace, cache):
    fill(cache, ["a.mp4", "b.mp4"])
    folder = open_gallery(workspace, KEEP)[0].index.folder
    with VideoIndex.open(folder).writing():
        assert len(open_gallery(workspace, KEEP)[0].index) == 2  # nothing to change, so no lock
        fill(cache, ["c.mp4"])
        with pytest.raises(BadInput, match="is being written by process"):
            open_gallery(workspace, KEEP)
    assert len(open_gallery(workspace, KEEP)[0].index) == 3


def test_an_index_that_is_damaged_is_named(workspace, cache):
    fill(cache, ["a.mp4"])
    folder = open_gallery(workspace, KEEP)[0].index.folder
    (folder / "state.json").write_text("{")
    infos, broken = index_infos(workspace)
    assert infos == [] and len(broken) == 1 and folder.name in broken[0]


def test_an_approximate_index_is_kept_up(workspace, cache, notes):
    pytest.importorskip("faiss")
    many(cache, 30, 4)
    gallery, _ = open_gallery(workspace, KEEP)
    first = open_approximate(gallery.index, 10, notes)
    assert first.num_vectors == 30
    many(cache, 5, 4, first=30)
    gallery, _ = open_gallery(workspace, KEEP)
    assert open_approximate(gallery.index, 10, notes).num_vectors == 35
    assert [folder.name for folder in index_folders(workspace)] == [gallery.index.folder.name]
