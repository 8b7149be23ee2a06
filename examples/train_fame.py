"""Trains a small video network that knows motion, without labels: python examples/train_fame.py [VIDEO...]"""

import sys
import tempfile
from pathlib import Path

from vidlang import train_fame
from vidlang.demo.scenes import render_collection

QUICK = {"epochs": 1, "min_batches": 2, "num_frames": 4, "batch_size": 4}


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    report = train_fame(videos or folder / "videos", name="motion", workspace=folder / ".vidlang", **QUICK)
    print(*report.summary, sep="\n")  # leave QUICK out for a network that has learned something
    for row in report.table:
        print(dict(zip(report.columns, row, strict=True)))
    print(f"registered as {Path(report.checkpoint).name}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
