"""Says how much moves in videos, and when: python examples/diff.py [VIDEO...]"""

import sys
import tempfile
from pathlib import Path

from vidlang import diff
from vidlang.demo.scenes import render_collection
from vidlang.report.sparkline import sparkline


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    report = diff(
        videos or folder / "videos", stride=4, out=folder / "motion", write="json,png", workspace=folder / ".vidlang"
    )
    for known in report.videos:
        energy = known.curve.energy
        print(f"{known.curve.video.id}  {sparkline(energy / energy.max(), 20)}  up to {energy.max():.1f} grey levels")
    print(f"pictures and curves in {report.out.name}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
