"""Frame and video metrics: by head, against double loops, and against the published code's numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vidlang.core import BadInput, Label, LabelledSegment, Scores, Segment, VideoInfo
from vidlang.metrics.anomaly import (
    abnormal_auc,
    average_precision,
    evaluate,
    frame_auc,
    frames_of_truth,
    measure,
    pair,
    video_auc,
)

NAMES = ("normal", "fight", "fire")


def scores(name, anomaly, *, classes=None, class_names=(), stride=16, frame_rate=10.0, **facts):
    curve = np.array(anomaly, dtype=np.float32)
    edges = np.arange(len(curve) + 1, dtype=np.int64) * stride
    frames = np.stack([edges[:-1], edges[1:]], axis=1)
    info = VideoInfo(name, int(edges[-1]), float(edges[-1]) / frame_rate, frame_rate, (8, 8))
    values = None if classes is None else np.array(classes, dtype=np.float32)
    return Scores(info, frames, frames / frame_rate, curve, values, class_names, **facts)


def abnormal(name, *spans, label="fight", **facts):
    return Label(name, (label,), tuple(LabelledSegment(label, span=span) for span in spans), timed=True, **facts)


def normal(name, **facts):
    return Label(name, ("normal",), **facts)


SCORES = [scores("a", [0.1, 0.9, 0.8, 0.2]), scores("n", [0.3, 0.2])]
LABELS = [abnormal("a", (16, 48)), normal("n")]


def test_scores_that_follow_the_truth_score_one():
    found = evaluate(SCORES, LABELS)
    assert found == {"video_auc": 1, "video_auc_top": 1, "frame_auc": 1, "frame_ap": 1, "abnormal_auc": 1}


def test_inverted_scores_score_zero_and_say_so():
    report = measure([scores("a", [0.9, 0.1, 0.2, 0.8]), scores("n", [0.7, 0.8])], LABELS)
    assert report.metrics["frame_auc"] == 0
    assert any("frame AUC 0.000 is below 0.35: are labels or scores inverted?" in note for note in report.notes)


def test_constant_scores_are_chance_and_say_so():
    report = measure([scores("a", [0.5] * 4), scores("n", [0.5] * 2)], LABELS)
    assert report.metrics["frame_auc"] == 0.5
    assert report.metrics["frame_ap"] == pytest.approx(2 / 6)  # the share of true frames
    assert any("near chance" in note for note in report.notes)


def test_a_tie_counts_half():
    assert frame_auc([1, 0], [0.5, 0.5]) == 0.5
    assert frame_auc([1, 0, 0], [0.5, 0.5, 0.1]) == 0.75


def test_half_a_row_counts_half():
    # 8 true frames at 0.9, and 8 false ones tie with them; 16 false ones lie below.
    assert evaluate([scores("a", [0.9, 0.1])], [abnormal("a", (0, 8))])["frame_auc"] == pytest.approx(
        (8 * 0.5 + 16) / 24
    )


def test_the_abnormal_auc_leaves_out_normal_videos():
    noisy = [scores("a", [0.1, 0.5, 0.5, 0.2]), scores("n", [0.9, 0.9])]
    found = evaluate(noisy, LABELS)
    assert found["abnormal_auc"] == 1
    assert found["frame_auc"] == 0.5


def test_the_video_score_is_the_highest_row_or_the_mean_of_a_sixteenth():
    spike, plateau = [0.9] + [0.0] * 31, [0.5] * 32
    assert video_auc([0, 1], [spike, plateau]) == 0
    assert video_auc([0, 1], [spike, plateau], top_part=16) == 1  # means of 3 rows: 0.3 and 0.5


@pytest.mark.parametrize("seed", range(5))
def test_weights_agree_with_double_loops_over_frames(seed):
    generator = np.random.default_rng(seed)
    curve = generator.integers(0, 6, size=12) / 5  # few values, so that many tie
    spans = [(int(s), int(s) + 25) for s in generator.integers(0, 150, size=3)]
    truth = frames_of_truth([LabelledSegment("x", span=span) for span in spans], *rulers(12))
    frames = np.repeat(curve.astype(np.float32), 16)
    pairs = [(p > n) + 0.5 * (p == n) for p in frames[truth == 1] for n in frames[truth == 0]]
    steps = sorted(set(frames.tolist()), reverse=True)
    precision = [truth[frames >= s].mean() for s in steps]
    recall = [truth[frames >= s].sum() / truth.sum() for s in steps]
    area = sum(p * (r - before) for p, r, before in zip(precision, recall, [0, *recall], strict=False))
    found = evaluate([scores("a", curve)], [abnormal("a", *spans)])
    assert found["frame_auc"] == pytest.approx(np.mean(pairs), abs=1e-12)
    assert found["frame_ap"] == pytest.approx(area, abs=1e-12)


def rulers(num_rows):
    made = scores("x", [0] * num_rows)
    return made.frames, made.seconds


def test_truth_in_seconds_weighs_seconds():
    label = Label("a", ("fight",), (LabelledSegment("fight", Segment(0.0, 0.8)),), timed=True)
    report = measure([scores("a", [0.9, 0.1])], [label])
    assert report.ruler == "seconds"
    assert report.metrics["frame_auc"] == pytest.approx((0.8 * 0.5 + 1.6) / 2.4)


def test_frames_and_seconds_of_one_event_give_one_result():
    curves = [scores("a", [0.1, 0.6, 0.4, 0.2]), scores("b", [0.5, 0.7, 0.1])]
    counted = [abnormal("a", (10, 40)), abnormal("b", (3, 30))]
    timed = [Label("b", ("fight",), (LabelledSegment("fight", Segment(0.3, 3.0)),), timed=True)]
    assert evaluate(curves, counted) == pytest.approx(evaluate(curves, [counted[0], *timed]))


# What pairs up and what does not


def test_videos_pair_up_by_name_in_the_order_of_the_labels():
    pairs, notes = pair(SCORES[::-1], LABELS)
    assert [(s.video.id, label.video_id) for s, label in pairs] == [("a", "a"), ("n", "n")]
    assert notes == []
    assert evaluate(SCORES[::-1], LABELS) == evaluate(SCORES, LABELS)


@pytest.mark.parametrize(
    ("some_scores", "some_labels", "message"),
    [
        (SCORES[:1], LABELS, "1 labelled videos have no scores: n. Either score them"),
        (SCORES, LABELS[:1], "1 scored videos have no label: n. Either label them"),
        (SCORES, [abnormal("a", (0, 9), num_frames=200), LABELS[1]], r"another length .*a \(64 frames scored, 200 lab"),
        (SCORES, [abnormal("a", (0, 9), num_frames=40), LABELS[1]], r"a \(64 frames scored, 40 labelled\)"),
        ([*SCORES, SCORES[0]], LABELS, "a is listed twice in the scores"),
        (SCORES, [*LABELS, LABELS[0]], "a is listed twice in the labels"),
        ([SCORES[0], scores("n", [])], LABELS, "1 videos have scores without a row: n"),
    ],
)
def test_what_does_not_pair_up_is_named(some_scores, some_labels, message):
    with pytest.raises(BadInput, match=message):
        measure(some_scores, some_labels)


def test_many_missing_videos_are_counted_and_some_named():
    labels = [*LABELS, *(normal(f"m{n}") for n in range(7))]
    with pytest.raises(BadInput, match="7 labelled videos have no scores: m0, m1, m2, m3, m4 and 2 more"):
        measure(SCORES, labels)


def test_missing_videos_may_be_left_out_and_are_told():
    report = measure([*SCORES, scores("x", [0.1])], [*LABELS, normal("m")], allow_missing=True)
    assert report.num_videos == 2
    assert report.metrics["frame_auc"] == 1
    assert [note for note in report.notes if note.startswith("left out")] == [
        "left out: 1 labelled videos have no scores: m",
        "left out: 1 scored videos have no label: x",
    ]


def test_nothing_in_common_is_an_error_even_then():
    with pytest.raises(BadInput, match=r"do the names agree\? Scores: a, n. Labels: a.mp4"):
        measure(SCORES, [normal("a.mp4")], allow_missing=True)


@pytest.mark.parametrize("num_frames", [64, 79, 49])
def test_an_incomplete_last_row_is_no_other_length(num_frames):
    labels = [abnormal("a", (16, 48), num_frames=num_frames), LABELS[1]]
    assert evaluate(SCORES, labels)["frame_auc"] == 1


def test_truth_beyond_the_rows_is_told():
    report = measure(SCORES, [abnormal("a", (16, 480)), LABELS[1]])
    assert "true segments reach beyond the scored rows, that part is lost: a" in report.notes


# What has no value


def test_what_has_no_value_is_left_out_with_its_reason():
    report = measure([SCORES[1]], [LABELS[1]])
    assert report.metrics == {}
    assert report.undefined["frame_auc"] == "nothing is anomalous in the truth"
    assert report.undefined["abnormal_auc"] == "no video is abnormal"
    assert report.undefined["map_clean"] == "the scores hold no class probabilities"


def test_labels_by_folder_give_video_metrics_only():
    report = measure(SCORES, [Label("a", ("fight",)), normal("n")])
    assert report.metrics == {"video_auc": 1, "video_auc_top": 1}
    assert report.undefined["frame_auc"] == "no abnormal video has true times, only classes"


def test_partly_known_times_are_named():
    some = [*SCORES, scores("b", [0.7])], [*LABELS, Label("b", ("fight",))]
    with pytest.raises(
        BadInput, match=r"1 abnormal videos without true times: b; others have them. Add their segments"
    ):
        measure(*some)
    report = measure(*some, allow_missing=True)
    assert report.metrics["frame_auc"] == 1
    assert "left out of the frame metrics: 1 abnormal videos without true times: b" in report.notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0.1]), r"of one length, got \(2,\) and \(1,\)"),
        (([0, 1], [0.1, np.nan]), "scores must be finite"),
        (([0, 2], [0.1, 0.2]), "only 0 and 1"),
        (([0, 0], [0.1, 0.2]), "nothing is anomalous"),
        (([1, 1], [0.1, 0.2]), "nothing is normal"),
        (([0, 1], [0.1, 0.2], [1.0, 0.0]), "finite and positive"),
    ],
)
@pytest.mark.parametrize("metric", [frame_auc, average_precision], ids=lambda metric: metric.__name__)
def test_bad_arrays_are_refused(metric, arguments, message):
    with pytest.raises(ValueError, match=message):
        metric(*arguments)


def test_an_abnormal_auc_without_abnormal_videos_is_refused():
    with pytest.raises(ValueError, match="no video is abnormal"):
        abnormal_auc([0, 1], [0.1, 0.2], [False, False])


# Classes and branches


def with_classes(name, fight, fire, **facts):
    classes = np.stack([1 - np.maximum(fight, fire), fight, fire], axis=1)
    return scores(name, np.maximum(fight, fire), classes=classes, class_names=NAMES, **facts)


CLASSED = [
    with_classes("a", np.array([0.1, 0.9, 0.8, 0.2]), np.array([0.0, 0.1, 0.05, 0.0])),
    with_classes("b", np.array([0.05, 0.1, 0.0]), np.array([0.7, 0.05, 0.1])),
    with_classes("n", np.array([0.1, 0.2]), np.array([0.2, 0.1])),
]
CLASS_LABELS = [abnormal("a", (16, 48)), abnormal("b", (0, 16), label="fire"), normal("n")]


def test_each_class_is_measured_on_its_own():
    found = evaluate(CLASSED, CLASS_LABELS)
    for name in ("class_auc/fight", "class_ap/fight", "class_auc/fire", "class_ap/fire", "class_auc", "class_ap"):
        assert found[name] == 1
    assert found["frame_auc/fight"] == found["frame_auc/fire"] == 1
    assert found["map_clean"] == found["map_clean@0.5"] == found["map_clean/fire"] == 1


def test_the_metrics_of_each_class_can_be_left_out():
    found = evaluate(CLASSED, CLASS_LABELS, per_class=False, detection=())
    assert set(found) == {"video_auc", "video_auc_top", "frame_auc", "frame_ap", "abnormal_auc"}


def test_class_names_agree_in_any_case_of_letters():
    labels = [abnormal("a", (16, 48), label="Fight"), abnormal("b", (0, 16), label="FIRE"), Label("n", ("Normal",))]
    assert evaluate(CLASSED, labels) == evaluate(CLASSED, CLASS_LABELS)


def test_a_class_that_the_scores_do_not_know_is_told():
    report = measure(CLASSED, [*CLASS_LABELS[:1], abnormal("b", (0, 16), label="riot"), normal("n")])
    assert "true classes that the scores do not know: riot" in report.notes
    assert report.undefined["class_auc/fire"] == "nothing is anomalous in the truth"


def test_the_normal_class_can_be_named():
    labels = [abnormal("a", (16, 48)), Label("n", ("calm",))]
    assert evaluate(SCORES, labels, normal="calm") == evaluate(SCORES, LABELS)
    with pytest.raises(BadInput, match=r"without true times: n; others have them. Name the normal class with --normal"):
        measure(SCORES, labels)


def test_a_normal_class_that_no_label_has_is_told():
    labels = [*CLASS_LABELS[:2], Label("n", ("calm",), timed=True)]
    notes = measure(CLASSED, labels).notes
    assert "no video is labelled 'normal', the normal class: name it if it is called otherwise" in notes


def test_a_branch_is_measured_by_its_name():
    flat = {"a": np.full(4, 0.5, np.float32)}, {"a": np.full(2, 0.5, np.float32)}
    both = [
        scores("a", [0.1, 0.9, 0.8, 0.2], made_by={"branch": "c"}, branches=flat[0]),
        scores("n", [0.3, 0.2], made_by={"branch": "c"}, branches=flat[1]),
    ]
    assert evaluate(both, LABELS)["frame_auc"] == evaluate(both, LABELS, branch="c")["frame_auc"] == 1
    assert evaluate(both, LABELS, branch="a")["frame_auc"] == 0.5
    with pytest.raises(BadInput, match=r"no branch 'x'. They have: a, c"):
        evaluate(both, LABELS, branch="x")


def test_scores_of_different_classes_do_not_mix():
    other = scores("n", [0.1], classes=[[0.5, 0.5]], class_names=("normal", "riot"))
    with pytest.raises(BadInput, match="different classes"):
        measure([CLASSED[0], other], [CLASS_LABELS[0], normal("n")])


# The published code's numbers


@pytest.mark.parametrize("name", ["ucf", "xd"])
def test_rows_and_weights_give_the_published_numbers(golden_dir, name):
    facts = json.loads((golden_dir / "vadclip" / f"eval_{name}.json").read_text())
    arrays = np.load(golden_dir / "vadclip" / f"eval_{name}.npz")
    curves = np.split(arrays["pred_concat"], np.cumsum(arrays["T"])[:-1])
    names = tuple(facts["classes"])
    made = [scores(f"v{n}", 1 - c[:, 0], classes=c, class_names=names) for n, c in enumerate(curves)]
    labels = []
    for number, (segments, classes) in enumerate(zip(facts["segments"], facts["labels"], strict=True)):
        if number < facts["n_abnormal"]:
            events = tuple(LabelledSegment(c, span=tuple(s)) for c, s in zip(classes, segments, strict=True))
            labels.append(Label(f"v{number}", tuple(dict.fromkeys(classes)), events, timed=True))
        else:
            labels.append(Label(f"v{number}", (names[0],), num_frames=len(curves[number]) * 16))
    report = measure(made, labels)
    expected = facts["frame_level"]
    assert report.metrics["frame_auc"] == pytest.approx(expected["AUC"], abs=1e-9)
    assert report.metrics["frame_ap"] == pytest.approx(expected["AP"], abs=1e-9)
    assert report.metrics["abnormal_auc"] == pytest.approx(expected["Ano_AUC_first_n_ab_videos"], abs=1e-9)
    assert 100 * report.metrics["map_reference"] == pytest.approx(facts["detection"]["False"]["average"], abs=1e-6)
    truth = [frames_of_truth(x.segments, s.frames, s.seconds) for x, s in zip(labels, made, strict=True)]
    assert np.array_equal(np.concatenate(truth), arrays["gt_frames"])
    tied = arrays["scores_frames_quantised"]
    assert frame_auc(arrays["gt_frames"], tied) == pytest.approx(expected["AUC_ties"], abs=1e-9)
    assert average_precision(arrays["gt_frames"], tied) == pytest.approx(expected["AP_ties"], abs=1e-9)


@pytest.mark.parametrize("name", ["ucf", "xd"])
def test_the_model_case_gives_the_published_numbers(golden_dir, name):
    facts = json.loads((golden_dir / "vadclip" / f"{name}_meta.json").read_text())
    arrays = np.load(golden_dir / "vadclip" / f"{name}_case.npz")
    cuts = np.cumsum(arrays["video_lengths"])[:-1]
    labels = [
        normal(f"v{n}")
        if classes == ["A"]
        else Label(f"v{n}", tuple(classes), tuple(LabelledSegment(c, span=tuple(s)) for c, s in zip(classes, segments)))  # noqa: B905
        for n, (classes, segments) in enumerate(zip(facts["video_gt_labels"], facts["video_gt_segments"], strict=True))
    ]
    for branch, keys in (("prob1", ("AUC1", "AP1")), ("prob2", ("AUC2", "AP2"))):
        made = [scores(f"v{n}", curve) for n, curve in enumerate(np.split(arrays[branch], cuts))]
        found = evaluate(made, labels)
        expected = facts["test_metrics"]
        assert (found["frame_auc"], found["frame_ap"]) == pytest.approx([expected[key] for key in keys], abs=1e-4)
