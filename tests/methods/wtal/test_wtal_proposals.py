"""From curves to segments: interpolation, thresholds, runs, scores, classes, and where it all lies in time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from wtal_golden import needs_golden, over_tolerance

from vidlang.core.errors import BadInput, UnknownName
from vidlang.core.segments import Segment
from vidlang.methods.wtal.proposals import (
    PRESETS,
    ProposalOptions,
    above,
    detect,
    outer_inner_contrast,
    proposal_options,
    scored_runs,
    select_classes,
    split_rows,
    stretch,
    upsample,
    upscale_for,
)

PLAIN = ProposalOptions(
    theta_loc=(0.5,), stretch=False, step_seconds=0, score="mean", nms="none", theta_cls=0.0, max_proposals=1000
)
"""Runs over one half, as they are."""


@needs_golden
def test_recorded_proposals_are_reached():
    assert over_tolerance("proposals", 15) == []


def rows_of(num_rows, step=1.0, start=0.0):
    edges = start + np.arange(num_rows + 1) * step
    return np.stack([edges[:-1], edges[1:]], axis=1)


def column(*values):
    return np.array(values, dtype=np.float64)[:, None]


# -- interpolation


def test_positions_from_the_start_of_rows():
    # the last position goes on along the line from 1 to 3
    assert upsample(column(0, 1, 3), 2, "start")[:, 0].tolist() == [0, 0.5, 1, 2, 3, 4]


def test_positions_around_the_centres_of_rows():
    # centres of rows at 0.5, 1.5; of positions at 0.25, 0.75, 1.25, 1.75
    assert upsample(column(0, 1), 2, "centre")[:, 0].tolist() == [0, 0.25, 0.75, 1]


@pytest.mark.parametrize("align", ["start", "centre"])
@pytest.mark.parametrize("factor", [1, 2, 7])
def test_interpolation_is_what_numpy_does_inside(factor, align):
    curve = np.random.default_rng(0).random((9, 3))
    ours = upsample(curve, factor, align)
    at = np.arange(9 * factor) / factor + (0 if align == "start" else 0.5 / factor - 0.5)
    inside = at <= 8
    for c in range(3):
        assert ours[inside, c].tolist() == pytest.approx(np.interp(at[inside], np.arange(9), curve[:, c]).tolist())
    assert ours.shape == (9 * factor, 3)


def test_one_row_and_none_upsample_to_copies():
    assert upsample(column(0.4), 3, "start")[:, 0].tolist() == [0.4, 0.4, 0.4]
    assert upsample(column(0.4), 3, "centre")[:, 0].tolist() == [0.4, 0.4, 0.4]
    assert upsample(np.empty((0, 2)), 3).shape == (0, 2)


@pytest.mark.parametrize(("step", "factor"), [(0.64, 7), (0.6, 6), (0.1, 1), (0.05, 1), (0.3, 3), (10.0, 100)])
def test_steps_of_at_most_a_tenth_of_a_second(step, factor):
    assert upscale_for(rows_of(50, step), 0.1) == factor
    assert upscale_for(rows_of(50, step), 0) == 1


def test_rows_are_cut_into_equal_parts_and_gaps_stay():
    seconds = np.array([[0.0, 1.0], [1.0, 3.0], [10.0, 12.0]])
    expected = [[0, 0.5], [0.5, 1], [1, 2], [2, 3], [10, 11], [11, 12]]
    assert split_rows(seconds, 2).tolist() == expected
    assert split_rows(seconds, 1).tolist() == seconds.tolist()


def test_overlapping_rows_share_what_both_cover():
    # each lasts 2 s, one a second: the borders are the middles of the shared seconds
    seconds = np.array([[0.0, 2.0], [1.0, 3.0], [2.0, 4.0]])
    assert split_rows(seconds, 1).tolist() == [[0, 1.5], [1.5, 2.5], [2.5, 4]]
    parts = split_rows(seconds, 5)
    assert (parts[:, 1] > parts[:, 0]).all()
    assert (parts[1:, 0] >= parts[:-1, 1] - 1e-12).all()


# -- stretching


def test_stretching_reaches_zero_and_one_in_each_column():
    curve = np.array([[0.2, 0.5], [0.4, 0.9], [0.3, 0.7]])
    np.testing.assert_allclose(stretch(curve), [[0, 0], [1, 1], [0.5, 0.5]])


def test_a_flat_curve_stays_as_it_is():
    curve = np.array([[0.7, 0.1], [0.7, 0.3]])
    assert stretch(curve).tolist() == [[0.7, 0], [0.7, 1]]
    assert stretch(np.empty((0, 3))).shape == (0, 3)
    assert np.isfinite(stretch(np.zeros((4, 1)))).all()


# -- runs and scores


def test_runs_at_both_ends_count_even_one_position_long():
    assert above(np.array([0.9, 0.1, 0.6, 0.5, 0.2, 0.8]), 0.5) == [(0, 1), (2, 4), (5, 6)]
    assert above(np.array([0.9]), 0.5) == [(0, 1)]
    assert above(np.zeros(3), 0.5) == []


def test_contrast_followed_by_hand():
    values = np.array([0.0, 0.2, 0.8, 0.6, 0.1, 0.0])
    # a run of two, half of it on each side: position 1 and position 4
    inside, around = 0.7, (0.2 + 0.1) / 2
    ours = outer_inner_contrast(values, (2, 4), video_score=0.5, margin=0.5, video=0.2)
    assert ours == pytest.approx(inside - around + 0.2 * 0.5)


def test_a_run_over_everything_has_nothing_around():
    assert outer_inner_contrast(np.full(4, 0.6), (0, 4), video_score=0.0) == pytest.approx(0.6)


def plain_contrast(values, first, last, margin):
    """Position by position. last: inclusive"""
    length = last - first + 1
    inside = [v for i, v in enumerate(values) if first <= i <= last]
    around = [
        v
        for i, v in enumerate(values)
        if (int(first - margin * length) <= i < first) or (last < i <= int(last + margin * length))
    ]
    return sum(inside) / len(inside) - (sum(around) / len(around) if around else 0)


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.25, 2.0])
@pytest.mark.parametrize("zeroed", [False, True])
def test_contrast_is_what_a_loop_computes(margin, zeroed):
    values = np.random.default_rng(4).random(60)
    found = list(scored_runs(values, 0.4, 0.3, margin=margin, video=0.2, zeroed=zeroed))
    assert len(found) > 5
    for (first, last), score in found:
        taken = [v if v >= 0.4 or not zeroed else 0.0 for v in values]
        assert score == pytest.approx(plain_contrast(taken, first, last - 1, margin) + 0.06)


def test_zeroing_hides_a_high_surrounding():
    values = np.array([0.4, 0.4, 0.6, 0.4, 0.4])
    ((_, plain),) = scored_runs(values, 0.5, 0.0, margin=1.0)
    ((_, zeroed),) = scored_runs(values, 0.5, 0.0, margin=1.0, zeroed=True)
    assert (plain, zeroed) == (pytest.approx(0.2), pytest.approx(0.6))


# -- classes


def test_classes_that_reach_the_threshold():
    assert select_classes(np.array([0.3, 0.25, 0.2]), 0.25).tolist() == [0, 1]


def test_the_highest_stands_in_where_none_is_high_enough():
    score = np.array([0.1, 0.4, 0.4])
    assert select_classes(score, 0.85).tolist() == [1]
    assert select_classes(score, 0.85, fallback=False).tolist() == []
    assert select_classes(np.zeros(2), 0.85).tolist() == [0]


def test_a_share_of_the_highest_is_enough_as_well():
    assert select_classes(np.array([0.1, 0.4, 0.2, 0.19]), 0.85, relative=0.5).tolist() == [1, 2]


def test_no_classes_none_chosen():
    assert select_classes(np.empty(0)).tolist() == []


# -- all together


def test_segments_lie_on_the_rows_own_seconds():
    seconds = np.array([[0.0, 0.5], [0.5, 2.0], [2.0, 2.2], [5.0, 7.0], [7.0, 7.1]])
    found = detect(column(0.9, 0.8, 0.1, 0.6, 0.2), seconds, np.array([1.0]), PLAIN)
    assert [(p.segment, p.class_index) for p in found] == [(Segment(0.0, 2.0), 0), (Segment(5.0, 7.0), 0)]
    assert [p.score for p in found] == pytest.approx([0.85, 0.6])


def test_a_step_between_rows_is_found_where_the_rows_meet():
    curve = column(*[0.0] * 4, *[1.0] * 4, *[0.0] * 4)
    options = proposal_options("robust", theta_loc=(0.5,), nms="none", step_seconds=0.1)
    (centred,) = detect(curve, rows_of(12, 0.64), np.array([0.9]), options)
    (early,) = detect(curve, rows_of(12, 0.64), np.array([0.9]), proposal_options("paper", theta_cls=0.5))
    assert centred.segment.start == pytest.approx(4 * 0.64, abs=0.1)
    assert centred.segment.end == pytest.approx(8 * 0.64, abs=0.1)
    # public code's alignment: values at the starts of rows, half a snippet earlier
    assert early.segment.start == pytest.approx(3.5 * 0.64, abs=0.1)


def test_an_offset_clock_moves_every_segment():
    curve = np.random.default_rng(1).random((30, 2))
    score = np.array([0.6, 0.4])
    near, far = (detect(curve, rows_of(30, 0.64, start), score) for start in (0.0, 100.0))
    assert len(near) > 5
    for one, other in zip(near, far, strict=True):
        assert (other.segment.start, other.segment.end, other.score) == pytest.approx(
            (one.segment.start + 100, one.segment.end + 100, one.score)
        )


def test_proposals_of_several_thresholds_compete():
    curve = column(0.1, 0.4, 0.9, 0.4, 0.1)
    options = proposal_options("robust", theta_loc=(0.3, 0.8), stretch=False, step_seconds=0, nms="none", score="max")
    segments = {p.segment for p in detect(curve, rows_of(5), np.array([1.0]), options)}
    assert segments == {Segment(1.0, 4.0), Segment(2.0, 3.0)}


def test_one_run_of_two_thresholds_is_one_proposal():
    options = proposal_options("robust", theta_loc=(0.3, 0.4), step_seconds=0, nms="none")
    assert len(detect(column(0, 1, 0), rows_of(3), np.array([1.0]), options)) == 1


@pytest.mark.parametrize("theta_loc", [(0.4, 0.5), (0.5, 0.4)])
def test_a_run_over_several_thresholds_has_its_highest_score(theta_loc):
    # around rows 1-2, within their length, lies .45: zeroed it counts over .4 and not over .5
    options = proposal_options(
        "robust", theta_loc=theta_loc, stretch=False, step_seconds=0, nms="none", oic_zeroed=True, oic_margin=1.0
    )
    found = detect(column(0, 0.9, 0.9, 0, 0.45, 0), rows_of(6), np.array([1.0]), options)
    assert found[0].segment == Segment(1.0, 3.0)
    assert found[0].score == pytest.approx((0.9 - 0 + 0.2) / 1.2)


@pytest.mark.parametrize("preset", PRESETS)
def test_scores_fall_and_segments_lie_in_the_video(preset):
    curve = np.random.default_rng(2).random((80, 4))
    found = detect(curve, rows_of(80, 0.64), np.array([0.5, 0.3, 0.15, 0.005]), PRESETS[preset])
    assert len(found) > 3
    assert all(a.score >= b.score for a, b in itertools.pairwise(found))
    assert all(0 <= p.segment.start < p.segment.end <= 80 * 0.64 + 1e-9 for p in found)
    assert {p.class_index for p in found} == ({0, 1, 2} if preset == "robust" else {0})


def test_classes_are_suppressed_apart():
    curve = np.repeat(column(0.1, 0.9, 0.9, 0.1), 2, axis=1)
    options = proposal_options("robust", theta_loc=(0.5,), nms="hard")
    found = detect(curve, rows_of(4), np.array([0.5, 0.5]), options)
    assert [p.class_index for p in found] == [0, 1]
    assert found[0].score == found[1].score


@pytest.mark.parametrize("nms", ["gaussian", "linear", "hard"])
def test_suppression_leaves_the_best_as_it_is(nms):
    curve, seconds = np.random.default_rng(3).random((40, 1)), rows_of(40, 0.64)
    before = detect(curve, seconds, np.array([1.0]), proposal_options("robust", nms="none"))
    after = detect(curve, seconds, np.array([1.0]), proposal_options("robust", nms=nms))
    assert after[0] == before[0]
    assert sum(p.score for p in after) < sum(p.score for p in before)


def test_a_flat_curve_is_one_segment_or_none():
    high, low = (detect(np.full((6, 1), p), rows_of(6), np.array([1.0])) for p in (0.95, 0.05))
    assert [p.segment for p in high] == [Segment(0.0, 6.0)]
    assert low == []


def test_a_run_of_the_first_row_alone_is_kept():
    found = detect(column(0.9, 0.1, 0.1), rows_of(3), np.array([1.0]), PLAIN)
    assert [p.segment for p in found] == [Segment(0.0, 1.0)]


def test_a_video_of_one_row():
    (found,) = detect(column(0.9), np.array([[2.0, 2.5]]), np.array([0.9]))
    assert found.segment == Segment(2.0, 2.5)


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (0, 0)])
def test_nothing_in_nothing_out(shape):
    assert detect(np.zeros(shape), rows_of(shape[0]), np.zeros(shape[1])) == []


def test_the_limit_keeps_the_best_of_all_classes():
    curve = np.random.default_rng(5).random((60, 3))
    score = np.array([0.5, 0.4, 0.3])
    whole = detect(curve, rows_of(60), score)
    assert detect(curve, rows_of(60), score, proposal_options("robust", max_proposals=4)) == whole[:4]


def test_rows_of_overlapping_windows_give_ordered_segments():
    starts = np.arange(30) * 0.16
    curve = np.random.default_rng(6).random((30, 1))
    found = detect(curve, np.stack([starts, starts + 0.64], axis=1), np.array([1.0]))
    assert len(found) > 3
    assert all(p.segment.duration > 0 for p in found)


def test_mean_and_max_are_probabilities_even_where_curves_are_stretched():
    curve = column(0.1, 0.3, 0.2)
    for score, expected in (("mean", 0.3), ("max", 0.3)):
        options = proposal_options("robust", theta_loc=(0.9,), step_seconds=0, score=score)
        assert [p.score for p in detect(curve, rows_of(3), np.array([1.0]), options)] == [pytest.approx(expected)]


@pytest.mark.parametrize(
    ("curve", "seconds", "score"),
    [
        (np.zeros(3), rows_of(3), np.zeros(1)),
        (np.zeros((3, 1)), rows_of(4), np.zeros(1)),
        (np.zeros((3, 1)), rows_of(3), np.zeros(2)),
        (np.full((3, 1), np.nan), rows_of(3), np.zeros(1)),
        (np.zeros((3, 1)), rows_of(3)[::-1], np.zeros(1)),
    ],
)
def test_curves_that_do_not_fit_are_refused(curve, seconds, score):
    with pytest.raises(ValueError, match="must be"):
        detect(curve, seconds, score)


# -- options


def test_the_paper_says_two_thresholds():
    paper = PRESETS["paper"]
    assert (paper.theta_loc, paper.theta_cls, paper.stretch) == ((0.45,), 0.85, False)


def test_thresholds_are_decimals_as_written():
    assert PRESETS["robust"].theta_loc[:4] == (0.1, 0.15, 0.2, 0.25)
    assert PRESETS["robust"].theta_loc[4] == 0.3
    assert PRESETS["robust"].theta_loc[-1] == 0.9
    assert len(PRESETS["robust"].theta_loc) == 17


def test_one_threshold_may_be_a_number():
    assert ProposalOptions(theta_loc=0.4).theta_loc == (0.4,)


@pytest.mark.parametrize(
    "change",
    [
        {"theta_loc": ()}, {"theta_loc": (1.2,)}, {"theta_loc": (math.nan,)}, {"theta_cls": -0.1}, {"theta_cls": 2},
        {"theta_relative": 1.5}, {"step_seconds": -1}, {"step_seconds": math.inf}, {"align": "end"}, {"score": "sum"},
        {"oic_margin": -0.1}, {"oic_video": math.nan}, {"nms": "soft"}, {"nms_sigma": 0}, {"nms_threshold": 1.1},
        {"min_score": math.nan}, {"max_proposals": 0},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_refused_with_its_name(change):
    with pytest.raises(BadInput, match=next(iter(change))):
        proposal_options("paper", **change)


def test_unknown_presets_and_options_are_named():
    with pytest.raises(UnknownName, match="robust"):
        proposal_options("robus")
    with pytest.raises(UnknownName, match="theta_loc"):
        proposal_options("robust", theta_lok=0.3)


def test_wiggles_of_an_absent_class_do_not_rank_with_an_action():
    # class 0 is there with .9 over rows 3-5; class 1 never exceeds .2 and varies as much as .15
    curve = np.full((10, 2), 0.05)
    curve[3:6, 0] = 0.9
    curve[7:9, 1] = 0.2
    score = np.array([0.9, 0.2])
    plain = detect(curve, rows_of(10), score, proposal_options("robust", step_seconds=0))
    assert plain[0].class_index == 0 and plain[0].score > 3 * max(p.score for p in plain if p.class_index == 1)
    stretched = detect(curve, rows_of(10), score, proposal_options("robust", step_seconds=0, oic_of="stretched"))
    best = [max(p.score for p in stretched if p.class_index == c) for c in (0, 1)]
    assert best[1] == pytest.approx((1 + 0.2 * 0.2) / 1.2)  # stretched to 0..1, it is as sure as the other
    assert best[0] == pytest.approx((1 + 0.2 * 0.9) / 1.2)


def test_the_score_of_a_certain_action_is_one():
    found = detect(column(0, 0, 1, 1, 0, 0), rows_of(6), np.array([1.0]), proposal_options("robust", step_seconds=0))
    assert found[0].segment == Segment(2.0, 4.0) and found[0].score == pytest.approx(1.0)
