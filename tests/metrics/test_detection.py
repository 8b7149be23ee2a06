"""Detection mAP: by head, against sets of frames and double loops, and against the published code's numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vidlang.metrics.detection import TrueSegment, detection_map, top_mean, video_array

CLASSES = ("normal", "fight", "fire")
LOW, HIGH = 0.1, 0.9


def curve(num_rows, *rows):
    """High in the given rows, low elsewhere."""
    return [HIGH if t in rows else LOW for t in range(num_rows)]


def video(name, fight, fire, truth, abnormal=True):
    classes = np.array([[0.5] * len(fight), fight, fire], dtype=np.float32).T
    segments = [span for _, span in truth]
    return video_array(name, classes, segments, [label for label, _ in truth], abnormal=abnormal)


def perfect():
    return [
        video("a", curve(6, 1, 2), curve(6, 4), [("fight", (16, 48)), ("fire", (64, 80))]),
        video("b", curve(4, 0), curve(4, 3), [("fight", (0, 16)), ("fire", (48, 64))]),
    ]


def test_perfect_detection_scores_one():
    found = detection_map(perfect(), CLASSES, mode="clean")
    assert found.class_names == ("fight", "fire")
    assert found.per_class == ((1.0, 1.0),) * 5
    assert found.average == 1.0


def test_class_0_is_one_of_the_classes_of_the_reference():
    varied = [video_array(v.video_id, v.classes + [[0.1 * t, 0, 0] for t in range(len(v.classes))],
                          [(s.start, s.end) for s in v.truth], [s.label for s in v.truth], abnormal=True)
              for v in perfect()]  # fmt: skip
    found = detection_map(varied, CLASSES, mode="reference")
    assert found.per_class == ((0.0, 1.0, 1.0),) * 5
    assert found.average == pytest.approx(2 / 3)


def test_one_class_without_segments_makes_the_reference_zero():
    found = detection_map(perfect(), CLASSES, mode="reference")  # class 0 is constant, so it has no segment
    assert found.per_class == ((0.0, 1.0, 1.0),) * 5
    assert found.mean == (0.0,) * 5


def test_a_false_alarm_ahead_halves_the_precision():
    videos = [
        video("a", curve(6, 1), curve(6, 4), [("fight", (16, 32))]),
        video("b", [0.95, *curve(5)], curve(6, 4), [("fire", (64, 80))]),
    ]
    found = detection_map(videos, CLASSES, mode="clean", thresholds=[0.5])
    assert found.per_class == ((0.5, 0.5),)


def test_equal_scores_keep_the_order_of_videos():
    right = video("a", curve(6, 1), curve(6, 4), [("fight", (16, 32))])
    wrong = video("b", curve(6, 1), curve(6, 4), [("fire", (64, 80))])
    assert detection_map([right, wrong], CLASSES, mode="clean", thresholds=[0.5]).per_class[0][0] == 1.0
    assert detection_map([wrong, right], CLASSES, mode="clean", thresholds=[0.5]).per_class[0][0] == 0.5


def test_the_threshold_is_reached_by_an_equal_overlap():
    half = [video("a", curve(6, 1), curve(6, 4), [("fight", (16, 48))])]
    found = detection_map(half, CLASSES, mode="clean", thresholds=[0.5, 0.51])
    assert [values[0] for values in found.per_class] == [1.0, 0.0]


def test_a_true_segment_is_found_once():
    twice = [video("a", [0.9, 0.1, 0.85, 0.1], curve(4, 1), [("fight", (0, 48))])]
    # Both runs overlap the one true segment by a third; the second is a false alarm.
    found = detection_map(twice, CLASSES, mode="clean", thresholds=[0.3])
    assert found.per_class[0][0] == 1.0
    both = [video("a", [0.9, 0.1, 0.85, 0.1], curve(4, 1), [("fight", (0, 48)), ("fight", (0, 48))])]
    assert detection_map(both, CLASSES, mode="clean", thresholds=[0.3]).per_class[0][0] == 1.0


def test_clean_looks_at_abnormal_videos_only():
    alarm = video("n", [0.95, *curve(5)], curve(6, 4), [], abnormal=False)
    assert detection_map([*perfect(), alarm], CLASSES, mode="clean").average == 1.0
    loud = detection_map([*perfect(), alarm], CLASSES, mode="reference").per_class[0][1]
    quiet = detection_map([*perfect(), alarm], CLASSES, mode="reference", exclude_normal=True).per_class[0][1]
    assert loud < quiet == 1.0


def test_the_video_score_is_the_mean_of_the_highest_sixteenth():
    values = np.array([0.1, 0.9, 0.5])
    assert top_mean(values, np.array([16, 16, 16])) == pytest.approx(0.9)  # 3 of 48 frames
    assert top_mean(values, np.array([160, 2, 16])) == pytest.approx((2 * 0.9 + 9 * 0.5) / 11)  # 11 of 178
    assert top_mean(values, np.array([1, 1, 1])) == pytest.approx(0.9)  # at least one


def test_wrong_shapes_say_what_was_expected():
    with pytest.raises(ValueError, match=r"a: class probabilities must be \[T, C\] = \(6, 2\), T > 0, got \(6, 3\)"):
        detection_map(perfect(), CLASSES[:2])
    with pytest.raises(ValueError, match="at least one video"):
        detection_map([], CLASSES)
    with pytest.raises(ValueError, match="mode must be"):
        detection_map(perfect(), CLASSES, mode="plain")
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
        detection_map(perfect(), CLASSES, thresholds=[0])
    with pytest.raises(ValueError, match="no abnormal video has a true segment"):
        detection_map([video("a", curve(6, 1), curve(6, 4), [("riot", (0, 5))])], CLASSES, mode="clean")


# The second way: frames one by one, sets of frames, loops over pairs


def plain_segments(curve_of_frames):
    threshold = max(curve_of_frames) - 0.6 * (max(curve_of_frames) - min(curve_of_frames))
    video_score = np.mean(sorted(curve_of_frames, reverse=True)[: max(len(curve_of_frames) // 16, 1)])
    current: list[int] = []
    for index, value in enumerate([*curve_of_frames, -np.inf]):
        if value > threshold:
            current.append(index)
        elif current:
            if len(current) >= 2:
                yield set(current), max(curve_of_frames[i] for i in current) + 0.7 * video_score
            current = []


def plain_map(videos, class_names, threshold):
    values, empty = [], False
    for index, name in enumerate(class_names):
        found = [
            (score, number, frames)
            for number, v in enumerate(videos)
            for frames, score in plain_segments(np.repeat(v.classes[:, index].astype(float), v.num_frames).tolist())
        ]
        empty |= not found
        true = [
            (n, set(range(int(t.start), int(t.end)))) for n, v in enumerate(videos) for t in v.truth if t.label == name
        ]
        num_true, hits, total = len(true), 0, 0.0
        for rank, (_, number, frames) in enumerate(sorted(found, key=lambda item: -item[0]), start=1):
            overlaps = [len(frames & t) / len(frames | t) if n == number else -1.0 for n, t in true]
            best = int(np.argmax(overlaps)) if overlaps else None
            if best is not None and overlaps[best] >= threshold:
                del true[best]
                hits += 1
                total += hits / rank
        values.append(total / num_true if num_true else 0.0)
    return 0.0 if empty else float(np.mean(values)), values


@pytest.mark.parametrize("frames_per_row", [1, 3, 16])
def test_intervals_agree_with_sets_of_frames(frames_per_row):
    generator = np.random.default_rng(frames_per_row)
    for _ in range(8):
        videos = []
        for number in range(6):
            num_rows = int(generator.integers(1, 14))
            length = num_rows * frames_per_row
            starts = generator.integers(0, length, size=int(generator.integers(0, 4)))
            segments = [(int(s), int(s + generator.integers(1, length + 1))) for s in starts]
            labels = [str(generator.choice(["normal", "fight", "fire", "riot"])) for _ in segments]
            classes = generator.random((num_rows, 3)).astype(np.float32)
            videos.append(
                video_array(str(number), classes, segments, labels, abnormal=True, frames_per_row=frames_per_row)
            )
        for threshold in (0.1, 0.3, 0.5):
            found = detection_map(videos, CLASSES, thresholds=[threshold])
            mean, per_class = plain_map(videos, CLASSES, threshold)
            assert found.per_class[0] == pytest.approx(per_class, abs=1e-12)
            assert found.mean[0] == pytest.approx(mean, abs=1e-12)


# The published code's numbers


def golden_videos(golden_dir, name, rename=None):
    facts = json.loads((golden_dir / "vadclip" / f"eval_{name}.json").read_text())
    arrays = np.load(golden_dir / "vadclip" / f"eval_{name}.npz")
    curves = np.split(arrays["pred_concat"], np.cumsum(arrays["T"])[:-1])
    videos = [
        video_array(str(n), c, s, [(rename or {}).get(x, x) for x in labels], abnormal=n < facts["n_abnormal"])
        for n, (c, s, labels) in enumerate(zip(curves, facts["segments"], facts["labels"], strict=True))
    ]
    return facts, videos


@pytest.mark.parametrize(
    ("name", "case", "rename"),
    [
        ("ucf", "False", None),
        ("ucf", "True", None),
        ("ucf", "False_with_Normal_label", {"A": "Normal"}),
        ("xd", "False", None),
        ("xd", "True", None),
    ],
)
def test_the_reference_gives_the_published_numbers(golden_dir, name, case, rename):
    facts, videos = golden_videos(golden_dir, name, rename)
    expected = facts["detection"][case]
    found = detection_map(videos, facts["classes"], mode="reference", exclude_normal=case == "True")
    np.testing.assert_allclose(100 * np.array(found.mean), expected["dmap"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.per_class, expected["per_class_ap"], rtol=0, atol=1e-8)
    assert 100 * found.average == pytest.approx(expected["average"], abs=1e-6)


@pytest.mark.parametrize("name", ["ucf", "xd"])
def test_the_model_case_gives_the_published_numbers(golden_dir, name):
    facts = json.loads((golden_dir / "vadclip" / f"{name}_meta.json").read_text())
    arrays = np.load(golden_dir / "vadclip" / f"{name}_case.npz")
    curves = np.split(arrays["class_probs"], np.cumsum(arrays["video_lengths"])[:-1])
    truth = zip(curves, facts["video_gt_segments"], facts["video_gt_labels"], strict=True)
    videos = [video_array(str(n), c, s, x, abnormal=x != ["A"]) for n, (c, s, x) in enumerate(truth)]
    found = detection_map(videos, tuple(facts["label_map"]), mode="reference")
    expected = list(facts["test_dmap"].values())
    np.testing.assert_allclose(100 * np.array(found.mean), expected, rtol=0, atol=1e-3)


def test_a_normal_name_that_is_no_class_costs_ucf_crime_one_fourteenth(golden_dir):
    facts, videos = golden_videos(golden_dir, "ucf")
    assert {t.label for v in videos if not v.abnormal for t in v.truth} == {"A"}
    assert all(values[0] == 0 for values in detection_map(videos, facts["classes"]).per_class)
    assert TrueSegment("A", 0, 1).label not in facts["classes"]
