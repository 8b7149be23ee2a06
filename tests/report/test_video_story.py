"""Pages of scored and localized videos: what lies where on the timeline, what cards say, names that are no markup."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from read_page import Page

from vidlang.core import Detection, Scores, Segment, VideoInfo
from vidlang.report.localize_page import LocalizedStory, localize_page
from vidlang.report.score_page import MAX_CARDS, ScoredVideo, carded, peak_of, score_page
from vidlang.report.video_story import (
    Bar,
    BarLane,
    Card,
    CurveLane,
    HeatLane,
    Line,
    PageWords,
    Player,
    Story,
    story_page,
)

NASTY = "<img src=x onerror=alert(1)>.mp4"
WORDS = PageWords(title="Scores", lead="made up")


def seconds_of(*spans: tuple[float, float]) -> np.ndarray:
    return np.array(spans, dtype=np.float64)


def story(name: str = "v.mp4", peak: float = 0.75, **parts) -> Story:
    """Two rows of a second each."""
    score = np.array([0.25, peak], dtype=np.float32)
    return Story(name, 2.0, seconds_of((0, 1), (1, 2)), score, **parts)


def scores_of(name: str = "v.mp4", curve=(0.1, 0.9, 0.8, 0.2), **parts) -> Scores:
    """A row a second, ten frames each."""
    rows = np.arange(len(curve))
    anomaly = np.array(curve, dtype=np.float32)
    frames = np.stack([10 * rows, 10 * rows + 10], axis=1)
    seconds = np.stack([rows, rows + 1], axis=1).astype(np.float64)
    return Scores(
        VideoInfo(name, 10 * len(curve), float(len(curve)), 10.0, (48, 64)), frames, seconds, anomaly, **parts
    )


def event(start: float, end: float, label: str = "fire", score: float = 0.9) -> Detection:
    return Detection("v.mp4", Segment(start, end), label, score)


def curves(page: str) -> list[str | None]:
    """The lines of a page's curves, without areas, thresholds and legends."""
    return [a["d"] for a in Page(page).named("path", fill="none") if str(a["stroke"]).startswith("var(--c")]


def test_a_curve_is_flat_over_each_row_and_broken_where_no_row_is():
    lane = CurveLane("score", (Line("score", np.array([0.25, 0.75, 1.0])),))
    seconds = seconds_of((0, 1), (1, 2), (3, 4))
    page = story_page([Story("v", 4.0, seconds, np.array([0.25, 0.75, 1.0]), lanes=(lane,))], WORDS)
    assert curves(page) == ["M0 75H250V25H500M750 0H1000"]


def test_bars_lie_at_their_seconds_and_carry_their_names():
    bars = (Bar(Segment(0.5, 1.0), "fire 0.90", 1), Bar(Segment(1.5, 9.0), "true", None))
    page = Page(story_page([story(lanes=(BarLane("events", bars),))], WORDS))
    first, second = page.named("span", **{"class": "bar"})
    assert first["style"] == "left: 25.0%; width: 25.0%; --of: var(--c1)"
    assert first["title"] == "fire 0.90, 0:00.5 – 0:01.0"
    assert second["style"] == "left: 75.0%; width: 25.0%; --of: var(--fg)"  # no further than the video


def test_heat_is_as_strong_as_its_value_and_nothing_is_drawn_for_nothing():
    page = Page(story_page([story(lanes=(HeatLane("fire", np.array([0.0, 0.4])),))], WORDS))
    assert [(a["x"], a["width"], a["fill-opacity"]) for a in page.named("rect")] == [("500.0", "500.0", "0.4")]
    assert page.named("svg", **{"aria-label": "fire, at most 0.40"})


def test_a_threshold_is_as_high_as_it_says_and_the_legend_names_it():
    lane = CurveLane("score", (Line("main", np.array([0.2, 0.4])), Line("other", np.array([0.1, 0.1]))), threshold=0.3)
    page = Page(story_page([story(lanes=(lane,))], WORDS))
    assert [a["d"] for a in page.named("path", stroke="var(--fg)", fill="none")] == ["M0 70.0H1000"]
    assert "threshold 0.30" in page.lines and "main" in page.lines and "other" in page.lines


def test_long_curves_keep_their_peak():
    values = np.zeros(5000)
    values[3333] = 1.0
    seconds = np.stack([np.arange(5000.0), np.arange(1, 5001.0)], axis=1)
    page = story_page([Story("v", 5000.0, seconds, values, lanes=(CurveLane("s", (Line("s", values),)),))], WORDS)
    [path] = curves(page)
    assert len(path) < 20_000 and re.search(r"V0H", path)


def test_the_timeline_is_a_slider_that_says_what_it_shows():
    [slider] = Page(story_page([story(cards=(Card(Segment(1, 2), "fire", 0.7, 1.0),))], WORDS)).named(
        "div", role="slider"
    )
    assert slider["tabindex"] == "0"
    assert (slider["data-begin"], slider["data-end"]) == ("0.000", "2.000")
    assert slider["aria-label"] == "Timeline of v.mp4: highest score 0.75 at 0:01.0, 1 event"


def test_cards_have_a_button_a_still_and_their_numbers():
    cards = (
        Card(Segment(1.0, 1.5), "fire", 0.7, 1.0, 4, b"\xff\xd8\xffpicture", 1.2),
        Card(Segment(1, 2), "x", 0.5, 1),
    )
    page = Page(story_page([story(cards=cards, num_more=3)], WORDS))
    assert [a["data-seek"] for a in page.named("button")] == ["1.000", "1.000"]
    [still] = page.named("img")
    assert str(still["src"]).startswith("data:image/jpeg;base64,/9j/") and still["alt"] == "The video at 0:01.2"
    assert "score 0.70" in page.lines and "fire" in page.lines
    assert any(text.startswith("3 more") for text in page.lines)


def test_the_highest_video_comes_first_and_a_list_links_them():
    page = Page(story_page([story("low.mp4", 0.3), story("high.mp4", 0.9)], WORDS))
    links = [a["href"] for a in page.named("a") if a["href"] != "#main"]
    assert links == ["#video-1", "#video-2"]
    names = [text for text in page.lines if text.endswith(".mp4")]
    assert names == ["high.mp4", "low.mp4", "high.mp4", "low.mp4"]
    assert not Page(story_page([story()], WORDS)).named("nav")  # one video needs no list


def test_players_are_linked_or_their_absence_is_said():
    page = Page(
        story_page([story(player=Player("a%20b.mp4", "a copy")), story(player=Player(None, "a folder"))], WORDS)
    )
    assert [a["src"] for a in page.named("video")] == ["a%20b.mp4"]
    assert "a copy" in page.lines and "a folder" in page.lines
    assert len([a for _, a in page.tags if "data-fallback" in a]) == 1


def test_what_failed_is_named_with_its_reason():
    words = PageWords("t", "l", failed=[(NASTY, "does not open")], notes=("weak",), limits="cannot", facts=[("a", 1)])
    page = Page(story_page([story()], words))
    assert NASTY in page.lines and ": does not open" in page.lines
    assert "weak" in page.lines and "cannot" in page.lines


def test_names_labels_and_words_are_text_everywhere():
    lanes = (
        CurveLane(NASTY, (Line(NASTY, np.array([0.1, 0.2])), Line(NASTY, np.array([0.1, 0.2]))), 0.5),
        HeatLane(NASTY, np.array([0.1, 0.2])),
        BarLane(NASTY, (Bar(Segment(0, 1), NASTY, 1),)),
    )
    odd = story(
        NASTY, lanes=lanes, words=(NASTY, NASTY), cards=(Card(Segment(0, 1), NASTY, 1.0, 0),), notes=(NASTY,),
        player=Player(None, NASTY),
    )  # fmt: skip
    words = PageWords(
        NASTY, NASTY, NASTY, NASTY, notes=(NASTY,), limits=NASTY, facts=[(NASTY, NASTY)], failed=[(NASTY, NASTY)]
    )
    html = story_page([odd, odd], words)
    assert not Page(html).named("img")
    assert NASTY not in html  # in scripts too it is written otherwise
    assert not [name for _, a in Page(html).tags for name in a if name.startswith("on")]


def test_the_line_at_the_cursor_knows_every_row():
    html = story_page([story(words=("calm", "fire 0.70"))], WORDS)
    [found] = re.findall(r"const stories = (.*);\n", html)
    assert json.loads(found) == [
        {"from": [0.0, 1.0], "to": [1.0, 2.0], "score": [0.25, 0.75], "words": ["calm", "fire 0.70"]}
    ]


def test_a_story_without_rows_is_refused():
    with pytest.raises(ValueError, match="one score a row"):
        Story("v", 1.0, np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(ValueError, match="words must name the 2 rows"):
        story(words=("one",))


# -- score -----------------------------------------------------------------------------------------------------------


def test_a_scored_video_shows_events_truth_motion_branches_and_classes():
    classes = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1]], dtype=np.float32)
    c, a = np.array([0.1, 0.9, 0.8, 0.2], dtype=np.float32), np.full(4, 0.5, dtype=np.float32)
    scores = scores_of(
        classes=classes, class_names=("normal", "fire"), branches={"c": c, "a": a}, made_by={"branch": "c"}
    )
    video = ScoredVideo(
        scores,
        (event(1, 3),),
        0.5,
        truth=(("blaze", Segment(1, 4)),),
        classes=("blaze",),
        motion=np.ones(4, np.float32),
    )
    page = Page(score_page([video], WORDS))
    assert [text for text in page.lines if text in ("events", "truth", "weight by motion", "normal", "fire")] == [
        "events", "truth", "weight by motion", "fire", "normal", "fire",
    ]  # fmt: skip
    assert {"fire 0.90", "blaze", "C-branch (classifier)", "A-branch (class texts)", "Known to show: blaze."} <= set(
        page.lines
    )
    assert [a["data-seek"] for a in page.named("button")] == ["1.000"]


def test_scores_without_classes_and_events_make_a_page():
    page = Page(score_page([ScoredVideo(scores_of(), (), 0.95)], WORDS))
    assert "No event found." in page.lines and not page.named("button")


def test_the_strongest_events_have_cards_in_the_order_of_time():
    events = [event(i, i + 0.5, score=i / 100) for i in range(MAX_CARDS + 5)]
    assert [e.segment.start for e in carded(events[::-1])] == list(range(5, MAX_CARDS + 5))


def test_a_still_is_taken_where_the_event_is_strongest():
    scores = scores_of(curve=(0.1, 0.6, 0.9, 0.7, 1.0))
    assert peak_of(event(1, 4), scores) == 2.5


# -- localize --------------------------------------------------------------------------------------------------------


def test_a_localized_video_has_a_lane_for_each_action_with_its_segments_and_truth():
    curve = np.array([[0.1, 0.0], [0.9, 0.0], [0.8, 0.3]], dtype=np.float32)
    seconds = seconds_of((0, 1), (1, 2), (2, 3))
    video = LocalizedStory(
        VideoInfo("v.mp4", 30, 3.0, 10.0, (48, 64)), seconds, curve, ("dive", "jump"), (event(1, 3, "dive", 0.83),),
        num_more=2, truth=(("jump", Segment(2, 3)),),
    )  # fmt: skip
    html = localize_page([video], PageWords("t", "l", "probability", "segment", "confidence"))
    page = Page(html)
    assert curves(html) == ["M0 90H333.33V10H666.67V20H1000", "M0 100H333.33V100H666.67V70H1000"]
    assert [a["title"] for a in page.named("span", **{"class": "bar"})] == [
        "0.83, 0:01.0 – 0:03.0",
        "jump, 0:02.0 – 0:03.0",
    ]
    assert "confidence 0.83" in page.lines and "Segments" in page.lines
