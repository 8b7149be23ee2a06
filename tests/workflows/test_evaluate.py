"""Stored scores and labels to metrics: by head, and with every mismatch named."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.core import BadInput, BadManifest, Scores, VideoInfo, VidlangError
from vidlang.store.results import write_scores
from vidlang.workflows.evaluate import evaluate_anomaly, find_results


def scores_of(video_id: str, anomaly: list[float], *, note: str | None = None) -> Scores:
    """One row a second, 10 frames a row; the A-branch is the C-branch upside down."""
    curve = np.asarray(anomaly, dtype=np.float32)
    edges = np.arange(len(curve) + 1, dtype=np.int64) * 10
    frames = np.stack([edges[:-1], edges[1:]], axis=1)
    return Scores(
        video=VideoInfo(video_id, int(edges[-1]), float(edges[-1] / 10), 10.0, (8, 8)),
        frames=frames,
        seconds=frames / 10,
        anomaly=curve,
        classes=np.stack([1 - curve, curve], axis=1),
        class_names=("normal", "fire"),
        made_by={"branch": "c", **({"note": note} if note else {})},
        branches={"c": curve, "a": 1 - curve},
    )


@pytest.fixture
def results(workspace):
    """Two videos: nothing happens in one, the other burns from second 1 to 3."""
    path = workspace.results_dir / "score" / "20260101-000000" / "scores.jsonl"
    write_scores(path, [scores_of("normal/n.mp4", [0.1, 0.2]), scores_of("fire/f.mp4", [0.1, 0.8, 0.9, 0.3])])
    return path


@pytest.fixture
def manifest(tmp_path):
    def write(text: str):
        path = tmp_path / "labels.csv"
        path.write_text("video,label,start,end,split\n" + text)
        return path

    return write


TIMED = "normal/n.mp4,normal,,,test\nfire/f.mp4,fire,1,3,test\n"


def test_perfect_scores_are_perfect_and_their_inverse_is_the_opposite(workspace, results, manifest):
    report = evaluate_anomaly(workspace, manifest=manifest(TIMED))
    assert (report.num_videos, report.source) == (2, str(results))
    c, a = (report.metrics[title] for title in ("C-branch (classifier)", "A-branch (class texts)"))
    assert next(iter(report.metrics)) == "C-branch (classifier)"  # the branch that scored
    assert (c["frame_auc"], c["frame_ap"], c["video_auc"]) == pytest.approx((1, 1, 1))
    assert (a["frame_auc"], a["video_auc"]) == pytest.approx((0, 0.5))  # both videos peak at .9 upside down


def test_folders_give_labels_but_no_times(workspace, results):
    report = evaluate_anomaly(workspace)
    assert report.metrics["C-branch (classifier)"]["video_auc"] == pytest.approx(1)
    assert "frame_auc" not in report.metrics["C-branch (classifier)"]
    assert any("frame_auc" in note for note in report.notes)


def test_a_missing_video_is_named_unless_that_is_allowed(workspace, results, manifest):
    path = manifest(TIMED + "fire/g.mp4,fire,0,1,test\n")
    with pytest.raises(VidlangError, match=r"fire/g\.mp4"):
        evaluate_anomaly(workspace, manifest=path)
    report = evaluate_anomaly(workspace, manifest=path, allow_missing=True)
    assert report.num_videos == 2
    assert any("fire/g.mp4" in note for note in report.notes)


def test_a_scored_video_without_a_label_is_named_unless_that_is_allowed(workspace, results, manifest):
    path = manifest(TIMED)
    known = [scores_of("normal/n.mp4", [0.1, 0.2]), scores_of("fire/f.mp4", [0.1, 0.8, 0.9, 0.3])]
    write_scores(results, [*known, scores_of("x.mp4", [0.5])])
    with pytest.raises(VidlangError, match=r"x\.mp4"):
        evaluate_anomaly(workspace, manifest=path)
    report = evaluate_anomaly(workspace, manifest=path, allow_missing=True)
    assert report.metrics["C-branch (classifier)"]["frame_auc"] == pytest.approx(1)


def test_a_length_mismatch_is_named(workspace, results, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(
        "video,label,start_frame,end_frame,num_frames\nnormal/n.mp4,normal,,,20\nfire/f.mp4,fire,10,30,400\n"
    )
    with pytest.raises(VidlangError, match=r"fire/f\.mp4.*40"):
        evaluate_anomaly(workspace, manifest=path)


def test_only_the_asked_split_is_judged(workspace, results, manifest):
    write_scores(
        results,
        [
            scores_of("normal/n.mp4", [0.1, 0.2]),
            scores_of("fire/f.mp4", [0.1, 0.8, 0.9, 0.3]),
            scores_of("fire/t.mp4", [0.0, 0.0]),  # would spoil everything
        ],
    )
    report = evaluate_anomaly(workspace, manifest=manifest(TIMED + "fire/t.mp4,fire,0,2,train\n"), split="test")
    assert report.num_videos == 2
    assert report.metrics["C-branch (classifier)"]["frame_auc"] == pytest.approx(1)
    with pytest.raises(BadInput, match="no video of the split 'val'"):
        evaluate_anomaly(workspace, manifest=manifest(TIMED), split="val")
    with pytest.raises(BadInput, match="--split names a part of a manifest"):
        evaluate_anomaly(workspace, split="test")


def test_labels_find_videos_by_name_where_paths_differ(workspace, results, manifest):
    path = manifest("list/n.avi,normal,,,\nlist/f.avi,fire,1,3,\n")
    report = evaluate_anomaly(workspace, manifest=path)
    assert report.metrics["C-branch (classifier)"]["frame_auc"] == pytest.approx(1)


def test_what_scored_is_said_again(workspace, results, manifest):
    write_scores(
        results, [scores_of("normal/n.mp4", [0.1], note="made with a weak one"), scores_of("fire/f.mp4", [0.9])]
    )
    report = evaluate_anomaly(workspace)
    assert "made with a weak one" in report.notes
    assert report.to_dict()["schema"] == "vidlang.eval.anomaly/1"


def test_results_are_the_newest_or_the_given(workspace, results, tmp_path):
    later = workspace.results_dir / "score" / "20260102-000000" / "scores.jsonl"
    write_scores(later, [scores_of("normal/n.mp4", [0.1])])
    assert find_results(workspace, None) == later
    assert find_results(workspace, results.parent) == find_results(workspace, results) == results
    with pytest.raises(BadInput, match="is not there"):
        find_results(workspace, tmp_path / "nothing.jsonl")


def test_nothing_to_judge_is_said(workspace, tmp_path):
    with pytest.raises(BadInput, match=r"No results in .* Run: vidlang score"):
        evaluate_anomaly(workspace)
    path = tmp_path / "scores.jsonl"
    write_scores(path, [scores_of("bare.mp4", [0.1])])
    with pytest.raises((BadInput, BadManifest), match=r"bare\.mp4.*manifest"):
        evaluate_anomaly(workspace, path)
    path.write_text("this is no JSON\n")
    with pytest.raises(VidlangError, match=r"scores\.jsonl"):
        evaluate_anomaly(workspace, path)
    path.write_text("")
    with pytest.raises(VidlangError, match=r"scores\.jsonl"):
        evaluate_anomaly(workspace, path)
