"""From queries to hits: what is asked, what is answered, what is remembered, and what lies on the disk afterwards."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_ins import DIM, ColourEncoder, film, put_seconds, recipe_of, unit_rows

from vidlang.core import BadInput, FeatureKey, MissingFeatures
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.rankings import read_rankings, read_similarities
from vidlang.store.rejections import Rejections
from vidlang.video.writer import write_video
from vidlang.workflows.evaluate_retrieval import evaluate_retrieval
from vidlang.workflows.extract import ExtractOptions, extract
from vidlang.workflows.gallery import GalleryOptions, open_gallery
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.retrieve import (
    TEXT_TEMPLATES,
    RetrieveOptions,
    _image_features,
    num_rejections,
    reject_videos,
    rejections_path,
    retrieve,
)
from vidlang.workflows.search import Searcher, SearchOptions

RECIPE = recipe_of(ColourEncoder())
KEEP = GalleryOptions(blank_frames="keep")
OPTIONS = RetrieveOptions(gallery=KEEP)
CACHED = replace(OPTIONS, cached=True)
"""Colours lie close together, so films and images are looked for among themselves, and blank frames count."""


def ids(report, query: str | None = None) -> list[str]:
    ranking = next(r for r in report.rankings if query is None or r.query == query)
    return [hit.video_id for hit in ranking.hits]


@pytest.fixture
def films(tmp_path, cache, encoder) -> Path:
    """A folder of three films of 64 frames, four rows each, whose features are in the cache."""
    for place, name in enumerate(("a.mp4", "b.mp4", "deep/c.mp4")):
        film(tmp_path / "videos" / name, 64, shift=40 * place)
    extract([tmp_path / "videos"], cache, RECIPE, lambda: encoder, ExtractOptions(num_workers=1))
    return tmp_path / "videos"


@pytest.fixture
def scenes(cache) -> dict[str, np.ndarray]:
    """Random rows in the cache: two copies of one scene, and four others."""
    first = unit_rows(12, DIM, seed=1)
    rows = {"one.mp4": first, "copy.mp4": first + 0.02} | {f"{n}.mp4": unit_rows(12, DIM, seed=n + 9) for n in range(4)}
    for name, values in rows.items():
        put_seconds(cache, RECIPE, name, values)
    return rows


# -- queries that are videos -----------------------------------------------------------------------------------------


def test_a_query_from_outside_is_extracted_aside_and_does_not_enter_the_gallery(workspace, cache, films, tmp_path):
    query = film(tmp_path / "asked.mp4", 64, shift=40)  # as b.mp4
    report = retrieve([query], workspace, OPTIONS)
    assert ids(report)[0] == "b.mp4" and report.rankings[0].hits[0].similarity == pytest.approx(1, abs=1e-4)
    assert set(ids(report)) == {"a.mp4", "b.mp4", "deep/c.mp4"} and report.update.info.videos == 3
    assert FeatureKey("asked.mp4", RECIPE) not in cache
    assert FeatureKey("asked.mp4", RECIPE) in FeatureCache(workspace.root / "queries")
    assert retrieve([query], workspace, OPTIONS).update.info.videos == 3


def test_a_query_is_extracted_once(workspace, films, tmp_path, encoder):
    query = film(tmp_path / "asked.mp4", 64, shift=7)
    retrieve([query], workspace, OPTIONS)
    before = len(encoder.batches)
    retrieve([query], workspace, OPTIONS)
    assert len(encoder.batches) == before
    film(query, 64, shift=80)  # another content under the name
    assert ids(retrieve([query], workspace, OPTIONS))[0] == "deep/c.mp4"


def test_a_query_that_is_in_the_gallery_is_no_hit_of_itself(workspace, films, encoder):
    before = len(encoder.batches)
    report = retrieve([films], workspace, OPTIONS)
    assert len(encoder.batches) == before
    assert {r.query: set(ids(report, r.query)) for r in report.rankings} == {
        "a.mp4": {"b.mp4", "deep/c.mp4"},
        "b.mp4": {"a.mp4", "deep/c.mp4"},
        "deep/c.mp4": {"a.mp4", "b.mp4"},
    }
    assert report.same_file == frozenset() and not (workspace.root / "queries").exists()


def test_the_same_file_under_another_name_is_found_and_flagged(workspace, films, tmp_path):
    other = tmp_path / "renamed.mp4"
    other.write_bytes((films / "a.mp4").read_bytes())
    report = retrieve([other, films / "deep" / "c.mp4"], workspace, OPTIONS)
    assert ids(report, "renamed.mp4")[0] == "a.mp4" and ids(report, "c.mp4")[0] == "deep/c.mp4"
    assert report.same_file == {("renamed.mp4", "a.mp4"), ("c.mp4", "deep/c.mp4")}
    hit = report.to_dict()["queries"][1]["hits"][0]
    assert hit["same_file"] and not report.to_dict()["queries"][1]["hits"][1]["same_file"]


def test_another_film_of_the_name_of_a_gallery_video_is_a_query_of_its_own(workspace, films, tmp_path):
    query = film(tmp_path / "elsewhere" / "a.mp4", 64, shift=40)  # called a.mp4, as b.mp4
    report = retrieve([query], workspace, OPTIONS)
    assert ids(report)[0] == "b.mp4" and "a.mp4" in ids(report)


def test_a_query_that_does_not_read_fails_alone(workspace, films, tmp_path, notes):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no film")
    report = retrieve([broken, films / "a.mp4"], workspace, OPTIONS, progress=notes)
    assert [r.query for r in report.rankings] == ["a.mp4"] and report.num_failed == 1
    assert {o.video_id: o.status for o in report.outcomes} == {"broken.mp4": "failed", "a.mp4": "done"}
    assert [row["query"] for row in report.to_dict()["failed"]] == ["broken.mp4"]
    assert "broken.mp4" in report.to_dict()["failed"][0]["reason"]
    assert len(read_rankings(report.folder / "rankings.jsonl").rankings) == 1


def test_nothing_is_written_where_every_query_fails(workspace, films, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no film")
    report = retrieve([broken], workspace, replace(OPTIONS, complete=True, plot=True))
    assert report.rankings == () and report.num_failed == 1 and not report.folder.exists()


def test_a_query_of_nothing_but_plain_frames_has_no_hits_and_says_so(workspace, films, tmp_path):
    plain = tmp_path / "plain.mp4"
    write_video(plain, [np.full((32, 48, 3), 128, dtype=np.uint8)] * 40, 25.0)
    report = retrieve([plain], workspace, RetrieveOptions())
    assert ids(report, "plain.mp4") == [] and report.num_failed == 0
    assert report.notes == ("plain.mp4 shows nothing but blank frames (or none at all after --skip-start)",)


def test_paths_that_name_nothing_are_refused(workspace, films, tmp_path):
    with pytest.raises(BadInput, match=r"nowhere\.mp4"):
        retrieve([tmp_path / "nowhere.mp4"], workspace, OPTIONS)
    with pytest.raises(BadInput, match="Name a video or an image"):
        retrieve([], workspace, OPTIONS)


def test_an_empty_cache_says_what_to_run(workspace, tmp_path):
    with pytest.raises(MissingFeatures, match=r"is empty\. Run: vidlang extract"):
        retrieve([film(tmp_path / "a.mp4", 32)], workspace, OPTIONS)


# -- names -----------------------------------------------------------------------------------------------------------


def picture(path: Path, colour, size: tuple[int, int] = (32, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.broadcast_to(np.asarray(colour, dtype=np.uint8), (*size, 3)).copy()).save(path)
    return path


def test_two_queries_of_one_name_are_refused_in_words(workspace, films, tmp_path):
    first, second = (film(tmp_path / name / "x.mp4", 32, shift=n) for n, name in enumerate("pq"))
    with pytest.raises(BadInput, match=r"would both be called 'x\.mp4'"):
        retrieve([first, second], workspace, OPTIONS)
    images = [picture(tmp_path / name / "x.png", (40 * n, 80, 90)) for n, name in enumerate("pq")]
    with pytest.raises(BadInput, match=r"Two queries are called 'x\.png'"):
        retrieve(images, workspace, OPTIONS)
    with pytest.raises(BadInput, match=r"Two queries are called 'x\.mp4'"):
        retrieve([first], workspace, replace(OPTIONS, texts=("x.mp4",)))


def test_one_query_given_twice_is_asked_once(workspace, films, tmp_path):
    image = picture(tmp_path / "x.png", (50, 80, 90))
    twice = [image, tmp_path / "videos" / ".." / "x.png", films / "a.mp4", films / "a.mp4"]
    report = retrieve(twice, workspace, replace(OPTIONS, texts=("red", "red")))
    assert [r.query for r in report.rankings] == ["x.png", "a.mp4", "red"]


# -- images and texts ------------------------------------------------------------------------------------------------


def test_an_image_finds_the_film_that_shows_it(workspace, films, tmp_path, cache):
    """The colour of the third row of b.mp4."""
    rows = cache.get(FeatureKey("b.mp4", RECIPE)).values
    image = picture(tmp_path / "still.png", rows[2, :3].round())
    report = retrieve([image], workspace, OPTIONS)
    hit = report.rankings[0].hits[0]
    assert hit.video_id == "b.mp4" and hit.similarity == pytest.approx(1, abs=1e-3)
    assert report.made_by["checkpoint"] is None


def test_an_image_that_does_not_read_fails_alone(workspace, films, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no image")
    good = picture(tmp_path / "good.png", (50, 80, 90))
    report = retrieve([tmp_path / "broken.png", good], workspace, OPTIONS)
    assert [r.query for r in report.rankings] == ["good.png"]
    assert [o.video_id for o in report.outcomes if o.status == "failed"] == ["broken.png"]


def test_an_image_is_grey_and_without_bars_where_the_recipe_says_so(workspace, cache, tmp_path, encoder):
    recipe = replace(RECIPE, colour="grey", borders="crop")
    for place in range(2):
        film(tmp_path / "v" / f"{place}.mp4", 64, shift=40 * place)
    extract([tmp_path / "v"], cache, recipe, lambda: encoder, ExtractOptions(num_workers=1))
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    checks = (np.indices((32, 64)).sum(axis=0) // 4 % 2 * 100 + 100).astype(np.uint8)
    pixels[16:48] = checks[..., None] * np.array([1, 0, 0], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "boxed.png")
    gallery, _ = open_gallery(workspace, KEEP, RecipeChanges(colour="grey", borders="crop"))
    row = _image_features(tmp_path / "boxed.png", gallery).values[0]
    assert row[0] == row[1] == row[2]  # grey
    assert row[0] == pytest.approx(0.299 * 150, abs=2)  # and its mean is not half black


def test_a_text_is_asked_in_several_sentences_about_it(workspace, films, encoder):
    report = retrieve([], workspace, replace(OPTIONS, texts=("a red car",)))
    features = encoder.encode_texts([template.format("a red car") for template in TEXT_TEMPLATES]).numpy()
    vector = (features / np.linalg.norm(features, axis=1, keepdims=True)).mean(axis=0)
    vector /= np.linalg.norm(vector)
    index = open_gallery(workspace, KEEP)[0].index
    for hit in report.rankings[0].hits:
        cosines = index.rows(index.position(hit.video_id)).numpy() @ vector
        assert hit.similarity == pytest.approx((cosines.max() + cosines.mean()) / 2, abs=1e-5)
    assert report.rankings[0].query == "a red car" and len(report.rankings[0].hits) == 3


def test_texts_are_not_compared_with_region_rows(workspace, cache):
    put_seconds(cache, replace(RECIPE, features="regions"), "a.mp4", unit_rows(4, DIM))
    with pytest.raises(BadInput, match="--text compares features with words, which region rows"):
        retrieve([], workspace, replace(OPTIONS, texts=("a car",)))


def test_words_are_needed():
    with pytest.raises(BadInput, match="--text needs words"):
        RetrieveOptions(texts=("  ",))


# -- cached queries --------------------------------------------------------------------------------------------------


def test_cached_queries_are_ids_or_patterns_and_open_nothing(workspace, scenes, monkeypatch):
    monkeypatch.setattr("vidlang.workflows.retrieve.extract_videos", lambda *a, **b: pytest.fail("extracted"))
    report = retrieve(["one.mp4", "?.mp4"], workspace, CACHED)
    assert [r.query for r in report.rankings] == ["0.mp4", "1.mp4", "2.mp4", "3.mp4", "one.mp4"]
    assert ids(report, "one.mp4")[0] == "copy.mp4" and all(r.query not in ids(report, r.query) for r in report.rankings)
    with pytest.raises(BadInput, match=r"No video of the gallery matches nothing\*"):
        retrieve(["nothing*"], workspace, CACHED)


# -- rejections ------------------------------------------------------------------------------------------------------


def test_what_was_rejected_is_left_out_and_shown_again_when_asked_for(workspace, scenes):
    assert reject_videos(workspace, "one.mp4", ["copy.mp4", "0.mp4"]) == [
        "copy.mp4 is rejected as a match of one.mp4",
        "0.mp4 is rejected as a match of one.mp4",
    ]
    assert "was" in reject_videos(workspace, "one.mp4", ["0.mp4"])[0] and num_rejections(workspace) == 2
    report = retrieve(["one.mp4"], workspace, CACHED)
    assert not {"copy.mp4", "0.mp4"} & set(ids(report)) and report.num_rejected == 2
    assert len(ids(report)) == 3
    assert "one.mp4" not in ids(retrieve(["copy.mp4"], workspace, CACHED))  # a pair has no order
    shown = retrieve(["one.mp4"], workspace, replace(CACHED, use_rejections=False))
    assert ids(shown)[0] == "copy.mp4" and shown.num_rejected == 0
    assert ("one.mp4", "copy.mp4") in Rejections(rejections_path(workspace))


def test_a_rejected_query_may_be_given_by_its_path(workspace, films, tmp_path):
    query = film(tmp_path / "asked.mp4", 64, shift=40)
    reject_videos(workspace, str(query), ["b.mp4"])
    assert "b.mp4" not in ids(retrieve([query], workspace, OPTIONS))


def test_no_video_is_rejected_as_a_match_of_itself(workspace, scenes):
    with pytest.raises(BadInput, match=r"one\.mp4 cannot be rejected as a match of itself"):
        reject_videos(workspace, "one.mp4", ["one.mp4"])


# -- thresholds ------------------------------------------------------------------------------------------------------


def test_the_rate_of_false_positives_is_that_of_all_pairs_of_the_gallery(workspace, scenes):
    options = replace(CACHED, search=SearchOptions(similarity="chamfer", threshold=0.3))
    report = retrieve(["one.mp4"], workspace, options)
    rows = [values / np.linalg.norm(values, axis=1, keepdims=True) for values in scenes.values()]
    every = [(a @ b.T).max(axis=1).mean() for a in rows for b in rows if a is not b]
    judged = report.false_positives
    assert judged is not None and judged.num_pairs == 30 and judged.threshold == 0.3
    assert judged.rate == pytest.approx(np.mean(np.array(every) >= 0.3))
    assert 0 < judged.rate < 1 and f"of {judged.num_pairs} pairs" in judged.line()


def test_a_share_of_false_positives_chooses_the_threshold(workspace, scenes):
    options = replace(CACHED, max_false_positives=2 / 30, search=SearchOptions(similarity="chamfer"))
    report = retrieve(["one.mp4", "0.mp4"], workspace, options)
    judged = report.false_positives
    assert judged is not None and judged.rate == pytest.approx(2 / 30)
    assert report.made_by["threshold"] == judged.threshold
    assert ids(report, "one.mp4") == ["copy.mp4"] and ids(report, "0.mp4") == []
    searcher = Searcher(open_gallery(workspace, KEEP)[0].index, SearchOptions(similarity="chamfer"))
    wider = retrieve(["one.mp4"], workspace, replace(options, max_false_positives=0.2)).false_positives
    assert wider is not None and wider.rate == pytest.approx(0.2)
    values = np.sort(searcher.unrelated_videos())
    assert values[-3] < judged.threshold <= values[-2]  # copy and one let each other through


def test_thresholds_that_cannot_be_are_refused(workspace, cache):
    with pytest.raises(BadInput, match="two ways to set one thing"):
        RetrieveOptions(max_false_positives=0.1, search=SearchOptions(threshold=0.5))
    with pytest.raises(BadInput, match="share between 0 and 1, got 1"):
        RetrieveOptions(max_false_positives=1.0)
    put_seconds(cache, RECIPE, "alone.mp4", unit_rows(4, DIM))
    with pytest.raises(BadInput, match="fewer than two"):
        retrieve(["alone.mp4"], workspace, replace(CACHED, search=SearchOptions(threshold=0.5)))


def test_a_background_that_matches_nothing_is_refused(workspace, scenes):
    report = retrieve(["one.mp4"], workspace, replace(CACHED, background="[0-2].mp4"))
    assert set(ids(report)) == {"copy.mp4", "3.mp4"}
    with pytest.raises(BadInput, match=r"No video of the gallery matches --background 'nothing\*'"):
        retrieve(["one.mp4"], workspace, replace(CACHED, background="nothing*"))


# -- what lies on the disk -------------------------------------------------------------------------------------------


def test_rankings_are_written_as_they_are_reported(workspace, scenes, tmp_path):
    options = replace(CACHED, out=tmp_path / "out", plot=True)
    report = retrieve(["one.mp4", "0.mp4"], workspace, options)
    assert report.folder == tmp_path / "out"
    stored = read_rankings(tmp_path / "out" / "rankings.jsonl")
    assert stored.rankings == report.rankings and set(stored.gallery or ()) == set(scenes)
    assert stored.made_by == json.loads(json.dumps(report.made_by))
    lines = list(csv.DictReader((tmp_path / "out" / "rankings.csv").open()))
    assert lines[0]["query"] == "0.mp4" or lines[0]["query"] == "one.mp4"
    best = next(line for line in lines if line["query"] == "one.mp4" and line["rank"] == "1")
    assert best["video"] == "copy.mp4" and (best["start"], best["end"]) == ("0.0", "12.0")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["0.mp4.png", "one.mp4.png"]


def test_the_report_has_what_programs_need(workspace, scenes):
    told = retrieve(["one.mp4"], workspace, CACHED).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["schema"] == "vidlang.retrieve/1" and told["gallery"] == 6
    assert {"made_by", "folder", "false_positives", "queries", "rejected", "notes", "failed"} <= told.keys()
    made_by = told["made_by"]
    assert (made_by["method"], made_by["similarity"], made_by["whitening"]) == ("plain", "overlap", "none")
    assert made_by["encoder"] == "mini" and "bundled encoder 'mini'" in made_by["note"]
    hit = told["queries"][0]["hits"][0]
    assert hit["video"] == "copy.mp4" and 0.9 < hit["similarity"] <= 1.001
    assert hit["segments"] == [{"query": [0, 12], "video": [0, 12]}]


def test_complete_similarities_of_perfect_data_have_a_perfect_score(workspace, cache, tmp_path):
    scenes = {f"{n}": unit_rows(12, DIM, seed=n) for n in range(4)}
    for name, rows in scenes.items():
        for copy in range(3):
            put_seconds(cache, RECIPE, f"{name}-{copy}.mp4", rows + 0.02 * unit_rows(12, DIM, seed=50 + copy))
    options = replace(CACHED, complete=True, out=tmp_path / "out")
    report = retrieve(["*-0.mp4"], workspace, options)
    found = read_similarities(tmp_path / "out" / "similarities.npz")
    assert found.queries == tuple(r.query for r in report.rankings) and found.values.shape == (4, 12)
    by_name = dict(zip(found.ids, found.values[0].tolist(), strict=True))
    for hit in report.rankings[0].hits:
        assert by_name[hit.video_id] == pytest.approx(hit.similarity, abs=1e-6)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("query,video\n" + "".join(f"{n}-0.mp4,{n}-{copy}.mp4\n" for n in scenes for copy in (1, 2)))
    judged = evaluate_retrieval(workspace, tmp_path / "out", pairs=pairs)
    assert judged.source.endswith("similarities.npz") and judged.scores.tasks[0].mean_ap == 1
    from_rankings = evaluate_retrieval(workspace, tmp_path / "out" / "rankings.jsonl", pairs=pairs)
    assert from_rankings.scores.tasks[0].mean_ap == 1


def test_complete_similarities_are_those_of_the_hits_with_a_background_too(workspace, scenes, tmp_path):
    options = replace(CACHED, complete=True, out=tmp_path / "out", background="[01].mp4")
    report = retrieve(["one.mp4"], workspace, options)
    found = read_similarities(tmp_path / "out" / "similarities.npz")
    by_name = dict(zip(found.ids, found.values[0].tolist(), strict=True))
    assert len(report.rankings[0].hits) == 3
    for hit in report.rankings[0].hits:
        assert by_name[hit.video_id] == pytest.approx(hit.similarity, abs=1e-6)


def test_texts_alone_have_no_complete_similarities(workspace, films, tmp_path):
    options = replace(OPTIONS, texts=("a car",), complete=True, out=tmp_path / "out")
    retrieve([], workspace, options)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["rankings.csv", "rankings.jsonl"]


def test_an_approximate_shortlist_says_its_recall(workspace, scenes):
    pytest.importorskip("faiss")
    report = retrieve(["one.mp4"], workspace, replace(CACHED, approximate=True, search=SearchOptions(shortlist=3)))
    assert ids(report)[0] == "copy.mp4"
    assert any(note.startswith("approximate shortlist: ") and "%" in note for note in report.notes)
