"""What the packets tell of every frame's time, without decoding: the map for jumps."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.video.container import StreamFacts, open_container, packets

EXACT_CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm"})
"""Containers that state the presentation time of every packet and index their key frames. AVI has no presentation
times; MPEG-PS and TS state some and seek by guessing bytes: those are read from the start."""

ONE_FRAME_PER_PACKET = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "prores", "ffv1"})
"""Codecs whose every packet shows one frame in these containers. VP8 has packets that show nothing."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """Frames in order of presentation, as the packets promise them."""

    stamps: NDArray[np.int64]
    """[N] presentation stamps, strictly rising, in units of ``time_base``."""
    is_key: NDArray[np.bool_]
    """[N] whether decoding can start at this frame."""
    last_duration: int
    """Stamp units that the last frame lasts; 0 where unknown."""
    num_discarded: int
    """Packets that an edit list cuts away; they have no frame here."""
    time_base: Fraction

    def __len__(self) -> int:
        return len(self.stamps)

    def start(self, index: int) -> float:
        """Seconds after the first frame."""
        ticks = int(self.stamps[index] - self.stamps[0])
        return ticks * self.time_base.numerator / self.time_base.denominator

    def frame_at(self, seconds: float) -> int:
        """The frame shown at a time; the first one before it begins, the last one after it ended."""
        # 1e-9 s: a start that went through floating point still finds its own frame.
        ticks = (seconds + 1e-9) * self.time_base.denominator / self.time_base.numerator
        index = int(np.searchsorted(self.stamps - self.stamps[0], ticks, side="right")) - 1
        return min(max(index, 0), len(self) - 1)

    def key_before(self, index: int) -> int:
        """The last key frame at or before a frame; frame 0 is always one."""
        return int(np.flatnonzero(self.is_key[: index + 1])[-1])


def scan(path: Path, facts: StreamFacts) -> Timeline | None:
    """Reads all packets, or None where they do not promise exactly one frame each with a time of its own."""
    if not EXACT_CONTAINERS & set(facts.container.split(",")) or facts.codec not in ONE_FRAME_PER_PACKET:
        return None
    broken: list[str] = []
    table = array("q")
    num_discarded = 0
    with open_container(path) as container:
        for packet in packets(container, container.streams[facts.stream_index], broken):
            if packet is None or packet.size == 0:
                continue
            if packet.is_discard:
                num_discarded += 1
                continue
            if packet.pts is None or packet.is_corrupt:
                return None
            table.extend((packet.pts, packet.is_keyframe, packet.duration or 0))
    if broken:
        return None
    return _timeline(np.array(table, dtype=np.int64).reshape(-1, 3), num_discarded, facts.time_base)


def _timeline(table: NDArray[np.int64], num_discarded: int, time_base: Fraction) -> Timeline | None:
    """table: [N, 3] presentation stamp, key, duration, in the order of the file."""
    if not len(table):
        return None
    table = table[np.argsort(table[:, 0], kind="stable")]
    stamps, is_key, durations = table.T
    # A cut by edit list starts anywhere: its key frame is among the packets that are decoded but not shown.
    if (np.diff(stamps) <= 0).any() or not (is_key[0] or num_discarded):
        return None
    is_key[0] = True
    return Timeline(stamps, is_key.astype(np.bool_), int(durations[-1]), num_discarded, time_base)
