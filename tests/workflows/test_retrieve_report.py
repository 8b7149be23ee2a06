"""Pages of retrieval from films of known colours: which frames, which links, and what is said where videos are gone."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_ins import ColourEncoder, colour, film, put_seconds, recipe_of, unit_rows

from vidlang.core import BadInput, Segment
from vidlang.video.reader import probe
from vidlang.workflows.duplicates import find_duplicates
from vidlang.workflows.extract import ExtractOptions, extract
from vidlang.workflows.gallery import GalleryOptions, open_gallery
from vidlang.workflows.retrieve import RetrieveOptions, retrieve
from vidlang.workflows.retrieve_report import AskedBy, ReportOptions, best_seconds
from vidlang.workflows.search import Searcher, SearchOptions

RECIPE = recipe_of(ColourEncoder())
KEEP = GalleryOptions(blank_frames="keep")


@pytest.fixture
def films(tmp_path, cache, encoder, monkeypatch) -> Path:
    """Two films of 64 frames, four rows each, whose features are in the cache."""
    for place, name in enumerate(("a.mp4", "deep/<b>.mp4")):
        film(tmp_path / "videos" / name, 64, shift=40 * place)
    extract([tmp_path / "videos"], cache, RECIPE, lambda: encoder, ExtractOptions(num_workers=1))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "videos"


def asking(page: Path, **changes) -> RetrieveOptions:
    return RetrieveOptions(gallery=KEEP, report=ReportOptions(page), **changes)


def players_of(text: str) -> dict[str, str | None]:
    return {p["name"]: p["source"] for p in json.loads(re.search(r"const players = (\[.*\]);", text)[1])}


def stills_of(text: str) -> list[np.ndarray]:
    """Mean colours of the stills, in their order."""
    found = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).mean(axis=(0, 1)) for data in found]


def test_a_page_shows_the_frames_that_match_best_and_links_the_videos(workspace, films, tmp_path):
    query = film(tmp_path / "asked.mp4", 64)  # as a.mp4
    page = tmp_path / "page" / "r.html"
    report = retrieve([query], workspace, asking(page))
    text = page.read_text(encoding="utf-8")
    assert report.rankings[0].hits[0].video_id == "a.mp4"
    mine, theirs = stills_of(text)[:2]
    assert np.abs(mine - theirs).max() < 6  # both show one colour
    known = np.stack([colour(index) for index in range(64)]).astype(float)
    assert np.abs(known - mine).max(axis=1).min() < 6  # and it is one of the film's
    sources = players_of(text)
    assert sources["asked.mp4"] == query.resolve().as_uri() and sources["a.mp4"] == (films / "a.mp4").resolve().as_uri()
    assert "deep/&lt;b&gt;.mp4" in text and "<b>.mp4" not in text
    assert "gallery" in text and RECIPE.fingerprint in text


def test_a_page_in_the_folder_of_the_videos_links_them_by_their_names(workspace, films):
    retrieve(["a.mp4"], workspace, asking(films / "r.html", cached=True))
    assert players_of((films / "r.html").read_text(encoding="utf-8")) == {
        "a.mp4": "a.mp4", "deep/<b>.mp4": "deep/%3Cb%3E.mp4",
    }  # fmt: skip


def test_embedded_videos_are_in_the_page_once(workspace, films, tmp_path):
    page = tmp_path / "r.html"
    options = replace(asking(page, cached=True), report=ReportOptions(page, embed=True))
    retrieve(["*"], workspace, options)
    text = page.read_text(encoding="utf-8")
    data = base64.b64encode((films / "a.mp4").read_bytes()).decode()
    assert text.count(data) == 1 and all(
        source.startswith("data:video/mp4;base64,") for source in players_of(text).values()
    )


def test_a_page_that_would_be_too_large_is_refused(workspace, films, tmp_path, monkeypatch):
    monkeypatch.setattr("vidlang.workflows.page_parts.EMBED_LIMIT", 100)
    page = tmp_path / "r.html"
    options = replace(asking(page, cached=True), report=ReportOptions(page, embed=True))
    with pytest.raises(BadInput, match="Leave --embed out"):
        retrieve(["*"], workspace, options)
    assert not page.exists()


def test_folders_of_frames_keep_the_rate_of_their_features(workspace, films, cache, encoder, tmp_path):
    """Sixty-four frames, two a second, as a hit and as a query: 32 seconds."""
    for name in ("kept", "asked"):
        folder = tmp_path / name / "frames"
        folder.mkdir(parents=True)
        for index in range(64):
            Image.fromarray(np.broadcast_to(colour(index), (32, 48, 3)).copy()).save(folder / f"{index:03d}.png")
    two = ExtractOptions(num_workers=1, frame_rate=2.0)
    extract([tmp_path / "kept" / "frames"], cache, RECIPE, lambda: encoder, two)
    page = tmp_path / "r.html"
    options = replace(asking(page), report=ReportOptions(page, embed=True, videos=(tmp_path / "kept",)))
    for asked, name in ((replace(options, cached=True), "a.mp4"), (options, tmp_path / "asked" / "frames")):
        retrieve([name], workspace, asked, extraction=two)
        source = players_of(page.read_text(encoding="utf-8"))["frames"]
        (tmp_path / "copy.mp4").write_bytes(base64.b64decode(source.partition(",")[2]))
        assert abs(probe(tmp_path / "copy.mp4").duration - 32) < 0.1


def test_without_videos_the_page_has_seconds_alone_and_says_so(workspace, cache, tmp_path):
    rows = unit_rows(12, 32, seed=1)
    put_seconds(cache, RECIPE, "one.mp4", rows)
    put_seconds(cache, RECIPE, "clip.mp4", rows[2:8])
    put_seconds(cache, RECIPE, "other.mp4", unit_rows(12, 32, seed=2))
    page = tmp_path / "r.html"
    retrieve(["clip.mp4"], workspace, asking(page, cached=True))
    text = page.read_text(encoding="utf-8")
    assert "None of the videos is at hand" in text and not stills_of(text) and "<video" not in text
    assert 'data-from="0.0" data-to="2.0"' in text.replace("\n", "")


def test_texts_and_images_are_queries_of_a_page_too(workspace, films, tmp_path):
    picture = tmp_path / "still.png"
    Image.fromarray(np.broadcast_to(colour(8), (32, 48, 3)).copy()).save(picture)
    page = tmp_path / "r.html"
    retrieve([picture], workspace, asking(page, texts=("a <i>red</i> car",)))
    text = page.read_text(encoding="utf-8")
    assert "“a &lt;i&gt;red&lt;/i&gt; car”" in text and "The image still.png" in text
    assert np.abs(stills_of(text)[0] - colour(8)).max() < 6
    assert text.count('data-ruler="left"') == 0 and text.count('data-ruler="right"') == 4


def test_groups_have_a_page(workspace, films, cache, encoder, tmp_path):
    film(films / "copy.mp4", 64)  # as a.mp4
    extract([films], cache, RECIPE, lambda: encoder, ExtractOptions(num_workers=1))
    page = tmp_path / "g.html"
    report = find_duplicates(workspace, replace(asking(page), search=SearchOptions(threshold=0.999)))
    text = page.read_text(encoding="utf-8")
    assert ("a.mp4", "copy.mp4") in report.groups
    assert "Group 1: 2 videos" in text and "a.mp4 and copy.mp4" in " ".join(text.split())
    assert {"a.mp4", "copy.mp4"} <= set(players_of(text)) and len(stills_of(text)) >= 4


def test_the_best_second_lies_inside_the_first_matched_segment(workspace, cache):
    rows = unit_rows(10, 32, seed=1)
    put_seconds(cache, RECIPE, "one.mp4", rows)
    put_seconds(cache, RECIPE, "two.mp4", np.concatenate([rows[5:6], unit_rows(5, 32, seed=3), rows[2:5] + 0.01]))
    gallery, _ = open_gallery(workspace, KEEP)
    query = AskedBy("one.mp4", Searcher(gallery.index, SearchOptions()).embedded(gallery.index.position("one.mp4")))
    assert best_seconds(query, gallery, "two.mp4", ()) == (5.5, 0.5)  # row 5 is row 0 of the other
    mine, theirs = best_seconds(query, gallery, "two.mp4", ((Segment(2, 5), Segment(6, 9)),))
    assert 2 <= mine <= 5 and theirs - mine == 4


def test_pages_of_other_endings_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"must end in \.html"):
        ReportOptions(tmp_path / "r.pdf")
    (tmp_path / "r.html").mkdir()
    with pytest.raises(BadInput, match="is a folder"):
        ReportOptions(tmp_path / "r.html")
