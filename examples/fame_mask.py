"""Marks what moves, and puts it before another background: python examples/fame_mask.py [VIDEO BACKGROUND]"""

import sys
import tempfile
from pathlib import Path

from vidlang import fame_mask, fame_merge
from vidlang.demo.scenes import render_collection


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
        videos = [str(path) for path in sorted((folder / "videos" / "fire").glob("*.mp4"))]
    masks = fame_mask(videos[0], method="seed", beta=0.2, out=folder / "mask.mp4", workspace=folder / ".vidlang")
    [summary] = masks.videos
    print(f"{summary.video.id}: {len(summary.windows)} windows, {summary.area:.0%} of the pixels move")
    merged = fame_merge(videos[0], videos[1], out=folder / "merged.mp4", workspace=folder / ".vidlang")
    print(f"over {merged.background}: {merged.file.name}, {merged.file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
