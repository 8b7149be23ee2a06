"""Pages over planted caches: what is listed in which order, what a search finds, what an address may name."""

from __future__ import annotations

import http.client
import re
import threading
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_ins import DIM, ColourEncoder, film, put_seconds, recipe_of, unit_rows, video_rows
from test_browse_results import event, scores_of, write

from vidlang.core import BadInput, MissingFeatures, Segment
from vidlang.core.labels import LabelledSegment
from vidlang.datasets.manifest import Label, write_manifest
from vidlang.engines.server import Request
from vidlang.store.rejections import Rejections
from vidlang.workflows.browse import BrowseOptions, Site, address, browse
from vidlang.workflows.extract import extract
from vidlang.workflows.retrieve import TEXT_TEMPLATES, rejections_path

EVIL = '"><img src=x onerror=alert(1)>&amp;'


@pytest.fixture(autouse=True)
def _look_always(monkeypatch):
    """Every page looks the cache through."""
    monkeypatch.setattr("vidlang.workflows.browse_catalog.REST", 0)
    monkeypatch.setattr("vidlang.workflows.browse_catalog.AT_LEAST", 0.0)
    monkeypatch.setattr("vidlang.workflows.browse_catalog.LOOK_AGAIN", 0.0)


@pytest.fixture
def recipe(encoder):
    return recipe_of(encoder)


@pytest.fixture
def site_of(workspace, notes, request):
    """A site of the workspace with some options, closed at the end."""

    def make(**options) -> Site:
        site = Site(workspace, BrowseOptions(**options), notes)
        request.addfinalizer(site.close)
        return site

    return make


def get(site: Site, path: str, status: int = 200, **query: str) -> str:
    answer = site.answer(Request(path, query))
    assert answer.status == status, answer.body
    return answer.body.decode()


def names(page: str) -> list[str]:
    """Of the videos on a page, in order."""
    return [unescape(name) for name in re.findall(r'<a class="open" href="[^"]*">([^<]*)</a>', page)]


def put_names(cache, recipe, *video_ids: str, rows: int = 2) -> None:
    for number, video_id in enumerate(video_ids):
        put_seconds(cache, recipe, video_id, video_rows(rows, seed=number))


# -- the list ----------------------------------------------------------------------------------------------------------


def test_videos_come_in_the_natural_order_of_their_names(cache, recipe, site_of):
    put_names(cache, recipe, "fight/v10.mp4", "fight/v2.mp4", "calm/v1.mp4", "loose.mp4")
    assert names(get(site_of(), "/")) == ["calm/v1.mp4", "fight/v2.mp4", "fight/v10.mp4", "loose.mp4"]


def test_a_list_of_many_videos_comes_in_pages(cache, recipe, site_of, monkeypatch):
    monkeypatch.setattr("vidlang.workflows.browse.PAGE", 5)
    put_names(cache, recipe, *(f"v{number}.mp4" for number in range(12)), rows=1)
    site = site_of()
    pages = [names(get(site, "/", page=str(number))) for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [5, 5, 2]
    assert [name for page in pages for name in page] == [f"v{number}.mp4" for number in range(12)]
    assert names(get(site, "/", page="4")) == names(get(site, "/", page="99999999")) == pages[2]
    for odd in ("0", "-1", "x", "9" * 40, "²"):
        assert names(get(site, "/", page=odd)) == pages[0]
    assert 'href="/?page=2">Next' in get(site, "/") and ">Before<" not in get(site, "/")
    second = get(site, "/", page="2", name="v", sort="longest")
    assert 'href="/?name=v&amp;sort=longest&amp;page=3">Next' in second  # the filter goes along


def test_filters_by_part_of_a_name_pattern_label_and_events(cache, recipe, workspace, site_of):
    put_names(cache, recipe, "fight/a1.mp4", "fight/b.mp4", "calm/a1.mp4", "a1.mp4")
    write(workspace.results_dir / "score" / "x", [scores_of("a1.mp4", 0.1)], [])
    write(workspace.results_dir / "score" / "y", [scores_of("fight/b.mp4", 0.9)], [event("fight/b.mp4", 0, 1, 0.9)])
    site = site_of()
    assert names(get(site, "/", name="A1")) == ["a1.mp4", "calm/a1.mp4", "fight/a1.mp4"]
    assert names(get(site, "/", name="*/a?.mp4")) == ["calm/a1.mp4", "fight/a1.mp4"]
    assert names(get(site, "/", label="fight")) == ["fight/a1.mp4", "fight/b.mp4"]
    assert names(get(site, "/", events="1")) == ["fight/b.mp4"]
    nothing = get(site, "/", name="zebra")
    assert names(nothing) == [] and "No video is like that" in nothing and "0 of 4 videos" in nothing


def test_orders(cache, recipe, workspace, site_of):
    for number, (name, length) in enumerate({"a.mp4": 3, "b.mp4": 1, "c.mp4": 2, "d.mp4": 2}.items()):
        put_seconds(cache, recipe, name, video_rows(length, seed=number))
    scores = [scores_of("a.mp4", 0.2), scores_of("b.mp4", 0.9), scores_of("c.mp4", 0.5)]
    events = [event("c.mp4", 0, 1, 0.5), event("c.mp4", 1, 2, 0.5), event("b.mp4", 0, 1, 0.9)]
    write(workspace.results_dir / "score" / "x", scores, events)
    site = site_of()
    assert names(get(site, "/", sort="score")) == ["b.mp4", "c.mp4", "a.mp4", "d.mp4"]
    assert names(get(site, "/", sort="events")) == ["c.mp4", "b.mp4", "a.mp4", "d.mp4"]
    assert names(get(site, "/", sort="longest")) == ["a.mp4", "c.mp4", "d.mp4", "b.mp4"]
    assert names(get(site, "/", sort="shortest")) == ["b.mp4", "c.mp4", "d.mp4", "a.mp4"]
    assert names(get(site, "/", sort="nonsense")) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]


def test_a_card_says_the_highest_score_and_opens_at_the_best_event(cache, recipe, workspace, site_of):
    put_names(cache, recipe, "a.mp4")
    write(workspace.results_dir / "score" / "x", [scores_of("a.mp4", 0.2, 0.75)], [event("a.mp4", 1, 2, 0.75)])
    page = get(site_of(), "/")
    assert "highest score 0.75, 1 event: fight" in page and 'value="0.7500"' in page
    assert 'href="/video?id=a.mp4#t=1.50"' in page and "/still?id=a.mp4&amp;t=1.50" in page


def test_a_video_in_two_recipes_is_one_row_that_names_both(cache, encoder, site_of):
    one, other = recipe_of(encoder), recipe_of(encoder, stride=8)
    for recipe in (one, other):
        put_names(cache, recipe, "a.mp4")
    put_names(cache, one, "b.mp4")
    site = site_of()
    page = get(site, "/")
    assert names(page) == ["a.mp4", "b.mp4"] and page.count("mini/stride8-middle</span>") == 1
    assert names(get(site, "/", recipe=other.fingerprint)) == ["a.mp4"]
    assert names(get(site_of(recipe=other.fingerprint[:4]), "/")) == ["a.mp4"]


def test_patterns_of_the_command_line_limit_everything(cache, recipe, site_of):
    put_names(cache, recipe, "fight/a.mp4", "calm/b.mp4")
    site = site_of(patterns=("fight/*",))
    assert names(get(site, "/")) == ["fight/a.mp4"]
    get(site, "/video", 422, id="calm/b.mp4")
    with pytest.raises(MissingFeatures, match=r"matches zebra\. Run: vidlang extract"):
        site_of(patterns=("zebra",))


def test_a_manifest_says_labels_and_truth(cache, recipe, site_of, tmp_path):
    put_names(cache, recipe, "a.mp4", "b.mp4", rows=9)
    truth = (LabelledSegment("riot", Segment(2.0, 5.0)),)
    write_manifest([Label("a.mp4", ("riot",), truth, split="test", timed=True)], tmp_path / "l.csv")
    site = site_of(manifest=tmp_path / "l.csv")
    assert names(get(site, "/")) == ["a.mp4"] and "riot" in get(site, "/")
    page = get(site, "/video", id="a.mp4")
    assert 'data-seek="2.000"' in page and "<h2>Truth</h2>" in page
    with pytest.raises(BadInput, match="--split"):
        BrowseOptions(split="test")


def test_what_is_new_in_the_cache_and_the_results_is_there_with_the_next_page(cache, recipe, workspace, site_of):
    put_names(cache, recipe, "a.mp4")
    site = site_of()
    assert names(get(site, "/")) == ["a.mp4"]
    put_names(cache, recipe, "b.mp4")
    write(workspace.results_dir / "score" / "x", [scores_of("b.mp4", 0.6)], [])
    page = get(site, "/")
    assert names(page) == ["a.mp4", "b.mp4"] and "highest score 0.60" in page


# -- names and addresses -----------------------------------------------------------------------------------------------


def test_names_and_labels_are_text_wherever_they_stand(cache, recipe, workspace, site_of):
    name = f"{EVIL}/{EVIL}.mp4".replace("/x", "x")
    put_names(cache, recipe, name, "b.mp4")
    write(workspace.results_dir / "score" / EVIL, [scores_of(name, 0.9)], [event(name, 0, 1, 0.9, EVIL)])
    site = site_of()
    pages = [get(site, "/"), get(site, "/video", id=name), get(site, "/similar", id=name)]
    pages += [get(site, "/similar", id="b.mp4"), get(site, "/", name=EVIL, label=EVIL, recipe=EVIL, sort=EVIL)]
    pages += [get(site, "/search", text=EVIL), get(site, "/video", 422, id=EVIL), get(site, "/similar", 422, id=EVIL)]
    pages += [get(site, "/similar", 422, id=name, t=EVIL)]
    for page in pages:
        assert ("<img src=x" not in page and "&lt;img src=x" in page) or "There is no such video" in page
        assert "onerror" not in re.sub(r"&[a-z]+;|&#\d+;", "", re.sub(r">[^<]*<", "><", re.sub(r'"[^"]*"', '""', page)))
    assert name in names(pages[0])


def test_names_that_are_no_text_open_all_the_same(cache, recipe, site_of):
    name = "b\udcffd.mp4"
    put_names(cache, recipe, name)
    site = site_of()
    assert "/video?id=b%FFd.mp4" in get(site, "/")
    assert r"b\udcffd.mp4" in get(site, "/video", id=name)


@pytest.mark.parametrize("route", ["/video", "/media", "/still", "/similar"])
@pytest.mark.parametrize("name", ["", "../../etc/passwd", "/etc/passwd", "a.mp4/../a.mp4", "a.mp4\0", "A.MP4"])
def test_no_part_of_an_address_opens_a_file(cache, recipe, site_of, route, name, monkeypatch):
    put_names(cache, recipe, "a.mp4")
    site = site_of()
    monkeypatch.setattr("vidlang.workflows.browse_catalog.locate_videos", lambda *_: pytest.fail("looked for a file"))
    assert "no such video" in get(site, route, 422, id=name, t="0")


@pytest.mark.parametrize("path", ["/etc/passwd", "/../x", "//", "/video/", "/list"])
def test_other_paths_are_no_pages(cache, recipe, site_of, path):
    put_names(cache, recipe, "a.mp4")
    get(site_of(), path, 404)


def test_addresses_read_back_as_they_were_written():
    from urllib.parse import parse_qsl, urlsplit

    for name in ("a b&c=d#e?f%2F+.mp4", "b\udcff.mp4", "é/日本.mp4"):
        query = urlsplit(address("/video", id=name)).query
        assert dict(parse_qsl(query, errors="surrogateescape")) == {"id": name}


def test_every_page_allows_its_own_scripts_and_nothing_else(cache, recipe, site_of):
    put_names(cache, recipe, "a.mp4")
    site = site_of()
    for path, query in (("/", {}), ("/video", {"id": "a.mp4"}), ("/similar", {"id": "a.mp4"}), ("/none", {})):
        policy = site.answer(Request(path, query)).policy
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "http:" not in policy and "unsafe-eval" not in policy and "frame-ancestors 'none'" in policy
        scripts = re.search(r"script-src ([^;]*);", policy)[1]
        assert "unsafe-inline" not in scripts


# -- videos ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def films(tmp_path, cache, recipe, encoder) -> Path:
    """A player's film, one for stills alone, and a folder of frames."""
    folder = tmp_path / "far" / "away" / "films"  # not beside the workspace
    film(folder / "plays.mp4", 40)
    film(folder / "stills.avi", 40)
    from PIL import Image

    for number in range(20):
        picture = folder / "frames" / f"{number}.png"
        picture.parent.mkdir(exist_ok=True)
        Image.new("RGB", (48, 32), (10 * number, 0, 0)).save(picture)
    report = extract([folder], cache, recipe, lambda: encoder)
    assert report.num_failed == 0
    return folder


def test_a_video_that_browsers_play_has_a_player(films, site_of):
    site = site_of(videos=(films,))
    page = get(site, "/video", id="plays.mp4")
    assert '<source src="/media?id=plays.mp4" type="video/mp4">' in page
    answer = site.answer(Request("/media", {"id": "plays.mp4"}))
    assert (answer.file, answer.kind) == (films / "plays.mp4", "video/mp4")
    assert page.count('alt="Frame of plays.mp4 at ') == 12


@pytest.mark.parametrize(("name", "why"), [("stills.avi", "in AVI"), ("frames", "a folder of frames")])
def test_others_have_stills_and_say_why(films, site_of, name, why):
    site = site_of(videos=(films,))
    page = get(site, "/video", id=name)
    assert "<video" not in page and why in page and 'id="still"' in page
    get(site, "/media", 422, id=name)
    picture = site.answer(Request("/still", {"id": name, "t": "0.5"}))
    assert picture.kind == "image/jpeg" and picture.body.startswith(b"\xff\xd8")


def test_stills_show_the_moment_that_was_asked_for(films, site_of):
    from io import BytesIO

    from PIL import Image

    site = site_of(videos=(films,))
    for number in (0, 7, 19):
        answer = site.answer(Request("/still", {"id": "frames", "t": str(number / 25 + 0.01)}))
        red = np.asarray(Image.open(BytesIO(answer.body)).convert("RGB"))[..., 0].mean()
        assert red == pytest.approx(10 * number, abs=4)


@pytest.mark.parametrize("t", ["x", "-1", "nan", "inf", "1e999"])
def test_moments_are_seconds(films, site_of, t):
    get(site_of(videos=(films,)), "/still", 422, id="plays.mp4", t=t)


def test_a_video_that_is_not_at_hand_says_so(films, site_of):
    (path,) = films.rglob("plays.mp4")
    path.unlink()
    site = site_of()
    page = get(site, "/video", id="plays.mp4")
    assert "not at hand" in page and "--videos DIR" in page and "<video" not in page and "<img" not in page
    get(site, "/media", 422, id="plays.mp4")
    assert site.answer(Request("/still", {"id": "plays.mp4", "t": "0"})).kind == "image/svg+xml"


def test_another_file_of_the_same_name_is_never_shown(films, site_of):
    site = site_of(videos=(films,))
    assert site.answer(Request("/media", {"id": "plays.mp4"})).status == 200
    (films / "plays.mp4").write_bytes(b"secret")
    get(site, "/media", 422, id="plays.mp4")
    assert "not at hand" in get(site, "/video", id="plays.mp4")


def test_a_video_shows_its_curve_events_and_neighbours(cache, recipe, workspace, site_of):
    put_names(cache, recipe, "a.mp4", "b.mp4", "c.mp4", rows=4)
    events = [event("b.mp4", 2, 4, 0.9, "riot")]
    write(workspace.results_dir / "score" / "x", [scores_of("b.mp4", 0.1, 0.1, 0.9, 0.8)], events)
    page = get(site_of(), "/video", id="b.mp4")
    assert 'points="0.0,90.0 250.0,90.0 250.0,90.0 500.0,90.0 500.0,10.0 750.0,10.0 750.0,20.0 1000.0,20.0"' in page
    assert '<button data-seek="2.000">Go there</button>' in page and "riot" in page
    assert 'rel="prev" href="/video?id=a.mp4"' in page and 'rel="next" href="/video?id=c.mp4"' in page
    assert 'rel="prev"' not in get(site_of(), "/video", id="a.mp4")


# -- search ------------------------------------------------------------------------------------------------------------


def words_of(encoder: ColourEncoder, text: str) -> np.ndarray:
    """[DIM] of length 1, as a text is asked for."""
    rows = torch.nn.functional.normalize(encoder.encode_texts([t.format(text) for t in TEXT_TEMPLATES]), dim=1)
    return torch.nn.functional.normalize(rows.mean(dim=0), dim=0).numpy()


def mixed(vector: np.ndarray, share: float, length: int, seed: int) -> np.ndarray:
    """Rows with a known cosine to a vector of length 1."""
    other = unit_rows(length, DIM, seed=seed)
    other -= (other @ vector)[:, None] * vector
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    return (share * vector + np.sqrt(1 - share**2) * other).astype(np.float32)


def test_a_text_finds_videos_in_the_order_of_their_cosines(cache, recipe, encoder, site_of):
    red = words_of(encoder, "a red car")
    for name, share in {"far.mp4": 0.1, "near.mp4": 0.9, "middle.mp4": 0.5}.items():
        put_seconds(cache, recipe, name, mixed(red, share, 6, seed=len(name)))
    page = get(site_of(), "/search", text="a red car")
    assert names(page) == ["near.mp4", "middle.mp4", "far.mp4"]
    assert re.findall(r"similarity ([\d.]+)", page) == ["0.900", "0.500", "0.100"]
    assert 'value="a red car"' in page


def test_the_encoder_is_loaded_with_the_first_text_and_once(cache, recipe, encoder, site_of):
    put_names(cache, recipe, "a.mp4", "b.mp4")
    site = site_of()
    get(site, "/"), get(site, "/similar", id="a.mp4")
    before = len(encoder.loaded_as)
    threads = [threading.Thread(target=get, args=(site, "/search"), kwargs={"text": f"word {n}"}) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    put_names(cache, recipe, "c.mp4")  # the index is opened anew, the encoder stays
    assert "c.mp4" in names(get(site, "/search", text="again"))
    assert len(encoder.loaded_as) - before <= 1


def test_videos_like_one_are_its_copies_first_without_itself_and_what_was_rejected(cache, recipe, workspace, site_of):
    rows = unit_rows(8, DIM, seed=1)
    put_seconds(cache, recipe, "a.mp4", rows)
    put_seconds(cache, recipe, "copy.mp4", rows)
    put_seconds(cache, recipe, "half.mp4", np.concatenate([rows[:4], unit_rows(4, DIM, seed=2)]))
    put_seconds(cache, recipe, "other.mp4", unit_rows(8, DIM, seed=3))
    site = site_of()
    page = get(site, "/similar", id="a.mp4")
    assert names(page) == ["a.mp4", "copy.mp4", "half.mp4", "other.mp4"]  # the query, then its hits
    assert 'href="/video?id=copy.mp4#t=0.00"' in page
    Rejections(rejections_path(workspace)).add("a.mp4", "copy.mp4")
    assert names(get(site, "/similar", id="a.mp4")) == ["a.mp4", "half.mp4", "other.mp4"]


def test_frames_like_one_are_found_with_their_second(cache, recipe, site_of):
    rows = unit_rows(6, DIM, seed=1)
    put_seconds(cache, recipe, "a.mp4", rows)
    other = unit_rows(9, DIM, seed=2)
    other[7] = rows[3]
    put_seconds(cache, recipe, "has-it.mp4", other)
    put_seconds(cache, recipe, "not.mp4", unit_rows(9, DIM, seed=3))
    page = get(site_of(), "/similar", id="a.mp4", t="3.2")  # row 3 stands for seconds 3 to 4
    assert names(page) == ["a.mp4", "has-it.mp4", "not.mp4"]
    assert re.findall(r"similarity ([\d.]+)", page)[0] == "1.000"
    assert 'href="/video?id=has-it.mp4#t=7.00"' in page


def test_of_equally_near_frames_the_first_is_named(cache, recipe, site_of):
    row = unit_rows(1, DIM, seed=1)
    put_seconds(cache, recipe, "a.mp4", row)
    put_seconds(cache, recipe, "b.mp4", np.concatenate([unit_rows(2, DIM, seed=2), row, row, row]))
    assert 'href="/video?id=b.mp4#t=2.00"' in get(site_of(), "/similar", id="a.mp4", t="0")


def test_a_moment_behind_the_end_means_the_last_frame(cache, recipe, site_of):
    rows = unit_rows(4, DIM, seed=1)
    put_seconds(cache, recipe, "a.mp4", rows)
    put_seconds(cache, recipe, "b.mp4", rows[::-1])
    assert 'href="/video?id=b.mp4#t=0.00"' in get(site_of(), "/similar", id="a.mp4", t="99")


@pytest.mark.parametrize("text", ["", "  "])
def test_no_words_are_no_question(cache, recipe, site_of, text):
    put_names(cache, recipe, "a.mp4")
    assert "There are no words" in get(site_of(), "/search", 422, text=text)


def test_rows_that_no_text_can_be_compared_with_say_so_and_videos_still_compare(cache, encoder, workspace, site_of):
    from dataclasses import replace

    regions = replace(recipe_of(encoder), features="regions")
    rows = unit_rows(8, DIM, seed=1)
    for name in ("a.mp4", "b.mp4"):
        put_seconds(cache, regions, name, rows)
    site = site_of(recipe=regions.fingerprint)
    assert "region rows" in get(site, "/search", 422, text="a red car")


def test_a_video_that_the_search_does_not_know_is_said(cache, encoder, site_of):
    put_names(cache, recipe_of(encoder), "a.mp4", "b.mp4")
    put_names(cache, recipe_of(encoder, stride=8), "only8.mp4")
    assert "is not in the index" in get(site_of(), "/similar", 422, id="only8.mp4")


# -- served ------------------------------------------------------------------------------------------------------------


def test_a_browser_gets_pages_and_ranges_of_the_video(films, workspace):
    ready = browse(workspace, BrowseOptions(videos=(films,)))
    thread = ready.server.start()
    connection = http.client.HTTPConnection("127.0.0.1", ready.server.port, timeout=10)
    cookie = {"Cookie": f"vidlang-{ready.server.port}={ready.server.token}"}
    connection.request("GET", address("/media", id="plays.mp4"), headers={**cookie, "Range": "bytes=0-99"})
    answer = connection.getresponse()
    content = (films / "plays.mp4").read_bytes()
    assert (answer.status, answer.read()) == (206, content[:100])
    assert answer.getheader("Content-Type") == "video/mp4"
    connection.request("GET", "/", headers=cookie)
    page = connection.getresponse().read().decode()
    assert names(page) == ["frames", "plays.mp4", "stills.avi"]
    connection.close()
    assert ready.to_dict() == {"schema": "vidlang.browse/1", "url": ready.url, "videos": 3}
    ready.server.close()
    thread.join(5)
    ready.site.close()


def test_an_empty_cache_or_a_wrong_folder_is_one_line(cache, recipe, workspace, tmp_path):
    with pytest.raises(MissingFeatures, match="Run: vidlang extract"):
        browse(workspace)
    put_names(cache, recipe, "a.mp4")
    with pytest.raises(BadInput, match="is no folder"):
        BrowseOptions(videos=(tmp_path / "none",))
    with pytest.raises(BadInput, match="holds no results"):
        browse(workspace, BrowseOptions(results=tmp_path / "none"))
