"""Learns when actions happen from labels of whole videos: python examples/train_wtal.py [FOLDER]"""

import sys
import tempfile
from pathlib import Path

from vidlang import extract, localize, train_wtal
from vidlang.demo.scenes import render_collection

QUICK = {"warmup_steps": 20, "warmup_min_steps": 20, "rounds": 1, "phase_passes": 1, "phase_min_steps": 4}


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    workspace = folder / ".vidlang"
    found = extract(videos or folder / "videos", encoder="mini", fps=4.0, workspace=workspace)
    report = train_wtal(encoder="mini", fps=4.0, name="actions", workspace=workspace, **QUICK)  # leave QUICK out
    print(*report.summary, sep="\n")
    result = localize(found.ids[0], cached=True, checkpoint="actions", plot=False, workspace=workspace)
    print(f"{found.ids[0]}: {len(result.detections)} segments of {', '.join(result.class_names)}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
