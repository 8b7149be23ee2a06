"""A measurement as one HTML page: tables, pictures, the worst videos, and what the results were made with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidlang.report.evaluation_plots import Panel, describe, panel_picture
from vidlang.report.web import PageTable, render_page


@dataclass(frozen=True)
class Moment:
    """Seconds of a video, shown as m:ss.s."""

    seconds: float


@dataclass(frozen=True)
class WorstTable:
    """Videos that were judged worst, the worst first. The first column is the video's id and leads to its section."""

    title: str
    says: str
    """What stands here, in one sentence."""
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    """Text, numbers, `Moment` or None."""


@dataclass(frozen=True, eq=False)
class VideoSection:
    """One video that a table of worst ones names."""

    video_id: str
    facts: tuple[tuple[str, object], ...] = ()
    picture: bytes | None = None
    """A PNG file, where there is one."""
    picture_says: str = ""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that is shown of one measurement."""

    title: str
    facts: tuple[tuple[str, object], ...]
    """Results, truth, checkpoint, recipe: whatever decides the numbers."""
    tables: tuple[PageTable, ...]
    panels: tuple[Panel, ...]
    worst: tuple[WorstTable, ...] = ()
    videos: tuple[VideoSection, ...] = ()
    """Those that ``worst`` names, once each."""
    notes: tuple[str, ...] = ()


def evaluation_page(evaluation: Evaluation) -> str:
    """The page, in UTF-8. Names and values are text, never markup."""
    return render_page(
        TEMPLATE,
        title=evaluation.title,
        evaluation=evaluation,
        pictures=[(panel.title, describe(panel), panel_picture(panel)) for panel in evaluation.panels],
        anchors={video.video_id: f"video-{place}" for place, video in enumerate(evaluation.videos, start=1)},
        is_moment=_is_moment,
    )


def named_videos(worst: Sequence[WorstTable]) -> list[str]:
    """The videos of the tables, once each, in their order."""
    return list(dict.fromkeys(str(row[0]) for table in worst for row in table.rows))


def _is_moment(value: object) -> bool:
    return isinstance(value, Moment)


TEMPLATE = """\
{% block style %}
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: 1rem; }
.pictures figure { margin: 0; }
.pictures img, .timeline { background: #fff; }
{% endblock %}
{% block body %}
{% for note in evaluation.notes %}
<p class="note">{{ note }}</p>
{% endfor %}
<section aria-labelledby="numbers">
<h2 id="numbers">Numbers</h2>
{% for table in evaluation.tables %}
{{ parts.table(table.columns, table.rows, table.title) }}
{% endfor %}
</section>
{% if pictures %}
<section aria-labelledby="pictures">
<h2 id="pictures">Pictures</h2>
<div class="pictures">
{% for title, says, data in pictures %}
<figure>
<img src="{{ data|data_uri("image/png") }}" alt="{{ says }}">
<figcaption>{{ title }}</figcaption>
</figure>
{% endfor %}
</div>
</section>
{% endif %}
{% for table in evaluation.worst %}
<section aria-labelledby="worst-{{ loop.index }}">
<h2 id="worst-{{ loop.index }}">{{ table.title }}</h2>
<p class="muted">{{ table.says }}</p>
{% if table.rows %}
<div class="wide" tabindex="0" role="region" aria-label="{{ table.title }}">
<table>
<thead><tr>
{% for column in table.columns %}
<th scope="col"{% if table.rows[0][loop.index0]|is_number %} class="number"{% endif %}>{{ column }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>
<td><a href="#{{ anchors[row[0]] }}">{{ row[0] }}</a></td>
{% for value in row[1:] %}
<td{% if value|is_number %} class="number"{% endif %}>
{% if is_moment(value) %}{{ parts.at(value.seconds) }}{% else %}{{ value|cell }}{% endif %}
</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p>There are none.</p>
{% endif %}
</section>
{% endfor %}
{% if evaluation.videos %}
<section aria-labelledby="videos">
<h2 id="videos">These videos</h2>
{% for video in evaluation.videos %}
<article id="{{ anchors[video.video_id] }}" tabindex="-1">
<h3>{{ video.video_id }}</h3>
{{ parts.facts(video.facts) }}
{% if video.picture is not none %}
<img class="timeline" src="{{ video.picture|data_uri("image/png") }}" alt="{{ video.picture_says }}" loading="lazy">
{% endif %}
</article>
{% endfor %}
</section>
{% endif %}
<section aria-labelledby="made">
<h2 id="made">Made with</h2>
{{ parts.facts(evaluation.facts) }}
</section>
{% endblock %}
"""
