"""Finds the nearest videos of a cache to a video and to words: python examples/retrieve.py [VIDEO...]"""

import sys
import tempfile
from pathlib import Path

from vidlang import extract, retrieve
from vidlang.demo.scenes import render_collection


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    workspace = folder / ".vidlang"
    found = extract(videos or folder / "videos", encoder="mini", workspace=workspace)
    by_video = retrieve(found.ids[0], cached=True, encoder="mini", checkpoint="plain", top=3, workspace=workspace)
    by_words = retrieve(text="a burning fire", encoder="mini", checkpoint="plain", top=3, workspace=workspace)
    for ranking in (*by_video, *by_words):
        print(f"nearest to {ranking.query}:")
        for hit in ranking.hits:
            spans = ", ".join(f"{theirs.start:.1f}-{theirs.end:.1f} s" for _, theirs in hit.segments)
            print(f"  {hit.similarity:.3f}  {hit.video_id}  {spans}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
