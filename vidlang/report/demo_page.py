"""One self-contained HTML page of commands, tables and pictures; and a sheet of stills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidlang.report.drawing import WIDTH, as_png, picture_style, shorten
from vidlang.report.web import PageTable, render_page

GAP = 0.08
"""Inches between stills."""
HEADING, NAMES = 0.3, 1.1
"""Inches above a sheet and left of it, for words."""


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
    total = sum(section.cpu_seconds for section in sections)
    return render_page(TEMPLATE, title="vidlang demo", notes=notes, sections=sections, total=total)


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


TEMPLATE = """\
{% block style %}
nav a { display: inline-block; margin-right: .9rem; padding: .15rem 0; }
.notes { padding-left: 2rem; }
.lines { margin: .6rem 0; font: .8rem/1.45 ui-monospace, monospace; white-space: pre-wrap; }
figure img { background: #fff; }
{% endblock %}
{% block lead %}
<ul class="note notes">
{% for note in notes %}
<li>{{ note }}</li>
{% endfor %}
</ul>
<nav aria-label="Steps">
{% for section in sections %}
<a href="#step-{{ loop.index }}">{{ section.title }}</a>
{% endfor %}
</nav>
<p class="muted">Commands work as written inside the folder of this page.
{{ "%.0f"|format(total) }} seconds of processor time for all steps;
what an interrupted step did before is not counted.</p>
{% endblock %}
{% block body %}
{% for section in sections %}
<section id="step-{{ loop.index }}" aria-labelledby="title-{{ loop.index }}">
<h2 id="title-{{ loop.index }}">{{ section.title }}</h2>
{% if section.commands %}
<pre tabindex="0" role="region" aria-label="Commands">{% for command in section.commands %}$ {{ command }}
{% endfor %}</pre>
{% endif %}
{% if section.lines %}
<div class="lines">{{ section.lines|join("\n") }}</div>
{% endif %}
{% for table in section.tables %}
{{ parts.table(table.columns, table.rows, table.title) }}
{% endfor %}
{% for data, says in section.pictures %}
<figure>
<img src="{{ data|data_uri("image/png") }}" alt="{{ says }}">
<figcaption>{{ says }}</figcaption>
</figure>
{% endfor %}
<p class="muted">{{ "%.1f"|format(section.cpu_seconds) }} seconds of processor time</p>
</section>
{% endfor %}
{% endblock %}
"""
