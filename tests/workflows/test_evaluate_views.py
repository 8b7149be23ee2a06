"""Pictures and pages of stored results: the numbers in them are those of the tables."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vidlang.core import BadInput, Detection, Hit, Label, Ranking, Rankings, Scores, Segment, VideoInfo
from vidlang.core.labels import LabelledSegment
from vidlang.methods.fame.options import MaskOptions
from vidlang.metrics import localization
from vidlang.metrics.anomaly import measure
from vidlang.metrics.curves import Points
from vidlang.report.evaluation_page import evaluation_page
from vidlang.report.evaluation_plots import Bars, Lines, Matrix
from vidlang.store.rankings import write_rankings
from vidlang.store.results import write_detections, write_scores
from vidlang.workflows.evaluate import evaluate_anomaly
from vidlang.workflows.evaluate_background import BackgroundReport, BackgroundRow, Swap
from vidlang.workflows.evaluate_localization import evaluate_localization
from vidlang.workflows.evaluate_representation import OWN, PROBE, RepresentationReport, Row
from vidlang.workflows.evaluate_retrieval import evaluate_retrieval
from vidlang.workflows.evaluate_targets import PictureTargets
from vidlang.workflows.evaluate_views import anomaly_view
from vidlang.workflows.evaluate_views_localization import localization_view
from vidlang.workflows.evaluate_views_networks import background_view, representation_view

CLASSES = ("normal", "fire", "fight")


def scores_of(video_id: str, curve: list[float], class_index: int) -> Scores:
    """One row a second; all probability of an anomaly is that of one class."""
    anomaly = np.array(curve, np.float32)
    edges = np.arange(len(curve) + 1) * 10
    frames = np.stack([edges[:-1], edges[1:]], axis=1)
    classes = np.zeros((len(curve), 3), np.float32)
    classes[:, 0], classes[:, class_index] = 1 - anomaly, anomaly
    return Scores(
        VideoInfo(video_id, int(edges[-1]), edges[-1] / 10, 10.0, (8, 8)),
        frames,
        frames / 10,
        anomaly,
        classes,
        CLASSES,
        {"branch": "c", "threshold": 0.5, "checkpoint": "best", "method": "vadclip"},
        {"c": anomaly, "a": np.clip(anomaly * 0.7 + 0.1, 0, 1)},
    )


def burning(start: float, end: float, name: str = "fire") -> tuple[LabelledSegment, ...]:
    return (LabelledSegment(name, Segment(start, end)),)


SCORES = [
    scores_of("calm.mp4", [0.1, 0.2, 0.1], 1),
    scores_of("alarm.mp4", [0.1, 0.8, 0.3], 2),
    scores_of("seen.mp4", [0.2, 0.9, 0.7, 0.1], 1),
    scores_of("unseen.mp4", [0.2, 0.4, 0.1, 0.3], 2),
]
LABELS = [
    Label("calm.mp4", ("normal",), timed=True),
    Label("alarm.mp4", ("normal",), timed=True),
    Label("seen.mp4", ("fire",), burning(1, 3), timed=True),
    Label("unseen.mp4", ("fight",), burning(0.5, 2, "fight"), timed=True),
]


def view(labels=LABELS, folder=None, **changes):
    metrics = {title: measure(SCORES, labels, branch=branch).metrics for title, branch in (("C", "c"), ("A", "a"))}
    given = {"branches": ["c", "a"], "facts": [("results", "here")], "notes": [], "folder": folder, **changes}
    return anomaly_view(SCORES, labels, metrics, **given), metrics


def panel(evaluation, key: str):
    return {panel.key: panel for panel in evaluation.panels}[key]


def test_areas_under_the_drawn_curves_are_the_numbers_of_the_table(tmp_path):
    evaluation, metrics = view(folder=tmp_path)
    roc, pairs = panel(evaluation, "roc"), panel(evaluation, "precision_recall")
    for line, steps, (branch, values) in zip(roc.lines, pairs.lines, metrics.items(), strict=True):
        assert line.name == f"{branch}, AUC {values['frame_auc']:.3f}"
        assert Points(line.x, line.y).trapezoid_area() == pytest.approx(values["frame_auc"])
        assert steps.name == f"{branch}, AP {values['frame_ap']:.3f}"
        assert Points(steps.x, steps.y).step_area() == pytest.approx(values["frame_ap"])
    assert pairs.base.name == "base rate 0.250"  # 3.5 of 14 seconds
    assert ("frame_auc", metrics["C"]["frame_auc"], metrics["A"]["frame_auc"]) in evaluation.tables[0].rows


def test_bars_have_the_values_and_the_numbers_of_their_classes(tmp_path):
    evaluation, metrics = view(folder=tmp_path)
    bars = panel(evaluation, "frame_auc_by_class")
    assert dict(zip(bars.names, bars.values, strict=True)) == {
        name: metrics["C"][f"frame_auc/{name}"] for name in ("fight", "fire")
    }
    assert bars.counts == (1, 1) and bars.base[1] == metrics["C"]["frame_auc"]


def test_confusion_counts_videos_by_what_they_were_taken_for(tmp_path):
    matrix = panel(view(folder=tmp_path)[0], "confusion")
    assert (matrix.rows, matrix.columns) == (CLASSES, CLASSES)
    # calm is normal, the alarm is taken for a fight, the fire is seen, the fight stays below the threshold
    assert matrix.counts.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_the_worst_videos_are_false_alarms_and_missed_events(tmp_path):
    evaluation, _ = view(folder=tmp_path)
    alarms, missed = evaluation.worst
    assert [(row[0], row[1], row[3].seconds) for row in alarms.rows] == [("alarm.mp4", "normal", 1.0)]
    assert [(row[0], row[2]) for row in missed.rows] == [("unseen.mp4", pytest.approx(0.4))]
    assert [video.video_id for video in evaluation.videos] == ["alarm.mp4", "unseen.mp4"]


def test_pictures_of_the_videos_are_taken_along_where_they_are(tmp_path):
    (tmp_path / "alarm.mp4.png").write_bytes(b"PICTURE")
    alarm, unseen = view(folder=tmp_path)[0].videos
    assert alarm.picture == b"PICTURE" and unseen.picture is None


def test_without_times_the_curves_are_over_videos(tmp_path):
    bare = [replace(label, segments=(), timed=False) for label in LABELS]
    evaluation, metrics = view(bare, folder=tmp_path)
    roc = panel(evaluation, "roc")
    assert roc.title == "ROC over videos"
    assert Points(roc.lines[0].x, roc.lines[0].y).trapezoid_area() == pytest.approx(metrics["C"]["video_auc"])


@pytest.fixture
def stored(tmp_path):
    write_scores(tmp_path / "scores.jsonl", SCORES)
    rows = ["calm.mp4,normal,,", "alarm.mp4,normal,,", "seen.mp4,fire,1,3", "unseen.mp4,fight,0.5,2"]
    (tmp_path / "labels.csv").write_text("\n".join(["video,label,start,end", *rows]) + "\n")
    return tmp_path


def test_eval_writes_a_sheet_and_a_page(workspace, stored):
    targets = PictureTargets(stored / "out" / "a.pdf", stored / "out" / "a.html")
    report = evaluate_anomaly(workspace, stored, manifest=stored / "labels.csv", pictures=targets)
    assert report.files == (stored / "out" / "a.pdf", stored / "out" / "a.html")
    assert report.files[0].read_bytes().startswith(b"%PDF")
    html = report.files[1].read_text(encoding="utf-8")
    for words in (
        "labels.csv",
        "best",
        "vadclip",
        "alarm.mp4",
        f"{report.metrics['C-branch (classifier)']['frame_auc']:.3f}",
    ):
        assert words in html
    assert json.dumps(report.to_dict()) == json.dumps(
        evaluate_anomaly(workspace, stored, manifest=stored / "labels.csv").to_dict()
    )


def test_a_folder_gets_one_picture_each(workspace, stored):
    report = evaluate_anomaly(
        workspace, stored, manifest=stored / "labels.csv", pictures=PictureTargets(stored / "pictures")
    )
    assert {path.name for path in report.files} >= {"roc.png", "precision_recall.png", "confusion.png"}
    assert all(Image.open(path).width > 400 for path in report.files)


@pytest.mark.parametrize(
    ("plot", "report", "message"),
    [("a.jpg", None, "--plot takes"), (None, "a.pdf", "--report takes"), (None, "page", "--report takes")],
)
def test_other_endings_are_refused_before_anything_is_measured(tmp_path, plot, report, message):
    with pytest.raises(BadInput, match=message):
        PictureTargets(plot and tmp_path / plot, report and tmp_path / report)


# -- segments --------------------------------------------------------------------------------------------------------

TRUTH = [
    Label("v", ("jump", "run"), (*burning(0, 10, "jump"), *burning(20, 30, "run")), timed=True),
    Label("w", ("run",), burning(0, 5, "run"), timed=True),
]
FOUND = [
    Detection("v", Segment(0, 10), "jump", 0.9),
    Detection("v", Segment(20, 30), "jump", 0.8),
    Detection("v", Segment(21, 30), "run", 0.3),
    Detection("w", Segment(50, 60), "run", 0.7),
]


def test_segments_have_curves_whose_areas_are_the_table(tmp_path):
    scores = localization.evaluate(FOUND, TRUTH)
    evaluation = localization_view(scores, FOUND, TRUTH, [], facts=[], notes=[])
    at_half = dict(zip(scores.class_names, scores.per_class[scores.thresholds.index(0.5)], strict=True))
    for line in panel(evaluation, "precision_recall").lines:
        assert Points(line.x, line.y).step_area() == pytest.approx(at_half[line.name.split(",")[0]])
    (line,) = panel(evaluation, "map_over_tiou").lines
    assert (line.x.tolist(), line.y.tolist()) == (list(scores.thresholds), list(scores.mean))
    bars = panel(evaluation, "ap_by_class")
    assert (bars.names, bars.values, bars.counts) == (("jump", "run"), (at_half["jump"], at_half["run"]), (1, 2))
    matrix = panel(evaluation, "confusion")
    assert matrix.columns == ("jump", "run", "(nothing found)")
    assert matrix.counts.tolist() == [[1, 0, 0], [1, 0, 1]]  # one run is taken for a jump, one is not found
    alarms, missed = evaluation.worst
    assert [row[:3] for row in alarms.rows] == [("w", "run", 1), ("v", "jump", 2)]
    assert [row[:3] for row in missed.rows] == [("v", "run", "jump"), ("w", "run", "(nothing found)")]
    assert evaluation_page(evaluation)


def test_eval_localization_draws_with_any_protocol(workspace, tmp_path):
    write_detections(tmp_path / "detections.jsonl", FOUND)
    (tmp_path / "gt.csv").write_text("video,label,start,end\nv,jump,0,10\nv,run,20,30\nw,run,0,5\n")
    for protocol, thresholds in (("snippets", None), ("activitynet", None), ("thumos14", [0.3])):
        report = evaluate_localization(
            workspace,
            tmp_path,
            manifest=tmp_path / "gt.csv",
            protocol=protocol,
            thresholds=thresholds,
            pictures=PictureTargets(tmp_path / "a.png"),
        )
        assert report.files == (tmp_path / "a.png",)


# -- rankings and networks -------------------------------------------------------------------------------------------


def test_eval_retrieval_draws_and_names_the_worst_queries(workspace, tmp_path):
    hits = {"a": ["x", "y", "z"], "b": ["z", "y", "x"]}
    found = tuple(Ranking(q, tuple(Hit(v, 1 - i / 10) for i, v in enumerate(ids))) for q, ids in hits.items())
    write_rankings(tmp_path / "rankings.jsonl", Rankings(found, ("x", "y", "z"), {"encoder": "mini"}))
    (tmp_path / "pairs.csv").write_text("query,video\na,x\nb,x\n")
    targets = PictureTargets(tmp_path / "a.png", tmp_path / "a.html")
    report = evaluate_retrieval(workspace, tmp_path, pairs=tmp_path / "pairs.csv", pictures=targets)
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert report.files == (tmp_path / "a.png", tmp_path / "a.html")
    assert "Worst queries" in html and html.index('href="#video-1">b<') < html.index('href="#video-2">a<')


def test_features_of_networks_have_bars_recall_and_confusion():
    counts = np.array([[3, 1], [0, 4]])
    rows = (
        Row("best", OWN, {"top-1": 0.75, "top-5": None}, {1: 0.5, 5: None}, 8),
        Row("best", PROBE, {"top-1": 0.875, "top-5": None}, {1: 0.5, 5: None}, 8, counts),
        Row("random weights", PROBE, {"top-1": 0.5, "top-5": None}, {1: 0.25, 5: None}, 8),
    )
    protocol = {"classes": ["run", "jump"], "commonest_class": 0.5, "queries": {"split": "test", "videos": 8}}
    evaluation = representation_view(RepresentationReport("best", protocol, rows, (), ("a note",)))
    bars, recall, matrix = evaluation.panels
    assert isinstance(bars, Bars) and bars.values == (0.75, 0.875, 0.5) and bars.base[1] == 0.5
    assert isinstance(recall, Lines) and [line.y.tolist() for line in recall.lines] == [[0.5], [0.25]]
    assert isinstance(matrix, Matrix) and matrix.counts is counts
    assert evaluation_page(evaluation)


def test_backgrounds_have_bars_and_a_point_for_each_clip():
    swaps = (
        Swap("a.mp4", "same", "b.mp4", True, 0.9, 0.2, True),
        Swap("b.mp4", "same", "a.mp4", False, 0.1, 0.3, True),
        Swap("c.mp4", "same", "a.mp4", False, 0.1, 0.9, False),
    )
    row = BackgroundRow("same class", 2, 0.45, -0.25, 0.5, 1.0, 0.0, None)
    report = BackgroundReport((row,), swaps, 0.5, {"checkpoint": "best"}, MaskOptions(), (), ())
    evaluation = background_view(report, {"same": "same class"})
    change, flips, points = evaluation.panels
    assert isinstance(change, Bars) and (change.values, change.counts, flips.values) == ((0.45,), (2,), (0.5,))
    assert isinstance(points, Lines) and points.lines[0].x.tolist() == [0.9, 0.1]  # what stays whole is not counted
    assert [worst[0] for worst in evaluation.worst[0].rows] == ["a.mp4", "b.mp4"]
    assert evaluation_page(evaluation)
