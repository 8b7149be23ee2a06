"""Groups of near-duplicates: who is in them by construction, what is left out, and what an interruption costs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from stand_ins import DIM, ColourEncoder, put_seconds, recipe_of, unit_rows

from vidlang.core import BadInput, MissingFeatures, Segment
from vidlang.workflows import duplicates as duplicates_workflow
from vidlang.workflows.duplicates import DuplicatesReport, Pair, find_duplicates
from vidlang.workflows.gallery import GalleryOptions
from vidlang.workflows.retrieve import RetrieveOptions, reject_videos
from vidlang.workflows.search import Searcher, SearchOptions

RECIPE = recipe_of(ColourEncoder())
OPTIONS = RetrieveOptions(gallery=GalleryOptions(blank_frames="keep"))
AT_07 = replace(OPTIONS, search=SearchOptions(threshold=0.7))


def near(rows: np.ndarray, seed: int, cosine: float = 0.9) -> np.ndarray:
    """Rows of this cosine to each row."""
    other = unit_rows(*rows.shape, seed=seed)
    other -= (other * rows).sum(axis=1, keepdims=True) * rows
    return cosine * rows + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other, axis=1, keepdims=True)


@pytest.fixture
def scenes(cache) -> None:
    """Two copies of a0; a clip of b0; ten videos of their own."""
    rows = {f"{n}.mp4": unit_rows(30, DIM, seed=n) for n in range(10)}
    a, b = unit_rows(30, DIM, seed=100), unit_rows(60, DIM, seed=200)
    rows |= {
        "a0.mp4": a,
        "a1.mp4": near(a, 101),
        "a2.mp4": near(a, 102, 0.85),
        "b0.mp4": b,
        "b1.mp4": near(b[20:40], 201, 0.88),
    }
    for name, values in rows.items():
        put_seconds(cache, RECIPE, name, values)


GROUPS = (("a0.mp4", "a1.mp4", "a2.mp4"), ("b0.mp4", "b1.mp4"))


def pairs_of(report: DuplicatesReport) -> set[tuple[str, str]]:
    return {(pair.first, pair.second) for pair in report.pairs}


# -- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [OPTIONS, AT_07], ids=["threshold found", "threshold given"])
def test_copies_and_clips_are_groups_and_nothing_else_is(workspace, scenes, options):
    report = find_duplicates(workspace, options)
    assert report.groups == GROUPS and report.num_videos == 15
    assert {("a0.mp4", "a1.mp4"), ("a0.mp4", "a2.mp4"), ("b0.mp4", "b1.mp4")} <= pairs_of(report)
    assert pairs_of(report) <= {("a0.mp4", "a1.mp4"), ("a0.mp4", "a2.mp4"), ("a1.mp4", "a2.mp4"), ("b0.mp4", "b1.mp4")}
    found = {(pair.first, pair.second): pair for pair in report.pairs}
    assert found["a0.mp4", "a1.mp4"].similarity == pytest.approx(0.9, abs=0.01)
    assert found["a0.mp4", "a1.mp4"].segments == ((Segment(0, 30), Segment(0, 30)),)
    assert found["b0.mp4", "b1.mp4"].segments == ((Segment(20, 40), Segment(0, 20)),)  # each in its own seconds
    assert [pair.similarity for pair in report.pairs] == sorted((p.similarity for p in report.pairs), reverse=True)
    assert report.pairs_of(GROUPS[1]) == [found["b0.mp4", "b1.mp4"]]


def test_half_of_a_gallery_may_be_copies_of_the_other_half(workspace, cache):
    for number in range(12):
        rows = unit_rows(20, DIM, seed=number)
        put_seconds(cache, RECIPE, f"{number:02}-0.mp4", rows)
        put_seconds(cache, RECIPE, f"{number:02}-1.mp4", near(rows, 100 + number))
    report = find_duplicates(workspace, OPTIONS)
    assert report.groups == tuple((f"{n:02}-0.mp4", f"{n:02}-1.mp4") for n in range(12))


def test_a_gallery_without_copies_has_no_groups(workspace, cache):
    for number in range(12):
        put_seconds(cache, RECIPE, f"{number:02}.mp4", unit_rows(20, DIM, seed=number))
    report = find_duplicates(workspace, OPTIONS)
    assert report.groups == () and report.pairs == ()
    assert json.loads((report.folder / "groups.json").read_text())["groups"] == []


def test_pairs_that_somebody_rejected_are_left_out(workspace, scenes):
    before = find_duplicates(workspace, AT_07)
    reject_videos(workspace, "b1.mp4", ["b0.mp4"])
    reject_videos(workspace, "1.mp4", ["2.mp4"])  # no pair anyway
    report = find_duplicates(workspace, AT_07)
    assert report.groups == GROUPS[:1] and report.num_rejected == 1 and before.num_rejected == 0
    assert pairs_of(report) == pairs_of(before) - {("b0.mp4", "b1.mp4")}


def test_blank_videos_are_no_duplicates_of_one_another(workspace, cache, encoder):
    grey = np.tile(np.eye(DIM, dtype=np.float32)[:3].sum(axis=0), (30, 1))
    for number in range(3):
        put_seconds(cache, RECIPE, f"grey{number}.mp4", grey)
        put_seconds(cache, RECIPE, f"{number}.mp4", unit_rows(30, DIM, seed=number))
    report = find_duplicates(workspace, RetrieveOptions(search=SearchOptions(threshold=0.7)))
    assert report.groups == ()


def test_background_videos_are_no_duplicates(workspace, scenes):
    report = find_duplicates(workspace, replace(AT_07, background="a*.mp4", search=SearchOptions(threshold=0.5)))
    assert report.groups == GROUPS[1:]


def test_direction_does_not_matter_where_the_similarity_has_one(workspace, scenes):
    """Chamfer of the long b0 in its clip is low, and of the clip in b0 high: the pair has the higher."""
    report = find_duplicates(workspace, replace(OPTIONS, search=SearchOptions(similarity="chamfer", threshold=0.7)))
    assert report.groups == GROUPS
    clip = next(pair for pair in report.pairs if pair.second == "b1.mp4")
    assert clip.similarity == pytest.approx(0.88, abs=0.01) and clip.segments == ((Segment(20, 40), Segment(0, 20)),)


def test_a_group_is_what_pairs_connect():
    pair = [Pair(a, b, 0.9, ()) for a, b in (("a", "b"), ("c", "d"), ("b", "c"), ("x", "y"))]
    assert duplicates_workflow._groups(pair) == (("a", "b", "c", "d"), ("x", "y"))
    assert duplicates_workflow._groups([]) == ()


# -- the threshold ---------------------------------------------------------------------------------------------------


def test_a_threshold_and_what_it_lets_through_are_told(workspace, scenes):
    report = find_duplicates(workspace, OPTIONS)
    judged = report.false_positives
    assert 0 < judged.threshold < 0.85 and judged.num_pairs == 15 * 14
    assert judged.rate == pytest.approx(2 * len(report.pairs) / judged.num_pairs)
    told = report.to_dict()
    assert told["threshold"] == judged.threshold == report.made_by["threshold"]
    given = find_duplicates(workspace, replace(OPTIONS, max_false_positives=2 / 210))
    assert len(given.pairs) == 1 and given.false_positives.rate == pytest.approx(2 / 210)


# -- what lies on the disk, and interruptions ------------------------------------------------------------------------


def test_groups_are_written_as_they_are_reported(workspace, scenes, tmp_path):
    report = find_duplicates(workspace, replace(AT_07, out=tmp_path / "out"))
    told = json.loads((tmp_path / "out" / "groups.json").read_text())
    assert told == report.to_dict() and told["schema"] == "vidlang.duplicates/1" and told["videos"] == 15
    assert [group["videos"] for group in told["groups"]] == [list(group) for group in GROUPS]
    assert [tuple(pair["videos"]) for pair in told["groups"][1]["pairs"]] == [("b0.mp4", "b1.mp4")]


def test_a_pair_survives_its_file():
    pair = Pair("a", "b", 1 / 3, ((Segment(0.1, 2.5), Segment(3, 4)),))
    assert Pair.from_dict(json.loads(json.dumps(pair.to_dict()))) == pair


def test_an_interrupted_run_goes_on_with_the_same_result(workspace, scenes, monkeypatch):
    whole = find_duplicates(workspace, AT_07)
    (whole.folder / "progress.json").unlink()
    monkeypatch.setattr(duplicates_workflow, "SAVE_EVERY", 4)
    real, asked = Searcher.shortlist, []

    def until_the_tenth(self, query, size):
        asked.append(query.video_id)
        if len(asked) == 10:
            raise KeyboardInterrupt
        return real(self, query, size)

    monkeypatch.setattr(Searcher, "shortlist", until_the_tenth)
    with pytest.raises(KeyboardInterrupt):
        find_duplicates(workspace, AT_07)
    report = find_duplicates(workspace, AT_07)
    assert len(asked) == 10 + 15 - 8  # eight were kept
    assert report.pairs == whole.pairs and report.groups == whole.groups
    assert find_duplicates(workspace, AT_07).pairs == whole.pairs and len(asked) == 17


def test_another_gallery_or_question_begins_anew(workspace, cache, scenes):
    first = find_duplicates(workspace, AT_07)
    assert find_duplicates(workspace, replace(AT_07, search=SearchOptions(threshold=0.8))).folder != first.folder
    put_seconds(cache, RECIPE, "c.mp4", near(unit_rows(30, DIM, seed=3), 5))
    report = find_duplicates(workspace, AT_07)
    assert report.folder != first.folder and ("3.mp4", "c.mp4") in pairs_of(report)


def test_progress_that_is_torn_begins_anew(workspace, scenes):
    first = find_duplicates(workspace, AT_07)
    (first.folder / "progress.json").write_text('{"done": 3, "pa')
    assert find_duplicates(workspace, AT_07).pairs == first.pairs


def test_every_video_is_compared_with_its_shortlist_alone(workspace, scenes, monkeypatch):
    monkeypatch.setattr(duplicates_workflow, "SHORTLIST", 3)
    sizes = []
    real = Searcher.similarities

    def noted(self, query, positions):
        sizes.append(len(positions))
        return real(self, query, positions)

    monkeypatch.setattr(Searcher, "similarities", noted)
    monkeypatch.setattr(Searcher, "unrelated_videos", lambda self: np.zeros(2))  # judges a bounded sample
    report = find_duplicates(workspace, AT_07)
    assert report.groups == GROUPS and sizes == [3] * 15


def test_too_few_videos_are_told(workspace, cache):
    with pytest.raises(MissingFeatures, match="vidlang extract"):
        find_duplicates(workspace, OPTIONS)
    put_seconds(cache, RECIPE, "a.mp4", unit_rows(4, DIM))
    with pytest.raises(BadInput, match="fewer than two videos"):
        find_duplicates(workspace, OPTIONS)
