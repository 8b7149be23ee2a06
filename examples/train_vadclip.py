"""Trains VadCLIP on folders of classes and scores a video: python examples/train_vadclip.py [FOLDER]"""

import sys
import tempfile
from pathlib import Path

from vidlang import extract, score, train_vadclip
from vidlang.demo.scenes import render_collection


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    workspace = folder / ".vidlang"
    found = extract(videos or folder / "videos", encoder="mini", workspace=workspace)
    report = train_vadclip(encoder="mini", epochs=1, name="first", workspace=workspace)  # 1: quick, not good
    print(*report.summary, sep="\n")
    print(f"{report.measured_on}: " + ", ".join(f"{name} {value:.2f}" for name, value in report.metrics[0].items()))
    result = score(found.ids[0], cached=True, plot=False, workspace=workspace)  # takes the newest checkpoint
    print(f"{result.ids[0]}: {len(result.events)} events by {result[0].made_by['checkpoint']}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
