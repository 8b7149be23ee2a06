"""The ground of every HTML page: one self-contained file, light and dark, that fetches nothing from a network.

A page is a jinja2 template that fills the blocks of a base page::

    {% block body %}…{% endblock %}       what stands under the heading
    {% block lead %}…{% endblock %}       a line under the title
    {% block style %}…{% endblock %}      CSS alone, without tags
    {% block script %}…{% endblock %}     JavaScript alone, without tags; runs after ``PLAYER_SCRIPT``

Values are text, never markup; values for a script are written ``{{ value|tojson }}``. A content security policy lets
only the page's own scripts run, found by their hash: handlers in attributes (``onclick=``) never do, and no address
outside the page's own folder is loaded. Filters: ``data_uri(mime)``, ``base64``, ``clock``, ``percent``, ``share``,
``cell``, ``is_number``. Macros: ``parts.at(seconds)``, ``parts.span(start, end)``,
``parts.table(columns, rows, caption)``, ``parts.facts(rows)`` with (name, value) rows. ``num_colors``: of --c0 and on.

What the base page's script does, wherever an element carries the attribute:

- ``data-seek="12.3"`` on a button or link: the video goes there and plays;
- ``data-timeline`` with ``data-begin`` and ``data-end`` (seconds) on a box: a slider. Its child ``[data-cursor]``
  follows the video; a click or drag seeks; arrow keys, Page up and down, Home, End and space do as in a player;
- ``data-clock`` on a text: shows the time;
- ``data-fallback`` on a hidden text: shown when its video cannot be played.

``data-player="ID"`` names the video that an element means; without it, the first video of its ``<section>`` (or of the
page, where no section is around it). A timeline without a video has a cursor all the same, and every timeline sends
``vidlang:time`` events with ``detail.seconds``.

A page's own script may call ``vidlang.clock(seconds)``, ``vidlang.goTo(video, seconds, play)``, and
``vidlang.seek(element, seconds, play)``, which does what ``data-seek`` on that element would do.
"""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vidlang import __version__
from vidlang.core.digits import share

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class PageTable:
    """Numbers side by side; None where there is none."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


def render_page(template: str, *, title: str, **values: Any) -> str:
    """A whole page: ``template`` fills blocks of the base page, ``values`` are what it names.

    Raises:
        jinja2.UndefinedError: the template names a value that is not given.
    """
    page = _environment().from_string('{% extends "base" %}' + template)
    given = {"title": title, "version": __version__, "style": STYLE, "player": PLAYER_SCRIPT, **values}
    context = page.new_context(given)
    own = "".join(page.blocks["script"](context)) if "script" in page.blocks else ""
    scripts = [script for script in (PLAYER_SCRIPT, own.strip()) if script]
    hashes = " ".join(f"'sha256-{_base64(sha256(script.encode('utf-8')).digest())}'" for script in scripts)
    text = page.render(**given, scripts=scripts, policy=POLICY.format(scripts=hashes))
    # A file name may hold bytes that are no text in any encoding; the page shows them as escapes.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def video_source(video: Path, page: Path) -> str:
    """The address by which a page links a video: relative where the page's folder holds it, else a file URI.

    Raises:
        ValueError: a path is not absolute.
    """
    if not (video.is_absolute() and page.is_absolute()):
        raise ValueError(f"expected absolute paths, got {video} and {page}")
    if video.is_relative_to(page.parent):
        return quote(os.fsencode(video.relative_to(page.parent).as_posix()))
    return video.as_uri()


def data_uri(data: bytes, mime: str) -> str:
    """A file inside an address."""
    return f"data:{mime};base64,{_base64(data)}"


def clock(seconds: float) -> str:
    """``75.25`` → ``1:15.2``, ``3723.0`` → ``1:02:03.0``; cut off, so that no moment seems later than it is."""
    tenths = int(max(seconds, 0.0) * 10 + 1e-6)
    hours, minutes, rest = tenths // 36000, tenths // 600 % 60, tenths % 600 / 10
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def percent(value: float) -> str:
    """``0.425`` → ``42 %``."""
    return f"{100 * value:.0f} %"


def cell(value: object) -> str:
    """A value of a table; nothing is a dash."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def is_number(value: object) -> bool:
    """Whether a table aligns it to the right."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _environment() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    environment = Environment(
        loader=DictLoader({"base": BASE, "parts": PARTS}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "base64": _base64,
        "cell": cell,
        "clock": clock,
        "data_uri": data_uri,
        "is_number": is_number,
        "percent": percent,
        "share": share,
    }
    environment.globals |= {"parts": environment.get_template("parts").module, "num_colors": NUM_COLORS}
    return environment


# 'self' serves pages that a server hands out; file: pages have no self, so their videos are file:.
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: file: 'self'; "
    "media-src data: blob: file: 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'"
)

BASE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{ title }}</title>
<style>
{{ style|safe }}
{% block style %}{% endblock %}
</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<h1>{{ title }}</h1>
{% block lead %}{% endblock %}
</header>
<main id="main" tabindex="-1">
{% block body %}{% endblock %}
</main>
<footer>Made with vidlang {{ version }}</footer>
{% for script in scripts %}
<script>{{ script|safe }}</script>
{% endfor %}
</body>
</html>
"""

PARTS = """\
{% macro at(seconds) -%}
<time datetime="PT{{ '%.3f'|format(seconds) }}S" title="{{ '%.2f'|format(seconds) }} s">{{ seconds|clock }}</time>
{%- endmacro %}
{% macro span(start, end) -%}
<span class="span">{{ at(start) }} – {{ at(end) }}</span>
{%- endmacro %}
{% macro table(columns, rows, caption) %}
<div class="wide" tabindex="0" role="region" aria-label="{{ caption }}">
<table>
<caption>{{ caption }}</caption>
<thead><tr>
{% for column in columns %}
<th scope="col"{% if rows and rows[0][loop.index0]|is_number %} class="number"{% endif %}>{{ column }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in rows %}
<tr>
{% for value in row %}
<td{% if value|is_number %} class="number"{% endif %}>{{ value|cell }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% endmacro %}
{% macro facts(rows) %}
<div class="wide" tabindex="0" role="region" aria-label="Facts">
<table class="facts">
<tbody>
{% for name, value in rows %}
<tr><th scope="row">{{ name }}</th><td>{{ value|cell }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% endmacro %}
"""

NUM_COLORS = 8
# --c0 … --c7: Okabe and Ito (2008), told apart by colour-blind people; yellow gives way to grey, which shows on white.
STYLE = """\
:root { color-scheme: light dark; --bg: #fdfdfc; --fg: #1d1f21; --muted: #5a6066; --line: #d6d9dc; --panel: #f2f4f5;
  --accent: #0b57a4; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #e69f00; --c5: #56b4e9;
  --c6: #8a8a8a; --c7: #000000; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #16181a; --fg: #e6e8ea; --muted: #a4abb2; --line: #3b4046; --panel: #212529; --accent: #8ab8f0;
    --c0: #3f9ade; --c1: #f0802e; --c2: #20bd92; --c3: #dd93bb; --c4: #f0b429; --c5: #86cbf3; --c6: #a8a8a8;
    --c7: #f4f4f4; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1rem; background: var(--bg); color: var(--fg);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: .5rem 0; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 0 0 .5rem; font-size: 1.25rem; line-height: 1.3; }
h3 { margin: 1rem 0 .4rem; font-size: 1rem; }
section { margin-top: 2rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
p { margin: .3rem 0; }
a { color: var(--accent); }
main:focus { outline: none; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: .2rem; }
button, .button { display: inline-block; padding: .3rem .7rem; border: 1px solid var(--line); border-radius: .4rem;
  background: var(--panel); color: var(--fg); font: inherit; font-size: .9rem; text-decoration: none; cursor: pointer; }
button:hover, .button:hover { border-color: var(--accent); }
video { display: block; width: 100%; max-height: 55vh; background: #000; border-radius: .4rem; }
img { display: block; max-width: 100%; height: auto; border-radius: .3rem; }
figure { margin: 1rem 0; }
figcaption, .muted, footer { color: var(--muted); font-size: .85rem; }
footer { margin-top: 2.5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
.note { margin: .75rem 0; padding: .6rem .9rem; border-left: 4px solid var(--c4); border-radius: .3rem;
  background: var(--panel); }
.wide { overflow-x: auto; margin: .75rem 0; }
table { overflow-wrap: normal; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th.number, td.number { text-align: right; }
.facts td { overflow-wrap: anywhere; }
.facts th { font-weight: 400; color: var(--muted); white-space: nowrap; }
time, .span { white-space: nowrap; font-variant-numeric: tabular-nums; }
pre { overflow-x: auto; padding: .6rem .8rem; border-radius: .4rem; background: var(--panel); font-size: .85rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(14rem, 100%), 1fr)); gap: .9rem;
  margin: .75rem 0; padding: 0; list-style: none; }
.card { padding: .6rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--panel); }
.card img { width: 100%; margin-bottom: .4rem; }
[data-timeline] { position: relative; cursor: crosshair; touch-action: pan-y; }
[data-cursor] { position: absolute; top: 0; bottom: 0; left: 0; width: 2px; margin-left: -1px; background: var(--fg);
  pointer-events: none; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: .5rem; padding: .3rem .6rem; background: var(--bg); z-index: 9; }
[hidden] { display: none !important; }
@media (prefers-reduced-motion: reduce) { * { scroll-behavior: auto !important; transition: none !important; } }
@media print { button, .skip { display: none; } body { max-width: none; } }
"""

PLAYER_SCRIPT = """\
"use strict";
const vidlang = (() => {
  const clock = (seconds) => {
    const tenths = Math.floor(Math.max(seconds, 0) * 10 + 1e-6);
    const hours = Math.floor(tenths / 36000), minutes = Math.floor(tenths / 600) % 60;
    const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  };
  const playerOf = (element) => {
    if (element instanceof HTMLVideoElement) return element;
    if (element.dataset.player) return document.getElementById(element.dataset.player);
    return (element.closest("section") || document).querySelector("video");
  };
  // What shows the time of a video; without a video, what lies in the same section.
  const sameStory = (one, other) => {
    const video = playerOf(one);
    return playerOf(other) === video && (video !== null || one.closest("section") === other.closest("section"));
  };
  const readout = (from, selector) => [...document.querySelectorAll(selector)].filter((each) => sameStory(from, each));
  const show = (timeline, seconds) => {
    const begin = Number(timeline.dataset.begin || 0), end = Number(timeline.dataset.end || 0);
    const share = end > begin ? Math.min(1, Math.max(0, (seconds - begin) / (end - begin))) : 0;
    const cursor = timeline.querySelector("[data-cursor]");
    if (cursor) cursor.style.left = `${100 * share}%`;
    timeline.setAttribute("aria-valuenow", String(Math.round(seconds * 100) / 100));
    timeline.setAttribute("aria-valuetext", clock(seconds));
    timeline.dataset.now = String(seconds);
    timeline.dispatchEvent(new CustomEvent("vidlang:time", { bubbles: true, detail: { seconds } }));
  };
  const showAll = (from, seconds) => {
    readout(from, "[data-timeline]").forEach((timeline) => show(timeline, seconds));
    readout(from, "[data-clock]").forEach((text) => { text.textContent = clock(seconds); });
  };
  // A video that knows nothing of itself yet goes there as soon as it does.
  const goTo = (video, seconds, play) => {
    const go = () => { video.currentTime = seconds; };
    if (video.readyState > 0) go();
    else { video.addEventListener("loadedmetadata", go, { once: true }); video.preload = "auto"; }
    if (play) video.play().catch(() => {});
  };
  const seek = (from, seconds, play) => {
    const video = playerOf(from);
    if (video && !video.error) goTo(video, seconds, play);
    showAll(from, seconds);
  };
  const toggle = (from) => {
    const video = playerOf(from);
    if (!video || video.error) return;
    if (video.paused) video.play().catch(() => {}); else video.pause();
  };

  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest("[data-seek]");
    if (!button) return;
    event.preventDefault();
    const video = playerOf(button);
    if (video) video.scrollIntoView({ block: "nearest" });
    seek(button, Number(button.dataset.seek), true);
  });

  document.querySelectorAll("[data-timeline]").forEach((timeline) => {
    const begin = Number(timeline.dataset.begin || 0), end = Number(timeline.dataset.end || 0);
    const bounded = (seconds) => Math.min(end, Math.max(begin, seconds));
    const under = (event) => {
      const box = timeline.getBoundingClientRect();
      return bounded(begin + ((event.clientX - box.left) / Math.max(box.width, 1)) * (end - begin));
    };
    let held = false;
    timeline.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      held = true;
      timeline.setPointerCapture(event.pointerId);
      seek(timeline, under(event), false);
    });
    timeline.addEventListener("pointermove", (event) => { if (held) seek(timeline, under(event), false); });
    ["pointerup", "pointercancel"].forEach((name) => timeline.addEventListener(name, () => { held = false; }));
    const step = Math.min(1, Math.max(0.1, (end - begin) / 60));
    const moves = { ArrowRight: step, ArrowUp: step, ArrowLeft: -step, ArrowDown: -step,
      PageUp: (end - begin) / 10, PageDown: -(end - begin) / 10 };
    timeline.addEventListener("keydown", (event) => {
      if (event.target !== timeline || event.altKey || event.ctrlKey || event.metaKey) return;
      const video = playerOf(timeline);
      const plays = video && !video.error && video.readyState > 0;
      const now = plays ? video.currentTime : Number(timeline.dataset.now || begin);
      if (event.key in moves) seek(timeline, bounded(now + moves[event.key]), false);
      else if (event.key === "Home") seek(timeline, begin, false);
      else if (event.key === "End") seek(timeline, end, false);
      else if (event.key === " ") toggle(timeline);
      else return;
      event.preventDefault();
    });
    show(timeline, begin);
  });

  document.querySelectorAll("video").forEach((video) => {
    let ticking = false;
    const tick = () => {
      showAll(video, video.currentTime);
      if (video.paused || video.ended) ticking = false; else requestAnimationFrame(tick);
    };
    const start = () => { if (!ticking) { ticking = true; requestAnimationFrame(tick); } };
    ["play", "playing"].forEach((name) => video.addEventListener(name, start));
    ["seeked", "timeupdate"].forEach((name) => video.addEventListener(name, () => showAll(video, video.currentTime)));
    const fail = () => {
      readout(video, "[data-fallback]").forEach((text) => { text.hidden = false; });
      video.hidden = true;
    };
    video.addEventListener("error", fail, true);
    if (video.error) fail();
  });
  return { clock, goTo, seek };
})();
"""
