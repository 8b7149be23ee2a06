"""Shows scores to people: a page for a browser, a video with them drawn in: python examples/report.py [VIDEO]"""

import sys
import tempfile
from pathlib import Path

from vidlang import score
from vidlang.demo.scenes import render_collection


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    found = score(
        videos[:1] or folder / "videos" / "fire" / "fire_000.mp4",
        labels=["fire", "people fighting"],
        encoder="mini",
        plot_to=folder / "timeline.png",
        report=folder / "report.html",
        embed=True,  # the video lies in the page, which can be sent as it is
        overlay=folder / "overlay.mp4",
        workspace=folder / ".vidlang",
    )
    print(f"{found[0].video.id}: {len(found.events)} events")
    for name in ("timeline.png", "report.html", "overlay.mp4"):
        print(f"{name}: {(folder / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
