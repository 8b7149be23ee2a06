"""Trains TCA on edited copies of videos, for finding copies: python examples/train_tca.py [VIDEO...]"""

import sys
import tempfile
from pathlib import Path

from vidlang import train_tca
from vidlang.demo.scenes import render_collection


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    report = train_tca(
        videos or folder / "videos", encoder="mini", copies=2, epochs=2, name="copies", workspace=folder / ".vidlang"
    )
    print(*report.summary, sep="\n")
    for name, before, after in report.rows():
        print(f"{name}: {before:.3f} before, {after:.3f} after")
    print(f"registered as {Path(report.checkpoint).name}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
