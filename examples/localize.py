"""Says when which action happens, by what words say: python examples/localize.py [VIDEO...]"""

import sys
import tempfile
from pathlib import Path

from vidlang import localize
from vidlang.demo.scenes import render_collection


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    found = localize(
        videos or folder / "videos" / "fire",
        labels=["a fire", "people fighting", "people walking"],
        encoder="mini",
        fps=4.0,
        plot=False,
        workspace=folder / ".vidlang",
    )
    for video in found:
        print(f"{video.video.id} ({video.video.duration:.1f} s)")
        for action in video.clearest(3):
            print(f"  {action.segment.start:.1f}-{action.segment.end:.1f} s  {action.label}  {action.score:.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
