"""``--motion`` and ``eval background`` as users type them, with the bundled encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidlang.store.feature_cache import FeatureCache
from vidlang.video.writer import write_video

SMALL_VADCLIP = [
    "--epochs",
    "1",
    "--batch-size",
    "4",
    "--visual-length",
    "8",
    "--attn-window",
    "4",
    "--val-fraction",
    "0",
]
SMALL_WTAL = [
    "--cbp-width", "32", "--cbp-layers", "1", "--cbp-heads", "2", "--vlp-layers", "1", "--freeze-prompts", "on",
    "--batch-size", "4", "--min-batches", "1", "--warmup-steps", "2", "--warmup-min-steps", "1", "--rounds", "1",
    "--phase-passes", "1", "--phase-min-steps", "1", "--plateau-epochs", "0",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _mini(vidlang) -> None:
    assert vidlang("init", "--encoder", "mini").code == 0


def scene(path: Path, ground: int, actor: tuple[int, int, int], num_frames: int = 34) -> Path:
    """A square crosses a place of noise; after two thirds it stands still."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(ground).integers(-10, 11, (64, 96, 1))
    frames = []
    for index in range(num_frames):
        frame = np.repeat(ground + noise, 3, axis=2).astype(np.uint8)
        left = min(index, 2 * num_frames // 3) + 10
        frame[20:40, left : left + 20] = actor
        frames.append(frame)
    write_video(path, frames, 25.0, options={"preset": "ultrafast", "crf": "12"})
    return path


@pytest.fixture
def videos(tmp_path) -> Path:
    for number in range(2):
        scene(tmp_path / "videos" / "normal" / f"{number}.mp4", 60 + 10 * number, (20, 20, 250))
        scene(tmp_path / "videos" / "fight" / f"{number}.mp4", 160 + 10 * number, (250, 20, 20))
    return tmp_path / "videos"


def one_line(answer, *words: str) -> None:
    lines = answer.err.strip().splitlines()
    assert answer.code == 2 and answer.out == "" and len(lines) == 1, answer
    assert all(word in lines[0] for word in words), lines[0]


def recipes(workspace: Path) -> list[str]:
    return sorted(recipe.name for recipe in FeatureCache(workspace / "cache").recipes())


def test_each_motion_is_another_recipe_beside_the_plain_one(vidlang, videos, tmp_path):
    for motion in ("none", "pool", "pool:seed:0.2", "mask"):
        answer = vidlang("extract", videos / "fight" / "0.mp4", "--motion", motion, "--json")
        assert answer.code == 0, answer.err
        report = json.loads(answer.out)
        assert report["recipe"].get("motion", {"use": "none"})["use"] == motion.split(":")[0]
        assert report["rows_without_motion"] == 0 and report["images"] == 2
    plain = "mini/stride16-middle"
    names = [plain, f"{plain}/motion-mask", f"{plain}/motion-pool", f"{plain}/motion-pool:seed:0.2"]
    assert recipes(tmp_path / ".vidlang") == names
    cache = FeatureCache(".vidlang/cache")
    found = {features.key.recipe.name: features.values for features in map(cache.get, list(cache.keys()))}
    rows = [found[name] / np.linalg.norm(found[name], axis=1, keepdims=True) for name in names]
    cosines = [float((rows[0] * other).sum(axis=1).min()) for other in rows[1:]]
    assert all(0.2 < cosine < 0.999 for cosine in cosines), cosines


def test_a_still_video_gives_the_plain_rows_and_says_so(vidlang, tmp_path):
    still = [np.full((64, 96, 3), 90, dtype=np.uint8)] * 34
    write_video(tmp_path / "still.mp4", still, 25.0)
    assert vidlang("extract", "still.mp4").code == 0
    answer = vidlang("extract", "still.mp4", "--motion", "pool")
    assert "2 rows are the plain ones: nothing moves in their snippets" in answer.out
    cache = FeatureCache(".vidlang/cache")
    one, other = map(cache.get, list(cache.keys()))
    np.testing.assert_allclose(one.values, other.values, atol=1e-5)


def test_what_cannot_be_is_one_line(vidlang, videos):
    one_line(vidlang("extract", videos, "--motion", "pool:loud"), "motion has no detail 'loud'")
    one_line(vidlang("extract", videos, "--motion", "pool", "--features", "regions"), "--motion pool weighs", "regions")
    one_line(vidlang("extract", videos, "--motion", "pool", "--encoder", "resnet50"), "resnet50", "--motion mask")
    one_line(vidlang("extract", videos, "--motion", "mask", "--pick", "mean"), "pick 'middle' or 'first'")
    one_line(vidlang("extract", videos, "--motion", "mask", "--borders", "crop"), "borders 'keep'")


def test_every_road_takes_the_recipe_along(vidlang, videos, tmp_path):
    """Nothing but the first command names it."""
    assert vidlang("extract", videos, "--motion", "pool:seed:0.2").code == 0
    name = "mini/stride16-middle/motion-pool:seed:0.2"
    scene(tmp_path / "new" / "x.mp4", 110, (250, 20, 20))
    trained = vidlang("train", "vadclip", *SMALL_VADCLIP)
    assert trained.code == 0, trained.err
    scored = vidlang("score", "new", "--json", "--no-plot")
    assert json.loads(scored.out)["made_by"]["recipe"]["motion"]["beta"] == 0.2, scored.err
    trained = vidlang("train", "wtal", *SMALL_WTAL)
    assert trained.code == 0, trained.err
    scene(tmp_path / "new" / "y.mp4", 120, (250, 20, 20))
    located = vidlang("localize", "new", "--json")
    assert located.code == 0, located.err
    built = vidlang("index", "build")
    assert built.code == 0 and name in built.out + built.err, built
    scene(tmp_path / "query.mp4", 110, (250, 20, 20))
    found = vidlang("retrieve", "query.mp4", "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["queries"][0]["hits"][0]["video"] == "x.mp4"
    assert recipes(tmp_path / ".vidlang") == [name]


def test_backgrounds_are_swapped_and_reported(vidlang, videos, tmp_path):
    assert vidlang("extract", videos).code == 0
    assert vidlang("train", "vadclip", *SMALL_VADCLIP, "--name", "first").code == 0
    answer = vidlang("eval", "background", videos, "--size", "64", "--keep", "kept")
    assert answer.code == 0, answer.err
    assert "\x1b" not in answer.out + answer.err and "Traceback" not in answer.err
    assert max(map(len, answer.out.splitlines()[:14])) <= 80
    assert answer.out.startswith("checkpoint first, encoder mini; masks fame, beta 0.5\n")
    for words in ("own, written again", "same class", "across, both ways", "normal on abnormal"):
        assert words in answer.out
    assert "Note: made with the bundled encoder 'mini'" in answer.err.replace("\n", " ")
    assert len(list((tmp_path / "kept").rglob("*.mp4"))) == 12
    assert recipes(tmp_path / ".vidlang") == ["mini/stride16-middle"]
    assert len(list(FeatureCache(".vidlang/cache").keys())) == 4  # no merged clip among them


def test_background_without_what_it_needs_is_one_line(vidlang, videos):
    answer = vidlang("eval", "background", videos)
    assert answer.code == 1 and answer.err.count("\n") == 1
    assert "There is no vadclip checkpoint" in answer.err and "Run: vidlang train vadclip" in answer.err
    assert vidlang("eval", "background", videos, "--method", "loud").code == 2
