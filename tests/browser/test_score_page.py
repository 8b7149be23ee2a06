"""The page of scored videos in a browser: seeking by timeline and cards, reading at the cursor, dark, light, narrow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidlang.core import Detection, Scores, Segment, VideoInfo
from vidlang.report.score_page import ScoredVideo, score_page
from vidlang.report.thumbs import thumbnail
from vidlang.report.video_story import PageWords, Player
from vidlang.report.web import data_uri, video_source
from vidlang.video.writer import write_video

pytestmark = pytest.mark.browser

NAME = "<img src=x onerror=alert(1)>.mp4"
LONG = "a_very_long_file_name_of_a_camera_without_a_single_space_2026-11-21T18-00-00Z_0001.mp4"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds at ten frames each."""
    path = tmp_path_factory.mktemp("film") / NAME
    frames = (np.full((48, 64, 3), 3 * index, dtype=np.uint8) for index in range(80))
    write_video(path, frames, 10.0, options={"g": "5"})
    return path


def video(name: str, player: Player, peak: float = 0.9) -> ScoredVideo:
    """Eight rows of a second; an event from 4 to 6."""
    rows = np.arange(8)
    anomaly = np.where((rows == 4) | (rows == 5), peak, 0.1).astype(np.float32)
    classes = np.stack([1 - anomaly, anomaly], axis=1)
    frames = np.stack([10 * rows, 10 * rows + 10], axis=1)
    seconds = np.stack([rows, rows + 1], axis=1).astype(np.float64)
    info = VideoInfo(name, 80, 8.0, 10.0, (48, 64))
    scores = Scores(info, frames, seconds, anomaly, classes, ("normal", NAME), {"branch": "c"}, {"c": anomaly})
    event = Detection(name, Segment(4.0, 6.0), NAME, peak)
    still = thumbnail(np.full((48, 64, 3), 90, dtype=np.uint8))
    return ScoredVideo(scores, (event,), 0.5, ((NAME, Segment(3.5, 6.0)),), (NAME,), stills=(still,), player=player)


def write_page(folder: Path, videos: list[ScoredVideo]) -> Path:
    words = PageWords(
        "Anomaly scores", "made up", "anomaly score", notes=(NAME,), limits="cannot", failed=[(LONG, "does not open")],
        facts=[("method", "vadclip"), ("revision", "0123456789abcdef" * 4)],
    )  # fmt: skip
    page = folder / "page.html"
    page.write_text(score_page(videos, words), encoding="utf-8")
    return page


def now(browser, number: int) -> float:
    return browser.run("return document.querySelector(`#video-${arguments[0]} video`).currentTime", number)


@pytest.mark.parametrize("embedded", [False, True])
def test_timeline_and_cards_seek_the_video(browser, film, tmp_path, embedded):
    source = data_uri(film.read_bytes(), "video/mp4") if embedded else video_source(film, tmp_path / "page.html")
    browser.open(write_page(tmp_path, [video(NAME, Player(source))]))
    line = browser.one("#video-1 [data-timeline]")
    browser.wait(lambda: browser.run("return document.querySelector('video').readyState > 0"))
    browser.run("arguments[0].scrollIntoView({block: 'center'})", line)
    browser.click_at(line, 0.25)
    browser.wait(lambda: abs(now(browser, 1) - 2.0) < 0.1)
    assert browser.one("[data-readout]").text == "anomaly score 0.10, normal 0.90"
    browser.press(line, "ARROW_RIGHT")
    browser.wait(lambda: now(browser, 1) > 2.05)
    card = browser.one("#video-1 .card button")
    browser.press(card, "ENTER")  # as from a keyboard
    browser.wait(lambda: now(browser, 1) >= 4.0)
    browser.wait(lambda: browser.one("[data-readout]").text == f"anomaly score 0.90, {NAME} 0.90")
    assert browser.errors() == []
    assert browser.fetched() == []


def test_tab_reaches_the_player_the_timeline_and_the_cards(browser, tmp_path):
    browser.open(write_page(tmp_path, [video("v.mp4", Player(None, "no video"))]))
    reached = []
    for _ in range(8):
        browser.press(browser.driver.switch_to.active_element, "TAB")
        reached.append(browser.run("return document.activeElement.matches('[data-timeline]') ? 'timeline' : "
                                   "document.activeElement.matches('.card button') ? 'card' : 'other'"))  # fmt: skip
    assert [place for place in reached if place != "other"] == ["timeline", "card"]


def test_names_never_become_markup_and_nothing_is_wider_than_a_phone(browser, film, tmp_path):
    linked = Player(video_source(film, tmp_path / "page.html"))
    page = write_page(tmp_path, [video(NAME, linked), video(LONG, Player(None, f"no player for {LONG}"), 0.8)])
    for width, dark in ((360, False), (360, True), (1000, False)):
        browser.open(page, width=width, dark=dark)
        assert browser.overflow() <= 0
        assert [image.get_attribute("alt") for image in browser.all("img")] == ["The video at 0:04.5"] * 2
        assert browser.errors() == [] and browser.fetched() == []
    assert browser.one("#video-1 h2").text == NAME
    assert browser.all("nav a")[1].text == LONG


def test_a_page_of_many_videos_reads_each_when_it_is_played(browser, film, tmp_path):
    linked = Player(video_source(film, tmp_path / "page.html"))
    browser.open(write_page(tmp_path, [video(f"{i}.mp4", linked, 0.9 - i / 100) for i in range(14)]))
    assert browser.run("return [...document.querySelectorAll('video')].every((v) => v.readyState === 0)")
    card = browser.one("#video-13 .card button")
    browser.run("arguments[0].scrollIntoView({block: 'center'})", card)
    card.click()
    browser.wait(lambda: now(browser, 13) >= 4.0)
    assert browser.errors() == []
