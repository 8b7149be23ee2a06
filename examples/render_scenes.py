"""Renders a small labelled collection of camera videos: python examples/render_scenes.py [FOLDER]"""

import sys
import tempfile
from pathlib import Path

from vidlang.demo.scenes import render_collection


def main(folder: Path) -> None:
    labels = render_collection(folder, videos_per_class=1, normal_videos=2, seconds=4, size=(72, 96))
    for label in labels:
        times = ", ".join(f"{s.segment.start:.2f} to {s.segment.end:.2f} s" for s in label.segments if s.segment)
        print(f"{label.video_id}: {times or 'nothing happens'}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
