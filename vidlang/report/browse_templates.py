"""Templates of the pages of ``vidlang browse``: what stands on each, its style, and its one script."""

from __future__ import annotations

_STYLE = """\
{% block style %}
.top { display: flex; flex-wrap: wrap; gap: .5rem .9rem; align-items: center; margin: .5rem 0 1rem; }
.top form, .choose { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; }
.top input[type=search] { width: min(22rem, 70vw); }
input, select { padding: .3rem .5rem; border: 1px solid var(--line); border-radius: .4rem; background: var(--bg);
  color: var(--fg); font: inherit; font-size: .9rem; max-width: 100%; }
.choose label { display: grid; gap: .1rem; font-size: .8rem; color: var(--muted); }
.choose label.tick { display: flex; align-items: center; gap: .4rem; padding-bottom: .4rem; }
.choose select { max-width: 14rem; }
.card { display: flex; flex-direction: column; gap: .2rem; }
.card img { aspect-ratio: 16 / 9; object-fit: contain; background: #000; }
.card a.open { display: block; font-weight: 600; }
.card .links { margin-top: auto; padding-top: .4rem; display: flex; flex-wrap: wrap; gap: .4rem; }
.card .links a, .card .links button { font-size: .8rem; padding: .15rem .5rem; }
meter { width: 100%; height: .7rem; }
.pages { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0; align-items: center; }
.story { position: relative; margin: .75rem 0; border: 1px solid var(--line); border-radius: .4rem; overflow: hidden;
  background: var(--panel); }
.story svg { display: block; width: 100%; }
.story svg.curve { height: 6rem; }
.story .row { border-top: 1px solid var(--line); }
.story .row svg { height: .8rem; }
.story .row span { display: block; padding: .1rem .4rem 0; font-size: .75rem; line-height: 1.2; }
.blank { height: 3rem; }
#still { width: 100%; max-height: 70vh; object-fit: contain; background: #000; }
@media (max-width: 30rem) { .cards { grid-template-columns: 1fr 1fr; gap: .5rem; } }
.strip { grid-template-columns: repeat(auto-fill, minmax(min(9rem, 45%), 1fr)); }
{% endblock %}
"""

# "/" goes to the search box, as in many pages; a moment in the address (#t=12.3) is gone to without playing.
_SCRIPT = """\
{% block script %}
"use strict";
(() => {
  const search = document.querySelector("input[type=search]");
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("input, select, textarea");
    if (event.key !== "/" || typing || event.altKey || event.ctrlKey || event.metaKey || !search) return;
    event.preventDefault();
    search.focus();
  });
  const story = document.getElementById("story");
  if (!story) return;
  const still = document.getElementById("still");
  let waiting = 0;
  document.addEventListener("vidlang:time", (event) => {
    const seconds = event.detail.seconds.toFixed(2);
    document.querySelectorAll("a[data-at]").forEach((link) => { link.href = link.dataset.at + seconds; });
    if (!still) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => { still.src = still.dataset.address + seconds; }, 200);
  });
  const begin = () => {
    const found = /^#t=(\\d+(?:\\.\\d+)?)$/.exec(location.hash);
    if (found) vidlang.seek(story, Number(found[1]), false);
  };
  addEventListener("hashchange", begin);
  begin();
})();
{% endblock %}
"""

_MACROS = """\
{% macro top(text) %}
<nav class="top" aria-label="Search">
<a class="button" href="/">All videos</a>
<form action="/search" role="search">
<input type="search" name="text" value="{{ text }}" required maxlength="300" aria-label="Words to look for"
  placeholder="a red car crashing" title="Press / to come here">
<button>Search by text</button>
</form>
</nav>
{% endmacro %}
{% macro card(card) %}
<li class="card">
<a href="{{ card.href }}" tabindex="-1" aria-hidden="true"><img src="{{ card.picture }}" loading="lazy" width="240"
  height="135" alt="Frame of {{ card.name }} at {{ card.seconds|clock }}"></a>
<a class="open" href="{{ card.href }}">{{ card.name }}</a>
<span class="muted">{{ parts.at(card.duration) }}{% if card.label %} · {{ card.label }}{% endif %}</span>
{% for recipe in card.recipes %}
<span class="muted">{{ recipe }}</span>
{% endfor %}
{% if card.similarity is not none %}
<span>similarity {{ "%.3f"|format(card.similarity) }}</span>
{% endif %}
{% if card.result %}
<span>{{ card.result }}</span>
{% endif %}
{% if card.share is not none %}
<meter min="0" max="1" value="{{ '%.4f'|format(card.share) }}" aria-label="highest score">{{ card.share }}</meter>
{% endif %}
{% for segment, href in card.moments %}
<a href="{{ href }}">{{ parts.span(segment.start, segment.end) }}</a>
{% endfor %}
{% if card.similar_href %}
<span class="links"><a class="button" href="{{ card.similar_href }}"
  aria-label="Videos like {{ card.name }}">Videos like this</a></span>
{% endif %}
</li>
{% endmacro %}
{% macro notes(lines) %}
{% for line in lines %}
<p class="note">{{ line }}</p>
{% endfor %}
{% endmacro %}
{% macro event(each, kind) %}
<li class="card">
{% if each.picture %}
<img src="{{ each.picture }}" loading="lazy" width="240" height="135"
  alt="Frame of the {{ kind }} at {{ each.event.segment.start|clock }}">
{% endif %}
<strong>{{ each.event.label }}</strong>
<span>{{ parts.span(each.event.segment.start, each.event.segment.end) }}</span>
<span class="muted">score {{ "%.3f"|format(each.event.score) }}</span>
<span class="links"><button data-seek="{{ '%.3f'|format(each.event.segment.start) }}">Go there</button>
<a class="button" href="{{ each.similar_href }}">Frames like this</a></span>
</li>
{% endmacro %}
"""

PIECES = _MACROS + _STYLE + _SCRIPT

LIST = """\
{% macro choice(name, text, choices) %}
<label>{{ text }}
<select name="{{ name }}">
{% for choice in choices %}
<option value="{{ choice.value }}"{% if choice.chosen %} selected{% endif %}>{{ choice.text }}</option>
{% endfor %}
</select></label>
{% endmacro %}
{% block body %}
{{ top(text) }}
{{ notes(view.notes) }}
<form class="choose" action="/" aria-label="Filter and sort">
<label>Name or pattern<input name="name" value="{{ view.words }}" maxlength="300" placeholder="fight/*"></label>
{{ choice("label", "Label", view.labels) if view.labels|length > 1 }}
{{ choice("recipe", "Recipe", view.recipes) if view.recipes|length > 2 }}
{{ choice("sort", "Order", view.orders) }}
<label class="tick"><input type="checkbox" name="events" value="1"{% if view.only_events %} checked{% endif %}>
with events</label>
<button>Show</button>
</form>
<p class="muted" role="status">{{ view.num_found }} of {{ view.num_all }} videos{% if view.num_pages > 1 %};
page {{ view.number }} of {{ view.num_pages }}{% endif %}</p>
{% if not view.cards %}
<p>No video is like that. <a href="/">Show all</a></p>
{% endif %}
<ul class="cards">
{% for each in view.cards %}
{{ card(each) }}
{% endfor %}
</ul>
{% if view.num_pages > 1 %}
<nav class="pages" aria-label="Pages">
{% for name, href in view.pages %}
<a class="button" href="{{ href }}">{{ name }}</a>
{% endfor %}
</nav>
{% endif %}
{% endblock %}
"""

ANSWER = """\
{% block body %}
{{ top(text) }}
{% if view.trouble %}
<p class="note" role="alert">{{ view.trouble }}</p>
{% else %}
{{ notes(view.notes) }}
{% if view.query %}
<ul class="cards">{{ card(view.query) }}</ul>
{% endif %}
<p class="muted" role="status">{{ view.cards|length }} videos. {{ view.note }}</p>
<ol class="cards">
{% for each in view.cards %}
{{ card(each) }}
{% endfor %}
</ol>
{% endif %}
{% endblock %}
"""

MESSAGE = """\
{% block body %}
{{ top(text) }}
<p>{{ message }}</p>
{% endblock %}
"""

VIDEO = """\
{% block body %}
{{ top(text) }}
<section id="video" aria-label="Video">
{% if view.source %}
<video id="player" controls preload="metadata"{% if view.stills %} poster="{{ view.still_address }}0"{% endif %}
  aria-label="{{ view.name }}"><source src="{{ view.source }}" type="{{ view.kind }}"></video>
<p class="note" data-fallback hidden>This browser does not play the file.
{% if view.moments %}Stills are below.{% endif %}</p>
{% else %}
{% if view.stills %}
<img id="still" src="{{ view.still_address }}0" data-address="{{ view.still_address }}" width="480" height="270"
  alt="Frame of {{ view.name }} at the time of the cursor">
{% endif %}
<p class="note">{{ view.why_no_player }}</p>
{% endif %}
<div id="story" class="story" data-timeline data-begin="0" data-end="{{ '%.3f'|format(view.duration) }}" role="slider"
  tabindex="0" aria-label="Time" aria-valuemin="0" aria-valuemax="{{ '%.2f'|format(view.duration) }}" aria-valuenow="0">
{% if line %}
<svg class="curve" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="Anomaly score over time">
{% for event in view.events %}
<rect x="{{ '%.1f'|format(1000 * event.event.segment.start / span) }}" y="0" height="100" fill="var(--c1)"
  opacity="0.18" width="{{ '%.1f'|format(1000 * (event.event.segment.end - event.event.segment.start) / span) }}"/>
{% endfor %}
{% if view.curve.threshold is not none %}
<line x1="0" x2="1000" y1="{{ 100 - 100 * view.curve.threshold }}" y2="{{ 100 - 100 * view.curve.threshold }}"
  stroke="var(--muted)" stroke-dasharray="6 4" vector-effect="non-scaling-stroke"/>
{% endif %}
<polyline points="{{ line }}" fill="none" stroke="var(--c0)" stroke-width="2" vector-effect="non-scaling-stroke"/>
</svg>
{% else %}
<div class="blank"></div>
{% endif %}
{% for row in rows %}
<div class="row"><span>{{ row.name }}</span><svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
{% for x, width, opacity in row.bars %}
<rect x="{{ '%.1f'|format(x) }}" y="1" width="{{ '%.1f'|format(width) }}" height="8" fill="var({{ row.colour }})"
  opacity="{{ '%.2f'|format(opacity) }}"/>
{% endfor %}
</svg></div>
{% endfor %}
<div data-cursor></div>
</div>
<p><span data-clock>0:00.0</span> of {{ parts.at(view.duration) }}
{% if view.curve %}<span class="muted">· line: anomaly score, 0 below, 1 above{% if view.curve.threshold is not none %};
dashed: threshold {{ view.curve.threshold|share }}{% endif %}</span>{% endif %}</p>
<p class="top">
<a class="button" href="{{ view.similar_href }}">Videos like this</a>
<a class="button" data-at="{{ view.frame_href }}" href="{{ view.frame_href }}0">Frames like this moment</a>
<a class="button" data-at="#t=" href="#t=0">Link to this moment</a>
</p>
{% for line in view.made_by %}
<p class="muted">{{ line }}</p>
{% endfor %}
{% if view.events %}
<h2>Events</h2>
<ol class="cards">
{% for each in view.events %}
{{ event(each, "event") }}
{% endfor %}
</ol>
{% endif %}
{% if view.detections %}
<h2>Actions</h2>
<ol class="cards">
{% for each in view.detections[:shown] %}
{{ event(each, "action") }}
{% endfor %}
</ol>
{% if view.detections|length > shown %}
<details><summary>{{ view.detections|length - shown }} less certain ones</summary>
<ol start="{{ shown + 1 }}">
{% for each in view.detections[shown:] %}
<li>{{ each.event.label }}, score {{ "%.3f"|format(each.event.score) }}
<button data-seek="{{ '%.3f'|format(each.event.segment.start) }}">{{
  parts.span(each.event.segment.start, each.event.segment.end) }}</button></li>
{% endfor %}
</ol>
</details>
{% endif %}
{% endif %}
{% if view.truth %}
<h2>Truth</h2>
<ul>
{% for label, segment in view.truth %}
<li>{{ label }}
<button data-seek="{{ '%.3f'|format(segment.start) }}">{{ parts.span(segment.start, segment.end) }}</button></li>
{% endfor %}
</ul>
{% endif %}
{% if view.moments %}
<h2>Stills</h2>
<ul class="cards strip">
{% for seconds, picture in view.moments %}
<li class="card"><img src="{{ picture }}" loading="lazy" width="240" height="135"
  alt="Frame of {{ view.name }} at {{ seconds|clock }}">
<span class="links"><button data-seek="{{ '%.3f'|format(seconds) }}">{{ seconds|clock }}</button>
<a class="button" href="{{ view.frame_href }}{{ '%.2f'|format(seconds) }}"
  aria-label="Frames like this at {{ seconds|clock }}">Like this</a></span></li>
{% endfor %}
</ul>
{% endif %}
</section>
<section aria-label="About this video">
<h2>About</h2>
{{ parts.facts(view.facts) }}
<nav class="pages" aria-label="Neighbours">
{% if view.neighbours[0] %}<a class="button" rel="prev" href="{{ view.neighbours[0] }}">Video before</a>{% endif %}
{% if view.neighbours[1] %}<a class="button" rel="next" href="{{ view.neighbours[1] }}">Next video</a>{% endif %}
</nav>
</section>
{% endblock %}
"""
