"""Scores labelled videos and measures the scores: python examples/evaluate.py [FOLDER]"""

import sys
import tempfile
from pathlib import Path

from vidlang import evaluate, score
from vidlang.demo.scenes import render_collection


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    workspace = folder / ".vidlang"
    words = ["fire", "fighting", "car crash", "falling"]
    found = score(videos or folder / "videos", labels=words, encoder="mini", plot=False, workspace=workspace)
    report = evaluate("anomaly", found.folder, workspace=workspace)  # the classes are the folders
    print(f"{report.num_videos} videos")
    for branch, metrics in report.metrics.items():
        print(f"{branch}: " + ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
