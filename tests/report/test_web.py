"""The ground of all pages: complete, self-contained, safe against names, and with no script but its own."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from read_page import Page

from vidlang.report.web import cell, clock, data_uri, percent, render_page, video_source

NASTY = '<img src=x onerror="alert(1)">\'&</script>'


def test_a_page_has_its_title_its_body_and_one_heading():
    page = Page(render_page("{% block body %}<p>{{ word }}</p>{% endblock %}", title="Scores", word="Ünder 0.5"))
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert page.text.count("Scores") == 2  # in the tab and on the page
    assert "Ünder 0.5" in page.text


def test_names_are_text_and_never_markup():
    template = "{% block body %}<p title='{{ name }}'>{{ name }}</p>{{ parts.facts([(name, name)]) }}{% endblock %}"
    page = Page(render_page(template, title=NASTY, name=NASTY))
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert page.text.count(NASTY) == 5
    assert [attributes["title"] for tag, attributes in page.tags if tag == "p"] == [NASTY]


def test_values_of_a_script_cannot_leave_it():
    html = render_page("{% block script %}const name = {{ name|tojson }};{% endblock %}", title="t", name=NASTY)
    page = Page(html)
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 2


def test_the_policy_names_the_hash_of_every_script_and_no_other_way_in():
    html = render_page("{% block script %}\n  let a = 1;\n{% endblock %}", title="t")
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    policy = next(a["content"] for tag, a in Page(html).tags if a.get("http-equiv") == "Content-Security-Policy")
    allowed = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert scripts[1] == "let a = 1;"
    hashes = ["'sha256-" + b64encode(sha256(script.encode()).digest()).decode() + "'" for script in scripts]
    assert allowed.split() == ["script-src", *hashes]
    assert policy.startswith("default-src 'none'")


def test_a_page_names_no_address_of_a_network():
    html = render_page("{% block body %}{{ parts.table(['a'], [[1]], 'c') }}{% endblock %}", title="t")
    assert not re.search(r"https?:|//[a-z]", re.sub(r"^\s*//.*$", "", html, flags=re.MULTILINE))


def test_a_forgotten_value_is_an_error():
    with pytest.raises(UndefinedError, match="absent"):
        render_page("{% block body %}{{ absent }}{% endblock %}", title="t")


def test_equal_values_give_equal_pages():
    template = "{% block body %}{{ parts.span(1.0, 75.25) }}{% endblock %}{% block script %}1;{% endblock %}"
    assert render_page(template, title="t") == render_page(template, title="t")


def test_times_are_for_people_with_seconds_in_the_title():
    page = Page(render_page("{% block body %}{{ parts.span(1.0, 75.25) }}{% endblock %}", title="t"))
    assert [a["title"] for tag, a in page.tags if tag == "time"] == ["1.00 s", "75.25 s"]
    assert "0:01.0" in page.text and "1:15.2" in page.text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (0.3, "0:00.3"), (59.96, "0:59.9"), (60, "1:00.0"), (3723.0, "1:02:03.0"), (-1, "0:00.0")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_cells_and_shares():
    assert [cell(value) for value in (None, 1, 0.12345, "x", True)] == ["–", "1", "0.123", "x", "True"]
    assert percent(0.425) == "42 %"


def test_numbers_stand_right_in_tables():
    html = render_page("{% block body %}{{ parts.table(['a', 'b'], [['x', 0.5]], 'c') }}{% endblock %}", title="t")
    assert html.count('class="number"') == 2


def test_a_video_beside_its_page_is_linked_relatively_and_another_by_its_address():
    page = Path("/home/me/out/page.html")
    assert video_source(Path("/home/me/out/a b/#1:<x>.mp4"), page) == "a%20b/%231%3A%3Cx%3E.mp4"
    assert video_source(Path("/home/me/a b.mp4"), page) == "file:///home/me/a%20b.mp4"
    with pytest.raises(ValueError, match="absolute"):
        video_source(Path("a.mp4"), page)


def test_bytes_in_an_address():
    head, _, body = data_uri(b"\x00\xffx", "video/mp4").partition(",")
    assert head == "data:video/mp4;base64"
    assert b64decode(body) == b"\x00\xffx"
