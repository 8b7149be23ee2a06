"""Renders three films, edits one, and finds where the copy comes from: python examples/find_copies.py [FOLDER]"""

import sys
import tempfile
from pathlib import Path

from vidlang import extract, retrieve
from vidlang.demo.scenes import plan_video, render
from vidlang.video.edits import BlackBars, Clip, Grey, Logo, apply
from vidlang.video.writer import write_video

RATE = 12.5
ROWS = {"encoder": "mini", "fps": 2.0, "borders": "crop", "colour": "grey"}


def main(folder: Path) -> None:
    films, workspace = folder / "films", folder / ".vidlang"
    films.mkdir(parents=True, exist_ok=True)
    for seed, light in enumerate(("day", "dusk", "night")):  # four places, three seconds each
        places = [
            plan_video("normal", seed=4 * seed + n, seconds=3.0, frame_rate=RATE, lights=(light,)) for n in range(4)
        ]
        write_video(films / f"{light}.mp4", (frame for plan in places for frame in render(plan)), RATE)
    edits = [Clip(4.0, 10.0), Grey(), Logo(), BlackBars(0.25)]
    copy = apply(films / "dusk.mp4", edits, folder / "copy.mp4")

    extract(films, workspace=workspace, **ROWS)
    best = retrieve(copy.path, plot=True, workspace=workspace, **ROWS)[0].hits[0]
    spans = ", ".join(f"{a.start:.1f}-{a.end:.1f} s = {b.start:.1f}-{b.end:.1f} s" for a, b in best.segments)
    print(f"copy.mp4 is in {best.video_id} (similarity {best.similarity:.2f}): {spans}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
