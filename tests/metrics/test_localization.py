"""mAP of segments, video scores and frame labels: by head, by a plainer second way, and by recorded numbers."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from vidlang.core import BadInput, Detection, Segment
from vidlang.core.labels import Label, LabelledSegment
from vidlang.metrics.detection import TrueSegment, _Predicted, class_average_precision
from vidlang.metrics.localization import (
    ACTIVITYNET,
    THUMOS14,
    average_precision,
    class_average_precisions,
    evaluate,
    frame_iou,
    in_ambiguous,
    mean_frame_iou,
    temporal_iou,
    to_snippets,
    true_rows,
    video_classification,
)


def label_of(video, *events, classes=None):
    """events: (class, start, end)"""
    segments = tuple(LabelledSegment(name, Segment(start, end)) for name, start, end in events)
    return Label(video, classes or tuple(dict.fromkeys(name for name, *_ in events)), segments)


def found(video, name, start, end, score):
    return Detection(video, Segment(start, end), name, score)


TRUTH = [label_of("a", ("jump", 0, 10), ("jump", 20, 30), ("run", 5, 15)), label_of("b", ("jump", 2, 4))]
PERFECT = [found(t.video_id, e.label, e.segment.start, e.segment.end, 0.9) for t in TRUTH for e in t.segments]


# -- one class -------------------------------------------------------------------------------------------------------


def test_iou_by_head():
    # 5 of 15, all, touching, apart; an empty segment shares nothing, not even with itself
    overlaps = temporal_iou([[0, 10], [3, 3]], [[5, 15], [0, 10], [10, 20], [50, 60], [3, 3]])
    assert overlaps.tolist() == [[1 / 3, 1, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_one_hit_and_one_miss():
    # miss, hit, hit of three instances: precision 0, 1/2, 2/3
    assert average_precision([False, True, True], 3, "hits") == pytest.approx((1 / 2 + 2 / 3) / 3)
    # the precision at rank 2 is raised to the 2/3 that comes later
    assert average_precision([False, True, True], 3, "interp") == pytest.approx((2 / 3 + 2 / 3) / 3)


def test_nothing_predicted_is_zero():
    assert average_precision([], 2) == 0
    assert class_average_precisions([], [], [], {"a": [[0, 1]]}).tolist() == [0] * len(THUMOS14)


def test_more_hits_than_instances_are_refused():
    with pytest.raises(ValueError, match="2 hits"):
        average_precision([True, True], 1)
    with pytest.raises(ValueError, match="of 0 instances"):
        average_precision([], 0)


def test_a_second_detection_of_an_instance_is_wrong():
    ap = class_average_precisions(["a"] * 2 + ["b"], [[0, 10]] * 3, [0.9, 0.8, 0.7], {"a": [[0, 10]], "b": [[0, 10]]})
    assert ap == pytest.approx((1 + 2 / 3) / 2)


def test_a_taken_instance_leaves_the_next_best_one():
    segments = [[0, 10], [0.2, 10.2]]
    assert class_average_precisions(["a", "a"], segments, [0.9, 0.8], {"a": [[0, 10], [1, 11]]}).tolist() == [1] * 7


def test_overlap_equal_to_the_threshold_is_a_hit():
    # 3 of 10 seconds: a threshold of 0.1 + 0.2 would be missed
    assert class_average_precisions(["a"], [[0, 3]], [1], {"a": [[0, 10]]}, (0.3,)).tolist() == [1]
    assert class_average_precisions(["a"], [[0, 3]], [1], {"a": [[0, 10]]}, (0.1 + 0.2,)).tolist() == [0]


def test_equal_scores_keep_the_order_of_the_input():
    truth, wrong, right = {"a": [[0, 10]]}, [50, 60], [0, 10]
    assert class_average_precisions(["a"] * 2, [right, wrong], [0.5, 0.5], truth, (0.5,)) == 1
    assert class_average_precisions(["a"] * 2, [wrong, right], [0.5, 0.5], truth, (0.5,)) == 0.5


@pytest.mark.parametrize("thresholds", [(), (0,), (1.1,), (0.5, 0.5), (math.nan,)])
def test_thresholds_that_cannot_be_are_refused(thresholds):
    with pytest.raises(ValueError, match="tIoU thresholds"):
        class_average_precisions(["a"], [[0, 1]], [1], {"a": [[0, 1]]}, thresholds)


@pytest.mark.parametrize("seed", range(5))
def test_the_plain_way_of_the_anomaly_evaluation_gives_the_same_hits(seed):
    random = np.random.default_rng(seed)
    starts = random.integers(0, 40, 30)
    segments = np.stack([starts, starts + random.integers(1, 20, 30)], axis=1).astype(float)
    scores = random.integers(0, 8, 30) / 8  # many are equal
    videos = random.integers(0, 3, 30)
    truth = {v: [[s, s + 9.0] for s in random.integers(0, 40, 4)] for v in range(2)}
    plain = [_Predicted(int(v), *map(float, s), float(c)) for v, s, c in zip(videos, segments, scores, strict=True)]
    true = [[TrueSegment("x", *pair) for pair in truth.get(v, [])] for v in range(3)]
    ours = class_average_precisions(
        [str(v) for v in videos], segments, scores, {str(v): t for v, t in truth.items()}, THUMOS14, "hits"
    )
    assert ours == pytest.approx([class_average_precision(plain, true, threshold) for threshold in THUMOS14], abs=1e-12)
    assert 0 < ours[0] < 1


# -- all classes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["thumos14", "activitynet"])
@pytest.mark.parametrize("area", ["interp", "hits"])
def test_perfect_predictions_score_one(protocol, area):
    scores = evaluate(PERFECT, TRUTH, protocol=protocol, area=area)
    assert set(scores.mean) == {1.0} and scores.average == 1
    assert set(scores.averages.values()) == {1.0}
    assert (scores.protocol, scores.area, scores.notes) == (protocol, area, ())


def test_the_table_counts_instances_and_predictions_by_class():
    scores = evaluate([*PERFECT, found("a", "run", 90, 91, 0.1)], TRUTH)
    assert (scores.class_names, scores.num_instances, scores.num_predicted) == (("jump", "run"), (3, 1), (3, 2))
    assert (scores.num_videos, len(scores.per_class), len(scores.per_class[0])) == (2, 7, 2)


def test_a_class_without_predictions_counts_zero():
    scores = evaluate([p for p in PERFECT if p.label == "jump"], TRUTH)
    assert set(scores.mean) == {0.5}
    assert "1 class without a prediction counted as 0: run" in scores.notes


def test_no_prediction_at_all_scores_zero():
    assert evaluate([], TRUTH).average == 0


def test_unknown_labels_are_left_out_and_counted():
    scores = evaluate([*PERFECT, found("a", "Jump", 0, 10, 1.0), found("b", "Jump", 0, 10, 1.0)], TRUTH)
    assert scores.average == 1 and scores.skipped["unknown_label"] == 2
    assert "2 predictions with a label that the truth does not have left out: Jump" in scores.notes


def test_predictions_outside_the_videos_are_wrong_unless_dropped():
    outside = [found("c", "run", 5, 15, 1.0), *PERFECT]
    wrong, dropped = evaluate(outside, TRUTH), evaluate(outside, TRUTH, outside="drop")
    assert wrong.per_class[0] == (1, 0.5) and wrong.num_outside == 1
    assert dropped.per_class[0] == (1, 1) and (dropped.num_outside, dropped.skipped["outside"]) == (0, 1)
    assert any("counted as wrong" in note for note in wrong.notes)
    assert any("outside the truth left out" in note for note in dropped.notes)


def test_averages_appear_where_their_thresholds_were_measured():
    assert set(evaluate(PERFECT, TRUTH).averages) == {"0.1:0.5", "0.1:0.7", "0.3:0.7"}
    assert set(evaluate(PERFECT, TRUTH, protocol="activitynet").averages) == {"0.5:0.95"}
    assert evaluate(PERFECT, TRUTH, thresholds=(0.5,)).averages == {}
    assert tuple(float(f"{n / 100:.2f}") for n in range(50, 100, 5)) == ACTIVITYNET


def test_an_average_is_the_mean_of_its_maps():
    half = [found("a", "jump", 0, 4.5, 0.9)]  # tIoU 0.45
    scores = evaluate(half, [label_of("a", ("jump", 0, 10))])
    assert scores.mean == (1, 1, 1, 1, 0, 0, 0)
    assert scores.averages == pytest.approx({"0.1:0.5": 4 / 5, "0.1:0.7": 4 / 7, "0.3:0.7": 2 / 5})


def test_truth_that_cannot_be_judged_is_refused():
    frames = Label("a", ("jump",), (LabelledSegment("jump", span=(0, 25)),))
    for truth, message in (
        ([], "no segment"),
        ([Label("a", ("jump",))], "no segment"),
        ([frames], "in frames"),
        ([*TRUTH, TRUTH[0]], "listed twice"),
    ):
        with pytest.raises(BadInput, match=message):
            evaluate(PERFECT, truth)


def test_wrong_names_and_numbers_are_refused():
    for changes in ({"protocol": "thumos"}, {"area": "voc"}, {"outside": "skip"}):
        with pytest.raises(ValueError, match="must be one of"):
            evaluate(PERFECT, TRUTH, **changes)
    with pytest.raises(ValueError, match="finite"):
        evaluate([found("a", "jump", 0, 1, math.nan)], TRUTH)


def test_videos_whose_times_are_not_known_are_named():
    notes = evaluate(PERFECT, [*TRUTH, Label("c", ("run",))]).notes
    assert any("1 video with a class but not its times" in note and "c" in note for note in notes)


# -- snippets --------------------------------------------------------------------------------------------------------


def test_snippets_round_half_to_even():
    # 0.64 s a snippet: 0.5, 1.5, 2.5 and 3.5 snippets
    assert to_snippets([0.32, 0.96, 1.6, 2.24, 0.64]).tolist() == [0, 2, 2, 4, 1]


def test_a_shared_snippet_is_ambiguous_a_shared_edge_is_not():
    unclear = [label_of("a", ("Ambiguous", 6.4, 12.8))]  # snippets 10 to 20
    predictions = [
        found("a", "jump", 0, 6.4, 1),
        found("a", "jump", 0, 7.04, 1),
        found("a", "jump", 12.8, 20, 1),
        found("b", "jump", 6.4, 12.8, 1),
    ]
    assert in_ambiguous(predictions, unclear).tolist() == [False, True, False, False]
    truth = [label_of("a", ("jump", 0, 7.04))]
    assert evaluate(predictions[1:2], truth, protocol="snippets", ambiguous=unclear).skipped["ambiguous"] == 1
    assert evaluate(predictions[1:2], truth, protocol="thumos14", ambiguous=unclear).average == 1


def test_both_sides_lie_on_the_grid():
    truth, prediction = [label_of("a", ("jump", 0.1, 6.5))], [found("a", "jump", 0.0, 6.4, 1)]
    assert evaluate(prediction, truth, protocol="snippets", thresholds=(1.0,)).average == 1
    assert evaluate(prediction, truth, protocol="thumos14", thresholds=(1.0,)).average == 0


# -- videos and rows -------------------------------------------------------------------------------------------------


def test_video_classification_by_head():
    scores = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]
    # first class: ranks 1 and 3; second has no video
    result = video_classification(scores, [[1, 0], [0, 0], [1, 0]])
    assert result.per_class == (pytest.approx((1 + 2 / 3) / 2), None) and result.mean == result.per_class[0]
    assert video_classification([[0.5], [0.5]], [[0], [1]]).mean == 0.5  # equal: in the order of the videos
    with pytest.raises(ValueError, match="no video has any class"):
        video_classification(scores, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="N, C"):
        video_classification(scores, [[1], [0], [1]])


def test_frame_iou_by_head():
    labels = np.array([[1, 0], [1, 0], [-1, 0], [0, 0], [0, 0]])
    truth = np.array([[0, 0], [1, 0], [1, 0], [1, 0], [0, 0]])
    # drop: {0, 1} and {1, 3}, the background {3, 4} and {0, 4}; wrong: row 2 stays in the truth of the class
    assert frame_iou(labels, truth, "drop") == frame_iou(labels, truth)
    assert (frame_iou(labels, truth).foreground, frame_iou(labels, truth).background) == (1 / 3, 1 / 3)
    assert frame_iou(labels, truth, "wrong").foreground == 1 / 4
    assert frame_iou(truth, truth).foreground == frame_iou(truth, truth).background == 1


def test_undecided_background_is_dropped_or_missed():
    labels, truth = np.array([[-1, 0], [0, 0], [-1, 1]]), np.zeros((3, 2), dtype=bool)
    assert frame_iou(labels, truth, "drop").background == 1 / 2  # row 2 has a 1: it is decided, and wrong
    assert frame_iou(labels, truth, "wrong").background == 1 / 3


def test_no_row_on_either_side_is_nan_and_takes_no_part_in_the_mean():
    nothing = frame_iou(np.zeros((2, 1)), np.zeros((2, 1)))
    assert math.isnan(nothing.foreground) and nothing.background == 1
    everything = frame_iou(np.ones((2, 1)), np.ones((2, 1)))
    mean = mean_frame_iou([nothing, everything])
    assert (mean.foreground, mean.background) == (1, 1)
    assert math.isnan(mean_frame_iou([]).foreground)


def test_frame_iou_refuses_what_cannot_be():
    for labels, truth in (([[2]], [[1]]), ([[1]], [[-1]]), ([[1, 0]], [[1]]), ([1], [1])):
        with pytest.raises(ValueError):
            frame_iou(labels, truth)


def test_rows_show_what_their_middle_shows():
    seconds = np.stack([np.arange(5), np.arange(5) + 1.0], axis=1)
    rows = true_rows(label_of("a", ("run", 0.5, 2.5), ("jump", 0, 1), ("other", 0, 5)), seconds, ("jump", "run"))
    assert rows.tolist() == [[True, True], [False, True], [False, False], [False, False], [False, False]]


# -- recorded numbers ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def golden(golden_dir):
    folder = golden_dir / "wtal"
    return lambda name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def labels_in(database, subset):
    return [
        label_of(video, *((a["label"], *map(float, a["segment"])) for a in entry["annotations"]))
        for video, entry in database["database"].items()
        if entry["subset"] == subset
    ]


def predictions_in(results):
    return [
        found(video, p["label"], *map(float, p["segment"]), p["score"])
        for video, found_there in results["results"].items()
        for p in found_there
    ]


def assert_table(scores, expected):
    assert list(scores.class_names) == expected["classes"]
    np.testing.assert_allclose(np.array(scores.per_class).T, expected["ap"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("protocol", "name"), [("thumos14", "thumos"), ("activitynet", "anet")])
def test_recorded_map_of_the_synthetic_set(golden, protocol, name):
    expected = golden("eval_expected")["expected"][name]
    truth, predictions = labels_in(golden("eval_gt"), "test"), predictions_in(golden("eval_pred"))
    scores = evaluate(predictions, truth, protocol=protocol, thresholds=expected["tiou"])
    assert_table(scores, expected)
    assert scores.mean == pytest.approx(expected["map"], abs=1e-9)
    assert scores.average == pytest.approx(expected["average_map_all"], abs=1e-9)
    named = {"0.1:0.5": "avg_0_1_to_0_5", "0.1:0.7": "avg_0_1_to_0_7", "0.3:0.7": "avg_0_3_to_0_7"}
    recorded = {ours: expected[theirs] for ours, theirs in named.items() if theirs in expected}
    assert {key: scores.averages[key] for key in recorded} == pytest.approx(recorded, abs=1e-9)
    assert len(recorded) == (3 if name == "thumos" else 0)


def test_recorded_edge_cases(golden):
    for case in golden("eval_expected")["edge"]:
        truth: dict[str, list[list[float]]] = {}
        for video, *times in case["gt"]:
            truth.setdefault(video, []).append(times)
        videos, times, scores = ([row[part] for row in case["pred"]] for part in (0, slice(1, 3), 3))
        ap = class_average_precisions(videos, times, scores, truth, case["tiou"])
        assert ap == pytest.approx(case["ap"], abs=1e-9), case["note"]


def test_recorded_map_on_the_truth_of_thumos14(golden):
    expected = golden("thumos_expected")
    truth, predictions = labels_in(golden("thumos_gt"), "test"), predictions_in(golden("thumos_pred"))
    scores = evaluate(predictions, truth, thresholds=expected["tiou"])
    assert_table(scores, expected)
    for ours, theirs in (("0.1:0.5", "0_1_to_0_5"), ("0.1:0.7", "0_1_to_0_7"), ("0.3:0.7", "0_3_to_0_7")):
        assert scores.averages[ours] == pytest.approx(expected[f"avg_{theirs}"], abs=1e-9)


def test_recorded_map_in_snippets(golden):
    case = golden("eval_snippet_protocol")
    seconds = 1 / case["factor_snippets_per_second"]
    predictions = [found(v, name, s * seconds, e * seconds, score) for v, name, s, e, score in case["pred_snippets"]]
    unclear: dict[str, list[tuple[str, float, float]]] = {}
    for video, start, end in case["ambiguous_seconds"]:
        unclear.setdefault(video, []).append(("Ambiguous", start, end))
    ambiguous = [label_of(video, *events) for video, events in unclear.items()]
    assert (~in_ambiguous(predictions, ambiguous)).astype(int).tolist() == case["keep"]
    on_grid: dict[str, list[tuple[str, float, float]]] = {}
    for video, name, start, end in case["gt_snippets"]:
        on_grid.setdefault(video, []).append((name, start * seconds, end * seconds))
    truths = [label_of(video, *events) for video, events in on_grid.items()], labels_in(golden("eval_gt"), "test")
    for truth in truths:  # rounded by the record, and in seconds
        scores = evaluate(predictions, truth, protocol="snippets", thresholds=case["tiou"], ambiguous=ambiguous)
        assert_table(scores, case)
        assert scores.skipped["ambiguous"] == case["keep"].count(0)


def test_recorded_video_classification(golden):
    case = golden("misc")["video_classification_ap"]
    mean = video_classification(np.array(case["score"])[:, None], np.array(case["label"])[:, None]).mean
    assert mean == pytest.approx(case["ap"], abs=1e-6)


@pytest.mark.parametrize("undecided", ["drop", "wrong"])
def test_recorded_frame_iou(golden_dir, undecided):
    with np.load(golden_dir / "wtal" / "losses.npz") as arrays:
        videos = [
            frame_iou(arrays["H_h30_l10"][i, :length], arrays["gt_frames"][i, :length], undecided)
            for i, length in enumerate(arrays["length"])
        ]
        for ours, theirs in (("foreground", "fg"), ("background", "bg")):
            expected = arrays[f"frame_iou_{theirs}_{undecided}"]
            np.testing.assert_allclose([getattr(v, ours) for v in videos], expected, rtol=0, atol=1e-9)
