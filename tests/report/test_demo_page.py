"""The demo's page: complete, self-contained, and safe against names; and its sheets of stills."""

from __future__ import annotations

import io
import re
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image
from read_page import Page

from vidlang.report.demo_page import Section, demo_page, stills_png
from vidlang.report.web import PageTable

PNG = b"\x89PNG\r\n\x1a\nnot a picture, but bytes"


def section(title: str, **parts) -> Section:
    return Section(title, **parts)


def test_every_section_has_its_commands_lines_tables_and_pictures():
    page = Page(
        demo_page(
            ["the world is drawn"],
            [
                section(
                    "First",
                    commands=("vidlang extract videos",),
                    lines=("84 extracted", "truth   ▁▁█"),
                    cpu_seconds=1.5,
                ),
                section(
                    "Second",
                    tables=(PageTable("against chance", ("by", "mAP"), (("TCA", 0.5), ("chance", None), ("n", 7))),),
                    pictures=((PNG, "what was found"),),
                    cpu_seconds=2.0,
                ),
            ],
        )
    )
    text = " ".join(" ".join(page.text).split())
    for words in (
        "the world is drawn",
        "$ vidlang extract videos",
        "84 extracted truth ▁▁█",
        "against chance",
        "TCA",
        "0.500",
    ):
        assert words in text
    assert "chance –" in text and "n 7" in text and "4 seconds of processor time" in text
    (image,) = page.named("img")
    assert image["alt"] == "what was found" and image["src"]
    assert b64decode(image["src"].removeprefix("data:image/png;base64,")) == PNG
    assert page.open == [] and any("84 extracted\ntruth   ▁▁█" in part for part in page.text)  # curves stand aligned
    anchors = [link["href"] for link in page.named("a")]
    assert anchors == ["#main", *(f"#{part['id']}" for part in page.named("section"))]


def test_names_are_text_wherever_they_stand():
    evil = "<script>alert('x')</script>\"><img src=x onerror=y>&amp;"
    page = Page(
        demo_page(
            [evil],
            [
                section(
                    evil,
                    commands=(evil,),
                    lines=(evil,),
                    tables=(PageTable(evil, (evil,), ((evil,),)),),
                    pictures=((PNG, evil),),
                )
            ],
        )
    )
    assert len(page.named("script")) == 1 and len(page.named("img")) == 1  # the base page's own script
    assert page.named("img")[0]["alt"] == evil
    assert sum(part.count(evil) for part in page.text) >= 7
    assert page.open == []


def test_the_page_loads_nothing_and_suits_phones_and_dark_rooms():
    page = demo_page(["n"], [section("s", pictures=((PNG, "p"),))])
    read = Page(page)
    assert not re.search(r"https?:|@import|url\(", page)
    assert not read.named("link") and not any("src" in script for script in read.named("script"))
    assert any(meta.get("name") == "viewport" for meta in read.named("meta"))
    assert "prefers-color-scheme: dark" in page
    assert read.named("html") == [{"lang": "en"}]


def test_a_sheet_shows_each_frame_where_it_belongs():
    colours = [(200, 10, 10), (10, 200, 10), (10, 10, 200), (200, 200, 10)]
    frames = [np.full((30, 40, 3), colour, dtype=np.uint8) for colour in colours]
    sheet = stills_png([("upper", frames[:2]), ("lower", frames[2:])], ("left", "right"))
    picture = np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB")).astype(int)
    centres = []
    for colour in colours:
        rows, columns = np.nonzero(np.abs(picture - colour).max(axis=2) < 6)
        assert len(rows) > 1000
        centres.append((rows.mean(), columns.mean()))
    (up_left, up_right, low_left, low_right) = centres
    assert up_left[0] == pytest.approx(up_right[0], abs=2) and low_left[0] == pytest.approx(low_right[0], abs=2)
    assert up_left[0] < low_left[0] and up_left[1] < up_right[1]
    assert up_left[1] == pytest.approx(low_left[1], abs=2)


def test_a_sheet_needs_a_frame_for_every_column():
    frame = np.zeros((4, 4, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"rows of 2 frames, got \[1\]"):
        stills_png([("a", [frame])], ("x", "y"))
    with pytest.raises(ValueError, match=r"got \[\]"):
        stills_png([], ("x",))
