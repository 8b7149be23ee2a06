"""Renders three films, edits one, and finds where the copy comes from: python examples/find_copies.py [FOLDER]"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vidlang.demo.scenes import plan_video, render
from vidlang.store.workspace import Settings, Workspace
from vidlang.video.edits import BlackBars, Clip, Grey, Logo, apply
from vidlang.video.writer import write_video
from vidlang.workflows.extract import extract
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe
from vidlang.workflows.retrieve import RetrieveOptions, retrieve
from vidlang.workflows.workspace import open_cache

RATE = 12.5
RECIPE = RecipeChanges(fps=2.0, borders="crop", colour="grey")


def scenes(light: str, seed: int) -> Iterator[np.ndarray]:
    """Four places, three seconds each."""
    for place in range(4):
        plan = plan_video(
            "normal", seed=4 * seed + place, seconds=3.0, frame_rate=RATE, size=(144, 192), lights=(light,)
        )
        yield from render(plan)


def main(folder: Path) -> None:
    films = folder / "films"
    films.mkdir(parents=True, exist_ok=True)
    for seed, light in enumerate(("day", "dusk", "night")):
        write_video(films / f"{light}.mp4", scenes(light, seed), RATE)
    edits = [Clip(4.0, 10.0), Grey(), Logo(), BlackBars(0.25)]
    copy = apply(films / "dusk.mp4", edits, folder / "copy.mp4")

    workspace = Workspace(folder / ".vidlang", Settings(encoder="mini"))
    recipe = make_recipe(workspace.settings, RECIPE)
    extract([films], open_cache(workspace), recipe, encoder_loader("mini", recipe.precision, "cpu"))
    report = retrieve([copy.path], workspace, RetrieveOptions(plot=True), RECIPE)
    best = report.rankings[0].hits[0]
    spans = ", ".join(f"{a.start:.1f}-{a.end:.1f} s = {b.start:.1f}-{b.end:.1f} s" for a, b in best.segments)
    print(f"copy.mp4 is in {best.video_id} (similarity {best.similarity:.2f}): {spans}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
