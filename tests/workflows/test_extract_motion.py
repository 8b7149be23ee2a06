"""Extraction that attends to motion: weights and blur lie where things move, and every road takes the recipe along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image
from stand_ins import ColourEncoder, film, recipe_of

from vidlang.core import BadInput, FeatureKey, FeatureRecipe, Sampling
from vidlang.core.features import Motion
from vidlang.encoders.registry import find_encoder
from vidlang.store.workspace import Settings
from vidlang.workflows.extract import ExtractOptions, extract
from vidlang.workflows.gallery import GalleryOptions
from vidlang.workflows.pixels import motion_watch, still_blurred
from vidlang.workflows.recipe import RecipeChanges, make_recipe
from vidlang.workflows.retrieve import RetrieveOptions, retrieve

SIDE = 64
POOL = Motion("pool", "seed", 0.2)


class PatchEncoder(ColourEncoder):
    """Four patches; their weights stand behind the mean colour of a row, at 3 to 7 (1 each without weights)."""

    patch_grid = 2

    def encode_pixels(self, pixels: torch.Tensor, weights: torch.Tensor | None = None) -> np.ndarray:
        rows = super().encode_pixels(pixels)
        rows[:, 3:7] = 1 if weights is None else weights.flatten(1).numpy()
        return rows


@pytest.fixture
def encoder(monkeypatch) -> PatchEncoder:
    encoder = PatchEncoder()
    monkeypatch.setattr("vidlang.encoders.clip.load_encoder", lambda name, **options: encoder)
    return encoder


@pytest.fixture
def moving(tmp_path) -> Path:
    """A folder of 48 images of one texture: a square moves in the top left quarter, nothing, then bottom right."""
    texture = np.random.default_rng(0).integers(60, 120, (SIDE, SIDE, 3)).astype(np.uint8)
    folder = tmp_path / "videos" / "moving"
    folder.mkdir(parents=True)
    for index in range(48):
        frame = texture.copy()
        corner = {0: 2, 2: 34}.get(index // 16)
        if corner is not None:
            frame[corner + 6 : corner + 20, corner + index % 16 : corner + index % 16 + 12] = 230
        Image.fromarray(frame).save(folder / f"{index:03}.png")
    return folder


def recipe(motion: Motion = POOL, **changes) -> FeatureRecipe:
    spec = find_encoder("mini")
    assert spec is not None
    return FeatureRecipe(spec.name, spec.revision, **{"motion": motion, **changes})


def run(path, cache, encoder, wanted: FeatureRecipe, **options):
    return extract([path], cache, wanted, lambda: encoder, ExtractOptions(frame_rate=25.0, **options))


def rows_of(cache, wanted: FeatureRecipe, video_id: str = "moving") -> np.ndarray:
    return cache.get(FeatureKey(video_id, wanted)).values


# -- pool --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 32])
def test_patches_weigh_what_moves_in_their_snippet_and_a_still_one_is_plain(moving, cache, encoder, batch_size):
    report = run(moving, cache, encoder, recipe(), batch_size=batch_size)
    weights = rows_of(cache, recipe())[:, 3:7]
    assert weights[0, 0] > 0.6 and weights[0, 1:].max() < 0.1
    assert_allclose(weights[0].sum(), 4 * 0.2, atol=0.01)  # the mask covers a fifth of the picture
    assert weights[1].tolist() == [1, 1, 1, 1]
    assert weights[2, 3] > 0.6 and weights[2, :3].max() < 0.1
    assert report.num_still == 1 and report.to_dict()["rows_without_motion"] == 1
    assert "1 rows are the plain ones: nothing moves in their snippets" in report.lines()
    assert "nothing moves in 1 of 3 snippets: plain rows" in report.outcomes[0].detail


def test_ten_crops_weigh_their_own_patches(moving, cache, encoder):
    ten = recipe(sampling=Sampling(crops="ten"))
    run(moving, cache, encoder, ten)
    weights = rows_of(cache, ten)[:, 0, 3:7].reshape(10, 2, 2)
    assert_allclose(weights[5:], weights[:5, :, ::-1])  # the mirrored crops
    assert weights[1].argmax() == 0 and weights[1].max() > weights[4].max()  # top left against bottom right


def test_videos_of_one_batch_keep_their_own_weights(moving, cache, encoder, tmp_path):
    film(tmp_path / "videos" / "b.mp4", 20)
    report = extract([tmp_path / "videos"], cache, recipe(), lambda: encoder, ExtractOptions(frame_rate=25.0))
    assert [outcome.status for outcome in report.outcomes] == ["done", "done"]
    alone = tmp_path / "alone"
    other = type(cache)(alone)
    extract([moving], other, recipe(), lambda: encoder, ExtractOptions(1, 1, frame_rate=25.0))
    assert np.array_equal(rows_of(cache, recipe()), rows_of(other, recipe()))


def test_a_video_that_fails_half_way_takes_its_weights_along(moving, cache, encoder, tmp_path, monkeypatch):
    """The film is a batch of four rows and one of one; of six rows of the other four are encoded, the fifth fails."""
    film(tmp_path / "videos" / "b.mp4", 40)
    wanted = recipe(sampling=Sampling(stride=8))
    alone = type(cache)(tmp_path / "alone")
    extract([tmp_path / "videos" / "b.mp4"], alone, wanted, lambda: encoder)
    real, calls = encoder.preprocess, []

    def preprocess(frames, **how):
        calls.append(frames[0].shape[0] == SIDE)
        if sum(calls) == 2:
            raise MemoryError("no room")
        return real(frames, **how)

    monkeypatch.setattr(encoder, "preprocess", preprocess)
    encoder.batches.clear()
    report = extract([tmp_path / "videos"], cache, wanted, lambda: encoder, ExtractOptions(4, 1, frame_rate=25.0))
    assert {o.video_id: o.status for o in report.outcomes} == {"b.mp4": "done", "moving": "failed"}
    assert encoder.batches == [4, 1, 4]
    assert np.array_equal(rows_of(cache, wanted, "b.mp4"), rows_of(alone, wanted, "b.mp4"))


@pytest.mark.parametrize(
    ("sampling", "still"), [({"pick": "first"}, 1), ({"fps": 25 / 16}, 1), ({"stride": 48}, 0), ({"stride": 1}, 48)]
)
def test_every_sampling_that_picks_one_frame_can_attend(moving, cache, encoder, sampling, still):
    """A snippet of one frame does not move; one of all 48 does, in both quarters."""
    wanted = recipe(sampling=Sampling(**sampling))
    assert run(moving, cache, encoder, wanted).num_still == still
    plain = FeatureRecipe(wanted.encoder, wanted.revision, wanted.sampling)
    run(moving, cache, encoder, plain)
    assert np.array_equal(rows_of(cache, wanted)[:, :3], rows_of(cache, plain)[:, :3])  # the same frames


def test_an_encoder_without_patches_is_refused(moving, cache):
    encoder = ColourEncoder()
    encoder.patch_grid = None
    with pytest.raises(BadInput, match=r"^--motion pool needs an encoder with patches, which mini is not\. Take --mot"):
        run(moving, cache, encoder, recipe())


# -- mask --------------------------------------------------------------------------------------------------------------


def test_what_stands_still_is_a_blur_of_itself_and_what_moves_is_as_it_was():
    random = np.random.default_rng(0)
    frame = random.integers(0, 256, (112, 140, 3), dtype=np.uint8)
    mask = np.zeros((56, 70), dtype=bool)
    mask[10:30, 20:50] = True
    (found,) = still_blurred(frame[None], [mask])
    assert found.dtype == np.uint8 and found.shape == frame.shape
    assert np.array_equal(found[22:58, 42:98], frame[22:58, 42:98])  # a pixel inside the edge of the mask
    away = found[70:].astype(float)
    assert away.std() < 0.35 * frame[70:].std()  # the texture is gone
    assert away.mean() == pytest.approx(frame[70:].mean(), abs=3)  # its colour is not


def test_the_blur_keeps_places():
    frame = np.zeros((112, 112, 3), dtype=np.uint8)
    frame[:, 56:] = 200
    mask = np.zeros((112, 112), dtype=bool)
    mask[0, 0] = True
    (found,) = still_blurred(frame[None], [mask])
    assert found[56, 20].tolist() == [0, 0, 0] and found[56, 92].tolist() == [200, 200, 200]


def test_a_frame_without_a_mask_stays_whole():
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    assert np.array_equal(still_blurred(frames, [None, None]), frames)


def test_rows_of_masked_frames_are_those_of_blurred_ones(moving, cache, encoder):
    """The encoder's row is the mean colour: blurring keeps it nearly, and the still snippet exactly."""
    masked = recipe(Motion("mask", "seed", 0.2))
    report = run(moving, cache, encoder, masked)
    plain = FeatureRecipe(masked.encoder, masked.revision)
    run(moving, cache, encoder, plain)
    rows, whole = rows_of(cache, masked)[:, :3], rows_of(cache, plain)[:, :3]
    assert np.array_equal(rows[1], whole[1]) and report.num_still == 1
    assert 0 < np.abs(rows[[0, 2]] - whole[[0, 2]]).max() < 10


def test_windows_forget_a_snippet_of_one_frame():
    watch = motion_watch(Motion("mask", "seed", 0.5))
    assert watch is not None and motion_watch(Motion()) is None
    window = watch.open_window((20, 20))
    dark, light = (np.full((20, 20, 3), level, dtype=np.uint8) for level in (0, 250))
    window.push(dark)
    assert window.finish() is None
    window.push(light)
    window.push(light)
    assert window.finish() is None  # nothing moved since the last call
    dark[5:10] = 90
    window.push(light)
    window.push(dark)
    mask = window.finish()
    assert mask is not None and mask.sum() == 200


# -- recipes -----------------------------------------------------------------------------------------------------------


def test_each_way_of_attending_is_another_entry(moving, cache, encoder):
    ways = [POOL, Motion("pool", "seed", 0.3), Motion("pool"), Motion("pool", hue="reference"), Motion("mask")]
    for way in ways:
        assert run(moving, cache, encoder, recipe(way)).outcomes[0].status == "done"
        assert run(moving, cache, encoder, recipe(way)).outcomes[0].status == "skipped"
    assert {found.motion for found in cache.recipes()} == set(ways)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (RecipeChanges(motion="pools"), r"motion must be one of 'none', 'pool', 'mask', got 'pools'\."),
        (RecipeChanges(motion="pool:2"), "share of the picture above 0 and up to 1, got 2.0"),
        (RecipeChanges(motion="pool:nan"), "share of the picture above 0 and up to 1, got nan"),
        (RecipeChanges(motion="pool:loud"), "motion has no detail 'loud': write fame, seed, exact"),
        (RecipeChanges(motion="pool:0.1:0.2"), "says its beta twice"),
        (RecipeChanges(motion="none:0.2"), "motion 'none' has no details"),
        (RecipeChanges(motion="pool:seed:reference"), "hue of motion belongs to the method 'fame'"),
        (RecipeChanges(motion="pool", features="regions"), "--motion pool weighs the patches .* makes regions rows"),
        (RecipeChanges(motion="pool", encoder="resnet50"), "but resnet50 makes regions rows here. Take --motion mask"),
        (RecipeChanges(motion="mask", pick="mean"), "needs one frame a snippet, so pick 'middle' or 'first'"),
        (RecipeChanges(motion="mask", borders="crop"), "goes with borders 'keep', got 'crop'"),
        (RecipeChanges(motion="mask", reuse_static=3.0), "does not go with reuse_static"),
    ],
)
def test_what_cannot_be_is_one_line(changes, message):
    with pytest.raises(BadInput, match=message) as refused:
        make_recipe(Settings(encoder="mini"), changes)
    assert "\n" not in str(refused.value)


def test_masks_go_with_any_rows_and_names_read_back():
    regions = make_recipe(Settings(encoder="mini"), RecipeChanges(motion="mask", features="regions"))
    assert regions.name == "mini/stride16-middle/regions/motion-mask"
    for text in ("none", "pool", "mask:0.3", "pool:seed:0.1", "mask:reference", "pool:0.3:reference"):
        assert Motion.parse(text).name == text
        found = make_recipe(Settings(encoder="mini"), RecipeChanges(motion=text))
        assert FeatureRecipe.from_dict(found.to_dict()) == found
    assert Motion.parse("pool:blur:0.3:seed") == Motion("pool", "seed", 0.3)
    assert "motion" not in make_recipe(Settings(encoder="mini"), RecipeChanges()).to_dict()
    one, other = (FeatureRecipe("mini", "a", motion=Motion("pool", beta=beta)) for beta in (1, 1.0))
    assert one.fingerprint == other.fingerprint


# -- who uses them -----------------------------------------------------------------------------------------------------


def labelled_films(tmp_path: Path) -> Path:
    for number in range(6):
        film(tmp_path / "set" / ("normal", "fight")[number % 2] / f"{number}.mp4", 50, shift=30 * number)
    return tmp_path / "set"


def test_a_query_video_is_extracted_as_the_gallery_was(tmp_path, workspace, cache, encoder):
    wanted = recipe()
    films = labelled_films(tmp_path)
    extract([films], cache, wanted, lambda: encoder)
    gallery = GalleryOptions(device="cpu", blank_frames="keep")
    report = retrieve([films / "fight" / "1.mp4"], workspace, RetrieveOptions(gallery=gallery))
    assert FeatureRecipe.from_dict(report.made_by["recipe"]) == wanted
    query = film(tmp_path / "query.mp4", 50, shift=30)
    asked = retrieve([query], workspace, RetrieveOptions(gallery=gallery), RecipeChanges(motion=wanted.motion.name))
    assert asked.rankings[0].hits[0].video_id == "fight/1.mp4"  # the same film under another name
    assert asked.rankings[0].hits[0].similarity == pytest.approx(1, abs=1e-3)
    assert recipe_of(encoder) not in cache.recipes()
