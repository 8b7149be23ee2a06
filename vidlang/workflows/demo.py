"""Four roads on a small rendered collection, offline: anomalies, retrieval, actions in time, motion.

Every step calls the workflows that the commands call, and sets its numbers beside the truth, chance and motion energy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vidlang.core import Progress
from vidlang.encoders.registry import find_encoder
from vidlang.report.demo_page import Section, demo_page
from vidlang.report.web import PageTable
from vidlang.store.atomic import write_text
from vidlang.workflows.demo_actions import locate, train_actions
from vidlang.workflows.demo_anomaly import score_film, score_tests, train_anomaly
from vidlang.workflows.demo_folder import Demo, DemoOptions, Step, look_at_demo, open_demo
from vidlang.workflows.demo_motion import energy, masks, merged
from vidlang.workflows.demo_retrieval import ask_by_text, ask_by_video, train_retrieval
from vidlang.workflows.demo_world import extract_all, render_all
from vidlang.workflows.plan import Plan, PlannedItem

PAGE = "index.html"
STEPS: Mapping[str, Callable[[Demo], Step]] = {
    "render": render_all,
    "extract": extract_all,
    "train-vadclip": train_anomaly,
    "score": score_tests,
    "score-film": score_film,
    "train-tca": train_retrieval,
    "retrieve-video": ask_by_video,
    "retrieve-text": ask_by_text,
    "train-wtal": train_actions,
    "localize": locate,
    "diff": energy,
    "fame-mask": masks,
    "fame-merge": merged,
}
"""In this order: what is cached late is not in the gallery."""


def honest_words() -> tuple[str, ...]:
    """What must be said of every number of the demo."""
    mini = find_encoder("mini")
    return (
        "The videos are drawn by a small program. The numbers show that everything works, not how good it is on yours.",
        f"The encoder is mini: {mini.note if mini else ''}. For results on real videos take clip-vit-b16.",
        "Motion energy and chance stand beside each method, also where it does not beat them.",
    )


def run_demo(out: Path, options: DemoOptions | None = None, progress: Progress | None = None) -> Iterator[Step]:
    """Each step as it is done, or at once where an earlier run finished it; the page grows with them.

    Raises:
        BadInput: ``out`` holds something else, or a demo that was asked for in another way.
    """
    demo = open_demo(out, options or DemoOptions(), progress or Progress())
    shown: list[Step] = []
    for name, make in STEPS.items():
        step = demo.finished(name)
        if step is None:
            started = _cpu_seconds()
            step = make(demo)
            step = replace(step, cpu_seconds=round(_cpu_seconds() - started, 2))
            demo.keep(name, step)
        shown.append(step)
        if not step.earlier or len(shown) == len(STEPS):
            write_text(out / PAGE, demo_page(honest_words(), [_section(out, step) for step in shown]))
        yield step


def _cpu_seconds() -> float:
    """Of all threads, and of the processes that have ended."""
    return sum(os.times()[:4])


def plan_demo(out: Path, options: DemoOptions | None = None) -> Plan:
    """Which steps would run, and which an earlier run has finished.

    Raises:
        BadInput: as ``run_demo``.
    """
    demo = look_at_demo(out, options or DemoOptions(), Progress())
    done = {name: demo.finished(name) is not None for name in STEPS}
    items = tuple(PlannedItem(name, "skip" if done[name] else "run", "finished" * done[name]) for name in STEPS)
    left = sum(not finished for finished in done.values())
    extent = demo.extent
    return Plan(
        "demo",
        f"{left} of {len(STEPS)} steps would run in {out}, on {extent.videos} videos of each kind of event, "
        f"{extent.seconds:g} s each, and a film of {extent.camera:g} s.",
        items,
        {"folder": str(out), "steps": left, "videos_per_class": extent.videos, "camera_seconds": extent.camera},
    )


def demo_dict(out: Path, steps: Sequence[Step]) -> dict[str, Any]:
    """What the steps showed, for programs."""
    return {
        "schema": "vidlang.demo_report/1",
        "page": str(out / PAGE),
        "notes": list(honest_words()),
        "steps": [asdict(step) for step in steps],
    }


def _section(out: Path, step: Step) -> Section:
    return Section(
        title=step.title,
        commands=step.commands,
        lines=step.lines,
        tables=tuple(PageTable(table.title, table.columns, table.rows) for table in step.tables),
        pictures=tuple(((out / picture.file).read_bytes(), picture.says) for picture in step.pictures),
        cpu_seconds=step.cpu_seconds,
    )
