"""The page of a measurement: complete, linked within itself, and safe against names."""

from __future__ import annotations

import re

import numpy as np
from read_page import Page

from vidlang.report.evaluation_page import Evaluation, Moment, VideoSection, WorstTable, evaluation_page
from vidlang.report.evaluation_plots import Line, Lines
from vidlang.report.web import PageTable

EVIL = "<img src=x onerror=alert(1)>\"'&amp;.mp4"
ENDS = np.array([0.0, 1.0])


def page(**changes) -> Page:
    parts = {
        "title": "Anomaly scores",
        "facts": (("results", EVIL), ("checkpoint", "best")),
        "tables": (PageTable("Metrics", ("metric", EVIL), (("frame_auc", 0.75), (EVIL, None))),),
        "panels": (Lines("roc", EVIL, "x", "y", (Line(EVIL, ENDS, ENDS),)),),
        "worst": (
            WorstTable("False alarms", "The highest first.", ("video", "score", "at"), ((EVIL, 0.9, Moment(75.25)),)),
            WorstTable("Missed", "None.", ("video", "score"), ()),
        ),
        "videos": (VideoSection(EVIL, (("class", EVIL),), b"PNG", EVIL),),
        "notes": (EVIL,),
    }
    return Page(evaluation_page(Evaluation(**{**parts, **changes})))


def test_everything_stands_on_the_page():
    read = page()
    text = " ".join(" ".join(read.text).split())
    for words in ("Anomaly scores", "frame_auc 0.750", "False alarms", "The highest first.", "There are none.", "best"):
        assert words in text
    times = read.named("time")
    assert [time["title"] for time in times] == ["75.25 s"] and "1:15.2" in text


def test_names_are_text_wherever_they_stand():
    read = page()
    images = read.named("img")
    assert len(images) == 2 and all(image["alt"] and EVIL in image["alt"] for image in images)
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    assert sum(part.count(EVIL) for part in read.text) >= 8


def test_every_named_video_leads_to_its_section():
    read = page()
    ids = {attributes.get("id") for _, attributes in read.tags}
    links = [str(link["href"]) for link in read.named("a")]
    assert "#video-1" in links and all(link.removeprefix("#") in ids for link in links)


def test_nothing_is_loaded_from_a_network():
    html = evaluation_page(Evaluation("t", (), (), ()))
    assert not re.search(r"https?://|@import|url\(|<link", html)
