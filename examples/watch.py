"""Watches a video as if a camera sent it, and tells of events as they end: python examples/watch.py [SOURCE]"""

import sys
import tempfile
from pathlib import Path

from vidlang import watch
from vidlang.demo.scenes import render_collection


def main(folder: Path, sources: list[str]) -> None:
    if not sources:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    source = sources[0] if sources else folder / "videos" / "fire" / "fire_000.mp4"
    watching = watch(
        source,  # rtsp://…, the number of a camera, a folder that a recorder writes to
        labels=["fire", "people fighting"],
        threshold=0.3,
        delay=1.0,
        encoder="mini",
        workspace=folder / ".vidlang",
    )
    for event in watching.events():
        print(f"{event['start']:.1f}-{event['end']:.1f} s  {event['label']}  {event['score']:.2f}")
    print(watching.report.line())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
