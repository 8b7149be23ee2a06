from __future__ import annotations

import math

import numpy as np
import pytest

from vidlang.core.errors import BadInput
from vidlang.metrics import representation
from vidlang.metrics.representation import (
    Attributed,
    linear_probe,
    mean_class_accuracy,
    neighbours_by,
    retrieval_recall,
    top_k_accuracy,
    video_vectors,
)

RNG = np.random.default_rng(3)


def on_circle(*degrees: float) -> np.ndarray:
    """Unit vectors [N, 2] at these angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_top_k_by_head():
    logits = [[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [0.0, 0.0, 0.0]]
    # ranks from 0: 0, 1, 2, and of three equal logits class 1 is second
    assert top_k_accuracy(logits, [0, 2, 1, 1], ks=(1, 2, 3, 9)) == {1: 0.25, 2: 0.75, 3: 1.0, 9: 1.0}


def test_top_k_is_what_sorting_gives():
    logits, labels = RNG.normal(size=(50, 7)), RNG.integers(0, 7, 50)
    order = np.argsort(-logits, axis=1)
    for k, share in top_k_accuracy(logits, labels, ks=(1, 3, 5)).items():
        assert share == np.mean([label in row[:k] for label, row in zip(labels, order, strict=True)])


def test_a_class_that_is_never_scored_never_wins():
    assert top_k_accuracy([[-np.inf, 0.1], [-np.inf, 0.1]], [0, 1], ks=(1,)) == {1: 0.5}


def test_mean_over_classes_weighs_rare_classes_like_common_ones():
    logits = np.eye(3)[[0, 0, 0, 0, 1]]
    labels = [0, 0, 0, 1, 1]  # class 0: 3 of 3, class 1: 1 of 2, class 2 does not occur
    assert mean_class_accuracy(logits, labels) == 0.75
    assert top_k_accuracy(logits, labels, ks=(1,)) == {1: 0.8}


def test_video_vectors_weigh_every_clip_alike():
    clips = [[[3.0, 0.0], [0.0, 100.0]], [[0.0, 0.0], [0.0, 2.0]]]
    assert video_vectors(clips).tolist() == [[0.5, 0.5], [0.0, 0.5]]


@pytest.mark.parametrize(("center", "name"), [("own", "recall"), ("none", "recall_uncentred")])
def test_retrieval_is_the_published_one(golden_dir, center, name):
    with np.load(golden_dir / "fame" / "retrieval.npz") as golden:
        ours = retrieval_recall(
            golden["gallery"], golden["gallery_label"], golden["query"], golden["query_label"], center=center
        )
        assert list(ours) == golden["k"].tolist()
        assert list(ours.values()) == pytest.approx(golden[name].tolist(), abs=0.5 / len(golden["query"]))


def test_retrieval_by_head():
    gallery, labels = on_circle(0, 10, 90, 180), ["run", "jump", "run", "swim"]
    query = on_circle(9, 9, 9, 100)
    # the gallery in order of nearness to 9 degrees: jump, run, run, swim; to 100: run, swim, jump, run
    recall = retrieval_recall(gallery, labels, query, ["jump", "run", "swim", "jump"], ks=(1, 2, 3, 4))
    assert recall == {1: 0.25, 2: 0.5, 3: 0.75, 4: 1.0}


def test_a_class_that_the_gallery_lacks_is_a_miss_at_every_k():
    assert retrieval_recall(on_circle(0, 90), [0, 1], on_circle(1, 2), [0, 7], ks=(1, 50)) == {1: 0.5, 50: 0.5}


def test_equal_similarities_keep_the_order_of_the_gallery():
    gallery = on_circle(0, 0, 0)
    assert retrieval_recall(gallery, [5, 6, 7], on_circle(0), [6], ks=(1, 2)) == {1: 0.0, 2: 1.0}


def test_retrieval_in_blocks_is_what_a_full_sort_gives(monkeypatch):
    monkeypatch.setattr(representation, "BLOCK", 7)
    gallery, query = RNG.normal(size=(60, 5)), RNG.normal(size=(31, 5))
    labels, asked = RNG.integers(0, 9, 60), RNG.integers(0, 9, 31)
    ours = retrieval_recall(gallery, labels, query, asked, center="gallery")
    mean = gallery.mean(axis=0)
    cosines = [
        [np.dot(g - mean, q - mean) / np.linalg.norm(g - mean) / np.linalg.norm(q - mean) for g in gallery]
        for q in query
    ]
    order = np.argsort(-np.array(cosines), axis=1)
    for k, share in ours.items():
        assert share == np.mean([label in labels[row[:k]] for label, row in zip(asked, order, strict=True)])


def test_own_means_take_away_a_shift_between_the_sets():
    """Queries that all lie off by the same vector are found with center own alone."""
    gallery = RNG.normal(size=(40, 6))
    labels = np.arange(40)
    query = gallery + 50 * np.eye(6)[0]
    found = {
        center: retrieval_recall(gallery, labels, query, labels, ks=(1,), center=center)[1]
        for center in ("none", "own", "gallery")
    }
    assert found["own"] == 1.0
    assert found["none"] < 0.5 and found["gallery"] < 0.5


def test_a_linear_probe_learns_what_a_line_divides():
    labels = RNG.integers(0, 3, 90)
    features = on_circle(*(labels * 120 + RNG.normal(0, 15, 90))) * RNG.uniform(1, 100, (90, 1))
    result = linear_probe(features[:60], labels[:60], features[60:])
    assert result.logits.shape == (30, 3)
    assert top_k_accuracy(result.logits, labels[60:], ks=(1,)) == {1: 1.0}
    assert result.fold_accuracy[result.strength] == max(result.fold_accuracy.values())


def test_two_classes_and_gaps_among_the_classes():
    labels = np.repeat([1, 3], 20)
    features = on_circle(*(labels * 45 + RNG.normal(0, 5, 40)))
    result = linear_probe(features, labels, features, num_classes=5)
    assert result.logits.argmax(axis=1).tolist() == labels.tolist()
    assert np.isneginf(result.logits[:, [0, 2, 4]]).all()


def test_folds_of_groups_do_not_reward_learning_the_recording():
    """Each recording has a place of its own that tells nothing of its class: recognised across folds by copies only."""
    groups = np.repeat(np.arange(12), 6)
    labels = np.tile([0, 1], 6)[groups]
    features = RNG.normal(size=(12, 8))[groups] + RNG.normal(0, 0.01, (72, 8))
    blind = linear_probe(features, labels, features, strengths=(1000.0, 1.0))
    fair = linear_probe(features, labels, features, strengths=(1000.0, 1.0), groups=groups)
    assert max(blind.fold_accuracy.values()) == 1.0
    assert max(fair.fold_accuracy.values()) < 0.9


def test_groups_that_make_no_folds_are_refused_and_two_suffice():
    features, labels = on_circle(0, 2, 90, 92), [0, 0, 1, 1]
    with pytest.raises(ValueError, match="at least two"):
        linear_probe(features, labels, features, groups=["x"] * 4)
    result = linear_probe(features, labels, features, groups=["x", "y", "x", "y"])
    assert result.fold_accuracy[result.strength] == 1.0


def test_test_videos_have_no_say_in_what_is_learned():
    features, labels = RNG.normal(size=(40, 4)), np.tile([0, 1], 20)
    one = linear_probe(features, labels, features[:3])
    other = linear_probe(features, labels, np.concatenate([features[:3], 1e3 * RNG.normal(size=(50, 4))]))
    assert np.array_equal(one.logits, other.logits[:3])
    assert one.fold_accuracy == other.fold_accuracy


def test_a_probe_works_with_one_video_of_a_class():
    result = linear_probe(on_circle(0, 5, 10, 90), [0, 0, 0, 1], on_circle(2, 89))
    assert result.logits.shape == (2, 2)


def test_one_strength_needs_no_choice():
    result = linear_probe(on_circle(0, 90), [0, 1], on_circle(3), strengths=(5.0,))
    assert result.strength == 5.0 and result.fold_accuracy == {}


def test_one_class_is_nothing_to_learn():
    with pytest.raises(BadInput, match="at least two classes; all training videos are of class 4"):
        linear_probe(on_circle(0, 90), [4, 4], on_circle(3))


MOTIONS, PLACES = [value.ravel() for value in np.meshgrid(range(3), range(4), indexing="ij")]
"""Every motion before every background."""


def test_vectors_that_know_motion_alone_have_neighbours_of_that_motion():
    shares = neighbours_by(np.eye(3)[MOTIONS] + 0.01 * np.eye(4)[PLACES][:, :3], MOTIONS, PLACES)
    assert (shares.a, shares.b, shares.prefers_a, shares.num_compared) == (1.0, 0.0, 1.0, 12)
    assert shares.chance_a == pytest.approx(3 / 11) and shares.chance_b == pytest.approx(2 / 11)


def test_vectors_that_know_the_background_alone_are_told_by_it():
    shares = neighbours_by(np.eye(4)[PLACES], MOTIONS, PLACES)
    assert (shares.a, shares.b, shares.prefers_a) == (0.0, 1.0, 0.0)


def test_vectors_that_say_nothing_prefer_nothing():
    assert neighbours_by(np.ones((12, 2)), MOTIONS, PLACES).prefers_a == 0.5
    motions, places = RNG.integers(0, 20, 400), RNG.integers(0, 20, 400)
    shares = neighbours_by(RNG.normal(size=(400, 16)), motions, places)
    assert abs(shares.prefers_a - 0.5) < 0.1 and abs(shares.a - shares.chance_a) < 0.05


def test_views_of_one_clip_are_no_neighbours():
    features = on_circle(0, 1, 60, 61)
    alone = neighbours_by(features, [0, 0, 1, 1], [0, 0, 0, 0])
    apart = neighbours_by(features, [0, 0, 1, 1], [0, 0, 0, 0], groups=["x", "x", "y", "y"])
    assert (alone.a, apart.a) == (1.0, 0.0)


def test_merged_clips_find_their_motion_or_their_background_among_the_originals():
    originals = Attributed(on_circle(0, 90), [0, 1], [0, 1])
    # motion 0 before background 1: near the motion at 30 degrees, near the background at 60
    by_motion = neighbours_by(on_circle(30), [0], [1], gallery=originals)
    by_background = neighbours_by(on_circle(60), [0], [1], gallery=originals)
    assert (by_motion.a, by_motion.b, by_motion.prefers_a) == (1.0, 0.0, 1.0)
    assert (by_background.a, by_background.b, by_background.prefers_a) == (0.0, 1.0, 0.0)
    nobody = neighbours_by(on_circle(30), [0], [0], gallery=originals)
    assert math.isnan(nobody.prefers_a) and nobody.num_compared == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top_k_accuracy([[1.0, 2.0]], [2]), "below 2, got 2 to 2"),
        (lambda: top_k_accuracy([[1.0, np.nan]], [0]), "got nan for video 0"),
        (lambda: top_k_accuracy([[1.0, 2.0]], [0, 1]), "logits"),
        (lambda: top_k_accuracy([[1.0, 2.0]], [0], ks=(0,)), "at least 1 each"),
        (lambda: video_vectors(np.zeros((2, 0, 3))), "at least one clip"),
        (lambda: retrieval_recall(np.ones((2, 3)), [0, 1], np.ones((2, 4)), [0, 1]), "3 dimensions, query vectors 4"),
        (lambda: retrieval_recall(np.ones((2, 3)), [0], np.ones((2, 3)), [0, 1]), r"\[2\], got \[1\]"),
        (lambda: retrieval_recall([[np.nan]], [0], [[1.0]], [0]), "finite"),
        (lambda: retrieval_recall([[1.0]], [0], [[1.0]], [0], center="mean"), "none, own, gallery, got 'mean'"),
        (lambda: neighbours_by(np.ones((1, 2)), [0], [0]), "at least one other"),
        (lambda: linear_probe(np.ones((2, 2)), [0, 1], np.ones((1, 3))), "2 dimensions, test vectors 3"),
        (lambda: linear_probe(np.ones((2, 2)), [0, 3], np.ones((1, 2)), num_classes=2), "below 2, got 0 to 3"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
