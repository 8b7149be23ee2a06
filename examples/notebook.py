"""Works on arrays alone, as in a notebook: no cache, no files: python examples/notebook.py [VIDEO...]"""

import sys
import tempfile
from pathlib import Path

from vidlang import iter_features, load_encoder, load_scorer
from vidlang.demo.scenes import render_collection
from vidlang.store.workspace import Settings, Workspace


def main(folder: Path, videos: list[str]) -> None:
    if not videos:
        render_collection(folder / "videos", videos_per_class=2, seconds=3.0, frame_rate=12.5, size=(72, 96))
    nothing = Workspace(folder / "nothing", Settings(encoder="mini"))  # is never written
    texts = load_encoder(workspace=nothing).encode_texts(["a fire", "an empty street"]).numpy()  # [2, D]
    scorer = load_scorer(labels=["fire", "fighting"], workspace=nothing)
    for features in iter_features(videos or folder / "videos" / "fire", fps=2.0, workspace=nothing):
        rows = features.to_numpy()  # [T, D]
        cosines = rows @ texts.T / (((rows**2).sum(1) ** 0.5)[:, None] * (texts**2).sum(1) ** 0.5)
        scores = scorer.score(features)
        highest = scores.anomaly.max()
        print(
            f"{features.video.id}: rows {rows.shape}, likeness to fire {cosines[:, 0].max():.2f}, score {highest:.2f}"
        )
        print(scores.to_numpy()[["start_seconds", "anomaly"]][:2])
    print(f"files written: {nothing.root.exists()}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch), sys.argv[1:])
