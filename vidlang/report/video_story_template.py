"""Template of the page of videos: what stands on it, its style, and its script."""

from __future__ import annotations

TEMPLATE = """\
{% block style %}
.file { min-width: 9rem; overflow-wrap: anywhere; }
.peak { display: inline-block; width: 5rem; height: .6rem; border: 1px solid var(--line); border-radius: .2rem;
  vertical-align: middle; }
.peak i { display: block; height: 100%; background: var(--c0); }
.story { content-visibility: auto; contain-intrinsic-size: auto 60rem; }
.lanes { margin: 1rem 0 .5rem; padding-left: 9.5rem; }
.lane { position: relative; margin-bottom: .3rem; }
.lane .name { position: absolute; right: 100%; top: 0; width: 9rem; margin-right: .5rem; text-align: right;
  font-size: .8rem; line-height: 1.35; color: var(--muted); white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
.lane svg { display: block; width: 100%; height: 8rem; background: var(--panel); }
.lane.small svg { height: 3.2rem; }
.lane.heat svg { height: 1.1rem; }
.lane .scale { position: absolute; left: .15rem; font-size: .65rem; line-height: 1; color: var(--muted);
  pointer-events: none; bottom: .1rem; }
.lane .scale.top { bottom: auto; top: .1rem; }
.plot { position: relative; }
.track { position: relative; height: 1.35rem; background: var(--panel); overflow: hidden; }
.bar { position: absolute; top: 0; bottom: 0; min-width: 3px; padding: 0 .2rem; overflow: hidden; white-space: nowrap;
  font-size: .75rem; line-height: 1.2rem; background: var(--bg); border: 2px solid var(--of);
  border-left-width: 5px; }
.axis { position: relative; height: 1.4rem; font-size: .75rem; color: var(--muted); border-top: 1px solid var(--line);
  font-variant-numeric: tabular-nums; }
.axis span { position: absolute; transform: translateX(-50%); padding-top: .15rem; white-space: nowrap; }
.axis span::before { content: ""; position: absolute; left: 50%; top: -1px; height: .3rem;
  border-left: 1px solid var(--muted); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .3rem 0; padding: 0; list-style: none;
  font-size: .85rem; color: var(--muted); }
.legend svg { width: 1.8rem; height: .6rem; vertical-align: middle; }
.card { padding: 0; }
.card button { display: block; width: 100%; height: 100%; padding: .55rem; text-align: left; border: 0;
  border-left: 5px solid var(--of); border-radius: .45rem; }
.card strong, .card .when, .card .sure { display: block; }
.readout { font-variant-numeric: tabular-nums; min-height: 1.5em; }
@media (max-width: 40rem) {
  .lanes { padding-left: 0; }
  .lane .name { position: static; display: block; width: auto; margin: 0; text-align: left; white-space: normal; }
}
@media (forced-colors: active) { .bar, .peak i { forced-color-adjust: none; } }
{% endblock %}
{% block lead %}
<p>{{ words.lead }}</p>
{% endblock %}
{% block body %}
{% for note in words.notes %}
<p class="note">{{ note }}</p>
{% endfor %}
{% if words.limits %}
<details class="note"><summary>What this encoder cannot do</summary>{{ words.limits }}</details>
{% endif %}
{% if stories|length > 1 %}
<nav aria-label="Videos">
<div class="wide" tabindex="0" role="region" aria-label="Videos by their highest score">
<table>
<caption>Videos by their highest score</caption>
<thead><tr><th scope="col">video</th><th scope="col" class="number">highest {{ words.score_name }}</th><td></td>
<th scope="col">at</th><th scope="col" class="number">{{ words.event_name }}s</th><th scope="col">length</th></tr>
</thead>
<tbody>
{% for story, drawn in stories %}
<tr><td class="file"><a href="#video-{{ loop.index }}">{{ story.name }}</a></td>
<td class="number">{{ "%.2f"|format(story.peak) }}</td>
<td><span class="peak" aria-hidden="true"><i style="width: {{ "%.1f"|format(100 * story.peak) }}%"></i></span></td>
<td>{{ parts.at(story.peak_at) }}</td>
<td class="number">{{ story.cards|length + story.num_more }}</td><td>{{ parts.at(story.duration) }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
</nav>
{% endif %}
{% if words.failed %}
<section>
<h2>Failed</h2>
<ul>
{% for name, reason in words.failed %}
<li><strong>{{ name }}</strong>: {{ reason }}</li>
{% endfor %}
</ul>
</section>
{% endif %}
{% for story, drawn in stories %}
<section class="story" id="video-{{ loop.index }}">
<h2>{{ story.name }}</h2>
{% if story.player.source %}
<video src="{{ story.player.source }}" controls playsinline preload="{{ preload }}" aria-label="{{ story.name }}">
</video>
<p class="note" data-fallback hidden>This browser does not play the video, or the file is no longer where it was. The
option --embed puts a copy into the page.</p>
{% endif %}
{% if story.player.says %}
<p class="{{ "muted" if story.player.source else "note" }}">{{ story.player.says }}</p>
{% endif %}
{% for note in story.notes %}
<p>{{ note }}</p>
{% endfor %}
<p class="readout"><span data-clock>{{ story.begin|clock }}</span>
<span data-readout="{{ loop.index0 }}"></span></p>
<div class="lanes">
<div data-timeline data-story="{{ loop.index0 }}" data-begin="{{ "%.3f"|format(story.begin) }}"
  data-end="{{ "%.3f"|format(story.end) }}" role="slider" tabindex="0" aria-label="{{ drawn.label }}"
  aria-valuemin="{{ "%.2f"|format(story.begin) }}" aria-valuemax="{{ "%.2f"|format(story.end) }}"
  aria-valuenow="{{ "%.2f"|format(story.begin) }}">
{% for lane in drawn.lanes %}
<div class="lane {{ lane.kind }}{{ " small" if lane.small is defined and lane.small else "" }}">
<span class="name">{{ lane.name }}</span>
{% if lane.kind == "bars" %}
<div class="track">
{% for left, width, bar in lane.bars %}
<span class="bar" title="{{ bar.text }}, {{ bar.segment.start|clock }} – {{ bar.segment.end|clock }}"
  style="left: {{ left / 10 }}%; width: {{ width / 10 }}%; --of: var({{ bar.paint }})">
{{- bar.text -}}
</span>
{% endfor %}
</div>
{% elif lane.kind == "heat" %}
<svg viewBox="0 0 1000 1" preserveAspectRatio="none" shape-rendering="crispEdges" role="img"
  aria-label="{{ lane.name }}, at most {{ "%.2f"|format(lane.peak) }}">
{% for left, width, value in lane.cells %}
<rect x="{{ left }}" width="{{ width }}" height="1" fill="var(--c0)" fill-opacity="{{ value }}"/>
{% endfor %}
</svg>
{% else %}
<div class="plot">
<svg viewBox="0 -4 1000 108" preserveAspectRatio="none" role="img" aria-label="{{ lane.name }}">
{% for left, width, color in lane.shades %}
<rect x="{{ left }}" y="-4" width="{{ width }}" height="108" fill="var(--c{{ color }})" fill-opacity=".22"/>
{% endfor %}
<path d="{{ lane.area }}" fill="var(--c{{ lane.lines[0].color }})" fill-opacity=".14"/>
{% if lane.threshold is not none %}
<path d="M0 {{ "%.1f"|format(100 - 100 * lane.threshold) }}H1000" stroke="var(--fg)" stroke-dasharray="5 3" fill="none"
  vector-effect="non-scaling-stroke"/>
{% endif %}
{% for line in lane.lines|reverse %}
<path d="{{ line.path }}" stroke="var(--c{{ line.color }})" stroke-width="{{ 1.2 if line.dash else 2 }}" fill="none"
  vector-effect="non-scaling-stroke"{% if line.dash %} stroke-dasharray="{{ line.dash }}"{% endif %}/>
{% endfor %}
</svg>
<span class="scale top" aria-hidden="true">1</span><span class="scale" aria-hidden="true">0</span>
</div>
{% endif %}
</div>
{% endfor %}
<div class="axis" aria-hidden="true">
{% for left, text in drawn.ticks %}
<span style="left: {{ "%.2f"|format(left) }}%">{{ text }}</span>
{% endfor %}
</div>
<div data-cursor></div>
</div>
</div>
{% for lane in drawn.lanes if lane.kind == "curve" and (lane.lines|length > 1 or lane.threshold is not none) %}
<ul class="legend" aria-label="Legend of {{ lane.name }}">
{% for line in lane.lines %}
<li><svg viewBox="0 0 30 10" aria-hidden="true"><path d="M0 5H30" stroke="var(--c{{ line.color }})"
  stroke-width="{{ 1.5 if line.dash else 3 }}"{% if line.dash %} stroke-dasharray="{{ line.dash }}"{% endif %}/></svg>
  {{ line.name }}</li>
{% endfor %}
{% if lane.threshold is not none %}
<li><svg viewBox="0 0 30 10" aria-hidden="true"><path d="M0 5H30" stroke="var(--fg)" stroke-dasharray="5 3"/></svg>
  threshold {{ lane.threshold|share }}</li>
{% endif %}
</ul>
{% endfor %}
{% if story.cards %}
<h3>{{ words.event_name|capitalize }}s</h3>
<ul class="cards">
{% for card in story.cards %}
<li class="card">
<button type="button" data-seek="{{ "%.3f"|format(card.seek) }}" style="--of: var(--c{{ card.color }})">
{% if card.still %}
<img src="{{ card.still|data_uri("image/jpeg") }}" alt="The video at {{ card.still_at|clock }}" loading="lazy">
{% endif %}
<strong>{{ card.label }}</strong>
<span class="when">{{ parts.span(card.segment.start, card.segment.end) }}</span>
<span class="sure">{{ words.card_score_name or words.score_name }} {{ "%.2f"|format(card.score) }}</span>
</button>
</li>
{% endfor %}
</ul>
{% if story.num_more %}
<p class="muted">{{ story.num_more }} more, weaker ones, are in the files of the results.</p>
{% endif %}
{% else %}
<p class="muted">No {{ words.event_name }} found.</p>
{% endif %}
</section>
{% endfor %}
<section>
<h2>How this was made</h2>
{{ parts.facts(words.facts) }}
</section>
{% endblock %}
{% block script %}
const stories = {{ readouts|tojson }};
const scoreName = {{ words.score_name|tojson }};
const tell = (timeline) => {
  const rows = stories[Number(timeline.dataset.story)];
  const text = document.querySelector(`[data-readout="${timeline.dataset.story}"]`);
  const now = Number(timeline.dataset.now);
  let low = 0, high = rows.from.length;
  while (low < high) { const mid = (low + high) >> 1; if (rows.from[mid] <= now) low = mid + 1; else high = mid; }
  // The end of the video is told as its last row is.
  const row = low - 1, inside = row >= 0 && (now < rows.to[row] || row === rows.from.length - 1);
  const word = inside && rows.words.length ? `, ${rows.words[row]}` : "";
  text.textContent = inside ? `${scoreName} ${rows.score[row].toFixed(2)}${word}` : "";
};
document.addEventListener("vidlang:time", (event) => tell(event.target));
document.querySelectorAll("[data-timeline]").forEach(tell);
{% endblock %}
"""
