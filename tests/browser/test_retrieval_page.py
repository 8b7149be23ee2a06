"""Pages of retrieval and maps in a browser: what clicks, keys and hovering do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidlang.core.segments import Segment
from vidlang.report.map_page import MapPage, map_page
from vidlang.report.map_plot import MapPoints
from vidlang.report.retrieval_page import Comparison, PagePart, PagePlayer, RetrievalPage, Side, retrieval_page
from vidlang.report.thumbs import thumbnail
from vidlang.video.writer import write_video

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=alert(1)>.mp4"
SECONDS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two films of six seconds."""
    place = tmp_path_factory.mktemp("retrieval")
    for number, name in enumerate(("q.mp4", "v.mp4", "w.mp4")):
        frames = [np.full((48, 64, 3), 30 * number + 5 * index, dtype=np.uint8) for index in range(SECONDS * 5)]
        write_video(place / name, frames, 5.0, options={"preset": "ultrafast"})
    return place


def still(shade: int) -> bytes:
    return thumbnail(np.full((48, 64, 3), shade, dtype=np.uint8))


@pytest.fixture(scope="module")
def page(folder) -> Path:
    """A query with two hits, the second without a video at hand and with a name that wants to be markup."""
    pairs = ((Segment(1, 2), Segment(4, 5)), (Segment(3, 4), Segment(0, 1)))
    query = Side("q.mp4", 6.0, 0, 1.5, still(40))
    hits = (
        Comparison(query, Side("v.mp4", 6.0, 1, 4.5, still(80)), 0.9, pairs),
        Comparison(query, Side(EVIL, 9.0, 2), 0.4),
        Comparison(query, Side("w.mp4", 6.0, 3), 0.3, pairs[:1]),
    )
    players = [PagePlayer("q.mp4", "q.mp4"), PagePlayer("v.mp4", "v.mp4")]
    players += [PagePlayer(EVIL, None, "The video is not at hand."), PagePlayer("w.mp4", "w.mp4")]
    part = PagePart("q.mp4", "video", hits, (query,))
    text = retrieval_page(RetrievalPage("Retrieval: q.mp4", (part,), tuple(players), ("a note",), [("seed", 1)]))
    path = folder / "retrieval.html"
    path.write_text(text, encoding="utf-8")
    return path


def times(browser) -> list[float]:
    return browser.run("return [...document.querySelectorAll('video')].map((video) => video.currentTime);")


def paused(browser) -> None:
    browser.run("document.querySelectorAll('video').forEach((video) => video.pause());")


def test_a_match_takes_both_players_to_its_seconds(browser, page):
    browser.open(page)
    buttons = browser.all("article:nth-of-type(1) .pairs button")
    buttons[0].click()
    browser.wait(lambda: times(browser)[0] >= 1 and times(browser)[1] >= 4)
    browser.press(buttons[1], "ENTER")
    browser.wait(lambda: times(browser)[0] >= 3 and times(browser)[1] < 4)
    paused(browser)
    assert browser.run("return document.querySelectorAll('.hit.on').length;") == 1
    assert not browser.errors() and not browser.fetched()


def test_another_hit_is_put_into_the_player(browser, page):
    browser.open(page)
    browser.one("article:nth-of-type(3) [data-show]").click()
    browser.wait(lambda: browser.run("return document.querySelectorAll('video')[1].currentSrc.endsWith('/w.mp4');"))
    assert browser.one("[data-stage=right] [data-name]").text == "w.mp4"
    browser.one("article:nth-of-type(2) [data-show]").click()
    assert not browser.one("#right-1").is_displayed()
    assert browser.one("[data-stage=right] [data-why]").text == "The video is not at hand."
    assert browser.one("[data-stage=right] [data-name]").text == EVIL
    assert not browser.errors()


def test_a_mark_on_a_ruler_is_a_match_too_and_cursors_follow(browser, page):
    browser.open(page)
    browser.one("article:nth-of-type(1) [data-ruler=right] [data-pair='0']").click()
    browser.wait(lambda: times(browser)[1] >= 4)
    paused(browser)
    share = browser.run("return parseFloat(document.querySelector('[data-ruler=right] .cursor').style.left);")
    assert 60 < share <= 100


def lit(browser) -> list[str]:
    return browser.run("return [...document.querySelectorAll('.lit')].map((each) => each.dataset.pair);")


def test_focus_and_pointer_light_a_pair_on_both_rulers(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains

    browser.open(page)
    second = browser.all("article:nth-of-type(1) .pairs button")[1]
    browser.run("arguments[0].focus();", second)
    assert lit(browser) == ["1"] * 4  # two marks, the shape between them, the button
    browser.run("arguments[0].blur();", second)
    assert lit(browser) == []
    mark = browser.one("article:nth-of-type(1) [data-ruler=left] [data-pair='0']")
    ActionChains(browser.driver).move_to_element(mark).perform()
    assert lit(browser) == ["0"] * 4


@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_a_phone_in_light_and_dark(browser, page, mapped, dark):
    for path in (page, mapped):
        browser.open(path, width=360, height=740, dark=dark)
        assert browser.overflow() <= 0
        colours = browser.run("const s = getComputedStyle(document.body); return [s.backgroundColor, s.color];")
        light = [sum(int(part) for part in text[4:-1].split(",")) for text in colours]
        assert (light[0] < light[1]) == dark


def test_names_run_nothing(browser, page, mapped):
    for path in (page, mapped):
        browser.open(path)
        assert browser.run("return document.querySelectorAll('[onerror]').length;") == 0
        assert EVIL in browser.run("return document.body.textContent;")
        assert not browser.errors()


# -- maps ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mapped(folder) -> Path:
    points = np.array([[0.0, 0], [10, 0], [10, 6], [0, 6]])
    shown = MapPoints(
        points, ("v.mp4", "q.mp4", EVIL, "w.mp4"), ("cat", "dog", "cat", EVIL), np.tile([0.0, 6.0], (4, 1)),
        ("one", "two"), "4 videos by PCA",
    )  # fmt: skip
    neighbours = np.array([[1, 2], [0, 2], [3, 0], [2, 1]])
    text = map_page(MapPage(shown, neighbours, {0: still(90)}, {"v.mp4": "v.mp4"}, ("a note",), [("seed", 0)]))
    path = folder / "map.html"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_point_opens_by_click_and_its_neighbours_by_key(browser, mapped):
    browser.open(mapped)
    browser.one("[data-point='0']").click()
    assert browser.one("#name").text == "v.mp4" and browser.one("#what").text == "cat; 0:00.0 – 0:06.0"
    assert browser.one("#still").is_displayed() and browser.one("#ring").get_attribute("r") != "0"
    first = browser.all("#near button")[0]
    assert first.text == "q.mp4"
    browser.press(first, "ENTER")
    assert browser.one("#name").text == "q.mp4" and not browser.one("#still").is_displayed()
    assert not browser.errors() and not browser.fetched()


def test_a_video_at_hand_plays_in_the_map(browser, mapped):
    browser.open(mapped)
    browser.one("[data-point='0']").click()
    browser.one("#play button").click()
    browser.wait(lambda: browser.run("return document.querySelector('#player').currentTime;") > 0)
    browser.one("[data-point='1']").click()
    assert not browser.one("#play").is_displayed() and not browser.one("#player").is_displayed()


def test_the_search_finds_names_and_labels(browser, mapped):
    browser.open(mapped)
    assert len(browser.all("#list button")) == 4
    browser.press(browser.one("#search"), "DOG")
    assert [each.text for each in browser.all("#list button")] == ["q.mp4"]
    assert browser.one("#count").text == "1 of 4 points"
    assert len(browser.all(".points .faint")) == 3


def test_the_legend_hides_a_label(browser, mapped):
    browser.open(mapped)
    button = browser.one(".legend [data-label='0']")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert len(browser.all(".points .off")) == 2 and len(browser.all("#list button")) == 2
    button.click()
    assert not browser.all(".points .off")


def test_the_map_comes_closer_and_goes_back(browser, mapped):
    browser.open(mapped)
    browser.one("#closer").click()
    assert browser.run("return document.querySelector('#plot').viewBox.baseVal.width;") == 500
    browser.one("#whole").click()
    assert browser.run("return document.querySelector('#plot').viewBox.baseVal.width;") == 1000
