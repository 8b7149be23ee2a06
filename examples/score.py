"""Scores videos without training, by what words say: python examples/score.py [VIDEO...]"""

import sys
import tempfile
from pathlib import Path

from vidlang import score
from vidlang.demo.scenes import render_collection


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    found = score(
        videos or folder / "videos",
        labels=["fire", "people fighting", "a car crash"],
        threshold=0.4,
        encoder="mini",
        plot=False,
        workspace=folder / ".vidlang",
    )
    for scores in found:
        highest = int(scores.anomaly.argmax())
        start, end = scores.seconds[highest]
        print(f"{scores.video.id}: highest score {scores.anomaly[highest]:.2f} at {start:.1f}-{end:.1f} s")
    print(f"{len(found.events)} events from {found.threshold:.2f}; files in {found.folder.name}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
