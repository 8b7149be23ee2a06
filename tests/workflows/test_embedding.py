"""What a video becomes before it is compared: rows by weight, vectors of the whole and of windows, rows for texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stand_ins import ColourEncoder, features_of, recipe_of, unit_rows

from vidlang.core import BadInput
from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.tca.model import new_encoder
from vidlang.methods.tca.predict import PlainEmbedder
from vidlang.methods.tca.whitening import fit
from vidlang.workflows.embedding import (
    AUTO,
    ROWS_PER_COMPONENT,
    Embedding,
    WhiteningPlan,
    encode_blanks,
    fit_whitening,
    make_embedder,
    whitening_input,
)

RECIPE = recipe_of(ColourEncoder())
REGIONS = replace(RECIPE, features="regions")
NO_BLANKS = np.empty((0, 1), dtype=np.float32)
AXES = np.eye(8, dtype=np.float32)


def embedding(recipe=RECIPE, blanks=NO_BLANKS, **more) -> Embedding:
    parts = {"whitening": None, "mean": None, "embedder": PlainEmbedder(), "learned": False, **more}
    return Embedding(recipe=recipe, blanks=blanks, **parts)


# -- plain rows ------------------------------------------------------------------------------------------------------


def test_plain_rows_have_length_one_and_their_mean_is_the_vector():
    found = embedding().embed(features_of(np.stack([3 * AXES[0], 5 * AXES[1]]), RECIPE))
    np.testing.assert_allclose(found.rows, AXES[:2])
    np.testing.assert_allclose(found.vectors, [(AXES[0] + AXES[1]) / np.sqrt(2)], rtol=1e-6)
    np.testing.assert_array_equal(found.seconds, [[0, 1], [1, 2]])
    assert (found.video_id, found.duration, found.blank, found.text) == ("v.mp4", 2.0, False, None)


def test_one_row_is_its_own_vector():
    found = embedding().embed(features_of(2 * AXES[3:4], RECIPE))
    np.testing.assert_array_equal(found.vectors, found.rows)
    np.testing.assert_array_equal(found.rows, AXES[3:4])


def test_of_ten_crops_the_first_counts():
    rows = unit_rows(10, 4, 8)
    np.testing.assert_allclose(embedding().embed(features_of(rows, RECIPE)).rows, rows[0], rtol=1e-5, atol=1e-7)


def test_rows_that_are_no_numbers_are_refused_with_the_name_of_the_video():
    rows = unit_rows(3, 8)
    rows[1, 2] = np.nan
    with pytest.raises(BadInput, match=r"v\.mp4 has features that are not finite.*Extract it again"):
        embedding().embed(features_of(rows, RECIPE))


# -- windows ---------------------------------------------------------------------------------------------------------


def test_windows_are_means_of_half_overlapping_runs():
    """10 rows, windows of 4: rows 0-3, 2-5, 4-7 and the last four."""
    rows = unit_rows(10, 8)
    vectors = embedding(window=4).embed(features_of(rows, RECIPE)).vectors
    runs = [rows] + [rows[start : start + 4] for start in (0, 2, 4, 6)]
    expected = [run.mean(axis=0) / np.linalg.norm(run.mean(axis=0)) for run in runs]
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("num_rows", "num_vectors"), [(1, 1), (4, 1), (6, 1), (7, 4), (8, 4), (9, 5)])
def test_windows_begin_above_one_and_a_half_of_their_length_and_cover_the_end(num_rows, num_vectors):
    rows = unit_rows(num_rows, 8)
    vectors = embedding(window=4).embed(features_of(rows, RECIPE)).vectors
    assert len(vectors) == num_vectors
    if num_vectors > 1:
        last = rows[-4:].sum(axis=0)
        np.testing.assert_allclose(vectors[-1], last / np.linalg.norm(last), rtol=1e-5, atol=1e-6)


def test_a_window_finds_the_clip_that_the_whole_vector_hides():
    clip, other = unit_rows(32, 64, seed=1), unit_rows(600, 64, seed=2) + 0.2
    film = np.concatenate([other[:250], clip, other[250:]])
    vectors = embedding().embed(features_of(film, RECIPE)).vectors
    asked = embedding().embed(features_of(clip, RECIPE)).vectors[0]
    cosines = vectors @ asked
    assert abs(cosines[0]) < 0.1 and cosines[1:].max() > 0.4


# -- what is left out and what weighs nothing ------------------------------------------------------------------------


def test_the_start_is_left_out_of_rows_seconds_and_vectors():
    rows = unit_rows(6, 8)
    found = embedding(skip_start=2.5).embed(features_of(rows, RECIPE))
    rest = embedding().embed(features_of(rows[3:], RECIPE))
    np.testing.assert_array_equal(found.seconds, [[3, 4], [4, 5], [5, 6]])
    np.testing.assert_array_equal(found.rows, rest.rows)
    np.testing.assert_array_equal(found.vectors, rest.vectors)
    assert found.duration == 6.0


def test_a_video_shorter_than_the_skipped_start_is_blank_and_matches_nothing():
    found = embedding(skip_start=100).embed(features_of(unit_rows(3, 8), RECIPE))
    assert found.blank and len(found.seconds) == 3
    assert not found.rows.any() and not found.vectors.any()


def test_rows_that_look_like_blank_frames_weigh_nothing():
    between = np.cos(np.arccos(0.875)) * AXES[0] + np.sin(np.arccos(0.875)) * AXES[2]  # half way from .80 to .95
    rows = np.stack([AXES[0], AXES[1], between])
    found = embedding(blanks=AXES[:1]).embed(features_of(rows, RECIPE))
    np.testing.assert_allclose(np.linalg.norm(found.rows, axis=1), [0, 1, 0.5], atol=1e-5)
    expected = AXES[1] + 0.5 * between
    np.testing.assert_allclose(found.vectors[0], expected / np.linalg.norm(expected), atol=1e-5)
    assert not found.blank


def test_a_video_of_blank_frames_is_blank_and_has_no_direction_however_long_it_is():
    almost = 0.9495 * AXES[0] + np.sqrt(1 - 0.9495**2) * AXES[1]  # weighs 0.0033
    rows = np.tile(np.stack([AXES[0], almost]), (60, 1))
    found = embedding(blanks=AXES[:1]).embed(features_of(rows, RECIPE))
    assert found.blank and not found.vectors.any()


def test_what_all_images_share_is_taken_away_before_rows_are_compared_with_blank_frames():
    shared = 3 * AXES[7]
    rows, blanks = np.stack([shared + AXES[0], shared + AXES[1]]), (shared + AXES[0])[None]
    without = embedding(blanks=blanks).embed(features_of(rows, RECIPE))
    mean = (shared / np.sqrt(10)).astype(np.float32)
    found = embedding(blanks=blanks, mean=mean).embed(features_of(rows, RECIPE))
    assert np.linalg.norm(without.rows[1]) < 0.5  # 0.9 to a blank frame, for what all images share
    np.testing.assert_allclose(np.linalg.norm(found.rows, axis=1), [0, 1], atol=1e-5)


# -- whitening, a trained encoder, texts -----------------------------------------------------------------------------


def test_whitening_takes_rows_of_length_one_but_region_rows_as_they_are():
    rows = np.array([[3.0, 4.0], [0.0, 2.0]], dtype=np.float32)
    np.testing.assert_allclose(whitening_input(rows, RECIPE), [[0.6, 0.8], [0, 1]])
    np.testing.assert_array_equal(whitening_input(rows, REGIONS), rows)


@pytest.mark.parametrize("recipe", [RECIPE, REGIONS])
def test_whitened_rows_are_those_of_the_whitening(recipe):
    rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    whitening = fit(whitening_input(rows, recipe), 3)
    found = embedding(recipe, whitening=whitening).embed(features_of(rows, recipe))
    np.testing.assert_allclose(found.rows, whitening.apply(whitening_input(rows, recipe)), atol=1e-6)
    assert found.vectors.shape[1] == 3


@pytest.mark.parametrize(
    ("recipe", "whitened", "learned", "kept"),
    [
        (RECIPE, False, False, False),  # rows are in the space of texts themselves
        (RECIPE, True, False, True),
        (RECIPE, False, True, True),
        (REGIONS, True, False, False),  # no text is comparable with them
        (REGIONS, False, True, False),
    ],
)
def test_rows_for_texts_are_kept_where_rows_have_left_the_space_of_texts(recipe, whitened, learned, kept):
    whitening = fit(unit_rows(50, 8), 4) if whitened else None
    made = embedding(recipe, whitening=whitening, learned=learned, blanks=AXES[:1])
    short, black = 7 * unit_rows(3, 8, seed=1), np.tile(AXES[0], (2, 1))
    for rows in (short, black):  # the same rule for every video
        found = made.embed(features_of(rows, recipe))
        assert made.keeps_text_rows == kept and (found.text is not None) == kept
        if found.text is not None:
            np.testing.assert_allclose(found.text, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6)


def test_no_checkpoint_is_the_plain_embedder_and_one_is_a_trained_one():
    config = TcaConfig(num_heads=2, feedforward=16)
    state = new_encoder(config, 8).state_dict()
    trained, learned = make_embedder({"state": state, "config": config.to_dict()}, 8, "cpu")
    plain, unlearned = make_embedder(None, 0, "cpu")
    assert (learned, unlearned) == (True, False) and isinstance(plain, PlainEmbedder)
    found = embedding(embedder=trained, learned=True).embed(features_of(unit_rows(5, 8), RECIPE))
    assert found.rows.shape == (5, 8) and found.vectors.shape == (1, 8)
    np.testing.assert_allclose(np.linalg.norm(found.rows, axis=1), 1, atol=1e-5)


def test_blank_rows_are_made_by_the_encoder_in_the_colours_of_the_recipe():
    blanks = encode_blanks(ColourEncoder(), RECIPE)
    grey = encode_blanks(ColourEncoder(), replace(RECIPE, colour="grey"))
    assert blanks.shape == grey.shape and blanks.dtype == np.float32
    assert np.ptp(blanks[:, :3], axis=1).max() > 100 and np.ptp(grey[:, :3], axis=1).max() == 0


# -- how whitening is found ------------------------------------------------------------------------------------------


def test_auto_does_more_the_more_rows_and_videos_there_are():
    rows = unit_rows(300, 8)
    (_, whiten_rows, whiten_videos), (_, center_rows, center_videos) = AUTO

    def kind(num_rows: int, num_videos: int) -> str:
        whitening = fit_whitening([rows], 8, WhiteningPlan(), num_rows, num_videos)
        return "none" if whitening is None else whitening.kind

    assert kind(whiten_rows, whiten_videos) == "whiten"
    assert kind(whiten_rows - 1, whiten_videos) == kind(whiten_rows, whiten_videos - 1) == "center"
    assert kind(center_rows, center_videos) == "center"
    assert kind(center_rows - 1, center_videos) == kind(center_rows, center_videos - 1) == "none"


def test_components_are_those_asked_for_or_as_many_as_the_rows_can_tell():
    rows = unit_rows(4 * ROWS_PER_COMPONENT, 8)

    def width(**plan) -> int:
        whitening = fit_whitening([rows[:50], rows[50:]], 8, WhiteningPlan(**plan), len(rows), 1)
        assert whitening is not None
        return whitening.width_out

    assert width(kind="whiten") == 4
    assert width(kind="whiten", num_components=6) == 6
    assert width(kind="whiten", num_components=600) == 8
    assert width(kind="center") == 8
    assert fit_whitening([rows], 8, WhiteningPlan("none"), len(rows), 1) is None


def test_blocks_give_the_whitening_of_all_rows_together():
    rows = unit_rows(200, 8)
    found = fit_whitening([rows[:70], rows[70:71], rows[71:]], 8, WhiteningPlan("whiten", 3), 200, 3)
    assert found is not None
    np.testing.assert_allclose(found.apply(rows), fit(rows, 3).apply(rows), atol=1e-4)


def test_one_row_cannot_be_whitened():
    with pytest.raises(BadInput, match=r"at least 2 rows, the cache has 1.*--whitening none"):
        fit_whitening([unit_rows(1, 8)], 8, WhiteningPlan("whiten"), 1, 1)
