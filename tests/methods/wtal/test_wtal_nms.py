"""Suppression in time: order, ties, and what overlaps do to scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from wtal_golden import needs_golden, over_tolerance

from vidlang.core.segments import Segment
from vidlang.methods.wtal.nms import hard_nms, overlaps, soft_nms

EMPTY = np.empty((0, 2)), np.empty(0)


@needs_golden
def test_recorded_suppression_is_reached():
    assert over_tolerance("nms", 40) == []


def random_segments(seed, num=40):
    generator = np.random.default_rng(seed)
    starts = generator.uniform(0, 20, num)
    return np.stack([starts, starts + generator.uniform(0.1, 6, num)], axis=1), generator.uniform(0.01, 1, num)


def test_overlap_is_that_of_segments():
    segments, _ = random_segments(0)
    ours = overlaps(segments[0], segments)
    assert ours.tolist() == pytest.approx([Segment(*segments[0]).iou(Segment(*other)) for other in segments])


def test_pixel_lengths_let_disjoint_seconds_overlap():
    one, other = np.array([0.0, 3.0]), np.array([[3.5, 6.5]])
    assert overlaps(one, other).tolist() == [0]
    # lengths 4 and 4, shared 3 - 3.5 + 1
    assert overlaps(one, other, "pixels").tolist() == pytest.approx([0.5 / 7.5])


def test_empty_segments_overlap_nothing():
    assert overlaps(np.array([2.0, 2.0]), np.array([[2.0, 2.0], [1.0, 3.0]])).tolist() == [0, 0]


def plain_soft(segments, scores, decay, least):
    """One proposal at a time, over a list."""
    left = [[score, index] for index, score in enumerate(scores)]
    found = []
    while left := [item for item in left if item[0] >= least]:
        best = max(left, key=lambda item: (item[0], -item[1]))
        left.remove(best)
        found.append((best[1], best[0]))
        for item in left:
            item[0] *= decay(Segment(*segments[best[1]]).iou(Segment(*segments[item[1]])))
    return [index for index, _ in found], [score for _, score in found]


DECAYS = {
    "gaussian": lambda o: math.exp(-o * o / 0.4),
    "linear": lambda o: 1 - o if o >= 0.4 else 1.0,
}


@pytest.mark.parametrize("weight", DECAYS)
@pytest.mark.parametrize("least", [0.001, 0.2])
def test_soft_suppression_is_what_a_loop_computes(weight, least):
    segments, scores = random_segments(1)
    order, decayed = soft_nms(segments, scores, weight, sigma=0.4, threshold=0.4, min_score=least)
    indices, values = plain_soft(segments, scores, DECAYS[weight], least)
    assert order.tolist() == indices
    assert decayed.tolist() == pytest.approx(values)


@pytest.mark.parametrize("seed", range(3))
def test_hard_suppression_is_what_a_loop_computes(seed):
    segments, scores = random_segments(seed)
    kept: list[int] = []
    for index in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(Segment(*segments[index]).iou(Segment(*segments[other])) < 0.3 for other in kept):
            kept.append(index)
    assert hard_nms(segments, scores, 0.3).tolist() == kept


def test_overlap_equal_to_the_threshold_goes():
    segments = np.array([[0.0, 2.0], [0.0, 1.0]])
    assert hard_nms(segments, np.array([0.9, 0.8]), 0.5).tolist() == [0]
    assert hard_nms(segments, np.array([0.9, 0.8]), 0.51).tolist() == [0, 1]
    assert soft_nms(segments, np.array([0.9, 0.8]), "linear", threshold=0.5)[1].tolist() == [0.9, 0.4]
    # lengths 3 and 2, shared 2: 2/3; the published rule for pixels acts above the threshold only
    pixels = {"threshold": 2 / 3, "lengths": "pixels"}
    assert soft_nms(segments, np.array([0.9, 0.8]), "linear", **pixels)[1].tolist() == [0.9, 0.8]


def test_equal_scores_keep_their_order():
    starts = np.random.default_rng(0).permutation(300) * 2.0
    apart, scores = np.stack([starts, starts + 1], axis=1), np.tile([0.5, 0.7, 0.6], 100)
    expected = sorted(range(300), key=lambda index: -scores[index])
    assert hard_nms(apart, scores).tolist() == expected
    assert soft_nms(apart, scores)[0].tolist() == expected
    same = np.array([[0.0, 1.0]] * 3)
    assert hard_nms(same, np.full(3, 0.5)).tolist() == [0]
    assert soft_nms(same, np.full(3, 0.5), min_score=0.0)[0].tolist() == [0, 1, 2]


def test_of_two_copies_one_sinks_by_the_whole_weight():
    order, scores = soft_nms(np.array([[0.0, 1.0]] * 2), np.array([0.6, 0.8]), sigma=0.3)
    assert order.tolist() == [1, 0]
    assert scores.tolist() == pytest.approx([0.8, 0.6 * math.exp(-1 / 0.3)])


def test_nothing_in_nothing_out():
    assert hard_nms(*EMPTY).tolist() == []
    assert [part.tolist() for part in soft_nms(*EMPTY)] == [[], []]


def test_what_is_too_low_is_dropped_at_once():
    apart = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    scores = np.array([0.05, 0.3, -0.2])
    assert hard_nms(apart, scores, min_score=0.1).tolist() == [1]
    assert soft_nms(apart, scores, min_score=0.1)[0].tolist() == [1]
    assert soft_nms(apart, scores, min_score=0.5)[0].tolist() == []


def test_a_negative_score_does_not_rise():
    _, scores = soft_nms(np.array([[0.0, 1.0]] * 2), np.array([0.5, -0.4]), min_score=-np.inf)
    assert scores.tolist() == [0.5, -0.4]


def test_the_limit_keeps_the_best():
    segments, scores = random_segments(2)
    assert hard_nms(segments, scores, 0.3, most=3).tolist() == hard_nms(segments, scores, 0.3).tolist()[:3]
    order, decayed = soft_nms(segments, scores, most=3)
    whole = soft_nms(segments, scores)
    assert (order.tolist(), decayed.tolist()) == (whole[0].tolist()[:3], whole[1].tolist()[:3])
    assert soft_nms(segments, scores, most=0)[0].tolist() == []


def test_soft_scores_never_rise_along_the_order():
    for seed in range(3):
        segments, scores = random_segments(seed)
        for weight in DECAYS:
            order, decayed = soft_nms(segments, scores, weight, min_score=0.0)
            assert (np.diff(decayed) <= 0).all()
            assert (decayed <= scores[order]).all()


@pytest.mark.parametrize(
    ("segments", "scores"),
    [(np.zeros((2, 2)), np.zeros(3)), (np.zeros((2, 3)), np.zeros(2)), (np.array([[0, np.nan]]), np.ones(1))],
)
def test_wrong_shapes_and_numbers_are_refused(segments, scores):
    with pytest.raises(ValueError, match="segments"):
        hard_nms(segments, scores)
    with pytest.raises(ValueError, match="segments"):
        soft_nms(segments, scores)


@pytest.mark.parametrize("options", [{"weight": "box"}, {"sigma": 0.0}, {"lengths": "metres"}])
def test_unknown_rules_are_refused(options):
    with pytest.raises(ValueError, match=r"box|sigma|metres"):
        soft_nms(np.array([[0.0, 1.0]]), np.ones(1), **options)
