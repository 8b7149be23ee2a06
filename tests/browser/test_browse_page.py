"""``vidlang browse`` in a browser: search by text, open a video at an event, seek, stills, keys, narrow and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import Detection, FeatureKey, FeatureRecipe, Features, Sampling, Scores, Segment, VideoInfo
from vidlang.encoders.registry import find_encoder
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.results import write_detections, write_scores
from vidlang.store.workspace import Settings, Workspace
from vidlang.video.reader import identify
from vidlang.video.writer import write_video
from vidlang.workflows.browse import BrowseOptions, BrowseServer, browse
from vidlang.workflows.retrieve import TEXT_TEMPLATES

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=document.title='caught'>.mp4"
SECONDS, RATE = 8, 10


def words(text: str) -> np.ndarray:
    """[D] the direction of a text, whatever the encoder's weights are."""
    from vidlang.encoders.clip import load_encoder

    rows = load_encoder("mini", device="cpu").encode_texts([each.format(text) for each in TEXT_TEMPLATES]).numpy()
    mean = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def put(cache: FeatureCache, recipe: FeatureRecipe, file: Path, rows: np.ndarray) -> Scores:
    """A film of grey pictures that grow lighter, with given rows in the cache and an event from second 5 to 7."""
    frames = (np.full((48, 64, 3), 3 * index, dtype=np.uint8) for index in range(SECONDS * RATE))
    write_video(file, frames, float(RATE), options={"g": "5"} if file.suffix == ".mp4" else None)
    edges = np.arange(SECONDS + 1)
    spans = np.stack([edges[:-1], edges[1:]], axis=1)
    info = VideoInfo(file.name, SECONDS * RATE, float(SECONDS), float(RATE), (48, 64))
    features = Features(FeatureKey(file.name, recipe), info, rows.astype(np.float32), spans * RATE, spans * 1.0)
    cache.put(features, identity=identify(file))
    anomaly = np.where((edges[:-1] >= 5) & (edges[:-1] < 7), 0.9, 0.1).astype(np.float32)
    return Scores(info, spans * RATE, spans * 1.0, anomaly, made_by={"method": "vadclip", "threshold": 0.5})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowseServer]:
    """Two videos: one that a browser plays and whose rows 2 and 3 are what "a cat" looks like, and an AVI."""
    folder = tmp_path_factory.mktemp("browse")
    spec = find_encoder("mini")
    assert spec is not None
    recipe = FeatureRecipe("mini", spec.revision, Sampling())
    cat = words("a cat")
    rows = np.random.default_rng(0).normal(size=(2, SECONDS, len(cat)))
    rows -= (rows @ cat)[..., None] * cat  # nothing else has anything of it
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    rows[0, 2:4] = cat
    workspace = Workspace(folder / "w", Settings(encoder="mini", device="cpu"))
    cache, films = FeatureCache(workspace.cache_dir), folder / "films"
    films.mkdir()
    scores = [put(cache, recipe, films / EVIL, rows[0]), put(cache, recipe, films / "b.avi", rows[1])]
    results = workspace.results_dir / "score" / "one"
    results.mkdir(parents=True)
    write_scores(results / "scores.jsonl", scores)
    events = [Detection(each.video.id, Segment(5.0, 7.0), "<b>riot</b>", 0.9) for each in scores]
    write_detections(results / "events.jsonl", events)
    with browse(workspace, BrowseOptions(videos=(films,), device="cpu")) as ready:
        ready.site.search.by_text("a dog")  # what is loaded once
        thread = ready.server.start()
        yield ready
        ready.server._server.shutdown()
        thread.join(5)


@pytest.fixture
def at(browser, site):
    """Opens a path of the pages, known to the server."""

    def go(path: str, **how: object) -> None:
        browser.open(site.url)
        browser.open(f"http://127.0.0.1:{site.server.port}{path}", **how)

    return go


def video_time(browser) -> float | None:
    """Of the player, once it knows the video."""
    return browser.run("const v = document.querySelector('video'); return v && v.readyState > 0 ? v.currentTime : null")


def clean(browser) -> None:
    assert browser.errors() == []
    assert browser.fetched() == []
    assert browser.run("return document.title") != "caught"


def test_the_printed_address_opens_the_list_without_its_token(browser, site):
    browser.open(site.url)
    assert browser.run("return location.href") == f"http://127.0.0.1:{site.server.port}/"
    assert [each.text for each in browser.all("a.open")] == [EVIL, "b.avi"]
    script = "return [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    browser.wait(lambda: browser.run(script))
    clean(browser)


def test_from_words_to_the_second_that_shows_them(browser, at):
    at("/")
    browser.press(browser.one("body"), "/")
    box = browser.run("return document.activeElement")
    assert box.get_attribute("name") == "text"
    browser.press(box, "a cat", "ENTER")
    browser.wait(lambda: browser.all("ol.cards"))
    assert [each.text for each in browser.all("a.open")] == [EVIL, "b.avi"]
    moment = browser.one("ol.cards a[href*='#t=2.00']:has(time)")
    assert moment.text == "0:02.0 – 0:04.0"
    moment.click()
    browser.wait(lambda: video_time(browser) == pytest.approx(2.0, abs=0.05))
    assert browser.run("return document.querySelector('video').paused")
    clean(browser)


def test_events_timeline_and_keys_seek(browser, at):
    at("/")
    browser.one("a.open").click()  # opens at its best event
    browser.wait(lambda: video_time(browser) == pytest.approx(6.0, abs=0.05))
    line = browser.one("[data-timeline]")
    browser.click_at(line, 0.25)
    browser.wait(lambda: video_time(browser) == pytest.approx(2.0, abs=0.1))
    browser.press(line, "END")
    browser.wait(lambda: video_time(browser) == pytest.approx(8.0, abs=0.15))
    browser.press(line, "HOME")
    browser.wait(lambda: video_time(browser) == 0)
    browser.press(line, "ARROW_RIGHT")
    browser.wait(lambda: (video_time(browser) or 0) > 0)
    button = browser.one("button[data-seek='5.000']")
    browser.press(button, "ENTER")
    browser.wait(lambda: (video_time(browser) or 0) >= 5)
    browser.run("document.querySelector('video').pause()")
    like = browser.one("a[data-at*='/similar']").get_attribute("href")
    assert float(like.rpartition("=")[2]) == pytest.approx(video_time(browser), abs=0.1)
    assert browser.one(".card strong").text == "<b>riot</b>"
    clean(browser)


def test_a_moment_in_the_address_is_gone_to_also_when_it_changes(browser, at):
    at("/")
    browser.one("a.open").click()
    browser.wait(lambda: video_time(browser) is not None)
    browser.run("location.hash = '#t=3.5'")
    browser.wait(lambda: video_time(browser) == pytest.approx(3.5, abs=0.05))
    clean(browser)


def test_where_there_is_no_player_a_still_follows_the_cursor(browser, at):
    at("/video?id=b.avi#t=2.00")
    assert "Browsers do not play this video" in browser.one(".note").text

    def grey() -> float:
        return browser.run(
            "const image = document.getElementById('still'), paper = document.createElement('canvas');"
            "if (!image.complete || !image.naturalWidth) return -1; paper.width = paper.height = 1;"
            "const pen = paper.getContext('2d'); pen.drawImage(image, 0, 0, 1, 1);"
            "return pen.getImageData(0, 0, 1, 1).data[0]"
        )

    browser.wait(lambda: grey() == pytest.approx(3 * 20, abs=6))  # frame 20
    line = browser.one("[data-timeline]")
    browser.click_at(line, 0.75)
    browser.wait(lambda: grey() == pytest.approx(3 * 60, abs=6))
    assert float(line.get_attribute("aria-valuenow")) == pytest.approx(6.0, abs=0.1)
    clean(browser)


@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_a_phone_in_both_schemes(browser, at, dark):
    for path in ("/", "/video?id=b.avi", "/similar?id=b.avi", "/similar?id=b.avi&t=2", "/search?text=a%20cat"):
        at(path, width=360, dark=dark)
        assert browser.overflow() <= 0, path
        ground = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground.strip("rgb()").split(","))) < 200) == dark
        clean(browser)


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(browser, at):
    at("/video?id=b.avi")
    seen = []
    for _ in range(30):
        browser.press(browser.run("return document.activeElement"), "TAB")
        seen.append(browser.run("const e = document.activeElement; return e.id || e.textContent.trim() || e.name"))
    wanted = ["All videos", "text", "story", "Videos like this", "Frames like this moment", "Go there"]
    assert [name for name in seen if name in wanted][: len(wanted)] == wanted
