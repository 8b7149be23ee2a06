"""One self-contained HTML page of commands, tables and pictures; and a sheet of stills."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidlang.report.timeline import WIDTH, as_png, picture_style, shorten

GAP = 0.08
"""Inches between stills."""
HEADING, NAMES = 0.3, 1.1
"""Inches above a sheet and left of it, for words."""


@dataclass(frozen=True)
class PageTable:
    """Numbers side by side; None where there is none."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Section:
    """One step."""

    title: str
    commands: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    tables: tuple[PageTable, ...] = ()
    pictures: tuple[tuple[bytes, str], ...] = ()
    """A PNG file, and what it shows in words."""
    cpu_seconds: float = 0.0


def demo_page(notes: Sequence[str], sections: Sequence[Section]) -> str:
    """The page, in UTF-8. Names and values are text, never markup."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cell": _cell, "is_number": _is_number, "base64": _base64}
    return environment.from_string(TEMPLATE).render(
        notes=notes, sections=sections, total=sum(section.cpu_seconds for section in sections)
    )


def stills_png(
    rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], columns: Sequence[str], *, title: str = ""
) -> bytes:
    """Frames as a sheet: a name and a frame per column in each row.

    rows: (name, frames [H, W, 3]), as many frames as there are columns

    Raises:
        ValueError: no row, or one with another number of frames.
    """
    if not rows or any(len(frames) != len(columns) for _, frames in rows):
        raise ValueError(f"expected rows of {len(columns)} frames, got {[len(frames) for _, frames in rows]}")
    height, width = rows[0][1][0].shape[:2]
    cell = (WIDTH - NAMES - GAP * len(columns)) / len(columns)
    high = cell * height / width
    above = HEADING * (2 if title else 1)
    total = above + len(rows) * (high + GAP)
    with picture_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, total))
        if title:
            figure.text(GAP / WIDTH, 1 - 0.16 / total, shorten(title, 100), va="center", fontsize=10.5, weight="bold")
        for number, (name, frames) in enumerate(rows):
            bottom = 1 - (above + (number + 1) * (high + GAP) - GAP) / total
            figure.text(GAP / WIDTH, bottom + high / total / 2, shorten(name, 18), va="center", fontsize=8.5)
            for column, frame in enumerate(frames):
                left = (NAMES + column * (cell + GAP)) / WIDTH
                axis = figure.add_axes((left, bottom, cell / WIDTH, high / total))
                axis.imshow(frame, aspect="auto", interpolation="nearest")
                axis.set_axis_off()
                if number == 0:
                    figure.text(left, 1 - (above - 0.08) / total, columns[column], va="bottom", fontsize=8.5)
        return as_png(figure)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>vidlang demo</title>
<style>
:root { color-scheme: light dark; --ground: #fdfdfc; --ink: #1d1f21; --faint: #5f6368; --line: #d9dbde;
  --code: #f1f3f4; --accent: #0b57a4; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #16181a; --ink: #e4e6e8; --faint: #a0a6ac; --line: #3a3f44; --code: #22262a; --accent: #8ab8f0; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: .5rem 0; font-size: 1.7rem; }
h2 { margin: 0 0 .5rem; font-size: 1.25rem; }
section { margin-top: 2rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
.notes { padding: .75rem 1rem .75rem 2rem; border: 1px solid var(--line); border-radius: .5rem; }
nav a { color: var(--accent); margin-right: .9rem; display: inline-block; padding: .15rem 0; }
pre { margin: .5rem 0; padding: .6rem .8rem; background: var(--code); border-radius: .4rem; overflow-x: auto;
  font-size: .85rem; }
p { margin: .3rem 0; overflow-wrap: anywhere; }
.lines { margin: .6rem 0; font: .8rem/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.faint { color: var(--faint); font-size: .85rem; }
.wide { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left; }
th.number, td.number { text-align: right; }
figure { margin: 1rem 0; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
figcaption { color: var(--faint); font-size: .85rem; margin-top: .3rem; }
</style>
</head>
<body>
<header>
<h1>vidlang demo</h1>
<ul class="notes">
{% for note in notes %}
<li>{{ note }}</li>
{% endfor %}
</ul>
<nav aria-label="Steps">
{% for section in sections %}
<a href="#step-{{ loop.index }}">{{ section.title }}</a>
{% endfor %}
</nav>
<p class="faint">Commands work as written inside the folder of this page.
{{ "%.0f"|format(total) }} seconds of processor time for all steps;
what an interrupted step did before is not counted.</p>
</header>
<main>
{% for section in sections %}
<section id="step-{{ loop.index }}">
<h2>{{ section.title }}</h2>
{% if section.commands %}
<pre>{% for command in section.commands %}$ {{ command }}
{% endfor %}</pre>
{% endif %}
{% if section.lines %}
<div class="lines">{{ section.lines|join("\n") }}</div>
{% endif %}
{% for table in section.tables %}
<div class="wide" tabindex="0" role="region" aria-label="{{ table.title }}">
<table>
<caption>{{ table.title }}</caption>
<thead><tr>
{% for column in table.columns %}
<th scope="col"{% if not loop.first %} class="number"{% endif %}>{{ column }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>
{% for value in row %}
<td{% if value|is_number %} class="number"{% endif %}>{{ value|cell }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% endfor %}
{% for data, says in section.pictures %}
<figure>
<img src="data:image/png;base64,{{ data|base64 }}" alt="{{ says }}">
<figcaption>{{ says }}</figcaption>
</figure>
{% endfor %}
<p class="faint">{{ "%.1f"|format(section.cpu_seconds) }} seconds of processor time</p>
</section>
{% endfor %}
</main>
</body>
</html>
"""
