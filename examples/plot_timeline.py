"""Draws the scores of one video as a picture and as a line of text: python examples/plot_timeline.py [OUT.png]"""

import sys
from pathlib import Path

import numpy as np

from vidlang.core import Detection, Scores, Segment, VideoInfo
from vidlang.report.sparkline import sparkline
from vidlang.report.timeline import timeline_png


def main(out: Path | None) -> None:
    rows = np.arange(100)
    anomaly = (0.1 + 0.8 * np.exp(-(((rows - 60) / 4) ** 2))).astype(np.float32)
    scores = Scores(
        VideoInfo("camera.mp4", 1600, 64.0, 25.0, (144, 192)),
        np.stack([16 * rows, 16 * rows + 16], axis=1),
        np.stack([0.64 * rows, 0.64 * (rows + 1)], axis=1),
        anomaly,
        np.stack([1 - anomaly, anomaly], axis=1),
        ("normal", "fighting"),
    )
    event = Detection("camera.mp4", Segment(36.5, 41.0), "fighting", float(anomaly.max()))
    picture = timeline_png(scores, events=[event], truth=[Segment(36.0, 40.0)], threshold=0.5)
    if out is not None:
        out.write_bytes(picture)
    print(f"{sparkline(anomaly, 50)}  {len(picture) // 1000} kB picture")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
