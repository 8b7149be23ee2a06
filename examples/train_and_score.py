"""Extracts, trains and scores on films that it renders: python examples/train_and_score.py [FOLDER]"""

import sys
import tempfile
from pathlib import Path

from vidlang.demo.scenes import render_collection
from vidlang.report.sparkline import sparkline
from vidlang.store.workspace import Settings, Workspace
from vidlang.workflows.extract import extract
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe
from vidlang.workflows.score import ScoreOptions, score
from vidlang.workflows.train_vadclip import TrainOptions, train_vadclip
from vidlang.workflows.workspace import open_cache


def main(folder: Path) -> None:
    render_collection(folder / "videos", videos_per_class=2, seconds=3.0, size=(72, 96))
    workspace = Workspace(folder / ".vidlang", Settings(encoder="mini"))
    recipe = make_recipe(workspace.settings, RecipeChanges())
    extract([folder / "videos"], open_cache(workspace), recipe, encoder_loader("mini", recipe.precision, "cpu"))
    train_vadclip(workspace, TrainOptions(changes={"epochs": 2}, val_fraction=0.0, device="cpu"))
    film = sorted((folder / "videos" / "fire").glob("*.mp4"))[0]
    report = score([film], workspace, ScoreOptions(plot=False, device="cpu"))
    print(f"{film.name}  {sparkline(report.scores[0].anomaly, 20)}  {len(report.events[0])} events")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
