"""Pages of retrieval, read as a browser reads them: places on rulers, what is linked with what, names as letters."""

from __future__ import annotations

import json
import re

import pytest
from read_back import match
from read_page import Page

from vidlang.report.retrieval_page import Comparison, PagePart, PagePlayer, RetrievalPage, Side, retrieval_page

EVIL = "<img src=x onerror=alert(1)>.mp4"


def page_of(*comparisons: Comparison, kind="video", players=(), **changes) -> str:
    member = Side("q.mp4", 20.0, 0 if players else None)
    part = PagePart("q.mp4", kind, comparisons, (member,))
    return retrieval_page(RetrievalPage("Retrieval", (part,), tuple(players), **changes))


def hit(*segments, left=None, right=None) -> Comparison:
    return Comparison(left or Side("q.mp4", 20.0), right or Side("v.mp4", 80.0), 0.9, segments)


def styles(elements: Page) -> list[dict[str, float]]:
    """left and width, in percent, of every mark on a ruler"""
    marks = [each for each in elements.having("style", "button") if "data-pair" in each]
    return [{k: float(v) for k, v in re.findall(r"(left|width):([\d.]+)%", each["style"] or "")} for each in marks]


def test_marks_lie_on_the_rulers_where_their_seconds_are():
    elements = Page(page_of(hit(match((5, 10), (60, 80)))))
    assert [each["data-length"] for each in elements.having("data-ruler")] == ["20.0", "80.0"]
    assert styles(elements) == [{"left": 25.0, "width": 25.0}, {"left": 75.0, "width": 25.0}]
    (shape,) = elements.having("points")
    assert shape["points"] == "25.0,0 50.0,0 100.0,100 75.0,100"


def test_pairs_have_one_number_and_colour_on_both_rulers_and_in_the_list():
    elements = Page(page_of(hit(match((0, 2), (6, 8)), match((5, 7), (1, 3)))))
    numbered = elements.having("data-pair")
    assert sorted(each["data-pair"] for each in numbered) == ["0"] * 4 + ["1"] * 4  # two marks, a shape, a button
    assert {(each["data-pair"], each["class"]) for each in numbered} == {("0", "k0"), ("1", "k1")}


def test_buttons_know_both_seconds():
    elements = Page(page_of(hit(match((5, 10), (60, 80)))))
    (button,) = elements.having("data-from")
    assert (float(button["data-from"]), float(button["data-to"])) == (5.0, 60.0)
    assert "0:05.0 – 0:10.0" in elements.words and "1:00.0 – 1:20.0" in elements.words


def test_marks_are_for_the_pointer_and_the_buttons_for_everybody():
    elements = Page(page_of(hit(match((5, 10), (60, 80)))))
    for mark in elements.having("style", "button"):
        assert mark["tabindex"] == "-1" and mark["aria-hidden"] == "true"
    assert all("tabindex" not in button for button in elements.having("data-from"))


def test_a_short_match_in_a_long_video_can_be_seen_and_lies_inside():
    marks = styles(Page(page_of(hit(match((19.99, 20), (79.99, 80)), right=Side("v.mp4", 80.0)))))
    assert all(mark["width"] >= 0.6 and mark["left"] + mark["width"] <= 100 for mark in marks)


def test_a_match_behind_the_stated_duration_stretches_the_ruler():
    elements = Page(page_of(hit(match((5, 10), (5, 10)), left=Side("q", 9.9), right=Side("v", 0.0))))
    assert [each["data-length"] for each in elements.having("data-ruler")] == ["10", "10"]


def test_texts_have_no_ruler_and_no_second_player():
    text = hit(match((0, 0), (32, 48)), left=Side("a red car"), right=Side("v.mp4", 64.0, 0))
    part = PagePart("“a red car”", "text", (text,), (Side("a red car"),))
    elements = Page(retrieval_page(RetrievalPage("x", (part,), (PagePlayer("v.mp4", "v.mp4"),))))
    assert [each["data-ruler"] for each in elements.having("data-ruler")] == ["right"]
    assert [each["data-stage"] for each in elements.having("data-stage")] == ["right"]
    assert elements.having("data-from")[0]["data-from"] == ""


def test_players_are_in_the_page_once():
    players = (PagePlayer("q.mp4", "q.mp4"), PagePlayer("v.mp4", "data:video/mp4;base64,AAAA"))
    hits = [hit(match((0, 1), (0, 1)), right=Side("v.mp4", 80.0, 1)) for _ in range(3)]
    page = page_of(*hits, players=players)
    assert page.count("base64,AAAA") == 1
    known = json.loads(re.search(r"const players = (\[.*\]);", page)[1])
    assert [player["name"] for player in known] == ["q.mp4", "v.mp4"]
    assert {each["data-right"] for each in Page(page).having("data-right")} == {"1"}


def test_without_videos_there_is_no_player_and_the_page_says_so():
    page = page_of(hit(match((0, 1), (0, 1))), notes=("None of the videos is at hand",))
    elements = Page(page)
    assert not elements.having("data-stage") and not [tag for tag, _ in elements.tags if tag == "video"]
    assert "None of the videos is at hand" in elements.words and "No still: the video is not at hand." in elements.words


def test_stills_have_words():
    right = Side("v.mp4", 80.0, at=61.25, still=b"jpeg")
    elements = Page(page_of(hit(left=Side("q.mp4", 20.0, at=5.0, still=b"jpeg"), right=right)))
    stills = [attributes for tag, attributes in elements.tags if tag == "img"]
    assert [each["alt"] for each in stills] == [
        "Frame of q.mp4 where both match best", "Frame of v.mp4 that matches best",
    ]  # fmt: skip
    assert "1:01.2" in elements.words and "No matching seconds." in elements.words


def test_a_query_without_hits_and_a_page_without_queries_say_so():
    assert "No video of the gallery matches." in page_of()
    assert "How the results were made" in retrieval_page(RetrievalPage("0 queries", ()))


def test_several_queries_have_contents():
    parts = tuple(PagePart(f"{name}.mp4", "video", ()) for name in "ab")
    elements = Page(retrieval_page(RetrievalPage("2 queries", parts)))
    links = [each["href"] for each in elements.having("href", "a") if (each["href"] or "").startswith("#part-")]
    assert links == ["#part-1", "#part-2"] and {e["id"] for e in elements.having("data-part")} == {"part-1", "part-2"}


@pytest.mark.parametrize("kind", ["video", "image", "text", "group"])
def test_names_are_text_and_never_markup(kind):
    side = Side(EVIL, 9.0, 0, 1.0, b"jpeg")
    comparison = Comparison(side, side, 0.5, (match((0, 1), (2, 3)),), EVIL)
    part = PagePart(EVIL, kind, (comparison,), (side,), EVIL)
    player = PagePlayer(EVIL, "x.mp4", "</script><script>alert(1)</script>")
    page = retrieval_page(RetrievalPage(EVIL, (part, part), (player,), (EVIL,), [(EVIL, EVIL)]))
    elements = Page(page)
    assert not elements.having("onerror") and len([tag for tag, _ in elements.tags if tag == "script"]) == 2
    assert "<img src=x" not in page.replace("&lt;", "") and EVIL in elements.words


def test_a_similarity_outside_zero_and_one_fits_its_bar():
    comparisons = [Comparison(Side("q"), Side("v"), value) for value in (-0.3, 0.25, 1.2)]
    page = page_of(*comparisons)
    assert re.findall(r"<b\s+style=\"width:([\d.]+)%\"", page) == ["0.0", "25.0", "100.0"]
    assert "similarity -0.300" in page
