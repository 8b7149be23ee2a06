"""Maps as pictures and as pages: every point is there, once, and names are letters."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from read_back import NAMES, pixels_of, where
from read_page import Page

from vidlang.report.drawing import CURVE_COLORS
from vidlang.report.map_page import MapPage, map_page
from vidlang.report.map_plot import MapPoints, file_kind, map_plot

EVIL = "<img src=x onerror=alert(1)>.mp4"


def shown(labels: list[str], **changes) -> MapPoints:
    number = len(labels)
    given = {
        "points": np.random.default_rng(0).normal(size=(number, 2)),
        "ids": tuple(f"{place}.mp4" for place in range(number)),
        "labels": tuple(labels),
        "seconds": np.tile([0.0, 2.0], (number, 1)),
        "axes": ("one", "two"),
        "title": f"{number} videos",
    }
    return MapPoints(**{**given, **changes})


def page_of(points: MapPoints, **changes) -> str:
    number = len(points.ids)
    neighbours = np.array([[j for j in range(number) if j != i][:2] for i in range(number)])
    return map_page(MapPage(points, neighbours, **changes))


def data_of(page: str) -> dict:
    return json.loads(re.search(r"const data = (\{.*\});", page)[1])


# -- pictures --------------------------------------------------------------------------------------------------------


def test_labels_are_named_the_most_frequent_first():
    assert shown(["b", "a", "b", "c", "a", "b"]).classes == ("b", "a", "c")
    assert shown(["b", "a"]).classes == ("a", "b")


def test_each_label_has_its_colour_and_lies_where_its_points_do():
    points = np.array([[0.0, 0], [0, 1], [10, 0], [10, 1]])
    picture = pixels_of(map_plot(shown(["left", "left", "right", "right"], points=points)))
    plot = picture[:, : int(0.89 * picture.shape[1])]  # the legend stands beside
    tints = [tuple(int(CURVE_COLORS[i][j : j + 2], 16) for j in (1, 3, 5)) for i in (0, 1)]
    middles = []
    for tint in tints:
        like = (np.abs(plot.astype(int) - (0.85 * np.array(tint) + 0.15 * 255)) <= 4).all(-1)
        assert like.any()
        middles.append(np.flatnonzero(like.any(0)).mean() / plot.shape[1])
    assert middles[0] < 0.4 < 0.6 < middles[1]


@pytest.mark.parametrize(("kind", "begin"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_same_map_is_the_same_file(kind, begin):
    points = shown(["a", "b", "a"])
    assert map_plot(points, kind).startswith(begin)
    assert map_plot(points, kind) == map_plot(points, kind)


def test_letters_of_an_svg_stay_letters():
    text = map_plot(shown(["fight", "normal", "fight"]), "svg").decode()
    assert "fight (2)" in text and "normal (1)" in text


def test_sixty_labels_give_a_picture_and_their_rest_is_counted():
    text = map_plot(shown([f"label {n}" for n in range(60)]), "svg").decode()
    assert "and 34 more labels" in text


@pytest.mark.parametrize("name", NAMES)
def test_names_of_labels_are_letters_in_a_picture(name, recwarn):
    picture = pixels_of(map_plot(shown([name, name, "other"], title=name)))
    assert not where(picture, "#FF00FF").any() and not [str(warning.message) for warning in recwarn]


def test_points_need_ids_labels_and_seconds():
    with pytest.raises(ValueError, match="3 points need as many ids"):
        shown(["a"] * 3, ids=("x",))
    with pytest.raises(ValueError, match=r"points and seconds are \[N, 2\]"):
        shown(["a"] * 3, seconds=np.zeros((2, 2)))


@pytest.mark.parametrize(("name", "kind"), [("a.PNG", "png"), ("b.tar.csv", "csv"), ("x", None), ("x.gif", None)])
def test_the_ending_of_a_name_says_what_is_written(name, kind):
    assert file_kind(name, ("png", "csv")) == kind


# -- pages -----------------------------------------------------------------------------------------------------------


def test_every_point_is_drawn_once_and_keeps_its_facts():
    points = shown(["a", "b", "a", "a"], seconds=np.array([[0.0, 1], [2, 3.5], [0, 1], [0, 1]]))
    page = page_of(points, stills={1: b"jpeg"}, sources={"0.mp4": "videos/0.mp4"})
    marks = [each for each in Page(page).named("use") if "data-point" in each]
    assert [each["data-point"] for each in marks] == ["0", "1", "2", "3"]
    data = data_of(page)
    assert [point["id"] for point in data["points"]] == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    assert [data["labels"][point["label"]] for point in data["points"]] == ["a", "b", "a", "a"]
    assert (data["points"][1]["from"], data["points"][1]["to"]) == (2.0, 3.5)
    assert data["points"][1]["still"].startswith("data:image/jpeg;base64,") and data["points"][0]["still"] is None
    assert data["videos"] == {"0.mp4": "videos/0.mp4"} and data["points"][0]["near"] == [1, 2]


def test_points_keep_their_proportions_and_the_second_axis_points_up():
    square = np.array([[0.0, 0], [2, 0], [2, 1], [0, 1]])
    marks = [each for each in Page(page_of(shown(["a"] * 4, points=square))).named("use") if "data-point" in each]
    x, y = (np.array([float(each[axis]) for each in marks]) for axis in "xy")
    assert x[1] - x[0] == pytest.approx(2 * (y[0] - y[3]), abs=0.3) and y[3] < y[0]
    assert (x >= 0).all() and (x <= 1000).all() and (y >= 0).all() and (y <= 700).all()


def test_equal_points_lie_in_the_middle():
    marks = [e for e in Page(page_of(shown(["a"] * 3, points=np.ones((3, 2))))).named("use") if "data-point" in e]
    assert {(each["x"], each["y"]) for each in marks} == {("500.0", "350.0")}


def test_the_ninth_label_has_the_first_colour_in_another_shape():
    marks = [e for e in Page(page_of(shown([f"{n:02d}" for n in range(9)]))).named("use") if "data-point" in e]
    assert marks[0]["class"] == marks[8]["class"] and marks[0]["href"] != marks[8]["href"]
    assert len({(each["class"], each["href"]) for each in marks}) == 9


def test_names_are_text_and_never_markup():
    points = shown([EVIL, "</script><script>alert(1)</script>", "a"], ids=(EVIL, '"><script>', "b"), title=EVIL)
    page = page_of(points, sources={EVIL: "x.mp4"}, notes=(EVIL,), facts=[(EVIL, EVIL)])
    elements = Page(page)
    assert not [each for each in elements.named("img") if "onerror" in each]
    assert len(elements.named("script")) == 2  # the base page's and the map's own
    assert data_of(page)["points"][0]["id"] == EVIL


def test_a_page_says_how_it_was_made_and_what_it_lacks():
    page = page_of(shown(["a"] * 3), notes=("2 of 3 videos shown",), facts=[("seed", 7), ("method", "PCA")])
    assert "2 of 3 videos shown" in page and '<th scope="row">seed</th><td>7</td>' in page
