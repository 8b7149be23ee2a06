"""A map of videos or snippets as a page: points to click, a legend that hides labels, a search by name, neighbours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.report.map_plot import MARKERS, MapPoints
from vidlang.report.web import NUM_COLORS, data_uri, render_page

WIDTH, HEIGHT, MARGIN = 1000.0, 700.0, 24.0
"""Units of the drawing, and what is free around the points."""


@dataclass(frozen=True, eq=False)
class MapPage:
    """A map, and what is known of its points."""

    shown: MapPoints
    neighbours: NDArray[np.int64]
    """[N, K] nearest others of each point before the projection."""
    stills: Mapping[int, bytes] = field(default_factory=dict)
    """JPEG by number of the point."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Address of a video by its id, where it is at hand."""
    notes: tuple[str, ...] = ()
    facts: Sequence[tuple[str, object]] = ()
    """How the map was made, as (name, value)."""


def map_page(page: MapPage) -> str:
    """The page as HTML text. Ids and labels are text, never markup."""
    shown = page.shown
    counts = Counter(shown.labels)
    styles = {name: _style(place) for place, name in enumerate(shown.classes)}
    labels = list(styles)
    numbers = {name: place for place, name in enumerate(labels)}
    places = _places(shown.points)
    size = float(np.clip(330 / np.sqrt(max(len(places), 1)), 4.0, 11.0))
    points = [
        {
            "id": shown.ids[i],
            "label": numbers[shown.labels[i]],
            "from": round(float(shown.seconds[i, 0]), 3),
            "to": round(float(shown.seconds[i, 1]), 3),
            "x": places[i][0],
            "y": places[i][1],
            "near": page.neighbours[i].tolist(),
            "still": data_uri(page.stills[i], "image/jpeg") if i in page.stills else None,
        }
        for i in range(len(places))
    ]
    legend = [{"name": name, "count": counts[name], "style": style} for name, style in styles.items()]
    drawn = [(x, y, numbers[label], styles[label]) for (x, y), label in zip(places, shown.labels, strict=True)]
    return render_page(
        TEMPLATE,
        title=shown.title,
        drawn=drawn,
        legend=legend,
        axes=shown.axes,
        notes=page.notes,
        facts=page.facts,
        shapes=_shapes(size),
        width=WIDTH,
        height=HEIGHT,
        data={"points": points, "labels": labels, "videos": dict(page.sources), "size": size},
    )


def _style(place: int) -> dict[str, Any]:
    """Colour and shape of a label: the second lap through the colours has another shape."""
    return {"color": place % NUM_COLORS, "shape": place // NUM_COLORS % len(MARKERS)}


def _places(points: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Points [N, 2] on the drawing, the second axis upwards; one scale for both, so that distances are true."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    scale = float((room / np.maximum(high - low, 1e-12)).min()) if (high > low).any() else 1.0
    moved = (points - (low + high) / 2) * scale * np.array([1.0, -1.0]) + np.array([WIDTH, HEIGHT]) / 2
    return [(round(float(x), 1), round(float(y), 1)) for x, y in moved]


def _shapes(r: float) -> list[str]:
    """Outlines around the origin, in the order of ``MARKERS``."""
    s, t = r * 0.9, r * 0.38
    corners = [
        [(-s, -s), (s, -s), (s, s), (-s, s)],
        [(0, -r * 1.15), (r, s), (-r, s)],
        [(0, -r * 1.2), (r, 0), (0, r * 1.2), (-r, 0)],
        [(0, r * 1.15), (r, -s), (-r, -s)],
        [(-t, -r), (t, -r), (t, -t), (r, -t), (r, t), (t, t), (t, r), (-t, r), (-t, t), (-r, t), (-r, -t), (-t, -t)],
        [(0, -t), (s - t, -s), (s, -s + t), (t, 0), (s, s - t), (s - t, s), (0, t), (t - s, s), (-s, s - t), (-t, 0),
         (-s, t - s), (t - s, -s)],
    ]  # fmt: skip
    circle = f"M{-r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {-2 * r:.1f} 0z"
    return [circle, *("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in outline) + "z" for outline in corners)]


TEMPLATE = """\
{% block style %}
body { max-width: 80rem; }
.map { display: grid; grid-template-columns: minmax(0, 1fr) minmax(15rem, 20rem); gap: 1.25rem; }
@media (max-width: 48rem) { .map { grid-template-columns: minmax(0, 1fr); } }
.plot { border: 1px solid var(--line); border-radius: .5rem; background: var(--panel); overflow: hidden; }
.plot svg { display: block; width: 100%; height: auto; touch-action: pan-y; cursor: grab; }
.points use { stroke: var(--panel); stroke-width: 1; fill-opacity: .85; cursor: pointer; }
.points use.off, .points use.faint { opacity: .1; }
.points use.off { pointer-events: none; }
#ring { fill: none; stroke: var(--fg); stroke-width: 3; pointer-events: none; }
{% for number in range(num_colors) %}
.k{{ number }} { fill: var(--c{{ number }}); }
{% endfor %}
.tools { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .5rem 0; }
#under { min-height: 1.5em; }
.map > div > h2 { margin-top: 1.25rem; }
.legend { display: flex; flex-wrap: wrap; gap: .4rem; margin: .4rem 0; padding: 0; list-style: none;
  max-height: 14rem; overflow-y: auto; }
.legend button { display: flex; gap: .35rem; align-items: center; padding: .1rem .5rem; text-align: left; }
.legend button[aria-pressed="false"] { opacity: .5; text-decoration: line-through; }
.legend svg { width: 1rem; height: 1rem; flex: none; }
.panel { padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; margin-bottom: 1rem; }
.panel h2 { font-size: 1.05rem; }
.panel img, .panel video { width: 100%; margin: .4rem 0; }
input[type=search] { width: 100%; padding: .4rem .6rem; border: 1px solid var(--line); border-radius: .4rem;
  background: var(--bg); color: var(--fg); font: inherit; }
.list { max-height: 18rem; overflow-y: auto; margin: .4rem 0; padding: 0; list-style: none; }
.list button { width: 100%; text-align: left; border-color: transparent; background: none; padding: .15rem .4rem; }
.list button[aria-current="true"] { border-color: var(--accent); background: var(--panel); }
{% endblock %}
{% block body %}
{% for note in notes %}
<p class="note">{{ note }}</p>
{% endfor %}
<div class="map">
<div>
<div class="plot">
<svg id="plot" viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ drawn|length }} points on a plane; the
 list beside it holds all of them">
<defs>
{% for outline in shapes %}
<path id="s{{ loop.index0 }}" d="{{ outline }}"/>
{% endfor %}
</defs>
<g class="points">
{% for x, y, label, style in drawn %}
<use href="#s{{ style.shape }}" class="k{{ style.color }}" x="{{ x }}" y="{{ y }}" data-point="{{ loop.index0 }}"/>
{% endfor %}
</g>
<circle id="ring" r="0" cx="0" cy="0"/>
</svg>
</div>
<p class="muted" id="under" aria-hidden="true"></p>
<div class="tools">
<button type="button" id="closer">Closer</button>
<button type="button" id="farther">Farther</button>
<button type="button" id="whole">Whole map</button>
</div>
<p class="muted">Across: {{ axes[0] }}. Upwards: {{ axes[1] }}. Drag moves the map; a click on a point opens it.</p>
<h2>Labels</h2>
<ul class="legend">
{% for entry in legend %}
<li><button type="button" aria-pressed="true" data-label="{{ loop.index0 }}"><svg viewBox="-12 -12 24 24"
 aria-hidden="true"><use href="#s{{ entry.style.shape }}" class="k{{ entry.style.color }}"/></svg>
<span>{{ entry.name }} ({{ entry.count }})</span></button></li>
{% endfor %}
</ul>
</div>
<div>
<div class="panel" id="details" aria-live="polite">
<h2 id="name">No point is open</h2>
<p class="muted" id="what">Choose one on the map or in the list.</p>
<img id="still" alt="" hidden>
<video id="player" controls preload="none" hidden></video>
<p data-fallback data-player="player" hidden>This browser does not play the video.</p>
<p id="play" hidden><button type="button">Play from here</button></p>
<h3 id="nearest" hidden>Nearest before the projection</h3>
<ul class="list" id="near"></ul>
</div>
<div class="panel">
<h2><label for="search">Find by name or label</label></h2>
<input type="search" id="search" autocomplete="off" spellcheck="false">
<p class="muted" id="count" role="status"></p>
<ul class="list" id="list"></ul>
</div>
</div>
</div>
<section>
<h2>How the map was made</h2>
{{ parts.facts(facts) }}
</section>
{% endblock %}
{% block script %}
(() => {
  const data = {{ data|tojson }};
  const SHOWN = 200;
  const get = (id) => document.getElementById(id);
  const plot = get("plot"), ring = get("ring"), video = get("player"), still = get("still");
  const marks = [...document.querySelectorAll(".points use")];
  const hidden = new Set();
  let found = data.points.map((_, i) => i), chosen = -1;
  const span = (point) => `${vidlang.clock(point.from)} – ${vidlang.clock(point.to)}`;
  const several = new Set(data.points.map((point) => point.id)).size < data.points.length;
  const says = (point) => several ? `${point.id}, ${span(point)}` : point.id;

  const entry = (index) => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.textContent = says(data.points[index]);
    button.title = data.labels[data.points[index].label];
    button.dataset.open = index;
    if (index === chosen) button.setAttribute("aria-current", "true");
    item.append(button);
    return item;
  };
  const list = () => {
    const listed = found.filter((i) => !hidden.has(data.points[i].label));
    get("list").replaceChildren(...listed.slice(0, SHOWN).map(entry));
    const rest = listed.length - Math.min(listed.length, SHOWN);
    const cut = rest ? `; the first ${SHOWN} are listed` : "";
    get("count").textContent = `${listed.length} of ${data.points.length} points${cut}`;
  };
  const paint = () => {
    const inside = new Set(found);
    marks.forEach((mark, i) => {
      mark.classList.toggle("off", hidden.has(data.points[i].label));
      mark.classList.toggle("faint", !inside.has(i));
    });
  };
  const open = (index) => {
    const point = data.points[index];
    chosen = index;
    get("name").textContent = point.id;
    get("what").textContent = `${data.labels[point.label]}; ${span(point)}`;
    get("what").title = `${point.from.toFixed(2)} s to ${point.to.toFixed(2)} s`;
    still.hidden = !point.still;
    if (point.still) { still.src = point.still; still.alt = `A frame of ${says(point)}`; }
    else still.removeAttribute("src");
    video.pause();
    video.hidden = true;
    document.querySelectorAll("[data-fallback]").forEach((text) => { text.hidden = true; });
    get("play").hidden = !(point.id in data.videos);
    get("near").replaceChildren(...point.near.map(entry));
    get("nearest").hidden = !point.near.length;
    ring.setAttribute("cx", point.x);
    ring.setAttribute("cy", point.y);
    ring.setAttribute("r", data.size + 5);
    document.querySelectorAll("[data-open]").forEach((button) => {
      if (Number(button.dataset.open) === index) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
  };
  get("play").querySelector("button").addEventListener("click", () => {
    const point = data.points[chosen];
    video.hidden = false;
    still.hidden = true;
    video.src = data.videos[point.id];
    video.load();
    // A whole video plays from its start, a snippet from its own.
    vidlang.goTo(video, several ? point.from : 0, true);
  });
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest("[data-open]");
    if (button) open(Number(button.dataset.open));
  });
  document.querySelectorAll("[data-label]").forEach((button) => button.addEventListener("click", () => {
    const label = Number(button.dataset.label);
    if (hidden.has(label)) hidden.delete(label); else hidden.add(label);
    button.setAttribute("aria-pressed", String(!hidden.has(label)));
    paint();
    list();
  }));
  get("search").addEventListener("input", () => {
    const words = get("search").value.toLocaleLowerCase().split(/\\s+/).filter(Boolean);
    found = data.points.map((_, i) => i).filter((i) => {
      const text = `${data.points[i].id} ${data.labels[data.points[i].label]}`.toLocaleLowerCase();
      return words.every((word) => text.includes(word));
    });
    paint();
    list();
  });

  const WHOLE = [0, 0, {{ width }}, {{ height }}];
  let view = [...WHOLE], grip = null, moved = false;
  const look = (next) => { view = next; plot.setAttribute("viewBox", view.join(" ")); };
  const zoom = (factor) => {
    const at = chosen >= 0 ? data.points[chosen] : { x: view[0] + view[2] / 2, y: view[1] + view[3] / 2 };
    const wide = Math.min(WHOLE[2], Math.max(WHOLE[2] / 64, view[2] * factor));
    if (wide === WHOLE[2]) { look([...WHOLE]); return; }
    const high = wide * WHOLE[3] / WHOLE[2];
    look([at.x - wide / 2, at.y - high / 2, wide, high]);
  };
  get("closer").addEventListener("click", () => zoom(0.5));
  get("farther").addEventListener("click", () => zoom(2));
  get("whole").addEventListener("click", () => look([...WHOLE]));
  plot.addEventListener("pointerdown", (event) => { grip = [event.clientX, event.clientY, ...view]; moved = false; });
  window.addEventListener("pointerup", () => { grip = null; });
  plot.addEventListener("pointermove", (event) => {
    const mark = event.target.closest("[data-point]");
    get("under").textContent = mark ? says(data.points[mark.dataset.point]) : "";
    if (!grip) return;
    const scale = grip[4] / plot.clientWidth;
    const across = (event.clientX - grip[0]) * scale, down = (event.clientY - grip[1]) * scale;
    if (Math.abs(across) + Math.abs(down) > 4 * scale) moved = true;
    if (moved && view[2] < WHOLE[2]) look([grip[2] - across, grip[3] - down, view[2], view[3]]);
  });
  plot.addEventListener("click", (event) => {
    const mark = event.target.closest("[data-point]");
    if (mark && !moved) open(Number(mark.dataset.point));
  });
  list();
})();
{% endblock %}
"""
