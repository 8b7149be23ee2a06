"""Pages of eval and of the demo in a real browser: links, keyboard, narrow and dark."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.report.demo_page import Section, demo_page
from vidlang.report.evaluation_page import Evaluation, Moment, VideoSection, WorstTable, evaluation_page
from vidlang.report.evaluation_plots import Line, Lines, panel_picture
from vidlang.report.web import PageTable

pytestmark = pytest.mark.browser

NAME_OF_FOCUS = """const one = document.activeElement;
return one.getAttribute("aria-label") || one.textContent.trim();"""
EVIL = "fight/<img src=x onerror=alert(1)>.mp4"
ENDS = np.array([0.0, 1.0])
PANEL = Lines("roc", "ROC", "false positive rate", "true positive rate", (Line("AUC 0.500", ENDS, ENDS),))
WIDE = PageTable("Numbers", tuple(f"column {place}" for place in range(12)), (tuple(0.5 for _ in range(12)),))


@pytest.fixture(scope="module")
def picture() -> bytes:
    return panel_picture(PANEL)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, picture):
    names = [f"normal/{place}.mp4" for place in range(12)] + [EVIL]
    evaluation = Evaluation(
        title="Anomaly scores",
        facts=(("results", "results/" + "long" * 40),),
        tables=(WIDE,),
        panels=(PANEL,),
        worst=(WorstTable("False alarms", "The highest first.", ("video", "score", "at"),
                          tuple((name, 0.9, Moment(3.2)) for name in names)),),
        videos=tuple(VideoSection(name, (("class", "normal"),), picture, name) for name in names),
    )  # fmt: skip
    page = tmp_path_factory.mktemp("page") / "page.html"
    page.write_text(evaluation_page(evaluation), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def demo(tmp_path_factory, picture):
    said = ("vidlang train vadclip --manifest labels.csv --name demo --seed 0 --epochs 15",)
    sections = [Section(f"Step {n}", said, ("one line",), (WIDE,), ((picture, "a curve"),), 1.0) for n in range(4)]
    page = tmp_path_factory.mktemp("page") / "page.html"
    page.write_text(demo_page([EVIL], sections), encoding="utf-8")
    return page


@pytest.mark.parametrize("which", ["measured", "demo"])
@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_a_phone_say_nothing_wrong_and_fetch_nothing(browser, request, which, dark):
    browser.open(request.getfixturevalue(which), width=360, dark=dark)
    assert browser.run("return document.scrollingElement.scrollWidth <= innerWidth")
    light = browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(253, 253, 252)"
    assert light != dark
    assert browser.run("return [...document.images].every((one) => one.alt && one.naturalWidth > 0)")
    assert browser.errors() == [] and browser.fetched() == []


def test_a_worst_video_leads_to_its_section(browser, measured):
    browser.open(measured)
    link = browser.all("td a")[-1]
    assert link.text == EVIL
    browser.press(link, "ENTER")
    target = browser.run("return document.querySelector(':target h3').textContent")
    assert target == EVIL
    assert browser.run("return document.querySelector(':target').getBoundingClientRect().top < innerHeight")
    assert browser.errors() == []


def test_wide_tables_and_steps_are_reached_by_keyboard(browser, demo):
    browser.open(demo, width=360)
    reached = set()
    for _ in range(14):
        browser.press(browser.run("return document.activeElement"), "TAB")
        reached.add(browser.run(NAME_OF_FOCUS))
    assert {"Skip to the content", "Step 0", "Step 3", "Commands", "Numbers"} <= reached
