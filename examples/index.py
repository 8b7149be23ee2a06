"""Brings the retrieval index up to the cache and lists near-duplicates: python examples/index.py [VIDEO...]"""

import sys
import tempfile
from pathlib import Path

from vidlang import extract, find_duplicates, index
from vidlang.demo.scenes import render_collection


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    workspace = folder / ".vidlang"
    extract(videos or folder / "videos", encoder="mini", workspace=workspace)
    report = index(encoder="mini", checkpoint="plain", workspace=workspace)
    print(*report.lines(), sep="\n")
    found = find_duplicates(encoder="mini", checkpoint="plain", workspace=workspace)
    print(f"{len(found.groups)} groups of near-duplicates among {found.num_videos} videos")
    for group in found.groups:
        print("  " + ", ".join(group))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
