"""A gallery of edited copies whose every second is known, for checking retrieval of near-duplicates.

Takes one clip of 22 s (``near_dup/chair-orig-22-sd-bar.mp4``) and writes what people make of clips: 3 s cut out of the
middle, black bars, a logo, half speed, and the clip hidden inside a video of two minutes. ``truth.json`` beside them
says which seconds of each copy show which seconds of the clip.

    python benchmarks/near_duplicates.py --data ../shared/data --out /tmp/edits
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from vidlang.video.edits import BlackBars, CutOut, Edit, EditedCopy, HideIn, Logo, Speed, apply, join
from vidlang.video.reader import probe

SOURCE = Path("near_dup/chair-orig-22-sd-bar.mp4")
HOSTS = (Path("clips/pedestrians_vtest.mp4"), Path("clips/car-detection.mp4"))
HIDDEN_SECONDS = 120.0
HIDDEN_AT = 45.0
HOST_RATE = 12.5


def make_gallery(data: Path, out: Path) -> list[EditedCopy]:
    """Writes the copies and ``truth.json`` into ``out``; copies that are there are written again.

    data: the folder that holds ``near_dup`` and ``clips``.
    """
    out.mkdir(parents=True, exist_ok=True)
    source = data / SOURCE
    facts = probe(source)
    host = out / "host" / "host.mp4"  # a folder deeper: it is not one of the copies
    host_seconds = HIDDEN_SECONDS - facts.duration
    join([data / path for path in HOSTS], host, host_seconds, facts.size, HOST_RATE)
    middle = facts.duration / 2
    plans: dict[str, tuple[Edit, ...]] = {
        "cut": (CutOut(round(middle - 1.5, 2), round(middle + 1.5, 2)),),
        "bars": (BlackBars(0.25, "letterbox"),),
        "logo": (Logo("top-right", 0.3, seed=1),),
        "half-speed": (Speed(0.5),),
        "hidden": (HideIn(host, HIDDEN_AT),),
    }
    copies = [apply(source, edits, out / f"chair-{name}.mp4") for name, edits in plans.items()]
    write_truth(out / "truth.json", source, copies)
    return copies


def write_truth(path: Path, source: Path, copies: Sequence[EditedCopy]) -> None:
    """``{"source": …, "host": …, "copies": {file: {"edits": …, "mapping": [[copy seconds, source seconds], …]}}}``."""
    truth = {
        "source": source.name,
        "host": [host.name for host in HOSTS],
        "copies": {copy.path.name: copy.to_dict() for copy in copies},
    }
    path.write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")


def print_row(cells: Sequence[object], widths: Sequence[int]) -> None:
    print("  ".join(f"{cell!s:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)


def print_gallery(copies: Sequence[EditedCopy]) -> None:
    """One row per piece of a copy that shows the clip."""
    widths = (20, 32, 8, 15, 15)
    print_row(("copy", "edits", "lasts s", "seconds of it", "show seconds"), widths)
    for copy in copies:
        head: tuple[str, ...] = copy.path.name, ", ".join(edit.name for edit in copy.edits), f"{copy.duration:.2f}"
        for here, there in copy.mapping:
            spans = (f"{segment.start:.2f}-{segment.end:.2f}" for segment in (here, there))
            print_row((*head, *spans), widths)
            head = "", "", ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds near_dup and clips")
    parser.add_argument("--out", type=Path, required=True, help="folder for the copies and truth.json")
    arguments = parser.parse_args()
    wall, processor = time.perf_counter(), time.process_time()
    copies = make_gallery(arguments.data, arguments.out)
    print_gallery(copies)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{len(copies)} copies and truth.json in {arguments.out}; {wall:.1f} s ({processor:.1f} s of processor time)")


if __name__ == "__main__":
    main()
