"""A retrieval as a page: the query beside its hits, what matches as two linked bars, players that go there together.

A part of the page is a query with its hits, or a group of near-duplicates with its pairs. Both are comparisons of two
videos: two rulers, and pairs of segments on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vidlang.core.segments import Segment
from vidlang.report.web import NUM_COLORS, render_page

LEAST_WIDTH = 0.6
"""Percent of a ruler that a segment takes at least, to be seen."""


@dataclass(frozen=True)
class PagePlayer:
    """A video as the page plays it."""

    name: str
    source: str | None
    """An address; None where there is nothing to play."""
    note: str = ""
    """Why there is no player, or what it does not play."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: str
    duration: float = 0.0
    """Seconds; 0 for texts and images, which have no ruler."""
    player: int | None = None
    """Number among the page's players."""
    at: float | None = None
    """Second of the still."""
    still: bytes | None = None
    """JPEG."""


@dataclass(frozen=True)
class Comparison:
    """Two videos, and which of their seconds match."""

    left: Side
    right: Side
    similarity: float
    segments: tuple[tuple[Segment, Segment], ...] = ()
    remark: str = ""
    """Such as ``same file``."""


@dataclass(frozen=True)
class PagePart:
    """A query with its hits, or a group with its pairs."""

    title: str
    kind: Literal["video", "image", "text", "group"]
    comparisons: tuple[Comparison, ...]
    members: tuple[Side, ...] = ()
    """The query, or the videos of the group."""
    rest: str = ""
    """What is not shown."""


@dataclass(frozen=True)
class RetrievalPage:
    """Everything on the page."""

    title: str
    parts: tuple[PagePart, ...]
    players: tuple[PagePlayer, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Sequence[tuple[str, object]] = field(default_factory=tuple)
    """How the results were made, as (name, value)."""


def retrieval_page(page: RetrievalPage) -> str:
    """The page as HTML text. Names are text, never markup."""
    return render_page(
        TEMPLATE,
        title=page.title,
        parts=[_part(part, page) for part in page.parts],
        notes=page.notes,
        facts=page.facts,
        players=[{"source": player.source, "note": player.note, "name": player.name} for player in page.players],
    )


def _part(part: PagePart, page: RetrievalPage) -> dict[str, Any]:
    comparisons = [_comparison(comparison) for comparison in part.comparisons]
    sides = [side for comparison in part.comparisons for side in (comparison.left, comparison.right)]
    shown = [s.player for s in (*part.members, *sides) if s.player is not None and page.players[s.player].source]
    first = part.members[0] if part.kind == "video" and part.members else None
    return {
        "title": part.title,
        "kind": part.kind,
        "members": part.members,
        "comparisons": comparisons,
        "rest": part.rest,
        "plays": bool(shown),
        "first": None if first is None else first.player,
        "two": part.kind in ("video", "group"),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    left, right = comparison.left, comparison.right
    lengths = [
        max([side.duration, *(pair[place].end for pair in comparison.segments)])
        for place, side in enumerate((left, right))
    ]
    pairs = []
    for number, (mine, theirs) in enumerate(comparison.segments):
        here, there = _place(mine, lengths[0]), _place(theirs, lengths[1])
        pairs.append(
            {
                "color": number % NUM_COLORS,
                "left": mine if lengths[0] > 0 and mine else None,
                "right": theirs,
                "left_at": here,
                "right_at": there,
                # corners of the shape that joins both, in percent of the rulers' width
                "shape": f"{here[0]},0 {here[0] + here[1]},0 {there[0] + there[1]},100 {there[0]},100",
            }
        )
    return {
        "left": left,
        "right": right,
        "similarity": comparison.similarity,
        "bar": max(0.0, min(1.0, comparison.similarity)),
        "pairs": pairs,
        "remark": comparison.remark,
        "lengths": lengths,
    }


def _place(segment: Segment, length: float) -> tuple[float, float]:
    """Left edge and width on a ruler, in percent; wide enough to be seen."""
    if length <= 0:
        return 0.0, 0.0
    width = min(100.0, max(100 * segment.duration / length, LEAST_WIDTH))
    start = min(max(100 * segment.start / length, 0.0), 100 - width)
    return round(start, 3), round(width, 3)


TEMPLATE = """\
{% import "parts" as parts_ %}
{% macro still(side, says) %}
{% if side.still %}
<figure><img src="{{ side.still|data_uri("image/jpeg") }}" alt="{{ says }}" loading="lazy">
{% if side.at is not none %}
<figcaption>{{ says_short(side) }}</figcaption>
{% endif %}
</figure>
{% endif %}
{% endmacro %}
{% macro says_short(side) %}{{ parts_.at(side.at) }}{% endmacro %}
{% macro ruler(name, length, pairs, which) %}
<div class="row">
<span class="end">{{ name }}</span>
<div class="ruler" data-ruler="{{ which }}" data-length="{{ length }}">
{% for pair in pairs if pair[which] %}
<button type="button" tabindex="-1" aria-hidden="true" class="k{{ pair.color }}" data-pair="{{ loop.index0 }}"
 style="left:{{ pair[which ~ "_at"][0] }}%;width:{{ pair[which ~ "_at"][1] }}%"
 title="{{ pair[which].start|clock }} – {{ pair[which].end|clock }}"></button>
{% endfor %}
<i class="cursor" hidden></i>
</div>
<span class="end">{{ parts_.at(length) }}</span>
</div>
{% endmacro %}
{% block style %}
{% for number in range(num_colors) %}
.k{{ number }} { --k: var(--c{{ number }}); }
{% endfor %}
nav ol { columns: 14rem; padding-left: 1.4rem; }
.stage { position: sticky; top: 0; z-index: 2; display: grid; grid-template-columns: 1fr 1fr; gap: .75rem;
  padding: .5rem 0; background: var(--bg); }
.stage video { max-height: 34vh; }
.stage p { margin: 0 0 .2rem; font-size: .85rem; }
@media (max-height: 30rem) { .stage { position: static; } }
.hit { margin: 1rem 0; padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; }
.hit.on { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
.hit h3 { display: flex; flex-wrap: wrap; gap: .25rem .9rem; align-items: baseline; margin: 0 0 .5rem; }
.hit h3 .number { color: var(--muted); }
.like { display: inline-flex; gap: .5rem; align-items: center; font-size: .85rem; font-weight: 400; }
.like i { display: block; width: 6rem; height: .5rem; border-radius: .25rem; background: var(--line); }
.like b { display: block; height: 100%; border-radius: .25rem; background: var(--c0); }
.beside { display: grid; grid-template-columns: minmax(7rem, 15rem) minmax(0, 1fr); gap: .9rem; align-items: start; }
.stills { display: grid; grid-template-columns: 1fr 1fr; gap: .4rem; }
.stills.single { grid-template-columns: 1fr; }
.stills figure, .members figure { margin: 0; }
.stills img, .members img { max-height: 12rem; }
@media (max-width: 40rem) { .beside { grid-template-columns: minmax(0, 1fr); } }
.row { display: grid; grid-template-columns: 3.4rem minmax(0, 1fr) 3.4rem; gap: .4rem; align-items: center; }
.row .end { font-size: .75rem; color: var(--muted); }
.row .end:first-child { text-align: right; }
.ruler { position: relative; height: 1.3rem; border-radius: .25rem; background: var(--line); }
.ruler button { position: absolute; top: 0; bottom: 0; padding: 0; border: 0; border-radius: .2rem;
  background: var(--k); opacity: .85; }
.ruler .cursor { position: absolute; top: -2px; bottom: -2px; width: 2px; margin-left: -1px; background: var(--fg);
  pointer-events: none; }
.joined { display: block; width: 100%; height: 1.6rem; }
.joined polygon { fill: var(--k); opacity: .25; }
.ruler button.lit { opacity: 1; outline: 2px solid var(--fg); z-index: 1; }
.joined polygon.lit { opacity: .7; }
.pairs { display: flex; flex-wrap: wrap; gap: .4rem; margin: .5rem 0 0; padding: 0; list-style: none; }
.pairs button { border-left: .5rem solid var(--k); }
.pairs button.lit { border-color: var(--k); }
.members { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(9rem, 100%), 1fr)); gap: .6rem;
  padding: 0; list-style: none; font-size: .85rem; }
.query-image { max-width: 15rem; margin: .5rem 0; }
{% endblock %}
{% block body %}
{% for note in notes %}
<p class="note">{{ note }}</p>
{% endfor %}
{% if parts|length > 1 %}
<nav aria-label="Contents"><ol>
{% for part in parts %}
<li><a href="#part-{{ loop.index }}">{{ part.title }}</a></li>
{% endfor %}
</ol></nav>
{% endif %}
{% for part in parts %}
{% set outer = loop.index %}
<section id="part-{{ outer }}" data-part>
<h2>{{ part.title }}</h2>
{% if part.kind == "text" %}
<p class="muted">Text query: videos with the frames that come nearest to these words.</p>
{% endif %}
{% if part.kind == "image" %}
{% for member in part.members if member.still %}
<img class="query-image" src="{{ member.still|data_uri("image/jpeg") }}" alt="The image {{ member.name }}">
{% endfor %}
{% endif %}
{% if part.kind == "group" %}
<ul class="members">
{% for member in part.members %}
<li>{{ still(member, "A frame of " ~ member.name) }}{{ member.name }}</li>
{% endfor %}
</ul>
{% endif %}
{% if part.plays %}
<div class="stage">
{% if part.two %}
<div data-stage="left"{% if part.first is not none %} data-fixed="{{ part.first }}"{% endif %}>
<p><b>{{ "Query" if part.kind == "video" else "First" }}</b> <span data-name></span>
<span class="muted" data-now></span></p>
<video id="left-{{ outer }}" controls preload="none" playsinline hidden></video>
<p class="muted" data-fallback data-player="left-{{ outer }}" hidden>This browser does not play the video.</p>
<p class="muted" data-why></p>
</div>
{% endif %}
<div data-stage="right">
<p><b>{{ "Hit" if part.kind != "group" else "Second" }}</b> <span data-name></span>
<span class="muted" data-now></span></p>
<video id="right-{{ outer }}" controls preload="none" playsinline muted hidden></video>
<p class="muted" data-fallback data-player="right-{{ outer }}" hidden>This browser does not play the video.</p>
<p class="muted" data-why>Choose a hit or a match below.</p>
</div>
</div>
{% endif %}
{% if not part.comparisons %}
<p>No video of the gallery matches.</p>
{% endif %}
{% for comparison in part.comparisons %}
{% set left, right = comparison.left, comparison.right %}
<article class="hit" data-hit data-left="{{ "" if left.player is none else left.player }}"
 data-right="{{ "" if right.player is none else right.player }}"
 data-left-at="{{ left.at or 0 }}" data-right-at="{{ right.at or 0 }}">
<h3><span><span class="number">{{ loop.index }}.</span>
{% if part.kind == "group" %}{{ left.name }} and {% endif %}{{ right.name }}</span>
<span class="like" title="similarity {{ "%.6f"|format(comparison.similarity) }}"><i aria-hidden="true"><b
 style="width:{{ "%.1f"|format(100 * comparison.bar) }}%"></b></i>
similarity {{ "%.3f"|format(comparison.similarity) }}</span>
{% if comparison.remark %}
<span class="muted">{{ comparison.remark }}</span>
{% endif %}
</h3>
<div class="beside">
{% if left.still or right.still %}
<div class="stills{% if not (left.still and right.still) %} single{% endif %}">
{{ still(left, "Frame of " ~ left.name ~ " where both match best") }}
{{ still(right, "Frame of " ~ right.name ~ " that matches best") }}
</div>
{% else %}
<p class="muted">No still: the video is not at hand.</p>
{% endif %}
<div>
{% if comparison.lengths[0] > 0 %}
{{ ruler("first" if part.kind == "group" else "query", comparison.lengths[0], comparison.pairs, "left") }}
<div class="row"><span></span><svg class="joined" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
{% for pair in comparison.pairs if pair.left %}
<polygon class="k{{ pair.color }}" data-pair="{{ loop.index0 }}" points="{{ pair.shape }}"/>
{% endfor %}
</svg><span></span></div>
{% endif %}
{% if comparison.lengths[1] > 0 %}
{{ ruler("second" if part.kind == "group" else "hit", comparison.lengths[1], comparison.pairs, "right") }}
{% endif %}
{% if comparison.pairs %}
<ul class="pairs">
{% for pair in comparison.pairs %}
<li><button type="button" class="k{{ pair.color }}" data-pair="{{ loop.index0 }}"
 data-from="{{ pair.left.start if pair.left else "" }}" data-to="{{ pair.right.start }}">
{% if pair.left %}{{ parts_.span(pair.left.start, pair.left.end) }} = {% endif -%}
{{ parts_.span(pair.right.start, pair.right.end) }}</button></li>
{% endfor %}
</ul>
{% else %}
<p class="muted">No matching seconds.</p>
{% endif %}
{% if part.plays %}
<p><button type="button" data-show>{{ "Play both side by side" if part.two else "Play" }}</button></p>
{% endif %}
</div>
</div>
</article>
{% endfor %}
{% if part.rest %}
<p class="muted">{{ part.rest }}</p>
{% endif %}
</section>
{% endfor %}
<section>
<h2>How the results were made</h2>
{{ parts_.facts(facts) }}
</section>
{% endblock %}
{% block script %}
(() => {
  const players = {{ players|tojson }};
  const load = (stage, number) => {
    if (!stage) return null;
    const video = stage.querySelector("video"), known = players[number];
    stage.querySelector("[data-name]").textContent = known ? known.name : "";
    stage.querySelector("[data-why]").textContent = known ? known.note : "";
    stage.querySelectorAll("[data-fallback]").forEach((text) => { text.hidden = true; });
    video.hidden = !(known && known.source);
    if (video.hidden) { video.pause(); video.removeAttribute("src"); stage.dataset.number = ""; return null; }
    if (stage.dataset.number !== String(number)) {
      stage.dataset.number = number;
      video.src = known.source;
      video.load();
    }
    return video;
  };
  const number = (text) => (text === "" ? null : Number(text));
  const show = (hit, from, to) => {
    const part = hit.closest("[data-part]");
    part.querySelectorAll("[data-hit]").forEach((other) => {
      other.classList.toggle("on", other === hit);
      if (other !== hit) other.querySelectorAll(".cursor").forEach((cursor) => { cursor.hidden = true; });
    });
    ["left", "right"].forEach((which) => {
      const stage = part.querySelector(`[data-stage="${which}"]`), chosen = number(hit.dataset[which]);
      const seconds = which === "left" ? from : to;
      const video = load(stage, chosen);
      if (seconds === null) return;
      if (video) vidlang.goTo(video, seconds, true);
      follow(part, which, seconds);
    });
  };
  const follow = (part, which, seconds) => {
    const hit = part.querySelector("[data-hit].on");
    const stage = part.querySelector(`[data-stage="${which}"]`);
    if (stage) stage.querySelector("[data-now]").textContent = vidlang.clock(seconds);
    const ruler = hit && hit.querySelector(`[data-ruler="${which}"]`);
    if (!ruler) return;
    const cursor = ruler.querySelector(".cursor"), length = Number(ruler.dataset.length);
    cursor.hidden = false;
    cursor.style.left = `${100 * Math.min(1, Math.max(0, seconds / length))}%`;
  };
  document.querySelectorAll("[data-stage]").forEach((stage) => {
    const video = stage.querySelector("video");
    ["timeupdate", "seeked"].forEach((name) => video.addEventListener(name, () => {
      if (stage.dataset.number) follow(stage.closest("[data-part]"), stage.dataset.stage, video.currentTime);
    }));
    if (stage.dataset.fixed) load(stage, Number(stage.dataset.fixed));
  });
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element && event.target.closest("[data-pair], [data-show]");
    if (!target) return;
    const hit = target.closest("[data-hit]");
    const button = "pair" in target.dataset ? hit.querySelector(`.pairs [data-pair="${target.dataset.pair}"]`) : null;
    if (button) show(hit, number(button.dataset.from), number(button.dataset.to));
    else show(hit, number(hit.dataset.leftAt), number(hit.dataset.rightAt));
  });
  const light = (event, on) => {
    const target = event.target instanceof Element && event.target.closest("[data-pair]");
    if (!target) return;
    const same = target.closest("[data-hit]").querySelectorAll(`[data-pair="${target.dataset.pair}"]`);
    same.forEach((each) => each.classList.toggle("lit", on));
  };
  [["mouseover", true], ["mouseout", false], ["focusin", true], ["focusout", false]].forEach(([name, on]) => {
    document.addEventListener(name, (event) => light(event, on));
  });
})();
{% endblock %}
"""
