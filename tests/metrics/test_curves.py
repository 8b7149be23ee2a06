"""The areas under drawn curves are the metrics, and tables of mistakes are counted by head."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.core import Detection, Label, RetrievalTruth, Scores, Segment, Similarities, VideoInfo
from vidlang.core.labels import LabelledSegment
from vidlang.metrics import localization, retrieval
from vidlang.metrics.anomaly import average_precision, frame_auc, judged_frames, measure
from vidlang.metrics.curves import (
    base_rate,
    class_of_video,
    confusion,
    precision_recall_points,
    ranking_points,
    roc_points,
)


def random_set(seed: int, ties: bool):
    random = np.random.default_rng(seed)
    scores = random.random(400)
    return random.random(400) < scores**2, np.round(scores, 1) if ties else scores, random.random(400) + 0.1


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighed", [False, True])
def test_the_area_under_drawn_points_is_the_metric(ties, weighed):
    truth, scores, weights = random_set(3, ties)
    given = weights if weighed else None
    assert roc_points(truth, scores, given).trapezoid_area() == pytest.approx(frame_auc(truth, scores, given))
    points = precision_recall_points(truth, scores, given)
    assert points.step_area() == pytest.approx(average_precision(truth, scores, given))
    assert (np.diff(points.x) >= 0).all()


def test_roc_by_head():
    """Falling scores: true, false, true, false. One of two true ones before any false one."""
    points = roc_points([True, False, True, False], [0.9, 0.8, 0.7, 0.1])
    assert list(zip(points.x.tolist(), points.y.tolist(), strict=True)) == [
        (0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)
    ]  # fmt: skip


def test_precision_and_recall_by_head():
    points = precision_recall_points([True, False, True, False], [0.9, 0.8, 0.7, 0.1])
    drawn = list(zip(points.x.tolist(), points.y.tolist(), strict=True))
    assert drawn[0] == (0, 1) and (0.5, 1) in drawn and (1.0, pytest.approx(2 / 3)) in drawn


def test_the_base_rate_counts_lengths():
    assert base_rate([True, False]) == 0.5
    assert base_rate([True, False], [3, 1]) == 0.75


@pytest.mark.parametrize("area", ["interp", "hits"])
def test_the_area_under_a_ranking_is_its_average_precision(area):
    hits = np.random.default_rng(5).random(50) < 0.3
    points = ranking_points(hits, 30, interpolated=area == "interp")
    assert points.step_area() == pytest.approx(localization.average_precision(hits, 30, area))
    assert points.x[-1] == pytest.approx(hits.sum() / 30)


def test_a_ranking_without_a_hit_has_no_area():
    assert ranking_points([False, False], 3, interpolated=True).step_area() == 0


def test_confusion_counts_rows_of_truth():
    counts = confusion(["a", "a", "b"], ["a", "c", "a"], ["a", "b"], ["a", "b", "c"])
    assert counts.tolist() == [[1, 0, 1], [1, 0, 0]]


def test_a_video_is_taken_for_the_class_of_its_alarmed_rows():
    curve = np.array([0.1, 0.9, 0.8])
    classes = np.array([[0.1, 0.9, 0.0], [0.2, 0.1, 0.7], [0.3, 0.1, 0.6]])  # fire wins where nothing alarms
    assert class_of_video(curve, classes, ("normal", "fire", "fight"), 0.5) == "fight"
    assert class_of_video(curve, classes, ("normal", "fire", "fight"), 0.95) == "normal"


# -- what was judged -------------------------------------------------------------------------------------------------


def scores_of(video_id: str, curve: list[float]) -> Scores:
    edges = np.arange(len(curve) + 1) * 10
    frames = np.stack([edges[:-1], edges[1:]], axis=1)
    video = VideoInfo(video_id, int(edges[-1]), edges[-1] / 10, 10.0, (8, 8))
    return Scores(video, frames, frames / 10, np.array(curve, np.float32), made_by={"branch": "c"})


SCORES = [scores_of("n", [0.3, 0.6]), scores_of("f", [0.1, 0.2, 0.9, 0.4])]
LABELS = [
    Label("n", ("normal",)),
    Label("f", ("fire",), (LabelledSegment("fire", Segment(1.0, 2.5)),)),
]


def test_judged_frames_are_those_of_the_metrics():
    judged = judged_frames(SCORES, LABELS)
    metrics = measure(SCORES, LABELS).metrics
    assert frame_auc(judged.truth, judged.scores, judged.weights) == pytest.approx(metrics["frame_auc"])
    assert average_precision(judged.truth, judged.scores, judged.weights) == pytest.approx(metrics["frame_ap"])


def test_peaks_are_told_apart_inside_and_outside_of_events():
    normal, fire = judged_frames(SCORES, LABELS).videos
    assert normal.inside is None and normal.outside == (pytest.approx(0.6), 1)
    # row 2 is burning until 2.5 s and not after, so its score stands on both sides
    assert fire.inside == (pytest.approx(0.9), 2) and fire.outside == (pytest.approx(0.9), 2)


def test_without_times_there_are_peaks_but_no_frames():
    judged = judged_frames(SCORES, [LABELS[0], Label("f", ("fire",))])
    assert len(judged.truth) == 0
    assert judged.videos[1].inside == (pytest.approx(0.9), 2) and judged.videos[1].outside is None


TRUTH = [
    Label("v", ("jump",), (LabelledSegment("jump", Segment(0, 10)), LabelledSegment("run", Segment(20, 30)))),
]
FOUND = [
    Detection("v", Segment(0, 10), "jump", 0.5),
    Detection("v", Segment(0, 9), "jump", 0.9),
    Detection("v", Segment(20, 30), "jump", 0.8),
    Detection("w", Segment(0, 10), "run", 0.7),
]


def test_rankings_of_classes_are_those_of_the_metrics():
    scores = localization.evaluate(FOUND, TRUTH, thresholds=[0.5])
    for c, (name, ranking) in enumerate(localization.class_rankings(FOUND, TRUTH, 0.5).items()):
        area = ranking_points(ranking.hits, ranking.num_true, interpolated=True).step_area()
        assert area == pytest.approx(scores.per_class[0][c])
        assert (name, len(ranking.predictions)) == (scores.class_names[c], scores.num_predicted[c])


def test_each_true_segment_has_its_strongest_prediction():
    jump, run = localization.found_instances(FOUND, TRUTH, 0.5)
    assert jump.best == FOUND[1] and run.best == FOUND[2]
    assert localization.found_instances(FOUND[3:], TRUTH, 0.5)[0].best is None


def test_the_steps_under_the_curve_of_pairs_are_the_micro_ap():
    random = np.random.default_rng(0)
    ids = tuple(f"g{place}" for place in range(30))
    queries = tuple(f"q{place}" for place in range(4))
    relevant = {query: {"match": frozenset(random.choice(ids, 5).tolist())} for query in queries}
    found = Similarities(queries, ids, np.round(random.random((4, 30)), 1).astype(np.float32))
    task = retrieval.evaluate(RetrievalTruth("pairs", "test", queries, relevant), found).tasks[0]
    assert task.pairs_curve is not None
    recall, precision = task.pairs_curve
    assert float((np.diff(recall) * precision[1:]).sum()) == pytest.approx(task.micro_ap)
    assert recall[0] == 0 and recall[-1] == 1
