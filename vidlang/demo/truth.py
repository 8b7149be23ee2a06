"""Which pixels of a rendered video an event takes: those that the same life without events shows otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vidlang.demo.scenes import Event, VideoPlan, render

LEAST = 12
"""Grey levels of a channel by which a pixel differs that belongs to an event; less is light and shadow around it."""


def event_frames(plan: VideoPlan, event: Event, step: int = 1) -> range:
    """Indices of the frames during which an event lasts, every ``step``-th."""
    first, last = (round(time * plan.frame_rate) for time in (event.segment.start, event.segment.end))
    return range(first, min(last, plan.num_frames), step)


def event_pixels(plan: VideoPlan, event: Event, step: int = 1) -> Iterator[NDArray[np.bool_]]:
    """[H, W] for each frame of ``event_frames``, True where the event is seen.

    People of the event come before and go after these frames.
    """
    frames = event_frames(plan, event, step)
    # all events go: they draw from one stream, and without one of them the later ones would be others
    whole, without = render(plan, frames), render(replace(plan, events=()), frames)
    for shown, quiet in zip(whole, without, strict=True):
        yield (np.abs(shown.astype(np.int16) - quiet) >= LEAST).any(axis=2)
