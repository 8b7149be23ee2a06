"""Do rows that attend to motion help? Anomaly scoring and near-duplicate retrieval, with the bundled encoder.

Extracts 200 clips of surveillance cameras (``surv_fight``) and seven versions of one clip (``near_dup``) by every
recipe, then prints for each:

- fights against other scenes, five folds by clip number: AUC of a logistic regression on the mean row of a clip, mean
  and standard deviation over folds, and AUC of ``train vadclip`` where ``--vadclip`` asks for it;
- versions of the clip against everything else: mAP of the cosine between mean rows;
- mean cosine to the plain rows, rows of snippets that do not move, processor seconds of the extraction.

    python benchmarks/motion_features.py --data ../shared/data --out /tmp/motion
    python benchmarks/motion_features.py --data ../shared/data --out /tmp/motion --motion none,pool:seed:0.1 --vadclip
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from vidlang.core import FeatureKey, FeatureRecipe, Label
from vidlang.datasets.manifest import write_manifest
from vidlang.metrics.anomaly import frame_auc, video_auc
from vidlang.store.atomic import write_text
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Settings, Workspace
from vidlang.workflows.extract import extract
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe
from vidlang.workflows.score import ScoreOptions, score
from vidlang.workflows.train_vadclip import TrainOptions, train_vadclip

FOLDS = 5
PENALTY = 0.01
"""Inverse strength of the regression's penalty: 256 numbers, 160 clips."""
VADCLIP = {"epochs": 10, "visual_length": 16, "attn_window": 8, "attn_heads": 4, "batch_size": 16}


@dataclass(frozen=True)
class Clips:
    """Rows of every clip by one recipe."""

    recipe: FeatureRecipe
    rows: dict[str, NDArray[np.float32]]
    processor: float
    """Seconds; 0 where all was in the cache."""
    num_still: int

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """[M, D] mean of the unit rows of each clip."""
        return np.stack([_unit(self.rows[video_id]).mean(axis=0) for video_id in ids])


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def read_clips(data: Path, workspace: Workspace, motion: str) -> Clips:
    """Extracts what the cache lacks."""
    recipe = make_recipe(workspace.settings, RecipeChanges(motion=motion))
    cache = FeatureCache(workspace.cache_dir)
    started = time.process_time()
    report = extract([data / "surv_fight", data / "near_dup"], cache, recipe, encoder_loader("mini", "float32", "cpu"))
    seconds = time.process_time() - started
    done = [outcome.video_id for outcome in report.outcomes if outcome.status != "failed"]
    rows = {video_id: cache.get(FeatureKey(video_id, recipe)).values for video_id in done}
    new = any(outcome.status == "done" for outcome in report.outcomes)
    return Clips(recipe, rows, seconds if new else 0.0, report.num_still)


def fold_of(video_id: str) -> int:
    """``fight/fi042.mp4`` and ``normal/nofi042.mp4`` are of one fold."""
    number = re.search(r"(\d+)\.", video_id)
    assert number is not None, video_id
    return int(number[1]) % FOLDS


def regression_aucs(clips: Clips, ids: Sequence[str]) -> list[float]:
    """AUC of each fold by the mean rows of the others."""
    vectors, fights = clips.vectors(ids), np.array([video_id.startswith("fight/") for video_id in ids])
    folds = np.array([fold_of(video_id) for video_id in ids])
    aucs = []
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        scaler = StandardScaler().fit(vectors[train])
        model = LogisticRegression(C=PENALTY, max_iter=500).fit(scaler.transform(vectors[train]), fights[train])
        aucs.append(frame_auc(fights[test], model.decision_function(scaler.transform(vectors[test]))))
    return aucs


def vadclip_aucs(clips: Clips, ids: Sequence[str], workspace: Workspace, motion: str) -> list[float]:
    """AUC of each fold by a VadCLIP head trained on the others; highest score of a clip, default branch."""
    aucs = []
    for fold in range(FOLDS):
        name = f"{re.sub('[^a-z0-9]+', '-', motion)}-fold{fold}-{time.time_ns()}"
        manifest = workspace.root / f"{name}.csv"
        split = {True: "test", False: "train"}
        labels = [Label(i, (i.split("/")[0],), split=split[fold_of(i) == fold]) for i in ids]
        write_text(manifest, write_manifest(labels))
        options = TrainOptions(changes=VADCLIP, manifest=manifest, val_fraction=0, name=name, device="cpu")
        train_vadclip(workspace, options, RecipeChanges(motion=motion))
        tested = [label.video_id for label in labels if label.split == "test"]
        report = score(tested, workspace, ScoreOptions(checkpoint=name, cached=True, plot=False, device="cpu"))
        fights = [item.video.id.startswith("fight/") for item in report.scores]
        aucs.append(video_auc(fights, [item.anomaly for item in report.scores]))
    return aucs


def duplicates_map(clips: Clips) -> float:
    """Mean average precision of the versions of one clip among everything."""
    ids = sorted(clips.rows)
    versions = np.array([Path(video_id).name.startswith("chair-") for video_id in ids])
    vectors = _unit(clips.vectors(ids))
    precisions = []
    for query in np.flatnonzero(versions):
        order = [index for index in np.argsort(-(vectors @ vectors[query]), kind="stable") if index != query]
        ranks = np.flatnonzero(versions[order]) + 1
        precisions.append(float(np.mean(np.arange(1, len(ranks) + 1) / ranks)))
    return float(np.mean(precisions))


def print_row(cells: Sequence[object]) -> None:
    widths = (18, 16, 16, 8, 8, 12, 8)
    print("  ".join(f"{cell!s:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)


def spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} +- {np.std(values):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with surv_fight and near_dup")
    parser.add_argument("--out", type=Path, required=True, help="workspace; features that it holds are taken again")
    parser.add_argument("--motion", default="none,pool,pool:seed:0.1,mask", help="recipes, separated by commas")
    parser.add_argument("--vadclip", action="store_true", help="also train a VadCLIP head for each fold and recipe")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    workspace = Workspace(arguments.out, replace(Settings(), encoder="mini"))
    plain = read_clips(arguments.data, workspace, "none")
    ids = sorted(video_id for video_id in plain.rows if video_id.split("/")[0] in ("fight", "normal"))
    print(f"{len(ids)} clips, {len(plain.rows) - len(ids)} of near_dup; encoder mini")
    print_row(("recipe", "regression AUC", "VadCLIP AUC", "mAP", "cosine", "still rows", "CPU s"))
    for motion in arguments.motion.split(","):
        clips = plain if motion == "none" else read_clips(arguments.data, workspace, motion)
        cosines = [(_unit(clips.rows[i]) * _unit(plain.rows[i])).sum(axis=1) for i in plain.rows]
        num_rows = sum(map(len, clips.rows.values()))
        vadclip = spread(vadclip_aucs(clips, ids, workspace, motion)) if arguments.vadclip else "-"
        aucs = spread(regression_aucs(clips, ids))
        cosine = float(np.concatenate(cosines).mean())
        still = f"{clips.num_still}/{num_rows}" if clips.processor else "-"
        taken = f"{clips.processor:.0f}" if clips.processor else "cached"
        print_row((motion, aucs, vadclip, f"{duplicates_map(clips):.3f}", f"{cosine:.3f}", still, taken))


if __name__ == "__main__":
    main()
