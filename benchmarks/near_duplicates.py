"""Retrieval of near-duplicates among edited copies whose every second is known, with the bundled encoder, untrained.

Takes one clip of 22 s (``near_dup/chair-orig-22-sd-bar.mp4``) and writes what people make of clips: 3 s cut out of the
middle, black bars, a logo, half speed, and the clip hidden inside a video of two minutes. ``truth.json`` beside them
says which seconds of each copy show which seconds of the clip. Then every version of the clip asks a gallery of all of
them, a distractor, 36 other clips and 200 of surveillance cameras. Two tables say whether all versions come before
everything else, and how far the matched seconds are from the truth.

    python benchmarks/near_duplicates.py --data ../shared/data --out /tmp/edits
    python benchmarks/near_duplicates.py --data ../shared/data --out /tmp/edits --reuse --colour keep
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidlang.store.workspace import Workspace, open_workspace
from vidlang.video.edits import BlackBars, CutOut, Edit, EditedCopy, HideIn, Logo, Speed, apply, join
from vidlang.video.reader import probe
from vidlang.workflows.extract import extract
from vidlang.workflows.gallery import GalleryOptions
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe
from vidlang.workflows.retrieve import RetrieveOptions, RetrieveReport, retrieve
from vidlang.workflows.search import SearchOptions
from vidlang.workflows.workspace import open_cache

SOURCE = Path("near_dup/chair-orig-22-sd-bar.mp4")
HOSTS = (Path("clips/pedestrians_vtest.mp4"), Path("clips/car-detection.mp4"))
HIDDEN_SECONDS = 120.0
HIDDEN_AT = 45.0
HOST_RATE = 12.5
SOURCE_RATE = 30.0
"""Frames per second of the clip: its snippets of 16 frames last 0.53 s."""


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


def extract_gallery(data: Path, out: Path, workspace: Workspace, changes: RecipeChanges) -> None:
    """Features of the versions, the distractor, the copies and the surveillance clips; what is there stays."""
    cache, recipe = open_cache(workspace), make_recipe(workspace.settings, changes)
    hosts = {data / host for host in HOSTS}  # their frames are inside the hidden copy, so they would rightly be found
    clips = [path for path in sorted((data / "clips").iterdir()) if path.is_file() and path not in hosts]
    paths = [data / "near_dup", *sorted(out.glob("chair-*.mp4")), data / "surv_fight", *clips, data / "clips" / "signs"]
    wall, processor = time.perf_counter(), time.process_time()
    report = extract(paths, cache, recipe, encoder_loader("mini", "float32", "cpu", features=recipe.features))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{report.lines()[0]} ({processor:.1f} s processor time); recipe {recipe.name}")


def is_version(video: str) -> bool:
    return video.startswith("chair-")


def print_ranks(report: RetrieveReport) -> None:
    """Whether every other version of the clip ranks before everything else."""
    widths = (34, 10, 24, 44)
    print_row(("query", "in order", "least similar version", "most similar other"), widths)
    for ranking in report.rankings:
        versions = [hit for hit in ranking.hits if is_version(hit.video_id)]
        others = [hit for hit in ranking.hits if not is_version(hit.video_id)]
        expected = len(report.rankings) - 1
        right = sum(is_version(hit.video_id) for hit in ranking.hits[:expected])
        first = f"{others[0].similarity:.3f} {others[0].video_id}" if others else "-"
        least = f"{versions[-1].similarity:.3f} {versions[-1].video_id[6:-4]}"
        print_row((ranking.query, f"{right} of {expected}", least[:24], first), widths)


def print_segments(report: RetrieveReport, truth: dict[str, Any]) -> None:
    """How far each end of the matched seconds is from where the edit put it, in snippets of the clip."""
    source = truth["source"]
    (ranking,) = (ranking for ranking in report.rankings if ranking.query == source)
    hits = {hit.video_id: hit for hit in ranking.hits}
    snippet = 16 / SOURCE_RATE
    widths = (22, 30, 30, 34)
    print_row(("copy", "expected (clip = copy), s", "found (clip = copy), s", "largest error, snippets"), widths)
    for name, facts in truth["copies"].items():
        expected = [(tuple(there), tuple(here)) for here, there in facts["mapping"]]
        found = [((a.start, a.end), (b.start, b.end)) for a, b in hits[name].segments] if name in hits else []
        if len(found) != len(expected):
            worst = f"{len(found)} matches instead of {len(expected)}"
        else:
            errors = [
                abs(x - y)
                for pair, other in zip(expected, found, strict=True)
                for span, near in zip(pair, other, strict=True)
                for x, y in zip(span, near, strict=True)
            ]
            worst = f"{max(errors) / snippet:.2f}"
        for number in range(max(len(expected), len(found))):
            cells = [_pair(side[number]) if number < len(side) else "" for side in (expected, found)]
            print_row((name if number == 0 else "", *cells, worst if number == 0 else ""), widths)


def _pair(pair: Sequence[Sequence[float]]) -> str:
    return " = ".join(f"{start:.1f}-{end:.1f}" for start, end in pair)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds near_dup and clips")
    parser.add_argument("--out", type=Path, required=True, help="folder for the copies and truth.json")
    parser.add_argument("--reuse", action="store_true", help="take the copies that are there")
    parser.add_argument("--colour", choices=("grey", "keep"), default="grey")
    parser.add_argument("--borders", choices=("crop", "keep"), default="crop")
    parser.add_argument("--features", choices=("pooled", "regions"), default="pooled")
    parser.add_argument("--whitening", choices=("auto", "none", "center", "whiten"), default="auto")
    parser.add_argument("--similarity", default="overlap")
    arguments = parser.parse_args()
    if not arguments.reuse:
        wall, processor = time.perf_counter(), time.process_time()
        copies = make_gallery(arguments.data, arguments.out)
        print_gallery(copies)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        print(
            f"{len(copies)} copies and truth.json in {arguments.out}; {wall:.1f} s ({processor:.1f} s processor time)"
        )
    changes = RecipeChanges(
        encoder="mini", colour=arguments.colour, borders=arguments.borders, features=arguments.features
    )
    workspace = open_workspace(arguments.out / "workspace")
    gallery_options = GalleryOptions(whitening=arguments.whitening, checkpoint="plain")
    search_options = SearchOptions(similarity=arguments.similarity, top=30)
    options = RetrieveOptions(cached=True, gallery=gallery_options, search=search_options)
    extract_gallery(arguments.data, arguments.out, workspace, changes)
    report = retrieve(["chair-*"], workspace, options, changes)
    print("\n".join(report.update.lines()))
    print_ranks(report)
    print_segments(report, json.loads((arguments.out / "truth.json").read_text()))


if __name__ == "__main__":
    main()
