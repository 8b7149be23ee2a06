"""Puts features of videos into a cache and shows what a row is: python examples/extract.py [VIDEO...]"""

import sys
import tempfile
from pathlib import Path

from vidlang import extract
from vidlang.demo.scenes import render_collection


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    found = extract(videos or folder / "videos", encoder="mini", workspace=folder / ".vidlang")
    print(f"{len(found)} videos, recipe {found.recipe.name} ({found.recipe.fingerprint})")
    for features in found:  # read one after the other
        start, end = features.seconds[0]
        rows = f"{features.num_snippets} rows of {features.dim} numbers"
        print(f"{features.video.id}: {rows}, the first of {start:.2f}-{end:.2f} s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
