"""How much moves in a video, by the differences of frames that follow one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidlang.video.reader import open_video

SIDE = 64
"""Pixels of the shorter side that frames are compared at: noise of single pixels averages out."""
RATE = 8.0
"""Frames per second that are compared, so that the measure does not depend on the frame rate."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def motion_energy(path: Path, seconds: NDArray[np.float64], *, frame_rate: float | None = None) -> NDArray[np.float32]:
    """Mean absolute difference of brightness between frames an eighth of a second apart, for each interval.

    seconds: [T, 2] intervals    frame_rate: of a folder of images    returns: [T] grey levels, 0 to 255

    An interval in which no two frames are compared gets the value of the comparison nearest to its middle; a video of
    one frame does not move.

    Raises:
        BadVideo: it does not open, or no frame decodes.
    """
    times, energies = [], []
    before: NDArray[np.float32] | None = None
    taken = -np.inf

    def wanted(_index: int, start: float, _end: float) -> bool:
        nonlocal taken
        if start - taken < 1 / RATE - 1e-6:
            return False
        taken = start
        return True

    with open_video(path, short_side=SIDE, frame_rate=frame_rate) as reader:
        for batch in reader.read_where(wanted):
            for frame, (start, _) in zip(batch.frames, batch.seconds, strict=True):
                luma = frame.astype(np.float32) @ LUMA
                if before is not None:
                    energies.append(float(np.abs(luma - before).mean()))
                    times.append(float(start))
                before = luma
    if not energies:
        return np.zeros(len(seconds), dtype=np.float32)
    at, energy = np.array(times), np.array(energies)
    first, last = np.searchsorted(at, seconds[:, 0]), np.searchsorted(at, seconds[:, 1])
    sums = np.concatenate([[0.0], energy.cumsum()])
    counts = np.maximum(last - first, 1)
    nearest = np.abs(at[None] - seconds.mean(axis=1)[:, None]).argmin(axis=1)
    return np.where(last > first, (sums[last] - sums[first]) / counts, energy[nearest]).astype(np.float32)
