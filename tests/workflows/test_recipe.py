"""Flags beat the settings file, the file beats the defaults; and which features of a cache a command means."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from stand_ins import Notes, put, recipe_of, video_rows

from vidlang.core import BadInput, FeatureRecipe, MissingFeatures, Sampling, UnknownName
from vidlang.encoders.registry import find_encoder
from vidlang.store.workspace import Settings
from vidlang.workflows.recipe import RecipeChanges, check_has_text, make_recipe, recipe_in_cache


def test_the_defaults_are_a_clip_by_stride():
    recipe = make_recipe(Settings(), RecipeChanges())
    spec = find_encoder("clip-vit-b16")
    assert spec is not None
    assert recipe == FeatureRecipe("clip-vit-b16", spec.revision, Sampling(16, "middle"), "exact", "float32", "float32")


def test_settings_beat_defaults_and_flags_beat_settings():
    settings = Settings(encoder="mini", stride=8, pick="first", crops="ten", preprocess="fast", dtype="float16")
    from_file = make_recipe(settings, RecipeChanges())
    assert (from_file.encoder, from_file.sampling) == ("mini", Sampling(8, "first", None, "ten"))
    assert (from_file.preprocess, from_file.dtype) == ("fast", "float16")
    flags = RecipeChanges(
        encoder="clip-vit-b32", stride=4, pick="mean", crops="center", preprocess="exact", dtype="float32"
    )
    from_flags = make_recipe(settings, flags)
    assert (from_flags.encoder, from_flags.sampling) == ("clip-vit-b32", Sampling(4, "mean"))
    assert (from_flags.preprocess, from_flags.dtype) == ("exact", "float32")


def test_a_stride_on_the_command_line_beats_fps_in_the_file():
    assert make_recipe(Settings(fps=2.0), RecipeChanges()).sampling.fps == 2.0
    assert make_recipe(Settings(fps=2.0), RecipeChanges(stride=16)).sampling.fps is None
    assert make_recipe(Settings(stride=8), RecipeChanges(fps=1.0)).sampling.fps == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (RecipeChanges(stride=4, fps=2.0), "two ways to say the same thing"),
        (RecipeChanges(stride=0), "stride must be at least 1 frame, got 0"),
        (RecipeChanges(fps=float("nan")), "fps must be positive and finite, got nan"),
        (RecipeChanges(pick="last"), "pick must be one of 'middle', 'first', 'mean', got 'last'"),
        (RecipeChanges(reuse_static=-1.0), "--reuse-static takes grey levels"),
        (RecipeChanges(reuse_static=float("nan")), "--reuse-static takes"),
    ],
)
def test_what_cannot_be_is_bad_input(changes, message):
    with pytest.raises(BadInput, match=message):
        make_recipe(Settings(encoder="mini"), changes)


def test_an_unknown_encoder_gets_a_suggestion():
    with pytest.raises(UnknownName, match=r"no encoder called 'mimi'\. Did you mean 'mini'\?"):
        make_recipe(Settings(), RecipeChanges(encoder="mimi"))


def test_an_empty_cache_says_what_to_run(cache, encoder):
    with pytest.raises(MissingFeatures, match=r"is empty\. Run: vidlang extract"):
        recipe_in_cache(cache, recipe_of(encoder), False, Notes())


def test_the_wanted_recipe_wins_else_the_only_one_else_the_choice_is_the_users(cache, encoder):
    notes = Notes()
    wanted, other, third = (recipe_of(encoder, stride=stride) for stride in (16, 8, 4))
    put(cache, other, "a.mp4", video_rows(3, 0))
    assert recipe_in_cache(cache, wanted, False, notes) == other
    assert notes.messages == ["Using the one recipe in the cache: mini/stride8-middle."]
    with pytest.raises(MissingFeatures, match=r"no features of mini/stride16-middle\. It has: mini/stride8-middle"):
        recipe_in_cache(cache, wanted, True, notes)
    put(cache, third, "a.mp4", video_rows(3, 0))
    with pytest.raises(MissingFeatures, match="stride4-middle"):
        recipe_in_cache(cache, wanted, False, notes)
    put(cache, wanted, "a.mp4", video_rows(3, 0))
    assert recipe_in_cache(cache, wanted, False, notes) == wanted
    assert len(notes.messages) == 1


def test_imported_rows_of_the_wanted_encoder_and_rhythm_are_taken_beside_those_of_a_second_one(cache, encoder):
    notes = Notes()
    wanted = recipe_of(encoder)
    clip = replace(wanted, revision="imported:published")
    slower = replace(clip, sampling=Sampling(32))
    i3d = FeatureRecipe("i3d", "imported:unknown", Sampling(16))
    for recipe in (clip, i3d, slower):
        put(cache, recipe, "a.mp4", video_rows(3, 0))
    assert recipe_in_cache(cache, wanted, True, notes) == clip
    assert recipe_in_cache(cache, replace(wanted, sampling=Sampling(32)), True, notes) == slower
    assert notes.messages[0] == "Using imported rows: mini/stride16-middle (imported:published)."
    with pytest.raises(MissingFeatures, match="no features of mini/stride64-middle"):
        recipe_in_cache(cache, replace(wanted, sampling=Sampling(64)), False, notes, [i3d])


def test_the_only_rows_beside_the_second_encoders_are_taken(cache, encoder):
    i3d = FeatureRecipe("i3d", "imported:unknown", Sampling(16))
    put(cache, i3d, "a.mp4", video_rows(3, 0))
    with pytest.raises(MissingFeatures, match="no features but those of the second encoder"):
        recipe_in_cache(cache, recipe_of(encoder), False, Notes(), [i3d])
    other = recipe_of(encoder, stride=8)
    put(cache, other, "a.mp4", video_rows(3, 0))
    assert recipe_in_cache(cache, recipe_of(encoder), False, Notes(), [i3d]) == other


def test_a_recipe_of_pooled_rows_with_borders_kept_is_written_and_named_as_ever():
    """Caches hold such recipes: another fingerprint would orphan their rows."""
    recipe = FeatureRecipe("clip-vit-b16", "abc", Sampling(8, crops="ten"), reuse_static=3.0)
    assert recipe.fingerprint == "1d7860ff07"
    assert set(recipe.to_dict()) == {
        "encoder",
        "revision",
        "sampling",
        "preprocess",
        "precision",
        "dtype",
        "reuse_static",
    }
    assert recipe.name == "clip-vit-b16/stride8-middle-ten"


def test_regions_and_cropped_borders_are_other_recipes_that_read_back():
    plain = FeatureRecipe("mini", "abc")
    regions = FeatureRecipe("mini", "abc", features="regions")
    both = FeatureRecipe("mini", "abc", features="regions", borders="crop")
    grey = FeatureRecipe("mini", "abc", colour="grey")
    assert len({recipe.fingerprint for recipe in (plain, regions, both, grey)}) == 4
    assert grey.name == "mini/stride16-middle/grey"
    assert (regions.name, both.name) == ("mini/stride16-middle/regions", "mini/stride16-middle/regions/crop-borders")
    for recipe in (plain, regions, both, grey):
        assert FeatureRecipe.from_dict(json.loads(recipe.canonical_json)) == recipe
    with pytest.raises(ValueError, match="features must be one of 'pooled', 'regions', got 'areas'"):
        FeatureRecipe("mini", "abc", features="areas")  # type: ignore[arg-type]


def test_regions_and_borders_come_from_flags_and_settings():
    assert make_recipe(Settings(encoder="mini"), RecipeChanges(features="regions")).features == "regions"
    from_file = make_recipe(Settings(encoder="mini", features="regions", borders="crop"), RecipeChanges())
    assert (from_file.features, from_file.borders) == ("regions", "crop")
    from_flags = make_recipe(
        Settings(encoder="mini", features="regions", borders="crop"), RecipeChanges(features="pooled", borders="keep")
    )
    assert (from_flags.features, from_flags.borders) == ("pooled", "keep")


def test_an_encoder_of_regions_only_sets_them_by_itself_and_refuses_pooled():
    recipe = make_recipe(Settings(), RecipeChanges(encoder="resnet50"))
    assert (recipe.encoder, recipe.features) == ("resnet50", "regions")
    assert recipe == make_recipe(Settings(encoder="resnet50"), RecipeChanges(features="regions"))
    with pytest.raises(BadInput, match=r"^resnet50 makes region rows only\. Leave --features out"):
        make_recipe(Settings(), RecipeChanges(encoder="resnet50", features="pooled"))


def test_a_local_resnet_is_known_by_its_files(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "resnet"}')
    (folder / "model.safetensors").write_bytes(b"looked at when it is loaded")
    recipe = make_recipe(Settings(), RecipeChanges(encoder=str(folder)))
    assert (recipe.encoder, recipe.features) == ("local:net", "regions")


def test_what_needs_words_refuses_regions():
    check_has_text(FeatureRecipe("mini", "abc"), "vidlang score")
    with pytest.raises(BadInput, match=r"^vidlang score compares features with words, .* \(mini/stride16-middle/reg"):
        check_has_text(FeatureRecipe("mini", "abc", features="regions"), "vidlang score")
