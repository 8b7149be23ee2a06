"""The truth about a video."""

from __future__ import annotations

from dataclasses import dataclass

from vidlang.core.segments import Segment


@dataclass(frozen=True)
class LabelledSegment:
    """A true event on one of the two rulers: seconds, or frame indices where the annotators counted frames."""

    label: str
    segment: Segment | None = None
    """Seconds, half-open."""
    span: tuple[int, int] | None = None
    """Frame indices from 0, half-open."""

    def __post_init__(self) -> None:
        if (self.segment is None) == (self.span is None):
            raise ValueError(f"a true segment of {self.label!r} has seconds or frames, exactly one of them")
        if self.span is not None and not 0 <= self.span[0] <= self.span[1]:
            raise ValueError(f"a frame span is ordered and not negative, got {self.span}")


@dataclass(frozen=True)
class Label:
    """A video's classes and true segments."""

    video_id: str
    classes: tuple[str, ...]
    """Names; one for a single-label set, several where a video shows several things."""
    segments: tuple[LabelledSegment, ...] = ()
    """Known true events; empty for a normal video and where times are not annotated."""
    split: str | None = None
    """``train``, ``val``, ``test`` or None."""
    timed: bool = False
    """True where times are annotated, so that no segments means that nothing happens."""
    num_frames: int | None = None
    """Length in frames where the list states it."""
