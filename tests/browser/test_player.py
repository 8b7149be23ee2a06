"""The script of all pages in a browser: seeking by buttons, pointer and keys; cursors; pages without a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidlang.report.web import clock, data_uri, render_page, video_source
from vidlang.video.writer import write_video

pytestmark = pytest.mark.browser

STORY = """\
{% block body %}
{% for name, source in videos %}
<section id="{{ name }}">
<h2>{{ name }}</h2>
{% if source %}<video src="{{ source }}" controls preload="metadata"></video>
<p class="note" data-fallback hidden>This video does not play here.</p>{% endif %}
<div data-timeline data-begin="0" data-end="6" tabindex="0" role="slider" aria-label="time" aria-valuemin="0"
  aria-valuemax="6" style="height: 40px; background: var(--panel)"><div data-cursor></div></div>
<span data-clock>0:00.0</span>
<button data-seek="4.5">to the event</button>
</section>
{% endfor %}
{% endblock %}
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds at ten frames each."""
    path = tmp_path_factory.mktemp("film") / "a film #1.mp4"
    frames = (np.full((48, 64, 3), 4 * index, dtype=np.uint8) for index in range(60))
    write_video(path, frames, 10.0, options={"g": "5"})
    return path


def write_page(folder: Path, videos: list[tuple[str, str | None]]) -> Path:
    page = folder / "page.html"
    page.write_text(render_page(STORY, title="A page", videos=videos), encoding="utf-8")
    return page


def now(browser, name: str) -> float:
    return browser.run("return document.querySelector(`#${arguments[0]} video`).currentTime", name)


def ready(browser, name: str) -> None:
    browser.wait(lambda: browser.run("return document.querySelector(`#${arguments[0]} video`).readyState > 0", name))


def cursor(browser, name: str) -> float:
    """Where the cursor stands, as a share of the timeline."""
    script = (
        "const line = document.querySelector(`#${arguments[0]} [data-timeline]`), box = line.getBoundingClientRect();"
        "const mark = line.querySelector('[data-cursor]').getBoundingClientRect();"
        "return (mark.left + mark.width / 2 - box.left) / box.width;"
    )
    return browser.run(script, name)


def test_scripts_tell_the_time_as_the_pages_do(browser, tmp_path):
    browser.open(write_page(tmp_path, [("none", None)]))
    moments = [0.0, 0.05, 9.96, 75.25, 599.99, 3599.9, 3723.0]
    assert browser.run("return arguments[0].map(vidlang.clock)", moments) == [clock(moment) for moment in moments]


@pytest.mark.parametrize("way", ["beside", "elsewhere", "embedded"])
def test_a_button_seeks_and_plays_however_the_video_is_linked(browser, film, tmp_path, way):
    folder = film.parent if way == "beside" else tmp_path
    source = video_source(film, folder / "page.html")
    assert source.startswith("file:") == (way != "beside")
    if way == "embedded":
        source = data_uri(film.read_bytes(), "video/mp4")
    browser.open(write_page(folder, [("one", source)]))
    browser.one("#one button").click()
    browser.wait(lambda: now(browser, "one") >= 4.5)
    browser.wait(lambda: cursor(browser, "one") >= 4.5 / 6 - 0.01)
    assert browser.one("#one [data-clock]").text >= "0:04.5"
    assert browser.errors() == []
    assert browser.fetched() == []


def test_pointer_and_keys_on_a_timeline_seek_its_own_video_alone(browser, film):
    page = write_page(film.parent, [("one", video_source(film, film.parent / "page.html"))] * 2)
    page.write_text(page.read_text(encoding="utf-8").replace('id="one"', 'id="two"', 1), encoding="utf-8")
    browser.open(page)
    for name in ("one", "two"):
        ready(browser, name)
    line = browser.one("#one [data-timeline]")
    browser.click_at(line)
    browser.wait(lambda: abs(now(browser, "one") - 3.0) < 0.05)
    assert line.get_attribute("aria-valuetext").startswith(("0:02.9", "0:03.0"))
    assert line == browser.driver.switch_to.active_element
    browser.press(line, "ARROW_RIGHT")
    browser.wait(lambda: abs(now(browser, "one") - 3.1) < 0.05)
    browser.press(line, "ARROW_LEFT", "ARROW_LEFT", "PAGE_UP")
    browser.wait(lambda: abs(now(browser, "one") - 3.5) < 0.05)
    browser.press(line, "END")
    browser.wait(lambda: cursor(browser, "one") == pytest.approx(1.0, abs=0.01))
    browser.press(line, "HOME")
    browser.wait(lambda: now(browser, "one") == 0)
    browser.press(line, "SPACE")
    browser.wait(lambda: now(browser, "one") > 0)
    assert now(browser, "two") == 0
    assert browser.errors() == []


def test_a_page_without_a_video_has_cursors_of_its_own(browser, tmp_path, film):
    browser.open(write_page(tmp_path, [("none", None), ("one", video_source(film, tmp_path / "page.html"))]))
    ready(browser, "one")
    browser.one("#none button").click()
    assert cursor(browser, "none") == pytest.approx(4.5 / 6, abs=0.01)
    assert browser.one("#none [data-clock]").text == "0:04.5"
    assert cursor(browser, "one") == pytest.approx(0, abs=0.01)
    assert now(browser, "one") == 0
    assert browser.errors() == []


def test_a_video_that_does_not_play_says_so(browser, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video at all")
    browser.open(write_page(tmp_path, [("one", "broken.mp4")]))
    browser.wait(lambda: browser.one("#one [data-fallback]").is_displayed())
    assert not browser.one("#one video").is_displayed()
    browser.one("#one button").click()
    assert cursor(browser, "one") == pytest.approx(4.5 / 6, abs=0.01)


def test_no_script_but_the_pages_own_runs(browser, tmp_path):
    page = write_page(tmp_path, [])
    html = page.read_text(encoding="utf-8")
    bad = "<script>window.bad = 1</script><img src='data:image/png;base64,x' onerror='window.bad = 1'>"
    page.write_text(html.replace("<footer>", bad + "<footer>"), encoding="utf-8")
    browser.open(page)
    assert browser.run("return window.bad === undefined")
    assert len(browser.errors()) >= 2  # each refused by the policy


@pytest.mark.parametrize("dark", [False, True])
def test_pages_follow_the_wish_for_dark_or_light(browser, tmp_path, dark):
    browser.open(write_page(tmp_path, [("none", None)]), width=360, dark=dark)
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    light = sum(int(part) for part in ground[4:-1].split(","))
    assert (light < 150) == dark
    assert browser.overflow() <= 0
